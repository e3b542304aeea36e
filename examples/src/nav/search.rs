//! A* over the grid.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Clearance, Grid};
use crate::geometry::Point;

/// Why there is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPath {
    /// The robot stands where it can't move: outside, or closed in.
    #[error("the robot stands in an obstacle or outside of the map")]
    StartBlocked,
    /// The goal is in or too close to an obstacle.
    #[error(
        "the goal is outside of the map, in an obstacle, or too close to one for the robot to stand there"
    )]
    GoalBlocked,
    /// Everything that can be reached was looked at.
    #[error("there is no way to the goal that is wide enough for the robot")]
    Unreachable,
}

/// A path over the middles of cells from one point to another, with at least `least` metres of
/// clearance, and preferably `wanted`.
pub fn find_path(
    grid: &Grid,
    clearance: &Clearance,
    [from, to]: [Point; 2],
    [least, wanted]: [f64; 2],
) -> Result<Vec<Point>, NoPath> {
    let start = grid.index(from).ok_or(NoPath::StartBlocked)?;
    let goal = grid.index(to).ok_or(NoPath::GoalBlocked)?;
    if clearance.of(goal) < least {
        return Err(NoPath::GoalBlocked);
    }
    // Who came too close may still move away: there a step may lead to where it's no worse.
    let allowed = |before: usize, cell: usize| {
        let metres = clearance.of(cell);
        metres >= least || (metres > 0.0 && metres >= clearance.of(before))
    };
    let guess = |cell: usize| grid.middle(cell).distance(grid.middle(goal));

    let cells = grid.columns() * grid.rows();
    let mut costs = vec![f64::INFINITY; cells];
    let mut came_from = vec![usize::MAX; cells];
    let mut open = BinaryHeap::from([Open {
        total: guess(start),
        cell: start,
    }]);
    costs[start] = 0.0;
    let mut moved = false;
    while let Some(Open { total, cell }) = open.pop() {
        if cell == goal {
            return Ok(trace(grid, &came_from, cell, [from, to]));
        }
        if total > costs[cell] + guess(cell) + 1e-9 {
            continue; // a better way to this cell has been found since it was queued
        }
        for (next, corners) in neighbours(grid, cell) {
            let passable = allowed(cell, next) && corners.iter().all(|&side| allowed(cell, side));
            if !passable {
                continue;
            }
            moved = true;
            let apart = grid.middle(cell).distance(grid.middle(next));
            let close = ((wanted - clearance.of(next)) / (wanted - least)).clamp(0.0, 2.0);
            let cost = (3.0 * close).mul_add(close * apart, costs[cell] + apart);
            if cost < costs[next] {
                costs[next] = cost;
                came_from[next] = cell;
                let total = cost + guess(next);
                open.push(Open { total, cell: next });
            }
        }
    }
    Err(if moved {
        NoPath::Unreachable
    } else {
        NoPath::StartBlocked
    })
}

/// The cells around one, each with the two that a diagonal step cuts the corner of.
fn neighbours(grid: &Grid, cell: usize) -> impl Iterator<Item = (usize, [usize; 2])> {
    let (columns, rows) = (grid.columns() as isize, grid.rows() as isize);
    let (x, y) = (cell as isize % columns, cell as isize / columns);
    let around = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy)));
    around.filter_map(move |(dx, dy)| {
        let inside = (0..columns).contains(&(x + dx)) && (0..rows).contains(&(y + dy));
        let next = |dx, dy| ((y + dy) * columns + x + dx) as usize;
        (inside && (dx, dy) != (0, 0)).then(|| (next(dx, dy), [next(dx, 0), next(0, dy)]))
    })
}

fn trace(grid: &Grid, came_from: &[usize], goal: usize, [from, to]: [Point; 2]) -> Vec<Point> {
    let mut path = vec![to];
    let mut cell = came_from[goal];
    while cell != usize::MAX && came_from[cell] != usize::MAX {
        path.push(grid.middle(cell));
        cell = came_from[cell];
    }
    path.push(from);
    path.reverse();
    path
}

/// A cell to look at, the cheapest first; of two that cost the same, the lower number, so that the
/// same map always gives the same path.
struct Open {
    total: f64,
    cell: usize,
}

impl Ord for Open {
    fn cmp(&self, other: &Self) -> Ordering {
        let cheaper = other.total.total_cmp(&self.total);
        cheaper.then(other.cell.cmp(&self.cell))
    }
}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Open {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Pose, length};

    /// A floor of 6 by 4 m with a wall at x = 3 from y = 0 up to `top`.
    fn walled(top: f64) -> Grid {
        let mut grid = Grid::unknown(Point::new(6.0, 4.0), 0.1);
        let rows = (top / 0.1) as usize;
        for row in 0..rows {
            let at = Pose::new(2.55, (row as f64 + 0.5) * 0.1, 0.0);
            for _ in 0..3 {
                grid.mark(at, &[0.5], 1.0);
            }
        }
        grid
    }

    fn path(top: f64) -> Result<Vec<Point>, NoPath> {
        let grid = walled(top);
        let ends = [Point::new(1.0, 1.0), Point::new(5.0, 1.0)];
        find_path(&grid, &grid.clearance(), ends, [0.25, 0.5])
    }

    #[test]
    fn a_path_goes_around_a_wall_at_the_clearance_asked_for() {
        let found = path(2.0).unwrap();
        let grid = walled(2.0);
        assert!(grid.clearance().along(&grid, &found) >= 0.2);
        assert!(found.iter().any(|point| point.y > 2.2));
        assert!((5.0..6.5).contains(&length(&found)), "{}", length(&found));
    }

    #[test]
    fn a_gap_too_narrow_for_the_robot_is_no_way() {
        assert_eq!(path(3.7), Err(NoPath::Unreachable));
        assert!(path(3.3).is_ok());
    }

    #[test]
    fn a_goal_in_a_wall_or_outside_is_refused() {
        let grid = walled(4.0);
        for goal in [
            Point::new(3.05, 1.0),
            Point::new(9.0, 1.0),
            Point::new(5.95, 1.0),
        ] {
            let ends = [Point::new(1.0, 1.0), goal];
            let found = find_path(&grid, &grid.clearance(), ends, [0.25, 0.5]);
            assert_eq!(found, Err(NoPath::GoalBlocked), "{goal:?}");
        }
    }

    #[test]
    fn who_stands_too_close_to_a_wall_can_move_away_from_it() {
        let grid = walled(2.0);
        let ends = [Point::new(2.85, 1.0), Point::new(1.0, 1.0)];
        assert!(find_path(&grid, &grid.clearance(), ends, [0.25, 0.5]).is_ok());
    }
}
