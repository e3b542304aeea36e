//! Components of several nodes: what goes wrong between them is said by name.

use std::time::{Duration, Instant};

use botzilla::{CallError, Error, Node, NodeConfig, Reason, SpawnError, StartError, prelude::*};
use serde_json::json;

use crate::{
    parts::{Echo, Gate, Ping, Seen, Wait},
    world::{self, SOON, config, found, registry, run, run_apart, started},
};

mod other {
    /// The same name and fields as `Ping`, one of another width.
    #[botzilla::message(reply = u64, name = "Ping")]
    pub(super) struct Narrow {
        pub(super) n: u32,
    }

    /// The same fields in another order.
    #[botzilla::message(reply = String, name = "Pair")]
    pub(super) struct Pair {
        pub(super) b: u8,
        pub(super) a: u8,
    }
}

#[botzilla::message(reply = String)]
struct Pair {
    a: u8,
    b: u8,
}

/// Its type can't be traced here, so it travels as JSON.
#[botzilla::message(reply = Odd)]
struct Odd {
    #[serde(deserialize_with = "odd", serialize_with = "write")]
    #[schemars(with = "u32")]
    n: u32,
}

fn odd<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let n: u32 = serde::Deserialize::deserialize(from)?;
    assert_eq!(n % 2, 1, "{n} isn't odd");
    Ok(n)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn write<S: serde::Serializer>(n: &u32, to: S) -> Result<S::Ok, S::Error> {
    assert_ne!(*n, 13, "unlucky");
    to.serialize_u32(*n)
}

#[derive(Default)]
struct Several;

#[botzilla::component]
impl Several {
    #[botzilla::handler]
    fn pair(&mut self, msg: Pair) -> String {
        format!("{} {}", msg.a, msg.b)
    }

    #[botzilla::handler]
    fn odd(&mut self, msg: Odd) -> Odd {
        Odd {
            n: if msg.n == 7 { 13 } else { msg.n },
        }
    }
}

async fn down(nodes: &[Node], registry: botzilla_registry::RunningRegistry) {
    for node in nodes {
        node.shutdown(SOON).await;
    }
    registry.shutdown(SOON).await;
}

fn reason<T>(result: Result<T, CallError>) -> Reason {
    result.err().expect("it fails").into_reason()
}

#[test]
fn types_that_differ_are_never_misread_and_the_first_difference_is_shown() {
    run(async {
        let (registry, host, near) = world::two().await;
        host.spawn("echo", Echo::default).await.unwrap();
        host.spawn("several", Several::default).await.unwrap();
        found(&near, "several").await;
        for node in [&host, &near] {
            let narrow = reason(node.component("echo").ask(other::Narrow { n: 1 }).await);
            let Reason::WrongSchema(text) = &narrow else {
                panic!("{narrow}")
            };
            assert_eq!(text, "`n` of the message is u32 here and u64 there");
            let swapped = reason(
                node.component("several")
                    .ask(other::Pair { a: 1, b: 2 })
                    .await,
            );
            let Reason::WrongSchema(text) = &swapped else {
                panic!("{swapped}")
            };
            assert!(text.contains("field 1 is `b` here and `a` there"), "{text}");
            let same = node
                .component("several")
                .ask(Pair { a: 1, b: 2 })
                .await
                .unwrap();
            assert_eq!(same, "1 2");
        }
        assert!(
            found(&near, "echo")
                .await
                .ask(Seen)
                .await
                .unwrap()
                .is_empty()
        );
        down(&[near, host], registry).await;
    });
}

#[test]
fn who_panics_while_a_message_or_reply_is_read_or_written_is_told() {
    run(async {
        let (registry, host, near) = world::two().await;
        host.spawn("several", Several::default).await.unwrap();
        let several = found(&near, "several").await;
        assert_eq!(several.ask(Odd { n: 3 }).await.unwrap().n, 3);
        let read = reason(several.ask(Odd { n: 4 }).await);
        let Reason::BadPayload(text) = &read else {
            panic!("{read}")
        };
        assert!(
            text.contains("4 isn't odd") || text.contains("odd"),
            "{text}"
        );
        let written = reason(several.ask(Odd { n: 7 }).await);
        let Reason::HandlerPanicked(text) = &written else {
            panic!("{written}")
        };
        assert!(text.contains("unlucky"), "{text}");
        let own = reason(several.ask(Odd { n: 13 }).await);
        assert!(!own.may_have_run(), "it wasn't sent: {own}");
        let Reason::Codec { detail: text, .. } = &own else {
            panic!("{own}")
        };
        assert!(text.contains("unlucky"), "{text}");
        assert_eq!(several.ask(Odd { n: 5 }).await.unwrap().n, 5);
        down(&[near, host], registry).await;
    });
}

