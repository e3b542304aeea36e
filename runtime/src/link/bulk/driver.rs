//! The one task of a bulk connection: it carries out orders, reads and writes the socket, and hands
//! items over.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use rustc_hash::FxHashMap;
use tokio::time::Sleep;
use wire::{
    code::CloseReason,
    limits::Limits,
    stream::{self, Event, Outgoing, StreamSession, SubscriberId, SubscriptionId},
};

use super::{
    super::{
        lane::{Connection, Socket},
        pipe::{self, End, Pipe},
        renew,
    },
    BulkLink, BulkLinks, FeedRef, Order,
};
use crate::stream::{After, Arrival, Body, Ended, Hub, RemotePort};

/// Bytes of one poll in each direction, before other connections have their turn.
const BYTES: usize = 2 * 1024 * 1024;
/// The read buffer grows to this: some records at a time.
const READ_MAX: usize = 512 * 1024;

pub(super) struct Driver {
    link: Arc<BulkLink>,
    links: Weak<BulkLinks>,
    hub: Weak<Hub>,
    session: StreamSession,
    pipe: Pipe,
    /// The handshake read beyond its end.
    unread: bool,
    events: Vec<Event>,
    /// Our subscriptions, and their numbers by that of their feed.
    feeds: FxHashMap<SubscriptionId, Subscribed>,
    numbers: FxHashMap<u64, SubscriptionId>,
    /// The peer's.
    ports: FxHashMap<SubscriberId, Port>,
    /// Those that have something in the session, as far as was looked.
    busy: Vec<SubscriberId>,
    now: Instant,
    timer: Pin<Box<Sleep>>,
    ping_every: Duration,
    dead_after: Duration,
    idle_after: Duration,
    is_draining: bool,
    /// When another connection began to take this one's place.
    retired: Option<Instant>,
    /// When we began to close.
    closing: Option<Instant>,
    /// The other side closed: what is left to write is written, then it ends.
    closed: Option<End>,
}

struct Subscribed {
    feed: FeedRef,
    encoding: wire::Encoding,
}

struct Port {
    port: Arc<RemotePort>,
    /// What the session didn't take; nothing, as a rule.
    rest: VecDeque<Outgoing>,
    /// It ends once the session has taken the rest.
    end: Option<stream::End>,
    is_busy: bool,
}

