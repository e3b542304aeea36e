//! A peer that holds the keys and breaks the protocol is refused, in words that say how.

mod random;
mod unknown;

use botzilla_wire::{
    code::CloseReason,
    error::SessionError,
    frame::{self, Abort, Cancel, Chunk, Credit, Done, FailureFrame, Message, Reply, RouteFrame},
    limits::Limits,
    session::{Event, Kind},
};
use bytes::Bytes;

use crate::pair::{End, Forger, Pair, SECOND, bytes_of, limits, records, route};

fn declare(number: u32, window: u32, to: &str, urgent: bool) -> Vec<u8> {
    let mut body = Vec::new();
    RouteFrame {
        number,
        window,
        route: route(to, urgent),
    }
    .encode(&mut body);
    body
}

fn message(route: u32, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let kind = Kind::Ask;
    let message = Message {
        kind,
        route,
        id,
        time_left: SECOND,
        path: vec![],
        path_len: 0,
    };
    message.encode(payload.len(), &mut body);
    body.extend_from_slice(payload);
    body
}

fn is_request(event: &Event<u64>) -> bool {
    matches!(event, Event::Request { .. })
}

/// Says these bodies to a session with default limits, and returns its answer to the last.
fn say(bodies: &[Vec<u8>]) -> (Result<(), SessionError>, Vec<Event<u64>>) {
    say_to(&Limits::default(), bodies)
}

fn say_to(limits: &Limits, bodies: &[Vec<u8>]) -> (Result<(), SessionError>, Vec<Event<u64>>) {
    let (mut forger, mut end, now) = Pair::forged(limits);
    let (last, before) = bodies.split_last().unwrap();
    for body in before {
        end.receive(now, &forger.record(body)).unwrap();
    }
    let result = end.receive(now, &forger.record(last));
    if let Err(error) = &result {
        check_ended(&mut end, &mut forger, now, error);
    }
    (result, end.events)
}

/// After an error nothing has an effect any more, and the peer is told why.
fn check_ended(end: &mut End, forger: &mut Forger, now: std::time::Instant, error: &SessionError) {
    let before = end.events.len();
    let late = [declare(40, 40, "late", false), message(40, 1, b"late")].concat();
    assert_eq!(
        end.receive(now, &forger.record(&late)),
        Err(SessionError::Ended)
    );
    assert_eq!(end.events.len(), before);
    let last_words = end.transmit(now);
    let records = records(&last_words);
    assert_eq!(records.len(), 1);
    let text = String::from_utf8_lossy(&records[0]).into_owned();
    let said: String = error.to_string().chars().take(60).collect();
    assert!(text.contains(&said), "{text:?} says {said:?}");
    assert!(!end.session.wants_transmit());
}

fn refused(bodies: &[Vec<u8>]) -> SessionError {
    say(bodies).0.unwrap_err()
}

/// A frame with these header bytes after the payload's length.
fn raw(kind: u8, fields: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = vec![2 + fields.len() as u8, kind, payload.len() as u8];
    body.extend_from_slice(fields);
    body.extend_from_slice(payload);
    body
}

#[test]
fn the_forger_s_words_are_heard() {
    let (result, events) = say(&[declare(0, 0, "drive", false), message(0, 1, b"hello")]);
    assert_eq!(result, Ok(()));
    assert!(matches!(&events[1], Event::Request { id: 1, payload, .. } if payload == "hello"));
}

#[test]
fn ids_out_of_order_are_refused() {
    for wrong in [0, 2, 3, u32::MAX] {
        let error = refused(&[declare(0, 0, "a", false), message(0, wrong, b"x")]);
        assert_eq!(
            error,
            SessionError::MessageOutOfOrder {
                expected: 1,
                found: wrong
            }
        );
    }
    let twice = [
        declare(0, 0, "a", false),
        message(0, 1, b"x"),
        message(0, 1, b"x"),
    ];
    assert_eq!(
        refused(&twice),
        SessionError::MessageOutOfOrder {
            expected: 2,
            found: 1
        }
    );
}

