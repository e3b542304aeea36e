//! Golden vectors of frames and of a whole session, and PROTOCOL.md's example among them.

mod bulk;
mod session;
mod streams;
mod tape;

use std::time::Duration;

use botzilla_wire::{
    code::{CloseReason, Code, EndCode},
    encoding::Encoding,
    frame::{
        Abort, Cancel, Chunk, Close, Credit, Done, Drain, FailureFrame, Message, Ping, Raw, Reply,
        RouteFrame, kind,
    },
    record::OVERHEAD,
    route::{Route, Scope},
    session::Kind,
};

use crate::{
    golden::Vectors,
    pair::{SECOND, bytes_of, name},
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
    for number in 1..=6 {
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
    frame(&mut out, "drain", Drain::encode);
    streams::stream_frames(&mut out);
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

/// The lines of a section's worked example: bytes, then what they are.
fn example(section: &str) -> Vec<u8> {
    let (_, section) = PROTOCOL.split_once(section).unwrap();
    let section = section.split("\n## ").next().unwrap();
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
fn the_worked_examples_of_protocol_md_are_the_beginnings_of_the_recorded_sessions() {
    for (section, file, records) in [
        (
            "\n## 16. Worked example",
            "session.txt",
            &["dialler 0", "acceptor 0"][..],
        ),
        (
            "\n## 17. Streams",
            "bulk.txt",
            &["dialler 0", "acceptor 0", "dialler 1"],
        ),
    ] {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/");
        let golden = std::fs::read_to_string(format!("{path}{file}")).unwrap();
        let value = |label: &str| {
            let line = golden
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{label}: ")));
            line.unwrap().to_owned()
        };
        let expected: String = records.iter().map(|label| value(label)).collect();
        assert_eq!(hex(&example(section)), expected);
        for label in ["dialler's record key", "acceptor's record key"] {
            assert!(
                PROTOCOL.contains(&value(label)),
                "{label} is in the example"
            );
        }
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
        (kind::SUBSCRIBE, "subscribe"),
        (kind::SUBSCRIBED, "subscribed"),
        (kind::ITEM, "item"),
        (kind::GRANT, "grant"),
        (kind::ENDED, "ended"),
        (kind::UNSUBSCRIBE, "unsubscribe"),
        (kind::DRAIN, "drain"),
    ];
    for (number, name) in kinds {
        let row = format!("| `{number:02x}` | {name} |");
        assert!(PROTOCOL.contains(&row), "{row}");
    }
    for code in Code::ALL {
        let row = format!("| {} | {code} |", code.number());
        assert!(PROTOCOL.contains(&row), "{row}");
    }
    for code in EndCode::ALL {
        let row = format!("| {} | {code} |", code.number());
        assert!(PROTOCOL.contains(&row), "{row}");
    }
    for number in 1..=5 {
        let row = format!("| {number} | {} |", CloseReason::from_number(number));
        assert!(PROTOCOL.contains(&row), "{row}");
    }
    assert!(PROTOCOL.contains(&format!("length + {OVERHEAD}")));
}
