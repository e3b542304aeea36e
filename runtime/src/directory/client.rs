//! How a long-lived node keeps in touch with the registry: it tells what it has, follows what changes,
//! and starts over whenever the connection or the registry does.
//!
//! Its lease is renewed by the connection's pings: there is nothing to do for it but to stay connected,
//! and a watch that is always under way is what tells when that ends.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use botzilla_wire::ident::{Name, NodeId};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, oneshot, watch};

use super::{
    facts::{ComponentFacts, NodeFacts, StreamFacts},
    located::{BadFacts, Located},
    messages::{Deregister, Register, Removal, Resolve, ResolveReply},
    own::{Decision, Own, Refused, SaysTooMuch},
    replica::{Applied, Replica},
};
use crate::Message;

/// For how long the registry may hold the answer to a watch.
const WATCH_HELD: Duration = Duration::from_secs(20);
/// For how long it may hold the answer to claims that wait.
const CLAIM_HELD: Duration = Duration::from_secs(4);
/// What an answer may take besides.
const ANSWER: Duration = Duration::from_secs(5);
/// The pause after an attempt that failed before any has succeeded.
const AT_FIRST: Duration = Duration::from_millis(100);
/// The first and the longest pause between two attempts to reach the registry once it was lost. All of a fleet may lose
/// it in the same moment, and nobody is in a hurry: what is known stays in use meanwhile.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// The node that the client serves.
pub(crate) trait Home {
    /// Why the registry couldn't be asked.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The node's id.
    fn id(&self) -> NodeId;

    /// What the node says about itself, now.
    fn facts(&self) -> NodeFacts;

    /// Asks the registry; connects to it first if need be.
    fn ask<M: Message>(
        &self,
        msg: M,
        within: Duration,
    ) -> impl Future<Output = Result<M::Reply, Self::Error>>;

    /// Whether the node has a connection to another now.
    fn connected(&self, node: &NodeId) -> bool;

    /// One of the node's components lost the name that it had.
    fn name_lost(&self, name: &Name, why: &Refused);

    /// The network requires that all connections are encrypted.
    fn encryption_required(&self) {}

    /// Something changed about names, elsewhere or here.
    fn changed(&self, what: &Applied);
}

/// How the node stands with the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// All that the node has was told, and the registry's table is known.
    pub(crate) in_touch: bool,
    /// The registry has just started and may not know all holders.
    pub(crate) recovering: bool,
    /// How many attempts in turn have failed.
    pub(crate) failures: u32,
    /// What the last failure was.
    pub(crate) trouble: Option<Arc<str>>,
}

/// What the registry knows about a name that the node doesn't.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolved {
    /// Who has it.
    pub(crate) located: Option<Arc<Located>>,
    /// If nobody has: names that are close to it.
    pub(crate) similar: Vec<String>,
    /// The registry may not know all holders yet.
    pub(crate) recovering: bool,
}

/// What a node knows about names: its own, and everybody's. Shared by all threads of the node.
#[derive(Debug)]
pub(crate) struct Directory {
    replica: RwLock<Replica>,
    own: Mutex<Own>,
    /// There is something in `own` to be told.
    news: Notify,
    status: watch::Sender<Status>,
    /// The node ends: that the registry is lost is no news.
    leaving: AtomicBool,
    /// Those who wait for an answer about a name that somebody else asked for first.
    resolving: Mutex<FxHashMap<Name, Vec<oneshot::Sender<Resolved>>>>,
}

