//! The robot's components from outside.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod components;
mod demo;
mod maps;
