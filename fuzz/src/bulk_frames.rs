//! What a peer that holds the keys may say to a bulk session, in good records. It ends the connection or is
//! within what was granted, and after an error nothing has any effect.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use botzilla_wire::{
    Encoding, Lane, Limits,
    code::{CloseReason, EndCode},
    keys::TAG_LEN,
    output::Output,
    record::{LENGTH_LEN, record_max},
    stream::{
        End, Event, Granted, Mode, Outgoing, StreamSession, Subscribe, SubscriberId, SubscriptionId,
    },
};
use bytes::BytesMut;

use crate::pair::{Forger, TAGS, bytes_of, drain, established, limits, name, start};
use crate::said::{Bulk, Memory, read_again};

const STEPS: usize = 300;

#[derive(Debug, Arbitrary)]
enum Step {
    /// One record with so many frames.
    Say(Vec<Bulk>),
    Subscribe {
        items: u8,
        bytes: u16,
    },
    Unsubscribe(u8),
    Consume(u8),
    Accept {
        which: u8,
        next: u64,
    },
    End {
        which: u8,
        flush: bool,
        next: u64,
    },
    Push {
        which: u8,
        passed_over: u64,
        thinned: u64,
        len: u32,
    },
    Transmit,
    Wait(u16),
    Close,
}

/// A subscription of ours.
#[derive(Debug)]
struct Ours {
    id: SubscriptionId,
    granted: (u64, u64),
    held: Vec<u64>,
    next: Option<u64>,
    is_over: bool,
}

struct Run {
    now: Instant,
    limits: Limits,
    forger: Forger,
    memory: Memory,
    session: StreamSession,
    input: BytesMut,
    ours: Vec<Ours>,
    theirs: BTreeMap<u32, (SubscriberId, Box<Subscribe>, u64)>,
    failed: bool,
}

impl Run {
    fn new() -> Self {
        let now = start();
        let limits = limits(|limits| {
            limits.stream_payload = 1_000_000;
            limits.subscriptions = 20;
            limits.stream_depth = 10;
            limits.stream_queue = 1_000_000;
            limits.stream_queues = 2_000_000;
        });
        let (dialled, accepted) = established(TAGS, Lane::Bulk, &limits, now);
        Self {
            now,
            forger: Forger::new(&dialled.keys),
            memory: Memory::default(),
            session: StreamSession::new(accepted, &limits, now),
            limits,
            input: BytesMut::new(),
            ours: Vec::new(),
            theirs: BTreeMap::new(),
            failed: false,
        }
    }

