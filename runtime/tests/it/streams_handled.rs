//! Handlers of streams: items as turns of a component.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use botzilla::{Ctx, Item, Node, NodeConfig, Qos, SpawnError};
use tokio::sync::mpsc;

use crate::{
    streams::{Tick, publish, tick},
    world::{SOON, run, two, until},
};

#[derive(Debug, PartialEq)]
enum Saw {
    Value(u64),
    Borrowed(u64, String),
    Shared(u64),
    Item(u64, u64, String),
}

struct Watcher(mpsc::UnboundedSender<Saw>);

#[botzilla::component]
impl Watcher {
    #[botzilla::handler(stream = "one/tick", reliable, depth = 4)]
    fn value(&mut self, tick: Tick) {
        self.saw(Saw::Value(tick.n));
    }

    #[botzilla::handler(stream = "one/tick")]
    fn borrowed(&self, tick: &Tick, ctx: &Ctx<Self>) {
        let sender = ctx.sender().unwrap().to_owned();
        self.saw(Saw::Borrowed(tick.n, sender));
    }

    #[botzilla::handler(stream = "two/tick", latest = 8)]
    async fn shared(&mut self, tick: Arc<Tick>) {
        tokio::task::yield_now().await;
        self.saw(Saw::Shared(tick.n));
    }

    #[botzilla::handler(stream = "*/tick", latest = 100, at_most = 1000)]
    async fn item(&mut self, tick: Item<Tick>, ctx: &Ctx<Self>) {
        let _ = ctx.node();
        self.saw(Saw::Item(
            tick.seq(),
            tick.missed(),
            tick.stream().to_owned(),
        ));
    }
}

impl Watcher {
    fn saw(&self, saw: Saw) {
        let _ = self.0.send(saw);
    }
}

async fn node() -> Node {
    Node::start(NodeConfig::in_process()).await.unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test sends as many as it waits for"
)]
fn sight() -> (mpsc::UnboundedSender<Saw>, mpsc::UnboundedReceiver<Saw>) {
    mpsc::unbounded_channel()
}

#[test]
fn a_handler_takes_items_in_any_way_from_here_and_from_elsewhere() {
    run(async {
        let (registry, near, far) = two().await;
        let (one, _one) = publish(&near, "one", "tick", Qos::reliable()).await;
        let (saw, mut seen) = sight();
        near.spawn("watcher", move || Watcher(saw.clone()))
            .await
            .unwrap();
        let (two, _two) = publish(&far, "two", "tick", Qos::reliable()).await;
        until(|| one.subscribers() == 3 && two.subscribers() == 2).await;
        one.send(tick(1)).await.unwrap();
        two.send(tick(2)).await.unwrap();
        let mut all = Vec::new();
        while all.len() < 5 {
            all.push(seen.recv().await.unwrap());
        }
        for expected in [
            Saw::Value(1),
            Saw::Borrowed(1, "one".to_owned()),
            Saw::Shared(2),
            Saw::Item(0, 0, "one/tick".to_owned()),
            Saw::Item(0, 0, "two/tick".to_owned()),
        ] {
            assert!(all.contains(&expected), "{expected:?} {all:?}");
        }
        let subscribers = near.streams()[0].subscribers.clone();
        let name = Some("watcher".to_owned());
        assert!(subscribers.iter().all(|it| it.component == name));
        for node in [&near, &far] {
            node.shutdown(SOON).await;
        }
        assert_eq!(near.subscriptions(), 0);
        registry.shutdown(SOON).await;
    });
}

#[botzilla::message(reply = u64)]
struct HowMany {}

#[botzilla::message]
struct Stop {}

/// Slow on purpose: it holds its thread for each item.
struct Busy {
    items: Arc<AtomicU64>,
    panics: bool,
}

#[botzilla::component]
impl Busy {
    #[botzilla::handler(stream = "flood/tick", depth = 8)]
    fn on_tick(&mut self, tick: &Tick) {
        self.items.fetch_add(1, Ordering::SeqCst);
        assert!(!(self.panics && tick.n == 3), "as published");
    }

