//! Whether a component is there: events for who wants to know, here and elsewhere alike.

mod events;

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{self, Poll},
};

use botzilla_wire::{Name, NodeId};
use futures_util::Stream;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use self::events::Events;
use crate::{Node, contain, directory::messages::Removal};

/// One life of a name: who has it, told from whoever had it before or will have it.
///
/// A component keeps its incarnation when it is [rebuilt](crate::Restart) in its place, on its node. When it ends
/// and is spawned again, there or elsewhere, or its process is started again, it is another. Of two, neither is
/// known to be the newer one by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation {
    node: NodeId,
    count: u64,
}

impl Incarnation {
    /// The node that it is on.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Which of its node's components it is: they are counted from 1, in the order of their spawns.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on node {}", self.count, self.node)
    }
}

/// What a [`Watch`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// It is there, and registered if its node has a registry.
    Up {
        /// Which one.
        incarnation: Incarnation,
    },
    /// It isn't.
    Down {
        /// Why not.
        why: DownReason,
        /// Which one went; none if it wasn't there when the watch began.
        incarnation: Option<Incarnation>,
    },
}

/// Why a component isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownReason {
    /// Nobody has the name, as far as this node knows.
    NotFound,
    /// It stopped itself, or its node was shut down.
    Deregistered,
    /// It couldn't be kept alive; its node's log says why. See [`Restart`](crate::Restart).
    Failed,
    /// Nothing was heard from its node for longer than the lease of 10 s: killed, cut off, without power. As
    /// long as this node is connected to that one, it isn't down.
    Lapsed,
    /// Another one has the name.
    Replaced,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "nobody has the name",
            Self::Deregistered => "it stopped",
            Self::Failed => "it couldn't be kept alive",
            Self::Lapsed => "nothing is heard from its node",
            Self::Replaced => "another one has the name",
        })
    }
}

impl From<Removal> for DownReason {
    fn from(removal: Removal) -> Self {
        match removal {
            Removal::Deregistered => Self::Deregistered,
            Removal::Lapsed => Self::Lapsed,
            Removal::Failed => Self::Failed,
        }
    }
}

/// Why a name can't be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// No component can have that name, or it is one of the runtime's own, which aren't listed.
    #[error("{name:?} can't be watched: {reason}")]
    BadName {
        /// As given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A short-lived node doesn't follow what changes: it asks about each name that it needs.
    #[error("{name:?} can't be watched from a short-lived node, which doesn't follow who is there")]
    ShortLived {
        /// As given.
        name: String,
    },
}

/// Says when a component comes and goes; see [`Node::watch`].
///
/// A [`Stream`] that ends with this node. Events come in turn, one up, one down. Who doesn't read misses
/// some, and nothing piles up: of what it missed it is told how the one that it knows ended, and what the state
/// is now. That there is another incarnation than the one that it knows it is always told, by a down
/// between the two ups.
#[must_use = "it says nothing unless it is read"]
pub struct Watch {
    node: Node,
    watched: Arc<Watched>,
}

pub(crate) struct Watched {
    name: Name,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    events: Events,
    /// The node ended.
    is_over: bool,
    reader: Option<task::Waker>,
}

impl Watch {
    /// The name.
    pub fn name(&self) -> &str {
        &self.watched.name
    }

    /// The next event: the present state at first, then each change. `None` when this node has ended.
    ///
    /// # Cancel safety
    ///
    /// An event that wasn't returned comes next time.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&self, cx: &mut task::Context<'_>) -> Poll<Option<WatchEvent>> {
        let mut inner = self.watched.inner.lock();
        if let Some(event) = inner.events.next() {
            return Poll::Ready(Some(event));
        }
        if inner.is_over {
            return Poll::Ready(None);
        }
        let before = inner.reader.replace(cx.waker().clone());
        drop(inner);
        // Somebody else's code, as is its clone; only the drop can be done outside of the lock.
        contain::drop_value(before);
        Poll::Pending
    }
}

impl Stream for Watch {
    type Item = WatchEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.node.watchers().remove(&self.watched);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("name", &self.watched.name)
            .finish_non_exhaustive()
    }
}

/// All watches of a node.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<All>);

#[derive(Default)]
struct All {
    by_name: FxHashMap<Name, Vec<Weak<Watched>>>,
    is_over: bool,
}

