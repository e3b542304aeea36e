//! A policy, shown: its rules, what it says to a question, what it has denied.

use std::fmt::Write;

use botzilla::policy::{DeniedReport, Glob, Policy, Rule};
use serde_json::{Value, json};

use super::{
    Decided, Style,
    style::{Table, Tone},
};
use crate::error::plain;

pub(super) fn text(file: &str, policy: &Policy, decided: Option<&Decided>, style: Style) -> String {
    let Some(decided) = decided else {
        return rules(file, policy, style);
    };
    let (allowed, denied) = ("allowed", "denied");
    let why = plain(&decided.why);
    let why = match why.strip_prefix(allowed) {
        Some(rest) => format!("{}{rest}", style.good(allowed)),
        None => match why.strip_prefix(denied) {
            Some(rest) => format!("{}{rest}", style.bad(denied)),
            None => why,
        },
    };
    format!("{why}\n")
}

fn rules(file: &str, policy: &Policy, style: Style) -> String {
    let count = policy.rules().len();
    let rules = if count == 1 { "rule" } else { "rules" };
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(out, "{}: {count} {rules}", plain(file));
    for rule in policy.rules() {
        let keys = style.strong(&plain(&list(&rule.keys)));
        let _ = writeln!(out, "line {}: {keys}", rule.line);
        for (verb, globs) in verbs(rule) {
            if !globs.is_empty() {
                let verb = style.faint(&format!("{verb:<9}"));
                let _ = writeln!(out, "  {verb}  {}", plain(&list(globs)));
            }
        }
    }
    out
}

fn verbs(rule: &Rule) -> [(&'static str, &[Glob]); 4] {
    [
        ("call", &rule.call),
        ("publish", &rule.publish),
        ("subscribe", &rule.subscribe),
        ("register", &rule.register),
    ]
}

fn list(globs: &[Glob]) -> String {
    let texts: Vec<_> = globs.iter().map(Glob::text).collect();
    texts.join(", ")
}

pub(super) fn value(file: &str, policy: &Policy, decided: Option<&Decided>) -> Value {
    let texts = |globs: &[Glob]| {
        globs
            .iter()
            .map(|it| it.text().to_owned())
            .collect::<Vec<_>>()
    };
    match decided {
        None => {
            let rules = policy.rules().iter().map(|rule| {
                let mut value = json!({"line": rule.line, "keys": texts(&rule.keys)});
                for (verb, globs) in verbs(rule) {
                    value[verb] = json!(texts(globs));
                }
                value
            });
            json!({"file": file, "ok": true, "rules": rules.collect::<Vec<_>>()})
        }
        Some(Decided {
            question,
            allowed,
            rule,
            why,
        }) => {
            let mut value = json!({
                "file": file,
                "key": question.key,
                "allowed": allowed,
                "line": rule.as_ref().map(|(line, _)| line),
                "pattern": rule.as_ref().map(|(_, pattern)| pattern),
                "why": why,
            });
            value[question.verb] = json!(question.what);
            value
        }
    }
}

/// What was denied, as a table.
pub(super) fn denied_text(denied: &[DeniedReport], style: Style) -> String {
    let mut table = Table::new(&["DENIED", "TO KEY", "WHAT", "TIMES"]);
    for report in denied {
        table.row([
            (plain(&report.verb), Tone::Bad),
            (plain(&report.key), Tone::Strong),
            (plain(&report.what), Tone::Plain),
            (report.times.to_string(), Tone::Plain),
        ]);
    }
    table.render(style)
}

pub(super) fn denied_value(denied: &[DeniedReport]) -> Value {
    let denied = denied
        .iter()
        .map(|it| json!({"key": it.key, "verb": it.verb, "what": it.what, "times": it.times}));
    denied.collect()
}
