//! A component's queue: bounded by the credit of those who send, urgent first, with an end.
//!
//! actix's own mailbox can't do this: its capacity bounds neither `do_send` nor `send`, and it has
//! one order. So a `Supervisor` takes its messages from here; whoever pushes already holds credit,
//! local senders from here, remote ones from their connection's flow control.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
    task,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::{
    call::Call,
    contain,
    credit::{Class, Credit, Granted, NoCredit},
    open::{Look, OpenAsks, Parcel, Turn},
    wheel::Key,
};

#[derive(Debug)]
pub(crate) struct Mailbox {
    queues: Mutex<Queues>,
    /// How many messages wait; changes under the lock.
    len: AtomicUsize,
    /// How many of the ordinary ones are for handlers without state; changes under the lock.
    concurrent: AtomicUsize,
}

#[derive(Debug)]
struct Queues {
    ordinary: VecDeque<Call>,
    urgent: VecDeque<Call>,
    credits: [Credit; 3],
    /// Of typed askers on this node: from admission to the end, and until the asker has seen it.
    asks: OpenAsks,
    closed: bool,
    /// The component's task. Woken under the lock: that costs less than another handle of it for
    /// each message, and a task's waker only puts it into its runtime's queue.
    sleeper: Option<task::Waker>,
    /// Whether the next message wakes it.
    is_asleep: bool,
    /// It was woken while it didn't sleep.
    is_woken: bool,
}

/// What a component that is idle is to do next.
pub(crate) enum Next {
    Call(Call),
    /// The last one: the component is asleep already.
    Last(Call),
    /// No message, or none that goes before a timer's turn that is due.
    Nothing,
    /// It was woken for another reason than a message, and may sleep only when it has looked.
    LookAgain,
}

/// How many broadcasts may wait at one component: they are announcements, not a work queue.
const BROADCASTS: usize = 64;

impl Mailbox {
    pub(crate) fn new(ordinary: usize, urgent: usize) -> Self {
        Self {
            queues: Mutex::new(Queues {
                ordinary: VecDeque::new(),
                urgent: VecDeque::new(),
                credits: [ordinary, urgent, BROADCASTS].map(Credit::new),
                asks: OpenAsks::default(),
                closed: false,
                sleeper: None,
                is_asleep: false,
                is_woken: false,
            }),
            len: AtomicUsize::new(0),
            concurrent: AtomicUsize::new(0),
        }
    }

    /// Takes credit for one message, or says why there is none.
    pub(crate) fn take_credit(&self, class: Class) -> Result<(), NoCredit> {
        let mut queues = self.queues.lock();
        if queues.closed {
            return Err(NoCredit::Closed);
        }
        queues.credits[class as usize].take()
    }

    /// Waits in line for credit. The value is the credit; an error says that there will be none.
    pub(crate) async fn wait_for_credit(&self, class: Class) -> Result<(), NoCredit> {
        let waits = {
            let mut queues = self.queues.lock();
            if queues.closed {
                return Err(NoCredit::Closed);
            }
            let credit = &mut queues.credits[class as usize];
            if credit.take().is_ok() {
                return Ok(());
            }
            credit.wait()
        };
        let mut waiting = Waiting {
            mailbox: self,
            class,
            waits,
        };
        (&mut waiting.waits).await.map_err(|_| NoCredit::Closed)
    }

    /// A message has ended: its credit is the next one's. `settle` runs under the lock.
    #[inline]
    pub(crate) fn give_back(&self, class: Class, settle: impl FnOnce()) {
        let mut queues = self.queues.lock();
        settle();
        let granted = queues.credits[class as usize].give_back();
        drop(queues);
        self.hand_over(class, granted);
    }

    /// Gives credit to the first in line who still wants it.
    #[inline]
    fn hand_over(&self, class: Class, mut granted: Option<Granted>) {
        while let Some(next) = granted {
            if next.hand_over() {
                return;
            }
            granted = self.queues.lock().credits[class as usize].give_back();
        }
    }

