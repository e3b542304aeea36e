//! Behaviour through the public surface.
#![expect(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

mod broadcast;
mod callers;
mod child;
mod client;
mod damage;
mod hostile;
mod hostile_streams;
mod kinds;
mod limits;
mod load;
mod local;
mod mended_threads;
mod misbehave;
mod parts;
mod remote;
mod strangers;
mod streams;
mod streams_apart;
mod streams_between;
mod streams_fair;
mod streams_faults;
mod streams_handled;
mod streams_lane;
mod streams_latest;
mod streams_many;
mod streams_moved;
mod streams_parts;
mod streams_rates;
mod streams_slow;
mod streams_told;
mod streams_waits;
mod tidy;
mod turns;
mod ui;
mod world;
