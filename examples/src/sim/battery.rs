//! The energy a robot carries.

/// A battery pack: what it held when full, and what has been drawn since.
#[derive(Debug, Clone)]
pub struct Pack {
    capacity_j: f64,
    used_j: f64,
}

impl Pack {
    /// A full pack of `capacity_j` joules (a watt-hour is 3600).
    pub const fn full(capacity_j: f64) -> Self {
        Self {
            capacity_j,
            used_j: 0.0,
        }
    }

    /// Draws energy. Says whether the pack could give it; an empty one gives nothing more.
    pub fn draw(&mut self, joules: f64) -> bool {
        self.used_j += joules.max(0.0);
        let enough = self.used_j <= self.capacity_j;
        self.used_j = self.used_j.min(self.capacity_j);
        enough
    }

    /// What is left, from 0 to 1.
    pub fn charge(&self) -> f64 {
        1.0 - self.used_j / self.capacity_j
    }

    /// What has been drawn.
    pub const fn used_j(&self) -> f64 {
        self.used_j
    }

    /// The voltage of six lithium cells in series at this charge: flat in the middle, steep at the
    /// end.
    pub fn volts(&self) -> f64 {
        let charge = self.charge();
        let cell =
            0.25f64.mul_add(charge, 3.55) + 0.40 * charge.powi(8) - 0.55 * (1.0 - charge).powi(10);
        6.0 * cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_drains_by_what_is_drawn_and_then_gives_no_more() {
        let mut pack = Pack::full(100.0);
        let full = pack.volts();
        assert!(pack.draw(60.0));
        assert!((pack.charge() - 0.4).abs() < 1e-12);
        assert!(pack.volts() < full);
        assert!(!pack.draw(60.0));
        assert!(pack.charge().abs() < 1e-12);
        assert!((pack.used_j() - 100.0).abs() < 1e-12);
    }
}
