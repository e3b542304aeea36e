//! A whole session, record by record.

use std::time::Instant;

use botzilla_wire::{
    code::{CloseReason, Code, Failure},
    encoding::Encoding,
    ident::Lane,
    limits::Limits,
    output::Output,
    route::{Route, Scope},
    session::{Event, Kind, Send},
};
use bytes::{Buf, Bytes};

use super::{drive, everyone, stop, tape::Tape};
use crate::pair::{End, Pair, SECOND, bytes_of, handshake_messages, limits, name};

/// A session that is recorded.
struct Recorder {
    pair: Pair,
    tape: Tape,
}

impl Recorder {
    fn ends(&mut self) -> [&mut End; 2] {
        [&mut self.pair.a, &mut self.pair.b]
    }

    /// Carries what one end has to say to the other, and writes it down.
    fn carry(&mut self, from: usize, about: &str) {
        let now = self.pair.now;
        let bytes = self.ends()[from].transmit(now);
        self.tape.write(from, about, &bytes);
        self.ends()[1 - from].receive(now, &bytes).unwrap();
    }

    fn send(&mut self, from: usize, to: &Route, kind: Kind, path: &[&str], payload: &[u8]) -> u64 {
        let path: Vec<_> = path.iter().map(|text| name(text)).collect();
        let deadline = self.pair.now + 5 * SECOND;
        let session = &mut self.ends()[from].session;
        let route = session.route(to).unwrap();
        let payload = Bytes::copy_from_slice(payload);
        let send = Send {
            route,
            kind,
            deadline,
            path: &path,
            payload,
        };
        session.try_send(send, 0).unwrap()
    }
}

fn few() -> Limits {
    limits(|limits| limits.messages_per_target = 4)
}

fn recorded() -> Recorder {
    let pair = Pair::with(&few(), &few());
    let about = "A session: what the handshake's messages are made of, these, the keys that come of them, and\n\
        then record by record in the order in which they were sent. Both ends granted 4 messages a\n\
        target, else the defaults.";
    let messages = handshake_messages(Lane::Control, &few(), &few(), Instant::now());
    Recorder {
        pair,
        tape: Tape::new(about, &messages),
    }
}

#[test]
fn a_session_is_as_recorded() {
    let mut s = recorded();
    let (dialler, acceptor) = (0, 1);

    s.send(dialler, &drive(), Kind::Ask, &[], &[0xca, 0xfe]);
    s.carry(
        dialler,
        "declares route 0, and asks (message 1, 5 s left, payload ca fe)",
    );
    s.pair.b.session.reply(1, Bytes::from_static(&[0xbe, 0xef]));
    s.carry(
        acceptor,
        "replies be ef, and states credit: one of four messages has ended",
    );

    let json = Route {
        encoding: Encoding::Json,
        fingerprint: None,
        ..drive()
    };
    for payload in [&b"{}"[..], b"[]", b"0"] {
        s.send(dialler, &json, Kind::Tell, &[], payload);
    }
    s.send(dialler, &stop(), Kind::Tell, &[], br#"{"reason":"dog"}"#);
    s.carry(
        dialler,
        "tells: an urgent one to group base first, then three on route 1, which shares window 0",
    );
    s.pair.b.session.delivered(2);
    s.pair.b.session.delivered(3);
    s.pair
        .b
        .session
        .fail(4, Failure::refused(Code::BadPayload, "expected a map"));
    s.pair.b.session.delivered(5);
    s.carry(
        acceptor,
        "2, 3 and 5 are done, 4 failed: bad payload, it didn't run; credit",
    );

    s.pair.now += SECOND;
    let handle = s.send(dialler, &drive(), Kind::Ask, &["operator", "planner"], &[1]);
    s.pair.now += SECOND;
    s.carry(
        dialler,
        "asks with a path; it waited for a second, so 4 s are left",
    );
    s.pair.a.session.cancel(handle);
    s.carry(dialler, "cancels it");
    s.pair
        .b
        .session
        .fail(6, Failure::refused(Code::Cancelled, ""));
    s.carry(
        acceptor,
        "ends it all the same: cancelled, it didn't run; credit",
    );

    let back = Route {
        scope: Scope::Component(name("planner")),
        sender: Some(name("drive")),
        ..drive()
    };
    s.send(acceptor, &back, Kind::Ask, &[], b"now?");
    s.carry(
        acceptor,
        "asks on its own: its routes and message ids are apart from the dialler's",
    );
    s.pair.a.session.reply(1, Bytes::from_static(b"now!"));
    s.carry(dialler, "replies; credit");

    s.pair.now += SECOND;
    s.pair.a.session.handle_timeout(s.pair.now).unwrap();
    s.carry(dialler, "pings after a second of silence");
    s.pair.b.session.handle_timeout(s.pair.now).unwrap();
    s.carry(acceptor, "pings");

    s.send(dialler, &drive(), Kind::Tell, &[], &bytes_of(100_000));
    s.carry(dialler, "tells 100,000 bytes: a long frame and a chunk");
    s.pair.b.session.delivered(7);
    s.carry(acceptor, "it is done; credit");

    let handle = s.send(dialler, &drive(), Kind::Ask, &[], &bytes_of(400_000));
    let mut out = Output::new();
    s.pair.a.session.poll_transmit(s.pair.now, &mut out);
    let bytes = out.copy_to_bytes(out.remaining());
    s.tape.write(dialler, "asks with 400,000 bytes", &bytes);
    s.pair.b.receive(s.pair.now, &bytes).unwrap();
    assert_eq!(s.pair.a.session.cancel(handle), Some(0));
    s.carry(dialler, "aborts it half-way");
    s.carry(acceptor, "credit");

    s.send(dialler, &everyone(), Kind::Tell, &[], b"{}");
    s.carry(dialler, "tells everyone (message 9)");
    s.pair.a.session.close(CloseReason::Stopping);
    s.carry(dialler, "closes: it shuts down, and has received message 1");
    s.pair.b.session.delivered(9);
    s.carry(
        acceptor,
        "message 9 is done; answers the close: it has received message 9",
    );
    assert!(s.pair.a.session.is_closed() && s.pair.b.session.is_closed());
    let events = s.pair.a.take_events();
    assert!(matches!(
        events.last(),
        Some(Event::Closed {
            reason: CloseReason::Answer,
            ..
        })
    ));
    assert_eq!(s.pair.a.session.end(), []);
    s.tape.check("session.txt");
}
