//! A node's streams: what its components publish, and what subscribes here.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use botzilla_wire::{
    EndCode, Limits, NodeId,
    handshake::Local,
    ident::Lane,
    stream::{End, Granted, Subscribe, SubscriberId},
};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::watch;

use super::{
    PublishError, Qos, StreamReason, StreamReport, after::After, inbox::Inbox, item::Origin,
    kind::Kind, name::StreamName, port::RemotePort, source::Source,
};
use crate::{
    Node, StreamCounters,
    directory::{SaysTooMuch, facts::StreamFacts},
    hosted::{Hosted, Status},
    link::{BulkLink, BulkLinks, Settings},
    policy::{Guard, Refusal},
};

/// A node's streams.
pub(crate) struct Hub {
    id: NodeId,
    limits: Limits,
    /// What is published here, by its name in full.
    sources: RwLock<FxHashMap<Arc<str>, Arc<Source>>>,
    /// What is subscribed to here.
    inboxes: Mutex<Vec<Weak<Inbox>>>,
    /// Counts what may concern who looks for publishers.
    changes: watch::Sender<u64>,
    has_stopped: AtomicBool,
    links: Arc<BulkLinks>,
    guard: Option<Arc<Guard>>,
    /// Held while others are told, so that what is told last is what is so.
    telling: Mutex<()>,
}

impl Hub {
    pub(crate) fn new(local: &Local, settings: Settings) -> Arc<Self> {
        let mut local = local.clone();
        local.lane = Lane::Bulk;
        Arc::new_cyclic(|this| Self {
            id: local.node,
            limits: local.limits.clone(),
            sources: RwLock::default(),
            inboxes: Mutex::default(),
            changes: watch::Sender::new(0),
            has_stopped: AtomicBool::new(false),
            guard: settings.guard.clone(),
            links: BulkLinks::bulk(local, this.clone(), settings),
            telling: Mutex::default(),
        })
    }

    pub(crate) fn links(&self) -> &Arc<BulkLinks> {
        &self.links
    }

    /// Something changed that may concern who looks for publishers.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    // ---- publishers -----------------------------------------------------------------------------

    pub(crate) fn publish(
        &self,
        hosted: &Arc<Hosted>,
        stream: &str,
        qos: Qos,
        kind: Kind,
    ) -> Result<Arc<Source>, PublishError> {
        let name =
            StreamName::new(&hosted.name, stream).map_err(|reason| PublishError::BadName {
                stream: stream.to_owned(),
                reason,
            })?;
        let origin = Origin {
            name,
            node: self.id,
        };
        let source = Source::new(origin, Arc::clone(hosted), qos, kind, &self.limits);
        let mut after = After::default();
        {
            let mut sources = self.sources.write();
            // Under the lock that an end takes to collect what there is.
            let has_ended = hosted.is_forgotten() || matches!(hosted.status(), Status::Ended(_));
            if has_ended || self.has_stopped.load(Ordering::Acquire) {
                return Err(PublishError::Ended {
                    stream: stream.to_owned(),
                });
            }
            let text = source.name().text();
            if sources.contains_key(text) {
                return Err(PublishError::Taken {
                    stream: stream.to_owned(),
                });
            }
            sources.insert(Arc::clone(text), Arc::clone(&source));
        }
        // Those who have waited for it get its first item.
        for inbox in self.inboxes() {
            if wants(&inbox, &source) {
                inbox.forgive(source.name().text());
                source.attach(&inbox, &mut after);
            }
        }
        self.changed();
        Ok(source)
    }

    /// A stream has ended.
    pub(crate) fn retire(&self, source: &Arc<Source>, code: EndCode) {
        let mut after = After::default();
        {
            let mut sources = self.sources.write();
            let text = source.name().text();
            if sources.get(text).is_some_and(|it| Arc::ptr_eq(it, source)) {
                sources.remove(text);
            }
        }
        source.end(code, &mut after);
        self.changed();
    }

    /// A component has ended, and with it its streams, whoever still holds a publisher.
    pub(crate) fn component_ended(&self, hosted: &Arc<Hosted>) {
        for source in self.sources_where(|it| Arc::ptr_eq(&it.hosted, hosted)) {
            self.retire(&source, EndCode::PublisherGone);
        }
    }

    fn sources_where(&self, is_meant: impl Fn(&Source) -> bool) -> Vec<Arc<Source>> {
        let sources = self.sources.read();
        let meant = sources.values().filter(|source| is_meant(source));
        meant.cloned().collect()
    }

    pub(crate) fn source(&self, name: &str) -> Option<Arc<Source>> {
        self.sources.read().get(name).cloned()
    }

    /// What others are told of a component's streams.
    pub(crate) fn facts(&self, component: &str) -> Vec<StreamFacts> {
        let mut facts: Vec<_> = self
            .sources_where(|source| **source.name().component() == *component)
            .iter()
            .map(|source| source.facts())
            .collect();
        facts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        facts
    }

    /// Tells the directory what a component offers.
    pub(crate) fn announce(&self, node: &Node, hosted: &Hosted) -> Result<(), SaysTooMuch> {
        let _telling = self.telling.lock();
        node.set_streams(hosted, self.facts(&hosted.name))
    }

    pub(crate) fn report(&self) -> Vec<StreamReport> {
        let sources = self.sources_where(|_| true);
        let mut reports: Vec<_> = sources.iter().map(|source| source.report()).collect();
        reports.sort_unstable_by(|a, b| (&a.component, &a.stream).cmp(&(&b.component, &b.stream)));
        reports
    }

    /// The same of one component.
    pub(crate) fn report_of(&self, component: &str) -> Vec<StreamReport> {
        let sources = self.sources_where(|source| **source.name().component() == *component);
        let mut reports: Vec<_> = sources.iter().map(|source| source.report()).collect();
        reports.sort_unstable_by(|a, b| a.stream.cmp(&b.stream));
        reports
    }

