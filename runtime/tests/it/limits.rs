//! Every limit that can be set, set.

use std::time::Duration;

use botzilla::{Limits, NodeConfig, Reason, prelude::*};
use botzilla_registry::RunningRegistry;
use futures_util::future::join_all;
use tokio::net::{TcpSocket, TcpStream};

use crate::{
    client::until_ended,
    parts::{Echo, Gate, Halt, Large, Open, Ping, Wait},
    world::{self, PATIENCE, SOON, config, found, registry, run, started, until, until_received},
};

/// A host with these limits, and a node that sends to it.
async fn limited(set: impl FnOnce(&mut Limits)) -> (RunningRegistry, Node, Node) {
    let registry = registry().await;
    let mut limits = Limits::default();
    set(&mut limits);
    let host = started(config(registry.address()).limits(limits)).await;
    host.spawn("echo", Echo::default).await.unwrap();
    host.spawn("gate", Gate::default).await.unwrap();
    let other = world::node(registry.address()).await;
    for name in ["echo", "gate"] {
        found(&other, name).await;
    }
    (registry, host, other)
}

async fn down(registry: RunningRegistry, host: Node, other: Node) {
    other.shutdown(Duration::ZERO).await;
    host.shutdown(Duration::ZERO).await;
    registry.shutdown(SOON).await;
}

/// How many tells to a gate are taken before it is full.
fn taken(gate: &ComponentRef) -> u64 {
    (0..).find(|&n| gate.try_tell(Wait { n }).is_err()).unwrap()
}

#[test]
fn a_payload_is_as_large_as_its_receiver_allows() {
    run(async {
        let (registry, host, other) = limited(|limits| limits.payload = 100_000).await;
        let text = |bytes| Halt {
            reason: "x".repeat(bytes),
        };
        let gate = other.component("gate");
        gate.ask(text(99_000)).await.unwrap();
        let error = gate.ask(text(100_001)).await.unwrap_err();
        assert!(!error.may_have_run(), "it wasn't sent: {error}");
        let Reason::TooLarge { detail, .. } = error.reason() else {
            panic!("{error}")
        };
        assert!(
            detail.contains("100000") && detail.contains("limits.payload"),
            "{detail}"
        );
        // It is what is received that is limited, replies too.
        assert_eq!(
            other
                .component("echo")
                .ask(Large { bytes: 200_000 })
                .await
                .unwrap()
                .len(),
            200_000
        );
        other.spawn("back", Echo::default).await.unwrap();
        let error = found(&host, "back")
            .await
            .ask(Large { bytes: 200_000 })
            .await
            .unwrap_err();
        assert!(matches!(error.reason(), Reason::TooLarge { .. }), "{error}");
        assert!(error.may_have_run(), "its reply is too large: {error}");
        down(registry, host, other).await;
    });
}

#[test]
fn messages_per_target_bounds_a_queue_for_senders_here_and_elsewhere() {
    run(async {
        let (registry, host, other) = limited(|limits| limits.messages_per_target = 7).await;
        assert_eq!(taken(&other.component("gate")), 7);
        assert_eq!(taken(&host.component("gate")), 7);
        until_received(&host, "gate", 14).await;
        // Not the others', and not the urgent ones.
        assert_eq!(other.component("echo").ask(Ping { n: 1 }).await.unwrap(), 1);
        other
            .component("gate")
            .ask(Halt {
                reason: String::new(),
            })
            .await
            .unwrap();
        down(registry, host, other).await;
    });
}

#[test]
fn urgent_per_target_bounds_urgent_messages() {
    run(async {
        let (registry, host, other) = limited(|limits| limits.urgent_per_target = 3).await;
        let gate = other.component("gate");
        let taken = (0..).find(|_| gate.try_tell(Open).is_err()).unwrap();
        assert_eq!(taken, 3);
        gate.flush().await;
        gate.ask(Open).await.unwrap();
        down(registry, host, other).await;
    });
}

#[test]
fn messages_per_connection_bounds_all_targets_together_but_for_urgent_ones() {
    run(async {
        let (registry, host, other) = limited(|limits| limits.messages_per_connection = 32).await;
        // A sixteenth is kept for urgent messages.
        assert_eq!(taken(&other.component("gate")), 30);
        let full = other.component("echo").try_tell(Ping { n: 1 }).unwrap_err();
        assert!(full.is_full(), "{full}");
        other.component("gate").ask(Open).await.unwrap();
        other.component("gate").flush().await;
        assert_eq!(other.component("echo").ask(Ping { n: 2 }).await.unwrap(), 2);
        down(registry, host, other).await;
    });
}

