//! Input that a component expects, and what it does when that is missed.
//!
//! A message costs a look at the clock when it comes and another when its handler is given it;
//! nothing is set up anew for it. The supervisor has one entry in the node's wheel, for whichever
//! input could be missed first. When that fires it looks when input came last, and goes on waiting
//! from there. Whoever finds a silence, that look or the message that ends it, the component hears of
//! it before that message's turn.

use std::{
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Poll, Wake},
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;

use crate::{
    Ctx,
    contain::{self, Panicked},
    context::Shared,
    deadline::Deadlines,
    hosted::{Hosted, Order},
    stream::Streams,
    turn::{Control, OwningTurn, TurnEnd, contained},
    wheel::Key,
};

/// When one handler's input came last. Written by whoever sends, and by the component.
#[derive(Debug)]
pub(crate) struct Input {
    every: u64,
    base: Instant,
    /// In nanoseconds since `base`: when the last message came that may still wait, and when the
    /// handler was last given one.
    came: AtomicU64,
    taken: AtomicU64,
    state: AtomicU8,
    /// The component has to look at its inputs. Shared by all of them.
    rung: Arc<AtomicBool>,
    misses: AtomicU64,
}

/// The component isn't served: nothing is expected.
const OFF: u8 = 0;
const HEARD: u8 = 1;
/// It was silent for too long, and the component hasn't been told yet.
const DUE: u8 = 2;
/// The component was told; until the next message there is no more to tell.
const SILENT: u8 = 3;

impl Input {
    fn new(every: Duration, rung: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self {
            every: nanos(every),
            base: Instant::now(),
            came: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            state: AtomicU8::new(OFF),
            rung,
            misses: AtomicU64::new(0),
        })
    }

    /// A message goes into the queue: one that comes too late doesn't hide that it did.
    pub(crate) fn comes(&self) {
        let now = self.now();
        let last = self.came.swap(now, Ordering::Relaxed);
        let last = last.max(self.taken.load(Ordering::Relaxed));
        self.check(last, now);
    }

    /// The handler is given a message, or an item. True: it was silent, and its component has to be
    /// woken, so that it expects the next.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.store(self.now(), Ordering::Relaxed);
        let was_silent = self.change(SILENT, HEARD);
        if was_silent {
            self.rung.store(true, Ordering::Release);
        }
        was_silent
    }

    /// Whether it was silent for too long between two times, or is known to have been.
    fn check(&self, last: u64, now: u64) -> bool {
        if now.saturating_sub(last) >= self.every && self.change(HEARD, DUE) {
            self.rung.store(true, Ordering::Release);
        }
        self.state.load(Ordering::Acquire) == DUE
    }

    fn change(&self, from: u8, to: u8) -> bool {
        let changed = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        changed.is_ok()
    }

    fn now(&self) -> u64 {
        nanos(self.base.elapsed())
    }

    fn time_of(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.base))
    }
}

/// Half a thousand years are as good as never.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Which handler's input it is, by its place in its list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Message(usize),
    Stream(usize),
}

/// What is done when input is missed.
pub(crate) enum Missed<C> {
    InPlace(fn(&mut C, &Ctx<C>)),
    Owning(MissedAsync<C>),
}

pub(crate) type MissedAsync<C> = for<'a> fn(&'a mut C, &'a Ctx<C>) -> LocalBoxFuture<'a, ()>;

// Derived, it would ask it of the state.
impl<C> Clone for Missed<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Missed<C> {}

struct Expected<C> {
    source: Source,
    input: Arc<Input>,
    missed: Missed<C>,
    /// For the log.
    what: String,
}

/// What a component's handlers expect, listed, and then watched by its supervisor.
pub(crate) struct Expects<C> {
    list: Vec<Expected<C>>,
    rung: Arc<AtomicBool>,
    watch: Option<Watch>,
}

/// While it is served.
struct Watch {
    hosted: Arc<Hosted>,
    deadlines: Arc<Deadlines>,
    bell: Arc<Bell>,
    alarm: Option<Key>,
}

/// What the wheel wakes.
struct Bell {
    rung: Arc<AtomicBool>,
    hosted: Arc<Hosted>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.hosted.mailbox.wake();
    }
}

impl<C> Default for Expects<C> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            rung: Arc::default(),
            watch: None,
        }
    }
}

