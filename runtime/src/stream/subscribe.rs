//! A subscriber's end of streams.

use std::{
    any::TypeId,
    fmt,
    future::IntoFuture,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use botzilla_wire::{Limits, Name, encoding, stream::Mode};
use bytes::Bytes;
use futures_util::Stream;

use super::{
    Item, StreamError, StreamGrant, StreamReason,
    after::After,
    finder,
    inbox::{Inbox, Popped},
    item::{Body, Entry},
    kind::layout_of,
    name::Selector,
    wish::{Form, Wish},
};
use crate::{Data, Node, contain};

/// How often a subscriber may ask for an item at the least: once in this many seconds.
const RAREST: f64 = 1e6;

/// Makes values of what came.
pub(crate) type Decode<T> = fn(Body, &Limits) -> Result<Arc<T>, String>;

/// A subscription that is about to begin: await it.
///
/// What isn't set is as published: the publisher's [`Qos`](crate::Qos) says whether it is reliable
/// and how many items may wait.
#[must_use = "nothing is subscribed to until this is awaited"]
pub struct Subscribe<T> {
    node: Node,
    selector: String,
    wish: Result<Wish, StreamReason>,
    decode: Decode<T>,
}

impl<T: Data + Sync> Subscribe<T> {
    pub(crate) fn typed(node: &Node, selector: String) -> Self {
        Self::new(node, selector, typed_form::<T>(), decode_typed)
    }
}

pub(crate) fn typed_form<T: Data + Sync>() -> Form {
    Form::Typed {
        type_id: TypeId::of::<T>(),
        layout: layout_of::<T>(),
    }
}

impl Subscribe<serde_json::Value> {
    pub(crate) fn json(node: &Node, selector: String) -> Self {
        Self::new(node, selector, Form::Json, decode_typed)
    }
}

impl Subscribe<Bytes> {
    pub(crate) fn raw(node: &Node, selector: String) -> Self {
        Self::new(node, selector, Form::Raw, |body, _| match body {
            Body::Encoded(_, bytes) => Ok(Arc::new(bytes)),
            Body::Shared(_) => Err("it isn't encoded".to_owned()),
        })
    }
}

impl<T> Subscribe<T> {
    fn new(node: &Node, selector: String, form: Form, decode: Decode<T>) -> Self {
        Self {
            node: node.clone(),
            selector,
            wish: Ok(Wish::new(form)),
            decode,
        }
    }

    /// The component that subscribes.
    pub(crate) fn by(self, component: &Name) -> Self {
        self.set(|wish| wish.subscriber = Some(component.clone()))
    }

    fn set(mut self, change: impl FnOnce(&mut Wish)) -> Self {
        if let Ok(wish) = &mut self.wish {
            change(wish);
        }
        self
    }

    /// The newest `items` are kept for this subscriber; the oldest are dropped for newer ones, and the
    /// next says how many it missed. No publisher waits for it.
    pub fn latest(self, items: u32) -> Self {
        self.set(|wish| {
            wish.mode = Some(Mode::Latest);
            wish.depth = items.max(1);
        })
    }

    /// Every item, as far as the publisher is reliable: when this subscriber is full, it waits for
    /// it, or cuts it off.
    pub fn reliable(self) -> Self {
        self.set(|wish| wish.mode = Some(Mode::Reliable))
    }

    /// The newest items, as many as the publisher says; no publisher waits for it. As
    /// [`latest`](Self::latest), for who doesn't know a good number.
    pub fn unreliable(self) -> Self {
        self.set(|wish| wish.mode = Some(Mode::Latest))
    }

    /// How many items may wait for this subscriber; between nodes, at either end: so up to twice as
    /// many in all. What holds without it is told at [`Qos`](crate::Qos).
    pub fn depth(self, items: u32) -> Self {
        self.set(|wish| wish.depth = items.max(1))
    }

    /// At most so many items a second; the others are left out by the publisher and use no network.
    pub fn at_most(mut self, hz: f64) -> Self {
        if hz.is_finite() && hz >= 1.0 / RAREST {
            self.set(|wish| wish.interval = Duration::from_secs_f64(1.0 / hz))
        } else {
            self.wish = Err(StreamReason::BadSetting(format!(
                "at most {hz} items a second; give a rate in Hz, such as 5.0"
            )));
            self
        }
    }

    /// The last `items` of before the subscription, as far as the publisher keeps them.
    pub fn keep_last(self, items: u32) -> Self {
        self.set(|wish| wish.keep_last = items)
    }

    /// Whether to subscribe again after being cut off, which is the default. Otherwise the error is
    /// the last thing that comes; in a pattern, the last of that stream.
    pub fn resubscribe(self, again: bool) -> Self {
        self.set(|wish| wish.resubscribe = again)
    }

    fn begin(self) -> Result<Subscription<T>, StreamError> {
        let Self {
            node,
            selector,
            wish,
            decode,
        } = self;
        let failed = |reason| StreamError::new(&*selector, reason);
        let wish = wish.map_err(failed)?;
        let parsed =
            Selector::parse(&selector).map_err(|reason| failed(StreamReason::BadName(reason)))?;
        let inbox = begin(&node, parsed, wish);
        Ok(Subscription {
            inbox,
            node,
            decode,
        })
    }
}

/// Begins a subscription: what is published here it has at once, the rest is looked for.
pub(crate) fn begin(node: &Node, selector: Selector, wish: Wish) -> Arc<Inbox> {
    let inbox = Inbox::new(selector, wish, node.limits().stream_queue);
    node.streams_hub().join(&inbox);
    finder::find(node, &inbox);
    inbox
}

impl<T: Send + 'static> IntoFuture for Subscribe<T> {
    type Output = Result<Subscription<T>, StreamError>;
    type IntoFuture = std::future::Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        std::future::ready(self.begin())
    }
}

