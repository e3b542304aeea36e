//! The messages of the component `registry`.
//!
//! All are ordinary messages: a node sends them as bincode, tools and other languages as JSON.
//! PROTOCOL.md, section 12, shows their bytes.

use super::facts::{ComponentFacts, Entry, HolderFacts, MessageFacts, NodeFacts, StreamFacts};

/// The name of the registry's component on every registry.
pub const REGISTRY: &str = "registry";

/// An answer to [`Watch`] and [`List`] is at most this long as JSON, which is longer than bincode.
pub const PAGE_BYTES: usize = 1024 * 1024;

/// What a component says about itself is at most this long as JSON.
pub const COMPONENT_BYTES: usize = 64 * 1024;

/// Announces a node and its components. Sent whole after each connection to the registry, and with
/// what is new when components are spawned. Repeating it changes nothing.
#[botzilla::message(reply = RegisterReply)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register {
    /// The node that sends this.
    pub node: NodeFacts,
    /// Its components.
    pub components: Vec<Claim>,
    /// These are all that the node has: names of its that are not among them are given up.
    pub complete: bool,
    /// For how long the registry may hold its answer back while a claim waits for its decision.
    #[serde(default)]
    pub wait_ms: u64,
}

/// One component that wants its name.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The component.
    pub component: ComponentFacts,
    /// Whether it has had the name before.
    pub standing: Standing,
}

/// Whether a component has had the name that it claims.
#[botzilla::data]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// It never had.
    #[default]
    New,
    /// A registry gave it the name, and the node was last in touch with a registry that agreed so
    /// long ago. A recovering registry prefers the shortest time.
    Held {
        /// Milliseconds since then.
        confirmed_ms_ago: u64,
    },
}

/// Answers [`Register`].
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisterReply {
    /// The registry's start, 16 hex digits.
    pub epoch: String,
    /// The registry started less than 10 s ago and still takes back those who held names before.
    pub recovering: bool,
    /// One result for each claim, in the order of the claims.
    pub results: Vec<Registered>,
    /// Every connection of the network has to be encrypted: the node takes no other from now on.
    #[serde(default)]
    pub encrypted: bool,
}

/// What became of one claim.
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The name that was claimed.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a claim.
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The component has the name.
    Granted {
        /// The registry's revision since when it has it as claimed.
        revision: u64,
    },
    /// The name is not decided yet; the claim keeps its place, and the same message asks again.
    Waiting {
        /// What for.
        reason: Waiting,
        /// It will be decided at the latest after this time.
        left_ms: u64,
    },
    /// Another component has the name, and its node is connected.
    Held {
        /// Who.
        by: HolderFacts,
    },
    /// The component had the name, and another got it while this node was away.
    NameLost {
        /// Who.
        to: HolderFacts,
    },
    /// The claim breaks a rule.
    Invalid {
        /// Which.
        reason: String,
    },
    /// The registry's policy doesn't let the node's secret have the name.
    Denied {
        /// What it says.
        reason: String,
    },
}

/// Why a claim waits.
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// The holder's connection to the registry is down; it may be back within the time left.
    HolderAway {
        /// Who.
        holder: HolderFacts,
    },
    /// The registry has just started: those who held names before come first.
    Recovering,
    /// The registry couldn't write it down.
    StoreAway {
        /// Why.
        error: String,
    },
}

/// Gives names up, or claims that still wait. Unknown names are no error.
#[botzilla::message]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deregister {
    /// The node that sends this.
    pub node: String,
    /// The names.
    pub names: Vec<String>,
    /// Those of them whose components couldn't be kept alive, for those who watch.
    #[serde(default)]
    pub failed: Vec<String>,
}

/// Asks the registry to have a node dial the one that sends this, which can't dial that node itself.
#[botzilla::message(reply = IntroduceReply)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introduce {
    /// The id of the node that is to dial, 32 hex digits.
    pub node: String,
    /// Where the sender listens, as in [`NodeFacts`].
    pub endpoints: Vec<String>,
    /// The port for the address at which the registry sees the sender, as in [`NodeFacts`]; 0: none is
    /// added.
    pub port: u16,
}

/// Answers [`Introduce`].
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntroduceReply {
    /// What became of it.
    pub outcome: Introduced,
}

/// What became of an introduction.
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Introduced {
    /// The two nodes are connected.
    Connected,
    /// The registry isn't connected to the node that is to dial.
    Away,
    /// That node couldn't dial the sender, or couldn't be asked to.
    Failed {
        /// Why, for people.
        reason: String,
    },
}

/// Asks a node to dial another, which can't dial it. Sent by the registry to the component `node/<id>` of
/// the node that is to dial; from nobody else it is taken.
#[botzilla::message(reply = Dialled, name = "botzilla.Dial")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dial {
    /// The other node's id, 32 hex digits.
    pub node: String,
    /// Where that listens, as the registry has it.
    pub endpoints: Vec<String>,
}

