//! What real networks do to connections: they go silent, in one direction or in both, and machines move.

use std::time::Instant;

use botzilla::{Ctx, Node, PublishError, Publisher, Qos};
use tokio::sync::mpsc;

use super::{
    lab::{HERE, here, host, in_lab, node_on, registry, registry_address, sh},
    support::{PATIENCE, Process, SECRET, SLACK, list, names, node_at, seconds, until, who},
    talk::{Beat, Echo},
};

/// Publishes `clock/beat`, and hands the publisher to the test.
struct Clock(mpsc::Sender<Publisher<Beat>>);

#[botzilla::component]
impl Clock {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        let _ = self.0.try_send(ctx.publish("beat", Qos::reliable())?);
        Ok(())
    }
}

pub(crate) async fn clock(node: &Node) -> Publisher<Beat> {
    let (sender, mut receiver) = mpsc::channel(1);
    node.spawn("clock", move || Clock(sender.clone()))
        .await
        .unwrap();
    receiver.recv().await.unwrap()
}

fn is_connected(node: &Node, peer: &str) -> bool {
    let peer = peer.parse().unwrap();
    node.peer(peer).is_some_and(|peer| peer.connected)
}

/// What is done to the host `a`, and undone.
async fn half_open(cut: &str) {
    let registry = registry().await;
    let here = here().await;
    let beats = clock(&here).await;
    host("a", 2);
    let mut there = node_on("a", "a").await;
    until(PATIENCE, "it answers", async || {
        let echo = here.component("a").ask(Echo { n: 1 }).await;
        echo.map(drop).map_err(|error| error.to_string())
    })
    .await;
    there.process.order("subscribe clock/beat");
    there.process.says("subscribed").await;
    for peer in [registry.node().id(), here.id()] {
        there.process.order(&format!("lost? {peer}"));
    }
    assert_eq!(beats.subscribers(), 1);
    assert!(is_connected(registry.node(), &there.id) && is_connected(&here, &there.id));

    sh(&cut.replace("-X", "-A"));
    let began = Instant::now();
    let limit = seconds(3) + SLACK;
    let by_registry = until(limit, "the registry sees it", async || {
        let is_there = is_connected(registry.node(), &there.id);
        if is_there {
            Err("it is connected".to_owned())
        } else {
            Ok(began.elapsed())
        }
    });
    let by_peer = until(limit, "its peer sees it", async || {
        let is_there = is_connected(&here, &there.id);
        if is_there {
            Err("it is connected".to_owned())
        } else {
            Ok(began.elapsed())
        }
    });
    let of_stream = until(limit, "its publisher sees it", async || {
        if beats.subscribers() > 0 {
            Err("it subscribes".to_owned())
        } else {
            Ok(began.elapsed())
        }
    });
    let by_itself = async {
        let (mut lost, mut said) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            said.push(there.process.says("").await);
            lost.push(began.elapsed());
        }
        said.sort_unstable();
        assert!(
            said[0].starts_with("lost") && said[1].starts_with("lost") && said[2] == "unsubscribed",
            "{said:?}"
        );
        lost.into_iter().max().unwrap()
    };
    let found = tokio::join!(by_registry, by_peer, of_stream, by_itself);
    eprintln!("{cut}: found after {found:?}");
    assert!(found.3 < limit, "{found:?}");

    sh(&cut.replace("-X", "-D"));
    let healed = Instant::now();
    until(seconds(5) + SLACK, "it is back", async || {
        let asked = here.component("a").ask(Echo { n: 2 });
        let reply = asked.within(seconds(2)).await;
        reply.map(drop).map_err(|error| error.to_string())
    })
    .await;
    until(seconds(5) + SLACK, "its subscription is back", async || {
        if beats.subscribers() == 1 {
            Ok(())
        } else {
            Err(beats.subscribers().to_string())
        }
    })
    .await;
    eprintln!("back after {:?}", healed.elapsed());
    here.shutdown(seconds(1)).await;
    registry.shutdown(seconds(1)).await;
}

#[test]
fn connections_that_are_dead_in_both_directions_are_found_by_all_in_time() {
    let cut =
        "ip netns exec a iptables -X INPUT -j DROP; ip netns exec a iptables -X OUTPUT -j DROP";
    in_lab(
        "processes::networks::connections_that_are_dead_in_both_directions_are_found_by_all_in_time",
        half_open(cut),
    );
}

#[test]
fn connections_that_are_dead_in_one_direction_are_found_by_all_in_time() {
    in_lab(
        "processes::networks::connections_that_are_dead_in_one_direction_are_found_by_all_in_time",
        half_open("ip netns exec a iptables -X INPUT -j DROP"),
    );
}

#[test]
fn connections_that_are_dead_in_the_other_direction_are_found_by_all_in_time() {
    in_lab(
        "processes::networks::connections_that_are_dead_in_the_other_direction_are_found_by_all_in_time",
        half_open("ip netns exec a iptables -X OUTPUT -j DROP"),
    );
}

