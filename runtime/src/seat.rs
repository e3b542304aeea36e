//! What a message holds while it is open: credit, a line in the ledger, and a typed ask its entry
//! among those that are open.

use std::{mem, sync::Arc, task};

use botzilla_wire::Failure;

use crate::{
    credit::Class,
    hosted::Hosted,
    open::{OpenAsks, Parcel, Turn},
    routes::RouteInfo,
    wheel::Key,
};

/// What a message holds until it ends.
pub(crate) struct Seat {
    hosted: Arc<Hosted>,
    route: usize,
    credit: Option<Class>,
    /// Whether it is in the ledger as not ended yet.
    open: bool,
    ask: Option<Key>,
    /// Of a typed ask.
    turn: Turn,
}

/// How a message ended, for the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settled {
    Delivered,
    Refused,
    Failed,
}

impl Settled {
    /// As the other side's link counts it: refused is what says that it didn't run.
    pub(crate) fn by(failure: &Failure) -> Self {
        if failure.may_have_run {
            Self::Failed
        } else {
            Self::Refused
        }
    }
}

impl Seat {
    pub(crate) fn hosted(&self) -> &Arc<Hosted> {
        &self.hosted
    }

    /// The place of its handler among the component's routes.
    #[inline]
    pub(crate) fn route(&self) -> usize {
        self.route
    }

    /// What is known of its handler.
    #[inline]
    pub(crate) fn info(&self) -> &RouteInfo {
        &self.hosted.routes[self.route]
    }

    /// Whether it is an ask that can't begin any more.
    #[inline]
    pub(crate) fn is_in_vain(&self) -> bool {
        matches!(self.turn, Turn::Gone | Turn::Expired)
    }

    /// Whether that is so because its time was over.
    pub(crate) fn is_expired(&self) -> bool {
        self.turn == Turn::Expired
    }

    /// With credit that was taken before.
    pub(crate) fn new(hosted: Arc<Hosted>, route: usize, credit: Option<Class>) -> Self {
        hosted.routes[route].ledger.open();
        Self {
            hosted,
            route,
            credit,
            open: true,
            ask: None,
            turn: Turn::Waits,
        }
    }

    /// Of an ask, made under the mailbox's lock, with credit that was taken under it.
    #[inline]
    pub(crate) fn admitted(hosted: Arc<Hosted>, route: usize, credit: Class, ask: Key) -> Self {
        hosted.routes[route].ledger.open_locked();
        Self {
            hosted,
            route,
            credit: Some(credit),
            open: true,
            ask: Some(ask),
            turn: Turn::Waits,
        }
    }

    /// An ask that had its credit before is among those that are open.
    pub(crate) fn opened(&mut self, ask: Key) {
        self.ask = Some(ask);
    }

    /// It was taken out of the queue, under the mailbox's lock. An ask begins by that, but for one
    /// whose handler has a task of its own: that one begins when its task does.
    #[inline]
    pub(crate) fn take_turn(&mut self, asks: &mut OpenAsks) {
        let Some(key) = self.ask else { return };
        if self.info().beside {
            if asks.is_gone(key) {
                self.turn = Turn::Gone;
            }
        } else {
            self.turn = asks.begin(key);
        }
    }

    /// An ask's handler is about to run; false if the asker went away or its time was over.
    #[inline]
    pub(crate) fn begin(&mut self) -> bool {
        if let (Turn::Waits, Some(key)) = (self.turn, self.ask) {
            self.turn = self.hosted.mailbox.begin(key);
        }
        self.turn == Turn::Begun
    }

    /// Its handler is given the message.
    #[inline]
    pub(crate) fn is_taken(&self) {
        if let Some(input) = &self.info().input
            && input.is_taken()
        {
            self.hosted.mailbox.wake();
        }
    }

    /// Whether the asker went away.
    pub(crate) fn is_gone(&self) -> bool {
        self.ask.is_some_and(|key| self.hosted.mailbox.is_gone(key))
    }

    /// Ready when the asker went away.
    pub(crate) fn poll_gone(&self, waker: &task::Waker) -> task::Poll<()> {
        match self.ask {
            Some(key) => self.hosted.mailbox.poll_gone(key, waker),
            None => task::Poll::Pending,
        }
    }

    /// Ends an ask, once: its outcome goes to its asker, or none if it never ran.
    #[inline]
    pub(crate) fn answer(&mut self, how: Settled, outcome: Option<Parcel>) {
        // Without a key it was never taken in: it is settled by its drop.
        let Some(key) = self.ask.take() else { return };
        let Some(class) = self.credit.take() else {
            unreachable!("an ask is let in on credit alone")
        };
        self.open = false;
        let ledger = &self.hosted.routes[self.route].ledger;
        let mailbox = &self.hosted.mailbox;
        mailbox.end(key, class, outcome, || ledger.settle_locked(how));
    }

    #[cold]
    fn never_opened(&mut self) {
        if self.ask.is_some() {
            self.answer(Settled::Refused, None);
        } else {
            self.settle(Settled::Refused);
        }
    }

    /// Ends what isn't an ask, once.
    #[inline]
    pub(crate) fn settle(&mut self, how: Settled) {
        let was_open = mem::replace(&mut self.open, false);
        let ledger = &self.hosted.routes[self.route].ledger;
        match self.credit.take() {
            Some(class) => self.hosted.mailbox.give_back(class, || {
                if was_open {
                    ledger.settle_locked(how);
                }
            }),
            None if was_open => ledger.settle(how),
            None => {}
        }
    }
}

impl Drop for Seat {
    /// Of a message that was never opened: one that was is settled by its `ReplyTo`.
    fn drop(&mut self) {
        // That one has neither.
        if self.ask.is_some() || self.open {
            self.never_opened();
        }
    }
}
