//! Points and poses in the plane: metres and radians, counter-clockwise, 0 along x.

use std::f64::consts::{PI, TAU};
use std::ops::{Add, Mul, Sub};

/// A point, or the way from one point to another.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// Metres to the east.
    pub x: f64,
    /// Metres to the north.
    pub y: f64,
}

impl Point {
    /// The point at `x`, `y`.
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// The unit vector that points along `heading`.
    pub fn along(heading: f64) -> Self {
        Self::new(heading.cos(), heading.sin())
    }

    /// How far this point is from the origin.
    pub fn length(self) -> f64 {
        self.x.hypot(self.y)
    }

    /// How far this point is from another.
    pub fn distance(self, other: Self) -> f64 {
        (other - self).length()
    }

    /// The direction of this vector.
    pub fn heading(self) -> f64 {
        self.y.atan2(self.x)
    }

    /// The scalar product.
    pub fn dot(self, other: Self) -> f64 {
        self.x.mul_add(other.x, self.y * other.y)
    }

    /// This vector turned by `angle`.
    pub fn turned(self, angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self::new(self.x * cos - self.y * sin, self.x * sin + self.y * cos)
    }

    /// The point a part `t` (0 to 1) of the way to another.
    pub fn towards(self, other: Self, t: f64) -> Self {
        self + (other - self) * t
    }
}

impl Add for Point {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Point {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f64> for Point {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }
}

/// Where something is and which way it looks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pose {
    /// Where it is.
    pub at: Point,
    /// Which way it looks.
    pub heading: f64,
}

impl Pose {
    /// The pose at `x`, `y`, looking along `heading`.
    pub const fn new(x: f64, y: f64, heading: f64) -> Self {
        Self {
            at: Point::new(x, y),
            heading,
        }
    }
}

/// The same angle within -pi to pi.
pub fn wrapped(angle: f64) -> f64 {
    let turned = (angle + PI).rem_euclid(TAU);
    turned - PI
}

/// The length of a line through all points.
pub fn length(line: &[Point]) -> f64 {
    let pieces = line.windows(2).map(|pair| pair[0].distance(pair[1]));
    // Not `sum`: that of nothing is -0.0, which would show.
    pieces.fold(0.0, |sum, piece| sum + piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_angle_is_wrapped_to_half_a_turn_either_way() {
        assert!((wrapped(3.0 * PI / 2.0) + PI / 2.0).abs() < 1e-12);
        assert!((wrapped(-3.0 * PI / 2.0) - PI / 2.0).abs() < 1e-12);
        assert!(wrapped(TAU).abs() < 1e-12);
    }

    #[test]
    fn a_line_is_as_long_as_its_pieces() {
        let line = [
            Point::new(0.0, 0.0),
            Point::new(3.0, 4.0),
            Point::new(3.0, 5.0),
        ];
        assert!((length(&line) - 6.0).abs() < 1e-12);
    }
}
