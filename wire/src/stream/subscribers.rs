//! Who subscribes to us: what waits for each, and whose turn it is.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::{End, Granted, Mode, NotPushed, Outgoing, Subscribe};
use crate::{
    error::SessionError,
    flow::{Allowance, BadCredit},
    frame::{Ended, Grant, ItemFrame},
    limits::Limits,
};

#[derive(Debug)]
pub(super) struct Subscriber {
    /// It was accepted.
    is_open: bool,
    /// It ends when nothing waits any more.
    ending: Option<End>,
    mode: Mode,
    depth: usize,
    queue: VecDeque<Outgoing>,
    queued_bytes: usize,
    items: Allowance,
    bytes: Allowance,
    /// The number that the subscriber takes to be next.
    next: u64,
    /// The number after that of the last item pushed.
    pushed: u64,
    /// How many were thinned out before items that were dropped since.
    thinned: u64,
    /// It is in the ring.
    in_ring: bool,
    /// Its first item is long, and is on its way or waits for that.
    is_long: bool,
    /// Someone found it full.
    wants_room: bool,
}

impl Subscriber {
    fn new(subscribe: &Subscribe) -> Result<Self, BadCredit> {
        Ok(Self {
            is_open: false,
            ending: None,
            mode: subscribe.mode,
            depth: 1,
            queue: VecDeque::new(),
            queued_bytes: 0,
            items: Allowance::new(subscribe.items)?,
            bytes: Allowance::new(subscribe.bytes)?,
            next: 0,
            pushed: 0,
            thinned: 0,
            in_ring: false,
            is_long: false,
            wants_room: false,
        })
    }

    /// How long the item is that may go now.
    pub(super) fn ready(&self) -> Option<usize> {
        if self.is_long || !self.items.is_left() || !self.bytes.is_left() {
            return None;
        }
        self.queue.front().map(|item| item.payload.len())
    }

    /// Whether an item of so many bytes has no room in its queue.
    fn is_full(&self, len: usize, max: usize) -> bool {
        self.queue.len() >= self.depth || self.is_beyond(len, self.queued_bytes, max)
    }

    /// One item always may wait.
    fn is_beyond(&self, len: usize, queued: usize, max: usize) -> bool {
        !self.queue.is_empty() && queued.saturating_add(len) > max
    }

    /// `all` are the bytes that wait for all subscribers.
    fn pop(&mut self, all: &mut usize) -> Option<Outgoing> {
        let item = self.queue.pop_front()?;
        self.queued_bytes -= item.payload.len();
        *all -= item.payload.len();
        Some(item)
    }

    /// Drops the oldest item that waits: it is missed.
    fn drop_oldest(&mut self, all: &mut usize) {
        if let Some(item) = self.pop(all) {
            self.thinned += item.thinned;
        }
    }

    /// How many of the items before `seq` were missed, and how many thinned out, since the last.
    fn left_out(&self, seq: u64, thinned: u64) -> (u64, u64) {
        let gap = seq.saturating_sub(self.next);
        let thinned = self.thinned.saturating_add(thinned).min(gap);
        (gap - thinned, thinned)
    }
}

/// An item that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) header: ItemFrame,
    pub(super) payload: Bytes,
    /// The number that was next before it.
    before: u64,
}

impl Begun {
    fn id(&self) -> u32 {
        self.header.id
    }
}

/// The peer's subscriptions that have not ended.
#[derive(Debug)]
pub(super) struct Subscribers {
    open: FxHashMap<u32, Subscriber>,
    /// The number that the next one has.
    next: u64,
    /// Those that have an item and credit for it, in turn.
    pub(super) ring: VecDeque<u32>,
    /// Those whose first item is long.
    waiting: VecDeque<u32>,
    /// The long item on its way; its payload is what isn't sealed.
    pub(super) long: Option<Begun>,
    /// Those that were full and no longer are.
    room: VecDeque<u32>,
    depth_max: u32,
    queue_max: usize,
    queues_max: usize,
    /// Bytes that wait for all of them.
    queued_bytes: usize,
}

impl Subscribers {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            open: FxHashMap::default(),
            next: 0,
            ring: VecDeque::new(),
            waiting: VecDeque::new(),
            long: None,
            room: VecDeque::new(),
            depth_max: limits.stream_depth,
            queue_max: limits.stream_queue,
            queues_max: limits.stream_queues,
            queued_bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many items and bytes of them wait for it, the one on its way not included.
    pub(super) fn queued(&self, id: u32) -> (usize, usize) {
        let queued = self.open.get(&id).map(|s| (s.queue.len(), s.queued_bytes));
        queued.unwrap_or_default()
    }

    /// The peer takes the next number.
    pub(super) fn number(&mut self, id: u32) -> Result<(), SessionError> {
        if u64::from(id) != self.next {
            return Err(SessionError::SubscriptionOutOfOrder {
                expected: self.next,
                found: id,
            });
        }
        self.next += 1;
        Ok(())
    }

