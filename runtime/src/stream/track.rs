//! One stream of a subscription: what has come of it and waits, over all lives of its publisher.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::{
    EndCode, NodeId,
    fingerprint::Layout,
    stream::{Granted, Mode},
};

use super::{
    StreamError, StreamReason,
    after::After,
    item::{Body, Entry, Origin},
    source::Source,
    wish::{Form, Wish},
};
use crate::link::{BulkLink, Order};

const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

#[derive(Default)]
pub(super) struct Track {
    pub(super) queue: VecDeque<Entry>,
    /// Of what is in the queue.
    bytes: usize,
    /// Follows the items; until it is taken there is no new feed.
    pub(super) error: Option<StreamError>,
    /// It is taken back once there is a feed.
    unreachable: Option<StreamError>,
    /// The node that it was told of, or is to be: it is told once until there is a feed.
    is_unreachable: Option<NodeId>,
    pub(super) in_ring: bool,
    pub(super) feed: Option<Feed>,
    /// It was cut off, and is not to be subscribed to again.
    pub(super) is_over: bool,
    /// When it lost its last feed, counted: who has been without for the longest is forgotten first.
    pub(super) idle_since: u64,
    incarnation: Option<u64>,
    /// As the publisher granted it last.
    mode: Option<Mode>,
    /// The number of the next item, were none left out.
    pub(super) next: u64,
    /// To be told with the next item, besides what comes with it.
    pub(super) missed: u64,
    pub(super) thinned: u64,
    restarted: bool,
    pub(super) depth: usize,
    failures: u32,
    /// Its last feed ended because its connection was given up: its place is kept.
    has_moved: bool,
    pub(super) not_before: Option<Instant>,
    /// The last error that was told: the same one again is no news.
    told: Option<(EndCode, String)>,
}

/// A subscription's place at one publisher.
pub(super) struct Feed {
    pub(super) number: u64,
    pub(super) origin: Arc<Origin>,
    place: Place,
    pub(super) granted: Option<Granted>,
    /// The publisher waits for room.
    pub(super) wants_room: bool,
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

/// What an item has to tell of those before it.
#[derive(Clone, Copy)]
pub(super) struct Tale {
    pub(super) missed: u64,
    pub(super) thinned: u64,
    pub(super) restarted: bool,
}

/// How a feed ended.
pub(crate) struct Ended {
    pub(crate) code: EndCode,
    pub(crate) missed: u64,
    pub(crate) thinned: u64,
    pub(crate) detail: String,
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

impl Track {
    pub(super) fn is_ready(&self) -> bool {
        !self.queue.is_empty() || self.error.is_some() || self.unreachable.is_some()
    }

    /// Whether it can get a feed, for who wants it so.
    pub(super) fn gate(&self, wish: Option<Mode>, now: Instant) -> Gate {
        if !self.wants_feed(wish) {
            return Gate::Shut;
        }
        match self.not_before {
            Some(at) if at > now => Gate::At(at),
            _ => Gate::Open,
        }
    }

    /// So much of an earlier feed waits that another would only pile more upon it. What pushes the
    /// oldest out never does that.
    fn is_full(&self, wish: Option<Mode>) -> bool {
        // Its place is kept for a while only: it gets it although more is piled up then.
        let depth = self.depth.max(1) * if self.has_moved { 2 } else { 1 };
        wish.or(self.mode) != Some(Mode::Latest) && self.queue.len() >= depth
    }

    pub(super) fn wants_feed(&self, wish: Option<Mode>) -> bool {
        self.feed.is_none() && self.error.is_none() && !self.is_over && !self.is_full(wish)
    }

    /// Its publisher's node can't be reached. Whether that is news.
    pub(super) fn unreachable(
        &mut self,
        node: NodeId,
        error: impl FnOnce() -> StreamError,
    ) -> bool {
        if self.feed.is_some() || self.is_over || self.is_unreachable == Some(node) {
            return false;
        }
        self.is_unreachable = Some(node);
        self.unreachable = Some(error());
        true
    }

