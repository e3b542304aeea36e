//! Who is where: the registry's messages, and the copy of its table that each long-lived node keeps.

pub(crate) mod client;
pub mod facts;
mod located;
pub mod messages;
mod own;
pub mod replica;
mod similar;

#[allow(unused_imports, reason = "streams in the runtime are being built")]
pub(crate) use client::FoundStream;
pub(crate) use client::{Directory, Home, Resolved};
pub use located::{BadFacts, HandlerInfo, Located, Place, StreamInfo};
pub(crate) use own::Offer;
pub use own::{Refused, SaysTooMuch};
pub use similar::similar;
