//! The bulk lane's frames, to whoever handles them.

use std::time::Instant;

use bytes::BytesMut;

use super::{Assembly, End, Event, StreamSession, SubscriberId, SubscriptionId};
use crate::{
    code::{CloseReason, EndCode},
    error::SessionError,
    frame::{Ended, FailureFrame, Grant, ItemFrame, SubscribeFrame, Subscribed, Unsubscribe, kind},
    ident::Lane,
    link::{self, Body, Frames, Link, Located, no_payload},
};

/// Refusals that may wait for a peer that subscribes beyond its bound: it may allow itself more than
/// we do, and asks for all of them at once.
const REFUSALS_MAX: usize = 4096;

/// A long item that is arriving.
#[derive(Debug)]
pub(super) struct Arriving {
    header: ItemFrame,
    len: u64,
}

fn item(header: &ItemFrame, payload: bytes::Bytes) -> Event {
    let ItemFrame {
        id,
        seq,
        missed,
        thinned,
        age,
    } = *header;
    Event::Item {
        id: SubscriptionId(id),
        seq,
        missed,
        thinned,
        age,
        payload,
    }
}

impl StreamSession {
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
        events: &mut Vec<Event>,
    ) -> Result<(), SessionError> {
        link::receive(self, now, input, events)
    }

    fn on_subscribe(
        &mut self,
        frame: SubscribeFrame,
        events: &mut Vec<Event>,
    ) -> Result<(), SessionError> {
        let SubscribeFrame { id, subscribe } = frame;
        self.subscribers.number(id)?;
        let max = self.subscriptions_max;
        let taken = self.subscribers.len() + self.ends_waiting;
        if taken >= (max as usize).saturating_add(REFUSALS_MAX) {
            return Err(SessionError::TooManySubscriptions { max });
        }
        if taken >= max as usize {
            let detail = format!("there are {max} subscriptions on this connection already");
            self.refuse(id, EndCode::TooMany, detail);
            return Ok(());
        }
        self.subscribers.ask(id, &subscribe)?;
        events.push(Event::Subscribe {
            id: SubscriberId(id),
            request: Box::new(subscribe),
        });
        Ok(())
    }

    fn on_item(
        &mut self,
        now: Instant,
        frame: &Located<'_>,
        body: &Body<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), SessionError> {
        let header: ItemFrame = frame.raw.read()?;
        let len = frame.raw.payload_len;
        if len > self.payload_max as u64 {
            return Err(SessionError::PayloadTooLong {
                len,
                max: self.payload_max,
            });
        }
        if self.is_arriving(header.id) {
            return Err(SessionError::LongFrame {
                why: "an item overtakes a long one of its subscription",
            });
        }
        self.subscriptions.charge(&header, len)?;
        self.link.timers.last_active = now;
        if frame.is_long {
            let first = &body.bytes[frame.payload.clone()];
            let subject = Arriving { header, len };
            self.assembly = Some(Assembly::new(subject, len, first, self.proven));
        } else if self.subscriptions.arrived(header.id, header.seq) {
            events.push(item(&header, body.payload(frame.payload.clone())));
        }
        Ok(())
    }

    fn on_ended(
        &mut self,
        ended: Ended,
        detail: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), SessionError> {
        if self.is_arriving(ended.id) {
            return Err(SessionError::LongFrame {
                why: "a subscription ends within an item",
            });
        }
        if self.subscriptions.end(&ended)? {
            let read = &detail[..detail.len().min(FailureFrame::DETAIL_MAX)];
            events.push(Event::Ended {
                id: SubscriptionId(ended.id),
                code: ended.code,
                missed: ended.missed,
                thinned: ended.thinned,
                detail: String::from_utf8_lossy(read).into_owned(),
            });
        }
        Ok(())
    }

    fn on_unsubscribe(&mut self, id: u32, events: &mut Vec<Event>) -> Result<(), SessionError> {
        // One that has ended: the two crossed, or it was said twice.
        if self.subscribers.check_known("unsubscribe", id)? {
            let id = SubscriberId(id);
            self.end(id, End::refused(EndCode::Unsubscribed, ""));
            events.push(Event::Unsubscribed { id });
        }
        Ok(())
    }

    fn is_arriving(&self, id: u32) -> bool {
        let arriving = self.assembly.as_ref();
        arriving.is_some_and(|assembly| assembly.subject.header.id == id)
    }
}