    /// Puts a message in its queue, or gives it back when the component has stopped.
    pub(crate) fn push(&self, call: Call) -> Result<(), Call> {
        let queues = self.queues.lock();
        if queues.closed {
            return Err(call);
        }
        self.enqueue(queues, call);
        Ok(())
    }

    /// Credit, a deadline and a place in the queue for an ask that is put together only then, all
    /// under one lock. Besides its key: whether the keeper of the deadlines must look earlier.
    #[inline]
    pub(crate) fn admit(
        &self,
        class: Class,
        tick: u64,
        asker: task::Waker,
        call: impl FnOnce(Key) -> Call,
    ) -> Result<(Key, bool), NoCredit> {
        let mut queues = self.queues.lock();
        if queues.closed {
            return Err(NoCredit::Closed);
        }
        queues.credits[class as usize].take()?;
        let (key, is_next) = queues.asks.open(tick, asker);
        self.enqueue(queues, call(key));
        Ok((key, is_next))
    }

    /// The same for an ask that has its credit already.
    pub(crate) fn push_ask(
        &self,
        mut call: Call,
        tick: u64,
        asker: task::Waker,
    ) -> Result<(Key, bool), Call> {
        let mut queues = self.queues.lock();
        if queues.closed {
            return Err(call);
        }
        let (key, is_next) = queues.asks.open(tick, asker);
        call.seat.opened(key);
        self.enqueue(queues, call);
        Ok((key, is_next))
    }

    /// An ask has ended: its outcome goes to its asker, its credit is the next one's. `settle` runs
    /// under the lock.
    #[inline]
    pub(crate) fn end(
        &self,
        key: Key,
        class: Class,
        outcome: Option<Parcel>,
        settle: impl FnOnce(),
    ) {
        let mut queues = self.queues.lock();
        settle();
        let granted = queues.credits[class as usize].give_back();
        let (asker, left) = queues.asks.end(key, outcome);
        drop(queues);
        self.hand_over(class, granted);
        if let Some(asker) = asker {
            contain::wake(asker);
        }
        if let Some(left) = left {
            contain::drop_value(left);
        }
    }

    /// How an ask fares, for its asker; while it is open, `waker` is woken by its end.
    #[inline]
    pub(crate) fn look(&self, key: Key, waker: &task::Waker) -> Look {
        self.queues.lock().asks.look(key, waker)
    }

    /// An asker goes away: what hasn't begun never will; who runs and wants to know it, learns it.
    pub(crate) fn give_up(&self, key: Key) {
        let mut left = { self.queues.lock().asks.give_up(key) };
        if let Some(component) = left.component.take() {
            contain::wake(component);
        }
        contain::drop_value(left);
    }

    /// An ask's handler is about to run, if it may.
    pub(crate) fn begin(&self, key: Key) -> Turn {
        self.queues.lock().asks.begin(key)
    }

    /// Whether an ask's asker went away.
    pub(crate) fn is_gone(&self, key: Key) -> bool {
        self.queues.lock().asks.is_gone(key)
    }

    /// Ready when an ask's asker has gone away.
    pub(crate) fn poll_gone(&self, key: Key, waker: &task::Waker) -> task::Poll<()> {
        let (is_gone, _last) = { self.queues.lock().asks.poll_gone(key, waker) };
        if is_gone {
            task::Poll::Ready(())
        } else {
            task::Poll::Pending
        }
    }

    /// Hands the wakers of askers whose time is over to `due`; the tick at which to look again.
    pub(crate) fn expire(&self, current: u64, due: &mut Vec<task::Waker>) -> Option<u64> {
        self.queues.lock().asks.expire(current, due)
    }

