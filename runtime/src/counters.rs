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
    /// The other node's id, 32 hex digits; empty in the line `(others)`, the sum of those of long ago.
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

/// Counts that outlive their connections. Bounded: those that weren't added to for longest are
/// summed up in one line a direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    routes: FxHashMap<Key, Line>,
    /// What was forgotten: sent, received.
    others: [Counters; 2],
    /// Goes up with each connection's end.
    age: u64,
}

#[derive(Debug, Clone, Default)]
struct Line {
    counters: Counters,
    age: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    outbound: bool,
    peer: NodeId,
    target: String,
    sender: String,
    message: String,
}

/// Lines that are remembered one by one.
const REMEMBERED: usize = 1024;
/// Lines that are forgotten at a time, so that not each new one costs a search.
const FORGOTTEN: usize = REMEMBERED / 4;
/// The target that stands for those that were forgotten.
const OTHERS: &str = "(others)";

impl Past {
    pub(crate) fn add(&mut self, peer: NodeId, counters: link::Counters) {
        self.age += 1;
        self.sum_up(peer, counters);
        if self.routes.len() > REMEMBERED {
            self.forget();
        }
    }

    fn sum_up(&mut self, peer: NodeId, counters: link::Counters) {
        for (outbound, routes) in [(true, counters.outbound), (false, counters.inbound)] {
            for (route, counts) in routes {
                let line = self
                    .routes
                    .entry(Key::of(outbound, peer, &route))
                    .or_default();
                line.counters.add(counts.into());
                line.age = self.age;
            }
        }
    }

    fn forget(&mut self) {
        let excess = self.routes.len() - (REMEMBERED - FORGOTTEN);
        let mut ages: Vec<_> = self.routes.values().map(|line| line.age).collect();
        let (_, &mut youngest, _) = ages.select_nth_unstable(excess - 1);
        let others = &mut self.others;
        // Of one connection's lines all go or all stay: nobody misses a part of them.
        self.routes.retain(|key, line| {
            let goes = line.age <= youngest;
            if goes {
                others[usize::from(!key.outbound)].add(line.counters);
            }
            !goes
        });
    }

    fn reports(self) -> Vec<RouteReport> {
        let lines = self.routes.into_iter().map(|(key, line)| RouteReport {
            outbound: key.outbound,
            peer: key.peer.to_string(),
            target: key.target,
            sender: key.sender,
            message: key.message,
            counters: line.counters,
        });
        let others = [true, false].into_iter().zip(self.others);
        let others = others.filter(|(_, counters)| counters.sent > 0);
        let others = others.map(|(outbound, counters)| RouteReport {
            outbound,
            peer: String::new(),
            target: OTHERS.to_owned(),
            sender: String::new(),
            message: String::new(),
            counters,
        });
        lines.chain(others).collect()
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
    /// What went to and came from other nodes, by route, since this node started. Both ends of a
    /// connection say the same once it was closed cleanly, but for messages that crossed the close:
    /// only their sender counts those. A connection on which more routes were used than
    /// [`Limits::routes`](crate::Limits::routes) gives the number of an idle one to another, and
    /// what was counted for the idle one is gone on both ends.
    pub fn counters(&self) -> Vec<RouteReport> {
        let inner = self.inner();
        let mut all = inner.past().lock().clone();
        for link in inner.links().all() {
            all.sum_up(link.peer(), link.counters());
        }
        let mut reports = all.reports();
        reports.sort_unstable_by(|a, b| {
            (&a.target, &a.message, &a.sender, &a.peer, a.outbound)
                .cmp(&(&b.target, &b.message, &b.sender, &b.peer, b.outbound))
        });
        reports
    }
}

#[cfg(test)]
mod tests {
    use botzilla_wire::{Encoding, route::Scope};

    use super::*;

    fn connection(target: usize) -> link::Counters {
        let route = Route {
            scope: Scope::Component(format!("c{target}").parse().unwrap()),
            sender: None,
            message: "Ping".to_owned(),
            encoding: Encoding::Json,
            fingerprint: None,
            urgent: false,
        };
        let mut counts = RouteCounters::default();
        (counts.sent, counts.delivered, counts.failed) = (2, 1, 1);
        link::Counters {
            outbound: vec![(route.clone(), counts)],
            inbound: vec![(route, counts)],
        }
    }

    #[test]
    fn what_peers_without_end_leave_is_bounded_and_adds_up() {
        let mut past = Past::default();
        for peer in 0..5_000_u128 {
            past.add(NodeId(peer.to_be_bytes()), connection(1));
        }
        let reports = past.reports();
        assert!(reports.len() <= REMEMBERED + 2, "{}", reports.len());
        for outbound in [true, false] {
            let mine = reports.iter().filter(|report| report.outbound == outbound);
            assert_eq!(mine.map(|report| report.counters.sent).sum::<u64>(), 10_000);
        }
        let newest = NodeId(4_999_u128.to_be_bytes()).to_string();
        assert!(reports.iter().any(|report| report.peer == newest));
        assert!(
            reports
                .iter()
                .any(|report| report.target == OTHERS && report.peer.is_empty())
        );
    }
}
