//! What is damaged on its way is refused, over real sockets.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla::{NodeId, Reason, prelude::*};
use botzilla_wire::{NodeId as PeerId, handshake::Dialler, record::OVERHEAD};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::{
    client::{self, until_ended},
    parts::{Echo, Ping, Seen},
    world::{self, SOON, found, run, until},
};

/// What is to be done to one record of a connection.
#[derive(Clone, Copy, Debug)]
struct Damage {
    /// Of who dialled, or of the other.
    up: bool,
    record: usize,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// The first, from the end if below zero, of the bits of this byte.
    Flip(isize),
    Drop,
    Double,
    /// With the one that follows.
    Swap,
    /// In the middle; then the connection ends.
    Cut,
}

/// Stands between two nodes; knows where a record ends, and nothing else.
struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    target: Mutex<Option<SocketAddr>>,
    plan: Mutex<Option<Damage>>,
    /// Connections so far.
    count: Mutex<usize>,
    done: Mutex<bool>,
    /// Changes when all connections are to end.
    end: watch::Sender<()>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            target: Mutex::new(None),
            plan: Mutex::new(None),
            count: Mutex::new(0),
            done: Mutex::new(false),
            end: watch::channel(()).0,
        });
        let shared = state.clone();
        actix_rt::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let target = *shared.target.lock();
                let Some(Ok(far)) = connect(target).await else {
                    continue;
                };
                *shared.count.lock() += 1;
                let plan = shared.plan.lock().take();
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                for (up, from, to) in [(true, near_in, far_out), (false, far_in, near_out)] {
                    let plan = plan.filter(|plan| plan.up == up);
                    let (state, mut end) = (shared.clone(), shared.end.subscribe());
                    actix_rt::spawn(async move {
                        tokio::select! {
                            () = carry(from, to, plan, state) => {}
                            _ = end.changed() => {}
                        }
                    });
                }
            }
        });
        Self { address, state }
    }
}

async fn connect(target: Option<SocketAddr>) -> Option<std::io::Result<TcpStream>> {
    Some(TcpStream::connect(target?).await)
}

/// Carries one direction.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: Option<Damage>,
    state: Arc<State>,
) {
    // Two messages of the handshake, the length of their bodies at 13.
    for _ in 0..2 {
        let Some(message) = read(&mut from, 15, |head| {
            u16::from_le_bytes([head[13], head[14]]).into()
        })
        .await
        else {
            return;
        };
        if to.write_all(&message).await.is_err() {
            return;
        }
    }
    let mut held: Option<Vec<u8>> = None;
    for count in 0.. {
        let Some(mut record) = read(&mut from, 4, |head| {
            u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize + OVERHEAD - 4
        })
        .await
        else {
            return;
        };
        let mut out = Vec::new();
        match plan
            .filter(|plan| plan.record == count)
            .map(|plan| plan.how)
        {
            None => out.append(&mut record),
            Some(how) => {
                *state.done.lock() = true;
                match how {
                    How::Flip(at) => {
                        let at = if at < 0 {
                            record.len().wrapping_add_signed(at)
                        } else {
                            at.unsigned_abs()
                        };
                        record[at] ^= 1;
                        out.append(&mut record);
                    }
                    How::Drop => {}
                    How::Double => {
                        out.extend_from_slice(&record);
                        out.append(&mut record);
                    }
                    How::Swap => held = Some(std::mem::take(&mut record)),
                    How::Cut => {
                        let half = record.len() / 2;
                        let _ = to.write_all(&record[..half]).await;
                        return;
                    }
                }
            }
        }
        if !out.is_empty()
            && let Some(held) = held.take()
        {
            out.extend_from_slice(&held);
        }
        if to.write_all(&out).await.is_err() {
            return;
        }
    }
}

/// A head, and the rest that it announces.
pub(crate) async fn read(
    from: &mut OwnedReadHalf,
    head: usize,
    rest: impl Fn(&[u8]) -> usize,
) -> Option<Vec<u8>> {
    let mut bytes = vec![0; head];
    from.read_exact(&mut bytes).await.ok()?;
    let whole = head + rest(&bytes);
    bytes.resize(whole, 0);
    from.read_exact(&mut bytes[head..]).await.ok()?;
    Some(bytes)
}

/// Two nodes, one reached through the proxy; silence is noticed soon.
struct Wired {
    near: Node,
    far: Node,
    proxy: Proxy,
    registry: botzilla_registry::RunningRegistry,
}

