//! From records to frames, and from those to whoever handles them.

mod ends;
mod payloads;

use std::{ops::Range, time::Instant};

use bytes::{Bytes, BytesMut};

use super::{Event, Phase, Session};
use crate::{
    error::SessionError,
    frame::{Abort, Cancel, Chunk, Done, OPTIONAL, Ping, Raw, RouteFrame, kind},
};

/// The body of a record: where it is, and the memory that large payloads keep a part of.
struct Body<'a> {
    bytes: &'a [u8],
    whole: Option<&'a Bytes>,
    slice_from: usize,
}

impl Body<'_> {
    /// A payload. Small ones are copied, so that they don't keep a whole read buffer alive.
    fn payload(&self, range: Range<usize>) -> Bytes {
        match self.whole {
            _ if range.is_empty() => Bytes::new(),
            Some(whole) if range.len() >= self.slice_from => whole.slice(range),
            _ => Bytes::copy_from_slice(&self.bytes[range]),
        }
    }
}

/// A frame and where its payload is.
struct Located<'a> {
    raw: Raw<'a>,
    payload: Range<usize>,
    /// Part of the payload is in later records.
    is_long: bool,
    /// There is nothing else in the record.
    is_alone: bool,
}

impl<T> Session<T> {
    /// Takes in what was read from the socket: consumes all whole records and leaves the rest. What
    /// happened is appended to `events`.
    ///
    /// # Errors
    ///
    /// If the peer broke the protocol, or the bytes aren't the peer's: the connection is to be
    /// ended, after one last [`poll_transmit`](Self::poll_transmit) that tells the peer why.
    /// Nothing that comes later has any effect.
    pub fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        if self.failed {
            return Err(SessionError::Ended);
        }
        if input.len() > self.unread {
            self.timers.received(now);
        }
        let result = self.receive_records(now, input, events);
        self.unread = input.len();
        if let Err(error) = &result {
            self.break_off(error);
        }
        result
    }

    fn receive_records(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        while !input.is_empty() {
            if self.peer_received.is_some() {
                return Err(SessionError::AfterClose);
            }
            let Some(opened) = self.opener.open(input)? else {
                break;
            };
            let slice_from = self.slice_from;
            if opened.len >= slice_from {
                let whole = opened.take(input);
                let body = Body {
                    bytes: &whole,
                    whole: Some(&whole),
                    slice_from,
                };
                self.frames(now, &body, events)?;
            } else {
                let body = Body {
                    bytes: opened.body(input),
                    whole: None,
                    slice_from,
                };
                self.frames(now, &body, events)?;
                opened.skip(input);
            }
        }
        self.report_credit(events);
        Ok(())
    }

    fn frames(
        &mut self,
        now: Instant,
        body: &Body<'_>,
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let mut at = 0;
        while at < body.bytes.len() {
            if self.peer_received.is_some() {
                return Err(SessionError::AfterClose);
            }
            let raw = Raw::split(&body.bytes[at..])?;
            let start = at + raw.head;
            let room = body.bytes.len() - start;
            let (here, is_long) = match usize::try_from(raw.payload_len) {
                Ok(len) if len <= room => (len, false),
                _ => (room, true),
            };
            if is_long && !matches!(raw.kind, kind::ASK | kind::TELL | kind::REPLY) {
                return Err(raw.malformed("its payload is longer than its record"));
            }
            let end = start + here;
            let is_alone = at == 0 && end == body.bytes.len();
            if is_long {
                if !is_alone {
                    return Err(SessionError::LongFrame {
                        why: "it isn't alone in its record",
                    });
                }
                if self.inbound.assembly.is_some() {
                    return Err(SessionError::LongFrame {
                        why: "it begins inside another",
                    });
                }
            }
            let frame = Located {
                raw,
                payload: start..end,
                is_long,
                is_alone,
            };
            self.frame(now, &frame, body, events)?;
            at = end;
        }
        Ok(())
    }

    fn frame(
        &mut self,
        now: Instant,
        frame: &Located<'_>,
        body: &Body<'_>,
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let raw = &frame.raw;
        if matches!(self.phase, Phase::Closed) {
            // Our close is on its way and says what we have received: what comes now is too late,
            // but for the ends of our own messages. What is assembled now is a reply; chunks of
            // anything else belong to a message that we don't take.
            let is_end = match raw.kind {
                kind::REPLY | kind::FAILURE | kind::DONE | kind::CLOSE => true,
                kind::CHUNK | kind::ABORT => self.inbound.assembly.is_some(),
                _ => false,
            };
            if !is_end {
                return Ok(());
            }
        }
        match raw.kind {
            kind::ASK | kind::TELL => self.on_message(now, frame, body, events),
            kind::REPLY => self.on_reply(now, frame, body, events),
            kind::DONE => {
                raw.read::<Done>()?;
                self.on_done(now, raw, &body.bytes[frame.payload.clone()], events)
            }
            kind::CREDIT => {
                let credit = raw.read()?;
                self.on_credit(credit, raw, &body.bytes[frame.payload.clone()], events)
            }
            kind::ROUTE => {
                no_payload(raw)?;
                let (route, info) = self.inbound.declare(raw.read::<RouteFrame>()?)?;
                events.push(Event::Routed { route, info });
                Ok(())
            }
            kind::FAILURE => self.on_failure(now, raw, &body.bytes[frame.payload.clone()], events),
            kind::CANCEL => {
                no_payload(raw)?;
                self.on_cancel(raw.read::<Cancel>()?.id, events)
            }
            kind::CHUNK => {
                raw.read::<Chunk>()?;
                if !frame.is_alone {
                    return Err(SessionError::LongFrame {
                        why: "a chunk isn't alone in its record",
                    });
                }
                self.on_chunk(now, &body.bytes[frame.payload.clone()], events)
            }
            kind::ABORT => {
                no_payload(raw)?;
                raw.read::<Abort>()?;
                self.on_abort()
            }
            kind::CLOSE => {
                let close = raw.read()?;
                self.on_close(close, &body.bytes[frame.payload.clone()], events);
                Ok(())
            }
            kind::PING => {
                no_payload(raw)?;
                raw.read::<Ping>().map(|_| ())
            }
            kind if kind & OPTIONAL != 0 => Ok(()),
            kind => Err(SessionError::UnknownFrame { kind }),
        }
    }
}

fn no_payload(raw: &Raw<'_>) -> Result<(), SessionError> {
    if raw.payload_len == 0 {
        Ok(())
    } else {
        Err(raw.malformed("it has no payload"))
    }
}
