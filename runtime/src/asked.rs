//! A local ask in one allocation: the message on its way in, the reply on its way out.
//!
//! Its asker and its component share it. Whichever of them ends the ask, under the lock, takes its
//! deadline out of the wheel; and the asker's waker waits there, so that one serves both.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use botzilla_wire::Failure;
use parking_lot::{Mutex, MutexGuard};

use crate::{
    Message, contain,
    deadline::{Deadlines, Key},
};

pub(crate) struct Asked<M: Message> {
    /// What the content says as well, for those who only want to know; changes under its lock.
    progress: AtomicU8,
    alarm: Key,
    content: Mutex<Content<M>>,
}

const OPEN: u8 = 0;
const ANSWERED: u8 = 1;
const GONE: u8 = 2;

enum Content<M: Message> {
    Message(M),
    /// The component has the message, and may want to know when the asker goes away.
    Begun(Option<Waker>),
    Outcome(Result<M::Reply, Failure>),
}

/// How an ask that was looked at fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Open,
    Answered,
    Expired,
}

/// The asker's side.
impl<M: Message> Asked<M> {
    /// Whose deadline is in the wheel already, with the asker's waker.
    pub(crate) fn new(message: M, alarm: Key) -> Arc<Self> {
        Arc::new(Self {
            progress: AtomicU8::new(OPEN),
            alarm,
            content: Mutex::new(Content::Message(message)),
        })
    }

    /// Looks at it; while it is open, `waker` is woken by its end.
    pub(crate) fn look(&self, deadlines: &Deadlines, waker: &Waker) -> Progress {
        if self.progress.load(Ordering::Acquire) == ANSWERED {
            return Progress::Answered;
        }
        // Under the lock: who answers takes the alarm away.
        let _content = self.content.lock();
        match self.progress.load(Ordering::Relaxed) {
            ANSWERED => Progress::Answered,
            _ if deadlines.has_passed(self.alarm, waker) => Progress::Expired,
            _ => Progress::Open,
        }
    }

    /// How it ended, once it was answered.
    #[inline]
    pub(crate) fn into_outcome(self: Arc<Self>) -> Option<Result<M::Reply, Failure>> {
        // Who answered has let go of it, as a rule; then it need not be locked.
        let content = match Arc::try_unwrap(self) {
            Ok(asked) => asked.content.into_inner(),
            Err(asked) => mem::replace(&mut *asked.content.lock(), Content::Begun(None)),
        };
        match content {
            Content::Outcome(outcome) => Some(outcome),
            Content::Message(_) | Content::Begun(_) => None,
        }
    }

    /// The asker goes away. What hasn't begun never will; who runs and wants to know it, learns it.
    /// Whether it had begun, or `None` if it was answered meanwhile.
    pub(crate) fn give_up(&self, deadlines: &Deadlines) -> Option<bool> {
        let (began, waker) = {
            let mut content = self.content.lock();
            if self.progress.load(Ordering::Relaxed) != OPEN {
                return None;
            }
            self.progress.store(GONE, Ordering::Release);
            match &mut *content {
                Content::Begun(waker) => (true, waker.take()),
                Content::Message(_) | Content::Outcome(_) => (false, None),
            }
        };
        deadlines.take(self.alarm);
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(began)
    }

    /// It found no place in the queue: back to before it was asked.
    pub(crate) fn take_back(&self, deadlines: &Deadlines) -> M {
        deadlines.take(self.alarm);
        self.take_message().expect("nobody else has had it")
    }
}

/// The component's side, with the message still in it.
impl<M: Message> Asked<M> {
    /// Takes the message out to run it, unless the asker went away: that one was told that it didn't
    /// run.
    #[inline]
    pub(crate) fn begin(&self) -> Option<M> {
        let content = self.content.lock();
        if self.progress.load(Ordering::Relaxed) == GONE {
            return None;
        }
        Self::take_out(content)
    }

    /// Takes the message out, if it is still there, because it won't run.
    pub(crate) fn take_message(&self) -> Option<M> {
        Self::take_out(self.content.lock())
    }

    #[inline]
    fn take_out(mut content: MutexGuard<'_, Content<M>>) -> Option<M> {
        match mem::replace(&mut *content, Content::Begun(None)) {
            Content::Message(message) => Some(message),
            other => {
                *content = other;
                None
            }
        }
    }
}