impl Watchers {
    /// Who has a name may have changed. `who` looks, under the lock of the watches: what is seen last is
    /// told last. `why` is why it isn't who had it before.
    pub(crate) fn look(
        &self,
        name: &str,
        why: DownReason,
        who: impl FnOnce() -> Option<Incarnation>,
    ) {
        let all = self.0.lock();
        let Some(watches) = all.by_name.get(name) else {
            return;
        };
        let who = who();
        let mut readers = Vec::new();
        for watched in watches.iter().filter_map(Weak::upgrade) {
            let mut inner = watched.inner.lock();
            inner.events.see(who, why);
            readers.extend(inner.reader.take());
        }
        drop(all);
        readers.into_iter().for_each(contain::wake);
    }

    fn add(&self, name: Name, who: impl FnOnce() -> Option<Incarnation>) -> Arc<Watched> {
        let mut all = self.0.lock();
        let mut inner = Inner {
            is_over: all.is_over,
            ..Inner::default()
        };
        inner.events.see(who(), DownReason::NotFound);
        let watched = Arc::new(Watched {
            name: name.clone(),
            inner: Mutex::new(inner),
        });
        let watches = all.by_name.entry(name).or_default();
        watches.push(Arc::downgrade(&watched));
        watched
    }

    fn remove(&self, watched: &Arc<Watched>) {
        let mut all = self.0.lock();
        if let Some(watches) = all.by_name.get_mut(&watched.name) {
            watches.retain(|it| !std::ptr::eq(it.as_ptr(), Arc::as_ptr(watched)));
            if watches.is_empty() {
                all.by_name.remove(&watched.name);
            }
        }
    }

    /// The node ends, and with it what it knows.
    pub(crate) fn end(&self) {
        let mut readers = Vec::new();
        {
            let mut all = self.0.lock();
            all.is_over = true;
            for watched in all.by_name.values().flatten().filter_map(Weak::upgrade) {
                let mut inner = watched.inner.lock();
                inner.is_over = true;
                readers.extend(inner.reader.take());
            }
        }
        readers.into_iter().for_each(contain::wake);
    }
}

impl Node {
    /// Says when a component comes and goes, on this node or elsewhere: its present state first, then each
    /// change.
    ///
    /// ```
    /// use botzilla::{WatchEvent, prelude::*};
    ///
    /// # async fn run(node: Node) -> botzilla::Result<()> {
    /// let mut drive = node.watch("drive")?;
    /// while let Some(event) = drive.next().await {
    ///     match event {
    ///         WatchEvent::Up { incarnation } => println!("drive is up: {incarnation}"),
    ///         WatchEvent::Down { why, .. } => println!("drive is down: {why}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// What is up elsewhere is what this node's copy of the directory says, which goes on while the registry is
    /// away: no restart of it is seen here. A process that is killed is down when its lease of 10 s is over,
    /// and one that ends properly at once. A component that is [rebuilt](crate::Restart) in its place
    /// stays up.
    ///
    /// # Errors
    ///
    /// The name can't be a component's, or this is a short-lived node.
    pub fn watch(&self, name: impl AsRef<str>) -> Result<Watch, WatchError> {
        let name = name.as_ref();
        let bad = |reason: String| WatchError::BadName {
            name: name.to_owned(),
            reason,
        };
        let checked = Name::new(name).map_err(|error| bad(error.to_string()))?;
        if !crate::node::is_registered(name) {
            let reason = "it is the runtime's own, and isn't in the directory";
            return Err(bad(reason.to_owned()));
        }
        if self.inner().config().short_lived {
            return Err(WatchError::ShortLived {
                name: name.to_owned(),
            });
        }
        let watched = self.watchers().add(checked, || self.who_is(name));
        Ok(Watch {
            node: self.clone(),
            watched,
        })
    }

    /// Who has a name may have changed.
    pub(crate) fn look_who_is(&self, name: &str, why: DownReason) {
        self.watchers().look(name, why, || self.who_is(name));
    }

    fn who_is(&self, name: &str) -> Option<Incarnation> {
        let inner = self.inner();
        if let Some(hosted) = inner.hosted_named(name)
            && hosted.is_up()
        {
            return Some(Incarnation {
                node: self.id(),
                count: hosted.count,
            });
        }
        let located = inner.directory().get(name)?;
        // What is here, this node knows better than the registry.
        (located.place.id != self.id()).then(|| Incarnation {
            node: located.place.id,
            count: located.count,
        })
    }
}
