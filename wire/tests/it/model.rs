//! Random sequences of everything that two owners can do, checked against what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use botzilla_wire::{
    code::{CloseReason, Code, Failure},
    limits::Limits,
    output::Output,
    route::RouteNo,
    session::{Event, Kind},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use crate::pair::{End, Pair, SECOND, limits, route, total};

const TARGETS: [&str; 5] = ["drive", "arm", "camera", "lidar", "map"];
const SIZES: [usize; 7] = [8, 9, 300, 9_000, 33_000, 70_000, 150_000];

#[derive(Debug, Clone, Copy)]
enum Step {
    Send {
        target: usize,
        urgent: bool,
        ask: bool,
        size: usize,
    },
    Cancel(usize),
    Answer {
        which: usize,
        how: u8,
        size: usize,
    },
    /// Seals, and lets so much of what is on the way arrive.
    Carry(usize),
    Wait,
}

fn step() -> impl Strategy<Value = (bool, Step)> {
    let size = || 0..SIZES.len();
    let step = prop_oneof![
        6 => (0..TARGETS.len(), prop::bool::weighted(0.2), any::<bool>(), size())
            .prop_map(|(target, urgent, ask, size)| Step::Send { target, urgent, ask, size }),
        2 => any::<usize>().prop_map(Step::Cancel),
        5 => (any::<usize>(), any::<u8>(), size())
            .prop_map(|(which, how, size)| Step::Answer { which, how, size }),
        5 => prop_oneof![0_usize..200, Just(100_000), Just(10_000_000)].prop_map(Step::Carry),
        1 => Just(Step::Wait),
    ];
    (any::<bool>(), step)
}

/// How a message ended for its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Good,
    Bad(Failure),
    /// Withdrawn or aborted: it never ran.
    Withdrawn,
    /// Nobody waited.
    Abandoned,
}

/// One owner, and what it believes.
#[derive(Debug, Default)]
struct Owner {
    next_token: u64,
    /// Handles of messages that haven't ended, by token.
    open: BTreeMap<u64, u64>,
    outcomes: BTreeMap<u64, Outcome>,
    window_of: BTreeMap<u64, (usize, bool)>,
    /// What it was asked and owes an end.
    owed: Vec<u64>,
    cancelled: BTreeSet<u64>,
    /// Tokens of the other's messages that came, by id, in the order they came.
    came: Vec<(u64, u64)>,
    /// What is on its way to it.
    wire: BytesMut,
}

impl Owner {
    fn end(&mut self, token: u64, outcome: Outcome) {
        assert!(self.open.remove(&token).is_some(), "{token} ended twice");
        assert!(self.outcomes.insert(token, outcome).is_none());
    }

