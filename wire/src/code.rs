//! Outcome codes: how a message that wasn't simply answered ended, in numbers that never change.

use std::fmt;

/// Why a message failed. The numbers are on the wire; a number that this version doesn't know
/// is kept as [`Code::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// 1: no component of that name (or group) lives here.
    NoSuchComponent,
    /// 2: the component has no handler for that message.
    NoHandler,
    /// 3: the two sides disagree on the layout of the message or its reply; the detail is the
    /// receiver's layout text.
    WrongSchema,
    /// 4: the receiver's policy forbids it.
    Denied,
    /// 5: the payload or the reply is larger than the receiver takes.
    TooLarge,
    /// 6: a bound on queues or on owed replies was reached.
    Overloaded,
    /// 7: the handler panicked; the detail is the panic's text.
    Panicked,
    /// 8: the handler was dropped at an await, for an urgent message or by a restart.
    Interrupted,
    /// 9: the component stopped, or the node is shutting down.
    Stopped,
    /// 10: the handler ended without an answer.
    NoReply,
    /// 11: its sender cancelled it.
    Cancelled,
    /// 12: its deadline passed.
    Expired,
    /// 13: the payload couldn't be decoded.
    BadPayload,
    /// 14: it would have waited for itself; the detail names the cycle.
    Cycle,
    /// A number from a later version.
    Unknown(u16),
}

impl Code {
    /// Every code that this version knows, by number.
    pub const ALL: [Self; 14] = [
        Self::NoSuchComponent,
        Self::NoHandler,
        Self::WrongSchema,
        Self::Denied,
        Self::TooLarge,
        Self::Overloaded,
        Self::Panicked,
        Self::Interrupted,
        Self::Stopped,
        Self::NoReply,
        Self::Cancelled,
        Self::Expired,
        Self::BadPayload,
        Self::Cycle,
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::NoSuchComponent => 1,
            Self::NoHandler => 2,
            Self::WrongSchema => 3,
            Self::Denied => 4,
            Self::TooLarge => 5,
            Self::Overloaded => 6,
            Self::Panicked => 7,
            Self::Interrupted => 8,
            Self::Stopped => 9,
            Self::NoReply => 10,
            Self::Cancelled => 11,
            Self::Expired => 12,
            Self::BadPayload => 13,
            Self::Cycle => 14,
            Self::Unknown(number) => number,
        }
    }

    /// The code with that number.
    pub fn from_number(number: u16) -> Self {
        match number.checked_sub(1) {
            Some(index) if usize::from(index) < Self::ALL.len() => Self::ALL[usize::from(index)],
            _ => Self::Unknown(number),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NoSuchComponent => "no such component",
            Self::NoHandler => "no handler",
            Self::WrongSchema => "wrong schema",
            Self::Denied => "denied",
            Self::TooLarge => "too large",
            Self::Overloaded => "overloaded",
            Self::Panicked => "handler panicked",
            Self::Interrupted => "interrupted",
            Self::Stopped => "stopped",
            Self::NoReply => "no reply",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::BadPayload => "bad payload",
            Self::Cycle => "cycle",
            Self::Unknown(number) => return write!(f, "outcome {number}"),
        };
        f.write_str(text)
    }
}

/// How a message ended when it wasn't simply answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub code: Code,
    /// Whether its handler may have begun. `false` is a promise that it didn't.
    pub may_have_run: bool,
    /// What a person needs besides; at most 16 KiB, longer text is cut. For
    /// [`Code::WrongSchema`] it is the receiver's layout text.
    pub detail: String,
}

impl Failure {
    /// A failure of a message that certainly didn't run.
    pub fn refused(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            may_have_run: false,
            detail: detail.into(),
        }
    }

    /// A failure of a message that may have run.
    pub fn failed(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            may_have_run: true,
            detail: detail.into(),
        }
    }
}

/// Why one side ended the connection, in numbers that never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// 1: the node shuts down.
    Stopping,
    /// 2: nothing was sent for a while.
    Idle,
    /// 3: a newer connection between the two took its place.
    Replaced,
    /// 4: the other side broke the protocol; the detail says how.
    Violation,
    /// 5: the answer to the other side's close.
    Answer,
    /// 6: the policy of the one that closes doesn't allow the connection, or no longer.
    Denied,
    /// A number from a later version.
    Unknown(u16),
}

