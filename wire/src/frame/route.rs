//! `route` 0x01: what a route's number stands for, once before its first message.
//!
//! Fields: number, window, flags (bit 0: urgent; the others must be 0), scope (0 component, 1 group,
//! 2 everyone), the scope's name (empty for everyone), the message's name, encoding. Optional fields:
//! 1 the fingerprint (8 bytes), 2 the sender's name. No payload.

use super::{Frame, Raw, begin, finish, kind};
use crate::{
    coding::{FieldError, name, put_bytes, put_varint, unknown},
    encoding::Encoding,
    route::{Route, Scope},
};

const FINGERPRINT: u64 = 1;
const SENDER: u64 = 2;
const URGENT: u8 = 1;

/// Declares a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFrame {
    /// Its number, below the routes that were granted.
    pub number: u32,
    /// The number of its window, below twice the routes that were granted.
    pub window: u32,
    /// What it stands for.
    pub route: Route,
}

/// At most how many bytes a route frame takes.
pub(crate) fn bound(route: &Route) -> usize {
    let scope = match &route.scope {
        Scope::Component(name) | Scope::Group(name) => name.len(),
        Scope::Everyone => 0,
    };
    64 + scope + route.message.len() + route.sender.as_ref().map_or(0, |name| name.len())
}

/// Appends a route frame.
pub(crate) fn put(out: &mut Vec<u8>, number: u32, window: u32, route: &Route) {
    let begun = begin(out, kind::ROUTE, 0);
    put_varint(out, u64::from(number));
    put_varint(out, u64::from(window));
    out.push(if route.urgent { URGENT } else { 0 });
    let (scope, name) = match &route.scope {
        Scope::Component(name) => (0, name.as_bytes()),
        Scope::Group(name) => (1, name.as_bytes()),
        Scope::Everyone => (2, &[][..]),
    };
    out.push(scope);
    put_bytes(out, name);
    put_bytes(out, route.message.as_bytes());
    put_varint(out, u64::from(route.encoding.number()));
    if let Some(fingerprint) = &route.fingerprint {
        put_varint(out, FINGERPRINT);
        put_bytes(out, fingerprint);
    }
    if let Some(sender) = &route.sender {
        put_varint(out, SENDER);
        put_bytes(out, sender.as_bytes());
    }
    finish(out, &begun);
}

impl RouteFrame {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.number, self.window, &self.route);
    }
}

impl<'a> Frame<'a> for RouteFrame {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let number = fields.u32()?;
        let window = fields.u32()?;
        let flags = fields.u8()?;
        if flags & !URGENT != 0 {
            return Err("an unknown flag is set".into());
        }
        let scope = match (fields.u8()?, fields.bytes()?) {
            (0, bytes) => Scope::Component(name(bytes)?),
            (1, bytes) => Scope::Group(name(bytes)?),
            (2, []) => Scope::Everyone,
            (2, _) => return Err("the scope of everyone has no name".into()),
            _ => return Err("an unknown scope".into()),
        };
        let message = match std::str::from_utf8(fields.bytes()?) {
            Ok(text) if !text.is_empty() && text.len() <= 255 => text.to_owned(),
            _ => return Err("a message's name isn't 1 to 255 bytes of UTF-8".into()),
        };
        let encoding = u8::try_from(fields.varint()?)
            .ok()
            .and_then(Encoding::from_number)
            .ok_or("an unknown encoding")?;
        let mut route = Route {
            scope,
            sender: None,
            message,
            encoding,
            fingerprint: None,
            urgent: flags & URGENT != 0,
        };
        let mut last = None;
        while let Some((tag, bytes)) = fields.field(&mut last)? {
            match tag {
                FINGERPRINT => {
                    let bytes = bytes
                        .try_into()
                        .map_err(|_| "a fingerprint isn't 8 bytes")?;
                    route.fingerprint = Some(bytes);
                }
                SENDER => route.sender = Some(name(bytes)?),
                tag => unknown(tag)?,
            }
        }
        Ok(Self {
            number,
            window,
            route,
        })
    }
}
