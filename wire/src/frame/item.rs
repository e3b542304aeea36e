//! `item` 0x0f: one item of a stream.
//!
//! Fields: the subscription's id, the item's number, how many were missed and how many were thinned
//! out since the one before, age in microseconds. Payload: the item.

use std::time::Duration;

use super::{Frame, Raw, begin, finish, kind, subscribe::put_micros};
use crate::coding::{FieldError, VARINT_MAX, put_varint};

/// An item's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemFrame {
    /// The subscription's number.
    pub id: u32,
    /// Its number in the stream.
    pub seq: u64,
    /// Items since the one before that the subscriber should have got, and didn't.
    pub missed: u64,
    /// Items since the one before that were left out because the subscriber wants fewer.
    pub thinned: u64,
    /// How old it is.
    pub age: Duration,
}

impl ItemFrame {
    /// At most how many bytes the header takes, with its length.
    pub(crate) const HEADER_BOUND: usize = 1 + 1 + VARINT_MAX + 5 + 4 * VARINT_MAX;

    /// Appends the header; the payload follows it.
    pub fn encode(&self, payload_len: usize, out: &mut Vec<u8>) {
        let begun = begin(out, kind::ITEM, payload_len);
        put_varint(out, u64::from(self.id));
        put_varint(out, self.seq);
        put_varint(out, self.missed);
        put_varint(out, self.thinned);
        put_micros(out, self.age);
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for ItemFrame {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let item = Self {
            id: fields.u32()?,
            seq: fields.varint()?,
            missed: fields.varint()?,
            thinned: fields.varint()?,
            age: Duration::from_micros(fields.varint()?),
        };
        fields.skip_fields()?;
        Ok(item)
    }
}
