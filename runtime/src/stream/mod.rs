//! Streams: what a component publishes, to whoever subscribes, here and on other nodes.
//!
//! ```text
//!   component ─▶ Publisher ─▶ Source ─┬─ Port ──────────────▶ Inbox ─▶ Subscription
//!                             (hub)   ├─ Port ──────────────▶ Inbox ─▶ stream handler
//!                                     └─ RemotePort ─▶ bulk connection ~~▶ Inbox of another node
//! ```
//!
//! [`Hub`] is a node's list of both ends; a finder per subscription gives it places at publishers, and
//! gives them again. The bulk connections are in `link/bulk`.

mod after;
mod error;
mod finder;
mod handler;
mod hub;
mod inbox;
mod item;
mod kind;
mod name;
mod port;
mod publisher;
mod qos;
mod report;
mod source;
mod subscribe;
mod track;
mod wish;

pub(crate) use self::{
    after::After,
    handler::{Heard, StreamRoute, StreamRun, Streams},
    hub::Hub,
    inbox::{Arrival, Ended, Inbox},
    item::Body,
    name::StreamName,
    port::RemotePort,
};
pub use self::{
    error::{PublishError, SendError, StreamError, StreamReason, TrySendError},
    handler::StreamOptions,
    item::Item,
    publisher::Publisher,
    qos::{Qos, WhenFull},
    report::{StreamGrant, StreamReport, SubscriberReport},
    subscribe::{Subscribe, Subscription},
};
