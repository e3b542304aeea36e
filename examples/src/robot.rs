//! The robot: five components that people copy from.
//!
//! | component | what it does | groups |
//! | --- | --- | --- |
//! | `drive` | turns the wheels (here: of a simulated robot), says where it is | `base` |
//! | `lidar` | measures all around | `base` |
//! | `planner` | maps the floor, plans a path, follows it | `base` |
//! | `battery` | counts what is drawn | `base` |
//! | `operator` | sends it somewhere; stops everything | `desk` |
//!
//! They know each other by name only, so they run in one process, in one each, or on several
//! machines, without a line changed.

mod battery;
mod drive;
mod latency;
mod lidar;
pub mod messages;
mod operator;
mod planner;

use botzilla::Node;

pub use battery::Battery;
pub use drive::Drive;
pub use lidar::Lidar;
pub use operator::Operator;
pub use planner::Planner;

use crate::sim::Room;

/// The robot's components, by name.
pub const COMPONENTS: [&str; 5] = ["drive", "lidar", "planner", "battery", "operator"];

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
        "planner" => node.spawn(name, move || Planner::new(&options)).await?,
        "battery" => node.spawn(name, move || Battery::new(&options)).await?,
        _ => node.spawn(name, Operator::default).await?,
    };
    Ok(())
}
