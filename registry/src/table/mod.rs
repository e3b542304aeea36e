//! Who has which name, and for how long: the registry's decisions, without sockets, tasks or a clock.
//!
//! Commands take `now` and what is known about connections ([`Links`]); [`Table::tick`] lets time
//! pass. What happens to a claim:
//!
//! ```text
//!   claim --> nobody has the name ---------------------------------> granted
//!         |      but the registry recovers, and the claimant
//!         |      never had it --> waits for the recovery's end ----> as if claimed then
//!         |-> its own node has it ---------------------------------> granted
//!         |-> another has it, and is connected --------------------> held (or lost)
//!         '-> another has it, and is not connected --> waits:
//!                it is back --> held (or lost)      3 s passed, or its lease ended --> granted
//! ```
//!
//! A name is lost, not held, for one who had it before. Nodes that bring names back to a recovering
//! registry may contradict each other, when one was cut off and doesn't know that it was replaced:
//! then the one that was in touch with a registry last is right.

mod answers;
mod claims;
mod clock;
pub(crate) mod rules;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla::directory::{
    facts::{ComponentFacts, NodeFacts},
    messages::{
        COMPONENT_BYTES, Claim, Outcome, PAGE_BYTES, Register, RegisterReply, Registered, Removal,
    },
    replica::epoch_text,
};
use botzilla_wire::ident::NodeId;
use rustc_hash::FxHashMap;

use crate::store::{MemoryStore, Store};
use clock::{Clock, Moment};

/// What is known about the registry's connection to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whether it is up now.
    pub connected: bool,
    /// When anything was last heard on it.
    pub last_heard: Instant,
    /// Where the node is.
    pub address: Option<SocketAddr>,
}

/// The registry's connections. Closures do.
pub trait Links {
    /// What is known about the one to a node, if anything.
    fn link(&self, node: NodeId) -> Option<Link>;

    /// Whether the one to a node is up.
    fn connected(&self, node: NodeId) -> bool {
        self.link(node).is_some_and(|link| link.connected)
    }
}

impl<F: Fn(NodeId) -> Option<Link>> Links for F {
    fn link(&self, node: NodeId) -> Option<Link> {
        self(node)
    }
}

/// The table's times and bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rules {
    /// A node that isn't connected and was not heard of for this long loses its names. 10 s.
    pub lease: Duration,
    /// A claim on the name of a holder that isn't connected waits so long for it. 3 s.
    pub takeover: Duration,
    /// A registry that has just started gives names only to those who had them for this long. 10 s.
    /// Zero if nobody can have had any: a registry that is the program's own.
    pub recovery: Duration,
    /// A longer time than this between two calls is a standstill, of which only this much counts. 1 s.
    pub stall: Duration,
    /// Components in all. 65,536.
    pub components: usize,
    /// Components a node. 8,192.
    pub components_per_node: usize,
    /// Claims that wait. 8,192.
    pub claims: usize,
    /// What a component says about itself, as JSON. 64 KiB.
    pub component_bytes: usize,
    /// What a node says about itself, as JSON. 16 KiB.
    pub node_bytes: usize,
    /// An answer, as JSON. 1 MiB.
    pub page_bytes: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            takeover: Duration::from_secs(3),
            recovery: Duration::from_secs(10),
            stall: Duration::from_secs(1),
            components: 65_536,
            components_per_node: 8192,
            claims: 8192,
            component_bytes: COMPONENT_BYTES,
            node_bytes: 16 * 1024,
            page_bytes: PAGE_BYTES,
        }
    }
}

/// The table.
#[derive(Debug)]
pub struct Table<S = MemoryStore> {
    rules: Rules,
    store: S,
    epoch: u64,
    clock: Clock,
    /// The recovery's end; none when it is over.
    recovering: Option<Moment>,
    leases: FxHashMap<NodeId, Lease>,
    grants: FxHashMap<Arc<str>, Grant>,
    /// Those who wait for a name, in the order in which they came.
    claims: BTreeMap<Arc<str>, Vec<Claimant>>,
    claimants: usize,
}

/// How long a node keeps its names.
#[derive(Debug)]
struct Lease {
    heard: Moment,
    /// It ran out at the last tick. It ends at the next if nothing came in between: what had arrived
    /// by then may be a sign of life that wasn't read yet.
    overdue: bool,
}

