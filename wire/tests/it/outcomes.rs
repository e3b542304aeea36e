//! Each message ends exactly once, and both ends agree how.

use botzilla_wire::{
    code::{CloseReason, Code, Failure},
    error::SessionError,
    limits::Limits,
    route::RouteNo,
    session::{Event, Kind, Send, Short},
};
use bytes::Bytes;

use crate::pair::{Pair, SECOND, bytes_of, limits, name, route, total};

#[test]
fn an_ask_is_answered_and_a_tell_is_delivered() {
    let mut pair = Pair::new();
    let to = route("drive", false);
    let number = pair.a.session.route(&to).unwrap();
    let path = [name("planner"), name("arm/left")];
    let send = Send {
        route: number,
        kind: Kind::Ask,
        deadline: pair.now + SECOND,
        path: &path,
        payload: Bytes::from_static(b"question"),
    };
    pair.a.session.try_send(send, 10).unwrap();
    pair.a_sends("drive", Kind::Tell, 3, 11);
    pair.settle();
    let events = pair.b.take_events();
    let Event::Routed {
        route: declared,
        info,
    } = &events[0]
    else {
        panic!("{events:?}")
    };
    assert_eq!((declared.index(), info), (0, &to));
    assert_eq!(
        events[1],
        Event::Request {
            id: 1,
            route: *declared,
            kind: Kind::Ask,
            time_left: SECOND,
            path: path.to_vec(),
            payload: Bytes::from_static(b"question"),
        }
    );
    assert_eq!(events.len(), 3, "the route is declared once: {events:?}");
    assert_eq!((pair.a.session.open(), pair.b.session.owed()), (2, 2));
    pair.b.session.delivered(2);
    pair.b.session.reply(1, Bytes::from_static(b"answer"));
    pair.settle();
    let events = pair.a.take_events();
    assert!(events.contains(&Event::Delivered { token: 11 }));
    assert!(events.contains(&Event::Replied {
        token: 10,
        payload: Bytes::from_static(b"answer")
    }));
    assert_eq!((pair.a.session.open(), pair.b.session.owed()), (0, 0));
    assert_eq!(total(pair.a.session.outbound_routes()), [2, 2, 0, 0, 0]);
    assert_eq!(total(pair.b.session.inbound_routes()), [2, 2, 0, 0, 0]);
}

#[test]
fn a_plain_ask_s_header_takes_at_most_16_bytes() {
    let mut pair = Pair::new();
    pair.a_sends("drive", Kind::Tell, 64, 0);
    pair.a.transmit(pair.now);
    pair.a_sends("drive", Kind::Ask, 64, 1);
    let bytes = pair.a.transmit(pair.now);
    assert!(bytes.len() <= 36 + 16 + 64, "{} bytes", bytes.len());
}

#[test]
fn a_failure_carries_code_detail_and_whether_it_may_have_run() {
    let mut pair = Pair::new();
    for token in 0..3 {
        pair.a_sends("drive", Kind::Ask, 1, token);
    }
    pair.settle();
    let failures = [
        Failure::refused(Code::NoHandler, "drive handles SetVelocity"),
        Failure::failed(Code::Panicked, "x".repeat(20_000)),
        Failure::failed(Code::Unknown(900), ""),
    ];
    for (id, failure) in (1..).zip(failures.clone()) {
        pair.b.session.fail(id, failure);
    }
    pair.settle();
    let mut expected = failures;
    expected[1].detail.truncate(16 * 1024);
    let expected = (0..)
        .zip(expected)
        .map(|(token, failure)| Event::Failed { token, failure });
    assert_eq!(pair.a.take_events(), expected.collect::<Vec<_>>());
    assert_eq!(total(pair.a.session.outbound_routes()), [3, 0, 1, 2, 0]);
    assert_eq!(total(pair.b.session.inbound_routes()), [3, 0, 1, 2, 0]);
}

