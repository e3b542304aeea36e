//! Nodes that can't be dialled, addresses that are dead, names and families of addresses, and a registry
//! that many nodes lose at once. What only a real network has is in the registry's tests (`networks`).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use botzilla::{
    Limits, Node, NodeConfig, Qos,
    directory::messages::{Dial, Introduce, Introduced, REGISTRY},
};
use botzilla_registry::{Registry, RunningRegistry};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{
    parts::{Echo, Ping},
    streams::{Tick, next, publish, tick},
    world::{PATIENCE, SECRET, SOON, alone, config, found, node, registry, run, started, until},
};

/// Nobody listens there: as the address of a robot behind NAT, seen from elsewhere.
const NOWHERE: &str = "127.0.0.1:1";

/// A node that nobody can dial.
async fn robot(registry: &RunningRegistry) -> Node {
    started(config(registry.address()).advertise([NOWHERE])).await
}

async fn down(registry: RunningRegistry, nodes: &[Node]) {
    for node in nodes {
        node.shutdown(SOON).await;
    }
    registry.shutdown(SOON).await;
}

#[test]
fn a_node_that_cannot_be_dialled_is_reached_over_the_connection_that_it_is_asked_to_make() {
    run(async {
        let registry = registry().await;
        let robot = robot(&registry).await;
        robot.spawn("echo", Echo::default).await.unwrap();
        let other = node(registry.address()).await;
        let echo = found(&other, "echo").await;
        let reply = echo.ask(Ping { n: 7 }).within(Duration::from_secs(5)).await;
        assert_eq!(reply.unwrap(), 7);
        // A tool listens only when it has to be dialled.
        let tool = Node::start(config(registry.address()).short_lived())
            .await
            .unwrap();
        assert_eq!(tool.address(), None);
        let echo = tool.component("echo");
        let reply = echo.ask(Ping { n: 8 }).within(Duration::from_secs(5)).await;
        assert_eq!(reply.unwrap(), 8);
        assert!(tool.address().is_some());
        down(registry, &[tool, other, robot]).await;
    });
}

#[test]
fn the_streams_of_a_node_that_cannot_be_dialled_come_over_a_connection_that_it_is_asked_to_make() {
    run(async {
        let registry = registry().await;
        let robot = robot(&registry).await;
        let (ticks, _made) = publish(&robot, "clock", "tick", Qos::reliable()).await;
        let other = node(registry.address()).await;
        // No message has gone between them before.
        let mut far = other.subscribe::<Tick>("clock/tick").await.unwrap();
        until(|| ticks.subscribers() == 1).await;
        ticks.send(tick(7)).await.unwrap();
        assert_eq!(next(&mut far).await.n, 7);
        down(registry, &[other, robot]).await;
    });
}

#[test]
fn two_nodes_that_cannot_dial_each_other_are_told_so_with_what_was_tried_and_the_remedy() {
    run(async {
        let registry = registry().await;
        let (one, two) = (robot(&registry).await, robot(&registry).await);
        one.spawn("one", Echo::default).await.unwrap();
        two.spawn("two", Echo::default).await.unwrap();
        crate::world::until_listed(&one, &["one", "two"]).await;
        crate::world::until_listed(&two, &["one", "two"]).await;
        // At the same time: neither waits for the other's answer.
        let (one_to, two_to) = (one.component("two"), two.component("one"));
        let (there, back) = tokio::join!(one_to.ask(Ping { n: 1 }), two_to.ask(Ping { n: 1 }));
        for error in [there.unwrap_err(), back.unwrap_err()] {
            let error = error.to_string();
            for part in [NOWHERE, "behind NAT or a firewall", "advertise"] {
                assert!(error.contains(part), "{error}");
            }
        }
        down(registry, &[one, two]).await;
    });
}

#[test]
fn a_node_that_is_gone_is_not_said_to_be_behind_nat() {
    run(async {
        let registry = registry().await;
        let one = node(registry.address()).await;
        let asked = Introduce {
            node: "00112233445566778899aabbccddeeff".to_owned(),
            ..Introduce::default()
        };
        let reply = one.component(REGISTRY).ask(asked).await.unwrap();
        assert_eq!(reply.outcome, Introduced::Away);
        down(registry, &[one]).await;
    });
}

