//! The task of one dial: its addresses raced, round after round, and at last the registry asked to have
//! the other node dial this one.
//!
//! Addresses are tried with a head start over each other, up to the moment at which one has to prove
//! itself: that one goes alone, for from then on the other side may accept.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use bytes::Bytes;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    time::{sleep, sleep_until, timeout},
};
use wire::{handshake::HandshakeError, ident::NodeId};

use super::{
    dial::{Outcome, Progress, Target, jittered},
    endpoints,
    error::{Attempt, AttemptError, ConnectError},
    handshake::{self, Meant},
    lane::{Carrier, Socket},
    race::race,
    socket,
    table::Links,
};

/// Rounds over all addresses when a failure is one that passes by itself.
const ROUNDS: u32 = 4;
/// How long a node whose dial was refused for the other's waits for that one in all.
const CROSSING: Duration = Duration::from_secs(5);
/// How long a name may take to be looked up. A look-up that takes longer goes on, for the next dial.
const LOOK_UP: Duration = Duration::from_secs(2);
/// What each address has before the next is tried beside it; RFC 8305's.
pub(super) const HEAD_START: Duration = Duration::from_millis(250);
/// After how long without a connection the other node is asked to dial, besides.
const INVITE_AFTER: Duration = Duration::from_millis(750);

pub(super) struct Run<C: Carrier> {
    pub(super) links: Weak<Links<C>>,
    pub(super) target: Target,
    pub(super) peer: Option<NodeId>,
    /// Whether the other node may be asked to dial this one: not if it has asked for that itself.
    pub(super) invites: bool,
    pub(super) progress: Arc<watch::Sender<Progress<C::Link>>>,
    /// Held from the proof on: only one address may be accepted.
    proof: Semaphore,
}

impl<C: Carrier> Run<C> {
    pub(super) fn new(
        links: Weak<Links<C>>,
        target: Target,
        peer: Option<NodeId>,
        invites: bool,
        progress: Arc<watch::Sender<Progress<C::Link>>>,
    ) -> Self {
        Self {
            links,
            target,
            peer,
            invites,
            progress,
            proof: Semaphore::new(1),
        }
    }

    pub(super) async fn dial(self, addresses: Vec<String>) {
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
        if let (Some(peer), Some(links)) = (self.peer, self.links.upgrade()) {
            links.until_handed_over(peer).await;
        }
        let outcome = self.either_way(&addresses).await;
        let Some(links) = self.links.upgrade() else {
            return;
        };
        links.dialled(&self.target, &outcome);
        self.progress
            .send_modify(|progress| progress.outcome = Some(outcome));
    }

    /// Dials, and if that doesn't succeed soon, has the other node asked to dial this one.
    async fn either_way(&self, addresses: &[String]) -> Outcome<C::Link> {
        let mut direct = pin!(self.rounds(addresses));
        let mut failed = match timeout(INVITE_AFTER, &mut direct).await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) if error.tried().iter().any(|it| it.error.is_a_no()) => {
                return Err(error);
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        let Some(invitation) = self.invitation() else {
            return match failed {
                Some(error) => Err(error),
                None => direct.await,
            };
        };
        let mut invitation = pin!(invitation);
        let mut answer = None;
        while failed.is_none() || answer.is_none() {
            if failed.is_some() {
                // Who was asked to dial by the other node needn't wait for its answer to the same.
                self.progress
                    .send_modify(|progress| progress.is_exhausted = true);
            }
            tokio::select! {
                outcome = &mut direct, if failed.is_none() => match outcome {
                    Ok(link) => return Ok(link),
                    Err(error) => failed = Some(error),
                },
                reply = &mut invitation, if answer.is_none() => {
                    // Its connection, when it came, has ended this dial; or it does so now.
                    if let Some(link) = self.current() {
                        return Ok(link);
                    }
                    answer = Some(reply);
                }
            }
        }
        if let Some(link) = self.current() {
            return Ok(link);
        }
        if let Some(Err(why)) = answer {
            self.note("by way of the registry", AttemptError::Invited(why));
        }
        Err(self.failed())
    }

    fn invitation(&self) -> Option<super::Invitation> {
        if !self.invites {
            return None;
        }
        let Target::Node(peer) = self.target else {
            return None;
        };
        self.links.upgrade()?.carrier.invite(peer)
    }

    fn current(&self) -> Option<Arc<C::Link>> {
        self.links.upgrade()?.current(self.peer?)
    }

    fn failed(&self) -> ConnectError {
        let tried: Arc<[Attempt]> = self.progress.borrow().tried.clone().into();
        let target = self.target.to_string();
        match (&self.target, &*tried) {
            (Target::Address(_), [only]) if is_self(&only.error) => {
                ConnectError::SelfDial { target }
            }
            (Target::Node(peer), []) => ConnectError::NoEndpoints { peer: *peer },
            _ => ConnectError::Failed { target, tried },
        }
    }

