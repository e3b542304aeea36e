//! Frames that are longer than a record.

use botzilla_wire::{
    code::{CloseReason, Code, Failure},
    output::Output,
    session::{Event, Kind},
};
use bytes::{Buf, Bytes};

use crate::pair::{Pair, bytes_of, records, route, total};

const LONG: usize = 400_000;

fn payload_sizes(events: &[Event<u64>]) -> Vec<usize> {
    let size = |event: &Event<u64>| match event {
        Event::Request { payload, .. } => Some(payload.len()),
        _ => None,
    };
    events.iter().filter_map(size).collect()
}

#[test]
fn a_long_message_and_a_long_reply_arrive_whole() {
    let mut pair = Pair::new();
    for (token, len) in (0..).zip([65_400, 65_450, 65_500, 65_536, LONG]) {
        pair.a_sends("camera", Kind::Ask, len, token);
        pair.settle();
        let events = pair.b.take_events();
        let Some(Event::Request { id, payload, .. }) = events.last() else {
            panic!()
        };
        assert_eq!(*payload, bytes_of(len));
        pair.b.session.reply(*id, payload.clone());
        pair.settle();
        assert_eq!(
            pair.a.take_events(),
            [Event::Replied {
                token,
                payload: bytes_of(len)
            }]
        );
    }
}

#[test]
fn others_run_between_the_chunks_but_not_those_of_the_same_window() {
    let mut pair = Pair::new();
    pair.a_sends("camera", Kind::Tell, LONG, 0);
    pair.a_sends("camera", Kind::Tell, 1, 1);
    pair.a_sends("camera", Kind::Tell, LONG + 1, 2);
    pair.a_sends("camera", Kind::Tell, 2, 3);
    pair.a_sends("drive", Kind::Tell, 3, 4);
    pair.a
        .try_send(pair.now, &route("camera", true), Kind::Tell, bytes_of(4), 5)
        .unwrap();
    pair.settle();
    assert_eq!(
        payload_sizes(&pair.b.take_events()),
        [4, 3, LONG, 1, LONG + 1, 2]
    );
}

#[test]
fn a_message_sent_while_a_long_one_is_on_its_way_overtakes_it() {
    let mut pair = Pair::new();
    pair.a_sends("camera", Kind::Tell, LONG, 0);
    let mut out = botzilla_wire::output::Output::new();
    assert!(pair.a.session.poll_transmit(pair.now, &mut out));
    let sealed = out.len();
    assert!(
        (200_000..400_000).contains(&sealed),
        "it stops at its budget: {sealed}"
    );
    pair.a_sends("drive", Kind::Tell, 3, 1);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut bytes::Buf::reader(out), &mut bytes).unwrap();
    bytes.extend(pair.a.transmit(pair.now));
    pair.b.receive(pair.now, &bytes).unwrap();
    assert_eq!(payload_sizes(&pair.b.take_events()), [3, LONG]);
}

#[test]
fn a_long_message_cancelled_half_way_is_aborted_and_never_runs() {
    let mut pair = Pair::new();
    let handle = pair.a_sends("camera", Kind::Ask, LONG, 0);
    pair.a_sends("camera", Kind::Ask, 1, 1);
    let mut out = botzilla_wire::output::Output::new();
    pair.a.session.poll_transmit(pair.now, &mut out);
    assert_eq!(
        pair.a.session.cancel(handle),
        Some(0),
        "it certainly doesn't run"
    );
    pair.a_sends("drive", Kind::Ask, LONG, 2);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut bytes::Buf::reader(out), &mut bytes).unwrap();
    bytes.extend(pair.a.transmit(pair.now));
    assert!(bytes.len() < LONG + 400_000, "the rest of it isn't sent");
    pair.b.receive(pair.now, &bytes).unwrap();
    assert_eq!(payload_sizes(&pair.b.take_events()), [1, LONG]);
    assert_eq!((pair.a.session.open(), pair.b.session.owed()), (2, 2));
    assert_eq!(total(pair.a.session.outbound_routes()), [3, 0, 1, 0, 2]);
    assert_eq!(total(pair.b.session.inbound_routes()), [3, 0, 1, 0, 2]);
}

