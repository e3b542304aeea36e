//! One handler's run on one message, whatever becomes of it: reply, panic, interruption.

use std::{
    cell::Cell,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{self, Poll, Waker, ready},
};

use botzilla_wire::Code;

use crate::{
    Answer, Component, Ctx, Handler, HookError, Message, RestartReason,
    ambient::Ambience,
    call::{Call, Head, ReplyTo, failure},
    contain::{self, Panicked},
    context::{Cancel, Shared},
};

/// How a handler in place ended.
pub(crate) enum InPlace {
    Ended,
    Panicked(Panicked),
}

/// A future that owns the state while a handler runs, and gives it back.
pub(crate) type OwningTurn<C> = Pin<Box<dyn Future<Output = TurnEnd<C>>>>;

pub(crate) struct TurnEnd<C> {
    pub(crate) state: Box<C>,
    pub(crate) panicked: Option<Panicked>,
    /// What a start hook returned.
    pub(crate) refused: Option<String>,
}

/// How the supervisor speaks to a handler that is running, and whether its caller went away.
#[derive(Debug, Default)]
pub(crate) struct Control {
    interrupt: Cell<Option<Interrupt>>,
    cancel: Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// An urgent message waits.
    Urgent,
    /// Input that is expected is missed.
    Missed,
    /// The component must stop now.
    Stop,
    /// It restarts, since another does.
    Restart,
}

impl Control {
    pub(crate) fn interrupt(&self, why: Interrupt) {
        self.interrupt.set(Some(why));
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.get().is_some()
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

pub(crate) fn in_place<C, M>(state: &mut C, call: Call, shared: &Rc<Shared<C>>) -> InPlace
where
    C: Handler<M>,
    M: Message,
{
    let Some((message, head, to)) = call.open::<M>(shared.limits()) else {
        return InPlace::Ended;
    };
    let ctx = Ctx::for_call(shared.clone(), head, None);
    let answered = contain::catch(|| {
        let handler = pin!(state.handle(message, &ctx));
        match handler.poll(&mut task::Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            // `IN_PLACE` promised otherwise; a handler written by hand may have lied.
            Poll::Pending => None,
        }
    });
    match answered {
        Ok(Some(Answer::Now(reply))) => to.reply(reply),
        Ok(Some(Answer::Later(later))) => later.attach(to),
        Ok(None) => to.no_reply(),
        Err(panicked) => {
            to.panicked(&panicked);
            return InPlace::Panicked(panicked);
        }
    }
    InPlace::Ended
}

pub(crate) fn owning<C, M, const ABORT: bool>(
    mut state: Box<C>,
    call: Call,
    shared: Rc<Shared<C>>,
    control: Rc<Control>,
) -> OwningTurn<C>
where
    C: Handler<M>,
    M: Message,
{
    Box::pin(async move {
        let Some((message, head, mut to)) = call.open::<M>(shared.limits()) else {
            return TurnEnd {
                state,
                panicked: None,
                refused: None,
            };
        };
        let mut ambience = Some(shared.ambience(&head));
        control.cancel.prepare(ABORT);
        let ctx = Ctx::for_call(shared, head, Some(control.clone()));
        let end = {
            let handler = contain::catch(|| state.handle(message, &ctx));
            match handler {
                Ok(handler) => {
                    let handler = pin!(Some(handler));
                    drive(handler, &mut ambience, &control, &mut to).await
                }
                Err(panicked) => End::Panicked(panicked),
            }
        };
        let panicked = settle(end, to);
        TurnEnd {
            state,
            panicked,
            refused: None,
        }
    })
}

/// How a handler without state is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside {
    pub(crate) abort: bool,
    /// It waits for others without anybody waiting for it.
    pub(crate) concurrent: bool,
}

pub(crate) async fn beside<C, M, F, Fut>(
    function: Rc<F>,
    call: Call,
    shared: Rc<Shared<C>>,
    how: Beside,
) where
    C: 'static,
    M: Message,
    F: Fn(M, Ctx<C>) -> Fut,
    Fut: Future<Output = Answer<M::Reply>>,
{
    let Some((message, head, mut to)) = call.open::<M>(shared.limits()) else {
        return;
    };
    let ambience = shared.ambience(&head);
    // Its component doesn't wait with it, unless it holds the thread: it can't close a cycle.
    let mut ambience = Some(if how.concurrent {
        ambience.of_nobody()
    } else {
        ambience
    });
    let control = Rc::new(Control::default());
    control.cancel.prepare(how.abort);
    let ctx = Ctx::for_call(shared, head, Some(control.clone()));
    let end = match contain::catch(|| function(message, ctx)) {
        Ok(handler) => {
            let handler = pin!(Some(handler));
            drive(handler, &mut ambience, &control, &mut to).await
        }
        Err(panicked) => End::Panicked(panicked),
    };
    // Without state there is nothing to rebuild: the answer is all.
    settle(end, to);
}

enum End<R> {
    Answered(Answer<R>),
    Panicked(Panicked),
    Interrupted(Interrupt),
    Aborted,
}

/// Polls a handler to its end, or drops it at an await when it is interrupted or aborted.
///
/// The handler stays where its owner pinned it: what is moved into a future takes its room twice.
fn drive<'a, R: crate::Data>(
    mut slot: Pin<&'a mut Option<impl Future<Output = Answer<R>>>>,
    ambience: &'a mut Option<Ambience>,
    control: &'a Control,
    to: &'a mut ReplyTo<R>,
) -> impl Future<Output = End<R>> {
    std::future::poll_fn(move |cx| {
        let handler = slot
            .as_mut()
            .as_pin_mut()
            .expect("it is emptied only below, at the end");
        let end = ready!(step(handler, ambience, control, to, cx));
        // What the handler held is dropped here, inside the containment: a Drop may panic too.
        Poll::Ready(match contain::catch(|| slot.set(None)) {
            Ok(()) => end,
            Err(panicked) => {
                contain::drop_value(end);
                End::Panicked(panicked)
            }
        })
    })
}

