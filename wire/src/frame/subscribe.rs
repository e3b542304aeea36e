//! `subscribe` 0x0d: asks for a stream; `unsubscribe` 0x12: no longer wants it.
//!
//! Fields of subscribe: id, flags (bit 0: reliable; the others must be 0), the component's name, the
//! stream's name, encoding, depth, past items, least interval in microseconds, items and bytes that
//! may be sent. Optional fields: 1 the fingerprint (8 bytes), 2 the subscriber's name, 4 where it goes on
//! (incarnation and next number). Field of unsubscribe: the id. No payloads.

use std::time::Duration;

use super::{Frame, Raw, begin, finish, kind};
use crate::{
    coding::{FieldError, Reader, name, put_bytes, put_varint, unknown},
    encoding::Encoding,
    stream::{Mode, Subscribe},
};

pub(super) const FINGERPRINT: u64 = 1;
const SUBSCRIBER: u64 = 2;
const RESUMES: u64 = 4;
pub(super) const RELIABLE: u8 = 1;

/// Asks for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeFrame {
    /// The subscription's number; each is used once a connection and direction, ascending from 0.
    pub id: u32,
    /// What is asked for.
    pub subscribe: Subscribe,
}

/// A span in microseconds.
pub(super) fn put_micros(out: &mut Vec<u8>, span: Duration) {
    put_varint(out, u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
}

/// Reads an encoding's number.
pub(super) fn encoding(number: u64) -> Result<Encoding, &'static str> {
    let number = u8::try_from(number).ok().and_then(Encoding::from_number);
    number.ok_or("an unknown encoding")
}

/// Reads the value of a fingerprint's field.
pub(super) fn fingerprint(bytes: &[u8]) -> Result<Option<[u8; 8]>, &'static str> {
    let bytes = bytes
        .try_into()
        .map_err(|_| "a fingerprint isn't 8 bytes")?;
    Ok(Some(bytes))
}

impl SubscribeFrame {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Subscribe {
            component,
            stream,
            subscriber,
            encoding,
            fingerprint,
            mode,
            depth,
            keep_last,
            interval,
            items,
            bytes,
            resumes,
        } = &self.subscribe;
        let begun = begin(out, kind::SUBSCRIBE, 0);
        put_varint(out, u64::from(self.id));
        out.push(mode.flag());
        put_bytes(out, component.as_bytes());
        put_bytes(out, stream.as_bytes());
        put_varint(out, u64::from(encoding.number()));
        put_varint(out, u64::from(*depth));
        put_varint(out, u64::from(*keep_last));
        put_micros(out, *interval);
        put_varint(out, *items);
        put_varint(out, *bytes);
        if let Some(fingerprint) = fingerprint {
            put_varint(out, FINGERPRINT);
            put_bytes(out, fingerprint);
        }
        if let Some(subscriber) = subscriber {
            put_varint(out, SUBSCRIBER);
            put_bytes(out, subscriber.as_bytes());
        }
        if let Some((incarnation, next)) = resumes {
            let mut value = Vec::with_capacity(18);
            put_varint(&mut value, *incarnation);
            put_varint(&mut value, *next);
            put_varint(out, RESUMES);
            put_bytes(out, &value);
        }
        finish(out, &begun);
    }

    /// At most how many bytes the frame takes.
    pub(crate) fn bound(&self) -> usize {
        let Subscribe {
            component,
            stream,
            subscriber,
            ..
        } = &self.subscribe;
        120 + component.len() + stream.len() + subscriber.as_ref().map_or(0, |name| name.len())
    }
}

impl Mode {
    pub(super) fn flag(self) -> u8 {
        match self {
            Self::Latest => 0,
            Self::Reliable => RELIABLE,
        }
    }

    pub(super) fn from_flags(flags: u8) -> Self {
        if flags & RELIABLE == 0 {
            Self::Latest
        } else {
            Self::Reliable
        }
    }
}

impl<'a> Frame<'a> for SubscribeFrame {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let id = fields.u32()?;
        let flags = fields.u8()?;
        if flags & !RELIABLE != 0 {
            return Err("an unknown flag is set".into());
        }
        let mut subscribe = Subscribe {
            component: fields.name()?,
            stream: fields.name()?,
            subscriber: None,
            encoding: encoding(fields.varint()?)?,
            fingerprint: None,
            mode: Mode::from_flags(flags),
            depth: fields.u32()?,
            keep_last: fields.u32()?,
            interval: Duration::from_micros(fields.varint()?),
            items: fields.varint()?,
            bytes: fields.varint()?,
            resumes: None,
        };
        if subscribe.stream.contains('/') {
            return Err("a stream's name has no slash".into());
        }
        // Under any of these nothing would ever arrive, and nobody would be told.
        if subscribe.depth == 0 || subscribe.items == 0 || subscribe.bytes == 0 {
            return Err("it has no room for an item".into());
        }
        let mut last = None;
        while let Some((tag, bytes)) = fields.field(&mut last)? {
            match tag {
                FINGERPRINT => subscribe.fingerprint = fingerprint(bytes)?,
                SUBSCRIBER => subscribe.subscriber = Some(name(bytes)?),
                RESUMES => {
                    let mut value = Reader::new(bytes);
                    subscribe.resumes = Some((value.varint()?, value.varint()?));
                }
                tag => unknown(tag)?,
            }
        }
        Ok(Self { id, subscribe })
    }
}

/// The stream is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The subscription's number.
    pub id: u32,
}

impl Unsubscribe {
    /// At most how many bytes the frame takes.
    pub(crate) const BOUND: usize = 1 + 1 + 1 + 5;

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let begun = begin(out, kind::UNSUBSCRIBE, 0);
        put_varint(out, u64::from(self.id));
        finish(out, &begun);
    }
}

impl<'a> Frame<'a> for Unsubscribe {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let id = fields.u32()?;
        fields.skip_fields()?;
        Ok(Self { id })
    }
}
