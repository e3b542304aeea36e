//! From what waits to records.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Session,
    outbound::State,
    queue::{Item, Long, LongSubject},
};
use crate::{
    frame::{
        Abort, Cancel, Chunk, Credit, Done, FailureFrame, Reply, message as message_frame,
        route as route_frame,
    },
    link::{BUDGET, Phase},
    output::Output,
    record::Unsealed,
};

impl<T> Session<T> {
    /// Seals what waits into records: urgent things first, then in order, one chunk of a long frame
    /// between other records. Stops when about 256 KiB wait in `out`. Whether anything was written.
    ///
    /// Call it when [`wants_transmit`](Self::wants_transmit) says so and the socket takes bytes.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Output) -> bool {
        let before = out.len();
        while out.len() < BUDGET && self.seal_next(now, out) {}
        out.len() > before
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something to do.
    pub fn wants_transmit(&self) -> bool {
        match self.link.phase {
            Phase::Closed => false,
            Phase::Closing { .. } => true,
            Phase::Open => {
                !self.queues.is_empty()
                    || !self.inbound.done.is_empty()
                    || !self.outbound.cancels.is_empty()
                    || self.link.timers.ping
                    || self.inbound.is_credit_due()
                    || (self.link.is_drain_due() && !self.outbound.is_unsent())
            }
        }
    }

    /// One ordinary record and one chunk.
    fn seal_next(&mut self, now: Instant, out: &mut Output) -> bool {
        if self.link.is_sealed_off() {
            return false;
        }
        let record = self.link.begin(out);
        self.fill(now, &record, out);
        let mut sealed = self.link.seal(now, &record, out);
        if self.queues.long.is_some() && !self.queues.abort {
            let record = self.link.begin(out);
            self.fill_chunk(now, &record, out);
            sealed |= self.link.seal(now, &record, out);
        }
        sealed
    }

    fn room(&self, record: &Unsealed, out: &Output) -> usize {
        self.link.room(record, out)
    }

    fn fill(&mut self, now: Instant, record: &Unsealed, out: &mut Output) {
        if std::mem::take(&mut self.queues.abort) {
            Abort::encode(&mut out.small);
        }
        self.fill_items(true, now, record, out);
        self.fill_done(record, out);
        self.fill_cancels(record, out);
        // Best at the end, when all that frees credit is in the record; but never put off twice.
        if self.credit_is_late {
            self.fill_credit(record, out);
        }
        self.fill_items(false, now, record, out);
        self.fill_done(record, out);
        self.fill_credit(record, out);
        self.credit_is_late = self.inbound.is_credit_due();
        if self.link.is_drain_due() && !self.outbound.is_unsent() {
            self.link.put_drain(record, out);
        }
        if self.queues.long.is_none() {
            self.link.put_ping(record, out);
        }
        self.fill_close(record, out);
    }

    fn fill_done(&mut self, record: &Unsealed, out: &mut Output) {
        if self.inbound.done.is_empty() {
            return;
        }
        let max = self.room(record, out).saturating_sub(Done::HEADER_BOUND) / Done::RANGE_BOUND;
        let count = max.min(self.inbound.done.len());
        if count > 0 {
            Done::encode(&self.inbound.done[..count], &mut out.small);
            self.inbound.done.drain(..count);
        }
    }

    fn fill_cancels(&mut self, record: &Unsealed, out: &mut Output) {
        while self.room(record, out) >= Cancel::BOUND
            && let Some(id) = self.outbound.cancels.pop()
        {
            // It may have ended since.
            if self.outbound.by_id(id).is_some() {
                Cancel { id }.encode(&mut out.small);
            }
        }
    }

    /// Credit is stated after the ends that free it: the peer checks it against those.
    fn fill_credit(&mut self, record: &Unsealed, out: &mut Output) {
        if !self.inbound.done.is_empty() || !self.inbound.is_credit_due() {
            return;
        }
        let Some(room) = self.room(record, out).checked_sub(Credit::HEADER_BOUND) else {
            return;
        };
        let (messages, bytes) = self.inbound.state();
        let windows = self.inbound.state_windows(room / Credit::WINDOW_BOUND);
        Credit { messages, bytes }.encode(&windows, &mut out.small);
    }

