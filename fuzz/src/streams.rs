//! A publisher's and a subscriber's end of a bulk connection do anything, in any order. Every item is received
//! whole or accounted for, nothing is held beyond what was granted, and at the end nothing is left.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use botzilla_wire::{
    Encoding, Lane, Limits,
    code::{CloseReason, EndCode},
    output::Output,
    stream::{
        End, Event, Granted, Mode, NotPushed, Outgoing, StreamSession, Subscribe, SubscriberId,
        SubscriptionId,
    },
};
use bytes::BytesMut;

use crate::pair::{Guard, bytes_of, drain, established, guard, limits, name, start};

/// A record has at most 256 KiB: the last ones are long, and the very last is too large.
const LENGTHS: [usize; 12] = [
    0, 1, 2, 10, 100, 1_000, 1_001, 5_000, 70_000, 262_000, 300_000, 700_000,
];
const STEPS: usize = 200;

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Step {
    Subscribe {
        reliable: bool,
        depth: u8,
        items: u8,
        bytes: u32,
        refuse: bool,
    },
    Publish {
        which: u8,
        len: u8,
        passed_over: u8,
        thinned: u8,
    },
    Consume(u8),
    Unsubscribe(u8),
    End {
        which: u8,
        flush: bool,
    },
    /// One call of `poll_transmit` at the publisher, and so much of what is on the way arrives.
    Down(u16),
    DownAll,
    /// All that the subscriber has to say.
    Up,
    Close(bool),
}

/// One subscription as both of its owners see it.
#[derive(Debug, Default)]
struct Seen {
    reliable: bool,
    refused: bool,
    /// What was granted, less what was consumed.
    items: u64,
    bytes: u64,
    /// At the publisher: the next number; none once it is over.
    publishing: Option<u64>,
    thinned: u64,
    passed_over: u64,
    pushed: BTreeMap<u64, usize>,
    /// At the subscriber: the next number, what came and wasn't consumed.
    next: u64,
    told_thinned: u64,
    held: Vec<u64>,
    left: bool,
    ended: bool,
    granted: bool,
}

struct Bulk {
    session: StreamSession,
    input: BytesMut,
    wire: BytesMut,
}

struct Run {
    now: Instant,
    limits: Limits,
    publisher: Bulk,
    subscriber: Bulk,
    seen: Vec<Seen>,
    ours: Vec<SubscriptionId>,
    /// Those that weren't refused unasked, by number.
    theirs: BTreeMap<u32, SubscriberId>,
    closing: bool,
}

fn small_limits() -> Limits {
    limits(|limits| {
        limits.stream_payload = 600_000;
        limits.subscriptions = 6;
        limits.stream_depth = 5;
        limits.stream_queue = 400_000;
        limits.stream_queues = 1_000_000;
    })
}

impl Bulk {
    fn transmit_once(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Output::new();
        self.session.poll_transmit(now, &mut out);
        drain(&mut out)
    }

    fn receive(&mut self, now: Instant, count: usize) -> Vec<Event> {
        let part = self.wire.split_to(count.min(self.wire.len()));
        self.input.extend_from_slice(&part);
        let mut events = Vec::new();
        let session = &mut self.session;
        session.receive(now, &mut self.input, &mut events).unwrap();
        events
    }
}

impl Run {
    fn new(guard: Guard) -> Self {
        let now = start();
        let limits = small_limits();
        let (dialled, accepted) = established(guard, Lane::Bulk, &limits, now);
        let [subscriber, publisher] = [dialled, accepted].map(|established| Bulk {
            session: StreamSession::new(established, &limits, now),
            input: BytesMut::new(),
            wire: BytesMut::new(),
        });
        Self {
            now,
            limits,
            publisher,
            subscriber,
            seen: Vec::new(),
            ours: Vec::new(),
            theirs: BTreeMap::new(),
            closing: false,
        }
    }

