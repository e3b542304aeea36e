//! Publishers that come, go and change, and what an item says of where it comes from.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla::{Ctx, Limits, Node, PublishError, Publisher, Qos, StreamReason};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    streams::{End, Tick, next, publish, tick},
    world::{SOON, config, registry, run, started, two, until, until_gone},
};

/// Stands before a node until its tasks end; once frozen it keeps its connections and carries nothing.
async fn freezable(
    registry: SocketAddr,
    limits: Limits,
    proxies: &mut JoinSet<()>,
) -> (Node, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = config(registry).limits(limits);
    let node = started(node.advertise([address.to_string()])).await;
    let target = node.address().unwrap();
    let (freeze, frozen) = watch::channel(false);
    proxies.spawn(async move {
        let mut carried = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(target).await.unwrap();
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            carried.spawn(carry(near_in, far_out, frozen.clone()));
            carried.spawn(carry(far_in, near_out, frozen.clone()));
        }
    });
    (node, freeze)
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, frozen: watch::Receiver<bool>) {
    let mut piece = vec![0; 4096];
    while let Ok(bytes @ 1..) = from.read(&mut piece).await {
        if *frozen.borrow() {
            std::future::pending::<()>().await;
        }
        if to.write_all(&piece[..bytes]).await.is_err() {
            return;
        }
    }
}