#[test]
fn a_long_reply_cancelled_half_way_is_aborted() {
    let mut pair = Pair::new();
    let handle = pair.a_sends("camera", Kind::Ask, 1, 0);
    let other = pair.a_sends("camera", Kind::Ask, 1, 1);
    pair.a_sends("camera", Kind::Ask, 1, 2);
    pair.settle();
    for id in pair.b.take_requests() {
        pair.b.session.reply(id, bytes_of(LONG));
    }
    let mut out = botzilla_wire::output::Output::new();
    pair.b.session.poll_transmit(pair.now, &mut out);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut bytes::Buf::reader(out), &mut bytes).unwrap();
    pair.a.receive(pair.now, &bytes).unwrap();
    pair.a.session.cancel(handle);
    pair.a.session.cancel(other);
    let cancels = pair.a.transmit(pair.now);
    pair.b.receive(pair.now, &cancels).unwrap();
    let rest = pair.b.transmit(pair.now);
    assert!(
        rest.len() < LONG + 10_000,
        "only the third is sent: {}",
        rest.len()
    );
    pair.a.receive(pair.now, &rest).unwrap();
    pair.settle();
    assert_eq!(
        pair.a.take_events(),
        [Event::Replied {
            token: 2,
            payload: bytes_of(LONG)
        }]
    );
    assert_eq!(total(pair.a.session.outbound_routes()), [3, 3, 0, 0, 0]);
    assert_eq!(total(pair.b.session.inbound_routes()), [3, 3, 0, 0, 0]);
}

#[test]
fn waiting_and_parked_messages_can_be_withdrawn() {
    let mut pair = Pair::new();
    pair.a_sends("camera", Kind::Tell, LONG, 0);
    let waiting = pair.a_sends("lidar", Kind::Tell, LONG, 1);
    let behind = pair.a_sends("lidar", Kind::Tell, 1, 2);
    let parked = pair.a_sends("lidar", Kind::Tell, 2, 3);
    let mut out = botzilla_wire::output::Output::new();
    pair.a.session.poll_transmit(pair.now, &mut out);
    assert_eq!(pair.a.session.cancel(parked), Some(3));
    assert_eq!(pair.a.session.cancel(waiting), Some(1));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut bytes::Buf::reader(out), &mut bytes).unwrap();
    bytes.extend(pair.a.transmit(pair.now));
    pair.b.receive(pair.now, &bytes).unwrap();
    assert_eq!(payload_sizes(&pair.b.take_events()), [1, LONG]);
    assert_eq!(pair.a.session.cancel(behind), None);
}

#[test]
fn large_payloads_aren_t_copied_on_their_way_out_and_small_ones_don_t_pin_what_was_read() {
    let mut pair = Pair::new();
    let large = Bytes::from(vec![1; 40_000]);
    let at = large.as_ptr();
    pair.a
        .try_send(pair.now, &route("camera", false), Kind::Tell, large, 0)
        .unwrap();
    let mut out = botzilla_wire::output::Output::new();
    pair.a.session.poll_transmit(pair.now, &mut out);
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let used = bytes::Buf::chunks_vectored(&out, &mut slices);
    assert!(slices[..used].iter().any(|slice| slice.as_ptr() == at));
}

#[test]
fn a_chunk_is_alone_in_its_record() {
    let mut pair = Pair::new();
    pair.a_sends("camera", Kind::Tell, 200_000, 0);
    for token in 1..50 {
        pair.a_sends("drive", Kind::Tell, 3000, token);
    }
    let records = records(&pair.a.transmit(pair.now));
    assert!(records.iter().all(|record| record.len() <= 64 * 1024));
    assert!(records.len() >= 7);
}