/// Answers [`Dial`].
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dialled {
    /// Whether there is a connection now.
    pub connected: bool,
    /// If not: why, for people.
    pub reason: String,
}

/// Asks who has a name.
#[botzilla::message(reply = ResolveReply)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolve {
    /// The name.
    pub name: String,
    /// For how long a recovering registry that doesn't know the name yet may hold its answer back.
    #[serde(default)]
    pub wait_ms: u64,
}

/// Answers [`Resolve`].
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolveReply {
    /// The registry's start, 16 hex digits.
    pub epoch: String,
    /// The registry doesn't know all who held names yet.
    pub recovering: bool,
    /// Who has the name, if anybody has.
    pub found: Option<Found>,
    /// If nobody has: names that are close to it, the closest first.
    pub similar: Vec<String>,
}

/// A component that was found, with its node.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The component.
    pub entry: Entry,
    /// Its node.
    pub node: NodeFacts,
}

/// Asks for all components, for people and tools. Nodes use [`Watch`].
#[botzilla::message(reply = ListReply)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// Only names after this one in the order of bytes; empty: from the first.
    #[serde(default)]
    pub after: String,
    /// For how long a recovering registry may hold its answer back.
    #[serde(default)]
    pub wait_ms: u64,
}

/// Answers [`List`].
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListReply {
    /// The registry's start, 16 hex digits.
    pub epoch: String,
    /// The registry doesn't know all who held names yet.
    pub recovering: bool,
    /// The registry's revision.
    pub revision: u64,
    /// The components in the order of their names.
    pub components: Vec<Listed>,
    /// There are more after the last of these.
    pub more: bool,
}

/// A component as [`List`] shows it.
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// The id of its node, 32 hex digits.
    pub node: String,
    /// The name of its node's host.
    pub host: String,
    /// The program that its node is.
    pub program: String,
    /// The id of its node's process.
    pub pid: u32,
    /// Where its node listens: `host:port`, or `host:port@<host id>` for that host only.
    pub endpoints: Vec<String>,
    /// Whether the registry is connected to its node now.
    pub connected: bool,
    /// Milliseconds since the registry heard from its node.
    pub heard_ms_ago: u64,
    /// Milliseconds since this instance got the name, as far as this start of the registry knows.
    pub age_ms: u64,
    /// The messages that it handles.
    pub messages: Vec<MessageFacts>,
    /// The streams that it offers.
    pub streams: Vec<StreamFacts>,
}

/// Asks for what has changed since a revision; held until there is something.
///
/// A watcher starts with an empty epoch and revision 0, and goes on with what each answer says.
#[botzilla::message(reply = WatchReply)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// The registry's start that the revision belongs to, 16 hex digits, or empty.
    pub epoch: String,
    /// The revision that the watcher has.
    pub revision: u64,
    /// What the watcher was last told about recovery; the end of it is news too.
    pub recovering: bool,
    /// In the middle of a snapshot: the last name of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// For how long the registry may hold its answer back; then it says that nothing is new.
    #[serde(default)]
    pub wait_ms: u64,
}

/// Answers [`Watch`].
#[botzilla::data]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchReply {
    /// The registry's start, 16 hex digits.
    pub epoch: String,
    /// The registry doesn't know all who held names yet: nothing may be removed.
    pub recovering: bool,
    /// What is new.
    pub news: News,
}

/// What is new to a watcher.
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// What has changed since the watcher's revision, once for each name, oldest first.
    Changes {
        /// The watcher's next revision.
        revision: u64,
        /// Nodes that the watcher doesn't know, or that have changed.
        nodes: Vec<NodeFacts>,
        /// The changes.
        changes: Vec<Change>,
        /// There are more, to be asked for at once.
        more: bool,
    },
    /// A part of all that there is, in the order of names: the watcher's revision is older than what
    /// the registry remembers changes of.
    Page {
        /// The revision of the whole snapshot: the watcher's next one once it has all the pages.
        revision: u64,
        /// The nodes of the components on this page.
        nodes: Vec<NodeFacts>,
        /// The components.
        entries: Vec<Entry>,
        /// There are more pages: ask again with this revision and the last of these names.
        more: bool,
    },
}

impl Default for News {
    fn default() -> Self {
        Self::Changes {
            revision: 0,
            nodes: Vec::new(),
            changes: Vec::new(),
            more: false,
        }
    }
}

/// What happened to a name.
#[botzilla::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A component got the name, or what it says about itself has changed.
    Set {
        /// The component.
        entry: Entry,
    },
    /// Nobody has the name any more.
    Removed {
        /// The name.
        name: String,
        /// Why.
        reason: Removal,
    },
}

/// Why nobody has a name any more.
#[botzilla::data]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Its holder gave it up.
    Deregistered,
    /// Nothing was heard from its holder's node for the time of the lease. It may still be reachable
    /// for those who are connected to it.
    Lapsed,
    /// Its holder gave it up, since the component couldn't be kept alive.
    Failed,
}

#[cfg(test)]
mod tests;