#[test]
fn a_publisher_that_moves_to_the_subscribers_node_is_heard_there_at_once() {
    run(async {
        let registry = registry().await;
        let mut limits = Limits::default();
        // Nobody finds out that the old connection carries nothing.
        limits.dead_after = Duration::from_secs(1000);
        let mut proxies = JoinSet::new();
        let (one, freeze) = freezable(registry.address(), limits.clone(), &mut proxies).await;
        let two = started(config(registry.address()).limits(limits)).await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable()).await;
        let mut named = two.subscribe::<Tick>("clock/tick").await.unwrap();
        let mut all = two.subscribe::<Tick>("*/tick").await.unwrap();
        until(|| ticks.subscribers() == 2).await;
        ticks.send(tick(1)).await.unwrap();
        for subscription in [&mut named, &mut all] {
            let item = next(subscription).await;
            assert_eq!((item.n, item.node()), (1, one.id()));
        }
        freeze.send(true).unwrap();
        one.component("clock").ask(End {}).await.unwrap();
        until_gone(&one, "clock").await;
        let (moved, _made) = publish(&two, "clock", "tick", Qos::reliable()).await;
        until(|| moved.subscribers() == 2).await;
        moved.send(tick(2)).await.unwrap();
        for subscription in [&mut named, &mut all] {
            let item = next(subscription).await;
            let (n, node, restarted) = (item.n, item.node(), item.restarted());
            assert_eq!((n, node, restarted), (2, two.id(), true));
        }
        drop(proxies);
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_groups_streams_come_from_all_its_nodes_now_and_later() {
    run(async {
        let (registry, one, two) = two().await;
        let (first, _made) = publish(&one, "first", "tick", Qos::reliable()).await;
        let mut group = two.subscribe::<Tick>("group:sources/*").await.unwrap();
        until(|| first.subscribers() == 1).await;
        let (second, _made) = publish(&one, "second", "tock", Qos::reliable()).await;
        let (third, _made) = publish(&two, "third", "tick", Qos::reliable()).await;
        until(|| second.subscribers() == 1 && third.subscribers() == 1).await;
        for (publisher, n) in [(&first, 1), (&second, 2), (&third, 3)] {
            publisher.send(tick(n)).await.unwrap();
        }
        let mut came = Vec::new();
        for _ in 0..3 {
            let item = next(&mut group).await;
            came.push((item.n, item.stream().to_owned(), item.node()));
        }
        came.sort_by_key(|it| it.0);
        let expected = [
            (1, "first/tick".to_owned(), one.id()),
            (2, "second/tock".to_owned(), one.id()),
            (3, "third/tick".to_owned(), two.id()),
        ];
        assert_eq!(came, expected);
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_subscription_is_a_stream_and_its_items_tell_their_age_and_what_was_granted() {
    run(async {
        let (registry, one, two) = two().await;
        let qos = Qos::reliable().depth(16).keep_last(2);
        let (ticks, _made) = publish(&one, "clock", "tick", qos).await;
        for n in 0..5 {
            ticks.send(tick(n)).await.unwrap();
        }
        let published = Instant::now();
        tokio::time::sleep(Duration::from_millis(5)).await;
        let wish = two.subscribe::<Tick>("clock/tick").keep_last(9);
        let subscription = wish.depth(8).at_most(0.001).await.unwrap();
        let mut made = Vec::new();
        {
            // An item is as old as it is when it is looked at: when it was made stays the same.
            let items = subscription.map(|item| {
                let item = item.unwrap();
                (item.n, Instant::now() - item.age())
            });
            let mut items = std::pin::pin!(items.take(2));
            while let Some((n, at)) = items.next().await {
                assert_eq!(n, 3 + made.len() as u64);
                made.push(at);
            }
        }
        // Ages travel in microseconds, rounded; what the clock's two readings are apart comes on top.
        let exact = Duration::from_millis(1);
        assert!(
            made[0] <= made[1] + exact && made[1] <= published + exact,
            "{made:?}"
        );
        until(|| ticks.subscribers() == 0).await;
        let wish = two.subscribe::<Tick>("clock/*").keep_last(9);
        let granted = wish.depth(8).at_most(2.0).await.unwrap();
        assert!(granted.granted().is_empty(), "nobody has answered yet");
        until(|| !granted.granted().is_empty()).await;
        let grant = granted.granted().remove(0);
        let from = (&*grant.stream, grant.node);
        assert_eq!(from, ("clock/tick", one.id()));
        let how = (grant.reliable, grant.cuts_off, grant.depth, grant.keep_last);
        assert_eq!(how, (true, false, 8, 2));
        assert_eq!(grant.interval, Duration::from_millis(500));
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

/// As [`Tick`], but for one field.
#[botzilla::data]
#[derive(Clone, Debug)]
struct Tock {
    n: u64,
    note: Option<String>,
}

struct Changed(mpsc::Sender<Publisher<Tock>>);

#[botzilla::component]
impl Changed {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let _ = self.0.try_send(ctx.publish("tick", Qos::reliable())?);
        Ok(())
    }

    #[botzilla::handler]
    fn end(&mut self, _: End, ctx: &Ctx<Self>) {
        ctx.stop();
    }
}

#[test]
fn a_schema_that_changes_under_a_subscription_is_told_and_the_right_one_goes_on() {
    run(async {
        let (registry, one, two) = two().await;
        let (first, _made) = publish(&one, "clock", "tick", Qos::reliable()).await;
        let mut ticks = two.subscribe::<Tick>("clock/tick").await.unwrap();
        until(|| first.subscribers() == 1).await;
        first.send(tick(1)).await.unwrap();
        assert_eq!(next(&mut ticks).await.n, 1);
        one.component("clock").ask(End {}).await.unwrap();
        until_gone(&one, "clock").await;
        let (publishers, mut made) = mpsc::channel(1);
        let publishers = Arc::new(publishers);
        one.spawn("clock", move || Changed((*publishers).clone()))
            .await
            .unwrap();
        let changed = made.recv().await.unwrap();
        let error = ticks.next().await.unwrap().unwrap_err();
        let names = |reason: &StreamReason| matches!(reason, StreamReason::WrongSchema(text) if text.contains("note"));
        assert!(names(error.reason()), "{error}");
        drop(changed);
        one.component("clock").ask(End {}).await.unwrap();
        until_gone(&one, "clock").await;
        let (third, _made) = publish(&one, "clock", "tick", Qos::reliable()).await;
        until(|| third.subscribers() == 1).await;
        third.send(tick(3)).await.unwrap();
        let item = next(&mut ticks).await;
        assert_eq!((item.n, item.restarted(), item.missed()), (3, true, 0));
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}
