//! What is fuzzed, as plain functions: libFuzzer calls them (`fuzz_targets`), and a test replays the corpus
//! through them on stable.
//!
//! ```text
//!   handshake          two ends and whoever is between them; a stranger; a holder of the secret
//!   records            what two ends say, damaged on its way
//!   control_frames     what a peer that holds the keys may say to a session ..
//!   bulk_frames        .. of either lane
//!   session, streams   everything two owners may do, in any order, against a model
//!   decoding           payloads
//!   registry           the registry's desk, its table, and nodes' copies of it
//!   policy             decisions, against a reading of the patterns by the definition; files
//!   texts              secrets, names, ids, layouts
//! ```
//!
//! A target returns or panics. What it asserts is what ARCHITECTURE.md calls invariants; what it doesn't
//! assert libFuzzer does: no panic, no overflow of the stack, bounded time and memory.

#![expect(
    clippy::unwrap_used,
    reason = "targets are tests: a panic is what they report with"
)]

pub mod bulk_frames;
pub mod control_frames;
pub mod decoding;
pub mod handshake;
mod pair;
pub mod policy;
pub mod records;
pub mod registry;
mod said;
pub mod session;
pub mod streams;
pub mod texts;

/// A target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of its program, and of its directory in the corpus.
    pub name: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("bulk_frames", bulk_frames::run),
    target("control_frames", control_frames::run),
    target("decoding", decoding::run),
    target("handshake", handshake::run),
    target("policy", policy::run),
    target("records", records::run),
    target("registry", registry::run),
    target("session", session::run),
    target("streams", streams::run),
    target("texts", texts::run),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// Reads steps off an input, one after the other, until it is used up.
fn steps<'a, S: arbitrary::Arbitrary<'a>>(
    input: &mut arbitrary::Unstructured<'a>,
    max: usize,
    mut take: impl FnMut(S) -> std::ops::ControlFlow<()>,
) {
    for _ in 0..max {
        if input.is_empty() {
            return;
        }
        let Ok(step) = input.arbitrary() else { return };
        if take(step).is_break() {
            return;
        }
    }
}
