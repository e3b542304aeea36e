//! A policy that changes while routes, subscriptions, connections and names are there.

use botzilla::{Node, Qos, Reason, StreamReason};
use serde_json::json;

use crate::{
    streams::{Tick, next, publish, tick},
    trust_policy::{Car, Go, POLICY, Robot, Stop, assert_denied},
    world::{PATIENCE, SOON, run, until, until_gone},
};

/// Has read it, when this returns; the nodes notice by themselves, too.
async fn reload(nodes: &[&Node]) {
    for node in nodes {
        node.reload().await.unwrap();
    }
}

#[test]
fn what_is_denied_and_what_is_allowed_changes_for_routes_that_are_open() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        base.spawn("drive", Car::default).await.unwrap();
        let drive = tablet.component("drive");
        assert_eq!(drive.ask(Stop {}).await.unwrap(), 1);
        assert_denied(drive.ask(Go {}).await, &["drive/Go"]);

        robot.rewrite(&POLICY.replace("drive/Stop", "drive/Go"));
        reload(&[&base]).await;
        assert_denied(drive.ask(Stop {}).await, &["drive/Stop"]);
        let as_json = drive.ask_json("Stop", &json!({}), None).await;
        assert_denied(as_json, &["drive/Stop"]);
        assert_eq!(drive.ask(Go {}).await.unwrap(), 2);

        robot.rewrite(POLICY);
        reload(&[&base]).await;
        assert_eq!(drive.ask(Stop {}).await.unwrap(), 3);
        assert_denied(drive.ask(Go {}).await, &["drive/Go"]);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_file_that_changes_is_read_without_anybody_asking() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        base.spawn("drive", Car::default).await.unwrap();
        let drive = tablet.component("drive");
        assert_eq!(drive.ask(Stop {}).await.unwrap(), 1);
        robot.rewrite(&POLICY.replace("drive/Stop", "drive/Go"));
        while drive.ask(Stop {}).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        drive.ask(Go {}).await.unwrap();
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_policy_that_cannot_be_used_changes_nothing() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        base.spawn("drive", Car::default).await.unwrap();
        let drive = tablet.component("drive");
        assert_eq!(drive.ask(Stop {}).await.unwrap(), 1);
        let torn = &POLICY[..POLICY.len() - 10];
        for (text, part) in [(torn, "policy.toml:"), ("", "[[allow]]")] {
            robot.rewrite(text);
            let error = base.reload().await.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        std::fs::remove_file(&robot.policy).unwrap();
        let error = base.reload().await.unwrap_err().to_string();
        assert!(error.contains("can't be read"), "{error}");
        assert_eq!(drive.ask(Stop {}).await.unwrap(), 2);
        assert_denied(drive.ask(Go {}).await, &["drive/Go"]);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_subscription_that_is_open_ends_when_it_is_denied_and_comes_back_when_it_is_allowed() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        let (ticks, _made) = publish(&base, "drive", "odometry", Qos::reliable()).await;
        let mut far = tablet.subscribe::<Tick>("drive/odometry").await.unwrap();
        until(|| ticks.subscribers() == 1).await;
        ticks.send(tick(0)).await.unwrap();
        assert_eq!(next(&mut far).await.n, 0);

        robot.rewrite(&POLICY.replace("\"drive/*\", ", ""));
        reload(&[&base]).await;
        assert_eq!(ticks.subscribers(), 0, "at once");
        ticks.send(tick(1)).await.unwrap();
        let error = far.next().await.unwrap().unwrap_err();
        assert!(matches!(error.reason(), StreamReason::Denied(_)), "{error}");

        robot.rewrite(POLICY);
        reload(&[&base]).await;
        until(|| ticks.subscribers() == 1).await;
        ticks.send(tick(2)).await.unwrap();
        let item = next(&mut far).await;
        assert_eq!(
            (item.n, item.missed()),
            (2, 1),
            "what it wasn't given is told"
        );
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_stream_that_is_taken_is_left_when_its_publisher_may_not_any_more() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        let (ticks, _made) = publish(&tablet, "tablet", "axes", Qos::reliable()).await;
        let mut far = base.subscribe::<Tick>("tablet/axes").await.unwrap();
        until(|| ticks.subscribers() == 1).await;
        robot.rewrite(&POLICY.replace("publish = [\"tablet/*\"]", ""));
        reload(&[&base]).await;
        let error = far.next().await.unwrap().unwrap_err();
        assert!(matches!(error.reason(), StreamReason::Denied(_)), "{error}");
        until(|| ticks.subscribers() == 0).await;
        robot.rewrite(POLICY);
        reload(&[&base]).await;
        until(|| ticks.subscribers() == 1).await;
        ticks.send(tick(5)).await.unwrap();
        assert_eq!(next(&mut far).await.n, 5);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_secret_that_is_named_no_longer_loses_its_connections_and_one_that_is_again_gets_in() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        base.spawn("drive", Car::default).await.unwrap();
        let (ticks, _made) = publish(&base, "clock", "open", Qos::reliable()).await;
        let _far = tablet.subscribe::<Tick>("clock/open").await.unwrap();
        let drive = tablet.component("drive");
        assert_eq!(drive.ask(Stop {}).await.unwrap(), 1);
        until(|| ticks.subscribers() == 1).await;
        robot.rewrite(&POLICY.replace("keys = [\"tablet\"]", "keys = [\"guest\"]"));
        reload(&[&base]).await;
        until(|| base.report().peers == [robot.registry.node().id().to_string()]).await;
        until(|| base.bulk_connections() == 0 && ticks.subscribers() == 0).await;
        // It may not have heard of the end of its connection yet.
        loop {
            let error = drive.ask(Stop {}).await.unwrap_err();
            if matches!(error.reason(), Reason::Denied(_)) {
                let text = error.to_string();
                assert!(text.contains("denied by policy"), "{text}");
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        robot.rewrite(POLICY);
        reload(&[&base]).await;
        assert_eq!(drive.ask(Stop {}).await.unwrap(), 2);
        until(|| ticks.subscribers() == 1).await;
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_name_that_its_secret_may_not_have_any_more_is_taken_back() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        tablet.spawn("tablet/ui", Car::default).await.unwrap();
        tablet.spawn("tablet", Car::default).await.unwrap();
        let ui = base.component("tablet/ui");
        ui.ready(PATIENCE).await.unwrap();
        assert_eq!(ui.ask(Go {}).await.unwrap(), 1);
        robot.rewrite(&POLICY.replace("[\"tablet\", \"tablet/*\"]", "[\"tablet\"]"));
        reload(&[robot.registry.node()]).await;
        // Its node is told, and stops what would be found by nobody.
        until_gone(&tablet, "tablet/ui").await;
        crate::world::until_listed(&base, &["tablet"]).await;
        assert!(ui.ask(Go {}).await.is_err());
        assert_eq!(base.component("tablet").ask(Go {}).await.unwrap(), 1);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}
