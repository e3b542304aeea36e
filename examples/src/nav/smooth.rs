//! From a staircase of cells to a line that wheels can follow.

use super::{Clearance, Grid};
use crate::geometry::Point;

/// The distance between the points of a smooth path, in metres.
const SPACING: f64 = 0.05;

/// Straightens and rounds a path without coming closer to anything than `least`, or than the path
/// itself came.
pub fn smooth(grid: &Grid, clearance: &Clearance, path: &[Point], least: f64) -> Vec<Point> {
    let straight = shortcut(grid, clearance, path, least);
    let spaced = spaced(&straight);
    relax(grid, clearance, spaced, least)
}

/// Leaves out each point that the straight line between its neighbours makes needless.
fn shortcut(grid: &Grid, clearance: &Clearance, path: &[Point], least: f64) -> Vec<Point> {
    let mut kept: Vec<Point> = path.first().copied().into_iter().collect();
    let mut at = 0;
    while at + 1 < path.len() {
        let next = (at + 2..path.len())
            .rev()
            .find(|&far| {
                // A shortcut through a narrow place that the search went around for good reason
                // isn't worth it: it may come as close as the path did there, no closer.
                let worst = clearance.along(grid, &path[at..=far]);
                clearance.between(grid, path[at], path[far]) >= worst.max(least)
            })
            .unwrap_or(at + 1);
        kept.push(path[next]);
        at = next;
    }
    kept
}

/// The same line with a point each [`SPACING`].
fn spaced(line: &[Point]) -> Vec<Point> {
    let mut points: Vec<Point> = line.first().copied().into_iter().collect();
    for pair in line.windows(2) {
        let pieces = (pair[0].distance(pair[1]) / SPACING).ceil().max(1.0);
        points.extend(
            (1..=pieces as usize).map(|piece| pair[0].towards(pair[1], piece as f64 / pieces)),
        );
    }
    points
}

/// Draws each point towards the middle of its neighbours, as a rubber band would, unless that
/// brings it too close to something. The ends stay.
fn relax(grid: &Grid, clearance: &Clearance, mut line: Vec<Point>, least: f64) -> Vec<Point> {
    for _ in 0..60 {
        for at in 1..line.len().saturating_sub(1) {
            let middle = line[at - 1].towards(line[at + 1], 0.5);
            let moved = line[at].towards(middle, 0.6);
            let before = clearance.at(grid, line[at]);
            if clearance.at(grid, moved) >= before.min(least + 0.1) {
                line[at] = moved;
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Pose, length, wrapped};
    use crate::nav::find_path;

    #[test]
    fn a_smooth_path_is_shorter_keeps_its_distance_and_has_no_corners() {
        let mut grid = Grid::unknown(Point::new(6.0, 4.0), 0.1);
        for row in 0..20 {
            let at = Pose::new(2.55, (f64::from(row) + 0.5) * 0.1, 0.0);
            for _ in 0..3 {
                grid.mark(at, &[0.5], 1.0);
            }
        }
        let clearance = grid.clearance();
        let ends = [Point::new(1.0, 1.0), Point::new(5.0, 1.0)];
        let path = find_path(&grid, &clearance, ends, [0.25, 0.5]).unwrap();
        let line = smooth(&grid, &clearance, &path, 0.25);
        assert_eq!([line[0], line[line.len() - 1]], ends);
        assert!(length(&line) < length(&path));
        assert!(clearance.along(&grid, &line) >= 0.2);
        let turns = line.windows(3).map(|three| {
            wrapped((three[2] - three[1]).heading() - (three[1] - three[0]).heading()).abs()
        });
        assert!(turns.fold(0.0, f64::max) < 0.35);
    }
}
