//! What peers that misbehave on the bulk lane cost a node, in memory: a process of its own is watched.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use botzilla_wire::{
    Encoding, EndCode, Name,
    frame::{Grant, SubscribeFrame},
    handshake::Local,
    ident::Lane,
    limits::Limits,
    output::Output,
    stream::{Event, Mode, StreamSession, Subscribe},
};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{self, Forger, Handshake},
    hostile::{MIB, Victim},
    world::run,
};

/// A subscriber made by hand, who reads when it likes to.
struct Peer {
    stream: TcpStream,
    session: StreamSession,
    input: BytesMut,
    events: Vec<Event>,
}

fn local() -> Local {
    let mut local = client::local();
    local.lane = Lane::Bulk;
    local
}

fn wish(component: &str, stream: &str, mode: Mode) -> Subscribe {
    Subscribe {
        component: Name::new(component).unwrap(),
        stream: Name::new(stream).unwrap(),
        subscriber: None,
        encoding: Encoding::Bincode,
        fingerprint: None,
        mode,
        depth: u32::MAX,
        keep_last: u32::MAX,
        interval: Duration::ZERO,
        items: 1 << 40,
        bytes: 1 << 60,
        resumes: None,
    }
}

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        let Handshake {
            stream,
            established,
            input,
            ..
        } = client::handshake(address, &local()).await;
        let mut limits = Limits::default();
        limits.dead_after = Duration::from_secs(3600);
        let session = StreamSession::new(established, &limits, Instant::now());
        Self {
            stream,
            session,
            input,
            events: Vec::new(),
        }
    }

    async fn flush(&mut self) {
        let mut output = Output::new();
        while self.session.poll_transmit(Instant::now(), &mut output) {}
        self.stream.write_all_buf(&mut output).await.unwrap();
    }

    /// Says that it is there, if it is time to.
    async fn beat(&mut self) {
        if self.session.poll_timeout() <= Instant::now() {
            // Whether the other side is heard is no matter.
            let _ = self.session.handle_timeout(Instant::now());
        }
        self.flush().await;
    }

    async fn event(&mut self) -> Event {
        while self.events.is_empty() {
            let (input, events) = (&mut self.input, &mut self.events);
            self.session.receive(Instant::now(), input, events).unwrap();
            self.flush().await;
            if self.events.is_empty() {
                let read = self.stream.read_buf(&mut self.input).await.unwrap();
                assert_ne!(read, 0, "the connection is kept");
            }
        }
        self.events.remove(0)
    }
}

#[test]
fn thousands_of_subscriptions_to_invented_streams_cost_next_to_nothing() {
    run(async {
        let victim = Victim::with(&["pump:cam.1000.1"]).await;
        let mut peer = Peer::connect(victim.address()).await;
        for round in 0..5 {
            for n in 0..1000 {
                let name = if n % 2 == 0 { "cam" } else { "nobody" };
                let wish = wish(name, &format!("invented-{round}-{n}"), Mode::Reliable);
                peer.session.subscribe(wish).unwrap();
            }
            peer.flush().await;
            for _ in 0..1000 {
                let event = peer.event().await;
                let Event::Ended { code, .. } = event else {
                    panic!("{event:?}")
                };
                assert_eq!(code, EndCode::NoSuchStream);
            }
        }
        victim.serves().await;
        drop(peer);
        victim.recovers().await;
    });
}

#[test]
fn subscribers_that_read_none_of_their_large_items_cost_what_may_wait_and_share_it() {
    // What may wait for one, the item under way, and the one that is about to be published.
    const GROWTH: u64 = (128 + 64 + 2 * 64 + 64) * MIB;
    run(async {
        let victim = Victim::with(&["pump:cam.60000000.10"]).await;
        let mut peers = Vec::new();
        for n in 0..8 {
            let mut peer = Peer::connect(victim.address()).await;
            let mode = if n % 2 == 0 {
                Mode::Reliable
            } else {
                Mode::Latest
            };
            peer.session.subscribe(wish("cam", "image", mode)).unwrap();
            peer.flush().await;
            peers.push(peer);
        }
        // For a second: that nothing more is taken has no event to wait for.
        for _ in 0..20 {
            for peer in &mut peers {
                peer.beat().await;
            }
            victim.serves_within(GROWTH).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(peers);
        victim.recovers_within(GROWTH).await;
    });
}

#[test]
fn items_that_are_never_granted_wait_and_grants_of_nothing_cost_nothing() {
    run(async {
        let victim = Victim::with(&["pump:cam.1000000.200"]).await;
        let mut forgers = Vec::new();
        for _ in 0..20 {
            let mut forger = Forger::connect_as(victim.address(), &local()).await;
            let mut body = Vec::new();
            for id in 0..40 {
                let mut subscribe = wish("cam", "image", Mode::Reliable);
                (subscribe.items, subscribe.bytes) = (1, 1);
                SubscribeFrame { id, subscribe }.encode(&mut body);
            }
            forger.say(&body).await;
            body.clear();
            for n in 0..10_000 {
                let grant = Grant {
                    id: n % 40,
                    items: 1,
                    bytes: 1,
                };
                grant.encode(&mut body);
            }
            forger.say(&body).await;
            forgers.push(forger);
        }
        victim.serves().await;
        drop(forgers);
        victim.recovers().await;
    });
}
