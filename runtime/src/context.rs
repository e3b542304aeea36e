//! What a handler may know and do besides its own state.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::Future,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use botzilla_wire::{Limits, Name, NodeId};
use tokio::task::{AbortHandle, JoinSet};

use crate::{
    Data, Later, Node, PublishError, Publisher, Qos, Replier, Subscribe, ambient::Ambience, answer,
    call::Head, hosted::Hosted, reference::ComponentRef, turn::Control, watchdog,
};

/// What all turns of one component share; lives on the component's thread.
pub(crate) struct Shared<C> {
    pub(crate) node: Node,
    pub(crate) hosted: Arc<Hosted>,
    /// The component's, for this thread.
    name: Rc<Name>,
    /// Of the component's thread.
    pub(crate) pulse: Arc<watchdog::Pulse>,
    pub(crate) turns: RefCell<VecDeque<LocalTurn<C>>>,
    /// Timers and tasks of the present life: a restart ends them.
    pub(crate) tasks: RefCell<JoinSet<()>>,
    /// It wants to end this life, and to have another.
    pub(crate) restarts_itself: Cell<bool>,
}

/// What tokio's timers can tell apart.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// Work that a timer wants done with the state.
pub(crate) type LocalTurn<C> = Box<dyn FnOnce(&mut C, &Ctx<C>)>;

/// A handler's view of its component: its name, its node, who asks, how long there is.
///
/// Cloning is cheap. It stays on the component's thread; [`Ctx::node`] gives a handle that doesn't.
pub struct Ctx<C = ()> {
    shared: Rc<Shared<C>>,
    head: Option<Head>,
    control: Option<Rc<Control>>,
}