    fn one_of_theirs(&self, which: u8) -> Option<u32> {
        let which = usize::from(which) % self.theirs.len().max(1);
        self.theirs.keys().nth(which).copied()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Say(frames) => self.say(frames),
            Step::Subscribe { items, bytes } => {
                let asked = Subscribe {
                    component: name("lidar"),
                    stream: name("scan"),
                    subscriber: None,
                    encoding: Encoding::Bincode,
                    fingerprint: None,
                    mode: Mode::Latest,
                    depth: 1,
                    keep_last: 0,
                    interval: Duration::ZERO,
                    resumes: None,
                    items: items.into(),
                    bytes: bytes.into(),
                };
                if let Some(id) = self.session.subscribe(asked) {
                    self.ours.push(Ours {
                        id,
                        granted: (u64::from(items).max(1), u64::from(bytes).max(1)),
                        held: Vec::new(),
                        next: None,
                        is_over: false,
                    });
                }
            }
            Step::Unsubscribe(which) => {
                let which = usize::from(which) % self.ours.len().max(1);
                if let Some(ours) = self.ours.get_mut(which) {
                    self.session.unsubscribe(ours.id);
                    ours.is_over = true;
                }
            }
            Step::Consume(which) => {
                let which = usize::from(which) % self.ours.len().max(1);
                if let Some(ours) = self.ours.get_mut(which) {
                    let held = std::mem::take(&mut ours.held);
                    let (items, bytes) = (held.len() as u64, held.iter().sum());
                    ours.granted.0 += items;
                    ours.granted.1 += bytes;
                    self.session.consumed(ours.id, items, bytes);
                }
            }
            Step::Accept { which, next } => self.accept(which, next),
            Step::End { which, flush, next } => {
                if let Some(which) = self.one_of_theirs(which) {
                    let (id, _, _) = self.theirs[&which];
                    let end = End {
                        code: EndCode::Stopped,
                        detail: "x".repeat((next % 20_000) as usize),
                        next,
                        thinned: next / 2,
                        flush,
                    };
                    self.session.end(id, end);
                }
            }
            Step::Push {
                which,
                passed_over,
                thinned,
                len,
            } => {
                if let Some(which) = self.one_of_theirs(which) {
                    let (id, _, next) = self.theirs.get_mut(&which).unwrap();
                    let item = Outgoing {
                        seq: next.saturating_add(passed_over),
                        thinned,
                        published: self.now,
                        payload: bytes_of(len as usize % 1_100_000),
                    };
                    let after = item.seq.saturating_add(1);
                    if self.session.push(*id, item).is_ok() {
                        *next = after;
                    }
                }
            }
            Step::Transmit => {
                let mut out = Output::new();
                while self.session.poll_transmit(self.now, &mut out) {
                    drain(&mut out);
                }
                assert!(!self.session.wants_transmit());
                while self.session.poll_room().is_some() {}
            }
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms.into());
                self.failed |= self.session.handle_timeout(self.now).is_err();
            }
            Step::Close => self.session.close(CloseReason::Idle),
        }
        assert!(self.session.subscribers() <= self.limits.subscriptions as usize);
        assert!(self.session.subscriptions() <= self.limits.subscriptions as usize);
    }

    fn accept(&mut self, which: u8, next: u64) {
        let Some(which) = self.one_of_theirs(which) else {
            return;
        };
        let (id, request, pushed) = self.theirs.get_mut(&which).unwrap();
        let granted = Granted {
            incarnation: 1,
            next,
            encoding: request.encoding,
            fingerprint: request.fingerprint,
            mode: request.mode,
            cuts_off: false,
            depth: request.depth,
            keep_last: 0,
            interval: request.interval,
        };
        if self.session.accept(*id, granted).is_some() {
            *pushed = next;
        }
    }

    fn say(&mut self, frames: Vec<Bulk>) {
        let mut body = Vec::new();
        for frame in frames {
            frame.put(&mut self.memory, &mut body);
        }
        body.truncate(record_max(Lane::Bulk) - LENGTH_LEN - TAG_LEN);
        read_again(&body);
        let record = self.forger.record(&body);
        self.input.extend_from_slice(&record);
        let mut events = Vec::new();
        let result = self.session.receive(self.now, &mut self.input, &mut events);
        assert!(!self.failed || (result.is_err() && events.is_empty()));
        self.failed |= result.is_err();
        for event in events {
            self.event(event);
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Subscribe { id, request } => {
                let before = self.theirs.insert(id.number(), (id, request, 0));
                assert!(before.is_none(), "each number is used once");
            }
            Event::Unsubscribed { id } => assert!(self.theirs.contains_key(&id.number())),
            Event::Subscribed { id, granted } => {
                let ours = &mut self.ours[id.number() as usize];
                assert!(ours.next.is_none() && !ours.is_over);
                ours.next = Some(granted.next);
            }
            Event::Item {
                id,
                seq,
                missed,
                thinned,
                payload,
                ..
            } => {
                let ours = &mut self.ours[id.number() as usize];
                assert!(!ours.is_over && payload.len() <= self.limits.stream_payload);
                let (items, bytes) = &mut ours.granted;
                assert!(*items > 0 && *bytes > 0, "beyond what was granted");
                *items -= 1;
                *bytes = bytes.saturating_sub(payload.len() as u64);
                let next = ours.next.unwrap();
                let expected = next
                    .checked_add(missed)
                    .and_then(|it| it.checked_add(thinned));
                assert_eq!(expected, Some(seq));
                ours.next = Some(seq + 1);
                ours.held.push(payload.len() as u64);
            }
            Event::Ended { id, .. } => {
                let ours = &mut self.ours[id.number() as usize];
                assert!(
                    !std::mem::replace(&mut ours.is_over, true),
                    "it ended twice"
                );
            }
            Event::Drained | Event::Closed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut run = Run::new();
    crate::steps(&mut input, STEPS, |step: Step| {
        run.step(step);
        ControlFlow::Continue(())
    });
    run.session.end_all();
    assert_eq!(run.session.subscribers(), 0);
}