    #[inline]
    fn enqueue(&self, mut queues: MutexGuard<'_, Queues>, call: Call) {
        let info = call.info();
        if let Some(input) = &info.input {
            input.comes();
        }
        if info.options.urgent {
            queues.urgent.push_back(call);
        } else {
            if info.concurrent {
                self.concurrent.fetch_add(1, Ordering::Relaxed);
            }
            queues.ordinary.push_back(call);
        }
        self.count(&queues);
        queues.rouse();
    }

    #[inline]
    fn count(&self, queues: &Queues) {
        self.len.store(
            queues.ordinary.len() + queues.urgent.len(),
            Ordering::Release,
        );
    }

    /// The next message, urgent ones first; of these only, when a timer's turn is `due`.
    ///
    /// With the last message, or none, the component is asleep: whatever comes wakes it.
    #[inline]
    pub(crate) fn next(&self, due: bool, waker: &task::Waker) -> Next {
        let mut queues = self.queues.lock();
        let call = match queues.urgent.pop_front() {
            None if due => return Next::Nothing,
            None => queues.ordinary.pop_front().inspect(|call| self.taken(call)),
            urgent => urgent,
        };
        match call {
            Some(mut call) => {
                call.seat.take_turn(&mut queues.asks);
                self.count(&queues);
                if self.is_empty() {
                    queues.sleep(waker);
                    Next::Last(call)
                } else {
                    Next::Call(call)
                }
            }
            None if std::mem::take(&mut queues.is_woken) => Next::LookAgain,
            None => {
                queues.sleep(waker);
                Next::Nothing
            }
        }
    }

    /// The next message for a handler without state, past those which wait for the state.
    pub(crate) fn pop_concurrent(&self) -> Option<Call> {
        if self.concurrent.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut queues = self.queues.lock();
        let first = queues.ordinary.iter().position(Call::is_concurrent)?;
        let mut call = queues.ordinary.remove(first)?;
        self.taken(&call);
        call.seat.take_turn(&mut queues.asks);
        self.count(&queues);
        Some(call)
    }

