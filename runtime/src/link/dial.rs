//! Dialling: one dial for all who wait for the same node, its addresses in turn, backing off.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use bytes::Bytes;
use tokio::{
    net::TcpStream,
    sync::watch,
    task::AbortHandle,
    time::{sleep, sleep_until, timeout, timeout_at},
};
use wire::{handshake::HandshakeError, ident::NodeId};

use super::{
    endpoints::{Endpoint, trial_order},
    error::{Attempt, AttemptError, ConnectError},
    handshake::{self, Meant},
    lane::{Carrier, Connection, Socket},
    socket,
    table::Links,
};

pub(super) type Outcome<L> = Result<Arc<L>, ConnectError>;

/// Rounds over all addresses when a failure is one that passes by itself.
const ROUNDS: u32 = 4;
/// How long a node whose dial was refused for the other's waits for that one in all.
const CROSSING: Duration = Duration::from_secs(5);
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// What is dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Node(NodeId),
    Address(Arc<str>),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Address(address) => f.write_str(address),
        }
    }
}

/// A dial in progress.
pub(super) struct Dial<L> {
    pub(super) target: Target,
    /// The node that is meant, or that was found at the address the last time.
    pub(super) peer: Option<NodeId>,
    /// Whether the other side may have seen our proof, and so may have accepted.
    pub(super) proving: bool,
    pub(super) abort: Option<AbortHandle>,
    pub(super) progress: Arc<watch::Sender<Progress<L>>>,
}

/// What those who wait for a dial see.
pub(super) struct Progress<L> {
    tried: Vec<Attempt>,
    pub(super) outcome: Option<Outcome<L>>,
}

impl<L> Default for Progress<L> {
    fn default() -> Self {
        Self {
            tried: Vec::new(),
            outcome: None,
        }
    }
}

impl<L> Dial<L> {
    /// Ends it from outside.
    pub(super) fn abandon(self, outcome: Outcome<L>) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
        self.progress
            .send_modify(|progress| progress.outcome = Some(outcome));
    }
}

/// When a target may be dialled again after it failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct BackOff {
    failures: u32,
    pub(super) until: Instant,
}

impl BackOff {
    pub(super) fn after(previous: Option<&Self>) -> Self {
        let failures = previous.map_or(0, |previous| previous.failures.saturating_add(1));
        Self {
            failures,
            until: Instant::now() + jittered(failures),
        }
    }
}

/// Half of it to all of it, doubling with the failures, so that many who failed together spread.
fn jittered(failures: u32) -> Duration {
    let full = BACK_OFF_MIN
        .saturating_mul(1 << failures.min(8))
        .min(BACK_OFF_MAX);
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    full.mul_f64(0.5 + random / 2.0)
}

impl<C: Carrier> Links<C> {
    /// The kept connection to a node, or a new one. All who ask at the same time share one dial; the
    /// handshake proves that it is the node meant. Endpoints are `host:port`, or with a host's mark.
    ///
    /// Runs on the node's thread.
    pub(crate) async fn connect<S: AsRef<str>>(
        &self,
        peer: NodeId,
        endpoints: &[S],
        deadline: Instant,
    ) -> Result<Arc<C::Link>, ConnectError> {
        let target = Target::Node(peer);
        if peer == self.local().node {
            return Err(ConnectError::SelfDial {
                target: target.to_string(),
            });
        }
        let addresses = trial_order(endpoints);
        let mut joined = false;
        loop {
            if let Some(link) = self.current(peer) {
                return Ok(link);
            }
            let running = self.progress_of(&target);
            let own = running.is_none();
            if own && addresses.is_empty() {
                return Err(ConnectError::NoEndpoints { peer });
            }
            let waiting = match running {
                Some(running) => running,
                None => self.start_dial(&target, Some(peer), addresses.clone())?,
            };
            let outcome = wait(waiting, &target, deadline).await;
            // A dial that somebody else began may have had other addresses.
            if own || joined || !matches!(outcome, Err(ConnectError::Failed { .. })) {
                return outcome;
            }
            joined = true;
        }
    }

    /// A connection to whatever node is at an address, or the one that was made to it before.
    ///
    /// Runs on the node's thread.
    pub(crate) async fn connect_address(
        &self,
        address: &str,
        deadline: Instant,
    ) -> Result<Arc<C::Link>, ConnectError> {
        let target = Target::Address(address.into());
        if let Err(error) = Endpoint::parse(address) {
            let tried = Arc::new([Attempt {
                address: address.into(),
                error,
            }]);
            return Err(ConnectError::Failed {
                target: target.to_string(),
                tried,
            });
        }
        let known = self.table.lock().addresses.get(address).copied();
        if let Some(link) = known.and_then(|peer| self.current(peer)) {
            return Ok(link);
        }
        let waiting = match self.progress_of(&target) {
            Some(running) => running,
            None => self.start_dial(&target, known, vec![address.to_owned()])?,
        };
        wait(waiting, &target, deadline).await
    }

