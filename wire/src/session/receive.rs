//! The control lane's frames, to whoever handles them.

mod ends;
mod payloads;

use std::time::Instant;

use bytes::BytesMut;

use super::{Event, Queues, Session};
use crate::{
    code::CloseReason,
    error::SessionError,
    frame::{Cancel, Done, RouteFrame, kind},
    ident::Lane,
    link::{self, Body, Frames, Link, Located, no_payload},
};

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
        link::receive(self, now, input, events)
    }
}

impl<T> Frames for Session<T> {
    type Event = Event<T>;
    const LANE: Lane = Lane::Control;

    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn may_be_long(kind: u8) -> bool {
        matches!(kind, kind::ASK | kind::TELL | kind::REPLY)
    }

    fn is_end(kind: u8) -> bool {
        matches!(kind, kind::REPLY | kind::FAILURE | kind::DONE)
    }

    fn is_assembling(&self) -> bool {
        self.inbound.assembly.is_some()
    }

    fn on_frame(
        &mut self,
        now: Instant,
        frame: &Located<'_>,
        body: &Body<'_>,
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let raw = &frame.raw;
        match raw.kind {
            kind::ASK | kind::TELL if self.link.peer_drains() => {
                Err(raw.malformed("it comes after a drain"))
            }
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
            kind => Err(SessionError::UnknownFrame { kind }),
        }
    }

    fn on_chunk(
        &mut self,
        now: Instant,
        bytes: &[u8],
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        self.on_part(now, bytes, events)
    }

    fn on_abort(&mut self) -> Result<(), SessionError> {
        self.on_aborted()
    }

    fn on_close(
        &mut self,
        reason: CloseReason,
        detail: String,
        was_closed: bool,
        events: &mut Vec<Event<T>>,
    ) {
        self.inbound.assembly = None;
        if !was_closed {
            // What hasn't left stays here and certainly doesn't run.
            self.queues.keep_only_ends();
            if self.queues.long.is_none() {
                self.next_long();
            }
            self.outbound.cancels.clear();
        }
        events.push(Event::Closed { reason, detail });
    }

    fn on_drain(&mut self, events: &mut Vec<Event<T>>) {
        events.push(Event::Drained);
    }

    fn settle(&mut self, events: &mut Vec<Event<T>>) {
        self.report_credit(events);
    }

    fn drop_all(&mut self) {
        self.queues = Queues::default();
        self.outbound.cancels.clear();
        self.inbound.done.clear();
        self.inbound.assembly = None;
    }
}
