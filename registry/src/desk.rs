//! The registry's answers and when they are given: some are held until there is something to say.
//!
//! Still without sockets, tasks or a clock: an answer leaves through a function that came with its
//! question. One watch and one waiting registration a node are held; a newer one ends the older.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use botzilla::directory::messages::{
    Deregister, List, ListReply, News, Outcome, Register, RegisterReply, Removal, Resolve,
    ResolveReply, Watch, WatchReply,
};
use botzilla_wire::ident::NodeId;
use rustc_hash::FxHashMap;

use crate::{
    store::{MemoryStore, Store},
    table::{Links, Table},
};

/// No answer is held for longer, whatever the question says.
const HELD_MAX: Duration = Duration::from_secs(60);
/// Watchers are told at most this often. What changes meanwhile, when many nodes start at once, they
/// are told in one answer.
const PACE: Duration = Duration::from_millis(50);

/// Where an answer goes.
pub type Reply<R> = Box<dyn FnOnce(R) + Send>;

/// The table, and the questions that wait.
pub struct Desk<S = MemoryStore> {
    table: Table<S>,
    watches: FxHashMap<NodeId, Held<Watch, WatchReply>>,
    registrations: FxHashMap<NodeId, Registration>,
    resolves: Vec<Held<Resolve, ResolveReply>>,
    lists: Vec<Held<List, ListReply>>,
    /// What the watchers were told about.
    told: (u64, bool),
    told_at: Instant,
    /// A watch that could be answered is held, not to be told more often than the others.
    paced: bool,
}

struct Held<M, R> {
    msg: M,
    until: Instant,
    reply: Reply<R>,
}

struct Registration {
    held: Held<Register, RegisterReply>,
    /// How it stands.
    answer: RegisterReply,
}

impl<S: Store> Desk<S> {
    pub fn new(table: Table<S>, now: Instant) -> Self {
        Self {
            told: table.news(),
            table,
            watches: FxHashMap::default(),
            registrations: FxHashMap::default(),
            resolves: Vec::new(),
            lists: Vec::new(),
            told_at: now,
            paced: false,
        }
    }

    pub fn table(&self) -> &Table<S> {
        &self.table
    }

    pub fn register(
        &mut self,
        now: Instant,
        links: &impl Links,
        from: NodeId,
        mut msg: Register,
        reply: Reply<RegisterReply>,
    ) {
        self.end_registration(from);
        let answer = match refusal(from, &msg.node.id) {
            Some(reason) => refuse_all(&self.table, &msg, &reason),
            None => self.table.register(now, links, &msg),
        };
        if msg.wait_ms > 0 && waits(&answer) {
            // What it gives up, it gave up by now.
            msg.complete = false;
            let until = held_until(now, msg.wait_ms);
            let held = Held { msg, until, reply };
            let registration = Registration { held, answer };
            self.registrations.insert(from, registration);
        } else {
            reply(answer);
        }
        self.after_change(now, links);
    }

    pub fn deregister(&mut self, now: Instant, links: &impl Links, from: NodeId, msg: &Deregister) {
        // It may hold claims that are given up with this.
        self.end_registration(from);
        if let Some(reason) = refusal(from, &msg.node) {
            tracing::warn!(node = %from, reason, "a deregistration is refused");
            return;
        }
        let failed: BTreeSet<&str> = msg.failed.iter().map(String::as_str).collect();
        let names = msg.names.iter().map(|name| {
            let reason = if failed.contains(name.as_str()) {
                Removal::Failed
            } else {
                Removal::Deregistered
            };
            (name.as_str(), reason)
        });
        self.table.deregister(now, links, from, names);
        self.after_change(now, links);
    }

    pub fn resolve(&mut self, now: Instant, msg: Resolve, reply: Reply<ResolveReply>) {
        let answer = self.table.resolve(&msg);
        if answer.recovering && answer.found.is_none() && msg.wait_ms > 0 {
            let until = held_until(now, msg.wait_ms);
            self.resolves.push(Held { msg, until, reply });
        } else {
            reply(answer);
        }
    }

    pub fn list(&mut self, now: Instant, links: &impl Links, msg: List, reply: Reply<ListReply>) {
        if self.table.is_recovering() && msg.wait_ms > 0 {
            let until = held_until(now, msg.wait_ms);
            self.lists.push(Held { msg, until, reply });
        } else {
            reply(self.table.list(now, links, &msg));
        }
    }

    pub fn watch(&mut self, now: Instant, from: NodeId, msg: Watch, reply: Reply<WatchReply>) {
        if let Some(earlier) = self.watches.remove(&from) {
            (earlier.reply)(self.table.nothing_new(&earlier.msg));
        }
        let too_soon = msg.wait_ms > 0 && now.saturating_duration_since(self.told_at) < PACE;
        match self.table.watch(&msg) {
            Some(answer) if too_soon && is_all_news(&answer) => {
                let until = held_until(now, msg.wait_ms);
                self.paced = true;
                self.watches.insert(from, Held { msg, until, reply });
            }
            Some(answer) => reply(answer),
            None if msg.wait_ms == 0 => reply(self.table.nothing_new(&msg)),
            None => {
                let until = held_until(now, msg.wait_ms);
                self.watches.insert(from, Held { msg, until, reply });
            }
        }
    }

    /// What those who may register nothing are told.
    pub fn nothing_registered(&self) -> RegisterReply {
        RegisterReply {
            epoch: self.table.epoch(),
            recovering: self.table.is_recovering(),
            results: Vec::new(),
            encrypted: false,
        }
    }

