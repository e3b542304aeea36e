//! Deadlines in a wheel: a request's costs a few links, not a timer.
//!
//! A node has one wheel, for whatever waits for something, and each of its components one for the
//! asks that it has open, under its mailbox's lock. They work from any thread. One thread a process
//! fires what is due in all wheels: whoever blocks a node's thread holds up nobody's deadline, and no
//! runtime has a timer, which would cost it work at each of its turns.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    task::{Context, Poll, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    contain,
    wheel::{Key, Wheel},
};

const TICK_MS: u64 = 2;

/// What a time that is too long for the clock is taken for.
pub(crate) const AS_LONG_AS_CAN_BE: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The deadlines of one node.
#[derive(Debug)]
pub(crate) struct Deadlines {
    start: Instant,
    wheel: Mutex<Wheel<Option<Waker>>>,
    /// Who fires what is due.
    keeper: OnceLock<Thread>,
}

/// The wheels of this process, and the thread that fires what is due in them.
struct Kept {
    wheels: Vec<Weak<dyn Fires>>,
    keeper: Option<Thread>,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    wheels: Vec::new(),
    keeper: None,
});

/// Has a wheel.
pub(crate) trait Fires: Send + Sync {
    /// Fires what is due and says when to come again.
    fn fire(&self, now: Instant) -> Option<Instant>;
}

/// Waits for one deadline; dropping it takes it out of the wheel.
#[derive(Debug)]
pub(crate) struct Alarm {
    deadlines: Arc<Deadlines>,
    at: Instant,
    key: Option<Key>,
}

impl Deadlines {
    pub(crate) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            start: now,
            wheel: Mutex::default(),
            keeper: OnceLock::new(),
        })
    }

    /// Has what is due fired from now on, until the last handle is gone.
    ///
    /// # Errors
    ///
    /// There can be no thread for it.
    pub(crate) fn keep(self: &Arc<Self>) -> io::Result<()> {
        let mut kept = KEPT.lock();
        let keeper = match &kept.keeper {
            Some(keeper) => keeper.clone(),
            None => {
                let thread = thread::Builder::new().name("botzilla-deadlines".to_owned());
                let keeper = thread.spawn(keep_all)?.thread().clone();
                kept.keeper = Some(keeper.clone());
                keeper
            }
        };
        let this: Weak<Self> = Arc::downgrade(self);
        kept.wheels.push(this);
        drop(kept);
        let keeper = self.keeper.get_or_init(|| keeper);
        // What was put in before had nobody to wake.
        keeper.unpark();
        Ok(())
    }

    /// Has what is due in another wheel fired as well, until the last handle of it is gone.
    pub(crate) fn keep_also(wheel: Weak<dyn Fires>) {
        let wheels = &mut KEPT.lock().wheels;
        // The keeper may sleep for long: what is gone meanwhile goes before the list grows.
        if wheels.len() == wheels.capacity() {
            wheels.retain(|wheel| wheel.strong_count() > 0);
        }
        wheels.push(wheel);
    }

    /// Has the keeper look at the wheels, since something is due before it meant to.
    #[cold]
    pub(crate) fn look_earlier(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }

    pub(crate) fn at(self: &Arc<Self>, at: Instant) -> Alarm {
        Alarm {
            deadlines: self.clone(),
            at,
            key: None,
        }
    }

    /// Puts a deadline in; `waker` is woken when it has passed.
    #[inline]
    pub(crate) fn put(&self, at: Instant, waker: Waker) -> Key {
        let mut wheel = self.wheel.lock();
        let (key, kept, is_next) = wheel.insert(self.tick_after(at));
        *kept = Some(waker);
        drop(wheel);
        if is_next {
            self.look_earlier();
        }
        key
    }

    /// Whether a deadline that is in has passed; if not, `waker` is woken when it has.
    pub(crate) fn has_passed(&self, key: Key, waker: &Waker) -> bool {
        let mut wheel = self.wheel.lock();
        if !wheel.is_in(key) {
            return true;
        }
        let last = keep_waker(wheel.get(key), waker);
        drop(wheel);
        // Outside the lock: it may be the last of a task that has deadlines itself.
        drop(last);
        false
    }

    /// Takes a deadline out. Its waker comes back, unless the deadline has passed.
    #[inline]
    pub(crate) fn take(&self, key: Key) -> Option<Waker> {
        self.wheel.lock().remove(key)
    }

    /// Resolves to `Err` when the deadline passes before `future` is ready.
    pub(crate) async fn within<F: Future>(
        self: &Arc<Self>,
        deadline: Instant,
        future: F,
    ) -> Result<F::Output, Expired> {
        let mut future = std::pin::pin!(future);
        let mut alarm = self.at(deadline);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut alarm).poll(cx).map(|()| Err(Expired))
        })
        .await
    }

    #[inline]
    fn tick_of(&self, at: Instant) -> u64 {
        ticks(at.saturating_duration_since(self.start))
    }

    /// The tick of a deadline. Rounded up: it never fires early.
    #[inline]
    pub(crate) fn tick_after(&self, at: Instant) -> u64 {
        self.tick_of(at) + 1
    }

    /// Fires what is due in a wheel that `look` looks at, and says when to come again.
    pub(crate) fn fire_in(
        &self,
        now: Instant,
        look: impl FnOnce(u64, &mut Vec<Waker>) -> Option<u64>,
    ) -> Option<Instant> {
        let mut due = Vec::new();
        let next = look(self.tick_of(now), &mut due);
        for waker in due {
            contain::wake(waker);
        }
        next.map(|tick| {
            let at = Duration::from_millis(tick.saturating_mul(TICK_MS));
            let at = self.start.checked_add(at);
            at.unwrap_or_else(|| now + AS_LONG_AS_CAN_BE)
        })
    }
}

