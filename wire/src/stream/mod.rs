//! One bulk connection after its handshake: streams, from publishers to subscribers.
//!
//! ```text
//!   ours:        subscribe ──► Subscribed ──► Item, consumed, Item, .. ──► Ended
//!                                  unsubscribe ──► the peer's ended: nothing is reported
//!
//!   the peer's:  Subscribe ──► accept ──► push, push, .. ──► end
//!                    └──► end (refused)    └── Unsubscribed: nothing is owed
//! ```
//!
//! Either side does both. A subscriber's items wait here: its credit decides when they go, its mode
//! what happens when too many wait. What it doesn't get it is told the number of, with the next
//! item or with the end.
//!
//! Methods come in the four kinds of [`Session`](crate::session::Session): after any command or
//! input, output may be due.

mod event;
mod receive;
mod subscribers;
mod subscriptions;
mod transmit;

use std::{collections::VecDeque, time::Instant};

pub use self::event::{
    End, Event, Granted, Mode, NotPushed, Outgoing, Subscribe, SubscriberId, SubscriptionId,
};
use self::{receive::Arriving, subscribers::Subscribers, subscriptions::Subscriptions};
use crate::{
    code::{CloseReason, EndCode},
    error::SessionError,
    frame::{Ended, FailureFrame, SubscribeFrame, Subscribed},
    handshake::Established,
    ident::Lane,
    limits::Limits,
    link::{Assembly, Frames, Link, truncate},
};

/// Bytes of the texts of ends that wait.
const DETAILS_MAX: usize = 1024 * 1024;

/// A short frame that waits; they leave in order, before items.
#[derive(Debug)]
enum Waiting {
    Subscribe(Box<SubscribeFrame>),
    Subscribed(Subscribed),
    Ended(Ended, String),
    Unsubscribe(u32),
}

/// One bulk connection after its handshake.
#[derive(Debug)]
pub struct StreamSession {
    link: Link,
    subscriptions: Subscriptions,
    subscribers: Subscribers,
    waiting: VecDeque<Waiting>,
    /// Ends among what waits. A subscription takes its place until its end was sealed, so a peer
    /// that subscribes on and on and reads nothing comes to an end.
    ends_waiting: usize,
    /// Bytes of the texts of these.
    details_waiting: usize,
    /// An abort frame is to be sealed before anything else.
    abort: bool,
    /// The long item that arrives.
    assembly: Option<Assembly<Arriving>>,
    /// The longest item that the peer has sent: so much it may make us reserve at once.
    proven: usize,
    subscriptions_max: u32,
    payload_max: usize,
    peer_payload_max: usize,
    detail_max: usize,
}

impl StreamSession {
    /// Begins where a handshake on the bulk lane ended. `limits` are those that it stated.
    pub fn new(established: Established, limits: &Limits, now: Instant) -> Self {
        let Established {
            lane,
            keys,
            peer_limits,
            ..
        } = established;
        debug_assert_eq!(lane, Lane::Bulk, "streams have a lane of their own");
        Self {
            link: Link::new(lane, keys, limits, now),
            subscriptions: Subscriptions::default(),
            subscribers: Subscribers::new(limits),
            waiting: VecDeque::new(),
            ends_waiting: 0,
            details_waiting: 0,
            abort: false,
            assembly: None,
            proven: 0,
            subscriptions_max: limits.subscriptions,
            payload_max: limits.stream_payload,
            peer_payload_max: peer_limits.payload,
            detail_max: limits.detail.min(FailureFrame::DETAIL_MAX),
        }
    }

    /// Subscribes to a stream of the peer's. The answer is the subscription's number; none if as many
    /// as we ourselves allow have not ended, or the session is closing. A depth, items or bytes of
    /// zero are taken to be one.
    pub fn subscribe(&mut self, mut subscribe: Subscribe) -> Option<SubscriptionId> {
        if !self.link.takes_new() || self.subscriptions.len() >= self.subscriptions_max as usize {
            return None;
        }
        subscribe.depth = subscribe.depth.max(1);
        subscribe.items = subscribe.items.max(1);
        subscribe.bytes = subscribe.bytes.max(1);
        let id = self.subscriptions.begin(&subscribe)?;
        let frame = Box::new(SubscribeFrame { id, subscribe });
        self.waiting.push_back(Waiting::Subscribe(frame));
        Some(SubscriptionId(id))
    }

