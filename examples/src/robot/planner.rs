//! The planner: it maps the floor, plans a path over the map, and follows it.
//!
//! It lives from two streams: each odometry that comes is a step of the steering, and each scan makes
//! the map better.

use std::time::Instant;

use botzilla::prelude::*;

use super::Options;
use super::latency::Latencies;
use super::messages::{
    Arrived, DriveRefused, EmergencyStop, FloorMap, GetLatency, GetMap, GetStreams, GoTo,
    GoToError, LaserScan, Latency, Odometry, Place, Progress, Resume, SetVelocity, StreamCount,
};
use super::senses::{Came, Senses};
use crate::geometry::{Point, length};
use crate::nav::{Gait, Navigator, Needs, Next};

/// A progress report each so many steps.
const STEPS_PER_REPORT: u32 = 8;

/// The component.
#[derive(Debug)]
pub struct Planner {
    navigator: Navigator,
    stopped: bool,
    latencies: Latencies,
    came: Came,
}

impl Planner {
    /// A planner that knows the size of the floor and nothing that stands on it.
    pub fn new(options: &Options) -> Self {
        let size = options.room.size;
        Self {
            navigator: Navigator::new(size, Needs::default(), Gait::default()),
            stopped: false,
            latencies: Latencies::default(),
            came: Came::default(),
        }
    }
}

#[botzilla::component(groups = ["base"])]
impl Planner {
    /// Runs until the robot is there. An urgent message drops it at its next `await`: an
    /// emergency stop needs no check in here. Whoever asked gets `Interrupted`.
    #[botzilla::handler]
    async fn go_to(&mut self, msg: GoTo, ctx: &Ctx<Self>) -> Result<Arrived, GoToError> {
        if self.stopped {
            return Err(GoToError::Stopped);
        }
        self.navigator.head_for(msg.goal.into());
        let mut senses = Senses::begin(ctx, &mut self.came).await?;
        // Not a wheel turns before it has seen something.
        let first = senses.scan(&mut self.came).await?;
        self.observe(&first);
        let mut before_s = None;
        for step in 0_u32.. {
            // The drive's pace is the planner's: each odometry is a step.
            let odometry = senses.odometry(&mut self.came).await?;
            while let Some(scan) = senses.try_scan(&mut self.came)? {
                self.observe(&scan);
            }
            if step % STEPS_PER_REPORT == 0 {
                self.report(&odometry, ctx);
            }
            let passed_s = odometry.time_s - before_s.unwrap_or(odometry.time_s);
            before_s = Some(odometry.time_s);
            match self.navigator.next(odometry.pose(), passed_s) {
                Ok(Next::Go { linear, angular }) => {
                    self.command(linear, angular, ctx).await?;
                }
                Ok(Next::Arrived) => break,
                Err(no_way) => {
                    let why = format!("{no_way}: {}", no_way.source);
                    return Err(GoToError::NoWay { why });
                }
            }
        }
        let odometry = self.command(0.0, 0.0, ctx).await?;
        self.report(&odometry, ctx);
        Ok(Arrived { odometry })
    }

    #[botzilla::handler]
    fn get_map(&mut self, _: GetMap) -> FloorMap {
        let places =
            |points: &[Point]| -> Vec<Place> { points.iter().copied().map(Place::from).collect() };
        FloorMap {
            cell_m: self.navigator.grid().resolution(),
            occupied: places(&self.navigator.seen()),
            plans: self
                .navigator
                .plans()
                .iter()
                .map(|plan| places(plan))
                .collect(),
        }
    }

    #[botzilla::handler]
    fn get_latency(&mut self, _: GetLatency) -> Latency {
        self.latencies.summary()
    }

    #[botzilla::handler]
    fn get_streams(&mut self, _: GetStreams) -> Vec<StreamCount> {
        self.came.counts("planner")
    }

    #[botzilla::handler(broadcast, urgent)]
    fn stop(&mut self, _: EmergencyStop) {
        self.stopped = true;
    }

    #[botzilla::handler(broadcast)]
    fn resume(&mut self, _: Resume) {
        self.stopped = false;
    }
}

impl Planner {
    async fn command(
        &mut self,
        linear_mps: f64,
        angular_rps: f64,
        ctx: &Ctx<Self>,
    ) -> Result<Odometry, GoToError> {
        let velocity = SetVelocity {
            linear_mps,
            angular_rps,
        };
        match self.ask("drive", velocity, ctx).await? {
            Ok(odometry) => Ok(odometry),
            Err(DriveRefused::Stopped { .. }) => Err(GoToError::Stopped),
            Err(refused) => Err(unanswered("drive", &refused)),
        }
    }

    fn observe(&mut self, scan: &LaserScan) {
        self.navigator
            .observe(scan.pose(), &scan.ranges_m, scan.reach_m);
    }

    /// An ask that is measured, and whose failure says who it was that didn't answer.
    async fn ask<M: Message>(
        &mut self,
        who: &str,
        msg: M,
        ctx: &Ctx<Self>,
    ) -> Result<M::Reply, GoToError> {
        let asked = Instant::now();
        let reply = ctx.component(who).ask(msg).await;
        self.latencies.record(asked.elapsed());
        reply.map_err(|error| unanswered(who, &error))
    }

    /// Tells the desk where the robot is. In a task of its own: a desk that is slow to answer must
    /// not hold up the steering.
    fn report(&self, odometry: &Odometry, ctx: &Ctx<Self>) {
        let progress = Progress {
            odometry: odometry.clone(),
            ahead_m: length(self.navigator.rest()),
            plans: self.navigator.plans().len() as u64,
        };
        let report = ctx.broadcast(progress).group("desk");
        ctx.spawn(async move {
            // Nobody at the desk is no reason to stop.
            let _ = report.await;
        });
    }
}

fn unanswered(who: &str, error: &dyn std::error::Error) -> GoToError {
    GoToError::Unanswered {
        who: who.to_owned(),
        why: error.to_string(),
    }
}
