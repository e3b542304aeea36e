//! The node's connections: who is connected, which of two is kept, and how all of it ends.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::timeout_at,
};
use wire::{
    code::CloseReason,
    handshake::{Established, Local, Proven, RefusalCode},
    ident::{ConnectionId, NodeId},
};

use super::{
    BulkLinks, Host,
    bulk::Bulk,
    dial::{BackOff, Dial, Target},
    error::ConnectError,
    lane::{Carrier, Connection, Control, Socket},
    listen::{self, Unproven},
};
use crate::{
    policy::{Guard, Refusal},
    stream::Hub,
};

/// How long a node that has gone is remembered, at least.
const REMEMBER: Duration = Duration::from_secs(600);

/// How the links behave, besides the limits of the wire.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How long one address may take to answer; the next is tried beside it long before. Default: 3 s,
    /// in which a lost packet is sent again twice.
    pub(crate) connect_time: Duration,
    /// Who may be connected; none: all who hold a secret.
    pub(crate) guard: Option<Arc<Guard>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_time: Duration::from_secs(3),
            guard: None,
        }
    }
}

/// What a shutdown cut off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LinksReport {
    /// Connections that did not end cleanly in time.
    pub(crate) cut: usize,
    /// Our messages that had not ended.
    pub(crate) open: usize,
    /// Messages of others that had not ended.
    pub(crate) owed: usize,
}

/// The node's table of a lane's connections, with its listener and its dials. All of its tasks run on
/// the node's thread and end with [`Links::shutdown`].
pub(crate) struct Links<C: Carrier = Control> {
    pub(super) this: Weak<Self>,
    /// Replaced as a whole, so that a handshake sees one state of it from begin to end.
    local: RwLock<Arc<Local>>,
    pub(super) settings: Settings,
    pub(super) carrier: C,
    pub(super) table: Mutex<Table<C::Link>>,
    pub(super) unproven: Mutex<Unproven>,
    /// Somebody came or went.
    pub(super) changed: Arc<Notify>,
    /// None once all was shut down.
    tasks: Mutex<Option<JoinSet<()>>>,
}

pub(super) struct Table<L> {
    pub(super) peers: FxHashMap<NodeId, Peer<L>>,
    /// As many as are dialled at this moment: few.
    pub(super) dials: Vec<Dial<L>>,
    pub(super) back_offs: FxHashMap<Target, BackOff>,
    /// Which node was found at an address that was dialled for its own sake.
    pub(super) addresses: FxHashMap<String, NodeId>,
    pub(super) stopping: bool,
    report: LinksReport,
}

pub(super) struct Peer<L> {
    pub(super) current: Option<Arc<L>>,
    /// Those whose place another takes, until what is open on them has ended.
    pub(super) old: Vec<Arc<L>>,
    last_connection: Option<ConnectionId>,
    pub(super) last_heard: Option<Instant>,
    /// Since when the current one is there.
    since: Option<Instant>,
    kept: bool,
}

impl<L> Default for Table<L> {
    fn default() -> Self {
        Self {
            peers: FxHashMap::default(),
            dials: Vec::new(),
            back_offs: FxHashMap::default(),
            addresses: FxHashMap::default(),
            stopping: false,
            report: LinksReport::default(),
        }
    }
}

impl<L> Default for Peer<L> {
    fn default() -> Self {
        Self {
            current: None,
            old: Vec::new(),
            last_connection: None,
            last_heard: None,
            since: None,
            kept: false,
        }
    }
}

impl Links<Control> {
    /// The control lane's. Nothing listens and nothing is dialled yet.
    pub(crate) fn new(local: Local, host: Weak<dyn Host>, settings: Settings) -> Arc<Self> {
        Self::of(local, Control { host }, settings)
    }

    /// Begins to take connections. Runs on the node's thread.
    ///
    /// # Errors
    ///
    /// If the socket can't be used.
    pub(crate) fn listen(self: &Arc<Self>, listener: std::net::TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        self.spawn(listen::accept_all(Arc::downgrade(self), listener));
        Ok(())
    }
}

