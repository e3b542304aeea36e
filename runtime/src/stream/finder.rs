//! Finds the publishers of a subscription, and finds them again.
//!
//! One task a subscription, on the node's thread. It looks whenever something changed: a component
//! came or went, here or in the directory, a connection, or the subscription lost a place that it
//! had. What it can't have yet it tries again after a while.

use std::{
    pin::{Pin, pin},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use botzilla_wire::{Name, NodeId};
use futures_util::{Future, StreamExt, stream::FuturesUnordered};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    StreamReason,
    after::After,
    hub::Hub,
    inbox::{Gate, Inbox, Place},
    item::Origin,
    name::{Selector, StreamName},
    source::next_number,
};
use crate::{
    CallError, Node,
    directory::{Located, Resolved},
    link::{BulkLink, ConnectError, FeedRef, Order},
    service::DialStreams,
};

/// How long a node may take to be connected with before others are looked for again.
const DIAL: Duration = Duration::from_secs(5);
/// After how long without a connection the other node is asked to dial, besides.
const BACK_AFTER: Duration = Duration::from_millis(750);
/// How often a node that keeps no copy of the directory asks for what it misses.
const ASK_EVERY: Duration = Duration::from_secs(1);
const UNREACHABLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// After how long without a connection a subscription is told that there is none: a node that
/// connects with this one itself is in time.
const GRACE: Duration = Duration::from_secs(3);
/// The same for a node that was connected with before: should it be gone, the directory says so
/// within its lease.
const GRACE_LOST: Duration = Duration::from_secs(12);

/// Looks for publishers until the subscription is gone.
pub(crate) fn find(node: &Node, inbox: &Arc<Inbox>) {
    let finder = Finder {
        node: node.clone(),
        inbox: Arc::downgrade(inbox),
        dialling: FuturesUnordered::new(),
        dialled: Vec::new(),
        unreachable: FxHashMap::default(),
        seen: FxHashMap::default(),
        reached: FxHashSet::default(),
        asked: None,
        listed: Vec::new(),
    };
    let poke = Arc::clone(&inbox.poke);
    node.spawn_until_stopped(finder.run(poke));
}

struct Finder {
    node: Node,
    inbox: Weak<Inbox>,
    dialling: FuturesUnordered<Dial>,
    /// The nodes that are being dialled.
    dialled: Vec<NodeId>,
    unreachable: FxHashMap<NodeId, Trouble>,
    /// The nodes of publishers that there was a connection with.
    reached: FxHashSet<NodeId>,
    /// What was meant when it was last looked, and where it was.
    seen: FxHashMap<Arc<str>, Holder>,
    /// When the registry was last asked, by a node that keeps no copy of the directory, and what it
    /// said.
    asked: Option<Instant>,
    listed: Vec<Target>,
}

type Dial = Pin<Box<dyn Future<Output = (NodeId, Result<Arc<BulkLink>, ConnectError>)> + Send>>;

/// A node that can't be reached.
struct Trouble {
    /// When to try again.
    until: Instant,
    failures: u32,
    since: Instant,
    /// What happened last.
    error: ConnectError,
}

/// A stream on another node.
#[derive(Clone)]
struct Target {
    name: StreamName,
    node: NodeId,
    endpoints: Vec<String>,
    /// Of what the registry says about its component.
    revision: u64,
}

type Holder = (NodeId, u64);

