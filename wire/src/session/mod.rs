//! One connection after its handshake: who asks whom, credit, outcomes.
//!
//! ```text
//!   our messages:   try_send ──► queue ──► sealed ─────────────► ended: Replied, Delivered, Failed
//!                      │           │          └── cancel: its end is awaited, the token is not
//!                    Short       cancel: withdrawn, it never leaves
//!
//!   the peer's:     Request ──► reply, delivered or fail ──► sealed: its credit is free
//!                      └─ Cancelled: it is owed an end all the same
//! ```
//!
//! Methods come in four kinds: commands ([`try_send`](Session::try_send), [`reply`](Session::reply),
//! ..), input ([`receive`](Session::receive), [`handle_timeout`](Session::handle_timeout)), output
//! ([`poll_transmit`](Session::poll_transmit), [`poll_timeout`](Session::poll_timeout)) and
//! questions. After any command or input, output may be due.

mod event;
mod ids;
mod inbound;
mod outbound;
mod queue;
mod receive;
mod routes;
mod transmit;

use std::time::Instant;

use bytes::Bytes;

pub use self::event::{Event, Kind, Send, Short};
use self::{
    inbound::Inbound,
    outbound::{Outbound, Outcome, State},
    queue::{Item, LongSubject, Queues},
};
use crate::{
    code::{CloseReason, Code, Failure},
    error::SessionError,
    frame::FailureFrame,
    handshake::Established,
    limits::Limits,
    link::{Frames, Link, truncate},
    route::{Route, RouteCounters, RouteNo, Window},
};

/// One connection after its handshake. `T` is what its owner gets back for each message it sent.
#[derive(Debug)]
pub struct Session<T> {
    link: Link,
    outbound: Outbound<T>,
    inbound: Inbound,
    queues: Queues,
    /// Credit was due and found no room in the last record.
    credit_is_late: bool,
    payload_max: usize,
    peer_payload_max: usize,
    reply_bytes_max: u64,
    /// How much of a detail we send.
    detail_max: usize,
}

impl<T> Session<T> {
    /// Begins where the handshake ended. `limits` are those that the handshake stated.
    pub fn new(established: Established, limits: &Limits, now: Instant) -> Self {
        let Established {
            lane,
            keys,
            peer_limits,
            ..
        } = established;
        Self {
            link: Link::new(lane, keys, limits, now),
            outbound: Outbound::new(&peer_limits, limits),
            inbound: Inbound::new(limits),
            queues: Queues::default(),
            credit_is_late: false,
            payload_max: limits.payload,
            peer_payload_max: peer_limits.payload,
            reply_bytes_max: limits.reply_bytes,
            detail_max: limits.detail.min(FailureFrame::DETAIL_MAX),
        }
    }

    /// The number of a route. A new route gets one, if need be that of the route that has been idle
    /// for longest; none if all are in use.
    pub fn route(&mut self, route: &Route) -> Option<RouteNo> {
        self.outbound.routes.number(route)
    }

    /// The window that a route draws on; none if its number means another route now.
    pub fn window(&self, route: RouteNo) -> Option<Window> {
        self.outbound
            .routes
            .get(route)
            .map(|route| Window(route.window))
    }

    /// Takes a message, if there is credit for it. The answer is its handle.
    ///
    /// # Errors
    ///
    /// What was short, with the token. Where that is credit, an [`Event::Credit`] follows.
    pub fn try_send(&mut self, send: Send<'_>, token: T) -> Result<u64, (T, Short)> {
        if !self.link.takes_new() {
            return Err((token, Short::Closing));
        }
        let (handle, urgent) = self.outbound.insert(send, token)?;
        self.queues.push(urgent, Item::Message(handle));
        Ok(handle)
    }

    /// Nobody waits for the message any more. If it hasn't left as a whole, it never runs, and its
    /// token is returned; whoever waits for credit may then try again. Else the peer is told, and
    /// its end is counted but not reported.
    pub fn cancel(&mut self, handle: u64) -> Option<T> {
        let message = self.outbound.get_mut(handle)?;
        let (state, window, id) = (message.state, message.window, message.wire_id);
        match state {
            State::Sent => {
                if message.token.take().is_some() && self.link.is_open() {
                    self.outbound.cancels.push(id);
                }
                None
            }
            State::Streaming => {
                let token = message.token.take();
                self.unblock_window(window);
                self.outbound.end(id, Outcome::Refused);
                self.queues.abort = true;
                self.next_long();
                token
            }
            State::Queued | State::Parked | State::Waiting => {
                let token = self.outbound.withdraw(handle)?.token;
                match state {
                    State::Queued => {
                        let outbound = &mut self.outbound;
                        self.queues
                            .died(|handle| outbound.get_mut(handle).is_some());
                    }
                    State::Parked => {
                        let parked = &mut self.outbound.routes.windows[window as usize].parked;
                        parked.retain(|parked| *parked != handle);
                    }
                    _ => {
                        self.unblock_window(window);
                        let subject = LongSubject::Message(handle);
                        self.queues.waiting.retain(|long| long.subject != subject);
                        if self
                            .queues
                            .long
                            .as_ref()
                            .is_some_and(|long| long.subject == subject)
                        {
                            self.next_long();
                        }
                    }
                }
                token
            }
        }
    }

    /// Whether the peer's message can still be ended: it is open, and what says its end can leave.
    fn unended(&mut self, id: u64) -> Option<(Kind, bool, bool)> {
        let owed = self
            .inbound
            .owed
            .get_mut(id)
            .filter(|owed| !owed.ended && !owed.partial)?;
        let (kind, cancelled) = (owed.kind, owed.cancelled);
        let urgent = self.inbound.is_urgent(id);
        Some((kind, cancelled, urgent))
    }

