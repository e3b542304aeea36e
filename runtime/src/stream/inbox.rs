//! What has come for one subscription and waits to be taken, from however many publishers.
//!
//! Each stream that the subscription matches has a *track* here, which outlives the publisher's
//! restarts and moves; while the subscription has a place at the publisher, the track has a *feed*.
//!
//! ```text
//!   publisher here ──push──▶ ┐                     ┌──pop──▶ Subscription, stream handler
//!   bulk connection ─push──▶ ┘ track ▶ queue ▶ ring └──credit──▶ publisher
//! ```

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use botzilla_wire::{
    EndCode, NodeId,
    fingerprint::Layout,
    stream::{Granted, Mode},
};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::{
    StreamError, StreamReason,
    after::After,
    item::{Body, Entry, Origin},
    name::Selector,
    source::Source,
    wish::{Form, Wish},
};
use crate::link::{BulkLink, Order};

/// Streams that a pattern has matched once and that are gone: so many are remembered.
const REMEMBERED: usize = 1024;
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// One subscription's items.
pub(crate) struct Inbox {
    pub(crate) selector: Selector,
    pub(crate) wish: Wish,
    /// Tells who looks for publishers to look again.
    pub(crate) poke: Arc<Notify>,
    /// How many tracks have something to be taken.
    ready: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tracks: FxHashMap<Arc<str>, Track>,
    /// Those that have something to be taken, in turn.
    ring: VecDeque<Arc<str>>,
    waker: Option<Waker>,
    /// Nobody takes anything any more.
    is_closed: bool,
    /// Nothing comes any more.
    is_over: bool,
    totals: Totals,
}

/// What has become of a subscription's items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) taken: u64,
    pub(crate) missed: u64,
    pub(crate) thinned: u64,
}

#[derive(Default)]
struct Track {
    queue: VecDeque<Entry>,
    /// Follows the items; until it is taken there is no new feed.
    error: Option<StreamError>,
    in_ring: bool,
    feed: Option<Feed>,
    incarnation: Option<u64>,
    /// The number of the next item, were none left out.
    next: u64,
    /// To be told with the next item, besides what comes with it.
    missed: u64,
    thinned: u64,
    restarted: bool,
    depth: usize,
    failures: u32,
    not_before: Option<Instant>,
    /// The last error that was told: the same one again is no news.
    told: Option<(EndCode, String)>,
}

/// A subscription's place at one publisher.
struct Feed {
    number: u64,
    origin: Arc<Origin>,
    place: Place,
    mode: Mode,
    /// The publisher waits for room.
    wants_room: bool,
    /// Taken, and not told to the connection yet.
    released: (u64, u64),
    /// What may come at a time.
    window: (u64, u64),
}

/// Where the publisher is.
pub(crate) enum Place {
    Here(Arc<Source>),
    There(Arc<BulkLink>),
}

/// An item that comes.
pub(crate) struct Arrival {
    pub(crate) seq: u64,
    pub(crate) thinned: u64,
    pub(crate) published: Instant,
    pub(crate) body: Body,
}

/// How a feed ended.
pub(crate) struct Ended {
    pub(crate) code: EndCode,
    pub(crate) missed: u64,
    pub(crate) thinned: u64,
    pub(crate) detail: String,
}

/// Whether a reliable publisher may push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    Full,
    /// The feed is no more.
    Gone,
}

/// What became of an item that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is there; so many older ones were dropped for it.
    Taken(u64),
    Gone,
}

/// Whether a stream can get a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// When it was tried too lately.
    At(Instant),
    /// It has one, or has to be read first.
    Shut,
}

/// What a subscriber takes.
pub(crate) enum Popped {
    Item(Entry),
    Error(StreamError),
}

