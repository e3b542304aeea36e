//! Map, path and follower in one: what a planner knows between two steps.

use super::{Cell, Clearance, Follower, Gait, Grid, NoPath, Steer, find_path, smooth};
use crate::geometry::{Point, Pose};

/// The side of a cell, in metres.
const RESOLUTION: f64 = 0.05;

/// The farthest that the robot may go between two looks at where it is, in metres: a computer that
/// is slow to steer has to drive slowly.
const BLIND: f64 = 0.12;

/// The fastest beside an obstacle, in metres a second, and how much faster with each metre away.
const CAREFUL: f64 = 0.35;
const FREER: f64 = 2.0;

/// The room that the robot needs to its sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Needs {
    /// From its middle to its hull, in metres.
    pub radius: f64,
    /// Beyond that where it has to be, in metres.
    pub least: f64,
    /// Beyond that where it can be.
    pub wanted: f64,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            radius: 0.20,
            least: 0.07,
            wanted: 0.30,
        }
    }
}

/// There is no way to the goal.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("no way from ({:.2}, {:.2}) to ({:.2}, {:.2})", from.x, from.y, to.x, to.y)]
pub struct NoWay {
    /// Where the robot is.
    pub from: Point,
    /// Where it should go.
    pub to: Point,
    /// Why it can't.
    pub source: NoPath,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Drive on.
    Go {
        /// Forward, in metres a second.
        linear: f64,
        /// Counter-clockwise, in radians a second.
        angular: f64,
    },
    /// The robot is at the goal.
    Arrived,
}

/// Finds the way to a goal on a floor of which it knows only the size at first.
#[derive(Debug, Clone)]
pub struct Navigator {
    grid: Grid,
    needs: Needs,
    gait: Gait,
    goal: Option<Point>,
    follower: Option<Follower>,
    plans: Vec<Vec<Point>>,
    clearance: Clearance,
    /// The map has changed since the clearance was taken and the path was looked at.
    changed: bool,
}

impl Navigator {
    /// Knows that the floor goes from (0, 0) to `size`.
    pub fn new(size: Point, needs: Needs, gait: Gait) -> Self {
        let grid = Grid::unknown(size, RESOLUTION);
        Self {
            clearance: grid.clearance(),
            grid,
            needs,
            gait,
            goal: None,
            follower: None,
            plans: Vec::new(),
            changed: false,
        }
    }

    /// Sets out for a goal. What was planned before is forgotten, what was seen is not.
    pub fn head_for(&mut self, goal: Point) {
        self.goal = Some(goal);
        self.follower = None;
    }

    /// The map so far.
    pub const fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The paths planned so far, the one in use last.
    pub fn plans(&self) -> &[Vec<Point>] {
        &self.plans
    }

    /// The part of the path that is still ahead.
    pub fn rest(&self) -> &[Point] {
        self.follower.as_ref().map_or(&[], Follower::rest)
    }

    /// The middles of the cells that are known to be occupied.
    pub fn seen(&self) -> Vec<Point> {
        (0..self.grid.columns() * self.grid.rows())
            .filter(|&cell| self.grid.cell(cell) == Cell::Occupied)
            .map(|cell| self.grid.middle(cell))
            .collect()
    }

    /// Takes in what the lidar measured at a pose.
    pub fn observe(&mut self, pose: Pose, ranges: &[f64], reach: f64) {
        self.changed |= self.grid.mark(pose, ranges, reach);
    }

    /// What to do at this pose, `passed` seconds after the last. Plans first if there is no path
    /// yet, or if something has come to light that stands in its way.
    pub fn next(&mut self, pose: Pose, passed: f64) -> Result<Next, NoWay> {
        let Some(goal) = self.goal else {
            return Ok(Next::Arrived);
        };
        let mut follower = match self.follower.take() {
            Some(follower) if !self.changed => follower,
            follower => self.checked(follower, pose.at, goal)?,
        };
        self.changed = false;
        let steer = follower.steer(pose);
        self.follower = Some(follower);
        Ok(match steer {
            Steer::Go { linear, angular } => {
                // Slower on the same curve.
                let slower = (self.fastest(pose.at, passed) / linear.max(1e-6)).min(1.0);
                Next::Go {
                    linear: linear * slower,
                    angular: angular * slower,
                }
            }
            Steer::Arrived => Next::Arrived,
        })
    }

    /// How fast the robot may go, for what is around it and for how often it is steered.
    fn fastest(&self, at: Point, passed: f64) -> f64 {
        let free = self.clearance.at(&self.grid, at) - self.needs.radius;
        let beside = FREER.mul_add(free.max(0.0), CAREFUL);
        beside.min(BLIND / passed.max(1e-6))
    }

    /// The path in use if it is still clear, else a new one.
    fn checked(
        &mut self,
        follower: Option<Follower>,
        from: Point,
        to: Point,
    ) -> Result<Follower, NoWay> {
        let Needs {
            radius,
            least,
            wanted,
        } = self.needs;
        if self.changed {
            self.clearance = self.grid.clearance();
        }
        let clearance = &self.clearance;
        if let Some(follower) = follower {
            // Half the margin may go before a path is given up: else the map's noise would make
            // a new one each second.
            if clearance.along(&self.grid, follower.rest()) >= radius + least / 2.0 {
                return Ok(follower);
            }
        }
        let bounds = [radius + least, radius + wanted];
        let path = find_path(&self.grid, clearance, [from, to], bounds)
            .map_err(|source| NoWay { from, to, source })?;
        let path = smooth(&self.grid, clearance, &path, bounds[0]);
        self.plans.push(path.clone());
        Ok(Follower::new(path, self.gait))
    }
}
