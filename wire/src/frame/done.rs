//! `done` 0x06: tells that ran to their end, and asks that did after they were cancelled.
//!
//! No fields. Payload: ranges of ids, each the first id and how many there are.

use super::{Frame, Raw, begin, finish, kind};
use crate::coding::{FieldError, Reader, VARINT_MAX, put_varint, varint_len};

/// The good end of messages that aren't answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done;

impl Done {
    /// At most how many bytes a header takes, with its length.
    pub(crate) const HEADER_BOUND: usize = 1 + 1 + VARINT_MAX;
    /// At most how many bytes a range takes.
    pub(crate) const RANGE_BOUND: usize = 2 * VARINT_MAX;

    /// Appends the frame, payload and all.
    pub fn encode(ranges: &[(u64, u64)], out: &mut Vec<u8>) {
        let len = ranges
            .iter()
            .map(|&(first, count)| varint_len(first) + varint_len(count))
            .sum();
        let begun = begin(out, kind::DONE, len);
        finish(out, &begun);
        for &(first, count) in ranges {
            put_varint(out, first);
            put_varint(out, count);
        }
    }

    /// Reads the next range of a payload.
    pub fn range(payload: &mut Reader<'_>) -> Result<Option<(u64, u64)>, &'static str> {
        if payload.is_empty() {
            return Ok(None);
        }
        let (first, count) = (payload.varint()?, payload.varint()?);
        if count == 0 || first.checked_add(count).is_none() {
            return Err("a range is empty or too large");
        }
        Ok(Some((first, count)))
    }
}

impl<'a> Frame<'a> for Done {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        fields.skip_fields()?;
        Ok(Self)
    }
}
