//! What becomes of streams when their connections break, cross, or are refused.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use botzilla::{Node, Qos, StreamReason};
use botzilla_registry::RunningRegistry;
use botzilla_wire::{Limits, record::OVERHEAD};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

use crate::{
    damage::read,
    parts::{Echo, Ping},
    streams::{Tick, next, publish, tick},
    world::{PATIENCE, SOON, config, found, node, registry, run, started, two, until},
};

/// What is done to bulk connections on their way; control connections pass.
#[derive(Default)]
struct Trouble {
    /// How many there were.
    count: AtomicUsize,
    /// Each ends with its first record.
    breaks: AtomicBool,
    /// The next record of the one who was dialled is damaged.
    flips: AtomicBool,
}

/// Stands before a node, as long as the set lives.
async fn troubled(
    registry: &RunningRegistry,
    trouble: &Arc<Trouble>,
    proxies: &mut JoinSet<()>,
) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = started(config(registry.address()).advertise([address.to_string()])).await;
    let target = node.address().unwrap();
    let trouble = Arc::clone(trouble);
    proxies.spawn(async move {
        let mut carried = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            carried.spawn(between(near, target, Arc::clone(&trouble)));
        }
    });
    node
}

async fn message(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    read(from, 15, |head| {
        u16::from_le_bytes([head[13], head[14]]).into()
    })
    .await
}

/// Whether a dialler's hello is for the bulk lane: its fourth field says so.
fn is_bulk(hello: &[u8]) -> bool {
    let mut fields = &hello[15..];
    while let [tag, low, high, rest @ ..] = fields {
        let (value, rest) = rest.split_at(u16::from_le_bytes([*low, *high]).into());
        if *tag == 4 {
            return value == [1];
        }
        fields = rest;
    }
    false
}

async fn between(near: TcpStream, target: SocketAddr, trouble: Arc<Trouble>) {
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let (mut near_in, near_out) = near.into_split();
    let (far_in, mut far_out) = far.into_split();
    let Some(hello) = message(&mut near_in).await else {
        return;
    };
    let is_bulk = is_bulk(&hello);
    if far_out.write_all(&hello).await.is_err() {
        return;
    }
    if is_bulk {
        trouble.count.fetch_add(1, Ordering::SeqCst);
    }
    let trouble = is_bulk.then_some(&*trouble);
    // The first direction that ends takes the other with it.
    tokio::select! {
        () = carry(near_in, far_out, 1, trouble, false) => {}
        () = carry(far_in, near_out, 2, trouble, true) => {}
    }
}

/// One direction: what is left of the handshake, then records.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    messages: usize,
    trouble: Option<&Trouble>,
    is_back: bool,
) {
    for _ in 0..messages {
        let Some(message) = message(&mut from).await else {
            return;
        };
        if to.write_all(&message).await.is_err() {
            return;
        }
    }
    while let Some(mut record) = read(&mut from, 4, |head| {
        u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize + OVERHEAD - 4
    })
    .await
    {
        if let Some(trouble) = trouble {
            if trouble.breaks.load(Ordering::SeqCst) {
                return;
            }
            if is_back && trouble.flips.swap(false, Ordering::SeqCst) {
                record[4] ^= 1;
            }
        }
        if to.write_all(&record).await.is_err() {
            return;
        }
    }
}

