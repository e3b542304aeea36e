//! How a handler answers: now, or later through a `Replier`.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

use crate::{Data, call::ReplyTo};

/// What a handler ends with.
#[derive(Debug)]
pub enum Answer<R> {
    /// The reply.
    Now(R),
    /// Somebody else replies, through the [`Replier`] that belongs to this.
    Later(Later<R>),
}

impl<R> From<R> for Answer<R> {
    fn from(reply: R) -> Self {
        Self::Now(reply)
    }
}

impl<R> From<Later<R>> for Answer<R> {
    fn from(later: Later<R>) -> Self {
        Self::Later(later)
    }
}

/// Stands for a reply that comes later; a handler returns it. Made by `Ctx::reply_later`.
#[must_use = "return it from the handler, so that the replier knows whom to answer"]
pub struct Later<R>(Arc<Mutex<Slot<R>>>);

/// Answers a message after its handler returned, from any thread.
///
/// Dropping it answers `NoReply`.
#[must_use = "dropping it answers NoReply"]
pub struct Replier<R: Data>(Option<Arc<Mutex<Slot<R>>>>);

enum Slot<R> {
    Empty,
    Waiting(ReplyTo<R>),
    Replied(R),
    Dropped,
    /// The component that would have replied is gone.
    Stopped,
    Over,
}

pub(crate) fn later<R: Data>() -> (Replier<R>, Later<R>) {
    let slot = Arc::new(Mutex::new(Slot::Empty));
    (Replier(Some(slot.clone())), Later(slot))
}

impl<R: Data> Later<R> {
    /// An answer that says that the component has stopped.
    pub(crate) fn stopped() -> Self {
        Self(Arc::new(Mutex::new(Slot::Stopped)))
    }

    pub(crate) fn attach(self, to: ReplyTo<R>) {
        let mut slot = self.0.lock();
        match std::mem::replace(&mut *slot, Slot::Over) {
            Slot::Empty => *slot = Slot::Waiting(to),
            Slot::Replied(reply) => {
                drop(slot);
                to.reply(reply);
            }
            Slot::Stopped => {
                drop(slot);
                drop(to);
            }
            Slot::Dropped | Slot::Waiting(_) | Slot::Over => {
                drop(slot);
                to.no_reply();
            }
        }
    }
}

impl<R: Data> Replier<R> {
    /// Answers.
    pub fn reply(mut self, reply: R) {
        let slot = self
            .0
            .take()
            .expect("only reply and drop take it, and reply consumes self");
        let mut slot = slot.lock();
        match std::mem::replace(&mut *slot, Slot::Over) {
            Slot::Empty => *slot = Slot::Replied(reply),
            Slot::Waiting(to) => {
                drop(slot);
                to.reply(reply);
            }
            Slot::Replied(_) | Slot::Dropped | Slot::Stopped | Slot::Over => {}
        }
    }

    /// Whether the asker no longer waits.
    pub fn is_cancelled(&self) -> bool {
        match self.0.as_ref().map(|slot| slot.lock()).as_deref() {
            Some(Slot::Waiting(to)) => to.is_cancelled(),
            Some(Slot::Over) | None => true,
            Some(_) => false,
        }
    }
}

impl<R: Data> Drop for Replier<R> {
    fn drop(&mut self) {
        let Some(slot) = self.0.take() else { return };
        let mut slot = slot.lock();
        match std::mem::replace(&mut *slot, Slot::Dropped) {
            Slot::Waiting(to) => {
                *slot = Slot::Over;
                drop(slot);
                to.no_reply();
            }
            Slot::Empty => {}
            other => *slot = other,
        }
    }
}

impl<R> fmt::Debug for Later<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

impl<R: Data> fmt::Debug for Replier<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replier")
    }
}