impl BulkLinks {
    /// The bulk lane's. Nothing is dialled yet, and its thread doesn't run.
    pub(crate) fn bulk(local: Local, hub: Weak<Hub>, settings: Settings) -> Arc<Self> {
        Self::of(local, Bulk::new(hub), settings)
    }
}

impl<C: Carrier> Links<C> {
    fn of(local: Local, carrier: C, settings: Settings) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            local: RwLock::new(Arc::new(local)),
            settings,
            carrier,
            table: Mutex::default(),
            unproven: Mutex::default(),
            changed: Arc::default(),
            tasks: Mutex::new(Some(JoinSet::new())),
        })
    }

    /// What this node says about itself in handshakes that begin now.
    pub(crate) fn local(&self) -> Arc<Local> {
        Arc::clone(&self.local.read())
    }

    /// Changes that for handshakes that begin from now on. Those that have begun, and connections that
    /// are there, keep what they have.
    pub(crate) fn update_local(&self, change: impl FnOnce(&mut Local)) {
        change(Arc::make_mut(&mut self.local.write()));
    }

    /// The connection to a node, if there is one that takes messages.
    pub(crate) fn current(&self, peer: NodeId) -> Option<Arc<C::Link>> {
        let table = self.table.lock();
        let link = table.peers.get(&peer)?.current.as_ref()?;
        link.is_open().then(|| Arc::clone(link))
    }

    /// The connection to the node that was found at an address.
    pub(crate) fn current_at(&self, address: &str) -> Option<Arc<C::Link>> {
        let peer = self.table.lock().addresses.get(address).copied()?;
        self.current(peer)
    }

    /// Who was found at an address isn't who was looked for there.
    pub(crate) fn forget_address(&self, address: &str) {
        self.table.lock().addresses.remove(address);
    }

    /// All connections that are there, those that are about to end included.
    pub(crate) fn all(&self) -> Vec<Arc<C::Link>> {
        self.table
            .lock()
            .peers
            .values()
            .flat_map(|peer| peer.old.iter().chain(&peer.current).cloned())
            .collect()
    }

    /// Whether there is a connection that takes messages, or will be as soon as another has taken its
    /// place.
    pub(crate) fn is_connected(&self, peer: NodeId) -> bool {
        let table = self.table.lock();
        let entry = table.peers.get(&peer);
        entry.is_some_and(|entry| {
            !entry.old.is_empty() || entry.current.as_ref().is_some_and(|link| link.is_open())
        })
    }

    /// When the last byte came from a node; None if it never was connected or is long gone.
    pub(crate) fn last_heard(&self, peer: NodeId) -> Option<Instant> {
        let (current, last_heard) = {
            let table = self.table.lock();
            let entry = table.peers.get(&peer)?;
            let newest = entry.current.as_ref().or(entry.old.last());
            (newest.cloned(), entry.last_heard)
        };
        current.map(|link| link.last_heard()).or(last_heard)
    }

    /// Whether the connection to a node stays when nothing is open on it: the registry's, and those
    /// of nodes that can't be dialled.
    pub(crate) fn keep(&self, peer: NodeId, keep: bool) {
        let mut table = self.table.lock();
        let entry = table.peers.entry(peer).or_default();
        entry.kept = keep;
        if let Some(link) = &entry.current {
            link.keep(keep);
        } else if !keep && entry.last_heard.is_none() {
            table.peers.remove(&peer);
        }
    }

    pub(super) fn last_connection(&self, peer: NodeId) -> Option<ConnectionId> {
        self.table.lock().peers.get(&peer)?.last_connection
    }

    /// Whether a node that has proven itself gets its connection.
    ///
    /// When both dial at once, the dial of the smaller node id is kept. Ours counts from the moment
    /// that our proof leaves: before it the other side can't have accepted, and theirs is taken. (So
    /// a dial that hangs at an address where nobody answers keeps nobody out.)
    pub(super) fn decide(&self, proven: &Proven) -> Result<(), RefusalCode> {
        if proven.lane != C::LANE {
            return Err(RefusalCode::Denied);
        }
        self.admit(&proven.key_id, proven.peer)
            .map_err(|_| RefusalCode::Denied)?;
        let table = self.table.lock();
        if table.stopping {
            return Err(RefusalCode::Stopping);
        }
        if let Some(current) = table
            .peers
            .get(&proven.peer)
            .and_then(|peer| peer.current.as_ref())
        {
            // A dialler that knows of our connection has lost it; one that doesn't began before.
            let unaware = current.dialled() && proven.replaces != Some(current.id());
            return if unaware {
                Err(RefusalCode::Crossed)
            } else {
                Ok(())
            };
        }
        let ours = table
            .dials
            .iter()
            .any(|dial| dial.peer == Some(proven.peer) && dial.proving);
        if ours && self.local().node < proven.peer {
            Err(RefusalCode::Crossed)
        } else {
            Ok(())
        }
    }

    /// Whether the node's policy lets another be connected under a key id, and in the place of the
    /// connection that there is.
    pub(super) fn admit(&self, key: &str, peer: NodeId) -> Result<(), Refusal> {
        let Some(guard) = &self.settings.guard else {
            return Ok(());
        };
        guard.admit(key, peer)?;
        match self.current(peer) {
            Some(current) => guard.may_replace(key, current.key_id(), peer),
            None => Ok(()),
        }
    }

    /// Ends the connections that the node's policy doesn't allow any more.
    pub(crate) fn enforce(&self) {
        let Some(guard) = &self.settings.guard else {
            return;
        };
        for link in self.all() {
            if link.is_open() && guard.admit(link.key_id(), link.peer()).is_err() {
                link.close(CloseReason::Denied);
            }
        }
    }

    /// Makes an established connection the current one of its peer; an earlier one ends first, and
    /// our own dials to it have found what they wanted. None when shutting down.
    pub(super) fn install(
        self: &Arc<Self>,
        established: Established,
        socket: Socket,
        address: SocketAddr,
        dialled_as: Option<&Target>,
    ) -> Option<Arc<C::Link>> {
        let peer = established.peer;
        let old = {
            let mut table = self.table.lock();
            if table.stopping {
                return None;
            }
            // Taken out, so that its end doesn't count as a failure.
            let entry = table.peers.get_mut(&peer);
            entry.and_then(|entry| entry.current.take())
        };
        if let Some(old) = old {
            self.ended(&old, "a newer connection took its place");
        }
        let now = Instant::now();
        let local = self.local();
        let mut table = self.table.lock();
        // Its handshake began before encryption was required. (Who requires it renews after that, under
        // this lock: no other way gets past.)
        if !self.local().modes.contains(&established.mode) {
            return None;
        }
        let entry = table.peers.entry(peer).or_default();
        let link = Arc::new(C::link(established, &local.limits, address, entry.kept));
        entry.current = Some(Arc::clone(&link));
        entry.last_connection = Some(link.id());
        entry.last_heard = Some(now);
        entry.since = Some(now);
        // The dial that established it ends by itself.
        let found_by =
            |dial: &Dial<C::Link>| dial.peer == Some(peer) && Some(&dial.target) != dialled_as;
        let found;
        (found, table.dials) = std::mem::take(&mut table.dials)
            .into_iter()
            .partition(found_by);
        table.succeeded::<C>(&Target::Node(peer));
        table.prune(now);
        drop(table);

        tracing::debug!(%peer, %address, lane = %C::LANE, dialled = link.dialled(), "connected");
        C::drive(self, &link, socket);
        self.carrier.up(&link);
        for dial in found {
            dial.abandon(Ok(Arc::clone(&link)));
        }
        self.changed.notify_waiters();
        // The secret may have been dropped while the handshake was under way.
        let secrets = &self.local().secrets;
        if !secrets.iter().any(|secret| secret.id() == &**link.key_id()) {
            self.retire(&link);
        }
        Some(link)
    }

    /// A connection has ended; called once or more, by whoever notices.
    pub(super) fn ended(&self, link: &Arc<C::Link>, why: &str) {
        let Some(remains) = link.end(why) else { return };
        let peer = link.peer();
        let LinksReport { open, owed, .. } = C::open(&remains);
        {
            let mut table = self.table.lock();
            if table.stopping {
                table.report.open += open;
                table.report.owed += owed;
            }
            if let Some(entry) = table.peers.get_mut(&peer) {
                entry.old.retain(|old| old.id() != link.id());
            }
            if let Some(entry) = table.peers.get_mut(&peer)
                && entry
                    .current
                    .as_ref()
                    .is_some_and(|current| current.id() == link.id())
            {
                entry.current = None;
                entry.last_heard = Some(link.last_heard());
                let lived = entry.since.map_or(Duration::MAX, |since| since.elapsed());
                table.has_lived::<C>(Target::Node(peer), lived);
            }
        }
        let address = link.peer_address();
        if open == 0 && owed == 0 {
            tracing::debug!(%peer, %address, lane = %C::LANE, why, "disconnected");
        } else {
            tracing::warn!(%peer, %address, why, open, owed, "disconnected with messages open");
        }
        self.carrier.down(link, why, remains);
        self.changed.notify_waiters();
    }

    /// Runs a task until it ends or all are shut down. None if they were.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) -> Option<AbortHandle> {
        let mut tasks = self.tasks.lock();
        let tasks = tasks.as_mut()?;
        // Those that have ended leave what they held only when somebody looks.
        while tasks.try_join_next().is_some() {}
        Some(tasks.spawn_local(task))
    }

    /// Refuses what is new, lets what is open end, closes cleanly, and cuts at the deadline. Nothing
    /// of the links runs afterwards. Runs on the node's thread.
    pub(crate) async fn shutdown(&self, deadline: Instant) -> LinksReport {
        let (dials, links) = {
            let mut table = self.table.lock();
            table.stopping = true;
            let links: Vec<_> = table
                .peers
                .values()
                .flat_map(|peer| peer.old.iter().chain(&peer.current).cloned())
                .collect();
            (std::mem::take(&mut table.dials), links)
        };
        for dial in dials {
            dial.abandon(Err(ConnectError::Stopping));
        }
        for link in &links {
            link.drain();
        }
        // A quarter of the time is for the goodbyes of those that don't come to an end by themselves.
        let now = Instant::now();
        let patience = now + deadline.saturating_duration_since(now).mul_f64(0.75);
        if timeout_at(patience.into(), self.all_ended()).await.is_err() {
            for link in self.all() {
                link.close(CloseReason::Stopping);
            }
            let _ = timeout_at(deadline.into(), self.all_ended()).await;
        }
        self.table.lock().report.cut += self.all().len();
        let tasks = self.tasks.lock().take();
        if let Some(mut tasks) = tasks {
            // Dropped drivers end their connections.
            tasks.shutdown().await;
        }
        self.table.lock().report
    }

    async fn all_ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.all().is_empty() {
                return;
            }
            changed.await;
        }
    }
}