    /// Answers an ask of the peer. A reply that the peer doesn't take becomes a failure, and one
    /// that nobody waits for is dropped; the message has ended in any case. Of a tell it is
    /// [`delivered`](Self::delivered). A message that has ended is left alone.
    pub fn reply(&mut self, id: u64, payload: Bytes) {
        let Some((kind, cancelled, urgent)) = self.unended(id) else {
            return;
        };
        if kind == Kind::Tell || cancelled {
            return self.delivered(id);
        }
        let len = payload.len();
        if len > self.peer_payload_max {
            let max = self.peer_payload_max;
            let detail = format!("a reply of {len} bytes, the asker takes at most {max}");
            return self.fail(id, Failure::failed(Code::TooLarge, detail));
        }
        if self.queues.reply_bytes + len as u64 > self.reply_bytes_max {
            let detail = format!(
                "replies of {} bytes wait for the asker already, the bound is {}",
                self.queues.reply_bytes, self.reply_bytes_max
            );
            return self.fail(id, Failure::failed(Code::Overloaded, detail));
        }
        self.inbound.end(id, Outcome::Delivered);
        self.queues.reply_bytes += len as u64;
        self.queues.push(urgent, Item::Reply(id, payload));
    }

    /// A tell of the peer ran to its end. (An ask that wasn't cancelled fails as
    /// [`Code::NoReply`].)
    pub fn delivered(&mut self, id: u64) {
        let Some((kind, cancelled, _)) = self.unended(id) else {
            return;
        };
        if kind == Kind::Ask && !cancelled {
            return self.fail(id, Failure::failed(Code::NoReply, ""));
        }
        self.inbound.end(id, Outcome::Delivered);
        self.inbound.mark_done(id);
    }

    /// A message of the peer ended badly.
    pub fn fail(&mut self, id: u64, mut failure: Failure) {
        let Some((_, _, urgent)) = self.unended(id) else {
            return;
        };
        // Details count as replies: beyond the bound they are left out.
        let left = self.reply_bytes_max.saturating_sub(self.queues.reply_bytes);
        let max = self
            .detail_max
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        truncate(&mut failure.detail, max);
        self.inbound.end(id, Outcome::of(failure.may_have_run));
        self.queues.reply_bytes += failure.detail.len() as u64;
        self.queues.push(urgent, Item::Failure(id, failure));
    }

    /// Takes no more messages: another connection is to take this one's place. Those that wait leave,
    /// the peer is told, and does the same; what is open goes on to its end.
    pub fn drain(&mut self) {
        self.link.drain();
    }

    /// Whether neither side sends messages any more, and each has had all of the other's.
    pub fn is_drained(&self) -> bool {
        self.link.is_drained()
    }

    /// Closes the connection after what waits. The close is authenticated, so the peer can tell it
    /// from a cut.
    pub fn close(&mut self, why: CloseReason) {
        self.close_with(why, "");
    }

    /// Closes the connection with a text for people, of which at most 1 KiB travels.
    pub fn close_with(&mut self, why: CloseReason, detail: &str) {
        self.link.close_with(why, detail);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Instant {
        self.link.timers.next()
    }

    /// Looks at the time. Call [`receive`](Self::receive) first if there is something to read.
    ///
    /// # Errors
    ///
    /// If there was not a byte from the peer for too long: the connection is to be ended.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        self.link.handle_timeout(now).inspect_err(|error| {
            self.link.break_off(error);
            self.drop_all();
        })
    }

    /// When the last byte came.
    pub fn last_received(&self) -> Instant {
        self.link.timers.last_received
    }

    /// When a message or the end of one last went either way.
    pub fn last_active(&self) -> Instant {
        self.link.timers.last_active
    }

    /// Everything of ours that is open, when the connection is gone, in the order it was taken: the
    /// token, whether it may have run, and its route. What was cancelled isn't among it.
    pub fn end(&mut self) -> Vec<(T, bool, RouteNo)> {
        self.link.end();
        self.queues = Queues::default();
        self.inbound.assembly = None;
        self.inbound.cut();
        self.outbound
            .drain(self.link.peer_received)
            .into_iter()
            .map(|ended| (ended.token, ended.may_have_run, ended.route))
            .collect()
    }

    /// Whether our close frame has left and the peer's has come: there is nothing more to say.
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// How many messages of ours have not ended, those included that wait to leave.
    pub fn open(&self) -> usize {
        self.outbound.len()
    }

    /// How many messages of the peer are owed an end.
    pub fn owed(&self) -> usize {
        self.inbound.unended
    }

    /// How many messages of ours have not ended, without those that were cancelled. Looks at each.
    pub fn awaited_here(&self) -> usize {
        self.outbound.awaited()
    }

    /// How many messages of the peer are owed an end that it didn't cancel. Looks at each.
    pub fn awaited_there(&self) -> usize {
        let owed = self.inbound.owed.values();
        owed.filter(|owed| !owed.ended && !owed.cancelled).count()
    }

    /// Whether that message of the peer has not ended yet.
    pub fn owes(&self, id: u64) -> bool {
        self.inbound.owed.get(id).is_some_and(|owed| !owed.ended)
    }

    /// The routes that we send on. A message counts as sent when it leaves.
    pub fn outbound_routes(&self) -> impl Iterator<Item = (RouteNo, &Route, RouteCounters)> {
        let routes = (0..).zip(&self.outbound.routes.list);
        routes.map(|(index, route)| {
            let generation = route.generation;
            (RouteNo { index, generation }, &route.info, route.counters)
        })
    }

    /// The routes that the peer sends on.
    pub fn inbound_routes(&self) -> impl Iterator<Item = (RouteNo, &Route, RouteCounters)> {
        self.inbound
            .routes()
            .map(|(number, route)| (number, &route.info, route.counters))
    }
}
