//! A policy as it is written.

use std::{fmt, path::Path, str::FromStr};

use serde::Deserialize;
use toml::Spanned;

use super::{Glob, Policy, Rule, Verb};
use crate::ConfigError;

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
#[non_exhaustive]
pub struct PolicyError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    allow: Vec<Spanned<Allow>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    keys: Vec<Spanned<String>>,
    #[serde(default)]
    call: Vec<Spanned<String>>,
    #[serde(default)]
    publish: Vec<Spanned<String>>,
    #[serde(default)]
    subscribe: Vec<Spanned<String>>,
    #[serde(default)]
    register: Vec<Spanned<String>>,
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let line_of = |at: usize| text[..at].matches('\n').count() + 1;
        let file: File = toml::from_str(text).map_err(|error| PolicyError {
            line: error.span().map_or(1, |span| line_of(span.start)),
            reason: error.message().replace('\n', " "),
        })?;
        // A file that was cut off or emptied must not cut the robot off.
        if file.allow.is_empty() {
            return Err(PolicyError {
                line: 1,
                reason:
                    "there is no [[allow]] table, so nobody could do anything; give the robot's \
                         own key id one (README.md has an example), or take the setting out"
                        .to_owned(),
            });
        }
        let rules = file.allow.into_iter().map(|allow| {
            let line = line_of(allow.span().start);
            let Allow {
                keys,
                call,
                publish,
                subscribe,
                register,
            } = allow.into_inner();
            if keys.is_empty() {
                let reason = "`keys` is empty: name the key ids that this is for".to_owned();
                return Err(PolicyError { line, reason });
            }
            let read = |patterns: Vec<Spanned<String>>, what| {
                let patterns = patterns.into_iter().map(|pattern| {
                    let line = line_of(pattern.span().start);
                    glob(pattern.get_ref(), what).map_err(|reason| PolicyError { line, reason })
                });
                patterns.collect::<Result<Vec<_>, _>>()
            };
            Ok(Rule {
                line,
                keys: read(keys, What::Key)?,
                call: read(call, What::Ruled(Verb::Call))?,
                publish: read(publish, What::Ruled(Verb::Publish))?,
                subscribe: read(subscribe, What::Ruled(Verb::Subscribe))?,
                register: read(register, What::Ruled(Verb::Register))?,
            })
        });
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Clone, Copy)]
enum What {
    Key,
    Ruled(Verb),
}

/// A pattern, if it can mean anything.
fn glob(text: &str, what: What) -> Result<Glob, String> {
    let glob = Glob::new(text).map_err(|reason| format!("{text:?}: {reason}"))?;
    let named = |c: char| c.is_ascii_alphanumeric() || "_./-*".contains(c);
    let example = match what {
        What::Key => {
            if !text.chars().all(|c| named(c) && c != '/' && c != '.') {
                return Err(format!("{text:?}: a key id has A-Z a-z 0-9 _ - alone"));
            }
            return Ok(glob);
        }
        What::Ruled(Verb::Call) => "component/message, such as \"drive/Stop\" or \"drive/*\"",
        What::Ruled(Verb::Register) => "a component, such as \"drive\" or \"tablet/*\"",
        What::Ruled(_) => "component/stream, such as \"lidar/scan\" or \"lidar/*\"",
    };
    if text.starts_with("group:") {
        return Err(format!(
            "{text:?}: a group is whatever a component says it is in; name components: {example}"
        ));
    }
    let is_call = matches!(what, What::Ruled(Verb::Call));
    // A message may have any name.
    if !is_call && !text.chars().all(named) {
        return Err(format!(
            "{text:?}: names have A-Z a-z 0-9 _ . / - alone; write {example}"
        ));
    }
    if !matches!(what, What::Ruled(Verb::Register)) && !glob.spans_segments() {
        return Err(format!(
            "{text:?} means nothing, since it has no slash; write {example}, or \"**\" for all"
        ));
    }
    Ok(glob)
}

impl Policy {
    /// Reads a policy's file.
    ///
    /// # Errors
    ///
    /// It can't be read, or is no policy: the error says where and why.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::new(
                format!("the policy {}", path.display()),
                format!("can't be read ({error}); check the path and who may read it"),
            )
        })?;
        text.parse().map_err(|PolicyError { line, reason }| {
            ConfigError::new(format!("{}:{line}", path.display()), reason)
        })
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
