//! Items on their way: order, numbers, modes, no copies.

use std::{io::IoSlice, time::Duration};

use botzilla_wire::{
    frame::ItemFrame,
    output::Output,
    stream::{Event, Mode, NotPushed},
};
use bytes::{Buf, Bytes};

use super::{BulkPair, ask, grant_all, outgoing};
use crate::pair::bytes_of;

const MIB: usize = 1 << 20;

#[test]
fn what_was_asked_for_and_what_was_granted_arrive_and_items_with_number_and_age() {
    let mut pair = BulkPair::new();
    let asked = ask(Mode::Reliable, 8, 8, 1000);
    let ours = pair.subscriber.session.subscribe(asked.clone()).unwrap();
    pair.settle();
    let event = pair.publisher.take_events().remove(0);
    let Event::Subscribe { id, request } = event else {
        panic!("{event:?}")
    };
    assert_eq!(*request, asked);
    let mut granted = grant_all(&request);
    granted.next = 40;
    granted.cuts_off = true;
    pair.publisher.session.accept(id, granted).unwrap();
    pair.publisher
        .push(pair.now, id, 40, Bytes::from_static(b"scan"))
        .unwrap();
    pair.now += Duration::from_millis(3);
    pair.settle();
    let expected = [
        Event::Subscribed { id: ours, granted },
        Event::Item {
            id: ours,
            seq: 40,
            missed: 0,
            thinned: 0,
            age: Duration::from_millis(3),
            payload: Bytes::from_static(b"scan"),
        },
    ];
    assert_eq!(pair.subscriber.take_events(), expected);
}

#[test]
fn both_ends_publish_on_one_connection_whichever_dialled() {
    let mut pair = BulkPair::new();
    let (_, down) = pair.subscribe(ask(Mode::Reliable, 8, 8, 1000));
    std::mem::swap(&mut pair.publisher, &mut pair.subscriber);
    let (_, up) = pair.subscribe(ask(Mode::Reliable, 8, 8, 1000));
    assert_eq!((down.number(), up.number()), (0, 0), "numbers are apart");
    pair.push(up, 0, 10);
    std::mem::swap(&mut pair.publisher, &mut pair.subscriber);
    pair.push(down, 0, 20);
    pair.settle();
    assert_eq!(pair.subscriber.take_items(), [(0, 0, 0)]);
    assert_eq!(pair.publisher.take_items(), [(0, 0, 0)]);
}

#[test]
fn latest_drops_the_oldest_and_tells_how_many_apart_from_those_thinned_out() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Latest, 2, 1, 1000));
    let push = |pair: &mut BulkPair, seq, thinned| {
        let item = outgoing(pair.now, seq, thinned, Bytes::from_static(b"x"));
        pair.publisher.session.push(theirs, item)
    };
    assert_eq!(push(&mut pair, 0, 0), Ok(0));
    pair.settle();
    // One item is all it takes: these wait, or don't.
    assert_eq!(push(&mut pair, 3, 2), Ok(0));
    assert_eq!(push(&mut pair, 4, 0), Ok(0));
    assert_eq!(
        push(&mut pair, 9, 3),
        Ok(1),
        "3 is dropped, with 1 and 2 thinned out"
    );
    assert_eq!(push(&mut pair, 10, 0), Ok(1), "4 is dropped");
    pair.settle();
    assert_eq!(pair.subscriber.take_items(), [(0, 0, 0)]);
    pair.subscriber.session.consumed(ours, 1, 1);
    pair.settle();
    // Of 1 to 8, 1, 2, 6, 7 and 8 were thinned out; 3 and 4 dropped, 5 never came here.
    assert_eq!(pair.subscriber.take_items(), [(9, 3, 5)]);
    pair.subscriber.session.consumed(ours, 1, 1);
    pair.settle();
    assert_eq!(pair.subscriber.take_items(), [(10, 0, 0)]);
}

#[test]
fn a_full_reliable_subscriber_takes_nothing_until_there_is_room_which_is_said_once() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 2, 1, 1000));
    for seq in 0..3 {
        pair.push(theirs, seq, 10);
        pair.settle();
    }
    let full = pair.publisher.push(pair.now, theirs, 3, bytes_of(10));
    assert_eq!(full, Err(NotPushed::Full));
    assert_eq!(pair.publisher.session.queued(theirs), (2, 20));
    assert_eq!(pair.publisher.session.poll_room(), None);
    pair.subscriber.session.consumed(ours, 1, 10);
    pair.settle();
    assert_eq!(pair.publisher.session.poll_room(), Some(theirs));
    assert_eq!(pair.publisher.session.poll_room(), None);
    pair.push(theirs, 3, 10);
    for _ in 0..3 {
        pair.subscriber.session.consumed(ours, 1, 10);
        pair.settle();
    }
    let seqs: Vec<u64> = pair.subscriber.take_items().iter().map(|i| i.0).collect();
    assert_eq!(seqs, [0, 1, 2, 3]);
}

