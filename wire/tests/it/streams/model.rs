//! Anything goes, in any order: every item is received or accounted for, and nothing is left.

use std::collections::BTreeMap;

use botzilla_wire::{
    code::EndCode,
    stream::{End, Event, Mode, NotPushed, SubscriberId, SubscriptionId},
};
use bytes::Bytes;
use proptest::prelude::*;

use super::{BulkPair, ask, grant_all, outgoing};
use crate::pair::bytes_of;

#[derive(Debug, Clone, Copy)]
enum Step {
    Subscribe {
        reliable: bool,
        depth: u32,
        items: u64,
        bytes: u64,
    },
    Publish {
        which: usize,
        len: usize,
        thinned: u64,
    },
    Consume(usize),
    Unsubscribe(usize),
    End(usize, bool),
    /// One call of `poll_transmit` at the publisher.
    Down,
    /// All that the subscriber has to say.
    Up,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![
        0_usize..200,
        200_000_usize..300_000,
        500_000_usize..1_500_000
    ];
    let step = prop_oneof![
        1 => (any::<bool>(), 1_u32..6, 1_u64..8, 1_u64..2_000_000).prop_map(
            |(reliable, depth, items, bytes)| Step::Subscribe { reliable, depth, items, bytes }
        ),
        6 => (any::<usize>(), len, 0_u64..3)
            .prop_map(|(which, len, thinned)| Step::Publish { which, len, thinned }),
        4 => any::<usize>().prop_map(Step::Consume),
        1 => any::<usize>().prop_map(Step::Unsubscribe),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, flush)| Step::End(which, flush)),
        4 => Just(Step::Down),
        3 => Just(Step::Up),
    ];
    proptest::collection::vec(step, 1..120)
}

/// One subscription as both of its owners see it.
#[derive(Debug, Default)]
struct Seen {
    reliable: bool,
    /// At the publisher: the next number, how many were thinned out; none once it is over.
    publishing: Option<u64>,
    thinned: u64,
    pushed: BTreeMap<u64, usize>,
    /// At the subscriber: the next number, what came and wasn't consumed.
    next: u64,
    told_thinned: u64,
    held: Vec<u64>,
    left: bool,
    ended: bool,
}

struct Model {
    pair: BulkPair,
    seen: Vec<Seen>,
    ours: Vec<SubscriptionId>,
    theirs: Vec<SubscriberId>,
}

