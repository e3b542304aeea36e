//! How subscriptions and sessions end.

use std::time::Duration;

use botzilla_wire::{
    code::{CloseReason, EndCode},
    error::SessionError,
    stream::{End, Event, Mode, NotPushed},
};

use super::{BulkPair, ask};
use crate::pair::{SECOND, bytes_of, limits};

const MIB: usize = 1 << 20;

fn end(code: EndCode, next: u64, flush: bool) -> End {
    End {
        code,
        detail: "why".to_owned(),
        next,
        thinned: 0,
        flush,
    }
}

fn ended(events: &[Event]) -> (EndCode, u64, u64) {
    let Some(Event::Ended {
        code,
        missed,
        thinned,
        ..
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    (*code, *missed, *thinned)
}

#[test]
fn a_stream_that_does_not_exist_is_refused_with_a_reason() {
    let mut pair = BulkPair::new();
    let ours = pair
        .subscriber
        .session
        .subscribe(ask(Mode::Latest, 1, 1, 1))
        .unwrap();
    pair.settle();
    let Event::Subscribe { id, .. } = pair.publisher.take_events().remove(0) else {
        panic!("asked")
    };
    let why = End::refused(EndCode::NoSuchStream, "lidar publishes `scans`");
    pair.publisher.session.end(id, why);
    pair.settle();
    let event = Event::Ended {
        id: ours,
        code: EndCode::NoSuchStream,
        missed: 0,
        thinned: 0,
        detail: "lidar publishes `scans`".to_owned(),
    };
    assert_eq!(pair.subscriber.take_events(), [event]);
    let counts = (
        pair.subscriber.session.subscriptions(),
        pair.publisher.session.subscribers(),
    );
    assert_eq!(counts, (0, 0));
}

#[test]
fn a_flushed_end_comes_after_all_that_waits_and_a_cut_tells_what_was_missed() {
    for flush in [true, false] {
        let mut pair = BulkPair::new();
        let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 8, 2, 1 << 30));
        for seq in 0..5 {
            pair.push(theirs, seq, MIB);
        }
        pair.settle();
        assert_eq!(pair.subscriber.take_items().len(), 2);
        let code = EndCode::PublisherGone;
        pair.publisher.session.end(theirs, end(code, 7, flush));
        let late = pair.publisher.push(pair.now, theirs, 8, bytes_of(1));
        assert_eq!(late, Err(NotPushed::NotOpen));
        let mut events = Vec::new();
        for _ in 0..5 {
            pair.settle();
            events.extend(pair.subscriber.take_events());
            pair.subscriber.session.consumed(ours, 1, MIB as u64);
        }
        let items = if flush { 3 } else { 0 };
        assert_eq!(events.len(), items + 1);
        assert_eq!(ended(&events), (code, 5 - items as u64, 0));
    }
}

#[test]
fn a_flush_that_takes_too_long_is_cut_by_a_second_end() {
    let mut pair = BulkPair::new();
    let (_, theirs) = pair.subscribe(ask(Mode::Reliable, 8, 1, 1));
    for seq in 0..3 {
        pair.push(theirs, seq, 10);
    }
    let gone = end(EndCode::PublisherGone, 3, true);
    pair.publisher.session.end(theirs, gone);
    pair.settle();
    assert_eq!(pair.publisher.session.subscribers(), 1);
    let cut = end(EndCode::CutOff, 3, false);
    pair.publisher.session.end(theirs, cut);
    pair.settle();
    let events = pair.subscriber.take_events();
    assert_eq!(ended(&events), (EndCode::CutOff, 2, 0));
    assert_eq!(pair.publisher.session.subscribers(), 0);
}

#[test]
fn a_cut_in_the_middle_of_a_long_item_aborts_it_and_counts_it_as_missed() {
    let mut pair = BulkPair::new();
    let (_, theirs) = pair.subscribe(ask(Mode::Reliable, 8, 8, 1 << 30));
    let (_, other) = pair.subscribe(ask(Mode::Reliable, 8, 8, 1 << 30));
    pair.push(theirs, 0, 4 * MIB);
    pair.push(theirs, 1, 10);
    let bytes = pair.publisher.transmit_once(pair.now).unwrap();
    pair.subscriber.receive(pair.now, &bytes).unwrap();
    let cut = end(EndCode::CutOff, 2, false);
    pair.publisher.session.end(theirs, cut);
    pair.push(other, 0, MIB);
    pair.settle();
    let events = pair.subscriber.take_events();
    assert_eq!(ended(&events[..1]), (EndCode::CutOff, 2, 0));
    assert!(matches!(events[1], Event::Item { .. }), "the lane goes on");
}

