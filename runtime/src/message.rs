//! What travels between components: plain serde types with a name, a reply and a schema.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

/// Anything that a message or a reply is made of.
///
/// Implemented for every type that has serde's two traits and a JSON schema; `#[botzilla::data]`
/// derives all three.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't travel between components",
    label = "not made of data",
    note = "put `#[botzilla::data]` on the type, or `#[botzilla::message]` if it is a message"
)]
pub trait Data: Serialize + DeserializeOwned + JsonSchema + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T> Data for T where T: Serialize + DeserializeOwned + JsonSchema + Send + 'static {}

/// A message: data with a name on the network and a type that answers it.
///
/// Written by `#[botzilla::message]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    label = "a handler takes a message",
    note = "put `#[botzilla::message(reply = ..)]` on the type"
)]
pub trait Message: Data {
    /// What the message is called on the network.
    const NAME: &'static str;
    /// Whether the reply is a `Result`, so that tools can tell a handler's `Err` from a reply.
    const FALLIBLE: bool = false;
    /// What answers it.
    type Reply: Data;
}
