//! The ride itself, as somebody at the robot's side sees it: sends it off, looks where it is,
//! presses the red button once.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use botzilla::{CallError, ComponentRef, Message, Node};

use super::report::Stop;
use super::{DemoError, DemoOptions, Event};
use crate::geometry::{Point, Pose};
use crate::robot::messages::{
    Arrived, GetOdometry, GetProgress, Heard, Mission, Odometry, Progress, ResumeAll, StopAll,
};

/// How often to look where the robot is, and how often to say so.
const LOOK: Duration = Duration::from_millis(40);
const LOOKS_PER_EVENT: u64 = 5;
/// Slower than this it stands.
const STANDS_MPS: f64 = 0.01;
/// It has to stand after this time, at the latest, and may then not move farther than this.
const HALT: Duration = Duration::from_secs(3);
const STILL_M: f64 = 0.02;

pub(super) struct Ride<'a> {
    drive: ComponentRef,
    operator: ComponentRef,
    options: &'a DemoOptions,
    on: &'a mut dyn FnMut(Event),
    looks: u64,
    told: Option<Progress>,
    last: &'a mut Odometry,
    pub(super) driven: Vec<Point>,
    pub(super) stops: Vec<(Pose, Stop)>,
}

impl<'a> Ride<'a> {
    pub(super) fn new(
        console: &Node,
        options: &'a DemoOptions,
        last: &'a mut Odometry,
        on: &'a mut dyn FnMut(Event),
    ) -> Self {
        Self {
            drive: console.component("drive"),
            operator: console.component("operator"),
            options,
            on,
            looks: 0,
            told: None,
            last,
            driven: Vec::new(),
            stops: Vec::new(),
        }
    }

    /// Ends when the robot is at the goal, or can't get there.
    pub(super) async fn go(&mut self) -> Result<Arrived, DemoError> {
        let goal = self.options.robot.room.goal.into();
        let mission = self.operator.ask(Mission { goal });
        // Both at once: while one waits, the other goes on.
        let arrived = tokio::select! {
            arrived = mission.within(self.options.deadline).into_future() => arrived,
            failed = self.watch() => return Err(failed),
        };
        let arrived = arrived.map_err(calling)??;
        self.see(arrived.odometry.clone());
        (self.on)(Event::Arrived);
        Ok(arrived)
    }

    /// Looks and presses the button; ends only by an error.
    async fn watch(&mut self) -> DemoError {
        loop {
            let mut looked = self.look().await;
            let is_due = self.last.driven_m >= self.options.stop_after_m;
            if looked.is_ok() && is_due && self.stops.is_empty() {
                looked = self.stop_for_a_while().await;
            }
            if let Err(error) = looked {
                return error;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&mut self) -> Result<(), DemoError> {
        let odometry = ask(&self.drive, GetOdometry {}).await?;
        self.see(odometry);
        if self.looks.is_multiple_of(LOOKS_PER_EVENT) {
            let progress = ask(&self.operator, GetProgress {}).await?;
            if let Some(progress) = progress.filter(|progress| Some(progress) != self.told.as_ref())
            {
                self.told = Some(progress.clone());
                (self.on)(Event::Driving(progress));
            }
        }
        self.looks += 1;
        Ok(())
    }

    fn see(&mut self, odometry: Odometry) {
        self.driven.push(odometry.at.into());
        *self.last = odometry;
    }

    /// Presses the red button, makes sure that the robot stands, and stays standing, and releases
    /// it.
    async fn stop_for_a_while(&mut self) -> Result<(), DemoError> {
        let pressed = Instant::now();
        let before = self.last.driven_m;
        let reason = "somebody pressed the red button".to_owned();
        let Heard { by, failed } = ask(&self.operator, StopAll { reason }).await?;
        let took = pressed.elapsed();
        check(&by, failed)?;
        (self.on)(Event::Stopped {
            heard_by: by.clone(),
            took,
        });

        while self.last.linear_mps.abs() > STANDS_MPS || !self.last.stopped {
            if pressed.elapsed() > HALT {
                let rolled_m = self.last.driven_m - before;
                return Err(DemoError::RolledOn { rolled_m });
            }
            tokio::time::sleep(LOOK).await;
            self.look().await?;
        }
        let rolled_m = self.last.driven_m - before;
        (self.on)(Event::Standing { rolled_m });

        tokio::time::sleep(self.options.stop_for).await;
        self.look().await?;
        let moved = self.last.driven_m - before - rolled_m;
        if moved > STILL_M {
            return Err(DemoError::RolledOn { rolled_m: moved });
        }
        let stop = Stop {
            heard_by: by,
            took_ms: took.as_secs_f64() * 1e3,
            rolled_m,
        };
        self.stops.push((self.last.pose(), stop));

        let Heard { by, failed } = ask(&self.operator, ResumeAll {}).await?;
        check(&by, failed)?;
        (self.on)(Event::Resumed);
        Ok(())
    }
}

/// Both that move the robot have to have heard it, and nobody may have missed it.
fn check(heard_by: &[String], mut missed: Vec<String>) -> Result<(), DemoError> {
    for name in ["drive", "planner"] {
        if !heard_by.iter().any(|heard| heard == name) {
            missed.push(name.to_owned());
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(DemoError::NotHeard { missed })
}

pub(super) async fn ask<M: Message>(
    whom: &ComponentRef,
    message: M,
) -> Result<M::Reply, DemoError> {
    whom.ask(message).await.map_err(calling)
}

fn calling(error: CallError) -> DemoError {
    DemoError::Runtime {
        doing: format!("talking to {}", error.component()),
        source: error.into(),
    }
}
