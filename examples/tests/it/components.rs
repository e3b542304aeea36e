//! Each of the robot's components on a node of a small robot.

use botzilla::{ComponentRef, Node, Reason};
use botzilla_examples::robot::messages::*;
use botzilla_examples::robot::{self, Options};
use botzilla_examples::setup::Embedded;

async fn robot(parts: &[&str]) -> Node {
    let mut options = Options::default();
    options.speed = 8.0;
    let node = Embedded::start().await.unwrap().node().await.unwrap();
    for name in parts {
        robot::spawn(&node, name, &options).await.unwrap();
    }
    node
}

/// Looks until it is as wanted; the test runner ends a wait that is in vain.
async fn until(drive: &ComponentRef, wanted: impl Fn(&Odometry) -> bool) -> Odometry {
    loop {
        let odometry = drive.ask(GetOdometry {}).await.unwrap();
        if wanted(&odometry) {
            return odometry;
        }
        tokio::task::yield_now().await;
    }
}

fn ahead() -> SetVelocity {
    SetVelocity {
        linear_mps: 0.5,
        angular_rps: 0.0,
    }
}

#[actix::test]
async fn a_drive_stops_by_itself_when_no_new_velocity_comes() {
    let drive = robot(&["drive"]).await.component("drive");
    drive.ask(ahead()).await.unwrap().unwrap();
    until(&drive, |odometry| odometry.linear_mps > 0.4).await;
    let stands = until(&drive, |odometry| odometry.linear_mps < 0.001).await;
    assert!(stands.driven_m > 0.1 && stands.driven_m < 1.0, "{stands:?}");
    assert!(!stands.stopped);
}

#[actix::test]
async fn an_emergency_stop_holds_the_drive_until_it_is_released() {
    let node = robot(&["drive"]).await;
    let drive = node.component("drive");
    drive.ask(ahead()).await.unwrap().unwrap();
    let reason = "a cat".to_owned();
    let report = node
        .broadcast(EmergencyStop {
            reason: reason.clone(),
        })
        .to_the_end()
        .await;
    assert_eq!(report.unwrap().delivered, ["drive"]);
    let refused = drive.ask(ahead()).await.unwrap();
    assert_eq!(refused, Err(DriveRefused::Stopped { reason }));

    node.broadcast(Resume {}).to_the_end().await.unwrap();
    let moves = drive.ask(ahead()).await.unwrap().unwrap();
    assert!(!moves.stopped);
}

#[actix::test]
async fn a_velocity_that_is_not_a_number_is_refused() {
    let drive = robot(&["drive"]).await.component("drive");
    for linear_mps in [f64::NAN, f64::INFINITY] {
        let velocity = SetVelocity {
            linear_mps,
            angular_rps: 0.0,
        };
        let refused = drive.ask(velocity).await.unwrap();
        assert_eq!(refused, Err(DriveRefused::NotANumber));
    }
}

#[actix::test]
async fn a_lidar_hears_of_a_drive_that_comes_later_and_measures_from_where_it_is() {
    let node = robot(&["lidar"]).await;
    let mut scans = node.subscribe::<LaserScan>("lidar/scan").await.unwrap();
    assert!(scans.try_next().is_none());
    robot::spawn(&node, "drive", &Options::default())
        .await
        .unwrap();
    let scan = scans.next().await.unwrap().unwrap();
    let Options { room, .. } = Options::default();
    assert_eq!((scan.stream(), scan.missed()), ("lidar/scan", 0));
    assert_eq!(scan.ranges_m.len(), 180);
    assert!(room.start.at.distance(scan.pose().at) < 0.01, "{scan:?}");
}

#[actix::test]
async fn a_camera_publishes_what_stands_ahead_as_soon_as_somebody_looks() {
    let node = robot(&["drive", "camera", "watcher"]).await;
    let images = node.subscribe::<Image>("camera/image").latest(1);
    let mut images = images.await.unwrap();
    let image = images.next().await.unwrap().unwrap();
    assert_eq!((image.width, image.height), (640, 480));
    assert_eq!(image.rgb.len(), 640 * 480 * 3);
    let ahead_m = robot::ahead(&image).unwrap();
    // The watcher looks at the same.
    let watcher = node.component("watcher");
    loop {
        let sight = watcher.ask(GetSight {}).await.unwrap();
        if let Some(nearest_m) = sight.nearest_m {
            assert!((nearest_m - ahead_m).abs() < 0.01, "{sight:?}");
            assert_eq!(sight.images.stream, "camera/image");
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn the_newest_charge_is_kept_for_whoever_subscribes_late() {
    let node = robot(&["battery"]).await;
    let used = PowerUsed { joules: 20.0 };
    node.component("battery").ask(used).await.unwrap();
    let charges = node.subscribe::<Charge>("battery/charge").keep_last(1);
    let mut charges = charges.await.unwrap();
    let charge = charges.next().await.unwrap().unwrap();
    assert_eq!((charge.seq(), charge.used_j), (0, 20.0));
}

#[actix::test]
async fn an_emergency_stop_interrupts_a_planner_that_drives() {
    let node = robot(&["drive", "lidar", "planner"]).await;
    let planner = node.component("planner");
    let goal = Place { x_m: 9.1, y_m: 5.2 };
    let press = async {
        until(&node.component("drive"), |odometry| odometry.driven_m > 0.5).await;
        let reason = "a cat".to_owned();
        node.broadcast(EmergencyStop { reason })
            .to_the_end()
            .await
            .unwrap()
    };
    let (arrived, heard) = tokio::join!(planner.ask(GoTo { goal }).into_future(), press);
    assert_eq!(*arrived.unwrap_err().reason(), Reason::Interrupted);
    assert_eq!(heard.delivered, ["drive", "planner"]);
    // It remembers the stop, and what it saw until then.
    assert_eq!(
        planner.ask(GoTo { goal }).await.unwrap(),
        Err(GoToError::Stopped)
    );
    assert!(!planner.ask(GetMap {}).await.unwrap().occupied.is_empty());
}

#[actix::test]
async fn a_battery_drains_by_what_is_driven() {
    let node = robot(&["drive", "battery"]).await;
    let battery = node.component("battery");
    node.component("drive").ask(ahead()).await.unwrap().unwrap();
    loop {
        let charge = battery.ask(GetCharge {}).await.unwrap();
        if charge.used_j > 0.0 {
            assert!(charge.percent < 100.0);
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_mission_ends_with_the_reason_when_a_part_of_the_robot_is_missing() {
    let node = robot(&["drive", "planner", "operator"]).await;
    let goal = Place { x_m: 9.1, y_m: 5.2 };
    let ask = node.component("operator").ask(Mission { goal });
    let failed = ask
        .within(std::time::Duration::from_secs(60))
        .await
        .unwrap()
        .unwrap_err();
    assert!(failed.why.contains("lidar/scan"), "{failed}");
    assert!(failed.why.contains("nobody publishes it"), "{failed}");
}