    /// What became of all items.
    pub(crate) fn counters(&self) -> Vec<StreamCounters> {
        let sources = self.sources_where(|_| true);
        let mut counters: Vec<_> = sources.iter().map(|source| source.counters()).collect();
        counters.sort_unstable_by(|a, b| a.stream.cmp(&b.stream));
        counters
    }

    // ---- subscribers ----------------------------------------------------------------------------

    /// A subscription of this node begins; what it matches here it has at once.
    pub(crate) fn join(&self, inbox: &Arc<Inbox>) {
        let mut after = After::default();
        {
            let mut inboxes = self.inboxes.lock();
            inboxes.retain(|inbox| inbox.strong_count() > 0);
            inboxes.push(Arc::downgrade(inbox));
        }
        if self.has_stopped.load(Ordering::Acquire) {
            inbox.finish(&mut after);
        }
        self.attach_here(inbox, &mut after);
    }

    /// Gives a subscription its places at all publishers here that it matches and has none at.
    pub(crate) fn attach_here(&self, inbox: &Arc<Inbox>, after: &mut After) {
        for source in self.sources_where(|source| wants(inbox, source)) {
            source.attach(inbox, after);
        }
    }

    /// The names of streams here that a subscription matches.
    pub(crate) fn names_here(&self, inbox: &Inbox) -> Vec<Arc<str>> {
        let sources = self.sources_where(|source| wants(inbox, source));
        let names = sources
            .iter()
            .map(|source| Arc::clone(source.name().text()));
        names.collect()
    }

    fn inboxes(&self) -> Vec<Arc<Inbox>> {
        let inboxes = self.inboxes.lock();
        inboxes.iter().filter_map(Weak::upgrade).collect()
    }

    /// How many subscriptions there are on this node.
    pub(crate) fn subscriptions(&self) -> usize {
        self.inboxes().len()
    }

    /// How many look for publishers.
    pub(crate) fn finders(&self) -> usize {
        self.changes.receiver_count()
    }

    /// A subscription of another node.
    pub(crate) fn serve(
        &self,
        link: &Arc<BulkLink>,
        id: SubscriberId,
        request: &Subscribe,
        after: &mut After,
    ) -> Result<(Granted, Arc<RemotePort>), End> {
        let text = format!("{}/{}", request.component, request.stream);
        if self.has_stopped.load(Ordering::Acquire) {
            return Err(End::refused(EndCode::Stopped, ""));
        }
        // Before it is told what there is.
        if let Some(guard) = &self.guard {
            let (key, peer) = (link.key_id(), link.peer());
            let by = request.subscriber.as_ref();
            let allowed = by.map_or(Ok(()), |name| guard.send_as(key, peer, name));
            if let Err(refusal) = allowed.and_then(|()| guard.subscribe(key, &text)) {
                return Err(End::refused(EndCode::Denied, refusal));
            }
        }
        match self.source(&text) {
            Some(source) => {
                let queue_max = self.limits.stream_queue;
                source.attach_remote(link, id, request, queue_max, after)
            }
            None => {
                let facts = self.facts(&request.component);
                let names: Vec<_> = facts.iter().map(|facts| &*facts.name).collect();
                Err(End::refused(EndCode::NoSuchStream, names.join(", ")))
            }
        }
    }

    // ---- the policy -----------------------------------------------------------------------------

    /// Why a stream isn't taken from a node, if it isn't.
    pub(crate) fn not_taken(&self, link: &BulkLink, name: &StreamName) -> Option<Refusal> {
        let guard = self.guard.as_ref()?;
        guard.takes(link.key_id(), link.peer(), name).err()
    }

    /// Counts that; and says it.
    pub(crate) fn denied(&self, link: &BulkLink, refusal: Refusal) -> StreamReason {
        if let Some(guard) = &self.guard {
            guard.count(link.key_id(), &refusal);
        }
        StreamReason::Denied(refusal.into())
    }

    /// Ends what the policy doesn't allow any more.
    pub(crate) fn enforce(&self) {
        let Some(guard) = &self.guard else {
            return;
        };
        let mut after = After::default();
        for source in self.sources_where(|_| true) {
            for (number, link) in source.elsewhere() {
                let allowed = guard.subscribe(link.key_id(), source.name().text());
                if let Err(refusal) = allowed {
                    source.deny(number, refusal, &mut after);
                }
            }
        }
        for inbox in self.inboxes() {
            for (origin, link) in inbox.others() {
                if let Some(refusal) = self.not_taken(&link, &origin.name) {
                    let name = origin.name.text();
                    inbox.leave(name, &mut after);
                    let reason = || self.denied(&link, refusal);
                    inbox.unreachable(name, origin.node, reason, &mut after);
                }
            }
        }
        // What is allowed now that wasn't may be had at once.
        self.changed();
    }

    // ---- the end --------------------------------------------------------------------------------

    /// Ends all streams: what waits of them still goes, as far as it is taken. No subscription gets
    /// anything new.
    pub(crate) fn stop(&self) {
        self.has_stopped.store(true, Ordering::Release);
        for source in self.sources_where(|_| true) {
            self.retire(&source, EndCode::Stopped);
        }
        let mut after = After::default();
        for inbox in self.inboxes() {
            inbox.finish(&mut after);
        }
    }
}

fn wants(inbox: &Inbox, source: &Source) -> bool {
    let name = source.name();
    let groups = &source.hosted.groups;
    inbox
        .selector
        .matches(name.component(), groups, name.stream())
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("sources", &self.sources.read().len())
            .finish_non_exhaustive()
    }
}
