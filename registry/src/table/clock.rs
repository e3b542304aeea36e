//! The registry's time, which stands still while the registry does.

use std::time::{Duration, Instant};

/// Turns the time of the machine into one in which leases run: when the process was stopped, starved
/// or suspended, nobody could be heard, and that time counts for nobody.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The latest time that was seen.
    last: Instant,
    /// How much of it didn't count.
    lost: Duration,
    /// A longer gap than this between two looks at the time is a standstill.
    stall: Duration,
}

/// A time on a [`Clock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Instant);

impl Clock {
    pub(crate) fn new(now: Instant, stall: Duration) -> Self {
        Self {
            last: now,
            lost: Duration::ZERO,
            stall,
        }
    }

    /// Looks at the time.
    pub(crate) fn advance(&mut self, now: Instant) -> Moment {
        let gap = now.saturating_duration_since(self.last);
        if gap > self.stall {
            self.lost += gap - self.stall;
        }
        self.last = self.last.max(now);
        self.now()
    }

    /// The time when it was last looked at.
    pub(crate) fn now(&self) -> Moment {
        // What was lost was part of what has passed.
        Moment(self.last - self.lost)
    }
}

impl Moment {
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// None: before the machine's clock began.
    pub(crate) fn before(self, age: Duration) -> Option<Self> {
        self.0.checked_sub(age).map(Self)
    }

    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_counts_for_nobody_and_steady_looks_count_whole() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut clock = Clock::new(start, second);
        let begin = clock.now();
        assert_eq!(clock.advance(start + second).since(begin), second);
        // A minute's standstill counts as one look.
        assert_eq!(clock.advance(start + 61 * second).since(begin), 2 * second);
        assert_eq!(clock.advance(start + 62 * second).since(begin), 3 * second);
        // Looks out of order don't turn it back.
        assert_eq!(clock.advance(start).since(begin), 3 * second);
    }
}
