//! One established connection, as everybody but its driver sees it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::Waker,
    time::Instant,
};

use botzilla_wire as wire;
use parking_lot::{Mutex, MutexGuard};
use wire::{
    code::CloseReason,
    handshake::{Established, Mode},
    ident::{ConnectionId, NodeId},
    limits::Limits,
    session::Session,
};

use super::{
    Counters, NotSent, Outgoing, Sending,
    cancels::Cancels,
    waiting::{Taken, Waiting},
};
use crate::ticket::Ticket;

const UNKNOWN: u8 = 0;
const LOOKING: u8 = 1;
const DIALABLE: u8 = 2;
const NOT_DIALABLE: u8 = 3;

/// One established connection to another node. Any thread may use it; nothing here blocks but for
/// the moment that a message takes to be encoded.
pub(crate) struct Link {
    id: ConnectionId,
    peer: NodeId,
    peer_address: SocketAddr,
    dialled: bool,
    mode: Mode,
    key_id: Arc<str>,
    open: AtomicBool,
    kept: AtomicBool,
    /// Whether this side could dial the other, of a connection that the other dialled.
    dialable: AtomicU8,
    handed_over: AtomicBool,
    pub(super) cancels: Cancels,
    state: Mutex<State>,
}

/// What the lock guards.
pub(super) struct State {
    /// None once the connection has ended.
    pub(super) session: Option<Session<Ticket>>,
    pub(super) waiting: Waiting,
    /// The driver's, if it sleeps: who adds something to send takes it and wakes.
    pub(super) waker: Option<Waker>,
    /// Whether to close as soon as nothing is open in either direction.
    draining: bool,
    /// When [`Link::retire`] was called.
    pub(super) retired: Option<Instant>,
    /// When [`Link::close`] was called.
    pub(super) closing: Option<Instant>,
    last_heard: Instant,
    why: Option<Arc<str>>,
    counters: Counters,
}

/// What was open on a connection when it ended.
pub(crate) struct Remains {
    tickets: Vec<(Ticket, bool)>,
    wakers: Vec<Waker>,
    why: Arc<str>,
    owed: usize,
    counters: Counters,
}

impl Remains {
    /// How many of our messages were cut.
    pub(super) fn open(&self) -> usize {
        self.tickets.len()
    }

    /// How many of the other side's messages were cut.
    pub(super) fn owed(&self) -> usize {
        self.owed
    }

    /// Tells everybody who waited. Not under a lock: they may do anything.
    pub(super) fn end(self) -> Counters {
        for (ticket, may_have_run) in self.tickets {
            ticket.end(super::Ended::Disconnected {
                may_have_run,
                why: Arc::clone(&self.why),
            });
        }
        self.wakers.into_iter().for_each(Waker::wake);
        self.counters
    }
}

impl Link {
    pub(super) fn new(
        established: Established,
        limits: &Limits,
        peer_address: SocketAddr,
        kept: bool,
        now: Instant,
    ) -> Self {
        Self {
            id: established.connection,
            peer: established.peer,
            peer_address,
            dialled: established.dialled,
            mode: established.mode,
            key_id: established.key_id.as_str().into(),
            open: AtomicBool::new(true),
            kept: AtomicBool::new(kept),
            dialable: AtomicU8::new(UNKNOWN),
            handed_over: AtomicBool::new(false),
            cancels: Cancels::default(),
            state: Mutex::new(State {
                session: Some(Session::new(established, limits, now)),
                waiting: Waiting::default(),
                waker: None,
                draining: false,
                retired: None,
                closing: None,
                last_heard: now,
                why: None,
                counters: Counters::default(),
            }),
        }
    }

    /// The connection's id, the same on both ends.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// The node on the other side.
    pub(crate) fn peer(&self) -> NodeId {
        self.peer
    }

    /// Where the other side's socket is. If it dialled, the port is of no use to anybody else.
    pub(crate) fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// Whether this side dialled.
    pub(crate) fn dialled(&self) -> bool {
        self.dialled
    }

    /// The id of the secret that both sides have proven to hold.
    pub(crate) fn key_id(&self) -> &Arc<str> {
        &self.key_id
    }

    /// Whether this side could dial the other; None before anybody has looked.
    pub(crate) fn is_dialable(&self) -> Option<bool> {
        match self.dialable.load(Ordering::Relaxed) {
            DIALABLE => Some(true),
            NOT_DIALABLE => Some(false),
            _ => None,
        }
    }

    /// Somebody looks whether this side could dial the other. False: another does already.
    pub(crate) fn look_whether_dialable(&self) -> bool {
        let look = |is| {
            self.dialable
                .compare_exchange(is, LOOKING, Ordering::Relaxed, Ordering::Relaxed)
        };
        look(UNKNOWN).is_ok()
    }