impl Frames for StreamSession {
    type Event = Event;
    const LANE: Lane = Lane::Bulk;

    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn may_be_long(kind: u8) -> bool {
        kind == kind::ITEM
    }

    fn is_end(_: u8) -> bool {
        false
    }

    fn is_assembling(&self) -> bool {
        self.assembly.is_some()
    }

    fn on_frame(
        &mut self,
        now: Instant,
        frame: &Located<'_>,
        body: &Body<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), SessionError> {
        let raw = &frame.raw;
        match raw.kind {
            kind::ITEM => return self.on_item(now, frame, body, events),
            kind::GRANT => {
                no_payload(raw)?;
                return self.subscribers.grant(&raw.read::<Grant>()?);
            }
            _ => self.link.timers.last_active = now,
        }
        match raw.kind {
            kind::SUBSCRIBE if self.link.peer_drains() => {
                Err(raw.malformed("it comes after a drain"))
            }
            kind::SUBSCRIBE => {
                no_payload(raw)?;
                self.on_subscribe(raw.read()?, events)
            }
            kind::SUBSCRIBED => {
                no_payload(raw)?;
                let Subscribed { id, granted } = raw.read()?;
                if self.subscriptions.answer(id, &granted)? {
                    let id = SubscriptionId(id);
                    events.push(Event::Subscribed { id, granted });
                }
                Ok(())
            }
            kind::ENDED => self.on_ended(raw.read()?, &body.bytes[frame.payload.clone()], events),
            kind::UNSUBSCRIBE => {
                no_payload(raw)?;
                self.on_unsubscribe(raw.read::<Unsubscribe>()?.id, events)
            }
            kind => Err(SessionError::UnknownFrame { kind }),
        }
    }

    fn on_chunk(
        &mut self,
        now: Instant,
        bytes: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), SessionError> {
        let Some(assembly) = &mut self.assembly else {
            let why = "a chunk without a long frame";
            return Err(SessionError::LongFrame { why });
        };
        if bytes.is_empty() {
            let why = "a chunk is empty";
            return Err(SessionError::LongFrame { why });
        }
        self.link.timers.last_active = now;
        let last = if self.subscriptions.is_wanted(assembly.subject.header.id) {
            assembly.push(bytes)
        } else {
            assembly.skip(bytes)
        };
        let why = "a chunk goes beyond its long frame";
        if !last.ok_or(SessionError::LongFrame { why })? {
            return Ok(());
        }
        if let Some((Arriving { header, .. }, payload)) = self.assembly.take().map(Assembly::finish)
        {
            self.proven = self.proven.max(payload.len());
            if self.subscriptions.arrived(header.id, header.seq) {
                events.push(item(&header, payload));
            }
        }
        Ok(())
    }

    fn on_abort(&mut self) -> Result<(), SessionError> {
        let Some(assembly) = self.assembly.take() else {
            let why = "an abort without a long frame";
            return Err(SessionError::LongFrame { why });
        };
        let Arriving { header, len } = assembly.subject;
        self.subscriptions.release(header.id, 1, len);
        Ok(())
    }

    fn on_close(&mut self, reason: CloseReason, detail: String, _: bool, events: &mut Vec<Event>) {
        self.assembly = None;
        self.drop_outgoing();
        events.push(Event::Closed { reason, detail });
    }

    fn on_drain(&mut self, events: &mut Vec<Event>) {
        events.push(Event::Drained);
    }

    fn settle(&mut self, _: &mut Vec<Event>) {}

    fn drop_all(&mut self) {
        self.drop_outgoing();
        self.subscriptions.clear();
        self.assembly = None;
    }
}
