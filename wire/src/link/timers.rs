//! When to ping, and when the peer is dead.

use std::time::{Duration, Instant};

use crate::{error::SessionError, limits::Limits};

#[derive(Debug)]
pub(crate) struct Timers {
    ping_every: Duration,
    dead_after: Duration,
    pub(crate) last_received: Instant,
    pub(crate) last_active: Instant,
    last_sealed: Instant,
    /// A ping is to be sealed, if nothing else is.
    pub(crate) ping: bool,
    /// We stood still: the peer isn't dead before then.
    grace: Option<Instant>,
}

impl Timers {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            ping_every: limits.ping_every,
            dead_after: limits.dead_after,
            last_received: now,
            last_active: now,
            last_sealed: now,
            ping: false,
            grace: None,
        }
    }

    pub(crate) fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.grace = None;
    }

    pub(crate) fn sealed(&mut self, now: Instant) {
        self.last_sealed = now;
        self.ping = false;
    }

    fn dead_at(&self) -> Instant {
        let dead = self.last_received + self.dead_after;
        self.grace.map_or(dead, |grace| dead.max(grace))
    }

    pub(crate) fn next(&self) -> Instant {
        // A ping that waits needs no timer: it goes as soon as the socket takes it.
        let ping = if self.ping {
            None
        } else {
            Some(self.last_sealed + self.ping_every)
        };
        ping.map_or(self.dead_at(), |ping| ping.min(self.dead_at()))
    }

    pub(crate) fn handle(&mut self, now: Instant) -> Result<(), SessionError> {
        let due = self.next();
        if now >= self.last_sealed + self.ping_every {
            self.ping = true;
        }
        if now < self.dead_at() {
            return Ok(());
        }
        // Called long after it was due, this process stood still, and what has arrived meanwhile
        // may not have been read: the peer gets one more interval.
        if self.grace.is_none() && now.duration_since(due) >= self.ping_every {
            self.grace = Some(now + self.ping_every);
            return Ok(());
        }
        Err(SessionError::Silent {
            silent: now.duration_since(self.last_received),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_pings_after_a_second_of_silence_and_declares_death_after_three() {
        let start = Instant::now();
        let mut timers = Timers::new(&Limits::default(), start);
        assert_eq!(timers.next(), start + SECOND);
        assert_eq!(timers.handle(start + SECOND / 2), Ok(()));
        assert!(!timers.ping);
        assert_eq!(timers.handle(start + SECOND), Ok(()));
        assert!(timers.ping);
        assert_eq!(
            timers.next(),
            start + 3 * SECOND,
            "a ping that waits needs no timer"
        );
        timers.sealed(start + SECOND);
        assert_eq!(timers.next(), start + 2 * SECOND);
        timers.handle(start + 2 * SECOND).unwrap();
        let error = timers.handle(start + 3 * SECOND).unwrap_err();
        assert_eq!(error, SessionError::Silent { silent: 3 * SECOND });
    }

    #[test]
    fn a_process_that_stood_still_gives_the_peer_one_more_interval() {
        let start = Instant::now();
        let mut timers = Timers::new(&Limits::default(), start);
        assert_eq!(timers.handle(start + 60 * SECOND), Ok(()));
        timers.sealed(start + 60 * SECOND);
        assert_eq!(timers.next(), start + 61 * SECOND);
        assert!(timers.handle(start + 61 * SECOND).is_err());
        let mut timers = Timers::new(&Limits::default(), start);
        assert_eq!(timers.handle(start + 60 * SECOND), Ok(()));
        timers.received(start + 60 * SECOND);
        assert_eq!(timers.handle(start + 61 * SECOND), Ok(()));
    }
}
