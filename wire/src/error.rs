//! What ends a session.

use std::time::Duration;

use crate::ident::Lane;

/// Why a session ended other than by a close. Nothing that arrives after it has any effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A record's length is beyond what the lane allows.
    #[error("record {record} claims {len} bytes, at most {max} are allowed")]
    RecordTooLong {
        /// Which record of the connection, from 0.
        record: u64,
        /// What it claims.
        len: u64,
        /// What the lane allows.
        max: usize,
    },
    /// A record without a frame.
    #[error("record {record} is empty")]
    EmptyRecord {
        /// Which record of the connection, from 0.
        record: u64,
    },
    /// A record's tag is wrong.
    #[error(
        "record {record} is not authentic: it was altered, replayed, reordered or cut on its way"
    )]
    NotAuthentic {
        /// Which record of the connection, from 0.
        record: u64,
    },
    /// A frame that doesn't follow the protocol.
    #[error("malformed {frame} frame: {why}")]
    Malformed {
        /// Which kind of frame.
        frame: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A frame of a kind that isn't known and may not be skipped.
    #[error("unknown required frame kind {kind:#04x}")]
    UnknownFrame {
        /// The kind's number.
        kind: u8,
    },
    /// A frame of the other lane.
    #[error("a {frame} frame on the {lane} lane")]
    WrongLane {
        /// Which kind of frame.
        frame: &'static str,
        /// The lane that it came on.
        lane: Lane,
    },
    /// A header field that isn't known and may not be skipped.
    #[error("unknown required field {tag} in a {frame} frame")]
    UnknownField {
        /// Which kind of frame.
        frame: &'static str,
        /// The field's number.
        tag: u64,
    },
    /// The other side sent more messages to one target than it was granted.
    #[error("sent more messages to {scope} than it was granted ({granted} in all)")]
    WindowOverrun {
        /// Whom they were for.
        scope: String,
        /// How many were granted since the connection began.
        granted: u64,
    },
    /// The other side sent more messages on the connection than it was granted.
    #[error("sent more messages on the connection than it was granted ({granted} in all)")]
    MessagesOverrun {
        /// How many were granted since the connection began.
        granted: u64,
    },
    /// The other side sent more bytes on the connection than it was granted.
    #[error("sent more bytes on the connection than it was granted ({granted} in all)")]
    BytesOverrun {
        /// How many were granted since the connection began.
        granted: u64,
    },
    /// A payload longer than what we said we take.
    #[error("a payload of {len} bytes, at most {max} were allowed")]
    PayloadTooLong {
        /// What it claims.
        len: u64,
        /// What we allow.
        max: usize,
    },
    /// A message whose id isn't the next one.
    #[error("message id {found} where {expected} was next")]
    MessageOutOfOrder {
        /// The next id (its low 32 bits).
        expected: u32,
        /// What came.
        found: u32,
    },
    /// A message on a route that wasn't declared.
    #[error("route {route} was not declared")]
    UnknownRoute {
        /// The route's number.
        route: u64,
    },
    /// A route or window number that may not be used.
    #[error("route {route} can't be declared: {why}")]
    BadRoute {
        /// The route's number.
        route: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An outcome for, or a cancel of, a message that isn't open.
    #[error("a {frame} frame for message {id}, which is not open")]
    UnknownMessage {
        /// Which kind of frame.
        frame: &'static str,
        /// The message's id.
        id: u64,
    },
    /// A credit frame that takes back what was granted, or grants beyond the stated bounds.
    #[error("bad credit: {why}")]
    BadCredit {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A subscription whose number isn't the next one.
    #[error("subscription {found} where {expected} was next")]
    SubscriptionOutOfOrder {
        /// The next number.
        expected: u64,
        /// What came.
        found: u32,
    },
    /// The other side subscribes on and on, however many were refused.
    #[error("subscribed on and on beyond the {max} subscriptions that are allowed")]
    TooManySubscriptions {
        /// How many are allowed.
        max: u32,
    },
    /// A frame about a subscription that was never made, or that has ended.
    #[error("a {frame} frame for subscription {id}, which is not open")]
    UnknownSubscription {
        /// Which kind of frame.
        frame: &'static str,
        /// The subscription's number.
        id: u32,
    },
    /// The other side sent more on a subscription than it was granted.
    #[error("sent more {what} on subscription {id} than it was granted ({granted} in all)")]
    StreamOverrun {
        /// The subscription's number.
        id: u32,
        /// Items or bytes.
        what: &'static str,
        /// How many were granted since it began.
        granted: u64,
    },
    /// An item whose number isn't explained by what it says was left out.
    #[error("item {seq} of subscription {id} where {next} was next, with {left_out} left out")]
    ItemOutOfOrder {
        /// The subscription's number.
        id: u32,
        /// The item's number.
        seq: u64,
        /// The next number.
        next: u64,
        /// How many were missed and thinned out.
        left_out: u64,
    },
    /// A chunk or an abort without a long frame, or a long frame inside another.
    #[error("long frames out of step: {why}")]
    LongFrame {
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something came after the close frame.
    #[error("a frame after the close frame")]
    AfterClose,
    /// Not a byte for too long.
    #[error("not a byte from the other side for {silent:?}")]
    Silent {
        /// How long.
        silent: Duration,
    },
    /// A record that has begun doesn't come to its end: its length was altered on the way, or the
    /// other side is no longer of use.
    #[error("a record that began {waited:?} ago is not whole yet")]
    Stuck {
        /// Since its first byte.
        waited: Duration,
    },
    /// The session has ended before, by an error or a close.
    #[error("the session has ended")]
    Ended,
}
