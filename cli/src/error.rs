//! Why a command didn't do what it was asked to, and the exit code that says so.

use std::{fmt::Write, process::ExitCode};

use botzilla::{CallError, ConfigError, Error, Reason, StartError};
use serde_json::{Value, json};

/// How a command ends that isn't done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was asked, and the answer was no.
    No,
    /// It couldn't be asked.
    NotAsked,
}

impl Exit {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::No => 1,
            Self::NotAsked => 2,
        })
    }
}

/// Names the thing, the reason and the remedy.
#[derive(Debug)]
pub(crate) struct CliError {
    exit: Exit,
    text: String,
    /// What `--json` shows of an answer that was no.
    answer: Option<Value>,
}

impl CliError {
    /// It couldn't be asked.
    pub(crate) fn not_asked(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::NotAsked,
            text: text.into(),
            answer: None,
        }
    }

    /// The answer was no, and stands in the report that was shown already.
    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::No,
            text: text.into(),
            answer: None,
        }
    }

    /// The answer was no: `kind` is for programs.
    pub(crate) fn answered_no(kind: &str, text: impl Into<String>) -> Self {
        let text = text.into();
        let answer = json!({"ok": false, "error": {"kind": kind, "text": text}});
        Self {
            exit: Exit::No,
            text,
            answer: Some(answer),
        }
    }

    /// A message that wasn't answered, or not delivered; without its name, what was asked for the
    /// component's own description.
    pub(crate) fn call(component: &str, message: Option<&str>, reason: &Reason) -> Self {
        let remedy = match reason {
            Reason::NoSuchComponent { close, .. } if close.is_empty() => {
                "; `botzilla list` shows those that there are"
            }
            Reason::Expired { .. } => "; --timeout gives it longer",
            _ => "",
        };
        let what = message
            .map(|message| format!("{message} to "))
            .unwrap_or_default();
        let text = format!("{what}{component:?}: {reason}{remedy}");
        if matches!(reason, Reason::BadPayload(_)) {
            return Self::not_asked(text);
        }
        let mut error = json!({
            "kind": kind(reason),
            "text": text,
            "may_have_run": reason.may_have_run(),
        });
        if let Reason::NoSuchComponent { close, .. } = reason {
            error["close"] = json!(close);
        }
        let answer = json!({
            "component": component,
            "message": message,
            "ok": false,
            "error": error,
        });
        Self {
            exit: Exit::No,
            text,
            answer: Some(answer),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn answer(&self) -> Option<&Value> {
        self.answer.as_ref()
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::not_asked(error.to_string())
    }
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        Self::call(error.component(), Some(error.message()), error.reason())
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        match error {
            Error::Call(error) => error.into(),
            Error::Start(StartError::Registry {
                address, reason, ..
            }) => Self::not_asked(format!("can't use the registry at {address}: {reason}")),
            error => Self::not_asked(with_causes(&error)),
        }
    }
}

/// An error and its causes, each behind a colon.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// As one line that does nothing to a terminal: parts of it were written by others.
pub(crate) fn one_line(text: &str) -> String {
    plain(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Without characters that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            // Writing to a string can't fail.
            let _ = write!(plain, "{}", c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// An outcome for programs.
fn kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::NoSuchComponent { .. } => "no_such_component",
        Reason::NoHandler(_) => "no_handler",
        Reason::WrongSchema(_) => "wrong_schema",
        Reason::BadPayload(_) => "bad_payload",
        Reason::Denied(_) => "denied",
        Reason::TooLarge { .. } => "too_large",
        Reason::Overloaded { .. } => "overloaded",
        Reason::HandlerPanicked(_) => "panicked",
        Reason::Interrupted => "interrupted",
        Reason::Stopped { .. } => "stopped",
        Reason::NoReply => "no_reply",
        Reason::Cancelled { .. } => "cancelled",
        Reason::Expired { .. } => "expired",
        Reason::Disconnected { .. } => "disconnected",
        Reason::NotConnected(_) => "not_connected",
        Reason::Cycle(_) => "cycle",
        Reason::Full => "full",
        Reason::ShuttingDown => "shutting_down",
        Reason::Codec { .. } => "codec",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_can_neither_break_the_line_nor_paint_the_terminal() {
        assert_eq!(one_line("a\n  b\r\nc"), "a b c");
        assert_eq!(one_line("\u{1b}[31mred\u{7}"), "\\u{1b}[31mred\\u{7}");
    }
}
