//! The registry is killed and comes back, empty, while components talk.

use std::time::{Duration, Instant};

use super::{
    support::{RegistryProcess, SLACK, list, names, run, seconds, settled, tally, until, who},
    talk::{Known, kind},
};

#[test]
fn a_registry_that_was_away_for_ten_seconds_is_not_missed() {
    run(away(seconds(10)));
}

#[test]
fn a_registry_that_was_away_for_longer_than_the_lease_is_not_missed() {
    run(away(seconds(13)));
}

async fn away(time: Duration) {
    let mut registry = RegistryProcess::fresh().await;
    let all = ["a", "b", "c"];
    let _processes = registry.busy(&all).await;
    let node = registry.here().await;
    let mut before = Vec::new();
    for name in all {
        settled(&node, name, &all).await;
        before.push(who(&node, name).await);
    }
    registry.process.kill();
    let gone = Instant::now();
    let lost = node
        .component("nobody")
        .ask(Known {})
        .within(seconds(1))
        .await;
    let lost = lost.unwrap_err();
    assert_eq!(kind(lost.reason()), "no such component", "{lost}");
    assert!(
        lost.to_string().contains("the registry can't be asked"),
        "{lost}"
    );
    tokio::time::sleep(time.saturating_sub(gone.elapsed())).await;

    registry.restart().await;
    let back = Instant::now();
    // Somebody wants a name that a component has which the registry may not know of yet.
    let mut thief = registry.begin_node("b");
    let mut newcomer = registry.begin_node("e");
    until(
        seconds(12) + SLACK,
        "the list shows all of them",
        async || {
            let list = list(&node).await?;
            let missing = all.iter().find(|name| !names(&list).contains(name));
            missing.map_or(Ok(()), |missing| Err(format!("without {missing}")))
        },
    )
    .await;
    let took = back.elapsed();
    assert!(took < seconds(12) + SLACK, "{took:?}");
    let refused = thief.says("failed").await;
    let holder = format!("(pid {})", before[1].pid);
    assert!(
        refused.contains("\"b\" is taken by") && refused.contains(&holder),
        "{refused}"
    );
    newcomer.says("ready").await;
    let left = (seconds(12) + SLACK).saturating_sub(back.elapsed());
    until(left, "it has recovered, with all of them", async || {
        let list = list(&node).await?;
        let connected = list.components.iter().all(|it| it.connected);
        if !list.recovering && connected && names(&list) == ["a", "b", "c", "e"] {
            Ok(())
        } else {
            Err(format!("{list:?}"))
        }
    })
    .await;
    for (name, before) in all.iter().zip(before) {
        tally(&node, name).await.assert_clean(name);
        assert_eq!(who(&node, name).await, before, "it was restarted");
        until(seconds(5), "it knows the newcomer", async || {
            let known = node.component(name).ask(Known {}).await.unwrap();
            if known == ["a", "b", "c", "e"] {
                Ok(())
            } else {
                Err(format!("{known:?}"))
            }
        })
        .await;
    }
    node.shutdown(Duration::ZERO).await;
}