impl Model {
    fn pick(&self, which: usize) -> Option<usize> {
        (!self.seen.is_empty()).then(|| which % self.seen.len())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Subscribe {
                reliable,
                depth,
                items,
                bytes,
            } => {
                let mode = if reliable {
                    Mode::Reliable
                } else {
                    Mode::Latest
                };
                let asked = ask(mode, depth, items, bytes);
                let id = self.pair.subscriber.session.subscribe(asked).unwrap();
                self.ours.push(id);
                self.seen.push(Seen {
                    reliable,
                    ..Seen::default()
                });
            }
            Step::Publish {
                which,
                len,
                thinned,
            } => self.publish(which, len, thinned),
            Step::Consume(which) => {
                if let Some(index) = self.pick(which) {
                    let held = std::mem::take(&mut self.seen[index].held);
                    let session = &mut self.pair.subscriber.session;
                    session.consumed(self.ours[index], held.len() as u64, held.iter().sum());
                }
            }
            Step::Unsubscribe(which) => {
                if let Some(index) = self.pick(which) {
                    self.pair.subscriber.session.unsubscribe(self.ours[index]);
                    self.seen[index].left = true;
                }
            }
            Step::End(which, flush) => {
                if let Some(index) = self.pick(which)
                    && let Some(next) = self.seen[index].publishing.take()
                {
                    let end = End {
                        code: EndCode::PublisherGone,
                        detail: String::new(),
                        next,
                        thinned: 0,
                        flush,
                    };
                    let seen = &mut self.seen[index];
                    // What is cut isn't reliable any more, but it is counted.
                    seen.reliable &= flush;
                    self.pair.publisher.session.end(self.theirs[index], end);
                }
            }
            Step::Down => {
                let now = self.pair.now;
                if let Some(bytes) = self.pair.publisher.transmit_once(now) {
                    self.pair.subscriber.receive(now, &bytes).unwrap();
                }
            }
            Step::Up => {
                let bytes = self.pair.subscriber.transmit(self.pair.now);
                self.pair.publisher.receive(self.pair.now, &bytes).unwrap();
            }
        }
        self.look();
    }

    fn publish(&mut self, which: usize, len: usize, thinned: u64) {
        let Some(index) = self.pick(which) else {
            return;
        };
        let seen = &mut self.seen[index];
        let Some(next) = &mut seen.publishing else {
            return;
        };
        let seq = *next + thinned;
        let item = outgoing(self.pair.now, seq, thinned, bytes_of(len));
        match self.pair.publisher.session.push(self.theirs[index], item) {
            Ok(dropped) => {
                assert!(dropped == 0 || !seen.reliable);
                *next = seq + 1;
                seen.thinned += thinned;
                seen.pushed.insert(seq, len);
            }
            Err(NotPushed::Full) => assert!(seen.reliable),
            Err(other) => panic!("{other}"),
        }
    }

    fn look(&mut self) {
        for event in self.pair.publisher.take_events() {
            match event {
                Event::Subscribe { id, request } => {
                    assert_eq!(id.number() as usize, self.theirs.len());
                    self.theirs.push(id);
                    let granted = grant_all(&request);
                    // It may have changed its mind in the same record.
                    if self.pair.publisher.session.accept(id, granted).is_some() {
                        self.seen[id.number() as usize].publishing = Some(0);
                    }
                }
                Event::Unsubscribed { id } => {
                    self.seen[id.number() as usize].publishing = None;
                }
                other => panic!("{other:?}"),
            }
        }
        for event in self.pair.subscriber.take_events() {
            match event {
                Event::Subscribed { .. } => {}
                Event::Item {
                    id,
                    seq,
                    missed,
                    thinned,
                    payload,
                    ..
                } => self.item(id, seq, missed, thinned, &payload),
                Event::Ended {
                    id,
                    missed,
                    thinned,
                    ..
                } => {
                    let seen = &mut self.seen[id.number() as usize];
                    assert!(!seen.left && !seen.ended);
                    assert!(missed == 0 || !seen.reliable);
                    seen.ended = true;
                    seen.next += missed + thinned;
                    seen.told_thinned += thinned;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn item(&mut self, id: SubscriptionId, seq: u64, missed: u64, thinned: u64, payload: &Bytes) {
        let seen = &mut self.seen[id.number() as usize];
        assert!(!seen.left && !seen.ended);
        assert_eq!(seq, seen.next + missed + thinned);
        assert!(missed == 0 || !seen.reliable);
        assert_eq!(*payload, bytes_of(seen.pushed[&seq]));
        seen.next = seq + 1;
        seen.told_thinned += thinned;
        seen.held.push(payload.len() as u64);
    }

    /// Lets everything arrive and be consumed, and ends all.
    fn finish(mut self) {
        for round in 0..200 {
            for index in 0..self.seen.len() {
                self.step(Step::Consume(index));
                if round == 100 {
                    self.step(Step::End(index, true));
                }
            }
            self.pair.settle();
            self.look();
        }
        for seen in &self.seen {
            assert!(seen.left || seen.ended, "{seen:?}");
            if !seen.left {
                let last = seen.pushed.last_key_value().map_or(0, |(seq, _)| seq + 1);
                assert_eq!(seen.next, last, "each is received or accounted for");
                assert_eq!(seen.told_thinned, seen.thinned);
            }
        }
        assert_eq!(self.pair.subscriber.session.subscriptions(), 0);
        assert_eq!(self.pair.publisher.session.subscribers(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_item_arrives_or_is_accounted_for_and_nothing_leaks(steps in steps()) {
        let mut model = Model {
            pair: BulkPair::new(),
            seen: Vec::new(),
            ours: Vec::new(),
            theirs: Vec::new(),
        };
        for step in steps {
            model.step(step);
        }
        model.finish();
    }
}
