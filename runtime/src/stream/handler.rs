//! Handlers of streams: a component's turns on items.

use std::{fmt, rc::Rc, sync::Arc, task::Poll, time::Instant};

use botzilla_wire::stream::Mode;
use futures_util::future::LocalBoxFuture;

use super::{
    Item, StreamError,
    after::After,
    inbox::{Inbox, Popped},
    name::Selector,
    subscribe::{self, decode_typed, open, typed_form},
    wish::Wish,
};
use crate::{
    Ctx, Data,
    ambient::Ambience,
    call::Head,
    contain::{self, Panicked},
    context::Shared,
    expect::Input,
    hosted::Hosted,
    turn::{Control, NO_DEADLINE, OwningTurn, TurnEnd, contained},
};

/// How a handler's stream is subscribed to. The default: as published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamOptions {
    latest: Option<u32>,
    reliable: bool,
    depth: Option<u32>,
    at_most: Option<f64>,
    keep_last: u32,
    resubscribe: bool,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamOptions {
    /// The default.
    pub const fn new() -> Self {
        Self {
            latest: None,
            reliable: false,
            depth: None,
            at_most: None,
            keep_last: 0,
            resubscribe: true,
        }
    }

    /// The newest so many items; the oldest are dropped for newer ones.
    pub const fn latest(mut self, items: u32) -> Self {
        self.latest = Some(items);
        self
    }

    /// Every item, as far as the publisher is reliable.
    pub const fn reliable(mut self, reliable: bool) -> Self {
        self.reliable = reliable;
        self
    }

    /// How many items may wait.
    pub const fn depth(mut self, items: u32) -> Self {
        self.depth = Some(items);
        self
    }

    /// At most so many items a second.
    pub const fn at_most(mut self, hz: f64) -> Self {
        self.at_most = Some(hz);
        self
    }

    /// The last so many items of before the subscription, as far as the publisher keeps them.
    pub const fn keep_last(mut self, items: u32) -> Self {
        self.keep_last = items;
        self
    }

    /// Whether to subscribe again after being cut off, which is the default.
    pub const fn resubscribe(mut self, again: bool) -> Self {
        self.resubscribe = again;
        self
    }
}

/// A handler of a stream, listed.
pub(crate) struct StreamRoute<C> {
    selector: Result<Selector, String>,
    wish: Wish,
    pub(crate) run: StreamRun<C>,
    pub(crate) stream: String,
    /// When an item came last, if they are expected.
    pub(crate) input: Option<Arc<Input>>,
}

pub(crate) enum StreamRun<C> {
    InPlace(InPlace<C>),
    Owning(Owning<C>),
}

type InPlace<C> = Box<dyn Fn(&mut C, Came, &Rc<Shared<C>>) -> Result<(), Panicked>>;
type Owning<C> = Box<dyn Fn(Box<C>, Came, Rc<Shared<C>>, Rc<Control>) -> OwningTurn<C>>;

/// What a handler is given that hears of errors.
pub(crate) type Heard<T> = Result<Item<T>, StreamError>;

/// What has come for a handler.
pub(crate) struct Came {
    inbox: Arc<Inbox>,
    what: Popped,
    input: Option<Arc<Input>>,
}