fn step<R: crate::Data>(
    handler: Pin<&mut impl Future<Output = Answer<R>>>,
    ambience: &mut Option<Ambience>,
    control: &Control,
    to: &mut ReplyTo<R>,
    cx: &mut task::Context<'_>,
) -> Poll<End<R>> {
    if let Some(why) = control.interrupt.get() {
        return Poll::Ready(End::Interrupted(why));
    }
    match contain::catch(|| Ambience::enter(ambience, || handler.poll(cx))) {
        Ok(Poll::Ready(answer)) => return Poll::Ready(End::Answered(answer)),
        Ok(Poll::Pending) => {}
        Err(panicked) => return Poll::Ready(End::Panicked(panicked)),
    }
    let cancel = &control.cancel;
    if cancel.is_wanted() && to.poll_cancelled(cx).is_ready() && cancel.set() {
        return Poll::Ready(End::Aborted);
    }
    Poll::Pending
}

fn settle<R: crate::Data>(end: End<R>, to: ReplyTo<R>) -> Option<Panicked> {
    match end {
        End::Answered(Answer::Now(reply)) => to.reply(reply),
        End::Answered(Answer::Later(later)) => later.attach(to),
        End::Interrupted(Interrupt::Urgent) => {
            to.fail(failure(
                Code::Interrupted,
                true,
                "an urgent message went first",
            ));
        }
        End::Interrupted(Interrupt::Missed) => {
            to.fail(failure(
                Code::Interrupted,
                true,
                "input that its component expects was missed, and that went first",
            ));
        }
        End::Interrupted(Interrupt::Stop) => {
            to.fail(failure(
                Code::Stopped,
                true,
                "it was stopped while its handler ran",
            ));
        }
        End::Interrupted(Interrupt::Restart) => {
            to.fail(failure(
                Code::Stopped,
                true,
                "it is restarted together with another component",
            ));
        }
        End::Aborted => to.fail(failure(Code::Cancelled, true, "the caller went away")),
        End::Panicked(panicked) => {
            to.panicked(&panicked);
            return Some(panicked);
        }
    }
    None
}

/// The start hook as a turn; after a restart, the restart hook before it.
pub(crate) fn starting<C: Component>(
    mut state: Box<C>,
    shared: Rc<Shared<C>>,
    restart: Option<RestartReason>,
) -> OwningTurn<C> {
    Box::pin(async move {
        let ctx = Ctx::outside(shared.clone());
        let mut failed = None;
        if let Some(reason) = restart {
            let ambience = shared.ambience(&shared.own_head());
            let restarting = hook(|| state.restarting(reason, &ctx), ambience).await;
            failed = restarting
                .err()
                .map(|why| format!("its `on_restart` hook: {why}"));
        }
        if failed.is_none() {
            let ambience = shared.ambience(&shared.own_head());
            failed = hook(|| state.on_start(&ctx), ambience).await.err();
        }
        TurnEnd {
            state,
            panicked: None,
            refused: failed,
        }
    })
}

/// Runs a hook that may refuse, or panic.
async fn hook<F: Future<Output = Result<(), HookError>>>(
    make: impl FnOnce() -> F,
    ambience: Ambience,
) -> Result<(), String> {
    let hook = contain::catch(make).map_err(|panicked| panicked.to_string())?;
    match contained(hook, ambience).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panicked) => Err(panicked.to_string()),
    }
}

/// The stop hook as a turn.
pub(crate) fn stopping<C: Component>(mut state: Box<C>, shared: Rc<Shared<C>>) -> OwningTurn<C> {
    Box::pin(async move {
        let ambience = shared.ambience(&shared.own_head());
        let ctx = Ctx::outside(shared);
        let panicked = {
            let hook = contain::catch(|| state.on_stop(&ctx));
            match hook {
                Ok(hook) => contained(hook, ambience).await.err(),
                Err(panicked) => Some(panicked),
            }
        };
        TurnEnd {
            state,
            panicked,
            refused: None,
        }
    })
}

/// Polls and drops other people's future so that a panic of either is caught.
pub(crate) async fn contained<T>(
    future: impl Future<Output = T>,
    ambience: Ambience,
) -> Result<T, Panicked> {
    let mut ambience = Some(ambience);
    let mut slot = pin!(Some(future));
    let output = std::future::poll_fn(|cx| {
        let future = slot
            .as_mut()
            .as_pin_mut()
            .expect("it is emptied only below");
        match contain::catch(|| Ambience::enter(&mut ambience, || future.poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    })
    .await;
    contain::catch(|| slot.set(None))?;
    output
}

pub(crate) const NO_DEADLINE: std::time::Duration =
    std::time::Duration::from_secs(365 * 24 * 60 * 60);

/// A message of which only the head is known: what a hook's own asks inherit.
impl<C> Shared<C> {
    pub(crate) fn own_head(&self) -> Head {
        Head {
            sender: None,
            sender_node: self.node.id(),
            key: None,
            // Nobody waits for a hook: what it asks has its own time.
            deadline: std::time::Instant::now() + NO_DEADLINE,
            path: None,
        }
    }
}
