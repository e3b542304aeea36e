//! The occupancy grid: what is known of the floor, cell by cell.

use std::f64::consts::TAU;

use crate::geometry::{Point, Pose};

/// What is known of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// No beam has crossed it yet. A path may: what it meets there, it goes around.
    Unknown,
    /// Beams went through.
    Free,
    /// Beams ended here.
    Occupied,
}

/// How sure one beam makes us, and when we are; in steps, not in probabilities.
const HIT: i8 = 4;
const MISS: i8 = -1;
const SURE: i8 = 6;
const MOST: i8 = 24;

/// The floor in square cells. Each cell counts the beams that ended in it against those that went
/// through, so that one wrong measurement changes little.
#[derive(Debug, Clone)]
pub struct Grid {
    resolution: f64,
    columns: usize,
    rows: usize,
    evidence: Vec<i8>,
}

impl Grid {
    /// An unknown floor from (0, 0) to `size`, in cells of `resolution` metres.
    pub fn unknown(size: Point, resolution: f64) -> Self {
        let columns = (size.x / resolution).ceil().max(1.0) as usize;
        let rows = (size.y / resolution).ceil().max(1.0) as usize;
        Self {
            resolution,
            columns,
            rows,
            evidence: vec![0; columns * rows],
        }
    }

    /// The side of a cell, in metres.
    pub const fn resolution(&self) -> f64 {
        self.resolution
    }

    /// How many cells lie side by side.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// How many lie one above the other.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The number of the cell at a point, unless that is outside.
    pub fn index(&self, point: Point) -> Option<usize> {
        let (column, row) = (point.x / self.resolution, point.y / self.resolution);
        let inside =
            column >= 0.0 && row >= 0.0 && column < self.columns as f64 && row < self.rows as f64;
        inside.then(|| row as usize * self.columns + column as usize)
    }

    /// The middle of a cell.
    pub fn middle(&self, index: usize) -> Point {
        let (row, column) = (index / self.columns, index % self.columns);
        Point::new(column as f64 + 0.5, row as f64 + 0.5) * self.resolution
    }

    /// What is known of a cell.
    pub fn cell(&self, index: usize) -> Cell {
        match self.evidence.get(index).copied().unwrap_or(0) {
            SURE.. => Cell::Occupied,
            0.. => Cell::Unknown,
            _ => Cell::Free,
        }
    }

    /// Marks what a lidar saw from `from`: `ranges` once around, counter-clockwise, the first
    /// straight ahead; a range of `reach` met nothing. Says whether a cell became occupied or
    /// stopped being so.
    pub fn mark(&mut self, from: Pose, ranges: &[f64], reach: f64) -> bool {
        let mut changed = false;
        for (beam, &range) in ranges.iter().enumerate() {
            let angle = from.heading + TAU * beam as f64 / ranges.len() as f64;
            let along = Point::along(angle);
            let end = self.index(from.at + along * range);
            // Half a cell a step visits every cell that the beam crosses for more than a corner.
            let steps = (range / self.resolution * 2.0) as usize;
            let mut last = None;
            for step in 0..steps {
                let point = from.at + along * (step as f64 * self.resolution / 2.0);
                let cell = self.index(point);
                if cell != last && cell != end {
                    changed |= cell.is_some_and(|cell| self.add(cell, MISS));
                }
                last = cell;
            }
            if range < reach {
                changed |= end.is_some_and(|cell| self.add(cell, HIT));
            }
        }
        changed
    }

    fn add(&mut self, cell: usize, evidence: i8) -> bool {
        let before = self.cell(cell) == Cell::Occupied;
        self.evidence[cell] = (self.evidence[cell] + evidence).clamp(-MOST, MOST);
        before != (self.cell(cell) == Cell::Occupied)
    }

    /// How far each cell is from the nearest occupied one and from the edge.
    pub fn clearance(&self) -> Clearance {
        let far = (self.columns + self.rows) as f64;
        let mut squared: Vec<f64> = (0..self.evidence.len())
            .map(|cell| match self.cell(cell) {
                Cell::Occupied => 0.0,
                Cell::Unknown | Cell::Free => far * far,
            })
            .collect();
        for row in squared.chunks_mut(self.columns) {
            nearest(row);
        }
        let mut column = vec![0.0; self.rows];
        for x in 0..self.columns {
            for (y, value) in column.iter_mut().enumerate() {
                *value = squared[y * self.columns + x];
            }
            nearest(&mut column);
            for (y, value) in column.iter().enumerate() {
                squared[y * self.columns + x] = *value;
            }
        }
        let metres = (0..squared.len())
            .map(|cell| {
                // To the side of the occupied cell, not to its middle.
                let obstacle = (squared[cell].sqrt() - 0.5) * self.resolution;
                let (x, y) = (cell % self.columns, cell / self.columns);
                let edge = (x + 1).min(y + 1).min(self.columns - x).min(self.rows - y);
                obstacle.min((edge as f64 - 0.5) * self.resolution)
            })
            .collect();
        Clearance { metres }
    }
}

