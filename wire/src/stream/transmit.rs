//! From what waits to records.

use std::time::Instant;

use super::{StreamSession, Waiting};
use crate::{
    frame::{Abort, Chunk, Ended, Grant, ItemFrame, Subscribed, Unsubscribe},
    link::{BUDGET, Phase},
    output::Output,
    record::Unsealed,
};

/// How many bytes of short items a subscriber's turn has.
const TURN: usize = 16 * 1024;

impl StreamSession {
    /// Seals what waits into records: short frames first, then short items, subscriber by
    /// subscriber, and after each such record a part of the long item on its way. Stops when about
    /// 256 KiB wait in `out`. Whether anything was written.
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
                self.abort
                    || !self.waiting.is_empty()
                    || self.subscriptions.is_due()
                    || !self.subscribers.ring.is_empty()
                    || self.subscribers.has_long()
                    || self.link.timers.ping
                    || self.link.is_drain_due()
            }
        }
    }

    /// One ordinary record and one part of the long item.
    fn seal_next(&mut self, now: Instant, out: &mut Output) -> bool {
        if self.link.is_sealed_off() {
            return false;
        }
        let record = self.link.begin(out);
        self.fill(now, &record, out);
        let mut sealed = self.link.seal(now, &record, out);
        if !self.link.is_sealed_off() {
            let record = self.link.begin(out);
            self.fill_part(now, &record, out);
            sealed |= self.link.seal(now, &record, out);
        }
        // What was long and was dropped may have left something short.
        sealed || !self.subscribers.ring.is_empty()
    }

    fn fill(&mut self, now: Instant, record: &Unsealed, out: &mut Output) {
        if std::mem::take(&mut self.abort) {
            Abort::encode(&mut out.small);
        }
        self.fill_waiting(now, record, out);
        self.fill_grants(record, out);
        if self.waiting.is_empty() {
            self.fill_items(now, record, out);
        }
        if self.waiting.is_empty() {
            self.link.put_drain(record, out);
        }
        if !self.subscribers.has_long() {
            self.link.put_ping(record, out);
        }
        // What is received isn't counted here: an item that isn't told to be missed has come.
        if self.link.put_close(0, record, out) {
            self.assembly = None;
        }
    }

    fn fill_waiting(&mut self, now: Instant, record: &Unsealed, out: &mut Output) {
        while let Some(waiting) = self.waiting.front() {
            let bound = match waiting {
                Waiting::Subscribe(frame) => frame.bound(),
                Waiting::Subscribed(_) => Subscribed::BOUND,
                Waiting::Ended(_, detail) => Ended::HEADER_BOUND + detail.len(),
                Waiting::Unsubscribe(_) => Unsubscribe::BOUND,
            };
            if bound > self.link.room(record, out) {
                return;
            }
            match self.waiting.pop_front() {
                Some(Waiting::Subscribe(frame)) => frame.encode(&mut out.small),
                Some(Waiting::Subscribed(frame)) => frame.encode(&mut out.small),
                Some(Waiting::Ended(frame, detail)) => {
                    self.ends_waiting -= 1;
                    self.details_waiting -= detail.len();
                    frame.encode(detail.len(), &mut out.small);
                    out.small.extend_from_slice(detail.as_bytes());
                }
                Some(Waiting::Unsubscribe(id)) => Unsubscribe { id }.encode(&mut out.small),
                None => return,
            }
            self.link.timers.last_active = now;
        }
    }

    fn fill_grants(&mut self, record: &Unsealed, out: &mut Output) {
        while self.link.room(record, out) >= Grant::BOUND
            && let Some(grant) = self.subscriptions.pop_due()
        {
            grant.encode(&mut out.small);
        }
    }

    /// Short items until one doesn't fit, each subscriber a turn.
    fn fill_items(&mut self, now: Instant, record: &Unsealed, out: &mut Output) {
        let mut turn = 0;
        let mut whose = None;
        while let Some((id, len)) = self.subscribers.first() {
            let bound = ItemFrame::HEADER_BOUND + len;
            if bound > self.link.body_max {
                self.subscribers.set_aside();
                continue;
            }
            if bound > self.link.room(record, out) {
                return;
            }
            let Some(item) = self.subscribers.begin(id, now) else {
                return;
            };
            item.header.encode(len, &mut out.small);
            out.put(item.payload);
            self.link.timers.last_active = now;
            self.say_end(id);
            if whose != Some(id) {
                (whose, turn) = (Some(id), 0);
            }
            turn += bound;
            if turn >= TURN {
                self.subscribers.turn();
                whose = None;
            }
        }
    }

    /// The next part of the long item, alone in its record.
    fn fill_part(&mut self, now: Instant, record: &Unsealed, out: &mut Output) {
        let body_max = self.link.body_max;
        let take = if let Some(long) = &self.subscribers.long {
            let take = long.payload.len().min(body_max - Chunk::HEADER_BOUND);
            Chunk::encode(take, &mut out.small);
            take
        } else {
            let is_long = |len| ItemFrame::HEADER_BOUND + len > body_max;
            let Some(long) = self.subscribers.begin_long(now, is_long) else {
                return;
            };
            let len = long.payload.len();
            long.header.encode(len, &mut out.small);
            len.min(body_max - record.len(out))
        };
        let Some(long) = &mut self.subscribers.long else {
            return;
        };
        out.put(long.payload.split_to(take));
        let is_done = long.payload.is_empty();
        self.link.timers.last_active = now;
        if is_done && let Some(id) = self.subscribers.end_long() {
            self.say_end(id);
        }
    }
}
