//! Tests of the protocol from outside, in memory and virtual time; one binary for all of them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod blobs;
mod by_hand;
mod by_hand_noise;
mod credit;
mod damage;
mod encoding;
mod frames;
mod golden;
mod handshake;
mod long;
mod model;
mod noise;
mod outcomes;
mod pair;
mod streams;
mod vectors;
mod violations;
