//! Nobody sends more than the other takes, and what has ended comes back.

use botzilla_wire::{
    limits::Limits,
    session::{Event, Kind, Short},
};
use bytes::Bytes;

use crate::pair::{End, Pair, bytes_of, limits, route};

fn fill(
    end: &mut End,
    now: std::time::Instant,
    to: &str,
    urgent: bool,
    len: usize,
) -> (u64, Short) {
    for sent in 0.. {
        if let Err(short) = end.try_send(now, &route(to, urgent), Kind::Tell, bytes_of(len), sent) {
            return (sent, short);
        }
    }
    unreachable!("credit ends")
}

#[test]
fn a_target_takes_256_messages_and_16_urgent_ones_beside_them() {
    let mut pair = Pair::new();
    assert_eq!(
        fill(&mut pair.a, pair.now, "drive", false, 1),
        (256, Short::Window)
    );
    assert_eq!(
        fill(&mut pair.a, pair.now, "drive", true, 1),
        (16, Short::Window)
    );
    assert_eq!(
        fill(&mut pair.a, pair.now, "arm", false, 1),
        (256, Short::Window)
    );
}

#[test]
fn urgent_messages_have_room_when_the_connection_s_messages_are_used_up() {
    let mut pair = Pair::new();
    let mut sent = 0;
    for target in 0..100 {
        let (count, short) = fill(&mut pair.a, pair.now, &format!("target-{target}"), false, 1);
        sent += count;
        if short != Short::Window {
            assert_eq!(short, Short::Messages);
            break;
        }
    }
    assert_eq!(sent, 4096 - 256);
    for target in 0..16 {
        let (count, _) = fill(&mut pair.a, pair.now, &format!("target-{target}"), true, 1);
        assert_eq!(count, 16);
    }
    assert_eq!(
        fill(&mut pair.a, pair.now, "one-more", true, 1),
        (0, Short::Messages)
    );
    pair.settle();
}

#[test]
fn bytes_are_bounded_over_all_targets() {
    let mut pair = Pair::new();
    let (count, short) = fill(&mut pair.a, pair.now, "camera", false, 1 << 20);
    assert_eq!((count, short), (30, Short::Bytes));
    assert_eq!(
        fill(&mut pair.a, pair.now, "camera", true, 1 << 20),
        (2, Short::Bytes)
    );
    pair.settle();
    for id in pair.b.take_requests() {
        pair.b.session.delivered(id);
    }
    pair.settle();
    let events = pair.a.take_events();
    assert!(events.contains(&Event::Credit { window: None }));
    assert_eq!(fill(&mut pair.a, pair.now, "camera", false, 1 << 20).0, 30);
}

#[test]
fn a_payload_that_the_other_side_never_takes_is_refused_with_its_limit() {
    let small = limits(|limits| {
        limits.payload = 1000;
    });
    let mut pair = Pair::with(&Limits::default(), &small);
    let result = pair
        .a
        .try_send(pair.now, &route("a", false), Kind::Ask, bytes_of(1001), 0);
    assert_eq!(result, Err(Short::TooLarge { max: 1000 }));
    pair.a_sends("a", Kind::Ask, 1000, 0);
    pair.settle();
    assert_eq!(pair.b.take_requests().len(), 1);
}

#[test]
fn a_window_comes_back_when_a_quarter_of_it_has_ended() {
    let mut pair = Pair::new();
    fill(&mut pair.a, pair.now, "drive", false, 1);
    pair.settle();
    let ids = pair.b.take_requests();
    for id in &ids[..63] {
        pair.b.session.delivered(*id);
    }
    pair.settle();
    let window = |event: &Event<u64>| matches!(event, Event::Credit { window: Some(_) });
    assert!(
        !pair.a.take_events().iter().any(window),
        "63 of 256 aren't a quarter"
    );
    pair.b.session.delivered(ids[63]);
    pair.settle();
    assert!(pair.a.take_events().iter().any(window));
    assert_eq!(
        fill(&mut pair.a, pair.now, "drive", false, 1),
        (64, Short::Window)
    );
}

#[test]
fn a_reply_frees_credit_only_when_it_leaves() {
    let limits = limits(|limits| {
        limits.messages_per_target = 1;
    });
    let mut pair = Pair::with(&limits, &limits);
    pair.a_sends("drive", Kind::Ask, 1, 0);
    pair.settle();
    let short = pair
        .a
        .try_send(pair.now, &route("drive", false), Kind::Ask, Bytes::new(), 1);
    assert_eq!(short, Err(Short::Window));
    pair.b.session.reply(1, bytes_of(10));
    let bytes = pair.b.transmit(pair.now);
    pair.a.receive(pair.now, &bytes).unwrap();
    let events = pair.a.take_events();
    assert!(
        matches!(
            events[..],
            [Event::Replied { .. }, Event::Credit { window: Some(_) }]
        ),
        "{events:?}"
    );
    pair.a_sends("drive", Kind::Ask, 1, 2);
}

#[test]
fn routes_are_forgotten_and_their_numbers_used_again() {
    let limits = limits(|limits| {
        limits.routes = 4;
    });
    let mut pair = Pair::with(&limits, &limits);
    for round in 0..50_u64 {
        let target = format!("target-{}", round % 11);
        let urgent = round % 3 == 0;
        pair.a
            .try_send(
                pair.now,
                &route(&target, urgent),
                Kind::Ask,
                bytes_of(8),
                round,
            )
            .unwrap();
        pair.settle();
        let events = pair.b.take_events();
        let [Event::Routed { info, .. }, Event::Request { id, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(*info, route(&target, urgent));
        pair.b.session.reply(*id, Bytes::new());
        pair.settle();
        assert_eq!(pair.a.take_tokens(), [round]);
    }
    for target in ["p", "q", "r", "s"] {
        pair.a_sends(target, Kind::Ask, 1, 0);
    }
    assert_eq!(
        pair.a.session.route(&route("t", false)),
        None,
        "all four are in use"
    );
}

#[test]
fn a_peer_that_grants_more_than_we_want_to_hold_doesn_t_decide_that() {
    let small = limits(|limits| {
        limits.messages_per_connection = 10;
        limits.bytes_per_connection = 1000;
    });
    let mut pair = Pair::with(&small, &Limits::default());
    assert_eq!(
        fill(&mut pair.a, pair.now, "drive", false, 1),
        (10, Short::Messages)
    );
    pair.settle();
    for id in pair.b.take_requests() {
        pair.b.session.delivered(id);
    }
    pair.settle();
    assert!(
        pair.a
            .take_events()
            .contains(&Event::Credit { window: None })
    );
    assert_eq!(
        fill(&mut pair.a, pair.now, "drive", false, 200),
        (4, Short::Bytes)
    );
}