#[test]
fn a_message_ends_once_whatever_its_owner_says_later() {
    let mut pair = Pair::new();
    pair.a_sends("drive", Kind::Ask, 1, 0);
    pair.settle();
    pair.b.session.reply(1, Bytes::new());
    pair.b.session.reply(1, Bytes::new());
    pair.b.session.fail(1, Failure::failed(Code::Stopped, ""));
    pair.settle();
    pair.b.session.delivered(1);
    pair.b.session.reply(77, Bytes::new());
    pair.settle();
    assert_eq!(pair.a.take_tokens(), [0]);
}

#[test]
fn an_ask_that_ends_without_an_answer_fails_as_no_reply() {
    let mut pair = Pair::new();
    pair.a_sends("drive", Kind::Ask, 1, 0);
    pair.settle();
    pair.b.session.delivered(1);
    pair.settle();
    let [Event::Failed { failure, .. }] = &pair.a.take_events()[..] else {
        panic!()
    };
    assert_eq!((failure.code, failure.may_have_run), (Code::NoReply, true));
}

#[test]
fn a_reply_beyond_what_the_asker_takes_becomes_too_large() {
    let small = limits(|limits| {
        limits.payload = 1000;
    });
    let mut pair = Pair::with(&small, &Limits::default());
    pair.a_sends("drive", Kind::Ask, 5000, 0);
    pair.settle();
    pair.b.session.reply(1, bytes_of(1001));
    pair.settle();
    let [Event::Failed { failure, .. }] = &pair.a.take_events()[..] else {
        panic!()
    };
    assert_eq!((failure.code, failure.may_have_run), (Code::TooLarge, true));
    assert!(
        failure.detail.contains("1001") && failure.detail.contains("1000"),
        "{failure:?}"
    );
}

#[test]
fn replies_owed_beyond_the_bound_become_overloaded() {
    let limits = limits(|limits| {
        limits.reply_bytes = 10_000;
    });
    let mut pair = Pair::with(&limits, &limits);
    for token in 0..4 {
        pair.a_sends("camera", Kind::Ask, 1, token);
    }
    pair.settle();
    for id in 1..=4 {
        // Nothing is sealed in between: the asker doesn't read.
        pair.b.session.reply(id, bytes_of(4000));
    }
    pair.settle();
    let code = |event| match event {
        Event::Replied { .. } => None,
        Event::Failed { failure, .. } => Some(failure.code),
        event => panic!("{event:?}"),
    };
    let codes: Vec<_> = pair.a.take_events().into_iter().map(code).collect();
    assert_eq!(
        codes,
        [None, None, Some(Code::Overloaded), Some(Code::Overloaded)]
    );
    pair.a_sends("camera", Kind::Ask, 1, 9);
    pair.settle();
    pair.b.session.reply(5, bytes_of(4000));
    pair.settle();
    assert!(
        matches!(pair.a.take_events()[..], [Event::Replied { token: 9, .. }]),
        "there is room again"
    );
}

#[test]
fn a_message_cancelled_before_it_left_is_withdrawn() {
    let mut pair = Pair::new();
    pair.a_sends("drive", Kind::Tell, 1, 0);
    let handle = pair.a_sends("drive", Kind::Ask, 1, 1);
    pair.a_sends("drive", Kind::Tell, 1, 2);
    assert_eq!(pair.a.session.cancel(handle), Some(1));
    assert_eq!(pair.a.session.cancel(handle), None, "once");
    pair.settle();
    assert_eq!(pair.b.take_requests(), [1, 2], "ids have no gap");
    assert_eq!(
        total(pair.a.session.outbound_routes())[0],
        2,
        "it wasn't sent"
    );
}

