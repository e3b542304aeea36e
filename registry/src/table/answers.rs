//! What the table tells those who ask.

use std::time::Instant;

use botzilla::directory::{
    facts::{Entry, NodeFacts},
    messages::{
        Change, Found, List, ListReply, Listed, News, Resolve, ResolveReply, Watch, WatchReply,
    },
    similar,
};
use botzilla_wire::ident::NodeId;
use rustc_hash::FxHashSet;

use super::{Links, Table, millis};
use crate::store::{ComponentRow, Logged, Store};

/// What an answer takes besides facts: field names, epoch and numbers.
const ANSWER_OVERHEAD: usize = 512;
/// What a row takes besides its facts.
const ROW_OVERHEAD: usize = 128;
/// What a listed component takes besides its facts and its node's.
const LISTED_OVERHEAD: usize = 384;

/// Counts what an answer has room for. The first row always fits: rows are bounded when they are
/// registered.
struct Room {
    left: usize,
    first: bool,
}

impl Room {
    fn new(page_bytes: usize) -> Self {
        Self {
            left: page_bytes.saturating_sub(ANSWER_OVERHEAD),
            first: true,
        }
    }

    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.first || bytes <= self.left;
        self.first = false;
        self.left = self.left.saturating_sub(bytes);
        fits
    }
}

impl<S: Store> Table<S> {
    /// What is new since the position that a watcher states; none if nothing is.
    pub fn watch(&self, watch: &Watch) -> Option<WatchReply> {
        let same_epoch = watch.epoch == self.epoch();
        let known = self.store.floor()..=self.store.revision();
        if !same_epoch || !known.contains(&watch.revision) {
            return Some(self.page(self.store.revision(), ""));
        }
        if let Some(after) = &watch.after {
            return Some(self.page(watch.revision, after));
        }
        if watch.revision == self.store.revision() && watch.recovering == self.is_recovering() {
            return None;
        }
        Some(self.changes(watch.revision))
    }

    /// An answer that says that nothing is new.
    pub fn nothing_new(&self, watch: &Watch) -> WatchReply {
        self.watch(watch)
            .unwrap_or_else(|| self.changes(watch.revision))
    }

    fn reply(&self, news: News) -> WatchReply {
        WatchReply {
            epoch: self.epoch(),
            recovering: self.is_recovering(),
            news,
        }
    }

    fn changes(&self, since: u64) -> WatchReply {
        let mut room = Room::new(self.rules.page_bytes);
        let mut described = FxHashSet::<NodeId>::default();
        let (mut nodes, mut changes) = (Vec::new(), Vec::new());
        let (mut reached, mut more) = (since, false);
        for (revision, logged) in self.store.since(since) {
            let (node, bytes) = match logged {
                // The watcher may have heard of the node before that changed since.
                Logged::Component(row) => (
                    self.store
                        .node(row.node)
                        .filter(|node| node.revision > since),
                    row.bytes,
                ),
                Logged::Node(node) => (Some(node), 0),
                Logged::Removed(name, _) => (None, name.len()),
            };
            let node = node.filter(|row| !described.contains(&row.id));
            let node_bytes = node.map_or(0, |row| row.bytes + ROW_OVERHEAD);
            if !room.take(bytes + ROW_OVERHEAD + node_bytes) {
                more = true;
                break;
            }
            if let Some(row) = node {
                described.insert(row.id);
                nodes.push(NodeFacts::clone(&row.facts));
            }
            match logged {
                Logged::Component(row) => changes.push(Change::Set { entry: entry(row) }),
                Logged::Node(_) => {}
                Logged::Removed(name, reason) => changes.push(Change::Removed {
                    name: name.to_owned(),
                    reason,
                }),
            }
            reached = revision;
        }
        self.reply(News::Changes {
            revision: if more { reached } else { self.store.revision() },
            nodes,
            changes,
            more,
        })
    }

    fn page(&self, revision: u64, after: &str) -> WatchReply {
        let mut room = Room::new(self.rules.page_bytes);
        let mut described = FxHashSet::<NodeId>::default();
        let (mut nodes, mut entries) = (Vec::new(), Vec::new());
        let mut more = false;
        for row in self.store.after(after) {
            let node = self.store.node(row.node);
            let node = node.filter(|_| !described.contains(&row.node));
            let node_bytes = node.map_or(0, |row| row.bytes + ROW_OVERHEAD);
            if !room.take(row.bytes + ROW_OVERHEAD + node_bytes) {
                more = true;
                break;
            }
            if let Some(node) = node {
                described.insert(row.node);
                nodes.push(NodeFacts::clone(&node.facts));
            }
            entries.push(entry(row));
        }
        self.reply(News::Page {
            revision,
            nodes,
            entries,
            more,
        })
    }

    /// Who has a name, or which names are close to it.
    pub fn resolve(&self, msg: &Resolve) -> ResolveReply {
        let row = self.store.component(&msg.name);
        let found = row.and_then(|row| {
            Some(Found {
                entry: entry(row),
                node: NodeFacts::clone(&self.store.node(row.node)?.facts),
            })
        });
        let close = || {
            let names = self.store.after("").map(|row| row.facts.name.as_str());
            similar(&msg.name, names)
        };
        ResolveReply {
            epoch: self.epoch(),
            recovering: self.is_recovering(),
            similar: if found.is_none() { close() } else { Vec::new() },
            found,
        }
    }

    /// All components after a name.
    pub fn list(&mut self, now: Instant, links: &impl Links, msg: &List) -> ListReply {
        let moment = self.clock.advance(now);
        let mut room = Room::new(self.rules.page_bytes);
        let mut components = Vec::new();
        let mut more = false;
        for row in self.store.after(&msg.after) {
            let Some(node) = self.store.node(row.node) else {
                continue;
            };
            if !room.take(row.bytes + node.bytes + LISTED_OVERHEAD) {
                more = true;
                break;
            }
            let link = links.link(row.node);
            let heard = self.leases.get(&row.node).map(|it| moment.since(it.heard));
            let just_now = link.map(|it| now.saturating_duration_since(it.last_heard));
            let heard = heard.into_iter().chain(just_now).min().unwrap_or_default();
            let grant = self.grants.get(row.facts.name.as_str());
            components.push(Listed {
                name: row.facts.name.clone(),
                groups: row.facts.groups.clone(),
                node: node.facts.id.clone(),
                host: node.facts.host.clone(),
                program: node.facts.program.clone(),
                pid: node.facts.pid,
                endpoints: node.facts.endpoints.clone(),
                connected: link.is_some_and(|it| it.connected),
                heard_ms_ago: millis(heard),
                age_ms: grant.map_or(0, |it| millis(moment.since(it.since))),
                messages: row.facts.messages.clone(),
                streams: row.facts.streams.clone(),
            });
        }
        ListReply {
            epoch: self.epoch(),
            recovering: self.is_recovering(),
            revision: self.store.revision(),
            components,
            more,
        }
    }
}

fn entry(row: &ComponentRow) -> Entry {
    Entry {
        component: (*row.facts).clone(),
        node: row.node.to_string(),
        revision: row.revision,
    }
}
