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
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Instant,
};

use botzilla_wire::{
    EndCode, NodeId,
    stream::{Granted, Mode},
};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

pub(crate) use super::track::{Arrival, Ended, Gate, Place, Popped};
use super::{
    StreamError, StreamReason,
    after::After,
    item::{Entry, Origin},
    name::Selector,
    track::{Feed, Tale, Track},
    wish::Wish,
};
use crate::link::BulkLink;

/// Streams that a pattern has matched once and that are gone: so many are remembered, or as many as
/// were there at a time.
const REMEMBERED: usize = 1024;

/// One subscription's items.
pub(crate) struct Inbox {
    pub(crate) selector: Selector,
    pub(crate) wish: Wish,
    /// Tells who looks for publishers to look again.
    pub(crate) poke: Arc<Notify>,
    /// How many bytes of a stream of latest items may wait.
    bytes_max: usize,
    /// How many tracks have something to be taken.
    ready: AtomicUsize,
    /// It was logged that it gets less than it asked for.
    has_noted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tracks: FxHashMap<Arc<str>, Track>,
    /// How many of them had a feed at a time, at the most, and how often one has lost it.
    most: usize,
    losses: u64,
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

impl Inbox {
    pub(crate) fn new(selector: Selector, wish: Wish, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            selector,
            wish,
            poke: Arc::default(),
            bytes_max,
            ready: AtomicUsize::new(0),
            has_noted: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    pub(crate) fn totals(&self) -> Totals {
        self.state.lock().totals
    }

    /// What it gets of each stream that has agreed.
    pub(crate) fn granted(&self) -> Vec<(Arc<Origin>, Granted)> {
        let state = self.state.lock();
        let feeds = state
            .tracks
            .values()
            .filter_map(|track| track.feed.as_ref());
        feeds
            .filter_map(|feed| Some((Arc::clone(&feed.origin), feed.granted?)))
            .collect()
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

    /// What it gets from other nodes, and over which connection.
    pub(crate) fn others(&self) -> Vec<(Arc<Origin>, Arc<BulkLink>)> {
        let state = self.state.lock();
        let feeds = state.tracks.values().filter_map(|it| it.feed.as_ref());
        feeds
            .filter_map(|feed| Some((Arc::clone(&feed.origin), Arc::clone(feed.link()?))))
            .collect()
    }

    // ---- whoever looks for publishers -----------------------------------------------------------

    /// Whether a stream on this node can get a feed now.
    pub(crate) fn gate(&self, name: &str, now: Instant) -> Gate {
        let state = self.state.lock();
        if state.is_closed || state.is_over {
            return Gate::Shut;
        }
        let track = state.tracks.get(name);
        track.map_or(Gate::Open, |it| it.gate(self.wish.mode, now))
    }

    /// News of a stream's publisher: what failed lately may be tried again at once.
    pub(crate) fn forgive(&self, name: &str) {
        if let Some(track) = self.state.lock().tracks.get_mut(name) {
            track.not_before = None;
        }
    }

    /// Where a stream's items come from now.
    pub(crate) fn node_of(&self, name: &str) -> Option<NodeId> {
        let state = self.state.lock();
        let feed = state.tracks.get(name)?.feed.as_ref()?;
        Some(feed.origin.node)
    }

    /// A stream's publisher is on a node that can't be reached: told once, until it has a feed.
    pub(crate) fn unreachable(
        &self,
        name: &Arc<str>,
        node: NodeId,
        reason: impl FnOnce() -> StreamReason,
        after: &mut After,
    ) {
        let mut state = self.state.lock();
        if state.is_closed || state.is_over {
            return;
        }
        let track = state.make(name);
        if track.unreachable(node, || StreamError::new(&**name, reason())) {
            self.enrol(&mut state, name);
            after.wakers.extend(state.waker.take());
        }
    }

    /// Where a stream's items go on, if its place at the publisher is kept.
    pub(crate) fn resumes(&self, name: &str) -> Option<(u64, u64)> {
        self.state.lock().tracks.get(name)?.resumes()
    }

    /// A place at a publisher is asked for under this number. False if that isn't wanted any more.
    pub(crate) fn begin(&self, number: u64, origin: &Arc<Origin>, place: Place) -> bool {
        let mut state = self.state.lock();
        if state.is_closed || state.is_over {
            return false;
        }
        let track = state.make(origin.name.text());
        if track.gate(self.wish.mode, Instant::now()) != Gate::Open {
            return false;
        }
        track.feed = Some(Feed::new(number, origin, place, self.wish.window()));
        true
    }

    /// Gives up a stream's feed: its publisher is elsewhere now.
    pub(crate) fn leave(&self, name: &str, after: &mut After) {
        let feed = {
            let mut state = self.state.lock();
            let losses = state.loss();
            let track = state.tracks.get_mut(name);
            track.and_then(|track| track.lose(losses))
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

    /// Logs once that what was to be reliable is published as latest.
    pub(crate) fn note_mode(&self, name: &str, granted: &Granted, after: &mut After) {
        let is_less = self.wish.mode == Some(Mode::Reliable) && granted.mode == Mode::Latest;
        if is_less && !self.has_noted.swap(true, Ordering::Relaxed) {
            let stream = name.to_owned();
            after.log(move || {
                tracing::warn!(
                    stream,
                    "it was subscribed to as reliable, and is published as latest: items may be missed"
                );
            });
        }
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
        let dropped = track.push(arrival, self.bytes_max, after);
        self.enrol(&mut state, name);
        after.wakers.extend(state.waker.take());
        Pushed::Taken(dropped)
    }

    /// The publisher ended the feed, or refused it.
    pub(crate) fn ended(&self, name: &str, feed: u64, ended: Ended, after: &mut After) {
        let mut state = self.state.lock();
        let losses = state.loss();
        let Some(track) = state.track(name, feed) else {
            return;
        };
        drop(track.lose(losses));
        // The session has checked the sums by its own count, which isn't that of earlier connections.
        track.left_out(ended.missed, ended.thinned);
        let is_over = ended.code == EndCode::CutOff && !self.wish.resubscribe;
        track.is_over = is_over;
        track.error = track.failed(name, ended, &self.wish);
        self.enrol(&mut state, name);
        if is_over && matches!(self.selector, Selector::One(_)) {
            state.is_over = true;
        }
        after.wakers.extend(state.waker.take());
        drop(state);
        after.pokes.push(Arc::clone(&self.poke));
    }

    /// The connection that the feed was on is gone.
    pub(crate) fn lost(&self, name: &str, feed: u64, after: &mut After) {
        let mut state = self.state.lock();
        let losses = state.loss();
        if let Some(track) = state.track(name, feed) {
            drop(track.lose(losses));
            after.pokes.push(Arc::clone(&self.poke));
        }
    }

    // ---- the subscriber -------------------------------------------------------------------------

    /// The next item, or error; `None`: nothing is there, and the waker is told when something is.
    pub(crate) fn pop(&self, waker: &Waker, after: &mut After) -> Option<Popped> {
        let wish = self.wish.mode;
        let mut state = self.state.lock();
        loop {
            let Some(name) = state.ring.pop_front() else {
                state.sleep(waker);
                return None;
            };
            let State { tracks, totals, .. } = &mut *state;
            let Some(track) = tracks.get_mut(&name) else {
                continue;
            };
            let wanted_feed = track.wants_feed(wish);
            let popped = track.pop(after);
            // Only if this is what kept it from a new feed: otherwise that is known.
            if track.wants_feed(wish) && !wanted_feed {
                after.pokes.push(Arc::clone(&self.poke));
            }
            let is_ready = track.is_ready();
            track.in_ring = is_ready;
            if let Some(Popped::Item(entry)) = &popped {
                totals.count(entry);
            }
            if is_ready {
                state.ring.push_back(name);
            } else {
                self.ready.fetch_sub(1, Ordering::Release);
            }
            // What it had to tell may have been taken back.
            if popped.is_some() {
                return popped;
            }
        }
    }

    /// An item that was taken can't be used: what it had to tell of those before it the next one
    /// tells, and that it was missed itself if nobody hears of the error.
    pub(crate) fn carry_over(&self, entry: &Entry) {
        let mut state = self.state.lock();
        state.totals.discount(entry);
        if let Some(track) = state.tracks.get_mut(entry.from.name.text()) {
            let itself = u64::from(!self.wish.hears_errors);
            track.carry_over(Tale {
                missed: entry.missed.saturating_add(itself),
                thinned: entry.thinned,
                restarted: entry.restarted,
            });
        }
    }

    /// Puts a stream into the ring, if it has something to be taken.
    fn enrol(&self, state: &mut State, name: &str) {
        let Some(track) = state.tracks.get_mut(name) else {
            return;
        };
        if track.is_ready() && !std::mem::replace(&mut track.in_ring, true) {
            let name = state.key(name);
            state.ring.extend(name);
            self.ready.fetch_add(1, Ordering::Release);
        }
    }

    /// When the oldest and the newest of the items that wait were published, if any wait.
    pub(crate) fn waiting(&self) -> Option<(Instant, Instant)> {
        if self.ready.load(Ordering::Acquire) == 0 {
            return None;
        }
        let state = self.state.lock();
        let queues = state.tracks.values().map(|track| &track.queue);
        let spans = queues.filter_map(|queue| Some((queue.front()?, queue.back()?)));
        spans
            .map(|(oldest, newest)| (oldest.published, newest.published))
            .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
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

impl Totals {
    fn count(&mut self, entry: &Entry) {
        self.taken += 1;
        self.missed = self.missed.saturating_add(entry.missed);
        self.thinned = self.thinned.saturating_add(entry.thinned);
    }

    /// It is counted with the next one.
    fn discount(&mut self, entry: &Entry) {
        self.taken = self.taken.saturating_sub(1);
        self.missed = self.missed.saturating_sub(entry.missed);
        self.thinned = self.thinned.saturating_sub(entry.thinned);
    }
}

impl State {
    /// The stream's track. Those that have been gone for the longest are forgotten if there are too
    /// many: whoever is cut off for good last of all.
    fn make(&mut self, name: &Arc<str>) -> &mut Track {
        if self.tracks.len() >= REMEMBERED && !self.tracks.contains_key(name) {
            let feeds = self.tracks.values().filter(|it| it.feed.is_some()).count();
            self.most = self.most.max(feeds);
            if self.tracks.len() - feeds >= REMEMBERED.max(self.most) {
                let idle = self
                    .tracks
                    .iter()
                    .filter(|(_, track)| track.feed.is_none() && !track.in_ring);
                let oldest = idle.min_by_key(|(_, track)| (track.is_over, track.idle_since));
                if let Some(name) = oldest.map(|(name, _)| Arc::clone(name)) {
                    self.tracks.remove(&name);
                }
            }
        }
        self.tracks.entry(Arc::clone(name)).or_default()
    }

    /// Counts that a feed is lost.
    fn loss(&mut self) -> u64 {
        self.losses += 1;
        self.losses
    }

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
