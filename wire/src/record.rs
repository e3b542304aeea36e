//! Records: frames, authenticated.
//!
//! ```text
//! length u32 little endian | body, length bytes | tag, 32 bytes
//! tag = HMAC-SHA256(key of the direction, number u64 little endian | length | body)
//! ```
//!
//! Records are numbered from 0, a direction each; the number isn't sent. A record that is altered,
//! replayed, moved or left out has a wrong tag.

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    error::SessionError,
    ident::Lane,
    keys::{MacKey, TAG_LEN},
    output::{Mark, Output},
};

/// How many bytes the length takes.
pub const LENGTH_LEN: usize = 4;

/// What a record has besides its body.
pub const OVERHEAD: usize = LENGTH_LEN + TAG_LEN;

/// The longest record of a lane, length and tag included.
pub const fn record_max(lane: Lane) -> usize {
    match lane {
        Lane::Control => 64 * 1024,
        Lane::Bulk => 256 * 1024,
    }
}

/// Makes records.
#[derive(Debug)]
pub(crate) struct Sealer {
    key: MacKey,
    next: u64,
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

impl Sealer {
    pub(crate) fn new(key: MacKey) -> Self {
        Self { key, next: 0 }
    }

    /// Begins a record.
    pub(crate) fn begin(&self, out: &mut Output) -> Unsealed {
        let mark = out.mark();
        out.small.extend_from_slice(&[0; LENGTH_LEN]);
        Unsealed(mark)
    }

    /// Ends a record. An empty one leaves nothing behind; the answer is whether there was one.
    pub(crate) fn seal(&mut self, record: &Unsealed, out: &mut Output) -> bool {
        let len = record.len(out);
        if len == 0 {
            out.small.truncate(record.0.start());
            return false;
        }
        let start = record.0.start();
        let length = u32::try_from(len).expect("a record's body is far below 4 GiB");
        out.small[start..start + LENGTH_LEN].copy_from_slice(&length.to_le_bytes());
        let tag = if out.is_contiguous(&record.0) {
            self.key.tag(self.next, &[&out.small[start..]])
        } else {
            self.key.tag_all(self.next, out.parts(&record.0))
        };
        self.next += 1;
        out.small.extend_from_slice(&tag);
        true
    }
}

/// Checks records.
#[derive(Debug)]
pub(crate) struct Opener {
    key: MacKey,
    next: u64,
    max: usize,
}

/// A record whose tag was right.
#[derive(Debug)]
pub(crate) struct Opened {
    /// How long its body is.
    pub(crate) len: usize,
}

impl Opened {
    /// Its body, in the input that it was opened from.
    pub(crate) fn body<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        &input[LENGTH_LEN..LENGTH_LEN + self.len]
    }

    /// Drops the record off the input.
    pub(crate) fn skip(&self, input: &mut BytesMut) {
        input.advance(self.len + OVERHEAD);
    }

    /// Takes the record off the input, as one piece of memory.
    pub(crate) fn take(&self, input: &mut BytesMut) -> Bytes {
        let record = input.split_to(self.len + OVERHEAD).freeze();
        record.slice(LENGTH_LEN..LENGTH_LEN + self.len)
    }
}

impl Opener {
    pub(crate) fn new(key: MacKey, lane: Lane) -> Self {
        Self {
            key,
            next: 0,
            max: record_max(lane) - OVERHEAD,
        }
    }

    /// Checks the first record of the input, if all of it is there.
    pub(crate) fn open(&mut self, input: &[u8]) -> Result<Option<Opened>, SessionError> {
        let Some(length) = input.first_chunk::<LENGTH_LEN>() else {
            return Ok(None);
        };
        let claimed = u32::from_le_bytes(*length);
        let record = self.next;
        let len = usize::try_from(claimed)
            .ok()
            .filter(|&len| len <= self.max)
            .ok_or(SessionError::RecordTooLong {
                record,
                len: claimed.into(),
                max: self.max,
            })?;
        if len == 0 {
            return Err(SessionError::EmptyRecord { record });
        }
        let end = LENGTH_LEN + len;
        let Some(tag) = input.get(end..end + TAG_LEN) else {
            return Ok(None);
        };
        if !self.key.verify(record, &[&input[..end]], tag) {
            return Err(SessionError::NotAuthentic { record });
        }
        self.next += 1;
        Ok(Some(Opened { len }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(bodies: &[&[u8]]) -> Vec<u8> {
        let mut sealer = Sealer::new(MacKey::new(&[1; 32]));
        let mut out = Output::new();
        for body in bodies {
            let record = sealer.begin(&mut out);
            let (small, large) = body.split_at(body.len() / 2);
            out.small.extend_from_slice(small);
            out.push_large(Bytes::copy_from_slice(large));
            assert_eq!(record.len(&out), body.len());
            sealer.seal(&record, &mut out);
        }
        out.copy_to_bytes(out.remaining()).to_vec()
    }

    #[test]
    fn what_is_sealed_opens_in_order_however_it_was_pieced_together() {
        let bytes = sealed(&[b"first", b"2", b"third one"]);
        let mut opener = Opener::new(MacKey::new(&[1; 32]), Lane::Control);
        let mut input = BytesMut::from(&bytes[..]);
        for body in [&b"first"[..], b"2", b"third one"] {
            let opened = opener.open(&input).unwrap().unwrap();
            assert_eq!(opened.body(&input), body);
            assert_eq!(opened.take(&mut input), body);
        }
        assert!(opener.open(&input).unwrap().is_none());
    }

    #[test]
    fn the_record_s_number_is_part_of_the_tag() {
        let bytes = sealed(&[b"same", b"same"]);
        let (first, second) = bytes.split_at(bytes.len() / 2);
        assert_ne!(first, second);
        let mut opener = Opener::new(MacKey::new(&[1; 32]), Lane::Control);
        assert_eq!(
            opener.open(second).unwrap_err(),
            SessionError::NotAuthentic { record: 0 }
        );
    }

    #[test]
    fn a_length_beyond_the_lane_is_refused_before_anything_else_arrives() {
        let mut opener = Opener::new(MacKey::new(&[1; 32]), Lane::Control);
        let error = opener.open(&[0xff; 4]).unwrap_err();
        assert!(matches!(
            error,
            SessionError::RecordTooLong {
                len: 0xffff_ffff,
                ..
            }
        ));
        assert_eq!(
            opener.open(&[0; 4]).unwrap_err(),
            SessionError::EmptyRecord { record: 0 }
        );
        assert!(opener.open(&65_500_u32.to_le_bytes()).unwrap().is_none());
        assert!(opener.open(&65_501_u32.to_le_bytes()).is_err());
    }

    #[test]
    fn an_empty_record_leaves_nothing_behind() {
        let mut sealer = Sealer::new(MacKey::new(&[1; 32]));
        let mut out = Output::new();
        let record = sealer.begin(&mut out);
        assert!(!sealer.seal(&record, &mut out));
        assert!(out.is_empty());
    }
}
