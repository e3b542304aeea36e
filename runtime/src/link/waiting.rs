//! Senders that wait for credit: in order within a window, windows in turn when the credit of the
//! connection is what is short.
//!
//! The driver sends on behalf of who waits, as soon as credit arrives and under the same lock, so
//! a woken sender that is slow, or gone, holds up nobody and is overtaken by nobody.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::Waker,
    time::Instant,
};

use botzilla_wire as wire;
use rustc_hash::FxHashMap;
use wire::{
    route::Window,
    session::{Send, Session, Short},
};

use super::{NotSent, Outgoing};
use crate::ticket::Ticket;

pub(super) type Taken = Result<u64, (Ticket, NotSent)>;

/// What a sender waits for first: credit of a window, or (`None`) a free route number.
type Key = Option<Window>;

/// Each entry belongs to a future that somebody holds, so the callers bound it.
#[derive(Default)]
pub(super) struct Waiting {
    next: u64,
    queues: FxHashMap<Key, Queue>,
    /// Those whose own credit isn't known to be short. Not empty between calls: the connection's is.
    turn: VecDeque<Key>,
    /// Where each waiter is.
    places: FxHashMap<u64, Key>,
    /// Ends that the waiters have not fetched yet.
    ends: FxHashMap<u64, Taken>,
}

#[derive(Default)]
struct Queue {
    waiters: BTreeMap<u64, Waiter>,
    in_turn: bool,
}

struct Waiter {
    out: Outgoing,
    ticket: Ticket,
    waker: Waker,
}

/// Why a message has to wait.
enum Wait {
    Window,
    Connection,
    Route,
}

enum Tried {
    Taken(Taken),
    Wait(Key, Ticket, Wait),
}

fn key_of(session: &mut Session<Ticket>, out: &Outgoing) -> Key {
    session
        .route(&out.route)
        .and_then(|route| session.window(route))
}

