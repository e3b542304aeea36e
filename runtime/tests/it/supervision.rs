//! When components are rebuilt, and when they are given up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use botzilla::{
    CallError, Error, Node, NodeConfig, Reason, Restart, RestartReason, SpawnError, prelude::*,
};
use futures_util::{FutureExt, future::join};
use parking_lot::Mutex;

use crate::{
    parts::Ping,
    world::{PATIENCE, SOON, run, run_apart, until, until_gone},
};

pub(crate) const QUICK: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_millis(20));

pub(crate) fn quick(restart: Restart) -> Restart {
    restart.back_off(QUICK.0, QUICK.1)
}

pub(crate) async fn in_process() -> Node {
    Node::start(NodeConfig::in_process()).await.unwrap()
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(pub(crate) Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

#[botzilla::message]
pub(crate) struct Panics;

#[botzilla::message]
pub(crate) struct Stops;

/// What goes wrong in which hook, once; set from outside.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    pub(crate) factory: Arc<AtomicUsize>,
    pub(crate) restarting: Arc<AtomicUsize>,
    pub(crate) starting: Arc<AtomicUsize>,
    pub(crate) stopping: Arc<AtomicUsize>,
    pub(crate) dropping: Arc<AtomicUsize>,
    /// The stop hook never ends.
    pub(crate) hangs: Arc<AtomicBool>,
}

fn falters(times: &AtomicUsize) -> bool {
    times
        .fetch_update(SeqCst, SeqCst, |times| times.checked_sub(1))
        .is_ok()
}

/// Says what befalls it.
pub(crate) struct Part {
    name: &'static str,
    log: Log,
    faults: Faults,
}

impl Part {
    pub(crate) fn factory(
        name: &'static str,
        log: &Log,
        faults: &Faults,
    ) -> impl Fn() -> Self + Send + 'static + use<> {
        let (log, faults) = (log.clone(), faults.clone());
        move || {
            assert!(!falters(&faults.factory), "no wheels");
            Self {
                name,
                log: log.clone(),
                faults: faults.clone(),
            }
        }
    }

    fn says(&self, what: &str) {
        self.log.add(format!("{} {what}", self.name));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !std::thread::panicking() && falters(&self.faults.dropping) {
            panic!("it sticks");
        }
    }
}

#[botzilla::component]
impl Part {
    #[botzilla::on_restart]
    async fn restarting(&mut self, reason: RestartReason, ctx: &Ctx<Self>) -> Result<(), String> {
        assert_eq!(ctx.name(), self.name);
        self.says(&format!("restarts: {reason}"));
        match falters(&self.faults.restarting) {
            true => panic!("no memory"),
            false => Ok(()),
        }
    }

    #[botzilla::on_start]
    fn start(&mut self) -> Result<(), String> {
        self.says("starts");
        match falters(&self.faults.starting) {
            true => Err("no device".to_owned()),
            false => Ok(()),
        }
    }

