//! The drive: it turns the wheels and says where the robot is.
//!
//! Here a simulated world stands behind it. On a robot of your own, `tick` talks to the motor
//! controller instead, and the handlers stay as they are.

use std::time::{Duration, Instant};

use botzilla::PublishError;
use botzilla::prelude::*;

use super::Options;
use super::messages::{
    DriveRefused, EmergencyStop, GetOdometry, Odometry, PowerUsed, Resume, SetVelocity,
};
use crate::sim::{Chassis, World};

/// How often the drive looks after its wheels.
const TICK: Duration = Duration::from_millis(10);

/// How long a velocity holds, in (simulated) seconds. A planner that hangs, dies or is cut off
/// must not leave a robot that drives on.
const HOLDS_S: f64 = 0.3;

/// The most that the simulated world catches up in one go, in steps. On a computer too slow for
/// more, its time passes slower, rather than that the robot runs away from its planner.
const CATCH_UP: f64 = 10.0;

/// The component.
#[derive(Debug)]
pub struct Drive {
    world: World,
    /// How much faster than the clock on the wall the world runs, until when it has, and the part
    /// of a step that it is behind.
    speed: f64,
    ticked: Instant,
    behind: f64,
    /// The reason of the emergency stop that is in force.
    stopped: Option<String>,
    /// When the velocity in force was asked for.
    commanded_s: f64,
    /// What was drawn and not yet told to the battery.
    unreported_j: f64,
    odometry: Option<Publisher<Odometry>>,
}

impl Drive {
    /// The drive of a robot at the start of its room.
    pub fn new(options: &Options) -> Self {
        Self {
            world: World::new(&options.room, Chassis::default()),
            speed: options.speed,
            ticked: Instant::now(),
            behind: 0.0,
            stopped: None,
            commanded_s: 0.0,
            unreported_j: 0.0,
            odometry: None,
        }
    }
}

#[botzilla::component(groups = ["base"])]
impl Drive {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), PublishError> {
        // The newest counts: whoever is slow gets fewer, and is told how many it missed.
        self.odometry = Some(ctx.publish("odometry", Qos::latest())?);
        ctx.every(TICK, Self::tick);
        Ok(())
    }

    #[botzilla::handler]
    fn set_velocity(&mut self, msg: SetVelocity) -> Result<Odometry, DriveRefused> {
        if let Some(reason) = &self.stopped {
            let reason = reason.clone();
            return Err(DriveRefused::Stopped { reason });
        }
        // bincode carries NaN; physics would never recover from it.
        if !(msg.linear_mps.is_finite() && msg.angular_rps.is_finite()) {
            return Err(DriveRefused::NotANumber);
        }
        self.world.drive(msg.linear_mps, msg.angular_rps);
        self.commanded_s = self.world.motion().time;
        Ok(self.odometry())
    }

    #[botzilla::handler]
    fn get_odometry(&mut self, _: GetOdometry) -> Odometry {
        self.odometry()
    }

    // `urgent`: it runs before whatever waits, even if the queue is full. `broadcast`: it hears
    // broadcasts of this message; without it, only who asks this component by name is heard.
    #[botzilla::handler(broadcast, urgent)]
    fn stop(&mut self, msg: EmergencyStop) {
        self.world.brake();
        self.stopped = Some(msg.reason);
    }

    #[botzilla::handler(broadcast)]
    fn resume(&mut self, _: Resume) {
        self.stopped = None;
    }
}

impl Drive {
    fn tick(&mut self, ctx: &Ctx<Self>) {
        let idle_s = self.world.motion().time - self.commanded_s;
        if self.stopped.is_none() && idle_s > HOLDS_S {
            self.world.brake();
        }
        // A timer may come late. The clock says what time it is, the timer only when to look.
        let now = Instant::now();
        let passed = now.duration_since(self.ticked).as_secs_f64() * self.speed;
        let due = (self.behind + passed / World::STEP).min(CATCH_UP);
        (self.ticked, self.behind) = (now, due.fract());
        for _ in 0..due as u32 {
            self.world.step();
        }
        self.unreported_j += self.world.take_energy();
        self.report_energy(ctx);
        if let Some(odometry) = &self.odometry {
            // A stream of latest items waits for nobody, so it is fit for a timer.
            let _ = odometry.try_send(self.odometry());
        }
    }

    /// Tells the battery what was drawn, a few times a second. Nothing is lost while there is no
    /// battery to tell: what couldn't be sent is kept for the next time.
    fn report_energy(&mut self, ctx: &Ctx<Self>) {
        const ENOUGH_J: f64 = 3.0;
        if self.unreported_j < ENOUGH_J {
            return;
        }
        let joules = std::mem::take(&mut self.unreported_j);
        // `try_tell` never waits, so it is fit for a timer; it gives the message back if it can't
        // be sent now.
        if let Err(unsent) = ctx.component("battery").try_tell(PowerUsed { joules }) {
            self.unreported_j = unsent.message.joules;
        }
    }

    fn odometry(&self) -> Odometry {
        let motion = self.world.motion();
        Odometry {
            at: motion.pose.at.into(),
            heading_rad: motion.pose.heading,
            linear_mps: motion.linear,
            angular_rps: motion.angular,
            driven_m: motion.driven,
            bumps: motion.bumps,
            time_s: motion.time,
            stopped: self.stopped.is_some(),
        }
    }
}