    /// A subscription of ours is no longer wanted: no more of it is reported.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        if self.subscriptions.leave(id.0) && self.link.is_open() {
            self.waiting.push_back(Waiting::Unsubscribe(id.0));
        }
    }

    /// Items of a subscription of ours, of so many bytes together, were consumed: there is room for
    /// as many again.
    pub fn consumed(&mut self, id: SubscriptionId, items: u64, bytes: u64) {
        self.subscriptions.release(id.0, items, bytes);
    }

    /// The peer gets the stream that it asked for. Its depth is bounded by our limits; the answer is
    /// the depth that it has; none if it doesn't ask any more.
    pub fn accept(&mut self, id: SubscriberId, mut granted: Granted) -> Option<u32> {
        if !self.link.is_open() || !self.subscribers.accept(id.0, &mut granted) {
            return None;
        }
        let frame = Subscribed { id: id.0, granted };
        self.waiting.push_back(Waiting::Subscribed(frame));
        Some(granted.depth)
    }

    /// Takes an item for a subscriber. The answer is how many older ones were dropped for it, which
    /// the subscriber will be told.
    ///
    /// # Errors
    ///
    /// Why it wasn't taken. After [`NotPushed::Full`], [`poll_room`](Self::poll_room) follows.
    pub fn push(&mut self, id: SubscriberId, item: Outgoing) -> Result<usize, NotPushed> {
        if !self.link.is_open() {
            return Err(NotPushed::NotOpen);
        }
        if item.payload.len() > self.peer_payload_max {
            let max = self.peer_payload_max;
            return Err(NotPushed::TooLarge { max });
        }
        self.subscribers.push(id.0, item)
    }

    /// Whether a reliable subscriber has no room for an item of so many bytes; then
    /// [`poll_room`](Self::poll_room) follows.
    pub fn is_full(&mut self, id: SubscriberId, len: usize) -> bool {
        self.subscribers.is_full(id.0, len)
    }

    /// A subscriber that was found full and no longer is. To be asked after
    /// [`poll_transmit`](Self::poll_transmit).
    pub fn poll_room(&mut self) -> Option<SubscriberId> {
        self.subscribers.pop_room().map(SubscriberId)
    }

    /// Subscribes to nothing more: another connection is to take this one's place. The peer is told, and
    /// does the same. What the peer subscribes to is the owner's to end, with [`EndCode::Moved`].
    pub fn drain(&mut self) {
        self.link.drain();
    }

    /// Whether neither side subscribes any more, and each has heard so of the other.
    pub fn is_drained(&self) -> bool {
        self.link.is_drained()
    }

    /// Whether [`drain`](Self::drain) was called, or the peer has said so.
    pub fn is_draining(&self) -> bool {
        self.link.is_open() && !self.link.takes_new()
    }

    /// Takes back what waits for a subscriber and hasn't begun to leave, oldest first, and the number
    /// that the subscriber takes to be next once it has what has.
    pub fn take_back(&mut self, id: SubscriberId) -> (VecDeque<Outgoing>, u64) {
        self.subscribers.take_back(id.0)
    }

    /// Ends a subscription of the peer's, or refuses it. One that has ended is left alone; one that
    /// is being flushed may be ended again, without that.
    pub fn end(&mut self, id: SubscriberId, mut end: End) {
        truncate(&mut end.detail, self.detail_max);
        self.abort |= self.subscribers.end(id.0, end);
        self.say_end(id.0);
    }

    /// Says a subscription's end, if that is due.
    fn say_end(&mut self, id: u32) {
        if let Some((ended, detail)) = self.subscribers.flushed(id) {
            self.put_end(ended, detail);
        }
    }

    fn put_end(&mut self, ended: Ended, mut detail: String) {
        self.ends_waiting += 1;
        // Texts are for people: a peer that isn't reading does without.
        if self.details_waiting + detail.len() > DETAILS_MAX {
            detail = String::new();
        }
        self.details_waiting += detail.len();
        self.waiting.push_back(Waiting::Ended(ended, detail));
    }

    /// Refuses without asking anybody.
    fn refuse(&mut self, id: u32, code: EndCode, detail: String) {
        let ended = Ended {
            id,
            code,
            missed: 0,
            thinned: 0,
        };
        self.put_end(ended, detail);
    }

    /// Closes the connection. What waits of items doesn't leave; to have it leave,
    /// [`end`](Self::end) the subscriptions with `flush` and wait until there are no
    /// [`subscribers`](Self::subscribers).
    pub fn close(&mut self, why: CloseReason) {
        self.close_with(why, "");
    }

    /// Closes the connection with a text for people, of which at most 1 KiB travels.
    pub fn close_with(&mut self, why: CloseReason, detail: &str) {
        self.link.close_with(why, detail);
        self.drop_outgoing();
    }

    /// Nothing but a close frame leaves any more.
    fn drop_outgoing(&mut self) {
        self.subscribers.clear();
        self.waiting.clear();
        (self.ends_waiting, self.details_waiting) = (0, 0);
        self.abort = false;
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

    /// When an item last went either way, or a subscription began or ended.
    pub fn last_active(&self) -> Instant {
        self.link.timers.last_active
    }

    /// The connection is gone: nothing comes and nothing goes any more.
    pub fn end_all(&mut self) {
        self.link.end();
        self.drop_all();
    }

    /// Whether our close frame has left and the peer's has come: there is nothing more to say.
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// How many subscriptions of ours have not ended.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// How many subscriptions of the peer's have not ended, those included that are being flushed.
    pub fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    /// How many items wait for a subscriber, and their bytes; one that has begun isn't among them.
    pub fn queued(&self, id: SubscriberId) -> (usize, usize) {
        self.subscribers.queued(id.0)
    }
}
