//! One subscriber's place at a publisher: what waits for it, and whether it has room.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use botzilla_wire::{
    Encoding, Name, NodeId,
    stream::{End, Granted, Mode, Outgoing, SubscriberId},
};
use parking_lot::Mutex;

use super::{
    after::After,
    inbox::{Arrival, Ended, Inbox, Pushed, Room},
    item::Body,
    kind::{Obstacle, Prepared},
    qos::Thinning,
    source::{Source, who},
    wish::Wish,
};
use crate::link::{BulkLink, Order};

/// A subscriber's place.
pub(crate) struct Port {
    pub(crate) number: u64,
    to: To,
    /// How it gets the items; none: the value itself.
    pub(crate) encoding: Option<Encoding>,
    pub(crate) mode: Mode,
    pub(crate) thinning: Thinning,
    /// Left out since the last item that it got.
    pub(crate) thinned: u64,
    /// Since when it has been found full.
    pub(crate) full_since: Option<Instant>,
    pub(crate) component: Option<Name>,
    /// Its items are taken in the component's turns.
    pub(crate) by_handler: bool,
    pub(crate) node: NodeId,
    pub(crate) depth: u32,
    pub(crate) sent: u64,
    missed: u64,
    pub(crate) thinned_ever: u64,
}

/// Where a subscriber is.
pub(crate) enum To {
    Here(Arc<Inbox>, Arc<str>),
    There(Arc<RemotePort>),
}

impl Port {
    pub(crate) fn new(
        number: u64,
        to: To,
        encoding: Option<Encoding>,
        granted: &Granted,
        wish: &Wish,
        node: NodeId,
    ) -> Self {
        Self {
            number,
            to,
            encoding,
            mode: granted.mode,
            thinning: Thinning::new(granted.interval),
            thinned: 0,
            full_since: None,
            component: wish.subscriber.clone(),
            by_handler: wish.by_handler,
            node,
            depth: granted.depth,
            sent: 0,
            missed: 0,
            thinned_ever: 0,
        }
    }

    pub(crate) fn who(&self) -> String {
        who(self.component.as_ref(), self.node)
    }

    /// How many items were dropped for newer ones on this side.
    pub(crate) fn missed(&self) -> u64 {
        match &self.to {
            To::Here(..) => self.missed,
            To::There(remote) => self.missed + remote.state.lock().dropped,
        }
    }

    /// How many items wait for it.
    pub(crate) fn queued(&self) -> usize {
        match &self.to {
            To::Here(inbox, name) => inbox.queued(name),
            To::There(remote) => remote.queued(),
        }
    }

    /// The connection that it is on, if it is of another node.
    pub(crate) fn link(&self) -> Option<&Arc<BulkLink>> {
        match &self.to {
            To::Here(..) => None,
            To::There(remote) => Some(&remote.link),
        }
    }

    /// What keeps an item from it that others get.
    pub(crate) fn obstacle(&self, item: &Prepared) -> Option<Obstacle> {
        let max = match &self.to {
            To::Here(..) => usize::MAX,
            To::There(remote) => remote.link.payload_max(),
        };
        item.obstacle(self.encoding, max)
    }

    /// Whether there is room for an item of so many bytes; if not, the source will be told.
    pub(crate) fn room(&self, len: usize) -> Room {
        match &self.to {
            To::Here(inbox, name) => inbox.room(name, self.number),
            To::There(remote) => remote.room(len),
        }
    }

    /// Puts an item where the subscriber finds it. False: it is gone.
    pub(crate) fn push(
        &mut self,
        seq: u64,
        published: Instant,
        item: &Prepared,
        after: &mut After,
    ) -> bool {
        let thinned = self.thinned;
        let pushed = match &self.to {
            To::Here(inbox, name) => {
                let body = match self.encoding {
                    None => Body::Shared(Arc::clone(&item.shared)),
                    Some(encoding) => match item.bytes(encoding) {
                        Some(bytes) => Body::Encoded(encoding, bytes.clone()),
                        None => return true,
                    },
                };
                let arrival = Arrival {
                    seq,
                    thinned,
                    published,
                    body,
                };
                inbox.push(name, self.number, arrival, after)
            }
            To::There(remote) => {
                let encoding = self.encoding.unwrap_or(Encoding::Bincode);
                let Some(payload) = item.bytes(encoding) else {
                    return true;
                };
                let out = Outgoing {
                    seq,
                    thinned,
                    published,
                    payload: payload.clone(),
                };
                remote.push(out, after)
            }
        };
        match pushed {
            Pushed::Taken(dropped) => {
                self.thinned = 0;
                self.sent += 1;
                self.missed += dropped;
                true
            }
            Pushed::Gone => false,
        }
    }

