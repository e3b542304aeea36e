//! What waits to be sealed, in order.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::code::Failure;

/// What waits.
#[derive(Debug)]
pub(super) enum Item {
    /// A message of ours, by its handle. One that was withdrawn leaves a dead handle behind.
    Message(u64),
    /// The answer to an ask of the peer.
    Reply(u64, Bytes),
    /// The bad end of a message of the peer.
    Failure(u64, Failure),
}

/// A long frame that is on its way.
#[derive(Debug)]
pub(super) struct Long {
    pub(super) subject: LongSubject,
    /// What of the payload isn't sealed.
    pub(super) rest: Bytes,
    /// Whether its header was sealed.
    pub(super) started: bool,
}

/// What a long frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LongSubject {
    /// A message of ours, by its handle.
    Message(u64),
    /// The answer to an ask, by its id and length.
    Reply(u64, usize),
}

/// All that waits. Messages hold credit, and everything else ends a message of the peer, who had
/// credit for that: so the peer's and our own bounds bound this.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) urgent: VecDeque<Item>,
    pub(super) ordinary: VecDeque<Item>,
    /// Dead handles in the two.
    dead: usize,
    /// The long frame on its way.
    pub(super) long: Option<Long>,
    /// Long frames whose turn it isn't.
    pub(super) waiting: VecDeque<Long>,
    /// An abort frame is to be sealed before anything else.
    pub(super) abort: bool,
    /// Bytes of replies and details that wait.
    pub(super) reply_bytes: u64,
}

impl Queues {
    pub(super) fn push(&mut self, urgent: bool, item: Item) {
        if urgent {
            self.urgent.push_back(item);
        } else {
            self.ordinary.push_back(item);
        }
    }

    pub(super) fn of(&mut self, urgent: bool) -> &mut VecDeque<Item> {
        if urgent {
            &mut self.urgent
        } else {
            &mut self.ordinary
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.ordinary.is_empty() && self.long.is_none() && !self.abort
    }

    /// A handle in one of the queues has died. When most have, they are swept out, so that taking
    /// and withdrawing in a loop costs no memory.
    pub(super) fn died(&mut self, mut lives: impl FnMut(u64) -> bool) {
        self.dead += 1;
        if self.dead > 64 && self.dead * 2 > self.urgent.len() + self.ordinary.len() {
            let mut keep = |item: &Item| !matches!(item, Item::Message(handle) if !lives(*handle));
            self.urgent.retain(&mut keep);
            self.ordinary.retain(keep);
            self.dead = 0;
        }
    }

    /// A dead handle was taken out.
    pub(super) fn buried(&mut self) {
        self.dead = self.dead.saturating_sub(1);
    }

    /// A long frame goes now, or when its turn comes; urgent ones before the others.
    pub(super) fn push_long(&mut self, long: Long, urgent: bool) {
        if self.long.is_none() {
            self.long = Some(long);
        } else if urgent {
            self.waiting.push_front(long);
        } else {
            self.waiting.push_back(long);
        }
    }

    /// The long frame has ended; the next one's turn.
    pub(super) fn next_long(&mut self) {
        self.long = self.waiting.pop_front();
    }

    /// Drops what waits, but for the ends of the peer's messages.
    pub(super) fn keep_only_ends(&mut self) {
        self.urgent.retain(|item| !matches!(item, Item::Message(_)));
        self.ordinary
            .retain(|item| !matches!(item, Item::Message(_)));
        self.dead = 0;
        let is_reply = |long: &Long| matches!(long.subject, LongSubject::Reply(..));
        self.waiting.retain(is_reply);
        if let Some(long) = self.long.take_if(|long| !is_reply(long)) {
            // Its rest never leaves: the next long frame must not seem to be inside of it.
            self.abort |= long.started;
        }
    }
}
