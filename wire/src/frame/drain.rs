//! `drain` 0x81: its sender begins nothing more on this connection, because another is to take its
//! place. What is open goes on to its end. Who receives one sends one too, once what waits has begun.
//!
//! No fields, no payload.

use super::{Frame, Raw, begin, finish, kind};
use crate::coding::FieldError;

/// Nothing new on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain;

impl Drain {
    /// The most that it takes.
    pub(crate) const BOUND: usize = 8;

    /// Appends the frame.
    pub fn encode(out: &mut Vec<u8>) {
        let begun = begin(out, kind::DRAIN, 0);
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Drain {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        fields.skip_fields()?;
        Ok(Self)
    }
}