    /// Whether this is the place of a subscriber on that node that goes on with this number.
    pub(crate) fn waits_for(&self, node: NodeId, next: u64) -> bool {
        match &self.to {
            To::Here(..) => false,
            To::There(remote) => self.node == node && remote.parked() == Some(next),
        }
    }

    /// Its subscriber has come over another connection.
    pub(crate) fn move_to(
        &mut self,
        link: &Arc<BulkLink>,
        id: SubscriberId,
        number: u64,
    ) -> Option<Arc<RemotePort>> {
        let To::There(remote) = &self.to else {
            return None;
        };
        let moved = remote.moved(link, id, number);
        self.to = To::There(Arc::clone(&moved));
        self.number = number;
        Some(moved)
    }

    /// It is ended by the publisher.
    pub(crate) fn end(self, end: End, after: &mut After) {
        match self.to {
            To::Here(inbox, name) => {
                let left_out = inbox.left_out(&name, self.number, end.next);
                let thinned = end.thinned.min(left_out);
                let ended = Ended {
                    code: end.code,
                    missed: left_out - thinned,
                    thinned,
                    detail: end.detail,
                };
                inbox.ended(&name, self.number, ended, after);
            }
            To::There(remote) => remote.end(end, after),
        }
    }

    /// It has ended by itself.
    pub(crate) fn discard(self, after: &mut After) {
        if let To::There(remote) = self.to {
            remote.discard(after);
        }
    }
}

/// The part of a port that its connection's thread looks at: what was published and hasn't been given
/// to the session.
pub(crate) struct RemotePort {
    link: Arc<BulkLink>,
    pub(crate) id: SubscriberId,
    pub(crate) number: u64,
    pub(crate) source: Arc<Source>,
    mode: Mode,
    depth: usize,
    queue_max: usize,
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Outgoing>,
    bytes: usize,
    /// Left out before items that were dropped since.
    thinned: u64,
    /// Items, and their bytes, that the session holds.
    in_session: (usize, usize),
    /// How many the session has dropped for newer ones.
    dropped: u64,
    /// The connection was told to look here.
    is_told: bool,
    /// Bytes of it among those of its connection.
    counted: usize,
    wants_room: bool,
    is_gone: bool,
    /// Its connection is given up: this waits for the subscriber to come over another, which is to get
    /// the item of this number next.
    parked: Option<u64>,
}

impl Waiting {
    /// Drops the oldest for one of so many bytes; how many. What the session holds it drops itself:
    /// only what hasn't got there is bounded here.
    fn make_room(&mut self, depth: usize, len: usize, bytes_max: usize) -> u64 {
        let mut dropped = 0;
        while self.queue.len() >= depth || self.bytes.saturating_add(len) > bytes_max {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            self.bytes -= oldest.payload.len();
            self.thinned += oldest.thinned;
            dropped += 1;
        }
        dropped
    }
}