    pub(crate) fn set_dialable(&self, is: bool) {
        let found = if is { DIALABLE } else { NOT_DIALABLE };
        self.dialable.store(found, Ordering::Relaxed);
    }

    /// How its records are protected.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether it still takes messages.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// When the last byte came from the other side.
    pub(crate) fn last_heard(&self) -> Instant {
        let state = self.state.lock();
        state
            .session
            .as_ref()
            .map_or(state.last_heard, Session::last_received)
    }

    /// How many of our messages have not ended yet.
    pub(crate) fn open(&self) -> usize {
        self.state.lock().session.as_ref().map_or(0, Session::open)
    }

    /// How many of the other side's messages have not ended yet.
    pub(crate) fn owed(&self) -> usize {
        self.state.lock().session.as_ref().map_or(0, Session::owed)
    }

    /// What has gone over it until now.
    pub(crate) fn counters(&self) -> Counters {
        let state = self.state.lock();
        state
            .session
            .as_ref()
            .map_or_else(|| state.counters.clone(), count)
    }

    /// Sends at once or gives the ticket back. Never overtakes who waits for the same window.
    pub(crate) fn try_send(
        &self,
        out: &Outgoing,
        ticket: Ticket,
    ) -> Result<u64, (Ticket, NotSent)> {
        let mut state = self.state.lock();
        let taken = state.try_send(out, ticket);
        self.unlock_and_wake(state, taken.is_ok());
        taken
    }

    /// Sends when there is credit, after those who already wait for the same window.
    ///
    /// Takes its place in order at the first poll; costs no allocation if it needs not wait. It ends
    /// with [`NotSent::NoCredit`] if it came to its turn after its deadline, but has no timer of its
    /// own.
    pub(crate) fn send(self: &Arc<Self>, out: Outgoing, ticket: Ticket) -> Sending {
        Sending::new(Arc::clone(self), out, ticket)
    }

    pub(super) fn send_or_wait(
        &self,
        out: Outgoing,
        ticket: Ticket,
        waker: &Waker,
    ) -> Result<Taken, u64> {
        let mut state = self.state.lock();
        let (ticket, not_sent) = match state.try_send(&out, ticket) {
            Ok(id) => {
                self.unlock_and_wake(state, true);
                return Ok(Ok(id));
            }
            Err(back) => back,
        };
        let State {
            session, waiting, ..
        } = &mut *state;
        let (NotSent::NoCredit, Some(session)) = (&not_sent, session) else {
            return Ok(Err((ticket, not_sent)));
        };
        let place = waiting.join(session, out, ticket, waker.clone());
        self.serve_and_unlock(state);
        Err(place)
    }

    pub(super) fn poll_waiting(&self, place: u64, waker: &Waker) -> Option<Taken> {
        self.state.lock().waiting.poll(place, waker)
    }

    /// The sender is gone: it leaves the queue, or what was sent for it meanwhile is cancelled.
    pub(super) fn leave_waiting(&self, place: u64) {
        let mut state = self.state.lock();
        let left = state.waiting.leave(place);
        let cancelled = match &left {
            Some(Ok(id)) => state
                .session
                .as_mut()
                .and_then(|session| session.cancel(*id)),
            Some(Err(_)) | None => None,
        };
        if cancelled.is_some() {
            state.waiting.withdrawn();
        }
        // It may have been the one that all others waited behind.
        self.serve_and_unlock(state);
        // Dropped out here, for a ticket may do anything when it is dropped.
        drop((left, cancelled));
    }

    /// Nobody waits for the outcome of `id` any longer. With the ticket, it certainly did not run;
    /// without, its ticket ends when the other side has said how it ended.
    pub(crate) fn cancel(&self, id: u64) -> Option<Ticket> {
        let mut state = self.state.lock();
        let ticket = state.session.as_mut()?.cancel(id);
        if ticket.is_some() {
            state.waiting.withdrawn();
        }
        self.serve_and_unlock(state);
        ticket
    }

