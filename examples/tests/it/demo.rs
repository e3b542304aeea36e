//! The demo as `botzilla demo` runs it, only faster.

use std::time::Duration;

use botzilla_examples::demo::{self, DemoError, DemoOptions, Event};
use botzilla_examples::sim::Room;

/// Four times as fast as the clock on the wall, and no picture.
fn options() -> DemoOptions {
    let mut options = DemoOptions::default();
    options.robot.speed = 4.0;
    options.stop_for = Duration::from_millis(100);
    options.picture = None;
    options
}

#[actix::test]
async fn the_demo_stops_once_resumes_and_reaches_the_goal() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.picture = Some(folder.path().join("demo.svg"));
    let mut events = Vec::new();
    let report = demo::run(&options, |event| events.push(event))
        .await
        .unwrap();

    assert!(report.off_goal_m < 0.2, "{report}");
    assert!(report.path_m > 10.0, "{report}");
    assert_eq!(report.bumps, 0, "{report}");
    assert_eq!(report.stops.len(), 1, "{report}");
    assert_eq!(report.stops[0].heard_by, ["drive", "planner"]);
    assert!(report.battery_percent < 99.0, "{report}");
    assert!(
        report.messages > 100 && report.latency.asks > 50,
        "{report}"
    );
    assert!(report.to_string().contains("picture"), "{report}");

    for (stream, subscriber, least) in [
        ("battery/charge", "console", 3),
        ("camera/image", "console", 5),
        ("camera/image", "watcher", 3),
        ("drive/odometry", "console", 50),
        ("drive/odometry", "planner", 50),
        ("lidar/scan", "console", 10),
        ("lidar/scan", "planner", 10),
    ] {
        let mut counts = report.streams.iter();
        let count = counts.find(|one| one.stream == stream && one.subscriber == subscriber);
        let count = count.unwrap_or_else(|| panic!("no {stream} to {subscriber}: {report}"));
        assert!(count.items >= least && count.hz > 0.0, "{count:?}");
        let text = format!("{stream} to {subscriber}: {} items", count.items);
        assert!(report.to_string().contains(&text), "{report}");
        // A reliable stream loses nothing, whatever the computer is like.
        assert!(stream != "battery/charge" || count.missed == 0, "{count:?}");
    }
    let image_bytes = report
        .streams
        .iter()
        .find(|one| one.stream == "camera/image");
    assert!(image_bytes.unwrap().bytes > 5 * 640 * 480 * 3, "{report}");
    assert!(report.sight.nearest_m.is_some(), "{report}");

    let of = |wanted: fn(&Event) -> bool| events.iter().position(wanted).unwrap();
    let stopped = of(|event| matches!(event, Event::Stopped { .. }));
    let standing = of(|event| matches!(event, Event::Standing { .. }));
    let resumed = of(|event| matches!(event, Event::Resumed));
    let arrived = of(|event| matches!(event, Event::Arrived));
    assert!(stopped < standing && standing < resumed && resumed < arrived);

    let drawing = std::fs::read_to_string(report.picture.unwrap()).unwrap();
    assert!(drawing.starts_with("<svg") && drawing.contains("emergency stop"));
}

#[actix::test]
async fn a_goal_that_turns_out_to_be_walled_in_fails_the_mission_and_says_why() {
    let mut options = options();
    options.robot.room = Room::walled_in(0);
    let error = demo::run(&options, |_| ()).await.unwrap_err();
    assert!(matches!(error, DemoError::Mission(_)), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("no way from") && text.contains("wide enough"),
        "{text}"
    );
}

#[actix::test]
async fn an_empty_battery_stops_the_robot_and_the_demo_says_where() {
    let mut options = options();
    options.robot.battery_j = 50.0;
    options.deadline = Duration::from_secs(6);
    let error = demo::run(&options, |_| ()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("not at the goal after 6 s"), "{text}");
    assert!(text.contains("held by an emergency stop"), "{text}");
}

#[actix::test]
async fn a_picture_that_cannot_be_written_is_an_error_that_names_the_file() {
    let mut options = options();
    options.picture = Some("/nowhere/demo.svg".into());
    let error = demo::run(&options, |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/demo.svg"), "{error}");
}
