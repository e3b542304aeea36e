//! Components that restart together.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use botzilla::{OneForAll, Reason, Restart, prelude::*};
use futures_util::{FutureExt, future::join};

use crate::{
    parts::Ping,
    supervision::{Faults, Log, Panics, Part, Stops, in_process, quick, stopped},
    world::{PATIENCE, SOON, run, run_apart, until, until_begun, until_gone},
};

/// Three parts of an arm.
struct Arm {
    node: Node,
    log: Log,
    faults: [Faults; 3],
    parts: [ComponentRef; 3],
}

const NAMES: [&str; 3] = ["base", "elbow", "hand"];

impl Arm {
    async fn new(restart: Restart) -> Self {
        let (node, log) = (in_process().await, Log::default());
        let faults: [Faults; 3] = Default::default();
        let arm = OneForAll::new(restart);
        let mut parts = Vec::new();
        for (name, faults) in NAMES.into_iter().zip(&faults) {
            let mut part = node
                .spawn(name, Part::factory(name, &log, faults))
                .restart_with(&arm);
            // On which thread one is makes no difference.
            if name == "elbow" {
                part = part.own_thread();
            }
            parts.push(part.await.unwrap());
        }
        log.take();
        Self {
            node,
            log,
            faults,
            parts: parts.try_into().unwrap(),
        }
    }

    async fn ping_all(&self) {
        for (part, n) in self.parts.iter().zip(0..) {
            assert_eq!(part.ask(Ping { n }).await.unwrap(), n);
        }
    }

    async fn ends(self) {
        self.node.shutdown(SOON).await;
    }
}

/// What the log says of one restart for this one's sake.
fn restart(cause: &str, why: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let others = NAMES.iter().rev().filter(|name| **name != cause);
    lines.extend(others.map(|name| format!("{name} stops")));
    for name in NAMES {
        lines.push(if name == cause {
            format!("{name} restarts: {why}")
        } else {
            format!("{name} restarts: it restarts together with {cause:?}: {why}")
        });
        lines.push(format!("{name} starts"));
    }
    lines
}

fn pings() -> Vec<String> {
    NAMES
        .iter()
        .zip(0..)
        .map(|(name, n)| format!("{name} ping {n}"))
        .collect()
}

#[test]
fn when_one_panics_all_stop_in_reverse_and_start_in_order_and_their_queues_stay() {
    run_apart(async {
        let arm = Arm::new(quick(Restart::on_panic())).await;
        for (cause, part) in NAMES.iter().zip(&arm.parts) {
            let (panicked, ()) = join(part.ask(Panics), async {
                until(|| arm.log.0.lock().iter().any(|line| line.ends_with("stops"))).await;
                arm.ping_all().await;
            })
            .await;
            assert!(matches!(
                panicked.unwrap_err().reason(),
                Reason::HandlerPanicked(_)
            ));
            let mut log = arm.log.take();
            // Who is built serves already while the next one is.
            log.sort_by_key(|line| line.contains("ping"));
            assert_eq!(
                log,
                [restart(cause, "it panicked: broken"), pings()].concat()
            );
        }
        for name in NAMES {
            assert_eq!(arm.node.describe(name).unwrap().restarts, 3);
        }
        arm.ends().await;
    });
}

#[test]
fn a_member_that_fails_while_they_are_built_starts_it_all_over_and_counts() {
    run_apart(async {
        let arm = Arm::new(quick(Restart::on_panic())).await;
        arm.faults[1].starting.store(1, SeqCst);
        arm.faults[2].factory.store(1, SeqCst);
        arm.faults[0].stopping.store(1, SeqCst);
        arm.faults[0].dropping.store(1, SeqCst);
        let (_, pinged) = join(arm.parts[2].ask(Panics), arm.parts[2].ask(Ping { n: 2 })).await;
        assert_eq!(pinged.unwrap(), 2);
        let first = [
            "elbow stops",
            "base stops",
            "base restarts: it restarts together with \"hand\": it panicked: broken",
            "base starts",
            "elbow restarts: it restarts together with \"hand\": it panicked: broken",
            "elbow starts",
            // It failed, and the one before it stops again.
            "base stops",
            "base restarts: it restarts together with \"elbow\": it didn't start: no device",
            "base starts",
            "elbow restarts: it didn't start: no device",
            "elbow starts",
            // The last one's factory.
            "elbow stops",
            "base stops",
        ];
        let third =
            restart("hand", "it didn't start: its factory panicked: no wheels").split_off(2);
        let expected: Vec<_> = first.map(str::to_owned).into_iter().chain(third).collect();
        let mut log = arm.log.take();
        assert_eq!(log.pop().unwrap(), "hand ping 2");
        assert_eq!(log, expected);
        arm.ping_all().await;
        arm.ends().await;
    });
}

#[test]
fn a_member_that_panics_while_the_others_still_stop_is_no_second_restart() {
    run_apart(async {
        let arm = Arm::new(quick(Restart::on_panic()).at_most(1, PATIENCE)).await;
        let all = arm.parts.each_ref().map(|part| part.ask(Panics));
        for panicked in futures_util::future::join_all(all).await {
            // Or it was still queued when the restart came, and ran into the next life.
            let reason = panicked.unwrap_err().into_reason();
            let is_known = matches!(reason, Reason::HandlerPanicked(_) | Reason::Stopped { .. });
            assert!(is_known, "{reason:?}");
        }
        arm.ends().await;
    });
}

