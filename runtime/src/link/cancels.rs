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
    /// Marks a message that is still owed an end, and returns whom to wake.
    ///
    /// Under the lock of the session that owes it: what ends a message there sweeps its mark out
    /// afterwards, so a mark made for one that had ended would stay as long as the connection.
    #[must_use]
    pub(super) fn cancelled(&self, id: u64) -> Option<Waker> {
        let mut marks = self.marks.lock();
        marks.gone.insert(id);
        self.in_use.store(true, Ordering::Release);
        marks.waiting.remove(&id)
    }

    /// The connection ended: no asker is there any more. Returns whom to wake.
    #[must_use]
    pub(super) fn end(&self) -> Vec<Waker> {
        let mut marks = self.marks.lock();
        marks.ended = true;
        self.in_use.store(true, Ordering::Release);
        std::mem::take(&mut marks.waiting).into_values().collect()
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

    /// The message has ended in the session: its marks go.
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

#[cfg(test)]
impl Cancels {
    /// How many messages are marked.
    pub(super) fn len(&self) -> usize {
        self.marks.lock().gone.len()
    }
}

impl Marks {
    /// A tell is run even if its sender has gone: it was taken.
    fn is_gone(&self, id: u64, asks: bool) -> bool {
        (self.ended && asks) || self.gone.contains(&id)
    }
}
