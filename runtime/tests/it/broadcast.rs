//! One message for all who listen, here and elsewhere, and a report of what became of it.

use std::time::Duration;

use botzilla::{BroadcastReport, prelude::*};
use serde_json::json;

use crate::world::{self, SOON, config, registry, run, started, until};

#[botzilla::message]
#[derive(Clone)]
struct News {
    text: String,
}

/// What was heard, and from whom.
#[botzilla::message(reply = Vec<String>)]
struct Heard;

/// Tells everybody but oneself.
#[botzilla::message(reply = BroadcastReport)]
struct Announce {
    text: String,
}

#[derive(Default)]
struct Listener {
    heard: Vec<String>,
}

#[botzilla::component(groups = ["listeners"])]
impl Listener {
    #[botzilla::handler(broadcast)]
    async fn news(&mut self, msg: News, ctx: &Ctx<Self>) {
        tokio::task::yield_now().await;
        assert_ne!(msg.text, "bad", "no bad news");
        self.heard.push(format!(
            "{} from {}",
            msg.text,
            ctx.sender().unwrap_or("nobody")
        ));
    }

    #[botzilla::handler]
    fn heard(&mut self, _: Heard) -> Vec<String> {
        self.heard.clone()
    }

    #[botzilla::handler]
    async fn announce(&mut self, msg: Announce, ctx: &Ctx<Self>) -> BroadcastReport {
        ctx.broadcast(News { text: msg.text })
            .to_the_end()
            .await
            .unwrap()
    }
}

/// Handles it when asked, and doesn't listen.
#[derive(Default)]
struct Deaf;

#[botzilla::component]
impl Deaf {
    #[botzilla::handler]
    fn news(&mut self, _: News) {}
}

