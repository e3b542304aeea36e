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

use crate::{deadline::Deadlines, hosted::Hosted};

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

/// Nodes whose deadlines are to be kept even while their thread is blocked.
fn kept() -> &'static Mutex<Vec<Weak<Deadlines>>> {
    static KEPT: Mutex<Vec<Weak<Deadlines>>> = Mutex::new(Vec::new());
    &KEPT
}

/// Keeps these deadlines, for callers on other threads, even if a component blocks their driver's.
pub(crate) fn keep(deadlines: &Arc<Deadlines>) {
    kept().lock().push(Arc::downgrade(deadlines));
}

fn watch() {
    let mut seen: Vec<(Weak<Pulse>, u64, Instant)> = Vec::new();
    loop {
        std::thread::park_timeout(LOOK_EVERY);
        let now = Instant::now();
        let kept = {
            let mut kept = kept().lock();
            kept.retain(|deadlines| deadlines.strong_count() > 0);
            kept.clone()
        };
        for deadlines in kept.iter().filter_map(Weak::upgrade) {
            deadlines.rescue(now);
        }
        let pulses = {
            let mut watched = watched().lock();
            watched.retain(|pulse| pulse.strong_count() > 0);
            watched.clone()
        };
        seen.retain(|(pulse, ..)| pulse.strong_count() > 0);
        for weak in pulses {
            let Some(pulse) = weak.upgrade() else {
                continue;
            };
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
            is_own: AtomicBool::new(false),
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

    fn name_it(&self, since: Instant) {
        let number = self.running.load(Relaxed);
        let Some(component) = crate::hosted::name_of(number) else {
            return;
        };
        let mut blocked = self.blocked.lock();
        // It may have gone on between the look and the lock; then the next look decides.
        if blocked.is_none() && self.beats.load(Relaxed) % 2 == 1 {
            *blocked = Some((
                number,
                Blocked {
                    component: component.to_string(),
                    since,
                },
            ));
            drop(blocked);
            self.is_blocked.store(true, Relaxed);
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
}

/// A component's turns are being polled.
pub(crate) struct Busy<'a>(&'a Pulse);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let pulse = self.0;
        pulse.beats.store(pulse.beats.load(Relaxed) + 1, Relaxed);
        if pulse.is_blocked.load(Relaxed)
            && pulse.is_blocked.swap(false, Relaxed)
            && let Some((_, was)) = pulse.blocked.lock().take()
            && !pulse.is_own.load(Relaxed)
        {
            tracing::warn!(component = %was.component, for_ms = was.since.elapsed().as_millis(), "no longer blocks its thread");
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
