//! Telling: a message out, its outcome for whoever wants it.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use crate::{
    CallError, Message, Reason, TryTellError,
    conduit::{Held, Shortage, Terms, Typed},
    reference::ComponentRef,
    ticket::{Letter, Sent},
};

/// A tell. Awaiting it waits for credit and a place in the queue, and gives a [`Sent`].
///
/// # Cancel safety
///
/// Dropped before it resolved, the message isn't sent, unless it had just got its place on a connection;
/// then it is taken back if it hasn't left, and runs without an outcome if it has.
#[must_use = "a tell does nothing until it is awaited"]
pub struct Tell<M: Message> {
    to: ComponentRef,
    time: Option<Duration>,
    message: M,
}

impl<M: Message> Tell<M> {
    pub(crate) fn new(to: ComponentRef, message: M) -> Self {
        Self {
            to,
            time: None,
            message,
        }
    }

    /// How long it may take until its handler has begun. Default: the node's `ask_time`, 5 s.
    pub fn within(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    async fn send(self) -> Result<Sent, CallError> {
        let Self { to, time, message } = self;
        let failed = |reason| CallError::new(to.name(), M::NAME, reason);
        let conduit = to.conduit().map_err(failed)?;
        let terms = Terms::now(time.unwrap_or_else(|| to.time()));
        match conduit.tell_now(Typed { message, terms }) {
            Ok(sent) => Ok(sent),
            Err(Held::Wait(typed, _)) => {
                let sent = conduit.tell_carried(typed).await;
                sent.map_err(|reason| failed(Letter::of::<M>().explain(reason)))
            }
            Err(Held::Refused(_, reason)) => Err(failed(reason)),
        }
    }

    /// Sends it now, or gives it back.
    pub(crate) fn try_send(self) -> Result<Sent, TryTellError<M>> {
        let Self { to, time, message } = self;
        let failed = |message, reason| TryTellError {
            message,
            error: CallError::new(to.name(), M::NAME, reason),
        };
        let conduit = match to.conduit() {
            Ok(conduit) => conduit,
            Err(reason) => return Err(failed(message, reason)),
        };
        let terms = Terms::now(time.unwrap_or_else(|| to.time()));
        match conduit.tell_now(Typed { message, terms }) {
            Ok(sent) => Ok(sent),
            Err(Held::Wait(typed, Shortage::Credit)) => Err(failed(typed.message, Reason::Full)),
            Err(Held::Wait(typed, Shortage::Place)) => {
                let why = conduit.node.why_no_place(&conduit.target);
                Err(failed(typed.message, why))
            }
            Err(Held::Refused(typed, reason)) => Err(failed(typed.message, reason)),
        }
    }
}

impl<M: Message> IntoFuture for Tell<M> {
    type Output = Result<Sent, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl<M: Message> fmt::Debug for Tell<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tell")
            .field("to", &self.to)
            .field("message", &M::NAME)
            .finish()
    }
}
