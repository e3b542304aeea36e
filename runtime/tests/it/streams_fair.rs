//! What one subscriber can't get is nobody else's trouble, and it is told; and what publishing costs
//! it costs once.

use std::sync::{
    Arc, LazyLock, Mutex,
    atomic::{AtomicU64, Ordering},
};

use botzilla::{
    Ctx, Limits, Node, NodeConfig, PublishError, Publisher, Qos, StreamError, StreamReason,
    Subscription,
};
use tokio::sync::mpsc;

use crate::{
    streams::{Tick, next, publish, tick},
    streams_between::{camera, image},
    world::{PATIENCE, SOON, config, node, registry, run, run_apart, started, two, until},
};

#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
struct Reading {
    n: u64,
    x: f64,
}

fn reading(n: u64, x: f64) -> Reading {
    Reading { n, x }
}

struct Meter(mpsc::Sender<Publisher<Reading>>, Qos);

#[botzilla::component]
impl Meter {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let publisher = ctx.publish("reading", self.1)?;
        let _ = self.0.try_send(publisher);
        Ok(())
    }
}

async fn meter(node: &Node, qos: Qos) -> Publisher<Reading> {
    let (publishers, mut made) = mpsc::channel(1);
    let meter = move || Meter(publishers.clone(), qos);
    node.spawn("meter", meter).await.unwrap();
    made.recv().await.unwrap()
}

async fn error<T: std::fmt::Debug>(items: &mut Subscription<T>) -> StreamError {
    let item = tokio::time::timeout(PATIENCE, items.next()).await.unwrap();
    item.unwrap().unwrap_err()
}