#[test]
fn nobody_but_the_registry_has_a_node_dial_where_he_likes() {
    run(async {
        let registry = registry().await;
        let (one, two) = (
            node(registry.address()).await,
            node(registry.address()).await,
        );
        one.spawn("one", Echo::default).await.unwrap();
        found(&two, "one").await;
        let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dial = Dial {
            node: "00112233445566778899aabbccddeeff".to_owned(),
            endpoints: vec![trap.local_addr().unwrap().to_string()],
        };
        let service = two.component(format!("node/{}", one.id()));
        let dialled = service.ask(dial).await.unwrap();
        assert!(
            !dialled.connected && dialled.reason.contains("only the registry"),
            "{dialled:?}"
        );
        let came = tokio::time::timeout(Duration::from_millis(200), trap.accept()).await;
        assert!(came.is_err(), "it was dialled");
        down(registry, &[one, two]).await;
    });
}

#[test]
fn a_connection_that_the_other_side_could_not_make_again_stays_when_nobody_uses_it() {
    run(async {
        let registry = registry().await;
        let mut limits = Limits::default();
        limits.idle_after = Duration::from_millis(100);
        limits.ping_every = Duration::from_millis(50);
        let robot = config(registry.address()).advertise([NOWHERE]);
        let robot = started(robot.limits(limits.clone())).await;
        let plain = || config(registry.address()).limits(limits.clone());
        let (host, dialable) = (started(plain()).await, started(plain()).await);
        host.spawn("echo", Echo::default).await.unwrap();
        robot.spawn("robot", Echo::default).await.unwrap();
        dialable.spawn("dialable", Echo::default).await.unwrap();
        for name in ["robot", "dialable"] {
            found(&host, name).await;
        }
        for node in [&robot, &dialable] {
            found(node, "echo").await.ask(Ping { n: 1 }).await.unwrap();
        }
        let connected = |node: &Node| host.peer(node.id()).is_some_and(|peer| peer.connected);
        for round in 0..3 {
            until(|| !connected(&dialable)).await;
            assert!(connected(&robot), "round {round}");
            let echo = found(&dialable, "echo").await;
            echo.ask(Ping { n: 2 }).await.unwrap();
        }
        // That is what it's kept for: nobody is left to ask.
        registry.shutdown(SOON).await;
        let reply = host.component("robot").ask(Ping { n: 3 }).await;
        assert_eq!(reply.unwrap(), 3);
        for node in [host, robot, dialable] {
            node.shutdown(SOON).await;
        }
    });
}

