//! `credit` 0x07: what the other side may send, in totals since the connection began.
//!
//! Fields: messages on the connection, bytes on the connection. Payload: for each window that has
//! news its number and its messages.

use super::{Frame, Raw, begin, finish, kind};
use crate::coding::{FieldError, Reader, VARINT_MAX, put_varint, varint_len};

/// What may be sent on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// Messages, in all.
    pub messages: u64,
    /// Bytes, in all.
    pub bytes: u64,
}

impl Credit {
    /// At most how many bytes a header takes, with its length.
    pub(crate) const HEADER_BOUND: usize = 1 + 1 + 3 * VARINT_MAX;
    /// At most how many bytes a window takes.
    pub(crate) const WINDOW_BOUND: usize = 5 + VARINT_MAX;

    /// Appends the frame, payload and all.
    pub fn encode(&self, windows: &[(u32, u64)], out: &mut Vec<u8>) {
        let len = windows
            .iter()
            .map(|&(window, total)| varint_len(u64::from(window)) + varint_len(total))
            .sum();
        let begun = begin(out, kind::CREDIT, len);
        put_varint(out, self.messages);
        put_varint(out, self.bytes);
        finish(out, &begun);
        for &(window, total) in windows {
            put_varint(out, u64::from(window));
            put_varint(out, total);
        }
    }

    /// Reads the next window of a payload.
    pub fn window(payload: &mut Reader<'_>) -> Result<Option<(u32, u64)>, &'static str> {
        if payload.is_empty() {
            return Ok(None);
        }
        Ok(Some((payload.u32()?, payload.varint()?)))
    }
}

impl<'a> Frame<'a> for Credit {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let credit = Self {
            messages: fields.varint()?,
            bytes: fields.varint()?,
        };
        fields.skip_fields()?;
        Ok(credit)
    }
}
