//! The actix actor that hosts a component: it owns the state, runs its turns, and rebuilds it.

mod life;

use std::{
    fmt,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{self, Poll},
};

use actix::{Actor, ActorContext, ActorFuture, AsyncContext};
use tokio::{sync::oneshot, task::JoinSet, time::Sleep};

use crate::{
    DownReason,
    burst::Burst,
    call::{Call, expired},
    component::HookError,
    contain::{self, Panicked},
    context::{Ctx, Shared},
    expect::{self, Missed},
    hosted::{Hosted, Order, Status, refuse_stopped},
    mailbox::Next,
    restart::RestartReason,
    routes::{Routes, Run},
    stream::{StreamRun, Streams},
    turn::{Control, InPlace, Interrupt, OwningTurn, TurnEnd},
    watchdog,
};

/// How a component's state comes to be, starts and stops; made on the component's thread.
pub(crate) trait Life<C> {
    fn build(&mut self) -> Result<C, HookError>;
    /// Runs the start hook, and the restart hook before it if this isn't the first start.
    fn start(
        &self,
        state: Box<C>,
        shared: Rc<Shared<C>>,
        restart: Option<RestartReason>,
    ) -> OwningTurn<C>;
    fn stop(&self, state: Box<C>, shared: Rc<Shared<C>>) -> OwningTurn<C>;
}

/// Hosts one component.
pub(crate) struct Supervisor<C: 'static> {
    state: Option<Box<C>>,
    life: Box<dyn Life<C>>,
    routes: Routes<C>,
    shared: Rc<Shared<C>>,
    hosted: Arc<Hosted>,
    /// What its stream handlers subscribe to; they keep their places over restarts.
    streams: Option<Streams>,
    /// Messages and items take turns, so that neither starves the other.
    is_items_turn: bool,
    phase: Phase<C>,
    /// Calls of handlers without state.
    beside: JoinSet<()>,
    started: Option<oneshot::Sender<Result<(), String>>>,
    /// It was given up, and its node can't do without it.
    escalates: bool,
    /// Of the last turn: the next one's, if that one's handler has kept nothing of it.
    control: Rc<Control>,
}

enum Phase<C> {
    /// The first time, or for a reason.
    Building(Option<RestartReason>),
    Starting(OwningTurn<C>),
    Idle,
    /// A handler that waits, and whether it is an urgent one, which nothing interrupts.
    Running(OwningTurn<C>, Rc<Control>, bool),
    /// Without state, until it may be built again.
    Resting(Option<Pin<Box<Sleep>>>),
    /// For good, or, with a limit, to be rebuilt.
    Stopping(OwningTurn<C>, Option<Pin<Box<Sleep>>>),
    /// What the component is told to its callers from now on.
    Ended(String),
}

