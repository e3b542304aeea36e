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
    kind::Prepared,
    qos::Thinning,
    source::{Source, who},
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
        component: Option<Name>,
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
            component,
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
    wants_room: bool,
    is_gone: bool,
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
        items >= self.depth || (items > 0 && bytes.saturating_add(len) > self.queue_max)
    }

    fn push(self: &Arc<Self>, mut out: Outgoing, after: &mut After) -> Pushed {
        if out.payload.len() > self.link.payload_max() {
            // Its node takes less than ours allows. The item's number will be told as missed.
            tracing::debug!(stream = %self.source.name(), len = out.payload.len(), "an item is too large for a subscriber");
            self.state.lock().thinned += out.thinned;
            return Pushed::Taken(1);
        }
        let mut dropped = 0;
        let is_told = {
            let mut state = self.state.lock();
            if state.is_gone {
                return Pushed::Gone;
            }
            // What the session holds it drops itself: only what hasn't got there is bounded here.
            while self.mode == Mode::Latest && state.queue.len() >= self.depth {
                let Some(oldest) = state.queue.pop_front() else {
                    break;
                };
                state.bytes -= oldest.payload.len();
                state.thinned += oldest.thinned;
                dropped += 1;
            }
            // What was left out before the dropped ones is told with the one that is first now.
            let thinned = std::mem::take(&mut state.thinned);
            state.queue.front_mut().unwrap_or(&mut out).thinned += thinned;
            state.bytes += out.payload.len();
            state.queue.push_back(out);
            std::mem::replace(&mut state.is_told, true)
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

    /// The session has dropped older items for newer ones.
    pub(crate) fn has_dropped(&self, items: u64) {
        self.state.lock().dropped += items;
    }

    /// How many items the session holds now, and their bytes. The source, if it waits for room and
    /// there is some.
    pub(crate) fn set_in_session(&self, items: usize, bytes: usize) -> Option<&Arc<Source>> {
        let mut state = self.state.lock();
        state.in_session = (items, bytes);
        if state.wants_room && !self.is_full(&state, 0) {
            state.wants_room = false;
            return Some(&self.source);
        }
        None
    }
}
