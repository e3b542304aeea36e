//! What can go wrong with streams, in words that a person can act on.

use std::{fmt, time::Duration};

/// Why a component can't publish a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The name can't be one.
    #[error("{stream:?} can't name a stream: {reason}")]
    BadName {
        /// As given.
        stream: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The component publishes it already.
    #[error("{stream:?} is published already: keep its `Publisher` and use that, or drop it first")]
    Taken {
        /// The stream.
        stream: String,
    },
    /// The component offers so much that the registry doesn't take it.
    #[error("{stream:?} can't be published: {reason}")]
    TooMuch {
        /// The stream.
        stream: String,
        /// What is too much, and the remedy.
        reason: String,
    },
    /// The component has ended, or its node shuts down.
    #[error("{stream:?} can't be published: its component has ended")]
    Ended {
        /// The stream.
        stream: String,
    },
}

/// Why an item wasn't published; nobody got it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A reliable subscriber is full; `try_send` says so, and `send_within` after its time. `send`
    /// waits.
    #[error("{stream}: a reliable subscriber is full")]
    Full {
        /// The stream.
        stream: String,
    },
    /// A reliable subscriber is full, and can take nothing before this `send` is over: it is a stream
    /// handler of a component that waits for the handler that sends, or of that component itself.
    #[error(
        "{stream}: it would wait for itself: the stream handler of {subscriber} is full, and has no turn before this send is over; send from a spawned task, or let it subscribe to the latest items"
    )]
    Cycle {
        /// The stream.
        stream: String,
        /// The component whose stream handler is full.
        subscriber: String,
    },
    /// The item can't be encoded.
    #[error("{stream}: the item can't be encoded: {reason}")]
    Codec {
        /// The stream.
        stream: String,
        /// Why.
        reason: String,
    },
    /// The item is larger than the limit.
    #[error(
        "{stream}: an item of {len} bytes is larger than the {max} that this node's `stream_payload` allows"
    )]
    TooLarge {
        /// The stream.
        stream: String,
        /// How large it is, encoded.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// The component that published it has ended.
    #[error("{stream}: its component has ended")]
    Ended {
        /// The stream.
        stream: String,
    },
}

/// An item that `try_send` or `send_within` didn't publish: it comes back.
#[derive(Debug)]
pub struct TrySendError<T> {
    /// The item, unsent.
    pub item: T,
    /// Why.
    pub error: SendError,
}

impl<T> TrySendError<T> {
    /// Whether it may work a moment later.
    pub fn is_full(&self) -> bool {
        matches!(self.error, SendError::Full { .. })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: fmt::Debug> std::error::Error for TrySendError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// What a subscription has to say besides its items.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{stream}: {reason}")]
pub struct StreamError {
    stream: String,
    reason: StreamReason,
}

impl StreamError {
    pub(crate) fn new(stream: impl Into<String>, reason: StreamReason) -> Self {
        Self {
            stream: stream.into(),
            reason,
        }
    }

    /// The stream, as `component/stream`, or what was subscribed to.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// What happened.
    pub fn reason(&self) -> &StreamReason {
        &self.reason
    }
}

/// What happened to a subscription. Unless it says otherwise, the subscription goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamReason {
    /// What was subscribed to is no stream and no pattern. There is no subscription.
    #[error("can't be subscribed to: {0}")]
    BadName(String),
    /// A setting of the subscription can't be used. There is no subscription.
    #[error("can't be subscribed to so: {0}")]
    BadSetting(String),
    /// The subscriber was full for longer than the publisher waits.
    #[error(
        "cut off by its publisher: this subscriber was full for too long, and missed {missed} items; read faster, ask for a greater depth, or for the latest items only{}", Detail(.detail)
    )]
    CutOff {
        /// Items since the last one that it didn't get, until it was cut off.
        missed: u64,
        /// What the publisher says besides.
        detail: String,
    },
    /// The publisher's items are of another type; the text shows the first difference.
    #[error(
        "the publisher's items are of another type: {0}; build both from one definition, or read it as JSON"
    )]
    WrongSchema(String),
    /// The publisher doesn't allow it.
    #[error("denied{}", Detail(.0))]
    Denied(String),
    /// The publisher's node has as many subscriptions as it takes.
    #[error("the publisher's node takes no more subscriptions{}", Detail(.0))]
    TooMany(String),
    /// The publisher's node can't be connected with: nothing comes until it can. It is tried on,
    /// and this said once until it has worked.
    #[error("its publisher's node can't be reached ({reason}); it is tried on")]
    Unreachable {
        /// Where that node says that it is.
        addresses: Vec<String>,
        /// What was tried, and how each failed.
        reason: String,
    },
    /// An item couldn't be decoded; it is skipped. What was missed before it the next item says.
    #[error("item {seq} can't be decoded: {reason}")]
    Codec {
        /// Its number.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// An item was larger than this subscriber's node takes: it is missed, as are those until the
    /// subscription has begun again.
    #[error("an item is too large for this subscriber: {0}")]
    TooLarge(String),
    /// An item can't be put into the encoding of this subscriber, such as an infinity into JSON: it is
    /// missed, as are those until the subscription has begun again.
    #[error("an item can't be encoded for this subscriber: {0}")]
    CannotEncode(String),
    /// Something a later version of the protocol says.
    #[error("ended with code {code}{}", Detail(.detail))]
    Unknown {
        /// The code.
        code: u16,
        /// What was said besides.
        detail: String,
    },
}

/// What else was said, if anything was.
struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.0)
        }
    }
}

/// The text that a cut off subscriber gets.
pub(crate) fn full_for(after: Duration) -> String {
    format!("full for {after:?}")
}