impl<C: 'static> Shared<C> {
    pub(crate) fn new(node: Node, hosted: Arc<Hosted>) -> Rc<Self> {
        let pulse = watchdog::Pulse::of_this_thread();
        let name = Rc::new(hosted.name.clone());
        Rc::new(Self {
            node,
            hosted,
            name,
            pulse,
            turns: RefCell::default(),
            tasks: RefCell::default(),
            restarts_itself: Cell::default(),
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.node.limits()
    }

    pub(crate) fn ambience(&self, head: &Head) -> Ambience {
        Ambience {
            component: Some(self.name.clone()),
            path: head.path.clone(),
            deadline: head.deadline,
        }
    }

    fn turn(&self, turn: LocalTurn<C>) {
        self.turns.borrow_mut().push_back(turn);
        self.hosted.mailbox.wake();
    }
}

impl<C: 'static> Ctx<C> {
    pub(crate) fn for_call(
        shared: Rc<Shared<C>>,
        head: Head,
        control: Option<Rc<Control>>,
    ) -> Self {
        Self {
            shared,
            head: Some(head),
            control,
        }
    }

    pub(crate) fn outside(shared: Rc<Shared<C>>) -> Self {
        Self {
            shared,
            head: None,
            control: None,
        }
    }

    /// The component's own name.
    pub fn name(&self) -> &str {
        &self.shared.hosted.name
    }

    /// The node that it runs on.
    pub fn node(&self) -> &Node {
        &self.shared.node
    }

    /// Another component, with this one as the sender.
    ///
    /// A name that can't be one gives a reference whose every message fails and says so.
    pub fn component(&self, name: impl AsRef<str>) -> ComponentRef {
        self.shared
            .node
            .component_from(name.as_ref(), Some(self.shared.hosted.name.clone()))
    }

    /// A message for all components that listen to it; this one gets none.
    pub fn broadcast<M: crate::Message>(&self, message: M) -> crate::Broadcast<M> {
        self.shared
            .node
            .broadcast_from(&self.shared.hosted.name, message)
    }

    /// Begins a stream of this component's: `component/stream` is its name elsewhere, and `stream` has
    /// no slash. It lasts as long as the publisher that is returned, and the component.
    ///
    /// A component that is rebuilt after a panic loses its state and with it its publishers: it is in
    /// `on_start` that they are best made. [`Publisher`] has an example.
    ///
    /// # Errors
    ///
    /// The name can't be one ([`BadName`](PublishError::BadName)); the component publishes that stream
    /// already ([`Taken`](PublishError::Taken)); with it the component would offer more than the
    /// registry takes ([`TooMuch`](PublishError::TooMuch)); or the component has ended, or its node
    /// shuts down ([`Ended`](PublishError::Ended)).
    pub fn publish<T: Data + Sync>(
        &self,
        stream: impl AsRef<str>,
        qos: Qos,
    ) -> Result<Publisher<T>, PublishError> {
        let Shared { node, hosted, .. } = &*self.shared;
        Publisher::new(node, hosted, stream.as_ref(), qos)
    }

    /// Subscribes to a stream, or to all that match a pattern, as [`Node::subscribe`] does. For items
    /// that are to be turns of the component, mark a handler: `#[botzilla::handler(stream = "..")]`.
    pub fn subscribe<T: Data + Sync>(&self, stream: impl Into<String>) -> Subscribe<T> {
        self.node().subscribe(stream).by(&self.shared.hosted.name)
    }

    /// The same for items whose type isn't known: they come as JSON.
    pub fn subscribe_json(&self, stream: impl Into<String>) -> Subscribe<serde_json::Value> {
        let subscribe = self.node().subscribe_json(stream);
        subscribe.by(&self.shared.hosted.name)
    }

    /// The same for the items' bytes, as they travel.
    pub fn subscribe_raw(&self, stream: impl Into<String>) -> Subscribe<bytes::Bytes> {
        self.node()
            .subscribe_raw(stream)
            .by(&self.shared.hosted.name)
    }

    /// Who sent the message, or published the item, if it was a component.
    pub fn sender(&self) -> Option<&str> {
        self.head.as_ref().and_then(|head| head.sender.as_deref())
    }

    /// The node that the message came from; `None` outside a message.
    pub fn sender_node(&self) -> Option<NodeId> {
        self.head.as_ref().map(|head| head.sender_node)
    }

    /// Whether this node's policy lets who sent the message have a component of that name, for the
    /// registry: by the key id of the connection that it came by.
    ///
    /// # Errors
    ///
    /// It doesn't; the text says so to who sent it.
    #[doc(hidden)]
    pub fn may_register(&self, component: &str) -> std::result::Result<(), String> {
        let guard = self.shared.node.inner().guard();
        let key = self.head.as_ref().and_then(|head| head.key.as_ref());
        match (guard, key) {
            (Some(guard), Some(key)) => guard.register(key, component).map_err(String::from),
            // From this node itself.
            _ => Ok(()),
        }
    }

    /// How long the sender still waits; `None` outside a message.
    pub fn time_left(&self) -> Option<Duration> {
        self.head
            .as_ref()
            .map(|head| head.deadline.saturating_duration_since(Instant::now()))
    }

    /// Resolves when the caller goes away: it was dropped, cancelled, or disconnected. Never, in a
    /// handler that isn't async.
    pub fn cancelled(&self) -> impl Future<Output = ()> + use<C> {
        let control = self.control.clone();
        std::future::poll_fn(move |cx| match &control {
            Some(control) => control.cancel().poll(cx.waker()),
            None => Poll::Pending,
        })
    }

    /// Frees the queue: another message may run while this one's reply is prepared elsewhere.
    ///
    /// ```
    /// # use botzilla::prelude::*;
    /// # #[botzilla::message(reply = u32)] struct Measure;
    /// # #[derive(Default)] struct Scale;
    /// #[botzilla::component]
    /// impl Scale {
    ///     #[botzilla::handler]
    ///     fn measure(&mut self, _: Measure, ctx: &Ctx<Self>) -> Later<u32> {
    ///         let (replier, later) = ctx.reply_later();
    ///         ctx.spawn(async move { replier.reply(42) });
    ///         later
    ///     }
    /// }
    /// ```
    ///
    /// A component that stops, or whose node shuts down, finishes its queue and its stop hook; it
    /// doesn't wait for replies that are still to come. Whatever holds a [`Replier`] then, a task of
    /// [`Ctx::spawn`] or the state, is dropped, and its caller gets `Reason::NoReply`, even if time is
    /// left. What must be answered is waited for in `on_stop`: tasks run until that has ended.
    pub fn reply_later<R: Data>(&self) -> (Replier<R>, Later<R>) {
        answer::later()
    }

    /// Runs a future beside the handlers, on the component's thread, until it ends or the component
    /// does. A panic in it ends only the future.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Task {
        let mut tasks = self.shared.tasks.borrow_mut();
        while tasks.try_join_next().is_some() {}
        let (pulse, hosted) = (self.shared.pulse.clone(), self.shared.hosted.clone());
        Task(tasks.spawn_local(watchdog::watched_by(pulse, hosted, future)))
    }

    /// Runs `turn` with the state once, after `delay`.
    pub fn after(&self, delay: Duration, turn: impl FnOnce(&mut C, &Self) + 'static) -> Task {
        let shared = self.shared.clone();
        self.spawn(async move {
            tokio::time::sleep(delay).await;
            shared.turn(Box::new(turn));
        })
    }

    /// Runs `turn` with the state every `period`, which is 1 ms at least; a turn that comes late is
    /// skipped, not doubled.
    pub fn every(&self, period: Duration, turn: impl FnMut(&mut C, &Self) + 'static) -> Task {
        let period = period.max(SHORTEST_PERIOD);
        let shared = self.shared.clone();
        let turn = Rc::new(RefCell::new(turn));
        let waiting = Rc::new(Cell::new(false));
        self.spawn(async move {
            let mut interval =
                tokio::time::interval_at(tokio::time::Instant::now() + period, period);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                interval.tick().await;
                if waiting.replace(true) {
                    continue;
                }
                let (turn, waiting) = (turn.clone(), waiting.clone());
                shared.turn(Box::new(move |state, ctx| {
                    waiting.set(false);
                    (turn.borrow_mut())(state, ctx);
                }));
            }
        })
    }

    /// Stops the component once its queue is empty.
    ///
    /// One that is to run [always](crate::Restart::always) is rebuilt instead: it stops after the turn that runs,
    /// and what is in its queue waits for the next life.
    pub fn stop(&self) {
        let hosted = &self.shared.hosted;
        if hosted.keeper.policy().is_always() {
            self.shared.restarts_itself.set(true);
            hosted.order_restart();
        } else {
            hosted.order_stop();
        }
    }
}

