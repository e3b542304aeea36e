//! Machines that can't reach each other, or hardly: behind NAT, on a cable with nothing but link-local
//! addresses, with a name server that doesn't answer.

use std::time::Instant;

use botzilla::{Node, NodeConfig};
use tokio::net::UdpSocket;

use super::{
    lab::{
        HERE, bare_host, behind_nat, here, host, in_lab, node_on, registry, registry_address, sh,
    },
    networks::clock,
    support::{PATIENCE, SECRET, node_at, seconds, until_listed},
    talk::{AskOther, Echo},
};

#[test]
fn a_robot_behind_nat_is_reached_for_messages_and_streams_and_two_that_are_learn_why_they_are_not()
{
    in_lab(
        "processes::networks_apart::a_robot_behind_nat_is_reached_for_messages_and_streams_and_two_that_are_learn_why_they_are_not",
        async {
            let registry = registry().await;
            behind_nat("one", 5, 5);
            behind_nat("two", 6, 6);
            let (mut one, _two) = tokio::join!(node_on("one", "one"), node_on("two", "two"));
            let here = here().await;
            until_listed(&here, PATIENCE, &["one", "two"]).await;
            let began = Instant::now();
            let echo = here.component("one").ask(Echo { n: 1 });
            assert_eq!(echo.within(seconds(5)).await.unwrap().n, 1);
            eprintln!("reached after {:?}", began.elapsed());
            // A tool, beside the registry as well.
            let config = NodeConfig::new(registry_address().to_string(), SECRET).unwrap();
            let tool = Node::start(config.short_lived()).await.unwrap();
            let echo = tool.component("two").ask(Echo { n: 2 });
            assert_eq!(echo.within(seconds(5)).await.unwrap().n, 2);
            tool.shutdown(seconds(1)).await;
            // The subscriber dials: from behind its router out.
            let beats = clock(&here).await;
            one.process.order("subscribe clock/beat");
            one.process.says("subscribed").await;
            assert_eq!(beats.subscribers(), 1);
            let msg = AskOther {
                to: "two".to_owned(),
                n: 3,
            };
            let reply = here.component("one").ask(msg).within(seconds(20)).await;
            let error = reply.unwrap().unwrap_err();
            eprintln!("{error}");
            for part in [
                "behind NAT or a firewall",
                "advertise",
                "192.168.6.2",
                "10.77.0.6",
            ] {
                assert!(error.contains(part), "{part}: {error}");
            }
            here.shutdown(seconds(1)).await;
            registry.shutdown(seconds(1)).await;
        },
    );
}

#[test]
fn machines_on_a_cable_with_nothing_but_link_local_addresses_reach_each_other() {
    in_lab(
        "processes::networks_apart::machines_on_a_cable_with_nothing_but_link_local_addresses_reach_each_other",
        async {
            let registry = registry().await;
            sh("ip addr add fe80::77/64 dev br0 nodad");
            let at = "[fe80::77%eth0]:6985";
            let mut nodes = Vec::new();
            for name in ["a", "b"] {
                bare_host(name);
                let settings = [("IT_HOST", name), ("IT_LISTEN", "[::]:0")];
                nodes.push(node_at(at, name, &settings).await);
            }
            let here = here().await;
            until_listed(&here, PATIENCE, &["a", "b"]).await;
            let msg = AskOther {
                to: "b".to_owned(),
                n: 4,
            };
            let reply = here.component("a").ask(msg).within(seconds(10)).await;
            assert_eq!(reply.unwrap().unwrap().n, 4);
            here.shutdown(seconds(1)).await;
            registry.shutdown(seconds(1)).await;
        },
    );
}

#[test]
fn a_name_server_that_does_not_answer_holds_up_neither_a_node_nor_its_end() {
    in_lab(
        "processes::networks_apart::a_name_server_that_does_not_answer_holds_up_neither_a_node_nor_its_end",
        async {
            let _mute = UdpSocket::bind((HERE, 53)).await.unwrap();
            std::fs::write("/run/resolv", format!("nameserver {HERE}\n")).unwrap();
            sh("mount --bind /run/resolv /etc/resolv.conf");
            let registry = registry().await;
            host("a", 2);
            let settings = [
                ("IT_HOST", "a"),
                ("IT_LISTEN", "[::]:0"),
                ("IT_ADVERTISE", "a.robot.example:1"),
            ];
            let _named = node_at(registry_address(), "named", &settings).await;
            let here = here().await;
            until_listed(&here, PATIENCE, &["named"]).await;
            let began = Instant::now();
            let nowhere = NodeConfig::new("registry.robot.example", SECRET).unwrap();
            let nowhere = Node::start(nowhere.registry_time(seconds(3)));
            // It is asked by name in vain, and dials itself, as it is asked to.
            let named = here.component("named").ask(Echo { n: 1 });
            let others = async {
                for _ in 0..20 {
                    until_listed(&here, seconds(1), &["named"]).await;
                }
                began.elapsed()
            };
            let (nowhere, named, others) = tokio::join!(nowhere, named.within(seconds(5)), others);
            let error = nowhere.unwrap_err().to_string();
            assert!(error.contains("name server does not answer"), "{error}");
            assert_eq!(named.unwrap().n, 1);
            let done = began.elapsed();
            here.shutdown(seconds(1)).await;
            eprintln!(
                "others {others:?}, all {done:?}, ended {:?}",
                began.elapsed()
            );
            // The system's resolver gives up after 10 s and more.
            assert!(began.elapsed() < seconds(8), "{:?}", began.elapsed());
            registry.shutdown(seconds(1)).await;
        },
    );
}
