//! Where the registry keeps who has which name, behind a trait.
//!
//! A store holds rows and their revisions and decides nothing: leases, claims and recovery are the
//! table's. [`MemoryStore`] is all that one registry needs, since nodes bring everything back after a
//! restart. A registry that runs as several replicas needs a store that they share (etcd): its local
//! view follows the shared log, [`Store::put`] succeeds only on the row that was read, and revisions
//! are the log's; that is why writing can fail and why revisions come from here.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    ops::Bound,
    sync::Arc,
};

use botzilla::directory::{
    facts::{ComponentFacts, NodeFacts},
    messages::Removal,
};
use botzilla_wire::ident::NodeId;
use rustc_hash::FxHashMap;

/// How many removals a [`MemoryStore`] remembers by default. A watcher that missed more gets a
/// snapshot.
pub const REMOVALS_KEPT: usize = 4096;

/// A component and who has its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRow {
    /// The component.
    pub facts: Arc<ComponentFacts>,
    /// The node that holds it.
    pub node: NodeId,
    /// When it became what it is here.
    pub revision: u64,
    /// How long it is as JSON.
    pub bytes: usize,
}

/// A node that holds names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub id: NodeId,
    /// What it says about itself.
    pub facts: Arc<NodeFacts>,
    /// When it became what it is here; new if it had no name for a while.
    pub revision: u64,
    /// How long it is as JSON.
    pub bytes: usize,
    /// The names that it holds.
    pub names: BTreeSet<Arc<str>>,
}

/// The latest thing that happened to a name or a node.
#[derive(Debug, Clone, Copy)]
pub enum Logged<'a> {
    /// A component got its name, or changed.
    Component(&'a ComponentRow),
    /// A node came, or changed.
    Node(&'a NodeRow),
    /// A name was given up or taken away.
    Removed(&'a str, Removal),
}

/// Why a row couldn't be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another registry wrote it first.
    #[error("another registry changed {name:?} at the same time")]
    Conflict {
        /// The row.
        name: String,
    },
    /// The store can't be reached.
    #[error("the registry's store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Rows by name and by node, and the order of their changes.
pub trait Store: fmt::Debug {
    /// The newest revision; at least 1.
    fn revision(&self) -> u64;
    /// The oldest revision that [`Store::since`] can go on from.
    fn floor(&self) -> u64;
    /// How many components there are.
    fn len(&self) -> usize;
    /// Whether there is no component.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Who has a name.
    fn component(&self, name: &str) -> Option<&ComponentRow>;
    /// A node that holds names.
    fn node(&self, node: NodeId) -> Option<&NodeRow>;
    /// The components after this name, in the order of names.
    fn after<'a>(&'a self, name: &str) -> Box<dyn Iterator<Item = &'a ComponentRow> + 'a>;
    /// What has happened since a revision that isn't below the floor: once for each name and node,
    /// oldest first.
    fn since<'a>(&'a self, revision: u64) -> Box<dyn Iterator<Item = (u64, Logged<'a>)> + 'a>;
    /// Gives a name to a component of this node; the node's row is written too if it is new or other.
    /// Writing what is there already changes nothing. Returns the component's revision.
    ///
    /// # Errors
    ///
    /// If the rows couldn't be written; then none is.
    fn put(
        &mut self,
        component: &Arc<ComponentFacts>,
        node: NodeId,
        facts: &Arc<NodeFacts>,
    ) -> Result<u64, StoreError>;
    /// Takes a name away, and its node's row with the last of its names.
    ///
    /// # Errors
    ///
    /// If the rows couldn't be written; then none is.
    fn remove(&mut self, name: &str, reason: Removal) -> Result<(), StoreError>;
}

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    revision: u64,
    floor: u64,
    components: BTreeMap<Arc<str>, ComponentRow>,
    nodes: FxHashMap<NodeId, NodeRow>,
    /// The latest change of each row, and of `removals_kept` rows that are gone.
    log: BTreeMap<u64, Key>,
    removed: FxHashMap<Arc<str>, u64>,
    /// The revisions in `removed` in their order, and those of names that are back since.
    removals: VecDeque<u64>,
    removals_kept: usize,
}

#[derive(Debug, Clone)]
enum Key {
    Component(Arc<str>),
    Node(NodeId),
    Removed(Arc<str>, Removal),
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(REMOVALS_KEPT)
    }
}

