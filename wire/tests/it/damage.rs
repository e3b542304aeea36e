//! A recorded session, damaged in any way, is refused where the damage begins.

use std::time::Instant;

use botzilla_wire::{
    code::CloseReason,
    error::SessionError,
    handshake::Established,
    ident::Lane,
    limits::Limits,
    session::{Event, Kind, Session},
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::pair::{End, GUARDS, Guard, SECOND, bytes_of, established_in, records_in, route};

/// What one end said in a whole session, which the other one has the keys to hear.
struct Recording {
    now: Instant,
    guard: Guard,
    records: Vec<Vec<u8>>,
    /// How many events there are after each record.
    events: Vec<usize>,
}

fn ends(guard: Guard, now: Instant) -> (End, End) {
    let limits = Limits::default();
    let (speaker, listener) = established_in(guard, Lane::Control, &limits, &limits, now);
    (session(speaker, now), session(listener, now))
}

fn session(established: Established, now: Instant) -> End {
    let session = Session::new(established, &Limits::default(), now);
    End {
        session,
        input: BytesMut::new(),
        events: Vec::new(),
    }
}

fn record(guard: Guard) -> Recording {
    let now = Instant::now();
    let (mut speaker, mut end) = ends(guard, now);
    let mut bytes = Vec::new();
    for token in 0..8 {
        let urgent = token % 3 == 0;
        let kind = if token % 2 == 0 {
            Kind::Ask
        } else {
            Kind::Tell
        };
        let len = if token == 5 {
            70_000
        } else {
            token as usize * 9
        };
        let to = route(["drive", "arm"][token as usize % 2], urgent);
        let handle = speaker
            .try_send(now, &to, kind, bytes_of(len), token)
            .unwrap();
        bytes.extend(speaker.transmit(now));
        if token % 4 == 2 {
            speaker.session.cancel(handle);
        }
    }
    speaker.session.handle_timeout(now + SECOND).unwrap();
    bytes.extend(speaker.transmit(now));
    speaker.session.close(CloseReason::Stopping);
    bytes.extend(speaker.transmit(now));
    let mut recording = Recording {
        now,
        guard,
        records: records_in(guard, &bytes),
        events: vec![],
    };
    for record in &recording.records {
        end.receive(now, record).unwrap();
        recording.events.push(end.events.len());
    }
    assert!(matches!(end.events.last(), Some(Event::Closed { .. })));
    recording
}

impl Recording {
    /// Plays the damaged stream, whose first `intact` records are as they were. Whatever comes
    /// after them has no effect.
    fn check(&self, damaged: &[u8], intact: usize, step: usize) {
        let (_, mut end) = ends(self.guard, self.now);
        let mut result = Ok(());
        for part in damaged.chunks(step) {
            result = end.receive(self.now, part);
            end.transmit(self.now);
            if result.is_err() {
                break;
            }
        }
        let expected = intact.checked_sub(1).map_or(0, |last| self.events[last]);
        assert_eq!(end.events.len(), expected, "{result:?}");
        if result.is_err() {
            let again = end.receive(self.now, &self.records.concat());
            assert_eq!(again, Err(SessionError::Ended));
            assert_eq!(end.events.len(), expected);
        } else {
            // It waits for bytes that never come: cut, without a close.
            assert!(
                !end.events
                    .iter()
                    .any(|event| matches!(event, Event::Closed { .. }))
            );
            let silent =
                std::iter::repeat_with(|| end.session.handle_timeout(end.session.poll_timeout()))
                    .find_map(Result::err);
            assert_eq!(silent, Some(SessionError::Silent { silent: 3 * SECOND }));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_single_bit_flipped_is_refused(guard in prop::sample::select(&GUARDS), at: prop::sample::Index, bit in 0_u32..8, step in 1_usize..100_000) {
        let recording = record(guard);
        let mut damaged = recording.records.concat();
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        let mut start = 0;
        let hit = recording.records.iter().position(|record| {
            start += record.len();
            at < start
        });
        recording.check(&damaged, hit.unwrap(), step.max(1000));
    }

    #[test]
    fn any_record_dropped_doubled_or_swapped_is_refused(guard in prop::sample::select(&GUARDS), at: prop::sample::Index, other: prop::sample::Index) {
        let recording = record(guard);
        let count = recording.records.len();
        // The last one dropped is a cut, which has a test of its own.
        let at = at.index(count - 1);
        let mut dropped = recording.records.clone();
        dropped.remove(at);
        recording.check(&dropped.concat(), at, 50_000);
        let mut doubled = recording.records.clone();
        doubled.insert(at, doubled[at].clone());
        recording.check(&doubled.concat(), at + 1, 50_000);
        let other = other.index(count);
        if other != at {
            let mut swapped = recording.records.clone();
            swapped.swap(at, other);
            recording.check(&swapped.concat(), at.min(other), 50_000);
        }
    }

    #[test]
    fn any_cut_is_told_from_an_end(guard in prop::sample::select(&GUARDS), at: prop::sample::Index) {
        let recording = record(guard);
        let whole = recording.records.concat();
        let at = at.index(whole.len());
        let mut start = 0;
        let intact = recording.records.iter().take_while(|record| {
            start += record.len();
            start <= at
        });
        let intact = intact.count();
        recording.check(&whole[..at], intact, 50_000);
    }
}

#[test]
fn every_bit_of_a_short_session_matters() {
    let now = Instant::now();
    for guard in GUARDS {
        let (mut speaker, _) = ends(guard, now);
        let to = route("a", false);
        let payload = Bytes::from_static(b"x");
        speaker.try_send(now, &to, Kind::Ask, payload, 0).unwrap();
        let bytes = speaker.transmit(now);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let (_, mut end) = ends(guard, now);
                let _ = end.receive(now, &damaged);
                assert_eq!(end.events, [], "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn what_one_end_said_can_t_be_said_back_to_it() {
    for guard in GUARDS {
        let recording = record(guard);
        let (mut end, _) = ends(guard, recording.now);
        let error = end
            .receive(recording.now, &recording.records[0])
            .unwrap_err();
        assert_eq!(error, SessionError::NotAuthentic { record: 0 });
    }
}
