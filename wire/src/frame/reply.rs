//! `reply` 0x04: the answer to an ask.
//!
//! Field: the ask's id. Payload: the answer, encoded as the ask was.

use super::{Frame, Raw, begin, finish, kind};
use crate::coding::{FieldError, VARINT_MAX, put_varint};

/// A reply's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The ask's id.
    pub id: u64,
}

impl Reply {
    /// At most how many bytes the header takes, with its length.
    pub(crate) const HEADER_BOUND: usize = 1 + 1 + VARINT_MAX + VARINT_MAX;

    /// Appends the header; the payload follows it.
    pub fn encode(&self, payload_len: usize, out: &mut Vec<u8>) {
        let begun = begin(out, kind::REPLY, payload_len);
        put_varint(out, self.id);
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Reply {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let reply = Self {
            id: fields.varint()?,
        };
        fields.skip_fields()?;
        Ok(reply)
    }
}