/// Why a spell of being in touch with the registry ended.
#[derive(Debug, thiserror::Error)]
enum Ended<E: std::error::Error + 'static> {
    #[error("the registry can't be reached")]
    Ask(#[source] E),
    #[error("the registry's answer makes no sense")]
    Bad(#[from] BadFacts),
    #[error("the registry was restarted")]
    Restarted,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self {
            replica: RwLock::new(Replica::new()),
            own: Mutex::new(Own::default()),
            news: Notify::new(),
            status: watch::Sender::new(Status::default()),
            leaving: AtomicBool::new(false),
            resolving: Mutex::new(FxHashMap::default()),
        }
    }

    /// Who holds a name, as far as this node knows.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Located>> {
        self.replica.read().get(name).cloned()
    }

    /// Looks at all that this node knows. Not to be held for long: the registry's news wait.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Replica) -> R) -> R {
        look(&self.replica.read())
    }

    /// The names that a node holds, as far as this node knows.
    pub(crate) fn held_by(&self, node: NodeId) -> Vec<Name> {
        self.read(|all| {
            let held = all.all().filter(|located| located.place.id == node);
            held.map(|located| located.name.clone()).collect()
        })
    }

    /// How the node stands with the registry, now and from now on.
    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Claims a name for one of this node's components. The claim stands, over restarts of the registry,
    /// until it is refused or withdrawn; the receiver is told once.
    pub(crate) fn announce(
        &self,
        name: &Name,
        facts: ComponentFacts,
    ) -> oneshot::Receiver<Decision> {
        let decision = self.own.lock().announce(name, facts);
        self.news.notify_one();
        decision
    }

    /// Gives a name up, or the claim on it: its component has ended, or failed.
    pub(crate) fn withdraw(&self, name: &Name, why: Removal) {
        self.own.lock().withdraw(name, why);
        self.news.notify_one();
    }

    /// Says which streams an instance of one of this node's components offers from now on; as soon as
    /// it can be told to the registry, all others learn of it. Never waits: what is said before that
    /// goes in one message, and every start of the registry is told anew.
    ///
    /// An instance that was followed by another says nothing about that one, and what a component
    /// said goes with its name.
    pub(crate) fn set_streams(
        &self,
        component: &Name,
        count: u64,
        streams: Vec<StreamFacts>,
    ) -> Result<(), SaysTooMuch> {
        let is_news = self.own.lock().offer(component, count, streams)?;
        if is_news {
            self.news.notify_one();
        }
        Ok(())
    }

    /// What the node says about itself is something else now: all is told anew.
    pub(crate) fn node_changed(&self) {
        self.own.lock().node_changed();
        self.news.notify_one();
    }

    /// Gives everything up, as far as the registry can be reached in this time: the node ends.
    pub(crate) async fn leave<H: Home>(&self, home: &H, within: Duration) -> Result<(), H::Error> {
        self.leaving.store(true, Ordering::Relaxed);
        let names = {
            let mut own = self.own.lock();
            for name in own.all() {
                own.withdraw(&name, Removal::Deregistered);
            }
            own.withdrawn().to_vec()
        };
        if names.is_empty() {
            return Ok(());
        }
        home.ask(deregister(home.id(), &names), within).await
    }

    /// The node's connection to another ended.
    pub(crate) fn link_lost<H: Home>(&self, home: &H, node: &NodeId) {
        let lost = self.replica.write().link_lost(node);
        if !lost.changed.is_empty() {
            home.changed(&lost);
        }
    }

    /// Asks the registry about a name that this node doesn't know: once for all who ask meanwhile. A
    /// registry that is recovering may hold its answer back for as long as `patience`.
    ///
    /// # Cancel safety
    ///
    /// If the one who asks goes away, the next of those who wait asks.
    pub(crate) async fn resolve<H: Home>(
        &self,
        home: &H,
        name: &Name,
        within: Duration,
        patience: Duration,
    ) -> Result<Resolved, H::Error> {
        let deadline = tokio::time::Instant::now() + within;
        // None: another still asks, and the time of this one is over; its own ask will say so.
        let asking = loop {
            let Some(asked) = self.join(name) else {
                break Some(Asking {
                    directory: self,
                    name,
                });
            };
            match tokio::time::timeout_at(deadline, asked).await {
                Ok(Ok(resolved)) => return Ok(resolved),
                // The one who asked gave up, or couldn't.
                Ok(Err(_)) => {}
                Err(_) => break None,
            }
        };
        let msg = Resolve {
            name: name.to_string(),
            wait_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
        };
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let resolved = self.learn(home, home.ask(msg, left).await?);
        for waiter in asking.iter().flat_map(Asking::waiters) {
            // Whoever waited may have gone.
            let _ = waiter.send(resolved.clone());
        }
        Ok(resolved)
    }

    /// What the one who asks about this name already will be told. None: nobody does, but the caller.
    fn join(&self, name: &Name) -> Option<oneshot::Receiver<Resolved>> {
        let mut resolving = self.resolving.lock();
        let Some(waiters) = resolving.get_mut(name) else {
            resolving.insert(name.clone(), Vec::new());
            return None;
        };
        let (sender, receiver) = oneshot::channel();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        Some(receiver)
    }

    fn learn<H: Home>(&self, home: &H, reply: ResolveReply) -> Resolved {
        let learned = self.replica.write().learn(&reply);
        let (located, applied) = learned.unwrap_or_else(|error| {
            tracing::warn!(%error, "the registry's answer about a name makes no sense");
            (None, Applied::default())
        });
        // The watch will say the same later, and then it is no news.
        if !applied.changed.is_empty() {
            home.changed(&applied);
        }
        Resolved {
            located,
            similar: reply.similar,
            recovering: reply.recovering,
        }
    }

    /// Keeps the node in touch with the registry. Runs until it is dropped.
    pub(crate) async fn run<H: Home>(&self, home: &H) {
        // One that hosts the registry itself only waits until that is spawned.
        let mut pause = AT_FIRST;
        loop {
            self.own.lock().begin();
            let ended = tokio::select! {
                ended = self.follow(home) => ended,
                ended = self.tell(home) => ended,
            };
            let was_in_touch = self.status.borrow().in_touch;
            if was_in_touch {
                pause = PAUSE.0;
            }
            self.log(&ended, was_in_touch);
            // Many nodes lose the registry at the same time; they shall not all come back at once.
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn log<E: std::error::Error>(&self, ended: &Ended<E>, was_in_touch: bool) {
        let mut text = ended.to_string();
        let mut source = std::error::Error::source(ended);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        let known = self.status.borrow().trouble.as_deref() == Some(&*text);
        if self.leaving.load(Ordering::Relaxed) {
            tracing::debug!(reason = %text, "out of touch with the registry");
        } else if was_in_touch {
            tracing::warn!(reason = %text, "lost touch with the registry; what is known stays in use");
        } else if !known && self.status.borrow().failures > 0 {
            tracing::warn!(reason = %text, "still trying to reach the registry");
        }
        self.status.send_modify(|status| {
            status.in_touch = false;
            status.failures += 1;
            status.trouble = Some(text.into());
        });
    }

    /// Tells the registry what this node has, all at first and then what is new.
    async fn tell<H: Home>(&self, home: &H) -> Ended<H::Error> {
        let facts = home.facts();
        let whole = self.own.lock().whole(facts, Instant::now());
        if let Err(ended) = self.register(home, whole).await {
            return ended;
        }
        loop {
            if self.own.lock().take_node_changed() {
                let whole = self.own.lock().whole(home.facts(), Instant::now());
                if let Err(ended) = self.register(home, whole).await {
                    return ended;
                }
                continue;
            }
            let withdrawn = self.own.lock().withdrawn().to_vec();
            if !withdrawn.is_empty() {
                let told = home.ask(deregister(home.id(), &withdrawn), ANSWER).await;
                if let Err(error) = told {
                    return Ended::Ask(error);
                }
                self.own.lock().told_withdrawn(&withdrawn);
                continue;
            }
            if !self.own.lock().has_news() {
                self.news.notified().await;
                continue;
            }
            let facts = home.facts();
            let held = u64::try_from(CLAIM_HELD.as_millis()).unwrap_or(u64::MAX);
            let msg = self.own.lock().undecided(facts, Instant::now(), held);
            let waits = msg.wait_ms > 0;
            // Asking again is harmless: what is newer need not wait behind what waits already.
            let told = tokio::select! {
                told = self.register(home, msg) => told,
                () = self.news.notified(), if waits => Ok(()),
            };
            if let Err(ended) = told {
                return ended;
            }
        }
    }

    async fn register<H: Home>(&self, home: &H, msg: Register) -> Result<(), Ended<H::Error>> {
        let within = ANSWER + Duration::from_millis(msg.wait_ms);
        let reply = home.ask(msg.clone(), within).await.map_err(Ended::Ask)?;
        if reply.encrypted {
            home.encryption_required();
        }
        let now = Instant::now();
        let lost = {
            let mut own = self.own.lock();
            if !own.heard_from(&reply.epoch, reply.recovering, now) {
                return Err(Ended::Restarted);
            }
            own.registered(&msg, reply, now)
        };
        self.names_lost(home, lost);
        if msg.complete {
            self.caught_up();
        }
        Ok(())
    }

    /// Follows what changes at the registry.
    async fn follow<H: Home>(&self, home: &H) -> Ended<H::Error> {
        loop {
            match self.watch(home).await {
                Ok(()) => self.caught_up(),
                Err(ended) => return ended,
            }
        }
    }

    async fn watch<H: Home>(&self, home: &H) -> Result<(), Ended<H::Error>> {
        let watch = self.replica.read().next_watch(WATCH_HELD);
        let within = ANSWER + Duration::from_millis(watch.wait_ms);
        let reply = home.ask(watch, within).await.map_err(Ended::Ask)?;
        let recovering = reply.recovering;
        let now = Instant::now();
        if !self.own.lock().heard_from(&reply.epoch, recovering, now) {
            return Err(Ended::Restarted);
        }
        let us = home.id();
        let (applied, lost) = {
            let mut replica = self.replica.write();
            // To ourselves we are always connected, and yet the registry may have forgotten us.
            let applied = replica.apply(reply, |node| *node != us && home.connected(node))?;
            let lost = self.own.lock().compare(us, &replica, &applied.changed);
            (applied, lost)
        };
        if self.own.lock().has_news() {
            self.news.notify_one();
        }
        self.status.send_if_modified(|status| {
            std::mem::replace(&mut status.recovering, recovering) != recovering
        });
        if !applied.changed.is_empty() {
            home.changed(&applied);
        }
        self.names_lost(home, lost);
        Ok(())
    }

    fn names_lost<H: Home>(&self, home: &H, lost: Vec<(Name, Refused)>) {
        for (name, why) in lost {
            tracing::error!(%name, reason = %why, "a component lost its name");
            home.name_lost(&name, &why);
        }
    }

    /// Either half of what it takes to be in touch is done; maybe both.
    fn caught_up(&self) {
        let whole = self.replica.read().is_whole();
        let registered = self.own.lock().is_registered();
        if whole && registered {
            self.status.send_if_modified(|status| {
                let news = !status.in_touch;
                if news {
                    tracing::info!("in touch with the registry");
                }
                status.in_touch = true;
                status.failures = 0;
                status.trouble = None;
                news
            });
        }
    }
}

/// The one who asks about a name, for all who wait for the answer.
struct Asking<'a> {
    directory: &'a Directory,
    name: &'a Name,
}

impl Asking<'_> {
    fn waiters(&self) -> Vec<oneshot::Sender<Resolved>> {
        let mut resolving = self.directory.resolving.lock();
        let waiters = resolving.get_mut(self.name);
        waiters.map(std::mem::take).unwrap_or_default()
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // Without an answer, those who wait see that, and ask themselves.
        self.directory.resolving.lock().remove(self.name);
    }
}

fn deregister(node: NodeId, names: &[(Name, Removal)]) -> Deregister {
    let failed = names.iter().filter(|(_, why)| *why == Removal::Failed);
    Deregister {
        node: node.to_string(),
        names: names.iter().map(|(name, _)| name.to_string()).collect(),
        failed: failed.map(|(name, _)| name.to_string()).collect(),
    }
}

/// Between a quarter of it and all of it.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.25 + random * 0.75)
}

#[cfg(test)]
mod tests;
