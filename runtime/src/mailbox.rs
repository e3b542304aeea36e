//! A component's queue: bounded by the credit of those who send, urgent first, with an end.
//!
//! actix's own mailbox can't do this: its capacity bounds neither `do_send` nor `send`, and it has
//! one order. So a `Supervisor` takes its messages from here; whoever pushes already holds credit,
//! local senders from the semaphores below, remote ones from their connection's flow control.

use std::{collections::VecDeque, sync::Arc, task};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::call::Call;

#[derive(Debug)]
pub(crate) struct Mailbox {
    queues: Mutex<Queues>,
    waker: AtomicWaker,
    /// What this node's own senders may have open with the component.
    pub(crate) ordinary: Arc<Semaphore>,
    pub(crate) urgent: Arc<Semaphore>,
    pub(crate) broadcast: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Queues {
    ordinary: VecDeque<Call>,
    urgent: VecDeque<Call>,
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new(ordinary: usize, urgent: usize) -> Self {
        Self {
            queues: Mutex::default(),
            waker: AtomicWaker::new(),
            ordinary: Arc::new(Semaphore::new(ordinary)),
            urgent: Arc::new(Semaphore::new(urgent)),
            broadcast: Arc::new(Semaphore::new(BROADCASTS)),
        }
    }

    /// Puts a message in its queue, or gives it back when the component has stopped.
    // The error is as large as a call because it is one: nothing is lost.
    #[expect(clippy::result_large_err, reason = "the call comes back whole")]
    pub(crate) fn push(&self, call: Call, urgent: bool) -> Result<(), Call> {
        let mut queues = self.queues.lock();
        if queues.closed {
            return Err(call);
        }
        if urgent {
            queues.urgent.push_back(call);
        } else {
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
            None => queues.ordinary.pop_front(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queues.lock().closed
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
        queues.closed = true;
        let left = std::mem::take(&mut *queues);
        queues.closed = true;
        drop(queues);
        self.ordinary.close();
        self.urgent.close();
        self.broadcast.close();
        left.urgent.into_iter().chain(left.ordinary).collect()
    }

    /// Refuses new messages; what is queued stays.
    pub(crate) fn refuse_new(&self) {
        self.queues.lock().closed = true;
        self.ordinary.close();
        self.urgent.close();
        self.broadcast.close();
    }
}

/// How many broadcasts may wait at one component: they are announcements, not a work queue.
const BROADCASTS: usize = 64;