#[test]
fn the_registry_may_take_for_ever() {
    run(async {
        let registry = world::registry().await;
        let config = world::config(registry.address()).registry_time(Duration::MAX);
        let node = started(config).await;
        node.spawn("several", Several::default).await.unwrap();
        down(&[node], registry).await;
    });
}

#[test]
fn json_is_for_those_without_the_types_and_an_unknown_field_is_an_error() {
    run(async {
        let (registry, host, near) = world::two().await;
        host.spawn("several", Several::default).await.unwrap();
        found(&near, "several").await;
        for node in [&host, &near] {
            let several = node.component("several");
            let pair = json!({ "b": 2, "a": 1 });
            assert_eq!(several.ask_json("Pair", &pair, None).await.unwrap(), "1 2");
            several
                .tell_json("Pair", &pair, None)
                .await
                .unwrap()
                .await
                .unwrap();
            let more = json!({ "b": 2, "a": 1, "c": 3 });
            let Reason::BadPayload(text) = reason(several.ask_json("Pair", &more, None).await)
            else {
                panic!()
            };
            assert!(text.contains("`c`"), "{text}");
            let large = json!({ "b": 2, "a": 256 });
            let bad = reason(several.ask_json("Pair", &large, None).await);
            assert!(matches!(bad, Reason::BadPayload(_)), "{bad}");
            let unknown = reason(several.ask_json("Pear", &pair, None).await);
            let Reason::NoHandler(text) = &unknown else {
                panic!("{unknown}")
            };
            assert!(text.contains("Pair"), "{text}");
        }
        down(&[near, host], registry).await;
    });
}

#[test]
fn an_unknown_component_and_a_bad_name_say_what_would_be_right() {
    run(async {
        let (registry, host, near) = world::two().await;
        host.spawn("battery", Echo::default).await.unwrap();
        found(&near, "battery").await;
        let unknown = reason(near.component("batery").ask(Ping { n: 1 }).await);
        let Reason::NoSuchComponent { close, .. } = &unknown else {
            panic!("{unknown}")
        };
        assert_eq!(close, &["battery"]);
        let told = reason(near.component("batery").tell(Ping { n: 1 }).await);
        assert!(matches!(told, Reason::NoSuchComponent { .. }), "{told}");
        let bad = reason(near.component("bat tery").ask(Ping { n: 1 }).await);
        assert!(bad.to_string().contains("A-Z"), "{bad}");
        for name in ["", "a b", "registry", "node/x", "_own"] {
            let error = host.spawn(name, Echo::default).await.unwrap_err();
            assert!(
                matches!(error, SpawnError::BadName { .. }),
                "{name:?}: {error}"
            );
        }
        // On the same node and on another.
        for node in [&host, &near] {
            let error = node.spawn("battery", Echo::default).await.unwrap_err();
            assert!(matches!(error, SpawnError::NameTaken { .. }), "{error}");
        }
        down(&[near, host], registry).await;
    });
}

/// Asks another on, and says how long it was given itself.
#[botzilla::message(reply = Result<Vec<u64>, String>)]
struct Chain {
    to: Vec<String>,
    within_ms: u64,
}

#[derive(Default)]
struct Link;

#[botzilla::component]
impl Link {
    #[botzilla::handler]
    async fn chain(&mut self, msg: Chain, ctx: &Ctx<Self>) -> Result<Vec<u64>, String> {
        let left = u64::try_from(ctx.time_left().unwrap().as_millis()).unwrap();
        let Some((next, rest)) = msg.to.split_first() else {
            return Ok(vec![left]);
        };
        if next == "gate" {
            let error = ctx.component("gate").ask(Wait { n: 1 }).await.unwrap_err();
            return Err(error.to_string());
        }
        let chain = Chain {
            to: rest.to_vec(),
            within_ms: msg.within_ms,
        };
        let asked = ctx
            .component(next)
            .ask(chain)
            .within(Duration::from_millis(msg.within_ms));
        let mut times = asked.await.map_err(|error| error.to_string())??;
        times.insert(0, left);
        Ok(times)
    }
}

