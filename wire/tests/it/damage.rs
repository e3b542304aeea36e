//! A recorded session, damaged in any way, is refused where the damage begins.

use std::time::Instant;

use botzilla_wire::{
    code::CloseReason,
    error::SessionError,
    handshake::Established,
    limits::Limits,
    session::{Event, Kind, Session},
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::pair::{End, SECOND, bytes_of, established, records, route};

/// What one end said in a whole session, and the other's keys to hear it with.
struct Recording {
    now: Instant,
    listener: Established,
    records: Vec<Vec<u8>>,
    /// How many events there are after each record.
    events: Vec<usize>,
}

fn session(established: Established, now: Instant) -> End {
    let session = Session::new(established, &Limits::default(), now);
    End {
        session,
        input: BytesMut::new(),
        events: Vec::new(),
    }
}

fn record() -> Recording {
    let now = Instant::now();
    let limits = Limits::default();
    let (speaker, listener) = established(&limits, &limits, now);
    let mut speaker = session(speaker, now);
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
        listener,
        records: records(&bytes),
        events: vec![],
    };
    let mut end = session(recording.listener.clone(), now);
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
        let mut end = session(self.listener.clone(), self.now);
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
    fn any_single_bit_flipped_is_refused(at: prop::sample::Index, bit in 0_u32..8, step in 1_usize..100_000) {
        let recording = record();
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
    fn any_record_dropped_doubled_or_swapped_is_refused(at: prop::sample::Index, other: prop::sample::Index) {
        let recording = record();
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
    fn any_cut_is_told_from_an_end(at: prop::sample::Index) {
        let recording = record();
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
    let limits = Limits::default();
    let (speaker, listener) = established(&limits, &limits, now);
    let mut speaker = session(speaker, now);
    speaker
        .try_send(
            now,
            &route("a", false),
            Kind::Ask,
            Bytes::from_static(b"x"),
            0,
        )
        .unwrap();
    let bytes = speaker.transmit(now);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let mut end = session(listener.clone(), now);
            let _ = end.receive(now, &damaged);
            assert_eq!(end.events, [], "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn what_one_end_said_can_t_be_said_back_to_it() {
    let recording = record();
    let limits = Limits::default();
    let (speaker, _) = established(&limits, &limits, recording.now);
    let mut end = session(speaker, recording.now);
    let error = end
        .receive(recording.now, &recording.records[0])
        .unwrap_err();
    assert_eq!(error, SessionError::NotAuthentic { record: 0 });
}
