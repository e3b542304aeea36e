//! Everything between the sockets and the node: connections to other nodes, and how they come about.
//!
//! A [`Link`] is one established connection. Any thread may lock it, encode a message and wake its
//! driver; the driver is the one task which reads and writes the socket, on the node's thread.
//! [`Links`] is the node's table of them, with the listener and the dials.
//!
//! ```text
//!   caller's thread          node's thread                     network
//!   Link::send ──lock──▶ Session ◀──lock── Driver ◀──────────▶ socket
//!        ▲                                   │
//!      Ticket ◀───── outcomes ───────────────┤
//!        Host ◀───── requests, up, down ─────┘
//! ```
//!
//! All this is the control lane. Streams have a lane of their own, `bulk/`, whose connections are kept,
//! dialled and accepted by the same code: `lane.rs` says what differs.

mod bulk;
mod cancels;
mod connection;
mod counters;
mod dial;
mod driver;
mod endpoints;
mod error;
mod handshake;
mod interfaces;
mod lane;
mod listen;
mod names;
mod pipe;
mod race;
mod renew;
mod responder;
mod run;
mod sending;
mod socket;
mod table;
#[cfg(test)]
mod tests;
mod waiting;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Instant};

use botzilla_wire as wire;
use bytes::Bytes;
use parking_lot::Mutex;
use wire::{
    code::Failure,
    ident::{Name, NodeId},
    route::Route,
    session::Kind,
};

use crate::policy::Refusal;

pub(crate) use self::{
    bulk::{BulkLink, BulkLinks, FeedRef, Order},
    connection::Link,
    counters::Counters,
    endpoints::{advertised, is_endpoint, resolve},
    error::{ConnectError, Uninvited},
    interfaces::AddressChanges,
    lane::Connection,
    responder::Responder,
    sending::Sending,
    table::{Links, Settings},
};

/// Ends when a node has done what it was asked to do: to dial this one.
pub(crate) type Invitation = Pin<Box<dyn Future<Output = Result<(), Uninvited>>>>;

/// How a message that was sent has ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The ask was answered.
    Reply(Bytes),
    /// The tell ran to its end.
    Delivered,
    /// The other side refused it or could not finish it.
    Failed(Failure),
    /// The connection ended before the message did.
    Disconnected {
        /// Whether the other side may have begun it.
        may_have_run: bool,
        /// Why the connection ended, for people.
        why: Arc<str>,
    },
}

/// Why a message was not taken.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// No credit now; from [`Link::send`]: none came before the deadline.
    NoCredit,
    /// The payload is larger than what the other side takes.
    TooLarge {
        /// The most it takes, in bytes.
        max: usize,
    },
    /// The connection has ended or is about to.
    Closed {
        /// Why, for people.
        why: Arc<str>,
    },
}

/// A message on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// Target, sender, message and encoding.
    pub(crate) route: Arc<Route>,
    /// Ask or tell.
    pub(crate) kind: Kind,
    /// When its sender stops waiting; travels as time left.
    pub(crate) deadline: Instant,
    /// The components that wait in it, for a nested ask.
    pub(crate) path: Option<Arc<[Name]>>,
    /// The encoded message.
    pub(crate) payload: Bytes,
}

/// A message that came in.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// Target, sender, message and encoding, shared by all messages of the route.
    pub(crate) route: Arc<InboundRoute>,
    /// Ask or tell.
    pub(crate) kind: Kind,
    /// When its sender stops waiting, on our clock.
    pub(crate) deadline: Instant,
    /// The components that wait in it.
    pub(crate) path: Vec<Name>,
    /// The encoded message.
    pub(crate) payload: Bytes,
    /// Ends it, exactly once.
    pub(crate) responder: Responder,
}

/// A route that the other side declared.
pub(crate) struct InboundRoute {
    /// What it said.
    pub(crate) info: Route,
    /// What the host made of it, so that the next message of the route is found at once.
    pub(crate) resolved: Mutex<Option<Arc<crate::node::Resolved>>>,
    /// Why the policy of that number denies it; it isn't asked for each message.
    pub(crate) denied: Mutex<Option<(u64, Refusal)>>,
}

impl fmt::Debug for InboundRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundRoute")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// What the links serve: the node. Called on the node's thread, outside of any lock of the links;
/// none of it may block.
pub(crate) trait Host: Send + Sync + 'static {
    /// A message came in.
    fn request(&self, link: &Arc<Link>, inbound: Inbound);
    /// A connection is there; it is the current one of its peer.
    fn up(&self, link: &Arc<Link>);
    /// A connection has ended, all that was open on it included.
    fn down(&self, link: &Arc<Link>, why: &str);
    /// Whether an idle connection is to stay, because one of the two nodes can't dial the other.
    fn is_needed(&self, _link: &Link) -> bool {
        false
    }
    /// Has a node that can't be dialled asked to dial this one, if there is anybody who can ask it.
    fn invite(&self, _peer: NodeId) -> Option<Invitation> {
        None
    }
    /// The node's bulk connections, if it takes any.
    fn bulk(&self) -> Option<Arc<BulkLinks>> {
        None
    }
    /// What went over a connection that has ended, by route. Follows [`Host::down`].
    fn counted(&self, peer: NodeId, counters: Counters);
}
