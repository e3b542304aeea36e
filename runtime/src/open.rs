//! The asks that are open at a component, under its mailbox's lock.
//!
//! An ask has an entry that two share, its asker and its component: when its time is over, who is
//! woken by its end, and, once it has ended, its outcome. Who leaves last takes the entry away.

use std::{any::Any, mem, task::Waker};

use crate::{
    deadline::keep_waker,
    wheel::{Key, Wheel},
};

/// The typed outcome of an ask, on its way to who knows its type.
pub(crate) type Parcel = Box<dyn Any + Send>;

#[derive(Debug, Default)]
pub(crate) struct OpenAsks(Wheel<Open>);

#[derive(Debug, Default)]
struct Open {
    stage: Stage,
    /// Woken by the ask's end, and by its deadline.
    asker: Option<Waker>,
    /// Of the component, if it wants to know when the asker goes away.
    component: Option<Waker>,
    outcome: Option<Parcel>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Queued,
    Begun,
    Ended,
    /// Its asker went away.
    Gone,
}

/// How far an ask has come, as its component knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It hasn't begun.
    Waits,
    Begun,
    /// Its asker went away before it began.
    Gone,
    /// Its time was over before it began, and its asker hasn't looked since.
    Expired,
}

/// How an ask that was looked at fares.
#[derive(Debug)]
pub(crate) enum Look {
    Open {
        /// To be dropped outside the lock.
        _last: Option<Waker>,
    },
    /// Without an outcome if it never ran. The entry is gone.
    Ended(Option<Parcel>),
    /// Its asker has gone away by that. Whether it had begun, and who is to be woken.
    Expired(bool, Option<Waker>),
}

/// What an asker that goes away leaves, to be dropped outside the lock: that is other people's code.
#[derive(Debug)]
pub(crate) struct Left {
    /// To be woken.
    pub(crate) component: Option<Waker>,
    _asker: Option<Waker>,
    _outcome: Option<Parcel>,
}

/// The asker's side.
impl OpenAsks {
    /// Whether the keeper of the deadlines must look earlier than it meant to, besides the ask's key.
    #[inline]
    pub(crate) fn open(&mut self, tick: u64, asker: Waker) -> (Key, bool) {
        let (key, open, is_next) = self.0.insert(tick);
        open.stage = Stage::Queued;
        open.asker = Some(asker);
        (key, is_next)
    }

    /// Looks at it; while it is open, `waker` is woken by its end.
    #[inline]
    pub(crate) fn look(&mut self, key: Key, waker: &Waker) -> Look {
        let is_in = self.0.is_in(key);
        let open = self.0.get(key);
        if open.stage == Stage::Ended {
            let outcome = open.outcome.take();
            self.0.free(key);
            return Look::Ended(outcome);
        }
        if is_in {
            let _last = keep_waker(&mut open.asker, waker);
            Look::Open { _last }
        } else {
            let component = open.component.take();
            let before = mem::replace(&mut open.stage, Stage::Gone);
            Look::Expired(before == Stage::Begun, component)
        }
    }

    /// The asker goes away. What hasn't begun never will.
    pub(crate) fn give_up(&mut self, key: Key) -> Left {
        let open = self.0.take_out(key);
        let left = Left {
            component: open.component.take(),
            _asker: open.asker.take(),
            _outcome: open.outcome.take(),
        };
        if mem::replace(&mut open.stage, Stage::Gone) == Stage::Ended {
            self.0.free(key);
        }
        left
    }

    /// Hands the wakers of those whose time is over to `due`; the tick at which to look again.
    pub(crate) fn expire(&mut self, current: u64, due: &mut Vec<Waker>) -> Option<u64> {
        self.0.look(current, |open| due.extend(open.asker.take()))
    }

    /// Gives back what only open asks need, if there are none.
    pub(crate) fn tidy(&mut self) {
        self.0.tidy();
    }
}

/// The component's side.
impl OpenAsks {
    /// Its handler is about to run, if this is [`Turn::Begun`]. Who went away was told that it didn't.
    #[inline]
    pub(crate) fn begin(&mut self, key: Key) -> Turn {
        // What goes away or ends is taken out, and so is what expires.
        if self.0.is_in(key) {
            self.0.get(key).stage = Stage::Begun;
            Turn::Begun
        } else if self.is_gone(key) {
            Turn::Gone
        } else {
            Turn::Expired
        }
    }

    /// Its end: who is to be woken, and the outcome if nobody waits for it any more.
    #[inline]
    pub(crate) fn end(
        &mut self,
        key: Key,
        outcome: Option<Parcel>,
    ) -> (Option<Waker>, Option<Parcel>) {
        let open = self.0.take_out(key);
        open.component = None;
        if open.stage == Stage::Gone {
            self.0.free(key);
            return (None, outcome);
        }
        open.stage = Stage::Ended;
        open.outcome = outcome;
        (open.asker.take(), None)
    }