#[test]
fn bytes_per_connection_bounds_them_too() {
    run(async {
        let (registry, host, other) =
            limited(|limits| limits.bytes_per_connection = 1_000_000).await;
        let echo = other.component("gate");
        // Larger than half of it never goes.
        let error = echo
            .ask(Halt {
                reason: "x".repeat(600_000),
            })
            .await
            .unwrap_err();
        assert!(matches!(error.reason(), Reason::TooLarge { .. }), "{error}");
        // Many that fit go one after the other.
        let asks = (0..20).map(|_| {
            echo.ask(Halt {
                reason: "x".repeat(400_000),
            })
        });
        assert!(join_all(asks).await.iter().all(Result::is_ok));
        down(registry, host, other).await;
    });
}

#[test]
fn reply_bytes_bounds_what_waits_for_an_asker() {
    run(async {
        let (registry, host, other) = limited(|limits| limits.reply_bytes = 100_000).await;
        let echo = other.component("echo");
        assert_eq!(
            echo.ask(Large { bytes: 90_000 }).await.unwrap().len(),
            90_000
        );
        let error = echo.ask(Large { bytes: 100_001 }).await.unwrap_err();
        let Reason::Overloaded { detail, .. } = error.reason() else {
            panic!("{error}")
        };
        assert!(detail.contains("100000"), "{detail}");
        down(registry, host, other).await;
    });
}

#[botzilla::message(reply = Vec<u64>)]
struct Zeros {
    count: usize,
}

#[derive(Default)]
struct Zeroer;

#[botzilla::component]
impl Zeroer {
    #[botzilla::handler]
    fn zeros(&mut self, msg: Zeros) -> Vec<u64> {
        vec![0; msg.count]
    }
}

#[test]
fn decoded_bounds_what_a_reply_as_json_may_become_in_memory() {
    run(async {
        let mut limits = Limits::default();
        limits.decoded = 10_000;
        let node = started(NodeConfig::in_process().limits(limits)).await;
        let zeroer = node.spawn("zeroer", Zeroer::default).await.unwrap();
        let ask = |count: usize| serde_json::json!({ "count": count });
        let few = zeroer.ask_json("Zeros", &ask(3), None).await.unwrap();
        assert_eq!(few, serde_json::json!([0, 0, 0]));
        let error = zeroer.ask_json("Zeros", &ask(100_000), None).await;
        let error = error.unwrap_err();
        assert!(matches!(error.reason(), Reason::Codec { .. }), "{error}");
        node.shutdown(SOON).await;
    });
}

#[botzilla::message]
struct Burst;

#[derive(Default)]
struct Tyre;

#[botzilla::component]
impl Tyre {
    #[botzilla::handler]
    fn burst(&mut self, _: Burst) {
        panic!("{}", "hiss ".repeat(1000));
    }
}

#[test]
fn panic_text_bounds_what_a_caller_is_told_of_a_panic() {
    run(async {
        for (limit, told) in [(None, 1024), (Some(40), 40), (Some(100_000), 5000)] {
            let mut limits = Limits::default();
            limits.panic_text = limit.unwrap_or(limits.panic_text);
            let node = started(NodeConfig::in_process().limits(limits)).await;
            let tyre = node.spawn("tyre", Tyre::default).await.unwrap();
            let error = tyre.ask(Burst).await.unwrap_err();
            let Reason::HandlerPanicked(text) = error.reason() else {
                panic!("{error}")
            };
            assert_eq!(text.len(), told);
            node.shutdown(SOON).await;
        }
    });
}

#[test]
fn detail_bounds_what_a_failure_says_on_its_way() {
    run(async {
        let (registry, host, other) = limited(|limits| {
            limits.detail = 40;
            limits.panic_text = 100_000;
        })
        .await;
        host.spawn("tyre", Tyre::default).await.unwrap();
        found(&other, "tyre").await;
        // Here nothing travels.
        for (node, told) in [(&other, 40), (&host, 5000)] {
            let error = node.component("tyre").ask(Burst).await.unwrap_err();
            let Reason::HandlerPanicked(text) = error.reason() else {
                panic!("{error}")
            };
            assert_eq!(text.len(), told);
        }
        down(registry, host, other).await;
    });
}

/// Asks the first of them, which asks the others; how many were asked.
#[botzilla::message(reply = Result<u64, String>)]
struct Along {
    names: Vec<String>,
}

#[derive(Default)]
struct Walker;

#[botzilla::component]
impl Walker {
    #[botzilla::handler]
    async fn along(&mut self, msg: Along, ctx: &Ctx<Self>) -> Result<u64, String> {
        let Some((next, rest)) = msg.names.split_first() else {
            return Ok(0);
        };
        let names = rest.to_vec();
        let asked = ctx.component(next).ask(Along { names }).await;
        asked.map_err(|error| error.to_string())?.map(|n| n + 1)
    }
}

