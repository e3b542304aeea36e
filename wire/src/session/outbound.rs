//! Our messages, from the moment they are taken until they have ended.

use std::time::Instant;

use bytes::Bytes;

use super::{Kind, Send, Short, ids::IdTable, routes::OutRoutes};
use crate::{
    flow::Spending,
    frame::Message,
    handshake::PeerLimits,
    ident::Name,
    limits::Limits,
    route::{RouteCounters, RouteNo},
};

/// Where a message of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// In a queue.
    Queued,
    /// Behind a long frame of its window.
    Parked,
    /// Waiting for its turn as a long frame.
    Waiting,
    /// A long frame, part of which was sealed.
    Streaming,
    /// All of it was sealed.
    Sent,
}

#[derive(Debug)]
pub(super) struct Outgoing<T> {
    /// None once it was cancelled.
    pub(super) token: Option<T>,
    pub(super) state: State,
    pub(super) kind: Kind,
    pub(super) route: u32,
    pub(super) window: u32,
    pub(super) deadline: Instant,
    pub(super) path: Vec<Name>,
    pub(super) path_len: usize,
    /// Empty once it was sealed.
    pub(super) payload: Bytes,
    pub(super) wire_id: u64,
    charge: u64,
    order: u64,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    message: Option<Outgoing<T>>,
}

/// How a message of ours ended, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    Refused,
    Failed,
}

impl Outcome {
    pub(super) fn of(may_have_run: bool) -> Self {
        if may_have_run {
            Self::Failed
        } else {
            Self::Refused
        }
    }

    /// Counts an open message as ended.
    pub(super) fn count(self, counters: &mut RouteCounters) {
        counters.open -= 1;
        match self {
            Self::Delivered => counters.delivered += 1,
            Self::Refused => counters.refused += 1,
            Self::Failed => counters.failed += 1,
        }
    }
}

/// A message of ours that ended.
#[derive(Debug)]
pub(super) struct Ended<T> {
    pub(super) token: T,
    pub(super) may_have_run: bool,
    pub(super) route: RouteNo,
}

#[derive(Debug)]
pub(super) struct Outbound<T> {
    pub(super) routes: OutRoutes,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
    /// From the id on the wire to the handle.
    pub(super) sent: IdTable<u64>,
    pub(super) messages: Spending,
    pub(super) bytes: Spending,
    /// What we ourselves are willing to hold.
    own_messages: u64,
    own_bytes: u64,
    payload_max: usize,
    path_max: usize,
    /// Someone ran short of the connection's credit.
    pub(super) starved: bool,
    /// Someone ran short of what we ourselves are willing to hold.
    pub(super) starved_here: bool,
    /// Messages to be cancelled; each is open, and comes here once.
    pub(super) cancels: Vec<u64>,
    order: u64,
}

/// What of a bound is kept for urgent messages.
fn reserve(bound: u64) -> u64 {
    bound / 16
}

fn split(handle: u64) -> (usize, u32) {
    ((handle & 0xffff_ffff) as usize, (handle >> 32) as u32)
}

