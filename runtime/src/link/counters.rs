//! What went over a connection, by route.

use botzilla_wire as wire;
use wire::route::{Route, RouteCounters};

/// The counters of one connection; on both ends, sent = delivered + refused + failed + open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    /// What we sent.
    pub(crate) outbound: Vec<(Route, RouteCounters)>,
    /// What the other side sent.
    pub(crate) inbound: Vec<(Route, RouteCounters)>,
}
