//! Credit of subscriptions.

use botzilla_wire::stream::Mode;

use super::{BulkPair, ask};

#[test]
fn no_more_items_leave_than_were_granted() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 100, 4, 1000));
    for seq in 0..20 {
        pair.push(theirs, seq, 10);
    }
    pair.settle();
    assert_eq!(pair.subscriber.take_items().len(), 4);
    pair.subscriber.session.consumed(ours, 2, 20);
    pair.settle();
    assert_eq!(pair.subscriber.take_items().len(), 2);
    for _ in 0..14 {
        pair.subscriber.session.consumed(ours, 1, 10);
        pair.settle();
    }
    assert_eq!(pair.subscriber.take_items().len(), 14);
}

#[test]
fn an_item_may_begin_while_a_byte_is_left_so_a_window_smaller_than_an_item_does_not_lock() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 100, 50, 1));
    for seq in 0..5 {
        pair.push(theirs, seq, 500_000);
    }
    for seq in 0..5 {
        pair.settle();
        assert_eq!(pair.subscriber.take_items(), [(seq, 0, 0)]);
        pair.subscriber.session.consumed(ours, 1, 500_000);
    }
}

#[test]
fn items_without_bytes_take_credit_for_items_alone() {
    let mut pair = BulkPair::new();
    let (_, theirs) = pair.subscribe(ask(Mode::Reliable, 100, 3, 1));
    for seq in 0..5 {
        pair.push(theirs, seq, 0);
    }
    pair.settle();
    assert_eq!(pair.subscriber.take_items().len(), 3);
}

#[test]
fn consuming_more_than_came_grants_no_more_than_the_window() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 100, 4, 1000));
    pair.push(theirs, 0, 10);
    pair.settle();
    pair.subscriber.session.consumed(ours, 1000, 1 << 40);
    for seq in 1..20 {
        pair.push(theirs, seq, 10);
    }
    pair.settle();
    assert_eq!(pair.subscriber.take_items().len(), 5);
}

#[test]
fn one_subscriber_s_window_is_not_another_s() {
    let mut pair = BulkPair::new();
    let (_, slow) = pair.subscribe(ask(Mode::Reliable, 100, 1, 1));
    let (ours, fast) = pair.subscribe(ask(Mode::Reliable, 100, 100, 1 << 30));
    for seq in 0..50 {
        pair.push(slow, seq, 100_000);
        pair.push(fast, seq, 100_000);
    }
    pair.settle();
    assert_eq!(pair.subscriber.take_items().len(), 51);
    assert_eq!(pair.publisher.session.queued(slow).0, 49);
    assert_eq!(ours.number(), 1);
}