    /// Takes back the names of those who may not hold them any more. Those who wait for one ask again.
    pub fn review(
        &mut self,
        now: Instant,
        links: &impl Links,
        may_hold: impl Fn(NodeId, &str) -> bool,
    ) {
        let waiting: Vec<NodeId> = self.registrations.keys().copied().collect();
        for node in waiting {
            self.end_registration(node);
        }
        self.table.review(now, links, may_hold);
        self.after_change(now, links);
    }

    /// Lets time pass. To be called ten times a second.
    pub fn tick(&mut self, now: Instant, links: &impl Links) {
        self.table.tick(now, links);
        self.decide_registrations(now, links);
        self.tell_watchers(now);
        let recovering = self.table.is_recovering();
        for held in take(&mut self.resolves, |held| !recovering || held.until <= now) {
            (held.reply)(self.table.resolve(&held.msg));
        }
        for held in take(&mut self.lists, |held| !recovering || held.until <= now) {
            (held.reply)(self.table.list(now, links, &held.msg));
        }
        let ended: Vec<NodeId> = self
            .watches
            .iter()
            .filter(|(_, held)| held.until <= now)
            .map(|(node, _)| *node)
            .collect();
        for node in ended {
            if let Some(held) = self.watches.remove(&node) {
                (held.reply)(self.table.nothing_new(&held.msg));
            }
        }
    }

    fn after_change(&mut self, now: Instant, links: &impl Links) {
        self.decide_registrations(now, links);
        for held in take(&mut self.resolves, |_| self.table.news() != self.told) {
            let answer = self.table.resolve(&held.msg);
            if answer.found.is_some() {
                (held.reply)(answer);
            } else {
                self.resolves.push(held);
            }
        }
        if now.saturating_duration_since(self.told_at) >= PACE {
            self.tell_watchers(now);
        }
    }

    fn decide_registrations(&mut self, now: Instant, links: &impl Links) {
        let nodes: Vec<NodeId> = self.registrations.keys().copied().collect();
        for node in nodes {
            let Some(registration) = self.registrations.get_mut(&node) else {
                continue;
            };
            if !links.connected(node) {
                // Its question ended with its connection.
                self.registrations.remove(&node);
                continue;
            }
            let msg = &registration.held.msg;
            registration.answer = self.table.register(now, links, msg);
            if !waits(&registration.answer) || registration.held.until <= now {
                self.end_registration(node);
            }
        }
    }

    fn end_registration(&mut self, node: NodeId) {
        if let Some(registration) = self.registrations.remove(&node) {
            (registration.held.reply)(registration.answer);
        }
    }

    fn tell_watchers(&mut self, now: Instant) {
        let news = self.table.news();
        if news == self.told && !self.paced {
            return;
        }
        self.paced = false;
        self.told = news;
        self.told_at = now;
        // Most are at the same position.
        let mut answers: Vec<(Watch, WatchReply)> = Vec::new();
        for (node, held) in std::mem::take(&mut self.watches) {
            let mut question = held.msg.clone();
            question.wait_ms = 0;
            let same = answers.iter().find(|(asked, _)| *asked == question);
            let answer = match same {
                Some((_, answer)) => Some(answer.clone()),
                None => self.table.watch(&question),
            };
            let Some(answer) = answer else {
                self.watches.insert(node, held);
                continue;
            };
            if answers.len() < 8 && !answers.iter().any(|(asked, _)| *asked == question) {
                answers.push((question, answer.clone()));
            }
            (held.reply)(answer);
        }
    }
}

impl<S: Store> fmt::Debug for Desk<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("table", &self.table)
            .field("watches", &self.watches.len())
            .field("registrations", &self.registrations.len())
            .field("resolves", &self.resolves.len())
            .field("lists", &self.lists.len())
            .finish_non_exhaustive()
    }
}

fn held_until(now: Instant, wait_ms: u64) -> Instant {
    now + Duration::from_millis(wait_ms).min(HELD_MAX)
}

fn waits(answer: &RegisterReply) -> bool {
    let mut results = answer.results.iter();
    results.any(|it| matches!(it.outcome, Outcome::Waiting { .. }))
}

/// Whether it is one answer's worth of changes, and no part of something larger.
fn is_all_news(answer: &WatchReply) -> bool {
    matches!(answer.news, News::Changes { more: false, .. })
}

/// Takes out what fits.
fn take<T>(from: &mut Vec<T>, mut fits: impl FnMut(&T) -> bool) -> Vec<T> {
    let (taken, left) = std::mem::take(from).into_iter().partition(|it| fits(it));
    *from = left;
    taken
}

/// A node speaks for itself only. (All who know the secret could lie about who they are: this finds
/// mistakes, not attacks.)
fn refusal(from: NodeId, node: &str) -> Option<String> {
    let honest = node.parse().is_ok_and(|node: NodeId| node == from);
    (!honest).then(|| format!("it speaks for node {node:?}, and came from node {from}"))
}

fn refuse_all<S: Store>(table: &Table<S>, msg: &Register, reason: &str) -> RegisterReply {
    let results = msg.components.iter();
    RegisterReply {
        epoch: table.epoch(),
        recovering: table.is_recovering(),
        encrypted: false,
        results: results
            .map(|claim| botzilla::directory::messages::Registered {
                name: claim.component.name.clone(),
                outcome: Outcome::Invalid {
                    reason: reason.to_owned(),
                },
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
