//! Behaviour through the public surface.
#![expect(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

mod local;
mod mended_threads;
mod tidy;
mod turns;
mod ui;
