//! What a node knows of a component that it hosts, whatever its type.

use std::{
    any::TypeId,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::Waker,
    time::Instant,
};

use botzilla_wire::{Code, Name};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::{
    call::{Call, failure},
    credit::{Class, NoCredit},
    deadline::{Deadlines, Fires},
    keeper::Keeper,
    mailbox::Mailbox,
    restart::{Restart, RestartReason},
    routes::RouteInfo,
    wheel::Key,
};

/// One component of a node: its name, its routes, its queue, how it fares.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) name: Name,
    /// Tells it from all others of this process; see [`name_of`].
    pub(crate) number: u64,
    /// With the node's id, this incarnation.
    pub(crate) count: u64,
    pub(crate) groups: Vec<Name>,
    pub(crate) routes: Vec<RouteInfo>,
    by_name: FxHashMap<&'static str, usize>,
    /// Of the routes, in their order: looking through a few costs less than hashing one.
    types: Box<[TypeId]>,
    pub(crate) mailbox: Mailbox,
    /// The node's.
    pub(crate) deadlines: Arc<Deadlines>,
    /// What of a panic's text callers get, in bytes.
    pub(crate) panic_text: usize,
    order: AtomicU8,
    /// Whether its spawn has come to its end: it has started, and has its name.
    is_up: AtomicBool,
    /// Whether its name doesn't mean it any more.
    is_forgotten: AtomicBool,
    /// Whether it is rebuilt, which those that restart together have in common.
    pub(crate) keeper: Keeper,
    restarts: Mutex<(u64, Option<RestartReason>)>,
    /// Queued messages that were refused when it ended.
    refused: AtomicU64,
    status: Mutex<Status>,
    ended: Notify,
    pub(crate) since: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Starting,
    Running,
    /// It has no state and will be rebuilt.
    Resting,
    Stopping,
    Ended(String),
}

/// What a component was told to do; a later one is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    Serve = 0,
    /// Look whether the state is to be dropped and made anew. The only one that is taken back.
    Restart = 1,
    /// Take nothing new, finish what is queued, stop.
    Drain = 2,
    /// Drop what runs, refuse what is queued, stop.
    Cut = 3,
}

