//! Whatever a subscriber didn't get it is told of, a stream handler no less.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use botzilla::{
    Ctx, Item, Node, NodeConfig, Qos, StreamError, StreamReason, Subscription, WhenFull,
};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::Semaphore;

use crate::{
    streams::{Tick, next, publish, tick},
    world::{PATIENCE, SOON, config, registry, run, started, two, until},
};

const CUTS: WhenFull = WhenFull::CutOff {
    after: Duration::from_millis(5),
};

/// What handlers have accounted for, and what lets them go on.
struct Tally {
    items: AtomicU64,
    errors: AtomicU64,
    last: AtomicU64,
    turns: Semaphore,
}

impl Tally {
    fn new(turns: usize) -> Arc<Self> {
        Arc::new(Self {
            items: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            last: AtomicU64::new(0),
            turns: Semaphore::new(turns),
        })
    }

    async fn turn(&self) {
        self.turns.acquire().await.unwrap().forget();
    }

    fn item<T>(&self, item: &Item<T>) {
        let accounted = 1 + item.missed() + item.thinned();
        self.items.fetch_add(accounted, Ordering::SeqCst);
        self.last.store(item.seq(), Ordering::SeqCst);
    }
}

struct Plain(Arc<Tally>);

#[botzilla::component]
impl Plain {
    #[botzilla::handler(stream = "clock/tick", reliable, depth = 2)]
    async fn on_tick(&mut self, tick: Item<Tick>) {
        self.0.turn().await;
        self.0.item(&tick);
    }
}

struct Hears(Arc<Tally>);

