//! A room with things that stand in the way.

use rapier2d::prelude::{ColliderBuilder, PhysicsWorld, RigidBodyBuilder, Vector};

use super::Noise;
use crate::geometry::{Point, Pose};

/// Something that stands in the room.
#[derive(Debug, Clone, PartialEq)]
pub enum Obstacle {
    /// A cupboard, a table, a piece of wall.
    Block {
        /// Its middle.
        center: Point,
        /// Half its width and half its depth.
        half: Point,
        /// How it is turned.
        angle: f64,
    },
    /// A column, a bin, a plant.
    Post {
        /// Its middle.
        center: Point,
        /// How thick it is.
        radius: f64,
    },
}

impl Obstacle {
    const fn block(x: f64, y: f64, half_x: f64, half_y: f64, angle: f64) -> Self {
        Self::Block {
            center: Point::new(x, y),
            half: Point::new(half_x, half_y),
            angle,
        }
    }

    const fn post(x: f64, y: f64, radius: f64) -> Self {
        Self::Post {
            center: Point::new(x, y),
            radius,
        }
    }

    /// How far a point is from it; negative inside.
    pub fn distance(&self, point: Point) -> f64 {
        match *self {
            Self::Post { center, radius } => point.distance(center) - radius,
            Self::Block {
                center,
                half,
                angle,
            } => {
                let local = (point - center).turned(-angle);
                let out = Point::new(local.x.abs() - half.x, local.y.abs() - half.y);
                let outside = Point::new(out.x.max(0.0), out.y.max(0.0)).length();
                outside + out.x.max(out.y).min(0.0)
            }
        }
    }

    fn nudge(&mut self, noise: &mut Noise, most: f64) {
        match self {
            Self::Post { center, .. } => {
                *center = *center + Point::new(noise.even(), noise.even()) * most;
            }
            Self::Block { center, angle, .. } => {
                *center = *center + Point::new(noise.even(), noise.even()) * most;
                *angle += noise.even() * most;
            }
        }
    }
}

/// Four walls, what stands between them, where the robot starts and where it should go.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// The inside of the walls: from (0, 0) to this corner.
    pub size: Point,
    /// Walls that never move.
    pub partitions: Vec<Obstacle>,
    /// Furniture.
    pub furniture: Vec<Obstacle>,
    /// Where the robot stands at first.
    pub start: Pose,
    /// Where it should go.
    pub goal: Point,
}

impl Room {
    /// The room of the demo: two partitions make the way an S, and furniture stands in it. The
    /// seed moves the furniture a little.
    pub fn furnished(seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let mut furniture = vec![
            Obstacle::block(1.75, 2.75, 0.55, 0.30, 0.25),
            Obstacle::post(2.30, 0.75, 0.22),
            Obstacle::post(0.75, 4.60, 0.28),
            Obstacle::block(4.75, 2.75, 0.40, 0.40, 0.60),
            Obstacle::post(4.35, 4.55, 0.20),
            Obstacle::post(5.85, 4.10, 0.24),
            Obstacle::block(4.60, 0.55, 0.50, 0.28, -0.10),
            Obstacle::block(8.15, 2.55, 0.60, 0.28, -0.45),
            Obstacle::post(7.45, 4.40, 0.26),
            Obstacle::post(9.20, 0.80, 0.30),
        ];
        for piece in &mut furniture {
            piece.nudge(&mut noise, 0.12);
        }
        Self {
            size: Point::new(10.0, 6.0),
            partitions: vec![
                Obstacle::block(3.30, 1.90, 0.06, 1.90, 0.0),
                Obstacle::block(6.60, 4.05, 0.06, 1.95, 0.0),
            ],
            furniture,
            start: Pose::new(0.8, 0.8, 0.0),
            goal: Point::new(9.1, 5.2),
        }
    }

    /// The same room with the goal walled in: there is no way to it, but only the lidar can tell.
    pub fn walled_in(seed: u64) -> Self {
        let mut room = Self::furnished(seed);
        let Point { x, y } = room.goal;
        room.partitions.extend([
            Obstacle::block(x - 0.8, 5.2, 0.06, 0.8, 0.0),
            Obstacle::block(x + 0.05, y - 0.8, 0.85, 0.06, 0.0),
        ]);
        room
    }

    /// All that stands in the room.
    pub fn obstacles(&self) -> impl Iterator<Item = &Obstacle> {
        self.partitions.iter().chain(&self.furniture)
    }

    /// How far a point is from the nearest wall or obstacle; negative inside of one.
    pub fn clearance(&self, point: Point) -> f64 {
        let walls = point
            .x
            .min(point.y)
            .min(self.size.x - point.x)
            .min(self.size.y - point.y);
        self.obstacles()
            .map(|obstacle| obstacle.distance(point))
            .fold(walls, f64::min)
    }

    /// A physical world in which only the room stands, seen from above.
    pub(super) fn built(&self) -> PhysicsWorld {
        let mut world = PhysicsWorld {
            gravity: Vector::ZERO,
            ..PhysicsWorld::default()
        };
        let Point { x, y } = self.size;
        let thick = 0.1;
        let walls = [
            Obstacle::block(x / 2.0, -thick, x / 2.0 + 2.0 * thick, thick, 0.0),
            Obstacle::block(x / 2.0, y + thick, x / 2.0 + 2.0 * thick, thick, 0.0),
            Obstacle::block(-thick, y / 2.0, thick, y / 2.0, 0.0),
            Obstacle::block(x + thick, y / 2.0, thick, y / 2.0, 0.0),
        ];
        for obstacle in walls.iter().chain(self.obstacles()) {
            let (center, angle, shape) = match *obstacle {
                Obstacle::Post { center, radius } => {
                    (center, 0.0, ColliderBuilder::ball(radius as f32))
                }
                Obstacle::Block {
                    center,
                    half,
                    angle,
                } => (
                    center,
                    angle,
                    ColliderBuilder::cuboid(half.x as f32, half.y as f32),
                ),
            };
            let body = RigidBodyBuilder::fixed()
                .translation(vector(center))
                .rotation(angle as f32);
            world.insert(body, shape.friction(0.3));
        }
        world
    }
}

pub(super) fn vector(point: Point) -> Vector {
    Vector::new(point.x as f32, point.y as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearance_is_negative_inside_of_things_and_outside_of_the_walls() {
        let room = Room::furnished(0);
        for obstacle in room.obstacles() {
            let (Obstacle::Block { center, .. } | Obstacle::Post { center, .. }) = *obstacle;
            assert!(room.clearance(center) < 0.0, "{obstacle:?}");
        }
        assert!(room.clearance(Point::new(-0.1, 3.0)) < 0.0);
    }

    #[test]
    fn the_robot_can_stand_at_the_start_and_at_the_goal_whatever_the_seed() {
        for seed in 0..200 {
            let room = Room::furnished(seed);
            assert!(room.clearance(room.start.at) > 0.35, "seed {seed}");
            assert!(room.clearance(room.goal) > 0.5, "seed {seed}");
        }
    }

    #[test]
    fn a_seed_decides_where_the_furniture_stands() {
        assert_eq!(Room::furnished(3), Room::furnished(3));
        assert_ne!(Room::furnished(3), Room::furnished(4));
    }
}
