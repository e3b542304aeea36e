//! What a message is addressed to: named once a connection, then only numbered.

use std::fmt;

use crate::{encoding::Encoding, ident::Name};

/// Whom a route reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// One component.
    Component(Name),
    /// The members of a group that listen to the message (a broadcast).
    Group(Name),
    /// Everyone who listens to the message (a broadcast).
    Everyone,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(name) => write!(f, "{name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Everyone => f.write_str("everyone"),
        }
    }
}

/// All that a message's header would otherwise repeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// Whom it reaches.
    pub scope: Scope,
    /// The component that sends, if one does.
    pub sender: Option<Name>,
    /// The message's name, 1 to 255 bytes.
    pub message: String,
    /// How payload and reply are encoded.
    pub encoding: Encoding,
    /// What the sender's layout of message and reply hashes to; with bincode.
    pub fingerprint: Option<[u8; 8]>,
    /// Whether it goes before all that isn't urgent.
    pub urgent: bool,
}

/// A route of one session and direction.
///
/// A number may come to mean another route after it was idle; a `RouteNo` of the earlier one is
/// then stale, and [`Session::try_send`](crate::session::Session::try_send) says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteNo {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl RouteNo {
    /// The number on the wire. Low numbers are used first, so it can index a table.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Debug for RouteNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RouteNo({}#{})", self.index, self.generation)
    }
}

/// The credit account that a route draws on: all routes with the same scope and urgency share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window(pub(crate) u32);

impl Window {
    /// The number on the wire. Low numbers are used first.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What became of a route's messages; `sent = delivered + refused + failed + open`, on both ends.
/// They begin anew when the number is given to another route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteCounters {
    /// Messages that left (outbound), or came (inbound).
    pub sent: u64,
    /// Ran to their end.
    pub delivered: u64,
    /// Certainly did not run.
    pub refused: u64,
    /// Ended badly, and may have run.
    pub failed: u64,
    /// Not ended yet.
    pub open: u64,
}