impl<C> Clone for Ctx<C> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            head: self.head.clone(),
            control: self.control.clone(),
        }
    }
}

impl<C> fmt::Debug for Ctx<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("component", &self.shared.hosted.name)
            .finish_non_exhaustive()
    }
}

/// A timer or task of a component. Dropping it changes nothing; the component's end ends it.
#[derive(Clone, Debug)]
pub struct Task(AbortHandle);

impl Task {
    /// Ends it now.
    pub fn cancel(&self) {
        self.0.abort();
    }
}

/// Whether a running handler's caller went away. Looked at only if the handler wants to know.
#[derive(Debug, Default)]
pub(crate) struct Cancel {
    abort: Cell<bool>,
    wanted: Cell<bool>,
    gone: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Cancel {
    /// A handler that is to be aborted wants to know.
    pub(crate) fn prepare(&self, abort: bool) {
        self.abort.set(abort);
        self.wanted.set(abort);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.get() && !self.gone.get()
    }

    /// Says that the caller went away; true if the handler is to be dropped.
    pub(crate) fn set(&self) -> bool {
        self.gone.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
        self.abort.get()
    }

    fn poll(&self, waker: &Waker) -> Poll<()> {
        if self.gone.get() {
            return Poll::Ready(());
        }
        self.wanted.set(true);
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        Poll::Pending
    }
}
