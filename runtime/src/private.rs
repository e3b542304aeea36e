//! What generated code names, and nobody else: it may change in any release.

use std::marker::PhantomData;

use crate::{Answer, Data, Item, Later, Message};

pub use crate::{component::HookError, program::main};
pub use schemars;
pub use serde;

/// The derives of data. When a type has one of them twice, the compiler shows this path beside the
/// error, so it is named after the remedy.
pub mod move_your_derive_below_the_attribute {
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

/// What a handler may return for a message whose reply is `R`.
#[diagnostic::on_unimplemented(
    message = "the handler returns `{Self}`, but its message is answered by `{R}`",
    label = "not the message's reply",
    note = "return `{R}` (or a `Later` of it), or write `#[botzilla::message(reply = {Self})]` on the message"
)]
pub trait Replies<R> {
    /// What the runtime makes of it.
    fn answer(self) -> Answer<R>;
}

#[diagnostic::do_not_recommend]
impl<R> Replies<R> for R {
    fn answer(self) -> Answer<R> {
        Answer::Now(self)
    }
}

#[diagnostic::do_not_recommend]
impl<R> Replies<R> for Later<R> {
    fn answer(self) -> Answer<R> {
        Answer::Later(self)
    }
}

/// Turns what a handler returned into the answer.
pub fn answer<M: Message>(returned: impl Replies<M::Reply>) -> Answer<M::Reply> {
    returned.answer()
}

/// Compiles for a reply that can travel.
#[derive(Debug)]
pub struct Travels<R: Data>(PhantomData<R>);

/// What a handler that is a function may return: it can't reply later.
#[diagnostic::on_unimplemented(
    message = "the function returns `{Self}`, but its message is answered by `{R}`",
    label = "not the message's reply",
    note = "return `{R}`, or write `#[botzilla::message(reply = {Self})]` on the message"
)]
pub trait Returns<R> {}

#[diagnostic::do_not_recommend]
impl<R> Returns<R> for R {}

/// Compiles for a handler that is a function: it takes a message and returns its reply.
pub fn assert_handler<M: Message, R: Returns<M::Reply>>() {}

/// Stands beside a handler that is a function. In an `impl` block it doesn't compile, and the
/// compiler shows its name, so it is named after the remedy.
#[doc(hidden)]
#[macro_export]
macro_rules! __put_component_above_the_impl_of_a_handler {
    ($check:expr) => {
        const _: fn() = $check;
    };
}
pub use __put_component_above_the_impl_of_a_handler as put_component_above_the_impl_of_a_handler;

/// What an `on_start` or `on_restart` hook may return.
#[diagnostic::on_unimplemented(
    message = "an `on_start` or `on_restart` hook can't return `{Self}`",
    label = "neither nothing nor a `Result<(), E>`",
    note = "return nothing, or a `Result<(), E>` with an error that says why it can't start"
)]
pub trait Started {
    /// What the runtime makes of it.
    fn started(self) -> Result<(), HookError>;
}

#[diagnostic::do_not_recommend]
impl Started for () {
    fn started(self) -> Result<(), HookError> {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<HookError>> Started for Result<(), E> {
    fn started(self) -> Result<(), HookError> {
        self.map_err(Into::into)
    }
}

/// Turns what a hook returned into whether it may start.
pub fn started(returned: impl Started) -> Result<(), HookError> {
    returned.started()
}

/// What a stream's handler can take by value: the item may be another subscriber's too.
#[diagnostic::on_unimplemented(
    message = "an item that is taken by value must be `Clone`: other subscribers may have it too, and `{Self}` isn't",
    label = "can't be cloned",
    note = "take `&{Self}` (or `Arc<{Self}>`), or derive `Clone` on it"
)]
pub trait ByValue: Clone {}

#[diagnostic::do_not_recommend]
impl<T: Clone> ByValue for T {}

/// The value of an item for a handler that takes it so.
pub fn by_value<T: ByValue>(item: Item<T>) -> T {
    item.into_value()
}
