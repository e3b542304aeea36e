//! Tests of the protocol from outside, one binary for all of them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod by_hand;
mod encoding;
mod golden;
mod handshake;