/// How a component came by its name.
#[derive(Debug, Clone, Copy)]
struct Grant {
    since: Moment,
    /// When its node was last in touch with a registry that agreed, before this one did. None: so
    /// long ago that the machine can't tell.
    confirmed: Option<Moment>,
}

#[derive(Debug)]
struct Claimant {
    node: NodeId,
    facts: Arc<NodeFacts>,
    component: Arc<ComponentFacts>,
    since: Moment,
}

impl Table<MemoryStore> {
    /// An empty table. `epoch` is random: it names this start of the registry.
    pub fn new(rules: Rules, epoch: u64, now: Instant) -> Self {
        Self::with_store(rules, MemoryStore::default(), epoch, now)
    }
}

impl<S: Store> Table<S> {
    /// A table over this store. Whatever is in it has its lease from now on.
    pub fn with_store(rules: Rules, store: S, epoch: u64, now: Instant) -> Self {
        let clock = Clock::new(now, rules.stall);
        let begin = clock.now();
        let recovering = (!rules.recovery.is_zero()).then(|| begin.after(rules.recovery));
        let mut table = Self {
            rules,
            epoch,
            clock,
            recovering,
            leases: FxHashMap::default(),
            grants: FxHashMap::default(),
            claims: BTreeMap::new(),
            claimants: 0,
            store,
        };
        let rows: Vec<_> = table
            .store
            .after("")
            .map(|row| (Arc::from(row.facts.name.as_str()), row.node))
            .collect();
        for (name, node) in rows {
            table.note_grant(&name, node, begin, None);
        }
        table
    }

    /// This start's name, as messages have it.
    pub fn epoch(&self) -> String {
        epoch_text(self.epoch)
    }

    /// Whether it still takes back those who had names before.
    pub fn is_recovering(&self) -> bool {
        self.recovering.is_some()
    }

    /// The newest revision, and whether it recovers: another pair is news to those who watch.
    pub fn news(&self) -> (u64, bool) {
        (self.store.revision(), self.is_recovering())
    }

    /// The rows.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Whether anybody waits for a name.
    pub fn has_claims(&self) -> bool {
        self.claimants > 0
    }

    /// Decides all the claims of a node. Repeating it changes nothing, and tells how claims that
    /// waited came out. The sender is taken to be connected.
    pub fn register(&mut self, now: Instant, links: &impl Links, msg: &Register) -> RegisterReply {
        let now = self.clock.advance(now);
        let seen = msg
            .node
            .id
            .parse()
            .ok()
            .and_then(|node| links.link(node)?.address);
        let checked = rules::check_count(msg.components.len(), &self.rules)
            .and_then(|()| rules::check_node(msg.node.clone(), seen, &self.rules));
        let results = match checked {
            Ok((node, facts)) => {
                let facts = Arc::new(facts);
                if msg.complete {
                    self.keep_only(node, &msg.components);
                }
                if let Some(lease) = self.leases.get_mut(&node) {
                    lease.hear(now);
                }
                msg.components
                    .iter()
                    .map(|claim| Registered {
                        name: claim.component.name.clone(),
                        outcome: self.claim(now, links, node, &facts, claim),
                    })
                    .collect()
            }
            Err(reason) => {
                let invalid = |claim: &Claim| Registered {
                    name: claim.component.name.clone(),
                    outcome: Outcome::Invalid {
                        reason: reason.clone(),
                    },
                };
                msg.components.iter().map(invalid).collect()
            }
        };
        RegisterReply {
            epoch: self.epoch(),
            recovering: self.is_recovering(),
            results,
            // The table knows nothing of the network.
            encrypted: false,
        }
    }

    /// Takes names, or claims on them, back from a node that gives them up.
    pub fn deregister<'a>(
        &mut self,
        now: Instant,
        links: &impl Links,
        node: NodeId,
        names: impl IntoIterator<Item = (&'a str, Removal)>,
    ) {
        let now = self.clock.advance(now);
        for (name, reason) in names {
            self.give_up(node, name, reason);
            self.decide(now, links, name);
        }
    }