    #[botzilla::handler(stream = "hold/tick")]
    async fn hold(&mut self, _: &Tick) {
        self.items.fetch_add(1000, Ordering::SeqCst);
        std::future::pending::<()>().await;
    }

    #[botzilla::handler]
    fn how_many(&mut self, _: HowMany) -> u64 {
        self.items.load(Ordering::SeqCst)
    }

    #[botzilla::handler(urgent)]
    fn stop(&mut self, _: Stop) {}
}

async fn busy(node: &Node, panics: bool) -> Arc<AtomicU64> {
    let items = Arc::new(AtomicU64::new(0));
    let given = items.clone();
    let busy = move || Busy {
        items: given.clone(),
        panics,
    };
    node.spawn("busy", busy).await.unwrap();
    items
}

#[test]
fn items_and_messages_take_turns_and_neither_starves_the_other() {
    run(async {
        let node = node().await;
        let items = busy(&node, false).await;
        let (flood, _made) = publish(&node, "flood", "tick", Qos::reliable()).await;
        let sender = actix_rt::spawn(async move {
            let mut n = 0;
            while flood.send(tick(n)).await.is_ok() {
                n += 1;
            }
            n
        });
        let component = node.component("busy");
        // Asks are answered while items never end, and items come while asks never end.
        let mut asks = Vec::new();
        for _ in 0..200 {
            asks.push(component.ask(HowMany {}));
        }
        let counts = futures_util::future::join_all(asks).await;
        let counts: Vec<u64> = counts.into_iter().map(Result::unwrap).collect();
        assert!(items.load(Ordering::SeqCst) > 0);
        let (first, last) = (counts[0], counts[199]);
        assert!(last - first >= 8, "{first} to {last}");
        node.shutdown(SOON).await;
        let sent: u64 = sender.await.unwrap();
        // Bounded by its depth: what was sent has run, or waited at the end.
        assert!(sent <= items.load(Ordering::SeqCst) + 9);
    });
}

#[test]
fn a_panic_on_an_item_rebuilds_the_component_and_its_subscription_stays() {
    run(async {
        let node = node().await;
        let items = busy(&node, true).await;
        let (flood, _made) = publish(&node, "flood", "tick", Qos::reliable()).await;
        for n in 0..10 {
            flood.send(tick(n)).await.unwrap();
        }
        until(|| items.load(Ordering::SeqCst) == 10).await;
        assert_eq!(node.describe("busy").unwrap().restarts, 1);
        assert_eq!(flood.subscribers(), 1);
        node.shutdown(SOON).await;
    });
}

#[test]
fn an_urgent_message_drops_a_handler_that_waits_with_its_item() {
    run(async {
        let node = node().await;
        let items = busy(&node, false).await;
        let (hold, _made) = publish(&node, "hold", "tick", Qos::reliable()).await;
        for _ in 0..2 {
            hold.send(tick(0)).await.unwrap();
        }
        until(|| items.load(Ordering::SeqCst) == 1000).await;
        let stop = node.component("busy").ask(Stop {});
        stop.within(Duration::from_secs(60)).await.unwrap();
        // The next item is next.
        until(|| items.load(Ordering::SeqCst) == 2000).await;
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn a_stream_that_can_not_be_one_keeps_a_component_from_being_spawned() {
    struct Bad;
    impl botzilla::Component for Bad {
        fn routes(routes: &mut botzilla::Routes<Self>) {
            let options = botzilla::StreamOptions::new().at_most(5.0);
            routes.add_stream::<Tick>("nothing", options, |_, _, _| {});
        }
    }
    run(async {
        let node = node().await;
        let error = node.spawn("bad", || Bad).await.unwrap_err();
        assert!(matches!(error, SpawnError::BadRoutes { .. }), "{error}");
        node.shutdown(SOON).await;
    });
}
