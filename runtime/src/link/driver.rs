//! The one task of a connection: it reads and writes the socket and hands out what came.
//!
//! It stops reading for its budget only, never for a component: what a component doesn't take yet
//! is bounded by credit. What waits to be sent waits in the session, where urgent messages pass,
//! and becomes bytes when the socket takes some.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Sleep,
};
use wire::{
    code::{CloseReason, Code, Failure},
    limits::Limits,
    output::Output,
    session::Event,
};

use super::{Ended, Host, Inbound, InboundRoute, Link, Responder, table::Links};
use crate::ticket::Ticket;

/// Events and bytes of one poll, before others on the thread have their turn.
const EVENTS: usize = 64;
const BYTES: usize = 256 * 1024;
/// The read buffer grows and shrinks between these.
const READ_MIN: usize = 4 * 1024;
const READ_MAX: usize = 256 * 1024;
/// Bytes a second of a record that is under way, at the least; pings alone are fewer.
const STUCK_RATE: f64 = 256.0;
/// What a peer may name as time left, at most; clocks overflow somewhere.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Somebody else ended it, with a reason of theirs; this one is never shown.
const REPLACED: &str = "the connection has ended";

/// How a connection ended.
pub(super) struct End {
    why: String,
}

impl End {
    fn cut(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }
}

pub(super) struct Driver {
    link: Arc<Link>,
    links: Weak<Links>,
    host: Weak<dyn Host>,
    stream: TcpStream,
    /// The handshake's last message, before all else.
    first: Bytes,
    input: BytesMut,
    /// The handshake read beyond its end.
    unread: bool,
    read_size: usize,
    /// Reads since the buffer was last used well.
    small_reads: u8,
    output: Output,
    received: Vec<Event<Ticket>>,
    events: VecDeque<Event<Ticket>>,
    routes: Vec<Option<Arc<InboundRoute>>>,
    /// When this turn began: the clock is read once for all that it does.
    now: Instant,
    /// When what is in `events` came.
    received_at: Instant,
    /// Since when the input has been the same part of a record, and how much of it there was.
    partial: Option<(Instant, usize)>,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer knows our waker since it was last set.
    timer_armed: bool,
    ping_every: Duration,
    dead_after: Duration,
    idle_after: Duration,
    /// The other side closed: what is left to write is written, then it ends.
    closed: Option<End>,
}

impl Driver {
    pub(super) fn new(
        link: Arc<Link>,
        links: Weak<Links>,
        host: Weak<dyn Host>,
        stream: TcpStream,
        limits: &Limits,
        first: Bytes,
        input: BytesMut,
    ) -> Self {
        let now = Instant::now();
        let timer = Box::pin(tokio::time::sleep(limits.ping_every));
        Self {
            link,
            links,
            host,
            stream,
            first,
            unread: !input.is_empty(),
            input,
            read_size: READ_MIN,
            small_reads: 0,
            output: Output::new(),
            received: Vec::new(),
            events: VecDeque::new(),
            routes: Vec::new(),
            now,
            received_at: now,
            partial: None,
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
            match self.read(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(0)) => {
                    return Err(End::cut(
                        "the other side ended the connection without closing it",
                    ));
                }
                Poll::Ready(Ok(count)) => bytes = bytes.saturating_sub(count),
                Poll::Ready(Err(error)) => {
                    return Err(End::cut(format!("reading failed: {error}")));
                }
            }
            self.receive()?;
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(self.read_size);
        let room = self.input.capacity() - self.input.len();
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        if let Poll::Ready(Ok(count)) = read {
            if count >= room {
                self.read_size = (self.read_size * 2).min(READ_MAX);
                self.small_reads = 0;
            } else if count < self.read_size / 4 && self.read_size > READ_MIN {
                self.small_reads += 1;
                if self.small_reads >= 32 {
                    self.read_size /= 2;
                    self.small_reads = 0;
                }
            } else {
                self.small_reads = 0;
            }
        }
        read
    }

