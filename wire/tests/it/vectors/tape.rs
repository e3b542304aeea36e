//! Records as they are written down.

use botzilla_wire::frame::Raw;
use bytes::Bytes;

use crate::{by_hand, golden::Vectors, pair::records};

/// A session that is written down, record by record.
pub(super) struct Tape {
    out: Vectors,
    /// The keys and how many records there were: the dialler's, the acceptor's.
    keys: [[u8; 32]; 2],
    next: [u64; 2],
}

impl Tape {
    /// Begins with what the keys are made of and the keys, which are computed by hand, so that the
    /// vectors don't only repeat what the crate does.
    pub(super) fn new(about: &str, handshake: &[Bytes]) -> Self {
        let mut out = Vectors::new(&format!(
            "{about} The n-th record of an end has number n in its\n\
             tag. Of records over 600 bytes there are the length and the header, how many bytes of the\n\
             payload are in it, and the tag; their payloads' bytes are 00 01 02 .. ff 00 01 .. from the\n\
             payload's beginning on."
        ));
        let keys = keys(&mut out, handshake);
        let next = [0; 2];
        Self { out, keys, next }
    }

    /// Writes down what one end sent.
    pub(super) fn write(&mut self, from: usize, about: &str, bytes: &[u8]) {
        let who = ["dialler", "acceptor"][from];
        self.out.section(&format!("{who}: {about}"));
        for record in records(bytes) {
            let seq = self.next[from];
            self.next[from] += 1;
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

    #[track_caller]
    pub(super) fn check(&self, file: &str) {
        self.out.check(file);
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