#[test]
fn what_json_can_not_carry_concerns_only_those_who_read_json() {
    run(async {
        let (registry, one, two) = two().await;
        let readings = meter(&one, Qos::reliable()).await;
        let mut typed = [
            one.subscribe::<Reading>("meter/reading").await.unwrap(),
            two.subscribe::<Reading>("meter/reading").await.unwrap(),
        ];
        let mut tools = [
            one.subscribe_json("meter/reading").await.unwrap(),
            two.subscribe_json("meter/reading").await.unwrap(),
        ];
        until(|| readings.subscribers() == 4).await;
        readings.send(reading(0, 1.5)).await.unwrap();
        readings.send(reading(1, f64::INFINITY)).await.unwrap();
        readings.send(reading(2, f64::INFINITY)).await.unwrap();
        for tool in &mut tools {
            let item = tool.next().await.unwrap().unwrap();
            assert_eq!((item.seq(), &item["n"]), (0, &0.into()));
            let error = error(tool).await;
            let is_said = matches!(error.reason(), StreamReason::CannotEncode(_));
            assert!(is_said && error.to_string().contains("item 1: "), "{error}");
        }
        until(|| readings.subscribers() == 4).await;
        readings.send(reading(3, 2.5)).await.unwrap();
        for tool in &mut tools {
            let item = tool.next().await.unwrap().unwrap();
            assert_eq!(
                (item.seq(), item.missed()),
                (3, 2),
                "what it didn't get is counted"
            );
        }
        for items in &mut typed {
            for n in 0..4 {
                let item = items.next().await.unwrap().unwrap();
                assert_eq!((item.n, item.missed()), (n, 0));
                assert_eq!(item.x.is_infinite(), n == 1 || n == 2);
            }
        }
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_kept_item_that_json_can_not_carry_is_said_to_who_wants_it_and_the_next_one_comes() {
    run(async {
        let node = Node::start(NodeConfig::in_process()).await.unwrap();
        let readings = meter(&node, Qos::reliable().keep_last(2)).await;
        readings.send(reading(0, 1.5)).await.unwrap();
        readings.send(reading(1, f64::NAN)).await.unwrap();
        let tool = node.subscribe_json("meter/reading").keep_last(2);
        let mut tool = tool.await.unwrap();
        let error = error(&mut tool).await;
        let is_said = matches!(error.reason(), StreamReason::CannotEncode(_));
        assert!(
            is_said && error.to_string().contains("item 1, which was kept"),
            "{error}"
        );
        readings.send(reading(2, 2.5)).await.unwrap();
        let item = tool.next().await.unwrap().unwrap();
        assert_eq!(item["n"], 2);
        node.shutdown(SOON).await;
    });
}

#[test]
fn an_item_larger_than_a_subscribers_node_takes_is_said_to_that_one_alone() {
    run_apart(async {
        let registry = registry().await;
        let one = node(registry.address()).await;
        let mut limits = Limits::default();
        limits.stream_payload = 1 << 20;
        let small = started(config(registry.address()).limits(limits)).await;
        let images = camera(&one, "camera", Qos::reliable()).await;
        let subscribe = || small.subscribe::<crate::streams_between::Image>("camera/image");
        let mut far = subscribe().await.unwrap();
        let mut near = one.subscribe("camera/image").await.unwrap();
        until(|| images.subscribers() == 2).await;
        for n in 0..20 {
            let len = if n == 0 { 1000 } else { 2 << 20 };
            images.send(image(n, len)).await.unwrap();
        }
        assert_eq!(far.next().await.unwrap().unwrap().n, 0);
        let error = error(&mut far).await;
        let is_said = matches!(error.reason(), StreamReason::TooLarge(_));
        let text = error.to_string();
        assert!(
            is_said && text.contains("item 1: ") && text.contains("takes 1048576"),
            "{text}"
        );
        until(|| images.subscribers() == 2).await;
        images.send(image(20, 1000)).await.unwrap();
        let item = far.next().await.unwrap().unwrap();
        assert_eq!((item.n, item.missed()), (20, 19));
        for n in 0..=20 {
            let item = near.next().await.unwrap().unwrap();
            let item: &crate::streams_between::Image = &item;
            assert_eq!(item.n, n);
        }
        for node in [&one, &small] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

/// An item with a `Serialize` that counts, and that asks its own publisher.
#[derive(Clone, Debug, schemars::JsonSchema)]
struct Odd(u64);

static SERIALIZED: AtomicU64 = AtomicU64::new(0);
static ODD: LazyLock<Mutex<Option<Arc<Publisher<Odd>>>>> = LazyLock::new(Mutex::default);

fn odd() -> Option<Arc<Publisher<Odd>>> {
    ODD.lock().unwrap().clone()
}

impl serde::Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SERIALIZED.fetch_add(1, Ordering::Relaxed);
        // Takes the stream's lock: held already, this would never come back.
        let _ = odd().map(|publisher| publisher.subscribers());
        serializer.serialize_u64(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

struct OddSource;

#[botzilla::component]
impl OddSource {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let publisher = ctx.publish("odd", Qos::reliable().keep_last(2))?;
        *ODD.lock().unwrap() = Some(Arc::new(publisher));
        Ok(())
    }
}

#[test]
fn an_item_is_serialized_once_an_encoding_and_outside_of_all_locks() {
    run_apart(async {
        let (registry, one, two) = two().await;
        one.spawn("odd", || OddSource).await.unwrap();
        let odds = odd().unwrap();
        odds.send(Odd(0)).await.unwrap();
        odds.send(Odd(1)).await.unwrap();
        assert_eq!(SERIALIZED.load(Ordering::Relaxed), 0, "nobody wants bytes");
        // What is kept is encoded for the first who wants it, and that is kept, too.
        let mut typed = Vec::new();
        for _ in 0..4 {
            let items = two.subscribe::<Odd>("odd/odd").keep_last(2);
            typed.push(items.await.unwrap());
            until(|| odds.subscribers() == typed.len()).await;
        }
        assert_eq!(SERIALIZED.load(Ordering::Relaxed), 2);
        let near = one.subscribe::<Odd>("odd/odd").await.unwrap();
        for n in 2..12 {
            odds.send(Odd(n)).await.unwrap();
        }
        assert_eq!(SERIALIZED.load(Ordering::Relaxed), 12);
        let mut tools = Vec::new();
        for node in [&one, &two, &two] {
            tools.push(node.subscribe_json("odd/odd").await.unwrap());
        }
        until(|| odds.subscribers() == 8).await;
        odds.send(Odd(12)).await.unwrap();
        assert_eq!(
            SERIALIZED.load(Ordering::Relaxed),
            14,
            "once as bincode, once as JSON"
        );
        for items in &mut typed {
            for n in 0..13 {
                assert_eq!(items.next().await.unwrap().unwrap().0, n);
            }
        }
        for tool in &mut tools {
            assert_eq!(*tool.next().await.unwrap().unwrap(), 12);
        }
        drop((near, odds));
        *ODD.lock().unwrap() = None;
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_burst_of_try_send_is_taken_as_far_as_there_is_room_and_nothing_of_it_is_lost() {
    run(async {
        let (registry, one, two) = two().await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable().depth(8)).await;
        let mut near = one.subscribe::<Tick>("clock/tick").await.unwrap();
        let mut far = two.subscribe::<Tick>("clock/tick").await.unwrap();
        let mut newest = one.subscribe::<Tick>("clock/tick").latest(2).await.unwrap();
        until(|| ticks.subscribers() == 3).await;
        let (mut sent, mut read, mut refused) = (0, 0, 0);
        while read < 3000 {
            if sent < 3000 {
                match ticks.try_send(tick(sent)) {
                    Ok(()) => {
                        sent += 1;
                        continue;
                    }
                    Err(full) => {
                        assert!(full.is_full() && full.item == tick(sent));
                        refused += 1;
                    }
                }
            }
            for items in [&mut near, &mut far] {
                let item = next(items).await;
                assert_eq!((item.n, item.missed()), (read, 0));
            }
            read += 1;
        }
        assert!(refused > 0, "a burst is more than there is room for");
        let first = next(&mut newest).await;
        assert_eq!((first.n, first.missed()), (2998, 2998));
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}