    fn pick(&self, which: u8) -> Option<usize> {
        (!self.seen.is_empty()).then(|| usize::from(which) % self.seen.len())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Subscribe {
                reliable,
                depth,
                items,
                bytes,
                refuse,
            } => self.subscribe(reliable, depth, items, bytes, refuse),
            Step::Publish {
                which,
                len,
                passed_over,
                thinned,
            } => {
                let len = LENGTHS[usize::from(len) % LENGTHS.len()];
                self.publish(
                    which,
                    len,
                    u64::from(passed_over % 3),
                    u64::from(thinned % 3),
                );
            }
            Step::Consume(which) => {
                if let Some(index) = self.pick(which) {
                    let seen = &mut self.seen[index];
                    let held = std::mem::take(&mut seen.held);
                    let (items, bytes) = (held.len() as u64, held.iter().sum());
                    seen.items += items;
                    seen.bytes += bytes;
                    let session = &mut self.subscriber.session;
                    session.consumed(self.ours[index], items, bytes);
                }
            }
            Step::Unsubscribe(which) => {
                if let Some(index) = self.pick(which) {
                    self.subscriber.session.unsubscribe(self.ours[index]);
                    self.seen[index].left = true;
                }
            }
            Step::End { which, flush } => self.end(which, flush),
            Step::Down(count) => self.down(usize::from(count) * 16),
            Step::DownAll => self.down(usize::MAX),
            Step::Up => self.up(),
            Step::Close(by_publisher) => {
                self.closing = true;
                let end = if by_publisher {
                    &mut self.publisher
                } else {
                    &mut self.subscriber
                };
                end.session.close(CloseReason::Idle);
            }
        }
        self.bounds();
    }

    fn subscribe(&mut self, reliable: bool, depth: u8, items: u8, bytes: u32, refused: bool) {
        let mode = if reliable {
            Mode::Reliable
        } else {
            Mode::Latest
        };
        let asked = Subscribe {
            component: name("lidar"),
            stream: name(if refused { "none" } else { "scan" }),
            subscriber: None,
            encoding: Encoding::Bincode,
            fingerprint: Some([3; 8]),
            mode,
            depth: u32::from(depth),
            keep_last: 0,
            interval: Duration::ZERO,
            resumes: None,
            items: u64::from(items),
            bytes: u64::from(bytes),
        };
        let open = self.subscriber.session.subscriptions();
        let Some(id) = self.subscriber.session.subscribe(asked) else {
            assert!(self.closing || open >= self.limits.subscriptions as usize);
            return;
        };
        assert_eq!(id.number() as usize, self.ours.len());
        self.ours.push(id);
        self.seen.push(Seen {
            reliable,
            refused,
            items: u64::from(items).max(1),
            bytes: u64::from(bytes).max(1),
            ..Seen::default()
        });
    }

    fn publish(&mut self, which: u8, len: usize, passed_over: u64, thinned: u64) {
        let Some(index) = self.pick(which) else {
            return;
        };
        let seen = &mut self.seen[index];
        let Some(next) = &mut seen.publishing else {
            return;
        };
        // A reliable subscriber is passed over by nobody but a publisher that says so.
        let passed_over = if seen.reliable { 0 } else { passed_over };
        let seq = *next + passed_over + thinned;
        let item = Outgoing {
            seq,
            thinned,
            published: self.now,
            payload: bytes_of(len),
        };
        let id = self.theirs[&(index as u32)];
        let was_full = self.publisher.session.is_full(id, len);
        match self.publisher.session.push(id, item) {
            Ok(dropped) => {
                assert!(dropped == 0 || !seen.reliable);
                *next = seq + 1;
                seen.thinned += thinned;
                seen.passed_over += passed_over;
                seen.pushed.insert(seq, len);
            }
            Err(NotPushed::Full) => assert!(seen.reliable && was_full),
            Err(NotPushed::TooLarge { max }) => assert!(len > max),
            Err(NotPushed::NotOpen) => assert!(self.closing),
            Err(other) => panic!("{other}"),
        }
    }

    fn end(&mut self, which: u8, flush: bool) {
        let Some(index) = self.pick(which) else {
            return;
        };
        let seen = &mut self.seen[index];
        let Some(next) = seen.publishing.take() else {
            return;
        };
        // What is cut isn't reliable any more, but it is counted.
        seen.reliable &= flush;
        let end = End {
            code: EndCode::PublisherGone,
            detail: String::new(),
            next,
            thinned: 0,
            flush,
        };
        let id = self.theirs[&(index as u32)];
        self.publisher.session.end(id, end);
    }

    fn down(&mut self, count: usize) {
        let bytes = self.publisher.transmit_once(self.now);
        self.subscriber.wire.extend_from_slice(&bytes);
        while self.publisher.session.poll_room().is_some() {}
        for event in self.subscriber.receive(self.now, count) {
            self.heard(event);
        }
    }

    fn up(&mut self) {
        loop {
            let bytes = self.subscriber.transmit_once(self.now);
            if bytes.is_empty() {
                break;
            }
            self.publisher.wire.extend_from_slice(&bytes);
        }
        for event in self.publisher.receive(self.now, usize::MAX) {
            self.asked(event);
        }
    }

    /// At the publisher.
    fn asked(&mut self, event: Event) {
        match event {
            Event::Subscribe { id, request } => {
                let before = self.theirs.insert(id.number(), id);
                assert!(before.is_none(), "each number is used once");
                let seen = &mut self.seen[id.number() as usize];
                if seen.refused {
                    let end = End::refused(EndCode::NoSuchStream, "no");
                    self.publisher.session.end(id, end);
                    return;
                }
                let granted = Granted {
                    incarnation: 1,
                    next: 0,
                    encoding: request.encoding,
                    fingerprint: request.fingerprint,
                    mode: request.mode,
                    cuts_off: false,
                    depth: request.depth,
                    keep_last: 0,
                    interval: request.interval,
                };
                // It may have changed its mind in the same record.
                if let Some(depth) = self.publisher.session.accept(id, granted) {
                    assert!((1..=self.limits.stream_depth).contains(&depth));
                    seen.publishing = Some(0);
                }
            }
            Event::Unsubscribed { id } => self.seen[id.number() as usize].publishing = None,
            Event::Closed { .. } => assert!(self.closing),
            other => panic!("{other:?}"),
        }
    }

    /// At the subscriber.
    fn heard(&mut self, event: Event) {
        match event {
            Event::Subscribed { id, .. } => {
                let seen = &mut self.seen[id.number() as usize];
                assert!(!seen.refused && !seen.left && !seen.granted && !seen.ended);
                seen.granted = true;
            }
            Event::Item {
                id,
                seq,
                missed,
                thinned,
                payload,
                ..
            } => {
                let seen = &mut self.seen[id.number() as usize];
                assert!(seen.granted && !seen.left && !seen.ended);
                assert_eq!(seq, seen.next + missed + thinned);
                assert!(missed == 0 || !seen.reliable);
                assert_eq!(payload, bytes_of(seen.pushed[&seq]));
                // An item may begin while any bytes are left.
                assert!(seen.items > 0 && seen.bytes > 0, "beyond what was granted");
                seen.items -= 1;
                seen.bytes = seen.bytes.saturating_sub(payload.len() as u64);
                seen.next = seq + 1;
                seen.told_thinned += thinned;
                seen.held.push(payload.len() as u64);
            }
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
            Event::Closed { .. } => assert!(self.closing),
            other => panic!("{other:?}"),
        }
    }

    /// What waits at the publisher is within its bounds: one item of each subscriber always may.
    fn bounds(&self) {
        let mut all = 0;
        for id in self.theirs.values() {
            let (items, bytes) = self.publisher.session.queued(*id);
            assert!(items <= self.limits.stream_depth as usize);
            assert!(items <= 1 || bytes <= self.limits.stream_queue);
            if items > 1 {
                all += bytes;
            }
        }
        let one_each = self.theirs.len() * self.limits.stream_payload;
        assert!(all <= self.limits.stream_queues + one_each);
        assert!(self.publisher.session.subscribers() <= self.limits.subscriptions as usize);
    }

    /// Lets everything arrive and be consumed, and ends all.
    fn finish(mut self) {
        let mut round = 0;
        while round < 60 {
            // What has ended needs no more rounds.
            let is_over = |seen: &Seen| seen.ended || seen.left;
            round = if round > 1 && round < 57 && self.seen.iter().all(is_over) {
                57
            } else {
                round + 1
            };
            for index in 0..self.seen.len() {
                self.step(Step::Consume(index as u8));
                if round == 30 {
                    self.step(Step::End {
                        which: index as u8,
                        flush: true,
                    });
                }
            }
            self.up();
            while self.publisher.session.wants_transmit() || !self.subscriber.wire.is_empty() {
                self.down(usize::MAX);
            }
        }
        if self.closing {
            assert!(self.publisher.session.is_closed() && self.subscriber.session.is_closed());
            self.publisher.session.end_all();
            self.subscriber.session.end_all();
        } else {
            for seen in &self.seen {
                assert!(seen.left || seen.ended, "{seen:?}");
                if !seen.left && !seen.refused && seen.granted {
                    let last = seen.pushed.last_key_value().map_or(0, |(seq, _)| seq + 1);
                    assert_eq!(seen.next, last, "each is received or accounted for");
                    assert_eq!(seen.told_thinned, seen.thinned);
                }
            }
        }
        assert_eq!(self.subscriber.session.subscriptions(), 0);
        assert_eq!(self.publisher.session.subscribers(), 0);
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(guard) = guard(&mut input) else { return };
    let mut run = Run::new(guard);
    crate::steps(&mut input, STEPS, |step: Step| {
        run.step(step);
        ControlFlow::Continue(())
    });
    run.finish();
}
