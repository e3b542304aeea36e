//! What comes of a stream, counted.

use std::time::{Duration, Instant};

use botzilla::Item;

use super::messages::StreamCount;

/// Counts the items of one stream at one subscriber, and what these tell of those that didn't come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    count: StreamCount,
    /// The time from item to item, in all, and how many times that was.
    between: Duration,
    gaps: u32,
    /// When the last item came; none: what comes next is the first of a subscription.
    last: Option<Instant>,
}

impl Tally {
    /// A new subscription begins: the time since the last item isn't one from item to item.
    pub(crate) fn begin(&mut self) {
        self.last = None;
    }

    /// An item came.
    pub(crate) fn add<T>(&mut self, item: &Item<T>) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.between += now.duration_since(last);
            self.gaps += 1;
        }
        self.add_missed(item.stream(), item.missed());
        let count = &mut self.count;
        count.items += 1;
        count.thinned += item.thinned();
    }

    /// So many items of the stream didn't come.
    pub(crate) fn add_missed(&mut self, stream: &str, missed: u64) {
        let count = &mut self.count;
        if count.stream != stream {
            stream.clone_into(&mut count.stream);
        }
        count.missed += missed;
    }

    /// It came as so many bytes.
    pub(crate) fn add_bytes(&mut self, bytes: usize) {
        self.count.bytes += bytes as u64;
    }

    /// What was counted, for a report that says whose count it is.
    pub(crate) fn count(&self, subscriber: &str) -> StreamCount {
        let seconds = self.between.as_secs_f64();
        StreamCount {
            subscriber: subscriber.to_owned(),
            hz: if seconds > 0.0 {
                f64::from(self.gaps) / seconds
            } else {
                0.0
            },
            ..self.count.clone()
        }
    }
}
