//! How many messages of this node's own senders may be open with a component, and who waits for one
//! to end. Pure but for the wake-ups; lives under the mailbox's lock.

use std::collections::VecDeque;

use tokio::sync::oneshot;

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

    #[inline]
    pub(crate) fn give_back(&mut self) {
        while let Some(waiting) = self.waiting.pop_front() {
            if waiting.send(()).is_ok() {
                return;
            }
        }
        self.left += 1;
    }

    /// Whoever waits learns that it is in vain.
    pub(crate) fn close(&mut self) {
        self.waiting.clear();
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
        credit.give_back();
        assert_eq!(first.try_recv(), Ok(()));
        assert_eq!(credit.take(), Err(NoCredit::Full));
        credit.give_back();
        assert_eq!(second.try_recv(), Ok(()));
        credit.give_back();
        assert_eq!(credit.take(), Ok(()));
    }
}
