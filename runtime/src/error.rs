//! What can go wrong, by family of operation, in words that a person can act on.

use std::{fmt, time::Duration};

use botzilla_wire::{Code, Failure};

use crate::{Escalation, MapError, PublishError, SendError, StreamError, WatchError};

/// The result of most operations; its error is [`enum@Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error of this library: one variant a family of operations.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is missing, unknown or can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node couldn't start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A component couldn't be put on the node.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A message wasn't answered, or not delivered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A stream couldn't be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// An item wasn't published.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A stream can't be subscribed to, or a subscription had something to say.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A name can't be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A component that the node can't do without couldn't be kept alive, and the node was shut down.
    #[error(transparent)]
    Escalated(#[from] Escalation),
    /// Whatever the program's own code returned.
    #[error(transparent)]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl From<MapError> for Error {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Call(error) => Self::Call(error),
            refused @ MapError::Refused { .. } => Self::Other(Box::new(refused)),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Other(Box::new(error))
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self::Other(text.into())
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self::Other(text.into())
    }
}

/// A setting is missing, unknown or can't be used. The text names the setting, the reason and the
/// remedy.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {reason}")]
pub struct ConfigError {
    setting: String,
    reason: String,
}

impl ConfigError {
    pub(crate) fn new(setting: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self {
            setting: setting.into(),
            reason: reason.to_string(),
        }
    }

    /// Which setting: an environment variable, a file and its key, or a method.
    pub fn setting(&self) -> &str {
        &self.setting
    }
}

/// Why a node couldn't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address to listen on can't be used.
    #[error("can't listen on {address}; choose another address, or port 0 for any free one")]
    Listen {
        /// As configured.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The registry couldn't be reached in the time set for it, or waiting for it is of no use.
    #[error("can't use the registry at {address} (tried for {:.1} s): {reason}", waited.as_secs_f64())]
    Registry {
        /// As configured.
        address: String,
        /// How long it was tried; short if trying again can't help.
        waited: Duration,
        /// The last attempt's failure, with its remedy.
        reason: String,
    },
    /// A thread or its runtime couldn't be started.
    #[error("can't start the node's thread")]
    Thread(#[source] std::io::Error),
}

/// Why a component couldn't be put on a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The name can't be one.
    #[error("{name:?} can't name a component: {reason}")]
    BadName {
        /// As given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another component has the name.
    #[error("the name {name:?} is taken by {holder}; stop that one, or choose another name")]
    NameTaken {
        /// As given.
        name: String,
        /// Who has it.
        holder: String,
    },
    /// Two handlers for one message, or a broadcast handler the node can't serve.
    #[error("component {name:?} can't be served: {reason}")]
    BadRoutes {
        /// As given.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The factory or the start hook failed or panicked.
    #[error("component {name:?} didn't start: {reason}")]
    StartFailed {
        /// As given.
        name: String,
        /// What the factory or hook said.
        reason: String,
    },
    /// The registry's policy doesn't let this node's secret have the name.
    #[error(
        "component {name:?} is denied: {reason}; add the name to `register` there, or use another secret"
    )]
    Denied {
        /// As given.
        name: String,
        /// What the policy says.
        reason: String,
    },
    /// The registry couldn't be asked.
    #[error("component {name:?} couldn't be registered: {reason}")]
    NotRegistered {
        /// As given.
        name: String,
        /// Why.
        reason: String,
    },
    /// The node is shutting down.
    #[error("component {name:?} can't be spawned: the node is shutting down")]
    ShuttingDown {
        /// As given.
        name: String,
    },
}

/// A message that wasn't answered, or not delivered: to whom, which, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message} to {component:?}: {reason}")]
pub struct CallError {
    component: String,
    message: String,
    reason: Reason,
}

impl CallError {
    pub(crate) fn new(
        component: impl Into<String>,
        message: impl Into<String>,
        reason: Reason,
    ) -> Self {
        Self {
            component: component.into(),
            message: message.into(),
            reason,
        }
    }

    /// The component, or group, that it was for.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The message's name.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What happened.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// What happened, by value.
    pub fn into_reason(self) -> Reason {
        self.reason
    }

    /// Whether the handler may have run, wholly or in part. `false` means that it certainly didn't.
    pub fn may_have_run(&self) -> bool {
        self.reason.may_have_run()
    }
}

