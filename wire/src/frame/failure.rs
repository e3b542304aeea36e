//! `failure` 0x05: the bad end of a message.
//!
//! Fields: the message's id, the outcome code, flags (bit 0: it may have run). Payload: the detail,
//! UTF-8.

use super::{Frame, Raw, begin, finish, kind};
use crate::{
    code::Code,
    coding::{FieldError, VARINT_MAX, put_varint},
};

const MAY_HAVE_RUN: u8 = 1;

/// A failure's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureFrame {
    /// The message's id.
    pub id: u64,
    /// Why it failed.
    pub code: Code,
    /// Whether its handler may have begun.
    pub may_have_run: bool,
}

impl FailureFrame {
    /// The longest detail, in bytes.
    pub const DETAIL_MAX: usize = 16 * 1024;

    /// At most how many bytes the header takes, with its length.
    pub(crate) const HEADER_BOUND: usize = 1 + 1 + VARINT_MAX + VARINT_MAX + 3 + 1;

    /// Appends the header; the detail follows it.
    pub fn encode(&self, detail_len: usize, out: &mut Vec<u8>) {
        let begun = begin(out, kind::FAILURE, detail_len);
        put_varint(out, self.id);
        put_varint(out, u64::from(self.code.number()));
        out.push(if self.may_have_run { MAY_HAVE_RUN } else { 0 });
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for FailureFrame {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let frame = Self {
            id: fields.varint()?,
            code: Code::from_number(fields.u16()?),
            // Further bits are hints of later versions.
            may_have_run: fields.u8()? & MAY_HAVE_RUN != 0,
        };
        fields.skip_fields()?;
        Ok(frame)
    }
}
