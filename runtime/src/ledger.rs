//! Counting what became of messages: sent = delivered + refused + failed + open, always.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::seat::Settled;

/// One route's counts, on the side that counts.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By whoever.
    shared: Counts,
    /// By whoever holds the mailbox's lock: a load and a store do, no read-modify-write is needed.
    locked: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    received: AtomicU64,
    delivered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What became of the messages of one route so far.
///
/// `sent = delivered + refused + failed + open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[crate::data]
#[non_exhaustive]
pub struct Counters {
    /// Taken: sent, or received on the other side.
    pub sent: u64,
    /// The handler ran to its end.
    pub delivered: u64,
    /// Ended before a handler ran: refused, cancelled, or its time was over.
    pub refused: u64,
    /// Ended badly once it may have run: a panic, an interruption, a cut connection.
    pub failed: u64,
    /// Not ended yet.
    pub open: u64,
}

impl Ledger {
    pub(crate) fn open(&self) {
        self.shared.received.fetch_add(1, Relaxed);
    }

    pub(crate) fn settle(&self, how: Settled) {
        self.shared.of(how).fetch_add(1, Relaxed);
    }

    /// Under the lock of the component's mailbox.
    #[inline]
    pub(crate) fn open_locked(&self) {
        add_locked(&self.locked.received);
    }

    /// Under the lock of the component's mailbox.
    #[inline]
    pub(crate) fn settle_locked(&self, how: Settled) {
        add_locked(self.locked.of(how));
    }

    pub(crate) fn counters(&self) -> Counters {
        let sum = |count: fn(&Counts) -> &AtomicU64| {
            count(&self.shared).load(Relaxed) + count(&self.locked).load(Relaxed)
        };
        // Ends first: a message that arrives between the reads then counts as open, never as minus one.
        let delivered = sum(|counts| &counts.delivered);
        let refused = sum(|counts| &counts.refused);
        let failed = sum(|counts| &counts.failed);
        let sent = sum(|counts| &counts.received);
        let open = sent.saturating_sub(delivered + refused + failed);
        Counters {
            sent,
            delivered,
            refused,
            failed,
            open,
        }
    }
}

impl Counts {
    fn of(&self, how: Settled) -> &AtomicU64 {
        match how {
            Settled::Delivered => &self.delivered,
            Settled::Refused => &self.refused,
            Settled::Failed => &self.failed,
        }
    }
}

fn add_locked(count: &AtomicU64) {
    count.store(count.load(Relaxed) + 1, Relaxed);
}

impl Counters {
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.refused += other.refused;
        self.failed += other.failed;
        self.open += other.open;
    }
}
