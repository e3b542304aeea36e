//! A component's end of a stream.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::EndCode;

use super::{
    PublishError, Qos, SendError, TrySendError,
    after::After,
    hub::Hub,
    kind::{Kind, Prepared},
    source::{NotYet, Source},
};
use crate::{
    Data, Node,
    deadline::{AS_LONG_AS_CAN_BE, Deadlines},
    hosted::Hosted,
};

/// Publishes the items of one stream. Made by [`Ctx::publish`](crate::Ctx::publish); dropping it ends
/// the stream.
///
/// ```
/// use botzilla::prelude::*;
///
/// #[botzilla::data]
/// pub struct Scan {
///     pub ranges_m: Vec<f32>,
/// }
///
/// #[derive(Default)]
/// struct Lidar {
///     scans: Option<Publisher<Scan>>,
/// }
///
/// #[botzilla::component]
/// impl Lidar {
///     #[botzilla::on_start]
///     fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), botzilla::PublishError> {
///         self.scans = Some(ctx.publish("scan", Qos::latest())?);
///         ctx.every(std::time::Duration::from_millis(100), |lidar, _| {
///             if let Some(scans) = &lidar.scans {
///                 // A stream of latest items is never full.
///                 let _ = scans.try_send(Scan { ranges_m: vec![1.0; 360] });
///             }
///         });
///         Ok(())
///     }
/// }
/// ```
pub struct Publisher<T> {
    source: Arc<Source>,
    node: Node,
    deadlines: Arc<Deadlines>,
    _items: PhantomData<fn(T)>,
}

impl<T: Data + Sync> Publisher<T> {
    pub(crate) fn new(
        node: &Node,
        hosted: &Arc<Hosted>,
        stream: &str,
        qos: Qos,
    ) -> Result<Self, PublishError> {
        let hub = node.streams_hub();
        let source = hub.publish(hosted, stream, qos, Kind::of::<T>())?;
        // From here on it is retired however this ends.
        let publisher = Self {
            source,
            node: node.clone(),
            deadlines: Arc::clone(node.deadlines()),
            _items: PhantomData,
        };
        match hub.announce(node, hosted) {
            Ok(()) => Ok(publisher),
            Err(error) => Err(PublishError::TooMuch {
                stream: stream.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// Publishes an item. It waits only in a reliable stream that has a full subscriber: until that
    /// has room, or is cut off. A wait of a second and more is logged, with who is full. Where items
    /// are large, whatever else is to be done on its thread goes first: each takes a while to encode.
    ///
    /// # Errors
    ///
    /// The item can't be encoded, or is too large, or the component has ended, or this would wait for
    /// itself: nobody got it. What keeps an item from some subscribers alone ([`Qos`] lists it) is told
    /// to those, and no error here.
    ///
    /// # Cancel safety
    ///
    /// An item is given to all subscribers at once. Dropped while it waits, nobody got it.
    pub async fn send(&self, item: T) -> Result<(), SendError> {
        if self.source.count_unheard() {
            return Ok(());
        }
        self.put(Arc::new(item), None).await
    }

    /// The same with an item that is shared already: subscribers of this process share it, too.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub async fn send_shared(&self, item: Arc<T>) -> Result<(), SendError> {
        if self.source.count_unheard() {
            return Ok(());
        }
        self.put(item, None).await
    }

    /// Publishes an item, and waits for full subscribers only so long.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), or a subscriber was full all that time. The item comes back.
    pub async fn send_within(&self, item: T, time: Duration) -> Result<(), TrySendError<T>> {
        if self.source.count_unheard() {
            return Ok(());
        }
        let now = Instant::now();
        let until = now.checked_add(time);
        let until = until.unwrap_or_else(|| now + AS_LONG_AS_CAN_BE);
        let item = Arc::new(item);
        let put = self.put(Arc::clone(&item), Some(until)).await;
        put.map_err(|error| alone(item, error))
    }

    async fn put(&self, item: Arc<T>, deadline: Option<Instant>) -> Result<(), SendError> {
        let source = &self.source;
        if source.is_heavy() {
            // Who publishes one image after the other and never has to wait for room would keep the
            // thread to itself, and what the node says to others, that it is there, comes from there.
            tokio::task::yield_now().await;
        }
        let mut item = Prepared::new(item);
        let mut since = None;
        loop {
            let mut room = std::pin::pin!(source.room());
            room.as_mut().enable();
            let tried = source.attempt(&mut item, &mut After::default());
            let full = match tried {
                Ok(()) => return Ok(()),
                Err(NotYet::Failed(error)) => return Err(error),
                Err(NotYet::Full(full)) if full.is_cycle => return Err(source.cycle_error(&full)),
                Err(NotYet::Full(full)) => full,
            };
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(source.full_error());
            }
            let again = source.complain(&full, *since.get_or_insert(now), now);
            let times = [full.until, deadline].into_iter().flatten();
            // Whichever comes: the next attempt finds out.
            let _ = self
                .deadlines
                .within(times.fold(again, Ord::min), room)
                .await;
        }
    }

    /// Publishes an item if it need not wait for anybody. In a stream of latest items it never needs
    /// to.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), or a reliable subscriber is full. The item comes back.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        if self.source.count_unheard() {
            return Ok(());
        }
        let item = Arc::new(item);
        self.try_put(&item).map_err(|error| alone(item, error))
    }

    /// The same with an item that is shared already: subscribers of this process share it, too.
    ///
    /// # Errors
    ///
    /// As for [`try_send`](Self::try_send).
    pub fn try_send_shared(&self, item: Arc<T>) -> Result<(), TrySendError<Arc<T>>> {
        if self.source.count_unheard() {
            return Ok(());
        }
        self.try_put(&item)
            .map_err(|error| TrySendError { item, error })
    }

    fn try_put(&self, item: &Arc<T>) -> Result<(), SendError> {
        let mut prepared = Prepared::new(Arc::clone(item) as _);
        let tried = self.source.attempt(&mut prepared, &mut After::default());
        match tried {
            Ok(()) => Ok(()),
            Err(NotYet::Failed(error)) => Err(error),
            Err(NotYet::Full(_)) => Err(self.source.full_error()),
        }
    }
}

/// Gives back an item that wasn't published.
fn alone<T>(item: Arc<T>, error: SendError) -> TrySendError<T> {
    match Arc::into_inner(item) {
        Some(item) => TrySendError { item, error },
        None => unreachable!("an item that wasn't published is nobody else's"),
    }
}

impl<T> Publisher<T> {
    /// The stream's name, as `component/stream`.
    pub fn name(&self) -> &str {
        self.source.name().text()
    }

    /// How many items were published, whoever got them.
    pub fn published(&self) -> u64 {
        self.source.published()
    }

    /// Whether an item would be more than counted: somebody subscribes, or items are kept for who
    /// subscribes later. So cheap that it can be asked before an item is made.
    pub fn is_heard(&self) -> bool {
        self.source.is_heard()
    }

    /// How many subscribers there are now.
    pub fn subscribers(&self) -> usize {
        self.source.subscribers()
    }

    fn hub(&self) -> &Arc<Hub> {
        self.node.streams_hub()
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        let hub = self.hub();
        hub.retire(&self.source, EndCode::PublisherGone);
        // It is less than before, so it is never too much.
        let _ = hub.announce(&self.node, &self.source.hosted);
    }
}

impl<T> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("stream", &self.name())
            .finish_non_exhaustive()
    }
}
