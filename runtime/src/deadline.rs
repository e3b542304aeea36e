//! One wheel of deadlines for a node: a request's deadline costs a few links, not a timer.
//!
//! A hashed timing wheel after Varghese and Lauck (1987), scheme 6: slots of [`TICK`], entries in
//! doubly linked lists, an entry further away than one turn stays for the next. It works from any
//! thread. One thread a process fires what is due in all wheels: whoever blocks a node's thread holds
//! up nobody's deadline, and no runtime has a timer, which would cost it work at each of its turns.

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

use crate::contain;

const TICK_MS: u64 = 2;
const SLOTS: usize = 4096;
const NONE: u32 = u32::MAX;

/// What a time that is too long for the clock is taken for.
pub(crate) const AS_LONG_AS_CAN_BE: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The deadlines of one node.
#[derive(Debug)]
pub(crate) struct Deadlines {
    start: Instant,
    wheel: Mutex<Wheel>,
    /// Who fires what is due.
    keeper: OnceLock<Thread>,
}

/// The wheels of this process, and the thread that fires what is due in them.
struct Kept {
    wheels: Vec<Weak<Deadlines>>,
    keeper: Option<Thread>,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    wheels: Vec::new(),
    keeper: None,
});

#[derive(Debug)]
struct Wheel {
    /// Every slot before this tick has been emptied.
    now: u64,
    /// When the keeper looks next; only an entry before that wakes it. It stays when its entry goes,
    /// or each message that is alone would wake the keeper.
    alarm: u64,
    heads: Box<[u32]>,
    entries: Vec<Entry>,
    free: u32,
    len: usize,
}

#[derive(Debug)]
struct Entry {
    tick: u64,
    previous: u32,
    next: u32,
    waker: Option<Waker>,
    fired: bool,
}

/// A deadline's place in the wheel. Whoever put it in sees to it that it is taken out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u32);

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
            wheel: Mutex::new(Wheel {
                now: 0,
                alarm: u64::MAX,
                heads: vec![NONE; SLOTS].into(),
                entries: Vec::new(),
                free: NONE,
                len: 0,
            }),
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
        kept.wheels.push(Arc::downgrade(self));
        drop(kept);
        let keeper = self.keeper.get_or_init(|| keeper);
        // What was put in before had nobody to wake.
        keeper.unpark();
        Ok(())
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
        // Rounded up: a deadline never fires early.
        let tick = self.tick_of(at) + 1;
        let mut wheel = self.wheel.lock();
        let key = wheel.insert(tick, waker);
        if tick < wheel.alarm {
            wheel.alarm = tick;
            drop(wheel);
            if let Some(keeper) = self.keeper.get() {
                keeper.unpark();
            }
        }
        key
    }

    /// Whether a deadline that is in has passed; if not, `waker` is woken when it has.
    pub(crate) fn has_passed(&self, key: Key, waker: &Waker) -> bool {
        let mut wheel = self.wheel.lock();
        let entry = &mut wheel.entries[key.0 as usize];
        if !entry.fired
            && !entry
                .waker
                .as_ref()
                .is_some_and(|known| known.will_wake(waker))
        {
            entry.waker = Some(waker.clone());
        }
        entry.fired
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

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.wheel.lock().len == 0
    }

    /// Fires what is due and says when to come again.
    fn fire(&self, now: Instant) -> Option<Instant> {
        let mut due = Vec::new();
        let next = self.wheel.lock().look(self.tick_of(now), &mut due);
        for waker in due {
            // Of an executor that may be anybody's: it must not end everybody's deadlines.
            if let Err(panicked) = contain::catch(|| waker.wake()) {
                tracing::error!(%panicked, "a waker panicked");
            }
        }
        next.map(|tick| self.start + Duration::from_millis(tick * TICK_MS))
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
        let next = wheels
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|wheel| wheel.fire(now))
            .min();
        match next {
            Some(next) => thread::park_timeout(next.saturating_duration_since(Instant::now())),
            None => thread::park(),
        }
    }
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

impl Wheel {
    #[inline]
    fn insert(&mut self, tick: u64, waker: Waker) -> Key {
        let tick = tick.max(self.now);
        let slot = slot(tick);
        let head = self.heads[slot];
        let entry = Entry {
            tick,
            previous: NONE,
            next: head,
            waker: Some(waker),
            fired: false,
        };
        let key = if self.free == NONE {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 open deadlines")
        } else {
            let key = self.free;
            let place = &mut self.entries[key as usize];
            self.free = place.next;
            *place = entry;
            key
        };
        self.heads[slot] = key;
        if head != NONE {
            self.entries[head as usize].previous = key;
        }
        self.len += 1;
        Key(key)
    }

    #[inline]
    fn remove(&mut self, Key(key): Key) -> Option<Waker> {
        if !self.entries[key as usize].fired {
            self.unlink(key);
        }
        let entry = &mut self.entries[key as usize];
        entry.next = self.free;
        self.free = key;
        entry.waker.take()
    }

    #[inline]
    fn unlink(&mut self, key: u32) {
        let Entry {
            tick,
            previous,
            next,
            ..
        } = self.entries[key as usize];
        if previous == NONE {
            self.heads[slot(tick)] = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        self.len -= 1;
    }

    /// Fires what is due; the tick at which to look again.
    fn look(&mut self, current: u64, due: &mut Vec<Waker>) -> Option<u64> {
        if self.alarm <= current {
            self.advance(current, due);
        }
        (self.alarm != u64::MAX).then_some(self.alarm)
    }

    /// `current` and all ticks before it are over.
    fn advance(&mut self, current: u64, due: &mut Vec<Waker>) {
        // After a long sleep one turn visits every slot; more turns would find nothing new.
        let first = self.now.max((current + 1).saturating_sub(SLOTS as u64));
        for tick in first..=current {
            self.fire(slot(tick), current, due);
        }
        self.now = self.now.max(current + 1);
        self.alarm = self.next_tick().unwrap_or(u64::MAX);
    }

    fn fire(&mut self, slot: usize, current: u64, due: &mut Vec<Waker>) {
        let mut key = self.heads[slot];
        while key != NONE {
            let next = self.entries[key as usize].next;
            if self.entries[key as usize].tick <= current {
                self.unlink(key);
                let entry = &mut self.entries[key as usize];
                entry.fired = true;
                due.extend(entry.waker.take());
            }
            key = next;
        }
    }

    /// The next tick whose slot holds anything, at most one turn away.
    fn next_tick(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        (self.now..self.now + SLOTS as u64).find(|&tick| self.heads[slot(tick)] != NONE)
    }
}

/// Whole ticks. Without `as_nanos`, whose 128 bits cost more than the rest of an insertion.
fn ticks(time: Duration) -> u64 {
    (time.as_secs() * 1000 + u64::from(time.subsec_millis())) / TICK_MS
}

fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    const TICK: Duration = Duration::from_millis(TICK_MS);

    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

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
        let far = TICK * (SLOTS as u32) * 3 + Duration::from_millis(40);
        let mut alarm = deadlines.at(start + far);
        assert!(!poll(&mut alarm, &count));
        for turn in 0..3 {
            deadlines.fire(start + TICK * (SLOTS as u32) * turn + Duration::from_millis(60));
            assert_eq!(count.0.load(Relaxed), 0, "turn {turn}");
        }
        deadlines.fire(start + far + TICK);
        assert!(poll(&mut alarm, &count));
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
        assert!(deadlines.wheel.lock().entries.len() <= 10);
        assert_eq!(deadlines.fire(start + Duration::from_secs(9)), None);
        assert_eq!(count.0.load(Relaxed), 0);
    }
}