    /// The peer asks for a stream.
    pub(super) fn ask(&mut self, id: u32, subscribe: &Subscribe) -> Result<(), SessionError> {
        let subscriber = Subscriber::new(subscribe).map_err(bad_credit)?;
        self.open.insert(id, subscriber);
        Ok(())
    }

    /// It gets its stream. Whether it was waiting for that.
    pub(super) fn accept(&mut self, id: u32, granted: &mut Granted) -> bool {
        let depth_max = self.depth_max.max(1);
        let Some(open) = self.open.get_mut(&id).filter(|open| !open.is_open) else {
            return false;
        };
        granted.depth = granted.depth.clamp(1, depth_max);
        open.is_open = true;
        open.mode = granted.mode;
        open.depth = granted.depth as usize;
        (open.next, open.pushed) = (granted.next, granted.next);
        true
    }

    /// Whether a reliable one has no room for an item of so many bytes; then it is told of when it
    /// has.
    pub(super) fn is_full(&mut self, id: u32, len: usize) -> bool {
        let Some(open) = self.open.get_mut(&id) else {
            return false;
        };
        let is_full = open.mode == Mode::Reliable
            && (open.is_full(len, self.queue_max)
                || open.is_beyond(len, self.queued_bytes, self.queues_max));
        open.wants_room |= is_full;
        is_full
    }

    /// Takes an item for it. How many older ones were dropped for that.
    pub(super) fn push(&mut self, id: u32, item: Outgoing) -> Result<usize, NotPushed> {
        let (queue_max, queues_max) = (self.queue_max, self.queues_max);
        let all = &mut self.queued_bytes;
        let open = self.open.get_mut(&id);
        let open = open.filter(|open| open.is_open && open.ending.is_none());
        let open = open.ok_or(NotPushed::NotOpen)?;
        let gap = item.seq.checked_sub(open.pushed);
        if gap.is_none_or(|gap| gap < item.thinned) || item.seq == u64::MAX {
            return Err(NotPushed::OutOfOrder);
        }
        let len = item.payload.len();
        let is_full = |open: &Subscriber, all: usize| {
            open.is_full(len, queue_max) || open.is_beyond(len, all, queues_max)
        };
        let mut dropped = 0;
        if open.mode == Mode::Reliable && is_full(open, *all) {
            open.wants_room = true;
            return Err(NotPushed::Full);
        }
        while is_full(open, *all) {
            open.drop_oldest(all);
            dropped += 1;
        }
        open.pushed = item.seq + 1;
        open.queued_bytes += len;
        *all += len;
        open.queue.push_back(item);
        self.enrol(id);
        Ok(dropped)
    }

    /// Takes back what waits for it, but for an item that has begun; and the number that is next.
    pub(super) fn take_back(&mut self, id: u32) -> (VecDeque<Outgoing>, u64) {
        let Some(open) = self.open.get_mut(&id) else {
            return (VecDeque::new(), 0);
        };
        let mut items = std::mem::take(&mut open.queue);
        self.queued_bytes -= std::mem::take(&mut open.queued_bytes);
        if let Some(first) = items.front_mut() {
            first.thinned += std::mem::take(&mut open.thinned);
        }
        let is_on_its_way = self.long.as_ref().is_some_and(|long| long.id() == id);
        if open.is_long && !is_on_its_way {
            open.is_long = false;
            self.waiting.retain(|waiting| *waiting != id);
        }
        (items, open.next)
    }

    /// Puts it into the ring, if it has its turn coming.
    fn enrol(&mut self, id: u32) {
        if let Some(open) = self.open.get_mut(&id)
            && !open.in_ring
            && open.ready().is_some()
        {
            open.in_ring = true;
            self.ring.push_back(id);
        }
    }

    /// What the first of the ring has ready. Those that have nothing any more leave it.
    pub(super) fn first(&mut self) -> Option<(u32, usize)> {
        loop {
            let id = *self.ring.front()?;
            let open = self.open.get_mut(&id);
            match open.as_ref().and_then(|open| open.ready()) {
                Some(len) => return Some((id, len)),
                None => {
                    if let Some(open) = open {
                        open.in_ring = false;
                    }
                    self.ring.pop_front();
                }
            }
        }
    }

    /// The first of the ring has had its turn.
    pub(super) fn turn(&mut self) {
        if let Some(id) = self.ring.pop_front() {
            self.ring.push_back(id);
        }
    }

    /// The first of the ring has a long item, whose turn comes among such.
    pub(super) fn set_aside(&mut self) {
        if let Some(id) = self.ring.pop_front()
            && let Some(open) = self.open.get_mut(&id)
        {
            open.in_ring = false;
            open.is_long = true;
            self.waiting.push_back(id);
        }
    }