#[test]
fn a_message_cancelled_after_it_left_is_owed_an_end_but_not_a_reply() {
    let mut pair = Pair::new();
    let first = pair.a_sends("drive", Kind::Ask, 1, 0);
    let second = pair.a_sends("drive", Kind::Ask, 1, 1);
    pair.settle();
    pair.b.take_events();
    assert_eq!(pair.a.session.cancel(first), None, "it may have run");
    assert_eq!(pair.a.session.cancel(second), None);
    pair.settle();
    assert_eq!(
        pair.b.take_events(),
        [Event::Cancelled { id: 2 }, Event::Cancelled { id: 1 }]
    );
    assert_eq!((pair.a.session.open(), pair.b.session.owed()), (2, 2));
    let awaited = (
        pair.a.session.awaited_here(),
        pair.b.session.awaited_there(),
    );
    assert_eq!(awaited, (0, 0), "open, and nobody waits for it");
    pair.b.session.reply(1, bytes_of(100_000));
    pair.b
        .session
        .fail(2, Failure::refused(Code::Cancelled, ""));
    pair.settle();
    assert_eq!(pair.a.take_events(), []);
    assert_eq!((pair.a.session.open(), pair.b.session.owed()), (0, 0));
    assert_eq!(total(pair.a.session.outbound_routes()), [2, 1, 1, 0, 0]);
    assert_eq!(total(pair.b.session.inbound_routes()), [2, 1, 1, 0, 0]);
}

#[test]
fn a_reply_and_its_cancel_may_cross() {
    let mut pair = Pair::new();
    let handle = pair.a_sends("drive", Kind::Ask, 1, 0);
    pair.settle();
    pair.b.session.reply(1, bytes_of(10));
    let reply = pair.b.transmit(pair.now);
    pair.a.session.cancel(handle);
    let cancel = pair.a.transmit(pair.now);
    pair.a.receive(pair.now, &reply).unwrap();
    pair.b.take_events();
    pair.b.receive(pair.now, &cancel).unwrap();
    pair.settle();
    assert_eq!(
        (pair.a.take_events(), pair.b.take_events()),
        (vec![], vec![])
    );
    assert_eq!(total(pair.a.session.outbound_routes()), [1, 1, 0, 0, 0]);
}

#[test]
fn taking_and_withdrawing_in_a_loop_costs_no_credit() {
    let mut pair = Pair::new();
    for token in 0..100_000 {
        let handle = pair.a_sends("drive", Kind::Ask, 10, token);
        assert_eq!(pair.a.session.cancel(handle), Some(token));
    }
    pair.a_sends("drive", Kind::Ask, 10, 7);
    pair.settle();
    assert_eq!(pair.b.take_requests(), [1]);
}

#[test]
fn urgent_messages_go_first_and_so_do_their_replies() {
    let mut pair = Pair::new();
    for token in 0..100 {
        pair.a_sends("drive", Kind::Ask, 10, token);
    }
    pair.a
        .try_send(
            pair.now,
            &route("drive", true),
            Kind::Ask,
            Bytes::new(),
            100,
        )
        .unwrap();
    pair.settle();
    let urgent: RouteNo = pair
        .b
        .session
        .inbound_routes()
        .find(|(_, info, _)| info.urgent)
        .map(|(number, ..)| number)
        .unwrap();
    let events = pair.b.take_events();
    let first = events.iter().find_map(|event| match event {
        Event::Request { route, .. } => Some(*route),
        _ => None,
    });
    assert_eq!(first, Some(urgent));
    for id in (1..=101).rev() {
        pair.b.session.reply(id, Bytes::new());
    }
    pair.settle();
    assert_eq!(pair.a.take_tokens()[0], 100);
}

#[test]
fn the_time_left_is_that_of_the_moment_it_leaves() {
    let mut pair = Pair::new();
    pair.a_sends("drive", Kind::Ask, 10, 0);
    pair.a_sends("drive", Kind::Ask, 100_000, 1);
    pair.now += 2 * SECOND;
    let bytes = pair.a.transmit(pair.now);
    pair.now += SECOND;
    pair.b.receive(pair.now, &bytes[..90_000]).unwrap();
    pair.now += SECOND;
    pair.b.receive(pair.now, &bytes[90_000..]).unwrap();
    let left: Vec<_> = pair
        .b
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Request { time_left, .. } => Some(time_left),
            _ => None,
        })
        .collect();
    assert_eq!(
        left,
        [3 * SECOND, 2 * SECOND],
        "what it takes to arrive counts too"
    );
}