impl MemoryStore {
    /// An empty store that remembers so many removals.
    pub fn new(removals_kept: usize) -> Self {
        Self {
            // Watchers that know nothing say 0.
            revision: 1,
            floor: 1,
            components: BTreeMap::new(),
            nodes: FxHashMap::default(),
            log: BTreeMap::new(),
            removed: FxHashMap::default(),
            removals: VecDeque::new(),
            removals_kept,
        }
    }

    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    fn put_node(&mut self, node: NodeId, facts: &Arc<NodeFacts>) {
        if self.nodes.get(&node).is_some_and(|row| row.facts == *facts) {
            return;
        }
        let revision = self.next_revision();
        let names = match self.nodes.remove(&node) {
            Some(row) => {
                self.log.remove(&row.revision);
                row.names
            }
            None => BTreeSet::new(),
        };
        let row = NodeRow {
            id: node,
            facts: Arc::clone(facts),
            revision,
            bytes: json_len(&**facts),
            names,
        };
        self.nodes.insert(node, row);
        self.log.insert(revision, Key::Node(node));
    }

    /// Takes a name from its node, and the node's row with its last one.
    fn detach(&mut self, name: &str, node: NodeId) {
        let Some(row) = self.nodes.get_mut(&node) else {
            return;
        };
        row.names.remove(name);
        if row.names.is_empty() {
            let revision = row.revision;
            self.nodes.remove(&node);
            self.log.remove(&revision);
        }
    }

    fn remember_removal(&mut self, name: Arc<str>, reason: Removal) {
        let revision = self.next_revision();
        self.log
            .insert(revision, Key::Removed(Arc::clone(&name), reason));
        self.removed.insert(name, revision);
        self.removals.push_back(revision);
        if self.removals.len() > 2 * self.removals_kept + 1 {
            let log = &self.log;
            self.removals.retain(|revision| log.contains_key(revision));
        }
        while self.removed.len() > self.removals_kept {
            let Some(oldest) = self.removals.pop_front() else {
                break;
            };
            // It isn't there if the name came back since.
            if let Some(Key::Removed(name, _)) = self.log.remove(&oldest) {
                self.removed.remove(&name);
                self.floor = oldest;
            }
        }
    }
}

impl Store for MemoryStore {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn floor(&self) -> u64 {
        self.floor
    }

    fn len(&self) -> usize {
        self.components.len()
    }

    fn component(&self, name: &str) -> Option<&ComponentRow> {
        self.components.get(name)
    }

    fn node(&self, node: NodeId) -> Option<&NodeRow> {
        self.nodes.get(&node)
    }

    fn after<'a>(&'a self, name: &str) -> Box<dyn Iterator<Item = &'a ComponentRow> + 'a> {
        let range = (Bound::Excluded(name), Bound::Unbounded);
        Box::new(self.components.range::<str, _>(range).map(|(_, row)| row))
    }

    fn since<'a>(&'a self, revision: u64) -> Box<dyn Iterator<Item = (u64, Logged<'a>)> + 'a> {
        let range = (Bound::Excluded(revision), Bound::Unbounded);
        Box::new(self.log.range(range).filter_map(|(revision, key)| {
            let logged = match key {
                Key::Component(name) => Logged::Component(self.components.get(name)?),
                Key::Node(node) => Logged::Node(self.nodes.get(node)?),
                Key::Removed(name, reason) => Logged::Removed(name, *reason),
            };
            Some((*revision, logged))
        }))
    }

    fn put(
        &mut self,
        component: &Arc<ComponentFacts>,
        node: NodeId,
        facts: &Arc<NodeFacts>,
    ) -> Result<u64, StoreError> {
        self.put_node(node, facts);
        let mut name: Arc<str> = component.name.as_str().into();
        if let Some((key, row)) = self.components.get_key_value(&name) {
            if row.node == node && row.facts == *component {
                return Ok(row.revision);
            }
            name = Arc::clone(key);
            let (earlier, revision) = (row.node, row.revision);
            self.log.remove(&revision);
            if earlier != node {
                self.detach(&name, earlier);
            }
        }
        if let Some(removal) = self.removed.remove(&name) {
            self.log.remove(&removal);
        }
        let revision = self.next_revision();
        let row = ComponentRow {
            facts: Arc::clone(component),
            node,
            revision,
            bytes: json_len(&**component),
        };
        self.components.insert(Arc::clone(&name), row);
        self.log.insert(revision, Key::Component(Arc::clone(&name)));
        if let Some(row) = self.nodes.get_mut(&node) {
            row.names.insert(name);
        }
        Ok(revision)
    }

    fn remove(&mut self, name: &str, reason: Removal) -> Result<(), StoreError> {
        if let Some((name, row)) = self.components.remove_entry(name) {
            self.log.remove(&row.revision);
            self.detach(&name, row.node);
            self.remember_removal(name, reason);
        }
        Ok(())
    }
}