impl<C: 'static> StreamRoute<C> {
    pub(crate) fn in_place<T: Data + Sync>(
        stream: &str,
        options: StreamOptions,
        handler: fn(&mut C, Item<T>, &Ctx<C>),
    ) -> Self {
        Self::run_in_place(stream, options, false, move |state: &mut C, item, ctx| {
            // It is given no error.
            if let Ok(item) = item {
                handler(state, item, ctx);
            }
        })
    }

    /// One that is given the errors as well.
    pub(crate) fn in_place_hearing<T: Data + Sync>(
        stream: &str,
        options: StreamOptions,
        handler: fn(&mut C, Heard<T>, &Ctx<C>),
    ) -> Self {
        Self::run_in_place(stream, options, true, handler)
    }

    pub(crate) fn owning<T: Data + Sync>(
        stream: &str,
        options: StreamOptions,
        handler: for<'a> fn(&'a mut C, Item<T>, &'a Ctx<C>) -> LocalBoxFuture<'a, ()>,
    ) -> Self {
        Self::run_owning(
            stream,
            options,
            false,
            move |state: &mut C, item, ctx| match item {
                Ok(item) => handler(state, item, ctx),
                // It is given no error.
                Err(_) => Box::pin(std::future::ready(())),
            },
        )
    }

    /// One that is given the errors as well.
    pub(crate) fn owning_hearing<T: Data + Sync>(
        stream: &str,
        options: StreamOptions,
        handler: for<'a> fn(&'a mut C, Heard<T>, &'a Ctx<C>) -> LocalBoxFuture<'a, ()>,
    ) -> Self {
        Self::run_owning(stream, options, true, handler)
    }

    fn run_in_place<T: Data + Sync>(
        stream: &str,
        options: StreamOptions,
        hears_errors: bool,
        handler: impl Fn(&mut C, Heard<T>, &Ctx<C>) + 'static,
    ) -> Self {
        let run = Box::new(move |state: &mut C, came, shared: &Rc<Shared<C>>| {
            let Some((item, head)) = take::<C, T>(came, shared) else {
                return Ok(());
            };
            let ctx = Ctx::for_call(shared.clone(), head, None);
            contain::catch(|| handler(state, item, &ctx))
        });
        Self::new::<T>(stream, options, hears_errors, StreamRun::InPlace(run))
    }

    fn run_owning<T: Data + Sync>(
        stream: &str,
        options: StreamOptions,
        hears_errors: bool,
        handler: impl for<'a> Fn(&'a mut C, Heard<T>, &'a Ctx<C>) -> LocalBoxFuture<'a, ()> + 'static,
    ) -> Self {
        let handler = Rc::new(handler);
        let run = Box::new(
            move |mut state: Box<C>, came, shared: Rc<Shared<C>>, control: Rc<Control>| {
                let handler = Rc::clone(&handler);
                let turn = async move {
                    let mut panicked = None;
                    if let Some((item, head)) = take::<C, T>(came, &shared) {
                        let ambience = shared.ambience(&head);
                        let ctx = Ctx::for_call(shared, head, Some(control.clone()));
                        panicked = match contain::catch(|| handler(&mut state, item, &ctx)) {
                            Ok(future) => drive(future, ambience, &control).await.err(),
                            Err(panicked) => Some(panicked),
                        };
                    }
                    TurnEnd {
                        state,
                        panicked,
                        refused: None,
                    }
                };
                Box::pin(turn) as OwningTurn<C>
            },
        );
        Self::new::<T>(stream, options, hears_errors, StreamRun::Owning(run))
    }

    fn new<T: Data + Sync>(
        stream: &str,
        options: StreamOptions,
        hears_errors: bool,
        run: StreamRun<C>,
    ) -> Self {
        let mut wish = Wish::new(typed_form::<T>());
        wish.hears_errors = hears_errors;
        wish.keep_last = options.keep_last;
        wish.resubscribe = options.resubscribe;
        if let Some(items) = options.latest {
            (wish.mode, wish.depth) = (Some(Mode::Latest), items.max(1));
        } else if options.reliable {
            wish.mode = Some(Mode::Reliable);
        }
        if let Some(items) = options.depth {
            wish.depth = items.max(1);
        }
        let mut selector = Selector::parse(stream);
        match options.at_most {
            None => {}
            Some(hz) if hz.is_finite() && hz > 0.0 => {
                wish.interval = std::time::Duration::from_secs_f64((1.0 / hz).min(1e6));
            }
            Some(hz) => selector = Err(format!("at most {hz} items a second is no rate")),
        }
        Self {
            selector,
            wish,
            run,
            stream: stream.to_owned(),
            input: None,
        }
    }

    /// What keeps it from being subscribed to, if anything does.
    pub(crate) fn mistake(&self) -> Option<String> {
        self.selector.as_ref().err().cloned()
    }
}

