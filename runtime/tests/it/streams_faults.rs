//! Streams while processes stop, die and come back, connections are cut, and the registry is down.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use botzilla::{Node, Qos};
use botzilla_registry::Registry;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    child::Child,
    streams::{Tick, next, publish, tick},
    streams_between::{Image, camera, image},
    streams_parts::{Begin, Emit, Feed, Take, Taken, begin, emit, until_heard, until_told},
    world::{SECRET, SOON, config, found, node, registry, run, started, until},
};

async fn take(here: &Node, taker: &str) {
    let stream = "cam/image".to_owned();
    let taker = found(here, taker).await;
    taker.ask(Take { stream, depth: 4 }).await.unwrap();
}

#[test]
fn a_subscriber_that_stops_is_killed_and_comes_back_costs_the_others_nothing() {
    run(async {
        let registry = registry().await;
        let here = node(registry.address()).await;
        let images = camera(&here, "cam", Qos::reliable().depth(4)).await;
        let steady = Child::start(registry.address(), &["taker:steady"]).await;
        let stops = Child::start(registry.address(), &["taker:stops"]).await;
        let mut near = here.subscribe::<Image>("cam/image").await.unwrap();
        take(&here, "steady").await;
        take(&here, "stops").await;
        until(|| images.subscribers() == 3).await;
        let mut seen = Taken::default();
        let mut publish = async |count: u64| {
            for _ in 0..count {
                images.send(image(images.published(), 1000)).await.unwrap();
                seen.take(&near.next().await.unwrap().unwrap());
            }
            // Nobody who reads has lost one, so far.
            assert_eq!((seen.told(), seen.missed), (images.published(), 0));
            let other = until_told(&here, "steady", images.published()).await;
            assert_eq!(other, seen);
        };
        publish(20).await;
        let before = until_told(&here, "stops", 20).await;
        assert_eq!((before.received, before.missed), (20, 0));
        // It doesn't read, and doesn't say that it is there: when it counts as dead, the rest goes on.
        stops.signal("STOP");
        publish(100).await;
        assert_eq!(images.subscribers(), 2);
        stops.signal("CONT");
        until(|| images.subscribers() == 3).await;
        publish(10).await;
        let after = until_told(&here, "stops", 130).await;
        // A few had arrived before; it is told of each that hadn't.
        assert_eq!((after.told(), after.wrong, after.restarts), (130, 0, 0));
        assert!(after.missed > 0 && after.received >= 30, "{after:?}");
        drop(stops);
        publish(20).await;
        until(|| images.subscribers() == 2).await;
        let again = Child::start(registry.address(), &["taker:stops"]).await;
        take(&here, "stops").await;
        until(|| images.subscribers() == 3).await;
        publish(20).await;
        let after = until_told(&here, "stops", 20).await;
        assert_eq!((after.received, after.missed, after.wrong), (20, 0, 0));
        here.shutdown(SOON).await;
        for child in [steady, again] {
            child.stop().await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_publisher_that_is_killed_and_starts_elsewhere_tells_what_was_missed_of_its_second_life() {
    run(async {
        let registry = registry().await;
        let here = node(registry.address()).await;
        let mut images = here.subscribe::<Image>("cam/image").await.unwrap();
        let mut seen = Taken::default();
        let first = Child::start(registry.address(), &["feed:cam"]).await;
        begin(&here, "cam", Begin::waiting("image", 4)).await;
        until_heard(&here, "cam", "image", 1).await;
        let endless = Emit::paced("image", 1000, (1_000_000, 1), 1_000);
        let feed = here.component("cam");
        let asked = actix_rt::spawn(async move { feed.ask(endless).await });
        while seen.received < 100 {
            seen.take(&images.next().await.unwrap().unwrap());
        }
        // By SIGKILL, in the middle of it.
        drop(first);
        asked.await.unwrap().unwrap_err();
        // A queue that is full of the first one wants no more, until somebody reads it.
        until(|| {
            while let Some(item) = images.try_next() {
                seen.take(&item.unwrap());
            }
            images.publishers().is_empty()
        })
        .await;
        let second = Child::start(registry.address(), &["feed:cam"]).await;
        let unheard = 50;
        let stream = Begin {
            unheard,
            ..Begin::waiting("image", 4)
        };
        begin(&here, "cam", stream).await;
        until_heard(&here, "cam", "image", 1).await;
        let mut second_life = Taken::default();
        let read = async {
            // What has arrived of the first one comes first, and is whole.
            let restarted = loop {
                let item = images.next().await.unwrap().unwrap();
                if item.restarted() {
                    break item;
                }
                seen.take(&item);
            };
            assert_eq!((restarted.seq(), restarted.missed()), (unheard, unheard));
            second_life.take(&restarted);
            while second_life.received < 100 {
                second_life.take(&images.next().await.unwrap().unwrap());
            }
        };
        let hundred = Emit::paced("image", 1000, (100, 1), 0);
        let (emitted, ()) = tokio::join!(emit(&here, "cam", hundred), read);
        assert_eq!(emitted.published, unheard + 100);
        assert_eq!((seen.missed, seen.wrong, seen.restarts), (0, 0, 0));
        assert_eq!((second_life.received, second_life.missed), (100, unheard));
        assert_eq!((second_life.wrong, second_life.restarts), (0, 1));
        assert!(images.try_next().is_none());
        here.shutdown(SOON).await;
        second.stop().await;
        registry.shutdown(SOON).await;
    });
}

/// Carries connections to a node, while it is whole.
struct Cable {
    /// None: it is cut.
    carried: Arc<Mutex<Option<JoinSet<()>>>>,
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    accepting: JoinSet<()>,
}

impl Cable {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let carried = Arc::new(Mutex::new(Some(JoinSet::new())));
        let target = Arc::<Mutex<Option<_>>>::default();
        let mut accepting = JoinSet::new();
        let (set, to) = (Arc::clone(&carried), Arc::clone(&target));
        accepting.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target: SocketAddr = (*to.lock()).unwrap();
                // Of a cable that is cut nothing is carried: it is closed at once.
                if let Some(set) = &mut *set.lock() {
                    set.spawn(async move {
                        if let Ok(mut far) = TcpStream::connect(target).await {
                            // Either way it is over.
                            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                        }
                    });
                }
            }
        });
        Self {
            carried,
            address,
            target,
            accepting,
        }
    }

    /// Closes all sockets, and those that are opened until it is mended.
    fn cut(&self) {
        *self.carried.lock() = None;
    }

    fn mend(&self) {
        *self.carried.lock() = Some(JoinSet::new());
    }
}

