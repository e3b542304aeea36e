//! Names the component that blocks its thread.
//!
//! A thread's pulse says which component runs and counts its polls, of its turns and of what it runs
//! beside them; nothing on the message path reads a clock for it. One thread a process looks at all pulses.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::hosted::Hosted;

/// A component that keeps its thread for so long is named.
const PATIENCE: Duration = Duration::from_millis(250);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One thread's pulse.
pub(crate) struct Pulse {
    /// Odd while a component's turns are polled.
    beats: AtomicU64,
    /// The number of the component that ran last.
    running: AtomicU64,
    /// A component has the thread for itself.
    is_own: AtomicBool,
    is_blocked: AtomicBool,
    /// With the component's number.
    blocked: Mutex<Option<(u64, Blocked)>>,
}

/// A component that has kept its thread too long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Blocked {
    /// Its name.
    pub component: String,
    /// Since when the watchdog has seen it.
    pub since: Instant,
}

thread_local! {
    static OF_THIS_THREAD: Arc<Pulse> = Pulse::watched();
}

fn watched() -> &'static Mutex<Vec<Weak<Pulse>>> {
    static WATCHED: OnceLock<Mutex<Vec<Weak<Pulse>>>> = OnceLock::new();
    WATCHED.get_or_init(|| {
        let thread = std::thread::Builder::new().name("botzilla-watchdog".to_owned());
        if let Err(error) = thread.spawn(watch) {
            tracing::warn!(%error, "no watchdog: components that block their thread won't be named");
        }
        Mutex::default()
    })
}

fn watch() {
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        std::thread::park_timeout(LOOK_EVERY);
        let now = Instant::now();
        let pulses = {
            let mut watched = watched().lock();
            watched.retain(|pulse| pulse.strong_count() > 0);
            watched.clone()
        };
        seen.retain(|seen| seen.pulse.strong_count() > 0);
        for weak in pulses {
            let Some(pulse) = weak.upgrade() else {
                continue;
            };
            match seen.iter_mut().find(|seen| seen.pulse.ptr_eq(&weak)) {
                Some(seen) => seen.look_again(&pulse, now),
                None => seen.push(Seen {
                    pulse: weak,
                    beats: pulse.beats.load(Relaxed),
                    since: now,
                }),
            }
        }
    }
}

/// What the watchdog saw of a pulse when it changed last.
struct Seen {
    pulse: Weak<Pulse>,
    beats: u64,
    since: Instant,
}

impl Seen {
    fn look_again(&mut self, pulse: &Pulse, now: Instant) {
        let beats = pulse.beats.load(Relaxed);
        if self.beats != beats {
            (self.beats, self.since) = (beats, now);
            // If it went on at the moment in which it was named, it didn't know.
            pulse.goes_on();
        } else if beats % 2 == 1 && now - self.since >= PATIENCE {
            pulse.name_it(beats, self.since);
        }
    }
}

impl Pulse {
    pub(crate) fn of_this_thread() -> Arc<Self> {
        OF_THIS_THREAD.with(Clone::clone)
    }

    fn new() -> Arc<Self> {
        Arc::new(Self {
            beats: AtomicU64::new(0),
            running: AtomicU64::new(0),
            is_own: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            blocked: Mutex::default(),
        })
    }

    fn watched() -> Arc<Self> {
        let pulse = Self::new();
        watched().lock().push(Arc::downgrade(&pulse));
        pulse
    }

