//! Streams under a policy: who may read them, and from whom they are taken.

use botzilla::{Node, Publisher, Qos, StreamError, StreamReason, Subscription};

use crate::{
    streams::{Tick, publish, tick},
    trust_policy::{POLICY, Robot, denied, guarded, holder, secret},
    world::{PATIENCE, SOON, run, started, until},
};

/// The next thing that a subscription says, if it is an error.
async fn refused<T>(ticks: &mut Subscription<T>) -> StreamError {
    let next = tokio::time::timeout(PATIENCE, ticks.next()).await;
    match next.unwrap().unwrap() {
        Ok(item) => panic!("an item of {}", item.stream()),
        Err(error) => error,
    }
}

fn assert_denied(error: &StreamError, stream: &str, parts: &[&str]) {
    assert_eq!(error.stream(), stream);
    let StreamReason::Denied(text) = error.reason() else {
        panic!("{error}");
    };
    for part in parts {
        assert!(text.contains(part), "{text}: {part}");
    }
}

/// `name/tick` of a node.
async fn clock(node: &Node, name: &str, stream: &'static str) -> Publisher<Tick> {
    publish(node, name, stream, Qos::latest().keep_last(1))
        .await
        .0
}

#[test]
fn a_stream_is_read_only_by_a_secret_that_may_in_whichever_form() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        let odometry = clock(&base, "drive", "odometry").await;
        let scans = clock(&base, "lidar", "scan").await;
        odometry.send(tick(1)).await.unwrap();
        scans.send(tick(2)).await.unwrap();
        let mut may = tablet
            .subscribe::<Tick>("drive/odometry")
            .keep_last(1)
            .await
            .unwrap();
        assert_eq!(crate::streams::next(&mut may).await.n, 1);
        let what = ["`tablet`", "subscribe lidar/scan"];
        let mut typed = tablet.subscribe::<Tick>("lidar/scan").await.unwrap();
        assert_denied(&refused(&mut typed).await, "lidar/scan", &what);
        let mut json = tablet
            .subscribe_json("lidar/scan")
            .keep_last(1)
            .await
            .unwrap();
        assert_denied(&refused(&mut json).await, "lidar/scan", &what);
        let mut raw = tablet
            .subscribe_raw("lidar/scan")
            .keep_last(1)
            .await
            .unwrap();
        assert_denied(&refused(&mut raw).await, "lidar/scan", &what);
        assert!(denied(&base, "tablet", "subscribe", "lidar/scan") >= 3);
        assert_eq!(scans.subscribers(), 0);
        let report = base.describe("lidar").unwrap();
        assert_eq!(report.denied[0].what, "lidar/scan");
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_pattern_gets_what_the_secret_may_read_and_no_more() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        let mut open = Vec::new();
        for (name, stream) in [("drive", "odometry"), ("door", "open"), ("lidar", "scan")] {
            let ticks = clock(&base, name, stream).await;
            ticks.send(tick(7)).await.unwrap();
            open.push(ticks);
        }
        for pattern in ["*/*", "**/*", "group:sources/*", "*r*/*"] {
            let mut all = tablet.subscribe_json(pattern).keep_last(1).await.unwrap();
            let (mut read, mut refused) = (Vec::new(), Vec::new());
            while read.len() + refused.len() < 3 {
                match all.next().await.unwrap() {
                    Ok(item) => read.push(item.stream().to_owned()),
                    Err(error) => refused.push(error),
                }
                if pattern == "*r*/*" && read.len() + refused.len() == 3 {
                    break;
                }
            }
            read.sort_unstable();
            assert_eq!(read, ["door/open", "drive/odometry"], "{pattern}");
            assert_denied(&refused[0], "lidar/scan", &["`tablet`"]);
        }
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_stream_is_taken_only_from_a_secret_that_may_publish_it() {
    run(async {
        // The tablet may be `tablet/..`, and gets those names; what it publishes under them is another
        // question.
        let policy = POLICY.replace(
            "publish = [\"tablet/*\"]",
            "publish = [\"tablet/joystick/*\"]",
        );
        let robot = Robot::with(&policy).await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        let joystick = clock(&tablet, "tablet/joystick", "axes").await;
        let fake = clock(&tablet, "tablet/fake", "odometry").await;
        joystick.send(tick(1)).await.unwrap();
        fake.send(tick(2)).await.unwrap();
        let mut all = base.subscribe::<Tick>("*/*").keep_last(1).await.unwrap();
        let (mut read, mut refused) = (Vec::new(), Vec::new());
        while read.len() + refused.len() < 2 {
            match all.next().await.unwrap() {
                Ok(item) => read.push(item.stream().to_owned()),
                Err(error) => refused.push(error),
            }
        }
        assert_eq!(read, ["tablet/joystick/axes"]);
        let what = "tablet/fake/odometry";
        assert_denied(
            &refused[0],
            what,
            &["`tablet`", "publish tablet/fake/odometry"],
        );
        assert_eq!(denied(&base, "tablet", "publish", what), 1);
        assert_eq!(fake.subscribers(), 0);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_stream_under_a_name_that_another_secret_has_is_not_taken() {
    run(async {
        let robot = Robot::new().await;
        // A registry without a policy gives the tablet the name.
        let lax = botzilla::NodeConfig::hosting_registry(secret("robot")).unwrap();
        let lax = lax
            .listen("127.0.0.1:0")
            .also_accept(secret("tablet"))
            .unwrap();
        let lax = botzilla_registry::Registry::with(lax)
            .fresh()
            .start()
            .await
            .unwrap();
        let base = started(guarded(holder(lax.address(), "robot"), &robot.policy)).await;
        let tablet = started(holder(lax.address(), "tablet")).await;
        let fake = clock(&tablet, "drive", "odometry").await;
        fake.send(tick(1)).await.unwrap();
        for pattern in ["drive/odometry", "*/*"] {
            let mut ticks = base.subscribe::<Tick>(pattern).keep_last(1).await.unwrap();
            assert_denied(&refused(&mut ticks).await, "drive/odometry", &["`tablet`"]);
        }
        assert_eq!(fake.subscribers(), 0);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        lax.shutdown(SOON).await;
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn streams_of_one_node_and_of_the_main_secret_flow_as_ever() {
    run(async {
        let robot = Robot::new().await;
        let (base, other) = (robot.node().await, robot.node().await);
        let scans = clock(&base, "lidar", "scan").await;
        let mut near = base.subscribe::<Tick>("*/scan").await.unwrap();
        let mut far = other.subscribe::<Tick>("*/scan").await.unwrap();
        until(|| scans.subscribers() == 2).await;
        scans.send(tick(3)).await.unwrap();
        assert_eq!(crate::streams::next(&mut near).await.n, 3);
        assert_eq!(crate::streams::next(&mut far).await.n, 3);
        assert!(base.denied().is_empty() && other.denied().is_empty());
        for node in [&other, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}
