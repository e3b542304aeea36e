//! The lidar: it measures all around, all the time.

use std::time::Duration;

use botzilla::PublishError;
use botzilla::prelude::*;

use super::Options;
use super::messages::{LaserScan, Odometry};
use crate::sim::{Laser, LaserSpec};

/// The time that one turn of the laser takes.
const TURN: Duration = Duration::from_millis(100);

/// The component.
#[derive(Debug)]
pub struct Lidar {
    laser: Laser,
    odometry: Option<Odometry>,
    scans: Option<Publisher<LaserScan>>,
}

impl Lidar {
    /// A lidar in the robot's room.
    pub fn new(options: &Options) -> Self {
        Self {
            laser: Laser::new(&options.room, LaserSpec::default(), options.seed),
            odometry: None,
            scans: None,
        }
    }
}

#[botzilla::component(groups = ["base"])]
impl Lidar {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        // The newest counts: for a slow subscriber the oldest of eight is dropped.
        self.scans = Some(ctx.publish("scan", Qos::latest().depth(8))?);
        ctx.every(TURN, Self::turn);
        Ok(())
    }

    // A real lidar sees the room from where it is. A simulated one, with a copy of the room of its
    // own, has to hear where that is. Only the newest matters, so no older one has to wait.
    #[botzilla::handler(stream = "drive/odometry", latest = 1)]
    fn moved(&mut self, odometry: Odometry) {
        self.odometry = Some(odometry);
    }
}

impl Lidar {
    fn turn(&mut self, _: &Ctx<Self>) {
        let (Some(odometry), Some(scans)) = (&self.odometry, &self.scans) else {
            return;
        };
        // Stamped with where it was measured: the robot moves on while the scan travels.
        let scan = LaserScan {
            at: odometry.at,
            heading_rad: odometry.heading_rad,
            ranges_m: self.laser.scan(odometry.pose()),
            reach_m: self.laser.spec().reach,
        };
        // A stream of latest items waits for nobody.
        let _ = scans.try_send(scan);
    }
}
