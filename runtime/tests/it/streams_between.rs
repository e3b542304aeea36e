//! Streams between nodes, over the bulk lane.

use std::time::Duration;

use botzilla::{Blob, Ctx, Node, PublishError, Publisher, Qos, SendError, StreamReason, WhenFull};
use tokio::sync::mpsc;

use crate::{
    streams::{Panic, Tick, next, publish, tick},
    streams_parts::{Begin, Emit, Feed, begin, emit, until_heard},
    world::{PATIENCE, SOON, config, node, registry, run, run_apart, started, two, until},
};

/// A frame of a camera.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Image {
    pub(crate) n: u64,
    pub(crate) pixels: Blob,
}

pub(crate) fn image(n: u64, len: usize) -> Image {
    let byte = u8::try_from(n % 251).unwrap();
    Image {
        n,
        pixels: vec![byte; len].into(),
    }
}

struct Camera(mpsc::Sender<Publisher<Image>>, Qos);

#[botzilla::component]
impl Camera {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let publisher = ctx.publish("image", self.1)?;
        let _ = self.0.try_send(publisher);
        Ok(())
    }
}

pub(crate) async fn camera(node: &Node, name: &str, qos: Qos) -> Publisher<Image> {
    let (publishers, mut made) = mpsc::channel(1);
    node.spawn(name, move || Camera(publishers.clone(), qos))
        .await
        .unwrap();
    made.recv().await.unwrap()
}

