//! The one task of a connection: it reads and writes the socket and hands out what came.
//!
//! It stops reading for its budget only, never for a component: what a component doesn't take yet
//! is bounded by credit. What waits to be sent waits in the session, where urgent messages pass,
//! and becomes bytes when the socket takes some.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use parking_lot::Mutex;
use tokio::time::Sleep;
use wire::{
    code::{CloseReason, Code, Failure},
    limits::Limits,
    output::Output,
    session::Event,
};

use super::{
    Ended, Host, Inbound, InboundRoute, Link, Responder,
    lane::Socket,
    pipe::{self, End, Pipe},
    renew,
    table::Links,
};
use crate::ticket::Ticket;

/// Events and bytes of one poll, before others on the thread have their turn.
const EVENTS: usize = 64;
const BYTES: usize = 256 * 1024;
/// A timer that is as late as this says that the thread stood still.
const LATE: Duration = Duration::from_millis(250);
/// What has waited in the socket meanwhile begins to be read within this, since the runtime may see to
/// its timers before it looks at sockets, and has been read within four times as long.
const CATCH_UP: Duration = Duration::from_millis(250);
/// The read buffer grows to this.
const READ_MAX: usize = 256 * 1024;
/// What a peer may name as time left, at most; clocks overflow somewhere.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Somebody else ended it, with a reason of theirs; this one is never shown.
const REPLACED: &str = "the connection has ended";

pub(super) struct Driver {
    link: Arc<Link>,
    links: Weak<Links>,
    host: Weak<dyn Host>,
    pipe: Pipe,
    /// The handshake read beyond its end.
    unread: bool,
    received: Vec<Event<Ticket>>,
    events: VecDeque<Event<Ticket>>,
    routes: Vec<Option<Arc<InboundRoute>>>,
    /// When this turn began: the clock is read once for all that it does.
    now: Instant,
    /// When what is in `events` came.
    received_at: Instant,
    stood_still: Option<StoodStill>,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer knows our waker since it was last set.
    timer_armed: bool,
    ping_every: Duration,
    dead_after: Duration,
    idle_after: Duration,
    /// The other side closed: what is left to write is written, then it ends.
    closed: Option<End>,
}

/// This thread did nothing for a while, in which messages may have come.
#[derive(Clone, Copy)]
struct StoodStill {
    time: Duration,
    until: Instant,
    /// What has come meanwhile is being read.
    is_read: bool,
}

impl Driver {
    pub(super) fn new(
        link: Arc<Link>,
        links: Weak<Links>,
        host: Weak<dyn Host>,
        socket: Socket,
        limits: &Limits,
    ) -> Self {
        let now = Instant::now();
        let timer = Box::pin(tokio::time::sleep(limits.ping_every));
        Self {
            link,
            links,
            host,
            unread: !socket.input.is_empty(),
            pipe: Pipe::new(socket, READ_MAX),
            received: Vec::new(),
            events: VecDeque::new(),
            routes: Vec::new(),
            now,
            received_at: now,
            stood_still: None,
            timer,
            timer_armed: false,
            ping_every: limits.ping_every,
            dead_after: limits.dead_after,
            idle_after: limits.idle_after,
            closed: None,
        }
    }

