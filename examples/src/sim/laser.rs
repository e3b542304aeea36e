//! A lidar that casts rays in a room.

use std::f64::consts::TAU;
use std::fmt;

use rapier2d::prelude::{PhysicsWorld, Ray};

use super::{Noise, Room, room::vector};
use crate::geometry::{Point, Pose};

/// What a lidar is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaserSpec {
    /// Beams in one turn.
    pub beams: usize,
    /// How far it sees, in metres.
    pub reach: f64,
    /// The standard deviation of what it measures, in metres.
    pub deviation: f64,
}

impl Default for LaserSpec {
    /// 180 beams (one each two degrees), 5 m, 1 cm.
    fn default() -> Self {
        Self {
            beams: 180,
            reach: 5.0,
            deviation: 0.01,
        }
    }
}

/// A lidar with its own copy of the room, where only the walls stand: it never sees the robot that
/// carries it.
pub struct Laser {
    world: PhysicsWorld,
    spec: LaserSpec,
    noise: Noise,
}

impl Laser {
    /// A lidar in this room.
    pub fn new(room: &Room, spec: LaserSpec, seed: u64) -> Self {
        let mut world = room.built();
        // Rays are cast through the broad phase's tree, which is built here, once: nothing moves.
        world.detect_collisions(&(), &());
        Self {
            world,
            spec,
            noise: Noise::new(seed),
        }
    }

    /// What the lidar is like.
    pub const fn spec(&self) -> LaserSpec {
        self.spec
    }

    /// Measures once around, counter-clockwise, the first beam straight ahead. A beam that meets
    /// nothing measures the reach.
    pub fn scan(&mut self, from: Pose) -> Vec<f64> {
        let LaserSpec {
            beams,
            reach,
            deviation,
        } = self.spec;
        let rays = self.world.query_pipeline();
        (0..beams)
            .map(|beam| {
                let angle = from.heading + TAU * beam as f64 / beams as f64;
                let ray = Ray::new(vector(from.at), vector(Point::along(angle)));
                match rays.cast_ray(&ray, reach as f32, true) {
                    Some((_, distance)) => {
                        let measured = f64::from(distance) + deviation * self.noise.bell();
                        measured.clamp(0.0, reach)
                    }
                    None => reach,
                }
            })
            .collect()
    }
}

impl fmt::Debug for Laser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let obstacles = self.world.colliders.len();
        f.debug_struct("Laser")
            .field("spec", &self.spec)
            .field("obstacles", &obstacles)
            .finish_non_exhaustive()
    }
}
