//! When a component that panicked is rebuilt, and when it is given up. Pure: time comes in.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Back-off between restarts: it doubles from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// So many restarts in such a window, and no more.
const RESTARTS: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// The restarts of one component.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    recent: VecDeque<Instant>,
    total: u64,
}

impl Restarts {
    /// How long to wait before the next restart, or `None` if there were too many.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Duration> {
        while self
            .recent
            .front()
            .is_some_and(|&at| now.saturating_duration_since(at) > WINDOW)
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= RESTARTS {
            return None;
        }
        let doublings = u32::try_from(self.recent.len()).unwrap_or(u32::MAX).min(16);
        self.recent.push_back(now);
        self.total += 1;
        Some((BACK_OFF.0 * 2_u32.pow(doublings)).min(BACK_OFF.1))
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_to_its_maximum_and_the_eleventh_restart_in_a_minute_is_refused() {
        let start = Instant::now();
        let mut restarts = Restarts::default();
        let waits: Vec<_> = (0..10)
            .map(|n| restarts.next(start + Duration::from_secs(n)))
            .collect();
        assert_eq!(waits[0], Some(Duration::from_millis(100)));
        assert_eq!(waits[3], Some(Duration::from_millis(800)));
        assert_eq!(waits[9], Some(Duration::from_secs(5)));
        assert_eq!(restarts.next(start + Duration::from_secs(10)), None);
    }

    #[test]
    fn a_component_that_holds_for_a_minute_starts_anew() {
        let start = Instant::now();
        let mut restarts = Restarts::default();
        for _ in 0..10 {
            restarts.next(start);
        }
        assert_eq!(
            restarts.next(start + Duration::from_secs(61)),
            Some(Duration::from_millis(100))
        );
        assert_eq!(restarts.total(), 11);
    }
}
