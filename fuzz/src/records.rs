//! What two ends say, damaged on its way, or read in other pieces. What comes out is what was said, as far as
//! it was undamaged, and then an error or nothing.

use std::ops::ControlFlow;
use std::time::Instant;

use arbitrary::{Arbitrary, Unstructured};
use botzilla_wire::{
    Kind, Lane, Limits,
    output::Output,
    session::{Event, Send, Session},
    stream::StreamSession,
};
use bytes::BytesMut;

use crate::pair::{Guard, SECOND, drain, established, guard, records, route, start};

/// What happens to the bytes on their way.
#[derive(Debug, Arbitrary)]
enum Damage {
    Flip {
        at: u16,
        bit: u8,
    },
    Truncate(u16),
    Insert {
        at: u16,
        bytes: Vec<u8>,
    },
    Remove {
        at: u16,
        len: u8,
    },
    Swap(u8, u8),
    Repeat(u8),
    Drop(u8),
    /// Anything instead of them.
    Replace(Vec<u8>),
}

/// Records of one end, each with something in it.
fn said(guard: Guard, limits: &Limits, sizes: &[u8], now: Instant) -> Vec<Vec<u8>> {
    let (established, _) = established(guard, Lane::Control, limits, now);
    let mut session = Session::new(established, limits, now);
    let mut all = Vec::new();
    for (token, size) in sizes.iter().enumerate() {
        let route = session.route(&route(*size, size % 3 == 0)).unwrap();
        let send = Send {
            route,
            kind: if size % 2 == 0 { Kind::Ask } else { Kind::Tell },
            deadline: now + SECOND,
            path: &[],
            payload: vec![*size; usize::from(*size) * usize::from(*size)].into(),
        };
        // An urgent target takes only so many.
        let _ = session.try_send(send, token as u64);
        let mut out = Output::new();
        session.poll_transmit(now, &mut out);
        all.extend(records(guard, &drain(&mut out)));
    }
    all
}

fn damage(records: &mut Vec<Vec<u8>>, damage: Damage) {
    let count = records.len().max(1);
    match damage {
        Damage::Swap(a, b) if !records.is_empty() => {
            records.swap(usize::from(a) % count, usize::from(b) % count);
        }
        Damage::Repeat(which) if !records.is_empty() => {
            let again = records[usize::from(which) % count].clone();
            records.push(again);
        }
        Damage::Drop(which) if !records.is_empty() => {
            records.remove(usize::from(which) % count);
        }
        other => {
            let mut bytes = records.concat();
            let len = bytes.len();
            match other {
                Damage::Flip { at, bit } if len > 0 => {
                    bytes[usize::from(at) % len] ^= 1 << (bit % 8);
                }
                Damage::Truncate(at) => bytes.truncate(at.into()),
                Damage::Insert { at, bytes: more } => {
                    let at = usize::from(at).min(len);
                    bytes.splice(at..at, more);
                }
                Damage::Remove { at, len: count } => {
                    let at = usize::from(at).min(len);
                    bytes.drain(at..(at + usize::from(count)).min(len));
                }
                Damage::Replace(with) => bytes = with,
                _ => {}
            }
            *records = vec![bytes];
        }
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let now = start();
    let limits = Limits::default();
    let Ok((bulk, step, sizes)) = input.arbitrary::<(bool, u16, [u8; 4])>() else {
        return;
    };
    let Ok(guard) = guard(&mut input) else { return };
    if bulk {
        let (_, accepted) = established(guard, Lane::Bulk, &limits, now);
        // Records are the same on both lanes; here anything may come.
        let mut session = StreamSession::new(accepted, &limits, now);
        let rest = input.bytes(input.len()).unwrap_or_default();
        let mut events = Vec::new();
        for part in rest.chunks(usize::from(step).max(1)) {
            let mut part = BytesMut::from(part);
            if session.receive(now, &mut part, &mut events).is_err() {
                break;
            }
        }
        assert!(events.is_empty(), "random bytes are no record");
        return;
    }
    let original = said(guard, &limits, &sizes, now);
    let mut sent = original.clone();
    crate::steps(&mut input, 8, |step: Damage| {
        damage(&mut sent, step);
        ControlFlow::Continue(())
    });
    let (original, sent) = (original.concat(), sent.concat());
    let intact = original
        .iter()
        .zip(&sent)
        .take_while(|(a, b)| a == b)
        .count();
    let (expected, _) = hear(guard, &limits, &original, usize::MAX, now);
    let (heard, failed) = hear(guard, &limits, &sent, usize::from(step) * 4, now);
    assert!(expected.starts_with(&heard), "what was not said was heard");
    if intact == original.len() {
        assert_eq!(heard, expected, "what was said was not heard");
    }
    if intact < sent.len() && sent.len() >= intact + 64 * 1024 + 64 {
        assert!(failed, "a damaged record is refused once it is there");
    }
}

fn hear(
    guard: Guard,
    limits: &Limits,
    bytes: &[u8],
    step: usize,
    now: Instant,
) -> (Vec<Event<u64>>, bool) {
    let (_, accepted) = established(guard, Lane::Control, limits, now);
    let mut session: Session<u64> = Session::new(accepted, limits, now);
    let mut input = BytesMut::new();
    let mut events = Vec::new();
    for part in bytes.chunks(step.max(1)) {
        input.extend_from_slice(part);
        let result = session.receive(now, &mut input, &mut events);
        assert!(
            input.len() <= 64 * 1024 + part.len(),
            "what is whole is taken"
        );
        if result.is_err() {
            let before = events.len();
            assert!(session.receive(now, &mut input, &mut events).is_err());
            assert_eq!(events.len(), before, "nothing has any effect any more");
            return (events, true);
        }
    }
    (events, false)
}