    #[botzilla::on_stop]
    async fn stop(&mut self) {
        self.says("stops");
        assert!(!falters(&self.faults.stopping), "it won't");
        if self.faults.hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    #[botzilla::handler]
    fn panics(&mut self, _: Panics) {
        panic!("broken");
    }

    #[botzilla::handler]
    fn stops(&mut self, _: Stops, ctx: &Ctx<Self>) {
        ctx.stop();
    }

    #[botzilla::handler]
    fn ping(&mut self, msg: Ping) -> u64 {
        self.says(&format!("ping {}", msg.n));
        msg.n
    }
}

pub(crate) fn stopped(result: Result<impl Sized, CallError>) -> String {
    match result.err().map(CallError::into_reason) {
        Some(Reason::Stopped { detail, .. }) => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_that_is_never_restarted_ends_by_its_first_panic_and_its_callers_are_told() {
    run(async {
        let (node, log) = (in_process().await, Log::default());
        let factory = || Part::factory("part", &log, &Faults::default());
        let part = node.spawn("part", factory()).restart(Restart::never());
        let part = part.await.unwrap();
        let (panicked, queued) = join(part.ask(Panics), part.ask(Ping { n: 1 })).await;
        assert!(matches!(
            panicked.unwrap_err().reason(),
            Reason::HandlerPanicked(_)
        ));
        let why = stopped(queued);
        assert!(
            why.contains("broken") && why.contains("never restarted"),
            "{why}"
        );
        until_gone(&node, "part").await;
        assert_eq!(log.take(), ["part starts"], "nor was it stopped in order");
        // Its name is free.
        node.spawn("part", factory()).await.unwrap();
        node.shutdown(SOON).await;
    });
}

#[test]
fn the_restart_hook_is_told_why_on_the_new_state_and_before_the_start_hook() {
    run(async {
        let (node, log) = (in_process().await, Log::default());
        let part = node.spawn("part", Part::factory("part", &log, &Faults::default()));
        let part = part.restart(quick(Restart::on_panic())).await.unwrap();
        let (_, after) = join(part.ask(Panics), part.ask(Ping { n: 2 })).await;
        assert_eq!(after.unwrap(), 2);
        let expected = [
            "part starts",
            "part restarts: it panicked: broken",
            "part starts",
            "part ping 2",
        ];
        assert_eq!(log.take(), expected);
        let described = node.describe("part").unwrap();
        assert_eq!(described.restarts, 1);
        assert_eq!(described.last_restart.unwrap(), "it panicked: broken");
        assert_eq!(described.restart, "on panic, at most 10 in 60s");
        node.shutdown(SOON).await;
    });
}

#[test]
fn one_that_stops_itself_ends_unless_it_is_to_run_always() {
    run(async {
        let (node, log) = (in_process().await, Log::default());
        let factory = |name| Part::factory(name, &log, &Faults::default());
        let once = node.spawn("once", factory("once")).await.unwrap();
        once.ask(Stops).await.unwrap();
        until_gone(&node, "once").await;
        assert_eq!(log.take(), ["once starts", "once stops"]);

        let always = node.spawn("always", factory("always"));
        let always = always.restart(quick(Restart::always())).await.unwrap();
        let sent = [
            always.tell(Stops).await.unwrap(),
            always.tell(Stops).await.unwrap(),
        ];
        // In the queue of the first life still, it is the third that answers it.
        assert_eq!(always.ask(Ping { n: 3 }).await.unwrap(), 3);
        for sent in sent {
            sent.await.unwrap();
        }
        let again = [
            "always stops",
            "always restarts: it stopped itself",
            "always starts",
        ];
        let mut expected = vec!["always starts"];
        expected.extend(again);
        expected.extend(again);
        expected.push("always ping 3");
        assert_eq!(log.take(), expected);
        assert_eq!(node.describe("always").unwrap().restarts, 2);
        // Nothing but its node ends it.
        assert_eq!(node.shutdown(SOON).await.drained, ["always"]);
        assert_eq!(log.take(), ["always stops"]);
    });
}

#[test]
fn one_that_does_not_start_at_first_is_the_spawner_s_to_know_whatever_its_policy() {
    run(async {
        let (node, log) = (in_process().await, Log::default());
        let faults = Faults::default();
        faults.starting.store(1, SeqCst);
        let part = node.spawn("part", Part::factory("part", &log, &faults));
        let error = part
            .restart(Restart::always().escalate())
            .await
            .unwrap_err();
        assert!(matches!(&error, SpawnError::StartFailed { reason, .. } if reason == "no device"));
        assert_eq!(log.take(), ["part starts"]);
        // And the node goes on.
        node.spawn("part", Part::factory("part", &log, &faults))
            .await
            .unwrap();
        node.shutdown(SOON).await;
    });
}

#[test]
fn each_part_of_a_restart_that_fails_is_a_restart_that_did_not_hold() {
    run(async {
        let (node, log, faults) = (in_process().await, Log::default(), Faults::default());
        let part = node.spawn("part", Part::factory("part", &log, &faults));
        let part = part.restart(quick(Restart::on_panic())).await.unwrap();
        log.take();
        for fault in [
            &faults.factory,
            &faults.restarting,
            &faults.starting,
            &faults.dropping,
        ] {
            fault.store(1, SeqCst);
        }
        let (_, after) = join(part.ask(Panics), part.ask(Ping { n: 4 })).await;
        assert_eq!(after.unwrap(), 4);
        let expected = [
            "part restarts: it didn't start: its factory panicked: no wheels",
            "part restarts: it didn't start: its `on_restart` hook: no memory",
            "part starts",
            "part restarts: it didn't start: no device",
            "part starts",
            "part ping 4",
        ];
        assert_eq!(log.take(), expected);
        assert_eq!(node.describe("part").unwrap().restarts, 4);
        node.shutdown(SOON).await;
    });
}

#[test]
fn one_whose_restarts_never_hold_is_given_up_and_says_why_last() {
    run(async {
        let (node, log, faults) = (in_process().await, Log::default(), Faults::default());
        let restart = quick(Restart::on_panic()).at_most(3, PATIENCE);
        let part = node.spawn("part", Part::factory("part", &log, &faults));
        let part = part.restart(restart).await.unwrap();
        faults.restarting.store(usize::MAX, SeqCst);
        let (_, queued) = join(part.ask(Panics), part.ask(Ping { n: 5 })).await;
        let why = stopped(queued);
        assert!(
            why.contains("too often") && why.contains("no memory"),
            "{why}"
        );
        until_gone(&node, "part").await;
        assert_eq!(log.take().len(), 1 + 3);
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_shutdown_does_not_wait_for_a_pause_to_be_over() {
    run(async {
        let (node, log) = (in_process().await, Log::default());
        let long = Restart::on_panic().back_off(PATIENCE, PATIENCE);
        let part = node.spawn("part", Part::factory("part", &log, &Faults::default()));
        let part = part.restart(long).await.unwrap();
        let mut queued = Box::pin(join(part.ask(Panics), part.ask(Ping { n: 6 })));
        assert!((&mut queued).now_or_never().is_none());
        until(|| node.describe("part").unwrap().state == "restarting").await;
        let report = node.shutdown(SOON).await;
        assert_eq!(
            (report.cut, report.stuck),
            (vec!["part".to_owned()], vec![])
        );
        assert_eq!(report.refused, 1);
        assert_eq!(stopped(queued.await.1), "");
    });
}

#[test]
fn a_stop_hook_that_never_ends_does_not_keep_a_restart_from_coming() {
    run(async {
        // Its 5 s are not waited for here.
        tokio::time::pause();
        let (node, log, faults) = (in_process().await, Log::default(), Faults::default());
        let part = node.spawn("part", Part::factory("part", &log, &faults));
        let part = part.restart(Restart::always()).await.unwrap();
        faults.hangs.store(true, SeqCst);
        part.ask(Stops).await.unwrap();
        assert_eq!(part.ask(Ping { n: 7 }).within(PATIENCE).await.unwrap(), 7);
        assert_eq!(node.describe("part").unwrap().restarts, 1);
        faults.hangs.store(false, SeqCst);
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_node_goes_down_with_a_component_that_it_cannot_do_without_and_the_program_is_told() {
    run_apart(async {
        let (node, log) = (in_process().await, Log::default());
        let factory = |name| Part::factory(name, &log, &Faults::default());
        let other = node.spawn("other", factory("other")).await.unwrap();
        let drive = node.spawn("drive", factory("drive"));
        let drive = drive.restart(Restart::never().escalate()).await.unwrap();
        let (ended, panicked) = join(node.until_shutdown(), drive.ask(Panics)).await;
        assert!(matches!(
            panicked.unwrap_err().reason(),
            Reason::HandlerPanicked(_)
        ));
        let Err(Error::Escalated(escalation)) = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(escalation.component(), "drive");
        assert!(escalation.to_string().contains("broken"), "{escalation}");
        // In order: the others stopped as they should.
        assert!(log.take().contains(&"other stops".to_owned()));
        let late = other.ask(Ping { n: 8 }).await.unwrap_err();
        assert_eq!(late.reason(), &Reason::ShuttingDown);
    });
}

#[test]
fn a_component_that_is_given_up_alone_harms_no_other_and_no_node() {
    run_apart(async {
        let (node, log) = (in_process().await, Log::default());
        let factory = |name| Part::factory(name, &log, &Faults::default());
        let other = node.spawn("other", factory("other")).await.unwrap();
        let weak = node.spawn("weak", factory("weak")).own_thread();
        let weak = weak.restart(Restart::never()).await.unwrap();
        drop(weak.ask(Panics).await);
        until_gone(&node, "weak").await;
        assert_eq!(other.ask(Ping { n: 9 }).await.unwrap(), 9);
        let report = node.shutdown(SOON).await;
        assert_eq!(report.drained, ["other"]);
        node.until_shutdown().await.unwrap();
    });
}
