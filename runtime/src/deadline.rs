//! Deadlines in a wheel: a request's costs a few links, not a timer.
//!
//! A node has one wheel, for whatever waits for something, and each of its components one for the
//! asks that it has open, under its mailbox's lock. They work from any thread. One thread a process
//! fires what is due in all wheels: whoever blocks a node's thread holds up nobody's deadline, and no
//! runtime has a timer, which would cost it work at each of its turns. It looks at a wheel when that
//! one has something due, and knows when that is because whoever puts something earlier in tells it.

use std::{
    collections::BTreeMap,
    future::Future,
    io, mem,
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    task::{Context, Poll, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

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

/// The thread that fires what is due in all wheels of this process, and what it is told.
struct Kept {
    /// Wheels in which something is due before the keeper meant to look.
    sooner: Vec<(Instant, Weak<dyn Fires>)>,
    /// Until when it sleeps, if it isn't for good. What comes later than that needn't wake it.
    until: Option<Instant>,
    keeper: Option<Thread>,
}

/// How many wheels the keeper may be told of before it is woken, whenever they are due.
const TOLD: usize = 1024;

/// What is further away is looked at in between: so long what is dead by then stays in the schedule.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    sooner: Vec::new(),
    until: None,
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
        // What was put in before had nobody to wake.
        let keeper = self.keeper.get_or_init(|| keeper);
        kept.sooner.push((self.start, this));
        drop(kept);
        keeper.unpark();
        Ok(())
    }

    /// Has the keeper look at a wheel, since something in it is due before it meant to.
    #[cold]
    pub(crate) fn look_earlier(&self, at: Instant, wheel: Weak<dyn Fires>) {
        let Some(keeper) = self.keeper.get() else {
            return;
        };
        let at = self.time_of(self.tick_after(at));
        let mut kept = KEPT.lock();
        kept.sooner.push((at, wheel));
        let is_urgent = kept.until.is_none_or(|until| at < until);
        let wakes = is_urgent || kept.sooner.len() >= TOLD;
        drop(kept);
        if wakes {
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
    pub(crate) fn put(self: &Arc<Self>, at: Instant, waker: Waker) -> Key {
        let mut wheel = self.wheel.lock();
        let (key, kept, is_next) = wheel.insert(self.tick_after(at));
        *kept = Some(waker);
        drop(wheel);
        if is_next {
            let this: Weak<Self> = Arc::downgrade(self);
            self.look_earlier(at, this);
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

    /// When a tick is, or what is long before it if the clock doesn't go as far.
    fn time_of(&self, tick: u64) -> Instant {
        let at = Duration::from_millis(tick.saturating_mul(TICK_MS));
        let at = self.start.checked_add(at);
        at.unwrap_or_else(|| Instant::now() + LOOK_AGAIN)
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
        next.map(|tick| self.time_of(tick))
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
    let mut schedule = Schedule::default();
    loop {
        let now = Instant::now();
        // What comes while these are fired is seen below.
        schedule.fire(now);
        let mut kept = KEPT.lock();
        let told = mem::take(&mut kept.sooner);
        kept.until = schedule.next();
        drop(kept);
        if !told.is_empty() {
            for (at, wheel) in told {
                schedule.add(at, wheel, now);
            }
            continue;
        }
        match schedule.next() {
            Some(next) => thread::park_timeout(next.saturating_duration_since(Instant::now())),
            None => thread::park(),
        }
    }
}

/// When which wheel is looked at next: each once at most, before anything in it is due.
#[derive(Default)]
struct Schedule {
    /// By time and place in memory, which is nobody else's while its handle is here.
    wheels: BTreeMap<(Instant, usize), Weak<dyn Fires>>,
    times: FxHashMap<usize, Instant>,
}

impl Schedule {
    fn next(&self) -> Option<Instant> {
        self.wheels.keys().next().map(|(at, _)| *at)
    }

    /// Has a wheel looked at then, unless it is before that.
    fn add(&mut self, at: Instant, wheel: Weak<dyn Fires>, now: Instant) {
        let at = at.min(now + LOOK_AGAIN);
        let place = wheel.as_ptr().cast::<()>().addr();
        match self.times.get(&place) {
            Some(known) if *known <= at => return,
            Some(known) => drop(self.wheels.remove(&(*known, place))),
            None => {}
        }
        self.times.insert(place, at);
        self.wheels.insert((at, place), wheel);
    }

    /// Fires the wheels whose time has come. One that is dead leaves by that.
    fn fire(&mut self, now: Instant) {
        while let Some(entry) = self.wheels.first_entry()
            && entry.key().0 <= now
        {
            let ((_, place), wheel) = entry.remove_entry();
            self.times.remove(&place);
            if let Some(next) = look_at(&wheel, now) {
                self.add(next, wheel, now);
            }
        }
    }
}

fn look_at(wheel: &Weak<dyn Fires>, now: Instant) -> Option<Instant> {
    // This may be the last handle by now, of a component with other people's values in it.
    let next = contain::catch(|| wheel.upgrade()?.fire(now));
    // What panicked says nothing of what else is due.
    next.unwrap_or_else(|_| (wheel.strong_count() > 0).then(|| now + LOOK_AGAIN))
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

    /// A wheel that has something due at these times, and counts how often it was looked at.
    struct Due {
        times: Mutex<Vec<Instant>>,
        looks: AtomicUsize,
    }

    impl Fires for Due {
        fn fire(&self, now: Instant) -> Option<Instant> {
            self.looks.fetch_add(1, Relaxed);
            let mut times = self.times.lock();
            times.retain(|time| *time > now);
            times.iter().min().copied()
        }
    }

    fn due(times: &[Instant]) -> (Arc<Due>, Weak<dyn Fires>) {
        let due = Arc::new(Due {
            times: Mutex::new(times.to_vec()),
            looks: AtomicUsize::new(0),
        });
        let weak: Weak<Due> = Arc::downgrade(&due);
        (due, weak)
    }

    #[test]
    fn the_keeper_looks_only_where_something_is_due_and_has_each_wheel_once() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut schedule = Schedule::default();
        let (busy, weak) = due(&[after(100), after(300)]);
        // Told in any order, it is the earliest that counts.
        for at in [500, 300, 100, 400, 200] {
            schedule.add(after(at), weak.clone(), start);
        }
        let idle: Vec<_> = (0..100).map(|n| due(&[after(1000 + n)])).collect();
        for (n, (_, weak)) in (0..).zip(&idle) {
            schedule.add(after(1000 + n), weak.clone(), start);
        }
        assert_eq!((schedule.wheels.len(), schedule.times.len()), (101, 101));
        for (ms, next) in [(99, 100), (100, 300), (299, 300), (300, 1000)] {
            schedule.fire(after(ms));
            assert_eq!(schedule.next(), Some(after(next)));
        }
        assert_eq!(busy.looks.load(Relaxed), 2);
        assert!(idle.iter().all(|(idle, _)| idle.looks.load(Relaxed) == 0));
        assert_eq!((schedule.wheels.len(), schedule.times.len()), (100, 100));
    }

    #[test]
    fn a_wheel_that_is_dead_leaves_the_schedule_however_far_its_deadline_was() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        let far = start + AS_LONG_AS_CAN_BE;
        let (kept, weak) = due(&[far]);
        schedule.add(far, weak, start);
        schedule.add(far, due(&[far]).1, start);
        schedule.fire(start + LOOK_AGAIN);
        assert_eq!((schedule.wheels.len(), schedule.times.len()), (1, 1));
        assert_eq!(kept.looks.load(Relaxed), 1);
        assert_eq!(schedule.next(), Some(start + LOOK_AGAIN * 2));
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
