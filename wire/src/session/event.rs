//! What goes into a session and what comes out of it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    code::{CloseReason, Failure},
    ident::Name,
    route::{Route, RouteNo, Window},
};

/// Whether a message is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It ends with a reply.
    Ask,
    /// It ends by running to its end.
    Tell,
}

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct Send<'a> {
    /// Where it goes: from [`Session::route`](super::Session::route).
    pub route: RouteNo,
    /// Whether it is to be answered.
    pub kind: Kind,
    /// When nobody waits for it any more. What travels is the time left when it leaves.
    pub deadline: Instant,
    /// The names of the components that wait in this ask, outermost first; empty for a first one.
    pub path: &'a [Name],
    /// The message, encoded as its route says.
    pub payload: Bytes,
}

/// Why a message wasn't taken. It had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Short {
    /// The target's window is used up: wait for [`Event::Credit`] of this window.
    #[error("the target's window is used up")]
    Window,
    /// The connection's messages are used up: wait for [`Event::Credit`] of the connection.
    #[error("the connection's messages are used up")]
    Messages,
    /// The connection's bytes are used up: wait for [`Event::Credit`] of the connection.
    #[error("the connection's bytes are used up")]
    Bytes,
    /// The payload is larger than the other side ever takes.
    #[error("the payload is larger than the {max} bytes that the other side takes")]
    TooLarge {
        /// What it takes.
        max: usize,
    },
    /// The route's number means another route now: ask [`Session::route`](super::Session::route) again.
    #[error("the route's number is in use for another route")]
    Stale,
    /// The session is closing or has ended.
    #[error("the connection is closing")]
    Closing,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<T> {
    /// The peer declared a route, or declared its number anew.
    Routed {
        /// Its number; an earlier route of the same [`RouteNo::index`] is gone.
        route: RouteNo,
        /// What it stands for.
        info: Route,
    },
    /// A message of the peer. It is owed an end: [`reply`](super::Session::reply),
    /// [`delivered`](super::Session::delivered) or [`fail`](super::Session::fail).
    Request {
        /// Its number.
        id: u64,
        /// Its route, which was in an earlier [`Event::Routed`].
        route: RouteNo,
        /// Whether it is to be answered.
        kind: Kind,
        /// How long its sender still waits, from `now`.
        time_left: Duration,
        /// The components that wait in it, outermost first.
        path: Vec<Name>,
        /// The message.
        payload: Bytes,
    },
    /// Our ask was answered.
    Replied {
        /// What it was sent with.
        token: T,
        /// The answer.
        payload: Bytes,
    },
    /// Our tell ran to its end.
    Delivered {
        /// What it was sent with.
        token: T,
    },
    /// Our message ended badly.
    Failed {
        /// What it was sent with.
        token: T,
        /// How.
        failure: Failure,
    },
    /// The peer no longer waits for its message. It is still owed an end.
    Cancelled {
        /// Its number.
        id: u64,
    },
    /// There is credit again where [`Session::try_send`](super::Session::try_send) ran short.
    Credit {
        /// Of which window, or of the connection.
        window: Option<Window>,
    },
    /// The peer sends no more messages on this connection; all that it has sent have come. We send none
    /// either from now on, and say so once those that wait have left.
    Drained,
    /// The peer closed the connection; nothing follows. [`Session::end`](super::Session::end)
    /// has the exact rest.
    Closed {
        /// Why.
        reason: CloseReason,
        /// What it said besides; often nothing.
        detail: String,
    },
}
