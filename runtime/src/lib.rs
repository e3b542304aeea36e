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
mod attributes;
pub mod directory;
mod link;
mod message;
mod ticket;

pub use attributes::{data, message};
pub use message::{Data, Message};