    /// Marks the component as running until the guard is dropped.
    pub(crate) fn enter(&self, hosted: &Hosted) -> Busy<'_> {
        self.running.store(hosted.number, Relaxed);
        // Only this thread writes it: a load and a store do, no read-modify-write is needed.
        self.beats.store(self.beats.load(Relaxed) + 1, Relaxed);
        Busy(self)
    }

    /// This thread is one component's alone: it is there to be blocked.
    pub(crate) fn is_own(&self) {
        self.is_own.store(true, Relaxed);
    }

    /// Who blocks the thread now.
    pub(crate) fn blocked(&self) -> Option<Blocked> {
        self.blocked
            .lock()
            .as_ref()
            .map(|(_, blocked)| blocked.clone())
    }

    fn name_it(&self, beats: u64, since: Instant) {
        let number = self.running.load(Relaxed);
        let Some(component) = crate::hosted::name_of(number) else {
            return;
        };
        let mut blocked = self.blocked.lock();
        // It may have gone on since the look; then the next look decides.
        if blocked.is_none() && self.beats.load(Relaxed) == beats {
            *blocked = Some((
                number,
                Blocked {
                    component: component.to_string(),
                    since,
                },
            ));
            self.is_blocked.store(true, Relaxed);
            drop(blocked);
            if self.is_own.load(Relaxed) {
                tracing::debug!(%component, "this component keeps its own thread busy; its messages wait");
                return;
            }
            tracing::warn!(
                %component,
                "this component blocks its thread, and with it everything on that thread; await instead, or spawn it with `own_thread`"
            );
        }
    }

    /// Whoever was named doesn't block the thread any more.
    fn goes_on(&self) {
        if self.is_blocked.swap(false, Relaxed)
            && let Some((_, was)) = self.blocked.lock().take()
            && !self.is_own.load(Relaxed)
        {
            tracing::warn!(component = %was.component, for_ms = was.since.elapsed().as_millis(), "no longer blocks its thread");
        }
    }
}

/// A component's turns are being polled.
pub(crate) struct Busy<'a>(&'a Pulse);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let pulse = self.0;
        pulse.beats.store(pulse.beats.load(Relaxed) + 1, Relaxed);
        if pulse.is_blocked.load(Relaxed) {
            pulse.goes_on();
        }
    }
}

/// Since when a component blocks its thread, whichever that is.
pub(crate) fn blocks_since(hosted: &Hosted) -> Option<Instant> {
    let watched = watched().lock();
    watched
        .iter()
        .filter_map(Weak::upgrade)
        .find_map(|pulse| match &*pulse.blocked.lock() {
            Some((number, blocked)) if *number == hosted.number => Some(blocked.since),
            _ => None,
        })
}

/// Runs what a component does beside its turns.
pub(crate) async fn watched_by<F: Future>(
    pulse: Arc<Pulse>,
    hosted: Arc<Hosted>,
    future: F,
) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        let _busy = pulse.enter(&hosted);
        future.as_mut().poll(cx)
    })
    .await
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse")
            .field("beats", &self.beats.load(Relaxed))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use botzilla_wire::Name;

    use super::*;
    use crate::{deadline::Deadlines, mailbox::Mailbox};

    fn hosted(name: &str) -> Hosted {
        let deadlines = Deadlines::new(Instant::now());
        let name = Name::new(name).unwrap();
        Hosted::new(
            name,
            1,
            Vec::new(),
            Vec::new(),
            Mailbox::new(1, 1),
            deadlines,
            1024,
        )
    }

    #[test]
    fn who_goes_on_while_being_named_is_not_named_for_long() {
        let now = Instant::now();
        let hosted = hosted("slow");
        let pulse = Pulse::new();
        let busy = pulse.enter(&hosted);
        let mut seen = Seen {
            pulse: Arc::downgrade(&pulse),
            beats: pulse.beats.load(Relaxed),
            since: now,
        };
        seen.look_again(&pulse, now + PATIENCE);
        assert_eq!(pulse.blocked().unwrap().component, "slow");

        // It ends and sees no sign yet that it was named.
        pulse.is_blocked.store(false, Relaxed);
        drop(busy);
        pulse.is_blocked.store(true, Relaxed);
        assert!(pulse.blocked().is_some());
        seen.look_again(&pulse, now + PATIENCE + LOOK_EVERY);
        assert!(pulse.blocked().is_none());
    }

    #[test]
    fn a_turn_is_not_named_for_the_time_of_the_one_before() {
        let now = Instant::now();
        let pulse = Pulse::new();
        let hosted = hosted("quick");
        let busy = pulse.enter(&hosted);
        let beats = pulse.beats.load(Relaxed);
        drop(busy);
        let _next = pulse.enter(&hosted);
        pulse.name_it(beats, now);
        assert!(pulse.blocked().is_none());
    }
}
