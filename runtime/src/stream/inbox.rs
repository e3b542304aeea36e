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
    after::After,
    item::Origin,
    name::Selector,
    track::{Feed, Track},
    wish::Wish,
};

/// Streams that a pattern has matched once and that are gone: so many are remembered.
const REMEMBERED: usize = 1024;

/// One subscription's items.
pub(crate) struct Inbox {
    pub(crate) selector: Selector,
    pub(crate) wish: Wish,
    /// Tells who looks for publishers to look again.
    pub(crate) poke: Arc<Notify>,
    /// How many tracks have something to be taken.
    ready: AtomicUsize,
    /// It was logged that it gets less than it asked for.
    has_noted: AtomicBool,
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
    pub(crate) fn new(selector: Selector, wish: Wish) -> Arc<Self> {
        Arc::new(Self {
            selector,
            wish,
            poke: Arc::default(),
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
        track.feed = Some(Feed::new(number, origin, place, self.wish.window()));
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
        // The session has checked the sums by its own count, which isn't that of earlier connections.
        track.missed = track.missed.saturating_add(ended.missed);
        track.thinned = track.thinned.saturating_add(ended.thinned);
        let left_out = ended.missed.saturating_add(ended.thinned);
        track.next = track.next.saturating_add(left_out);
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
            totals.missed = totals.missed.saturating_add(entry.missed);
            totals.thinned = totals.thinned.saturating_add(entry.thinned);
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
