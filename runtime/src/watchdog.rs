//! Names the component that blocks its thread.
//!
//! A thread's pulse says which component runs and counts its polls; nothing on the message path
//! reads a clock for it. One thread a process looks at all pulses.

use std::{
    fmt,
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
    is_blocked: AtomicBool,
    blocked: Mutex<Option<Blocked>>,
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
    let mut seen: Vec<(Weak<Pulse>, u64, Instant)> = Vec::new();
    loop {
        std::thread::park_timeout(LOOK_EVERY);
        let now = Instant::now();
        let pulses = {
            let mut watched = watched().lock();
            watched.retain(|pulse| pulse.strong_count() > 0);
            watched.clone()
        };
        seen.retain(|(pulse, ..)| pulse.strong_count() > 0);
        for weak in pulses {
            let Some(pulse) = weak.upgrade() else { continue };
            let beats = pulse.beats.load(Relaxed);
            let Some(known) = seen.iter_mut().find(|(known, ..)| known.ptr_eq(&weak)) else {
                seen.push((weak, beats, now));
                continue;
            };
            if known.1 != beats {
                (known.1, known.2) = (beats, now);
            } else if beats % 2 == 1 && now - known.2 >= PATIENCE {
                pulse.name_it(known.2);
            }
        }
    }
}

impl Pulse {
    pub(crate) fn of_this_thread() -> Arc<Self> {
        OF_THIS_THREAD.with(Clone::clone)
    }

    fn watched() -> Arc<Self> {
        let pulse = Arc::new(Self {
            beats: AtomicU64::new(0),
            running: AtomicU64::new(0),
            is_blocked: AtomicBool::new(false),
            blocked: Mutex::default(),
        });
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

    /// Who blocks the thread now.
    pub(crate) fn blocked(&self) -> Option<Blocked> {
        self.blocked.lock().clone()
    }

    fn name_it(&self, since: Instant) {
        let Some(component) = crate::hosted::name_of(self.running.load(Relaxed)) else { return };
        let mut blocked = self.blocked.lock();
        // It may have gone on between the look and the lock; then the next look decides.
        if blocked.is_none() && self.beats.load(Relaxed) % 2 == 1 {
            *blocked = Some(Blocked { component: component.to_string(), since });
            drop(blocked);
            self.is_blocked.store(true, Relaxed);
            tracing::warn!(
                %component,
                "this component blocks its thread, and with it everything on that thread; await instead, or spawn it with `own_thread`"
            );
        }
    }
}

/// A component's turns are being polled.
pub(crate) struct Busy<'a>(&'a Pulse);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let pulse = self.0;
        pulse.beats.store(pulse.beats.load(Relaxed) + 1, Relaxed);
        if pulse.is_blocked.load(Relaxed)
            && pulse.is_blocked.swap(false, Relaxed)
            && let Some(was) = pulse.blocked.lock().take()
        {
            tracing::warn!(component = %was.component, for_ms = was.since.elapsed().as_millis(), "no longer blocks its thread");
        }
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("beats", &self.beats.load(Relaxed)).finish_non_exhaustive()
    }
}
