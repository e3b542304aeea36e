//! The table in a world of nodes whose connections and whose time the test owns.

mod answers;
mod claims;
mod leases;
mod properties;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use botzilla::directory::{
    facts::{ComponentFacts, NodeFacts},
    messages::{Claim, Outcome, Register, Removal, Standing, Waiting, WatchReply},
    replica::Replica,
};
use botzilla_wire::ident::NodeId;

use super::{Link, Rules, Table};
use crate::store::{MemoryStore, Store};

/// A table, the time, and the registry's connections.
struct World {
    table: Table,
    now: Instant,
    links: BTreeMap<NodeId, Link>,
    epochs: u64,
}

fn id(node: u8) -> NodeId {
    NodeId([node; 16])
}

fn node(node: u8) -> NodeFacts {
    NodeFacts {
        id: id(node).to_string(),
        host: format!("host-{node}"),
        program: "robot".into(),
        pid: u32::from(node),
        ..NodeFacts::default()
    }
}

fn component(name: &str, count: u64) -> ComponentFacts {
    ComponentFacts {
        name: name.into(),
        count,
        ..ComponentFacts::default()
    }
}

fn new(name: &str) -> Claim {
    Claim {
        component: component(name, 1),
        standing: Standing::New,
    }
}

fn held(name: &str, confirmed_ms_ago: u64) -> Claim {
    Claim {
        component: component(name, 1),
        standing: Standing::Held { confirmed_ms_ago },
    }
}

impl World {
    /// A registry that has recovered.
    fn settled() -> Self {
        let mut world = Self::starting();
        world.pass(10_000);
        world
    }

    /// A registry that has just started.
    fn starting() -> Self {
        let now = Instant::now();
        Self {
            table: Table::new(Rules::default(), 1, now),
            now,
            links: BTreeMap::new(),
            epochs: 1,
        }
    }

    fn restart_registry(&mut self) {
        self.epochs += 1;
        let rules = self.table.rules.clone();
        let store = MemoryStore::new(4);
        self.table = Table::with_store(rules, store, self.epochs, self.now);
        self.links.clear();
    }

    fn connect(&mut self, node: u8) {
        let link = Link {
            connected: true,
            last_heard: self.now,
            address: None,
        };
        self.links.insert(id(node), link);
    }

    fn cut(&mut self, node: u8) {
        if let Some(link) = self.links.get_mut(&id(node)) {
            link.connected = false;
        }
    }

    fn is_connected(&self, node: u8) -> bool {
        self.links.get(&id(node)).is_some_and(|link| link.connected)
    }

    /// Lets so many milliseconds pass, with a tick each quarter of a second.
    fn pass(&mut self, ms: u64) {
        let mut left = Duration::from_millis(ms);
        while !left.is_zero() {
            let step = left.min(Duration::from_millis(250));
            left -= step;
            self.now += step;
            self.tick();
        }
    }

    /// Lets time pass while the registry's process doesn't run.
    fn stand_still(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn tick(&mut self) {
        for link in self.links.values_mut().filter(|link| link.connected) {
            link.last_heard = self.now;
        }
        let links = &self.links;
        self.table.tick(self.now, &|node| links.get(&node).copied());
    }

    fn send(&mut self, node: NodeFacts, complete: bool, claims: Vec<Claim>) -> Vec<Outcome> {
        let msg = Register {
            node,
            components: claims,
            complete,
            wait_ms: 0,
        };
        let links = &self.links;
        let links = |node: NodeId| links.get(&node).copied();
        let reply = self.table.register(self.now, &links, &msg);
        assert_eq!(reply.recovering, self.table.is_recovering());
        assert_eq!(reply.epoch, self.table.epoch());
        reply.results.into_iter().map(|it| it.outcome).collect()
    }

    fn claim(&mut self, from: u8, claim: Claim) -> Outcome {
        let outcomes = self.send(node(from), false, vec![claim]);
        outcomes.into_iter().next().unwrap()
    }

    fn grants(&mut self, from: u8, claim: Claim) -> bool {
        matches!(self.claim(from, claim), Outcome::Granted { .. })
    }

    fn deregister(&mut self, from: u8, name: &str) {
        let links = &self.links;
        let links = |node: NodeId| links.get(&node).copied();
        self.table
            .deregister(self.now, &links, id(from), [(name, Removal::Deregistered)]);
    }

    fn holder(&self, name: &str) -> Option<u8> {
        let row = self.table.store().component(name)?;
        Some(row.node.0[0])
    }

    fn check(&self) {
        let table = &self.table;
        let rows: Vec<_> = table.store.after("").collect();
        assert_eq!(rows.len(), table.store.len());
        assert_eq!(rows.len(), table.grants.len());
        for row in &rows {
            let node = table.store.node(row.node).expect("a holder has a row");
            assert!(node.names.contains(row.facts.name.as_str()));
            assert!(table.leases.contains_key(&row.node));
            assert!(table.grants.contains_key(row.facts.name.as_str()));
        }
        for node in table.leases.keys() {
            let row = table.store.node(*node).expect("a lease is a holder's");
            assert!(!row.names.is_empty());
        }
        let waiting: usize = table.claims.values().map(Vec::len).sum();
        assert_eq!(waiting, table.claimants);
        assert!(table.claims.values().all(|all| !all.is_empty()));
    }
}

/// What the registry answers to a copy's next question; none if it holds it.
fn ask_watch(table: &Table, replica: &Replica) -> Option<WatchReply> {
    let watch = replica.next_watch(Duration::from_secs(1));
    let reply = table.watch(&watch);
    reply.or_else(|| (watch.wait_ms == 0).then(|| table.nothing_new(&watch)))
}

fn waits_for_holder(outcome: &Outcome) -> bool {
    let Outcome::Waiting { reason, .. } = outcome else {
        return false;
    };
    matches!(reason, Waiting::HolderAway { .. })
}