impl<C: 'static> Expects<C> {
    /// Lists one; what it is about is for the log.
    pub(crate) fn add(
        &mut self,
        source: Source,
        every: Duration,
        missed: Missed<C>,
        what: String,
    ) -> Arc<Input> {
        let input = Input::new(every, self.rung.clone());
        self.list.push(Expected {
            source,
            input: input.clone(),
            missed,
            what,
        });
        input
    }

    /// The component is served from now on.
    pub(crate) fn begin(&mut self, shared: &Shared<C>) {
        if self.list.is_empty() {
            return;
        }
        let hosted = shared.hosted.clone();
        for expected in &self.list {
            let input = &expected.input;
            input.taken.store(input.now(), Ordering::Relaxed);
            input.state.store(HEARD, Ordering::Release);
        }
        self.rung.store(true, Ordering::Release);
        self.watch = Some(Watch {
            bell: Arc::new(Bell {
                rung: self.rung.clone(),
                hosted: hosted.clone(),
            }),
            deadlines: hosted.deadlines.clone(),
            hosted,
            alarm: None,
        });
    }

    /// Nothing is expected any more, until it begins again.
    pub(crate) fn end(&mut self) {
        self.watch = None;
        for expected in &self.list {
            expected.input.state.store(OFF, Ordering::Release);
        }
    }

    /// Whether any input is missed. Cheap, unless something has happened since the last look.
    pub(crate) fn is_missed(&mut self, streams: Option<&Streams>) -> bool {
        if self.watch.is_none() || !self.rung.load(Ordering::Acquire) {
            return false;
        }
        self.look(streams)
    }

    /// The same before an item's turn: it may be the one that ends a silence.
    pub(crate) fn is_missed_before_item(&mut self, streams: Option<&Streams>) -> bool {
        if self.watch.is_none() {
            return false;
        }
        let mut missed = false;
        for expected in &self.list {
            let (Source::Stream(handler), Some(streams)) = (expected.source, streams) else {
                continue;
            };
            let input = &expected.input;
            if let Some((first, _)) = streams.waiting(handler) {
                let last = input.taken.load(Ordering::Relaxed);
                missed |= input.check(last, input.time_of(first));
            }
        }
        missed
    }

    fn look(&mut self, streams: Option<&Streams>) -> bool {
        let Some(watch) = &mut self.watch else {
            return false;
        };
        if watch.hosted.order() != Order::Serve {
            // It takes nothing any more, so there will be nothing.
            self.end();
            return false;
        }
        self.rung.store(false, Ordering::Release);
        let (mut is_missed, mut next) = (false, None::<Instant>);
        for expected in &self.list {
            let input = &expected.input;
            match input.state.load(Ordering::Acquire) {
                HEARD => {}
                DUE => {
                    is_missed = true;
                    continue;
                }
                _ => continue,
            }
            let last = expected.last(&watch.hosted, streams);
            if input.check(last, input.now()) {
                is_missed = true;
            } else {
                let until = Duration::from_nanos(last.saturating_add(input.every));
                // What the clock can't say won't be.
                if let Some(until) = input.base.checked_add(until) {
                    next = Some(next.map_or(until, |next| next.min(until)));
                }
            }
        }
        if is_missed {
            // It is looked at again when that was told.
            self.rung.store(true, Ordering::Release);
        }
        watch.arm(next);
        is_missed
    }

    /// One whose input is missed: it is told by this, once.
    pub(crate) fn take(&self) -> Option<Missed<C>> {
        let expected = self
            .list
            .iter()
            .find(|expected| expected.input.change(DUE, SILENT))?;
        let watch = self.watch.as_ref()?;
        let input = &expected.input;
        let times = input.misses.fetch_add(1, Ordering::Relaxed) + 1;
        // A radio at the edge of its reach doesn't fill the disk.
        if times.is_power_of_two() {
            tracing::warn!(
                component = %watch.hosted.name,
                input = expected.what,
                expected_every = ?Duration::from_nanos(input.every),
                times,
                "input is missed"
            );
        }
        Some(expected.missed)
    }
}

impl<C> Expected<C> {
    /// When the last input came that counts: what was given to the handler, or still waits to be.
    fn last(&self, hosted: &Hosted, streams: Option<&Streams>) -> u64 {
        let input = &self.input;
        let taken = input.taken.load(Ordering::Relaxed);
        let waits = match self.source {
            Source::Message(route) => hosted
                .mailbox
                .has(route)
                .then(|| input.came.load(Ordering::Relaxed)),
            Source::Stream(handler) => streams
                .and_then(|streams| streams.waiting(handler))
                .map(|(_, newest)| input.time_of(newest)),
        };
        waits.map_or(taken, |came| came.max(taken))
    }
}

impl Watch {
    fn arm(&mut self, at: Option<Instant>) {
        self.disarm();
        self.alarm = at.map(|at| self.deadlines.put(at, self.bell.clone().into()));
    }

    fn disarm(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            drop(self.deadlines.take(alarm));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// What an async method does about missed input, as a turn.
pub(crate) fn turn<C: 'static>(
    missed: MissedAsync<C>,
    mut state: Box<C>,
    shared: Rc<Shared<C>>,
    control: Rc<Control>,
) -> OwningTurn<C> {
    Box::pin(async move {
        let ambience = shared.ambience(&shared.own_head());
        let ctx = Ctx::outside(shared);
        let panicked: Option<Panicked> = match contain::catch(|| missed(&mut state, &ctx)) {
            Ok(mut future) => {
                let until_interrupted = std::future::poll_fn(|cx| {
                    if control.is_interrupted() {
                        return Poll::Ready(());
                    }
                    future.as_mut().poll(cx)
                });
                contained(until_interrupted, ambience).await.err()
            }
            Err(panicked) => Some(panicked),
        };
        TurnEnd {
            state,
            panicked,
            refused: None,
        }
    })
}

impl<C> fmt::Debug for Expects<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.list.iter().map(|expected| &expected.what))
            .finish()
    }
}
