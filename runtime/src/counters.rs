//! What went over connections that have ended, by peer and route.

use botzilla_wire::{
    NodeId,
    route::{Route, RouteCounters},
};
use rustc_hash::FxHashMap;

use crate::{Counters, Node, link};

/// One route's counts on this node.
#[crate::data]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteReport {
    /// Whether this node sent (as opposed to received) the messages.
    pub outbound: bool,
    /// The other node's id, 32 hex digits.
    pub peer: String,
    /// The component (or group) that they were for.
    pub target: String,
    /// The component that sent them; empty if none did.
    pub sender: String,
    /// The message's name.
    pub message: String,
    /// What became of them.
    pub counters: Counters,
}

/// Counts that outlive their connections. Bounded: the rarest go into one line a peer.
#[derive(Debug, Default)]
pub(crate) struct Past {
    routes: FxHashMap<Key, Counters>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    outbound: bool,
    peer: NodeId,
    target: String,
    sender: String,
    message: String,
}

const REMEMBERED: usize = 4096;

impl Past {
    pub(crate) fn add(&mut self, peer: NodeId, counters: link::Counters) {
        for (outbound, routes) in [(true, counters.outbound), (false, counters.inbound)] {
            for (route, counts) in routes {
                let mut key = Key::of(outbound, peer, &route);
                if self.routes.len() >= REMEMBERED && !self.routes.contains_key(&key) {
                    "(others)".clone_into(&mut key.target);
                    key.sender.clear();
                    key.message.clear();
                }
                self.routes.entry(key).or_default().add(counts.into());
            }
        }
    }
}

impl Key {
    fn of(outbound: bool, peer: NodeId, route: &Route) -> Self {
        Self {
            outbound,
            peer,
            target: route.scope.to_string(),
            sender: route.sender.as_deref().unwrap_or_default().to_owned(),
            message: route.message.clone(),
        }
    }
}

impl From<RouteCounters> for Counters {
    fn from(counts: RouteCounters) -> Self {
        Self {
            sent: counts.sent,
            delivered: counts.delivered,
            refused: counts.refused,
            failed: counts.failed,
            open: counts.open,
        }
    }
}

impl Node {
    /// What went to and came from other nodes, by route, since this node started: on both ends of a
    /// connection the same, once it was closed cleanly.
    pub fn counters(&self) -> Vec<RouteReport> {
        let inner = self.inner();
        let mut all = Past { routes: inner.past().lock().routes.clone() };
        for link in inner.links().all() {
            all.add(link.peer(), link.counters());
        }
        let mut reports: Vec<_> = all
            .routes
            .into_iter()
            .map(|(key, counters)| RouteReport {
                outbound: key.outbound,
                peer: key.peer.to_string(),
                target: key.target,
                sender: key.sender,
                message: key.message,
                counters,
            })
            .collect();
        reports.sort_unstable_by(|a, b| {
            (&a.target, &a.message, &a.sender, &a.peer, a.outbound)
                .cmp(&(&b.target, &b.message, &b.sender, &b.peer, b.outbound))
        });
        reports
    }
}