impl CloseReason {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Stopping => 1,
            Self::Idle => 2,
            Self::Replaced => 3,
            Self::Violation => 4,
            Self::Answer => 5,
            Self::Denied => 6,
            Self::Unknown(number) => number,
        }
    }

    /// The reason with that number.
    pub fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Stopping,
            2 => Self::Idle,
            3 => Self::Replaced,
            4 => Self::Violation,
            5 => Self::Answer,
            6 => Self::Denied,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Stopping => "it shuts down",
            Self::Idle => "it was idle",
            Self::Replaced => "a newer connection took its place",
            Self::Violation => "the protocol was broken",
            Self::Answer => "it was asked to close",
            Self::Denied => "its policy does not allow the connection",
            Self::Unknown(number) => return write!(f, "reason {number}"),
        };
        f.write_str(text)
    }
}

/// Why a subscription to a stream ended, in numbers that never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndCode {
    /// 1: the publisher is gone: its component dropped it, or has ended.
    PublisherGone,
    /// 2: no stream of that name is published here.
    NoSuchStream,
    /// 3: the two sides disagree on the layout of the items; the detail is the publisher's layout
    /// text.
    WrongSchema,
    /// 4: the subscriber was full for longer than the publisher waits.
    CutOff,
    /// 5: the publisher's policy forbids it.
    Denied,
    /// 6: a bound on subscriptions was reached.
    TooMany,
    /// 7: the publisher's node shuts down.
    Stopped,
    /// 8: the subscriber wanted it so.
    Unsubscribed,
    /// 9: an item is larger than the subscriber takes.
    TooLarge,
    /// 10: an item can't be put into the subscriber's encoding.
    CannotEncode,
    /// 11: another connection takes this one's place, and the subscriber's place is kept for it.
    Moved,
    /// A number from a later version.
    Unknown(u16),
}

impl EndCode {
    /// Every code that this version knows, by number.
    pub const ALL: [Self; 11] = [
        Self::PublisherGone,
        Self::NoSuchStream,
        Self::WrongSchema,
        Self::CutOff,
        Self::Denied,
        Self::TooMany,
        Self::Stopped,
        Self::Unsubscribed,
        Self::TooLarge,
        Self::CannotEncode,
        Self::Moved,
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::PublisherGone => 1,
            Self::NoSuchStream => 2,
            Self::WrongSchema => 3,
            Self::CutOff => 4,
            Self::Denied => 5,
            Self::TooMany => 6,
            Self::Stopped => 7,
            Self::Unsubscribed => 8,
            Self::TooLarge => 9,
            Self::CannotEncode => 10,
            Self::Moved => 11,
            Self::Unknown(number) => number,
        }
    }

    /// The code with that number.
    pub fn from_number(number: u16) -> Self {
        match number.checked_sub(1) {
            Some(index) if usize::from(index) < Self::ALL.len() => Self::ALL[usize::from(index)],
            _ => Self::Unknown(number),
        }
    }
}

impl fmt::Display for EndCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::PublisherGone => "publisher gone",
            Self::NoSuchStream => "no such stream",
            Self::WrongSchema => "wrong schema",
            Self::CutOff => "cut off",
            Self::Denied => "denied",
            Self::TooMany => "too many",
            Self::Stopped => "stopped",
            Self::Unsubscribed => "unsubscribed",
            Self::TooLarge => "too large",
            Self::CannotEncode => "can't encode",
            Self::Moved => "moved",
            Self::Unknown(number) => return write!(f, "end {number}"),
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_from_one_and_survive_the_way_there_and_back() {
        for (index, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(code.number()), index + 1);
        }
        for number in 0..=40 {
            assert_eq!(Code::from_number(number).number(), number);
            assert_eq!(CloseReason::from_number(number).number(), number);
            assert_eq!(EndCode::from_number(number).number(), number);
        }
        assert_eq!(Code::from_number(u16::MAX), Code::Unknown(u16::MAX));
    }
}