#[test]
fn a_connection_that_is_cut_is_dialled_again_and_the_gap_is_told_to_the_item() {
    run(async {
        let registry = registry().await;
        let cable = Cable::new().await;
        let far = config(registry.address()).advertise([cable.address.to_string()]);
        let far = started(far).await;
        *cable.target.lock() = far.address();
        let near = node(registry.address()).await;
        let images = camera(&far, "cam", Qos::reliable().depth(16)).await;
        let mut there = far.subscribe::<Image>("cam/image").await.unwrap();
        let mut here = near.subscribe::<Image>("cam/image").await.unwrap();
        until(|| images.subscribers() == 2).await;
        let (mut seen, mut undisturbed) = (Taken::default(), Taken::default());
        let (cuts, meanwhile) = (3, 5);
        for cut in 1..=cuts {
            // Items of a few hundred KB, and nobody waits for them: some are under way.
            for _ in 0..20 + cut {
                images
                    .send(image(images.published(), 300_000))
                    .await
                    .unwrap();
                undisturbed.take(&there.next().await.unwrap().unwrap());
                while let Some(item) = here.try_next() {
                    seen.take(&item.unwrap());
                }
            }
            cable.cut();
            until(|| images.subscribers() == 1).await;
            // It is waited for no longer.
            for _ in 0..meanwhile {
                images.send(image(images.published(), 1000)).await.unwrap();
                undisturbed.take(&there.next().await.unwrap().unwrap());
            }
            cable.mend();
            // What has arrived is read before there is more, and it is back by itself.
            while images.subscribers() < 2 {
                while let Some(item) = here.try_next() {
                    seen.take(&item.unwrap());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // The next one tells of all that didn't come.
            images.send(image(images.published(), 1000)).await.unwrap();
            undisturbed.take(&there.next().await.unwrap().unwrap());
            while seen.told() < images.published() {
                seen.take(&here.next().await.unwrap().unwrap());
            }
            assert_eq!(seen.told(), images.published());
            assert!(seen.missed >= cut * meanwhile, "{seen:?}");
        }
        assert_eq!((seen.wrong, seen.restarts), (0, 0));
        assert_eq!(
            (here.received(), here.missed()),
            (seen.received, seen.missed)
        );
        let all = images.published();
        assert_eq!((undisturbed.received, undisturbed.missed), (all, 0));
        for node in [&near, &far] {
            node.shutdown(SOON).await;
        }
        drop(cable.accepting);
        registry.shutdown(SOON).await;
    });
}

#[test]
fn while_the_registry_is_down_streams_go_on_and_others_are_found() {
    run(async {
        let registry = registry().await;
        let address = registry.address();
        let (one, two, three) = (
            node(address).await,
            node(address).await,
            node(address).await,
        );
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable()).await;
        one.spawn("feed", Feed::default).await.unwrap();
        begin(&one, "feed", Begin::waiting("early", 4)).await;
        let mut running = two.subscribe::<Tick>("clock/tick").await.unwrap();
        until(|| ticks.subscribers() == 1).await;
        ticks.send(tick(0)).await.unwrap();
        assert_eq!(next(&mut running).await.n, 0);
        for node in [&two, &three] {
            found(node, "feed").await;
            // A stream is known a moment after its component.
            let mut early = node.subscribe_raw("feed/early").await.unwrap();
            until(|| early.publishers().len() == 1).await;
            assert!(early.try_next().is_none());
        }
        until_heard(&one, "feed", "early", 0).await;
        registry.shutdown(SOON).await;
        // It goes on.
        for n in 1..50 {
            ticks.send(tick(n)).await.unwrap();
            let item = next(&mut running).await;
            assert_eq!((item.n, item.missed(), item.restarted()), (n, 0, false));
        }
        // Who has a copy of the directory finds it, by name and by pattern.
        let mut named = three.subscribe::<Tick>("clock/tick").await.unwrap();
        let mut all = two.subscribe_raw("feed/*").await.unwrap();
        until(|| ticks.subscribers() == 2).await;
        until_heard(&one, "feed", "early", 1).await;
        ticks.send(tick(50)).await.unwrap();
        assert_eq!(
            (next(&mut named).await.n, next(&mut running).await.n),
            (50, 50)
        );
        emit(&one, "feed", Emit::paced("early", 100, (1, 1), 0)).await;
        assert_eq!(all.next().await.unwrap().unwrap().stream(), "feed/early");
        // What is published meanwhile is heard here, and there when the registry is back.
        begin(&one, "feed", Begin::waiting("late", 4)).await;
        let mut near = one.subscribe::<Image>("feed/late").await.unwrap();
        let late = Emit::paced("late", 100, (1, 1), 0);
        emit(&one, "feed", late.clone()).await;
        assert_eq!(near.next().await.unwrap().unwrap().n, 0);
        let registry = Registry::new(address.to_string(), &*SECRET).unwrap();
        let registry = registry.fresh().start().await.unwrap();
        until_heard(&one, "feed", "late", 2).await;
        emit(&one, "feed", late).await;
        let item = all.next().await.unwrap().unwrap();
        assert_eq!(
            (item.stream(), item.seq(), item.missed()),
            ("feed/late", 1, 0)
        );
        ticks.send(tick(51)).await.unwrap();
        let item = next(&mut running).await;
        assert_eq!((item.n, item.missed(), running.missed()), (51, 0, 0));
        for node in [&one, &two, &three] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}
