//! Which of the other side's messages nobody waits for any more.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};

/// Nothing is locked for a message as long as nobody cancels or wants to know.
#[derive(Debug, Default)]
pub(super) struct Cancels {
    in_use: AtomicBool,
    marks: Mutex<Marks>,
}

/// At most one mark for each message that is owed an end.
#[derive(Debug, Default)]
struct Marks {
    gone: FxHashSet<u64>,
    waiting: FxHashMap<u64, Waker>,
    ended: bool,
}

impl Cancels {
    pub(super) fn cancelled(&self, id: u64) {
        let mut marks = self.marks.lock();
        marks.gone.insert(id);
        let waker = marks.waiting.remove(&id);
        drop(marks);
        self.in_use.store(true, Ordering::Release);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The connection ended: no asker is there any more.
    pub(super) fn end(&self) {
        let mut marks = self.marks.lock();
        marks.ended = true;
        let waiting = std::mem::take(&mut marks.waiting);
        drop(marks);
        self.in_use.store(true, Ordering::Release);
        waiting.into_values().for_each(Waker::wake);
    }

    pub(super) fn is_gone(&self, id: u64, asks: bool) -> bool {
        self.in_use.load(Ordering::Acquire) && self.marks.lock().is_gone(id, asks)
    }

    pub(super) fn poll(&self, id: u64, asks: bool, cx: &mut Context<'_>) -> Poll<()> {
        let mut marks = self.marks.lock();
        if marks.is_gone(id, asks) {
            return Poll::Ready(());
        }
        marks.waiting.insert(id, cx.waker().clone());
        self.in_use.store(true, Ordering::Release);
        Poll::Pending
    }

    /// The message has ended: its marks go.
    pub(super) fn answered(&self, id: u64) {
        if self.in_use.load(Ordering::Acquire) {
            let mut marks = self.marks.lock();
            marks.gone.remove(&id);
            marks.waiting.remove(&id);
            let idle = marks.gone.is_empty() && marks.waiting.is_empty() && !marks.ended;
            if idle {
                self.in_use.store(false, Ordering::Release);
            }
        }
    }
}

impl Marks {
    /// A tell is run even if its sender has gone: it was taken.
    fn is_gone(&self, id: u64, asks: bool) -> bool {
        (self.ended && asks) || self.gone.contains(&id)
    }
}