    fn fill_close(&mut self, record: &Unsealed, out: &mut Output) {
        let waits = !self.queues.is_empty()
            || !self.inbound.done.is_empty()
            || !self.outbound.cancels.is_empty();
        let received = self.inbound.owed.next() - 1;
        if !waits && self.link.put_close(received, record, out) {
            // A message that hasn't come as a whole never runs; a reply may still come to its end.
            self.inbound.drop_partial();
        }
    }

    /// Moves items from a queue into the record until one doesn't fit.
    fn fill_items(&mut self, urgent: bool, now: Instant, record: &Unsealed, out: &mut Output) {
        loop {
            let room = self.room(record, out);
            let queue = self.queues.of(urgent);
            let fits = match queue.front() {
                None => return,
                Some(&Item::Message(handle)) => self.put_message(handle, urgent, now, room, out),
                Some(Item::Reply(id, payload)) => {
                    let (id, len) = (*id, payload.len());
                    self.put_reply(id, len, urgent, room, out)
                }
                Some(Item::Failure(_, failure)) => {
                    let len = failure.detail.len();
                    self.put_failure(len, urgent, room, out)
                }
            };
            if !fits {
                return;
            }
            self.link.timers.last_active = now;
        }
    }

    /// Whether the message at the front of its queue is dealt with.
    fn put_message(
        &mut self,
        handle: u64,
        urgent: bool,
        now: Instant,
        room: usize,
        out: &mut Output,
    ) -> bool {
        let mut room = room;
        let Some(message) = self.outbound.get_mut(handle) else {
            self.queues.of(urgent).pop_front();
            self.queues.buried();
            return true;
        };
        if self.link.peer_received.is_some() {
            // The peer takes no messages any more; `end` reports those that are left.
            self.queues.of(urgent).pop_front();
            return true;
        }
        let (route, window) = (message.route, message.window as usize);
        let bound = message_frame::header_bound(message.path_len) + message.payload.len();
        let window = &mut self.outbound.routes.windows[window];
        if window.blocked {
            window.parked.push_back(handle);
            self.queues.of(urgent).pop_front();
            self.set_state(handle, State::Parked);
            return true;
        }
        let declared = &mut self.outbound.routes.list[route as usize];
        if !declared.declared {
            let bound = route_frame::bound(&declared.info);
            if bound > room {
                return false;
            }
            route_frame::put(&mut out.small, route, declared.window, &declared.info);
            declared.declared = true;
            room -= bound;
        }
        if bound > self.link.body_max {
            window.blocked = true;
            self.queues.of(urgent).pop_front();
            if let Some(message) = self.outbound.get_mut(handle) {
                message.state = State::Waiting;
                let rest = message.payload.clone();
                let subject = LongSubject::Message(handle);
                self.queues.push_long(
                    Long {
                        subject,
                        rest,
                        started: false,
                    },
                    urgent,
                );
            }
            return true;
        }
        if bound > room {
            return false;
        }
        self.queues.of(urgent).pop_front();
        let id = self.outbound.depart(handle, State::Sent);
        if let Some(message) = self.outbound.get_mut(handle) {
            let payload = std::mem::take(&mut message.payload);
            message_frame::put_header(
                &mut out.small,
                message.kind,
                route,
                id,
                message.deadline.saturating_duration_since(now),
                &message.path,
                payload.len(),
            );
            out.put(payload);
        }
        true
    }

    fn set_state(&mut self, handle: u64, state: State) {
        if let Some(message) = self.outbound.get_mut(handle) {
            message.state = state;
        }
    }

