//! Records: frames, authenticated, in noise mode encrypted too.
//!
//! ```text
//! MAC     length u32 little endian | body, length bytes | tag, 32 bytes
//!         tag = HMAC-SHA256(key of the direction, number u64 little endian | length | body)
//! noise   length u32 little endian | Noise transport message, length bytes: the body, encrypted | 16 bytes
//! ```
//!
//! Records are numbered from 0, a direction each; the number isn't sent. A record that is altered,
//! replayed, moved or left out has a wrong tag.

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    error::SessionError,
    ident::Lane,
    keys::{Keys, TAG_LEN},
    noise::{NOISE_MAX, NOISE_TAG},
    output::{Mark, Output},
};

/// How many bytes the length takes.
pub const LENGTH_LEN: usize = 4;

/// What a record of MAC mode has besides its body.
pub const OVERHEAD: usize = LENGTH_LEN + TAG_LEN;

/// What a record of noise mode has besides its body.
pub const NOISE_OVERHEAD: usize = LENGTH_LEN + NOISE_TAG;

/// The longest record of a lane in MAC mode, length and tag included.
pub const fn record_max(lane: Lane) -> usize {
    match lane {
        Lane::Control => 64 * 1024,
        Lane::Bulk => 256 * 1024,
    }
}

/// The longest record of either lane in noise mode, length included.
pub const NOISE_RECORD_MAX: usize = LENGTH_LEN + NOISE_MAX;

/// Makes our records and checks the peer's.
#[derive(Debug)]
pub(crate) struct Records {
    keys: Keys,
    /// How many were sealed and opened.
    sealed: u64,
    opened: u64,
    /// The longest record of this connection, and what of it isn't body.
    pub(crate) max: usize,
    pub(crate) overhead: usize,
    /// In noise mode: a body that is to be encrypted, in one piece, and one that was decrypted. Their
    /// memory is kept from one record to the next.
    gathered: Vec<u8>,
    plain: Vec<u8>,
}

/// A record that is being filled; what is appended to the output is its body.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unsealed(Mark);

impl Unsealed {
    /// How long the body is.
    pub(crate) fn len(&self, out: &Output) -> usize {
        out.since(&self.0) - LENGTH_LEN
    }
}

/// A record that was authentic.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Its body, of this length, is in the input that it was opened from.
    InPlace(usize),
    /// Its body is the first so many bytes of this; the input has it no more.
    Apart(Vec<u8>, usize),
}

impl Opened {
    /// How long its body is.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::InPlace(len) | Self::Apart(_, len) => *len,
        }
    }

    /// Its body; `input` is what it was opened from.
    pub(crate) fn body<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Self::InPlace(len) => &input[LENGTH_LEN..LENGTH_LEN + len],
            Self::Apart(plain, len) => &plain[..*len],
        }
    }

    /// Takes its body off the input, as one piece of memory.
    pub(crate) fn take(self, input: &mut BytesMut) -> Bytes {
        match self {
            Self::InPlace(len) => {
                let record = input.split_to(len + OVERHEAD).freeze();
                record.slice(LENGTH_LEN..LENGTH_LEN + len)
            }
            Self::Apart(mut plain, len) => {
                plain.truncate(len);
                plain.into()
            }
        }
    }
}