impl Inbox {
    pub(crate) fn new(selector: Selector, wish: Wish) -> Arc<Self> {
        Arc::new(Self {
            selector,
            wish,
            poke: Arc::default(),
            ready: AtomicUsize::new(0),
            state: Mutex::default(),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    pub(crate) fn totals(&self) -> Totals {
        self.state.lock().totals
    }

    /// The nodes that it gets items from now, by stream.
    pub(crate) fn origins(&self) -> Vec<Arc<Origin>> {
        let state = self.state.lock();
        let feeds = state
            .tracks
            .values()
            .filter_map(|track| track.feed.as_ref());
        feeds.map(|feed| Arc::clone(&feed.origin)).collect()
    }

    // ---- whoever looks for publishers -----------------------------------------------------------

    /// Whether a stream on this node can get a feed now.
    pub(crate) fn gate(&self, name: &str, now: Instant) -> Gate {
        let state = self.state.lock();
        if state.is_closed || state.is_over {
            return Gate::Shut;
        }
        state.tracks.get(name).map_or(Gate::Open, |it| it.gate(now))
    }

    /// A change somewhere: what failed lately may be tried again at once.
    pub(crate) fn forgive(&self) {
        for track in self.state.lock().tracks.values_mut() {
            track.not_before = None;
        }
    }

    /// Where a stream's items come from now.
    pub(crate) fn node_of(&self, name: &str) -> Option<NodeId> {
        let state = self.state.lock();
        let feed = state.tracks.get(name)?.feed.as_ref()?;
        Some(feed.origin.node)
    }

    /// A place at a publisher is asked for under this number. False if that isn't wanted any more.
    pub(crate) fn begin(&self, number: u64, origin: &Arc<Origin>, place: Place) -> bool {
        let mut state = self.state.lock();
        if state.is_closed || state.is_over {
            return false;
        }
        if state.tracks.len() >= REMEMBERED {
            state
                .tracks
                .retain(|_, track| track.feed.is_some() || track.in_ring);
        }
        let track = state
            .tracks
            .entry(Arc::clone(origin.name.text()))
            .or_default();
        if track.gate(Instant::now()) != Gate::Open {
            return false;
        }
        track.feed = Some(Feed {
            number,
            origin: Arc::clone(origin),
            place,
            mode: Mode::Reliable,
            wants_room: false,
            released: (0, 0),
            window: self.wish.window(),
        });
        true
    }

    /// Gives up a stream's feed: its publisher is elsewhere now.
    pub(crate) fn leave(&self, name: &str, after: &mut After) {
        let feed = {
            let mut state = self.state.lock();
            state.tracks.get_mut(name).and_then(|it| it.feed.take())
        };
        if let Some(feed) = feed {
            feed.leave(after);
        }
    }

    // ---- publishers and connections -------------------------------------------------------------

    /// The publisher has agreed.
    pub(crate) fn opened(&self, name: &str, feed: u64, granted: &Granted) -> bool {
        let mut state = self.state.lock();
        let Some(track) = state.track(name, feed) else {
            return false;
        };
        track.opened(granted);
        true
    }

    /// Whether a reliable publisher may push; if not, it will be told when it may.
    pub(crate) fn room(&self, name: &str, feed: u64) -> Room {
        let mut state = self.state.lock();
        let Some(track) = state.track(name, feed) else {
            return Room::Gone;
        };
        if track.queue.len() < track.depth {
            return Room::Free;
        }
        if let Some(feed) = &mut track.feed {
            feed.wants_room = true;
        }
        Room::Full
    }

    /// How many items of a stream wait to be taken.
    pub(crate) fn queued(&self, name: &str) -> usize {
        let state = self.state.lock();
        state.tracks.get(name).map_or(0, |track| track.queue.len())
    }

    /// How many items were left out since the last that came, if `next` would have been the next.
    pub(crate) fn left_out(&self, name: &str, feed: u64, next: u64) -> u64 {
        let mut state = self.state.lock();
        let track = state.track(name, feed);
        track.map_or(0, |track| next.saturating_sub(track.next))
    }

    /// An item comes.
    pub(crate) fn push(
        &self,
        name: &str,
        feed: u64,
        arrival: Arrival,
        after: &mut After,
    ) -> Pushed {
        let mut state = self.state.lock();
        let Some(track) = state.track(name, feed) else {
            after.drop_body(arrival.body);
            return Pushed::Gone;
        };
        let dropped = track.push(arrival, after);
        if track.is_ready() && !std::mem::replace(&mut track.in_ring, true) {
            let name = state.key(name);
            state.ring.extend(name);
            self.ready.fetch_add(1, Ordering::Release);
        }
        after.wakers.extend(state.waker.take());
        Pushed::Taken(dropped)
    }

    /// The publisher ended the feed, or refused it.
    pub(crate) fn ended(&self, name: &str, feed: u64, ended: Ended, after: &mut After) {
        let mut state = self.state.lock();
        let Some(track) = state.track(name, feed) else {
            return;
        };
        track.feed = None;
        track.missed += ended.missed;
        track.thinned += ended.thinned;
        track.next += ended.missed + ended.thinned;
        let is_cut = ended.code == EndCode::CutOff;
        track.error = track.failed(name, ended, &self.wish.form);
        if track.is_ready() && !std::mem::replace(&mut track.in_ring, true) {
            let name = state.key(name);
            state.ring.extend(name);
            self.ready.fetch_add(1, Ordering::Release);
        }
        if is_cut && !self.wish.resubscribe && matches!(self.selector, Selector::One(_)) {
            state.is_over = true;
        }
        after.wakers.extend(state.waker.take());
        drop(state);
        after.pokes.push(Arc::clone(&self.poke));
    }

    /// The connection that the feed was on is gone.
    pub(crate) fn lost(&self, name: &str, feed: u64, after: &mut After) {
        let mut state = self.state.lock();
        if let Some(track) = state.track(name, feed) {
            track.feed = None;
            after.pokes.push(Arc::clone(&self.poke));
        }
    }

    // ---- the subscriber -------------------------------------------------------------------------

    /// The next item, or error; `None`: nothing is there, and the waker is told when something is.
    pub(crate) fn pop(&self, waker: &Waker, after: &mut After) -> Option<Popped> {
        let mut state = self.state.lock();
        let Some(name) = state.ring.pop_front() else {
            state.sleep(waker);
            return None;
        };
        let State { tracks, totals, .. } = &mut *state;
        let track = tracks.get_mut(&name)?;
        let popped = track.pop(after);
        if track.wants_feed() {
            after.pokes.push(Arc::clone(&self.poke));
        }
        let is_ready = track.is_ready();
        track.in_ring = is_ready;
        if let Some(Popped::Item(entry)) = &popped {
            totals.taken += 1;
            totals.missed += entry.missed;
            totals.thinned += entry.thinned;
        }
        if is_ready {
            state.ring.push_back(name);
        } else {
            self.ready.fetch_sub(1, Ordering::Release);
        }
        popped
    }

    /// Whether something is there; if not, the waker is told when something is.
    pub(crate) fn is_ready(&self, waker: &Waker) -> bool {
        if self.ready.load(Ordering::Acquire) > 0 {
            return true;
        }
        let mut state = self.state.lock();
        state.sleep(waker);
        !state.ring.is_empty()
    }

    /// Whether nothing will come any more once all that is there was taken.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state.lock();
        (state.is_over || state.is_closed) && state.ring.is_empty()
    }

    /// Nothing comes any more, for the node goes down; what is there can still be taken.
    pub(crate) fn finish(&self, after: &mut After) {
        let mut state = self.state.lock();
        state.is_over = true;
        after.wakers.extend(state.waker.take());
    }

    /// The subscriber is gone.
    pub(crate) fn close(&self, after: &mut After) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.ring.clear();
        state.waker = None;
        let tracks = std::mem::take(&mut state.tracks);
        drop(state);
        self.ready.store(0, Ordering::Release);
        for mut track in tracks.into_values() {
            after.waste.extend(track.queue.drain(..));
            if let Some(feed) = track.feed.take() {
                feed.leave(after);
            }
        }
        after.pokes.push(Arc::clone(&self.poke));
    }
}

impl State {
    /// The track, if the feed is its present one.
    fn track(&mut self, name: &str, feed: u64) -> Option<&mut Track> {
        let track = self.tracks.get_mut(name)?;
        let is_present = track.feed.as_ref().is_some_and(|it| it.number == feed);
        is_present.then_some(track)
    }