    /// Whether the reply at the front of its queue is dealt with.
    fn put_reply(
        &mut self,
        id: u64,
        len: usize,
        urgent: bool,
        room: usize,
        out: &mut Output,
    ) -> bool {
        let cancelled = self
            .inbound
            .owed
            .get_mut(id)
            .is_none_or(|owed| owed.cancelled);
        let bound = Reply::HEADER_BOUND + len;
        let is_long = bound > self.link.body_max;
        if !cancelled && !is_long && bound > room {
            return false;
        }
        let Some(Item::Reply(_, payload)) = self.queues.of(urgent).pop_front() else {
            return true;
        };
        if cancelled {
            self.queues.reply_bytes -= len as u64;
            self.inbound.mark_done(id);
        } else if is_long {
            let subject = LongSubject::Reply(id, len);
            self.queues.push_long(
                Long {
                    subject,
                    rest: payload,
                    started: false,
                },
                urgent,
            );
        } else {
            self.queues.reply_bytes -= len as u64;
            Reply { id }.encode(len, &mut out.small);
            out.put(payload);
            self.inbound.release(id);
        }
        true
    }

    /// Whether the failure at the front of its queue is dealt with.
    fn put_failure(&mut self, len: usize, urgent: bool, room: usize, out: &mut Output) -> bool {
        if FailureFrame::HEADER_BOUND + len > room {
            return false;
        }
        if let Some(Item::Failure(id, failure)) = self.queues.of(urgent).pop_front() {
            self.queues.reply_bytes -= len as u64;
            let frame = FailureFrame {
                id,
                code: failure.code,
                may_have_run: failure.may_have_run,
            };
            frame.encode(len, &mut out.small);
            out.small.extend_from_slice(failure.detail.as_bytes());
            self.inbound.release(id);
        }
        true
    }

    /// The next part of the long frame, alone in its record.
    fn fill_chunk(&mut self, now: Instant, record: &Unsealed, out: &mut Output) {
        let Some(long) = &mut self.queues.long else {
            return;
        };
        let subject = long.subject;
        let take = if long.started {
            let take = long
                .rest
                .len()
                .min(self.link.body_max - Chunk::HEADER_BOUND);
            Chunk::encode(take, &mut out.small);
            take
        } else {
            long.started = true;
            match subject {
                LongSubject::Reply(id, len) => Reply { id }.encode(len, &mut out.small),
                LongSubject::Message(handle) => {
                    let id = self.outbound.depart(handle, State::Streaming);
                    if let Some(message) = self.outbound.get_mut(handle) {
                        message_frame::put_header(
                            &mut out.small,
                            message.kind,
                            message.route,
                            id,
                            message.deadline.saturating_duration_since(now),
                            &message.path,
                            long.rest.len(),
                        );
                        message.payload = Bytes::new();
                    }
                }
            }
            long.rest.len().min(self.link.body_max - record.len(out))
        };
        let part = long.rest.split_to(take);
        out.put(part);
        self.link.timers.last_active = now;
        if long.rest.is_empty() {
            match subject {
                LongSubject::Message(handle) => {
                    self.set_state(handle, State::Sent);
                    self.unblock(handle);
                }
                LongSubject::Reply(id, len) => {
                    self.queues.reply_bytes -= len as u64;
                    self.inbound.release(id);
                }
            }
            self.next_long();
        }
    }

    /// The next long frame's turn, but for replies that nobody waits for any more.
    pub(super) fn next_long(&mut self) {
        loop {
            self.queues.next_long();
            match self.queues.long.as_ref().map(|long| long.subject) {
                Some(LongSubject::Reply(id, len))
                    if self
                        .inbound
                        .owed
                        .get_mut(id)
                        .is_none_or(|owed| owed.cancelled) =>
                {
                    self.queues.reply_bytes -= len as u64;
                    self.inbound.mark_done(id);
                }
                _ => return,
            }
        }
    }

    /// The long message of a window is no longer in the way: what was parked behind it goes back to
    /// the front of its queue.
    pub(super) fn unblock(&mut self, handle: u64) {
        if let Some(message) = self.outbound.get_mut(handle) {
            let window = message.window;
            self.unblock_window(window);
        }
    }

    pub(super) fn unblock_window(&mut self, window: u32) {
        let window = &mut self.outbound.routes.windows[window as usize];
        window.blocked = false;
        for handle in std::mem::take(&mut window.parked).into_iter().rev() {
            if let Some(message) = self.outbound.get_mut(handle) {
                message.state = State::Queued;
                let urgent = self.outbound.is_urgent(handle);
                self.queues.of(urgent).push_front(Item::Message(handle));
            }
        }
    }
}
