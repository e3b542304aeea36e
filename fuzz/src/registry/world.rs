//! A desk in a world of nodes whose connections and whose time the input owns.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use botzilla::directory::{
    facts::{ComponentFacts, NodeFacts},
    messages::{
        Claim, Deregister, List, ListReply, Outcome, Register, RegisterReply, Resolve,
        ResolveReply, Standing, WatchReply,
    },
    replica::Replica,
};
use botzilla_registry::{
    desk::{Desk, Reply},
    store::{MemoryStore, Store},
    table::{Link, Rules, Table},
};
use botzilla_wire::NodeId;

use crate::pair::start;

pub(super) const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const NODES: u8 = 4;
const WATCHERS: u8 = 3;
/// No answer is held for longer that somebody looks at.
pub(super) const HELD_MAX_MS: u64 = 4_000;

/// An answer, once it is given.
#[derive(Debug)]
struct Slip<R>(Arc<Mutex<Option<R>>>);

impl<R: Send + 'static> Slip<R> {
    fn new() -> (Self, Reply<R>) {
        let slot = Arc::new(Mutex::new(None));
        let slip = Self(Arc::clone(&slot));
        let reply = move |answer| {
            let before = slot.lock().unwrap().replace(answer);
            assert!(before.is_none());
        };
        (slip, Box::new(reply))
    }

    fn take(&self) -> Option<R> {
        self.0.lock().unwrap().take()
    }

    /// Whether it may still be answered.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// What a node believes.
#[derive(Debug, Default)]
struct Believer {
    /// Names that it was granted, and when a registry that wasn't recovering last agreed.
    names: BTreeMap<&'static str, Option<Instant>>,
    at: u8,
    /// What it asked and wasn't told yet.
    asked: Vec<(Vec<Claim>, Slip<RegisterReply>)>,
}

#[derive(Debug)]
struct Watcher {
    id: NodeId,
    replica: Replica,
    asked: Option<Slip<WatchReply>>,
}

/// Who holds what, and since which revision.
type Rows = BTreeMap<String, (NodeId, u64)>;

pub(super) struct World {
    desk: Desk<MemoryStore>,
    now: Instant,
    links: BTreeMap<NodeId, Link>,
    epochs: u64,
    nodes: BTreeMap<u8, Believer>,
    watchers: Vec<Watcher>,
    resolves: Vec<Slip<ResolveReply>>,
    lists: Vec<Slip<ListReply>>,
    /// As it was after the last step.
    rows: Rows,
    revision: u64,
    was_recovering: bool,
    /// Who has done something in this step.
    actor: Option<NodeId>,
}

pub(super) fn id(node: u8) -> NodeId {
    NodeId([node % NODES + 1; 16])
}

fn rules() -> Rules {
    let mut rules = Rules::default();
    // So small that snapshots of several pages, forgotten removals and every bound happen.
    rules.page_bytes = 900;
    rules.components = 7;
    rules.components_per_node = 4;
    rules.claims = 3;
    rules
}

fn component(name: &str) -> ComponentFacts {
    ComponentFacts {
        name: name.into(),
        count: 1,
        ..ComponentFacts::default()
    }
}

impl World {
    pub(super) fn new() -> Self {
        let now = start();
        let table = Table::with_store(rules(), MemoryStore::new(4), 1, now);
        let mut world = Self {
            desk: Desk::new(table, now),
            now,
            links: BTreeMap::new(),
            epochs: 1,
            nodes: (0..NODES).map(|node| (node, Believer::default())).collect(),
            watchers: (0..WATCHERS)
                .map(|watcher| Watcher {
                    id: NodeId([100 + watcher; 16]),
                    replica: Replica::new(),
                    asked: None,
                })
                .collect(),
            resolves: Vec::new(),
            lists: Vec::new(),
            rows: Rows::new(),
            revision: 0,
            was_recovering: true,
            actor: None,
        };
        world.pass(10_000);
        world
    }

    pub(super) fn restart_registry(&mut self) {
        self.epochs += 1;
        let table = Table::with_store(rules(), MemoryStore::new(4), self.epochs, self.now);
        self.desk = Desk::new(table, self.now);
        self.links.clear();
        self.resolves.clear();
        self.lists.clear();
        for node in self.nodes.values_mut() {
            node.asked.clear();
        }
        for watcher in &mut self.watchers {
            watcher.asked = None;
        }
        self.rows.clear();
        self.revision = 0;
    }

    pub(super) fn connect(&mut self, node: u8) {
        let link = Link {
            connected: true,
            last_heard: self.now,
            address: Some(([10, 0, 0, node], 4000).into()),
        };
        self.links.insert(id(node), link);
    }

    pub(super) fn cut(&mut self, node: u8) {
        if let Some(link) = self.links.get_mut(&id(node)) {
            link.connected = false;
        }
    }

    fn is_connected(&self, node: NodeId) -> bool {
        self.links.get(&node).is_some_and(|link| link.connected)
    }