/// How far each cell of a grid is from what the robot must not touch.
#[derive(Debug, Clone)]
pub struct Clearance {
    metres: Vec<f64>,
}

impl Clearance {
    /// The clearance of a cell; none outside of the grid.
    pub fn of(&self, cell: usize) -> f64 {
        self.metres.get(cell).copied().unwrap_or(-1.0)
    }

    /// The clearance at a point.
    pub fn at(&self, grid: &Grid, point: Point) -> f64 {
        grid.index(point).map_or(-1.0, |cell| self.of(cell))
    }

    /// The least clearance on the straight line between two points.
    pub fn between(&self, grid: &Grid, from: Point, to: Point) -> f64 {
        let steps = (from.distance(to) / grid.resolution() * 2.0)
            .ceil()
            .max(1.0);
        (0..=steps as usize)
            .map(|step| self.at(grid, from.towards(to, step as f64 / steps)))
            .fold(f64::INFINITY, f64::min)
    }

    /// The least clearance along a line through all points.
    pub fn along(&self, grid: &Grid, line: &[Point]) -> f64 {
        line.windows(2)
            .map(|pair| self.between(grid, pair[0], pair[1]))
            .fold(f64::INFINITY, f64::min)
    }
}

/// The squared distance transform of one line (Felzenszwalb and Huttenlocher): the lower envelope
/// of a parabola over each cell, in time linear in the cells.
fn nearest(line: &mut [f64]) {
    let meets = |line: &[f64], a: usize, b: usize| {
        let (x, y) = (a as f64, b as f64);
        ((line[b] + y * y) - (line[a] + x * x)) / (2.0 * y - 2.0 * x)
    };
    // Which parabolas are lowest somewhere, and from where on.
    let mut lowest: Vec<(usize, f64)> = vec![(0, f64::NEG_INFINITY)];
    for cell in 1..line.len() {
        let mut start = f64::NEG_INFINITY;
        while let Some(&(top, from)) = lowest.last() {
            start = meets(line, top, cell);
            if start > from {
                break;
            }
            lowest.pop();
        }
        lowest.push((cell, start));
    }
    let heights: Vec<f64> = line.to_vec();
    let mut envelope = lowest.iter().peekable();
    let mut top = 0;
    for (cell, value) in line.iter_mut().enumerate() {
        while let Some(&&(next, from)) = envelope.peek() {
            if from > cell as f64 {
                break;
            }
            top = next;
            envelope.next();
        }
        let apart = cell.abs_diff(top) as f64;
        *value = apart.mul_add(apart, heights[top]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell_at(grid: &Grid, x: f64, y: f64) -> Cell {
        grid.cell(grid.index(Point::new(x, y)).unwrap())
    }

    #[test]
    fn a_beam_frees_what_it_crosses_and_marks_where_it_ends() {
        let mut grid = Grid::unknown(Point::new(4.0, 2.0), 0.1);
        let from = Pose::new(0.55, 1.05, 0.0);
        assert_eq!(cell_at(&grid, 1.0, 1.05), Cell::Unknown);
        grid.mark(from, &[2.0], 3.0);
        assert!(grid.mark(from, &[2.0], 3.0));
        assert_eq!(cell_at(&grid, 1.0, 1.05), Cell::Free);
        assert_eq!(cell_at(&grid, 2.55, 1.05), Cell::Occupied);
        assert_eq!(cell_at(&grid, 3.0, 1.05), Cell::Unknown);
    }

    #[test]
    fn a_beam_that_meets_nothing_marks_nothing() {
        let mut grid = Grid::unknown(Point::new(4.0, 2.0), 0.1);
        let from = Pose::new(0.55, 1.05, 0.0);
        for _ in 0..5 {
            assert!(!grid.mark(from, &[3.0], 3.0));
        }
        assert_eq!(cell_at(&grid, 3.55, 1.05), Cell::Unknown);
    }

    #[test]
    fn clearance_is_the_distance_that_a_tape_would_measure() {
        let mut grid = Grid::unknown(Point::new(6.0, 6.0), 0.1);
        let middle = grid.index(Point::new(3.05, 3.05)).unwrap();
        grid.evidence[middle] = MOST;
        let clearance = grid.clearance();
        for (x, y) in [(3.05, 3.05), (4.05, 3.05), (4.05, 4.05), (2.25, 3.65)] {
            let point = Point::new(x, y);
            let taped = point.distance(Point::new(3.05, 3.05)) - 0.05;
            assert!(
                (clearance.at(&grid, point) - taped).abs() < 1e-9,
                "{point:?}"
            );
        }
        assert!((clearance.at(&grid, Point::new(0.05, 3.0)) - 0.05).abs() < 1e-9);
        assert!(clearance.at(&grid, Point::new(-0.05, 3.0)) < 0.0);
    }
}
