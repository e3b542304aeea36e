//! From records to events.

use std::{ops::Range, time::Instant};

use bytes::{Bytes, BytesMut};

use super::{
    Event, Kind, Phase, Session,
    inbound::{Assembly, Subject},
    outbound::{Outcome, State},
    queue::LongSubject,
};
use crate::{
    code::{CloseReason, Failure},
    coding::Reader,
    error::SessionError,
    flow::BadCredit,
    frame::{
        Abort, Cancel, Chunk, Close, Credit, Done, FailureFrame, Message, OPTIONAL, Ping, Raw,
        Reply, RouteFrame, kind, name_of,
    },
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
            // but for the ends of our own messages.
            let is_end = matches!(
                raw.kind,
                kind::REPLY | kind::FAILURE | kind::DONE | kind::CLOSE
            );
            if !is_end || frame.is_long {
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

    fn on_message(
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
        self.timers.last_active = now;
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
        self.inbound.assembly = Some(Assembly {
            subject,
            left: frame.raw.payload_len - frame.payload.len() as u64,
            payload: BytesMut::from(&body.bytes[frame.payload.clone()]),
        });
    }

    fn on_reply(
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
        self.timers.last_active = now;
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

    fn on_chunk(
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
        let len = bytes.len() as u64;
        assembly.left = assembly
            .left
            .checked_sub(len)
            .ok_or(SessionError::LongFrame {
                why: "a chunk goes beyond its long frame",
            })?;
        self.timers.last_active = now;
        let wanted = match assembly.subject {
            Subject::Message { .. } => true,
            Subject::Reply { id } => self
                .outbound
                .by_id(id)
                .is_some_and(|(_, message)| message.token.is_some()),
        };
        if wanted {
            assembly.payload.extend_from_slice(bytes);
        } else {
            assembly.payload = BytesMut::new();
        }
        if assembly.left > 0 {
            return Ok(());
        }
        let Some(Assembly {
            subject, payload, ..
        }) = self.inbound.assembly.take()
        else {
            return Ok(());
        };
        let payload = payload.freeze();
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

    fn on_abort(&mut self) -> Result<(), SessionError> {
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

    fn on_failure(
        &mut self,
        now: Instant,
        raw: &Raw<'_>,
        detail: &[u8],
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let FailureFrame {
            id,
            code,
            may_have_run,
        } = raw.read()?;
        if detail.len() > FailureFrame::DETAIL_MAX {
            let len = detail.len() as u64;
            return Err(SessionError::PayloadTooLong {
                len,
                max: FailureFrame::DETAIL_MAX,
            });
        }
        self.check_sent(raw, id)?;
        self.timers.last_active = now;
        if let Some(message) = self.outbound.end(id, Outcome::of(may_have_run))
            && let Some(token) = message.token
        {
            let detail = String::from_utf8_lossy(detail).into_owned();
            events.push(Event::Failed {
                token,
                failure: Failure {
                    code,
                    may_have_run,
                    detail,
                },
            });
        }
        Ok(())
    }

    /// Only a message that has left as a whole can end, and once.
    fn check_sent(&mut self, raw: &Raw<'_>, id: u64) -> Result<(), SessionError> {
        match self.outbound.by_id(id) {
            Some((_, message)) if message.state == State::Sent => {}
            _ => {
                return Err(SessionError::UnknownMessage {
                    frame: name_of(raw.kind),
                    id,
                });
            }
        }
        match &self.inbound.assembly {
            Some(Assembly {
                subject: Subject::Reply { id: arriving },
                ..
            }) if *arriving == id => Err(SessionError::UnknownMessage {
                frame: name_of(raw.kind),
                id,
            }),
            _ => Ok(()),
        }
    }

    fn on_done(
        &mut self,
        now: Instant,
        raw: &Raw<'_>,
        payload: &[u8],
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        self.timers.last_active = now;
        let mut payload = Reader::new(payload);
        while let Some((first, count)) =
            Done::range(&mut payload).map_err(|why| raw.malformed(why))?
        {
            // Each id must be open, so a huge range ends at its first that isn't.
            for id in first..first + count {
                self.check_sent(raw, id)?;
                let Some(message) = self.outbound.end(id, Outcome::Delivered) else {
                    continue;
                };
                match message.token {
                    None => {}
                    Some(token) if message.kind == Kind::Tell => {
                        events.push(Event::Delivered { token });
                    }
                    Some(_) => return Err(raw.malformed("an ask that is waited for has no reply")),
                }
            }
        }
        Ok(())
    }

    fn on_credit(
        &mut self,
        credit: Credit,
        raw: &Raw<'_>,
        payload: &[u8],
        events: &mut Vec<Event<T>>,
    ) -> Result<(), SessionError> {
        let bad = |bad| SessionError::BadCredit {
            why: match bad {
                BadCredit::Shrinks => "it takes back what was granted",
                BadCredit::BeyondBound => "it grants more than the handshake's bound",
            },
        };
        self.outbound.messages.state(credit.messages).map_err(bad)?;
        self.outbound.bytes.state(credit.bytes).map_err(bad)?;
        if std::mem::take(&mut self.outbound.starved) {
            events.push(Event::Credit { window: None });
        }
        let mut payload = Reader::new(payload);
        while let Some((number, total)) =
            Credit::window(&mut payload).map_err(|why| raw.malformed(why))?
        {
            let Some(window) = self.outbound.routes.windows.get_mut(number as usize) else {
                return Err(SessionError::BadCredit {
                    why: "it is for a window that doesn't exist",
                });
            };
            window.account.state(total).map_err(bad)?;
            if std::mem::take(&mut window.starved) {
                events.push(Event::Credit {
                    window: Some(crate::route::Window(number)),
                });
            }
        }
        Ok(())
    }

    /// What we ourselves are willing to hold has room again as soon as something ended.
    fn report_credit(&mut self, events: &mut Vec<Event<T>>) {
        if self.outbound.starved_here && self.outbound.has_room_here() {
            self.outbound.starved_here = false;
            events.push(Event::Credit { window: None });
        }
    }

    fn on_cancel(&mut self, id: u64, events: &mut Vec<Event<T>>) -> Result<(), SessionError> {
        let next = self.inbound.owed.next();
        let Some(owed) = self.inbound.owed.get_mut(id) else {
            // It has ended; what says so is on its way.
            let known = (1..next).contains(&id);
            let error = SessionError::UnknownMessage {
                frame: "cancel",
                id,
            };
            return if known { Ok(()) } else { Err(error) };
        };
        if owed.partial {
            return Err(SessionError::LongFrame {
                why: "a long frame was cancelled, not aborted",
            });
        }
        if std::mem::replace(&mut owed.cancelled, true) {
            return Ok(());
        }
        if !owed.ended {
            events.push(Event::Cancelled { id });
            return Ok(());
        }
        // Its reply waits. One that is on its way is aborted; any other is dropped when its turn
        // comes.
        if let Some(long) = &self.queues.long
            && let LongSubject::Reply(arriving, len) = long.subject
            && arriving == id
        {
            self.queues.reply_bytes -= len as u64;
            if long.started {
                self.queues.abort = true;
                self.inbound.release(id);
            } else {
                self.inbound.mark_done(id);
            }
            self.next_long();
        }
        Ok(())
    }

    fn on_close(&mut self, close: Close, detail: &[u8], events: &mut Vec<Event<T>>) {
        self.peer_received = Some(close.received);
        self.inbound.assembly = None;
        if let Phase::Open | Phase::Closing { .. } = self.phase {
            // What hasn't left stays here and certainly doesn't run.
            self.queues.keep_only_ends();
            self.outbound.cancels.clear();
            if matches!(self.phase, Phase::Open) {
                self.phase = Phase::Closing {
                    reason: CloseReason::Answer,
                    detail: String::new(),
                };
            }
        }
        let detail = String::from_utf8_lossy(&detail[..detail.len().min(FailureFrame::DETAIL_MAX)])
            .into_owned();
        events.push(Event::Closed {
            reason: close.reason,
            detail,
        });
    }
}

fn no_payload(raw: &Raw<'_>) -> Result<(), SessionError> {
    if raw.payload_len == 0 {
        Ok(())
    } else {
        Err(raw.malformed("it has no payload"))
    }
}