#[test]
fn a_flood_beyond_a_window_is_refused() {
    let limits = limits(|limits| limits.messages_per_target = 8);
    let (mut forger, mut end, now) = Pair::forged(&limits);
    end.receive(now, &forger.record(&declare(0, 0, "a", false)))
        .unwrap();
    for id in 1..=8 {
        end.receive(now, &forger.record(&message(0, id, b"x")))
            .unwrap();
    }
    end.transmit(now);
    let error = end
        .receive(now, &forger.record(&message(0, 9, b"x")))
        .unwrap_err();
    assert_eq!(
        error,
        SessionError::WindowOverrun {
            scope: "a".to_owned(),
            granted: 8
        }
    );
    assert_eq!(
        error.to_string(),
        "sent more messages to a than it was granted (8 in all)"
    );
    assert_eq!(end.take_requests().len(), 8);
}

#[test]
fn a_flood_beyond_the_connection_is_refused() {
    let few = limits(|limits| limits.messages_per_connection = 3);
    let mut bodies: Vec<_> = (0..4)
        .map(|n| declare(n, n, &format!("t{n}"), false))
        .collect();
    bodies.extend((0..4).map(|n| message(n, n + 1, b"x")));
    let error = say_to(&few, &bodies).0.unwrap_err();
    assert_eq!(error, SessionError::MessagesOverrun { granted: 3 });
    let small = limits(|limits| limits.bytes_per_connection = 100);
    let bodies = [
        declare(0, 0, "a", false),
        message(0, 1, &bytes_of(60)),
        message(0, 2, &bytes_of(41)),
    ];
    let error = say_to(&small, &bodies).0.unwrap_err();
    assert_eq!(error, SessionError::BytesOverrun { granted: 100 });
}

#[test]
fn a_payload_beyond_the_limit_is_refused_at_its_header() {
    let small = limits(|limits| limits.payload = 1000);
    let bodies = [declare(0, 0, "a", false), message(0, 1, &bytes_of(1001))];
    let error = say_to(&small, &bodies).0.unwrap_err();
    assert_eq!(
        error,
        SessionError::PayloadTooLong {
            len: 1001,
            max: 1000
        }
    );
    // One that claims far more than it brings, in a record of its own.
    let mut body = Vec::new();
    let huge = Message {
        kind: Kind::Ask,
        route: 0,
        id: 1,
        time_left: SECOND,
        path: vec![],
        path_len: 0,
    };
    huge.encode(usize::MAX, &mut body);
    let error = refused(&[declare(0, 0, "a", false), body]);
    assert!(matches!(
        error,
        SessionError::PayloadTooLong { len: u64::MAX, .. }
    ));
}

#[test]
fn routes_that_make_no_sense_are_refused() {
    let few = limits(|limits| limits.routes = 2);
    for bad in [
        declare(2, 0, "a", false),
        declare(0, 4, "a", false),
        declare(u32::MAX, 0, "a", false),
    ] {
        let error = say_to(&few, &[bad]).0.unwrap_err();
        assert!(matches!(error, SessionError::BadRoute { .. }), "{error}");
    }
    let undeclared = refused(&[message(7, 1, b"x")]);
    assert_eq!(undeclared, SessionError::UnknownRoute { route: 7 });
    let mixed = refused(&[declare(0, 0, "a", false), declare(1, 0, "a", true)]);
    assert!(mixed.to_string().contains("urgency"), "{mixed}");
    let busy = refused(&[
        declare(0, 0, "a", false),
        message(0, 1, b"x"),
        declare(0, 1, "b", false),
    ]);
    assert!(busy.to_string().contains("messages open"), "{busy}");
    let taken = refused(&[
        declare(0, 0, "a", false),
        message(0, 1, b"x"),
        declare(1, 0, "b", false),
    ]);
    assert!(taken.to_string().contains("another target"), "{taken}");
    let stale = refused(&[
        declare(0, 0, "a", false),
        declare(1, 0, "b", false),
        message(0, 1, b"x"),
    ]);
    assert!(stale.to_string().contains("another target"), "{stale}");
}