#[test]
fn numbers_go_up_and_leave_room_for_those_that_were_thinned_out() {
    let mut pair = BulkPair::new();
    let (_, theirs) = pair.subscribe(ask(Mode::Latest, 2, 9, 1000));
    pair.push(theirs, 4, 1);
    for (seq, thinned) in [(4, 0), (5, 1), (u64::MAX, 0)] {
        let item = outgoing(pair.now, seq, thinned, Bytes::new());
        let refused = pair.publisher.session.push(theirs, item);
        assert_eq!(refused, Err(NotPushed::OutOfOrder));
    }
    let huge = pair
        .publisher
        .push(pair.now, theirs, 5, vec![0; 64 * MIB + 1].into());
    assert_eq!(huge, Err(NotPushed::TooLarge { max: 64 * MIB }));
}

#[test]
fn a_queue_is_bounded_in_bytes_but_takes_one_item_of_any_size() {
    let limits = crate::pair::limits(|limits| limits.stream_queue = 100);
    let mut pair = BulkPair::with(&limits);
    let (_, theirs) = pair.subscribe(ask(Mode::Latest, 50, 1, 1));
    pair.push(theirs, 0, 1);
    pair.settle();
    pair.push(theirs, 1, 1000);
    for (seq, len, dropped) in [(2, 60, 1), (3, 40, 0), (4, 41, 1), (5, 1000, 2)] {
        let pushed = pair.publisher.push(pair.now, theirs, seq, bytes_of(len));
        assert_eq!(pushed, Ok(dropped), "item {seq}");
    }
}

#[test]
fn what_waits_for_all_subscriptions_of_a_peer_is_bounded_but_each_may_have_one_item() {
    let limits = crate::pair::limits(|limits| limits.stream_queues = 100);
    let mut pair = BulkPair::with(&limits);
    let mut subscribe = |mode| {
        let (ours, theirs) = pair.subscribe(ask(mode, 50, 1, 1));
        pair.push(theirs, 0, 1);
        pair.settle();
        assert_eq!(pair.subscriber.take_items().len(), 1);
        (ours, theirs)
    };
    let (_, latest) = subscribe(Mode::Latest);
    let (ours, reliable) = subscribe(Mode::Reliable);
    let mut push = |id, seq, len| pair.publisher.push(pair.now, id, seq, bytes_of(len));
    assert_eq!(push(latest, 1, 50), Ok(0));
    assert_eq!(push(reliable, 1, 60), Ok(0), "one item always may wait");
    assert_eq!(push(reliable, 2, 1), Err(NotPushed::Full));
    assert_eq!(push(latest, 2, 40), Ok(1));
    assert_eq!(push(latest, 3, 1), Ok(1), "its own oldest makes room");
    pair.subscriber.session.consumed(ours, 1, 1);
    pair.settle();
    assert_eq!(pair.publisher.session.poll_room(), Some(reliable));
    assert!(!pair.publisher.session.is_full(reliable, 99));
    pair.push(reliable, 2, 99);
    assert!(pair.publisher.session.is_full(reliable, 1));
    assert!(!pair.publisher.session.is_full(latest, 1), "it drops");
}

#[test]
fn six_mebibytes_are_written_from_where_they_are_and_arrive_in_one_piece_of_memory() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 4, 4, 64 * MIB as u64));
    let payload = bytes_of(6 * MIB);
    pair.publisher
        .push(pair.now, theirs, 0, payload.clone())
        .unwrap();
    let mut out = Output::new();
    let mut small = 0;
    while pair.publisher.session.poll_transmit(pair.now, &mut out) {
        while out.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 8];
            let used = out.chunks_vectored(&mut slices);
            let copied = |slice: &&IoSlice<'_>| !payload.as_ptr_range().contains(&slice.as_ptr());
            small += slices[..used]
                .iter()
                .filter(copied)
                .map(|slice| slice.len())
                .sum::<usize>();
            let bytes: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
            out.advance(bytes.len());
            pair.subscriber.receive(pair.now, &bytes).unwrap();
        }
    }
    // Headers and tags of 25 records, and a rest too short to be worth a slice.
    assert!(small < 25 * 64 + 8192, "{small} bytes were copied");
    let events = pair.subscriber.take_events();
    assert!(matches!(&events[..], [Event::Item { id, payload: got, .. }]
        if *id == ours && *got == payload));
}

#[test]
fn an_item_of_any_length_about_a_record_s_arrives() {
    let mut pair = BulkPair::new();
    let (ours, theirs) = pair.subscribe(ask(Mode::Reliable, 4, 4, 1000));
    for (seq, len) in (0..).zip((262_000..262_130).chain([524_200, 524_216, 786_300])) {
        pair.push(theirs, seq, len);
        pair.settle();
        pair.subscriber.session.consumed(ours, 1, len as u64);
        let events = pair.subscriber.take_events();
        assert!(
            matches!(&events[..], [Event::Item { payload, .. }] if *payload == bytes_of(len)),
            "{len}"
        );
    }
}

#[test]
fn a_header_takes_at_most_eighteen_bytes_in_the_plain_case() {
    let mut out = Vec::new();
    ItemFrame {
        id: 250,
        seq: 1 << 31,
        missed: 0,
        thinned: 0,
        age: Duration::from_millis(60),
    }
    .encode(6 * MIB, &mut out);
    assert!(out.len() <= 18, "{}", out.len());
}
