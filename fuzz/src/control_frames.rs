//! What a peer that holds the keys may say to a session, in good records. It ends the connection or is
//! within bounds; what the owner sent ends once; and after an error nothing has any effect.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use botzilla_wire::{
    Kind, Lane, Limits,
    code::{CloseReason, Code, Failure},
    keys::TAG_LEN,
    output::Output,
    record::{LENGTH_LEN, record_max},
    session::{Event, Send, Session},
};
use bytes::BytesMut;

use crate::pair::{Forger, SECOND, TAGS, bytes_of, drain, established, limits, route, start};
use crate::said::{Control, Memory, read_again};

const STEPS: usize = 300;

#[derive(Debug, Arbitrary)]
enum Step {
    /// One record with so many frames.
    Say(Vec<Control>),
    Send {
        to: u8,
        urgent: bool,
        ask: bool,
        len: u16,
    },
    Cancel(u8),
    Answer {
        which: u8,
        how: u8,
        len: u16,
    },
    Transmit,
    Wait(u16),
    Close,
}

struct Run {
    now: Instant,
    limits: Limits,
    forger: Forger,
    memory: Memory,
    session: Session<u64>,
    input: BytesMut,
    /// Handles by token of what hasn't ended.
    open: BTreeMap<u64, u64>,
    next_token: u64,
    /// What is owed an end, with the payload's length.
    owed: BTreeMap<u64, usize>,
    seen: BTreeSet<u64>,
    failed: bool,
}

impl Run {
    fn new() -> Self {
        let now = start();
        let limits = limits(|limits| {
            limits.payload = 50_000;
            limits.messages_per_connection = 100;
            limits.bytes_per_connection = 200_000;
            limits.reply_bytes = 100_000;
            limits.messages_per_target = 20;
            limits.routes = 100;
        });
        let (dialled, accepted) = established(TAGS, Lane::Control, &limits, now);
        Self {
            now,
            forger: Forger::new(&dialled.keys),
            memory: Memory::default(),
            session: Session::new(accepted, &limits, now),
            limits,
            input: BytesMut::new(),
            open: BTreeMap::new(),
            next_token: 0,
            owed: BTreeMap::new(),
            seen: BTreeSet::new(),
            failed: false,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Say(frames) => self.say(frames),
            Step::Send {
                to,
                urgent,
                ask,
                len,
            } => {
                let Some(number) = self.session.route(&route(to, urgent)) else {
                    return;
                };
                let send = Send {
                    route: number,
                    kind: if ask { Kind::Ask } else { Kind::Tell },
                    deadline: self.now + SECOND,
                    path: &[],
                    payload: bytes_of(len.into()),
                };
                let token = self.next_token;
                if let Ok(handle) = self.session.try_send(send, token) {
                    assert!(!self.failed);
                    self.next_token += 1;
                    self.open.insert(token, handle);
                }
            }
            Step::Cancel(which) => {
                let which = usize::from(which) % self.open.len().max(1);
                if let Some((&token, &handle)) = self.open.iter().nth(which) {
                    let back = self.session.cancel(handle);
                    assert!(back.is_none_or(|back| back == token));
                    self.open.remove(&token);
                }
            }
            Step::Answer { which, how, len } => {
                let which = usize::from(which) % self.owed.len().max(1);
                if let Some((&id, _)) = self.owed.iter().nth(which) {
                    self.owed.remove(&id);
                    match how % 4 {
                        0 => self.session.delivered(id),
                        1 => {
                            let detail = "x".repeat(len.into());
                            self.session
                                .fail(id, Failure::refused(Code::Denied, detail));
                        }
                        _ => self.session.reply(id, bytes_of(len.into())),
                    }
                }
            }
            Step::Transmit => {
                let mut out = Output::new();
                while self.session.poll_transmit(self.now, &mut out) {
                    drain(&mut out);
                }
                assert!(!self.session.wants_transmit());
            }
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms.into());
                self.failed |= self.session.handle_timeout(self.now).is_err();
            }
            Step::Close => self.session.close(CloseReason::Idle),
        }
        let unended = self.session.owed();
        assert!(unended <= self.limits.messages_per_connection as usize);
        let bytes: usize = self.owed.values().sum();
        assert!(bytes as u64 <= self.limits.bytes_per_connection);
        assert_eq!(self.session.awaited_here(), self.open.len());
    }

    fn say(&mut self, frames: Vec<Control>) {
        let mut body = Vec::new();
        for frame in frames {
            frame.put(&mut self.memory, &mut body);
        }
        body.truncate(record_max(Lane::Control) - LENGTH_LEN - TAG_LEN);
        read_again(&body);
        let record = self.forger.record(&body);
        self.input.extend_from_slice(&record);
        let mut events = Vec::new();
        let result = self.session.receive(self.now, &mut self.input, &mut events);
        assert!(!self.failed || (result.is_err() && events.is_empty()));
        self.failed |= result.is_err();
        for event in events {
            match event {
                Event::Request { id, payload, .. } => {
                    assert!(payload.len() <= self.limits.payload);
                    assert!(self.seen.insert(id), "{id} came twice");
                    self.owed.insert(id, payload.len());
                }
                Event::Replied { token, .. }
                | Event::Delivered { token }
                | Event::Failed { token, .. } => {
                    assert!(self.open.remove(&token).is_some(), "{token} ended twice");
                }
                Event::Cancelled { id } => assert!(self.owed.contains_key(&id)),
                Event::Routed { .. }
                | Event::Credit { .. }
                | Event::Drained
                | Event::Closed { .. } => {}
                other => panic!("{other:?}"),
            }
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
    let rest: Vec<u64> = run.session.end().into_iter().map(|ended| ended.0).collect();
    assert_eq!(rest, run.open.keys().copied().collect::<Vec<_>>());
    assert_eq!((run.session.open(), run.session.owed()), (0, 0));
}