#[botzilla::component]
impl Hears {
    #[botzilla::handler(stream = "clock/tick", reliable, depth = 2)]
    async fn on_tick(&mut self, tick: Result<Item<Tick>, StreamError>, ctx: &Ctx<Self>) {
        self.0.turn().await;
        match tick {
            Ok(tick) => {
                assert_eq!(ctx.sender(), Some("clock"));
                self.0.item(&tick);
            }
            Err(error) => {
                let &StreamReason::CutOff { missed, .. } = error.reason() else {
                    panic!("{error}");
                };
                self.0.items.fetch_add(missed, Ordering::SeqCst);
                self.0.errors.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// Has a handler on `there` cut off by a publisher on `here`: what came, and what it was told of.
async fn cut_off(here: &Node, there: &Node, hears: bool) {
    let qos = Qos::reliable().when_full(CUTS);
    let (ticks, _made) = publish(here, "clock", "tick", qos).await;
    let tally = Tally::new(0);
    let given = tally.clone();
    let spawned = if hears {
        there.spawn("watch", move || Hears(given.clone())).await
    } else {
        there.spawn("watch", move || Plain(given.clone())).await
    };
    spawned.unwrap();
    until(|| ticks.subscribers() == 1).await;
    for n in 0..1000 {
        ticks.send(tick(n)).await.unwrap();
    }
    assert_eq!(ticks.subscribers(), 0);
    tally.turns.add_permits(1_000_000);
    until(|| ticks.subscribers() == 1).await;
    ticks.send(tick(1000)).await.unwrap();
    until(|| tally.last.load(Ordering::SeqCst) == 1000).await;
    assert_eq!(tally.items.load(Ordering::SeqCst), 1001);
    let errors = tally.errors.load(Ordering::SeqCst);
    assert_eq!(errors > 0, hears, "{errors}");
    here.shutdown(SOON).await;
    there.shutdown(SOON).await;
}

#[test]
fn a_handler_here_that_is_cut_off_is_told_of_each_item_that_it_missed() {
    run(async {
        for hears in [false, true] {
            let node = Node::start(NodeConfig::in_process()).await.unwrap();
            cut_off(&node, &node, hears).await;
        }
    });
}

#[test]
fn a_handler_elsewhere_that_is_cut_off_is_told_of_each_item_that_it_missed() {
    run(async {
        for hears in [false, true] {
            let (registry, one, two) = two().await;
            cut_off(&one, &two, hears).await;
            registry.shutdown(SOON).await;
        }
    });
}

/// A number that can be read only if it is even.
#[derive(Clone, Debug, PartialEq, schemars::JsonSchema)]
struct Even(u64);

impl Serialize for Even {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = u64::deserialize(deserializer)?;
        if n % 2 == 0 {
            Ok(Self(n))
        } else {
            Err(serde::de::Error::custom("odd"))
        }
    }
}

/// A [`Tick`] on the wire.
#[botzilla::data]
#[derive(Clone, Debug)]
struct Picky {
    n: Even,
    note: String,
}

struct PickyPlain(Arc<Tally>);

#[botzilla::component]
impl PickyPlain {
    #[botzilla::handler(stream = "clock/tick", latest = 2, keep_last = 1)]
    fn on_tick(&mut self, tick: &Item<Picky>) {
        self.0.item(tick);
    }
}

struct PickyHears(Arc<Tally>);

#[botzilla::component]
impl PickyHears {
    #[botzilla::handler(stream = "clock/tick", latest = 2, keep_last = 1)]
    fn on_tick(&mut self, tick: Result<Item<Picky>, StreamError>) {
        match tick {
            Ok(tick) => self.0.item(&tick),
            Err(error) => {
                let codec = matches!(error.reason(), StreamReason::Codec { .. });
                assert!(codec, "{error}");
                self.0.errors.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

#[test]
fn an_item_that_can_not_be_read_hides_no_gap_before_it() {
    run(async {
        let node = Node::start(NodeConfig::in_process()).await.unwrap();
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::latest().keep_last(1)).await;
        // Kept for the handlers, and no more.
        ticks.try_send(tick(0)).unwrap();
        let (plain, hears) = (Tally::new(0), Tally::new(0));
        let given = plain.clone();
        node.spawn("plain", move || PickyPlain(given.clone()))
            .await
            .unwrap();
        let given = hears.clone();
        node.spawn("hears", move || PickyHears(given.clone()))
            .await
            .unwrap();
        let picky = node.subscribe::<Picky>("clock/tick").latest(2);
        let mut picky = picky.await.unwrap();
        let accounted = |tally: &Tally| tally.items.load(Ordering::SeqCst);
        until(|| accounted(&plain) == 1 && accounted(&hears) == 1).await;
        // Two wait, the first of them odd: it knows of the two before it.
        for n in 1..5 {
            ticks.try_send(tick(n)).unwrap();
        }
        let error = picky.next().await.unwrap().unwrap_err();
        assert!(matches!(error.reason(), StreamReason::Codec { seq: 3, .. }));
        assert_eq!((picky.received(), picky.missed()), (0, 0));
        let item = picky.next().await.unwrap().unwrap();
        assert_eq!((item.seq(), item.missed()), (4, 2));
        assert_eq!((picky.received(), picky.missed()), (1, 2));
        until(|| hears.last.load(Ordering::SeqCst) == 4).await;
        until(|| plain.last.load(Ordering::SeqCst) == 4).await;
        // It has heard of the odd one; the other is told that it was missed.
        assert_eq!((accounted(&hears), accounted(&plain)), (4, 5));
        assert_eq!(hears.errors.load(Ordering::SeqCst), 1);
        node.shutdown(SOON).await;
    });
}

async fn cut_off_error(ticks: &mut Subscription<Tick>) {
    let error = ticks.next().await.unwrap().unwrap_err();
    let cut_off = matches!(error.reason(), StreamReason::CutOff { .. });
    assert!(cut_off, "{error}");
}

#[test]
fn a_pattern_that_is_not_to_subscribe_again_leaves_out_only_the_stream_that_cut_it_off() {
    run(async {
        let node = Node::start(NodeConfig::in_process()).await.unwrap();
        let qos = Qos::reliable().depth(1).when_full(CUTS);
        let (ticks, _made) = publish(&node, "clock", "tick", qos).await;
        let once = node.subscribe::<Tick>("*/tick").resubscribe(false);
        let mut once = once.await.unwrap();
        let mut again = node.subscribe::<Tick>("*/tick").await.unwrap();
        ticks.send(tick(0)).await.unwrap();
        ticks.send(tick(1)).await.unwrap();
        assert_eq!(ticks.subscribers(), 0);
        for subscription in [&mut once, &mut again] {
            assert_eq!(next(subscription).await.n, 0);
            cut_off_error(subscription).await;
        }
        // Both were looked for again, the first one first.
        until(|| ticks.subscribers() == 1).await;
        let (other, _made) = publish(&node, "other", "tick", Qos::reliable()).await;
        until(|| other.subscribers() == 2).await;
        assert_eq!(ticks.subscribers(), 1);
        assert_eq!(once.publishers(), ["other/tick"]);
        other.send(tick(7)).await.unwrap();
        assert_eq!(next(&mut once).await.n, 7);
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_publisher_that_can_not_be_connected_with_is_told_once_and_tried_on() {
    run(async {
        let registry = registry().await;
        // Neither can reach the other.
        let nowhere = || config(registry.address()).advertise(["127.0.0.1:1".to_owned()]);
        let one = started(nowhere()).await;
        let two = started(nowhere()).await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable()).await;
        let mut far = two.subscribe::<Tick>("clock/tick").await.unwrap();
        let error = tokio::time::timeout(PATIENCE, far.next()).await.unwrap();
        let error = error.unwrap().unwrap_err();
        let StreamReason::Unreachable { addresses, .. } = error.reason() else {
            panic!("{error}");
        };
        assert_eq!(addresses, &["127.0.0.1:1"]);
        assert!(error.to_string().contains("127.0.0.1:1: "), "{error}");
        assert_eq!(ticks.subscribers(), 0);
        // Elsewhere it can be reached, and nothing more is said of it.
        one.shutdown(SOON).await;
        let third = crate::world::node(registry.address()).await;
        let (moved, _made) = publish(&third, "clock", "tick", Qos::reliable()).await;
        until(|| moved.subscribers() == 1).await;
        moved.send(tick(3)).await.unwrap();
        assert_eq!(next(&mut far).await.n, 3);
        for node in [&two, &third] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}