/// Where the registry says that a component is.
async fn endpoints(node: &Node, name: &str) -> Result<Vec<String>, String> {
    let list = list(node).await?;
    let found = list.components.into_iter().find(|it| it.name == name);
    found
        .map(|it| it.endpoints)
        .ok_or_else(|| "it isn't listed".to_owned())
}

#[test]
fn a_node_whose_addresses_change_is_found_again_and_keeps_its_names() {
    in_lab(
        "processes::networks::a_node_whose_addresses_change_is_found_again_and_keeps_its_names",
        async {
            let registry = registry().await;
            let here = here().await;
            host("a", 2);
            let _there = node_on("a", "a").await;
            until(PATIENCE, "it is found", async || {
                let echo = here.component("a").ask(Echo { n: 1 }).await;
                echo.map(drop).map_err(|error| error.to_string())
            })
            .await;
            let before = who(&here, "a").await;
            // A cable is plugged in: told though nothing has broken.
            sh("ip -n a addr add 10.77.0.22/24 dev eth0");
            let told = Instant::now();
            until(seconds(2) + SLACK, "the registry is told", async || {
                let all = endpoints(&here, "a").await?;
                if all.iter().any(|it| it.starts_with("10.77.0.22:")) {
                    Ok(())
                } else {
                    Err(format!("{all:?}"))
                }
            })
            .await;
            eprintln!("told after {:?}", told.elapsed());
            // The first address goes, and another comes: all connections were from it.
            sh("ip -n a addr flush dev eth0 scope global; ip -n a addr add 10.77.0.33/24 dev eth0");
            let moved = Instant::now();
            until(
                seconds(8) + SLACK,
                "it answers at its new address",
                async || {
                    let asked = here.component("a").ask(Echo { n: 2 });
                    let reply = asked.within(seconds(2)).await;
                    reply.map(drop).map_err(|error| error.to_string())
                },
            )
            .await;
            eprintln!("found again after {:?}", moved.elapsed());
            assert_eq!(who(&here, "a").await, before, "it was restarted");
            until(seconds(5), "only the new address is left", async || {
                let all = endpoints(&here, "a").await?;
                let is_new = |it: &String| it.starts_with("10.77.0.33:") || it.contains('@');
                if all.iter().all(is_new) {
                    Ok(())
                } else {
                    Err(format!("{all:?}"))
                }
            })
            .await;
            here.shutdown(seconds(1)).await;
            registry.shutdown(seconds(1)).await;
        },
    );
}

/// The lab's own names.
fn name_registry(address: &str) {
    std::fs::write(
        "/run/hosts",
        format!("127.0.0.1 localhost\n{address} robot-registry\n"),
    )
    .unwrap();
}

#[test]
fn a_registry_that_moves_to_another_address_under_its_name_is_found_again() {
    in_lab(
        "processes::networks::a_registry_that_moves_to_another_address_under_its_name_is_found_again",
        async {
            name_registry("10.77.0.3");
            sh("mount --bind /run/hosts /etc/hosts");
            for (name, number) in [("first", 3), ("second", 4), ("a", 2)] {
                host(name, number);
            }
            let settings = |host| {
                [
                    ("IT_HOST", host),
                    ("IT_LISTEN", "[::]:6985"),
                    ("IT_FRESH", "1"),
                ]
            };
            let mut first = Process::start("registry", &settings("first"));
            first.says("ready").await;
            let on_a = [("IT_HOST", "a"), ("IT_LISTEN", "[::]:0")];
            let _there = node_at("robot-registry:6985", "a", &on_a).await;
            let config = botzilla::NodeConfig::new("robot-registry", SECRET).unwrap();
            let here = Node::start(config).await.unwrap();
            here.ready().await;
            let before = who(&here, "a").await;
            first.kill();
            let mut second = Process::start("registry", &settings("second"));
            second.says("ready").await;
            name_registry("10.77.0.4");
            until(seconds(15), "both are at the other registry", async || {
                let list = list(&here).await?;
                if names(&list) == ["a"] {
                    Ok(())
                } else {
                    Err(format!("{list:?}"))
                }
            })
            .await;
            assert_eq!(who(&here, "a").await, before, "it was restarted");
            here.shutdown(seconds(1)).await;
        },
    );
}

#[test]
fn the_lab_is_where_it_says() {
    in_lab("processes::networks::the_lab_is_where_it_says", async {
        let registry = registry().await;
        host("a", 2);
        let there = node_on("a", "a").await;
        let id = there.id.parse().unwrap();
        let seen = registry.node().peer(id).unwrap().address.unwrap();
        assert_eq!(seen.ip().to_canonical().to_string(), "10.77.0.2");
        assert_eq!(registry_address().ip(), HERE);
        registry.shutdown(seconds(1)).await;
    });
}