#[test]
fn a_silent_connection_pings_and_a_dead_one_ends() {
    let mut pair = Pair::new();
    pair.advance(60 * SECOND).unwrap();
    assert!(pair.now - pair.a.session.last_received() <= SECOND);
    assert!(
        pair.now - pair.a.session.last_active() >= 60 * SECOND,
        "pings are no activity"
    );
    let token = 5;
    pair.a_sends("drive", Kind::Ask, 1, token);
    pair.settle();
    pair.a_sends("drive", Kind::Ask, 1, 6);
    let mut error = None;
    for _ in 0..60 {
        pair.now += SECOND / 10;
        let end = &mut pair.a.session;
        if end.poll_timeout() <= pair.now {
            error = error.or(end.handle_timeout(pair.now).err());
        }
        if error.is_some() {
            break;
        }
    }
    assert!(matches!(error, Some(SessionError::Silent { silent }) if silent >= 3 * SECOND));
    let ended: Vec<_> = pair
        .a
        .session
        .end()
        .into_iter()
        .map(|(t, ran, _)| (t, ran))
        .collect();
    assert_eq!(
        ended,
        [(5, true), (6, false)],
        "what never left can't have run"
    );
    // What left has ended for the counters too, on both ends.
    pair.b.session.end();
    let sent = pair
        .a
        .session
        .outbound_routes()
        .map(|(.., counted)| counted);
    let came = pair.b.session.inbound_routes().map(|(.., counted)| counted);
    for counted in sent.chain(came) {
        assert_eq!((counted.sent, counted.failed, counted.open), (1, 1, 0));
    }
}

#[test]
fn a_clean_close_tells_exactly_what_cannot_have_run() {
    let mut pair = Pair::new();
    pair.a_sends("drive", Kind::Ask, 1, 0);
    pair.settle();
    // The second is on its way when the peer closes, the third has not left.
    pair.a_sends("drive", Kind::Ask, 1, 1);
    let late = pair.a.transmit(pair.now);
    pair.b.take_events();
    pair.b.session.close(CloseReason::Stopping);
    let close = pair.b.transmit(pair.now);
    pair.a_sends("drive", Kind::Tell, 1, 2);
    pair.b.receive(pair.now, &late).unwrap();
    assert_eq!(
        pair.b.take_events(),
        [],
        "what comes after the close never runs"
    );
    pair.a.receive(pair.now, &close).unwrap();
    let closed = Event::Closed {
        reason: CloseReason::Stopping,
        detail: String::new(),
    };
    assert_eq!(pair.a.take_events(), [closed]);
    let refused = pair
        .a
        .try_send(pair.now, &route("drive", false), Kind::Ask, Bytes::new(), 3);
    assert_eq!(refused, Err(Short::Closing));
    pair.settle();
    assert!(pair.a.session.is_closed() && pair.b.session.is_closed());
    let closed = Event::Closed {
        reason: CloseReason::Answer,
        detail: String::new(),
    };
    assert_eq!(pair.b.take_events(), [closed]);
    let ended: Vec<_> = pair
        .a
        .session
        .end()
        .into_iter()
        .map(|(t, ran, _)| (t, ran))
        .collect();
    assert_eq!(ended, [(0, true), (1, false), (2, false)]);
    assert_eq!(pair.a.session.end().len(), 0, "each ends once");
}

#[test]
fn a_close_goes_after_what_waits_and_counters_agree() {
    let mut pair = Pair::new();
    for token in 0..10 {
        pair.a_sends("drive", Kind::Tell, 100_000, token);
        pair.a_sends("arm", Kind::Ask, 10, 100 + token);
    }
    pair.settle();
    for id in pair.b.take_requests() {
        if id % 3 == 0 {
            pair.b
                .session
                .fail(id, Failure::refused(Code::Overloaded, ""));
        } else {
            pair.b.session.reply(id, bytes_of(70_000));
        }
    }
    pair.b.session.close(CloseReason::Idle);
    pair.settle();
    assert_eq!(pair.a.session.open(), 0);
    assert_eq!(
        total(pair.a.session.outbound_routes()),
        total(pair.b.session.inbound_routes())
    );
    assert!(matches!(
        pair.a.take_events().last(),
        Some(Event::Closed {
            reason: CloseReason::Idle,
            ..
        })
    ));
}