impl RemotePort {
    pub(crate) fn new(
        link: &Arc<BulkLink>,
        id: SubscriberId,
        number: u64,
        source: Arc<Source>,
        granted: &Granted,
        queue_max: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            link: Arc::clone(link),
            id,
            number,
            source,
            mode: granted.mode,
            depth: granted.depth.max(1) as usize,
            queue_max,
            state: Mutex::default(),
        })
    }

    fn queued(&self) -> usize {
        let state = self.state.lock();
        state.queue.len() + state.in_session.0
    }

    fn room(&self, len: usize) -> Room {
        let mut state = self.state.lock();
        if state.is_gone {
            Room::Gone
        } else if self.is_full(&state, len) {
            state.wants_room = true;
            Room::Full
        } else {
            Room::Free
        }
    }

    /// By the same rule as the session: so what is given to it is taken.
    fn is_full(&self, state: &Waiting, len: usize) -> bool {
        let items = state.queue.len() + state.in_session.0;
        let bytes = state.bytes + state.in_session.1;
        items >= self.depth || (items > 0 && self.is_beyond(bytes, len))
    }

    fn is_beyond(&self, bytes: usize, len: usize) -> bool {
        bytes.saturating_add(len) > self.queue_max || len > self.link.room()
    }

    /// Says how many bytes wait here, as of now.
    fn count(&self, state: &mut Waiting) {
        let bytes = state.bytes + state.in_session.1;
        let before = std::mem::replace(&mut state.counted, bytes);
        self.link.waits(before, bytes);
    }

    fn push(self: &Arc<Self>, mut out: Outgoing, after: &mut After) -> Pushed {
        let mut dropped = 0;
        let is_told = {
            let mut state = self.state.lock();
            if state.is_gone {
                return Pushed::Gone;
            }
            if self.mode == Mode::Latest {
                let max = self.queue_max.min(state.bytes + self.link.room());
                dropped = state.make_room(self.depth, out.payload.len(), max);
            }
            // What was left out before the dropped ones is told with the one that is first now.
            let thinned = std::mem::take(&mut state.thinned);
            state.queue.front_mut().unwrap_or(&mut out).thinned += thinned;
            state.bytes += out.payload.len();
            state.queue.push_back(out);
            self.count(&mut state);
            std::mem::replace(&mut state.is_told, true) || state.parked.is_some()
        };
        if !is_told {
            let order = Order::Items(Arc::clone(self));
            after.wakers.extend(self.link.order(order).ok().flatten());
        }
        Pushed::Taken(dropped)
    }

    fn end(self: &Arc<Self>, end: End, after: &mut After) {
        {
            let mut state = self.state.lock();
            state.is_gone = true;
            if !end.flush {
                state.queue.clear();
                state.bytes = 0;
                self.count(&mut state);
            }
        }
        let order = Order::End(Arc::clone(self), end);
        after.wakers.extend(self.link.order(order).ok().flatten());
    }

    fn discard(&self, _: &mut After) {
        let mut state = self.state.lock();
        state.is_gone = true;
        state.queue.clear();
        state.bytes = 0;
        self.count(&mut state);
    }

    // ---- the connection's thread ----------------------------------------------------------------

    /// What was published since, for the session.
    pub(crate) fn take(&self) -> VecDeque<Outgoing> {
        let mut state = self.state.lock();
        state.is_told = false;
        let queue = std::mem::take(&mut state.queue);
        state.in_session.0 += queue.len();
        state.in_session.1 += std::mem::take(&mut state.bytes);
        queue
    }

    /// The connection is given up: what had been given to it and hasn't left comes back, and waits with
    /// what is published until the subscriber comes for it.
    pub(crate) fn park(&self, mut items: VecDeque<Outgoing>, next: u64) {
        let mut state = self.state.lock();
        items.append(&mut state.queue);
        state.bytes = items.iter().map(|out| out.payload.len()).sum();
        state.queue = items;
        state.in_session = (0, 0);
        state.parked = Some(next);
        self.count(&mut state);
    }

    /// What is next for a subscriber whose connection was given up.
    pub(super) fn parked(&self) -> Option<u64> {
        self.state.lock().parked
    }

    /// The same place on another connection, with all that waits.
    pub(super) fn moved(&self, link: &Arc<BulkLink>, id: SubscriberId, number: u64) -> Arc<Self> {
        let mut old = self.state.lock();
        old.is_gone = true;
        let waiting = Waiting {
            queue: std::mem::take(&mut old.queue),
            bytes: std::mem::take(&mut old.bytes),
            thinned: old.thinned,
            dropped: old.dropped,
            wants_room: old.wants_room,
            // What is there is taken at once.
            is_told: true,
            ..Waiting::default()
        };
        self.count(&mut old);
        let moved = Self {
            link: Arc::clone(link),
            id,
            number,
            source: Arc::clone(&self.source),
            mode: self.mode,
            depth: self.depth,
            queue_max: self.queue_max,
            state: Mutex::new(waiting),
        };
        moved.count(&mut moved.state.lock());
        Arc::new(moved)
    }

    /// The session has dropped older items for newer ones.
    pub(crate) fn has_dropped(&self, items: u64) {
        self.state.lock().dropped += items;
    }

    /// How many items the session holds now, and their bytes. The source, if it waits for room and
    /// there is some.
    pub(crate) fn set_in_session(&self, items: usize, bytes: usize) -> Option<&Arc<Source>> {
        let mut state = self.state.lock();
        state.in_session = (items, bytes);
        self.count(&mut state);
        if state.wants_room && !self.is_full(&state, 0) {
            state.wants_room = false;
            return Some(&self.source);
        }
        None
    }
}

impl Drop for RemotePort {
    fn drop(&mut self) {
        self.link.waits(self.state.get_mut().counted, 0);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_latest_that_wait_are_bounded_in_items_and_in_bytes() {
        let mut waiting = Waiting::default();
        let mut push = |seq, len: usize| {
            let dropped = waiting.make_room(4, len, 100);
            let payload = Bytes::from(vec![0; len]);
            waiting.bytes += len;
            waiting.queue.push_back(Outgoing {
                seq,
                thinned: 1,
                published: Instant::now(),
                payload,
            });
            assert!(waiting.queue.len() == 1 || waiting.bytes <= 100);
            (dropped, waiting.queue.len(), waiting.thinned)
        };
        for seq in 0..4 {
            assert_eq!(push(seq, 10).0, 0);
        }
        assert_eq!(push(4, 10), (1, 4, 1), "four are as many as may wait");
        assert_eq!(push(5, 90), (3, 2, 4), "more would be too many bytes");
        assert_eq!(push(6, 500), (2, 1, 6), "one item always may");
    }
}