    fn note(&mut self, events: Vec<Event<u64>>) {
        for event in events {
            match event {
                Event::Request {
                    id, mut payload, ..
                } => {
                    let token = payload.get_u64();
                    assert!(
                        payload.iter().all(|byte| *byte == token as u8),
                        "{token} arrived whole"
                    );
                    self.owed.push(id);
                    self.came.push((id, token));
                }
                Event::Replied { token, .. } | Event::Delivered { token } => {
                    self.end(token, Outcome::Good);
                }
                Event::Failed { token, failure } => self.end(token, Outcome::Bad(failure)),
                Event::Cancelled { id } => {
                    assert!(self.owed.contains(&id) && self.cancelled.insert(id));
                }
                Event::Routed { .. } | Event::Credit { .. } | Event::Closed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn payload(token: u64, size: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(size);
    bytes.put_u64(token);
    bytes.resize(size, token as u8);
    bytes.freeze()
}

fn act(pair: &mut Pair, owners: &mut [Owner; 2], side: usize, step: Step) {
    let now = pair.now;
    let end = [&mut pair.a, &mut pair.b][side].as_mut();
    let owner = &mut owners[side];
    match step {
        Step::Send {
            target,
            urgent,
            ask,
            size,
        } => {
            let kind = if ask { Kind::Ask } else { Kind::Tell };
            let token = owner.next_token;
            let to = route(TARGETS[target], urgent);
            if let Ok(handle) = end.try_send(now, &to, kind, payload(token, SIZES[size]), token) {
                owner.next_token += 1;
                owner.open.insert(token, handle);
                owner.window_of.insert(token, (target, urgent));
            }
        }
        Step::Cancel(which) => {
            if owner.open.is_empty() {
                return;
            }
            let (&token, &handle) = owner.open.iter().nth(which % owner.open.len()).unwrap();
            let outcome = match end.session.cancel(handle) {
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
            let id = owner.owed.swap_remove(which % owner.owed.len());
            match how % 4 {
                0 => end
                    .session
                    .fail(id, Failure::refused(Code::Overloaded, "busy")),
                1 => end.session.fail(id, Failure::failed(Code::Panicked, "oh")),
                2 => end.session.delivered(id),
                _ => end.session.reply(id, payload(id, SIZES[size])),
            }
        }
        Step::Carry(count) => {
            let mut out = Output::new();
            end.session.poll_transmit(now, &mut out);
            let bytes = out.copy_to_bytes(out.remaining());
            let wire = &mut owners[1 - side].wire;
            wire.extend_from_slice(&bytes);
            let part = wire.split_to(count.min(wire.len()));
            let other = [&mut pair.a, &mut pair.b][1 - side].as_mut();
            other.receive(now, &part).unwrap();
            let events = other.take_events();
            owners[1 - side].note(events);
        }
        Step::Wait => {
            pair.now += SECOND / 4;
            for end in [&mut pair.a, &mut pair.b] {
                if end.session.poll_timeout() <= pair.now {
                    // Nobody dies of it: what is on its way counts as heard.
                    let _ = end
                        .session
                        .handle_timeout(pair.now.min(end.session.last_received() + SECOND));
                }
            }
        }
    }
}

trait AsEnd {
    fn as_mut(&mut self) -> &mut End;
}

impl AsEnd for End {
    fn as_mut(&mut self) -> &mut End {
        self
    }
}

/// Carries everything, without anyone answering.
fn carry_all(pair: &mut Pair, owners: &mut [Owner; 2]) {
    loop {
        let before = owners
            .each_ref()
            .map(|owner| (owner.came.len(), owner.outcomes.len()));
        for side in [0, 1] {
            for _ in 0..40 {
                act(pair, owners, side, Step::Carry(usize::MAX));
            }
        }
        let idle = !pair.a.session.wants_transmit() && !pair.b.session.wants_transmit();
        if idle
            && before
                == owners
                    .each_ref()
                    .map(|owner| (owner.came.len(), owner.outcomes.len()))
        {
            return;
        }
    }
}

/// What one owner sent and the other heard of it.
fn check_direction(sender: &Owner, receiver: &Owner) {
    let came: BTreeSet<u64> = receiver.came.iter().map(|(_, token)| *token).collect();
    assert_eq!(came.len(), receiver.came.len(), "none came twice");
    for (token, outcome) in &sender.outcomes {
        match outcome {
            Outcome::Good => assert!(came.contains(token)),
            Outcome::Bad(failure) => {
                assert!(came.contains(token));
                let expected =
                    !matches!(failure.code, Code::Overloaded) || failure.detail != "busy";
                assert_eq!(failure.may_have_run, expected);
            }
            Outcome::Withdrawn => assert!(!came.contains(token), "{token} was withdrawn and came"),
            Outcome::Abandoned => {}
        }
    }
    // In order for each window, whatever was long or cancelled in between.
    let mut last: BTreeMap<(usize, bool), u64> = BTreeMap::new();
    for (_, token) in &receiver.came {
        let window = sender.window_of[token];
        if let Some(before) = last.insert(window, *token) {
            assert!(before < *token, "{token} came after {before}");
        }
    }
}

fn small_limits() -> Limits {
    limits(|limits| {
        limits.payload = 200_000;
        limits.messages_per_target = 5;
        limits.urgent_per_target = 2;
        limits.messages_per_connection = 12;
        limits.bytes_per_connection = 500_000;
        limits.reply_bytes = 250_000;
        limits.routes = 6;
        limits.control_record = 40_000;
    })
}

/// How many tells of 8 bytes to one target are taken.
fn capacity(pair: &mut Pair, side: usize) -> usize {
    let now = pair.now;
    let end = [&mut pair.a, &mut pair.b][side].as_mut();
    let to = route("fresh", false);
    (0..100)
        .take_while(|_| end.try_send(now, &to, Kind::Tell, payload(0, 8), 0).is_ok())
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_message_ends_once_in_order_and_nothing_leaks(
        steps in proptest::collection::vec(step(), 0..150),
    ) {
        let limits = small_limits();
        let mut pair = Pair::with(&limits, &limits);
        let mut owners = [Owner::default(), Owner::default()];
        for (side, step) in steps {
            act(&mut pair, &mut owners, usize::from(side), step);
        }
        // Everyone answers until nothing is open.
        for _ in 0..50 {
            carry_all(&mut pair, &mut owners);
            for side in [0, 1] {
                while !owners[side].owed.is_empty() {
                    act(&mut pair, &mut owners, side, Step::Answer { which: 0, how: 3, size: 1 });
                }
            }
        }
        for (end, owner) in [&pair.a, &pair.b].into_iter().zip(&owners) {
            prop_assert_eq!((end.session.open(), end.session.owed()), (0, 0));
            prop_assert!(owner.open.is_empty());
            prop_assert_eq!(owner.outcomes.len() as u64, owner.next_token);
        }
        check_direction(&owners[0], &owners[1]);
        check_direction(&owners[1], &owners[0]);
        // All credit but what isn't stated yet has come back.
        for side in [0, 1] {
            prop_assert!(capacity(&mut pair, side) >= 4);
        }
    }

    #[test]
    fn counters_agree_after_a_clean_close_and_the_rest_is_exact(
        steps in proptest::collection::vec(step(), 0..100),
    ) {
        // With room for all routes none is forgotten, and the counters stay.
        let mut limits = small_limits();
        limits.routes = 100;
        let mut pair = Pair::with(&limits, &limits);
        let mut owners = [Owner::default(), Owner::default()];
        for (side, step) in steps {
            act(&mut pair, &mut owners, usize::from(side), step);
        }
        carry_all(&mut pair, &mut owners);
        pair.a.session.close(CloseReason::Stopping);
        carry_all(&mut pair, &mut owners);
        prop_assert!(pair.a.session.is_closed() && pair.b.session.is_closed());
        for (sender, receiver) in [(&pair.a, &pair.b), (&pair.b, &pair.a)] {
            let sent = total(sender.session.outbound_routes());
            prop_assert_eq!(sent, total(receiver.session.inbound_routes()));
            prop_assert_eq!(sent[0], sent[1..].iter().sum::<u64>());
        }
        let ended: [Vec<(u64, bool, RouteNo)>; 2] = [pair.a.session.end(), pair.b.session.end()];
        for (side, ended) in ended.into_iter().enumerate() {
            prop_assert_eq!(ended.len(), owners[side].open.len());
            let came: BTreeSet<u64> = owners[1 - side].came.iter().map(|(_, token)| *token).collect();
            for (token, may_have_run, _) in ended {
                prop_assert_eq!(may_have_run, came.contains(&token), "{}", token);
            }
        }
    }
}
