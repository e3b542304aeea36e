//! What a node tells of its streams.

use std::time::Duration;

use botzilla_wire::{
    NodeId,
    stream::{Granted, Mode},
};

use super::{item::Origin, port::Port};

/// A stream that a node publishes, in full.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StreamReport {
    /// The component that publishes it.
    pub component: String,
    /// Its own name.
    pub stream: String,
    /// The Rust type of its items, for people.
    pub type_name: String,
    /// The fingerprint of its items, 16 hex digits; none: JSON only.
    pub fingerprint: Option<String>,
    /// The layout that it is a fingerprint of; PROTOCOL.md, section 10.
    pub layout: Option<String>,
    /// The JSON schema of its items, as JSON text.
    pub schema: String,
    /// Full subscribers are waited for, or cut off; else the oldest item is dropped for them.
    pub reliable: bool,
    /// How many items may wait for a subscriber that doesn't ask for another number.
    pub depth: u32,
    /// How many items are kept for those who subscribe later.
    pub keep_last: u32,
    /// How many items were published.
    pub published: u64,
    /// Who subscribes now.
    pub subscribers: Vec<SubscriberReport>,
}

/// A subscriber, as its publisher knows it.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SubscriberReport {
    /// The component that subscribes; none: a program that is no component.
    pub component: Option<String>,
    /// The id of its node, 32 hex digits.
    pub node: String,
    /// It gets every item; else the latest.
    pub reliable: bool,
    /// How many items may wait for it.
    pub depth: u32,
    /// How many wait now.
    pub queued: u64,
    /// How many were put into its queue.
    pub sent: u64,
    /// How many of these were dropped for newer ones, as far as the publisher did it.
    pub missed: u64,
    /// How many were left out because it asked for fewer.
    pub thinned: u64,
}

impl From<&Port> for SubscriberReport {
    fn from(port: &Port) -> Self {
        Self {
            component: port.component.as_ref().map(ToString::to_string),
            node: port.node.to_string(),
            reliable: port.mode == Mode::Reliable,
            depth: port.depth,
            queued: port.queued() as u64,
            sent: port.sent,
            missed: port.missed(),
            thinned: port.thinned_ever,
        }
    }
}

/// What a publisher has granted a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamGrant {
    /// The stream, as `component/stream`.
    pub stream: String,
    /// The node that it comes from.
    pub node: NodeId,
    /// It gets every item; else the latest.
    pub reliable: bool,
    /// It is cut off when it is full for too long; else it is waited for, if it is reliable.
    pub cuts_off: bool,
    /// How many items may wait for it.
    pub depth: u32,
    /// The least time between two items; zero for all of them.
    pub interval: Duration,
    /// How many items of before the subscription it was given.
    pub keep_last: u32,
}

impl StreamGrant {
    pub(crate) fn new(origin: &Origin, granted: &Granted) -> Self {
        Self {
            stream: origin.name.to_string(),
            node: origin.node,
            reliable: granted.mode == Mode::Reliable,
            cuts_off: granted.cuts_off,
            depth: granted.depth,
            interval: granted.interval,
            keep_last: granted.keep_last,
        }
    }
}
