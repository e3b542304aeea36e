//! `grant` 0x10: what may be sent on a subscription, in totals since it began.
//!
//! Fields: the subscription's id, items, bytes. No payload.

use super::{Frame, Raw, begin, finish, kind};
use crate::coding::{FieldError, VARINT_MAX, put_varint};

/// What may be sent on a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The subscription's number.
    pub id: u32,
    /// Items, in all.
    pub items: u64,
    /// Bytes, in all.
    pub bytes: u64,
}

impl Grant {
    /// At most how many bytes the frame takes.
    pub(crate) const BOUND: usize = 1 + 1 + 1 + 5 + 2 * VARINT_MAX;

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let begun = begin(out, kind::GRANT, 0);
        put_varint(out, u64::from(self.id));
        put_varint(out, self.items);
        put_varint(out, self.bytes);
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Grant {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let grant = Self {
            id: fields.u32()?,
            items: fields.varint()?,
            bytes: fields.varint()?,
        };
        fields.skip_fields()?;
        Ok(grant)
    }
}