    async fn rounds(&self, addresses: &[String]) -> Outcome<C::Link> {
        let (mut round, mut crossed) = (0, 0);
        let began = Instant::now();
        loop {
            let (mut again, mut has_met) = (false, false);
            let attempt = async |address: &String| {
                self.begin(address);
                let done = self.address(address).await;
                done.map_err(|error| (address.clone(), error))
            };
            let failed = |(address, error): (String, AttemptError)| {
                has_met = error.is_crossed() && began.elapsed() < CROSSING;
                if !has_met {
                    again |= error.is_passing() && round < self.more_rounds();
                    self.note(&address, error);
                }
                !has_met
            };
            if let Some(link) = race(addresses, HEAD_START, attempt, failed).await {
                return Ok(link);
            }
            if has_met {
                // The other side is dialling us: its connection is about to be here.
                if let Some(link) = self.crossing(jittered(crossed)).await {
                    return Ok(link);
                }
                crossed += 1;
                continue;
            }
            if !again {
                return Err(self.failed());
            }
            sleep(jittered(round)).await;
            round += 1;
        }
    }

    /// How often failures that pass by themselves are tried over. Who dials an address for its own sake, the
    /// registry's, tries again by itself, and with pauses that suit a fleet.
    fn more_rounds(&self) -> u32 {
        match self.target {
            Target::Node(_) => ROUNDS,
            Target::Address(_) => 0,
        }
    }

    /// An address is tried, of which nothing is known yet.
    fn begin(&self, address: &str) {
        let is_known = |progress: &Progress<C::Link>| {
            let mut tried = progress.tried.iter();
            tried.any(|attempt| &*attempt.address == address)
        };
        if !is_known(&self.progress.borrow()) {
            self.note(address, AttemptError::Pending);
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

    /// All that an address means, raced as addresses are.
    async fn address(&self, address: &str) -> Result<Arc<C::Link>, AttemptError> {
        let each = self.connect_time()?;
        let all = endpoints::resolve(address, LOOK_UP).await?;
        let mut last = AttemptError::BadAddress;
        let won = race(
            all,
            HEAD_START,
            |address| self.socket(address, each),
            |error| {
                last = error;
                !last.is_crossed()
            },
        );
        won.await.ok_or(last)
    }

    fn connect_time(&self) -> Result<Duration, AttemptError> {
        let links = self.links.upgrade().ok_or(AttemptError::CutShort)?;
        Ok(links.settings.connect_time)
    }

    async fn socket(
        &self,
        address: SocketAddr,
        within: Duration,
    ) -> Result<Arc<C::Link>, AttemptError> {
        let mut stream = connect(address, within).await?;
        let links = self.links.upgrade().ok_or(AttemptError::CutShort)?;
        let local = links.local();
        let time = local.limits.handshake_time;
        socket::tune(&stream, C::LANE).map_err(|error| AttemptError::handshaking(&error))?;
        let replaces = self.peer.and_then(|peer| links.last_connection(peer));
        // At an address that is dialled for its own sake, any node is the right one.
        let peer = if matches!(self.target, Target::Node(_)) {
            self.peer
        } else {
            None
        };
        drop(links);
        let set_proving = |proving| {
            if let Some(links) = self.links.upgrade() {
                links.set_proving(&self.target, proving);
            }
        };
        let mut alone = None;
        let proving = async {
            alone = self.proof.acquire().await.ok();
            set_proving(true);
        };
        let meant = Meant { peer, replaces };
        let dial = handshake::dial(&mut stream, &local, meant, proving);
        let done = timeout(time, dial).await;
        let links = self.links.upgrade().ok_or(AttemptError::CutShort)?;
        match done.unwrap_or(Err(AttemptError::HandshakeTooSlow { after: time })) {
            Ok((established, input)) => {
                if let Err(refusal) = links.admit(&established.key_id, established.peer) {
                    set_proving(false);
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
                // Another address may be the one that proves itself now.
                if alone.is_some() {
                    set_proving(false);
                }
                Err(error)
            }
        }
    }
}

async fn connect(address: SocketAddr, within: Duration) -> Result<TcpStream, AttemptError> {
    timeout(within, TcpStream::connect(address))
        .await
        .map_err(|_| AttemptError::NoAnswer { after: within })?
        .map_err(|error| AttemptError::connecting(&error))
}

fn is_self(error: &AttemptError) -> bool {
    matches!(error, AttemptError::Handshake(HandshakeError::SelfDial))
}

impl<C: Carrier> Links<C> {
    /// Whether a node can be dialled: one of its addresses is tried up to the point at which it has
    /// said who it is, and left there.
    pub(crate) async fn answers(&self, peer: NodeId, endpoints: &[String]) -> bool {
        let (local, each) = (self.local(), self.settings.connect_time);
        let greet = async |address: SocketAddr| {
            let mut stream = connect(address, each).await?;
            let time = local.limits.handshake_time;
            let greeted = timeout(time, handshake::greet(&mut stream, &local, peer)).await;
            greeted.unwrap_or(Err(AttemptError::HandshakeTooSlow { after: time }))
        };
        let attempt = async |address: String| {
            let all = endpoints::resolve(&address, LOOK_UP).await?;
            let won = race(all, HEAD_START, greet, |_: AttemptError| true);
            won.await.ok_or(AttemptError::CutShort)
        };
        let addresses = endpoints::trial_order(endpoints);
        let won = race(addresses, HEAD_START, attempt, |_| true);
        won.await.is_some()
    }
}
