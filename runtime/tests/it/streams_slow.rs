//! A large item over a slow link, and what else wants to use that.

use std::{
    net::SocketAddr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla::Node;
use botzilla_registry::RunningRegistry;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

use crate::{
    parts::{Echo, Gate, Halt, Ping},
    streams_apart::pump,
    streams_between::Image,
    world::{SOON, alone, config, found, node, registry, run_apart, started, until},
};

/// Bytes a second: 20 Mbit/s.
const RATE: f64 = 20e6 / 8.0;
const LARGE: usize = 10_000_000;

/// What one direction carries, of all connections together; each waits for its turn.
#[derive(Default)]
struct Direction(Mutex<Option<Instant>>);

impl Direction {
    /// Waits until so many bytes have gone.
    async fn pass(&self, bytes: usize) {
        let gone = {
            let now = Instant::now();
            let mut free = self.0.lock();
            // A timer that fires late takes nothing from the rate.
            let earliest = now.checked_sub(Duration::from_millis(5)).unwrap();
            let begin = free.unwrap_or(now).max(earliest);
            *free.insert(begin + Duration::from_secs_f64(bytes as f64 / RATE))
        };
        tokio::time::sleep_until(gone.into()).await;
    }
}

/// Stands before a node, as long as the set lives; what goes to it and what comes from it pass through a link of both.
async fn slowed(
    registry: &RunningRegistry,
    [to, from]: [&Arc<Direction>; 2],
    proxies: &mut JoinSet<()>,
) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = config(registry.address()).advertise([address.to_string()]);
    let node = started(node).await;
    let target = node.address().unwrap();
    let (to, from) = (Arc::clone(to), Arc::clone(from));
    proxies.spawn(async move {
        let mut carried = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = connect(target).await else {
                continue;
            };
            near.set_nodelay(true).unwrap();
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            carried.spawn(carry(near_in, far_out, Arc::clone(&to)));
            carried.spawn(carry(far_in, near_out, Arc::clone(&from)));
        }
    });
    node
}

async fn connect(target: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// In pieces of a few packets, as they'd share a link.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, link: Arc<Direction>) {
    let mut piece = vec![0; 4096];
    while let Ok(bytes @ 1..) = from.read(&mut piece).await {
        link.pass(bytes).await;
        if to.write_all(&piece[..bytes]).await.is_err() {
            return;
        }
    }
}

/// `far` sends a large item to `near`, who asks `far` all the while and hears an urgent broadcast.
async fn large_item_and_asks(near: &Node, far: &Node) {
    let camera = format!("camera.{LARGE}.1");
    pump(far, &camera).await.unwrap();
    far.spawn("echo", Echo::default).await.unwrap();
    near.spawn("gate", Gate::default).await.unwrap();
    let echo = found(near, "echo").await;
    found(near, &camera).await;
    found(far, "gate").await;
    echo.ask(Ping { n: 0 }).await.unwrap();
    let begin = Instant::now();
    let images = near.subscribe::<Image>(format!("{camera}/image"));
    let mut images = images.reliable().await.unwrap();
    let (times, heard) = (Mutex::new(Vec::new()), Mutex::new(None));
    let ask = futures_util::future::join_all((0..4).map(|_| async {
        loop {
            let begin = Instant::now();
            echo.ask(Ping { n: 1 }).await.unwrap();
            times.lock().push(begin.elapsed());
        }
    }));
    let halt = async {
        // The item is well under way.
        until(|| begin.elapsed() > Duration::from_secs(1)).await;
        let sent = Instant::now();
        let reason = "as asked".to_owned();
        let report = far.broadcast(Halt { reason }).to_the_end().await.unwrap();
        *heard.lock() = Some((report, sent.elapsed()));
        std::future::pending::<()>().await;
    };
    let item = tokio::select! {
        item = images.next() => item.unwrap().unwrap(),
        _ = ask => unreachable!("it goes on"),
        () = halt => unreachable!("it waits"),
    };
    let took = begin.elapsed();
    assert_eq!((item.pixels.len(), item.missed()), (LARGE, 0));
    assert!(
        took > Duration::from_secs(3),
        "the link isn't slow: {took:?}"
    );
    let mut times = times.into_inner();
    times.sort_unstable();
    let at = |place: usize| times[(times.len() - 1) * place / 100];
    let (report, halted) = heard.into_inner().expect("the broadcast came first");
    eprintln!(
        "10 MB took {took:?}; {} asks, p50 {:?}, p99 {:?}; the broadcast {halted:?}",
        times.len(),
        at(50),
        at(99)
    );
    assert_eq!(report.delivered, ["gate"], "{report:?}");
    assert!(at(99) < Duration::from_millis(100), "p99 is {:?}", at(99));
}

#[test]
fn over_a_slow_link_a_large_item_leaves_room_for_asks_and_an_urgent_broadcast() {
    let _alone = alone();
    run_apart(async {
        let registry = registry().await;
        let (there, back) = (Arc::default(), Arc::default());
        let mut proxies = JoinSet::new();
        let far = slowed(&registry, [&there, &back], &mut proxies).await;
        let near = slowed(&registry, [&back, &there], &mut proxies).await;
        large_item_and_asks(&near, &far).await;
        near.shutdown(SOON).await;
        far.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

/// Set for the same program in a network of its own.
const NETWORK: &str = "BOTZILLA_IT_NETWORK";
/// A first-in-first-out queue before a link of 20 Mbit/s, in both directions together.
const SLOW: &str = "ip link set lo mtu 1500 up && \
    tc qdisc add dev lo root tbf rate 20mbit burst 16k latency 20ms";

#[test]
fn over_a_link_that_the_kernel_slows_the_same_holds() {
    let _alone = alone();
    if std::env::var_os(NETWORK).is_some() {
        return run_apart(async {
            let registry = registry().await;
            let far = node(registry.address()).await;
            let near = node(registry.address()).await;
            large_item_and_asks(&near, &far).await;
            near.shutdown(SOON).await;
            far.shutdown(SOON).await;
            registry.shutdown(SOON).await;
        });
    }
    let within = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", script]);
        command.env(NETWORK, "1");
        command
    };
    // A machine without namespaces, or without these tools, has the proxy's test only.
    if !within(SLOW)
        .output()
        .is_ok_and(|done| done.status.success())
    {
        eprintln!("no network namespace can be made here");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let name = "streams_slow::over_a_link_that_the_kernel_slows_the_same_holds";
    let script = format!("{SLOW} && exec \"$0\" --exact {name} --nocapture");
    let status = within(&script).arg(this).status().unwrap();
    assert!(status.success(), "see above");
}
