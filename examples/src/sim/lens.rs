//! A camera that sees the room as it is: one ray for each column of the picture.

use std::fmt;

use rapier2d::prelude::{PhysicsWorld, Ray};

use super::{Room, room::vector};
use crate::geometry::{Point, Pose};

/// How high everything in the room is.
const HIGH_M: f64 = 0.9;
/// How far it sees; beyond, everything is haze.
const REACH_M: f64 = 15.0;
/// Red, green and blue of what is straight and of what is round, from close by. Floor and ceiling
/// are grey, so that a thing can be told from them by its colour.
const BLOCK: [f64; 3] = [214.0, 158.0, 96.0];
const POST: [f64; 3] = [92.0, 176.0, 118.0];

/// What a camera is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LensSpec {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// The distance of the picture's plane, in pixels.
    pub focal_px: f64,
    /// How high above the floor it is, in metres.
    pub eye_m: f64,
}

impl Default for LensSpec {
    /// 640 by 480 pixels, a right angle wide, 25 cm above the floor.
    fn default() -> Self {
        Self {
            width: 640,
            height: 480,
            focal_px: 320.0,
            eye_m: 0.25,
        }
    }
}

/// A camera with its own copy of the room, as the [`Laser`](super::Laser) has one.
pub struct Lens {
    world: PhysicsWorld,
    spec: LensSpec,
    /// The picture of a room without anything in it.
    empty: Vec<u8>,
}

impl Lens {
    /// A camera in this room.
    pub fn new(room: &Room, spec: LensSpec) -> Self {
        let mut world = room.built();
        // Rays are cast through the broad phase's tree, which is built here, once: nothing moves.
        world.detect_collisions(&(), &());
        let lines = (0..spec.height).map(|line| grey(line, spec.height));
        let empty = lines
            .flat_map(|grey| std::iter::repeat_n(grey, 3 * spec.width as usize))
            .collect();
        Self { world, spec, empty }
    }

    /// What the camera is like.
    pub const fn spec(&self) -> LensSpec {
        self.spec
    }

    /// What it sees from there: three bytes a pixel, line by line from the top.
    pub fn render(&self, from: Pose) -> Vec<u8> {
        let LensSpec {
            width,
            height,
            focal_px,
            eye_m,
        } = self.spec;
        let rays = self.world.query_pipeline();
        let mut rgb = self.empty.clone();
        let line_bytes = 3 * width as usize;
        let horizon = f64::from(height) / 2.0;
        for column in 0..width {
            // From the middle of the picture; the left is counter-clockwise.
            let aside = (f64::from(width) / 2.0 - f64::from(column) - 0.5) / focal_px;
            let angle = from.heading + aside.atan();
            let ray = Ray::new(vector(from.at), vector(Point::along(angle)));
            let Some((hit, distance)) = rays.cast_ray(&ray, REACH_M as f32, true) else {
                continue;
            };
            // Along the line of sight, not along the ray, or walls would look bent.
            let deep = (f64::from(distance) * aside.atan().cos()).max(0.01);
            let line = |below_eye_m: f64| {
                let line = horizon + focal_px * below_eye_m / deep;
                line.round().clamp(0.0, f64::from(height)) as usize
            };
            let round = self.world.colliders.get(hit);
            let round = round.is_some_and(|thing| thing.shape().as_ball().is_some());
            let colour = if round { POST } else { BLOCK };
            let pixel = colour.map(|part| (part / 0.2f64.mul_add(deep, 1.0)) as u8);
            let at = 3 * column as usize;
            let lines = rgb.chunks_exact_mut(line_bytes);
            let top = line(eye_m - HIGH_M);
            for line in lines.take(line(eye_m)).skip(top) {
                line[at..at + 3].copy_from_slice(&pixel);
            }
        }
        rgb
    }
}

/// The floor below the horizon and the ceiling above: the farther away, the darker.
fn grey(line: u32, height: u32) -> u8 {
    let half = f64::from(height) / 2.0;
    let near = (f64::from(line) + 0.5 - half) / half;
    let bright = if near > 0.0 { 90.0 } else { 190.0 };
    (bright * 0.6f64.mul_add(near.abs(), 0.4)) as u8
}

impl fmt::Debug for Lens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lens")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}
