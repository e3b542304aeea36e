//! Two owners of a control connection do anything, in any order. Each message ends once, what comes is in
//! order and whole, credit comes back, and what is held stays within the bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Instant;

use arbitrary::{Arbitrary, Unstructured};
use botzilla_wire::{
    Kind, Lane, Limits,
    code::{CloseReason, Code, Failure},
    output::Output,
    route::Scope,
    session::{Event, Send, Session, Short},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::pair::{Guard, SECOND, bytes_of, drain, established, guard, limits, name, route, start};

/// A record of ours has at most 32 KiB: the last ones are long, and the very last is too large.
const SIZES: [usize; 8] = [8, 9, 300, 9_000, 32_800, 45_000, 75_000, 90_000];
const STEPS: usize = 200;

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Step {
    Send {
        route: u8,
        urgent: bool,
        ask: bool,
        size: u8,
        path: u8,
    },
    Cancel(u8),
    Answer {
        which: u8,
        how: u8,
        size: u8,
    },
    /// Seals, and lets so much of what is on the way arrive.
    Carry(u16),
    CarryAll,
    Wait(u8),
    Close(u8),
}

/// How a message ended for its sender.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    Bad(Failure),
    /// Withdrawn or aborted: it never ran.
    Withdrawn,
    /// Nobody waited.
    Abandoned,
}

/// One owner: its session, and what it believes.
struct Owner {
    session: Session<u64>,
    input: BytesMut,
    next_token: u64,
    /// Handles of messages that haven't ended, by token.
    open: BTreeMap<u64, u64>,
    outcomes: BTreeMap<u64, Outcome>,
    line_of: BTreeMap<u64, (Scope, bool)>,
    /// What it was asked and owes an end: id, the other's token, and the payload's length.
    owed: Vec<(u64, u64, usize)>,
    cancelled: BTreeSet<u64>,
    /// Tokens of the other's messages that came, in the order they came.
    came: Vec<u64>,
    /// What is on its way to it.
    wire: BytesMut,
    was_closed: bool,
}

struct Run {
    now: Instant,
    limits: Limits,
    owners: [Owner; 2],
    draining: bool,
}

fn small_limits() -> Limits {
    limits(|limits| {
        limits.payload = 80_000;
        limits.messages_per_target = 5;
        limits.urgent_per_target = 2;
        limits.messages_per_connection = 12;
        limits.bytes_per_connection = 200_000;
        limits.reply_bytes = 100_000;
        limits.routes = 6;
        limits.control_record = 32 * 1024;
    })
}

fn whole(token: u64, size: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(size);
    bytes.put_u64(token);
    bytes.put(rest(token, size - bytes.len()));
    bytes.freeze()
}

/// What follows on the token, of each another.
fn rest(token: u64, len: usize) -> Bytes {
    let skipped = (token % 100) as usize;
    bytes_of(skipped + len).slice(skipped..)
}

impl Owner {
    fn end(&mut self, token: u64, outcome: Outcome) {
        assert!(self.open.remove(&token).is_some(), "{token} ended twice");
        assert!(self.outcomes.insert(token, outcome).is_none());
    }

