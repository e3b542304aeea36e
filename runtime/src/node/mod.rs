//! A node: the components of a process, their connections, and the way to all others.

mod blueprint;
mod escalation;
mod home;
mod host;
mod keys;
mod listener;
mod place;
mod policy;
mod reach;
mod security;
mod shutdown;
mod spawn;
mod start;
mod thread;

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread::ThreadId,
    time::{Duration, Instant},
};

use actix_rt::ArbiterHandle;
use botzilla_wire::{Limits, Name, NodeId};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio_util::sync::CancellationToken;

pub use self::{
    blueprint::IntoComponent, escalation::Escalation, shutdown::ShutdownReport, spawn::Spawn,
};
pub(crate) use self::{
    blueprint::{Blueprint, of_routes},
    home::is_registered,
    host::{Resolved, check_schema},
    place::not_connected,
};
use crate::{
    Blocked, CallError, Message, NodeConfig, Result, broadcast::Broadcast, conduit::Conduit,
    config::RegistryAt, deadline::Deadlines, directory::Directory, hosted::Hosted, link::Links,
    policy::Guard, reference::ComponentRef, reload::Reload, stream::Hub, watch::Watchers,
    watchdog::Pulse,
};

/// A handle of a node: cheap to clone, usable from any thread.
///
/// The node lives until [`Node::shutdown`], or until the thread that it runs on ends.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

pub(crate) struct Inner {
    id: NodeId,
    config: NodeConfig,
    /// Where it listens, once it does.
    address: OnceLock<SocketAddr>,
    started: Instant,
    components: RwLock<FxHashMap<Name, Arc<Hosted>>>,
    count: AtomicU64,
    links: Arc<Links>,
    directory: Arc<Directory>,
    /// Who may do what here; none: all who hold a secret may all.
    guard: Option<Arc<Guard>>,
    deadlines: Arc<Deadlines>,
    /// Its streams, and what carries them.
    hub: Arc<Hub>,
    conduits: Mutex<Conduits>,
    /// Changes whenever a target may have moved; what was looked up before is then looked up anew.
    generation: AtomicU64,
    arbiter: ArbiterHandle,
    /// The one that does the network.
    thread: ThreadId,
    pulse: Arc<Pulse>,
    phase: Mutex<Phase>,
    /// Counts of connections that have ended, by route and direction.
    past: Mutex<crate::counters::Past>,
    reload: Reload,
    /// The first component that the node can't do without and that couldn't be kept alive.
    escalation: Mutex<Option<Escalation>>,
    /// Who is told when components come and go.
    watchers: Watchers,
    escalated: CancellationToken,
    /// Cancelled when the node is to go down, and when it is down.
    stopping: CancellationToken,
    stopped: CancellationToken,
    /// The arbiters of components with a thread of their own.
    threads: Mutex<Vec<ArbiterHandle>>,
    this: Weak<Self>,
}

/// By sender and target.
type Conduits = FxHashMap<(Option<Name>, Name), Arc<Conduit>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping,
}

/// What is known of another node's connection to this one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PeerFacts {
    /// Whether there is a connection now.
    pub connected: bool,
    /// When its last byte came.
    pub last_heard: Instant,
    /// Where it is seen from here, while it is connected.
    pub address: Option<SocketAddr>,
}

impl Node {
    /// Starts a node with the settings of the environment and the file; see
    /// [`NodeConfig::from_env`].
    ///
    /// # Errors
    ///
    /// A setting can't be used, or the node can't start.
    pub async fn from_env() -> Result<Self> {
        Self::start(NodeConfig::from_env()?).await
    }

    /// Starts a node: on this thread, if an actix system runs on it, otherwise on a thread of its
    /// own. Returns when the registry has answered.
    ///
    /// # Errors
    ///
    /// The address can't be listened on, or the registry wasn't reached within
    /// [`NodeConfig::registry_time`].
    pub async fn start(config: NodeConfig) -> Result<Self> {
        match actix_rt::Arbiter::try_current() {
            Some(arbiter) => start::start_here(config, arbiter).await,
            None => thread::start(config).await,
        }
    }

    /// Starts a node on a thread of its own and waits for it: for programs that aren't async.
    ///
    /// # Errors
    ///
    /// As for [`Node::start`].
    pub fn start_blocking(config: NodeConfig) -> Result<Self> {
        thread::start_blocking(config)
    }