#[test]
fn nested_asks_inherit_what_is_left_of_the_deadline() {
    run(async {
        let (registry, one, two) = world::two().await;
        for (node, name) in [(&one, "a"), (&two, "b"), (&one, "c")] {
            node.spawn(name, || Link).await.unwrap();
        }
        two.spawn("gate", Gate::default).await.unwrap();
        for (node, name) in [(&one, "b"), (&two, "a"), (&two, "c"), (&one, "gate")] {
            found(node, name).await;
        }
        let chain = |to: &[&str], within_ms| Chain {
            to: to.iter().map(|&name| name.to_owned()).collect(),
            within_ms,
        };
        let outer = Duration::from_secs(20);
        // More than is left can't be had; less can.
        let times = two
            .component("a")
            .ask(chain(&["b", "c"], 60_000))
            .within(outer)
            .await;
        let times = times.unwrap().unwrap();
        assert!(
            times.is_sorted_by(|a, b| a >= b) && times[0] <= 20_000,
            "{times:?}"
        );
        let times = two
            .component("a")
            .ask(chain(&["b", "c"], 10_000))
            .within(outer)
            .await;
        let times = times.unwrap().unwrap();
        assert!(times[0] > 10_000 && times[1] <= 10_000, "{times:?}");
        // The innermost gives up when the outermost does, not 30 s later.
        let began = Instant::now();
        let short = Duration::from_millis(300);
        let asked = two
            .component("a")
            .ask(chain(&["b", "gate"], 60_000))
            .within(short)
            .await;
        match asked {
            // Word of it may just get through.
            Ok(answer) => assert!(answer.unwrap_err().contains("no answer within")),
            Err(error) => assert!(matches!(error.reason(), Reason::Expired { .. }), "{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(20));
        let again = two.component("b").ask(chain(&[], 0)).await.unwrap();
        assert_eq!(again.unwrap().len(), 1, "it is free again");
        two.shutdown(Duration::ZERO).await;
        down(&[one], registry).await;
    });
}

#[test]
fn ready_waits_for_a_component_that_comes_later_and_not_for_ever() {
    run(async {
        let (registry, host, near) = world::two().await;
        let late = near.component("late");
        let in_vain = late.ready(Duration::from_millis(100)).await.unwrap_err();
        assert!(
            matches!(in_vain.reason(), Reason::NoSuchComponent { .. }),
            "{in_vain}"
        );
        let (ready, spawned) = futures_util::future::join(late.ready(world::PATIENCE), async {
            tokio::task::yield_now().await;
            host.spawn("late", Echo::default).await
        })
        .await;
        ready.unwrap();
        spawned.unwrap();
        assert_eq!(late.ask(Ping { n: 1 }).await.unwrap(), 1);
        down(&[near, host], registry).await;
    });
}

#[test]
fn a_registry_that_is_not_there_is_an_error_that_says_so_at_start_and_at_spawn() {
    run(async {
        let registry = registry().await;
        let address = registry.address();
        let time = Duration::from_millis(400);
        let node = started(config(address).registry_time(time)).await;
        registry.shutdown(SOON).await;
        let error = node.spawn("echo", Echo::default).await.unwrap_err();
        let SpawnError::NotRegistered { reason, .. } = &error else {
            panic!("{error}")
        };
        assert!(
            reason.contains(&address.to_string()) && reason.contains("400ms"),
            "{reason}"
        );
        world::until_gone(&node, "echo").await;
        node.shutdown(SOON).await;

        let error = Node::start(config(address).registry_time(time))
            .await
            .unwrap_err();
        let Error::Start(StartError::Registry { address: tried, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!(*tried, address.to_string());
    });
}

#[test]
fn a_wrong_secret_is_said_at_once_and_a_short_one_before_anything_is_tried() {
    run(async {
        let registry = registry().await;
        let wrong = botzilla_wire::Secret::from_bytes("it", [8; 32]).unwrap();
        let wrong = NodeConfig::new(registry.address().to_string(), &*wrong.to_text()).unwrap();
        let began = Instant::now();
        let error = Node::start(wrong.listen("127.0.0.1:0"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("secret"), "{error}");
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "a person is needed, not time"
        );
        let short = NodeConfig::new("127.0.0.1:1", "too short")
            .unwrap_err()
            .to_string();
        assert!(short.contains("16"), "{short}");
        registry.shutdown(SOON).await;
    });
}

#[test]
fn nodes_on_threads_of_their_own_serve_a_program_without_actix() {
    run_apart(async {
        let (registry, host, near) = world::two().await;
        host.spawn("echo", Echo::default).await.unwrap();
        let echo = found(&near, "echo").await;
        let asks = (0..8).map(|thread| {
            let echo = echo.clone();
            std::thread::spawn(move || {
                futures_executor::block_on(async {
                    for n in 0..200 {
                        assert_eq!(
                            echo.ask(Ping {
                                n: thread * 1000 + n
                            })
                            .await
                            .unwrap(),
                            thread * 1000 + n
                        );
                    }
                });
            })
        });
        for thread in asks.collect::<Vec<_>>() {
            thread.join().unwrap();
        }
        let seen = echo.ask(Seen).await.unwrap();
        assert_eq!(seen.len(), 1600);
        down(&[near, host], registry).await;
    });
}