async fn wired() -> Wired {
    let registry = world::registry().await;
    let proxy = Proxy::start().await;
    let mut limits = botzilla::Limits::default();
    limits.ping_every = Duration::from_millis(200);
    limits.dead_after = Duration::from_millis(1500);
    let config = |config: NodeConfig| config.limits(limits.clone());
    let far = config(world::config(registry.address())).advertise([proxy.address.to_string()]);
    let far = world::started(far).await;
    *proxy.state.target.lock() = far.address();
    let near = world::started(config(world::config(registry.address()))).await;
    far.spawn("echo", Echo::default).await.unwrap();
    Wired {
        near,
        far,
        proxy,
        registry,
    }
}

fn connected(node: &Node, peer: NodeId) -> bool {
    node.peer(peer).is_some_and(|peer| peer.connected)
}

#[test]
fn a_session_that_is_damaged_on_its_way_ends_there_and_no_handler_runs_what_was_damaged() {
    run(async {
        let Wired {
            near,
            far,
            proxy,
            registry,
        } = wired().await;
        let echo = found(&near, "echo").await;
        let hows = [
            How::Flip(0),
            How::Flip(3),
            How::Flip(4),
            How::Flip(-33),
            How::Flip(-1),
            How::Drop,
            How::Double,
            How::Swap,
            How::Cut,
        ];
        let (mut next, mut never) = (0, HashSet::new());
        for (up, record, how) in [true, false]
            .into_iter()
            .flat_map(|up| (0..3).map(move |record| (up, record)))
            .flat_map(|(up, record)| hows.into_iter().map(move |how| (up, record, how)))
        {
            let damage = Damage { up, record, how };
            // The connection there is ends, so that the next has the damage.
            *proxy.state.plan.lock() = Some(damage);
            *proxy.state.done.lock() = false;
            proxy.state.end.send_replace(());
            until(|| !connected(&near, far.id())).await;
            let before = *proxy.state.count.lock();
            let mut failed = 0;
            while *proxy.state.count.lock() < before + 2 {
                next += 1;
                let Err(error) = echo.ask(Ping { n: next }).await else {
                    continue;
                };
                failed += 1;
                assert!(failed <= 2, "{damage:?}: {error}");
                assert!(
                    matches!(error.reason(), Reason::Disconnected { .. }),
                    "{damage:?}: {error}"
                );
                // What the other way was damaged may have run; this way only what came through twice.
                if !error.may_have_run() || (up && how != How::Double) {
                    never.insert(next);
                }
            }
            assert!(*proxy.state.done.lock(), "{damage:?}");
            // Of what comes twice the first is as good as ever.
            assert!(failed > 0 || how == How::Double, "{damage:?}");
        }
        let seen = echo.ask(Seen).await.unwrap();
        let unique: HashSet<_> = seen.iter().copied().collect();
        assert_eq!(unique.len(), seen.len(), "none ran twice");
        assert!(unique.is_disjoint(&never), "none ran that was damaged");
        assert!(seen.is_sorted());
        near.shutdown(SOON).await;
        far.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_hello_or_a_proof_that_was_said_before_is_refused() {
    run(async {
        let registry = world::registry().await;
        let node = world::node(registry.address()).await;
        let address = node.address().unwrap();
        let local = client::local();
        let first = client::handshake(address, &local).await;
        let peer: PeerId = local.node;
        until(|| connected(&node, peer)).await;
        drop(first.stream);
        until(|| !connected(&node, peer)).await;

        // The old hello gets an answer with a new nonce, to which the old proof is none.
        let mut replayed = TcpStream::connect(address).await.unwrap();
        replayed.write_all(&first.said[0]).await.unwrap();
        assert_ne!(replayed.read(&mut [0; 1024]).await.unwrap(), 0);
        replayed.write_all(&first.said[1]).await.unwrap();
        until_ended(&mut replayed).await;
        assert!(!connected(&node, peer), "it had no effect");

        // Nor is the old proof one to a new hello.
        let mut dialler = Dialler::new(&local, None, None, client::random(), Instant::now());
        let hello: Bytes = dialler.poll_transmit().unwrap();
        let mut fresh = TcpStream::connect(address).await.unwrap();
        fresh.write_all(&hello).await.unwrap();
        let mut answer = BytesMut::new();
        fresh.read_buf(&mut answer).await.unwrap();
        assert!(matches!(
            dialler.receive(Instant::now(), &mut answer),
            Ok(None)
        ));
        fresh.write_all(&first.said[1]).await.unwrap();
        until_ended(&mut fresh).await;
        assert!(!connected(&node, peer));

        // A proof without any hello, and a hello twice.
        for said in [vec![&first.said[1]], vec![&hello, &hello]] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            for bytes in said {
                stream.write_all(bytes).await.unwrap();
            }
            until_ended(&mut stream).await;
        }
        assert!(!connected(&node, peer));
        node.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}
