//! Kinds of components: exported actors, string maps, functions; and what all of them can do.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use actix::{Actor, ActorContext, Context};
use botzilla::{Map, MapComponent, MapError, Node, NodeConfig, Reason, SpawnError, prelude::*};
use parking_lot::Mutex;

use crate::{
    parts::{Ping, Seen},
    world::{self, SECRET, SOON, found, registry, run, run_apart, until, until_gone},
};

// ---- exported actors ----------------------------------------------------------------------------

#[botzilla::message(reply = u32)]
#[derive(actix::Message)]
#[rtype(result = "u32")]
struct Scan {
    beams: u32,
}

#[botzilla::message]
#[derive(actix::Message)]
#[rtype(result = "()")]
struct TurnOff {
    by_panic: bool,
}

struct Lidar;

impl Actor for Lidar {
    type Context = Context<Self>;
}

impl actix::Handler<Scan> for Lidar {
    type Result = u32;

    fn handle(&mut self, scan: Scan, _: &mut Context<Self>) -> u32 {
        scan.beams * 2
    }
}

impl actix::Handler<TurnOff> for Lidar {
    type Result = ();

    fn handle(&mut self, off: TurnOff, ctx: &mut Context<Self>) {
        assert!(!off.by_panic, "smoke");
        ctx.stop();
    }
}

