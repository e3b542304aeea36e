//! One item of a stream, as a subscriber gets it.

use std::{
    any::Any,
    fmt,
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::{Encoding, NodeId};
use bytes::Bytes;

use super::name::StreamName;

/// A value of whatever type, shared by all subscribers of its process.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

/// Where items come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) name: StreamName,
    pub(crate) node: NodeId,
}

/// An item, with what a subscriber should know of it.
///
/// It can be used as the value that it holds. Within a process the value is shared: nothing was
/// serialized or copied.
///
/// ```
/// # use botzilla::prelude::*;
/// # #[botzilla::data]
/// # pub struct Scan { ranges_m: Vec<f32> }
/// # async fn read(node: Node) -> botzilla::Result<()> {
/// let mut scans = node.subscribe::<Scan>("lidar/scan").latest(1).await?;
/// while let Some(scan) = scans.next().await {
///     let scan = scan?;
///     if scan.missed() > 0 {
///         println!("{} scans were lost before number {}", scan.missed(), scan.seq());
///     }
///     println!("{} ranges, {:?} old", scan.ranges_m.len(), scan.age());
/// }
/// # Ok(()) }
/// ```
pub struct Item<T> {
    value: Arc<T>,
    seq: u64,
    missed: u64,
    thinned: u64,
    restarted: bool,
    published: Instant,
    from: Arc<Origin>,
}

impl<T> Item<T> {
    pub(crate) fn new(value: Arc<T>, entry: &Entry) -> Self {
        Self {
            value,
            seq: entry.seq,
            missed: entry.missed,
            thinned: entry.thinned,
            restarted: entry.restarted,
            published: entry.published,
            from: Arc::clone(&entry.from),
        }
    }

    /// Its number in the stream: they count up from 0 in each life of the publisher.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// How many items before it this subscriber should have got, and didn't.
    ///
    /// After a connection was lost that is each item of the time without one: which of them the
    /// publisher would have left out for the subscriber's rate nobody knows.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// How many items before it were left out because this subscriber asked for fewer.
    pub fn thinned(&self) -> u64 {
        self.thinned
    }

    /// Whether the publisher began anew since the item before. What the earlier one published at
    /// last may be lost, and nobody can count it: [`missed`](Self::missed) has what is known.
    pub fn restarted(&self) -> bool {
        self.restarted
    }

    /// The time since it was published. Between machines the time on the wire isn't in it: their
    /// clocks aren't compared.
    pub fn age(&self) -> Duration {
        self.published.elapsed()
    }

    /// The stream that it comes from, as `component/stream`.
    pub fn stream(&self) -> &str {
        self.from.name.text()
    }

    /// The component that published it.
    pub fn component(&self) -> &str {
        self.from.name.component()
    }

    /// The node that the component runs on.
    pub fn node(&self) -> NodeId {
        self.from.node
    }

    pub(crate) fn origin(&self) -> &Arc<Origin> {
        &self.from
    }

    /// The value, shared with the other subscribers of this process.
    pub fn shared(&self) -> &Arc<T> {
        &self.value
    }

    /// The value alone, shared with the other subscribers of this process.
    pub fn into_shared(self) -> Arc<T> {
        self.value
    }

    /// The value alone; it is cloned if others in this process have it too.
    pub fn into_value(self) -> T
    where
        T: Clone,
    {
        Arc::unwrap_or_clone(self.value)
    }
}

impl<T> Deref for Item<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Clone for Item<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            from: Arc::clone(&self.from),
            ..*self
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Item<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("stream", &self.stream())
            .field("seq", &self.seq)
            .field("missed", &self.missed)
            .field("thinned", &self.thinned)
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

/// What an item is before a subscriber takes it.
pub(crate) enum Body {
    /// Published in this process, for a subscriber of the same type.
    Shared(Shared),
    /// Bytes: decoded when, where and if the subscriber takes it.
    Encoded(Encoding, Bytes),
}

impl Body {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Shared(_) => 0,
            Self::Encoded(_, bytes) => bytes.len(),
        }
    }
}

/// An item that waits for its subscriber.
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) missed: u64,
    pub(crate) thinned: u64,
    pub(crate) restarted: bool,
    pub(crate) published: Instant,
    pub(crate) from: Arc<Origin>,
    pub(crate) body: Body,
    /// The place at a publisher that it came through.
    pub(crate) feed: u64,
}
