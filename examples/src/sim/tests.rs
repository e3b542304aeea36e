//! The whole simulated robot without any component: the loop that the components run between them.

use super::*;
use crate::geometry::Point;
use crate::nav::{Gait, Navigator, Needs, Next, NoPath, NoWay};

struct Run {
    world: World,
    navigator: Navigator,
    driven: Vec<Point>,
    nearest: f64,
    energy_j: f64,
}

/// Drives to the room's goal: a scan each 0.2 s, a command each 0.05 s, as the components do.
fn drive(room: &Room, seed: u64) -> Result<Run, (NoWay, Box<Run>)> {
    drive_late(room, seed, || 5)
}

/// The same with a number of steps between two commands that may vary. After 30, the brakes are on,
/// as the drive component does.
fn drive_late(
    room: &Room,
    seed: u64,
    mut steps: impl FnMut() -> u32,
) -> Result<Run, (NoWay, Box<Run>)> {
    let mut laser = Laser::new(room, LaserSpec::default(), seed);
    let mut run = Run {
        world: World::new(room, Chassis::default()),
        navigator: Navigator::new(room.size, Needs::default(), Gait::default()),
        driven: vec![room.start.at],
        nearest: f64::INFINITY,
        energy_j: 0.0,
    };
    run.navigator.head_for(room.goal);
    let mut passed = 0.0;
    for tick in 0..2_000 {
        let pose = run.world.motion().pose;
        if tick % 4 == 0 {
            run.navigator
                .observe(pose, &laser.scan(pose), laser.spec().reach);
        }
        match run.navigator.next(pose, passed) {
            Ok(Next::Go { linear, angular }) => run.world.drive(linear, angular),
            Ok(Next::Arrived) => return Ok(run),
            Err(no_way) => return Err((no_way, Box::new(run))),
        }
        let steps = steps();
        for step in 0..steps {
            if step == 30 {
                run.world.brake();
            }
            run.world.step();
        }
        passed = f64::from(steps) * World::STEP;
        run.energy_j += run.world.take_energy();
        run.driven.push(run.world.motion().pose.at);
        run.nearest = run.nearest.min(room.clearance(run.world.motion().pose.at));
    }
    panic!(
        "seed {seed}: not there after 100 s: {:?}",
        run.world.motion()
    );
}

fn arrive(room: &Room, seed: u64) -> Run {
    match drive(room, seed) {
        Ok(run) => run,
        Err((no_way, run)) => panic!(
            "seed {seed}: {no_way}: {} at {:?}",
            no_way.source,
            run.world.motion()
        ),
    }
}

#[test]
fn the_robot_reaches_the_goal_and_touches_nothing_whatever_the_seed() {
    for seed in 0..8 {
        let room = Room::furnished(seed);
        let run = arrive(&room, seed);
        let motion = run.world.motion();
        assert!(
            motion.pose.at.distance(room.goal) < 0.15,
            "seed {seed}: {motion:?}"
        );
        assert_eq!(motion.bumps, 0, "seed {seed}: {motion:?}");
        assert!(
            run.energy_j > 14.0 * motion.time,
            "seed {seed}: {}",
            run.energy_j
        );
        assert!(
            run.nearest > Chassis::default().radius,
            "seed {seed}: {}",
            run.nearest
        );
    }
}

#[test]
fn a_robot_whose_planner_is_late_now_and_then_touches_nothing() {
    for seed in 0..6 {
        let room = Room::furnished(seed);
        let mut noise = Noise::new(seed);
        // One command in ten comes half a second late.
        let late = || if noise.even() > 0.8 { 50 } else { 6 };
        let run = drive_late(&room, seed, late).map_err(|(no_way, _)| no_way);
        let run = run.unwrap_or_else(|no_way| panic!("seed {seed}: {no_way}"));
        assert_eq!(run.world.motion().bumps, 0, "seed {seed}");
    }
}

#[test]
fn a_robot_that_is_always_steered_late_drives_slowly_and_touches_nothing() {
    let room = Room::furnished(0);
    let run = drive_late(&room, 0, || 25).map_err(|(no_way, _)| no_way);
    let motion = run.unwrap().world.motion();
    assert_eq!(motion.bumps, 0);
    assert!(motion.driven / motion.time < 0.6, "{motion:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let room = Room::furnished(5);
    let (one, two) = (arrive(&room, 5), arrive(&room, 5));
    assert_eq!(one.driven, two.driven);
    assert_eq!(one.navigator.plans(), two.navigator.plans());
}

#[test]
fn the_last_plan_keeps_clear_of_everything_in_the_room() {
    let room = Room::furnished(1);
    let run = arrive(&room, 1);
    let plan = run.navigator.plans().last().unwrap();
    for point in plan {
        assert!(
            room.clearance(*point) > Chassis::default().radius,
            "{point:?}"
        );
    }
}

#[test]
fn a_goal_that_turns_out_to_be_walled_in_is_an_error() {
    let (no_way, run) = drive(&Room::walled_in(0), 0).err().unwrap();
    assert_eq!(no_way.source, NoPath::Unreachable);
    // It went to see: from the start nothing of the walls around the goal is in sight.
    assert!(run.world.motion().driven > 5.0);
}

#[test]
fn driving_costs_more_energy_than_standing() {
    let room = Room::furnished(0);
    let mut world = World::new(&room, Chassis::default());
    let mut spend = |linear| {
        world.drive(linear, 0.0);
        (0..100).for_each(|_| world.step());
        world.take_energy()
    };
    let (standing, driving) = (spend(0.0), spend(0.8));
    assert!((standing - 14.0).abs() < 0.1, "{standing}");
    assert!(driving > standing + 2.0, "{driving}");
}

#[test]
fn a_wall_stops_the_robot_and_counts_as_one_bump() {
    let room = Room {
        partitions: vec![],
        furniture: vec![],
        ..Room::furnished(0)
    };
    let mut world = World::new(&room, Chassis::default());
    world.drive(-1.0, 0.0);
    (0..400).for_each(|_| world.step());
    let motion = world.motion();
    assert_eq!(motion.bumps, 1);
    assert!(
        (motion.pose.at.x - Chassis::default().radius).abs() < 0.03,
        "{motion:?}"
    );
    assert!(motion.linear.abs() < 0.05);
}

#[test]
fn brakes_stop_the_robot_within_its_braking_distance() {
    let room = Room {
        partitions: vec![],
        furniture: vec![],
        ..Room::furnished(0)
    };
    let mut world = World::new(&room, Chassis::default());
    world.drive(1.0, 0.0);
    (0..200).for_each(|_| world.step());
    let before = world.motion();
    assert!(before.linear > 0.95, "{before:?}");
    world.brake();
    (0..50).for_each(|_| world.step());
    let after = world.motion();
    assert!(after.linear.abs() < 0.01);
    assert!(after.driven - before.driven < 0.2);
}

#[test]
fn a_lidar_measures_the_distance_to_what_is_there() {
    let room = Room {
        partitions: vec![],
        furniture: vec![],
        ..Room::furnished(0)
    };
    let mut laser = Laser::new(&room, LaserSpec::default(), 1);
    let ranges = laser.scan(crate::geometry::Pose::new(2.0, 3.0, 0.0));
    let reach = laser.spec().reach;
    for (beam, expected) in [(0, reach), (45, 3.0), (90, 2.0), (135, 3.0)] {
        assert!(
            (ranges[beam] - expected).abs() < 0.07,
            "beam {beam}: {}",
            ranges[beam]
        );
    }
}