    #[inline]
    fn taken(&self, call: &Call) {
        if self.concurrent.load(Ordering::Relaxed) > 0 && call.is_concurrent() {
            self.concurrent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether a message for this handler waits.
    pub(crate) fn has(&self, route: usize) -> bool {
        let queues = self.queues.lock();
        let mut waiting = queues.urgent.iter().chain(&queues.ordinary);
        waiting.any(|call| call.route() == route)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queues.lock().closed
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// The component sleeps until the next message or [`Self::wake`]. Whether an urgent message
    /// waits already.
    pub(crate) fn sleep(&self, waker: &task::Waker) -> bool {
        let mut queues = self.queues.lock();
        queues.sleep(waker);
        !queues.urgent.is_empty()
    }

    /// Wakes the component for another reason than a message.
    pub(crate) fn wake(&self) {
        let mut queues = self.queues.lock();
        queues.is_woken |= !queues.rouse();
    }

    /// The component's task is over: nothing keeps what is left of it any more.
    pub(crate) fn leave(&self) {
        let sleeper = self.queues.lock().sleeper.take();
        drop(sleeper);
    }

    /// Refuses new messages and those who wait for credit, and hands out what was queued.
    pub(crate) fn close(&self) -> Vec<Call> {
        let mut queues = self.queues.lock();
        let in_vain = queues.close();
        let urgent = std::mem::take(&mut queues.urgent);
        let ordinary = std::mem::take(&mut queues.ordinary);
        self.count(&queues);
        self.concurrent.store(0, Ordering::Relaxed);
        drop(queues);
        // Outside the lock: who waited is woken, and what ends gives its credit back, under it.
        turn_away(in_vain);
        urgent.into_iter().chain(ordinary).collect()
    }

    /// What was queued has ended: gives back what only open asks need.
    pub(crate) fn tidy(&self) {
        self.queues.lock().asks.tidy();
    }

    /// Refuses new messages; what is queued stays.
    pub(crate) fn refuse_new(&self) {
        let in_vain = { self.queues.lock().close() };
        turn_away(in_vain);
    }
}

/// Those who waited for credit learn that it was in vain: each on its own, since the waker of each may
/// panic, and two at once would end the process.
fn turn_away(in_vain: [VecDeque<oneshot::Sender<()>>; 3]) {
    in_vain.into_iter().flatten().for_each(contain::drop_value);
}

impl Queues {
    fn sleep(&mut self, waker: &task::Waker) {
        if !self
            .sleeper
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            self.sleeper = Some(waker.clone());
        }
        self.is_asleep = true;
    }

    /// Wakes the component; false if it was awake.
    #[inline]
    fn rouse(&mut self) -> bool {
        let was_asleep = std::mem::take(&mut self.is_asleep);
        if was_asleep && let Some(sleeper) = &self.sleeper {
            sleeper.wake_by_ref();
        }
        was_asleep
    }

    /// Those who wait for credit, to be dropped outside of the lock.
    fn close(&mut self) -> [VecDeque<oneshot::Sender<()>>; 3] {
        self.closed = true;
        self.credits.each_mut().map(Credit::close)
    }
}

/// A place in line. Whoever leaves with credit in hand gives it back.
struct Waiting<'a> {
    mailbox: &'a Mailbox,
    class: Class,
    waits: oneshot::Receiver<()>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waits.close();
        // Once it was received the channel is empty, and the credit is its receiver's.
        if self.waits.try_recv().is_ok() {
            self.mailbox.give_back(self.class, || ());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicUsize};

    use super::*;

    struct Count(AtomicUsize);

    impl task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A waker of somebody else's: it looks whether the mailbox is free, and then panics.
    struct Foreign {
        mailbox: Mailbox,
        found_free: AtomicUsize,
    }

    impl task::Wake for Foreign {
        fn wake(self: Arc<Self>) {
            if self.mailbox.queues.try_lock().is_some() {
                self.found_free.fetch_add(1, Ordering::Relaxed);
            }
            panic!("a waker's own trouble");
        }
    }

    #[test]
    fn who_waits_for_credit_is_woken_outside_of_the_lock_and_his_panic_is_nobody_elses() {
        for closes in [false, true] {
            let foreign = Arc::new(Foreign {
                mailbox: Mailbox::new(1, 1),
                found_free: AtomicUsize::new(0),
            });
            let mailbox = &foreign.mailbox;
            mailbox.take_credit(Class::Ordinary).unwrap();
            let waker = foreign.clone().into();
            let mut waits = std::pin::pin!(mailbox.wait_for_credit(Class::Ordinary));
            let mut behind = std::pin::pin!(mailbox.wait_for_credit(Class::Ordinary));
            let mut context = task::Context::from_waker(&waker);
            assert!(waits.as_mut().poll(&mut context).is_pending());
            assert!(behind.as_mut().poll(&mut context).is_pending());
            if closes {
                mailbox.refuse_new();
            } else {
                mailbox.give_back(Class::Ordinary, || ());
            }
            let woken = if closes { 2 } else { 1 };
            assert_eq!(foreign.found_free.load(Ordering::Relaxed), woken);
            let outcome = waits.as_mut().poll(&mut context);
            assert_eq!(
                outcome,
                task::Poll::Ready(if closes {
                    Err(NoCredit::Closed)
                } else {
                    Ok(())
                })
            );
        }
    }

    #[test]
    fn a_wake_up_is_never_lost_whether_it_comes_before_or_after_falling_asleep() {
        let mailbox = Mailbox::new(1, 1);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = count.clone().into();
        mailbox.wake();
        assert!(matches!(mailbox.next(false, &waker), Next::LookAgain));
        assert!(matches!(mailbox.next(false, &waker), Next::Nothing));
        mailbox.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        // Who was woken is awake: the next one is kept until it looks.
        mailbox.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(matches!(mailbox.next(false, &waker), Next::LookAgain));
    }
}
