//! Many messages, a few slow components: none lost, none doubled, none held up by others.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use botzilla::{Counters, RouteReport};
use futures_util::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};

use crate::{
    child::Child,
    parts::{Echo, Gate, Halt, Opening, Ping, SendAll, Tallies, Wait},
    world::{self, PATIENCE, SOON, found, run, until_received},
};

const ITEMS: u64 = 25_000;
const QUERIES: u64 = 6_250;

fn total<'a>(
    reports: impl Iterator<Item = &'a RouteReport>,
) -> BTreeMap<(&'a str, &'a str), Counters> {
    let mut routes = BTreeMap::new();
    for report in reports.filter(|report| report.target == "slow") {
        let before = routes.insert((&*report.sender, &*report.message), report.counters);
        assert!(
            before.is_none(),
            "one connection, and one route each: {report:?}"
        );
    }
    routes
}

#[test]
fn eight_senders_lose_and_double_nothing_and_keep_their_order() {
    run(async {
        let registry = world::registry().await;
        let names: Vec<_> = (0..8).map(|n| format!("sender:s{n}")).collect();
        let mut here = vec!["slow"];
        here.extend(names[..4].iter().map(String::as_str));
        let there: Vec<_> = names[4..].iter().map(String::as_str).collect();
        let here = Child::start(registry.address(), &here).await;
        let there = Child::start(registry.address(), &there).await;
        let node = world::node(registry.address()).await;
        let before = (here.memory().now, there.memory().now);
        let sending = (0..8).map(|n| {
            let sender = node.component(format!("s{n}"));
            async move {
                sender.ready(PATIENCE).await.unwrap();
                let all = SendAll {
                    to: "slow".into(),
                    items: ITEMS,
                    queries: QUERIES,
                };
                sender.ask(all).within(PATIENCE).await.unwrap()
            }
        });
        for report in join_all(sending).await {
            assert_eq!((report.failed, &report.first_failure), (0, &None));
            assert_eq!((report.delivered, report.answered), (ITEMS, QUERIES));
        }
        let tallies = found(&node, "slow").await.ask(Tallies).await.unwrap();
        let senders: Vec<_> = tallies.keys().map(String::as_str).collect();
        assert_eq!(senders, ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"]);
        for (sender, tally) in &tallies {
            assert_eq!(
                (tally.items, tally.queries, tally.out_of_order),
                (ITEMS, QUERIES, 0),
                "{sender}"
            );
        }
        for (child, before) in [(&here, before.0), (&there, before.1)] {
            let memory = child.memory();
            assert!(
                memory.peak < before + 64 * 1024,
                "from {before} KiB: {memory:?}"
            );
        }
        // Those who sent go first: a clean close.
        let sent = there.stop().await;
        let received = here.stop().await;
        let sent = total(sent.iter().filter(|report| report.outbound));
        let received = total(
            received
                .iter()
                .filter(|report| !report.outbound && report.sender.starts_with('s')),
        );
        assert_eq!(sent.len(), 8, "{sent:?}");
        assert_eq!(sent, received);
        for ((_, message), counters) in sent {
            let expected = if message == "Item" { ITEMS } else { QUERIES };
            assert_eq!(
                (counters.sent, counters.delivered, counters.open),
                (expected, expected, 0)
            );
        }
        node.shutdown(SOON).await;
        registry.shutdown(SOON).await;
    });
}

#[test]
fn asks_of_a_third_pass_ten_thousand_tells_that_wait_and_a_component_that_is_stuck() {
    run(async {
        let (registry, host, other) = world::two().await;
        let opening = Arc::new(Opening::default());
        let opens = opening.clone();
        host.spawn("busy", move || Gate::opened_by(&opens))
            .await
            .unwrap();
        host.spawn("stuck", Gate::default).await.unwrap();
        host.spawn("third", Echo::default).await.unwrap();
        let (busy, stuck) = (found(&other, "busy").await, found(&other, "stuck").await);
        let third = found(&other, "third").await;
        let held: Vec<_> = join_all((0..256).map(|n| stuck.tell(Wait { n }).into_future())).await;
        let waiting = actix_rt::spawn({
            let busy = busy.clone();
            async move {
                let tells = (0..10_000).map(|n| {
                    let tell = busy.tell(Wait { n }).within(PATIENCE).into_future();
                    async move { tell.await?.await }
                });
                let tells: FuturesUnordered<_> = tells.collect();
                tells.map(Result::unwrap).count().await
            }
        });
        until_received(&host, "busy", 256).await;
        until_received(&host, "stuck", 256).await;
        let asks = stream::iter(0..1000)
            .map(|n| third.ask(Ping { n }))
            .buffered(64);
        let answers: Vec<_> = asks.map(Result::unwrap).collect().await;
        assert_eq!(answers, (0..1000).collect::<Vec<_>>());
        assert!(!waiting.is_finished());
        let peers = other.report().peers.len();
        assert_eq!(peers, 2, "the host and the registry: one connection each");

        opening.open();
        assert_eq!(waiting.await.unwrap(), 10_000);
        let through = busy
            .ask(Halt {
                reason: "counted".into(),
            })
            .await
            .unwrap();
        assert_eq!(through, (0..10_000).collect::<Vec<_>>());
        assert!(held.iter().all(Result::is_ok));
        drop(held);
        other.shutdown(Duration::ZERO).await;
        host.shutdown(Duration::ZERO).await;
        registry.shutdown(SOON).await;
    });
}
