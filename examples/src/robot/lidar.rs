//! The lidar: it measures all around.

use botzilla::prelude::*;

use super::Options;
use super::messages::{GetOdometry, LaserScan, LidarError, Scan};
use crate::sim::{Laser, LaserSpec};

/// The component.
#[derive(Debug)]
pub struct Lidar {
    laser: Laser,
}

impl Lidar {
    /// A lidar in the robot's room.
    pub fn new(options: &Options) -> Self {
        Self {
            laser: Laser::new(&options.room, LaserSpec::default(), options.seed),
        }
    }
}

#[botzilla::component(groups = ["base"])]
impl Lidar {
    #[botzilla::handler]
    async fn scan(&mut self, _: Scan, ctx: &Ctx<Self>) -> Result<LaserScan, LidarError> {
        // A real lidar sees the room from where it is. A simulated one, with a copy of the room of
        // its own, has to ask where that is; and stamps the scan with it, because the robot moves
        // on while the scan travels.
        let odometry = ctx.component("drive").ask(GetOdometry {}).await;
        let odometry = odometry.map_err(|error| LidarError::Lost {
            why: error.to_string(),
        })?;
        Ok(LaserScan {
            at: odometry.at,
            heading_rad: odometry.heading_rad,
            ranges_m: self.laser.scan(odometry.pose()),
            reach_m: self.laser.spec().reach,
        })
    }
}
