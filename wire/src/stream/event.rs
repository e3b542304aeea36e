//! What goes into a bulk session and what comes out of it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    code::{CloseReason, EndCode},
    encoding::Encoding,
    ident::Name,
};

/// The number of a subscription of ours on its connection; it is never used again there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub(crate) u32);

/// The number of a subscription of the peer's on its connection; it is never used again there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriberId(pub(crate) u32);

impl SubscriptionId {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl SubscriberId {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// What happens to items that a subscriber has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The oldest that wait are dropped, and counted.
    Latest,
    /// None is dropped: the publisher waits, or cuts the subscriber off.
    Reliable,
}

/// What a subscriber asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The component that publishes.
    pub component: Name,
    /// Its stream; a name without a slash.
    pub stream: Name,
    /// The component that subscribes; none for a program that is no component.
    pub subscriber: Option<Name>,
    /// How the items are to be encoded.
    pub encoding: Encoding,
    /// The items' fingerprint; none takes any.
    pub fingerprint: Option<[u8; 8]>,
    /// What happens when it is full.
    pub mode: Mode,
    /// How many items may wait for it at the publisher; at least 1.
    pub depth: u32,
    /// How many items that were published before it wants.
    pub keep_last: u32,
    /// The least time between two items; others are thinned out at the publisher. Whole
    /// microseconds; zero for all items.
    pub interval: Duration,
    /// How many items it takes at a time; at least 1.
    pub items: u64,
    /// How many bytes it takes at a time; at least 1. An item may begin while any are left.
    pub bytes: u64,
    /// It goes on with a subscription that ended as [`EndCode::Moved`]: the publisher's incarnation, and
    /// the number of the next item.
    pub resumes: Option<(u64, u64)>,
}

/// What a subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Which life of the publisher this is; items are counted from 0 in each.
    pub incarnation: u64,
    /// The number of the first item to come, were none left out.
    pub next: u64,
    /// How the items are encoded.
    pub encoding: Encoding,
    /// Their fingerprint.
    pub fingerprint: Option<[u8; 8]>,
    /// What happens when the subscriber is full.
    pub mode: Mode,
    /// A full reliable subscriber is cut off after a time; else the publisher waits for it.
    pub cuts_off: bool,
    /// How many items may wait at the publisher.
    pub depth: u32,
    /// How many of the items to come were published before.
    pub keep_last: u32,
    /// The least time between two items.
    pub interval: Duration,
}

/// An item to be sent to one subscriber.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its number in the stream. Numbers that are passed over count as missed, but for those in
    /// `thinned`.
    pub seq: u64,
    /// How many since the one before were left out for the subscriber's interval.
    pub thinned: u64,
    /// When it was published.
    pub published: Instant,
    /// The item, encoded; it is shared, not copied.
    pub payload: Bytes,
}

/// Why an item wasn't taken. It had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPushed {
    /// A reliable subscriber's queue is full: wait for
    /// [`poll_room`](super::StreamSession::poll_room).
    #[error("the subscriber's queue is full")]
    Full,
    /// The item is larger than the other side ever takes.
    #[error("the item is larger than the {max} bytes that the other side takes")]
    TooLarge {
        /// What it takes.
        max: usize,
    },
    /// Its number is below the last one's, or doesn't leave room for those that were thinned out.
    #[error("the item's number is out of order")]
    OutOfOrder,
    /// The subscription was not accepted, or has ended.
    #[error("the subscription is not open")]
    NotOpen,
}

/// How a publisher ends a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub code: EndCode,
    /// What a person needs besides; at most 16 KiB, longer text is cut.
    pub detail: String,
    /// The number of the item that would have come next: what the subscriber didn't get of those
    /// before is told to it as missed.
    pub next: u64,
    /// How many since the last one pushed were left out for the subscriber's interval.
    pub thinned: u64,
    /// Send what waits first, as far as the subscriber takes it; else it is dropped.
    pub flush: bool,
}

impl End {
    /// Refuses what was asked for, or ends a subscription whose items nobody counts.
    pub fn refused(code: EndCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            next: 0,
            thinned: 0,
            flush: false,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer asks for a stream: [`accept`](super::StreamSession::accept) it, or
    /// [`end`](super::StreamSession::end) it.
    Subscribe {
        /// Its number.
        id: SubscriberId,
        /// What it asks for.
        request: Box<Subscribe>,
    },
    /// The peer no longer wants a stream. Nothing more is to be done about it.
    Unsubscribed {
        /// Its number.
        id: SubscriberId,
    },
    /// What we asked for exists; items follow.
    Subscribed {
        /// Its number.
        id: SubscriptionId,
        /// What we get.
        granted: Granted,
    },
    /// An item came. Once it is consumed, [`consumed`](super::StreamSession::consumed) makes room.
    Item {
        /// The subscription's number.
        id: SubscriptionId,
        /// Its number in the stream: the last one's, and 1, and `missed`, and `thinned`.
        seq: u64,
        /// Items before it that we should have got, and didn't.
        missed: u64,
        /// Items before it that were left out for our interval.
        thinned: u64,
        /// How old it was when it left.
        age: Duration,
        /// The item.
        payload: Bytes,
    },
    /// Nothing more comes on a subscription of ours.
    Ended {
        /// Its number.
        id: SubscriptionId,
        /// Why.
        code: EndCode,
        /// Items since the last one that we should have got, and didn't.
        missed: u64,
        /// Items since the last one that were left out for our interval.
        thinned: u64,
        /// What it said besides; often nothing.
        detail: String,
    },
    /// The peer subscribes to nothing more on this connection, and wants nothing more of it: its
    /// subscriptions are to be ended with [`EndCode::Moved`]. We say so too once what waits has left.
    Drained,
    /// The peer closed the connection; nothing follows, and no item leaves any more.
    Closed {
        /// Why.
        reason: CloseReason,
        /// What it said besides; often nothing.
        detail: String,
    },
}