    fn note(&mut self, events: Vec<Event<u64>>, limits: &Limits) {
        for event in events {
            assert!(!self.was_closed, "nothing follows a close: {event:?}");
            match event {
                Event::Request {
                    id, mut payload, ..
                } => {
                    let len = payload.len();
                    let token = payload.get_u64();
                    let is_whole = payload == rest(token, payload.len());
                    assert!(is_whole, "{token} didn't arrive whole");
                    self.owed.push((id, token, len));
                    self.came.push(token);
                }
                Event::Replied { token, payload } => {
                    assert_eq!(payload, whole(token, payload.len()), "{token}'s reply");
                    self.end(token, Outcome::Good);
                }
                Event::Delivered { token } => self.end(token, Outcome::Good),
                Event::Failed { token, failure } => self.end(token, Outcome::Bad(failure)),
                Event::Cancelled { id } => {
                    let is_owed = self.owed.iter().any(|owed| owed.0 == id);
                    assert!(is_owed && self.cancelled.insert(id));
                }
                Event::Closed { .. } => self.was_closed = true,
                Event::Routed { .. } | Event::Credit { .. } | Event::Drained => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(self.owed.len() <= limits.messages_per_connection as usize);
        let bytes: usize = self.owed.iter().map(|owed| owed.2).sum();
        assert!(bytes as u64 <= limits.bytes_per_connection);
    }
}

impl Run {
    fn new(guard: Guard, limits: Limits) -> Self {
        let now = start();
        let (dialled, accepted) = established(guard, Lane::Control, &limits, now);
        let owners = [dialled, accepted].map(|established| Owner {
            session: Session::new(established, &limits, now),
            input: BytesMut::new(),
            next_token: 0,
            open: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            line_of: BTreeMap::new(),
            owed: Vec::new(),
            cancelled: BTreeSet::new(),
            came: Vec::new(),
            wire: BytesMut::new(),
            was_closed: false,
        });
        Self {
            now,
            limits,
            owners,
            draining: false,
        }
    }

    fn act(&mut self, side: usize, step: Step) {
        let owner = &mut self.owners[side];
        match step {
            Step::Send {
                route,
                urgent,
                ask,
                size,
                path,
            } => {
                let size = SIZES[usize::from(size) % SIZES.len()];
                self.send(side, route, urgent, ask, size, usize::from(path) % 17);
            }
            Step::Cancel(which) => {
                let open = &owner.open;
                let Some((&token, &handle)) =
                    open.iter().nth(usize::from(which) % open.len().max(1))
                else {
                    return;
                };
                let outcome = match owner.session.cancel(handle) {
                    Some(back) => {
                        assert_eq!(back, token);
                        Outcome::Withdrawn
                    }
                    None => Outcome::Abandoned,
                };
                owner.end(token, outcome);
            }
            Step::Answer { which, how, size } => {
                if owner.owed.is_empty() {
                    return;
                }
                let (id, token, _) = owner.owed.remove(usize::from(which) % owner.owed.len());
                assert!(owner.session.owes(id));
                match how % 4 {
                    0 => owner
                        .session
                        .fail(id, Failure::refused(Code::Overloaded, "busy")),
                    1 => owner
                        .session
                        .fail(id, Failure::failed(Code::Panicked, "oh")),
                    2 => owner.session.delivered(id),
                    _ => {
                        let size = SIZES[usize::from(size) % SIZES.len()];
                        owner.session.reply(id, whole(token, size));
                    }
                }
                assert!(!owner.session.owes(id));
                // What has ended is left alone.
                owner.session.delivered(id);
            }
            Step::Carry(count) => self.carry(side, usize::from(count)),
            Step::CarryAll => self.carry(side, usize::MAX),
            Step::Wait(quarters) => {
                self.now += SECOND / 4 * u32::from(quarters % 4);
                for owner in &mut self.owners {
                    if owner.session.poll_timeout() <= self.now {
                        // Nobody dies of it: what is on its way counts as heard.
                        let heard = owner.session.last_received() + SECOND;
                        let _ = owner.session.handle_timeout(self.now.min(heard));
                    }
                }
            }
            // Another connection is to take this one's place.
            Step::Close(why) if why >= 128 => {
                self.draining = true;
                owner.session.drain();
            }
            Step::Close(why) => owner
                .session
                .close(CloseReason::from_number(u16::from(why))),
        }
        let owner = &self.owners[side];
        assert!(owner.session.open() <= self.limits.messages_per_connection as usize);
        assert_eq!(owner.session.awaited_here(), owner.open.len());
        // One more may be arriving, that the owner wasn't told of.
        let arriving = owner.session.owed().checked_sub(owner.owed.len());
        assert!(matches!(arriving, Some(0 | 1)), "{arriving:?}");
    }

    fn send(&mut self, side: usize, to: u8, urgent: bool, ask: bool, size: usize, path: usize) {
        let owner = &mut self.owners[side];
        let to = route(to, urgent);
        let Some(number) = owner.session.route(&to) else {
            return;
        };
        let token = owner.next_token;
        let send = Send {
            route: number,
            kind: if ask { Kind::Ask } else { Kind::Tell },
            deadline: self.now + 5 * SECOND,
            path: &vec![name("asker"); path],
            payload: whole(token, size),
        };
        match owner.session.try_send(send, token) {
            Ok(handle) => {
                owner.next_token += 1;
                owner.open.insert(token, handle);
                owner.line_of.insert(token, (to.scope, urgent));
            }
            Err((back, short)) => {
                assert_eq!(back, token, "the token comes back");
                let is_too_large = matches!(short, Short::TooLarge { .. });
                let is_closing = matches!(short, Short::Closing);
                assert!(is_closing || is_too_large == (size > self.limits.payload));
            }
        }
    }

    fn carry(&mut self, side: usize, count: usize) {
        let mut out = Output::new();
        self.owners[side].session.poll_transmit(self.now, &mut out);
        let bytes = drain(&mut out);
        let other = &mut self.owners[1 - side];
        other.wire.extend_from_slice(&bytes);
        let part = other.wire.split_to(count.min(other.wire.len()));
        other.input.extend_from_slice(&part);
        let mut events = Vec::new();
        other
            .session
            .receive(self.now, &mut other.input, &mut events)
            .unwrap();
        other.note(events, &self.limits);
    }

    /// Carries everything, without anyone answering.
    fn carry_all(&mut self) {
        loop {
            let mut moved = false;
            for side in [0, 1] {
                moved |= self.owners[side].session.wants_transmit();
                moved |= !self.owners[1 - side].wire.is_empty();
                self.carry(side, usize::MAX);
            }
            if !moved {
                return;
            }
        }
    }

    fn finish(mut self) {
        for _ in 0..100 {
            self.carry_all();
            if self.owners.iter().all(|owner| owner.owed.is_empty()) {
                break;
            }
            for side in [0, 1] {
                while !self.owners[side].owed.is_empty() {
                    let (which, how, size) = (0, 3, 1);
                    self.act(side, Step::Answer { which, how, size });
                }
            }
        }
        self.carry_all();
        let is_closed = self
            .owners
            .each_ref()
            .map(|owner| owner.session.is_closed());
        assert_eq!(is_closed[0], is_closed[1]);
        if is_closed[0] {
            self.rest();
        } else {
            for side in [0, 1] {
                let owner = &self.owners[side];
                assert_eq!((owner.session.open(), owner.session.owed()), (0, 0));
                assert!(owner.open.is_empty());
                if self.draining {
                    assert!(owner.session.is_drained());
                    continue;
                }
                // All credit but what isn't stated yet has come back.
                let taken = (0..100).take_while(|_| self.tries(side)).count();
                assert!(
                    taken + 1 >= self.limits.messages_per_target as usize,
                    "{taken}"
                );
            }
        }
        for (sender, receiver) in [(0, 1), (1, 0)] {
            check(&self.owners[sender], &self.owners[receiver]);
        }
    }

    /// A closed connection: what is open ends here, each with whether it may have run.
    fn rest(&mut self) {
        for side in [0, 1] {
            let came: BTreeSet<u64> = self.owners[1 - side].came.iter().copied().collect();
            let owner = &mut self.owners[side];
            for (token, may_have_run, _) in owner.session.end() {
                assert_eq!(may_have_run, came.contains(&token), "{token}");
                owner.end(token, Outcome::Abandoned);
            }
            assert!(owner.open.is_empty());
            assert_eq!(owner.outcomes.len() as u64, owner.next_token);
        }
    }

    /// Whether a tell of 8 bytes to a fresh target is taken.
    fn tries(&mut self, side: usize) -> bool {
        let session = &mut self.owners[side].session;
        let Some(number) = session.route(&route(7, false)) else {
            return false;
        };
        let send = Send {
            route: number,
            kind: Kind::Tell,
            deadline: self.now + SECOND,
            path: &[],
            payload: whole(0, 8),
        };
        session.try_send(send, 0).is_ok()
    }
}

/// What one owner sent and the other heard of it.
fn check(sender: &Owner, receiver: &Owner) {
    let came: BTreeSet<u64> = receiver.came.iter().copied().collect();
    assert_eq!(came.len(), receiver.came.len(), "none came twice");
    for (token, outcome) in &sender.outcomes {
        match outcome {
            Outcome::Good => assert!(came.contains(token)),
            Outcome::Bad(failure) => {
                assert!(came.contains(token));
                let was_refused = failure.code == Code::Overloaded && failure.detail == "busy";
                assert_eq!(failure.may_have_run, !was_refused);
            }
            Outcome::Withdrawn => assert!(!came.contains(token), "{token} was withdrawn and came"),
            Outcome::Abandoned => {}
        }
    }
    // In order for each line, whatever was long or cancelled in between.
    let mut last: BTreeMap<&(Scope, bool), u64> = BTreeMap::new();
    for token in &receiver.came {
        if let Some(before) = last.insert(&sender.line_of[token], *token) {
            assert!(before < *token, "{token} came after {before}");
        }
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(guard) = guard(&mut input) else { return };
    let mut run = Run::new(guard, small_limits());
    crate::steps(&mut input, STEPS, |(side, step): (bool, Step)| {
        run.act(usize::from(side), step);
        ControlFlow::Continue(())
    });
    run.finish();
}