    fn key(&self, name: &str) -> Option<Arc<str>> {
        let (key, _) = self.tracks.get_key_value(name)?;
        Some(Arc::clone(key))
    }

    fn sleep(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|it| it.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }
}

impl Track {
    fn is_ready(&self) -> bool {
        !self.queue.is_empty() || self.error.is_some()
    }

    fn gate(&self, now: Instant) -> Gate {
        if self.feed.is_some() || self.is_full() || self.error.is_some() {
            return Gate::Shut;
        }
        match self.not_before {
            Some(at) if at > now => Gate::At(at),
            _ => Gate::Open,
        }
    }

    /// So much of an earlier feed waits that another would only pile more upon it.
    fn is_full(&self) -> bool {
        self.queue.len() >= self.depth.max(1)
    }

    /// What was just taken may have been what kept it from a new feed.
    fn wants_feed(&self) -> bool {
        self.feed.is_none() && self.error.is_none() && !self.is_full()
    }

    fn opened(&mut self, granted: &Granted) {
        self.failures = 0;
        self.told = None;
        self.depth = granted.depth.max(1) as usize;
        match self.incarnation {
            None => self.next = granted.next,
            Some(same) if same == granted.incarnation => {
                let gap = granted.next.saturating_sub(self.next);
                self.missed += gap;
                self.next += gap;
            }
            Some(_) => {
                self.restarted = true;
                self.missed += granted.next;
                self.next = granted.next;
            }
        }
        self.incarnation = Some(granted.incarnation);
        if let Some(feed) = &mut self.feed {
            feed.mode = granted.mode;
        }
    }

