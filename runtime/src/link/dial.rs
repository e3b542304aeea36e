//! Dialling: one dial for all who wait for the same node, backing off. What it does is in `run.rs`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use tokio::{sync::watch, task::AbortHandle, time::timeout_at};
use wire::ident::NodeId;

use super::{
    endpoints::{Endpoint, trial_order},
    error::{Attempt, ConnectError},
    lane::{Carrier, Connection},
    run::Run,
    table::Links,
};

pub(super) type Outcome<L> = Result<Arc<L>, ConnectError>;

const BACK_OFF_MIN: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

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
    pub(super) tried: Vec<Attempt>,
    /// All addresses have failed; what is waited for is that the other node dials.
    pub(super) is_exhausted: bool,
    pub(super) outcome: Option<Outcome<L>>,
}

impl<L> Default for Progress<L> {
    fn default() -> Self {
        Self {
            tried: Vec::new(),
            is_exhausted: false,
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
pub(super) fn jittered(failures: u32) -> Duration {
    let full = BACK_OFF_MIN
        .saturating_mul(1 << failures.min(8))
        .min(BACK_OFF_MAX);
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    full.mul_f64(0.5 + random / 2.0)
}

impl<C: Carrier> Links<C> {
    /// The kept connection to a node, or a new one. All who ask at the same time share one dial; the
    /// handshake proves that it is the node meant. Endpoints are `host:port`, or with a host's mark. A
    /// node that can't be dialled is asked to dial this one, if there is a way to ask it.
    ///
    /// Runs on the node's thread.
    pub(crate) async fn connect<S: AsRef<str>>(
        &self,
        peer: NodeId,
        endpoints: &[S],
        deadline: Instant,
    ) -> Result<Arc<C::Link>, ConnectError> {
        self.connect_how(peer, endpoints, deadline, true).await
    }

    /// The same for a node that has asked for it, since it can't dial this one: it isn't asked to.
    ///
    /// Runs on the node's thread.
    pub(crate) async fn connect_as_asked<S: AsRef<str>>(
        &self,
        peer: NodeId,
        endpoints: &[S],
        deadline: Instant,
    ) -> Result<Arc<C::Link>, ConnectError> {
        self.connect_how(peer, endpoints, deadline, false).await
    }

    async fn connect_how<S: AsRef<str>>(
        &self,
        peer: NodeId,
        endpoints: &[S],
        deadline: Instant,
        invites: bool,
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
            let waiting = match running {
                Some(running) => running,
                None => self.start_dial(&target, Some(peer), invites, addresses.clone())?,
            };
            let outcome = wait(waiting, &target, deadline, invites).await;
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
            None => self.start_dial(&target, known, false, vec![address.to_owned()])?,
        };
        wait(waiting, &target, deadline, true).await
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
        invites: bool,
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
        let run = Run::new(self.this.clone(), target.clone(), peer, invites, progress);
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

/// Waits for the end of a dial; unless to `its_end`, for the end of its addresses.
async fn wait<L: Connection>(
    mut waiting: watch::Receiver<Progress<L>>,
    target: &Target,
    deadline: Instant,
    its_end: bool,
) -> Outcome<L> {
    let tried = |progress: &Progress<L>| Arc::from(progress.tried.clone());
    let done = async {
        // Its task is gone without a word only when the links were shut down.
        let progress = waiting
            .wait_for(|it| it.outcome.is_some() || (it.is_exhausted && !its_end))
            .await
            .ok()?;
        progress.outcome.clone().or_else(|| {
            Some(Err(ConnectError::Failed {
                target: target.to_string(),
                tried: tried(&progress),
            }))
        })
    };
    match timeout_at(deadline.into(), done).await {
        Ok(outcome) => outcome.unwrap_or(Err(ConnectError::Stopping)),
        Err(_) => Err(ConnectError::TimedOut {
            target: target.to_string(),
            tried: tried(&waiting.borrow()),
        }),
    }
}

impl<C: Carrier> Links<C> {
    /// When this target may be dialled next, if it failed lately.
    pub(super) fn back_off(&self, target: &Target) -> Option<Instant> {
        self.table
            .lock()
            .back_offs
            .get(target)
            .map(|back_off| back_off.until)
    }

    /// A dial has ended.
    pub(super) fn dialled(&self, target: &Target, outcome: &Outcome<C::Link>) {
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

    pub(super) fn set_proving(&self, target: &Target, proving: bool) {
        let mut table = self.table.lock();
        if let Some(dial) = table.dials.iter_mut().find(|dial| dial.target == *target) {
            dial.proving = proving;
        }
    }
}