#[test]
fn path_bounds_how_deep_asks_nest() {
    run(async {
        for (limit, names, deepest) in [(2, "b c", 2), (3, "b c d", 3)] {
            let mut limits = Limits::default();
            limits.path = limit;
            let node = started(NodeConfig::in_process().limits(limits)).await;
            for name in ["a", "b", "c", "d", "e"] {
                node.spawn(name, Walker::default).await.unwrap();
            }
            let a = node.component("a");
            let mut names: Vec<_> = names.split(' ').map(str::to_owned).collect();
            let asked = a
                .ask(Along {
                    names: names.clone(),
                })
                .await
                .unwrap();
            assert_eq!(asked, Ok(deepest));
            let waiting = format!("a -> {}", names.join(" -> "));
            names.push("e".to_owned());
            let error = a.ask(Along { names }).await.unwrap().unwrap_err();
            assert!(error.contains(&waiting), "{error}");
            node.shutdown(SOON).await;
        }
    });
}

/// A connection that says nothing, from 127.0.0.`last`.
async fn silent(host: &Node, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    socket.connect(host.address().unwrap()).await.unwrap()
}

fn is_open(stream: &TcpStream) -> bool {
    let nothing = stream.try_read(&mut [0]).unwrap_err();
    nothing.kind() == std::io::ErrorKind::WouldBlock
}

#[test]
fn unproven_bounds_those_who_say_nothing_and_the_oldest_goes() {
    run(async {
        let (registry, host, other) = limited(|limits| {
            limits.unproven = 2;
            limits.unproven_per_address = 2;
            limits.handshake_time = PATIENCE;
        })
        .await;
        let mut first = silent(&host, 2).await;
        let (second, third) = (silent(&host, 3).await, silent(&host, 4).await);
        until_ended(&mut first).await;
        assert!(is_open(&second) && is_open(&third));
        down(registry, host, other).await;
    });
}

#[test]
fn unproven_per_address_bounds_those_of_one_address_and_leaves_others_alone() {
    run(async {
        let (registry, host, other) = limited(|limits| {
            limits.unproven_per_address = 1;
            // So that nobody goes for being slow.
            limits.handshake_time = PATIENCE;
        })
        .await;
        let elsewhere = silent(&host, 2).await;
        let mut first = silent(&host, 3).await;
        let second = silent(&host, 3).await;
        until_ended(&mut first).await;
        assert!(is_open(&elsewhere) && is_open(&second));
        down(registry, host, other).await;
    });
}

#[test]
fn a_connection_that_nobody_uses_ends_and_comes_back_when_it_is_needed() {
    run(async {
        let registry = registry().await;
        let mut limits = Limits::default();
        limits.idle_after = Duration::from_millis(100);
        limits.ping_every = Duration::from_millis(50);
        let host = started(config(registry.address()).limits(limits.clone())).await;
        host.spawn("echo", Echo::default).await.unwrap();
        let other = started(config(registry.address()).limits(limits)).await;
        let echo = found(&other, "echo").await;
        for n in 0..2 {
            assert_eq!(echo.ask(Ping { n }).await.unwrap(), n);
            until(|| other.peer(host.id()).is_none_or(|peer| !peer.connected)).await;
        }
        // The one to the registry is kept.
        assert_eq!(other.report().peers.len(), 1);
        down(registry, host, other).await;
    });
}

#[test]
fn every_setting_of_a_file_is_taken_and_one_that_is_not_known_is_refused_by_name() {
    run(async {
        let registry = registry().await;
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |more: &str| {
            let text = format!(
                "registry = \"{}\"\nsecret = \"{}\"\nlisten = \"127.0.0.1:0\"\n\
                 advertise = [\"127.0.0.1:7\"]\nask_time_ms = 20\nregistry_time_ms = 9000\n{more}",
                registry.address(),
                &*world::SECRET,
            );
            std::fs::write(file.path(), text).unwrap();
        };
        write(
            "[limits]\npayload = 1000\nmessages_per_target = 5\nurgent_per_target = 2\n\
             messages_per_connection = 50\nbytes_per_connection = 10000\nreply_bytes = 500\n\
             idle_after_ms = 60000\n",
        );
        let node = started(NodeConfig::from_file(file.path()).unwrap()).await;
        let gate = node.spawn("gate", Gate::default).await.unwrap();
        assert_eq!(taken(&gate), 5);
        let late = gate.ask(Wait { n: 9 }).await.unwrap_err();
        let Reason::Expired { after, .. } = late.reason() else {
            panic!("{late}")
        };
        assert!(*after <= Duration::from_millis(20), "{after:?}");
        let listed = node.list().await.unwrap();
        assert_eq!(listed[0].endpoints, ["127.0.0.1:7"]);
        node.shutdown(Duration::ZERO).await;

        for (key, more) in [
            ("regitsry", "regitsry = 1\n"),
            ("paylaod", "[limits]\npaylaod = 1\n"),
            ("limit", "[limit]\n"),
        ] {
            write(more);
            let error = NodeConfig::from_file(file.path()).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        registry.shutdown(SOON).await;
    });
}
