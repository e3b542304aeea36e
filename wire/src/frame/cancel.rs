//! `cancel` 0x08: nobody waits for a message any more. It is ended by the receiver all the same.
//!
//! Field: the message's id. No payload.

use super::{Frame, Raw, begin, finish, kind};
use crate::coding::{FieldError, VARINT_MAX, put_varint};

/// Nobody waits for this message any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancel {
    /// The message's id.
    pub id: u64,
}

impl Cancel {
    /// At most how many bytes it takes.
    pub(crate) const BOUND: usize = 1 + 1 + 1 + VARINT_MAX;

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let begun = begin(out, kind::CANCEL, 0);
        put_varint(out, self.id);
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Cancel {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let cancel = Self {
            id: fields.varint()?,
        };
        fields.skip_fields()?;
        Ok(cancel)
    }
}
