//! `ping` 0x0c: its sender is still there. It isn't answered: each side pings when it has been
//! silent for a second.
//!
//! No fields, no payload.

use super::{Frame, Raw, begin, finish, kind};
use crate::coding::FieldError;

/// Still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping;

impl Ping {
    /// Appends the frame.
    pub fn encode(out: &mut Vec<u8>) {
        let begun = begin(out, kind::PING, 0);
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Ping {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        fields.skip_fields()?;
        Ok(Self)
    }
}
