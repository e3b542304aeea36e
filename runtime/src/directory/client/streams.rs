//! Which streams there are, on this node and elsewhere.

use std::sync::Arc;

use botzilla_wire::ident::{Name, NodeId};
use tokio::sync::watch;

use super::Directory;
use crate::directory::{
    located::{Located, Place, StreamInfo},
    own::{Offer, SaysTooMuch},
    replica::Replica,
};

/// A stream and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundStream {
    /// The component that offers it.
    pub(crate) component: Name,
    /// With the node, tells this instance of the component from any other of its name.
    pub(crate) count: u64,
    /// The component's groups.
    pub(crate) groups: Box<[Name]>,
    /// The component's node.
    pub(crate) node: NodeId,
    /// Where that is; none: it is this node.
    pub(crate) place: Option<Arc<Place>>,
    /// The stream.
    pub(crate) info: StreamInfo,
}

impl FoundStream {
    /// A stream of a component that the registry told of.
    pub(crate) fn elsewhere(located: &Located, info: &StreamInfo) -> Self {
        Self {
            component: located.name.clone(),
            count: located.count,
            groups: located.groups.clone(),
            node: located.place.id,
            place: Some(Arc::clone(&located.place)),
            info: info.clone(),
        }
    }

    fn here(us: NodeId, offer: &Offer, info: &StreamInfo) -> Self {
        Self {
            component: offer.component.clone(),
            count: offer.count,
            groups: offer.groups.as_slice().into(),
            node: us,
            place: None,
            info: info.clone(),
        }
    }

    /// Whether its component is in this group.
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|name| **name == *group)
    }
}

impl Directory {
    /// Says which streams a component of this node offers now: at once here, and as soon as it can be
    /// told to the registry, which tells the others. Never waits. What several calls say before that
    /// goes in one message, and every start of the registry is told anew.
    ///
    /// What an instance says that is older than the last one of that name is ignored; with the
    /// component's name its streams go too.
    pub(crate) fn set_streams(&self, offer: Offer) -> Result<(), SaysTooMuch> {
        let is_news = self.own.lock().offer(offer)?;
        if is_news {
            self.news.notify_one();
            self.streams_changed();
        }
        Ok(())
    }

    /// One stream of one component, as far as this node knows.
    pub(crate) fn stream(&self, component: &str, stream: &str) -> Option<FoundStream> {
        let here = self.own.lock().offers().get(component).and_then(|offer| {
            let info = offer.streams.iter().find(|it| *it.name == *stream)?;
            Some(FoundStream::here(self.us, offer, info))
        });
        here.or_else(|| {
            let located = self.get(component).filter(|it| it.place.id != self.us)?;
            Some(FoundStream::elsewhere(&located, located.stream(stream)?))
        })
    }

    /// All streams that this node knows of, its own among them, in the order of their names.
    pub(crate) fn streams(&self) -> Vec<FoundStream> {
        let mut found = Vec::new();
        self.read(|all| {
            // What the registry says of this node is older than what the node knows.
            for located in all.all().filter(|it| it.place.id != self.us) {
                let streams = located.streams.iter();
                found.extend(streams.map(|info| FoundStream::elsewhere(located, info)));
            }
        });
        let own = self.own.lock();
        for offer in own.offers().values() {
            let streams = offer.streams.iter();
            found.extend(streams.map(|info| FoundStream::here(self.us, offer, info)));
        }
        drop(own);
        let key = |it: &FoundStream| (it.component.clone(), it.info.name.clone());
        found.sort_by_cached_key(key);
        found
    }

    /// Another number each time when streams have come, gone, moved or changed: a reason to look again.
    pub(crate) fn streams_news(&self) -> watch::Receiver<u64> {
        self.streams.subscribe()
    }

    pub(super) fn streams_changed(&self) {
        self.streams.send_modify(|changes| *changes += 1);
    }

    /// Changes the replica; what happens to streams by that is told.
    pub(super) fn write<R>(&self, change: impl FnOnce(&mut Replica) -> R) -> R {
        let mut replica = self.replica.write();
        let before = replica.streams();
        let result = change(&mut replica);
        let is_news = replica.streams() != before;
        drop(replica);
        if is_news {
            self.streams_changed();
        }
        result
    }
}