#[test]
fn subscriptions_beyond_the_publisher_s_bound_are_refused_and_the_others_keep_theirs() {
    run(async {
        let registry = registry().await;
        let mut limits = Limits::default();
        limits.subscriptions = 2;
        let one = started(config(registry.address()).limits(limits)).await;
        let two = node(registry.address()).await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable().depth(64)).await;
        let mut all = Vec::new();
        for _ in 0..40 {
            all.push(two.subscribe::<Tick>("clock/tick").await.unwrap());
        }
        until(|| ticks.subscribers() == 2).await;
        // All others are told, while these have their places.
        let (mut refused, mut served) = (Vec::new(), Vec::new());
        for n in 0..50 {
            ticks.send(tick(n)).await.unwrap();
        }
        for mut ticks in all {
            let first = tokio::time::timeout(PATIENCE, ticks.next()).await.unwrap();
            match first.unwrap() {
                Ok(item) => {
                    assert_eq!((item.n, item.seq(), item.missed()), (0, 0, 0));
                    served.push(ticks);
                }
                Err(error) => {
                    assert!(
                        matches!(error.reason(), StreamReason::TooMany(_)),
                        "{error}"
                    );
                    refused.push(ticks);
                }
            }
        }
        assert_eq!((served.len(), refused.len()), (2, 38));
        for ticks in &mut served {
            for n in 1..50 {
                let item = next(ticks).await;
                assert_eq!((item.n, item.missed(), item.restarted()), (n, 0, false));
            }
        }
        // A place that is given up goes to another, without a word from anybody.
        drop(served.pop());
        until(|| ticks.subscribers() == 1).await;
        until(|| ticks.subscribers() == 2).await;
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn connections_that_break_at_once_are_dialled_less_and_less_often() {
    run(async {
        let registry = registry().await;
        let (trouble, mut proxies) = (Arc::new(Trouble::default()), JoinSet::new());
        trouble.breaks.store(true, Ordering::SeqCst);
        let one = troubled(&registry, &trouble, &mut proxies).await;
        let two = node(registry.address()).await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable().depth(4)).await;
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(two.subscribe::<Tick>("clock/tick").await.unwrap());
        }
        let dials = || trouble.count.load(Ordering::SeqCst);
        until(|| dials() > 0).await;
        let begin = Instant::now();
        // Other news is none of theirs.
        let mut spawned = 0;
        while dials() < 6 {
            publish(&one, &format!("other{spawned}"), "tick", Qos::latest()).await;
            spawned += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Half of 50, 100, 200, 400 and 800 ms at the least; a busy machine only takes longer.
        assert!(
            begin.elapsed() >= Duration::from_millis(750),
            "{:?}",
            begin.elapsed()
        );
        trouble.breaks.store(false, Ordering::SeqCst);
        until(|| ticks.subscribers() == 10).await;
        ticks.send(tick(0)).await.unwrap();
        for ticks in &mut all {
            assert_eq!(next(ticks).await.n, 0);
        }
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_damaged_bulk_connection_is_replaced_and_what_was_lost_is_told() {
    run(async {
        let registry = registry().await;
        let (trouble, mut proxies) = (Arc::new(Trouble::default()), JoinSet::new());
        let one = troubled(&registry, &trouble, &mut proxies).await;
        let two = node(registry.address()).await;
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable().depth(4)).await;
        let mut far = two.subscribe::<Tick>("clock/tick").await.unwrap();
        until(|| ticks.subscribers() == 1).await;
        // Until it has heard of its place it has missed nothing.
        ticks.send(tick(0)).await.unwrap();
        assert_eq!(next(&mut far).await.n, 0);
        let mut sent = 1;
        for round in 1..=3 {
            trouble.flips.store(true, Ordering::SeqCst);
            while trouble.count.load(Ordering::SeqCst) == round {
                // Those that nobody gets are missed all the same.
                let _ = ticks.try_send(tick(sent));
                sent = ticks.published();
                tokio::task::yield_now().await;
                while far.try_next().is_some() {}
            }
            until(|| ticks.subscribers() == 1).await;
        }
        // The publisher may not have heard of the last break yet: what it sends then is told with what it
        // sends afterwards.
        let mut looks = 0;
        until(|| {
            if looks % 50 == 0 {
                let _ = ticks.try_send(tick(sent));
            }
            looks += 1;
            while far.try_next().is_some() {}
            far.received() + far.missed() == ticks.published()
        })
        .await;
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn two_nodes_that_dial_each_other_for_streams_at_once_share_a_connection() {
    run(async {
        for _ in 0..8 {
            let (registry, one, two) = two().await;
            let (from_one, _made) = publish(&one, "a", "tick", Qos::reliable()).await;
            let (from_two, _made) = publish(&two, "b", "tick", Qos::reliable()).await;
            let (at_two, at_one) = tokio::join!(
                async { two.subscribe::<Tick>("a/tick").await.unwrap() },
                async { one.subscribe::<Tick>("b/tick").await.unwrap() },
            );
            until(|| from_one.subscribers() == 1 && from_two.subscribers() == 1).await;
            for (from, mut at) in [(from_one, at_two), (from_two, at_one)] {
                for n in 0..20 {
                    from.send(tick(n)).await.unwrap();
                    let item = next(&mut at).await;
                    assert_eq!((item.n, item.missed(), item.restarted()), (n, 0, false));
                }
            }
            for node in [&one, &two] {
                node.shutdown(SOON).await;
            }
            registry.shutdown(SOON).await;
        }
    });
}

#[test]
fn a_publisher_that_cannot_be_dialled_is_asked_to_dial() {
    run(async {
        let registry = registry().await;
        let nowhere = config(registry.address()).advertise(["127.0.0.1:1".to_owned()]);
        let one = started(nowhere).await;
        let two = node(registry.address()).await;
        two.spawn("echo", Echo::default).await.unwrap();
        let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable()).await;
        let mut far = two.subscribe::<Tick>("clock/tick").await.unwrap();
        // It reaches the other, as robots behind NAT do.
        found(&one, "echo").await.ask(Ping { n: 0 }).await.unwrap();
        until(|| ticks.subscribers() == 1).await;
        ticks.send(tick(7)).await.unwrap();
        assert_eq!(next(&mut far).await.n, 7);
        for node in [&one, &two] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}
