//! The golden vectors in `wire/testdata`: every implementation must come to the same bytes.
//!
//! A file is lines of `name: value`, with comments behind `#`. They are rebuilt and compared
//! here; `BLESS=1 cargo test -p botzilla-wire --test it golden` writes them anew.

use std::{fmt::Write as _, path::Path, time::Instant};

use botzilla_wire::{
    handshake::{Acceptor, Dialler, Local, RefusalCode},
    ident::{ConnectionId, Lane, NodeId},
    secret::Secret,
};
use bytes::BytesMut;

use crate::by_hand;

mod payloads;

/// A file of vectors that is being built.
pub(crate) struct Vectors(String);

impl Vectors {
    pub(crate) fn new(about: &str) -> Self {
        let mut text = String::new();
        for line in about.lines() {
            let _ = writeln!(text, "# {line}");
        }
        Self(text)
    }

    pub(crate) fn section(&mut self, title: &str) {
        let _ = write!(self.0, "\n# {title}\n");
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name}: {value}");
    }

    pub(crate) fn hex(&mut self, name: &str, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.text(name, &hex);
    }

    /// Compares with the file, or writes it.
    #[track_caller]
    pub(crate) fn check(&self, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata")
            .join(file);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &self.0).unwrap();
            return;
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        for (line, (ours, theirs)) in (1..).zip(self.0.lines().zip(golden.lines())) {
            assert_eq!(ours, theirs, "line {line} of testdata/{file}");
        }
        assert_eq!(
            self.0.len(),
            golden.len(),
            "testdata/{file} is longer or shorter"
        );
    }
}

struct Case {
    title: &'static str,
    /// Both sides' secrets, by preference.
    secrets: [Vec<Secret>; 2],
    lane: Lane,
    meant: bool,
    replaces: Option<ConnectionId>,
}

#[test]
fn handshakes_and_their_keys_are_as_recorded() {
    let raw = |id: &str, byte| Secret::from_bytes(id, [byte; 32]).unwrap();
    let cases = [
        Case {
            title: "plain",
            secrets: [vec![raw("main", 0x5e)], vec![raw("main", 0x5e)]],
            lane: Lane::Control,
            meant: false,
            replaces: None,
        },
        Case {
            title: "with every field, and a second secret that is the common one",
            secrets: [
                vec![raw("next", 0x4e), raw("main", 0x5e)],
                vec![raw("main", 0x5e), raw("old", 1)],
            ],
            lane: Lane::Bulk,
            meant: true,
            replaces: Some(ConnectionId([0xc0; 16])),
        },
    ];
    let mut out = Vectors::new(
        "Handshakes: inputs, the four messages, and every value on the way to the keys.\n\
         m1 .. m4 are whole messages; `records` is the tag of the body \"body\" with sequence number 0.",
    );
    for case in cases {
        handshake(&mut out, &case);
    }
    out.section("refusals, as an acceptor of version 1 sends them");
    for code in REFUSALS {
        let mut acceptor = Acceptor::new(
            &Local::new(NodeId([0xac; 16]), Vec::new()),
            [0; 32],
            Instant::now(),
        );
        acceptor.refuse(code);
        out.hex(&format!("{code:?}"), &acceptor.poll_transmit().unwrap());
    }
    out.check("handshake.txt");
}

const REFUSALS: [RefusalCode; 16] = [
    RefusalCode::Version,
    RefusalCode::NoCommonKey,
    RefusalCode::WrongProof,
    RefusalCode::WrongNode,
    RefusalCode::SelfDial,
    RefusalCode::Feature(33),
    RefusalCode::Field(12),
    RefusalCode::NoCommonMode(0),
    RefusalCode::NoCommonMode(2),
    RefusalCode::NoCommonEncoding,
    RefusalCode::Malformed,
    RefusalCode::TooSlow,
    RefusalCode::Crossed,
    RefusalCode::Busy,
    RefusalCode::Stopping,
    RefusalCode::Denied,
];