/// Why a message wasn't answered or delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Nobody has the name.
    NoSuchComponent {
        /// Names that are close to it.
        close: Vec<String>,
        /// What else a person should know: a registry that is recovering or away.
        note: String,
    },
    /// It doesn't handle the message; the text lists what it does handle.
    NoHandler(String),
    /// The two sides' types differ; the text shows the first difference.
    WrongSchema(String),
    /// The payload isn't the message.
    BadPayload(String),
    /// The other side doesn't allow it.
    Denied(String),
    /// The message or its reply is larger than the limit.
    TooLarge {
        /// How large, and what the limit is.
        detail: String,
        /// Whether it may have run: so it is if the reply is too large.
        may_have_run: bool,
    },
    /// The other side has too much to do.
    Overloaded {
        /// With what.
        detail: String,
        /// Whether it may have run: so it is if too many replies wait.
        may_have_run: bool,
    },
    /// The handler panicked; the text is the panic's.
    HandlerPanicked(String),
    /// An urgent message went first.
    Interrupted,
    /// The component stopped.
    Stopped {
        /// Why; empty if it was asked to.
        detail: String,
        /// Whether it may have run: so it is unless it was in the queue still.
        may_have_run: bool,
    },
    /// The handler dropped its `Replier`.
    NoReply,
    /// The caller went away.
    Cancelled {
        /// Whether it may have run.
        may_have_run: bool,
    },
    /// The deadline passed.
    Expired {
        /// The time that it had.
        after: Duration,
        /// Whether it may have run.
        may_have_run: bool,
    },
    /// The connection ended.
    Disconnected {
        /// Why.
        why: String,
        /// Whether it may have run.
        may_have_run: bool,
    },
    /// No connection could be made.
    NotConnected(String),
    /// The components wait for each other; the names in order.
    Cycle(Vec<String>),
    /// No credit left; only `try_tell` says so, the others wait.
    Full,
    /// The node is shutting down.
    ShuttingDown,
    /// A call that blocks was made on the node's own thread, which would have had to carry it.
    WouldBlock,
    /// The message couldn't be encoded, or its reply not decoded.
    Codec {
        /// What the encoder or decoder said.
        detail: String,
        /// Whether it may have run: so it is if it is the reply that can't be decoded.
        may_have_run: bool,
    },
    /// Something a later version of the protocol says.
    Unknown {
        /// The outcome's number.
        code: u16,
        /// What the other side said.
        detail: String,
        /// Whether it may have run.
        may_have_run: bool,
    },
}

