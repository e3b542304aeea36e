//! What a peer that holds the keys can do, and what it can't.

use std::time::Duration;

use botzilla_wire::{
    code::EndCode,
    encoding::Encoding,
    error::SessionError,
    frame::{
        Abort, Cancel, Chunk, Ended, Grant, ItemFrame, SubscribeFrame, Subscribed, Unsubscribe,
        kind,
    },
    limits::Limits,
    stream::{Event, Mode, Subscribe},
};
use proptest::prelude::*;

use super::{Bulk, BulkPair, ask, grant_all};
use crate::pair::{Pair, bytes_of, limits};

fn bytes(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

fn subscribe(id: u32, change: impl FnOnce(&mut Subscribe)) -> Vec<u8> {
    let mut subscribe = ask(Mode::Latest, 4, 4, 100);
    change(&mut subscribe);
    bytes(|out| SubscribeFrame { id, subscribe }.encode(out))
}

fn subscribed(id: u32) -> Vec<u8> {
    let granted = grant_all(&ask(Mode::Latest, 4, 4, 100));
    bytes(|out| Subscribed { id, granted }.encode(out))
}

fn header(id: u32, seq: u64, missed: u64, thinned: u64, len: usize) -> Vec<u8> {
    let age = Duration::ZERO;
    let item = ItemFrame {
        id,
        seq,
        missed,
        thinned,
        age,
    };
    bytes(|out| item.encode(len, out))
}

fn item(seq: u64, len: usize) -> Vec<u8> {
    [header(0, seq, 0, 0, len), bytes_of(len).to_vec()].concat()
}

fn chunk(len: usize) -> Vec<u8> {
    let mut out = bytes(|out| Chunk::encode(len, out));
    out.extend_from_slice(&bytes_of(len));
    out
}

fn grant(id: u32, items: u64, total: u64) -> Vec<u8> {
    bytes(|out| {
        Grant {
            id,
            items,
            bytes: total,
        }
        .encode(out);
    })
}

fn ended(id: u32) -> Vec<u8> {
    let code = EndCode::Stopped;
    let (missed, thinned) = (0, 0);
    bytes(|out| {
        Ended {
            id,
            code,
            missed,
            thinned,
        }
        .encode(0, out);
    })
}

fn unsubscribe(id: u32) -> Vec<u8> {
    bytes(|out| Unsubscribe { id }.encode(out))
}

/// Says all of it, each in a record, to an end that has subscribed to `subscriptions` streams with
/// four items and 100 bytes each.
fn say(subscriptions: usize, bodies: &[Vec<u8>]) -> (Result<(), SessionError>, Bulk) {
    let (mut forger, mut end, now) = BulkPair::forged(&Limits::default());
    for _ in 0..subscriptions {
        end.session.subscribe(ask(Mode::Latest, 4, 4, 100)).unwrap();
    }
    for body in bodies {
        let result = end.receive(now, &forger.record(body));
        if result.is_err() {
            let after = end.events.len();
            let late = end.receive(now, &forger.record(&subscribe(9, |_| ())));
            assert_eq!(late, Err(SessionError::Ended));
            assert_eq!(end.events.len(), after, "nothing has any effect any more");
            return (result, end);
        }
    }
    (Ok(()), end)
}

#[track_caller]
fn refused(subscriptions: usize, bodies: &[Vec<u8>], why: &str) {
    let error = say(subscriptions, bodies).0.unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn items_beyond_credit_end_the_connection() {
    let items = |count, len| {
        let mut bodies = vec![subscribed(0)];
        bodies.extend((0..count).map(|seq| item(seq, len)));
        bodies
    };
    let (result, end) = say(1, &items(4, 1));
    assert_eq!((result, end.events.len()), (Ok(()), 5));
    refused(1, &items(5, 1), "more items on subscription 0 than");
    assert_eq!(say(1, &items(2, 99)).0, Ok(()), "the last one overshoots");
    refused(1, &items(3, 99), "more bytes on subscription 0 than");
    refused(
        1,
        &[subscribed(0), item(0, 50), item(1, 50), item(2, 1)],
        "bytes",
    );
}

#[test]
fn items_after_unsubscribe_are_tolerated_within_their_credit() {
    let (mut forger, mut end, now) = BulkPair::forged(&Limits::default());
    let id = end.session.subscribe(ask(Mode::Latest, 4, 4, 100)).unwrap();
    end.receive(now, &forger.record(&subscribed(0))).unwrap();
    end.session.unsubscribe(id);
    for seq in 0..4 {
        end.receive(now, &forger.record(&item(seq, 1))).unwrap();
    }
    assert_eq!(end.events.len(), 1, "the answer and no item");
    let fifth = end.receive(now, &forger.record(&item(4, 1)));
    assert!(matches!(fifth, Err(SessionError::StreamOverrun { .. })));
}

#[test]
fn frames_about_subscriptions_that_are_not_open_end_the_connection() {
    for (bodies, frame) in [
        (vec![item(0, 1)], "item"),
        (vec![subscribed(0)], "subscribed"),
        (vec![ended(0)], "ended"),
        (vec![grant(0, 5, 5)], "grant"),
        (vec![unsubscribe(0)], "unsubscribe"),
        (vec![subscribe(0, |_| ()), grant(1, 5, 500)], "grant"),
    ] {
        let why = format!("a {frame} frame for subscription");
        refused(0, &bodies, &why);
    }
    let why = "an item frame for subscription";
    let why = &why.replace("an item", "a item");
    refused(1, &[item(0, 1)], why);
    refused(1, &[subscribed(0), ended(0), item(0, 1)], why);
    refused(1, &[subscribed(0), ended(0), ended(0)], "ended frame");
    refused(1, &[subscribed(0), subscribed(0)], "it was said before");
}

#[test]
fn a_number_that_is_not_explained_ends_the_connection() {
    let first = |seq, missed, thinned| vec![subscribed(0), header(0, seq, missed, thinned, 0)];
    assert_eq!(say(1, &first(9, 4, 5)).0, Ok(()));
    for (seq, missed, thinned) in [
        (9, 4, 4),
        (9, 5, 5),
        (0, 1, 0),
        (0, u64::MAX, 1),
        (u64::MAX, u64::MAX, 0),
    ] {
        refused(1, &first(seq, missed, thinned), "was next, with");
    }
    refused(1, &[subscribed(0), item(0, 1), item(0, 1)], "was next");
}

#[test]
fn grants_that_take_back_or_wrap_end_the_connection_and_others_have_no_effect_after_the_end() {
    let asked = || subscribe(0, |_| ());
    for (items, total) in [(3, 100), (4, 99)] {
        refused(0, &[asked(), grant(0, items, total)], "takes back");
    }
    for (items, total) in [(1 << 63, 100), (4, u64::MAX)] {
        refused(0, &[asked(), grant(0, items, total)], "beyond 2^63");
    }
    refused(0, &[subscribe(0, |ask| ask.bytes = 1 << 63)], "beyond 2^63");
    let mut bodies = vec![asked(), grant(0, 4, 100), grant(0, 9, 900), unsubscribe(0)];
    for _ in 0..1000 {
        bodies.push(grant(0, 1, 1));
        bodies.push(unsubscribe(0));
    }
    let (result, end) = say(0, &bodies);
    assert_eq!((result, end.events.len()), (Ok(()), 2));
}

#[test]
fn subscriptions_that_make_no_sense_end_the_connection() {
    refused(
        0,
        &[subscribe(1, |_| ())],
        "subscription 1 where 0 was next",
    );
    let twice = [subscribe(0, |_| ()), subscribe(0, |_| ())];
    refused(0, &twice, "subscription 0 where 1 was next");
    refused(0, &[subscribe(0, |ask| ask.depth = 0)], "no room");
    refused(0, &[subscribe(0, |ask| ask.items = 0)], "no room");
    refused(0, &[subscribe(0, |ask| ask.bytes = 0)], "no room");
    let slash = |ask: &mut Subscribe| ask.stream = crate::pair::name("a/b");
    refused(0, &[subscribe(0, slash)], "no slash");
    let mut flags = subscribe(0, |_| ());
    flags[4] = 2;
    refused(0, &[flags], "unknown flag");
    let mut encoding = subscribe(0, |ask| ask.encoding = Encoding::Json);
    let at = encoding.iter().rposition(|byte| *byte == b'n').unwrap() + 1;
    encoding[at] = 77;
    refused(0, &[encoding], "unknown encoding");
    let mut payload = unsubscribe(0);
    payload[2] = 1;
    payload.push(0);
    refused(0, &[subscribe(0, |_| ()), payload], "it has no payload");
}

#[test]
fn too_many_subscriptions_are_refused_and_who_goes_on_without_reading_is_ended() {
    let few = limits(|limits| limits.subscriptions = 4);
    let (mut forger, mut end, now) = BulkPair::forged(&few);
    // As many as another node may allow itself, at once.
    for id in 0..4100 {
        let asked = forger.record(&subscribe(id, |_| ()));
        end.receive(now, &asked).unwrap();
    }
    assert_eq!(end.events.len(), 4, "all others are refused unasked");
    assert_eq!(end.session.subscribers(), 4);
    let (mut other, mut reading, _) = BulkPair::forged(&few);
    for id in 0..1000 {
        let asked = other.record(&subscribe(id, |_| ()));
        reading.receive(now, &asked).unwrap();
        reading.transmit(now);
    }
    let next = end.receive(now, &forger.record(&subscribe(4100, |_| ())));
    assert_eq!(next, Err(SessionError::TooManySubscriptions { max: 4 }));
}

#[test]
fn subscribing_and_unsubscribing_without_reading_comes_to_an_end() {
    let (mut forger, mut end, now) = BulkPair::forged(&Limits::default());
    let mut result = Ok(());
    let mut rounds = 0;
    while result.is_ok() {
        let body = [subscribe(rounds, |_| ()), unsubscribe(rounds)].concat();
        result = end.receive(now, &forger.record(&body));
        rounds += 1;
        assert!(rounds < 10_000);
    }
    assert_eq!(
        result,
        Err(SessionError::TooManySubscriptions { max: 1024 })
    );
}

/// What comes first, and then `ended` with these counts.
fn ends_with(next: u64, missed: u64, thinned: u64) -> (Result<(), SessionError>, Bulk) {
    let mut granted = grant_all(&ask(Mode::Latest, 4, 4, 100));
    granted.next = next;
    let subscribed = bytes(|out| Subscribed { id: 0, granted }.encode(out));
    let ended = Ended {
        id: 0,
        code: EndCode::Stopped,
        missed,
        thinned,
    };
    say(1, &[subscribed, bytes(|out| ended.encode(0, out))])
}

#[test]
fn an_end_that_leaves_out_more_than_there_are_numbers_ends_the_connection() {
    assert_eq!(ends_with(u64::MAX - 1, 1, 0).0, Ok(()));
    for (next, missed, thinned) in [
        (u64::MAX, 0, 0),
        (u64::MAX - 1, 1, 1),
        (0, u64::MAX, 1),
        (7, 0, u64::MAX),
    ] {
        let (result, _) = ends_with(next, missed, thinned);
        assert!(
            matches!(result, Err(SessionError::Malformed { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn long_items_out_of_step_end_the_connection() {
    let start = |len, here| [header(0, 0, 0, 0, len), bytes_of(here).to_vec()].concat();
    let long = |rest: &[Vec<u8>]| {
        let mut bodies = vec![subscribed(0), subscribed(1), start(100, 10)];
        bodies.extend_from_slice(rest);
        bodies
    };
    let (result, end) = say(2, &long(&[chunk(40), chunk(50)]));
    assert_eq!(result, Ok(()));
    assert!(matches!(&end.events[2], Event::Item { payload, .. } if payload.len() == 100));
    let abort = bytes(Abort::encode);
    assert_eq!(say(2, &long(std::slice::from_ref(&abort))).0, Ok(()));
    let other = [header(1, 0, 0, 0, 1), vec![7]].concat();
    assert_eq!(say(2, &long(&[other, chunk(90)])).0, Ok(()));
    for (rest, why) in [
        (vec![chunk(91)], "beyond its long frame"),
        (vec![chunk(0)], "empty"),
        (vec![[chunk(1), chunk(1)].concat()], "alone"),
        (vec![chunk(90), chunk(1)], "without a long frame"),
        (vec![abort.clone(), abort.clone()], "without a long frame"),
        (vec![start(100, 10)], "inside another"),
        (vec![item(1, 1)], "overtakes"),
        (vec![ended(0)], "ends within an item"),
    ] {
        refused(2, &long(&rest), why);
    }
    let mut long_grant = grant(0, 5, 500);
    long_grant[2] = 200;
    refused(
        0,
        &[subscribe(0, |_| ()), long_grant],
        "longer than its record",
    );
}

#[test]
fn a_size_that_is_announced_is_bounded_and_costs_nothing_until_it_arrives() {
    let huge = |len| vec![subscribed(0), header(0, 0, 0, 0, len)];
    assert_eq!(say(1, &huge(64 << 20)).0, Ok(()));
    refused(1, &huge((64 << 20) + 1), "a payload of 67108865 bytes");
    refused(1, &huge(usize::MAX), "a payload of");
    // That nothing is reserved for it is shown beside `Assembly`.
}

#[test]
fn aborted_items_give_their_credit_back() {
    let (mut forger, mut end, now) = BulkPair::forged(&Limits::default());
    end.session.subscribe(ask(Mode::Latest, 4, 4, 100)).unwrap();
    end.receive(now, &forger.record(&subscribed(0))).unwrap();
    for _ in 0..100 {
        for body in [header(0, 0, 0, 0, 60), bytes(Abort::encode)] {
            end.receive(now, &forger.record(&body)).unwrap();
        }
        end.transmit(now);
    }
}

#[test]
fn control_frames_on_the_bulk_lane_and_the_reverse_are_refused_by_name() {
    let cancel = bytes(|out| Cancel { id: 1 }.encode(out));
    refused(0, &[cancel], "a cancel frame on the bulk lane");
    for (number, name) in [
        (kind::ROUTE, "route"),
        (kind::ASK, "ask"),
        (kind::TELL, "tell"),
        (kind::REPLY, "reply"),
        (kind::FAILURE, "failure"),
        (kind::DONE, "done"),
        (kind::CREDIT, "credit"),
    ] {
        let why = format!("a {name} frame on the bulk lane");
        refused(0, &[vec![3, number, 200, 0]], &why);
    }
    for (number, name) in [
        (kind::SUBSCRIBE, "subscribe"),
        (kind::SUBSCRIBED, "subscribed"),
        (kind::ITEM, "item"),
        (kind::GRANT, "grant"),
        (kind::ENDED, "ended"),
        (kind::UNSUBSCRIBE, "unsubscribe"),
    ] {
        let (mut forger, mut end, now) = Pair::forged(&Limits::default());
        let error = end.receive(now, &forger.record(&[3, number, 200, 0]));
        let text = error.unwrap_err().to_string();
        assert_eq!(text, format!("a {name} frame on the control lane"));
    }
    let (result, _) = say(0, &[vec![3, 0xe0, 0, 0]]);
    assert_eq!(result, Ok(()), "what is optional is skipped on both");
}

proptest! {
    #[test]
    fn whatever_an_end_counts_its_sum_is_a_number_or_it_is_refused(
        next in prop_oneof![0..9_u64, (u64::MAX - 9)..=u64::MAX, any::<u64>()],
        missed in prop_oneof![0..9_u64, (u64::MAX - 9)..=u64::MAX, any::<u64>()],
        thinned in prop_oneof![0..9_u64, (u64::MAX - 9)..=u64::MAX, any::<u64>()],
    ) {
        let sum = u128::from(next) + u128::from(missed) + u128::from(thinned);
        let is_sane = next != u64::MAX && sum <= u128::from(u64::MAX);
        prop_assert_eq!(ends_with(next, missed, thinned).0.is_ok(), is_sane);
    }

    #[test]
    fn random_frames_in_good_records_never_panic_and_say_nothing_after_an_error(
        bodies in proptest::collection::vec(
            (0_u8..0x14, proptest::collection::vec(0_u8..8, 0..12)),
            1..40,
        ),
    ) {
        let (mut forger, mut end, now) = BulkPair::forged(&Limits::default());
        end.session.subscribe(ask(Mode::Latest, 4, 4, 100)).unwrap();
        let mut failed = false;
        for (kind, rest) in bodies {
            let mut body = vec![rest.len() as u8 + 2, kind, 0];
            body.extend(rest);
            let before = end.events.len();
            let result = end.receive(now, &forger.record(&body));
            prop_assert!(!failed || (result.is_err() && before == end.events.len()));
            failed |= result.is_err();
            end.transmit(now);
        }
    }
}
