//! Who is where: the registry's messages, and the copy of its table that each long-lived node keeps.

pub mod facts;
mod located;
pub mod messages;
pub mod replica;
mod similar;

pub use located::{BadFacts, HandlerInfo, Located, Place, StreamInfo};
pub use similar::similar;