/// Sends now, or says what is short.
fn attempt(session: &mut Session<Ticket>, out: &Outgoing, ticket: Ticket) -> Tried {
    let Some(route) = session.route(&out.route) else {
        return Tried::Wait(None, ticket, Wait::Route);
    };
    let key = session.window(route);
    let send = Send {
        route,
        kind: out.kind,
        deadline: out.deadline,
        path: out.path.as_deref().unwrap_or_default(),
        payload: out.payload.clone(),
    };
    match session.try_send(send, ticket) {
        Ok(id) => Tried::Taken(Ok(id)),
        Err((ticket, Short::Window)) => Tried::Wait(key, ticket, Wait::Window),
        Err((ticket, Short::Messages | Short::Bytes)) => Tried::Wait(key, ticket, Wait::Connection),
        Err((ticket, Short::TooLarge { max })) => {
            Tried::Taken(Err((ticket, NotSent::TooLarge { max })))
        }
        // Never so, for the route was asked for just now.
        Err((ticket, Short::Stale)) => Tried::Wait(None, ticket, Wait::Route),
        Err((ticket, _)) => Tried::Taken(Err((
            ticket,
            NotSent::Closed {
                why: "the connection is being closed".into(),
            },
        ))),
    }
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Sends if there is credit and nobody waits who would be overtaken.
    pub(super) fn try_now(
        &mut self,
        session: &mut Session<Ticket>,
        out: &Outgoing,
        ticket: Ticket,
    ) -> Taken {
        if !self.queues.is_empty() {
            let key = key_of(session, out);
            let turns = !self.turn.is_empty() && !out.route.urgent;
            if turns || self.queues.contains_key(&key) {
                return Err((ticket, NotSent::NoCredit));
            }
        }
        match attempt(session, out, ticket) {
            Tried::Taken(taken) => taken,
            Tried::Wait(_, ticket, _) => Err((ticket, NotSent::NoCredit)),
        }
    }

    /// Takes a place at the end of the queue of its window. Serve afterwards: it finds out whether
    /// it is the window or the connection that is short.
    pub(super) fn join(
        &mut self,
        session: &mut Session<Ticket>,
        out: Outgoing,
        ticket: Ticket,
        waker: Waker,
    ) -> u64 {
        let place = self.next;
        self.next += 1;
        let key = key_of(session, &out);
        let first = !self.queues.contains_key(&key);
        self.enter(key, place, Waiter { out, ticket, waker });
        if first {
            self.line_up(key);
        }
        place
    }

    fn enter(&mut self, key: Key, place: u64, waiter: Waiter) {
        self.places.insert(place, key);
        self.queues
            .entry(key)
            .or_default()
            .waiters
            .insert(place, waiter);
    }

    /// What became of a waiter; until then it is woken through `waker`.
    pub(super) fn poll(&mut self, place: u64, waker: &Waker) -> Option<Taken> {
        if let Some(end) = self.ends.remove(&place) {
            return Some(end);
        }
        let queue = self
            .places
            .get(&place)
            .and_then(|key| self.queues.get_mut(key));
        if let Some(waiter) = queue.and_then(|queue| queue.waiters.get_mut(&place)) {
            waiter.waker.clone_from(waker);
        }
        None
    }

    /// Leaves the queue; if it was sent meanwhile, what became of it.
    pub(super) fn leave(&mut self, place: u64) -> Option<Taken> {
        if let Some(key) = self.places.remove(&place) {
            if let Some(queue) = self.queues.get_mut(&key) {
                queue.waiters.remove(&place);
            }
            self.tidy(key);
        }
        self.ends.remove(&place)
    }

    fn tidy(&mut self, key: Key) {
        if self
            .queues
            .get(&key)
            .is_some_and(|queue| queue.waiters.is_empty())
        {
            self.queues.remove(&key);
            self.turn.retain(|other| *other != key);
        }
    }

    /// There may be credit again for `window`, or (`None`) for the connection.
    pub(super) fn credit(&mut self, window: Option<Window>) {
        if window.is_some() {
            self.line_up(window);
        }
    }

    /// Something that had not left was withdrawn, so there may be credit anywhere.
    pub(super) fn withdrawn(&mut self) {
        let keys: Vec<Key> = self.queues.keys().copied().collect();
        keys.into_iter().for_each(|key| self.line_up(key));
    }

    /// A message has ended, so a route may have become idle.
    pub(super) fn ended(&mut self) {
        self.line_up(None);
    }

    fn line_up(&mut self, key: Key) {
        if let Some(queue) = self.queues.get_mut(&key)
            && !queue.in_turn
        {
            queue.in_turn = true;
            let urgent = queue
                .waiters
                .values()
                .next()
                .is_some_and(|waiter| waiter.out.route.urgent);
            if urgent {
                self.turn.push_front(key);
            } else {
                self.turn.push_back(key);
            }
        }
    }

    /// Sends for those whose turn it is, one a window and round, until credit is short. Whom to wake
    /// goes to `wakers`.
    pub(super) fn serve(
        &mut self,
        session: &mut Session<Ticket>,
        now: Instant,
        wakers: &mut Vec<Waker>,
    ) {
        while let Some(key) = self.turn.pop_front() {
            let Some(queue) = self.queues.get_mut(&key) else {
                continue;
            };
            queue.in_turn = false;
            let Some((place, waiter)) = queue.waiters.pop_first() else {
                self.tidy(key);
                continue;
            };
            let Waiter { out, ticket, waker } = waiter;
            let tried = if out.deadline <= now {
                // Its sender gives up at this moment anyway; what is sent now would only be refused.
                Tried::Taken(Err((ticket, NotSent::NoCredit)))
            } else {
                attempt(session, &out, ticket)
            };
            match tried {
                Tried::Taken(taken) => {
                    self.places.remove(&place);
                    self.ends.insert(place, taken);
                    wakers.push(waker);
                    self.line_up(key);
                    self.tidy(key);
                }
                Tried::Wait(now_key, ticket, wait) => {
                    self.enter(now_key, place, Waiter { out, ticket, waker });
                    let moved = now_key != key;
                    if moved {
                        // Its route was named anew meanwhile: the others here may have moved too.
                        self.line_up(key);
                        self.tidy(key);
                    }
                    if matches!(wait, Wait::Connection) {
                        // It keeps its turn for when the connection has credit again.
                        let queue = self.queues.entry(now_key).or_default();
                        if !queue.in_turn {
                            queue.in_turn = true;
                            self.turn.push_front(now_key);
                        }
                        return;
                    }
                }
            }
        }
    }

    /// The connection is gone: nobody waits any longer.
    pub(super) fn fail(&mut self, why: &Arc<str>, wakers: &mut Vec<Waker>) {
        self.turn.clear();
        self.places.clear();
        for (place, waiter) in self.queues.drain().flat_map(|(_, queue)| queue.waiters) {
            self.ends.insert(
                place,
                Err((
                    waiter.ticket,
                    NotSent::Closed {
                        why: Arc::clone(why),
                    },
                )),
            );
            wakers.push(waiter.waker);
        }
    }
}