impl Driver {
    pub(super) fn new(
        link: Arc<BulkLink>,
        links: Weak<BulkLinks>,
        hub: Weak<Hub>,
        session: StreamSession,
        socket: Socket,
        limits: &Limits,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep(limits.ping_every));
        Self {
            link,
            links,
            hub,
            session,
            unread: !socket.input.is_empty(),
            pipe: Pipe::new(socket, READ_MAX),
            events: Vec::new(),
            feeds: FxHashMap::default(),
            numbers: FxHashMap::default(),
            ports: FxHashMap::default(),
            busy: Vec::new(),
            now: Instant::now(),
            timer,
            ping_every: limits.ping_every,
            dead_after: limits.dead_after,
            idle_after: limits.idle_after,
            is_draining: false,
            retired: None,
            closing: None,
            closed: None,
        }
    }

    /// One turn. `Ok(true)`: there is more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>, after: &mut After) -> Result<bool, End> {
        self.now = Instant::now();
        self.take_orders(after)?;
        let more_in = self.take_in(cx)?;
        self.mind_time(cx)?;
        let more_out = self.put_out(cx, after)?;
        Ok(more_in || more_out)
    }

    // ---- orders ---------------------------------------------------------------------------------

    fn take_orders(&mut self, after: &mut After) -> Result<(), End> {
        let (list, close, is_retired) = {
            let mut orders = self.link.orders.lock();
            if orders.has_ended {
                return Err(End::cut("the connection has ended"));
            }
            self.is_draining |= orders.is_draining;
            let list = std::mem::take(&mut orders.list);
            (list, orders.close.take(), orders.is_retired)
        };
        for order in list {
            self.carry_out(order, after);
        }
        if is_retired {
            self.retire();
        }
        if let Some(why) = close {
            self.close(why);
        }
        Ok(())
    }

    fn carry_out(&mut self, order: Order, after: &mut After) {
        match order {
            Order::Subscribe { feed, request } => match self.session.subscribe(*request) {
                Some(id) => {
                    self.numbers.insert(feed.number, id);
                    let encoding = wire::Encoding::Bincode;
                    self.feeds.insert(id, Subscribed { feed, encoding });
                }
                // It is asked for again on the next one.
                None if self.session.is_draining() => feed.lost(after),
                None => feed.refuse(after),
            },
            Order::Unsubscribe { feed } => {
                if let Some(id) = self.numbers.remove(&feed) {
                    self.feeds.remove(&id);
                    self.session.unsubscribe(id);
                }
            }
            Order::Consumed { feed, items, bytes } => {
                if let Some(id) = self.numbers.get(&feed) {
                    self.session.consumed(*id, items, bytes);
                }
            }
            Order::Items(port) => self.give(port.id),
            Order::End(port, end) => {
                if let Some(entry) = self.ports.get_mut(&port.id) {
                    if !end.flush {
                        entry.rest.clear();
                    }
                    entry.end = Some(end);
                    self.give(port.id);
                }
            }
        }
    }

    /// Gives the session what was published for a subscriber.
    fn give(&mut self, id: SubscriberId) {
        let Some(entry) = self.ports.get_mut(&id) else {
            return;
        };
        entry.rest.extend(entry.port.take());
        while let Some(out) = entry.rest.front() {
            if self.session.is_full(id, out.payload.len()) {
                break;
            }
            // One that isn't taken is told as missed, unless nobody is there to miss it.
            if let Some(out) = entry.rest.pop_front()
                && let Ok(dropped @ 1..) = self.session.push(id, out)
            {
                entry.port.has_dropped(dropped as u64);
            }
        }
        if entry.rest.is_empty()
            && let Some(end) = entry.end.take()
        {
            self.ports.remove(&id);
            self.session.end(id, end);
        } else if !std::mem::replace(&mut entry.is_busy, true) {
            self.busy.push(id);
        }
    }

    /// Tells the publishers how much still waits.
    fn look_at_busy(&mut self, after: &mut After) {
        while let Some(id) = self.session.poll_room() {
            self.give(id);
        }
        let mut at = 0;
        while let Some(id) = self.busy.get(at).copied() {
            let (items, bytes) = self.session.queued(id);
            let Some(entry) = self.ports.get_mut(&id) else {
                self.busy.swap_remove(at);
                continue;
            };
            let rest: usize = entry.rest.iter().map(|out| out.payload.len()).sum();
            let (items, bytes) = (items + entry.rest.len(), bytes + rest);
            if let Some(source) = entry.port.set_in_session(items, bytes) {
                after.rooms.push(Arc::clone(source));
            }
            if items == 0 {
                entry.is_busy = false;
                self.busy.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Another connection takes this one's place: the peer's subscriptions end here, and their places at
    /// the publishers are kept for them, with what waits.
    fn retire(&mut self) {
        if self.retired.is_some() {
            return;
        }
        self.retired = Some(self.now);
        let session = &mut self.session;
        self.ports.retain(|id, entry| {
            // One that is being ended goes on to that.
            if entry.end.is_some() {
                return true;
            }
            let (mut items, next) = session.take_back(*id);
            items.append(&mut entry.rest);
            entry.port.park(items, next);
            let (number, source) = (entry.port.number, Arc::clone(&entry.port.source));
            #[expect(
                clippy::disallowed_methods,
                reason = "its owner is the lane's runtime, which ends with the thread; it ends by itself before"
            )]
            drop(tokio::spawn(async move {
                tokio::time::sleep(renew::TIME).await;
                // Nobody has come for it; otherwise it has another number.
                source.detach(number, &mut After::default());
            }));
            let end = stream::End {
                flush: true,
                next,
                ..stream::End::refused(wire::EndCode::Moved, "")
            };
            session.end(*id, end);
            false
        });
        self.session.drain();
    }

    fn close(&mut self, why: CloseReason) {
        if self.closing.is_none() {
            self.closing = Some(self.now);
            self.link.is_open.store(false, Ordering::Release);
            self.session.close(why);
        }
    }

    // ---- in -------------------------------------------------------------------------------------

    fn take_in(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if std::mem::take(&mut self.unread) {
            self.receive()?;
        }
        let mut bytes = BYTES;
        loop {
            if self.closed.is_some() {
                return Ok(false);
            }
            if bytes == 0 {
                return Ok(true);
            }
            match self.pipe.read(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(count) => bytes = bytes.saturating_sub(count?),
            }
            self.receive()?;
        }
    }

    /// One wake-up a subscriber for all that was read at once, however many items it is.
    fn receive(&mut self) -> Result<(), End> {
        let mut after = After::default();
        let before = self.pipe.input.len();
        let mut events = std::mem::take(&mut self.events);
        let input = &mut self.pipe.input;
        let result = self.session.receive(self.now, input, &mut events);
        self.pipe.received(before, self.now);
        for event in events.drain(..) {
            self.dispatch(event, &mut after);
        }
        self.events = events;
        if result.is_err() {
            // A last word, if the session has one: what was broken.
            self.session.poll_transmit(self.now, &mut self.pipe.output);
        }
        result.map_err(|error| End::cut(error.to_string()))
    }

    fn dispatch(&mut self, event: Event, after: &mut After) {
        match event {
            Event::Item {
                id,
                seq,
                thinned,
                age,
                payload,
                ..
            } => {
                let Some(Subscribed { feed, encoding }) = self.feeds.get(&id) else {
                    return;
                };
                let arrival = Arrival {
                    seq,
                    thinned,
                    // How long ago, on our clock.
                    published: self.now.checked_sub(age).unwrap_or(self.now),
                    body: Body::Encoded(*encoding, payload),
                };
                match feed.inbox.upgrade() {
                    Some(inbox) => {
                        inbox.push(&feed.name, feed.number, arrival, after);
                    }
                    None => after.drop_body(arrival.body),
                }
            }
            Event::Subscribe { id, .. } if self.retired.is_some() => {
                let end = stream::End::refused(wire::EndCode::Moved, "");
                self.session.end(id, end);
            }
            Event::Subscribe { id, request } => {
                let hub = self.hub.upgrade();
                let served = hub.map(|hub| hub.serve(&self.link, id, &request, after));
                match served {
                    Some(Ok((granted, port))) => {
                        if self.session.accept(id, granted).is_none() {
                            port.source.detach(port.number, after);
                            return;
                        }
                        let entry = Port {
                            port,
                            rest: VecDeque::new(),
                            end: None,
                            is_busy: false,
                        };
                        self.ports.insert(id, entry);
                        // What was kept for it, and what was published since.
                        self.give(id);
                    }
                    Some(Err(end)) => self.session.end(id, end),
                    None => {
                        let code = wire::EndCode::Stopped;
                        self.session.end(id, stream::End::refused(code, ""));
                    }
                }
            }
            Event::Unsubscribed { id } => {
                if let Some(Port { port, .. }) = self.ports.remove(&id) {
                    port.source.detach(port.number, after);
                }
            }
            Event::Subscribed { id, granted } => {
                if let Some(subscribed) = self.feeds.get_mut(&id) {
                    subscribed.encoding = granted.encoding;
                    let feed = &subscribed.feed;
                    if let Some(inbox) = feed.inbox.upgrade() {
                        inbox.opened(&feed.name, feed.number, &granted);
                        inbox.note_mode(&feed.name, &granted, after);
                    }
                }
            }
            Event::Ended {
                id,
                code,
                missed,
                thinned,
                detail,
            } => {
                let Some(Subscribed { feed, .. }) = self.feeds.remove(&id) else {
                    return;
                };
                self.numbers.remove(&feed.number);
                let ended = Ended {
                    code,
                    missed,
                    thinned,
                    detail,
                };
                if let Some(inbox) = feed.inbox.upgrade() {
                    inbox.ended(&feed.name, feed.number, ended, after);
                }
            }
            Event::Drained => {
                self.retire();
                self.link.handed_over.store(true, Ordering::Release);
                if let Some(links) = self.links.upgrade() {
                    links.retire(&self.link);
                    links.changed.notify_waiters();
                }
                if let Some(hub) = self.hub.upgrade() {
                    hub.changed();
                }
            }
            Event::Closed { reason, detail } => {
                self.link.is_open.store(false, Ordering::Release);
                self.closed = Some(pipe::closed(reason, &detail));
            }
            _ => {}
        }
    }

    // ---- time -----------------------------------------------------------------------------------

    fn mind_time(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = self.now;
            self.session.handle_timeout(now).map_err(|error| {
                self.pipe.abort();
                End::cut(error.to_string())
            })?;
            *self.link.last_heard.lock() = self.session.last_received();
            if self
                .closing
                .is_some_and(|since| now.duration_since(since) >= self.dead_after)
            {
                return Err(End::cut("the other side did not answer the close"));
            }
            if self.pipe.is_stuck(now, self.dead_after) {
                return Err(End::cut(pipe::STUCK));
            }
            let over = self.retired.map(|since| since + renew::TIME);
            if over.is_some_and(|over| now >= over) {
                self.close(CloseReason::Replaced);
            }
            let idle_for = now.saturating_duration_since(self.session.last_active());
            if self.is_unused() && idle_for >= self.idle_after {
                self.close(CloseReason::Idle);
            }
            self.pipe.rest();
            let next = self.session.poll_timeout().min(now + self.ping_every);
            let next = over
                .filter(|over| *over > now)
                .map_or(next, |over| next.min(over));
            // A time-out in the past would spin.
            let next = next.max(now + Duration::from_millis(5));
            self.timer.as_mut().reset(next.into());
        }
        Ok(())
    }

    fn is_unused(&self) -> bool {
        self.session.subscribers() == 0 && self.session.subscriptions() == 0
    }

    // ---- out ------------------------------------------------------------------------------------

    /// Writes while the socket takes it. `Ok(true)`: it would take more.
    fn put_out(&mut self, cx: &mut Context<'_>, after: &mut After) -> Result<bool, End> {
        let mut bytes = BYTES;
        loop {
            let is_written = self.pipe.write(cx)?.is_ready();
            if is_written {
                if bytes == 0 {
                    return Ok(true);
                }
                let output = &mut self.pipe.output;
                if self.session.poll_transmit(self.now, output) {
                    bytes = bytes.saturating_sub(self.pipe.output.len());
                    self.look_at_busy(after);
                    continue;
                }
                self.look_at_busy(after);
                if self.session.wants_transmit() {
                    continue;
                }
                if let Some(end) = self.closed.take() {
                    return Err(end);
                }
                let has_moved = self.retired.is_some() && self.session.is_drained();
                if has_moved && self.closing.is_none() && self.is_unused() {
                    self.close(CloseReason::Replaced);
                    continue;
                }
                if self.is_draining && self.closing.is_none() && self.session.subscribers() == 0 {
                    self.close(CloseReason::Stopping);
                    continue;
                }
            }
            // Under one lock: who adds an order from now on finds the waker.
            let mut orders = self.link.orders.lock();
            let has_news = !orders.list.is_empty()
                || orders.close.is_some()
                || orders.is_draining != self.is_draining
                || (orders.is_retired && self.retired.is_none())
                || orders.has_ended;
            if has_news {
                return Ok(true);
            }
            orders.waker = Some(cx.waker().clone());
            return Ok(false);
        }
    }

    /// The connection is gone: publishers lose their subscribers, and subscriptions their places.
    fn finish(&mut self, end: &End) {
        let mut after = After::default();
        for (_, Port { port, .. }) in self.ports.drain() {
            port.source.detach(port.number, &mut after);
        }
        for (_, Subscribed { feed, .. }) in self.feeds.drain() {
            feed.lost(&mut after);
        }
        self.session.end_all();
        // First the connection, so that nobody takes it for one that can be used.
        match self.links.upgrade() {
            Some(links) => links.ended(&self.link, &end.why),
            None => drop(self.link.end(&end.why)),
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut after = After::default();
        let turned = this.turn(cx, &mut after);
        drop(after);
        match turned {
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
        // Does nothing after `finish`; otherwise the task was aborted.
        self.finish(&End::cut("this node has ended its connections"));
    }
}
