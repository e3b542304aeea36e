//! Virtual time.

use std::time::{Duration, Instant};

/// Microseconds since the simulation began.
pub(super) type Micros = u64;

pub(super) const MS: Micros = 1_000;
pub(super) const SECOND: Micros = 1_000_000;

/// Instants have no beginning, so there is one that counts as it: only what is between two of them
/// ever matters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    begin: Instant,
    pub(super) now: Micros,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            begin: Instant::now(),
            now: 0,
        }
    }

    pub(super) fn instant(&self) -> Instant {
        self.instant_of(self.now)
    }

    pub(super) fn instant_of(&self, at: Micros) -> Instant {
        self.begin + Duration::from_micros(at)
    }

    /// Rounded up: at that time it is due.
    pub(super) fn of(&self, at: Instant) -> Micros {
        let since = at.saturating_duration_since(self.begin);
        u64::try_from(since.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
    }
}
