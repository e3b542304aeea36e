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

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    call::Call,
    credit::{Class, Credit, NoCredit},
};

#[derive(Debug)]
pub(crate) struct Mailbox {
    queues: Mutex<Queues>,
    /// How many of the ordinary ones are for handlers without state; changes under the lock.
    concurrent: AtomicUsize,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct Queues {
    ordinary: VecDeque<Call>,
    urgent: VecDeque<Call>,
    credits: [Credit; 3],
    closed: bool,
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
                closed: false,
            }),
            concurrent: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
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
        let mut waiting = Waiting { mailbox: self, class, waits };
        (&mut waiting.waits).await.map_err(|_| NoCredit::Closed)
    }

    /// A message has ended: its credit is the next one's.
    pub(crate) fn give_credit_back(&self, class: Class) {
        self.queues.lock().credits[class as usize].give_back();
    }

    /// Puts a message in its queue, or gives it back when the component has stopped.
    #[expect(clippy::result_large_err, reason = "the call comes back whole: nothing is lost")]
    pub(crate) fn push(&self, call: Call, urgent: bool) -> Result<(), Call> {
        let mut queues = self.queues.lock();
        if queues.closed {
            return Err(call);
        }
        if urgent {
            queues.urgent.push_back(call);
        } else {
            if call.is_concurrent() {
                self.concurrent.fetch_add(1, Ordering::Relaxed);
            }
            queues.ordinary.push_back(call);
        }
        drop(queues);
        self.waker.wake();
        Ok(())
    }

    pub(crate) fn pop_urgent(&self) -> Option<Call> {
        self.queues.lock().urgent.pop_front()
    }

    /// The next message, urgent ones first.
    pub(crate) fn pop(&self) -> Option<Call> {
        let mut queues = self.queues.lock();
        match queues.urgent.pop_front() {
            Some(call) => Some(call),
            None => queues.ordinary.pop_front().inspect(|call| self.taken(call)),
        }
    }

    /// The next message for a handler without state, past those which wait for the state.
    pub(crate) fn pop_concurrent(&self) -> Option<Call> {
        if self.concurrent.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut queues = self.queues.lock();
        let first = queues.ordinary.iter().position(Call::is_concurrent)?;
        queues.ordinary.remove(first).inspect(|call| self.taken(call))
    }

    fn taken(&self, call: &Call) {
        if self.concurrent.load(Ordering::Relaxed) > 0 && call.is_concurrent() {
            self.concurrent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queues.lock().closed
    }

    pub(crate) fn is_empty(&self) -> bool {
        let queues = self.queues.lock();
        queues.ordinary.is_empty() && queues.urgent.is_empty()
    }

    pub(crate) fn has_urgent(&self) -> bool {
        !self.queues.lock().urgent.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        let queues = self.queues.lock();
        queues.ordinary.len() + queues.urgent.len()
    }

    /// Says who is to be woken by the next message.
    pub(crate) fn register(&self, waker: &task::Waker) {
        self.waker.register(waker);
    }

    /// Wakes the component for another reason than a message.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Refuses new messages and those who wait for credit, and hands out what was queued.
    pub(crate) fn close(&self) -> Vec<Call> {
        let mut queues = self.queues.lock();
        queues.close();
        let urgent = std::mem::take(&mut queues.urgent);
        let ordinary = std::mem::take(&mut queues.ordinary);
        self.concurrent.store(0, Ordering::Relaxed);
        drop(queues);
        // Outside the lock: what ends gives its credit back, under it.
        urgent.into_iter().chain(ordinary).collect()
    }

    /// Refuses new messages; what is queued stays.
    pub(crate) fn refuse_new(&self) {
        self.queues.lock().close();
    }
}

impl Queues {
    fn close(&mut self) {
        self.closed = true;
        self.credits.iter_mut().for_each(Credit::close);
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
            self.mailbox.give_credit_back(self.class);
        }
    }
}