    fn receive(&mut self) -> Result<(), End> {
        let now = self.now;
        self.received_at = now;
        let mut state = self.link.lock();
        let Some(session) = &mut state.session else {
            return Err(End::cut(REPLACED));
        };
        let before = self.input.len();
        let result = session.receive(now, &mut self.input, &mut self.received);
        let after = self.input.len();
        if after == 0 {
            self.partial = None;
        } else if after < before || self.partial.is_none() {
            self.partial = Some((now, after));
        }
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
            session_last_word(&mut state, now, &mut self.output);
        }
        drop(state);
        if let Some(Event::Closed { .. }) = self.received.last() {
            // Who wants to send from now on is to get a new connection.
            self.link.no_longer_open();
        }
        wakers.into_iter().for_each(Waker::wake);
        self.events.extend(self.received.drain(..));
        if self.input.is_empty() && self.input.capacity() > 2 * self.read_size {
            self.input = BytesMut::new();
        }
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
                let resolved = Mutex::new(None);
                self.routes[index] = Some(Arc::new(InboundRoute { info, resolved }));
            }
            Event::Cancelled { id } => {
                // Whoever runs or queues the message asks its responder.
                self.link.cancelled(id);
            }
            Event::Closed { reason, detail } => {
                let mut why = match reason {
                    CloseReason::Answer => "this side closed the connection".to_owned(),
                    reason => format!("the other side closed the connection: {reason}"),
                };
                if !detail.is_empty() {
                    why = format!("{why} ({detail})");
                }
                self.closed = Some(End { why });
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
        let Some(session) = &mut state.session else {
            return Err(End::cut(REPLACED));
        };
        session
            .handle_timeout(now)
            .map_err(|error| End::cut(error.to_string()))?;
        if closing.is_some_and(|since| now.duration_since(since) >= self.dead_after) {
            return Err(End::cut("the other side did not answer the close"));
        }
        if self.is_stuck(now) {
            return Err(End::cut(
                "a record does not become complete: its length was altered on its way",
            ));
        }
        let idle =
            idle_after.is_some_and(|after| now.duration_since(session.last_active()) >= after);
        let nothing_open = !waiting && session.open() == 0 && session.owed() == 0;
        // A ping that waits has no time-out; when it has left, the next one does.
        let next = session.poll_timeout().min(now + self.ping_every);
        // A time-out in the past would spin.
        let next = next.max(now + Duration::from_millis(5));
        drop(state);
        if idle && nothing_open && closing.is_none() && !self.is_needed() {
            self.link.close(CloseReason::Idle);
        }
        if self.input.is_empty() {
            // An idle connection holds no memory to speak of.
            self.input = BytesMut::new();
            self.read_size = READ_MIN;
        }
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

    /// Whether a record stays incomplete while next to nothing comes. A length that was altered to a
    /// larger one would otherwise swallow pings for half an hour before its tag is found wrong.
    fn is_stuck(&self, now: Instant) -> bool {
        self.partial.is_some_and(|(since, had)| {
            let time = now.duration_since(since);
            let came = self.input.len().saturating_sub(had);
            time >= 2 * self.dead_after && (came as f64) < STUCK_RATE * time.as_secs_f64()
        })
    }

    /// Writes while the socket takes it. `Ok(true)`: it would take more.
    fn put_out(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut bytes = 2 * BYTES;
        loop {
            if self.write(cx)?.is_pending() {
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
            if !session.poll_transmit(self.now, &mut self.output) {
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
            bytes = bytes.saturating_sub(self.output.len());
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        loop {
            let written = if self.first.has_remaining() {
                pin!(self.stream.write_buf(&mut self.first)).poll(cx)
            } else if self.output.has_remaining() {
                pin!(self.stream.write_buf(&mut self.output)).poll(cx)
            } else {
                return Ok(Poll::Ready(()));
            };
            match written {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) => return Err(End::cut("the socket takes no more")),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return Err(End::cut(format!("writing failed: {error}")));
                }
            }
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
                let _ = this.write(cx);
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
