//! Components that do what they shouldn't.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::{Duration, Instant},
};

use botzilla::{CallError, Node, NodeConfig, Reason, SpawnError, prelude::*};
use futures_util::{FutureExt, future::join};

use crate::{
    parts::{Echo, Large, Ping, Seen},
    world::{self, PATIENCE, SOON, found, run, run_apart, until, until_begun, until_gone},
};

async fn in_process() -> Node {
    Node::start(NodeConfig::in_process()).await.unwrap()
}

// ---- panics where one doesn't expect them ---------------------------------------------------------

/// Panics when it is dropped, if it is to.
#[botzilla::data]
#[derive(Default)]
struct Bomb {
    live: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.live && !std::thread::panicking() {
            panic!("boom");
        }
    }
}

/// Carries a bomb; its reply is another.
#[botzilla::message(reply = Bomb)]
struct Carry {
    bomb: Bomb,
    reply: bool,
    wait: Until,
}

#[botzilla::data]
#[derive(Clone, Copy)]
enum Until {
    Now,
    Later,
    CallerGone,
}

#[botzilla::message]
struct BreakDown;

#[derive(Default)]
struct Carrier {
    own: Bomb,
}

#[botzilla::component]
impl Carrier {
    #[botzilla::handler]
    async fn carry(&mut self, msg: Carry, ctx: &Ctx<Self>) -> Bomb {
        match msg.wait {
            Until::Now => {}
            Until::Later => tokio::task::yield_now().await,
            Until::CallerGone => ctx.cancelled().await,
        }
        Bomb { live: msg.reply }
    }

    #[botzilla::handler]
    fn break_down(&mut self, _: BreakDown) {
        self.own.live = true;
        panic!("broken");
    }

    #[botzilla::handler]
    fn ping(&mut self, msg: Ping) -> u64 {
        msg.n
    }
}