impl<L> Table<L> {
    /// A dial succeeded; where a connection has to settle first, its end forgives what failed before.
    pub(super) fn succeeded<C: Carrier>(&mut self, target: &Target) {
        if C::SETTLED.is_zero() {
            self.back_offs.remove(target);
        }
    }

    /// A connection has ended after so long.
    fn has_lived<C: Carrier>(&mut self, target: Target, lived: Duration) {
        if C::SETTLED.is_zero() {
            return;
        }
        if lived >= C::SETTLED {
            self.back_offs.remove(&target);
        } else {
            let back_off = BackOff::after(self.back_offs.get(&target));
            self.back_offs.insert(target, back_off);
        }
    }

    /// Forgets nodes that have long gone, so that a node which outlives many others doesn't grow.
    fn prune(&mut self, now: Instant) {
        let long_ago = |then: Instant| now.saturating_duration_since(then) >= REMEMBER;
        self.peers.retain(|_, peer| {
            peer.current.is_some() || !peer.old.is_empty() || !peer.last_heard.is_some_and(long_ago)
        });
        self.back_offs
            .retain(|_, back_off| !long_ago(back_off.until));
        let peers = &self.peers;
        self.addresses.retain(|_, peer| peers.contains_key(peer));
    }
}

impl<C: Carrier> fmt::Debug for Links<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links")
            .field("node", &self.local().node)
            .finish_non_exhaustive()
    }
}
