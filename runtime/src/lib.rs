//! An actor runtime for robots.

// The attribute macros name this crate as `::botzilla`, here too.
extern crate self as botzilla;

#[cfg(panic = "abort")]
compile_error!(
    "botzilla contains a handler's panic by unwinding, so that one component's bug doesn't end \
     the robot: take `panic = \"abort\"` out of the profile (and out of RUSTFLAGS)"
);

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod ambient;
mod answer;
mod ask;
mod asked;
mod attributes;
mod broadcast;
mod burst;
mod call;
mod component;
mod conduit;
mod config;
mod contain;
mod context;
mod counters;
mod credit;
mod deadline;
pub mod directory;
mod error;
mod expect;
mod export;
mod hosted;
mod keeper;
mod ledger;
mod link;
mod mailbox;
mod map;
mod message;
mod node;
mod open;
pub mod policy;
mod program;
mod reference;
mod reload;
mod restart;
mod routes;
mod seat;
mod service;
mod stream;
mod supervisor;
mod tell;
mod ticket;
mod together;
mod turn;
mod watch;
mod watchdog;
mod wheel;

pub use attributes::{component, data, handler, main, message, on_restart, on_start, on_stop};
pub use botzilla_wire::{Blob, Keyring, Limits, NodeId};

pub use crate::{
    answer::{Answer, Later, Replier},
    ask::Ask,
    broadcast::{Broadcast, BroadcastFailure, BroadcastReport, Unreached},
    component::{Component, Handler, HookError},
    config::{
        LimitSettings, NodeConfig, REGISTRY_PORT, SecretTexts, Security, Settings, read_secret_file,
    },
    context::{Ctx, Task},
    counters::RouteReport,
    error::{CallError, ConfigError, Error, Reason, Result, SpawnError, StartError, TryTellError},
    export::Export,
    keeper::OneForAll,
    ledger::Counters,
    map::{Map, MapComponent, MapError, MapMessage},
    message::{Data, Message},
    node::{Escalation, IntoComponent, Node, PeerFacts, ShutdownReport, Spawn},
    reference::ComponentRef,
    restart::{Restart, RestartReason},
    routes::{RouteOptions, Routes},
    service::{Describe, Description, HandlerDescription, NodeReport, Report, StreamCounters},
    stream::{
        Item, PublishError, Publisher, Qos, SendError, StreamError, StreamGrant, StreamOptions,
        StreamReason, StreamReport, Subscribe, SubscriberReport, Subscription, TrySendError,
        WhenFull,
    },
    tell::Tell,
    ticket::{Flushed, Sent},
    watch::{DownReason, Incarnation, Watch, WatchError, WatchEvent},
    watchdog::Blocked,
};

/// What nearly every robot program uses.
pub mod prelude {
    pub use crate::{
        Answer, ComponentRef, Ctx, Item, Later, Message, Node, NodeConfig, Publisher, Qos, Replier,
        Subscription,
    };
}

/// The first minute's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;
