//! Encryption: who requires it gets it, of everybody, on both lanes; and what is told to who doesn't take it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use botzilla::{Error, Node, NodeConfig, Qos, Security, StartError};
use botzilla_registry::{Registry, RunningRegistry};
use botzilla_wire::{
    handshake::{HandshakeError, Local, Mode},
    ident::NodeId as PeerId,
};
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
    client,
    parts::{Echo, Ping},
    streams::{Tick, next, publish},
    world::{PATIENCE, SECRET, SOON, config, found, node, run, started, until},
};

async fn registry(security: Option<Security>) -> RunningRegistry {
    registry_at("127.0.0.1:0", security)
        .fresh()
        .start()
        .await
        .unwrap()
}

fn registry_at(listen: &str, security: Option<Security>) -> Registry {
    let mut config = NodeConfig::hosting_registry(&*SECRET)
        .unwrap()
        .listen(listen);
    if let Some(security) = security {
        config = config.security(security);
    }
    Registry::with(config)
}

/// Everything that went by, both ways, and a bit that is to be flipped.
#[derive(Default)]
struct Tap {
    seen: Mutex<Vec<u8>>,
    flips: AtomicBool,
}

impl Tap {
    fn saw(&self, text: &str) -> bool {
        let seen = self.seen.lock();
        seen.windows(text.len()).any(|part| part == text.as_bytes())
    }

    fn forget(&self) {
        self.seen.lock().clear();
    }
}

/// A node whose connections all go through a tap, those that it dials itself but to the registry.
async fn tapped(registry: SocketAddr, tap: &Arc<Tap>, proxies: &mut JoinSet<()>) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = started(config(registry).advertise([address.to_string()])).await;
    let target = node.address().unwrap();
    let tap = Arc::clone(tap);
    proxies.spawn(async move {
        let mut carried = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let tap = Arc::clone(&tap);
            carried.spawn(async move {
                let Ok(far) = TcpStream::connect(target).await else {
                    return;
                };
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                tokio::select! {
                    () = carry(near_in, far_out, &tap) => {}
                    () = carry(far_in, near_out, &tap) => {}
                }
            });
        }
    });
    node
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, tap: &Tap) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let read = &mut bytes[..count];
        if tap.flips.swap(false, Ordering::SeqCst) {
            read[count / 2] ^= 1;
        }
        tap.seen.lock().extend_from_slice(read);
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}

#[botzilla::message(reply = String)]
struct Say {
    text: String,
}

#[derive(Default)]
struct Parrot;

#[botzilla::component]
impl Parrot {
    #[botzilla::handler]
    fn say(&mut self, msg: Say) -> String {
        msg.text.replace("asked", "answered")
    }
}

const SAID: [&str; 4] = [
    "asked-in-secret",
    "answered-in-secret",
    "item-in-secret",
    "parrot",
];

/// Has all of that said on both lanes.
async fn talk(asker: &Node, host: &Node) {
    host.spawn("parrot", Parrot::default).await.unwrap();
    let (ticks, _made) = publish(host, "clock", "tick", Qos::reliable()).await;
    let text = SAID[0].to_owned();
    let reply = found(asker, "parrot")
        .await
        .ask(Say { text })
        .await
        .unwrap();
    assert_eq!(reply, SAID[1]);
    let mut items = asker.subscribe::<Tick>("clock/tick").await.unwrap();
    until(|| ticks.subscribers() == 1).await;
    let note = SAID[2].to_owned();
    ticks.send(Tick { n: 1, note }).await.unwrap();
    assert_eq!(next(&mut items).await.note, SAID[2]);
}

#[test]
fn a_recording_of_either_lane_shows_what_is_said_unless_the_network_requires_encryption() {
    run(async {
        for (security, seen) in [(None, true), (Some(Security::Encrypted), false)] {
            let registry = registry(security).await;
            let (tap, mut proxies) = (Arc::new(Tap::default()), JoinSet::new());
            let host = tapped(registry.address(), &tap, &mut proxies).await;
            let asker = node(registry.address()).await;
            assert_eq!(host.security(), security);
            assert_eq!(asker.security(), security);
            talk(&asker, &host).await;
            assert_eq!(SAID.map(|text| tap.saw(text)), [seen; 4]);
            assert!(tap.saw("botzilla"), "the handshake is there to be seen");
            asker.shutdown(SOON).await;
            host.shutdown(SOON).await;
            registry.shutdown(SOON).await;
        }
    });
}

