//! How many messages of this node's own senders may be open with a component, and who waits for one
//! to end. Pure: it lives under the mailbox's lock, and whoever is to be woken is handed out, since a
//! waker is other people's code, which may panic or come back here at once.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::contain;

/// The three kinds of credit that a component grants local senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Ordinary = 0,
    Urgent = 1,
    Broadcast = 2,
}

/// Why there is no credit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoCredit {
    /// All of it is in use, or others wait already.
    Full,
    /// The component takes nothing any more.
    Closed,
}

/// Credit of one class.
#[derive(Debug)]
pub(crate) struct Credit {
    left: usize,
    /// First come, first served: what is given back goes to the first who still waits.
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl Credit {
    pub(crate) fn new(all: usize) -> Self {
        Self {
            left: all,
            waiting: VecDeque::new(),
        }
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Result<(), NoCredit> {
        if self.left == 0 || !self.waiting.is_empty() {
            return Err(NoCredit::Full);
        }
        self.left -= 1;
        Ok(())
    }

    /// Stands in line; the receiver gets the credit with its value.
    pub(crate) fn wait(&mut self) -> oneshot::Receiver<()> {
        let (granted, waits) = oneshot::channel();
        self.waiting.push_back(granted);
        waits
    }

    /// One message has ended: whose turn it is, if anybody waits.
    #[inline]
    #[must_use]
    pub(crate) fn give_back(&mut self) -> Option<Granted> {
        while let Some(waiting) = self.waiting.pop_front() {
            if !waiting.is_closed() {
                return Some(Granted(waiting));
            }
        }
        self.left += 1;
        None
    }

    /// Those who wait; it is in vain, and they learn it when they are dropped.
    #[must_use]
    pub(crate) fn close(&mut self) -> VecDeque<oneshot::Sender<()>> {
        std::mem::take(&mut self.waiting)
    }
}

/// Credit on its way to one who waited for it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Granted(oneshot::Sender<()>);

impl Granted {
    /// Hands it over and wakes whoever it is, outside of all locks; false if that one has gone away by
    /// now, and the credit is to be given back again.
    pub(crate) fn hand_over(self) -> bool {
        match contain::catch(|| self.0.send(())) {
            Ok(taken) => taken.is_ok(),
            // It was handed over before the waker ran.
            Err(panicked) => {
                contain::woke_badly(&panicked);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_goes_to_those_who_wait_in_their_order_and_never_past_them() {
        let mut credit = Credit::new(1);
        credit.take().unwrap();
        let (mut first, gone, mut second) = (credit.wait(), credit.wait(), credit.wait());
        drop(gone);
        assert!(credit.give_back().is_some_and(Granted::hand_over));
        assert_eq!(first.try_recv(), Ok(()));
        assert_eq!(credit.take(), Err(NoCredit::Full));
        assert!(credit.give_back().is_some_and(Granted::hand_over));
        assert_eq!(second.try_recv(), Ok(()));
        assert!(credit.give_back().is_none());
        assert_eq!(credit.take(), Ok(()));
    }
}
