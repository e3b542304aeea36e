//! Finds the publishers of a subscription, and finds them again.
//!
//! One task a subscription, on the node's thread. It looks whenever something changed: a component
//! came or went, here or in the directory, a connection, or the subscription lost a place that it
//! had. What it can't have yet it tries again after a while.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use botzilla_wire::{Name, NodeId};
use futures_util::{Future, StreamExt, stream::FuturesUnordered};
use rustc_hash::FxHashMap;

use super::{
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
/// How often a node that keeps no copy of the directory asks for what it misses.
const ASK_EVERY: Duration = Duration::from_secs(1);
const UNREACHABLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// Looks for publishers until the subscription is gone.
pub(crate) fn find(node: &Node, inbox: &Arc<Inbox>) {
    let finder = Finder {
        node: node.clone(),
        inbox: Arc::downgrade(inbox),
        dialling: FuturesUnordered::new(),
        dialled: Vec::new(),
        unreachable: FxHashMap::default(),
        seen: FxHashMap::default(),
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
    /// When to try again, after how many failures.
    unreachable: FxHashMap<NodeId, (Instant, u32)>,
    /// What was meant when it was last looked, and where it was.
    seen: FxHashMap<Arc<str>, Holder>,
    /// When the registry was last asked, by a node that keeps no copy of the directory, and what it
    /// said.
    asked: Option<Instant>,
    listed: Vec<Target>,
}

type Dial = Pin<Box<dyn Future<Output = (NodeId, Result<Arc<BulkLink>, ConnectError>)> + Send>>;

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
        self.hub().attach_here(inbox, &mut after);
        for name in &here {
            if let Gate::At(time) = inbox.gate(name, now) {
                at(time);
            }
        }
        let targets = self.targets(&inbox.selector);
        self.forgive(inbox, &targets);
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
                subscribe(inbox, &target, &link, &mut after);
                continue;
            }
            match self.unreachable.get(&target.node) {
                Some((until, _)) if *until > now => at(*until),
                _ => self.dial(&target),
            }
        }
        if self.node.inner().config().short_lived {
            at(self.asked.unwrap_or(now) + ASK_EVERY);
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
                self.unreachable.remove(&holder.0);
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
            let outcome = match links.connect(node, &endpoints, deadline).await {
                Err(error) => dial_back(&this, node).await.ok_or(error),
                connected => connected,
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
                let failures = self
                    .unreachable
                    .get(&node)
                    .map_or(0, |(_, failures)| *failures);
                let (least, most) = UNREACHABLE;
                let pause = (least * 2_u32.saturating_pow(failures.min(8))).min(most);
                if failures == 0 {
                    tracing::warn!(%node, %error, "a publisher's node can't be reached for its streams; it is tried again");
                }
                let next = (Instant::now() + pause, failures + 1);
                self.unreachable.insert(node, next);
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

    /// A node that keeps no copy of the directory asks for what it doesn't have, now and then.
    fn ask(&mut self, inbox: &Inbox) -> Option<Asking> {
        if !self.node.inner().config().short_lived {
            return None;
        }
        let is_missing = match &inbox.selector {
            Selector::One(name) => inbox.node_of(name.text()).is_none(),
            Selector::Pattern(_) => true,
        };
        let is_due = self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
        if !is_missing || !is_due {
            return None;
        }
        self.asked = Some(Instant::now());
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

/// Asks a node that can't be dialled to dial this one, over the connection that it dialled itself.
async fn dial_back(this: &Node, node: NodeId) -> Option<Arc<BulkLink>> {
    if !this.inner().links().current(node)?.dialled() {
        let service = this.component(format!("node/{node}"));
        let asked = DialStreams {
            node: this.id().to_string(),
        };
        service.ask(asked).within(DIAL).await.ok()?;
    }
    this.streams_hub().links().current(node)
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
    let request = Box::new(inbox.wish.subscribe(&target.name));
    match link.order(Order::Subscribe { feed, request }) {
        Ok(waker) => after.wakers.extend(waker),
        Err(_) => inbox.lost(name, number, after),
    }
}
