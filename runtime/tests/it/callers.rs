//! Callers that go away, callers that find a queue full, and those who can't wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use botzilla::{Node, NodeConfig, Reason, Sent, prelude::*};
use futures_util::FutureExt;

use crate::{
    parts::{Echo, Gate, Halt, Open, Ping, Wait},
    world::{self, SOON, found, run, until, until_begun, until_received},
};

// ---- callers that go away -------------------------------------------------------------------------

/// Waits until its caller has gone.
#[botzilla::message(reply = u64)]
struct UntilGone;

/// The same, dropped at its await.
#[botzilla::message(reply = u64)]
struct Aborted;

struct Watcher(Arc<Marks>);

#[derive(Default)]
struct Marks {
    noticed: AtomicUsize,
    dropped: AtomicUsize,
    ended: AtomicUsize,
}

struct OnDrop(Arc<Marks>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

#[botzilla::component]
impl Watcher {
    #[botzilla::handler]
    async fn until_gone(&mut self, _: UntilGone, ctx: &Ctx<Self>) -> u64 {
        ctx.cancelled().await;
        self.0.noticed.fetch_add(1, SeqCst);
        1
    }

    #[botzilla::handler(abort)]
    async fn aborted(&mut self, _: Aborted) -> u64 {
        let _dropped = OnDrop(self.0.clone());
        std::future::pending::<()>().await;
        self.0.ended.fetch_add(1, SeqCst);
        1
    }

    #[botzilla::handler]
    fn ping(&mut self, msg: Ping) -> u64 {
        self.0.ended.fetch_add(1, SeqCst);
        msg.n
    }
}

/// Callers go away while the handler runs, and while the message waits behind it.
async fn go_away(host: &Node, watcher: ComponentRef, marks: &Marks) {
    let mut received = 0;
    for aborts in [false, true] {
        let mut running = if aborts {
            watcher.ask(Aborted).boxed()
        } else {
            watcher.ask(UntilGone).boxed()
        };
        let mut queued = watcher.ask(Ping { n: 1 }).boxed();
        assert!((&mut running).now_or_never().is_none());
        until_begun(host, "watcher", received + 1).await;
        assert!((&mut queued).now_or_never().is_none());
        until_received(host, "watcher", received + 2).await;
        drop(queued);
        drop(running);
        received += 2;
        let mark = if aborts {
            &marks.dropped
        } else {
            &marks.noticed
        };
        until(|| mark.load(SeqCst) == 1).await;
        until_begun(host, "watcher", received).await;
    }
    assert_eq!(marks.ended.load(SeqCst), 0, "the queued one never ran");
    assert_eq!(watcher.ask(Ping { n: 2 }).await.unwrap(), 2);
    assert_eq!(marks.ended.load(SeqCst), 1);
}

#[test]
fn a_handler_sees_that_its_caller_has_gone_and_what_is_queued_never_runs() {
    run(async {
        let node = Node::start(NodeConfig::in_process()).await.unwrap();
        let marks = Arc::new(Marks::default());
        let given = marks.clone();
        let watcher = node
            .spawn("watcher", move || Watcher(given.clone()))
            .await
            .unwrap();
        go_away(&node, watcher, &marks).await;
        node.shutdown(SOON).await;
    });
}

#[test]
fn a_handler_sees_that_its_caller_on_another_node_has_gone() {
    run(async {
        let (registry, host, other) = world::two().await;
        let marks = Arc::new(Marks::default());
        let given = marks.clone();
        host.spawn("watcher", move || Watcher(given.clone()))
            .await
            .unwrap();
        go_away(&host, found(&other, "watcher").await, &marks).await;
        // And that a whole node has.
        let lost = other.component("watcher");
        let mut ask = lost.ask(UntilGone).boxed();
        assert!((&mut ask).now_or_never().is_none());
        until_begun(&host, "watcher", 6).await;
        other.shutdown(Duration::ZERO).await;
        until(|| marks.noticed.load(SeqCst) == 2).await;
        assert!(ask.await.is_err());
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

// ---- a full queue, an urgent message ----------------------------------------------------------------

/// Fills a gate's queue; what was sent, the one that runs included.
async fn fill(gate: &ComponentRef) -> Vec<Sent> {
    let mut sent = Vec::new();
    for n in 0.. {
        match gate.try_tell(Wait { n }) {
            Ok(one) => sent.push(one),
            Err(full) => {
                assert!(full.is_full(), "{full}");
                assert_eq!(full.message.n, n, "the message comes back");
                break;
            }
        }
    }
    sent
}

#[test]
fn the_emergency_stop_reaches_a_component_elsewhere_whose_queue_is_full_and_whose_handler_runs() {
    run(async {
        let (registry, host, other) = world::two().await;
        host.spawn("gate", Gate::default).await.unwrap();
        host.spawn("echo", Echo::default).await.unwrap();
        let gate = found(&other, "gate").await;
        let mut sent = fill(&gate).await;
        assert_eq!(sent.len(), 256);
        until_received(&host, "gate", 256).await;
        // Who waits for credit is told when the time is over, and it never ran.
        let late = gate
            .ask(Wait { n: 999 })
            .within(Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(
            matches!(
                late.reason(),
                Reason::Expired {
                    may_have_run: false,
                    ..
                }
            ),
            "{late}"
        );
        // The others on that node don't notice.
        assert_eq!(
            found(&other, "echo")
                .await
                .ask(Ping { n: 1 })
                .await
                .unwrap(),
            1
        );

        let stopped = gate
            .ask(Halt {
                reason: "cat".into(),
            })
            .await
            .unwrap();
        assert!(stopped.is_empty(), "nobody has come through");
        let first = sent.remove(0).await.unwrap_err();
        assert_eq!(first.into_reason(), Reason::Interrupted);
        // By broadcast as well.
        let report = other
            .broadcast(Halt {
                reason: "dog".into(),
            })
            .to_the_end()
            .await
            .unwrap();
        assert!(report.is_complete());
        assert_eq!(report.delivered, ["gate"]);
        let second = sent.remove(0).await.unwrap_err();
        assert_eq!(second.into_reason(), Reason::Interrupted);

        gate.ask(Open).await.unwrap();
        let mut interrupted = 0;
        let mut through = Vec::new();
        for (n, outcome) in (2..).zip(futures_util::future::join_all(sent).await) {
            match outcome {
                Ok(()) => through.push(n),
                Err(error) if *error.reason() == Reason::Interrupted => interrupted += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(
            interrupted <= 1,
            "only the one that the opening interrupted: {interrupted}"
        );
        let seen = gate
            .ask(Halt {
                reason: "done".into(),
            })
            .await
            .unwrap();
        assert_eq!(seen, through, "in order, once each");
        other.shutdown(SOON).await;
        host.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}
