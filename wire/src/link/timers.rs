//! When to ping, and when the peer is dead.

use std::time::{Duration, Instant};

use crate::{error::SessionError, limits::Limits};

/// A record is whole after so many times the silence of a dead peer, however slow the line.
const STUCK: u32 = 10;

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
    /// When the record began that isn't whole yet.
    partial_since: Option<Instant>,
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
            partial_since: None,
        }
    }

    /// All that came was looked at: whether any record was whole, and whether a part of one is left.
    pub(crate) fn looked(&mut self, now: Instant, any_whole: bool, is_part_left: bool) {
        if !is_part_left {
            self.partial_since = None;
        } else if any_whole || self.partial_since.is_none() {
            self.partial_since = Some(now);
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
        let silent = self.last_received + self.dead_after;
        // Bytes keep coming, and nothing comes of them.
        let stuck = self
            .partial_since
            .map(|since| since + self.dead_after * STUCK);
        let dead = stuck.map_or(silent, |stuck| stuck.min(silent));
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
        let silent = now.saturating_duration_since(self.last_received);
        match self.partial_since {
            Some(since) if silent < self.dead_after => Err(SessionError::Stuck {
                waited: now.saturating_duration_since(since),
            }),
            _ => Err(SessionError::Silent { silent }),
        }
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
    fn a_record_that_never_ends_is_not_waited_for_longer_than_half_a_minute() {
        let start = Instant::now();
        let mut timers = Timers::new(&Limits::default(), start);
        let mut error = None;
        for tenths in 0..400 {
            let now = start + SECOND / 10 * tenths;
            // Bytes come all the time; until here there were whole records among them.
            timers.received(now);
            timers.looked(now, tenths <= 50, true);
            timers.sealed(now);
            if let Err(ended) = timers.handle(now) {
                error = Some((tenths, ended));
                break;
            }
        }
        let waited = 30 * SECOND;
        assert_eq!(error, Some((350, SessionError::Stuck { waited })));
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
