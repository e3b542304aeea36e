//! Counting what became of messages: sent = delivered + refused + failed + open, always.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::call::Settled;

/// One route's counts, on the side that counts.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
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
    /// Refused before a handler ran.
    pub refused: u64,
    /// Ended badly: a panic, an interruption, a deadline, a cut connection.
    pub failed: u64,
    /// Not ended yet.
    pub open: u64,
}

impl Ledger {
    pub(crate) fn open(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    pub(crate) fn settle(&self, how: Settled) {
        match how {
            Settled::Delivered => &self.delivered,
            Settled::Refused => &self.refused,
            Settled::Failed => &self.failed,
        }
        .fetch_add(1, Relaxed);
    }

    pub(crate) fn counters(&self) -> Counters {
        // Ends first: a message that arrives between the reads then counts as open, never as minus one.
        let (delivered, refused, failed) = (
            self.delivered.load(Relaxed),
            self.refused.load(Relaxed),
            self.failed.load(Relaxed),
        );
        let sent = self.received.load(Relaxed);
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

impl Counters {
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.refused += other.refused;
        self.failed += other.failed;
        self.open += other.open;
    }
}
