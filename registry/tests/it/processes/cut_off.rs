//! Nodes that are cut off from the registry, and not from each other.

use std::time::Duration;

use super::{
    proxy::{Network, Proxy},
    support::{
        RegistryProcess, SLACK, begin, node_at, run, seconds, settled, tally, until, until_listed,
        who,
    },
    talk::{AskOther, Echo, kind},
};

#[test]
fn nodes_that_are_cut_off_from_the_registry_go_on_serving_their_peers() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let (quiet, severed) = (
            Proxy::to(registry.address).await,
            Proxy::to(registry.address).await,
        );
        let one = node_at(quiet.address, "one", &[]).await;
        let two = node_at(severed.address, "two", &[]).await;
        let _three = registry.node("three").await;
        let all = ["one", "two", "three"];
        let node = registry.here().await;
        let mut before = Vec::new();
        for name in all {
            begin(&node, name, &all).await;
            before.push(who(&node, name).await);
        }
        for name in all {
            settled(&node, name, &all).await;
        }
        quiet.set(Network::Silent);
        severed.set(Network::Severed);
        // Heard of no more for the lease and a second.
        until_listed(&node, seconds(11) + SLACK, &["three"]).await;
        // Who isn't connected to them doesn't find them, and may have their name.
        let newcomer = registry.here().await;
        let lost = newcomer
            .component("one")
            .ask(Echo { n: 1 })
            .await
            .unwrap_err();
        assert_eq!(kind(lost.reason()), "no such component", "{lost}");
        let heir = registry.node("two").await;
        until(
            seconds(5),
            "those who know the old one learn of the new",
            async || {
                let now = who(&node, "two").await.pid;
                if now == heir.process.pid() {
                    Ok(())
                } else {
                    Err(format!("pid {now}"))
                }
            },
        )
        .await;
        // The others still serve each other, and this node.
        assert_eq!(who(&node, "one").await.pid, one.process.pid());
        for name in ["one", "three"] {
            tally(&node, name).await.assert_clean(name);
        }

        quiet.set(Network::Up);
        until_listed(&node, seconds(5) + SLACK, &["one", "three", "two"]).await;
        assert_eq!(who(&newcomer, "one").await, before[0], "it was restarted");
        until(seconds(5), "it learns what it has missed", async || {
            let msg = AskOther {
                to: "two".to_owned(),
                n: 1,
            };
            let reply = node.component("one").ask(msg).await.unwrap()?;
            let now = reply.who.pid;
            if now == heir.process.pid() {
                Ok(())
            } else {
                Err(format!("pid {now}"))
            }
        })
        .await;
        severed.set(Network::Up);
        // The one that has lost its name is told, and goes.
        until(seconds(5) + SLACK, "the old one is gone", async || {
            let service = node.component(format!("node/{}", two.id));
            let report = service
                .ask(botzilla::Report {})
                .await
                .map_err(|it| it.to_string())?;
            if report.components.is_empty() {
                Ok(())
            } else {
                Err(format!("{report:?}"))
            }
        })
        .await;
        // How much there was since the last look depends on how soon all were back.
        for name in ["one", "three"] {
            let tally = tally(&node, name).await;
            assert!(
                tally.failed.is_empty() && tally.overdue.is_empty(),
                "{name}: {tally:#?}"
            );
        }
        newcomer.shutdown(Duration::ZERO).await;
        node.shutdown(Duration::ZERO).await;
    });
}
