//! A registry and nodes as processes of their own: killed, cut off, restarted, told to end.
//!
//! The processes are this test binary again; `child` is what it does then.

#![expect(
    clippy::disallowed_methods,
    reason = "the processes end with the test, and all tasks with them"
)]

mod away;
mod child;
mod cut_off;
mod killed;
mod lab;
mod many;
mod mistakes;
mod networks;
mod networks_apart;
mod proxy;
#[cfg(unix)]
mod rotated;
mod shutdown;
mod strangers;
mod support;
mod talk;
mod watched;
