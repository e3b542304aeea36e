//! What streams are called, and patterns over those names.

use std::{fmt, sync::Arc};

use botzilla_wire::Name;

/// `component/stream`. A component's name may have slashes, a stream's has none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct StreamName {
    text: Arc<str>,
    component: Name,
    stream: Name,
}

impl StreamName {
    pub(crate) fn new(component: &Name, stream: &str) -> Result<Self, String> {
        if stream.contains('/') {
            return Err("a stream's own name has no `/`".to_owned());
        }
        let stream = Name::new(stream).map_err(|error| error.to_string())?;
        Ok(Self {
            text: format!("{component}/{stream}").into(),
            component: component.clone(),
            stream,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Some((component, stream)) = text.rsplit_once('/') else {
            return Err(
                "write `component/stream`, or a pattern such as `*/scan` or `group:base/*`"
                    .to_owned(),
            );
        };
        let component = Name::new(component).map_err(|error| error.to_string())?;
        Self::new(&component, stream)
    }

    pub(crate) fn text(&self) -> &Arc<str> {
        &self.text
    }

    pub(crate) fn component(&self) -> &Name {
        &self.component
    }

    pub(crate) fn stream(&self) -> &Name {
        &self.stream
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// What a subscription is to.
#[derive(Debug, Clone)]
pub(crate) enum Selector {
    One(StreamName),
    /// All that match, now and later.
    Pattern(Pattern),
}

/// A pattern, in which `*` stands for any characters of its part.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: Arc<str>,
    /// The first part is a group's name, not a component's.
    is_group: bool,
    /// How many bytes of the text the first part begins after and ends at.
    first: (usize, usize),
}

const GROUP: &str = "group:";

impl Selector {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_group = text.starts_with(GROUP);
        if !is_group && !text.contains('*') {
            return StreamName::parse(text).map(Self::One);
        }
        let begin = if is_group { GROUP.len() } else { 0 };
        let at = text[begin..].rfind('/').map(|at| at + begin);
        let Some(at) = at.filter(|at| *at > begin && *at + 1 < text.len()) else {
            return Err(
                "a pattern has two parts, as in `*/scan`, `lidar/*` or `group:base/*`".to_owned(),
            );
        };
        let known = |c: char| c.is_ascii_alphanumeric() || "_./-*".contains(c);
        if !text[begin..].chars().all(known) {
            return Err(
                "a pattern is made of the characters of names (A-Z, a-z, 0-9, `_`, `.`, `/`, `-`) and `*`"
                    .to_owned(),
            );
        }
        Ok(Self::Pattern(Pattern {
            text: text.into(),
            is_group,
            first: (begin, at),
        }))
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::One(name) => name.text(),
            Self::Pattern(pattern) => &pattern.text,
        }
    }

    /// Whether a stream is meant.
    pub(crate) fn matches(&self, component: &str, groups: &[Name], stream: &str) -> bool {
        match self {
            Self::One(name) => *name.component == *component && *name.stream == *stream,
            Self::Pattern(pattern) => {
                let first = &pattern.text[pattern.first.0..pattern.first.1];
                let is_meant = if pattern.is_group {
                    groups.iter().any(|group| glob(first, group))
                } else {
                    glob(first, component)
                };
                is_meant && glob(&pattern.text[pattern.first.1 + 1..], stream)
            }
        }
    }
}

/// Whether a text is what a pattern describes, in which `*` stands for anything.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // The last star, and how much of the text it stands for.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else {
                    return false;
                };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_last_part_of_its_name() {
        let Selector::One(name) = Selector::parse("arm/left/joints").unwrap() else {
            panic!("no pattern was given");
        };
        assert_eq!((&*name.component, &*name.stream), ("arm/left", "joints"));
        for bad in [
            "scan", "/scan", "lidar/", "a b/c", "*", "group:/x", "*/", "é*/x", "",
        ] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_matches_by_component_or_by_group() {
        let base = [Name::new("base").unwrap()];
        for (pattern, component, stream, matches) in [
            ("*/scan", "lidar", "scan", true),
            ("*/scan", "lidar/front", "scan", true),
            ("*/scan", "lidar", "scans", false),
            ("lidar*/s*n", "lidar2", "scan", true),
            ("lidar/*", "lidar", "anything", true),
            ("group:base/*", "drive", "odometry", true),
            ("group:arm/*", "drive", "odometry", false),
            ("group:b*/odo*y", "drive", "odometry", true),
        ] {
            let selector = Selector::parse(pattern).unwrap();
            assert_eq!(
                selector.matches(component, &base, stream),
                matches,
                "{pattern} {component}/{stream}"
            );
        }
    }
}