    fn progress_of(&self, target: &Target) -> Option<watch::Receiver<Progress<C::Link>>> {
        let table = self.table.lock();
        let dial = table.dials.iter().find(|dial| dial.target == *target)?;
        Some(dial.progress.subscribe())
    }

    fn start_dial(
        &self,
        target: &Target,
        peer: Option<NodeId>,
        addresses: Vec<String>,
    ) -> Result<watch::Receiver<Progress<C::Link>>, ConnectError> {
        let progress = Arc::new(watch::Sender::new(Progress::default()));
        let waiting = progress.subscribe();
        self.table.lock().dials.push(Dial {
            target: target.clone(),
            peer,
            proving: false,
            abort: None,
            progress: Arc::clone(&progress),
        });
        let run = Run {
            links: self.this.clone(),
            target: target.clone(),
            peer,
            progress,
        };
        let abort = self.spawn(run.dial(addresses));
        let mut table = self.table.lock();
        match abort {
            Some(abort) => {
                if let Some(dial) = table.dials.iter_mut().find(|dial| dial.target == *target) {
                    dial.abort = Some(abort);
                }
                Ok(waiting)
            }
            None => {
                table.dials.retain(|dial| dial.target != *target);
                Err(ConnectError::Stopping)
            }
        }
    }
}

async fn wait<L: Connection>(
    mut waiting: watch::Receiver<Progress<L>>,
    target: &Target,
    deadline: Instant,
) -> Outcome<L> {
    let done = async {
        // Its task is gone without a word only when the links were shut down.
        let progress = waiting
            .wait_for(|progress| progress.outcome.is_some())
            .await
            .ok()?;
        progress.outcome.clone()
    };
    match timeout_at(deadline.into(), done).await {
        Ok(outcome) => outcome.unwrap_or(Err(ConnectError::Stopping)),
        Err(_) => {
            let tried = waiting.borrow().tried.clone().into();
            Err(ConnectError::TimedOut {
                target: target.to_string(),
                tried,
            })
        }
    }
}

/// The task of one dial.
struct Run<C: Carrier> {
    links: Weak<Links<C>>,
    target: Target,
    peer: Option<NodeId>,
    progress: Arc<watch::Sender<Progress<C::Link>>>,
}

impl<C: Carrier> Run<C> {
    async fn dial(self, addresses: Vec<String>) {
        let Some(until) = self
            .links
            .upgrade()
            .map(|links| links.back_off(&self.target))
        else {
            return;
        };
        if let Some(until) = until {
            sleep_until(until.into()).await;
        }
        let outcome = self.rounds(&addresses).await;
        let Some(links) = self.links.upgrade() else {
            return;
        };
        links.dialled(&self.target, &outcome);
        self.progress
            .send_modify(|progress| progress.outcome = Some(outcome));
    }

    async fn rounds(&self, addresses: &[String]) -> Outcome<C::Link> {
        let mut round = 0;
        let mut crossed = 0;
        let began = Instant::now();
        loop {
            let (mut again, mut waited) = (false, false);
            for address in addresses {
                let error = match self.address(address).await {
                    Ok(link) => return Ok(link),
                    Err(error) => error,
                };
                if error.is_crossed() && began.elapsed() < CROSSING {
                    // The other side is dialling us: its connection is about to be here.
                    if let Some(link) = self.crossing(jittered(crossed)).await {
                        return Ok(link);
                    }
                    crossed += 1;
                    (again, waited) = (true, true);
                    break;
                }
                again |= error.is_passing() && round < ROUNDS;
                self.note(address, error);
            }
            if !again {
                let tried: Arc<[Attempt]> = self.progress.borrow().tried.clone().into();
                let target = self.target.to_string();
                return Err(match (&self.target, &*tried) {
                    (Target::Address(_), [only]) if is_self(&only.error) => {
                        ConnectError::SelfDial { target }
                    }
                    _ => ConnectError::Failed { target, tried },
                });
            }
            if !waited {
                sleep(jittered(round)).await;
                round += 1;
            }
        }
    }

    /// Remembers the last failure of each address.
    fn note(&self, address: &str, error: AttemptError) {
        let attempt = Attempt {
            address: address.into(),
            error,
        };
        self.progress.send_modify(|progress| {
            progress
                .tried
                .retain(|other| other.address != attempt.address);
            progress.tried.push(attempt);
        });
    }

