//! The part that a real robot doesn't have: a room, physics in place of wheels, a lidar that
//! casts rays, and a camera that renders. It knows nothing of components; time and randomness are handed in, so the same seed
//! gives the same run.

mod battery;
mod laser;
mod lens;
mod noise;
mod room;
mod world;

pub use battery::Pack;
pub use laser::{Laser, LaserSpec};
pub use lens::{Lens, LensSpec};
pub use noise::Noise;
pub use room::{Obstacle, Room};
pub use world::{Chassis, Motion, World};

#[cfg(test)]
mod tests;