impl Fires for Deadlines {
    fn fire(&self, now: Instant) -> Option<Instant> {
        self.fire_in(now, |tick, due| {
            let mut wheel = self.wheel.lock();
            wheel.look(tick, |waker| due.extend(waker.take()))
        })
    }
}

/// Keeps `waker` as the one to wake; the one before, if that was another, is the caller's to drop.
#[inline]
pub(crate) fn keep_waker(kept: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    match kept {
        Some(known) if known.will_wake(waker) => None,
        _ => kept.replace(waker.clone()),
    }
}

fn keep_all() {
    loop {
        let wheels = {
            let mut kept = KEPT.lock();
            kept.wheels.retain(|wheel| wheel.strong_count() > 0);
            kept.wheels.clone()
        };
        let now = Instant::now();
        let next = wheels.iter().filter_map(|wheel| look_at(wheel, now)).min();
        match next {
            Some(next) => thread::park_timeout(next.saturating_duration_since(Instant::now())),
            None => thread::park(),
        }
    }
}

fn look_at(wheel: &Weak<dyn Fires>, now: Instant) -> Option<Instant> {
    // This may be the last handle by now, of a component with other people's values in it.
    contain::catch(|| wheel.upgrade()?.fire(now)).ok().flatten()
}

/// The deadline passed first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expired;

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.key {
            Some(key) if self.deadlines.has_passed(key, cx.waker()) => Poll::Ready(()),
            Some(_) => Poll::Pending,
            None => {
                self.key = Some(self.deadlines.put(self.at, cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.deadlines.take(key);
        }
    }
}

/// Whole ticks. Without `as_nanos`, whose 128 bits cost more than the rest of an insertion.
fn ticks(time: Duration) -> u64 {
    // Since the node's start, so it isn't a year that bounds it, but the number.
    let ms = time.as_secs().saturating_mul(1000);
    ms.saturating_add(u64::from(time.subsec_millis())) / TICK_MS
}

#[cfg(test)]
mod tests {
    const TICK: Duration = Duration::from_millis(TICK_MS);

    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::wheel::TURN;

    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn poll(alarm: &mut Alarm, count: &Arc<Count>) -> bool {
        let waker = Waker::from(count.clone());
        Pin::new(alarm)
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
    }

    #[test]
    fn a_deadline_fires_once_it_has_passed_and_never_before() {
        let start = Instant::now();
        let deadlines = Deadlines::new(start);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let mut alarm = deadlines.at(start + Duration::from_millis(5));
        assert!(!poll(&mut alarm, &count));
        deadlines.fire(start + Duration::from_millis(4));
        assert!(!poll(&mut alarm, &count));
        deadlines.fire(start + Duration::from_millis(7));
        assert_eq!(count.0.load(Relaxed), 1);
        assert!(poll(&mut alarm, &count));
    }

    #[test]
    fn a_deadline_further_than_one_turn_of_the_wheel_waits_for_its_own_turn() {
        let start = Instant::now();
        let deadlines = Deadlines::new(start);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let far = TICK * (TURN as u32) * 3 + Duration::from_millis(40);
        let mut alarm = deadlines.at(start + far);
        assert!(!poll(&mut alarm, &count));
        for turn in 0..3 {
            deadlines.fire(start + TICK * (TURN as u32) * turn + Duration::from_millis(60));
            assert_eq!(count.0.load(Relaxed), 0, "turn {turn}");
        }
        deadlines.fire(start + far + TICK);
        assert!(poll(&mut alarm, &count));
    }

    #[test]
    fn a_deadline_may_be_as_far_away_as_a_duration_can_say() {
        let start = Instant::now();
        let deadlines = Deadlines::new(start);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        for time in [
            Duration::from_millis(u64::MAX),
            Duration::from_secs(u64::MAX),
        ] {
            assert!(ticks(time) >= u64::MAX / 2 - 1000);
            // Not every clock goes as far.
            let Some(at) = start.checked_add(time) else {
                continue;
            };
            let mut alarm = deadlines.at(at);
            assert!(!poll(&mut alarm, &count));
            let next = deadlines.fire(start + AS_LONG_AS_CAN_BE).unwrap();
            assert!(next > start + AS_LONG_AS_CAN_BE);
            assert_eq!(count.0.load(Relaxed), 0);
        }
    }

    #[test]
    fn a_dropped_deadline_leaves_the_wheel_and_its_place_is_used_again() {
        let start = Instant::now();
        let deadlines = Deadlines::new(start);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        for round in 0..1000_u32 {
            let mut alarms: Vec<_> = (0..10)
                .map(|n| deadlines.at(start + Duration::from_millis(u64::from(round * 3 + n))))
                .collect();
            assert!(!alarms.iter_mut().any(|alarm| poll(alarm, &count)));
        }
        assert!(deadlines.wheel.lock().places() <= 10);
        assert_eq!(deadlines.fire(start + Duration::from_secs(9)), None);
        assert_eq!(count.0.load(Relaxed), 0);
    }
}