#[test]
fn after_unsubscribe_nothing_is_reported_and_both_ends_forget_it() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 8, 8, 1 << 30));
    pair.push(theirs, 0, 4 * MIB);
    pair.push(theirs, 1, 10);
    let bytes = pair.publisher.transmit_once(pair.now).unwrap();
    pair.subscriber.receive(pair.now, &bytes).unwrap();
    pair.subscriber.session.unsubscribe(ours);
    pair.subscriber.session.unsubscribe(ours);
    // More of it is on its way meanwhile.
    let bytes = pair.publisher.transmit_once(pair.now).unwrap();
    pair.subscriber.receive(pair.now, &bytes).unwrap();
    assert_eq!(pair.subscriber.session.subscriptions(), 1);
    pair.settle();
    assert_eq!(pair.subscriber.take_events(), []);
    let events = pair.publisher.take_events();
    assert_eq!(events, [Event::Unsubscribed { id: theirs }]);
    assert_eq!(pair.subscriber.session.subscriptions(), 0);
    assert_eq!(pair.publisher.session.subscribers(), 0);
}

#[test]
fn an_end_and_an_unsubscribe_or_a_grant_may_cross() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 8, 1, 1));
    pair.push(theirs, 0, 10);
    pair.settle();
    pair.subscriber.session.consumed(ours, 1, 10);
    pair.subscriber.session.unsubscribe(ours);
    let gone = end(EndCode::PublisherGone, 1, false);
    pair.publisher.session.end(theirs, gone);
    pair.settle();
    assert_eq!(pair.publisher.take_events(), []);
}

#[test]
fn a_thousand_subscriptions_that_come_and_go_leave_nothing() {
    let mut pair = BulkPair::new();
    for _ in 0..1000 {
        let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 8, 8, 1000));
        pair.push(theirs, 0, 10);
        pair.settle();
        pair.subscriber.session.unsubscribe(ours);
        pair.settle();
        pair.subscriber.take_events();
        pair.publisher.take_events();
    }
    let counts = (
        pair.subscriber.session.subscriptions(),
        pair.publisher.session.subscribers(),
    );
    assert_eq!(counts, (0, 0));
}

#[test]
fn we_do_not_subscribe_beyond_our_own_bound_until_the_peer_has_ended_one() {
    let mut pair = BulkPair::with(&limits(|limits| limits.subscriptions = 2));
    let (first, _) = pair.subscribe(ask(Mode::Latest, 1, 1, 1));
    pair.subscribe(ask(Mode::Latest, 1, 1, 1));
    let session = &mut pair.subscriber.session;
    assert_eq!(session.subscribe(ask(Mode::Latest, 1, 1, 1)), None);
    session.unsubscribe(first);
    assert_eq!(session.subscribe(ask(Mode::Latest, 1, 1, 1)), None);
    pair.settle();
    pair.publisher.take_events();
    pair.subscribe(ask(Mode::Latest, 1, 1, 1));
}

#[test]
fn a_close_drops_what_waits_and_is_answered() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 8, 8, 1 << 30));
    pair.push(theirs, 0, 4 * MIB);
    let bytes = pair.publisher.transmit_once(pair.now).unwrap();
    pair.subscriber.receive(pair.now, &bytes).unwrap();
    pair.publisher
        .session
        .close_with(CloseReason::Stopping, "bye");
    pair.settle();
    assert!(pair.publisher.session.is_closed() && pair.subscriber.session.is_closed());
    let closed = Event::Closed {
        reason: CloseReason::Stopping,
        detail: "bye".to_owned(),
    };
    assert_eq!(pair.subscriber.take_events(), [closed]);
    assert!(!pair.subscriber.session.wants_transmit());
    pair.subscriber.session.unsubscribe(ours);
    assert!(!pair.subscriber.session.wants_transmit());
    let session = &mut pair.subscriber.session;
    assert_eq!(session.subscribe(ask(Mode::Latest, 1, 1, 1)), None);
}

#[test]
fn a_silent_end_pings_and_a_dead_one_is_found_out() {
    let mut pair = BulkPair::new();
    for _ in 0..50 {
        pair.now += SECOND / 10;
        for end in [&mut pair.publisher, &mut pair.subscriber] {
            end.session.handle_timeout(pair.now).unwrap();
        }
        pair.settle();
    }
    assert!(pair.now - pair.subscriber.session.last_received() <= SECOND);
    let mut result = Ok(());
    for _ in 0..31 {
        pair.now += Duration::from_millis(100);
        result = result.and_then(|()| pair.subscriber.session.handle_timeout(pair.now));
    }
    assert!(matches!(result, Err(SessionError::Silent { .. })));
}
