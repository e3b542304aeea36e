//! `subscribed` 0x0e: the stream exists, items follow.
//!
//! Fields: id, flags (bit 0: reliable, bit 1: a full subscriber is cut off; others are hints of later
//! versions), incarnation, the number of the first item to come, encoding, depth, past items, least
//! interval in microseconds. Optional field 1: the fingerprint (8 bytes). No payload.

use std::time::Duration;

use super::{
    Frame, Raw, begin, finish, kind,
    subscribe::{FINGERPRINT, encoding, fingerprint, put_micros},
};
use crate::{
    coding::{FieldError, VARINT_MAX, put_bytes, put_varint, unknown},
    stream::{Granted, Mode},
};

const CUTS_OFF: u8 = 2;

/// The stream exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribed {
    /// The subscription's number.
    pub id: u32,
    /// What the subscriber gets.
    pub granted: Granted,
}

impl Subscribed {
    /// At most how many bytes the frame takes.
    pub(crate) const BOUND: usize = 16 + 8 * VARINT_MAX;

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let granted = &self.granted;
        let begun = begin(out, kind::SUBSCRIBED, 0);
        put_varint(out, u64::from(self.id));
        let cuts_off = if granted.cuts_off { CUTS_OFF } else { 0 };
        out.push(granted.mode.flag() | cuts_off);
        put_varint(out, granted.incarnation);
        put_varint(out, granted.next);
        put_varint(out, u64::from(granted.encoding.number()));
        put_varint(out, u64::from(granted.depth));
        put_varint(out, u64::from(granted.keep_last));
        put_micros(out, granted.interval);
        if let Some(fingerprint) = &granted.fingerprint {
            put_varint(out, FINGERPRINT);
            put_bytes(out, fingerprint);
        }
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Subscribed {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let id = fields.u32()?;
        let flags = fields.u8()?;
        let mut granted = Granted {
            mode: Mode::from_flags(flags),
            cuts_off: flags & CUTS_OFF != 0,
            incarnation: fields.varint()?,
            next: fields.varint()?,
            encoding: encoding(fields.varint()?)?,
            fingerprint: None,
            depth: fields.u32()?,
            keep_last: fields.u32()?,
            interval: Duration::from_micros(fields.varint()?),
        };
        let mut last = None;
        while let Some((tag, bytes)) = fields.field(&mut last)? {
            if tag == FINGERPRINT {
                granted.fingerprint = fingerprint(bytes)?;
            } else {
                unknown(tag)?;
            }
        }
        Ok(Self { id, granted })
    }
}