    pub(crate) fn is_gone(&mut self, key: Key) -> bool {
        self.0.get(key).stage == Stage::Gone
    }

    /// Whether the asker has gone away; if not, `waker` is woken when it does. Besides, a waker to
    /// drop outside the lock.
    pub(crate) fn poll_gone(&mut self, key: Key, waker: &Waker) -> (bool, Option<Waker>) {
        let open = self.0.get(key);
        match open.stage {
            Stage::Gone => (true, None),
            _ => (false, keep_waker(&mut open.component, waker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::<Count>::default();
        (count.clone(), count.into())
    }

    fn outcome(look: Look) -> Option<u32> {
        let Look::Ended(outcome) = look else {
            panic!("it has ended, and {look:?}")
        };
        outcome.map(|outcome| *outcome.downcast().unwrap())
    }

    #[test]
    fn an_end_wakes_the_task_that_looked_last_and_takes_the_deadline_away() {
        let mut asks = OpenAsks::default();
        let ((first, asker), (second, other)) = (waker(), waker());
        let (key, _) = asks.open(5, asker);
        assert!(matches!(
            asks.look(key, &other),
            Look::Open { _last: Some(_) }
        ));
        assert_eq!(asks.begin(key), Turn::Begun);
        let (woken, left) = asks.end(key, Some(Box::new(7_u32)));
        assert!(left.is_none() && asks.0.is_empty());
        woken.unwrap().wake();
        assert_eq!((first.0.load(Relaxed), second.0.load(Relaxed)), (0, 1));
        assert_eq!(outcome(asks.look(key, &other)), Some(7));
        // Its place is the next one's.
        assert_eq!(asks.open(5, other).0, key);
    }

    #[test]
    fn what_has_not_begun_when_the_asker_goes_away_never_begins() {
        let mut asks = OpenAsks::default();
        let (key, _) = asks.open(5, waker().1);
        asks.give_up(key);
        assert_eq!(asks.begin(key), Turn::Gone);
        assert!(asks.0.is_empty());
        let (woken, left) = asks.end(key, Some(Box::new(7_u32)));
        assert!(woken.is_none() && left.is_some());
        assert_eq!(asks.open(5, waker().1).0, key);
    }

    #[test]
    fn who_runs_learns_once_that_the_asker_went_away_and_its_outcome_comes_back() {
        let mut asks = OpenAsks::default();
        let ((asker, waker_of_asker), (_, component)) = (waker(), waker());
        let (key, _) = asks.open(5, waker_of_asker);
        assert_eq!(asks.begin(key), Turn::Begun);
        assert!(!asks.poll_gone(key, &component).0);
        let woken = asks.give_up(key).component;
        assert!(woken.is_some_and(|woken| woken.will_wake(&component)));
        assert!(asks.poll_gone(key, &component).0 && asks.is_gone(key));
        let (woken, outcome) = asks.end(key, Some(Box::new(7_u32)));
        assert!(woken.is_none() && outcome.is_some());
        assert_eq!(asker.0.load(Relaxed), 0);
    }

    #[test]
    fn an_ask_whose_time_is_over_has_expired_unless_it_was_answered_before_it_was_looked_at() {
        let mut asks = OpenAsks::default();
        let (_, looks) = waker();
        for (tick, is_answered) in [(5, false), (6, true)] {
            let (count, asker) = waker();
            let (key, _) = asks.open(tick, asker);
            assert_eq!(asks.begin(key), Turn::Begun);
            let mut due = Vec::new();
            asks.expire(tick, &mut due);
            due.into_iter().for_each(Waker::wake);
            assert_eq!(count.0.load(Relaxed), 1);
            if is_answered {
                asks.end(key, Some(Box::new(7_u32)));
                assert_eq!(outcome(asks.look(key, &looks)), Some(7));
            } else {
                let look = asks.look(key, &looks);
                assert!(matches!(look, Look::Expired(true, None)));
                asks.end(key, None);
            }
        }
    }

    #[test]
    fn what_has_not_begun_when_its_time_is_over_never_begins_and_its_asker_may_be_told() {
        let mut asks = OpenAsks::default();
        let (_, looks) = waker();
        let (key, _) = asks.open(5, waker().1);
        asks.expire(5, &mut Vec::new());
        assert_eq!(asks.begin(key), Turn::Expired);
        asks.end(key, Some(Box::new(7_u32)));
        assert_eq!(outcome(asks.look(key, &looks)), Some(7));
    }

    #[test]
    fn who_goes_away_after_the_end_takes_the_outcome_with_it() {
        let mut asks = OpenAsks::default();
        let (key, _) = asks.open(5, waker().1);
        assert_eq!(asks.begin(key), Turn::Begun);
        asks.end(key, Some(Box::new(7_u32)));
        assert!(asks.give_up(key)._outcome.is_some());
        assert_eq!(asks.open(5, waker().1).0, key);
    }
}