    pub(super) fn opened(&mut self, granted: &Granted) {
        self.failures = 0;
        self.has_moved = false;
        self.told = None;
        self.unreachable = None;
        self.is_unreachable = None;
        self.mode = Some(granted.mode);
        self.depth = granted.depth.max(1) as usize;
        match self.incarnation {
            None => self.next = granted.next,
            Some(same) if same == granted.incarnation => {
                // What it kept may have come already. Nothing of what it publishes from now on has,
                // whatever an earlier connection has claimed.
                let live = granted.next.saturating_add(u64::from(granted.keep_last));
                self.next = self.next.min(live);
                let gap = granted.next.saturating_sub(self.next);
                self.missed = self.missed.saturating_add(gap);
                self.next += gap;
            }
            Some(_) => {
                self.restarted = true;
                self.missed = self.missed.saturating_add(granted.next);
                self.next = granted.next;
            }
        }
        self.incarnation = Some(granted.incarnation);
        if let Some(feed) = &mut self.feed {
            feed.granted = Some(*granted);
        }
    }

    /// Where it goes on, if its place is kept.
    pub(super) fn resumes(&self) -> Option<(u64, u64)> {
        let incarnation = self.incarnation.filter(|_| self.has_moved)?;
        Some((incarnation, self.next))
    }

    /// Its feed has ended, or is to be left.
    pub(super) fn lose(&mut self, losses: u64) -> Option<Feed> {
        self.idle_since = losses;
        self.feed.take()
    }

    /// Items of the feed that just ended, which never come.
    pub(super) fn left_out(&mut self, missed: u64, thinned: u64) {
        self.missed = self.missed.saturating_add(missed);
        self.thinned = self.thinned.saturating_add(thinned);
        let next = self.next.saturating_add(missed);
        self.next = next.saturating_add(thinned);
    }

    /// What an item that can't be used had to tell of those before it: the next one tells it.
    pub(super) fn carry_over(&mut self, tale: Tale) {
        let next = self.queue.front_mut().map(|entry| {
            let Entry {
                missed,
                thinned,
                restarted,
                ..
            } = entry;
            (missed, thinned, restarted)
        });
        let own = (&mut self.missed, &mut self.thinned, &mut self.restarted);
        let (missed, thinned, restarted) = next.unwrap_or(own);
        *missed = missed.saturating_add(tale.missed);
        *thinned = thinned.saturating_add(tale.thinned);
        *restarted |= tale.restarted;
    }

    /// How many older ones were dropped for it.
    pub(super) fn push(&mut self, arrival: Arrival, bytes_max: usize, after: &mut After) -> u64 {
        let Some(feed) = &mut self.feed else {
            return 0;
        };
        let is_latest = feed.is_latest();
        let Arrival {
            seq,
            thinned,
            published,
            body,
        } = arrival;
        let len = body.len();
        let is_known = seq < self.next;
        if is_known || is_latest {
            // What comes pushes the oldest out here: were it to wait for the subscriber, the newest
            // would be what waits at the publisher.
            feed.release(1, len, after);
        }
        if is_known {
            // It came over an earlier connection, and again as one of those that are kept.
            after.drop_body(body);
            return 0;
        }
        let gap = seq - self.next;
        let thinned = thinned.min(gap);
        let mut entry = Entry {
            seq,
            missed: (gap - thinned).saturating_add(std::mem::take(&mut self.missed)),
            thinned: thinned.saturating_add(std::mem::take(&mut self.thinned)),
            restarted: std::mem::take(&mut self.restarted),
            published,
            from: Arc::clone(&feed.origin),
            body,
            feed: feed.number,
        };
        self.next = seq.saturating_add(1);
        let mut dropped = 0;
        while is_latest
            && (self.queue.len() >= self.depth || self.bytes.saturating_add(len) > bytes_max)
        {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.body.len());
            let heir = self.queue.front_mut().unwrap_or(&mut entry);
            let missed = oldest.missed.saturating_add(1);
            heir.missed = heir.missed.saturating_add(missed);
            heir.thinned = heir.thinned.saturating_add(oldest.thinned);
            heir.restarted |= oldest.restarted;
            after.waste.push(oldest);
            dropped += 1;
        }
        self.bytes = self.bytes.saturating_add(len);
        self.queue.push_back(entry);
        dropped
    }

