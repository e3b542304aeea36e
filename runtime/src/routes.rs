//! A component's handlers, listed: what others may know of them, and how each is run.

use std::{
    any::TypeId,
    fmt,
    future::Future,
    rc::Rc,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use botzilla_wire::fingerprint::Layout;
use futures_util::future::LocalBoxFuture;

use crate::{
    Answer, Component, Ctx, Data, Handler, Item, Message, StreamOptions,
    call::Call,
    contain,
    context::Shared,
    expect::{Expects, Input, Missed, MissedAsync, Source},
    ledger::Ledger,
    stream::{Heard, StreamRoute},
    turn::{self, Control, OwningTurn},
    watchdog,
};

/// How a handler is to be run. The default: in order, to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    pub(crate) urgent: bool,
    pub(crate) broadcast: bool,
    pub(crate) abort: bool,
}

impl RouteOptions {
    /// The default.
    pub const fn new() -> Self {
        Self {
            urgent: false,
            broadcast: false,
            abort: false,
        }
    }

    /// Goes before all ordinary messages and interrupts an async handler that is running.
    pub const fn urgent(mut self, urgent: bool) -> Self {
        self.urgent = urgent;
        self
    }

    /// Listens to broadcasts.
    pub const fn broadcast(mut self, broadcast: bool) -> Self {
        self.broadcast = broadcast;
        self
    }

    /// Is dropped at its next await when its caller goes away.
    pub const fn abort(mut self, abort: bool) -> Self {
        self.abort = abort;
        self
    }
}

/// The list that `Component::routes` fills.
pub struct Routes<C> {
    pub(crate) entries: Vec<Route<C>>,
    pub(crate) streams: Vec<StreamRoute<C>>,
    pub(crate) expects: Expects<C>,
    /// What was added last.
    last: Option<Source>,
}

pub(crate) struct Route<C> {
    pub(crate) info: RouteInfo,
    pub(crate) run: Run<C>,
}

/// What senders need to know of a handler.
#[derive(Clone)]
pub(crate) struct RouteInfo {
    pub(crate) name: &'static str,
    pub(crate) type_id: TypeId,
    pub(crate) options: RouteOptions,
    /// Runs beside the others, so asking it can't close a cycle.
    pub(crate) concurrent: bool,
    /// Is run by a task of its own, later than it leaves the queue.
    pub(crate) beside: bool,
    pub(crate) fallible: bool,
    /// `None`: the type can't be traced, so it travels as JSON only.
    pub(crate) layout: Option<Arc<Layout>>,
    pub(crate) schemas: fn() -> Schemas,
    pub(crate) ledger: Arc<Ledger>,
    /// Messages of another type of that name.
    pub(crate) misbuilt: Arc<AtomicU64>,
    /// When it came last, if it is expected.
    pub(crate) input: Option<Arc<Input>>,
}

/// JSON schemas of a message and its reply.
pub(crate) struct Schemas {
    pub(crate) message: serde_json::Value,
    pub(crate) reply: serde_json::Value,
}

pub(crate) enum Run<C> {
    /// A handler that is ready at its first poll.
    InPlace(fn(&mut C, Call, &Rc<Shared<C>>) -> turn::InPlace),
    /// A handler that may wait: the state moves into its future and comes back.
    Owning(Owning<C>),
    /// A handler without state.
    Beside(Beside<C>),
}

pub(crate) type Owning<C> = fn(Box<C>, Call, Rc<Shared<C>>, Rc<Control>) -> OwningTurn<C>;

pub(crate) type Beside<C> = Rc<dyn Fn(Call, Rc<Shared<C>>) -> LocalBoxFuture<'static, ()>>;

