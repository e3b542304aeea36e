//! What a component is, and how its handlers are listed.

use std::future::Future;

use crate::{Answer, Ctx, Message, RestartReason, Routes};

/// Why a component couldn't start: whatever its hook returned.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// A robot's subsystem: a plain struct whose handlers answer messages.
///
/// Written by `#[botzilla::component]` on an `impl` block.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a component",
    note = "put `#[botzilla::component]` on an `impl {Self}` block whose functions are its handlers"
)]
pub trait Component: Sized + 'static {
    /// The groups it joins wherever it is spawned.
    const GROUPS: &'static [&'static str] = &[];

    /// Lists the handlers.
    fn routes(routes: &mut Routes<Self>);

    /// Runs after each restart, on the new state and before [`on_start`](Self::on_start). An error keeps the
    /// component from starting, and it is restarted again if it may.
    fn restarting(
        &mut self,
        reason: RestartReason,
        ctx: &Ctx<Self>,
    ) -> impl Future<Output = Result<(), HookError>> {
        let _ = (reason, ctx);
        std::future::ready(Ok(()))
    }

    /// Runs before the first message, and again after each restart. An error keeps the component
    /// from starting.
    fn on_start(&mut self, ctx: &Ctx<Self>) -> impl Future<Output = Result<(), HookError>> {
        let _ = ctx;
        std::future::ready(Ok(()))
    }

    /// Runs after the last message, before the state is dropped; not after a panic.
    fn on_stop(&mut self, ctx: &Ctx<Self>) -> impl Future<Output = ()> {
        let _ = ctx;
        std::future::ready(())
    }
}

/// How a component answers one message. Written by `#[botzilla::handler]`, or by hand.
pub trait Handler<M: Message>: Component {
    /// The future is ready at its first poll: it runs in place, without a move of the state.
    const IN_PLACE: bool = false;

    /// Answers the message.
    fn handle(&mut self, msg: M, ctx: &Ctx<Self>) -> impl Future<Output = Answer<M::Reply>>;
}
