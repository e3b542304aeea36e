//! The robot: seven components that people copy from.
//!
//! | component | what it does | publishes | lives from | groups |
//! | --- | --- | --- | --- | --- |
//! | `drive` | turns the wheels (here: of a simulated robot) | `odometry` | | `base` |
//! | `lidar` | measures all around | `scan` | `drive/odometry` | `base` |
//! | `camera` | looks ahead | `image` | `drive/odometry` | `base` |
//! | `battery` | counts what is drawn | `charge` | | `base` |
//! | `planner` | maps the floor, plans a path, follows it | | `drive/odometry`, `lidar/scan` | `base` |
//! | `watcher` | looks for what is in front of the robot | | `camera/image` | `desk` |
//! | `operator` | sends it somewhere; stops everything | | | `desk` |
//!
//! They know each other by name only, so they run in one process, in one each, or on several
//! machines, without a line changed.

mod battery;
mod camera;
mod drive;
mod latency;
mod lidar;
pub mod messages;
mod operator;
mod planner;
mod senses;
pub(crate) mod tally;
mod watcher;

use botzilla::Node;

pub use battery::Battery;
pub use camera::Camera;
pub use drive::Drive;
pub use lidar::Lidar;
pub use operator::Operator;
pub use planner::Planner;
pub use watcher::{Watcher, ahead};

use crate::sim::Room;

/// The robot's components, by name.
pub const COMPONENTS: [&str; 7] = [
    "drive", "lidar", "camera", "planner", "battery", "watcher", "operator",
];

/// What all components of one robot have to agree on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The room that it is in. Default: [`Room::furnished`] with the seed 0.
    pub room: Room,
    /// Decides the lidar's noise. Default: 0.
    pub seed: u64,
    /// How much faster than the clock on the wall the simulated world runs. Default: 2.5.
    pub speed: f64,
    /// What the battery holds when full, in joules. Default: 2 watt-hours, enough for some minutes.
    pub battery_j: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            room: Room::furnished(0),
            seed: 0,
            speed: 2.5,
            battery_j: 7_200.0,
        }
    }
}

/// Starts one of the robot's components on a node.
pub async fn spawn(node: &Node, name: &str, options: &Options) -> botzilla::Result<()> {
    // A factory, not a value: after a panic the runtime makes a new one.
    let options = options.clone();
    match name {
        "drive" => node.spawn(name, move || Drive::new(&options)).await?,
        "lidar" => node.spawn(name, move || Lidar::new(&options)).await?,
        "camera" => node.spawn(name, move || Camera::new(&options)).await?,
        "planner" => node.spawn(name, move || Planner::new(&options)).await?,
        "battery" => node.spawn(name, move || Battery::new(&options)).await?,
        "watcher" => node.spawn(name, Watcher::default).await?,
        _ => node.spawn(name, Operator::default).await?,
    };
    Ok(())
}
