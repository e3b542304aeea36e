//! How long a supervisor goes on before the others on its thread have their turn.

use std::time::{Duration, Instant};

/// After so many messages, or so long, whichever is first, the others on the thread have their turn.
const BURST: usize = 64;
const SLICE: Duration = Duration::from_millis(1);

/// Counts the turns of one poll and reads the clock once a turn at most.
#[derive(Default)]
pub(crate) struct Burst {
    /// The mailbox wakes the component already, if anything comes.
    pub(crate) asleep: bool,
    /// The turn that runs was polled in this poll.
    pub(crate) polled: bool,
    pub(crate) turns: usize,
    started: Option<Instant>,
    now: Option<Instant>,
}

impl Burst {
    pub(crate) fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    pub(crate) fn may_go_on(&mut self, at_rest: impl FnOnce() -> bool) -> bool {
        self.turns += 1;
        if self.turns == 1 || at_rest() {
            self.now = None;
            return true;
        }
        // The clock is read anew after each turn, for the slice and for the next deadline.
        let now = Instant::now();
        self.now = Some(now);
        let started = *self.started.get_or_insert(now);
        self.turns <= BURST && now.saturating_duration_since(started) < SLICE
    }
}