/// How long a value is as JSON.
pub(crate) fn json_len<T: serde::Serialize>(value: &T) -> usize {
    // Facts are strings, numbers and lists: there is nothing in them that JSON can't carry.
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, count: u64) -> Arc<ComponentFacts> {
        Arc::new(ComponentFacts {
            name: name.into(),
            count,
            ..ComponentFacts::default()
        })
    }

    fn node(id: u8) -> (NodeId, Arc<NodeFacts>) {
        let id = NodeId([id; 16]);
        let facts = NodeFacts {
            id: id.to_string(),
            ..NodeFacts::default()
        };
        (id, Arc::new(facts))
    }

    fn log(store: &MemoryStore, since: u64) -> Vec<String> {
        let text = |(_, logged): (u64, Logged<'_>)| match logged {
            Logged::Component(row) => format!("+{}", row.facts.name),
            Logged::Node(row) => format!("node {}", &row.facts.id[..2]),
            Logged::Removed(name, Removal::Lapsed) => format!("-{name}"),
            Logged::Removed(name, _) => format!("x{name}"),
        };
        store.since(since).map(text).collect()
    }

    #[test]
    fn the_log_has_the_last_change_of_each_row_only() {
        let mut store = MemoryStore::default();
        let (one, facts) = node(1);
        store.put(&component("a", 1), one, &facts).unwrap();
        store.put(&component("b", 2), one, &facts).unwrap();
        let before = store.revision();
        store.put(&component("a", 3), one, &facts).unwrap();
        store.remove("b", Removal::Deregistered).unwrap();
        assert_eq!(log(&store, 1), ["node 01", "+a", "xb"]);
        assert_eq!(log(&store, before), ["+a", "xb"]);
        store.put(&component("b", 4), one, &facts).unwrap();
        assert_eq!(log(&store, 1), ["node 01", "+a", "+b"]);
    }

    #[test]
    fn writing_what_is_there_already_changes_nothing() {
        let mut store = MemoryStore::default();
        let (one, facts) = node(1);
        let first = store.put(&component("a", 1), one, &facts).unwrap();
        let newest = store.revision();
        assert_eq!(store.put(&component("a", 1), one, &facts).unwrap(), first);
        assert_eq!(store.revision(), newest);
    }

    #[test]
    fn a_node_goes_with_its_last_name_and_is_described_anew_when_it_is_back() {
        let mut store = MemoryStore::default();
        let (one, facts) = node(1);
        let (two, other) = node(2);
        store.put(&component("a", 1), one, &facts).unwrap();
        store.put(&component("a", 1), two, &other).unwrap();
        assert!(store.node(one).is_none());
        assert_eq!(log(&store, 1), ["node 02", "+a"]);
        let before = store.revision();
        store.put(&component("a", 2), one, &facts).unwrap();
        assert_eq!(log(&store, before), ["node 01", "+a"]);
    }

    #[test]
    fn only_so_many_removals_are_remembered_and_the_floor_rises_with_those_forgotten() {
        let mut store = MemoryStore::new(2);
        let (one, facts) = node(1);
        for name in ["a", "b", "c"] {
            store.put(&component(name, 1), one, &facts).unwrap();
            store.remove(name, Removal::Lapsed).unwrap();
        }
        assert_eq!(log(&store, store.floor()), ["-b", "-c"]);
        assert!(store.floor() > 1);
        // A name that comes and goes for ever takes no more room either.
        for _ in 0..100 {
            store.put(&component("c", 1), one, &facts).unwrap();
            store.remove("c", Removal::Lapsed).unwrap();
        }
        assert!(store.removals.len() <= 5 && store.log.len() <= 3);
    }
}