/// What a handler is given, and what it may know of who published it. An error that it isn't given
/// is logged.
fn take<C: 'static, T: Data + Sync>(
    came: Came,
    shared: &Rc<Shared<C>>,
) -> Option<(Heard<T>, Head)> {
    let Came { inbox, what, input } = came;
    let item = match what {
        Popped::Item(entry) => open::<T>(&inbox, entry, decode_typed, shared.limits()),
        Popped::Error(error) => Err(error),
    };
    let (sender, sender_node) = match &item {
        Ok(item) => (Some(item.origin().name.component().clone()), item.node()),
        Err(error) if !inbox.wish.hears_errors => {
            tracing::warn!(component = %shared.hosted.name, %error, "a stream handler's subscription");
            return None;
        }
        Err(_) => (None, shared.node.id()),
    };
    // That there was an error, such as that it was cut off, is no input.
    if item.is_ok()
        && let Some(input) = input
        && input.is_taken()
    {
        shared.hosted.mailbox.wake();
    }
    let head = Head {
        sender,
        sender_node,
        key: None,
        // Nobody waits for it: what it asks has its own time.
        deadline: Instant::now() + NO_DEADLINE,
        path: None,
    };
    Some((item, head))
}

/// Polls a handler to its end, or drops it at an await when it is interrupted.
async fn drive(
    mut handler: LocalBoxFuture<'_, ()>,
    ambience: Ambience,
    control: &Control,
) -> Result<(), Panicked> {
    let until_interrupted = std::future::poll_fn(move |cx| {
        if control.is_interrupted() {
            return Poll::Ready(());
        }
        handler.as_mut().poll(cx)
    });
    contained(until_interrupted, ambience).await
}

/// The subscriptions of a component's handlers.
pub(crate) struct Streams {
    inboxes: Vec<Arc<Inbox>>,
    inputs: Vec<Option<Arc<Input>>>,
    /// Whose turn it is.
    next: usize,
    waker: std::task::Waker,
    hosted: Arc<Hosted>,
}

/// Wakes a component for its items.
struct Doorbell(Arc<Hosted>);

impl std::task::Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.0.mailbox.wake();
    }
}

impl Streams {
    /// Begins the subscriptions of all that is listed.
    pub(crate) fn begin<C: 'static>(shared: &Shared<C>, routes: &[StreamRoute<C>]) -> Self {
        let hosted = &shared.hosted;
        let inboxes = routes.iter().filter_map(|route| {
            let selector = route.selector.clone().ok()?;
            let mut wish = route.wish.clone();
            wish.subscriber = Some(hosted.name.clone());
            wish.by_handler = true;
            Some(subscribe::begin(&shared.node, selector, wish))
        });
        Self {
            inboxes: inboxes.collect(),
            inputs: routes.iter().map(|route| route.input.clone()).collect(),
            next: 0,
            waker: Arc::new(Doorbell(hosted.clone())).into(),
            hosted: hosted.clone(),
        }
    }

    /// Whether an item waits; if none does, the component is woken when one comes.
    pub(crate) fn is_ready(&self) -> bool {
        // Each of them has to know whom to wake.
        let ready = |any, inbox: &Arc<Inbox>| inbox.is_ready(&self.waker) | any;
        self.inboxes.iter().fold(false, ready)
    }

    /// When the oldest and the newest of the items that wait for a handler were published.
    pub(crate) fn waiting(&self, handler: usize) -> Option<(Instant, Instant)> {
        self.inboxes.get(handler)?.waiting()
    }

    /// The next item or error, and which handler's it is.
    pub(crate) fn pop(&mut self) -> Option<(usize, Came)> {
        let count = self.inboxes.len();
        for step in 0..count {
            let at = (self.next + step) % count;
            let inbox = &self.inboxes[at];
            let popped = inbox.pop(&self.waker, &mut After::default());
            if let Some(what) = popped {
                self.next = at + 1;
                let inbox = Arc::clone(inbox);
                let input = self.inputs.get(at).cloned().flatten();
                return Some((at, Came { inbox, what, input }));
            }
        }
        None
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for inbox in &self.inboxes {
            inbox.close(&mut After::default());
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("component", &self.hosted.name)
            .finish_non_exhaustive()
    }
}
