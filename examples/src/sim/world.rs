//! The robot's body in the room: two driven wheels, grip, and things to bump into.

use std::fmt;

use rapier2d::prelude::{
    ColliderBuilder, ColliderHandle, PhysicsWorld, RigidBodyBuilder, RigidBodyHandle,
};

use super::{Room, room::vector};
use crate::geometry::{Point, Pose};

/// What the robot is like: a round body on two driven wheels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chassis {
    /// The radius of the body, in metres.
    pub radius: f64,
    /// From one wheel to the other, in metres.
    pub track: f64,
    /// Kilograms.
    pub mass: f64,
    /// The fastest that a wheel goes, in metres a second.
    pub wheel_speed: f64,
    /// How fast a wheel gains speed, in metres a second each second.
    pub acceleration: f64,
    /// How fast it loses speed when the brakes are on.
    pub braking: f64,
    /// What the tyres hold, in metres a second each second: more, and they slip.
    pub grip: f64,
    /// What the robot draws when it stands, in watts.
    pub idle_w: f64,
}

impl Default for Chassis {
    /// A vacuum cleaner that is in a hurry.
    fn default() -> Self {
        Self {
            radius: 0.20,
            track: 0.32,
            mass: 9.0,
            wheel_speed: 1.2,
            acceleration: 1.6,
            braking: 4.0,
            grip: 5.0,
            idle_w: 14.0,
        }
    }
}

/// How the robot moves at this instant, and how far it came.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Motion {
    /// Where it is.
    pub pose: Pose,
    /// Forward, in metres a second.
    pub linear: f64,
    /// Counter-clockwise, in radians a second.
    pub angular: f64,
    /// The way it has driven since the start, in metres.
    pub driven: f64,
    /// How often it has bumped into something.
    pub bumps: u32,
    /// Simulated time since the start, in seconds.
    pub time: f64,
}

/// The truth: where the robot really is. It advances by steps of [`World::STEP`].
pub struct World {
    physics: PhysicsWorld,
    body: RigidBodyHandle,
    hull: ColliderHandle,
    chassis: Chassis,
    /// What was asked of the left and the right wheel, and what they do.
    wanted: [f64; 2],
    wheels: [f64; 2],
    brakes: bool,
    touching: bool,
    energy_j: f64,
    motion: Motion,
}

impl World {
    /// Simulated seconds in a step.
    pub const STEP: f64 = 0.01;

    /// The robot at the start of a room.
    pub fn new(room: &Room, chassis: Chassis) -> Self {
        let mut physics = room.built();
        physics.integration_parameters.dt = Self::STEP as f32;
        let area = std::f64::consts::PI * chassis.radius.powi(2);
        let (body, hull) = physics.insert(
            RigidBodyBuilder::dynamic()
                .translation(vector(room.start.at))
                .rotation(room.start.heading as f32)
                .can_sleep(false),
            ColliderBuilder::ball(chassis.radius as f32)
                .density((chassis.mass / area) as f32)
                .friction(0.3),
        );
        let motion = Motion {
            pose: room.start,
            ..Motion::default()
        };
        Self {
            physics,
            body,
            hull,
            chassis,
            wanted: [0.0; 2],
            wheels: [0.0; 2],
            brakes: true,
            touching: false,
            energy_j: 0.0,
            motion,
        }
    }

    /// Asks for a body velocity. A wheel that can't go as fast as that takes the other down with
    /// it, so that the robot keeps to its curve.
    pub fn drive(&mut self, linear: f64, angular: f64) {
        let turn = angular * self.chassis.track / 2.0;
        let wanted = [linear - turn, linear + turn];
        let fastest = wanted[0].abs().max(wanted[1].abs());
        let slower = (self.chassis.wheel_speed / fastest).min(1.0);
        self.wanted = wanted.map(|speed| if fastest > 0.0 { speed * slower } else { 0.0 });
        self.brakes = false;
    }

    /// Stops both wheels as fast as they can.
    pub fn brake(&mut self) {
        self.wanted = [0.0; 2];
        self.brakes = true;
    }

    /// Advances by one step.
    pub fn step(&mut self) {
        self.turn_wheels();
        self.push_body();
        self.physics.step();
        self.look();
    }

    /// How the robot moves now.
    pub const fn motion(&self) -> Motion {
        self.motion
    }

    /// What the robot has drawn since this was last asked, in joules.
    pub fn take_energy(&mut self) -> f64 {
        std::mem::take(&mut self.energy_j)
    }

    fn turn_wheels(&mut self) {
        let rate = if self.brakes {
            self.chassis.braking
        } else {
            self.chassis.acceleration
        };
        let most = rate * Self::STEP;
        for (wheel, wanted) in self.wheels.iter_mut().zip(self.wanted) {
            *wheel += (wanted - *wheel).clamp(-most, most);
        }
    }

    /// The wheels push the body towards the velocity at which they roll, with no more than the
    /// tyres hold: against a wall they slip.
    fn push_body(&mut self) {
        let Chassis {
            grip, track, mass, ..
        } = self.chassis;
        let [left, right] = self.wheels;
        let heading = self.motion.pose.heading;
        let forward = Point::along(heading);
        let Some(body) = self.physics.bodies.get_mut(self.body) else {
            return;
        };
        let velocity = Point::new(f64::from(body.linvel().x), f64::from(body.linvel().y));
        let angular = f64::from(body.angvel());

        let slip = forward * ((left + right) / 2.0) - velocity;
        let most = grip * Self::STEP;
        let push = slip * (most / slip.length().max(most));
        body.apply_impulse(vector(push * mass), true);

        // A disc's moment of inertia; the tyres turn it at half the track from its middle.
        let inertia = 0.5 * mass * self.chassis.radius.powi(2);
        let most_turn = grip * mass * track / 2.0 / inertia * Self::STEP;
        let turn = ((right - left) / track - angular).clamp(-most_turn, most_turn);
        body.apply_torque_impulse((turn * inertia) as f32, true);

        // Rolling, pushing (braking gives nothing back), and the computer.
        let rolling = 0.03 * mass * 9.81 * (left.abs() + right.abs()) / 2.0;
        let pushing = mass * push.dot(forward) / Self::STEP * velocity.dot(forward);
        let power = self.chassis.idle_w + (rolling + pushing.max(0.0)) / 0.6;
        self.energy_j += power * Self::STEP;
    }

    fn look(&mut self) {
        let Some(body) = self.physics.bodies.get(self.body) else {
            return;
        };
        let at = Point::new(
            f64::from(body.translation().x),
            f64::from(body.translation().y),
        );
        let heading = f64::from(body.rotation().angle());
        let velocity = Point::new(f64::from(body.linvel().x), f64::from(body.linvel().y));
        let touching = self
            .physics
            .contact_pairs_with(self.hull)
            .any(|pair| pair.has_any_active_contact());
        let before = self.motion;
        self.motion = Motion {
            pose: Pose { at, heading },
            linear: velocity.dot(Point::along(heading)),
            angular: f64::from(body.angvel()),
            driven: before.driven + before.pose.at.distance(at),
            bumps: before.bumps + u32::from(touching && !self.touching),
            time: before.time + Self::STEP,
        };
        self.touching = touching;
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("motion", &self.motion)
            .field("wheels", &self.wheels)
            .finish_non_exhaustive()
    }
}