fn panicked(result: Result<impl Sized, CallError>) -> String {
    match result.err().map(CallError::into_reason) {
        Some(Reason::HandlerPanicked(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_that_panics_when_it_is_dropped_is_a_panic_of_its_handler() {
    run(async {
        let node = in_process().await;
        let carrier = node.spawn("carrier", Carrier::default).await.unwrap();
        for wait in [Until::Now, Until::Later] {
            let carry = Carry {
                bomb: Bomb { live: true },
                reply: false,
                wait,
            };
            assert_eq!(panicked(carrier.ask(carry).await), "boom");
        }
        assert_eq!(carrier.ask(Ping { n: 1 }).await.unwrap(), 1);
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_reply_that_nobody_waits_for_and_that_panics_when_dropped_harms_nobody() {
    run(async {
        let node = in_process().await;
        let carrier = node.spawn("carrier", Carrier::default).await.unwrap();
        for told in [true, false] {
            let wait = if told {
                Until::Later
            } else {
                Until::CallerGone
            };
            let carry = Carry {
                bomb: Bomb::default(),
                reply: true,
                wait,
            };
            if told {
                carrier.tell(carry).await.unwrap().await.unwrap();
            } else {
                let mut ask = carrier.ask(carry);
                assert!((&mut ask).now_or_never().is_none());
                until_begun(&node, "carrier", 3).await;
                drop(ask);
            }
            assert_eq!(carrier.ask(Ping { n: 2 }).await.unwrap(), 2);
        }
        assert_eq!(node.describe("carrier").unwrap().restarts, 0);
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_state_that_panics_when_it_is_dropped_is_rebuilt_all_the_same() {
    run(async {
        let node = in_process().await;
        let carrier = node.spawn("carrier", Carrier::default).await.unwrap();
        assert_eq!(panicked(carrier.ask(BreakDown).await), "broken");
        assert_eq!(carrier.ask(Ping { n: 3 }).await.unwrap(), 3);
        // At the end of the component, too.
        let last = node
            .spawn("last", || Carrier {
                own: Bomb { live: true },
            })
            .await
            .unwrap();
        assert_eq!(last.ask(Ping { n: 4 }).await.unwrap(), 4);
        let report = node.shutdown(SOON).await;
        assert_eq!(report.drained, ["carrier", "last"]);
    });
}

#[test]
fn a_factory_that_panics_is_the_spawner_s_to_know_and_later_counts_as_a_restart() {
    run(async {
        let node = in_process().await;
        let error = node
            .spawn("carrier", || -> Carrier { panic!("no wheels") })
            .await
            .unwrap_err();
        let SpawnError::StartFailed { reason, .. } = &error else {
            panic!("{error}")
        };
        assert!(reason.contains("no wheels"), "{reason}");
        assert!(node.describe("carrier").is_none());

        let built = Arc::new(AtomicUsize::new(0));
        let counting = built.clone();
        let factory = move || {
            // The second and the third attempt fail.
            match counting.fetch_add(1, SeqCst) {
                1 => panic!("no wheels"),
                2 => Err("no battery"),
                _ => Ok(Carrier::default()),
            }
        };
        let carrier = node.spawn("carrier", factory).await.unwrap();
        let (broken, after) = join(carrier.ask(BreakDown), carrier.ask(Ping { n: 5 })).await;
        assert_eq!(panicked(broken), "broken");
        assert_eq!(after.unwrap(), 5);
        assert_eq!(
            (
                built.load(SeqCst),
                node.describe("carrier").unwrap().restarts
            ),
            (4, 3)
        );
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_component_that_panics_for_ever_is_stopped_and_its_callers_are_told() {
    run(async {
        // The back-offs add up to 26 s, which nobody waits for here.
        tokio::time::pause();
        let node = in_process().await;
        let carrier = node.spawn("carrier", Carrier::default).await.unwrap();
        for _ in 0..10 {
            assert_eq!(
                panicked(carrier.ask(BreakDown).within(PATIENCE).await),
                "broken"
            );
        }
        let (broken, queued) = join(
            carrier.ask(BreakDown).within(PATIENCE),
            carrier.ask(Ping { n: 6 }).within(PATIENCE),
        )
        .await;
        assert_eq!(panicked(broken), "broken");
        let Reason::Stopped { detail: why, .. } = queued.unwrap_err().into_reason() else {
            panic!()
        };
        assert!(
            why.contains("restarted too often") && why.contains("broken"),
            "{why}"
        );
        until_gone(&node, "carrier").await;
        let gone = carrier.ask(Ping { n: 7 }).await.unwrap_err();
        assert!(
            matches!(gone.reason(), Reason::NoSuchComponent { .. }),
            "{gone}"
        );
        // And its name is free.
        node.spawn("carrier", Carrier::default).await.unwrap();
        node.shutdown(SOON).await;
    });
}

// ---- hooks --------------------------------------------------------------------------------------

struct Sleeper {
    starts: bool,
    dropped: Arc<AtomicBool>,
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.dropped.store(true, SeqCst);
    }
}

#[botzilla::component]
impl Sleeper {
    #[botzilla::on_start]
    async fn start(&mut self) {
        if !self.starts {
            std::future::pending::<()>().await;
        }
    }

    #[botzilla::on_stop]
    async fn stop(&mut self) {
        std::future::pending::<()>().await;
    }

    #[botzilla::handler]
    fn ping(&mut self, msg: Ping) -> u64 {
        msg.n
    }
}

#[test]
fn hooks_that_never_end_are_cut_at_the_deadline() {
    run(async {
        for starts in [false, true] {
            let node = in_process().await;
            let dropped = Arc::new(AtomicBool::new(false));
            let flag = dropped.clone();
            let factory = move || Sleeper {
                starts,
                dropped: flag.clone(),
            };
            let mut spawning = std::pin::pin!(node.spawn("sleeper", factory).into_future());
            if starts {
                spawning.as_mut().await.unwrap();
            } else {
                tokio::select! {
                    biased;
                    result = spawning.as_mut() => panic!("{result:?}"),
                    () = until(|| node.describe("sleeper").is_some()) => {}
                }
            }
            let report = node.shutdown(Duration::from_millis(50)).await;
            assert_eq!(
                (report.cut, report.stuck),
                (vec!["sleeper".to_owned()], vec![])
            );
            assert!(dropped.load(SeqCst), "its state is dropped");
            if !starts {
                let error = spawning.await.unwrap_err();
                assert!(
                    error.to_string().contains("stopped while it started"),
                    "{error}"
                );
            }
        }
    });
}

#[test]
fn a_spawn_that_is_given_up_while_its_hook_runs_leaves_nothing_behind() {
    run(async {
        let node = in_process().await;
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = dropped.clone();
        let factory = move || Sleeper {
            starts: false,
            dropped: flag.clone(),
        };
        {
            let spawning = node.spawn("sleeper", factory).into_future();
            tokio::select! {
                biased;
                result = spawning => panic!("{result:?}"),
                () = until(|| node.describe("sleeper").is_some()) => {}
            }
        }
        until_gone(&node, "sleeper").await;
        assert!(dropped.load(SeqCst));
        node.shutdown(SOON).await;
    });
}

// ---- blocking -----------------------------------------------------------------------------------

/// Blocks its thread until the test lets it go.
#[botzilla::message]
struct Block;

struct Blocker(mpsc::Receiver<()>);

#[botzilla::component]
impl Blocker {
    #[botzilla::handler]
    fn block(&mut self, _: Block) {
        // However the sender ends.
        let _ = self.0.recv();
    }
}

/// A component that blocks, and what lets it go when dropped.
async fn blocker(node: &Node, own_thread: bool) -> (mpsc::Sender<()>, ComponentRef) {
    let (free, blocked) = mpsc::channel();
    let once = std::sync::Mutex::new(Some(blocked));
    let spawn = node.spawn("blocker", move || {
        Blocker(once.lock().unwrap().take().unwrap())
    });
    let spawn = if own_thread {
        spawn.own_thread()
    } else {
        spawn
    };
    (free, spawn.await.unwrap())
}

#[test]
fn who_blocks_the_node_s_thread_is_named_and_callers_elsewhere_keep_their_deadlines() {
    run_apart(async {
        let node = in_process().await;
        let echo = node.spawn("echo", Echo::default).await.unwrap();
        let (free, blocker) = blocker(&node, false).await;
        let blocked = blocker.tell(Block).await.unwrap();
        until(|| {
            node.blocked()
                .is_some_and(|blocked| blocked.component == "blocker")
        })
        .await;
        // Nobody on that thread gets on, its timers included; this is on another.
        let late = echo
            .ask(Ping { n: 1 })
            .within(Duration::from_millis(100))
            .await
            .unwrap_err();
        assert!(matches!(late.reason(), Reason::Expired { .. }), "{late}");
        drop(free);
        blocked.await.unwrap();
        assert_eq!(echo.ask(Ping { n: 2 }).await.unwrap(), 2);
        assert!(node.blocked().is_none());
        assert_eq!(
            echo.ask(Seen).await.unwrap(),
            [2],
            "what had expired doesn't run"
        );
        node.shutdown(SOON).await;
    });
}

#[test]
fn what_expired_while_its_node_stood_still_does_not_run_when_that_goes_on() {
    run_apart(async {
        let (_registry, host, other) = world::two().await;
        let echo = host.spawn("echo", Echo::default).await.unwrap();
        let (free, blocker) = blocker(&host, false).await;
        let from_afar = found(&other, "echo").await;
        assert_eq!(from_afar.ask(Ping { n: 0 }).await.unwrap(), 0);
        let blocked = blocker.tell(Block).await.unwrap();
        until(|| host.blocked().is_some()).await;
        // A tell: an ask that has expired is cancelled besides.
        let told = from_afar.tell(Ping { n: 1 });
        let told = told.within(Duration::from_millis(200)).await.unwrap();
        // A connection looks at the clock each second: it is to see that it comes late.
        tokio::time::sleep(Duration::from_millis(1_600)).await;
        drop(free);
        blocked.await.unwrap();
        let late = told.await.unwrap_err();
        assert!(matches!(late.reason(), Reason::Expired { .. }), "{late}");
        assert!(!late.may_have_run(), "{late}");
        assert_eq!(from_afar.ask(Ping { n: 2 }).await.unwrap(), 2);
        assert_eq!(echo.ask(Seen).await.unwrap(), [0, 2]);
        host.shutdown(SOON).await;
    });
}

#[test]
fn a_node_whose_thread_is_blocked_for_ever_still_shuts_down_and_says_by_whom() {
    run_apart(async {
        let node = in_process().await;
        let (_free, blocker) = blocker(&node, false).await;
        let _blocked = blocker.tell(Block).await.unwrap();
        until(|| node.blocked().is_some()).await;
        let began = Instant::now();
        let report = node.shutdown(Duration::from_millis(100)).await;
        assert_eq!(report.stuck, ["blocker"]);
        assert!(began.elapsed() < SOON);
    });
}

#[test]
fn nobody_notices_who_blocks_a_thread_of_its_own() {
    run(async {
        let node = in_process().await;
        let echo = node.spawn("echo", Echo::default).await.unwrap();
        let (free, blocker) = blocker(&node, true).await;
        let blocked = blocker.tell(Block).await.unwrap();
        for n in 0..1000 {
            assert_eq!(echo.ask(Ping { n }).await.unwrap(), n);
        }
        assert!(node.blocked().is_none());
        drop(free);
        blocked.await.unwrap();
        node.shutdown(SOON).await;
    });
}

// ---- replies and cycles -----------------------------------------------------------------------------

#[test]
fn a_reply_of_20_mib_is_too_large_for_another_node_and_fine_on_the_same() {
    run(async {
        let (registry, host, other) = world::two().await;
        let here = host.spawn("echo", Echo::default).await.unwrap();
        let bytes = 20 * 1024 * 1024;
        assert_eq!(here.ask(Large { bytes }).await.unwrap().len() as u64, bytes);
        let there = found(&other, "echo").await;
        let error = there.ask(Large { bytes }).await.unwrap_err();
        let Reason::TooLarge { detail, .. } = error.reason() else {
            panic!("{error}")
        };
        assert!(detail.contains("16777216"), "it names the limit: {detail}");
        assert!(error.may_have_run());
        let fits = 15 * 1024 * 1024;
        assert_eq!(
            there.ask(Large { bytes: fits }).await.unwrap().len() as u64,
            fits
        );
        other.shutdown(SOON).await;
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

/// Asks the first of these to ask the rest.
#[botzilla::message(reply = Result<String, String>)]
struct Around {
    names: Vec<String>,
}

#[derive(Default)]
struct Relay;

#[botzilla::component]
impl Relay {
    #[botzilla::handler]
    async fn around(&mut self, msg: Around, ctx: &Ctx<Self>) -> Result<String, String> {
        let Some((next, rest)) = msg.names.split_first() else {
            return Ok(ctx.name().to_owned());
        };
        let asked = ctx
            .component(next)
            .ask(Around {
                names: rest.to_vec(),
            })
            .await;
        asked.map_err(|error| error.to_string())?
    }
}

#[test]
fn a_cycle_over_three_components_on_two_nodes_fails_at_once_with_their_names() {
    run(async {
        let (registry, one, two) = world::two().await;
        for (node, name) in [(&one, "a"), (&two, "b"), (&one, "c")] {
            node.spawn(name, || Relay).await.unwrap();
        }
        for (node, name) in [(&one, "b"), (&two, "a"), (&two, "c")] {
            found(node, name).await;
        }
        let around = |names: &[&str]| Around {
            names: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let began = Instant::now();
        let error = two
            .component("a")
            .ask(around(&["b", "c", "a"]))
            .await
            .unwrap()
            .unwrap_err();
        assert!(error.contains("a -> b -> c -> a"), "{error}");
        let error = two
            .component("b")
            .ask(around(&["c", "b"]))
            .await
            .unwrap()
            .unwrap_err();
        assert!(error.contains("b -> c -> b"), "{error}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "at once, not at the deadline"
        );
        assert_eq!(
            two.component("a").ask(around(&["b", "c"])).await.unwrap(),
            Ok("c".to_owned())
        );
        one.shutdown(SOON).await;
        two.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}
