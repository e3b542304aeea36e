//! Pure pursuit: steer for a point of the path a little ahead.

use std::f64::consts::FRAC_PI_3;

use crate::geometry::{Point, Pose, wrapped};

/// How briskly to follow a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gait {
    /// The fastest, in metres a second.
    pub speed: f64,
    /// The fastest turn, in radians a second.
    pub turn: f64,
    /// How fast to slow down before the goal, in metres a second each second.
    pub slowing: f64,
    /// The most that a curve may pull sideways, in metres a second each second.
    pub sideways: f64,
    /// How far ahead on the path to aim, in metres.
    pub ahead: f64,
    /// How close to the goal is there, in metres.
    pub arrived: f64,
}

impl Default for Gait {
    fn default() -> Self {
        Self {
            speed: 1.0,
            turn: 2.0,
            slowing: 0.6,
            sideways: 0.8,
            ahead: 0.40,
            arrived: 0.08,
        }
    }
}

/// What the wheels should do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Steer {
    /// Go on at this body velocity.
    Go {
        /// Forward, in metres a second.
        linear: f64,
        /// Counter-clockwise, in radians a second.
        angular: f64,
    },
    /// The end of the path is here.
    Arrived,
}

/// Follows one path.
#[derive(Debug, Clone)]
pub struct Follower {
    path: Vec<Point>,
    gait: Gait,
    /// The point of the path that the robot has come to; never goes back.
    at: usize,
}

impl Follower {
    /// Follows `path` from its beginning.
    pub const fn new(path: Vec<Point>, gait: Gait) -> Self {
        Self { path, gait, at: 0 }
    }

    /// The whole path.
    pub fn path(&self) -> &[Point] {
        &self.path
    }

    /// The part of the path that is still ahead.
    pub fn rest(&self) -> &[Point] {
        self.path.get(self.at..).unwrap_or_default()
    }

    /// What to do at this pose.
    pub fn steer(&mut self, pose: Pose) -> Steer {
        let Some(&goal) = self.path.last() else {
            return Steer::Arrived;
        };
        let to_goal = pose.at.distance(goal);
        if to_goal <= self.gait.arrived {
            return Steer::Arrived;
        }
        self.advance(pose.at);
        let ahead = self.rest();
        let aim = ahead
            .iter()
            .copied()
            .find(|point| point.distance(pose.at) >= self.gait.ahead)
            .unwrap_or(goal);
        let away = pose.at.distance(aim);
        let aside = wrapped((aim - pose.at).heading() - pose.heading);
        if aside.abs() > FRAC_PI_3 {
            // Looking elsewhere: turn on the spot, slower towards the end.
            let angular = (2.5 * aside).clamp(-self.gait.turn, self.gait.turn);
            return Steer::Go {
                linear: 0.0,
                angular,
            };
        }
        // The circle through the robot, along its heading, that meets the aim.
        let curvature = 2.0 * aside.sin() / away;
        let in_time = (2.0 * self.gait.slowing * to_goal).sqrt().max(0.08);
        let in_curve = (self.gait.sideways / curvature.abs().max(1e-6)).sqrt();
        let linear = self.gait.speed.min(in_time).min(in_curve);
        let angular = (linear * curvature).clamp(-self.gait.turn, self.gait.turn);
        Steer::Go { linear, angular }
    }

    /// Moves on to the nearest point, of those not farther along than a metre: where a path comes
    /// back past itself, the robot must not jump ahead.
    fn advance(&mut self, from: Point) {
        let mut gone = 0.0;
        let mut best = (f64::INFINITY, self.at);
        for index in self.at..self.path.len() {
            if index > self.at {
                gone += self.path[index - 1].distance(self.path[index]);
            }
            if gone > 1.0 {
                break;
            }
            let apart = self.path[index].distance(from);
            if apart < best.0 {
                best = (apart, index);
            }
        }
        self.at = best.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves exactly as told.
    fn walk(follower: &mut Follower, mut pose: Pose) -> (Pose, f64) {
        let mut worst = 0.0_f64;
        for _ in 0..4000 {
            let Steer::Go { linear, angular } = follower.steer(pose) else {
                return (pose, worst);
            };
            pose.heading += angular * 0.02;
            pose.at = pose.at + Point::along(pose.heading) * (linear * 0.02);
            let off = follower
                .path()
                .iter()
                .map(|point| point.distance(pose.at))
                .fold(f64::INFINITY, f64::min);
            worst = worst.max(off);
        }
        panic!("not there after 80 s, at {pose:?}");
    }

    #[test]
    fn a_curve_is_followed_closely_to_its_end() {
        let path: Vec<Point> = (0..=100)
            .map(|step| {
                let x = f64::from(step) * 0.05;
                Point::new(x, x.sin())
            })
            .collect();
        let mut follower = Follower::new(path.clone(), Gait::default());
        let (pose, worst) = walk(&mut follower, Pose::new(0.0, 0.0, 0.8));
        assert!(pose.at.distance(path[100]) <= 0.08);
        assert!(worst < 0.10, "off the path by {worst}");
    }

    #[test]
    fn a_robot_that_looks_the_wrong_way_turns_before_it_goes() {
        let path = vec![
            Point::new(0.0, 0.0),
            Point::new(1.0, 0.0),
            Point::new(2.0, 0.0),
        ];
        let mut follower = Follower::new(path, Gait::default());
        let steer = follower.steer(Pose::new(0.0, 0.0, 3.0));
        assert!(matches!(steer, Steer::Go { linear: 0.0, angular } if angular < 0.0));
    }
}