    /// Lets so many milliseconds pass, with a tick each quarter of a second.
    pub(super) fn pass(&mut self, ms: u64) {
        let mut left = Duration::from_millis(ms);
        while !left.is_zero() {
            let step = left.min(Duration::from_millis(250));
            left -= step;
            self.now += step;
            for link in self.links.values_mut().filter(|link| link.connected) {
                link.last_heard = self.now;
            }
            let links = &self.links;
            self.desk.tick(self.now, &|node| links.get(&node).copied());
            // What the tick decided is looked at before the next.
            self.check();
        }
    }

    /// Lets time pass while the registry's process doesn't run.
    pub(super) fn stand_still(&mut self, seconds: u8) {
        self.now += Duration::from_secs(seconds.into());
    }

    pub(super) fn move_to(&mut self, node: u8, to: u8) {
        self.nodes.get_mut(&(node % NODES)).unwrap().at = to % 3;
    }

    fn facts(&self, node: u8) -> NodeFacts {
        NodeFacts {
            id: id(node).to_string(),
            host: "host".into(),
            endpoints: vec![format!("10.0.0.{}:1", self.nodes[&(node % NODES)].at)],
            ..NodeFacts::default()
        }
    }

    fn register(&mut self, from: NodeId, msg: Register) -> Slip<RegisterReply> {
        let (slip, reply) = Slip::new();
        let links = &self.links;
        let links = |node: NodeId| links.get(&node).copied();
        self.actor = Some(from);
        self.desk.register(self.now, &links, from, msg, reply);
        slip
    }

    pub(super) fn claim(&mut self, from: u8, name: &str, wait_ms: u64) {
        let node = from % NODES;
        if !self.is_connected(id(from)) || self.nodes[&node].names.contains_key(name) {
            return;
        }
        let claims = vec![Claim {
            component: component(name),
            standing: Standing::New,
        }];
        self.say(from, claims, false, wait_ms);
    }

    pub(super) fn announce(&mut self, from: u8, wait_ms: u64) {
        if !self.is_connected(id(from)) {
            return;
        }
        let now = self.now;
        let names = &self.nodes[&(from % NODES)].names;
        let claims = names.iter().map(|(name, confirmed)| {
            let age = confirmed.map_or(u64::MAX, |it| (now - it).as_millis() as u64);
            Claim {
                component: component(name),
                standing: Standing::Held {
                    confirmed_ms_ago: age,
                },
            }
        });
        let claims = claims.collect();
        self.say(from, claims, true, wait_ms);
    }

    fn say(&mut self, from: u8, claims: Vec<Claim>, complete: bool, wait_ms: u64) {
        let msg = Register {
            node: self.facts(from),
            components: claims.clone(),
            complete,
            wait_ms,
        };
        let slip = self.register(id(from), msg);
        let node = self.nodes.get_mut(&(from % NODES)).unwrap();
        node.asked.push((claims, slip));
    }

    pub(super) fn odd(&mut self, from: u8, msg: Register) {
        // Who speaks is connected.
        if self.is_connected(id(from)) {
            let count = msg.components.len();
            let slip = self.register(id(from), msg);
            if let Some(answer) = slip.take() {
                assert_eq!(answer.results.len(), count);
            }
        }
    }

    pub(super) fn give_up(&mut self, from: u8, name: &str) {
        if !self.is_connected(id(from)) {
            return;
        }
        self.nodes
            .get_mut(&(from % NODES))
            .unwrap()
            .names
            .remove(name);
        let msg = Deregister {
            node: id(from).to_string(),
            names: vec![name.to_owned()],
            // One of them never stays alive.
            failed: (name == "b").then(|| name.to_owned()).into_iter().collect(),
        };
        let links = &self.links;
        let links = |node: NodeId| links.get(&node).copied();
        self.actor = Some(id(from));
        self.desk.deregister(self.now, &links, id(from), &msg);
        let row = self.desk.table().store().component(name);
        assert!(row.is_none_or(|row| row.node != id(from)));
    }

    pub(super) fn resolve(&mut self, name: &str, wait_ms: u64) {
        let (slip, reply) = Slip::new();
        let name = name.to_owned();
        self.desk
            .resolve(self.now, Resolve { name, wait_ms }, reply);
        self.resolves.push(slip);
    }

    pub(super) fn list(&mut self, after: &str, wait_ms: u64) {
        let (slip, reply) = Slip::new();
        let after = after.to_owned();
        let links = &self.links;
        let links = |node: NodeId| links.get(&node).copied();
        let msg = List { after, wait_ms };
        self.desk.list(self.now, &links, msg, reply);
        self.lists.push(slip);
    }

    pub(super) fn watch(&mut self, which: u8) {
        self.hear();
        let watcher = &mut self.watchers[usize::from(which % WATCHERS)];
        let (slip, reply) = Slip::new();
        let msg = watcher.replica.next_watch(Duration::from_secs(1));
        self.desk.watch(self.now, watcher.id, msg, reply);
        watcher.asked = Some(slip);
        self.hear();
    }