#[test]
fn names_and_encodings_are_checked() {
    let good = declare(0, 0, "drive", false);
    let at = good
        .windows(5)
        .position(|window| window == b"drive")
        .unwrap();
    let mut bad = good.clone();
    bad[at] = b' ';
    assert!(matches!(
        refused(&[bad]),
        SessionError::Malformed { frame: "route", .. }
    ));
    let mut bad = good.clone();
    bad[at + 5 + 8] = 3;
    assert_eq!(
        refused(&[bad]).to_string(),
        "malformed route frame: an unknown encoding"
    );
    let mut bad = good;
    bad[5] = 2;
    assert_eq!(
        refused(&[bad]).to_string(),
        "malformed route frame: an unknown flag is set"
    );
}

#[test]
fn outcomes_of_messages_that_aren_t_open_are_refused() {
    let mut done = Vec::new();
    Done::encode(&[(1, u64::MAX - 1)], &mut done);
    assert_eq!(
        refused(&[done]),
        SessionError::UnknownMessage {
            frame: "done",
            id: 1
        }
    );
    let mut reply = Vec::new();
    Reply { id: 1 }.encode(0, &mut reply);
    assert_eq!(
        refused(&[reply]),
        SessionError::UnknownMessage {
            frame: "reply",
            id: 1
        }
    );
    let mut failure = Vec::new();
    let code = botzilla_wire::code::Code::Stopped;
    FailureFrame {
        id: 0,
        code,
        may_have_run: true,
    }
    .encode(0, &mut failure);
    assert_eq!(
        refused(&[failure]),
        SessionError::UnknownMessage {
            frame: "failure",
            id: 0
        }
    );
    let mut cancel = Vec::new();
    Cancel { id: 1 }.encode(&mut cancel);
    assert_eq!(
        refused(&[cancel]),
        SessionError::UnknownMessage {
            frame: "cancel",
            id: 1
        }
    );
}

#[test]
fn an_ask_that_is_waited_for_is_not_done_without_a_reply_and_ends_once() {
    let (mut forger, mut end, now) = Pair::forged(&Limits::default());
    end.try_send(now, &route("a", false), Kind::Ask, Bytes::new(), 0)
        .unwrap();
    end.try_send(now, &route("a", false), Kind::Tell, Bytes::new(), 1)
        .unwrap();
    end.transmit(now);
    let mut done = Vec::new();
    Done::encode(&[(2, 1)], &mut done);
    end.receive(now, &forger.record(&done)).unwrap();
    let mut ask_done = Vec::new();
    Done::encode(&[(1, 1)], &mut ask_done);
    let error = end.receive(now, &forger.record(&ask_done)).unwrap_err();
    assert!(error.to_string().contains("no reply"), "{error}");
    assert_eq!(end.take_tokens(), [1]);
}

#[test]
fn credit_that_shrinks_or_exceeds_the_bound_is_refused() {
    let say_credit = |messages, bytes, windows: &[(u32, u64)]| {
        let mut body = Vec::new();
        Credit { messages, bytes }.encode(windows, &mut body);
        say(&[body]).0
    };
    let mib = 1 << 20;
    assert_eq!(say_credit(4096, 32 * mib, &[]), Ok(()));
    for (messages, bytes) in [(4097, 32 * mib), (4096, 32 * mib + 1), (u64::MAX, u64::MAX)] {
        let error = say_credit(messages, bytes, &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("more than the handshake's bound"),
            "{error}"
        );
    }
    let error = say_credit(4095, 32 * mib, &[]).unwrap_err();
    assert!(error.to_string().contains("takes back"), "{error}");
    let error = say_credit(4096, 32 * mib, &[(0, 256)]).unwrap_err();
    assert!(
        error.to_string().contains("a window that doesn't exist"),
        "{error}"
    );
}