impl<T> Outbound<T> {
    pub(super) fn new(peer: &PeerLimits, own: &Limits) -> Self {
        let half = peer.bytes_per_connection.min(own.bytes_per_connection) / 2;
        Self {
            routes: OutRoutes::new(peer),
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
            sent: IdTable::new(),
            messages: Spending::new(peer.messages_per_connection.into()),
            bytes: Spending::new(peer.bytes_per_connection),
            own_messages: own.messages_per_connection.into(),
            own_bytes: own.bytes_per_connection,
            // Credit comes back by the quarter: what is larger than half might wait for ever.
            payload_max: usize::try_from(half)
                .unwrap_or(usize::MAX)
                .min(peer.payload),
            path_max: own.path.min(Message::PATH_MAX),
            starved: false,
            starved_here: false,
            cancels: Vec::new(),
            order: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Those that weren't cancelled.
    pub(super) fn awaited(&self) -> usize {
        let messages = self.slots.iter().filter_map(|slot| slot.message.as_ref());
        messages.filter(|message| message.token.is_some()).count()
    }

    /// Takes a message, and the credit for it.
    pub(super) fn insert(&mut self, send: Send<'_>, token: T) -> Result<(u64, bool), (T, Short)> {
        let Some((route, window)) = self.routes.use_route(send.route) else {
            return Err((token, Short::Stale));
        };
        if send.payload.len() > self.payload_max {
            return Err((
                token,
                Short::TooLarge {
                    max: self.payload_max,
                },
            ));
        }
        let path = &send.path[send.path.len().saturating_sub(self.path_max)..];
        let path_len = Message::path_len(path);
        let charge = (send.payload.len() + path_len) as u64;
        let urgent = route.info.urgent;
        if window.account.available() == 0 {
            window.starved = true;
            return Err((token, Short::Window));
        }
        let spare = |bound| if urgent { 0 } else { reserve(bound) };
        if self.messages.available() <= spare(self.messages.bound()) {
            self.starved = true;
            return Err((token, Short::Messages));
        }
        if self.messages.open() + spare(self.own_messages) >= self.own_messages {
            self.starved_here = true;
            return Err((token, Short::Messages));
        }
        if self.bytes.available() < charge + spare(self.bytes.bound()) {
            self.starved = true;
            return Err((token, Short::Bytes));
        }
        if self.bytes.open() + charge + spare(self.own_bytes) > self.own_bytes {
            self.starved_here = true;
            return Err((token, Short::Bytes));
        }
        window.account.take(1);
        self.messages.take(1);
        self.bytes.take(charge);
        route.busy += 1;
        self.order += 1;
        let message = Outgoing {
            token: Some(token),
            state: State::Queued,
            kind: send.kind,
            route: send.route.index,
            window: route.window,
            deadline: send.deadline,
            path: path.to_vec(),
            path_len,
            payload: send.payload,
            wire_id: 0,
            charge,
            order: self.order,
        };
        Ok((self.store(message), urgent))
    }

    fn store(&mut self, message: Outgoing<T>) -> u64 {
        self.len += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                message: None,
            });
            u32::try_from(self.slots.len() - 1)
                .expect("the connection's messages are counted in a u32")
        });
        let slot = &mut self.slots[index as usize];
        slot.message = Some(message);
        u64::from(slot.generation) << 32 | u64::from(index)
    }

    pub(super) fn get_mut(&mut self, handle: u64) -> Option<&mut Outgoing<T>> {
        let (index, generation) = split(handle);
        let slot = self.slots.get_mut(index)?;
        if slot.generation == generation {
            slot.message.as_mut()
        } else {
            None
        }
    }

    fn take(&mut self, handle: u64) -> Option<Outgoing<T>> {
        let (index, generation) = split(handle);
        let slot = self.slots.get_mut(index)?;
        if slot.generation != generation {
            return None;
        }
        let message = slot.message.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index as u32);
        self.len -= 1;
        Some(message)
    }

    /// The message leaves: it gets its id, and counts.
    pub(super) fn depart(&mut self, handle: u64, state: State) -> u64 {
        let id = self.sent.insert(handle);
        if let Some(message) = self.get_mut(handle) {
            message.wire_id = id;
            message.state = state;
            let route = message.route as usize;
            let counters = &mut self.routes.list[route].counters;
            counters.sent += 1;
            counters.open += 1;
        }
        id
    }

    /// Takes a message back that never left.
    pub(super) fn withdraw(&mut self, handle: u64) -> Option<Outgoing<T>> {
        let message = self.take(handle)?;
        self.routes.list[message.route as usize].busy -= 1;
        self.routes.windows[message.window as usize]
            .account
            .give_back(1);
        self.messages.give_back(1);
        self.bytes.give_back(message.charge);
        Some(message)
    }

    /// A message that left has ended.
    pub(super) fn end(&mut self, id: u64, outcome: Outcome) -> Option<Outgoing<T>> {
        let handle = self.sent.remove(id)?;
        let message = self.take(handle)?;
        let route = &mut self.routes.list[message.route as usize];
        route.busy -= 1;
        outcome.count(&mut route.counters);
        self.routes.windows[message.window as usize].account.end(1);
        self.messages.end(1);
        self.bytes.end(message.charge);
        Some(message)
    }

    /// Whether there are messages that haven't left as a whole. Looks at each.
    pub(super) fn is_unsent(&self) -> bool {
        let messages = self.slots.iter().filter_map(|slot| slot.message.as_ref());
        let mut states = messages.map(|message| message.state);
        states.any(|state| state != State::Sent)
    }

    /// Whether a message goes before those that aren't urgent.
    pub(super) fn is_urgent(&mut self, handle: u64) -> bool {
        let route = self.get_mut(handle).map(|message| message.route as usize);
        route.is_some_and(|route| self.routes.list[route].info.urgent)
    }

    /// Whether we ourselves are willing to hold more.
    pub(super) fn has_room_here(&self) -> bool {
        self.messages.open() + reserve(self.own_messages) < self.own_messages
            && self.bytes.open() + reserve(self.own_bytes) < self.own_bytes
    }

    /// The message with that id on the wire.
    pub(super) fn by_id(&mut self, id: u64) -> Option<(u64, &mut Outgoing<T>)> {
        let handle = *self.sent.get_mut(id)?;
        Some((handle, self.get_mut(handle)?))
    }

    /// Everything that is open, in the order it was taken: it has ended, and what had left counts as
    /// such. `received` is the last id that the peer says it received, if it says.
    pub(super) fn drain(&mut self, received: Option<u64>) -> Vec<Ended<T>> {
        let mut open: Vec<Outgoing<T>> = Vec::with_capacity(self.len);
        for slot in &mut self.slots {
            open.extend(slot.message.take());
        }
        self.slots.clear();
        self.free.clear();
        self.len = 0;
        open.sort_unstable_by_key(|message| message.order);
        let routes = &mut self.routes.list;
        open.into_iter()
            .filter_map(|message| {
                let may_have_run = message.state == State::Sent
                    && received.is_none_or(|received| message.wire_id <= received);
                if matches!(message.state, State::Sent | State::Streaming) {
                    let counters = &mut routes[message.route as usize].counters;
                    Outcome::of(may_have_run).count(counters);
                }
                let route = RouteNo {
                    index: message.route,
                    generation: routes[message.route as usize].generation,
                };
                Some(Ended {
                    token: message.token?,
                    may_have_run,
                    route,
                })
            })
            .collect()
    }
}