    /// Its first item begins.
    pub(super) fn begin(&mut self, id: u32, now: Instant) -> Option<Begun> {
        let open = self.open.get_mut(&id)?;
        let item = open.pop(&mut self.queued_bytes)?;
        let (missed, thinned) = open.left_out(item.seq, item.thinned);
        let before = std::mem::replace(&mut open.next, item.seq + 1);
        open.thinned = 0;
        open.items.take(1);
        open.bytes.take(item.payload.len() as u64);
        if std::mem::take(&mut open.wants_room) {
            self.room.push_back(id);
        }
        let header = ItemFrame {
            id,
            seq: item.seq,
            missed,
            thinned,
            age: now.saturating_duration_since(item.published),
        };
        Some(Begun {
            header,
            payload: item.payload,
            before,
        })
    }

    /// Whether a long item is on its way or is to be.
    pub(super) fn has_long(&self) -> bool {
        self.long.is_some() || !self.waiting.is_empty()
    }

    /// The next long item begins. Items that were dropped meanwhile may have left a short one first:
    /// that goes as all short ones.
    pub(super) fn begin_long(
        &mut self,
        now: Instant,
        is_long: impl Fn(usize) -> bool,
    ) -> Option<&Begun> {
        while let Some(id) = self.waiting.pop_front() {
            let Some(open) = self.open.get_mut(&id) else {
                continue;
            };
            let first = open.queue.front();
            if first.is_some_and(|item| is_long(item.payload.len())) {
                self.long = self.begin(id, now);
                return self.long.as_ref();
            }
            open.is_long = false;
            self.enrol(id);
        }
        None
    }

    /// The long item was sealed as a whole. Whose it was.
    pub(super) fn end_long(&mut self) -> Option<u32> {
        let id = self.long.take()?.id();
        if let Some(open) = self.open.get_mut(&id) {
            open.is_long = false;
            self.enrol(id);
        }
        Some(id)
    }

    /// Says what is to be said of its end, if it ends and nothing waits any more.
    pub(super) fn flushed(&mut self, id: u32) -> Option<(Ended, String)> {
        let open = self.open.get_mut(&id)?;
        if !open.queue.is_empty() || open.is_long {
            return None;
        }
        let end = open.ending.take()?;
        let (missed, thinned) = if open.is_open {
            open.left_out(end.next, end.thinned)
        } else {
            (0, 0)
        };
        self.open.remove(&id);
        let code = end.code;
        let ended = Ended {
            id,
            code,
            missed,
            thinned,
        };
        Some((ended, end.detail))
    }

    /// It ends, at once or when nothing waits any more. Whether its long item is to be aborted.
    pub(super) fn end(&mut self, id: u32, end: End) -> bool {
        let Some(open) = self.open.get_mut(&id) else {
            return false;
        };
        let flush = end.flush;
        open.ending = Some(end);
        if flush {
            return false;
        }
        while !open.queue.is_empty() {
            open.drop_oldest(&mut self.queued_bytes);
        }
        if std::mem::take(&mut open.is_long) {
            self.waiting.retain(|waiting| *waiting != id);
        }
        let Some(long) = self.long.take_if(|long| long.id() == id) else {
            return false;
        };
        open.next = long.before;
        open.thinned += long.header.thinned;
        true
    }

    /// The peer states totals. Those of a subscription that has ended have no effect: its end may
    /// have crossed them.
    pub(super) fn grant(&mut self, grant: &Grant) -> Result<(), SessionError> {
        let id = grant.id;
        self.check_known("grant", id)?;
        if let Some(open) = self.open.get_mut(&id) {
            open.items.state(grant.items).map_err(bad_credit)?;
            open.bytes.state(grant.bytes).map_err(bad_credit)?;
            self.enrol(id);
        }
        Ok(())
    }

    /// Whether the peer has not ended it: the error is that it never began.
    pub(super) fn check_known(&self, frame: &'static str, id: u32) -> Result<bool, SessionError> {
        if u64::from(id) < self.next {
            Ok(self.open.contains_key(&id))
        } else {
            Err(SessionError::UnknownSubscription { frame, id })
        }
    }

    /// One that was full and no longer is.
    pub(super) fn pop_room(&mut self) -> Option<u32> {
        loop {
            let id = self.room.pop_front()?;
            if self.open.contains_key(&id) {
                return Some(id);
            }
        }
    }

    /// Nothing leaves any more.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.queued_bytes = 0;
        self.ring.clear();
        self.waiting.clear();
        self.room.clear();
        self.long = None;
    }
}

fn bad_credit(bad: BadCredit) -> SessionError {
    let why = match bad {
        BadCredit::Shrinks => "a total takes back what was granted",
        BadCredit::BeyondBound => "a total is beyond 2^63",
    };
    SessionError::BadCredit { why }
}