    /// One turn: read, hand out, mind the time, write. `Ok(true)`: there is more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.link.is_open() && self.link.lock().session.is_none() {
            // What was read from it but not handed out yet never runs.
            return Err(End::cut(REPLACED));
        }
        self.now = Instant::now();
        self.mind_standstill();
        let more_in = self.take_in(cx)?;
        self.mind_time(cx)?;
        let more_out = self.put_out(cx)?;
        Ok(more_in || more_out)
    }

    fn take_in(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let (mut events, mut bytes) = (EVENTS, BYTES);
        if std::mem::take(&mut self.unread) {
            self.receive()?;
        }
        loop {
            while let Some(event) = self.events.pop_front() {
                self.dispatch(event);
                events -= 1;
                if events == 0 {
                    return Ok(true);
                }
            }
            if self.closed.is_some() {
                return Ok(false);
            }
            if bytes == 0 {
                return Ok(true);
            }
            match self.pipe.read(cx) {
                Poll::Pending => {
                    self.stood_still.take_if(|still| still.is_read);
                    return Ok(false);
                }
                Poll::Ready(count) => bytes = bytes.saturating_sub(count?),
            }
            self.receive()?;
        }
    }

    /// A message's time goes by while this thread stands still, too: when it goes on, what is read
    /// first counts as having come when the timer should have fired. So nothing is run that its
    /// sender gave up long ago.
    fn mind_standstill(&mut self) {
        let due = self.timer.deadline().into_std();
        let time = self.now.saturating_duration_since(due);
        if time >= LATE {
            self.stood_still = Some(StoodStill {
                time,
                until: self.now + CATCH_UP,
                is_read: false,
            });
        }
        self.stood_still.take_if(|still| self.now >= still.until);
    }

    fn receive(&mut self) -> Result<(), End> {
        let now = self.now;
        self.received_at = now;
        if let Some(still) = &mut self.stood_still {
            self.received_at = now.checked_sub(still.time).unwrap_or(now);
            if !std::mem::replace(&mut still.is_read, true) {
                still.until = now + 4 * CATCH_UP;
            }
        }
        let mut state = self.link.lock();
        let Some(session) = &mut state.session else {
            return Err(End::cut(REPLACED));
        };
        let before = self.pipe.input.len();
        let result = session.receive(now, &mut self.pipe.input, &mut self.received);
        let mut wakers = Vec::new();
        if !state.waiting.is_empty() {
            for event in &self.received {
                match event {
                    Event::Credit { window } => state.waiting.credit(*window),
                    Event::Replied { .. } | Event::Delivered { .. } | Event::Failed { .. } => {
                        state.waiting.ended();
                    }
                    _ => {}
                }
            }
            wakers = state.serve(now);
        }
        if result.is_err() {
            // A last word, if the session has one: what was broken.
            session_last_word(&mut state, now, &mut self.pipe.output);
        }
        drop(state);
        self.pipe.received(before, now);
        if let Some(Event::Closed { .. }) = self.received.last() {
            // Who wants to send from now on is to get a new connection.
            self.link.no_longer_open();
        }
        let drained = self
            .received
            .iter()
            .any(|event| matches!(event, Event::Drained));
        if drained && let Some(links) = self.links.upgrade() {
            // At once: who wants to send from now on waits for the new connection.
            links.retire(&self.link);
        }
        wakers.into_iter().for_each(Waker::wake);
        self.events.extend(self.received.drain(..));
        result.map_err(|error| End::cut(error.to_string()))
    }

    fn dispatch(&mut self, event: Event<Ticket>) {
        match event {
            Event::Request {
                id,
                route,
                kind,
                time_left,
                path,
                payload,
            } => {
                let responder = Responder::new(Arc::clone(&self.link), id, kind);
                let Some(route) = self.routes.get(route.index()).cloned().flatten() else {
                    // The session vouches that it was declared.
                    return responder
                        .fail(Failure::refused(Code::NoHandler, "its route is not known"));
                };
                let Some(host) = self.host.upgrade() else {
                    return responder.fail(Failure::refused(Code::Stopped, "the node has stopped"));
                };
                let deadline = self.received_at + time_left.min(FOREVER);
                let inbound = Inbound {
                    route,
                    kind,
                    deadline,
                    path,
                    payload,
                    responder,
                };
                host.request(&self.link, inbound);
            }
            Event::Routed { route, info } => {
                let index = route.index();
                if self.routes.len() <= index {
                    // Route numbers are dense, and bounded by the session.
                    self.routes.resize_with(index + 1, || None);
                }
                self.routes[index] = Some(Arc::new(InboundRoute {
                    info,
                    resolved: Mutex::new(None),
                    denied: Mutex::new(None),
                }));
            }
            Event::Cancelled { id } => {
                // Whoever runs or queues the message asks its responder.
                self.link.cancelled(id);
            }
            Event::Drained => {
                // All that came before it was handed out.
                self.link.hand_over();
                if let Some(links) = self.links.upgrade() {
                    links.changed.notify_waiters();
                }
            }
            Event::Closed { reason, detail } => {
                self.closed = Some(pipe::closed(reason, &detail));
            }
            event => end_ticket(event),
        }
    }

    /// Timers. The timer is set late rather than often: traffic only ever moves the session's
    /// time-out away, which is noticed when the timer fires.
    fn mind_time(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let due = self.timer.deadline().into_std();
        let now = self.now;
        if now < due {
            if !self.timer_armed {
                self.timer_armed = self.timer.as_mut().poll(cx).is_pending();
                if !self.timer_armed {
                    cx.waker().wake_by_ref();
                }
            }
            return Ok(());
        }
        let mut state = self.link.lock();
        let idle_after = (!self.link.is_kept()).then_some(self.idle_after);
        let closing = state.closing;
        let waiting = !state.waiting.is_empty();
        let over = state.retired.map(|since| since + renew::TIME);
        let Some(session) = &mut state.session else {
            return Err(End::cut(REPLACED));
        };
        session.handle_timeout(now).map_err(|error| {
            self.pipe.abort();
            End::cut(error.to_string())
        })?;
        if closing.is_some_and(|since| now.duration_since(since) >= self.dead_after) {
            return Err(End::cut("the other side did not answer the close"));
        }
        if self.pipe.is_stuck(now, self.dead_after) {
            return Err(End::cut(pipe::STUCK));
        }
        let idle =
            idle_after.is_some_and(|after| now.duration_since(session.last_active()) >= after);
        let nothing_open = !waiting && session.open() == 0 && session.owed() == 0;
        // A ping that waits has no time-out; when it has left, the next one does.
        let next = session.poll_timeout().min(now + self.ping_every);
        let next = over
            .filter(|over| *over > now)
            .map_or(next, |over| next.min(over));
        // A time-out in the past would spin.
        let next = next.max(now + Duration::from_millis(5));
        drop(state);
        if idle && nothing_open && closing.is_none() && !self.is_needed() {
            self.link.close(CloseReason::Idle);
        }
        if over.is_some_and(|over| now >= over) {
            self.link.close(CloseReason::Replaced);
        }
        self.pipe.rest();
        self.timer.as_mut().reset(next.into());
        self.timer_armed = self.timer.as_mut().poll(cx).is_pending();
        if !self.timer_armed {
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    fn is_needed(&self) -> bool {
        self.host
            .upgrade()
            .is_some_and(|host| host.is_needed(&self.link))
    }

    /// Writes while the socket takes it. `Ok(true)`: it would take more.
    fn put_out(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut bytes = 2 * BYTES;
        loop {
            if self.pipe.write(cx)?.is_pending() {
                // No bytes are made before the socket has taken these; only an end may wake us.
                self.link.lock().waker = Some(cx.waker().clone());
                return Ok(false);
            }
            if bytes == 0 {
                return Ok(true);
            }
            let mut state = self.link.lock();
            let Some(session) = &mut state.session else {
                return Err(End::cut(REPLACED));
            };
            if !session.poll_transmit(self.now, &mut self.pipe.output) {
                if let Some(end) = self.closed.take() {
                    return Err(end);
                }
                if state.close_if_drained() {
                    self.link.no_longer_open();
                    continue;
                }
                // Under the same lock: who adds something from now on finds the waker.
                state.waker = Some(cx.waker().clone());
                return Ok(false);
            }
            bytes = bytes.saturating_sub(self.pipe.output.len());
        }
    }

    fn finish(&mut self, end: &End) {
        // Outcomes that came before the end count; requests that came are never run.
        self.events.drain(..).for_each(end_ticket);
        if let Some(links) = self.links.upgrade() {
            links.ended(&self.link, &end.why);
        } else if let Some(remains) = self.link.end(&end.why) {
            remains.end();
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        match this.turn(cx) {
            Ok(true) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(false) => Poll::Pending,
            Err(end) => {
                // The last word is tried once; nobody waits for it.
                let _ = this.pipe.write(cx);
                this.finish(&end);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Does nothing after `finish`; otherwise the task was aborted, or a host panicked.
        self.finish(&End::cut("this node has ended its connections"));
    }
}

/// Hands an outcome to whom it belongs; drops what is none.
fn end_ticket(event: Event<Ticket>) {
    match event {
        Event::Replied { token, payload } => token.end(Ended::Reply(payload)),
        Event::Delivered { token } => token.end(Ended::Delivered),
        Event::Failed { token, failure } => token.end(Ended::Failed(failure)),
        _ => {}
    }
}

fn session_last_word(state: &mut super::connection::State, now: Instant, output: &mut Output) {
    if let Some(session) = &mut state.session {
        session.poll_transmit(now, output);
    }
}
