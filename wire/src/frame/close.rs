//! `close` 0x0b: nothing more follows; so an end is told from a cut.
//!
//! Fields: the reason, the id of the last message that its sender has received (0: none), which
//! tells what can't have run. Payload: a text for people, UTF-8, often empty.

use super::{Frame, Raw, begin, finish, kind};
use crate::{
    code::CloseReason,
    coding::{FieldError, put_varint},
};

/// The end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// Why.
    pub reason: CloseReason,
    /// The id of the last message that was received; later ones never run.
    pub received: u64,
}

impl Close {
    /// The longest text that is sent.
    pub(crate) const DETAIL_MAX: usize = 1024;

    /// Appends the frame, text and all.
    pub fn encode(&self, detail: &str, out: &mut Vec<u8>) {
        let begun = begin(out, kind::CLOSE, detail.len());
        put_varint(out, u64::from(self.reason.number()));
        put_varint(out, self.received);
        finish(out, &begun);
        out.extend_from_slice(detail.as_bytes());
    }
}

impl<'a> Frame<'a> for Close {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let close = Self {
            reason: CloseReason::from_number(fields.u16()?),
            received: fields.varint()?,
        };
        fields.skip_fields()?;
        Ok(close)
    }
}