impl Hosted {
    pub(crate) fn new(
        name: Name,
        count: u64,
        groups: Vec<Name>,
        routes: Vec<RouteInfo>,
        mailbox: Mailbox,
        deadlines: Arc<Deadlines>,
        panic_text: usize,
    ) -> Self {
        let by_name = routes
            .iter()
            .enumerate()
            .map(|(at, route)| (route.name, at))
            .collect();
        let types = routes.iter().map(|route| route.type_id).collect();
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed) + 1;
        names().lock().insert(number, name.clone());
        Self {
            name,
            number,
            count,
            groups,
            routes,
            by_name,
            types,
            mailbox,
            deadlines,
            panic_text,
            is_forgotten: AtomicBool::new(false),
            is_up: AtomicBool::new(false),
            order: AtomicU8::new(Order::Serve as u8),
            keeper: Keeper::new(Restart::default()),
            restarts: Mutex::default(),
            refused: AtomicU64::new(0),
            status: Mutex::new(Status::Starting),
            ended: Notify::new(),
            since: Instant::now(),
        }
    }

    #[inline]
    pub(crate) fn route_of_type(&self, type_id: TypeId) -> Option<usize> {
        self.types.iter().position(|known| *known == type_id)
    }

    pub(crate) fn route_named(&self, message: &str) -> Option<usize> {
        self.by_name.get(message).copied()
    }

    pub(crate) fn is_in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|name| **name == *group)
    }

    /// What it handles, for a person.
    pub(crate) fn handles(&self) -> String {
        let mut names: Vec<_> = self.routes.iter().map(|route| route.name).collect();
        names.sort_unstable();
        if names.is_empty() {
            return "it handles no messages".to_owned();
        }
        format!("it handles {}", names.join(", "))
    }

    pub(crate) fn status(&self) -> Status {
        self.status.lock().clone()
    }

    pub(crate) fn set_status(&self, status: Status) {
        let ended = matches!(status, Status::Ended(_));
        *self.status.lock() = status;
        if ended {
            self.ended.notify_waiters();
        }
    }

    pub(crate) fn set_up(&self) {
        self.is_up.store(true, Ordering::Release);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// Its name is another's from now on, or nobody's.
    pub(crate) fn forget(&self) {
        self.is_forgotten.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_forgotten(&self) -> bool {
        self.is_forgotten.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Restart,
            2 => Order::Drain,
            _ => Order::Cut,
        }
    }

    /// It is told to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.order() >= Order::Drain
    }

    /// It is to look whether it must be rebuilt.
    pub(crate) fn order_restart(&self) {
        // One that is to end does that instead.
        self.order.fetch_max(Order::Restart as u8, Ordering::AcqRel);
        self.mailbox.wake();
    }

    /// It looks now: what is ordered after this is another order.
    pub(crate) fn take_restart(&self) {
        let (restart, serve) = (Order::Restart as u8, Order::Serve as u8);
        let order = &self.order;
        // It may have been told to end meanwhile, which stays.
        let _ = order.compare_exchange(restart, serve, Ordering::AcqRel, Ordering::Acquire);
    }

    /// It is rebuilt once more, for this reason.
    pub(crate) fn count_restart(&self, reason: RestartReason) {
        let mut restarts = self.restarts.lock();
        *restarts = (restarts.0 + 1, Some(reason));
    }

    /// How often it was rebuilt, and why the last time.
    pub(crate) fn restarts(&self) -> (u64, Option<RestartReason>) {
        self.restarts.lock().clone()
    }

    /// Takes an ask in, put together when it has credit and a key.
    #[inline]
    pub(crate) fn admit(
        self: &Arc<Self>,
        class: Class,
        deadline: Instant,
        asker: Waker,
        call: impl FnOnce(Key) -> Call,
    ) -> Result<Key, NoCredit> {
        let tick = self.deadlines.tick_after(deadline);
        let (key, is_next) = self.mailbox.admit(class, tick, asker, call)?;
        if is_next {
            self.look_earlier(deadline);
        }
        Ok(key)
    }

    /// The same with credit that was waited for.
    pub(crate) fn push_ask(
        self: &Arc<Self>,
        call: Call,
        deadline: Instant,
        asker: Waker,
    ) -> Result<Key, Call> {
        let tick = self.deadlines.tick_after(deadline);
        let (key, is_next) = self.mailbox.push_ask(call, tick, asker)?;
        if is_next {
            self.look_earlier(deadline);
        }
        Ok(key)
    }

    #[cold]
    fn look_earlier(self: &Arc<Self>, deadline: Instant) {
        let this: Weak<Self> = Arc::downgrade(self);
        self.deadlines.look_earlier(deadline, this);
    }

    /// Takes nothing new, finishes the queue, stops.
    pub(crate) fn order_stop(&self) {
        self.order.fetch_max(Order::Drain as u8, Ordering::AcqRel);
        self.mailbox.refuse_new();
        self.mailbox.wake();
    }

    /// Stops at the running handler's next await.
    pub(crate) fn order_cut(&self) {
        self.order.fetch_max(Order::Cut as u8, Ordering::AcqRel);
        self.mailbox.refuse_new();
        self.mailbox.wake();
    }

    pub(crate) async fn ended(&self) {
        loop {
            let notified = self.ended.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            if matches!(self.status(), Status::Ended(_)) {
                return;
            }
            notified.await;
        }
    }

    /// Ends the queue: everything in it, and everything later, is refused as stopped.
    pub(crate) fn close(&self, why: &str) {
        let left = self.mailbox.close();
        self.refused.fetch_add(left.len() as u64, Ordering::Relaxed);
        for call in left {
            refuse_stopped(call, why);
        }
        self.mailbox.tidy();
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Fires for Hosted {
    fn fire(&self, now: Instant) -> Option<Instant> {
        let mailbox = &self.mailbox;
        self.deadlines
            .fire_in(now, |tick, due| mailbox.expire(tick, due))
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        names().lock().remove(&self.number);
    }
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// The components of this process by number, for the watchdog: a number costs a handler's turn one
/// store, a name would cost a lock.
fn names() -> &'static Mutex<FxHashMap<u64, Name>> {
    static NAMES: OnceLock<Mutex<FxHashMap<u64, Name>>> = OnceLock::new();
    NAMES.get_or_init(Mutex::default)
}

pub(crate) fn name_of(number: u64) -> Option<Name> {
    names().lock().get(&number).cloned()
}

pub(crate) fn refuse_stopped(call: Call, why: &str) {
    call.refuse(failure(Code::Stopped, false, why));
}
