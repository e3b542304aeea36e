//! What a node tells of its streams.

use super::port::Port;

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
            reliable: port.mode == botzilla_wire::stream::Mode::Reliable,
            depth: port.depth,
            queued: port.queued() as u64,
            sent: port.sent,
            missed: port.missed(),
            thinned: port.thinned_ever,
        }
    }
}
