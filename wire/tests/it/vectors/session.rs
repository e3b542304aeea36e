//! A whole session, record by record.

use std::time::Instant;

use botzilla_wire::{
    code::{CloseReason, Code, Failure},
    encoding::Encoding,
    frame::Raw,
    limits::Limits,
    output::Output,
    route::{Route, Scope},
    session::{Event, Kind, Send},
};
use bytes::{Buf, Bytes};

use super::{drive, everyone, stop};
use crate::{
    by_hand,
    golden::Vectors,
    pair::{End, Pair, SECOND, bytes_of, handshake_messages, limits, name, records},
};

/// A session that is recorded.
struct Recorder {
    pair: Pair,
    out: Vectors,
    /// The keys and how many records there were: the dialler's, the acceptor's.
    keys: [[u8; 32]; 2],
    next: [u64; 2],
}

impl Recorder {
    fn ends(&mut self) -> [&mut End; 2] {
        [&mut self.pair.a, &mut self.pair.b]
    }

    /// Carries what one end has to say to the other, and writes it down.
    fn carry(&mut self, from: usize, about: &str) {
        let now = self.pair.now;
        let bytes = self.ends()[from].transmit(now);
        self.write(from, about, &bytes);
        self.ends()[1 - from].receive(now, &bytes).unwrap();
    }

    fn write(&mut self, from: usize, about: &str, bytes: &[u8]) {
        let who = ["dialler", "acceptor"][from];
        self.out.section(&format!("{who}: {about}"));
        for record in records(bytes) {
            let seq = self.next[from];
            self.next[from] += 1;
            // The tag is computed by hand, so that the vectors don't only repeat what the crate does.
            let (covered, tag) = record.split_at(record.len() - 32);
            let input = [&seq.to_le_bytes()[..], covered].concat();
            assert_eq!(by_hand::hmac(&self.keys[from], &input), tag);
            let label = format!("{who} {seq}");
            if record.len() <= 600 {
                self.out.hex(&label, &record);
            } else {
                let body = &record[4..record.len() - 32];
                let raw = Raw::split(body).unwrap();
                self.out.hex(
                    &format!("{label}, length and header"),
                    &record[..4 + raw.head],
                );
                self.out.text(
                    &format!("{label}, payload here"),
                    &(body.len() - raw.head).to_string(),
                );
                self.out.hex(&format!("{label}, tag"), tag);
            }
        }
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
    let mut out = Vectors::new(
        "A session: what the handshake's messages are made of, these, the keys that come of them, and\n\
         then record by record in the order in which they were sent. Both ends granted 4 messages a\n\
         target, else the defaults. The n-th record of an end has number n in its tag. Of records over\n\
         600 bytes there are the length and the header, how many bytes of the payload are in it, and\n\
         the tag; their payloads' bytes are 00 01 02 .. ff 00 01 .. from the payload's beginning on.",
    );
    let messages = handshake_messages(&few(), &few(), Instant::now());
    let keys = keys(&mut out, &messages);
    Recorder {
        pair,
        out,
        keys,
        next: [0; 2],
    }
}

/// Writes down the handshake, and the keys of both ends' records, which come of it by hand.
fn keys(out: &mut Vectors, messages: &[Bytes]) -> [[u8; 32]; 2] {
    const SECRET: [u8; 32] = [7; 32];
    let m: [&[u8]; 4] = std::array::from_fn(|n| &messages[n][..]);
    assert_eq!(messages.len(), 4);
    // What is stated is what went in: the proofs would be others with another secret.
    assert_eq!(m[2], by_hand::proof(3, &SECRET, &m[..2], &[]));
    assert_eq!(m[3], by_hand::proof(4, &SECRET, &m[..3], &[]));
    out.hex("secret key", &SECRET);
    for (who, hello, node) in [("dialler", m[0], 1), ("acceptor", m[1], 2)] {
        let (nonce, id) = ([node; 32], [node; 16]);
        let fields = [by_hand::field(1, &nonce), by_hand::field(2, &id)].concat();
        assert!(hello[by_hand::HEADER..].starts_with(&fields));
        out.hex(&format!("{who}'s nonce"), &nonce);
        out.hex(&format!("{who}'s node"), &id);
    }
    for (n, message) in (1..).zip(m) {
        out.hex(&format!("m{n}"), message);
    }
    let transcript = by_hand::sha256(&m);
    out.hex("SHA-256(m1 m2 m3 m4)", &transcript);
    ["dialler", "acceptor"].map(|who| {
        let label = format!("botzilla 1 {who} records");
        let key = by_hand::hkdf(&transcript, &SECRET, &label);
        out.hex(&format!("{who}'s record key"), &key);
        key
    })
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
    s.write(dialler, "asks with 400,000 bytes", &bytes);
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
    s.out.check("session.txt");
}
