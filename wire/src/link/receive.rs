//! From records to frames, and from those to whoever handles them.

use std::{ops::Range, time::Instant};

use bytes::{Bytes, BytesMut};

use super::Link;
use crate::{
    code::CloseReason,
    error::SessionError,
    frame::{Abort, Chunk, Drain, OPTIONAL, Ping, Raw, kind, lane_of, name_of},
    ident::Lane,
};

/// The body of a record: where it is, and the memory that large payloads keep a part of.
pub(crate) struct Body<'a> {
    pub(crate) bytes: &'a [u8],
    whole: Option<&'a Bytes>,
    slice_from: usize,
}

impl Body<'_> {
    /// A payload. Small ones are copied, so that they don't keep a whole read buffer alive.
    pub(crate) fn payload(&self, range: Range<usize>) -> Bytes {
        match self.whole {
            _ if range.is_empty() => Bytes::new(),
            Some(whole) if range.len() >= self.slice_from => whole.slice(range),
            _ => Bytes::copy_from_slice(&self.bytes[range]),
        }
    }
}

/// A frame and where its payload is.
pub(crate) struct Located<'a> {
    pub(crate) raw: Raw<'a>,
    pub(crate) payload: Range<usize>,
    /// Part of the payload is in later records.
    pub(crate) is_long: bool,
    /// There is nothing else in the record.
    is_alone: bool,
}

/// What a session makes of its lane's frames.
pub(crate) trait Frames {
    /// What it tells its owner.
    type Event;
    const LANE: Lane;

    fn link(&mut self) -> &mut Link;

    /// Whether a frame of this kind may go on beyond its record.
    fn may_be_long(kind: u8) -> bool;

    /// Whether a frame of this kind is read after our own close frame.
    fn is_end(kind: u8) -> bool;

    /// Whether a long frame is arriving.
    fn is_assembling(&self) -> bool;

    /// A frame of the lane's own kinds.
    fn on_frame(
        &mut self,
        now: Instant,
        frame: &Located<'_>,
        body: &Body<'_>,
        events: &mut Vec<Self::Event>,
    ) -> Result<(), SessionError>;

    fn on_chunk(
        &mut self,
        now: Instant,
        bytes: &[u8],
        events: &mut Vec<Self::Event>,
    ) -> Result<(), SessionError>;

    fn on_abort(&mut self) -> Result<(), SessionError>;

    /// The peer closes; `was_closed` if our own close frame has left before.
    fn on_close(
        &mut self,
        reason: CloseReason,
        detail: String,
        was_closed: bool,
        events: &mut Vec<Self::Event>,
    );

    /// The peer begins nothing new any more.
    fn on_drain(&mut self, events: &mut Vec<Self::Event>);

    /// All that came was looked at.
    fn settle(&mut self, events: &mut Vec<Self::Event>);

    /// The session failed: nothing that waits leaves any more.
    fn drop_all(&mut self);
}

/// Takes in what was read from the socket: consumes all whole records and leaves the rest.
pub(crate) fn receive<S: Frames>(
    session: &mut S,
    now: Instant,
    input: &mut BytesMut,
    events: &mut Vec<S::Event>,
) -> Result<(), SessionError> {
    let link = session.link();
    if link.failed {
        return Err(SessionError::Ended);
    }
    if input.len() > link.unread {
        link.timers.received(now);
    }
    let before = input.len();
    let result = receive_records(session, now, input, events);
    let link = session.link();
    link.unread = input.len();
    let any_whole = link.unread < before;
    link.timers.looked(now, any_whole, link.unread > 0);
    if let Err(error) = &result {
        link.break_off(error);
        session.drop_all();
    }
    result
}

fn receive_records<S: Frames>(
    session: &mut S,
    now: Instant,
    input: &mut BytesMut,
    events: &mut Vec<S::Event>,
) -> Result<(), SessionError> {
    while !input.is_empty() {
        let link = session.link();
        if link.peer_received.is_some() {
            return Err(SessionError::AfterClose);
        }
        let Some(opened) = link.records.open(input)? else {
            break;
        };
        let slice_from = link.slice_from;
        // A chunk is copied to those before it: nothing of its record is kept.
        let is_chunk = opened.body(input).get(1) == Some(&kind::CHUNK);
        if opened.len() >= slice_from && !is_chunk {
            let whole = opened.take(input);
            let body = Body {
                bytes: &whole,
                whole: Some(&whole),
                slice_from,
            };
            frames(session, now, &body, events)?;
        } else {
            let body = Body {
                bytes: opened.body(input),
                whole: None,
                slice_from,
            };
            frames(session, now, &body, events)?;
            session.link().records.skip(opened, input);
        }
    }
    session.settle(events);
    Ok(())
}

