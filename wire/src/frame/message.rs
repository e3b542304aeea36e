//! `ask` 0x02 and `tell` 0x03: a message.
//!
//! Fields: route, low 32 bits of the id, time left in microseconds. Optional field 2: the path.
//! Payload: the message.

use std::time::Duration;

use super::{Frame, Raw, begin, finish, kind};
use crate::{
    coding::{FieldError, Reader, VARINT_MAX, name, put_bytes, put_varint, unknown, varint_len},
    ident::Name,
    session::Kind,
};

const PATH: u64 = 2;

/// A message's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whether it is to be answered.
    pub kind: Kind,
    /// The number of its route.
    pub route: u32,
    /// The low 32 bits of its id.
    pub id: u32,
    /// How long its sender still waits.
    pub time_left: Duration,
    /// The components that wait in it, outermost first.
    pub path: Vec<Name>,
    /// How many bytes the path's field has; it is charged as the payload is.
    pub path_len: usize,
}

/// At most how many bytes a message's header takes, with its length.
pub(crate) fn header_bound(path_len: usize) -> usize {
    // header_len, kind, payload_len, route, id, time, and tag and length of the path
    3 + 1 + VARINT_MAX + 5 + 5 + VARINT_MAX + 1 + 3 + path_len
}

/// Appends a message's header.
pub(crate) fn put_header(
    out: &mut Vec<u8>,
    kind: Kind,
    route: u32,
    id: u64,
    time_left: Duration,
    path: &[Name],
    payload_len: usize,
) {
    let number = match kind {
        Kind::Ask => kind::ASK,
        Kind::Tell => kind::TELL,
    };
    let begun = begin(out, number, payload_len);
    put_varint(out, u64::from(route));
    put_varint(out, id & 0xffff_ffff);
    put_varint(
        out,
        u64::try_from(time_left.as_micros()).unwrap_or(u64::MAX),
    );
    if !path.is_empty() {
        put_varint(out, PATH);
        put_varint(out, Message::path_len(path) as u64);
        for name in path {
            put_bytes(out, name.as_bytes());
        }
    }
    finish(out, &begun);
}

impl Message {
    /// The most names in a path.
    pub const PATH_MAX: usize = 16;

    /// How many bytes a path takes as a field's value.
    pub fn path_len(path: &[Name]) -> usize {
        path.iter()
            .map(|name| varint_len(name.len() as u64) + name.len())
            .sum()
    }

    /// Appends the header; the payload follows it.
    pub fn encode(&self, payload_len: usize, out: &mut Vec<u8>) {
        put_header(
            out,
            self.kind,
            self.route,
            u64::from(self.id),
            self.time_left,
            &self.path,
            payload_len,
        );
    }
}

impl<'a> Frame<'a> for Message {
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError> {
        let mut fields = raw.fields;
        let mut message = Self {
            kind: if raw.kind == kind::ASK {
                Kind::Ask
            } else {
                Kind::Tell
            },
            route: fields.u32()?,
            id: fields.u32()?,
            time_left: Duration::from_micros(fields.varint()?),
            path: Vec::new(),
            path_len: 0,
        };
        let mut last = None;
        while let Some((tag, bytes)) = fields.field(&mut last)? {
            if tag == PATH {
                message.path_len = bytes.len();
                let mut names = Reader::new(bytes);
                while !names.is_empty() {
                    message.path.push(name(names.bytes()?)?);
                }
            } else {
                unknown(tag)?;
            }
        }
        Ok(message)
    }
}
