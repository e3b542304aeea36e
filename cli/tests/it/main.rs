//! The command line as its users meet it: real processes, their output and their exit codes.

#![expect(clippy::unwrap_used, reason = "a test ends by it")]

mod demo;
mod following;
#[cfg(unix)]
mod keys;
mod mistakes;
mod policy;
mod process;
mod robot;
mod streams;
mod verbs;
mod waiting;
