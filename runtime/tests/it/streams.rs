//! Streams within a process, and the rules that hold wherever a subscriber is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla::{
    Ctx, Node, NodeConfig, PublishError, Publisher, Qos, StreamReason, Subscription, WhenFull,
};
use tokio::sync::mpsc;

use crate::world::{PATIENCE, SOON, run, until};

/// What the tests' streams are made of.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) n: u64,
    pub(crate) note: String,
}

pub(crate) fn tick(n: u64) -> Tick {
    Tick {
        n,
        note: "tick".to_owned(),
    }
}

/// Asks a [`Source`] for something.
#[botzilla::message]
pub(crate) struct Panic {}

#[botzilla::message]
pub(crate) struct End {}

/// A component that gives its publisher to the test each time it starts.
pub(crate) struct Source {
    stream: &'static str,
    qos: Qos,
    publishers: mpsc::Sender<Publisher<Tick>>,
}

#[botzilla::component(groups = ["sources"])]
impl Source {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let publisher = ctx.publish(self.stream, self.qos)?;
        // Its test may be over.
        let _ = self.publishers.try_send(publisher);
        Ok(())
    }

    #[botzilla::handler]
    fn panic(&mut self, _: Panic) {
        panic!("as asked");
    }

    #[botzilla::handler]
    fn end(&mut self, _: End, ctx: &Ctx<Self>) {
        ctx.stop();
    }
}

/// Publishes `name/stream` and hands the publishers out: one, and one more for each restart.
pub(crate) async fn publish(
    node: &Node,
    name: &str,
    stream: &'static str,
    qos: Qos,
) -> (Publisher<Tick>, mpsc::Receiver<Publisher<Tick>>) {
    let (publishers, mut made) = mpsc::channel(4);
    let source = move || Source {
        stream,
        qos,
        publishers: publishers.clone(),
    };
    node.spawn(name, source).await.unwrap();
    (made.recv().await.unwrap(), made)
}

pub(crate) async fn next(ticks: &mut Subscription<Tick>) -> botzilla::Item<Tick> {
    let item = tokio::time::timeout(PATIENCE, ticks.next()).await.unwrap();
    item.unwrap().unwrap()
}

async fn node() -> Node {
    Node::start(NodeConfig::in_process()).await.unwrap()
}

#[test]
fn items_come_in_order_and_are_shared_not_copied() {
    run(async {
        let node = node().await;
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::reliable()).await;
        let mut one = node.subscribe::<Tick>("clock/tick").await.unwrap();
        let mut two = node.subscribe::<Tick>("clock/tick").await.unwrap();
        for n in 0..10 {
            ticks.send(tick(n)).await.unwrap();
        }
        for n in 0..10 {
            let (a, b) = (next(&mut one).await, next(&mut two).await);
            assert_eq!((a.n, a.seq(), a.missed(), a.thinned()), (n, n, 0, 0));
            assert!(Arc::ptr_eq(a.shared(), b.shared()) && !a.restarted());
            assert_eq!(
                (a.stream(), a.component(), a.node()),
                ("clock/tick", "clock", node.id())
            );
        }
        assert!(one.try_next().is_none());
        assert_eq!((one.received(), one.missed()), (10, 0));
        node.shutdown(SOON).await;
        assert!(one.next().await.is_none(), "it ends with its node");
    });
}

#[test]
fn a_stream_without_subscribers_only_counts() {
    run(async {
        let node = node().await;
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::reliable().depth(1)).await;
        for n in 0..1000 {
            ticks.send(tick(n)).await.unwrap();
        }
        assert_eq!((ticks.published(), ticks.subscribers()), (1000, 0));
        let mut late = node.subscribe::<Tick>("clock/tick").await.unwrap();
        ticks.send(tick(1000)).await.unwrap();
        let item = next(&mut late).await;
        // What was published before anybody subscribed isn't missed.
        assert_eq!((item.seq(), item.missed()), (1000, 0));
        drop(late);
        until(|| ticks.subscribers() == 0).await;
        ticks.send(tick(0)).await.unwrap();
        ticks.send(tick(0)).await.unwrap();
        assert_eq!(ticks.published(), 1003);
        node.shutdown(SOON).await;
    });
}