fn handshake(out: &mut Vectors, case: &Case) {
    const SECRET: [u8; 32] = [0x5e; 32];
    let now = Instant::now();
    let mut nonce = [0; 32];
    (0..).zip(&mut nonce).for_each(|(n, byte)| *byte = n);
    let (dialler_node, acceptor_node) = (NodeId([0xd1; 16]), NodeId([0xac; 16]));
    let mut local = Local::new(dialler_node, case.secrets[0].clone());
    local.lane = case.lane;
    let meant = case.meant.then_some(acceptor_node);
    let mut dialler = Dialler::new(&local, meant, case.replaces, nonce, now);
    let mut acceptor = Acceptor::new(
        &Local::new(acceptor_node, case.secrets[1].clone()),
        [0xa0; 32],
        now,
    );
    let m1 = dialler.poll_transmit().unwrap();
    acceptor.receive(now, &mut BytesMut::from(&m1[..])).unwrap();
    let m2 = acceptor.poll_transmit().unwrap();
    dialler.receive(now, &mut BytesMut::from(&m2[..])).unwrap();
    let m3 = dialler.poll_transmit().unwrap();
    acceptor
        .receive(now, &mut BytesMut::from(&m3[..]))
        .unwrap()
        .unwrap();
    let accepted = acceptor.accept();
    let m4 = acceptor.poll_transmit().unwrap();
    let dialled = dialler
        .receive(now, &mut BytesMut::from(&m4[..]))
        .unwrap()
        .unwrap();

    out.section(case.title);
    out.text("dialler's secrets", &ids(&case.secrets[0]));
    out.text("acceptor's secrets", &ids(&case.secrets[1]));
    out.hex("secret main", &SECRET);
    out.hex("dialler's nonce", &nonce);
    out.hex("acceptor's nonce", &[0xa0; 32]);
    out.text("dialler's node", &dialler_node.to_string());
    out.text("acceptor's node", &acceptor_node.to_string());
    out.hex("m1", &m1);
    out.hex("m2", &m2);
    let salt = by_hand::sha256(&[&m1, &m2]);
    out.hex("SHA-256(m1 m2)", &salt);
    for (role, label) in [
        ("dialler's", "botzilla 1 dialler proof"),
        ("acceptor's", "botzilla 1 acceptor proof"),
    ] {
        out.hex(
            &format!("{role} proof key"),
            &by_hand::hkdf(&salt, &SECRET, label),
        );
    }
    let before = &m3[..m3.len() - 32];
    out.hex(
        "SHA-256(m1 m2 m3 without its proof)",
        &by_hand::sha256(&[&m1, &m2, before]),
    );
    out.hex("m3", &m3);
    let before = &m4[..m4.len() - 32];
    out.hex(
        "SHA-256(m1 m2 m3 m4 without its proof)",
        &by_hand::sha256(&[&m1, &m2, &m3, before]),
    );
    out.hex("m4", &m4);
    let salt = by_hand::sha256(&[&m1, &m2, &m3, &m4]);
    out.hex("SHA-256(m1 m2 m3 m4)", &salt);
    out.text("connection", &dialled.connection.to_string());
    assert_eq!(dialled.connection, accepted.connection);
    for (role, end, label) in [
        ("dialler's", &dialled, "botzilla 1 dialler records"),
        ("acceptor's", &accepted, "botzilla 1 acceptor records"),
    ] {
        let key = by_hand::hkdf(&salt, &SECRET, label);
        out.hex(&format!("{role} record key"), &key);
        let tag = end.keys.mac().unwrap().seal_key().tag(0, &[b"body"]);
        assert_eq!(tag, by_hand::hmac(&key, b"\0\0\0\0\0\0\0\0body"));
        out.hex(&format!("{role} records"), &tag);
    }
    assert_eq!(m3, by_hand::proof(3, &SECRET, &[&m1, &m2], &[]));
    assert_eq!(m4, by_hand::proof(4, &SECRET, &[&m1, &m2, &m3], &[]));
}

fn ids(secrets: &[Secret]) -> String {
    secrets.iter().map(Secret::id).collect::<Vec<_>>().join(" ")
}

#[test]
fn secrets_are_read_as_recorded() {
    let mut out = Vectors::new(
        "Secrets: the text as a person gives it, the key id, and the 32 bytes.\n\
         The last ones are passphrases.",
    );
    let bytes: Vec<u8> = (0..32).collect();
    let texts = [
        "bz1:main:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "bz1:main:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "  bz1:robot-7_b://///////////////////////////////////////w8=  ",
        "correct horse battery staple",
        "  sixteen bytes ok  ",
        "zwölf Boxkämpfer jagen Viktor",
    ];
    for (number, text) in (1..).zip(texts) {
        let secret = Secret::parse(text).unwrap();
        out.section(&format!("{number}"));
        out.text("text", &format!("{text:?}"));
        out.text("id", secret.id());
        let full = secret.to_text();
        let (_, encoded) = full.rsplit_once(':').unwrap();
        out.text("base64", encoded);
        assert_eq!(
            Secret::parse(&full).unwrap().to_text(),
            full,
            "what is printed reads back"
        );
        if number < 3 {
            assert_eq!(
                secret.to_text(),
                Secret::from_bytes("main", bytes.clone().try_into().unwrap())
                    .unwrap()
                    .to_text()
            );
        }
    }
    out.check("secrets.txt");
}

#[test]
fn the_worked_handshake_in_the_document_is_the_first_one_of_the_vectors() {
    let document = include_str!("../../../PROTOCOL.md");
    let vectors = include_str!("../../testdata/handshake.txt");
    let value = |name: &str| {
        let line = vectors
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap().to_owned()
    };
    for name in [
        "SHA-256(m1 m2)",
        "dialler's proof key",
        "acceptor's proof key",
        "SHA-256(m1 m2 m3 without its proof)",
        "SHA-256(m1 m2 m3 m4)",
        "connection",
        "dialler's record key",
        "acceptor's record key",
    ] {
        assert!(document.contains(&value(name)), "{name}");
    }
    for proof in ["m3", "m4"] {
        let message = value(proof);
        assert!(document.contains(&message[message.len() - 64..]), "{proof}");
    }
    // m1 is there in rows, with what they mean behind two spaces.
    let (_, rows) = document
        .split_once("62 6f 74 7a 69 6c 6c 61   \"botzilla\"\n")
        .unwrap();
    let (rows, _) = rows.split_once("```").unwrap();
    let mut hex = "626f747a696c6c61".to_owned();
    for row in rows.lines() {
        let bytes = row
            .split_whitespace()
            .take_while(|word| word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit()));
        hex.extend(bytes);
    }
    assert_eq!(hex, value("m1"));
}
