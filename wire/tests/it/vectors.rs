//! Golden vectors of frames and of a whole session, and PROTOCOL.md's example among them.

use std::time::{Duration, Instant};

use botzilla_wire::{
    code::{CloseReason, Code, Failure},
    encoding::Encoding,
    frame::{
        Abort, Cancel, Chunk, Close, Credit, Done, FailureFrame, Message, Ping, Raw, Reply,
        RouteFrame, kind,
    },
    limits::Limits,
    output::Output,
    record::OVERHEAD,
    route::{Route, Scope},
    session::{Event, Kind, Send},
};
use bytes::{Buf, Bytes};

use crate::{
    by_hand,
    golden::Vectors,
    pair::{End, Pair, SECOND, bytes_of, limits, name, records},
};

/// The protocol's text, which has to be in step.
const PROTOCOL: &str = include_str!("../../../PROTOCOL.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds a frame: what it says, its header, and its payload.
fn frame(out: &mut Vectors, about: &str, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    let raw = Raw::split(&bytes).unwrap();
    out.section(about);
    out.hex("header", &bytes[..raw.head]);
    out.hex("payload", &bytes[raw.head..]);
}

fn drive() -> Route {
    Route {
        scope: Scope::Component(name("drive")),
        sender: Some(name("planner")),
        message: "SetVelocity".to_owned(),
        encoding: Encoding::Bincode,
        fingerprint: Some(*b"\x01\x23\x45\x67\x89\xab\xcd\xef"),
        urgent: false,
    }
}

fn stop() -> Route {
    Route {
        scope: Scope::Group(name("base")),
        sender: None,
        message: "EmergencyStop".to_owned(),
        encoding: Encoding::Json,
        fingerprint: None,
        urgent: true,
    }
}

fn everyone() -> Route {
    Route {
        scope: Scope::Everyone,
        ..stop()
    }
}

fn message(kind: Kind, route: u32, id: u32, time_left: Duration, path: &[&str]) -> Message {
    let path: Vec<_> = path.iter().map(|text| name(text)).collect();
    Message {
        kind,
        route,
        id,
        time_left,
        path_len: Message::path_len(&path),
        path,
    }
}

#[test]
fn frames_are_as_recorded() {
    let mut out = Vectors::new(
        "Frames: the header, which begins with its own length and ends where the payload begins, and\n\
         the payload. Each is one of many ways to say it only in its values: the bytes follow.",
    );
    frame(
        &mut out,
        "route 0, window 0: component drive, message SetVelocity, bincode, \
        fingerprint 0123456789abcdef, sender planner",
        |out| {
            RouteFrame {
                number: 0,
                window: 0,
                route: drive(),
            }
            .encode(out);
        },
    );
    frame(
        &mut out,
        "route 300, window 70000: group base, message EmergencyStop, JSON, urgent",
        |out| {
            RouteFrame {
                number: 300,
                window: 70_000,
                route: stop(),
            }
            .encode(out);
        },
    );
    frame(
        &mut out,
        "route 1, window 2: everyone, message EmergencyStop, JSON, urgent",
        |out| {
            RouteFrame {
                number: 1,
                window: 2,
                route: everyone(),
            }
            .encode(out);
        },
    );
    let long = "n".repeat(255);
    frame(
        &mut out,
        "route 2, window 3: component and sender of 255 n: a header longer than 250 bytes",
        |out| {
            let route = Route {
                scope: Scope::Component(name(&long)),
                sender: Some(name(&long)),
                ..drive()
            };
            RouteFrame {
                number: 2,
                window: 3,
                route,
            }
            .encode(out);
        },
    );
    frame(
        &mut out,
        "ask on route 0, id 1, 5 s left, no path, 3 bytes",
        |out| {
            message(Kind::Ask, 0, 1, 5 * SECOND, &[]).encode(3, out);
            out.extend_from_slice(&[1, 2, 3]);
        },
    );
    frame(
        &mut out,
        "ask on route 250, id with the low bits 0xffffffff, 250 us left, no payload",
        |out| {
            message(Kind::Ask, 250, u32::MAX, Duration::from_micros(250), &[]).encode(0, out);
        },
    );
    frame(
        &mut out,
        "ask on route 251, id 65536, 2^32 us left, path operator then planner, no payload",
        |out| {
            message(
                Kind::Ask,
                251,
                65_536,
                Duration::from_micros(1 << 32),
                &["operator", "planner"],
            )
            .encode(0, out);
        },
    );
    frame(
        &mut out,
        "tell on route 3, id 65535, no time left, 251 bytes",
        |out| {
            message(Kind::Tell, 3, 65_535, Duration::ZERO, &[]).encode(251, out);
            out.extend_from_slice(&bytes_of(251));
        },
    );
    frame(&mut out, "reply to 1, 2 bytes", |out| {
        Reply { id: 1 }.encode(2, out);
        out.extend_from_slice(&[4, 5]);
    });
    frame(&mut out, "reply to 2^32, nothing", |out| {
        Reply { id: 1 << 32 }.encode(0, out);
    });
    for code in Code::ALL {
        frame(
            &mut out,
            &format!("failure of 7: {code}, it didn't run, detail \"why\""),
            |out| {
                FailureFrame {
                    id: 7,
                    code,
                    may_have_run: false,
                }
                .encode(3, out);
                out.extend_from_slice(b"why");
            },
        );
    }
    frame(
        &mut out,
        "failure of 7: code 300 of a later version, it may have run, no detail",
        |out| {
            FailureFrame {
                id: 7,
                code: Code::Unknown(300),
                may_have_run: true,
            }
            .encode(0, out);
        },
    );
    frame(&mut out, "done: 2, 3, 4 and 300", |out| {
        Done::encode(&[(2, 3), (300, 1)], out);
    });
    frame(
        &mut out,
        "credit: 5120 messages, 40 MiB, window 0 320 messages, window 1 20",
        |out| {
            Credit {
                messages: 5120,
                bytes: 40 << 20,
            }
            .encode(&[(0, 320), (1, 20)], out);
        },
    );
    frame(&mut out, "cancel of 9", |out| Cancel { id: 9 }.encode(out));
    frame(&mut out, "chunk of 4 bytes", |out| {
        Chunk::encode(4, out);
        out.extend_from_slice(&[6, 7, 8, 9]);
    });
    frame(&mut out, "abort", Abort::encode);
    for number in 1..=5 {
        let reason = CloseReason::from_number(number);
        frame(
            &mut out,
            &format!("close: {reason}, 12 messages received, text \"bye\""),
            |out| {
                Close {
                    reason,
                    received: 12,
                }
                .encode("bye", out);
            },
        );
    }
    frame(&mut out, "ping", Ping::encode);
    out.section(
        "what a version 1 skips: a frame of the unknown optional kind 0xe0, and a ping with the \
        unknown optional field 100",
    );
    out.hex("optional frame", &[5, 0xe0, 2, 1, 2, 3, 0xaa, 0xbb]);
    out.hex("optional field", &[5, kind::PING, 0, 100, 1, 7]);
    out.section(
        "what it refuses: a frame of the unknown kind 0x60, a ping with the unknown required field \
        101, and an integer that is longer than needed",
    );
    out.hex("required frame", &[5, 0x60, 2, 1, 2, 3, 0xaa, 0xbb]);
    out.hex("required field", &[5, kind::PING, 0, 101, 1, 7]);
    out.hex("long integer", &[5, kind::CANCEL, 0, 251, 9, 0]);
    out.check("frames.txt");
}

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
        "A session, from its keys on, record by record in the order in which they were sent. Both ends\n\
         granted 4 messages a target, else the defaults. The n-th record of an end has number n in its\n\
         tag. Of records over 600 bytes there are the length and the header, how many bytes of the\n\
         payload are in it, and the tag; their payloads' bytes are 00 01 02 .. ff 00 01 .. from the\n\
         payload's beginning on.",
    );
    let (secret, transcript) = by_hand_keys();
    let keys = ["botzilla 1 dialler records", "botzilla 1 acceptor records"]
        .map(|label| by_hand::hkdf(&transcript, &secret, label));
    out.hex("dialler's record key", &keys[0]);
    out.hex("acceptor's record key", &keys[1]);
    Recorder {
        pair,
        out,
        keys,
        next: [0; 2],
    }
}