impl Records {
    pub(crate) fn new(keys: Keys, lane: Lane) -> Self {
        let (max, overhead) = match &keys {
            Keys::Mac(_) => (record_max(lane), OVERHEAD),
            Keys::Noise(_) => (NOISE_RECORD_MAX, NOISE_OVERHEAD),
        };
        Self {
            keys,
            sealed: 0,
            opened: 0,
            max,
            overhead,
            gathered: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// Begins a record.
    pub(crate) fn begin(out: &mut Output) -> Unsealed {
        let mark = out.mark();
        out.small.extend_from_slice(&[0; LENGTH_LEN]);
        Unsealed(mark)
    }

    /// Ends a record. An empty one leaves nothing behind; the answer is whether there was one.
    pub(crate) fn seal(&mut self, record: &Unsealed, out: &mut Output) -> bool {
        let len = record.len(out);
        let start = record.0.start();
        if len == 0 {
            out.small.truncate(start);
            return false;
        }
        match &mut self.keys {
            Keys::Mac(keys) => {
                out.small[start..start + LENGTH_LEN].copy_from_slice(&length(len));
                let key = keys.seal_key();
                let tag = if out.is_contiguous(&record.0) {
                    key.tag(self.sealed, &[&out.small[start..]])
                } else {
                    key.tag_all(self.sealed, out.parts(&record.0))
                };
                out.small.extend_from_slice(&tag);
            }
            Keys::Noise(keys) => {
                // snow takes the body in one piece and writes to another place: nothing large stays
                // where its sender has it, for the ciphertext needs memory of its own anyway.
                self.gathered.clear();
                for part in out.parts(&record.0) {
                    self.gathered.extend_from_slice(part);
                }
                out.rewind_to(&record.0);
                out.small.extend_from_slice(&length(len + NOISE_TAG));
                let at = out.small.len();
                out.small.resize(at + len + NOISE_TAG, 0);
                keys.seal(&self.gathered[LENGTH_LEN..], &mut out.small[at..]);
            }
        }
        self.sealed += 1;
        true
    }

    /// Checks the first record of the input, if all of it is there.
    pub(crate) fn open(&mut self, input: &mut BytesMut) -> Result<Option<Opened>, SessionError> {
        let Some(length) = input.first_chunk::<LENGTH_LEN>() else {
            return Ok(None);
        };
        let claimed = u32::from_le_bytes(*length);
        let record = self.opened;
        let inside = match &self.keys {
            Keys::Mac(_) => 0,
            Keys::Noise(_) => NOISE_TAG,
        };
        let max = self.max - self.overhead + inside;
        let len = usize::try_from(claimed)
            .ok()
            .filter(|&len| len <= max)
            .ok_or(SessionError::RecordTooLong {
                record,
                len: claimed.into(),
                max,
            })?;
        if len <= inside {
            return Err(SessionError::EmptyRecord { record });
        }
        let end = LENGTH_LEN + len;
        let opened = match &mut self.keys {
            Keys::Mac(keys) => {
                let Some(tag) = input.get(end..end + TAG_LEN) else {
                    return Ok(None);
                };
                if !keys.open_key().verify(record, &[&input[..end]], tag) {
                    return Err(SessionError::NotAuthentic { record });
                }
                Opened::InPlace(len)
            }
            Keys::Noise(keys) => {
                let Some(sealed) = input.get(LENGTH_LEN..end) else {
                    return Ok(None);
                };
                // snow decrypts in place in what it is given, where all of the message has room; else
                // it takes memory of its own for it.
                if self.plain.len() < len {
                    self.plain.resize(len, 0);
                }
                let body = keys
                    .open(sealed, &mut self.plain)
                    .map_err(|_| SessionError::NotAuthentic { record })?;
                input.advance(end);
                Opened::Apart(std::mem::take(&mut self.plain), body)
            }
        };
        self.opened += 1;
        Ok(Some(opened))
    }

    /// Drops a record off the input that it was opened from.
    pub(crate) fn skip(&mut self, opened: Opened, input: &mut BytesMut) {
        match opened {
            Opened::InPlace(len) => input.advance(len + OVERHEAD),
            Opened::Apart(plain, _) => self.plain = plain,
        }
    }

    /// An idle connection holds no memory to speak of.
    pub(crate) fn rest(&mut self) {
        (self.gathered, self.plain) = (Vec::new(), Vec::new());
    }
}

fn length(len: usize) -> [u8; LENGTH_LEN] {
    u32::try_from(len)
        .expect("a record's body is far below 4 GiB")
        .to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{MacKey, RecordKeys},
        noise::{Cipher, NoiseHandshake, REKEY_AFTER},
    };

    /// Two ends: what the first seals, the second opens.
    type Ends = (Records, Records);

    fn of_mac() -> Ends {
        let key = |byte| MacKey::new(&[byte; 32]);
        let keys = [(1, 2), (2, 1)].map(|(seal, open)| RecordKeys::new(key(seal), key(open)));
        let [a, b] = keys.map(|keys| Records::new(Keys::Mac(keys), Lane::Control));
        (a, b)
    }

    fn of_noise(cipher: Cipher, rekey_after: u64) -> Ends {
        let side = |is_dialler| NoiseHandshake::new(is_dialler, cipher, &[9; 32], b"hellos", None);
        let (mut dialler, mut acceptor) = (side(true), side(false));
        acceptor.read(&dialler.write().unwrap()).unwrap();
        dialler.read(&acceptor.write().unwrap()).unwrap();
        let [a, b] = [dialler, acceptor]
            .map(|end| Records::new(Keys::Noise(end.finish(rekey_after)), Lane::Control));
        (a, b)
    }

    fn all() -> [Ends; 3] {
        [
            of_mac(),
            of_noise(Cipher::AesGcm, REKEY_AFTER),
            of_noise(Cipher::ChaChaPoly, REKEY_AFTER),
        ]
    }

    fn seal(records: &mut Records, bodies: &[&[u8]]) -> Vec<u8> {
        let mut out = Output::new();
        // What was sealed before, and something large in it, is left alone.
        out.small.extend_from_slice(b"before");
        out.push_large(Bytes::from_static(b"large"));
        out.small.extend_from_slice(b"!");
        for body in bodies {
            let record = Records::begin(&mut out);
            let (small, rest) = body.split_at(body.len() / 3);
            out.small.extend_from_slice(small);
            let (large, last) = rest.split_at(rest.len() / 2);
            out.push_large(Bytes::copy_from_slice(large));
            out.small.extend_from_slice(last);
            assert_eq!(record.len(&out), body.len());
            assert!(records.seal(&record, &mut out));
        }
        let bytes = out.copy_to_bytes(out.remaining());
        bytes.strip_prefix(b"beforelarge!").unwrap().to_vec()
    }

    #[test]
    fn what_is_sealed_opens_in_order_however_it_was_pieced_together() {
        for (mut a, mut b) in all() {
            let bodies = [&b"first"[..], b"2", b"third one"];
            let bytes = seal(&mut a, &bodies);
            let mut input = BytesMut::from(&bytes[..]);
            for (n, body) in bodies.into_iter().enumerate() {
                let opened = b.open(&mut input).unwrap().unwrap();
                assert_eq!(opened.len(), body.len());
                assert_eq!(opened.body(&input), body);
                if n == 1 {
                    b.skip(opened, &mut input);
                } else {
                    assert_eq!(opened.take(&mut input), body);
                }
            }
            assert!(input.is_empty());
            assert!(b.open(&mut input).unwrap().is_none());
        }
    }

    #[test]
    fn a_record_in_another_place_or_of_the_other_direction_is_not_authentic() {
        for (mut a, mut b) in all() {
            let bytes = seal(&mut a, &[b"same", b"same"]);
            let (first, second) = bytes.split_at(bytes.len() / 2);
            assert_ne!(first, second);
            let refused = Err(SessionError::NotAuthentic { record: 0 });
            for (who, wrong) in [(&mut b, second), (&mut a, first)] {
                let opened = who.open(&mut BytesMut::from(wrong));
                assert_eq!(opened.map(|_| ()), refused);
            }
        }
    }

    #[test]
    fn a_length_beyond_the_lane_is_refused_before_anything_else_arrives() {
        let bounds = [(65_500_u32, 1_u32), (65_535, 17), (65_535, 17)];
        for ((_, mut b), (most, least)) in all().into_iter().zip(bounds) {
            let mut open = |length: u32| b.open(&mut BytesMut::from(&length.to_le_bytes()[..]));
            let error = open(u32::MAX).unwrap_err();
            let is_long = |error| matches!(error, SessionError::RecordTooLong { .. });
            assert!(is_long(error));
            assert!(is_long(open(most + 1).unwrap_err()));
            assert!(open(most).unwrap().is_none());
            assert!(open(least).unwrap().is_none());
            let empty = SessionError::EmptyRecord { record: 0 };
            assert_eq!(open(least - 1).unwrap_err(), empty);
        }
    }

    #[test]
    fn an_empty_record_leaves_nothing_behind() {
        for (mut a, _) in all() {
            let mut out = Output::new();
            let record = Records::begin(&mut out);
            assert!(!a.seal(&record, &mut out));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn a_direction_s_key_is_replaced_after_so_many_records_and_both_ends_agree_when() {
        for cipher in [Cipher::AesGcm, Cipher::ChaChaPoly] {
            let (mut a, mut b) = of_noise(cipher, 3);
            for n in 0..20_u8 {
                let bytes = seal(&mut a, &[&[n]]);
                let mut input = BytesMut::from(&bytes[..]);
                let opened = b.open(&mut input).unwrap().unwrap();
                assert_eq!(opened.take(&mut input), [n][..]);
                if n % 2 == 0 {
                    let bytes = seal(&mut b, &[b"back"]);
                    assert!(a.open(&mut BytesMut::from(&bytes[..])).unwrap().is_some());
                }
            }
            // One end that doesn't replace it is not understood any more from then on.
            let (mut a, mut b) = of_noise(cipher, 3);
            if let Keys::Noise(keys) = &mut b.keys {
                keys.set_rekey_after(4);
            }
            let opens: Vec<bool> = (0..4)
                .map(|_| {
                    let bytes = seal(&mut a, &[b"body"]);
                    b.open(&mut BytesMut::from(&bytes[..])).is_ok()
                })
                .collect();
            assert_eq!(opens, [true, true, true, false]);
        }
    }

    #[test]
    fn a_connection_goes_on_after_the_record_at_which_its_keys_are_replaced_and_not_without() {
        let crossed = |theirs: u64| {
            let (mut a, mut b) = of_noise(Cipher::AesGcm, REKEY_AFTER);
            if let Keys::Noise(keys) = &mut b.keys {
                keys.set_rekey_after(theirs);
            }
            let mut out = Output::new();
            let mut input = BytesMut::new();
            for n in 0..REKEY_AFTER + 2 {
                let record = Records::begin(&mut out);
                out.small.extend_from_slice(&n.to_le_bytes());
                a.seal(&record, &mut out);
                if out.len() > 64 * 1024 || n > REKEY_AFTER {
                    input.extend_from_slice(&out.copy_to_bytes(out.remaining()));
                    while let Some(opened) = b.open(&mut input)? {
                        assert_eq!(opened.body(&input), (b.opened - 1).to_le_bytes());
                        b.skip(opened, &mut input);
                    }
                }
            }
            Ok(b.opened)
        };
        assert_eq!(crossed(REKEY_AFTER), Ok(REKEY_AFTER + 2));
        let record = REKEY_AFTER;
        assert_eq!(
            crossed(u64::MAX),
            Err(SessionError::NotAuthentic { record })
        );
    }
}