fn frames<S: Frames>(
    session: &mut S,
    now: Instant,
    body: &Body<'_>,
    events: &mut Vec<S::Event>,
) -> Result<(), SessionError> {
    let mut at = 0;
    while at < body.bytes.len() {
        if session.link().peer_received.is_some() {
            return Err(SessionError::AfterClose);
        }
        let raw = Raw::split(&body.bytes[at..])?;
        if lane_of(raw.kind).is_some_and(|lane| lane != S::LANE) {
            return Err(SessionError::WrongLane {
                frame: name_of(raw.kind),
                lane: S::LANE,
            });
        }
        let start = at + raw.head;
        let room = body.bytes.len() - start;
        let (here, is_long) = match usize::try_from(raw.payload_len) {
            Ok(len) if len <= room => (len, false),
            _ => (room, true),
        };
        if is_long && !S::may_be_long(raw.kind) {
            return Err(raw.malformed("its payload is longer than its record"));
        }
        let end = start + here;
        let is_alone = at == 0 && end == body.bytes.len();
        if is_long {
            let why = if !is_alone {
                Some("it isn't alone in its record")
            } else if session.is_assembling() {
                Some("it begins inside another")
            } else {
                None
            };
            if let Some(why) = why {
                return Err(SessionError::LongFrame { why });
            }
        }
        let frame = Located {
            raw,
            payload: start..end,
            is_long,
            is_alone,
        };
        one(session, now, &frame, body, events)?;
        at = end;
    }
    Ok(())
}

fn one<S: Frames>(
    session: &mut S,
    now: Instant,
    frame: &Located<'_>,
    body: &Body<'_>,
    events: &mut Vec<S::Event>,
) -> Result<(), SessionError> {
    let raw = &frame.raw;
    let payload = &body.bytes[frame.payload.clone()];
    if session.link().is_sealed_off() {
        // Our close is on its way and says what we have received: what comes now is too late, but
        // for the ends of what is our own. What is assembled now is one of these; chunks of anything
        // else belong to what we don't take.
        let is_end = match raw.kind {
            kind::CLOSE => true,
            kind::CHUNK | kind::ABORT => session.is_assembling(),
            kind => S::is_end(kind),
        };
        if !is_end {
            return Ok(());
        }
    }
    match raw.kind {
        kind::CHUNK => {
            raw.read::<Chunk>()?;
            if !frame.is_alone {
                return Err(SessionError::LongFrame {
                    why: "a chunk isn't alone in its record",
                });
            }
            session.on_chunk(now, payload, events)
        }
        kind::ABORT => {
            no_payload(raw)?;
            raw.read::<Abort>()?;
            session.on_abort()
        }
        kind::CLOSE => {
            let close = raw.read()?;
            let link = session.link();
            let was_closed = link.is_sealed_off();
            let detail = link.on_close(close, payload);
            session.on_close(close.reason, detail, was_closed, events);
            Ok(())
        }
        kind::PING => {
            no_payload(raw)?;
            raw.read::<Ping>().map(|_| ())
        }
        kind::DRAIN => {
            no_payload(raw)?;
            raw.read::<Drain>()?;
            if session.link().on_drain() {
                session.on_drain(events);
            }
            Ok(())
        }
        kind if lane_of(kind).is_some() => session.on_frame(now, frame, body, events),
        kind if kind & OPTIONAL != 0 => Ok(()),
        kind => Err(SessionError::UnknownFrame { kind }),
    }
}

pub(crate) fn no_payload(raw: &Raw<'_>) -> Result<(), SessionError> {
    if raw.payload_len == 0 {
        Ok(())
    } else {
        Err(raw.malformed("it has no payload"))
    }
}
