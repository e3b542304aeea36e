//! `ended` 0x11: nothing more on this subscription. It is the last that is said of it.
//!
//! Fields: the subscription's id, the code, how many items were missed and how many were thinned out
//! since the last one. Payload: the detail, UTF-8.

use super::{Frame, Raw, begin, finish, kind};
use crate::{
    code::EndCode,
    coding::{FieldError, VARINT_MAX, put_varint},
};

/// The end of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The subscription's number.
    pub id: u32,
    /// Why.
    pub code: EndCode,
    /// Items since the last one that the subscriber should have got, and didn't.
    pub missed: u64,
    /// Items since the last one that were left out because the subscriber wants fewer.
    pub thinned: u64,
}

impl Ended {
    /// At most how many bytes the header takes, with its length.
    pub(crate) const HEADER_BOUND: usize = 1 + 1 + 5 + 5 + 3 + 2 * VARINT_MAX;

    /// Appends the header; the detail follows it.
    pub fn encode(&self, detail_len: usize, out: &mut Vec<u8>) {
        let begun = begin(out, kind::ENDED, detail_len);
        put_varint(out, u64::from(self.id));
        put_varint(out, u64::from(self.code.number()));
        put_varint(out, self.missed);
        put_varint(out, self.thinned);
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Ended {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let ended = Self {
            id: fields.u32()?,
            code: EndCode::from_number(fields.u16()?),
            missed: fields.varint()?,
            thinned: fields.varint()?,
        };
        fields.skip_fields()?;
        Ok(ended)
    }
}