#[test]
fn one_that_cannot_be_kept_alive_takes_the_others_down_in_order() {
    run_apart(async {
        let arm = Arm::new(quick(Restart::on_panic()).at_most(2, PATIENCE)).await;
        arm.faults[1].starting.store(usize::MAX, SeqCst);
        let (_, queued) = join(arm.parts[1].ask(Panics), arm.parts[1].ask(Ping { n: 1 })).await;
        let why = stopped(queued);
        assert!(
            why.contains("too often") && why.contains("no device"),
            "{why}"
        );
        for name in NAMES {
            until_gone(&arm.node, name).await;
        }
        let gone = arm.parts[0].ask(Ping { n: 1 }).await.unwrap_err();
        assert!(
            matches!(gone.reason(), Reason::NoSuchComponent { .. }),
            "{gone}"
        );
        let log = arm.log.take();
        assert_eq!(log.last().unwrap(), "base stops");
        assert_eq!(log.iter().filter(|line| *line == "base starts").count(), 2);
        arm.ends().await;
    });
}

#[test]
fn after_all_were_given_up_the_same_names_may_restart_together_again() {
    run(async {
        let (node, log, faults) = (in_process().await, Log::default(), Faults::default());
        let pair = OneForAll::new(Restart::never());
        for _ in 0..2 {
            let a = node
                .spawn("a", Part::factory("a", &log, &faults))
                .restart_with(&pair);
            let a = a.await.unwrap();
            let b = node
                .spawn("b", Part::factory("b", &log, &faults))
                .restart_with(&pair);
            b.await.unwrap();
            drop(a.ask(Panics).await);
            for name in ["a", "b"] {
                until_gone(&node, name).await;
            }
            assert_eq!(log.take(), ["a starts", "b starts", "b stops"]);
        }
        node.shutdown(SOON).await;
    });
}

#[test]
fn one_that_ends_by_itself_leaves_the_others_alone_unless_they_run_always() {
    run_apart(async {
        let arm = Arm::new(quick(Restart::on_panic())).await;
        arm.parts[1].ask(Stops).await.unwrap();
        until_gone(&arm.node, "elbow").await;
        assert_eq!(arm.log.take(), ["elbow stops"]);
        // Nobody waits for it later.
        drop(arm.parts[2].ask(Panics).await);
        assert_eq!(arm.parts[2].ask(Ping { n: 1 }).await.unwrap(), 1);
        assert!(!arm.log.take().iter().any(|line| line.starts_with("elbow")));
        arm.ends().await;

        let arm = Arm::new(quick(Restart::always())).await;
        arm.parts[1].ask(Stops).await.unwrap();
        until(|| arm.node.describe("hand").unwrap().restarts == 1).await;
        arm.ping_all().await;
        let mut expected = vec!["elbow stops".to_owned()];
        expected.extend(restart("elbow", "it stopped itself"));
        assert_eq!(arm.log.take(), [expected, pings()].concat());
        arm.ends().await;
    });
}

#[botzilla::message]
struct Hold;

#[botzilla::message]
struct HoldOn;

#[derive(Default)]
struct Holder;

#[botzilla::component]
impl Holder {
    #[botzilla::handler]
    async fn hold(&mut self, _: Hold) {
        std::future::pending::<()>().await;
    }

    #[botzilla::handler(urgent)]
    async fn hold_on(&mut self, _: HoldOn) {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    #[botzilla::handler]
    fn ping(&mut self, msg: Ping) -> u64 {
        msg.n
    }
}

#[test]
fn a_handler_that_waits_is_dropped_for_the_others_sake_and_an_urgent_one_is_not() {
    run(async {
        let (node, log) = (in_process().await, Log::default());
        let pair = OneForAll::new(quick(Restart::on_panic()));
        let part = node.spawn("part", Part::factory("part", &log, &Faults::default()));
        let part = part.restart_with(&pair).await.unwrap();
        let holder = node.spawn("holder", Holder::default).restart_with(&pair);
        let holder = holder.await.unwrap();
        let mut held = Box::pin(join(holder.ask(Hold), holder.ask(Ping { n: 1 })));
        assert!((&mut held).now_or_never().is_none());
        until_begun(&node, "part", 0).await;
        until(|| node.describe("holder").unwrap().queued == 1).await;
        drop(part.ask(Panics).await);
        let (held, pinged) = held.await;
        let error = held.unwrap_err();
        assert!(error.may_have_run() && stopped(Err::<(), _>(error)).contains("together"));
        assert_eq!(pinged.unwrap(), 1, "what was queued is the next life's");

        let mut urgent = Box::pin(holder.ask(HoldOn));
        assert!((&mut urgent).now_or_never().is_none());
        until(|| node.describe("holder").unwrap().queued == 0).await;
        drop(part.ask(Panics).await);
        urgent.await.unwrap();
        assert_eq!(holder.ask(Ping { n: 2 }).await.unwrap(), 2);
        assert_eq!(node.describe("holder").unwrap().restarts, 2);
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_shutdown_while_they_restart_is_bounded_and_each_is_accounted_for() {
    run_apart(async {
        // While they rest.
        let arm = Arm::new(Restart::on_panic().back_off(PATIENCE, PATIENCE)).await;
        drop(arm.parts[0].ask(Panics).await);
        until(|| {
            NAMES
                .iter()
                .all(|name| arm.node.describe(name).unwrap().state == "restarting")
        })
        .await;
        let report = arm.node.shutdown(SOON).await;
        assert_eq!(
            (report.drained.len(), report.stuck.len()),
            (3, 0),
            "{report}"
        );

        // While one stops that never ends stopping.
        let arm = Arm::new(quick(Restart::on_panic())).await;
        arm.faults[2].hangs.store(true, SeqCst);
        drop(arm.parts[0].ask(Panics).await);
        until(|| arm.node.describe("hand").unwrap().state == "stopping").await;
        let report = arm.node.shutdown(Duration::from_millis(50)).await;
        assert_eq!(
            (&*report.cut, report.stuck.len()),
            (&["hand".to_owned()][..], 0),
            "{report}"
        );
    });
}
