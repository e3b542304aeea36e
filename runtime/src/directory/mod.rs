//! Who is where: the registry's messages, and the copy of its table that each long-lived node keeps.

pub(crate) mod client;
pub mod facts;
mod located;
pub mod messages;
#[doc(hidden)]
pub mod own;
pub mod replica;
mod similar;

pub(crate) use client::{Directory, Home, Resolved, jittered};
pub use located::{BadFacts, HandlerInfo, Located, Place, StreamInfo};
pub use own::{Refused, SaysTooMuch};
pub use similar::similar;