impl Reason {
    /// Whether the handler may have run, wholly or in part.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::HandlerPanicked(_) | Self::Interrupted | Self::NoReply => true,
            Self::TooLarge { may_have_run, .. }
            | Self::Overloaded { may_have_run, .. }
            | Self::Stopped { may_have_run, .. }
            | Self::Cancelled { may_have_run }
            | Self::Expired { may_have_run, .. }
            | Self::Disconnected { may_have_run, .. }
            | Self::Codec { may_have_run, .. }
            | Self::Unknown { may_have_run, .. } => *may_have_run,
            _ => false,
        }
    }

    /// Whether the component answered "no" (as opposed to not having been reached).
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::NoHandler(_)
                | Self::WrongSchema(_)
                | Self::BadPayload(_)
                | Self::Denied(_)
                | Self::TooLarge { .. }
                | Self::Overloaded { .. }
        )
    }

    /// The component went away without saying what became of it.
    pub(crate) fn stopped(may_have_run: bool) -> Self {
        Self::Stopped {
            detail: String::new(),
            may_have_run,
        }
    }

    /// A reply, or report, that is there and can't be read.
    pub(crate) fn unreadable(detail: String) -> Self {
        Self::Codec {
            detail,
            may_have_run: true,
        }
    }

    pub(crate) fn from_failure(failure: Failure, after: Duration) -> Self {
        let Failure {
            code,
            may_have_run,
            detail,
        } = failure;
        match code {
            Code::NoSuchComponent => Self::NoSuchComponent {
                close: Vec::new(),
                note: detail,
            },
            Code::NoHandler => Self::NoHandler(detail),
            Code::WrongSchema => Self::WrongSchema(detail),
            Code::Denied => Self::Denied(detail),
            Code::TooLarge => Self::TooLarge {
                detail,
                may_have_run,
            },
            Code::Overloaded => Self::Overloaded {
                detail,
                may_have_run,
            },
            Code::Panicked => Self::HandlerPanicked(detail),
            Code::Interrupted => Self::Interrupted,
            Code::Stopped => Self::Stopped {
                detail,
                may_have_run,
            },
            Code::NoReply => Self::NoReply,
            Code::Cancelled => Self::Cancelled { may_have_run },
            Code::Expired => Self::Expired {
                after,
                may_have_run,
            },
            Code::BadPayload => Self::BadPayload(detail),
            Code::Cycle => Self::Cycle(detail.split(" -> ").map(str::to_owned).collect()),
            other => Self::Unknown {
                code: other.number(),
                detail,
                may_have_run,
            },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchComponent { close, note } => {
                f.write_str("no such component")?;
                if !close.is_empty() {
                    write!(f, "; close names: {}", close.join(", "))?;
                }
                if !note.is_empty() {
                    write!(f, "; {note}")?;
                }
                Ok(())
            }
            Self::NoHandler(detail) => write!(f, "it has no handler for that; {detail}"),
            Self::WrongSchema(detail) => {
                write!(f, "the two sides' types differ: {detail}; build both from one definition")
            }
            Self::BadPayload(detail) => write!(f, "the payload isn't that message: {detail}"),
            Self::Denied(detail) => write!(f, "denied: {detail}"),
            Self::TooLarge { detail, .. } => write!(f, "too large: {detail}"),
            Self::Overloaded { detail, .. } => write!(f, "overloaded: {detail}"),
            Self::HandlerPanicked(text) => write!(f, "its handler panicked: {text}"),
            Self::Interrupted => f.write_str("interrupted by an urgent message"),
            Self::Stopped { detail, .. } if detail.is_empty() => {
                f.write_str("the component stopped")
            }
            Self::Stopped { detail, .. } => write!(f, "the component stopped: {detail}"),
            Self::NoReply => f.write_str("the handler ended without a reply"),
            Self::Cancelled { may_have_run } => write!(f, "cancelled, {}", ran(*may_have_run)),
            Self::Expired { after, may_have_run } => {
                write!(f, "no answer within {after:?}, {}", ran(*may_have_run))
            }
            Self::Disconnected { why, may_have_run } => {
                write!(f, "disconnected ({why}), {}", ran(*may_have_run))
            }
            Self::NotConnected(why) => write!(f, "not connected: {why}"),
            Self::Cycle(names) => {
                write!(f, "the components would wait for each other: {}", names.join(" -> "))
            }
            Self::Full => f.write_str("its queue is full"),
            Self::ShuttingDown => f.write_str("this node is shutting down"),
            Self::WouldBlock => f.write_str(
                "a call that blocks was made on the node's own thread, and would wait for itself; await `ask` there, or call from another thread",
            ),
            Self::Codec { detail, .. } => f.write_str(detail),
            Self::Unknown { code, detail, .. } => write!(f, "outcome {code} of a later version: {detail}"),
        }
    }
}

fn ran(may_have_run: bool) -> &'static str {
    if may_have_run {
        "it may have run"
    } else {
        "it did not run"
    }
}

/// A `try_tell` that didn't take the message: it comes back.
#[derive(Debug)]
pub struct TryTellError<M> {
    /// The message, unsent.
    pub message: M,
    /// Why.
    pub error: CallError,
}

impl<M> TryTellError<M> {
    /// Whether it may work a moment later.
    pub fn is_full(&self) -> bool {
        matches!(self.error.reason(), Reason::Full)
    }
}

impl<M> fmt::Display for TryTellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<M: fmt::Debug> std::error::Error for TryTellError<M> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_it_may_have_run_is_what_the_other_side_said() {
        let may_have_run = |code, may_have_run| {
            let failure = Failure {
                code,
                may_have_run,
                detail: String::new(),
            };
            Reason::from_failure(failure, Duration::ZERO).may_have_run()
        };
        for code in [
            Code::Stopped,
            Code::Overloaded,
            Code::TooLarge,
            Code::Cancelled,
            Code::Expired,
            Code::from_number(60_000),
        ] {
            assert!(may_have_run(code, true), "{code:?}");
            assert!(!may_have_run(code, false), "{code:?}");
        }
    }
}
