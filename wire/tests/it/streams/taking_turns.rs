//! Several subscriptions on one connection.

use botzilla_wire::stream::{Event, Mode, SubscriptionId};

use super::{BulkPair, ask};

const MIB: usize = 1 << 20;

/// The order in which items of the two arrived.
fn order(pair: &mut BulkPair, first: SubscriptionId) -> String {
    let mut order = String::new();
    while let Some(bytes) = pair.publisher.transmit_once(pair.now) {
        pair.subscriber.receive(pair.now, &bytes).unwrap();
    }
    for event in pair.subscriber.take_events() {
        if let Event::Item { id, .. } = event {
            order.push(if id == first { 'a' } else { 'b' });
        }
    }
    order
}

fn wide() -> botzilla_wire::stream::Subscribe {
    ask(Mode::Reliable, 4096, 4096, 1 << 40)
}

#[test]
fn long_items_of_two_subscriptions_alternate() {
    let mut pair = BulkPair::new();
    let (first, a) = pair.subscribe(wide());
    let (_, b) = pair.subscribe(wide());
    for seq in 0..3 {
        pair.push(a, seq, MIB);
    }
    for seq in 0..3 {
        pair.push(b, seq, MIB);
    }
    assert_eq!(order(&mut pair, first), "ababab");
}

#[test]
fn short_items_of_one_run_between_the_chunks_of_another() {
    let mut pair = BulkPair::new();
    let (first, a) = pair.subscribe(wide());
    let (_, b) = pair.subscribe(wide());
    pair.push(a, 0, 6 * MIB);
    let mut seen = Vec::new();
    let mut seq = 0;
    while let Some(bytes) = pair.publisher.transmit_once(pair.now) {
        pair.subscriber.receive(pair.now, &bytes).unwrap();
        if !order(&mut pair, first).is_empty() {
            break;
        }
        seen.push(seq);
        pair.push(b, seq, 100);
        seq += 1;
    }
    assert!(seen.is_empty(), "the first transmit drained everything");
    pair.push(a, 1, 6 * MIB);
    let mut between = 0;
    loop {
        pair.push(b, seq, 100);
        seq += 1;
        let bytes = pair.publisher.transmit_once(pair.now).unwrap();
        pair.subscriber.receive(pair.now, &bytes).unwrap();
        let events = pair.subscriber.take_events();
        let is_long = |event: &Event| matches!(event, Event::Item { id, .. } if *id == first);
        if events.iter().any(is_long) {
            break;
        }
        assert_eq!(events.len(), 1, "each goes with the next transmit");
        between += 1;
    }
    assert!(between > 10, "{between}");
}

#[test]
fn a_subscription_with_many_short_items_leaves_the_others_their_turns() {
    let mut pair = BulkPair::new();
    let (first, a) = pair.subscribe(wide());
    let (_, b) = pair.subscribe(wide());
    for seq in 0..400 {
        pair.push(a, seq, 1000);
    }
    for seq in 0..20 {
        pair.push(b, seq, 1000);
    }
    let order = order(&mut pair, first);
    let last = order.rfind('b').unwrap();
    assert!(last < 60, "all of b's are among the first: {last}");
    assert_eq!(order.len(), 420);
}

#[test]
fn items_of_one_subscription_stay_in_order_whatever_their_sizes() {
    let mut pair = BulkPair::new();
    let (_, a) = pair.subscribe(wide());
    let (_, b) = pair.subscribe(wide());
    for (seq, len) in (0..).zip([10, MIB, 20, 30, 2 * MIB, 300_000, 0, 262_000]) {
        pair.push(a, seq, len);
        pair.push(b, seq, len);
    }
    pair.settle();
    let mut next = [0, 0];
    for event in pair.subscriber.take_events() {
        let Event::Item { id, seq, .. } = event else {
            panic!("{event:?}")
        };
        assert_eq!(seq, next[id.number() as usize]);
        next[id.number() as usize] += 1;
    }
    assert_eq!(next, [8, 8]);
}

#[test]
fn what_latest_drops_while_it_waits_for_its_turn_never_leaves() {
    let mut pair = BulkPair::new();
    let (first, a) = pair.subscribe(wide());
    let (_, b) = pair.subscribe(ask(Mode::Latest, 1, 100, 1 << 40));
    pair.push(a, 0, 4 * MIB);
    let bytes = pair.publisher.transmit_once(pair.now).unwrap();
    pair.subscriber.receive(pair.now, &bytes).unwrap();
    pair.push(b, 0, MIB);
    let bytes = pair.publisher.transmit_once(pair.now).unwrap();
    pair.subscriber.receive(pair.now, &bytes).unwrap();
    // It is among the long ones that wait; what takes its place is short.
    pair.push(b, 1, 10);
    pair.settle();
    let events = pair.subscriber.take_events();
    assert!(matches!(events[0], Event::Item { id, .. } if id == first));
    assert!(matches!(
        events[1],
        Event::Item {
            seq: 1,
            missed: 1,
            ..
        }
    ));
}
