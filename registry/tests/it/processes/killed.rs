//! Processes that talk, and that are killed while they do.

use std::time::{Duration, Instant};

use botzilla::{CallError, Node};
use futures_util::future::join_all;

use super::{
    support::{
        NodeProcess, RegistryProcess, SLACK, begin, list, names, run, seconds, settled, tally,
        until, who,
    },
    talk::{AskOther, Hold, Holding, Notes, TellAll, TellOther, kind},
};

#[test]
fn processes_ask_tell_and_broadcast() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let all = ["a", "b", "c"];
        let _processes = join_all(all.map(|name| registry.node(name))).await;
        let node = registry.here().await;
        for from in all {
            for to in all.iter().filter(|to| **to != from) {
                let to = (*to).to_owned();
                let asked = node
                    .component(from)
                    .ask(AskOther {
                        to: to.clone(),
                        n: 5,
                    })
                    .await;
                let reply = asked.unwrap().unwrap();
                assert_eq!((reply.n, &reply.who.name), (5, &to));
                let told = TellOther {
                    to: to.clone(),
                    count: 100,
                };
                assert_eq!(node.component(from).ask(told).await.unwrap(), Ok(100));
                let notes = Notes {
                    from: from.to_owned(),
                };
                let notes = node.component(&to).ask(notes).await.unwrap();
                assert_eq!(notes, (0..100).collect::<Vec<_>>(), "none lost, in order");
            }
            for group in [None, Some("robots".to_owned())] {
                let cast = TellAll { n: 1000, group };
                let report = node.component(from).ask(cast).await.unwrap().unwrap();
                let others: Vec<_> = all.iter().filter(|to| **to != from).collect();
                assert!(report.delivered.iter().eq(others), "{report:?}");
                assert!(
                    report.is_complete() && report.ignored.is_empty(),
                    "{report:?}"
                );
            }
        }
        for from in all {
            for to in all.iter().filter(|to| **to != from) {
                let notes = node
                    .component(to)
                    .ask(Notes {
                        from: from.to_owned(),
                    })
                    .await;
                assert_eq!(notes.unwrap()[100..], [1000, 1000]);
            }
        }
        node.shutdown(Duration::ZERO).await;
    });
}

/// What traffic to a process that was killed may end as.
const DEAD: [&str; 5] = [
    "disconnected, may have run",
    "disconnected, did not run",
    "not connected",
    "no such component",
    "unreached",
];

#[test]
fn processes_are_killed_each_in_turn_under_traffic() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let all = ["a", "b", "c", "d"];
        let mut processes = registry.busy(&all).await;
        let node = registry.here().await;
        // The last stays dead.
        let mut gone = processes.pop().unwrap();
        kill(&node, "d", &mut gone).await;
        let killed = Instant::now();
        for (index, dead) in all[..3].iter().enumerate() {
            let others: Vec<_> = all[..3].iter().filter(|it| *it != dead).copied().collect();
            let mut before = Vec::new();
            for other in &others {
                settled(&node, other, &all[..3]).await;
                before.push(who(&node, other).await);
            }
            kill(&node, dead, &mut processes[index]).await;
            restart(&registry, &node, dead, &others, &mut processes[index]).await;
            for (other, before) in others.iter().zip(before) {
                let tally = tally(&node, other).await;
                tally.assert_only(other, &[dead, "d"], &DEAD);
                assert_eq!(who(&node, other).await, before, "it was restarted");
            }
            begin(&node, dead, &all).await;
        }
        // The lease and a second.
        let left = (seconds(11) + SLACK).saturating_sub(killed.elapsed());
        until(left, "it is gone from the list", async || {
            let list = list(&node).await?;
            if names(&list) == ["a", "b", "c"] {
                Ok(())
            } else {
                Err(format!("{:?}", names(&list)))
            }
        })
        .await;
        let lost = node.component("d").ask(Hold {}).await.unwrap_err();
        assert_eq!(kind(lost.reason()), "no such component", "{lost}");
        node.shutdown(Duration::ZERO).await;
    });
}

/// Kills it with asks in flight, which end at once.
async fn kill(node: &Node, name: &str, process: &mut NodeProcess) {
    const COUNT: u64 = 10;
    let component = node.component(name);
    let in_flight: Vec<_> = (0..COUNT)
        .map(|_| tokio::spawn(component.ask(Hold {}).within(seconds(60))))
        .collect();
    until(seconds(10), "all have begun", async || {
        let holding = component.ask(Holding {}).await.unwrap();
        if holding == COUNT {
            Ok(())
        } else {
            Err(format!("{holding}"))
        }
    })
    .await;
    process.process.kill();
    let since = Instant::now();
    for lost in in_flight {
        let lost = lost.await.unwrap().unwrap_err();
        assert_eq!(kind(lost.reason()), "disconnected, may have run", "{lost}");
    }
    let took = since.elapsed();
    assert!(took < SLACK, "at once? {took:?}");
    let next: Result<(), CallError> = component.ask(Hold {}).await;
    let next = next.unwrap_err();
    let how = kind(next.reason());
    assert!(
        how == "not connected" || how == "no such component",
        "{next}"
    );
}

/// Starts it again; it is reachable under its name within 5 s, for everybody.
async fn restart(
    registry: &RegistryProcess,
    node: &Node,
    name: &str,
    others: &[&str],
    process: &mut NodeProcess,
) {
    let since = Instant::now();
    *process = registry.node(name).await;
    for other in others {
        until(seconds(5), "it is reached", async || {
            let to = name.to_owned();
            let asked = node.component(other).ask(AskOther { to, n: 1 }).await;
            let reply = asked.map_err(|error| error.to_string())??;
            assert_eq!(reply.who.pid, process.process.pid());
            Ok(())
        })
        .await;
    }
    assert_eq!(who(node, name).await.pid, process.process.pid());
    let took = since.elapsed();
    assert!(took < seconds(5) + SLACK, "{took:?}");
}