#[test]
fn items_arrive_in_order_and_none_is_lost() {
    run(async {
        let (registry, one, two) = two().await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable().depth(16)).await;
        let mut far = two.subscribe::<Tick>("clock/tick").await.unwrap();
        let mut near = one.subscribe::<Tick>("clock/tick").await.unwrap();
        until(|| ticks.subscribers() == 2).await;
        let send = async {
            for n in 0..3000 {
                ticks.send(tick(n)).await.unwrap();
            }
        };
        let read = async {
            for n in 0..3000 {
                let (far, near) = (next(&mut far).await, next(&mut near).await);
                assert_eq!((far.n, far.seq(), far.missed()), (n, n, 0));
                assert_eq!((near.n, far.node()), (n, one.id()));
            }
        };
        tokio::join!(send, read);
        let report = one.streams().remove(0);
        assert_eq!((report.published, report.subscribers.len()), (3000, 2));
        drop(far);
        until(|| ticks.subscribers() == 1).await;
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

/// An image of two parts.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
struct Stereo {
    left: Blob,
    right: Blob,
}

struct StereoCamera(mpsc::Sender<Publisher<Stereo>>);

#[botzilla::component]
impl StereoCamera {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let publisher = ctx.publish("image", Qos::reliable())?;
        let _ = self.0.try_send(publisher);
        Ok(())
    }
}

#[test]
fn the_bytes_of_an_item_stay_where_they_arrived() {
    run(async {
        let (registry, one, two) = two().await;
        let (publishers, mut made) = mpsc::channel(1);
        let camera = move || StereoCamera(publishers.clone());
        one.spawn("stereo", camera).await.unwrap();
        let images = made.recv().await.unwrap();
        let mut far = two.subscribe::<Stereo>("stereo/image").await.unwrap();
        until(|| images.subscribers() == 1).await;
        for len in [100_000, 6 << 20] {
            let (left, right) = (vec![1; len].into(), vec![2; len].into());
            images.send(Stereo { left, right }).await.unwrap();
            let item = far.next().await.unwrap().unwrap();
            let Stereo { left, right } = &*item;
            assert!(left.len() == len && left.iter().all(|byte| *byte == 1));
            assert!(right.len() == len && right.iter().all(|byte| *byte == 2));
            // Where one ends, the length of the other stands, as it was encoded, and then its bytes: so
            // both are parts of one piece of memory, that which the item was received into.
            let end = left.as_ptr().addr() + len;
            assert_eq!(right.as_ptr().addr(), end + 5, "they were copied");
            // Which stays for as long as one of them does.
            let kept = right.clone();
            drop(item);
            assert!(kept.as_ptr().addr() == end + 5 && kept[len - 1] == 2);
            assert_ne!(kept.detached().as_ptr(), kept.as_ptr());
        }
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn large_items_arrive_whole_up_to_the_limit_and_one_byte_more_is_refused_with_it() {
    run_apart(async {
        let (registry, one, two) = two().await;
        let images = camera(&one, "camera", Qos::reliable().depth(2)).await;
        let mut far = two.subscribe::<Image>("camera/image").await.unwrap();
        let mut raw = two.subscribe_raw("camera/image").await.unwrap();
        until(|| images.subscribers() == 2).await;
        // A number of one byte, and a length of five.
        let (limit, head) = (64 << 20, 6);
        for (n, len) in [(0, 6 << 20), (1, 10_000_000), (2, limit - head)] {
            let sent = image(n, len);
            let read = async {
                let item = far.next().await.unwrap().unwrap();
                assert_eq!((item.missed(), item.seq()), (0, n));
                let raw = raw.next().await.unwrap().unwrap();
                assert_eq!(raw.len(), len + head);
                assert_eq!(raw[head..], item.pixels[..]);
                item
            };
            let (given, item) = tokio::join!(images.send(sent.clone()), read);
            given.unwrap();
            assert!(*item == sent, "it is another item");
        }
        let too_large = image(3, limit - head + 1);
        let refused = images.send(too_large.clone()).await.unwrap_err();
        let (len, max) = (limit + 1, limit);
        let stream = "camera/image".to_owned();
        assert_eq!(refused, SendError::TooLarge { stream, len, max });
        let text = refused.to_string();
        assert!(
            text.contains("67108864") && text.contains("stream_payload"),
            "{text}"
        );
        let refused = images.try_send(too_large).unwrap_err();
        assert!(!refused.is_full() && refused.item.n == 3);
        // It took no number, and the next one comes.
        images.send(image(4, 10)).await.unwrap();
        let item = far.next().await.unwrap().unwrap();
        assert_eq!((item.n, item.seq(), item.missed()), (4, 3, 0));
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn of_several_streams_of_a_component_each_goes_its_own_way() {
    run(async {
        let (registry, one, two) = two().await;
        one.spawn("robot", Feed::default).await.unwrap();
        for stream in ["fast", "slow", "unheard"] {
            begin(&one, "robot", Begin::waiting(stream, 2)).await;
        }
        let mut fast = two.subscribe::<Image>("robot/fast").await.unwrap();
        let slow = two.subscribe::<Image>("robot/slow").depth(2);
        let mut slow = slow.await.unwrap();
        for stream in ["fast", "slow"] {
            until_heard(&one, "robot", stream, 1).await;
        }
        let all = |stream| emit(&one, "robot", Emit::paced(stream, 100, (1, 50), 0));
        // A full subscriber of one holds up neither the others nor what nobody hears.
        let mut stuck = std::pin::pin!(all("slow"));
        tokio::select! {
            _ = &mut stuck => panic!("nobody reads it"),
            heard = async {
                let unheard = all("unheard").await;
                let (heard, ()) = tokio::join!(all("fast"), async {
                    for n in 0..50 {
                        let item = fast.next().await.unwrap().unwrap();
                        assert_eq!((item.n, item.missed(), item.stream()), (n, 0, "robot/fast"));
                    }
                });
                (unheard, heard)
            } => {
                let (unheard, heard) = heard;
                assert_eq!((unheard.published, unheard.subscribers), (50, 0));
                assert_eq!((heard.published, heard.subscribers), (50, 1));
            }
        }
        let (sent, ()) = tokio::join!(stuck, async {
            for n in 0..50 {
                let item = slow.next().await.unwrap().unwrap();
                assert_eq!((item.n, item.missed(), item.stream()), (n, 0, "robot/slow"));
            }
        });
        assert_eq!(sent.published, 50);
        assert!(fast.try_next().is_none() && slow.try_next().is_none());
        // Nothing of what nobody heard comes later.
        let mut late = two.subscribe::<Image>("robot/unheard").await.unwrap();
        until_heard(&one, "robot", "unheard", 1).await;
        emit(&one, "robot", Emit::paced("unheard", 100, (1, 1), 0)).await;
        let item = late.next().await.unwrap().unwrap();
        assert_eq!((item.seq(), item.missed()), (50, 0));
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_full_subscriber_elsewhere_is_waited_for_or_cut_off_or_gets_the_latest() {
    run(async {
        let (registry, one, two) = two().await;
        let (waits, _made) = publish(&one, "waits", "tick", Qos::reliable().depth(4)).await;
        let cut = WhenFull::CutOff {
            after: Duration::from_millis(30),
        };
        let qos = Qos::reliable().depth(4).when_full(cut);
        let (cuts, _made) = publish(&one, "cuts", "tick", qos).await;
        let mut waited = two.subscribe::<Tick>("waits/tick").depth(4).await.unwrap();
        let mut cut_off = two.subscribe::<Tick>("cuts/tick").depth(4).await.unwrap();
        let mut latest = two.subscribe::<Tick>("*/tick").latest(2).await.unwrap();
        until(|| waits.subscribers() == 2 && cuts.subscribers() == 2).await;
        {
            let mut all = std::pin::pin!(async {
                for n in 0..100 {
                    waits.send(tick(n)).await.unwrap();
                }
            });
            // It stops once the subscriber and the way to it are full.
            tokio::select! {
                () = &mut all => panic!("nobody has read"),
                () = until(|| waits.published() >= 8) => {}
            }
            let read = async {
                for n in 0..100 {
                    let item = next(&mut waited).await;
                    assert_eq!((item.n, item.missed()), (n, 0));
                }
            };
            tokio::join!(all, read);
        }
        for n in 0..100 {
            cuts.send(tick(n)).await.unwrap();
        }
        let mut came = 0;
        let error = loop {
            match cut_off.next().await.unwrap() {
                Ok(item) => {
                    assert_eq!((item.n, item.missed()), (came, 0));
                    came += 1;
                }
                Err(error) => break error,
            }
        };
        let &StreamReason::CutOff { missed, .. } = error.reason() else {
            panic!("{error}");
        };
        until(|| cuts.subscribers() == 2).await;
        cuts.send(tick(100)).await.unwrap();
        let back = next(&mut cut_off).await;
        assert_eq!((back.n, came + missed + back.missed()), (100, 100));
        // The latest had no room for more than two of each, and misses all the rest by number.
        let (mut got, mut missed) = (0, 0);
        while got + missed < 201 {
            let item = next(&mut latest).await;
            got += 1;
            missed += item.missed();
        }
        assert!(got <= 8, "{got}");
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn either_side_subscribes_and_a_schema_that_changed_is_told() {
    #[botzilla::data]
    #[derive(Clone, Debug)]
    struct Other {
        n: u64,
        note: Option<String>,
    }
    run(async {
        let (registry, one, two) = two().await;
        let (there, _made) = publish(&one, "there", "tick", Qos::reliable()).await;
        let (back, _made) = publish(&two, "back", "tick", Qos::reliable()).await;
        let mut from_one = two.subscribe::<Tick>("there/tick").await.unwrap();
        let mut from_two = one.subscribe::<Tick>("back/tick").await.unwrap();
        until(|| there.subscribers() + back.subscribers() == 2).await;
        there.send(tick(1)).await.unwrap();
        back.send(tick(2)).await.unwrap();
        assert_eq!(
            (next(&mut from_one).await.n, next(&mut from_two).await.n),
            (1, 2)
        );
        let mut other = two.subscribe::<Other>("there/tick").await.unwrap();
        let error = other.next().await.unwrap().unwrap_err();
        assert!(matches!(error.reason(), StreamReason::WrongSchema(text) if text.contains("note")));
        let mut json = two.subscribe_json("there/tick").await.unwrap();
        until(|| there.subscribers() == 2).await;
        there.send(tick(3)).await.unwrap();
        assert_eq!(json.next().await.unwrap().unwrap()["n"], 3);
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_publisher_that_restarts_or_moves_is_found_again() {
    run(async {
        let (registry, one, two) = two().await;
        let (first, mut made) = publish(&one, "clock", "tick", Qos::reliable()).await;
        let mut ticks = two.subscribe::<Tick>("clock/tick").await.unwrap();
        until(|| first.subscribers() == 1).await;
        first.send(tick(1)).await.unwrap();
        assert_eq!(next(&mut ticks).await.n, 1);
        one.component("clock").ask(Panic {}).await.unwrap_err();
        drop(first);
        let second = made.recv().await.unwrap();
        until(|| second.subscribers() == 1).await;
        second.send(tick(2)).await.unwrap();
        let item = next(&mut ticks).await;
        assert_eq!((item.n, item.restarted()), (2, true));
        // To another node.
        let third = node(registry.address()).await;
        one.shutdown(SOON).await;
        let (moved, _made) = publish(&third, "clock", "tick", Qos::reliable()).await;
        until(|| moved.subscribers() == 1).await;
        moved.send(tick(3)).await.unwrap();
        let item = next(&mut ticks).await;
        assert_eq!(
            (item.n, item.node(), item.restarted()),
            (3, third.id(), true)
        );
        for node in [&two, &third] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_tool_without_a_copy_of_the_directory_subscribes_too() {
    run(async {
        let registry = registry().await;
        let one = node(registry.address()).await;
        let tool = botzilla::Node::start(config(registry.address()).short_lived());
        let tool = tool.await.unwrap();
        let mut ticks = tool.subscribe_json("clock/tick").await.unwrap();
        let (clock, _made) = publish(&one, "clock", "tick", Qos::reliable()).await;
        until(|| clock.subscribers() == 1).await;
        let mut all = tool.subscribe_json("cl*/*").await.unwrap();
        until(|| clock.subscribers() == 2).await;
        clock.send(tick(5)).await.unwrap();
        assert_eq!(ticks.next().await.unwrap().unwrap()["n"], 5);
        assert_eq!(all.next().await.unwrap().unwrap()["n"], 5);
        for node in [&tool, &one] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn subscribing_over_and_over_leaves_nothing_on_either_side() {
    run(async {
        let (registry, one, two) = two().await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::latest()).await;
        let mut level = None;
        for n in 0..120 {
            let mut some = two.subscribe::<Tick>("clock/tick").await.unwrap();
            until(|| ticks.subscribers() == 1).await;
            ticks.send(tick(n)).await.unwrap();
            assert_eq!(next(&mut some).await.n, n);
            drop(some);
            until(|| ticks.subscribers() == 0).await;
            if n == 20 {
                level = Some(connections(&[&one, &two]));
            }
        }
        assert_eq!((two.subscriptions(), one.subscriptions()), (0, 0));
        assert!(connections(&[&one, &two]) <= level.unwrap());
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

/// How many ends of connections to these nodes' listeners this process has open. (Its descriptors would be
/// those of the tests beside this one, too.)
fn connections(nodes: &[&Node]) -> usize {
    let ports: Vec<String> = nodes
        .iter()
        .map(|node| format!(":{:04X}", node.address().unwrap().port()))
        .collect();
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let is_open = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let (Some(here), Some(there), Some(state)) = (fields.next(), fields.next(), fields.next())
        else {
            return false;
        };
        // 01: established, 08: the other side has closed, and this one should have.
        matches!(state, "01" | "08")
            && ports
                .iter()
                .any(|port| here.ends_with(port) || there.ends_with(port))
    };
    table.lines().filter(is_open).count()
}

#[test]
fn an_idle_connection_ends_and_another_is_made_when_it_is_needed() {
    run(async {
        let registry = registry().await;
        let mut limits = botzilla::Limits::default();
        limits.idle_after = Duration::from_millis(50);
        let one = started(config(registry.address()).limits(limits.clone())).await;
        let two = started(config(registry.address()).limits(limits)).await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::latest()).await;
        for n in 0..2 {
            let mut some = two.subscribe::<Tick>("clock/tick").await.unwrap();
            until(|| ticks.subscribers() == 1).await;
            ticks.send(tick(n)).await.unwrap();
            assert_eq!(next(&mut some).await.n, n);
            drop(some);
            until(|| ticks.subscribers() == 0).await;
            tokio::time::timeout(PATIENCE, async {
                until(|| two.bulk_connections() == 0 && one.bulk_connections() == 0).await;
            })
            .await
            .unwrap();
        }
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}
