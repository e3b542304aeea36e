//! Publishers and subscribers that do as they are asked, in this process or another.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use botzilla::{Ctx, Later, Node, Publisher, Qos, WhenFull};
use parking_lot::Mutex;

use crate::{
    streams_between::{Image, image},
    world::{PATIENCE, found},
};

// ---- Feed: publishes ----------------------------------------------------------------------------

/// Begins a reliable stream of [`Image`]s; their `n` is their number.
#[botzilla::message]
#[derive(Clone)]
pub(crate) struct Begin {
    pub(crate) stream: String,
    pub(crate) depth: u32,
    /// None: who is full is waited for.
    pub(crate) cut_off_ms: Option<u64>,
    /// So many are published before anybody can have heard of the stream.
    pub(crate) unheard: u64,
}

/// Publishes, and answers when all is published.
#[botzilla::message(reply = Emitted)]
#[derive(Clone)]
pub(crate) struct Emit {
    pub(crate) stream: String,
    pub(crate) bytes: u64,
    pub(crate) bursts: u64,
    /// Items of each burst.
    pub(crate) items: u64,
    /// From one burst to the next; who is late makes up for it.
    pub(crate) every_us: u64,
    /// With `try_send`, and again for as long as it says that a subscriber is full.
    pub(crate) tries: bool,
}

/// What became of a stream so far.
#[botzilla::message(reply = Emitted)]
pub(crate) struct Progress {
    pub(crate) stream: String,
}

impl Begin {
    pub(crate) fn waiting(stream: &str, depth: u32) -> Self {
        Self {
            stream: stream.to_owned(),
            depth,
            cut_off_ms: None,
            unheard: 0,
        }
    }
}

impl Emit {
    /// Items of so many bytes, in so many bursts of so many.
    pub(crate) fn paced(stream: &str, bytes: u64, bursts: (u64, u64), every_us: u64) -> Self {
        Self {
            stream: stream.to_owned(),
            bytes,
            bursts: bursts.0,
            items: bursts.1,
            every_us,
            tries: false,
        }
    }
}

#[botzilla::data]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Emitted {
    pub(crate) published: u64,
    pub(crate) subscribers: u64,
    /// How often an item came back as a subscriber was full.
    pub(crate) full: u64,
    pub(crate) error: Option<String>,
}

#[derive(Default)]
pub(crate) struct Feed {
    streams: BTreeMap<String, Arc<Output>>,
}

struct Output {
    publisher: Publisher<Image>,
    full: AtomicU64,
}

impl Output {
    fn report(&self, error: Option<String>) -> Emitted {
        Emitted {
            published: self.publisher.published(),
            subscribers: self.publisher.subscribers() as u64,
            full: self.full.load(SeqCst),
            error,
        }
    }