/// The component's side, for whoever knows only what answers the message.
pub(crate) trait Answering<R>: Send + Sync {
    fn answer(self: Arc<Self>, outcome: Result<R, Failure>, deadlines: &Deadlines);
    fn is_gone(&self) -> bool;
    /// Ready when the asker has gone away.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<M: Message> Answering<M::Reply> for Asked<M> {
    fn answer(self: Arc<Self>, outcome: Result<M::Reply, Failure>, deadlines: &Deadlines) {
        let mut content = self.content.lock();
        if self.progress.load(Ordering::Relaxed) != OPEN {
            drop(content);
            return contain::drop_value(outcome);
        }
        let before = mem::replace(&mut *content, Content::Outcome(outcome));
        self.progress.store(ANSWERED, Ordering::Release);
        drop(content);
        let alarm = self.alarm;
        // Before the asker runs, so that it alone has the reply.
        drop(self);
        if let Some(waker) = deadlines.take(alarm) {
            waker.wake();
        }
        if let Content::Message(message) = before {
            contain::drop_value(message);
        }
    }

    fn is_gone(&self) -> bool {
        self.progress.load(Ordering::Acquire) == GONE
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut content = self.content.lock();
        if self.progress.load(Ordering::Relaxed) == GONE {
            return Poll::Ready(());
        }
        if let Content::Begun(waker) = &mut *content
            && !waker
                .as_ref()
                .is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicUsize,
        time::{Duration, Instant},
    };

    use super::*;

    #[crate::message(reply = u32)]
    struct Ask;

    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Asker {
        deadlines: Arc<Deadlines>,
        woken: Arc<Count>,
        asked: Arc<Asked<Ask>>,
    }

    fn ask() -> Asker {
        let deadlines = Deadlines::new(Instant::now());
        let woken = Arc::new(Count(AtomicUsize::new(0)));
        let alarm = deadlines.put(
            Instant::now() + Duration::from_secs(5),
            woken.clone().into(),
        );
        Asker {
            deadlines,
            woken,
            asked: Asked::new(Ask, alarm),
        }
    }

    impl Asker {
        fn look(&self, waker: &Arc<Count>) -> Progress {
            self.asked.look(&self.deadlines, &waker.clone().into())
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn an_answer_wakes_the_task_that_looked_last_and_takes_the_alarm_away() {
        let asker = ask();
        let other = Arc::new(Count(AtomicUsize::new(0)));
        assert_eq!(asker.look(&other), Progress::Open);
        assert!(asker.asked.begin().is_some());
        asker.asked.clone().answer(Ok(7), &asker.deadlines);
        assert_eq!((asker.woken(), other.0.load(Ordering::Relaxed)), (0, 1));
        assert_eq!(asker.look(&other), Progress::Answered);
        assert!(asker.deadlines.is_empty());
        assert_eq!(asker.asked.give_up(&asker.deadlines), None);
        assert_eq!(asker.asked.into_outcome(), Some(Ok(7)));
    }

    #[test]
    fn what_has_not_begun_when_the_asker_goes_away_never_begins() {
        let asker = ask();
        assert_eq!(asker.asked.give_up(&asker.deadlines), Some(false));
        assert!(asker.asked.begin().is_none());
        assert!(asker.asked.take_message().is_some());
    }

    #[test]
    fn who_runs_learns_once_that_the_asker_went_away_and_its_answer_goes_nowhere() {
        let asker = ask();
        assert!(asker.asked.begin().is_some());
        let component = Arc::new(Count(AtomicUsize::new(0)));
        let waker = component.clone().into();
        let mut cx = Context::from_waker(&waker);
        assert!(asker.asked.poll_gone(&mut cx).is_pending());
        assert_eq!(asker.asked.give_up(&asker.deadlines), Some(true));
        assert_eq!(component.0.load(Ordering::Relaxed), 1);
        assert!(asker.asked.poll_gone(&mut cx).is_ready());
        asker.asked.clone().answer(Ok(7), &asker.deadlines);
        assert_eq!(asker.woken(), 0);
        assert!(asker.deadlines.is_empty());
        assert_eq!(asker.asked.into_outcome(), None);
    }
}