    async fn crossing(&self, within: Duration) -> Option<Arc<C::Link>> {
        let Some(peer) = self.peer else {
            sleep(within).await;
            return None;
        };
        let changed = Arc::clone(&self.links.upgrade()?.changed);
        let up = async {
            loop {
                let change = changed.notified();
                if let Some(link) = self.links.upgrade()?.current(peer) {
                    return Some(link);
                }
                change.await;
            }
        };
        timeout(within, up).await.ok().flatten()
    }

    async fn address(&self, address: &str) -> Result<Arc<C::Link>, AttemptError> {
        let each = self
            .links
            .upgrade()
            .ok_or(AttemptError::CutShort)?
            .settings
            .connect_time;
        let mut last = AttemptError::BadAddress;
        for address in resolve(address, each).await? {
            match self.socket(address, each).await {
                Ok(link) => return Ok(link),
                Err(error) if error.is_crossed() => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn socket(
        &self,
        address: SocketAddr,
        within: Duration,
    ) -> Result<Arc<C::Link>, AttemptError> {
        let mut stream = timeout(within, TcpStream::connect(address))
            .await
            .map_err(|_| AttemptError::NoAnswer { after: within })?
            .map_err(|error| AttemptError::connecting(&error))?;
        socket::tune(&stream, C::LANE).map_err(|error| AttemptError::handshaking(&error))?;
        let links = self.links.upgrade().ok_or(AttemptError::CutShort)?;
        let local = links.local();
        let time = local.limits.handshake_time;
        let replaces = self.peer.and_then(|peer| links.last_connection(peer));
        // At an address that is dialled for its own sake, any node is the right one.
        let peer = if matches!(self.target, Target::Node(_)) {
            self.peer
        } else {
            None
        };
        drop(links);
        let proving = |proving| {
            if let Some(links) = self.links.upgrade() {
                links.set_proving(&self.target, proving);
            }
        };
        let meant = Meant { peer, replaces };
        let dial = handshake::dial(&mut stream, &local, meant, || proving(true));
        let done = timeout(time, dial).await;
        let links = self.links.upgrade().ok_or(AttemptError::CutShort)?;
        match done.unwrap_or(Err(AttemptError::HandshakeTooSlow { after: time })) {
            Ok((established, input)) => {
                if let Err(refusal) = links.admit(&established.key_id, established.peer) {
                    proving(false);
                    let limits = links.local().limits.clone();
                    drop(links);
                    let why = String::from(refusal);
                    let goodbye = C::goodbye(established, &limits, &why);
                    // A last word, which the other side logs.
                    let _ = timeout(time, handshake::leave(&mut stream, &goodbye)).await;
                    return Err(AttemptError::Denied { why });
                }
                let first = Bytes::new();
                let socket = Socket {
                    stream,
                    first,
                    input,
                };
                links
                    .install(established, socket, address, Some(&self.target))
                    .ok_or(AttemptError::CutShort)
            }
            Err(error) => {
                proving(false);
                Err(error)
            }
        }
    }
}

async fn resolve(address: &str, within: Duration) -> Result<Vec<SocketAddr>, AttemptError> {
    Endpoint::parse(address)?;
    if let Ok(address) = address.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let found = timeout(
        within.max(Duration::from_secs(2)),
        tokio::net::lookup_host(address),
    )
    .await
    .map_err(|_| AttemptError::Lookup {
        why: "the name server does not answer".into(),
    })?
    .map_err(|error| AttemptError::Lookup {
        why: error.to_string(),
    })?;
    let found: Vec<_> = found.take(ADDRESSES).collect();
    if found.is_empty() {
        return Err(AttemptError::Lookup {
            why: "it has no address".into(),
        });
    }
    Ok(found)
}

fn is_self(error: &AttemptError) -> bool {
    matches!(error, AttemptError::Handshake(HandshakeError::SelfDial))
}

impl<C: Carrier> Links<C> {
    /// When this target may be dialled next, if it failed lately.
    fn back_off(&self, target: &Target) -> Option<Instant> {
        self.table
            .lock()
            .back_offs
            .get(target)
            .map(|back_off| back_off.until)
    }

    /// A dial has ended.
    fn dialled(&self, target: &Target, outcome: &Outcome<C::Link>) {
        let mut table = self.table.lock();
        table.dials.retain(|dial| dial.target != *target);
        match outcome {
            Ok(link) => {
                table.succeeded::<C>(target);
                if let Target::Address(address) = target {
                    table.addresses.insert(address.to_string(), link.peer());
                }
            }
            Err(_) => {
                let back_off = BackOff::after(table.back_offs.get(target));
                table.back_offs.insert(target.clone(), back_off);
            }
        }
    }

    fn set_proving(&self, target: &Target, proving: bool) {
        let mut table = self.table.lock();
        if let Some(dial) = table.dials.iter_mut().find(|dial| dial.target == *target) {
            dial.proving = proving;
        }
    }
}
