//! How long asks take.

use std::time::Duration;

use super::messages::Latency;

/// The last so many measurements are kept.
const KEPT: usize = 4096;

/// A list of measurements.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies {
    count: u64,
    micros: Vec<f64>,
}

impl Latencies {
    /// Adds a measurement.
    pub(super) fn record(&mut self, took: Duration) {
        let slot = (self.count % KEPT as u64) as usize;
        let micros = took.as_secs_f64() * 1e6;
        match self.micros.get_mut(slot) {
            Some(old) => *old = micros,
            None => self.micros.push(micros),
        }
        self.count += 1;
    }

    /// What the measurements say.
    pub(super) fn summary(&self) -> Latency {
        let mut sorted = self.micros.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
            sorted.get(index).copied().unwrap_or(0.0)
        };
        Latency {
            asks: self.count,
            p50_us: at(50),
            p99_us: at(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_measurements_are_at_most_the_median() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.summary(), Latency::default());
        for micros in 1..=100 {
            latencies.record(Duration::from_micros(micros));
        }
        let Latency {
            asks,
            p50_us,
            p99_us,
        } = latencies.summary();
        assert_eq!(asks, 100);
        assert!((p50_us - 51.0).abs() < 0.1 && (p99_us - 100.0).abs() < 0.1);
    }
}