#[test]
fn a_failure_while_long_frames_wait_both_ways_is_no_deadlock() {
    let mut pair = Pair::new();
    for token in 0..20 {
        pair.a_sends("camera", Kind::Ask, LONG / 2, token);
        pair.b
            .try_send(
                pair.now,
                &route("map", false),
                Kind::Ask,
                bytes_of(LONG / 2),
                token,
            )
            .unwrap();
    }
    for _ in 0..3 {
        pair.settle();
        for id in pair.b.take_requests() {
            pair.b
                .session
                .fail(id, Failure::refused(Code::Denied, "no"));
        }
        let events = pair.a.take_events();
        for event in events {
            if let Event::Request { id, payload, .. } = event {
                pair.a.session.reply(id, payload);
            }
        }
    }
    assert_eq!((pair.a.session.open(), pair.b.session.open()), (0, 0));
}

#[test]
fn long_replies_that_wait_when_a_close_comes_still_end_their_asks_and_counters_agree() {
    let mut pair = Pair::new();
    for token in 0..4 {
        pair.a_sends("drive", Kind::Ask, 10, token);
    }
    pair.settle();
    for id in pair.b.take_requests() {
        pair.b.session.reply(id, bytes_of(500_000));
    }
    // The first is under way in part.
    let mut out = Output::new();
    assert!(pair.b.session.poll_transmit(pair.now, &mut out));
    let some = out.copy_to_bytes(out.remaining());
    pair.a.receive(pair.now, &some).unwrap();
    pair.a.session.close(CloseReason::Stopping);
    pair.settle();
    assert!(pair.a.session.is_closed() && pair.b.session.is_closed());
    let events = pair.a.take_events();
    let replied = |event: &&Event<u64>| matches!(event, Event::Replied { payload, .. } if *payload == bytes_of(500_000));
    assert_eq!(events.iter().filter(replied).count(), 4);
    let asked = total(pair.a.session.outbound_routes());
    assert_eq!(asked, [4, 4, 0, 0, 0]);
    assert_eq!(asked, total(pair.b.session.inbound_routes()));
}

#[test]
fn a_long_message_that_a_close_crosses_counts_as_refused_and_its_sender_s_long_reply_still_comes() {
    let mut pair = Pair::new();
    pair.a_sends("drive", Kind::Ask, 10, 0);
    pair.settle();
    let [asked] = pair.b.take_requests()[..] else {
        panic!("one ask")
    };
    let now = pair.now;
    pair.b
        .try_send(
            now,
            &route("arm", false),
            Kind::Tell,
            bytes_of(2_000_000),
            7,
        )
        .unwrap();
    let mut out = Output::new();
    assert!(pair.b.session.poll_transmit(now, &mut out));
    let some = out.copy_to_bytes(out.remaining());
    pair.a.receive(now, &some).unwrap();
    pair.b.session.reply(asked, bytes_of(500_000));
    // The close passes another part of the message, which isn't taken any more.
    pair.a.session.close(CloseReason::Stopping);
    let close = pair.a.transmit(now);
    let mut out = Output::new();
    assert!(pair.b.session.poll_transmit(now, &mut out));
    let more = out.copy_to_bytes(out.remaining());
    pair.a.receive(now, &more).unwrap();
    pair.b.receive(now, &close).unwrap();
    pair.settle();
    assert!(pair.a.session.is_closed() && pair.b.session.is_closed());
    assert_eq!(pair.a.take_tokens(), [0]);
    assert_eq!(pair.a.session.end().len(), 0);
    assert_eq!(pair.b.session.end().len(), 1);
    for (sender, receiver) in [(&pair.a, &pair.b), (&pair.b, &pair.a)] {
        let sent = total(sender.session.outbound_routes());
        assert_eq!(sent, total(receiver.session.inbound_routes()));
    }
    assert_eq!(total(pair.b.session.outbound_routes()), [1, 0, 1, 0, 0]);
}