    pub(super) fn pop(&mut self, after: &mut After) -> Option<Popped> {
        let Some(entry) = self.queue.pop_front() else {
            let error = self.error.take().or_else(|| self.unreachable.take());
            return error.map(Popped::Error);
        };
        self.bytes = self.bytes.saturating_sub(entry.body.len());
        if let Some(feed) = &mut self.feed {
            if entry.feed == feed.number && !feed.is_latest() {
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
    pub(super) fn failed(&mut self, name: &str, ended: Ended, wish: &Wish) -> Option<StreamError> {
        let Ended {
            code,
            missed,
            detail,
            ..
        } = ended;
        // Whatever failed, it is tried again, less and less often; and at once when there is news of
        // the publisher.
        self.has_moved = code == EndCode::Moved;
        if !matches!(
            code,
            EndCode::PublisherGone | EndCode::Stopped | EndCode::Moved
        ) {
            let pause = BACK_OFF.0 * 2_u32.saturating_pow(self.failures.min(8));
            self.not_before = Some(Instant::now() + pause.min(BACK_OFF.1));
            self.failures = self.failures.saturating_add(1);
        }
        if self.has_moved {
            return None;
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
            | EndCode::Moved
            | EndCode::Unsubscribed => return None,
            // Each is news, and the number of items of it.
            EndCode::CutOff => {
                if wish.hears_errors {
                    self.missed -= missed.min(self.missed);
                }
                let reason = StreamReason::CutOff { missed, detail };
                return Some(StreamError::new(name, reason));
            }
            EndCode::WrongSchema => StreamReason::WrongSchema(wish.form.difference(&detail)),
            EndCode::Denied => StreamReason::Denied(detail),
            EndCode::TooMany => StreamReason::TooMany(detail),
            EndCode::TooLarge => StreamReason::TooLarge(detail),
            EndCode::CannotEncode => StreamReason::CannotEncode(detail),
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
    pub(super) fn new(number: u64, origin: &Arc<Origin>, place: Place, window: (u64, u64)) -> Self {
        Self {
            number,
            origin: Arc::clone(origin),
            place,
            granted: None,
            wants_room: false,
            released: (0, 0),
            window,
        }
    }

    /// The connection that it is on, if its publisher is on another node.
    pub(super) fn link(&self) -> Option<&Arc<BulkLink>> {
        match &self.place {
            Place::Here(_) => None,
            Place::There(link) => Some(link),
        }
    }

    fn is_latest(&self) -> bool {
        let granted = self.granted.as_ref();
        granted.is_some_and(|granted| granted.mode == Mode::Latest)
    }

    /// So much was taken: the publisher may send as much again. Told when it is worth a word.
    fn release(&mut self, items: u64, bytes: usize, after: &mut After) {
        let Place::There(link) = &self.place else {
            return;
        };
        self.released.0 += items;
        self.released.1 = self.released.1.saturating_add(bytes as u64);
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

    pub(super) fn leave(self, after: &mut After) {
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

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use botzilla_wire::Encoding;

    use super::*;

    fn granted(next: u64, keep_last: u32) -> Granted {
        Granted {
            incarnation: 7,
            next,
            encoding: Encoding::Bincode,
            fingerprint: None,
            mode: Mode::Reliable,
            cuts_off: true,
            depth: 1,
            keep_last,
            interval: Duration::ZERO,
        }
    }

    #[test]
    fn a_publishers_numbers_can_neither_overflow_nor_keep_later_items_out() {
        let (layout, type_id) = (None, TypeId::of::<u64>());
        let wish = Wish::new(Form::Typed { type_id, layout });
        let mut track = Track::default();
        for _ in 0..3 {
            track.opened(&granted(u64::MAX, u32::MAX));
            track.left_out(u64::MAX, u64::MAX);
            let ended = Ended {
                code: EndCode::CutOff,
                missed: u64::MAX,
                thinned: u64::MAX,
                detail: String::new(),
            };
            let error = track.failed("clock/tick", ended, &wish).unwrap();
            assert!(matches!(error.reason(), StreamReason::CutOff { .. }));
            track.carry_over(Tale {
                missed: u64::MAX,
                thinned: u64::MAX,
                restarted: false,
            });
        }
        // Two of its items are kept, and may have come; what it publishes now has not.
        track.opened(&granted(40, 2));
        assert_eq!(track.next, 42);
        track.opened(&granted(50, 0));
        assert_eq!((track.next, track.missed), (50, u64::MAX));
    }
}