    /// Takes in the answers that have come.
    fn hear(&mut self) {
        let confirmed = (!self.desk.table().is_recovering()).then_some(self.now);
        for node in self.nodes.values_mut() {
            let asked = std::mem::take(&mut node.asked);
            for (claims, slip) in asked {
                if let Some(answer) = slip.take() {
                    node.take_in(&claims, answer, confirmed);
                } else if slip.is_held() {
                    node.asked.push((claims, slip));
                }
            }
        }
        let links = &self.links;
        for (index, watcher) in self.watchers.iter_mut().enumerate() {
            let Some(slip) = &watcher.asked else { continue };
            let Some(answer) = slip.take() else {
                assert!(slip.is_held(), "a watch is never dropped");
                continue;
            };
            watcher.asked = None;
            let (recovering, before) = (answer.recovering, watcher.replica.len());
            // One of them sees more than the registry does.
            let sees = |node: &NodeId| index == 0 && links.contains_key(node);
            watcher
                .replica
                .apply(answer, sees)
                .expect("it follows on the question");
            assert!(
                !recovering || watcher.replica.len() >= before,
                "it forgot a name while the registry recovers"
            );
        }
        self.resolves
            .retain(|slip| slip.take().is_none() && slip.is_held());
        self.lists
            .retain(|slip| slip.take().is_none() && slip.is_held());
    }

    /// What must hold after each step.
    pub(super) fn check(&mut self) {
        self.hear();
        let table = self.desk.table();
        let store = table.store();
        let rows: Rows = store
            .after("")
            .map(|row| (row.facts.name.clone(), (row.node, row.revision)))
            .collect();
        assert_eq!(rows.len(), store.len());
        let (revision, _) = table.news();
        assert!(revision >= self.revision && (rows == self.rows || revision > self.revision));
        let revisions: BTreeSet<u64> = rows.values().map(|row| row.1).collect();
        assert!(revisions.len() == rows.len() && revisions.last() <= Some(&revision));
        for (name, (node, _)) in &rows {
            let row = store.node(*node).expect("a holder has a row");
            assert!(row.names.contains(name.as_str()));
            assert!(row.names.len() <= 4, "no node has more than it may");
        }
        for (name, (holder, _)) in &self.rows {
            let now = rows.get(name).map(|row| row.0);
            if now == Some(*holder) || self.actor == Some(*holder) {
                continue;
            }
            let contested = self.was_recovering && now.is_some();
            assert!(
                contested || !self.is_connected(*holder),
                "a live holder lost {name}"
            );
        }
        self.was_recovering = table.is_recovering();
        (self.rows, self.revision, self.actor) = (rows, revision, None);
    }

    /// All answers are given, and every copy is as the table.
    pub(super) fn settle(&mut self) {
        self.pass(11_000);
        for which in 0..WATCHERS {
            let mut rounds = 0;
            loop {
                self.watch(which);
                if self.watchers[usize::from(which)].asked.is_some() {
                    break;
                }
                rounds += 1;
                assert!(rounds < 200, "the watch never ends");
                // They are told at most so often.
                self.pass(50);
            }
        }
        for watcher in &mut self.watchers {
            for node in self.links.keys() {
                if !self.links[node].connected {
                    watcher.replica.link_lost(node);
                }
            }
            let (replica, store) = (&watcher.replica, self.desk.table().store());
            assert!(!replica.is_recovering() && replica.is_whole());
            assert_eq!(replica.len(), store.len());
            for row in store.after("") {
                let copy = replica.get(&row.facts.name).expect("it is in the table");
                assert_eq!((copy.place.id, copy.count), (row.node, row.facts.count));
                assert_eq!(copy.revision, row.revision);
                assert_eq!(copy.place.facts, *store.node(row.node).unwrap().facts);
                assert!(Arc::ptr_eq(&copy.place, replica.place(&row.node).unwrap()));
            }
        }
        self.pass(HELD_MAX_MS + 500);
        self.check();
        assert!(self.resolves.is_empty() && self.lists.is_empty());
        assert!(self.nodes.values().all(|node| node.asked.is_empty()));
        assert!(self.watchers.iter().all(|watcher| watcher.asked.is_none()));
    }
}

impl Believer {
    fn take_in(&mut self, claims: &[Claim], answer: RegisterReply, confirmed: Option<Instant>) {
        assert_eq!(answer.results.len(), claims.len());
        for (claim, result) in claims.iter().zip(answer.results) {
            assert_eq!(result.name, claim.component.name);
            let name = NAMES.into_iter().find(|name| *name == result.name).unwrap();
            match result.outcome {
                Outcome::Granted { .. } => {
                    let known = self.names.entry(name).or_default();
                    *known = confirmed.or(*known);
                }
                Outcome::NameLost { .. } => {
                    self.names.remove(name);
                }
                _ => {}
            }
        }
    }
}