#[test]
fn latest_drops_the_oldest_and_says_how_many() {
    run(async {
        let node = node().await;
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::latest()).await;
        let mut few = node
            .subscribe::<Tick>("clock/tick")
            .latest(3)
            .await
            .unwrap();
        // Who would have it reliable gets what is published, and is told what it missed.
        let wish = node.subscribe::<Tick>("clock/tick").reliable().depth(2);
        let mut wishful = wish.await.unwrap();
        for n in 0..10 {
            ticks.try_send(tick(n)).unwrap();
        }
        let first = next(&mut few).await;
        assert_eq!((first.n, first.seq(), first.missed()), (7, 7, 7));
        assert_eq!(next(&mut few).await.missed(), 0);
        assert_eq!(next(&mut few).await.n, 9);
        assert_eq!(few.missed(), 7);
        let first = next(&mut wishful).await;
        assert_eq!((first.n, first.missed()), (8, 8));
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_full_reliable_subscriber_is_waited_for() {
    run(async {
        let node = node().await;
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::reliable().depth(2)).await;
        let mut slow = node.subscribe::<Tick>("clock/tick").await.unwrap();
        let mut newest = node
            .subscribe::<Tick>("clock/tick")
            .latest(1)
            .await
            .unwrap();
        ticks.send(tick(0)).await.unwrap();
        ticks.send(tick(1)).await.unwrap();
        let full = ticks.try_send(tick(2)).unwrap_err();
        assert!(full.is_full() && full.item == tick(2));
        {
            let mut sending = std::pin::pin!(ticks.send(tick(2)));
            assert!(futures_util::poll!(&mut sending).is_pending());
            assert_eq!(next(&mut slow).await.n, 0);
            sending.await.unwrap();
        }
        // Dropped while it waits, it has published nothing.
        {
            let mut dropped = std::pin::pin!(ticks.send(tick(99)));
            assert!(futures_util::poll!(&mut dropped).is_pending());
        }
        assert_eq!(next(&mut slow).await.n, 1);
        ticks.send(tick(3)).await.unwrap();
        assert_eq!(next(&mut slow).await.n, 2);
        let last = next(&mut slow).await;
        assert_eq!((last.n, last.missed(), last.seq()), (3, 0, 3));
        let newest = next(&mut newest).await;
        assert_eq!((newest.n, newest.missed()), (3, 3));
        // A subscriber that goes is waited for no longer.
        ticks.send(tick(4)).await.unwrap();
        ticks.send(tick(5)).await.unwrap();
        let mut sending = std::pin::pin!(ticks.send(tick(6)));
        assert!(futures_util::poll!(&mut sending).is_pending());
        drop(slow);
        sending.await.unwrap();
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_full_reliable_subscriber_is_cut_off_and_sees_that() {
    run(async {
        let node = node().await;
        let after = Duration::from_millis(20);
        let qos = Qos::reliable()
            .depth(2)
            .when_full(WhenFull::CutOff { after });
        let (ticks, _made) = publish(&node, "clock", "tick", qos).await;
        let mut slow = node.subscribe::<Tick>("clock/tick").await.unwrap();
        let once = node.subscribe::<Tick>("clock/tick").resubscribe(false);
        let mut once = once.await.unwrap();
        let began = Instant::now();
        for n in 0..5 {
            ticks.send(tick(n)).await.unwrap();
        }
        assert!(began.elapsed() >= after, "it is waited for at first");
        assert_eq!(ticks.subscribers(), 0);
        for subscriber in [&mut slow, &mut once] {
            assert_eq!(next(subscriber).await.n, 0);
            assert_eq!(next(subscriber).await.n, 1);
            let error = subscriber.next().await.unwrap().unwrap_err();
            let cut_off = matches!(error.reason(), StreamReason::CutOff { .. });
            assert!(cut_off && error.stream() == "clock/tick", "{error}");
        }
        assert!(once.next().await.is_none(), "it was told not to");
        until(|| ticks.subscribers() == 1).await;
        ticks.send(tick(5)).await.unwrap();
        let back = next(&mut slow).await;
        // Two came, three were published until it was back: it is told of all that it didn't get.
        assert_eq!((back.n, back.missed(), back.restarted()), (5, 3, false));
        node.shutdown(SOON).await;
    });
}

#[test]
fn late_joiners_get_what_is_kept_and_rates_are_thinned_at_the_publisher() {
    run(async {
        let node = node().await;
        let qos = Qos::reliable().keep_last(3);
        let (ticks, _made) = publish(&node, "clock", "tick", qos).await;
        for n in 0..5 {
            ticks.send(tick(n)).await.unwrap();
        }
        let late = node.subscribe::<Tick>("clock/tick").keep_last(2);
        let mut late = late.await.unwrap();
        let mut later = node
            .subscribe::<Tick>("clock/tick")
            .keep_last(9)
            .await
            .unwrap();
        let rare = node.subscribe::<Tick>("clock/tick").at_most(0.001);
        let mut rare = rare.await.unwrap();
        for n in 5..8 {
            ticks.send(tick(n)).await.unwrap();
        }
        for n in 3..8 {
            let item = next(&mut late).await;
            assert_eq!((item.n, item.missed()), (n, 0));
        }
        assert_eq!(next(&mut later).await.n, 2);
        assert_eq!(next(&mut rare).await.n, 5);
        assert!(rare.try_next().is_none());
        let reports = node.streams();
        let thinned: u64 = reports[0].subscribers.iter().map(|it| it.thinned).sum();
        assert_eq!((reports[0].published, thinned), (8, 2));
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_subscription_waits_for_its_publisher_and_finds_it_again() {
    run(async {
        let node = node().await;
        let mut ticks = node.subscribe::<Tick>("clock/tick").await.unwrap();
        let (first, mut made) = publish(&node, "clock", "tick", Qos::reliable()).await;
        first.send(tick(1)).await.unwrap();
        first.send(tick(2)).await.unwrap();
        let item = next(&mut ticks).await;
        assert_eq!((item.n, item.seq(), item.restarted()), (1, 0, false));
        drop(first);
        node.component("clock").ask(Panic {}).await.unwrap_err();
        let second = made.recv().await.unwrap();
        second.send(tick(3)).await.unwrap();
        // What came from the first isn't lost with it.
        assert_eq!(next(&mut ticks).await.n, 2);
        let item = next(&mut ticks).await;
        assert_eq!((item.n, item.seq(), item.restarted()), (3, 0, true));
        assert_eq!(item.missed(), 0);
        node.shutdown(SOON).await;
        let error = second.send(tick(4)).await.unwrap_err();
        assert!(error.to_string().contains("ended"), "{error}");
    });
}

#[test]
fn patterns_match_by_name_and_by_group_now_and_later() {
    run(async {
        let node = node().await;
        let (one, _one) = publish(&node, "left/lidar", "scan", Qos::reliable()).await;
        let mut all = node.subscribe::<Tick>("*/scan").await.unwrap();
        let mut grouped = node.subscribe::<Tick>("group:sources/*").await.unwrap();
        let (two, _two) = publish(&node, "right/lidar", "scan", Qos::reliable()).await;
        let (other, _other) = publish(&node, "right/clock", "tick", Qos::reliable()).await;
        for (publisher, n) in [(&one, 1), (&two, 2), (&other, 3)] {
            publisher.send(tick(n)).await.unwrap();
        }
        let mut came = Vec::new();
        for _ in 0..2 {
            let item = next(&mut all).await;
            came.push((item.stream().to_owned(), item.n));
        }
        came.sort();
        let expected = [
            ("left/lidar/scan".to_owned(), 1),
            ("right/lidar/scan".to_owned(), 2),
        ];
        assert_eq!(came, expected);
        let mut numbers = Vec::new();
        for _ in 0..3 {
            numbers.push(next(&mut grouped).await.n);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(all.publishers(), ["left/lidar/scan", "right/lidar/scan"]);
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_busy_stream_does_not_drown_a_quiet_one() {
    run(async {
        let node = node().await;
        let (busy, _busy) = publish(&node, "busy", "tick", Qos::latest().depth(50)).await;
        let (quiet, _quiet) = publish(&node, "quiet", "tick", Qos::latest()).await;
        let mut all = node.subscribe::<Tick>("*/tick").await.unwrap();
        for n in 0..50 {
            busy.try_send(tick(n)).unwrap();
        }
        quiet.try_send(tick(1000)).unwrap();
        assert_eq!(next(&mut all).await.n, 0);
        assert_eq!(next(&mut all).await.n, 1000);
        node.shutdown(SOON).await;
    });
}

#[test]
fn other_types_are_refused_with_the_difference_and_tools_read_any() {
    #[botzilla::data]
    #[derive(Clone, Debug)]
    struct Other {
        n: u64,
        note: u32,
    }
    #[botzilla::data]
    #[derive(Clone, Debug)]
    struct Alike {
        n: u64,
        note: String,
    }
    run(async {
        let node = node().await;
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::reliable()).await;
        let mut other = node.subscribe::<Other>("clock/tick").await.unwrap();
        let error = other.next().await.unwrap().unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("note") && text.contains("another type"),
            "{text}"
        );
        let mut alike = node.subscribe::<Alike>("clock/tick").await.unwrap();
        let mut json = node.subscribe_json("clock/tick").await.unwrap();
        let mut raw = node.subscribe_raw("clock/tick").await.unwrap();
        ticks.send(tick(7)).await.unwrap();
        let alike = alike.next().await.unwrap().unwrap();
        assert_eq!((alike.n, &*alike.note), (7, "tick"));
        let json = json.next().await.unwrap().unwrap();
        assert_eq!(*json, serde_json::json!({"n": 7, "note": "tick"}));
        let raw = raw.next().await.unwrap().unwrap();
        assert_eq!(raw.as_ref(), b"\x07\x04tick");
        node.shutdown(SOON).await;
    });
}

#[test]
fn what_can_not_be_subscribed_to_or_published_is_said_at_once() {
    run(async {
        let node = node().await;
        for bad in ["scan", "a b/scan", "lidar/", "*"] {
            let error = node.subscribe::<Tick>(bad).await.unwrap_err();
            assert!(
                error.to_string().contains("can't be subscribed to"),
                "{error}"
            );
        }
        let error = node
            .subscribe::<Tick>("a/b")
            .at_most(0.0)
            .await
            .unwrap_err();
        assert!(matches!(error.reason(), StreamReason::BadSetting(_)));
        let (publishers, _made) = mpsc::channel(1);
        for (stream, why) in [("a/b", "no `/`"), ("", "empty")] {
            let publishers = publishers.clone();
            let source = move || Source {
                stream,
                qos: Qos::latest(),
                publishers: publishers.clone(),
            };
            let error = node.spawn("clock", source).await.unwrap_err().to_string();
            assert!(error.contains("can't name a stream"), "{why}: {error}");
        }
        node.shutdown(SOON).await;
    });
}

#[test]
fn of_64_reliable_subscribers_a_slow_one_holds_up_or_is_cut_off_as_published() {
    for when_full in [
        WhenFull::Wait,
        // As long as a reader may be kept from its turn by a busy machine.
        WhenFull::CutOff {
            after: Duration::from_secs(3),
        },
    ] {
        run(async move {
            let node = node().await;
            let qos = Qos::reliable().depth(4).when_full(when_full);
            let (ticks, _made) = publish(&node, "clock", "tick", qos).await;
            let mut slow = node.subscribe::<Tick>("clock/tick").await.unwrap();
            let mut readers = Vec::new();
            for _ in 0..63 {
                let mut reader = node.subscribe::<Tick>("clock/tick").await.unwrap();
                readers.push(actix_rt::spawn(async move {
                    for n in 0..200 {
                        let item = next(&mut reader).await;
                        assert_eq!((item.n, item.missed()), (n, 0));
                    }
                }));
            }
            let sender = actix_rt::spawn(async move {
                for n in 0..200 {
                    ticks.send(tick(n)).await.unwrap();
                }
                ticks
            });
            if when_full == WhenFull::Wait {
                // As slow as can be: each item only when all others are waiting for it.
                for n in 0..200 {
                    tokio::task::yield_now().await;
                    let item = next(&mut slow).await;
                    assert_eq!((item.n, item.missed()), (n, 0));
                }
            }
            let ticks = sender.await.unwrap();
            for reader in readers {
                reader.await.unwrap();
            }
            if when_full != WhenFull::Wait {
                for n in 0..4 {
                    assert_eq!(next(&mut slow).await.n, n);
                }
                let error = slow.next().await.unwrap().unwrap_err();
                assert!(matches!(error.reason(), StreamReason::CutOff { .. }));
            }
            drop(ticks);
            node.shutdown(SOON).await;
        });
    }
}

#[test]
fn subscribing_over_and_over_leaves_nothing() {
    run(async {
        let node = node().await;
        let (ticks, _made) = publish(&node, "clock", "tick", Qos::reliable()).await;
        for n in 0..100 {
            let mut some = node.subscribe::<Tick>("clock/tick").await.unwrap();
            let pattern = node.subscribe::<Tick>("*/*").await.unwrap();
            ticks.send(tick(n)).await.unwrap();
            assert_eq!(next(&mut some).await.n, n);
            drop((some, pattern));
        }
        until(|| node.subscriptions() == 0).await;
        assert_eq!(ticks.subscribers(), 0);
        node.shutdown(SOON).await;
    });
}