impl<T> fmt::Debug for Subscribe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

/// The items of a stream, or of all that match a pattern, as they come. Made by
/// [`Node::subscribe`]; dropping it ends the subscription.
///
/// It goes on over whatever happens to the publishers; an error in between says what there was, such
/// as that it was cut off. It ends when its node does.
pub struct Subscription<T> {
    inbox: Arc<Inbox>,
    node: Node,
    decode: Decode<T>,
}

impl<T> Subscription<T> {
    /// The next item. `None`: the node has gone down, and nothing comes any more.
    ///
    /// # Errors
    ///
    /// What there is to say besides; items may follow.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was ready, nothing was taken.
    pub async fn next(&mut self) -> Option<Result<Item<T>, StreamError>> {
        std::future::poll_fn(|cx| self.poll_item(cx)).await
    }

    /// The next item if one is there already.
    pub fn try_next(&mut self) -> Option<Result<Item<T>, StreamError>> {
        let waker = std::task::Waker::noop();
        match self.poll_item(&mut Context::from_waker(waker)) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Item<T>, StreamError>>> {
        let popped = self.inbox.pop(cx.waker(), &mut After::default());
        match popped {
            Some(Popped::Item(entry)) => {
                let limits = self.node.limits();
                Poll::Ready(Some(open(&self.inbox, entry, self.decode, limits)))
            }
            Some(Popped::Error(error)) => Poll::Ready(Some(Err(error))),
            None if self.inbox.is_over() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// What was subscribed to.
    pub fn selector(&self) -> &str {
        self.inbox.selector.text()
    }

    /// The streams that items come from now, as `component/stream`.
    pub fn publishers(&self) -> Vec<String> {
        let origins = self.inbox.origins();
        let mut names: Vec<_> = origins.iter().map(|it| it.name.to_string()).collect();
        names.sort_unstable();
        names
    }

    /// What each publisher has granted, as far as they have answered. It may be less than was asked
    /// for: see [`Qos`](crate::Qos).
    pub fn granted(&self) -> Vec<StreamGrant> {
        let granted = self.inbox.granted();
        let mut grants: Vec<_> = granted
            .iter()
            .map(|(origin, granted)| StreamGrant::new(origin, granted))
            .collect();
        grants.sort_unstable_by(|a, b| a.stream.cmp(&b.stream));
        grants
    }

    /// How many items were taken from it.
    pub fn received(&self) -> u64 {
        self.inbox.totals().taken
    }

    /// How many were missed, as those that were taken have told.
    pub fn missed(&self) -> u64 {
        self.inbox.totals().missed
    }

    /// How many were left out for its rate, as those that were taken have told.
    pub fn thinned(&self) -> u64 {
        self.inbox.totals().thinned
    }
}

impl<T> Stream for Subscription<T> {
    type Item = Result<Item<T>, StreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx)
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.inbox.close(&mut After::default());
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("selector", &self.selector())
            .finish_non_exhaustive()
    }
}

/// Makes an item of what waits.
pub(crate) fn open<T>(
    inbox: &Inbox,
    mut entry: Entry,
    decode: Decode<T>,
    limits: &Limits,
) -> Result<Item<T>, StreamError> {
    let nothing = Body::Encoded(botzilla_wire::Encoding::Json, Bytes::new());
    let body = std::mem::replace(&mut entry.body, nothing);
    match decode(body, limits) {
        Ok(value) => Ok(Item::new(value, &entry)),
        Err(reason) => {
            inbox.carry_over(&entry);
            let seq = entry.seq;
            let reason = StreamReason::Codec { seq, reason };
            Err(StreamError::new(entry.from.name.text().as_ref(), reason))
        }
    }
}

pub(crate) fn decode_typed<T>(body: Body, limits: &Limits) -> Result<Arc<T>, String>
where
    T: Data + Sync,
{
    match body {
        Body::Shared(value) => value
            .downcast()
            .map_err(|_| "it is of another type".to_owned()),
        Body::Encoded(encoding, bytes) => {
            contain::catch(|| encoding::decode_shared(encoding, &bytes, limits))
                .map_err(|panicked| format!("its `Deserialize` panicked: {panicked}"))?
                .map(Arc::new)
                .map_err(|error| error.to_string())
        }
    }
}

impl Node {
    /// Subscribes to a stream, `component/stream`, wherever it is published, or to all that match a
    /// pattern, now and later: `*/scan`, `lidar/*`, or `group:base/*` for the components of a group.
    ///
    /// It needs no publisher: items come when there are any. A publisher that is restarted or moves
    /// to another machine is found again, and the next item says so.
    ///
    /// ```
    /// # use botzilla::prelude::*;
    /// # #[botzilla::data]
    /// # pub struct Scan { ranges_m: Vec<f32> }
    /// # async fn read(node: Node) -> botzilla::Result<()> {
    /// let mut scans = node.subscribe::<Scan>("*/scan").latest(4).at_most(5.0).await?;
    /// while let Some(scan) = scans.next().await {
    ///     match scan {
    ///         Ok(scan) => println!("{}: number {}", scan.stream(), scan.seq()),
    ///         Err(error) => eprintln!("{error}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn subscribe<T: Data + Sync>(&self, stream: impl Into<String>) -> Subscribe<T> {
        Subscribe::typed(self, stream.into())
    }

    /// The same for tools, which don't know the type of the items: they come as JSON.
    pub fn subscribe_json(&self, stream: impl Into<String>) -> Subscribe<serde_json::Value> {
        Subscribe::json(self, stream.into())
    }

    /// The same for who wants sizes and rates: the items come as the bytes that travel, unread.
    pub fn subscribe_raw(&self, stream: impl Into<String>) -> Subscribe<Bytes> {
        Subscribe::raw(self, stream.into())
    }

    /// How many subscriptions it has, those of its stream handlers included.
    pub fn subscriptions(&self) -> usize {
        self.streams_hub().subscriptions()
    }

    /// How many tasks look for publishers: one for each subscription.
    #[doc(hidden)]
    pub fn stream_finders(&self) -> usize {
        self.streams_hub().finders()
    }

    /// How many connections for streams it has with other nodes.
    #[doc(hidden)]
    pub fn bulk_connections(&self) -> usize {
        self.streams_hub().links().all().len()
    }

    /// What its components publish, in full.
    pub fn streams(&self) -> Vec<super::StreamReport> {
        self.streams_hub().report()
    }
}
