//! One stream of a subscription: what has come of it and waits, over all lives of its publisher.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::{
    EndCode,
    fingerprint::Layout,
    stream::{Granted, Mode},
};

use super::{
    StreamError, StreamReason,
    after::After,
    item::{Body, Entry, Origin},
    source::Source,
    wish::Form,
};
use crate::link::{BulkLink, Order};

const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

#[derive(Default)]
pub(super) struct Track {
    pub(super) queue: VecDeque<Entry>,
    /// Follows the items; until it is taken there is no new feed.
    pub(super) error: Option<StreamError>,
    pub(super) in_ring: bool,
    pub(super) feed: Option<Feed>,
    incarnation: Option<u64>,
    /// The number of the next item, were none left out.
    pub(super) next: u64,
    /// To be told with the next item, besides what comes with it.
    pub(super) missed: u64,
    pub(super) thinned: u64,
    restarted: bool,
    pub(super) depth: usize,
    failures: u32,
    pub(super) not_before: Option<Instant>,
    /// The last error that was told: the same one again is no news.
    told: Option<(EndCode, String)>,
}

/// A subscription's place at one publisher.
pub(super) struct Feed {
    pub(super) number: u64,
    pub(super) origin: Arc<Origin>,
    place: Place,
    mode: Mode,
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
        !self.queue.is_empty() || self.error.is_some()
    }

    pub(super) fn gate(&self, now: Instant) -> Gate {
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
    pub(super) fn wants_feed(&self) -> bool {
        self.feed.is_none() && self.error.is_none() && !self.is_full()
    }

    pub(super) fn opened(&mut self, granted: &Granted) {
        self.failures = 0;
        self.told = None;
        self.depth = granted.depth.max(1) as usize;
        match self.incarnation {
            None => self.next = granted.next,
            Some(same) if same == granted.incarnation => {
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
            feed.mode = granted.mode;
        }
    }

    /// How many older ones were dropped for it.
    pub(super) fn push(&mut self, arrival: Arrival, after: &mut After) -> u64 {
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
            missed: std::mem::take(&mut self.missed).saturating_add(gap - thinned),
            thinned: std::mem::take(&mut self.thinned).saturating_add(thinned),
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
            heir.missed = heir.missed.saturating_add(oldest.missed.saturating_add(1));
            heir.thinned = heir.thinned.saturating_add(oldest.thinned);
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

    pub(super) fn pop(&mut self, after: &mut After) -> Option<Popped> {
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
    pub(super) fn failed(&mut self, name: &str, ended: Ended, form: &Form) -> Option<StreamError> {
        let Ended {
            code,
            missed,
            detail,
            ..
        } = ended;
        // Whatever failed, it is tried again, less and less often; and at once when there is news of
        // the publisher.
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
            mode: Mode::Reliable,
            wants_room: false,
            released: (0, 0),
            window,
        }
    }

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