impl<C: 'static> Routes<C> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            streams: Vec::new(),
            expects: Expects::default(),
            last: None,
        }
    }

    /// Adds a handler with state.
    pub fn add<M: Message>(&mut self, options: RouteOptions)
    where
        C: Handler<M> + Component,
    {
        let run = if <C as Handler<M>>::IN_PLACE {
            Run::InPlace(turn::in_place::<C, M>)
        } else if options.abort {
            Run::Owning(turn::owning::<C, M, true>)
        } else {
            Run::Owning(turn::owning::<C, M, false>)
        };
        self.push(Route {
            info: RouteInfo::of::<M>(options, false),
            run,
        });
    }

    /// Adds a handler without state: it runs beside the others.
    pub fn add_function<M, F, Fut>(&mut self, options: RouteOptions, function: F)
    where
        M: Message,
        F: Fn(M, Ctx<C>) -> Fut + 'static,
        Fut: Future<Output = Answer<M::Reply>> + 'static,
    {
        self.add_beside::<M, F, Fut>(options, true, function);
    }

    /// Adds a handler without state that blocks its thread: others wait for it, so asking it can
    /// close a cycle.
    pub(crate) fn add_blocking_function<M, F, Fut>(&mut self, options: RouteOptions, function: F)
    where
        M: Message,
        F: Fn(M, Ctx<C>) -> Fut + 'static,
        Fut: Future<Output = Answer<M::Reply>> + 'static,
    {
        self.add_beside::<M, F, Fut>(options, false, function);
    }

    fn add_beside<M, F, Fut>(&mut self, options: RouteOptions, concurrent: bool, function: F)
    where
        M: Message,
        F: Fn(M, Ctx<C>) -> Fut + 'static,
        Fut: Future<Output = Answer<M::Reply>> + 'static,
    {
        let function = Rc::new(function);
        let run = Run::Beside(Rc::new(move |call, shared: Rc<Shared<C>>| {
            let (pulse, hosted) = (shared.pulse.clone(), shared.hosted.clone());
            let how = turn::Beside {
                abort: options.abort,
                concurrent,
            };
            let turn = turn::beside(function.clone(), call, shared, how);
            Box::pin(watchdog::watched_by(pulse, hosted, turn))
        }));
        self.push(Route {
            info: RouteInfo {
                beside: true,
                ..RouteInfo::of::<M>(options, concurrent)
            },
            run,
        });
    }

    /// Adds a handler of a stream's items: each is a turn of the component.
    pub fn add_stream<T: Data + Sync>(
        &mut self,
        stream: &str,
        options: StreamOptions,
        handler: fn(&mut C, Item<T>, &Ctx<C>),
    ) {
        self.push_stream(StreamRoute::in_place(stream, options, handler));
    }

    /// Adds a handler of a stream's items that may wait: the component's queue waits with it.
    pub fn add_stream_async<T: Data + Sync>(
        &mut self,
        stream: &str,
        options: StreamOptions,
        handler: for<'a> fn(&'a mut C, Item<T>, &'a Ctx<C>) -> LocalBoxFuture<'a, ()>,
    ) {
        self.push_stream(StreamRoute::owning(stream, options, handler));
    }

    /// Adds a handler of a stream's items that is given its errors as well, such as that it was cut
    /// off; for the others they are logged.
    pub fn add_stream_hearing<T: Data + Sync>(
        &mut self,
        stream: &str,
        options: StreamOptions,
        handler: fn(&mut C, Heard<T>, &Ctx<C>),
    ) {
        self.push_stream(StreamRoute::in_place_hearing(stream, options, handler));
    }

    /// Adds a handler of a stream's items and errors that may wait.
    pub fn add_stream_hearing_async<T: Data + Sync>(
        &mut self,
        stream: &str,
        options: StreamOptions,
        handler: for<'a> fn(&'a mut C, Heard<T>, &'a Ctx<C>) -> LocalBoxFuture<'a, ()>,
    ) {
        self.push_stream(StreamRoute::owning_hearing(stream, options, handler));
    }

    /// The handler that was added last expects input: if none comes for so long, `missed` is a turn
    /// of the component, once until input comes again. Without a handler this does nothing.
    ///
    /// [`handler`](crate::handler) says what counts as input, and before what it goes.
    pub fn expect_every(&mut self, every: Duration, missed: fn(&mut C, &Ctx<C>)) {
        self.expect(every, Missed::InPlace(missed));
    }

    /// The same for one that may wait: the component's queue waits with it.
    pub fn expect_every_async(
        &mut self,
        every: Duration,
        missed: for<'a> fn(&'a mut C, &'a Ctx<C>) -> LocalBoxFuture<'a, ()>,
    ) {
        let missed: MissedAsync<C> = missed;
        self.expect(every, Missed::Owning(missed));
    }

    fn expect(&mut self, every: Duration, missed: Missed<C>) {
        let Some(source) = self.last else { return };
        match source {
            Source::Message(at) => {
                let info = &mut self.entries[at].info;
                let what = info.name.to_owned();
                info.input = Some(self.expects.add(source, every, missed, what));
            }
            Source::Stream(at) => {
                let route = &mut self.streams[at];
                let what = route.stream.clone();
                route.input = Some(self.expects.add(source, every, missed, what));
            }
        }
    }

    fn push(&mut self, route: Route<C>) {
        self.last = Some(Source::Message(self.entries.len()));
        self.entries.push(route);
    }

    fn push_stream(&mut self, route: StreamRoute<C>) {
        self.last = Some(Source::Stream(self.streams.len()));
        self.streams.push(route);
    }

    /// What keeps the component from being served, if anything does.
    pub(crate) fn mistake(&self) -> Option<String> {
        self.streams.iter().find_map(StreamRoute::mistake)
    }

    pub(crate) fn infos(&self) -> Vec<RouteInfo> {
        self.entries
            .iter()
            .map(|route| route.info.clone())
            .collect()
    }
}

impl RouteInfo {
    pub(crate) fn of<M: Message>(options: RouteOptions, concurrent: bool) -> Self {
        Self {
            name: M::NAME,
            type_id: TypeId::of::<M>(),
            options,
            concurrent,
            beside: false,
            fallible: M::FALLIBLE,
            layout: layout_of::<M>().map(Arc::new),
            schemas: Schemas::of::<M>,
            ledger: Arc::default(),
            misbuilt: Arc::default(),
            input: None,
        }
    }
}

/// A message's layout; `None` if it can't be traced. Tracing runs the type's own `Deserialize`.
pub(crate) fn layout_of<M: Message>() -> Option<Layout> {
    contain::catch(Layout::of::<M, M::Reply>).ok()?.ok()
}

impl Schemas {
    fn of<M: Message>() -> Self {
        Self {
            message: schemars::schema_for!(M).to_value(),
            reply: schemars::schema_for!(M::Reply).to_value(),
        }
    }
}

impl<C> fmt::Debug for Routes<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|route| route.info.name))
            .finish()
    }
}

impl fmt::Debug for RouteInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteInfo")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish()
    }
}
