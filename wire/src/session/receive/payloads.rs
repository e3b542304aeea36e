//! Frames with payloads: messages and replies, in one piece or in many.

use std::time::Instant;

use crate::{
    error::SessionError,
    frame::{Message, Reply},
    link::{Assembly, Body, Located},
    session::{
        Event, Kind, Session,
        inbound::Subject,
        outbound::{Outcome, State},
    },
};

impl<T> Session<T> {
    pub(super) fn on_message(
        &mut self,
        now: Instant,
        frame: &Located<'_>,
        body: &Body<'_>,
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let message: Message = frame.raw.read()?;
        let (id, route) = self
            .inbound
            .begin(&message, frame.raw.payload_len, frame.is_long)?;
        let Message {
            kind,
            time_left,
            path,
            ..
        } = message;
        self.link.timers.last_active = now;
        if frame.is_long {
            // More than a century is as good as no deadline, and an `Instant` can't hold all of it.
            let deadline = now + time_left.min(std::time::Duration::from_secs(1 << 32));
            let subject = Subject::Message {
                id,
                route,
                kind,
                deadline,
                path,
            };
            self.assemble(subject, frame, body);
        } else {
            let payload = body.payload(frame.payload.clone());
            events.push(Event::Request {
                id,
                route,
                kind,
                time_left,
                path,
                payload,
            });
        }
        Ok(())
    }

    fn assemble(&mut self, subject: Subject, frame: &Located<'_>, body: &Body<'_>) {
        let first = &body.bytes[frame.payload.clone()];
        let assembly = Assembly::new(subject, frame.raw.payload_len, first, 0);
        self.inbound.assembly = Some(assembly);
    }

    pub(super) fn on_reply(
        &mut self,
        now: Instant,
        frame: &Located<'_>,
        body: &Body<'_>,
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let id = frame.raw.read::<Reply>()?.id;
        let len = frame.raw.payload_len;
        if len > self.payload_max as u64 {
            return Err(SessionError::PayloadTooLong {
                len,
                max: self.payload_max,
            });
        }
        match self.outbound.by_id(id) {
            Some((_, message)) if message.kind == Kind::Ask && message.state == State::Sent => {}
            _ => return Err(SessionError::UnknownMessage { frame: "reply", id }),
        }
        self.link.timers.last_active = now;
        if frame.is_long {
            self.assemble(Subject::Reply { id }, frame, body);
            return Ok(());
        }
        if let Some(message) = self.outbound.end(id, Outcome::Delivered)
            && let Some(token) = message.token
        {
            events.push(Event::Replied {
                token,
                payload: body.payload(frame.payload.clone()),
            });
        }
        Ok(())
    }

    pub(super) fn on_part(
        &mut self,
        now: Instant,
        bytes: &[u8],
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let Some(assembly) = &mut self.inbound.assembly else {
            return Err(SessionError::LongFrame {
                why: "a chunk without a long frame",
            });
        };
        if bytes.is_empty() {
            return Err(SessionError::LongFrame {
                why: "a chunk is empty",
            });
        }
        self.link.timers.last_active = now;
        let wanted = match assembly.subject {
            Subject::Message { .. } => true,
            Subject::Reply { id } => {
                let ask = self.outbound.by_id(id);
                ask.is_some_and(|(_, ask)| ask.token.is_some())
            }
        };
        let last = if wanted {
            assembly.push(bytes)
        } else {
            assembly.skip(bytes)
        };
        let why = "a chunk goes beyond its long frame";
        if !last.ok_or(SessionError::LongFrame { why })? {
            return Ok(());
        }
        let Some((subject, payload)) = self.inbound.assembly.take().map(Assembly::finish) else {
            return Ok(());
        };
        match subject {
            Subject::Message {
                id,
                route,
                kind,
                deadline,
                path,
            } => {
                if let Some(owed) = self.inbound.owed.get_mut(id) {
                    owed.partial = false;
                }
                let time_left = deadline.saturating_duration_since(now);
                events.push(Event::Request {
                    id,
                    route,
                    kind,
                    time_left,
                    path,
                    payload,
                });
            }
            Subject::Reply { id } => {
                if let Some(message) = self.outbound.end(id, Outcome::Delivered)
                    && let Some(token) = message.token
                {
                    events.push(Event::Replied { token, payload });
                }
            }
        }
        Ok(())
    }

    pub(super) fn on_aborted(&mut self) -> Result<(), SessionError> {
        match self
            .inbound
            .assembly
            .take()
            .map(|assembly| assembly.subject)
        {
            None => {
                return Err(SessionError::LongFrame {
                    why: "an abort without a long frame",
                });
            }
            Some(Subject::Message { id, .. }) => {
                self.inbound.end(id, Outcome::Refused);
                self.inbound.release(id);
            }
            Some(Subject::Reply { id }) => {
                if self
                    .outbound
                    .by_id(id)
                    .is_none_or(|(_, message)| message.token.is_some())
                {
                    return Err(SessionError::LongFrame {
                        why: "a reply was aborted that was waited for",
                    });
                }
                self.outbound.end(id, Outcome::Delivered);
            }
        }
        Ok(())
    }
}
