//! What nodes and components say about themselves to the registry.
//!
//! Node ids are 32 hex digits, epochs and fingerprints 16; every span of time is a count of
//! milliseconds, never a wall-clock time: a robot's clock may be wrong by years.

/// What a node says about itself, once for all of its components.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The node's id, 32 hex digits: new with each start of the process.
    pub id: String,
    /// The host's name, for people.
    pub host: String,
    /// The program that runs the node, for people.
    pub program: String,
    /// The id of its process, for people.
    pub pid: u32,
    /// Where it listens, as `host:port`, or as `host:port@<host id>` for nodes with that host id only
    /// (loopback). The registry adds the address that it sees the node at, unless `port` is 0.
    pub endpoints: Vec<String>,
    /// The port that the node listens on; 0 if it doesn't listen, or if `endpoints` is the whole list
    /// (`advertise`).
    pub port: u16,
}

/// What a node says about one of its components.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComponentFacts {
    /// The component's name.
    pub name: String,
    /// Counts the node's spawns of components: with the node's id it tells this instance of the
    /// component from any other that had the name or will have it.
    pub count: u64,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// The messages that it handles.
    pub messages: Vec<MessageFacts>,
    /// The streams that it offers.
    pub streams: Vec<StreamFacts>,
}

/// What a component says about one of its handlers.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFacts {
    /// The message's name.
    pub name: String,
    /// The fingerprint of message and reply, 16 hex digits; none: it travels as JSON only.
    pub fingerprint: Option<String>,
    /// Goes before all that waits, and interrupts what runs.
    pub urgent: bool,
    /// Is run by broadcasts too.
    pub broadcast: bool,
    /// Runs beside the component's other handlers: one without `self`.
    pub concurrent: bool,
    /// The reply is a `Result`.
    pub fallible: bool,
}

/// What a component says about one of its streams.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// The stream's name: with its component's before it, `component/stream` is what subscribers say.
    pub name: String,
    /// The name of its items' type, for people.
    pub type_name: String,
    /// The fingerprint of its items, 16 hex digits; none: they travel as JSON only.
    pub fingerprint: Option<String>,
    /// It serves reliable subscribers too; otherwise all get the latest, whatever they ask for.
    pub reliable: bool,
    /// How many items may wait for one subscriber at most.
    pub depth: u32,
    /// How many past items it keeps for those who come late.
    pub keep_last: u32,
}

/// Who holds a name, as told to somebody who may not have it.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HolderFacts {
    /// The holding node's id, 32 hex digits.
    pub node: String,
    /// Its host's name.
    pub host: String,
    /// The program that it is.
    pub program: String,
    /// Its process's id.
    pub pid: u32,
    /// Where it listens.
    pub endpoints: Vec<String>,
    /// Whether the registry is connected to it now.
    pub connected: bool,
}

impl std::fmt::Display for HolderFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {}) on {}", self.program, self.pid, self.host)?;
        if let Some(first) = self.endpoints.first() {
            write!(f, " at {first}")?;
        }
        let short = self.node.get(..8).unwrap_or(&self.node);
        write!(f, ", node {short}")
    }
}

/// A component and the node that holds its name.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The component.
    pub component: ComponentFacts,
    /// The id of its node, 32 hex digits.
    pub node: String,
    /// The registry's revision in which it got or changed to what it is now.
    pub revision: u64,
}
