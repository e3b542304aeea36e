//! Botzilla's registry: discovery for components, itself a component.
//!
//! Components find each other through it and then talk straight to each other; a robot keeps running
//! while it is away. In layers, from the inside out:
//!
//! - [`store`]: who has which name, with revisions; behind a trait.
//! - [`table`]: the decisions: claims, leases, recovery. No I/O, no clock.
//! - `desk`: which answers are held back, and until when. No I/O, no clock.
//! - `permit`: what a policy lets a node say at it. Likewise.
//! - [`Registry`]: the desk as a component named `registry`, on a node.
//!
//! The messages are in [`botzilla::directory::messages`].

// For those who look at it from outside: the simulation and the fuzz targets.
#[doc(hidden)]
pub mod desk;
mod permit;
mod server;
pub mod store;
pub mod table;

pub use server::{Registry, RunningRegistry};
