//! Those who don't hold the secret, and those who do and talk nonsense.

use std::time::Duration;

use botzilla::prelude::*;
use botzilla_wire::{
    Code, Kind,
    coding::put_varint,
    frame::{Message as MessageFrame, RouteFrame},
    session::Event,
};
use bytes::Bytes;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    client::{self, Client, Forger, encoded, route, until_ended},
    parts::{Deep, Echo, Nest, Ping, Units},
    world::{self, SOON, found, run},
};

async fn host() -> (
    botzilla_registry::RunningRegistry,
    Node,
    std::net::SocketAddr,
) {
    let registry = world::registry().await;
    let node = world::node(registry.address()).await;
    node.spawn("echo", Echo::default).await.unwrap();
    let address = node.address().unwrap();
    (registry, node, address)
}

/// A new node that finds the host and is served by it.
async fn newcomer(registry: &botzilla_registry::RunningRegistry) -> Node {
    let node = world::node(registry.address()).await;
    assert_eq!(
        found(&node, "echo").await.ask(Ping { n: 7 }).await.unwrap(),
        7
    );
    node
}

#[test]
fn who_says_random_bytes_is_shown_the_door() {
    run(async {
        let (registry, host, address) = host().await;
        for count in 0..100_usize {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut noise: [u8; 2048] = client::random();
            if count % 2 == 0 {
                // So that it gets a little further: a hello of no more than the bound.
                noise[..8].copy_from_slice(b"botzilla");
                noise[8] = (count % 6) as u8;
                noise[9..13].copy_from_slice(&[1, 0, 1, 0]);
                noise[14] %= 4;
            }
            // It may have ended the connection before all was written.
            let _ = stream.write_all(&noise[..1 + count * 20]).await;
            let _ = stream.shutdown().await;
            until_ended(&mut stream).await;
        }
        newcomer(&registry).await.shutdown(SOON).await;
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_node_joins_while_a_thousand_connections_say_nothing() {
    run(async {
        let (registry, host, address) = host().await;
        let time = std::env::var("BOTZILLA_IT_SILENCE_S");
        let time = Duration::from_secs(time.map_or(10, |seconds| seconds.parse().unwrap()));
        let flood = actix_rt::spawn(async move {
            let mut silent = std::collections::VecDeque::new();
            loop {
                silent.push_back(TcpStream::connect(address).await.unwrap());
                if silent.len() > 1000 {
                    // Most were cut by then; new ones come for as long as this lasts.
                    silent.pop_front();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        let end = std::time::Instant::now() + time;
        let mut joined = 0;
        while std::time::Instant::now() < end || joined < 3 {
            newcomer(&registry).await.shutdown(SOON).await;
            joined += 1;
        }
        flood.abort();
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

fn declared(number: u32) -> Vec<u8> {
    let mut body = Vec::new();
    let route = route::<Ping>("echo", false);
    RouteFrame {
        number,
        window: number,
        route,
    }
    .encode(&mut body);
    body
}

fn message(payload: &[u8], announced: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let kind = Kind::Ask;
    let time_left = Duration::from_secs(5);
    let message = MessageFrame {
        kind,
        route: 0,
        id: 1,
        time_left,
        path: vec![],
        path_len: 0,
    };
    message.encode(announced, &mut body);
    body.extend_from_slice(payload);
    body
}

/// A frame with these header bytes after the payload's length.
fn raw(kind: u8, fields: &[u8]) -> Vec<u8> {
    let mut body = vec![u8::try_from(2 + fields.len()).unwrap(), kind, 0];
    body.extend_from_slice(fields);
    body
}

#[test]
fn four_gib_are_announced_and_refused_at_once() {
    run(async {
        let (registry, host, address) = host().await;
        let mut record = Forger::connect(address).await;
        record.stream.write_all(&[0xff; 64]).await.unwrap();
        assert!(
            record.last_words().await.contains("4294967295"),
            "a record's length"
        );

        let mut payload = Forger::connect(address).await;
        payload.say(&declared(0)).await;
        payload.say(&message(b"xx", u32::MAX as usize)).await;
        let words = payload.last_words().await;
        assert!(
            words.contains("4294967295") && words.contains("16777216"),
            "a payload's: {words}"
        );
        newcomer(&registry).await.shutdown(SOON).await;
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn what_a_later_version_may_leave_out_is_skipped_and_what_it_must_not_is_refused_by_name() {
    run(async {
        let (registry, host, address) = host().await;
        let mut optional_field = declared(0);
        optional_field.extend_from_slice(&[100, 2, 7, 7]);
        optional_field[0] += 4;
        let mut answered = Forger::connect(address).await;
        let ping = encoded(&Ping { n: 1 });
        let body = [
            raw(0xfe, &[1, 2, 3]),
            optional_field,
            message(&ping, ping.len()),
        ]
        .concat();
        answered.say(&body).await;
        crate::world::until_received(&host, "echo", 1).await;
        assert_eq!(
            found(&host, "echo")
                .await
                .ask(crate::parts::Seen)
                .await
                .unwrap(),
            [1]
        );
        answered.say(&raw(0x7e, &[])).await;
        assert!(
            answered
                .last_words()
                .await
                .contains("unknown required frame kind 0x7e")
        );

        let mut required_field = declared(0);
        required_field.extend_from_slice(&[101, 1, 7]);
        required_field[0] += 3;
        let mut refused = Forger::connect(address).await;
        refused.say(&required_field).await;
        let words = refused.last_words().await;
        assert!(
            words.contains("unknown required field 101 in a route frame"),
            "{words}"
        );

        let mut local = client::local();
        local.features = botzilla_wire::ident::Features(1 << 20);
        let skipped = client::handshake(address, &local).await;
        assert_eq!(skipped.established.features.0 & (1 << 20), 0);
        let mut local = client::local();
        local.features = botzilla_wire::ident::Features(1 << 50);
        let mut dialler = botzilla_wire::handshake::Dialler::new(
            &local,
            None,
            None,
            client::random(),
            std::time::Instant::now(),
        );
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(&dialler.poll_transmit().unwrap())
            .await
            .unwrap();
        let mut input = bytes::BytesMut::new();
        let error = loop {
            use tokio::io::AsyncReadExt;
            assert_ne!(stream.read_buf(&mut input).await.unwrap(), 0, "it says why");
            match dialler.receive(std::time::Instant::now(), &mut input) {
                Ok(None) => {}
                Ok(Some(_)) => panic!("a required feature that isn't known"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("50"), "{error}");
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

fn refused(event: &Event<u64>) -> (Code, &str) {
    match event {
        Event::Failed { failure, .. } => (failure.code, &failure.detail),
        other => panic!("{other:?}"),
    }
}

#[test]
fn payloads_that_would_overflow_the_stack_or_spin_are_refused() {
    run(async {
        let (registry, host, address) = host().await;
        let mut client = Client::connect(address).await;
        let deep = route::<Deep>("echo", false);
        let fits = encoded(&Deep {
            nest: Nest::Deeper(Box::new(Nest::Nothing)),
        });
        assert!(matches!(
            client.asked(&deep, fits).await,
            Event::Replied { .. }
        ));
        // One megabyte of "deeper".
        let event = client.asked(&deep, vec![1; 1024 * 1024].into()).await;
        let (code, detail) = refused(&event);
        assert_eq!(code, Code::BadPayload);
        assert!(detail.contains("nests too deep"), "{detail}");

        let mut many = Vec::new();
        put_varint(&mut many, 1 << 60);
        let event = client
            .asked(&route::<Units>("echo", false), many.into())
            .await;
        assert_eq!(refused(&event).0, Code::BadPayload);

        // And what is no message at all.
        for _ in 0..50 {
            let noise: [u8; 40] = client::random();
            let event = client.asked(&deep, Bytes::copy_from_slice(&noise)).await;
            assert_eq!(refused(&event).0, Code::BadPayload);
        }
        assert!(matches!(
            client
                .asked(&route::<Ping>("echo", false), encoded(&Ping { n: 1 }))
                .await,
            Event::Replied { .. }
        ));
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}
