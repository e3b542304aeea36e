//! What we subscribe to: what came, and how much more may come.

use rustc_hash::FxHashMap;

use super::{Granted, Subscribe};
use crate::{
    error::SessionError,
    flow::Granting,
    frame::{Ended, Grant, ItemFrame},
};

#[derive(Debug)]
struct Subscription {
    /// The publisher has said what we get.
    is_answered: bool,
    /// We no longer want it; the publisher is yet to say that it has ended.
    is_left: bool,
    /// The next item's number, were none left out.
    next: u64,
    items: Granting,
    bytes: Granting,
    /// It is in the list of those that a grant is due for.
    is_due: bool,
}

/// Our subscriptions that have not ended.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    open: FxHashMap<u32, Subscription>,
    /// The number of the next one.
    next: u64,
    due: Vec<u32>,
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Begins one; none if there are no numbers left.
    pub(super) fn begin(&mut self, subscribe: &Subscribe) -> Option<u32> {
        let id = u32::try_from(self.next).ok()?;
        self.next += 1;
        let subscription = Subscription {
            is_answered: false,
            is_left: false,
            next: 0,
            items: Granting::new(subscribe.items),
            bytes: Granting::new(subscribe.bytes),
            is_due: false,
        };
        self.open.insert(id, subscription);
        Some(id)
    }

    /// We no longer want it. Whether that is news.
    pub(super) fn leave(&mut self, id: u32) -> bool {
        match self.open.get_mut(&id) {
            Some(open) => !std::mem::replace(&mut open.is_left, true),
            None => false,
        }
    }

    fn get(&mut self, frame: &'static str, id: u32) -> Result<&mut Subscription, SessionError> {
        let unknown = SessionError::UnknownSubscription { frame, id };
        self.open.get_mut(&id).ok_or(unknown)
    }

    /// The publisher says what we get. Whether we still want it.
    pub(super) fn answer(&mut self, id: u32, granted: &Granted) -> Result<bool, SessionError> {
        let open = self.get("subscribed", id)?;
        if std::mem::replace(&mut open.is_answered, true) {
            return Err(SessionError::Malformed {
                frame: "subscribed",
                why: "it was said before",
            });
        }
        // The last number of all has no next one.
        if granted.next == u64::MAX {
            return Err(SessionError::Malformed {
                frame: "subscribed",
                why: "no item can have its next number",
            });
        }
        open.next = granted.next;
        Ok(!open.is_left)
    }

    /// An item begins to arrive: it is charged.
    pub(super) fn charge(&mut self, item: &ItemFrame, len: u64) -> Result<(), SessionError> {
        let ItemFrame { id, seq, .. } = *item;
        let open = self.get("item", id)?;
        if !open.is_answered {
            return Err(SessionError::UnknownSubscription { frame: "item", id });
        }
        let overrun = |what| move |granted| SessionError::StreamOverrun { id, what, granted };
        open.items.take(1).map_err(overrun("items"))?;
        open.bytes.begin(len).map_err(overrun("bytes"))?;
        let left_out = item.missed.checked_add(item.thinned);
        let expected = left_out.and_then(|left_out| open.next.checked_add(left_out));
        // The last number of all has no next one.
        if expected != Some(seq) || seq == u64::MAX {
            return Err(SessionError::ItemOutOfOrder {
                id,
                seq,
                next: open.next,
                left_out: left_out.unwrap_or(u64::MAX),
            });
        }
        Ok(())
    }

    /// All of an item is there. Whether we still want it.
    pub(super) fn arrived(&mut self, id: u32, seq: u64) -> bool {
        self.open.get_mut(&id).is_some_and(|open| {
            open.next = seq + 1;
            !open.is_left
        })
    }

    pub(super) fn is_wanted(&self, id: u32) -> bool {
        self.open.get(&id).is_some_and(|open| !open.is_left)
    }

    /// Items were consumed, or never came as a whole: there is room for more.
    pub(super) fn release(&mut self, id: u32, items: u64, bytes: u64) {
        let Some(open) = self.open.get_mut(&id).filter(|open| !open.is_left) else {
            return;
        };
        open.items.end(items.min(open.items.open()));
        open.bytes.end(bytes.min(open.bytes.open()));
        if !open.is_due && (open.items.is_due() || open.bytes.is_due()) {
            open.is_due = true;
            self.due.push(id);
        }
    }

    /// A grant that is due.
    pub(super) fn pop_due(&mut self) -> Option<Grant> {
        while let Some(id) = self.due.pop() {
            if let Some(open) = self.open.get_mut(&id) {
                open.is_due = false;
                if !open.is_left {
                    return Some(Grant {
                        id,
                        items: open.items.state(),
                        bytes: open.bytes.state(),
                    });
                }
            }
        }
        None
    }

    /// The publisher says that it has ended. Whether we still wanted it.
    pub(super) fn end(&mut self, ended: &Ended) -> Result<bool, SessionError> {
        let open = self.get("ended", ended.id)?;
        let left_out = ended.missed.checked_add(ended.thinned);
        let next = left_out.and_then(|left_out| open.next.checked_add(left_out));
        if next.is_none() {
            return Err(SessionError::Malformed {
                frame: "ended",
                why: "it leaves out more items than there are numbers",
            });
        }
        let is_left = open.is_left;
        self.open.remove(&ended.id);
        Ok(!is_left)
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.due.clear();
    }
}
