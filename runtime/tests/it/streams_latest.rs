//! Who asks for the latest items gets the latest, wherever the publisher is.

use botzilla::{Item, Node, NodeConfig, Publisher, Qos, Subscription};

use crate::{
    streams::{Panic, Tick, next, publish, tick},
    streams_between::{Image, camera, image},
    world::{SOON, run, two, until},
};

/// Waits until nothing of the node's streams waits to be sent to another.
async fn until_sent(node: &Node) {
    until(|| {
        let reports = node.streams();
        let subscribers = reports.iter().flat_map(|it| &it.subscribers);
        let mut others = subscribers.filter(|it| it.node != node.id().to_string());
        others.all(|it| it.queued == 0)
    })
    .await;
}

/// What was sent before over the same connection has arrived when this has.
async fn until_arrived(from: &Node, marks: &Publisher<Tick>, marker: &mut Subscription<Tick>) {
    until_sent(from).await;
    marks.try_send(tick(0)).unwrap();
    next(marker).await;
}

/// Reads until the item with this number; all that is missing must have been told.
async fn read(ticks: &mut Subscription<Tick>, last: u64) -> Vec<Item<Tick>> {
    let mut items = vec![next(ticks).await];
    while items.last().unwrap().n < last {
        items.push(next(ticks).await);
    }
    let told: u64 = items.iter().map(|item| item.missed() + 1).sum();
    assert_eq!(told, last + 1);
    items
}

#[test]
fn a_subscriber_elsewhere_that_paused_reads_the_newest_as_one_here_does() {
    run(async {
        let (registry, one, two) = two().await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::latest()).await;
        let (marks, _made) = publish(&one, "marks", "tick", Qos::latest()).await;
        let mut marker = two.subscribe::<Tick>("marks/tick").await.unwrap();
        let mut near = one.subscribe::<Tick>("clock/tick").await.unwrap();
        let mut far = two.subscribe::<Tick>("clock/tick").await.unwrap();
        let few = two.subscribe::<Tick>("clock/tick").latest(4);
        let mut few = few.await.unwrap();
        let many = two.subscribe::<Tick>("clock/tick").latest(100);
        let mut many = many.await.unwrap();
        until(|| ticks.subscribers() == 4 && marks.subscribers() == 1).await;
        for n in 0..2000 {
            ticks.try_send(tick(n)).unwrap();
            if n % 50 == 49 {
                until_sent(&one).await;
            }
        }
        until_arrived(&one, &marks, &mut marker).await;
        for (subscription, depth) in [
            (&mut near, 64),
            (&mut far, 64),
            (&mut few, 4),
            (&mut many, 100),
        ] {
            let items = read(subscription, 1999).await;
            assert_eq!((items[0].n, items.len()), (2000 - depth, depth as usize));
            assert_eq!(items[0].missed(), 2000 - depth);
        }
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn the_latest_of_large_items_are_the_newest_too() {
    run(async {
        let (registry, one, two) = two().await;
        let images = camera(&one, "camera", Qos::latest()).await;
        let latest = two.subscribe::<Image>("camera/image").latest(4);
        let mut latest = latest.await.unwrap();
        until(|| images.subscribers() == 1).await;
        for n in 0..30 {
            images.try_send(image(n, 6 << 20)).unwrap();
            until_sent(&one).await;
        }
        // The last ones may still be on their way.
        let mut item = latest.next().await.unwrap().unwrap();
        assert!(item.n >= 20, "{}", item.n);
        let mut told = item.missed() + 1;
        while item.n < 29 {
            item = latest.next().await.unwrap().unwrap();
            told += item.missed() + 1;
        }
        assert_eq!((told, latest.missed() + latest.received()), (30, 30));
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn what_waits_of_the_latest_is_bounded_by_bytes_too() {
    run(async {
        let (registry, one, far) = two().await;
        far.shutdown(SOON).await;
        let mut limits = botzilla::Limits::default();
        limits.stream_queue = 300_000;
        let config = crate::world::config(registry.address()).limits(limits);
        let two = crate::world::started(config).await;
        let images = camera(&one, "camera", Qos::latest()).await;
        let (marks, _made) = publish(&one, "marks", "tick", Qos::latest()).await;
        let mut marker = two.subscribe::<Tick>("marks/tick").await.unwrap();
        let mut some = two.subscribe::<Image>("camera/image").await.unwrap();
        until(|| images.subscribers() == 1 && marks.subscribers() == 1).await;
        for n in 0..20 {
            // Each is short enough to be sent at once.
            images.try_send(image(n, 50_000)).unwrap();
        }
        until_arrived(&one, &marks, &mut marker).await;
        let first = some.next().await.unwrap().unwrap();
        assert!(first.missed() >= 14, "{}", first.missed());
        assert_eq!(first.n, first.missed());
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_full_queue_of_the_latest_keeps_no_new_life_of_its_publisher_out() {
    run(async {
        let node = Node::start(NodeConfig::in_process()).await.unwrap();
        let (first, mut made) = publish(&node, "clock", "tick", Qos::latest().depth(1)).await;
        let mut wished = node
            .subscribe::<Tick>("clock/tick")
            .latest(1)
            .await
            .unwrap();
        let mut published = node.subscribe::<Tick>("clock/tick").await.unwrap();
        first.try_send(tick(1)).unwrap();
        drop(first);
        node.component("clock").ask(Panic {}).await.unwrap_err();
        let second = made.recv().await.unwrap();
        until(|| second.subscribers() == 2).await;
        second.try_send(tick(2)).unwrap();
        for subscription in [&mut wished, &mut published] {
            let item = next(subscription).await;
            assert_eq!((item.n, item.missed(), item.restarted()), (2, 1, true));
        }
        node.shutdown(SOON).await;
    });
}
