//! How a publisher treats subscribers that don't keep up.

use std::time::{Duration, Instant};

use botzilla_wire::stream::Mode;

/// How many items wait for a subscriber unless somebody says otherwise.
const DEPTH: u32 = 64;

/// What a stream does for its subscribers, as its publisher decides it.
///
/// ```
/// use std::time::Duration;
/// use botzilla::{Qos, WhenFull};
///
/// // A camera: who is slow sees fewer images, and is told how many it missed.
/// let images = Qos::latest().depth(2);
/// // A log: nothing is lost; who doesn't take an item within a second is cut off, and sees that.
/// let log = Qos::reliable()
///     .depth(256)
///     .when_full(WhenFull::CutOff { after: Duration::from_secs(1) })
///     .keep_last(16);
/// # let _ = (images, log);
/// ```
///
/// What a subscriber gets depends on both sides. There is no pair under which nothing arrives and
/// nobody is told:
///
/// | publisher | subscriber | what happens when the subscriber is full |
/// | --- | --- | --- |
/// | latest | as published, latest | the oldest item is dropped; the next says how many were missed |
/// | latest | reliable | the same: the publisher never waits, `missed` tells, and the subscriber's node logs once that it isn't reliable |
/// | reliable, wait | as published, reliable | `send` waits, for as long as it takes; nothing is lost. After 1 s, and each 10 s, it is logged who is waited for. `send_within` waits for so long and gives the item back |
/// | reliable, wait | a stream handler that has no turn before this `send` is over: of the component that sends, or of one that waits for it | [`SendError::Cycle`](crate::SendError::Cycle) at once: it would wait for itself |
/// | reliable, cut off | as published, reliable | `send` waits for at most `after`; then the subscriber is cut off, sees that as an error, and subscribes again |
/// | reliable | latest | the oldest item is dropped and counted; the publisher never waits for this one |
///
/// And whether it is full or not:
///
/// | publisher | subscriber | what happens |
/// | --- | --- | --- |
/// | an item that JSON can't carry (an infinity), or that is too large as JSON | reads JSON, as tools do | the others get it. This one's subscription ends with [`CannotEncode`](crate::StreamReason::CannotEncode) or [`TooLarge`](crate::StreamReason::TooLarge) after what waits, and begins again; the item is missed |
/// | an item that can't be encoded, or is too large, as the stream's own subscribers read it | any that isn't of its process | `send` fails, and nobody got it |
/// | an item larger than the `stream_payload` of the subscriber's node | on that node | as with JSON: `TooLarge`, and the item is missed |
/// | keeps items | wants them, and a rate | those that are kept come at once; the rate counts from the first that is new |
/// | keeps items, of which the newest can't reach it | wants them | an error that says so, once; it is tried again each second at the latest, and begins with the next that can |
/// | gone, or not there yet | any | nothing comes, and `publishers` doesn't list it; it is found when it is there |
/// | on a node that can't be reached | any | [`Unreachable`](crate::StreamReason::Unreachable) after some seconds, once; it is tried on, and items come when it works |
///
/// A rate limit thins the stream at the publisher before any of this; what it left out is counted
/// apart from what was missed. Items of before the subscription are given if the publisher keeps
/// them and the subscriber wants them, whichever is fewer. A depth of 0 is one of 1.
///
/// A depth bounds all that waits for a subscriber in the publisher's process. For one on another node
/// it bounds what waits at the publisher, and apart from that what is at the subscriber:
///
/// - one that takes the latest keeps its depth of them there, too, and drops the oldest;
/// - a reliable one that gave a depth has at most so many on their way and unread: with those at the
///   publisher twice its depth;
/// - a reliable one that gave none has a window on its way and unread that is the same for all
///   streams, of at most 1,024 items and 16 MiB (and one item more): give a depth where that is too
///   much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qos {
    pub(crate) mode: Mode,
    pub(crate) depth: u32,
    pub(crate) when_full: WhenFull,
    pub(crate) keep_last: u32,
}

/// What a reliable stream does about a subscriber that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// `send` waits for it.
    Wait,
    /// `send` waits for at most this long; then the subscriber is cut off, with an error that it
    /// sees.
    CutOff {
        /// How long.
        after: Duration,
    },
}

impl Qos {
    const fn of(mode: Mode) -> Self {
        Self {
            mode,
            depth: DEPTH,
            when_full: WhenFull::Wait,
            keep_last: 0,
        }
    }

    /// The newest items count: for a full subscriber the oldest that wait are dropped. 64 wait
    /// unless [`depth`](Self::depth) says otherwise.
    pub const fn latest() -> Self {
        Self::of(Mode::Latest)
    }

    /// Every item counts: a full subscriber is waited for, unless
    /// [`when_full`](Self::when_full) says otherwise.
    pub const fn reliable() -> Self {
        Self::of(Mode::Reliable)
    }

    /// How many items may wait for a subscriber that doesn't ask for another number.
    #[must_use]
    pub const fn depth(mut self, items: u32) -> Self {
        self.depth = if items == 0 { 1 } else { items };
        self
    }

    /// What to do about a full subscriber of a reliable stream; a latest one never waits.
    #[must_use]
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// How many items are kept for those who subscribe later and want them.
    #[must_use]
    pub const fn keep_last(mut self, items: u32) -> Self {
        self.keep_last = items;
        self
    }

    /// When a subscriber that has been full since then is cut off, and after how long; none: never.
    pub(crate) fn cut_off(&self, since: Instant) -> Option<(Instant, Duration)> {
        match self.when_full {
            WhenFull::Wait => None,
            WhenFull::CutOff { after } => Some((since.checked_add(after)?, after)),
        }
    }

    /// Whether a full subscriber holds the publisher up, at least for a time.
    pub const fn is_reliable(&self) -> bool {
        matches!(self.mode, Mode::Reliable)
    }
}

impl Default for Qos {
    /// [`Qos::latest`].
    fn default() -> Self {
        Self::latest()
    }
}

/// Lets through as many items a second as a subscriber wants, evenly.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Thinning {
    interval: Duration,
    /// When the next one may go; none before the first.
    due: Option<Instant>,
}

impl Thinning {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            due: None,
        }
    }

    /// Whether an item may go now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.interval.is_zero() || self.due.is_none_or(|due| now >= due)
    }

    /// An item goes now.
    pub(crate) fn goes(&mut self, now: Instant) {
        if self.interval.is_zero() {
            return;
        }
        // Counted on from when it was due, so that jitter doesn't make the rate lower than asked
        // for; after a pause from now, or a burst would follow.
        self.due = match self.due {
            Some(due) if now.saturating_duration_since(due) < self.interval => {
                Some(due + self.interval)
            }
            _ => Some(now + self.interval),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_rate_over_time_and_lets_no_burst_follow_a_pause() {
        let start = Instant::now();
        let mut thinning = Thinning::new(Duration::from_millis(200));
        let mut let_through = |ms: u64| {
            let now = start + Duration::from_millis(ms);
            let due = thinning.is_due(now);
            if due {
                thinning.goes(now);
            }
            due
        };
        // 30 Hz for 2 s: ten items, not the six that counting from each would leave.
        let count = (0..60).filter(|n| let_through(n * 33)).count();
        assert_eq!(count, 10);
        assert!(let_through(10_000) && !let_through(10_050) && !let_through(10_199));
        assert!(let_through(10_200));
    }
}
