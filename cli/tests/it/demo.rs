//! The simulated robot.

use crate::process::{Botzilla, botzilla};

#[test]
fn the_demo_reaches_its_goal_stops_once_on_the_way_and_draws_a_picture() {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("ride.svg");
    let demo = Botzilla::new()
        .words("demo --svg")
        .arg(picture.to_str().unwrap());
    let report = demo.without("BOTZILLA_SECRET").json();
    assert_eq!(report["stops"].as_array().unwrap().len(), 1, "{report}");
    assert!(report["path_m"].as_f64().unwrap() > 1.0, "{report}");
    assert!(report["messages"].as_u64().unwrap() > 0, "{report}");
    let picture = std::fs::read_to_string(picture).unwrap();
    assert!(picture.contains("<svg"), "{picture}");
}

#[test]
fn a_picture_that_cannot_be_written_is_told_before_the_ride() {
    let ended = botzilla("demo --svg no/such/place.svg").run();
    assert_eq!((ended.code, ended.err.lines().count()), (2, 1), "{ended:?}");
    for part in ["no/such/place.svg", "can't be written", "--svg"] {
        assert!(ended.err.contains(part), "{ended:?}");
    }
}

#[test]
fn a_demo_without_enough_time_says_so() {
    let ended = botzilla("demo --timeout 1s").run();
    assert_eq!(ended.code, 1, "{ended:?}");
    let last = ended.err.lines().last().unwrap();
    assert!(
        last.starts_with("error: not at the goal after 1 s"),
        "{ended:?}"
    );
}