#[test]
fn an_exported_actor_answers_and_one_that_ends_is_stopped_and_deregistered() {
    run(async {
        let (registry, host, other) = world::two().await;
        for by_panic in [false, true] {
            let lidar = Lidar.start();
            host.export("lidar", lidar)
                .message::<Scan>()
                .message::<TurnOff>()
                .await
                .unwrap();
            let lidar = found(&other, "lidar").await;
            assert_eq!(lidar.ask(Scan { beams: 180 }).await.unwrap(), 360);
            let off = lidar.ask(TurnOff { by_panic }).await;
            if by_panic {
                let error = off.unwrap_err();
                assert!(matches!(error.reason(), Reason::Stopped { .. }), "{error}");
            } else {
                off.unwrap();
            }
            // Until it is noticed, too.
            let after = lidar.ask(Scan { beams: 1 }).await.unwrap_err();
            let stopped = matches!(
                after.reason(),
                Reason::Stopped { .. } | Reason::NoSuchComponent { .. }
            );
            assert!(stopped, "{after}");
            until_gone(&host, "lidar").await;
            world::until_listed(&other, &[]).await;
        }
        other.shutdown(SOON).await;
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

// ---- string maps ----------------------------------------------------------------------------------

fn map(pairs: &[(&str, &str)]) -> Map {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn string_maps_go_to_and_fro_from_threads_that_know_nothing_of_async() {
    run_apart(async {
        let registry = registry().await;
        let address = registry.address().to_string();
        let test = std::thread::spawn(move || {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let hearing = heard.clone();
            let lamp = MapComponent::new(&address, &SECRET, "lamp", 0, move |map| {
                hearing.lock().push(map.clone());
                let colour = map.get("colour").ok_or("no colour given")?;
                Ok(Map::from([("shines".to_owned(), colour.clone())]))
            })
            .unwrap();
            let switch =
                MapComponent::new(&address, &SECRET, "switch", 0, |_| Ok(Map::new())).unwrap();
            let reply = switch
                .send_message("lamp", &map(&[("colour", "red")]))
                .unwrap();
            assert_eq!(reply, map(&[("shines", "red")]));
            let refused = switch.send_message("lamp", &map(&[])).unwrap_err();
            let MapError::Refused { component, reason } = refused else {
                panic!("{refused}")
            };
            assert_eq!((&*component, &*reason), ("lamp", "no colour given"));
            let unknown = switch.send_message("lomp", &map(&[])).unwrap_err();
            let MapError::Call(error) = unknown else {
                panic!("{unknown}")
            };
            let Reason::NoSuchComponent { close, .. } = error.reason() else {
                panic!("{error}")
            };
            assert_eq!(close, &["lamp"]);
            // Its own name, from a thread that isn't the node's: nobody waits for anybody.
            assert_eq!(switch.send_message("switch", &map(&[])).unwrap(), map(&[]));
            let mut names = switch.get_components().unwrap();
            names.sort_unstable();
            assert_eq!(names, ["lamp", "switch"]);
            let off = map(&[("colour", "none")]);
            let report = switch.broadcast_message(&off).unwrap();
            assert_eq!(report.delivered, ["lamp"]);
            futures_executor::block_on(async {
                switch.node().shutdown(SOON).await;
                lamp.node().shutdown(SOON).await;
            });
            assert_eq!(heard.lock().last(), Some(&off));
            // Its node has found the registry; what is wrong is the name.
            let bad = MapComponent::new(&address, &SECRET, "x y", 0, |_| Ok(Map::new()));
            let bad = bad.unwrap_err().to_string();
            assert!(bad.contains("\"x y\""), "{bad}");
        });
        while !test.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        test.join().unwrap();
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_listener_that_blocks_reaches_a_component_whose_node_is_not_connected_yet() {
    run_apart(async {
        let (registry, one, two) = world::two().await;
        MapComponent::on(&two, "back", Ok).await.unwrap();
        let own = Arc::new(std::sync::OnceLock::<MapComponent>::new());
        let known = own.clone();
        let front = MapComponent::on(&one, "front", move |map| {
            let sent = known.get().unwrap().send_message("back", &map);
            sent.map_err(|error| error.to_string())
        });
        let front = front.await.unwrap();
        own.set(front.clone()).unwrap();
        let sent = map(&[("colour", "red")]);
        assert_eq!(front.ask("front", sent.clone()).await.unwrap(), sent);
        one.shutdown(SOON).await;
        two.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_message_s_name_that_can_be_none_is_refused_before_it_costs_others_the_connection() {
    run(async {
        let (registry, host, other) = world::two().await;
        host.spawn("echo", crate::parts::Echo::default)
            .await
            .unwrap();
        let echo = world::found(&other, "echo").await;
        let nothing = serde_json::json!({});
        for name in [String::new(), "x".repeat(256)] {
            let asked = echo.ask_json(&name, &nothing, None).await.unwrap_err();
            assert!(matches!(asked.reason(), Reason::NoHandler(_)), "{asked}");
            let told = echo.tell_json(&name, &nothing, None).await.unwrap_err();
            assert!(matches!(told.reason(), Reason::NoHandler(_)), "{told}");
            let cast = other
                .broadcast_json(&name, &nothing, None, SOON, false)
                .await;
            assert!(matches!(cast.unwrap_err().reason(), Reason::NoHandler(_)));
        }
        assert!(
            other.report().peers.len() >= 2,
            "{:?}",
            other.report().peers
        );
        assert_eq!(echo.ask(Ping { n: 1 }).await.unwrap(), 1);
        for node in [host, other] {
            node.shutdown(SOON).await;
        }
        registry.shutdown(SOON).await;
    });
}

#[test]
fn a_string_map_s_name_that_is_taken_is_an_error_that_says_by_whom() {
    run_apart(async {
        let (registry, one, two) = world::two().await;
        let listener = |_: Map| -> Result<Map, String> { Ok(Map::new()) };
        MapComponent::on(&one, "lamp", listener).await.unwrap();
        let taken = MapComponent::on(&two, "lamp", listener).await.unwrap_err();
        assert!(taken.to_string().contains("taken"), "{taken}");
        one.shutdown(SOON).await;
        two.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

// ---- functions ------------------------------------------------------------------------------------

#[botzilla::handler]
async fn ping(msg: Ping, ctx: &Ctx) -> u64 {
    // They run side by side: each waits for its turn, the last first.
    tokio::time::sleep(Duration::from_millis(5 * (4 - msg.n))).await;
    assert_ne!(msg.n, 3, "in {}", ctx.name());
    msg.n
}

#[test]
fn a_function_runs_beside_itself_and_its_panic_is_only_that_caller_s() {
    run(async {
        let (registry, host, other) = world::two().await;
        host.spawn("pinger", ping).groups(["all"]).await.unwrap();
        let pinger = found(&other, "pinger").await;
        let asks = (0..4).map(|n| pinger.ask(Ping { n }));
        let answers = futures_util::future::join_all(asks).await;
        for (n, answer) in (0..).zip(answers) {
            match answer {
                Ok(reply) => assert_eq!(reply, n),
                Err(error) => {
                    assert_eq!(n, 3);
                    let Reason::HandlerPanicked(text) = error.reason() else {
                        panic!("{error}")
                    };
                    assert!(text.contains("in pinger"), "{text}");
                }
            }
        }
        let described = host.describe("pinger").unwrap();
        assert_eq!((described.restarts, &*described.groups[0]), (0, "all"));
        let unhandled = pinger.ask(Seen).await.unwrap_err();
        let Reason::NoHandler(handles) = unhandled.reason() else {
            panic!("{unhandled}")
        };
        assert!(handles.contains("Ping"), "{handles}");
        other.shutdown(SOON).await;
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

// ---- hooks and timers -----------------------------------------------------------------------------

struct Clock {
    events: mpsc::Sender<&'static str>,
    ticks: u64,
    refuses: bool,
}

#[botzilla::message(reply = u64)]
struct Ticks;

#[botzilla::message]
struct Restart;

#[botzilla::component(groups = ["time"])]
impl Clock {
    #[botzilla::on_start]
    async fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), String> {
        if self.refuses {
            return Err("no quartz".to_owned());
        }
        self.events.send("start").unwrap();
        ctx.every(Duration::from_millis(1), |this, _| this.ticks += 1);
        ctx.after(Duration::from_millis(1), |this, _| {
            this.events.send("after").unwrap();
        });
        ctx.after(Duration::from_millis(1), |_, _| {
            panic!("never: it is cancelled")
        })
        .cancel();
        ctx.spawn(async { panic!("it ends only the task") });
        Ok(())
    }

    #[botzilla::on_stop]
    fn stop(&mut self) {
        self.events.send("stop").unwrap();
    }

    #[botzilla::handler]
    fn ticks(&mut self, _: Ticks, ctx: &Ctx<Self>) -> u64 {
        assert_eq!(ctx.name(), "clock");
        self.ticks
    }

    #[botzilla::handler]
    fn restart(&mut self, _: Restart) {
        panic!("restart");
    }
}

#[test]
fn hooks_run_around_a_component_s_life_and_its_timers_run_between() {
    run(async {
        let node = Node::start(NodeConfig::in_process()).await.unwrap();
        let (events, heard) = mpsc::channel();
        let cloned = events.clone();
        let factory = move || Clock {
            events: cloned.clone(),
            ticks: 0,
            refuses: false,
        };
        let clock = node.spawn("clock", factory).await.unwrap();
        while clock.ask(Ticks).await.unwrap() < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["start", "after"]);
        // A panic ends the timers with the state; the start hook sets them anew. No stop hook.
        assert!(clock.ask(Restart).await.is_err());
        while clock.ask(Ticks).await.unwrap() < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["start", "after"]);
        assert_eq!(node.describe("clock").unwrap().groups, ["time"]);
        node.shutdown(SOON).await;
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["stop"]);
    });
}

#[test]
fn a_start_hook_that_refuses_keeps_the_component_from_starting() {
    run(async {
        let registry = registry().await;
        let node = world::node(registry.address()).await;
        let (events, _heard) = mpsc::channel();
        let factory = move || Clock {
            events: events.clone(),
            ticks: 0,
            refuses: true,
        };
        let error = node.spawn("clock", factory).await.unwrap_err();
        let SpawnError::StartFailed { reason, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(reason, "no quartz");
        until(|| node.describe("clock").is_none()).await;
        world::until_listed(&node, &[]).await;
        node.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}