    async fn emit(&self, emit: &Emit) -> Result<(), String> {
        let began = Instant::now();
        let every = Duration::from_micros(emit.every_us);
        let bytes = usize::try_from(emit.bytes).unwrap();
        for burst in 0..emit.bursts {
            let due = began + every * u32::try_from(burst).unwrap();
            tokio::time::sleep_until(due.into()).await;
            for _ in 0..emit.items {
                let item = image(self.publisher.published(), bytes);
                if emit.tries {
                    self.try_until_sent(item).await?;
                } else {
                    let sent = self.publisher.send(item).await;
                    sent.map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(())
    }

    async fn try_until_sent(&self, mut item: Image) -> Result<(), String> {
        let given = item.clone();
        while let Err(refused) = self.publisher.try_send(item) {
            if !refused.is_full() || refused.item != given {
                return Err(refused.to_string());
            }
            item = refused.item;
            self.full.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

#[botzilla::component]
impl Feed {
    #[botzilla::handler]
    fn begin(&mut self, msg: Begin, ctx: &Ctx<Self>) {
        let after = msg.cut_off_ms.map(Duration::from_millis);
        let when_full = after.map_or(WhenFull::Wait, |after| WhenFull::CutOff { after });
        let qos = Qos::reliable().depth(msg.depth).when_full(when_full);
        let publisher: Publisher<Image> = ctx.publish(&msg.stream, qos).unwrap();
        // The node's thread is here: it has told nobody yet.
        for n in 0..msg.unheard {
            publisher.try_send(image(n, 100)).unwrap();
        }
        let full = AtomicU64::new(0);
        let output = Output { publisher, full };
        self.streams.insert(msg.stream, Arc::new(output));
    }

    #[botzilla::handler]
    fn emit(&mut self, msg: Emit, ctx: &Ctx<Self>) -> Later<Emitted> {
        let (replier, later) = ctx.reply_later();
        let output = Arc::clone(&self.streams[&msg.stream]);
        ctx.spawn(async move {
            let error = output.emit(&msg).await.err();
            replier.reply(output.report(error));
        });
        later
    }

    #[botzilla::handler]
    fn progress(&mut self, msg: Progress) -> Emitted {
        self.streams[&msg.stream].report(None)
    }
}

/// Begins a stream of a [`Feed`] that was found.
pub(crate) async fn begin(node: &Node, feed: &str, begin: Begin) {
    let feed = found(node, feed).await;
    feed.ask(begin).await.unwrap();
}

pub(crate) async fn progress(node: &Node, feed: &str, stream: &str) -> Emitted {
    let stream = stream.to_owned();
    let progress = node.component(feed).ask(Progress { stream });
    progress.await.unwrap()
}

/// Asks until a stream has as many subscribers.
pub(crate) async fn until_heard(node: &Node, feed: &str, stream: &str, subscribers: u64) {
    while progress(node, feed, stream).await.subscribers != subscribers {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Has items published, and waits for that.
pub(crate) async fn emit(node: &Node, feed: &str, emit: Emit) -> Emitted {
    let emitted = node.component(feed).ask(emit).within(PATIENCE);
    let emitted = emitted.await.unwrap();
    assert_eq!(emitted.error, None);
    emitted
}

// ---- Taker: subscribes --------------------------------------------------------------------------

/// Subscribes, and reads all that comes.
#[botzilla::message]
pub(crate) struct Take {
    pub(crate) stream: String,
    pub(crate) depth: u32,
}

/// What has come.
#[botzilla::message(reply = Taken)]
pub(crate) struct HowFar {}

/// Subscribes, waits for an item, and unsubscribes, so many times.
#[botzilla::message]
pub(crate) struct Cycle {
    pub(crate) stream: String,
    pub(crate) times: u64,
}

/// What its process has of streams.
#[botzilla::message(reply = Left)]
pub(crate) struct WhatIsLeft {}

#[botzilla::data]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) received: u64,
    pub(crate) missed: u64,
    pub(crate) restarts: u64,
    /// Items whose number doesn't follow from the one before and what was missed.
    pub(crate) wrong: u64,
    pub(crate) errors: Vec<String>,
    next: u64,
}

impl Taken {
    /// All that are known to have been published.
    pub(crate) fn told(&self) -> u64 {
        self.received + self.missed
    }

    pub(crate) fn take(&mut self, item: &botzilla::Item<Image>) {
        if item.restarted() {
            (self.restarts, self.next) = (self.restarts + 1, 0);
        } else if self.received == 0 {
            self.next = item.seq();
        }
        let follows = item.seq() == self.next + item.missed();
        let is_itself =
            item.n == item.seq() && item.pixels[..] == image(item.n, item.pixels.len()).pixels[..];
        self.wrong += u64::from(!follows || !is_itself);
        self.next = item.seq() + 1;
        self.received += 1;
        self.missed += item.missed();
    }
}

#[botzilla::data]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) subscriptions: u64,
    pub(crate) finders: u64,
    pub(crate) connections: u64,
}

#[derive(Default)]
pub(crate) struct Taker {
    taken: Arc<Mutex<Taken>>,
}

#[botzilla::component]
impl Taker {
    #[botzilla::handler]
    async fn take(&mut self, msg: Take, ctx: &Ctx<Self>) {
        let images = ctx.subscribe::<Image>(msg.stream).reliable();
        let mut images = images.depth(msg.depth).await.unwrap();
        let taken = Arc::clone(&self.taken);
        ctx.spawn(async move {
            while let Some(item) = images.next().await {
                let mut taken = taken.lock();
                match item {
                    Ok(item) => taken.take(&item),
                    Err(error) => taken.errors.push(error.to_string()),
                }
            }
        });
    }

    #[botzilla::handler]
    fn how_far(&mut self, _: HowFar) -> Taken {
        self.taken.lock().clone()
    }

    #[botzilla::handler]
    async fn cycle(&mut self, msg: Cycle, ctx: &Ctx<Self>) {
        for _ in 0..msg.times {
            let mut images = ctx.subscribe::<Image>(&msg.stream).await.unwrap();
            let item = images.next().await.unwrap().unwrap();
            assert_eq!((item.n, item.missed()), (item.seq(), 0));
        }
    }

    #[botzilla::handler]
    fn what_is_left(&mut self, _: WhatIsLeft, ctx: &Ctx<Self>) -> Left {
        what_is_left(ctx.node())
    }
}

pub(crate) fn what_is_left(node: &Node) -> Left {
    Left {
        subscriptions: node.subscriptions() as u64,
        finders: node.stream_finders() as u64,
        connections: node.bulk_connections() as u64,
    }
}

pub(crate) async fn taken(node: &Node, taker: &str) -> Taken {
    node.component(taker).ask(HowFar {}).await.unwrap()
}

/// Asks until a subscriber elsewhere knows of so many items.
pub(crate) async fn until_told(node: &Node, taker: &str, items: u64) -> Taken {
    loop {
        let taken = taken(node, taker).await;
        if taken.told() >= items {
            return taken;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