    /// How many older ones were dropped for it.
    fn push(&mut self, arrival: Arrival, after: &mut After) -> u64 {
        let Some(feed) = &mut self.feed else {
            return 0;
        };
        let Arrival {
            seq,
            thinned,
            published,
            body,
        } = arrival;
        if seq < self.next {
            // It came over an earlier connection, and again as one of those that are kept.
            feed.release(1, body.len(), after);
            after.drop_body(body);
            return 0;
        }
        let gap = seq - self.next;
        let thinned = thinned.min(gap);
        let mut entry = Entry {
            seq,
            missed: gap - thinned + std::mem::take(&mut self.missed),
            thinned: thinned + std::mem::take(&mut self.thinned),
            restarted: std::mem::take(&mut self.restarted),
            published,
            from: Arc::clone(&feed.origin),
            body,
            feed: feed.number,
        };
        self.next = seq + 1;
        let mut dropped = 0;
        while feed.mode == Mode::Latest && self.queue.len() >= self.depth {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            let heir = self.queue.front_mut().unwrap_or(&mut entry);
            heir.missed += oldest.missed + 1;
            heir.thinned += oldest.thinned;
            heir.restarted |= oldest.restarted;
            if oldest.feed == feed.number {
                feed.release(1, oldest.body.len(), after);
            }
            after.waste.push(oldest);
            dropped += 1;
        }
        self.queue.push_back(entry);
        dropped
    }

    fn pop(&mut self, after: &mut After) -> Option<Popped> {
        let Some(entry) = self.queue.pop_front() else {
            return self.error.take().map(Popped::Error);
        };
        if let Some(feed) = &mut self.feed {
            if entry.feed == feed.number {
                feed.release(1, entry.body.len(), after);
            }
            if std::mem::take(&mut feed.wants_room)
                && let Place::Here(source) = &feed.place
            {
                after.rooms.push(Arc::clone(source));
            }
        }
        Some(Popped::Item(entry))
    }

    /// What there is to be told of an end, and when to try again.
    fn failed(&mut self, name: &str, ended: Ended, form: &Form) -> Option<StreamError> {
        let Ended {
            code,
            missed,
            detail,
            ..
        } = ended;
        // Whatever failed, it is tried again, less and less often; and at once when something changes.
        if !matches!(code, EndCode::PublisherGone | EndCode::Stopped) {
            let pause = BACK_OFF.0 * 2_u32.saturating_pow(self.failures.min(8));
            self.not_before = Some(Instant::now() + pause.min(BACK_OFF.1));
            self.failures += 1;
        }
        let news = (code, detail);
        if self.told.as_ref() == Some(&news) {
            return None;
        }
        let detail = news.1.clone();
        let reason = match code {
            EndCode::PublisherGone
            | EndCode::NoSuchStream
            | EndCode::Stopped
            | EndCode::Unsubscribed => return None,
            // Each is news, and the number of items of it.
            EndCode::CutOff => {
                self.missed -= missed.min(self.missed);
                let reason = StreamReason::CutOff { missed, detail };
                return Some(StreamError::new(name, reason));
            }
            EndCode::WrongSchema => StreamReason::WrongSchema(form.difference(&detail)),
            EndCode::Denied => StreamReason::Denied(detail),
            EndCode::TooMany => StreamReason::TooMany(detail),
            other => StreamReason::Unknown {
                code: other.number(),
                detail,
            },
        };
        self.told = Some(news);
        Some(StreamError::new(name, reason))
    }
}

impl Feed {
    /// So much was taken: the publisher may send as much again. Told when it is worth a word.
    fn release(&mut self, items: u64, bytes: usize, after: &mut After) {
        let Place::There(link) = &self.place else {
            return;
        };
        self.released.0 += items;
        self.released.1 += bytes as u64;
        // The session states a grant at a quarter of the window; to tell it earlier is of no use.
        let (items, bytes) = self.released;
        if items >= (self.window.0 / 4).max(1) || bytes >= (self.window.1 / 4).max(1) {
            self.released = (0, 0);
            let order = Order::Consumed {
                feed: self.number,
                items,
                bytes,
            };
            after.wakers.extend(link.order(order).ok().flatten());
        }
    }

    fn leave(self, after: &mut After) {
        match self.place {
            Place::Here(source) => source.detach(self.number, after),
            Place::There(link) => {
                let order = Order::Unsubscribe { feed: self.number };
                after.wakers.extend(link.order(order).ok().flatten());
            }
        }
    }
}

impl Form {
    /// What differs between the items that are wanted and those that there are.
    fn difference(&self, theirs: &str) -> String {
        let ours = match self {
            Self::Typed { layout, .. } => layout.as_ref().map(|layout| layout.text()),
            Self::Json | Self::Raw => None,
        };
        ours.and_then(|ours| Layout::first_difference(ours, theirs))
            .unwrap_or_else(|| "their layouts differ".to_owned())
    }
}
