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
    /// Begins with the keys, which are computed by hand from the handshake's messages, so that the
    /// vectors don't only repeat what the crate does.
    pub(super) fn new(about: &str, handshake: &[Bytes]) -> Self {
        let mut out = Vectors::new(&format!(
            "{about} The n-th record of an end has number n in its\n\
             tag. Of records over 600 bytes there are the length and the header, how many bytes of the\n\
             payload are in it, and the tag; their payloads' bytes are 00 01 02 .. ff 00 01 .. from the\n\
             payload's beginning on."
        ));
        let parts: Vec<&[u8]> = handshake.iter().map(|message| &message[..]).collect();
        let transcript = by_hand::sha256(&parts);
        let keys = ["botzilla 1 dialler records", "botzilla 1 acceptor records"]
            .map(|label| by_hand::hkdf(&transcript, &[7; 32], label));
        out.hex("dialler's record key", &keys[0]);
        out.hex("acceptor's record key", &keys[1]);
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