#[test]
fn one_node_that_requires_encryption_gets_it_of_nodes_that_have_no_setting() {
    run(async {
        let registry = registry(None).await;
        let (tap, mut proxies) = (Arc::new(Tap::default()), JoinSet::new());
        let host = tapped(registry.address(), &tap, &mut proxies).await;
        let careful = config(registry.address()).security(Security::Encrypted);
        let careful = started(careful).await;
        talk(&careful, &host).await;
        assert!(!SAID.into_iter().any(|text| tap.saw(text)));
        assert_eq!(
            (careful.security(), host.security()),
            (Some(Security::Encrypted), None)
        );
        careful.shutdown(SOON).await;
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

fn says(error: &str, texts: &[&str]) {
    assert!(texts.iter().all(|text| error.contains(text)), "{error}");
}

#[test]
fn a_node_that_takes_tags_alone_does_not_start_in_a_network_that_requires_encryption_and_says_why()
{
    run(async {
        let registry = registry(Some(Security::Encrypted)).await;
        let plain = config(registry.address()).security(Security::Authenticated);
        let error = Node::start(plain).await.unwrap_err();
        assert!(matches!(error, Error::Start(StartError::Registry { .. })));
        says(
            &error.to_string(),
            &["requires encryption", "security = \"hmac\"", "\"noise\""],
        );
        // Nor the other way round.
        registry.shutdown(SOON).await;
        let registry = self::registry(Some(Security::Authenticated)).await;
        let careful = config(registry.address()).security(Security::Encrypted);
        let error = Node::start(careful).await.unwrap_err();
        says(
            &error.to_string(),
            &["this node requires encryption", "security = \"hmac\""],
        );
        registry.shutdown(SOON).await;
    });
}

#[test]
fn another_secret_under_the_same_id_is_named_where_encryption_is_required_too() {
    run(async {
        let registry = registry(Some(Security::Encrypted)).await;
        let other = botzilla_wire::Secret::from_bytes("it", [8; 32]).unwrap();
        let other = other.to_text().to_string();
        let config = NodeConfig::new(registry.address().to_string(), &other).unwrap();
        let error = Node::start(config.listen("127.0.0.1:0")).await.unwrap_err();
        says(&error.to_string(), &["wrong secret", "`it`"]);
        registry.shutdown(SOON).await;
    });
}

/// Dials a node by hand, with the right secret and these modes.
async fn dials(address: SocketAddr, modes: &[Mode]) -> Result<Mode, HandshakeError> {
    let secret = botzilla_wire::Secret::parse(&SECRET).unwrap();
    let mut local = Local::new(PeerId([0xee; 16]), vec![secret]);
    local.modes = modes.to_vec();
    let dialled = client::try_handshake(address, &local).await;
    dialled.map(|handshake| handshake.established.mode)
}

#[test]
fn nodes_hold_their_peers_to_what_the_registry_requires() {
    run(async {
        let registry = registry(Some(Security::Encrypted)).await;
        let host = node(registry.address()).await;
        let address = host.address().unwrap();
        let error = dials(address, &[Mode::Mac]).await.unwrap_err();
        says(&error.to_string(), &["the other side requires encryption"]);
        assert_eq!(
            dials(address, &[Mode::Mac, Mode::Noise]).await,
            Ok(Mode::Noise)
        );
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
        // Where nothing is required, the weaker of what both take is enough.
        let registry = self::registry(None).await;
        let host = node(registry.address()).await;
        let address = host.address().unwrap();
        assert_eq!(
            dials(address, &[Mode::Mac, Mode::Noise]).await,
            Ok(Mode::Mac)
        );
        assert_eq!(dials(address, &[Mode::Noise]).await, Ok(Mode::Noise));
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_short_lived_node_takes_nothing_less_of_others_than_the_registry_gave_it() {
    run(async {
        let registry = registry(Some(Security::Encrypted)).await;
        let tool = Node::start(config(registry.address()).short_lived())
            .await
            .unwrap();
        assert_eq!(tool.security(), Some(Security::Encrypted));
        tool.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_bit_flipped_on_the_way_ends_an_encrypted_connection_and_the_next_message_gets_another() {
    run(async {
        let registry = registry(Some(Security::Encrypted)).await;
        let (tap, mut proxies) = (Arc::new(Tap::default()), JoinSet::new());
        let host = tapped(registry.address(), &tap, &mut proxies).await;
        let asker = node(registry.address()).await;
        host.spawn("echo", Echo::default).await.unwrap();
        let echo = found(&asker, "echo").await;
        assert_eq!(echo.ask(Ping { n: 1 }).await.unwrap(), 1);
        tap.flips.store(true, Ordering::SeqCst);
        // A ping may be what is hit.
        let mut n = 2;
        while let Ok(reply) = echo.ask(Ping { n }).await {
            assert_eq!(reply, n);
            n += 1;
        }
        assert!(!tap.flips.load(Ordering::SeqCst));
        assert_eq!(echo.ask(Ping { n }).await.unwrap(), n);
        asker.shutdown(SOON).await;
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn nodes_that_learn_late_that_encryption_is_required_make_their_connections_anew_and_lose_nothing()
{
    run(async {
        let registry = registry(None).await;
        let address = registry.address();
        let (tap, mut proxies) = (Arc::new(Tap::default()), JoinSet::new());
        let host = tapped(address, &tap, &mut proxies).await;
        let asker = node(address).await;
        host.spawn("parrot", Parrot::default).await.unwrap();
        let (ticks, _made) = publish(&host, "clock", "tick", Qos::reliable()).await;
        let mut items = asker
            .subscribe::<Tick>("clock/tick")
            .reliable()
            .await
            .unwrap();
        until(|| ticks.subscribers() == 1).await;
        let parrot = found(&asker, "parrot").await;

        // Both go on all the time; each ask is answered, each item comes, in order.
        let goes_on = Arc::new(AtomicBool::new(true));
        let asks = actix_rt::spawn({
            let (goes_on, parrot) = (Arc::clone(&goes_on), parrot.clone());
            async move {
                let mut count = 0_u64;
                while goes_on.load(Ordering::SeqCst) {
                    let text = format!("{} {count}", SAID[0]);
                    let reply = parrot.ask(Say { text }).await;
                    assert_eq!(reply.unwrap(), format!("{} {count}", SAID[1]));
                    count += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                count
            }
        });
        let sends = actix_rt::spawn({
            let goes_on = Arc::clone(&goes_on);
            async move {
                let mut n = 0;
                while goes_on.load(Ordering::SeqCst) {
                    let note = SAID[2].to_owned();
                    ticks.send(Tick { n, note }).await.unwrap();
                    n += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                (n, ticks)
            }
        });
        let reads = actix_rt::spawn(async move {
            let mut n = 0;
            loop {
                let item = match tokio::time::timeout(PATIENCE, items.next()).await.unwrap() {
                    Some(item) => item.unwrap(),
                    None => return n,
                };
                assert_eq!((item.n, item.missed()), (n, 0));
                n += 1;
                if item.note == "the last" {
                    return n;
                }
            }
        });
        until(|| SAID[..3].iter().all(|text| tap.saw(text))).await;

        registry.shutdown(SOON).await;
        // Not a fresh one: it takes back who had names.
        let registry = registry_at(&address.to_string(), Some(Security::Encrypted));
        let registry = registry.start().await.unwrap();
        let required = Some(Security::Encrypted);
        until(|| host.security() == required && asker.security() == required).await;
        // What began before ends; from then on nothing can be read.
        loop {
            tap.forget();
            tokio::time::sleep(Duration::from_millis(300)).await;
            if !SAID.into_iter().any(|text| tap.saw(text)) {
                break;
            }
        }
        assert!(!tap.seen.lock().is_empty(), "both still talk");
        goes_on.store(false, Ordering::SeqCst);
        assert!(asks.await.unwrap() > 0);
        let (n, ticks) = sends.await.unwrap();
        let note = "the last".to_owned();
        ticks.send(Tick { n, note }).await.unwrap();
        assert_eq!(reads.await.unwrap(), n + 1);
        asker.shutdown(SOON).await;
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}
