//! Processes that are told to end, and what their peers see of it.

use std::time::{Duration, Instant};

use botzilla::{Ask, Message, Node};
use futures_util::future::join_all;

use super::{
    support::{RegistryProcess, SLACK, list, names, run, seconds, until, until_listed, who},
    talk::{Block, Echo, Hang, Holding, Wait, Work, kind},
};

type InFlight<R> = Vec<tokio::task::JoinHandle<Result<R, botzilla::CallError>>>;

fn in_flight<M: Message>(asks: impl IntoIterator<Item = Ask<M>>) -> InFlight<M::Reply> {
    asks.into_iter().map(tokio::spawn).collect()
}

async fn outcomes<R>(asks: InFlight<R>) -> Vec<Result<R, botzilla::CallError>> {
    let joined = join_all(asks).await;
    joined.into_iter().map(Result::unwrap).collect()
}

async fn until_holding(node: &Node, name: &str, count: u64) {
    until(seconds(10), "they have begun", async || {
        let holding = node.component(name).ask(Holding {}).await.unwrap();
        if holding == count {
            Ok(())
        } else {
            Err(format!("{holding}"))
        }
    })
    .await;
}

#[test]
fn a_shutdown_is_bounded_and_everything_is_accounted_for() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let mut process = registry.node("works waits hangs! idle").await;
        let node = registry.here().await;
        let within = seconds(60);
        let (works, waits, hangs) = (
            node.component("works"),
            node.component("waits"),
            node.component("hangs"),
        );
        let worked = in_flight((0..5).map(|n| works.ask(Work { n, ms: 60 }).within(within)));
        let waited = in_flight((0..5).map(|_| waits.ask(Wait {}).within(within)));
        let hung = in_flight((0..5).map(|_| hangs.ask(Hang {}).within(within)));
        until_holding(&node, "waits", 1).await;
        let describe = node.component(format!("node/{}", process.id));
        until(seconds(10), "they are in its queues", async || {
            for component in ["waits", "hangs"] {
                let asked = botzilla::Describe {
                    component: component.to_owned(),
                };
                let described = describe.ask(asked).await.unwrap().unwrap();
                if described.queued != 4 {
                    return Err(format!("{described:?}"));
                }
            }
            Ok(())
        })
        .await;

        let since = Instant::now();
        process.process.order("shutdown 1500");
        until_listed(&node, seconds(1) + SLACK, &[]).await;
        let worked = outcomes(worked).await;
        assert!(
            worked.into_iter().map(Result::unwrap).eq(0..5),
            "drained in order"
        );
        let waited: Vec<_> = outcomes(waited)
            .await
            .into_iter()
            .map(Result::unwrap_err)
            .collect();
        let hung: Vec<_> = outcomes(hung)
            .await
            .into_iter()
            .map(Result::unwrap_err)
            .collect();
        let took = since.elapsed();
        // The deadline, and a little to notice what was cut.
        assert!(took < Duration::from_millis(1500 + 900) + SLACK, "{took:?}");
        for lost in waited.iter().chain(&hung) {
            let kind = kind(lost.reason());
            assert!(
                kind == "stopped" || kind == "disconnected, may have run",
                "{lost}"
            );
        }
        let report = process.process.says("report").await;
        let parts: Vec<_> = report.split('|').collect();
        let [drained, cut, stuck, refused, unanswered, owed] = parts[..] else {
            panic!("{report}")
        };
        assert_eq!(
            (drained, cut, stuck),
            ("idle works", "waits", "hangs"),
            "{report}"
        );
        // Four queued behind each, and the one that hangs got no outcome.
        assert_eq!((refused, unanswered, owed), ("8", "0", "1"), "{report}");
        let stopped = |lost: &[botzilla::CallError]| {
            lost.iter()
                .filter(|it| kind(it.reason()) == "stopped")
                .count()
        };
        assert_eq!(
            (stopped(&waited), stopped(&hung)),
            (5, 4),
            "{waited:?} {hung:?}"
        );
        assert!(process.process.ended(seconds(5)).await.success());
        let next = works.ask(Echo { n: 1 }).await.unwrap_err();
        assert_eq!(kind(next.reason()), "no such component", "{next}");
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn a_process_that_gets_sigterm_ends_cleanly_and_is_gone_from_the_list_at_once() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let mut busy = registry.node("busy").await;
        let mut idle = registry.node("idle").await;
        let node = registry.here().await;
        who(&node, "idle").await;
        let component = node.component("busy");
        let waits = in_flight([component.ask(Wait {}).within(seconds(60))]);
        until_holding(&node, "busy", 1).await;

        let since = Instant::now();
        idle.process.terminate();
        until_listed(&node, seconds(1), &["busy"]).await;
        assert!(idle.process.ended(seconds(5)).await.success());
        let took = since.elapsed();
        assert!(
            took < seconds(1) + SLACK,
            "nothing to wait for, and it took {took:?}"
        );

        let since = Instant::now();
        busy.process.terminate();
        until(seconds(1), "it is gone from the list", async || {
            let list = list(&node).await?;
            if names(&list).is_empty() {
                Ok(())
            } else {
                Err(format!("{:?}", names(&list)))
            }
        })
        .await;
        let lost = outcomes(waits).await.remove(0).unwrap_err();
        assert_eq!(kind(lost.reason()), "stopped", "{lost}");
        assert!(busy.process.ended(seconds(10)).await.success());
        let took = since.elapsed();
        assert!(took < seconds(5) + SLACK, "{took:?}");
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn a_process_whose_thread_a_component_blocks_ends_in_time_when_it_gets_sigterm() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let mut process = registry.node("drive").await;
        let node = registry.here().await;
        let asks = in_flight([node.component("drive").ask(Block {}).within(seconds(60))]);
        process.process.says("blocks").await;
        let since = Instant::now();
        process.process.terminate();
        let ended = process.process.ended(seconds(12)).await;
        let took = since.elapsed();
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        assert!(took < seconds(8) + SLACK, "{took:?}");
        let lost = outcomes(asks).await.remove(0).unwrap_err();
        assert_eq!(kind(lost.reason()), "disconnected, may have run", "{lost}");
        node.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn a_registry_that_gets_sigterm_ends_cleanly() {
    run(async {
        let mut registry = RegistryProcess::fresh().await;
        let _process = registry.node("drive").await;
        let node = registry.here().await;
        let before = who(&node, "drive").await;
        let since = Instant::now();
        registry.process.terminate();
        assert!(registry.process.ended(seconds(10)).await.success());
        let took = since.elapsed();
        assert!(took < seconds(5) + SLACK, "{took:?}");
        assert_eq!(who(&node, "drive").await, before);
        node.shutdown(Duration::ZERO).await;
    });
}