    /// Takes names, and claims on them, back from those who may not have them any more.
    pub fn review(
        &mut self,
        now: Instant,
        links: &impl Links,
        may_hold: impl Fn(NodeId, &str) -> bool,
    ) {
        let now = self.clock.advance(now);
        let held = self
            .store
            .after("")
            .map(|row| (row.node, Arc::from(&*row.facts.name)));
        let waiting = self
            .claims
            .iter()
            .flat_map(|(name, all)| all.iter().map(|claimant| (claimant.node, Arc::clone(name))));
        let all: Vec<(NodeId, Arc<str>)> = held.chain(waiting).collect();
        for (node, name) in all {
            if !may_hold(node, &name) {
                tracing::warn!(%node, %name, "its name is taken back: the policy doesn't let it be that any more");
                self.give_up(node, &name, Removal::Deregistered);
                self.decide(now, links, &name);
            }
        }
    }

    /// The names that a node holds.
    pub fn held_by(&self, node: NodeId) -> Vec<Arc<str>> {
        self.names_of(node)
    }

    /// Lets time pass: leases end, recovery ends, claims are decided. To be called several times a
    /// second.
    pub fn tick(&mut self, now: Instant, links: &impl Links) {
        let real = now;
        let now = self.clock.advance(now);
        self.lapse(now, real, links);
        if self.recovering.is_some_and(|end| end <= now) {
            self.recovering = None;
        }
        let names: Vec<Arc<str>> = self.claims.keys().cloned().collect();
        for name in names {
            self.decide(now, links, &name);
        }
    }

    fn lapse(&mut self, now: Moment, real: Instant, links: &impl Links) {
        let mut ended = Vec::new();
        for (node, lease) in &mut self.leases {
            let link = links.link(*node);
            if let Some(link) = link {
                let silence = real.saturating_duration_since(link.last_heard);
                if let Some(heard) = now.before(silence)
                    && heard > lease.heard
                {
                    lease.hear(heard);
                }
            }
            let connected = link.is_some_and(|link| link.connected);
            if connected || now.since(lease.heard) < self.rules.lease {
                lease.overdue = false;
            } else if lease.overdue {
                ended.push(*node);
            } else {
                lease.overdue = true;
            }
        }
        for node in ended {
            for name in self.names_of(node) {
                self.take_away(&name, Removal::Lapsed);
            }
        }
    }

    fn keep_only(&mut self, node: NodeId, claims: &[Claim]) {
        let kept: BTreeSet<&str> = claims.iter().map(|it| it.component.name.as_str()).collect();
        for name in self.names_of(node) {
            if !kept.contains(&*name) {
                self.take_away(&name, Removal::Deregistered);
            }
        }
        let waiting: Vec<Arc<str>> = self
            .claims
            .iter()
            .filter(|(name, all)| !kept.contains(&***name) && all.iter().any(|it| it.node == node))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in waiting {
            self.drop_claims(&name, Some(node));
        }
    }

    fn give_up(&mut self, node: NodeId, name: &str, reason: Removal) {
        self.drop_claims(name, Some(node));
        if self
            .store
            .component(name)
            .is_some_and(|row| row.node == node)
        {
            self.take_away(name, reason);
        }
    }

    fn take_away(&mut self, name: &str, reason: Removal) {
        let Some(node) = self.store.component(name).map(|row| row.node) else {
            return;
        };
        if let Err(error) = self.store.remove(name, reason) {
            // The lease stays over, so that the next tick tries again.
            tracing::warn!(
                name,
                error = &error as &dyn std::error::Error,
                "a name couldn't be removed"
            );
            return;
        }
        self.grants.remove(name);
        self.forget_lease(node);
    }

    /// A node without names has no lease.
    fn forget_lease(&mut self, node: NodeId) {
        if self.store.node(node).is_none() {
            self.leases.remove(&node);
        }
    }

    fn names_of(&self, node: NodeId) -> Vec<Arc<str>> {
        let row = self.store.node(node);
        row.map_or_else(Vec::new, |row| row.names.iter().cloned().collect())
    }
}

impl Lease {
    fn hear(&mut self, at: Moment) {
        self.heard = self.heard.max(at);
        self.overdue = false;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
