//! What peers that misbehave cost a node, in memory: a process of its own is watched.

use std::{net::SocketAddr, time::Duration};

use botzilla::{Reason, prelude::*};
use botzilla_registry::RunningRegistry;
use botzilla_wire::{
    Code, Encoding, Name,
    route::{Route, Scope},
    session::Event,
};
use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    child::Child,
    client::{self, Client, encoded, route},
    parts::{Deep, Halt, Large, Ping, Seen, Units, Wait},
    world::{self, SOON, found, run, until},
};

pub(crate) const MIB: u64 = 1024;
/// What a node may need for those who mean it ill.
const GROWTH: u64 = 96 * MIB;
/// What it may keep of it when they have gone: heaps have holes.
const SLACK: u64 = 8 * MIB;

/// A process that serves, somebody who is served, and what it uses before the others come.
pub(crate) struct Victim {
    registry: RunningRegistry,
    friend: Node,
    pub(crate) child: Child,
    pub(crate) before: u64,
}

impl Victim {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With more than an echo and a gate.
    pub(crate) async fn with(parts: &[&str]) -> Self {
        let registry = world::registry().await;
        let parts = [&["echo", "gate"], parts].concat();
        let child = Child::start(registry.address(), &parts).await;
        let friend = world::node(registry.address()).await;
        let echo = found(&friend, "echo").await;
        // Everything that is set up once is set up before it is measured.
        for n in 0..500 {
            echo.ask(Ping { n }).await.unwrap();
        }
        echo.ask(Large { bytes: 1024 * 1024 }).await.unwrap();
        let before = child.memory().now;
        Self {
            registry,
            friend,
            child,
            before,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.child.address
    }

    /// Others are served, and the memory is within its bound.
    pub(crate) async fn serves(&self) {
        self.serves_within(GROWTH).await;
    }

    /// With another bound.
    pub(crate) async fn serves_within(&self, growth: u64) {
        let echo = self.friend.component("echo");
        for n in 0..20 {
            assert_eq!(echo.ask(Ping { n }).await.unwrap(), n);
        }
        let memory = self.child.memory();
        assert!(
            memory.peak < self.before + growth,
            "from {} KiB: {memory:?}",
            self.before
        );
    }

    /// Others are served, and what the guests took is given back.
    pub(crate) async fn recovers(self) {
        self.recovers_within(GROWTH).await;
    }

    pub(crate) async fn recovers_within(self, growth: u64) {
        self.serves_within(growth).await;
        self.child.until_within(self.before + SLACK).await;
        self.friend.shutdown(SOON).await;
        self.child.stop().await;
        self.registry.shutdown(SOON).await;
    }
}

#[test]
fn an_asker_that_never_reads_its_replies_of_a_mebibyte_costs_what_it_was_granted() {
    run(async {
        let victim = Victim::start().await;
        let large = route::<Large>("echo", false);
        let payload = encoded(&Large { bytes: 1024 * 1024 });
        let mut asker = Client::connect(victim.address()).await;
        let mut asked = 0;
        while asker.ask(&large, payload.clone(), asked) {
            asked += 1;
        }
        assert_eq!(asked, 256);
        asker.flush().await.unwrap();
        // It says that it is there, and reads nothing.
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let silent = actix_rt::spawn(async move {
            while stopped.try_recv().is_err() {
                asker.beat().await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            asker
        });
        for _ in 0..20 {
            victim.serves().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.send(()).unwrap();
        // What is beyond the bound was refused, and the asker learns it when it does read.
        let mut asker = silent.await.unwrap();
        let (mut replied, mut overloaded) = (0, 0);
        while replied + overloaded < asked {
            match asker.event().await.expect("the connection is kept") {
                Event::Replied { .. } => replied += 1,
                Event::Failed { failure, .. } => {
                    assert_eq!(failure.code, Code::Overloaded, "{failure:?}");
                    overloaded += 1;
                }
                _ => {}
            }
        }
        assert!(
            replied >= 60 && overloaded > 0,
            "{replied} replies, {overloaded} refusals"
        );
        drop(asker);
        victim.recovers().await;
    });
}

#[test]
fn a_thousand_invented_targets_cost_next_to_nothing() {
    run(async {
        let victim = Victim::start().await;
        let mut client = Client::connect(victim.address()).await;
        let invented = |n: u64| Route {
            scope: Scope::Component(Name::new(&format!("invented-{n}")).unwrap()),
            sender: None,
            message: format!("Message{n}"),
            encoding: Encoding::Json,
            fingerprint: None,
            urgent: n.is_multiple_of(2),
        };
        for n in 0..1000 {
            assert!(client.ask(&invented(n), Bytes::from(vec![b'x'; 1000]), n));
        }
        client.flush().await.unwrap();
        let mut refused = 0;
        while refused < 1000 {
            if let Event::Failed { failure, .. } = client.event().await.expect("it is kept") {
                assert_eq!(failure.code, Code::NoSuchComponent);
                refused += 1;
            }
        }
        // And from a node that asks the registry for each.
        let asks = (0..1000).map(|n| {
            let target = victim.friend.component(format!("invented-{n}"));
            async move { target.ask(Ping { n }).await.unwrap_err() }
        });
        for error in join_all(asks).await {
            assert!(
                matches!(error.reason(), Reason::NoSuchComponent { .. }),
                "{error}"
            );
        }
        victim.serves().await;
        drop(client);
        victim.recovers().await;
    });
}

#[test]
fn asks_that_are_cancelled_in_a_loop_leave_nothing_behind() {
    run(async {
        let victim = Victim::start().await;
        let gate = found(&victim.friend, "gate").await;
        let echo = victim.friend.component("echo");
        let held = gate.tell(Wait { n: 0 }).await.unwrap();
        for round in 0..5000_u64 {
            // Those to the gate wait for ever, those to the echo may be answered or not.
            let mut waits = gate.ask(Wait { n: round });
            let mut pings = echo.ask(Ping {
                n: 1_000_000 + round,
            });
            if round.is_multiple_of(3) {
                // Never polled.
                continue;
            }
            let _ = (&mut waits).now_or_never();
            let _ = (&mut pings).now_or_never();
            if round.is_multiple_of(5) {
                tokio::task::yield_now().await;
            }
        }
        victim.serves().await;
        // None that was given up runs now; none is counted as open any more.
        assert!(
            gate.ask(Halt {
                reason: "end".into()
            })
            .await
            .unwrap()
            .is_empty()
        );
        assert!(held.await.is_err());
        let open = || -> u64 {
            let counters = victim.friend.counters();
            let to = counters
                .iter()
                .filter(|route| route.outbound && route.target != "registry");
            to.map(|route| route.counters.open).sum()
        };
        until(|| open() == 0).await;
        let seen = echo.ask(Seen).await.unwrap();
        assert!(seen.len() < 5000 + 1000, "{}", seen.len());
        victim.recovers().await;
    });
}

#[test]
fn silence_noise_and_nonsense_cost_nothing_that_stays() {
    run(async {
        let victim = Victim::start().await;
        let mut silent = Vec::new();
        for _ in 0..1000 {
            silent.push(TcpStream::connect(victim.address()).await.unwrap());
        }
        for _ in 0..100 {
            let noise: [u8; 4096] = client::random();
            let mut stream = TcpStream::connect(victim.address()).await.unwrap();
            // It may be cut before all of it is written.
            let _ = stream.write_all(&noise).await;
        }
        let mut member = Client::connect(victim.address()).await;
        let deep = Bytes::from(vec![1; 1024 * 1024]);
        // 2^60 elements of nothing.
        let units = Bytes::from_static(&[253, 0, 0, 0, 0, 0, 0, 0, 16]);
        for _ in 0..50 {
            for (route, payload) in [
                (route::<Deep>("echo", false), &deep),
                (route::<Units>("echo", false), &units),
            ] {
                let Event::Failed { failure, .. } = member.asked(&route, payload.clone()).await
                else {
                    panic!("it was taken")
                };
                assert_eq!(failure.code, Code::BadPayload);
            }
        }
        victim.serves().await;
        drop((member, silent));
        victim.recovers().await;
    });
}

#[test]
fn connections_that_promise_and_do_not_deliver_cost_what_arrived() {
    run(async {
        let victim = Victim::start().await;
        let mut open = Vec::new();
        // Strangers that say nothing, or half of a hello.
        for count in 0..200 {
            let mut stream = TcpStream::connect(victim.address()).await.unwrap();
            if count % 2 == 0 {
                let _ = stream
                    .write_all(b"botzilla\x01\x01\x00\x01\x00\xff\x03")
                    .await;
            }
            open.push(stream);
        }
        // Members that announce the largest payload and send a little of it, on each of 50.
        let mut members = Vec::new();
        for _ in 0..50 {
            let mut client = Client::connect(victim.address()).await;
            let large = route::<Large>("echo", false);
            assert!(client.ask(&large, vec![0; 8 * 1024 * 1024].into(), 0));
            client.flush_some(100 * 1024).await;
            members.push(client);
        }
        victim.serves().await;
        drop(members);
        drop(open);
        victim.recovers().await;
    });
}

#[test]
fn noise_within_an_authenticated_connection_ends_it_and_costs_nothing() {
    run(async {
        let victim = Victim::start().await;
        for _ in 0..200 {
            let mut forger = client::Forger::connect(victim.address()).await;
            let noise: [u8; 512] = client::random();
            forger.say(&noise).await;
            // Most are refused; some happen to be a frame that may be skipped, and nothing more.
            drop(forger);
        }
        victim.serves().await;
        victim.recovers().await;
    });
}
