//! What the remote benchmarks share: the two kinds of server, each in a process of its own, and the
//! same work on each of them.
//!
//! The yardstick is plain TCP: the same framing (a length, then the payload), no authentication, no
//! routing, no credit, everything that is ready written at once.

pub mod botz;
pub mod plain;
pub mod process;
pub mod stream;

/// How many asks are under way at once in the pipelined work.
pub const IN_FLIGHT: usize = 128;

/// The time at a place in a sorted list of times, 0.5 for the median.
pub fn quantile(sorted: &[u64], place: f64) -> u64 {
    let index = ((sorted.len() as f64 - 1.0) * place).round() as usize;
    sorted[index]
}