/// Three nodes: a and b with listeners, c without.
async fn three() -> (botzilla_registry::RunningRegistry, [Node; 3]) {
    let registry = registry().await;
    let mut nodes = Vec::new();
    for names in [["a1", "a2"], ["b1", "b2"], ["c1", "c2"]] {
        let node = world::node(registry.address()).await;
        for name in names {
            if name.starts_with('c') || name == "b2" {
                node.spawn(name, Deaf::default).await.unwrap();
            } else {
                node.spawn(name, Listener::default).await.unwrap();
            }
        }
        nodes.push(node);
    }
    for node in &nodes {
        world::until_listed(node, &["a1", "a2", "b1", "b2", "c1", "c2"]).await;
    }
    (registry, nodes.try_into().unwrap())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

async fn down(registry: botzilla_registry::RunningRegistry, nodes: &[Node]) {
    for node in nodes {
        node.shutdown(SOON).await;
    }
    registry.shutdown(SOON).await;
}

async fn heard(node: &Node, component: &str) -> Vec<String> {
    node.component(component).ask(Heard).await.unwrap()
}

#[test]
fn the_report_names_those_who_heard_it_those_who_ignored_it_and_those_who_failed() {
    run(async {
        let (registry, nodes) = three().await;
        let [_, _, c] = &nodes;
        let good = News {
            text: "good".into(),
        };
        let report = c.broadcast(good.clone()).to_the_end().await.unwrap();
        assert_eq!(report.delivered, names(&["a1", "a2", "b1"]));
        assert_eq!(report.ignored, names(&["b2", "c1", "c2"]));
        assert!(report.is_complete());
        assert_eq!(heard(c, "b1").await, ["good from nobody"]);

        let report = c
            .broadcast(News { text: "bad".into() })
            .to_the_end()
            .await
            .unwrap();
        assert_eq!(report.delivered, names(&[]));
        let failed: Vec<_> = report
            .failed
            .iter()
            .map(|failed| &*failed.component)
            .collect();
        assert_eq!(failed, ["a1", "a2", "b1"]);
        assert!(
            report.failed[2].reason.contains("no bad news"),
            "{:?}",
            report.failed[2]
        );
        assert!(!report.is_complete());

        // Not to the end: it is in their queues, whatever becomes of it.
        let report = c.broadcast(News { text: "bad".into() }).await.unwrap();
        assert_eq!(report.delivered, names(&["a1", "a2", "b1"]));
        down(registry, &nodes).await;
    });
}

#[test]
fn who_broadcasts_hears_nothing_and_the_others_hear_from_whom_it_is() {
    run(async {
        let (registry, nodes) = three().await;
        let report = nodes[0]
            .component("a1")
            .ask(Announce {
                text: "hello".into(),
            })
            .await
            .unwrap();
        assert_eq!(report.delivered, names(&["a2", "b1"]));
        assert_eq!(report.ignored, names(&["b2", "c1", "c2"]));
        assert_eq!(heard(&nodes[0], "a1").await, names(&[]));
        assert_eq!(heard(&nodes[0], "a2").await, ["hello from a1"]);
        assert_eq!(heard(&nodes[0], "b1").await, ["hello from a1"]);
        down(registry, &nodes).await;
    });
}

#[test]
fn a_group_hears_what_is_for_it_and_the_others_are_not_in_the_report() {
    run(async {
        let (registry, nodes) = three().await;
        let [a, b, c] = &nodes;
        a.spawn("a3", Listener::default)
            .groups(["night"])
            .await
            .unwrap();
        b.spawn("b3", Deaf::default)
            .groups(["night"])
            .await
            .unwrap();
        let all = ["a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2"];
        world::until_listed(c, &all).await;
        let news = News {
            text: "dark".into(),
        };
        let report = c
            .broadcast(news.clone())
            .group("night")
            .to_the_end()
            .await
            .unwrap();
        assert_eq!(report.delivered, names(&["a3"]));
        assert_eq!(report.ignored, names(&["b3"]));
        let report = c
            .broadcast(news.clone())
            .group("listeners")
            .to_the_end()
            .await
            .unwrap();
        assert_eq!(report.delivered, names(&["a1", "a2", "a3", "b1"]));
        let report = c.broadcast(news).group("nobody").await.unwrap();
        assert_eq!(report, BroadcastReport::default());
        down(registry, &nodes).await;
    });
}

#[test]
fn a_node_that_does_not_answer_is_in_the_report_with_its_listeners() {
    run(async {
        let registry = registry().await;
        // Where nobody listens; neither can dial the other.
        let nowhere = || config(registry.address()).advertise(["127.0.0.1:1"]);
        let away = started(nowhere()).await;
        away.spawn("unreachable", Listener::default).await.unwrap();
        let near = started(nowhere()).await;
        near.spawn("near", Listener::default).await.unwrap();
        world::until_listed(&near, &["near", "unreachable"]).await;
        let news = News {
            text: "help".into(),
        };
        let within = Duration::from_millis(500);
        let report = near
            .broadcast(news)
            .within(within)
            .to_the_end()
            .await
            .unwrap();
        assert_eq!(report.delivered, names(&["near"]));
        assert_eq!(report.unreached.len(), 1);
        assert_eq!(report.unreached[0].node, away.id().to_string());
        assert_eq!(report.unreached[0].components, names(&["unreachable"]));
        assert!(!report.is_complete() && !report.unreached[0].reason.is_empty());
        down(registry, &[near, away]).await;
    });
}

#[test]
fn a_broadcast_in_json_reaches_the_same_and_one_that_is_no_such_message_fails_by_name() {
    run(async {
        let (registry, nodes) = three().await;
        let c = &nodes[2];
        let within = Duration::from_secs(20);
        let good = json!({ "text": "by hand" });
        let report = c
            .broadcast_json("News", &good, None, within, true)
            .await
            .unwrap();
        assert_eq!(report.delivered, names(&["a1", "a2", "b1"]));
        assert_eq!(heard(c, "b1").await, ["by hand from nobody"]);
        let wrong = json!({ "text": "by hand", "colour": "red" });
        let report = c
            .broadcast_json("News", &wrong, Some("listeners"), within, true)
            .await
            .unwrap();
        let failed: Vec<_> = report
            .failed
            .iter()
            .map(|failed| &*failed.component)
            .collect();
        assert_eq!(failed, ["a1", "a2", "b1"]);
        assert!(
            report.failed[0].reason.contains("colour"),
            "{:?}",
            report.failed[0]
        );

        // A tool's node has no copy of the directory.
        let tool = Node::start(config(registry.address()).short_lived())
            .await
            .unwrap();
        let report = tool
            .broadcast_json("News", &good, None, within, true)
            .await
            .unwrap();
        assert_eq!(report.delivered, names(&["a1", "a2", "b1"]));
        assert_eq!(report.ignored, names(&["b2", "c1", "c2"]));
        let report = tool
            .broadcast_json("Nothing", &good, None, within, true)
            .await
            .unwrap();
        assert_eq!(report.ignored, names(&["a1", "a2", "b1", "b2", "c1", "c2"]));
        tool.shutdown(SOON).await;
        until(|| {
            nodes
                .iter()
                .all(|node| node.peer(tool.id()).is_none_or(|peer| !peer.connected))
        })
        .await;
        down(registry, &nodes).await;
    });
}
