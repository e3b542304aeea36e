//! `chunk` 0x09: more of a long frame; `abort` 0x0a: no more of it.
//!
//! A long frame is a message or a reply whose payload goes on beyond its record. It is alone in
//! that record, and each chunk is alone in its own. A direction has one long frame at a time; other
//! records may come between its chunks. The chunk that completes the payload ends it.
//!
//! No fields. Payload of a chunk: the next bytes, at least one. No payload of an abort.

use super::{Frame, Raw, begin, finish, kind};
use crate::coding::{FieldError, VARINT_MAX};

/// More of the long frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk;

impl Chunk {
    /// At most how many bytes the header takes, with its length.
    pub(crate) const HEADER_BOUND: usize = 1 + 1 + VARINT_MAX;

    /// Appends the header; the payload follows it.
    pub fn encode(payload_len: usize, out: &mut Vec<u8>) {
        let begun = begin(out, kind::CHUNK, payload_len);
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Chunk {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        fields.skip_fields()?;
        Ok(Self)
    }
}

/// No more of the long frame: its message never runs, its reply never comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort;

impl Abort {
    /// Appends the frame.
    pub fn encode(out: &mut Vec<u8>) {
        let begun = begin(out, kind::ABORT, 0);
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Abort {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        fields.skip_fields()?;
        Ok(Self)
    }
}