/// Takes connections and never says a word, as long as the set lives.
async fn silent(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

#[test]
fn dead_addresses_before_the_right_one_do_not_cost_the_deadline() {
    run(async {
        let registry = registry().await;
        let mut tasks = JoinSet::new();
        let (mute, wrong) = (silent(&mut tasks).await, node(registry.address()).await);
        // The right port is known only when the node listens: another listener hands on to it.
        let right = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let advertised = [
            mute.to_string(),
            NOWHERE.to_owned(),
            wrong.address().unwrap().to_string(),
            mute.to_string().replace("127.0.0.1", "localhost"),
            right.local_addr().unwrap().to_string(),
        ];
        let host = started(config(registry.address()).advertise(advertised)).await;
        let target = host.address().unwrap();
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((mut near, _)) = right.accept().await {
                let mut far = TcpStream::connect(target).await.unwrap();
                carried.spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        host.spawn("echo", Echo::default).await.unwrap();
        // Nobody is asked to dial this one: it can't be dialled itself.
        let other = robot(&registry).await;
        crate::world::until_listed(&other, &["echo"]).await;
        let ask = other.component("echo").ask(Ping { n: 5 });
        // One handshake alone may take 5 s.
        assert_eq!(ask.within(Duration::from_secs(4)).await.unwrap(), 5);
        down(registry, &[other, wrong, host]).await;
    });
}

/// Whether there is any IPv6 here.
fn has_ipv6() -> bool {
    let has = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("SKIPPED: there is no IPv6 here");
    }
    has
}

async fn talk(registry: &str, listen: &str) {
    let config = || {
        let config = NodeConfig::new(registry, &*SECRET).unwrap();
        config.listen(listen)
    };
    let (one, two) = (started(config()).await, started(config()).await);
    one.spawn("echo", Echo::default).await.unwrap();
    let (ticks, _made) = publish(&one, "clock", "tick", Qos::reliable()).await;
    let reply = found(&two, "echo").await.ask(Ping { n: 6 }).await;
    assert_eq!(reply.unwrap(), 6, "{registry} {listen}");
    let mut far = two.subscribe::<Tick>("clock/tick").await.unwrap();
    until(|| ticks.subscribers() == 1).await;
    ticks.send(tick(7)).await.unwrap();
    assert_eq!(next(&mut far).await.n, 7);
    one.shutdown(SOON).await;
    two.shutdown(SOON).await;
}

#[test]
fn registry_and_nodes_may_be_at_addresses_of_either_family_or_at_names() {
    run(async {
        let both = Registry::new("[::]:0", &*SECRET).unwrap();
        let both = both.fresh().start().await.unwrap();
        let port = both.address().port();
        talk(&format!("127.0.0.1:{port}"), "[::]:0").await;
        talk(&format!("localhost:{port}"), "0.0.0.0:0").await;
        if has_ipv6() {
            talk(&format!("[::1]:{port}"), "[::1]:0").await;
            let six = Registry::new("[::1]:0", &*SECRET).unwrap();
            let six = six.fresh().start().await.unwrap();
            talk(&six.address().to_string(), "localhost:0").await;
            six.shutdown(SOON).await;
        }
        both.shutdown(SOON).await;
    });
}

/// Stands before the registry, or in its place: counts who comes, and when.
struct Door {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    came: watch::Receiver<Vec<Instant>>,
    _tasks: JoinSet<()>,
}

impl Door {
    async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, open) = watch::channel(true);
        let (coming, came) = watch::channel(Vec::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                if !*open.borrow() {
                    coming.send_modify(|came: &mut Vec<_>| came.push(Instant::now()));
                    continue;
                }
                let mut open = open.clone();
                carried.spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self {
            address,
            is_open,
            came,
            _tasks: tasks,
        }
    }
}

/// How many of these come within the fullest span of this length.
fn most_within(span: Duration, came: &[Instant]) -> usize {
    let counts = came.iter().map(|from| {
        let until = *from + span;
        came.iter()
            .filter(|it| *from <= **it && **it < until)
            .count()
    });
    counts.max().unwrap_or(0)
}

#[test]
fn many_nodes_that_lose_the_registry_at_once_come_back_spread_and_do_not_hammer_it() {
    const NODES: usize = 24;
    let _alone = alone();
    run(async {
        let registry = registry().await;
        let door = Door::before(registry.address()).await;
        let mut nodes = Vec::new();
        for n in 0..NODES {
            let node = node(door.address).await;
            node.spawn(format!("n{n}"), Echo::default).await.unwrap();
            nodes.push(node);
        }
        door.is_open.send_replace(false);
        let closed = Instant::now();
        let mut came = door.came.clone();
        // As long as each has come six times: then it is seen how they come.
        let enough = came.wait_for(|came| came.len() >= 6 * NODES);
        let all = enough.await.unwrap().clone();
        let rate = all.len() as f64 / NODES as f64 / closed.elapsed().as_secs_f64();
        let most = most_within(Duration::from_millis(50), &all);
        eprintln!("{rate:.1} a second and node; at most {most} of {NODES} within 50 ms");
        assert!(rate < 3.0, "each comes {rate} times a second");
        assert!(most <= NODES / 2, "{most} of {NODES} come at once");
        door.is_open.send_replace(true);
        let opened = Instant::now();
        let there = || {
            nodes.iter().all(|node| {
                registry
                    .node()
                    .peer(node.id())
                    .is_some_and(|it| it.connected)
            })
        };
        until(there).await;
        let took = opened.elapsed();
        eprintln!("all back after {took:?}");
        assert!(took < PATIENCE / 10, "{took:?}");
        for node in &nodes {
            node.shutdown(Duration::ZERO).await;
        }
        registry.shutdown(SOON).await;
    });
}