    /// Ends the connection, cleanly, after what waits to be written. No message is taken any more.
    pub(crate) fn close(&self, why: CloseReason) {
        let mut state = self.state.lock();
        self.no_longer_open();
        if state.closing.is_none()
            && let Some(session) = &mut state.session
        {
            session.close(why);
            state.closing = Some(Instant::now());
            let mut wakers = Vec::new();
            state
                .waiting
                .fail(&"the connection was closed".into(), &mut wakers);
            self.unlock_and_wake(state, true);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Closes it for good as soon as nothing is open in either direction.
    pub(super) fn drain(&self) {
        let mut state = self.state.lock();
        state.draining = true;
        self.unlock_and_wake(state, true);
    }

    /// Takes no messages any more, and closes once both sides know that of each other and nothing is
    /// open: another connection takes its place. Who waits for credit goes there.
    pub(super) fn retire(&self) {
        let mut state = self.state.lock();
        self.no_longer_open();
        let State {
            session, retired, ..
        } = &mut *state;
        let (Some(session), None) = (session, &retired) else {
            return;
        };
        session.drain();
        *retired = Some(Instant::now());
        let mut wakers = Vec::new();
        let why = "another connection takes its place".into();
        state.waiting.fail(&why, &mut wakers);
        self.unlock_and_wake(state, true);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// All that the other side has sent has been handed out.
    pub(super) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
    }

    /// Ends or refuses a message of the other side.
    pub(super) fn answer(&self, answer: impl FnOnce(&mut Session<Ticket>)) {
        let mut state = self.state.lock();
        if let Some(session) = &mut state.session {
            answer(session);
            self.unlock_and_wake(state, true);
        }
    }

    /// The other side no longer waits for its message.
    pub(super) fn cancelled(&self, id: u64) {
        let state = self.state.lock();
        // It may have ended since this was read.
        let owed = state
            .session
            .as_ref()
            .is_some_and(|session| session.owes(id));
        let waker = if owed {
            self.cancels.cancelled(id)
        } else {
            None
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn no_longer_open(&self) {
        self.open.store(false, Ordering::Release);
    }

    pub(super) fn keep(&self, keep: bool) {
        self.kept.store(keep, Ordering::Relaxed);
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Ends the connection as far as everybody but the driver is concerned. None if it had ended.
    pub(super) fn end(&self, why: &str) -> Option<Remains> {
        let mut state = self.state.lock();
        let mut session = state.session.take()?;
        self.open.store(false, Ordering::Release);
        let mut wakers = self.cancels.end();
        let why: Arc<str> = why.into();
        state.why = Some(Arc::clone(&why));
        state.last_heard = session.last_received();
        wakers.extend(state.waker.take());
        state.waiting.fail(&why, &mut wakers);
        let owed = session.awaited_there();
        let tickets = session
            .end()
            .into_iter()
            .map(|(ticket, may_have_run, _)| (ticket, may_have_run))
            .collect();
        state.counters = count(&session);
        Some(Remains {
            tickets,
            wakers,
            why,
            owed,
            counters: state.counters.clone(),
        })
    }

    fn serve_and_unlock(&self, mut state: MutexGuard<'_, State>) {
        let wakers = if state.waiting.is_empty() {
            Vec::new()
        } else {
            state.serve(Instant::now())
        };
        self.unlock_and_wake(state, true);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes the driver if it sleeps and there is something to send. Wakers run outside the lock.
    fn unlock_and_wake(&self, mut state: MutexGuard<'_, State>, changed: bool) {
        let waker = if changed { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    /// Whether it began to close just now.
    pub(super) fn close_if_drained(&mut self) -> bool {
        let is_retired = self.retired.is_some();
        if !(self.draining || is_retired) || self.closing.is_some() || !self.waiting.is_empty() {
            return false;
        }
        let draining = self.draining;
        match &mut self.session {
            Some(session) if !draining && !session.is_drained() => false,
            // What was cancelled may run for long, and nobody waits for it.
            Some(session) if session.awaited_here() == 0 && session.owed() == 0 => {
                session.close(if draining {
                    CloseReason::Stopping
                } else {
                    CloseReason::Replaced
                });
                self.closing = Some(Instant::now());
                true
            }
            _ => false,
        }
    }

    fn try_send(&mut self, out: &Outgoing, ticket: Ticket) -> Taken {
        let Some(session) = &mut self.session else {
            let why = self
                .why
                .clone()
                .unwrap_or_else(|| "the connection has ended".into());
            return Err((ticket, NotSent::Closed { why }));
        };
        self.waiting.try_now(session, out, ticket)
    }

    /// Sends for those who wait, as far as credit goes. Returns whom to wake, outside the lock.
    pub(super) fn serve(&mut self, now: Instant) -> Vec<Waker> {
        let mut wakers = Vec::new();
        if let Some(session) = &mut self.session
            && !self.waiting.is_empty()
        {
            self.waiting.serve(session, now, &mut wakers);
        }
        wakers
    }
}

fn count(session: &Session<Ticket>) -> Counters {
    Counters {
        outbound: session
            .outbound_routes()
            .map(|(_, route, counted)| (route.clone(), counted))
            .collect(),
        inbound: session
            .inbound_routes()
            .map(|(_, route, counted)| (route.clone(), counted))
            .collect(),
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .field("peer_address", &self.peer_address)
            .field("dialled", &self.dialled)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}
