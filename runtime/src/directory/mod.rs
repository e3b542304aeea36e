//! Who is where: the registry's messages, and the copy of its table that each long-lived node keeps.

pub mod facts;
pub mod messages;