/// The secret, and the hash of the handshake's four messages.
fn by_hand_keys() -> ([u8; 32], [u8; 32]) {
    let messages = crate::pair::handshake_messages(&few(), &few(), Instant::now());
    let parts: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
    ([7; 32], by_hand::sha256(&parts))
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

/// The lines of PROTOCOL.md's worked example: bytes, then what they are.
fn example() -> Vec<u8> {
    let (_, section) = PROTOCOL.split_once("\n## 16. Worked example").unwrap();
    let hex = section
        .split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix("bytes\n"))
        .flat_map(str::lines)
        .flat_map(|line| {
            line.split("  ")
                .next()
                .unwrap_or_default()
                .split_whitespace()
        });
    hex.map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_worked_example_of_protocol_md_is_the_beginning_of_the_recorded_session() {
    let golden =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/session.txt"))
            .unwrap();
    let value = |label: &str| {
        let line = golden
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{label}: ")));
        line.unwrap().to_owned()
    };
    let expected = [value("dialler 0"), value("acceptor 0")].concat();
    assert_eq!(hex(&example()), expected);
    for label in ["dialler's record key", "acceptor's record key"] {
        assert!(
            PROTOCOL.contains(&value(label)),
            "{label} is in the example"
        );
    }
}

#[test]
fn every_frame_and_code_has_its_row_in_protocol_md() {
    let kinds = [
        (kind::ROUTE, "route"),
        (kind::ASK, "ask"),
        (kind::TELL, "tell"),
        (kind::REPLY, "reply"),
        (kind::FAILURE, "failure"),
        (kind::DONE, "done"),
        (kind::CREDIT, "credit"),
        (kind::CANCEL, "cancel"),
        (kind::CHUNK, "chunk"),
        (kind::ABORT, "abort"),
        (kind::CLOSE, "close"),
        (kind::PING, "ping"),
    ];
    for (number, name) in kinds {
        let row = format!("| `{number:02x}` | {name} |");
        assert!(PROTOCOL.contains(&row), "{row}");
    }
    for code in Code::ALL {
        let row = format!("| {} | {code} |", code.number());
        assert!(PROTOCOL.contains(&row), "{row}");
    }
    for number in 1..=5 {
        let row = format!("| {number} | {} |", CloseReason::from_number(number));
        assert!(PROTOCOL.contains(&row), "{row}");
    }
    assert!(PROTOCOL.contains(&format!("length + {OVERHEAD}")));
}