impl Finder {
    async fn run(mut self, poke: Arc<tokio::sync::Notify>) {
        let mut changes = self.hub().changes();
        changes.mark_unchanged();
        loop {
            let Some(inbox) = self.inbox.upgrade() else {
                return;
            };
            if inbox.is_closed() {
                return;
            }
            if let Some(found) = self.ask(&inbox) {
                // Nobody else's future is borrowed while the registry is asked.
                match found.await {
                    Ok(found) => self.listed = found,
                    Err(error) => {
                        tracing::debug!(%error, "the registry can't be asked for streams");
                    }
                }
            }
            let again = self.look(&inbox);
            drop(inbox);
            let sleep = async {
                match again {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = poke.notified() => {}
                Some((node, outcome)) = self.dialling.next() => self.was_dialled(node, outcome),
                () = sleep => {}
            }
        }
    }

    fn hub(&self) -> &Arc<Hub> {
        self.node.streams_hub()
    }

    /// Gives the subscription what it matches and doesn't have. When to look again, at the latest.
    fn look(&mut self, inbox: &Arc<Inbox>) -> Option<Instant> {
        let now = Instant::now();
        let mut after = After::default();
        let mut again = None;
        let mut at = |time: Instant| again = Some(again.map_or(time, |it: Instant| it.min(time)));
        let here = self.hub().names_here(inbox);
        for name in &here {
            // It is published here now: what another node may still have of it isn't it.
            if inbox.node_of(name).is_some_and(|it| it != self.node.id()) {
                inbox.leave(name, &mut after);
            }
        }
        self.hub().attach_here(inbox, &mut after);
        for name in &here {
            if let Gate::At(time) = inbox.gate(name, now) {
                at(time);
            }
        }
        let targets = self.targets(&inbox.selector);
        self.forgive(inbox, &targets);
        // Whoever left the directory is none that should be reached.
        let is_listed = |node: NodeId| targets.iter().any(|target| target.node == node);
        self.unreachable.retain(|node, _| is_listed(*node));
        self.reached.retain(|node| is_listed(*node));
        for target in targets {
            let name = target.name.text();
            if here.contains(name) || target.node == self.node.id() {
                continue;
            }
            match inbox.node_of(name) {
                Some(node) if node == target.node => continue,
                // It has another holder now: what the former one may still publish isn't it.
                Some(_) => inbox.leave(name, &mut after),
                None => {}
            }
            match inbox.gate(name, now) {
                Gate::Shut => continue,
                Gate::At(time) => {
                    at(time);
                    continue;
                }
                Gate::Open => {}
            }
            if let Some(link) = self.hub().links().current(target.node) {
                self.unreachable.remove(&target.node);
                self.reached.insert(target.node);
                if let Some(refusal) = self.hub().not_taken(&link, &target.name) {
                    let reason = || self.hub().denied(&link, refusal);
                    inbox.unreachable(name, target.node, reason, &mut after);
                    continue;
                }
                subscribe(inbox, &target, &link, &mut after);
                continue;
            }
            let trouble = self.unreachable.get(&target.node);
            if let Some(trouble) = trouble {
                let was_lost = self.reached.contains(&target.node);
                let told = trouble.since + if was_lost { GRACE_LOST } else { GRACE };
                if told > now {
                    at(told);
                } else {
                    inbox.unreachable(name, target.node, || trouble.reason(&target), &mut after);
                }
            }
            match trouble {
                Some(trouble) if trouble.until > now => at(trouble.until),
                _ => self.dial(&target),
            }
        }
        if let Some(time) = ask_at(self.is_missing(inbox), self.asked, now) {
            at(time);
        }
        again
    }

    /// News of a publisher: what failed with it before may be tried at once. Other news forgives
    /// nothing, or a peer that fails would be tried again at every turn of everybody else.
    fn forgive(&mut self, inbox: &Inbox, targets: &[Target]) {
        let holders = targets.iter().map(|target| {
            let holder = (target.node, target.revision);
            (Arc::clone(target.name.text()), holder)
        });
        let seen = std::mem::replace(&mut self.seen, holders.collect());
        for (name, holder) in &self.seen {
            if seen.get(name) != Some(holder) {
                if let Some(trouble) = self.unreachable.get_mut(&holder.0) {
                    (trouble.until, trouble.failures) = (trouble.since, 0);
                }
                inbox.forgive(name);
            }
        }
    }

    fn dial(&mut self, target: &Target) {
        let node = target.node;
        if self.dialled.contains(&node) {
            return;
        }
        self.dialled.push(node);
        let links = Arc::clone(self.hub().links());
        let endpoints = target.endpoints.clone();
        let this = self.node.clone();
        self.dialling.push(Box::pin(async move {
            let deadline = Instant::now() + DIAL;
            let mut direct = pin!(links.connect(node, &endpoints, deadline));
            let mut back = pin!(dial_back(&this, node, &endpoints, deadline));
            let outcome = match tokio::time::timeout(BACK_AFTER, &mut direct).await {
                Ok(Ok(link)) => Ok(link),
                Ok(Err(error)) => back.await.map_err(|other| other.unwrap_or(error)),
                Err(_) => tokio::select! {
                    outcome = &mut direct => match outcome {
                        Ok(link) => Ok(link),
                        Err(error) => back.await.map_err(|other| other.unwrap_or(error)),
                    },
                    outcome = &mut back => match outcome {
                        Ok(link) => Ok(link),
                        Err(_) => direct.await,
                    },
                },
            };
            (node, outcome)
        }));
    }

    fn was_dialled(&mut self, node: NodeId, outcome: Result<Arc<BulkLink>, ConnectError>) {
        self.dialled.retain(|it| *it != node);
        match outcome {
            Ok(_) => {
                self.unreachable.remove(&node);
            }
            Err(error) => {
                let now = Instant::now();
                let before = self.unreachable.remove(&node);
                let failures = before.as_ref().map_or(0, |it| it.failures);
                let (least, most) = UNREACHABLE;
                let pause = (least * 2_u32.saturating_pow(failures.min(8))).min(most);
                if before.is_none() {
                    tracing::warn!(%node, %error, "a publisher's node can't be reached for its streams; it is tried again");
                }
                let trouble = Trouble {
                    until: now + pause,
                    failures: failures.saturating_add(1),
                    since: before.map_or(now, |it| it.since),
                    error,
                };
                self.unreachable.insert(node, trouble);
            }
        }
    }

    /// Streams on other nodes that are meant, as far as this node knows.
    fn targets(&self, selector: &Selector) -> Vec<Target> {
        let inner = self.node.inner();
        if inner.config().short_lived {
            return self.listed.clone();
        }
        match selector {
            Selector::One(name) => {
                let located = inner.directory().get(name.component());
                let offers = located.filter(|it| it.stream(name.stream()).is_some());
                offers.iter().map(|it| Target::of(it, name)).collect()
            }
            Selector::Pattern(_) => inner.directory().read(|all| {
                let streams = all.all().flat_map(|located| {
                    let meant = located.streams.iter().filter(|stream| {
                        selector.matches(&located.name, &located.groups, &stream.name)
                    });
                    meant.filter_map(|stream| {
                        let name = StreamName::new(&located.name, &stream.name).ok()?;
                        Some(Target::of(located, &name))
                    })
                });
                streams.collect()
            }),
        }
    }

    /// Whether something may be published that only the registry knows of: a node that keeps no
    /// copy of the directory asks for it, now and then. Without that it rests.
    fn is_missing(&self, inbox: &Inbox) -> bool {
        self.node.inner().config().short_lived
            && match &inbox.selector {
                Selector::One(name) => inbox.node_of(name.text()).is_none(),
                Selector::Pattern(_) => true,
            }
    }

    fn ask(&mut self, inbox: &Inbox) -> Option<Asking> {
        let now = Instant::now();
        if ask_at(self.is_missing(inbox), self.asked, now).is_none_or(|at| at > now) {
            return None;
        }
        self.asked = Some(now);
        let node = self.node.clone();
        let selector = inbox.selector.clone();
        Some(Box::pin(async move {
            match &selector {
                Selector::One(name) => resolve(&node, name).await,
                Selector::Pattern(_) => list(&node, &selector).await,
            }
        }))
    }
}

/// Asks a node that can't be dialled to dial this one, over a control connection that it dialled
/// itself; if there is none, the registry has it make one. The error: why there is no such connection.
async fn dial_back(
    this: &Node,
    node: NodeId,
    endpoints: &[String],
    deadline: Instant,
) -> Result<Arc<BulkLink>, Option<ConnectError>> {
    let links = this.inner().links();
    let link = links
        .connect(node, endpoints, deadline)
        .await
        .map_err(Some)?;
    if !link.dialled() {
        let service = this.component(format!("node/{node}"));
        let asked = DialStreams {
            node: this.id().to_string(),
        };
        service.ask(asked).within(DIAL).await.map_err(|_| None)?;
    }
    this.streams_hub().links().current(node).ok_or(None)
}

/// When the registry is to be asked again, if ever.
fn ask_at(is_missing: bool, asked: Option<Instant>, now: Instant) -> Option<Instant> {
    is_missing.then(|| asked.map_or(now, |asked| now.max(asked + ASK_EVERY)))
}

async fn resolve(node: &Node, name: &StreamName) -> Result<Vec<Target>, CallError> {
    let directory = node.inner().directory();
    let Resolved { located, .. } = directory
        .resolve(node, name.component(), DIAL, Duration::ZERO)
        .await?;
    let offers = located.filter(|it| it.stream(name.stream()).is_some());
    Ok(offers.iter().map(|it| Target::of(it, name)).collect())
}

async fn list(node: &Node, selector: &Selector) -> Result<Vec<Target>, CallError> {
    let mut targets = Vec::new();
    for listed in node.list_within(DIAL).await? {
        let (Ok(component), Ok(node)) = (Name::new(&listed.name), listed.node.parse()) else {
            continue;
        };
        let groups = listed.groups.iter().filter_map(|it| Name::new(it).ok());
        let groups: Vec<_> = groups.collect();
        for stream in &listed.streams {
            if selector.matches(&component, &groups, &stream.name)
                && let Ok(name) = StreamName::new(&component, &stream.name)
            {
                let endpoints = listed.endpoints.clone();
                targets.push(Target {
                    name,
                    node,
                    endpoints,
                    revision: 0,
                });
            }
        }
    }
    Ok(targets)
}

type Asking = Pin<Box<dyn Future<Output = Result<Vec<Target>, CallError>> + Send>>;

impl Trouble {
    fn reason(&self, target: &Target) -> StreamReason {
        if self.error.is_denied() {
            return StreamReason::Denied(self.error.to_string());
        }
        StreamReason::Unreachable {
            addresses: target.endpoints.clone(),
            reason: self.error.to_string(),
        }
    }
}

impl Target {
    fn of(located: &Located, name: &StreamName) -> Self {
        Self {
            name: name.clone(),
            node: located.place.id,
            endpoints: located.place.facts.endpoints.clone(),
            revision: located.revision,
        }
    }
}

/// Asks for a place at a publisher on another node.
fn subscribe(inbox: &Arc<Inbox>, target: &Target, link: &Arc<BulkLink>, after: &mut After) {
    let number = next_number();
    let origin = Arc::new(Origin {
        name: target.name.clone(),
        node: target.node,
    });
    if !inbox.begin(number, &origin, Place::There(Arc::clone(link))) {
        return;
    }
    let name = target.name.text();
    let feed = FeedRef {
        number,
        inbox: Arc::downgrade(inbox),
        name: Arc::clone(name),
    };
    let mut request = Box::new(inbox.wish.subscribe(&target.name));
    request.resumes = inbox.resumes(name);
    match link.order(Order::Subscribe { feed, request }) {
        Ok(waker) => after.wakers.extend(waker),
        Err(_) => inbox.lost(name, number, after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_asks_the_registry_only_while_it_misses_something() {
        let asked = Instant::now();
        let now = asked + ASK_EVERY * 5;
        // It has what it wants, however long ago it has asked.
        assert_eq!(ask_at(false, Some(asked), now), None);
        assert_eq!(ask_at(true, None, now), Some(now));
        assert_eq!(ask_at(true, Some(asked), now), Some(now));
        assert_eq!(ask_at(true, Some(now), now), Some(now + ASK_EVERY));
    }
}