#[test]
fn long_frames_out_of_step_are_refused() {
    let start = |payload: usize, here: usize| {
        let mut body = Vec::new();
        let kind = Kind::Ask;
        let message = Message {
            kind,
            route: 0,
            id: 1,
            time_left: SECOND,
            path: vec![],
            path_len: 0,
        };
        message.encode(payload, &mut body);
        body.extend_from_slice(&bytes_of(here));
        body
    };
    let chunk = |len: usize| {
        let mut body = Vec::new();
        Chunk::encode(len, &mut body);
        body.extend_from_slice(&bytes_of(len));
        body
    };
    let abort = || {
        let mut body = Vec::new();
        Abort::encode(&mut body);
        body
    };
    let route = || declare(0, 0, "a", false);
    let cancel = |id| {
        let mut body = Vec::new();
        Cancel { id }.encode(&mut body);
        body
    };
    let (result, events) = say(&[route(), start(100, 10), chunk(40), chunk(50)]);
    assert!(result.is_ok() && is_request(&events[1]));
    let (result, events) = say(&[
        route(),
        start(100, 10),
        chunk(40),
        abort(),
        message(0, 2, b"x"),
    ]);
    assert!(result.is_ok() && is_request(&events[1]) && events.len() == 2);
    for (bodies, why) in [
        (vec![chunk(1)], "without a long frame"),
        (vec![abort()], "without a long frame"),
        (
            vec![route(), start(100, 10), chunk(91)],
            "beyond its long frame",
        ),
        (vec![route(), start(100, 10), chunk(0)], "empty"),
        (
            vec![route(), start(100, 10), [chunk(10), chunk(10)].concat()],
            "alone",
        ),
        (vec![route(), [cancel(0), start(100, 10)].concat()], ""),
        (vec![[route(), start(100, 10)].concat()], "alone"),
        (
            vec![route(), start(100, 10), start(100, 10)],
            "inside another",
        ),
        (vec![route(), start(100, 10), cancel(1)], "aborted"),
    ] {
        let error = refused(&bodies);
        assert!(error.to_string().contains(why), "{error}");
    }
    let mut long_route = declare(0, 0, "a", false);
    long_route[2] = 200;
    let error = refused(&[long_route]);
    assert!(
        error.to_string().contains("longer than its record"),
        "{error}"
    );
}

#[test]
fn nothing_comes_after_a_close() {
    let mut close = Vec::new();
    frame::Close {
        reason: CloseReason::Idle,
        received: 0,
    }
    .encode("bye", &mut close);
    let (result, events) = say(&[close.clone()]);
    assert_eq!(result, Ok(()));
    let closed = Event::Closed {
        reason: CloseReason::Idle,
        detail: "bye".to_owned(),
    };
    assert_eq!(events, [closed]);
    let (mut forger, mut end, now) = Pair::forged(&Limits::default());
    end.receive(now, &forger.record(&close)).unwrap();
    let late = end.receive(now, &forger.record(&declare(0, 0, "a", false)));
    assert_eq!(late, Err(SessionError::AfterClose));
    let together = [close, declare(0, 0, "a", false)].concat();
    assert_eq!(refused(&[together]), SessionError::AfterClose);
}

#[test]
fn cancels_in_a_loop_have_no_effect() {
    let (mut forger, mut end, now) = Pair::forged(&Limits::default());
    let hello = [declare(0, 0, "a", false), message(0, 1, b"x")].concat();
    end.receive(now, &forger.record(&hello)).unwrap();
    let mut cancel = Vec::new();
    Cancel { id: 1 }.encode(&mut cancel);
    for _ in 0..1000 {
        end.receive(now, &forger.record(&cancel)).unwrap();
    }
    assert_eq!(end.events.len(), 3, "one is reported");
    end.session.delivered(1);
    end.receive(now, &forger.record(&cancel)).unwrap();
    assert_eq!(end.events.len(), 3);
}