    /// This start's id: 128 random bits.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// Where it listens; `None` for a short-lived node, unless another node had to dial it.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.address.get().copied()
    }

    /// Where its registry is, as configured; `None` if it is on this node, or nowhere.
    pub fn registry(&self) -> Option<&str> {
        match &self.0.config.registry {
            RegistryAt::Address(address) => Some(address),
            RegistryAt::Here | RegistryAt::Nowhere => None,
        }
    }

    /// Puts a component on this node: a factory (`Drive::default`, or a closure that may fail), or
    /// a function marked `#[botzilla::handler]`. The factory runs again after a panic.
    ///
    /// ```
    /// use botzilla::prelude::*;
    ///
    /// #[botzilla::message(reply = String)]
    /// struct Greet { name: String }
    ///
    /// #[botzilla::handler]
    /// async fn greet(msg: Greet) -> String {
    ///     format!("hello {}", msg.name)
    /// }
    ///
    /// # async fn run(node: Node) -> botzilla::Result<()> {
    /// let greeter = node.spawn("greeter", greet).groups(["talkers"]).await?;
    /// assert_eq!(greeter.ask(Greet { name: "Ada".into() }).await?, "hello Ada");
    /// # Ok(()) }
    /// ```
    pub fn spawn<Kind, T: IntoComponent<Kind>>(
        &self,
        name: impl Into<String>,
        component: T,
    ) -> Spawn<T::State> {
        Spawn::new(self.clone(), name.into(), component.into_component())
    }

    /// A component, wherever it is. The handle keeps the order of what is sent through it.
    ///
    /// A name that can't be one gives a reference whose every message fails and says so.
    pub fn component(&self, name: impl AsRef<str>) -> ComponentRef {
        match Name::new(name.as_ref()) {
            Ok(target) => ComponentRef::new(Conduit::new(self.clone(), target, None)),
            Err(error) => ComponentRef::bad(self, name.as_ref(), error.to_string()),
        }
    }

    pub(crate) fn component_from(&self, name: &str, sender: Option<Name>) -> ComponentRef {
        let target = match Name::new(name) {
            Ok(target) => target,
            Err(error) => return ComponentRef::bad(self, name, error.to_string()),
        };
        let key = (sender, target);
        let mut conduits = self.0.conduits.lock();
        if let Some(conduit) = conduits.get(&key) {
            return ComponentRef::new(conduit.clone());
        }
        // One a pair of sender and target that talk now; names may be made up without end.
        if conduits.len() >= CONDUITS {
            conduits.retain(|_, conduit| Arc::strong_count(conduit) > 1);
        }
        let conduit = Conduit::new(self.clone(), key.1.clone(), key.0.clone());
        conduits.insert(key, conduit.clone());
        ComponentRef::new(conduit)
    }

    /// A message for all components that listen to it: in a group, or everywhere.
    pub fn broadcast<M: Message>(&self, message: M) -> Broadcast<M> {
        Broadcast::new(self.clone(), None, message)
    }

    /// The names of all components that this node knows of, in order.
    ///
    /// # Errors
    ///
    /// Only of a short-lived node, which asks the registry.
    pub async fn components(&self) -> Result<Vec<String>, CallError> {
        if self.0.config.short_lived {
            let list = self.list().await?;
            return Ok(list.into_iter().map(|listed| listed.name).collect());
        }
        let mut names: Vec<_> = self
            .0
            .directory
            .read(|all| all.all().map(|located| located.name.to_string()).collect());
        names.extend(
            self.0
                .components
                .read()
                .keys()
                .filter(|name| is_public(name))
                .map(ToString::to_string),
        );
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// All components as the registry knows them.
    ///
    /// # Errors
    ///
    /// The registry can't be asked.
    pub async fn list(&self) -> Result<Vec<crate::directory::messages::Listed>, CallError> {
        self.list_within(self.default_time()).await
    }

    /// A registry that is recovering may wait with its answer for half of the time.
    pub(crate) async fn list_within(
        &self,
        time: Duration,
    ) -> Result<Vec<crate::directory::messages::Listed>, CallError> {
        use crate::directory::messages::{List, REGISTRY};
        let registry = self.component(REGISTRY);
        let (began, wait) = (Instant::now(), time / 2);
        let mut list = Vec::new();
        let mut after = String::new();
        loop {
            let spent = began.elapsed();
            let wait_ms = u64::try_from(wait.saturating_sub(spent).as_millis()).unwrap_or(u64::MAX);
            let page = registry.ask(List {
                after: after.clone(),
                wait_ms,
            });
            let page = page.within(time.saturating_sub(spent)).await?;
            let more = page.more;
            list.extend(page.components);
            match (more, list.last()) {
                (true, Some(last)) => after.clone_from(&last.name),
                _ => return Ok(list),
            }
        }
    }

    /// Resolves when the registry knows this node's components and this node knows the others: when
    /// a call to any of them would find it.
    pub async fn ready(&self) {
        if self.0.config.registry == RegistryAt::Nowhere {
            return;
        }
        let mut status = self.0.directory.status();
        // It ends only with the node.
        drop(status.wait_for(|status| status.in_touch).await);
    }

    /// Who blocks this node's thread now, if anybody does.
    pub fn blocked(&self) -> Option<Blocked> {
        self.0.pulse.blocked()
    }

    /// What is known of another node's connection to this one.
    pub fn peer(&self, node: NodeId) -> Option<PeerFacts> {
        if node == self.0.id {
            let now = Instant::now();
            return Some(PeerFacts {
                connected: true,
                last_heard: now,
                address: self.address(),
            });
        }
        let link = self.0.links.current(node);
        let last_heard = match &link {
            Some(link) => link.last_heard(),
            None => self.0.links.last_heard(node)?,
        };
        Some(PeerFacts {
            connected: link.is_some(),
            last_heard,
            address: link.map(|link| link.peer_address()),
        })
    }

    /// Runs a future on the node's thread and gives its output; a panic in it, or the node's end,
    /// gives `None`.
    pub(crate) async fn on_thread<T, F>(
        &self,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (done, output) = tokio::sync::oneshot::channel();
        let stopped = self.0.stopped.clone();
        self.0.arbiter.spawn_fn(move || {
            actix_rt::spawn(async move {
                let mut done = done;
                let mut future = std::pin::pin!(make());
                tokio::select! {
                    // Nobody waits for it any more, or nobody may.
                    () = done.closed() => {}
                    () = stopped.cancelled() => {}
                    output = &mut future => drop(done.send(output)),
                }
            });
        });
        output.await.ok()
    }

    /// Whether the code that runs now is on the node's thread.
    pub(crate) fn is_this_thread(&self) -> bool {
        std::thread::current().id() == self.0.thread
    }

    /// Runs a future on the node's thread.
    pub(crate) fn spawn_here(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.arbiter.spawn(future);
    }

    /// Runs a future on the node's thread for as long as the node lives, at most.
    pub(crate) fn spawn_until_stopped(&self, future: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.0.stopped.clone();
        self.0.arbiter.spawn(async move {
            stopped.run_until_cancelled_owned(future).await;
        });
    }

    pub(crate) fn broadcast_from<M: Message>(&self, sender: &str, message: M) -> Broadcast<M> {
        Broadcast::new(self.clone(), Name::new(sender).ok(), message)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    pub(crate) fn default_time(&self) -> Duration {
        self.0.config.ask_time
    }

    pub(crate) fn deadlines(&self) -> &Arc<Deadlines> {
        &self.0.deadlines
    }

    pub(crate) fn streams_hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }

    pub(crate) fn generation(&self) -> &AtomicU64 {
        &self.0.generation
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    fn node(&self) -> Option<Node> {
        self.this.upgrade().map(Node)
    }

    /// What was looked up before is looked up anew.
    fn moved(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.hub.changed();
    }

    fn is_stopping(&self) -> bool {
        *self.phase.lock() == Phase::Stopping
    }

    pub(crate) fn hosted(&self) -> Vec<Arc<Hosted>> {
        let mut hosted: Vec<_> = self.components.read().values().cloned().collect();
        hosted.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        hosted
    }

    pub(crate) fn hosted_named(&self, name: &str) -> Option<Arc<Hosted>> {
        self.components.read().get(name).cloned()
    }

    pub(crate) fn links(&self) -> &Arc<Links> {
        &self.links
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn config(&self) -> &NodeConfig {
        &self.config
    }

    pub(crate) fn past(&self) -> &Mutex<crate::counters::Past> {
        &self.past
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }
}

/// How many pairs of sender and target a node remembers without anybody holding one.
const CONDUITS: usize = 4096;

/// Whether a component is listed: not the node's own services.
pub(crate) fn is_public(name: &str) -> bool {
    !name.starts_with('_') && !name.starts_with("node/")
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.0.id)
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}
