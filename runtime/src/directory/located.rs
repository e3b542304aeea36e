//! A component and where it is, as nodes remember it: parsed once, shared by all who look it up.

use std::sync::Arc;

use botzilla_wire::{
    fingerprint::Fingerprint,
    ident::{Name, NodeId},
};

use super::facts::{Entry, NodeFacts, StreamFacts};

/// A node as others know it. One for all of its components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub id: NodeId,
    /// What it says about itself.
    pub facts: NodeFacts,
}

impl Place {
    /// Reads what the registry says about a node.
    ///
    /// # Errors
    ///
    /// If its id is none.
    pub fn new(facts: NodeFacts) -> Result<Self, BadFacts> {
        let id = facts.id.parse().map_err(|_| BadFacts::NodeId)?;
        Ok(Self { id, facts })
    }
}

/// A component and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Its name.
    pub name: Name,
    /// The node that holds the name.
    pub place: Arc<Place>,
    /// With the node's id, tells this instance from any other of the same name.
    pub count: u64,
    /// The registry's revision in which it became what it is here.
    pub revision: u64,
    /// Its groups, in order.
    pub groups: Box<[Name]>,
    /// Its handlers, in the order of their messages' names.
    pub handlers: Box<[HandlerInfo]>,
    /// Its streams, in the order of their names.
    pub streams: Box<[StreamInfo]>,
}

/// What is known of a handler of a component elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerInfo {
    /// The message's name.
    pub message: Box<str>,
    /// The fingerprint of message and reply; none: JSON only.
    pub fingerprint: Option<Fingerprint>,
    /// Goes first and interrupts.
    pub urgent: bool,
    /// Is run by broadcasts.
    pub broadcast: bool,
    /// Runs beside the component's other handlers.
    pub concurrent: bool,
    /// The reply is a `Result`.
    pub fallible: bool,
}

/// What is known of a stream of a component elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// The stream's name, without its component's.
    pub name: Box<str>,
    /// The name of its items' type, for people.
    pub type_name: Box<str>,
    /// The fingerprint of its items; none: JSON only.
    pub fingerprint: Option<Fingerprint>,
    /// It serves reliable subscribers too.
    pub reliable: bool,
    /// How many items may wait for one subscriber at most.
    pub depth: u32,
    /// How many past items it keeps for those who come late.
    pub keep_last: u32,
}

impl StreamInfo {
    /// Reads what the registry says about a stream.
    ///
    /// # Errors
    ///
    /// If its fingerprint is none.
    pub fn new(facts: &StreamFacts) -> Result<Self, BadFacts> {
        Ok(Self {
            name: facts.name.as_str().into(),
            type_name: facts.type_name.as_str().into(),
            fingerprint: fingerprint(facts.fingerprint.as_deref())?,
            reliable: facts.reliable,
            depth: facts.depth,
            keep_last: facts.keep_last,
        })
    }
}

/// Facts from the registry that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadFacts {
    /// A node's id isn't 32 hex digits.
    #[error("a node's id is not 32 hexadecimal digits")]
    NodeId,
    /// An epoch isn't 16 hex digits.
    #[error("the registry's epoch is not 16 hexadecimal digits")]
    Epoch,
    /// A name breaks the rules.
    #[error("a name breaks the rules")]
    Name(#[from] botzilla_wire::ident::NameError),
    /// A fingerprint isn't 16 hex digits.
    #[error("a fingerprint is not 16 hexadecimal digits")]
    Fingerprint,
    /// A component's node was never described.
    #[error("the node of component {0:?} is not described")]
    NoSuchNode(String),
    /// The answer goes on from another position than the one that was asked for.
    #[error("the registry's answer doesn't follow on the question")]
    OutOfStep,
}

impl Located {
    /// Reads what the registry says about a component on this node.
    ///
    /// # Errors
    ///
    /// If a name or a fingerprint is none.
    pub fn new(entry: &Entry, place: Arc<Place>) -> Result<Self, BadFacts> {
        let component = &entry.component;
        let mut groups = component
            .groups
            .iter()
            .map(|group| Name::new(group))
            .collect::<Result<Vec<_>, _>>()?;
        groups.sort_unstable();
        groups.dedup();
        let mut handlers = component
            .messages
            .iter()
            .map(|message| {
                Ok(HandlerInfo {
                    message: message.name.as_str().into(),
                    fingerprint: fingerprint(message.fingerprint.as_deref())?,
                    urgent: message.urgent,
                    broadcast: message.broadcast,
                    concurrent: message.concurrent,
                    fallible: message.fallible,
                })
            })
            .collect::<Result<Vec<_>, BadFacts>>()?;
        handlers.sort_unstable_by(|a, b| a.message.cmp(&b.message));
        let mut streams = component
            .streams
            .iter()
            .map(StreamInfo::new)
            .collect::<Result<Vec<_>, _>>()?;
        streams.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            name: Name::new(&component.name)?,
            place,
            count: component.count,
            revision: entry.revision,
            groups: groups.into(),
            handlers: handlers.into(),
            streams: streams.into(),
        })
    }

    /// Its handler of this message.
    pub fn handler(&self, message: &str) -> Option<&HandlerInfo> {
        let found = self
            .handlers
            .binary_search_by(|handler| (*handler.message).cmp(message));
        found.ok().map(|index| &self.handlers[index])
    }

    /// Its stream of this name.
    pub fn stream(&self, name: &str) -> Option<&StreamInfo> {
        let found = self
            .streams
            .binary_search_by(|stream| (*stream.name).cmp(name));
        found.ok().map(|index| &self.streams[index])
    }

    /// Whether it is in this group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups
            .binary_search_by(|name| name.as_str().cmp(group))
            .is_ok()
    }

    /// Whether a broadcast of this message reaches a handler of its.
    pub fn listens_to(&self, message: &str) -> bool {
        self.handler(message).is_some_and(|it| it.broadcast)
    }
}

fn fingerprint(text: Option<&str>) -> Result<Option<Fingerprint>, BadFacts> {
    let Some(text) = text else { return Ok(None) };
    let value = hex_u64(text).ok_or(BadFacts::Fingerprint)?;
    Ok(Some(Fingerprint(value.to_be_bytes())))
}

/// Reads 16 hex digits.
pub(super) fn hex_u64(text: &str) -> Option<u64> {
    // `from_str_radix` would take a sign.
    if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}
