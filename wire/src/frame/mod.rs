//! What a session says: one file a frame.
//!
//! ```text
//! header_len varint | kind u8 | payload_len varint | fields, in order | optional fields | payload
//!                   \------------------ header_len bytes -------------------------------/
//! optional field:  tag varint | len varint | bytes          (odd tag: required)
//! ```
//!
//! A kind with the bit [`OPTIONAL`] is skipped by who doesn't know it; any other unknown kind ends
//! the connection. A payload that goes on beyond its record makes a long frame: see
//! [`Chunk`].

mod cancel;
mod chunk;
mod close;
mod credit;
mod done;
mod drain;
mod ended;
mod failure;
mod grant;
mod item;
pub(crate) mod message;
mod ping;
mod reply;
pub(crate) mod route;
mod subscribe;
mod subscribed;

pub use self::{
    cancel::Cancel,
    chunk::{Abort, Chunk},
    close::Close,
    credit::Credit,
    done::Done,
    drain::Drain,
    ended::Ended,
    failure::FailureFrame,
    grant::Grant,
    item::ItemFrame,
    message::Message,
    ping::Ping,
    reply::Reply,
    route::RouteFrame,
    subscribe::{SubscribeFrame, Unsubscribe},
    subscribed::Subscribed,
};
use crate::{
    coding::{FieldError, Reader, put_varint},
    error::SessionError,
    ident::Lane,
};

/// Set in a kind that may be skipped.
pub const OPTIONAL: u8 = 0x80;

/// The kinds of frames, by number.
pub mod kind {
    /// Declares a route.
    pub const ROUTE: u8 = 0x01;
    /// A message that is to be answered.
    pub const ASK: u8 = 0x02;
    /// A message that is not.
    pub const TELL: u8 = 0x03;
    /// The answer to an ask.
    pub const REPLY: u8 = 0x04;
    /// The bad end of a message.
    pub const FAILURE: u8 = 0x05;
    /// The good end of tells.
    pub const DONE: u8 = 0x06;
    /// What may be sent.
    pub const CREDIT: u8 = 0x07;
    /// Nobody waits for a message any more.
    pub const CANCEL: u8 = 0x08;
    /// More of a long frame.
    pub const CHUNK: u8 = 0x09;
    /// No more of a long frame.
    pub const ABORT: u8 = 0x0a;
    /// Nothing more at all.
    pub const CLOSE: u8 = 0x0b;
    /// Still there.
    pub const PING: u8 = 0x0c;
    /// Asks for a stream.
    pub const SUBSCRIBE: u8 = 0x0d;
    /// The stream exists.
    pub const SUBSCRIBED: u8 = 0x0e;
    /// One item of a stream.
    pub const ITEM: u8 = 0x0f;
    /// What may be sent on a subscription.
    pub const GRANT: u8 = 0x10;
    /// Nothing more on a subscription.
    pub const ENDED: u8 = 0x11;
    /// A stream is no longer wanted.
    pub const UNSUBSCRIBE: u8 = 0x12;
    /// Nothing new on this connection.
    pub const DRAIN: u8 = 0x81;
}

/// What a kind is called in errors.
pub(crate) fn name_of(kind: u8) -> &'static str {
    match kind {
        kind::ROUTE => "route",
        kind::ASK => "ask",
        kind::TELL => "tell",
        kind::REPLY => "reply",
        kind::FAILURE => "failure",
        kind::DONE => "done",
        kind::CREDIT => "credit",
        kind::CANCEL => "cancel",
        kind::CHUNK => "chunk",
        kind::ABORT => "abort",
        kind::CLOSE => "close",
        kind::PING => "ping",
        kind::SUBSCRIBE => "subscribe",
        kind::SUBSCRIBED => "subscribed",
        kind::ITEM => "item",
        kind::GRANT => "grant",
        kind::ENDED => "ended",
        kind::UNSUBSCRIBE => "unsubscribe",
        kind::DRAIN => "drain",
        _ => "unknown",
    }
}

/// The lane that a kind belongs to; none if both have it, or it isn't known.
pub(crate) fn lane_of(kind: u8) -> Option<Lane> {
    match kind {
        kind::ROUTE..=kind::CANCEL => Some(Lane::Control),
        kind::SUBSCRIBE..=kind::UNSUBSCRIBE => Some(Lane::Bulk),
        _ => None,
    }
}

/// A frame whose header is split off but not read.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    /// Its kind.
    pub kind: u8,
    /// How long its payload is, be it in this record or not.
    pub payload_len: u64,
    /// Its fields.
    pub fields: Reader<'a>,
    /// How many bytes header and header length take.
    pub head: usize,
}

impl<'a> Raw<'a> {
    /// Splits the first frame's header off.
    pub fn split(bytes: &'a [u8]) -> Result<Self, SessionError> {
        let mut reader = Reader::new(bytes);
        let header = reader.bytes().map_err(|_| SessionError::Malformed {
            frame: "unread",
            why: "its header is longer than its record",
        })?;
        let head = bytes.len() - reader.rest().len();
        let mut fields = Reader::new(header);
        let kind = fields.u8().map_err(|why| SessionError::Malformed {
            frame: "unread",
            why,
        })?;
        let payload_len = fields.varint().map_err(|why| SessionError::Malformed {
            frame: name_of(kind),
            why,
        })?;
        Ok(Self {
            kind,
            payload_len,
            fields,
            head,
        })
    }

    /// An error about this frame.
    pub fn malformed(&self, why: &'static str) -> SessionError {
        SessionError::Malformed {
            frame: name_of(self.kind),
            why,
        }
    }

    /// Names this frame in an error about one of its fields.
    pub(crate) fn error(&self, error: FieldError) -> SessionError {
        let frame = name_of(self.kind);
        match error {
            FieldError::Why(why) => SessionError::Malformed { frame, why },
            FieldError::Unknown(tag) => SessionError::UnknownField { frame, tag },
        }
    }

    /// Reads the fields of a frame.
    pub fn read<F: Frame<'a>>(&self) -> Result<F, SessionError> {
        F::decode(self).map_err(|error| self.error(error))
    }
}

/// A kind of frame.
pub trait Frame<'a>: Sized {
    /// Reads the fields; the payload is the caller's.
    ///
    /// # Errors
    ///
    /// If they aren't the fields of such a frame.
    fn decode(raw: &Raw<'a>) -> Result<Self, FieldError>;
}

/// Where a header was begun.
#[must_use]
pub(crate) struct Begun(usize);

/// Begins a header; its length is filled in by [`finish`].
pub(crate) fn begin(out: &mut Vec<u8>, kind: u8, payload_len: usize) -> Begun {
    let at = out.len();
    out.extend_from_slice(&[0, kind]);
    put_varint(out, payload_len as u64);
    Begun(at)
}

/// Ends a header.
pub(crate) fn finish(out: &mut Vec<u8>, begun: &Begun) {
    let len = out.len() - begun.0 - 1;
    if len < 251 {
        out[begun.0] = len as u8;
    } else {
        // Rare: only long names and paths get here.
        let mut prefix = Vec::with_capacity(9);
        put_varint(&mut prefix, len as u64);
        out.splice(begun.0..=begun.0, prefix);
    }
}
