//! Finding the way: a map made of what the lidar saw, a path over it, and a follower of the path.
//! Plain functions of what is handed in: no component, no clock, no simulation.

mod follow;
mod grid;
mod navigator;
mod search;
mod smooth;

pub use follow::{Follower, Gait, Steer};
pub use grid::{Cell, Clearance, Grid};
pub use navigator::{Navigator, Needs, Next, NoWay};
pub use search::{NoPath, find_path};
pub use smooth::smooth;