impl<C: 'static> Supervisor<C> {
    pub(crate) fn new(
        shared: Rc<Shared<C>>,
        life: Box<dyn Life<C>>,
        routes: Routes<C>,
        started: oneshot::Sender<Result<(), String>>,
    ) -> Self {
        Self {
            state: None,
            life,
            routes,
            hosted: shared.hosted.clone(),
            shared,
            streams: None,
            is_items_turn: true,
            phase: Phase::Building(None),
            beside: JoinSet::new(),
            started: Some(started),
            escalates: false,
            control: Rc::default(),
        }
    }

    /// One poll: as many turns as fit in a slice.
    fn turns(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        let mut burst = Burst::default();
        loop {
            let mut urgent_waits = false;
            if !matches!(self.phase, Phase::Idle) {
                // First asleep, then a look at what it may have been woken for.
                urgent_waits = self.hosted.mailbox.sleep(cx.waker());
                if matches!(self.phase, Phase::Running(..)) {
                    self.run_beside(&mut burst, cx);
                }
            }
            match &mut self.phase {
                Phase::Building(restart) => {
                    let restart = restart.take();
                    self.build(restart);
                }
                Phase::Starting(turn) => {
                    if self.hosted.order() == Order::Cut {
                        self.drop_phase();
                        self.failed("it was stopped while it started");
                        self.phase = Phase::Ended(String::new());
                        continue;
                    }
                    if is_to_stop(&self.hosted) {
                        self.drop_phase();
                        self.stopped();
                        continue;
                    }
                    let end = match contain::catch(|| turn.as_mut().poll(cx)) {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(end)) => end,
                        Err(panicked) => {
                            self.drop_phase();
                            self.failed(&panicked.to_string());
                            continue;
                        }
                    };
                    match (end.panicked, end.refused) {
                        (None, None) => self.began(end.state),
                        (panicked, refused) => {
                            drop_state(end.state);
                            let why = refused.or(panicked.map(|panicked| panicked.to_string()));
                            self.failed(&why.unwrap_or_default());
                        }
                    }
                }
                Phase::Idle => {
                    if std::mem::take(&mut burst.asleep) && self.is_at_rest() {
                        return Poll::Pending;
                    }
                    if !burst.may_go_on(|| self.is_at_rest()) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    if self.next(&mut burst, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Phase::Running(turn, control, urgent) => {
                    if self.hosted.order() == Order::Cut {
                        control.interrupt(Interrupt::Stop);
                    } else if urgent_waits && !*urgent {
                        control.interrupt(Interrupt::Urgent);
                    } else if !*urgent && is_to_stop(&self.hosted) {
                        control.interrupt(Interrupt::Restart);
                    } else if !*urgent && self.routes.expects.is_missed(self.streams.as_ref()) {
                        control.interrupt(Interrupt::Missed);
                    } else if std::mem::take(&mut burst.polled) {
                        return Poll::Pending;
                    }
                    let polled = contain::catch(|| turn.as_mut().poll(cx));
                    if let Ok(Poll::Pending) = polled {
                        return Poll::Pending;
                    }
                    let phase = std::mem::replace(&mut self.phase, Phase::Idle);
                    match polled {
                        Ok(Poll::Ready(end)) => self.turned(end),
                        Err(panicked) => self.turn_panicked(phase, &panicked),
                        Ok(Poll::Pending) => unreachable!("it was returned above"),
                    }
                }
                Phase::Resting(_) => {
                    // An urgent message can't be run by nobody: it waits for the rebuild like the
                    // others, and its deadline bounds the wait.
                    if self.rests(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Phase::Stopping(turn, limit) => {
                    let in_time = !limit
                        .as_mut()
                        .is_some_and(|limit| limit.as_mut().poll(cx).is_ready());
                    if self.hosted.order() != Order::Cut && in_time {
                        match contain::catch(|| turn.as_mut().poll(cx)) {
                            Ok(Poll::Pending) => return Poll::Pending,
                            Ok(Poll::Ready(end)) => drop_state(end.state),
                            Err(panicked) => {
                                tracing::error!(component = %self.hosted.name, %panicked, "its stop hook panicked");
                            }
                        }
                    }
                    let restarts = limit.is_some();
                    self.drop_phase();
                    if restarts {
                        self.stopped();
                    } else {
                        self.phase = Phase::Ended(String::new());
                    }
                }
                Phase::Ended(why) => {
                    let why = std::mem::take(why);
                    self.end(why);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Drops a turn, with whatever state it holds.
    fn drop_phase(&mut self) {
        contain::drop_value(std::mem::replace(&mut self.phase, Phase::Idle));
    }

    /// Not the handler's own code, which is contained further in: what it left to be dropped.
    fn turn_panicked<T>(&mut self, turn: T, panicked: &Panicked) {
        contain::drop_value(turn);
        self.panicked(panicked);
    }

    /// Whether nothing waits: then no clock need be read to say so.
    fn is_at_rest(&self) -> bool {
        self.hosted.order() == Order::Serve
            && self.shared.turns.borrow().is_empty()
            && self.hosted.mailbox.is_empty()
            && !self.has_items()
    }

    /// Whether an item of a stream waits. One that is told to stop takes no more.
    fn has_items(&self) -> bool {
        let streams = self.streams.as_ref();
        streams.is_some_and(|streams| self.hosted.order() == Order::Serve && streams.is_ready())
    }

    /// Runs one thing that waits, or says that nothing does.
    fn next(&mut self, burst: &mut Burst, cx: &mut task::Context<'_>) -> Poll<()> {
        if !self.beside.is_empty() {
            while let Poll::Ready(Some(_)) = self.beside.poll_join_next(cx) {}
        }
        let order = self.hosted.order();
        if order == Order::Cut {
            self.stop();
            return Poll::Ready(());
        }
        if order == Order::Restart {
            self.heed_restart();
            return Poll::Ready(());
        }
        // Before urgent messages too: it is once for each silence, and in order of time, for the
        // message that ends the silence may be an urgent one.
        if self.routes.expects.is_missed(self.streams.as_ref()) {
            self.missed(burst);
            return Poll::Ready(());
        }
        // Timers go before ordinary messages, or a full queue would hold them up; urgent ones first.
        let due = !self.shared.turns.borrow().is_empty();
        let items = self.is_items_turn && self.has_items();
        match self.hosted.mailbox.next(due || items, cx.waker()) {
            Next::Call(call) => {
                self.is_items_turn = true;
                self.call(call, burst, cx);
            }
            Next::Last(call) => {
                burst.asleep = true;
                self.is_items_turn = true;
                self.call(call, burst, cx);
            }
            Next::Nothing if due => {
                let turn = self.shared.turns.borrow_mut().pop_front();
                if let Some(turn) = turn {
                    self.local(turn);
                }
            }
            Next::Nothing if items || self.has_items() => {
                let expects = &mut self.routes.expects;
                if expects.is_missed_before_item(self.streams.as_ref()) {
                    return Poll::Ready(());
                }
                self.is_items_turn = false;
                self.item(burst, cx);
            }
            Next::Nothing if order == Order::Drain && self.beside.is_empty() => self.stop(),
            Next::Nothing => return Poll::Pending,
            Next::LookAgain => {}
        }
        Poll::Ready(())
    }

    /// Handlers without state don't wait for the one that has it; it may wait for one of them.
    fn run_beside(&mut self, burst: &mut Burst, cx: &mut task::Context<'_>) {
        while self.hosted.order() != Order::Cut
            && let Some(call) = self.hosted.mailbox.pop_concurrent()
        {
            self.call(call, burst, cx);
        }
    }

    fn call(&mut self, call: Call, burst: &mut Burst, cx: &mut task::Context<'_>) {
        if call.is_cancelled() {
            call.refuse_in_vain();
            return;
        }
        if call.deadline().is_some_and(|until| until <= burst.now()) {
            call.refuse(expired());
            return;
        }
        match &self.routes.entries[call.route()].run {
            Run::InPlace(run) => {
                let state = self
                    .state
                    .as_mut()
                    .expect("an idle component has its state");
                // The outer net is for what the sender left to be dropped: a reply nobody takes.
                let end = contain::catch(|| run(state, call, &self.shared));
                if let Ok(InPlace::Panicked(panicked)) | Err(panicked) = end {
                    if let Some(state) = self.state.take() {
                        drop_state(state);
                    }
                    self.panicked(&panicked);
                }
            }
            Run::Owning(run) => {
                let state = self.state.take().expect("an idle component has its state");
                let control = new_control(&mut self.control);
                let urgent = self.hosted.routes[call.route()].options.urgent;
                let mut turn = run(state, call, self.shared.clone(), control.clone());
                // Most are ready at once.
                match contain::catch(|| turn.as_mut().poll(cx)) {
                    Ok(Poll::Ready(end)) => self.turned(end),
                    Ok(Poll::Pending) => {
                        burst.polled = true;
                        self.phase = Phase::Running(turn, control, urgent);
                    }
                    Err(panicked) => self.turn_panicked(turn, &panicked),
                }
            }
            Run::Beside(run) => {
                self.beside.spawn_local(run(call, self.shared.clone()));
                // Registers this task's waker with the new one.
                while let Poll::Ready(Some(_)) = self.beside.poll_join_next(cx) {}
            }
        }
    }

    /// A turn on an item of a stream.
    fn item(&mut self, burst: &mut Burst, cx: &mut task::Context<'_>) {
        let Some((handler, came)) = self.streams.as_mut().and_then(Streams::pop) else {
            return;
        };
        match &self.routes.streams[handler].run {
            StreamRun::InPlace(run) => {
                let state = self
                    .state
                    .as_mut()
                    .expect("an idle component has its state");
                if let Err(panicked) = run(state, came, &self.shared) {
                    if let Some(state) = self.state.take() {
                        drop_state(state);
                    }
                    self.panicked(&panicked);
                }
            }
            StreamRun::Owning(run) => {
                let state = self.state.take().expect("an idle component has its state");
                let control = Rc::new(Control::default());
                let mut turn = run(state, came, self.shared.clone(), control.clone());
                match contain::catch(|| turn.as_mut().poll(cx)) {
                    Ok(Poll::Ready(end)) => self.turned(end),
                    Ok(Poll::Pending) => {
                        burst.polled = true;
                        self.phase = Phase::Running(turn, control, false);
                    }
                    Err(panicked) => self.turn_panicked(turn, &panicked),
                }
            }
        }
    }

    /// A turn on input that is missed. It is urgent: nothing interrupts it.
    fn missed(&mut self, burst: &mut Burst) {
        match self.routes.expects.take() {
            Some(Missed::InPlace(missed)) => self.local(Box::new(missed)),
            Some(Missed::Owning(missed)) => {
                let state = self.state.take().expect("an idle component has its state");
                let control = Rc::new(Control::default());
                let turn = expect::turn(missed, state, self.shared.clone(), control.clone());
                burst.polled = false;
                self.phase = Phase::Running(turn, control, true);
            }
            None => {}
        }
    }

    fn turned(&mut self, end: TurnEnd<C>) {
        match end.panicked {
            None => self.state = Some(end.state),
            Some(panicked) => {
                drop_state(end.state);
                self.panicked(&panicked);
            }
        }
    }

    fn local(&mut self, turn: crate::context::LocalTurn<C>) {
        let state = self
            .state
            .as_mut()
            .expect("an idle component has its state");
        let ctx = Ctx::outside(self.shared.clone());
        if let Err(panicked) = contain::catch(|| turn(state, &ctx)) {
            if let Some(state) = self.state.take() {
                drop_state(state);
            }
            self.panicked(&panicked);
        }
    }
}

impl<C: 'static> Drop for Supervisor<C> {
    /// The thread ends with the component still on it: whoever waits is told.
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            drop_state(state);
        }
        if !matches!(self.hosted.status(), Status::Ended(_)) {
            for call in self.hosted.mailbox.close() {
                refuse_stopped(call, "its thread ended");
            }
            self.hosted
                .set_status(Status::Ended("its thread ended".to_owned()));
            let node = &self.shared.node;
            node.forget(&self.hosted, DownReason::Failed);
        }
        self.hosted.keeper.leave(self.hosted.number);
        self.hosted.mailbox.leave();
    }
}

impl<C: 'static> Actor for Supervisor<C> {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Waited for, not spawned: while an actor waits its context doesn't look at its own mailbox,
        // in which there is never anything.
        ctx.wait(Turns {
            pulse: watchdog::Pulse::of_this_thread(),
        });
    }
}

/// Drives the turns with the actor's own state at hand.
struct Turns {
    pulse: Arc<watchdog::Pulse>,
}

impl<C: 'static> ActorFuture<Supervisor<C>> for Turns {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut Supervisor<C>,
        ctx: &mut actix::Context<Supervisor<C>>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        let _busy = self.pulse.enter(&actor.hosted);
        let poll = actor.turns(cx);
        if poll.is_ready() {
            ctx.stop();
        }
        poll
    }
}

/// One for a turn that begins.
fn new_control(last: &mut Rc<Control>) -> Rc<Control> {
    match Rc::get_mut(last) {
        Some(control) => *control = Control::default(),
        None => *last = Rc::default(),
    }
    last.clone()
}

/// Whether it is to drop its state, for the sake of those that it restarts with.
fn is_to_stop(hosted: &Hosted) -> bool {
    hosted.order() == Order::Restart && hosted.keeper.is_to_stop(hosted.number)
}

/// A state's Drop is other people's code too.
fn drop_state<C>(state: Box<C>) {
    if let Err(panicked) = contain::catch(|| drop(state)) {
        tracing::error!(%panicked, "a component's state panicked when it was dropped");
    }
}

impl<C> fmt::Debug for Supervisor<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("component", &self.hosted.name)
            .finish_non_exhaustive()
    }
}
