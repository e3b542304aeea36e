//! Asking: a message out, its reply back.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use botzilla_wire::{Encoding, Failure, Limits, encoding};

use crate::{
    CallError, Message, Reason,
    asked::Asked,
    conduit::{Asking, Carried, CarriedAsk, Conduit, Held, Reception, Terms, Typed, expired},
    contain,
    deadline::Alarm,
    hosted::Hosted,
    link::Ended,
    open::Look,
    reference::ComponentRef,
    ticket::Letter,
    wheel::Key,
};

/// An ask. Nothing happens until it is polled; at its first poll it takes its place in order.
///
/// # Cancel safety
///
/// Dropping it says that nobody waits any more: a message that hasn't begun never runs, one that
/// runs goes on to its end (unless its handler is marked `abort`), and its reply is dropped.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<M: Message> {
    to: ComponentRef,
    time: Option<Duration>,
    state: State<M>,
}

/// Whatever isn't the usual is boxed, so that this is small to move and cheap to drop.
enum State<M: Message> {
    New(Option<M>),
    /// At the component of this node that the reference leads to from the first.
    Here(Key),
    Long(Box<Long>),
    Over,
}

/// What the short way couldn't do.
enum Long {
    InTurn(Carried<CarriedAsk>, Instant),
    /// At another component of this node.
    Here(Arc<Hosted>, Key),
    Elsewhere(Reception, Alarm),
}

impl<M: Message> Ask<M> {
    pub(crate) fn new(to: ComponentRef, message: M) -> Self {
        Self {
            to,
            time: None,
            state: State::New(Some(message)),
        }
    }

    /// How long it may take, all in all: finding the component, connecting, waiting for credit,
    /// running. Default: the node's `ask_time`, 5 s. Within a handler, no longer than the message
    /// that is being handled has left.
    pub fn within(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    #[inline]
    fn time(&self) -> Duration {
        self.time.unwrap_or_else(|| self.to.time())
    }

    /// What the short way couldn't do.
    #[inline(never)]
    fn start(&mut self, message: M, waker: &Waker) -> Result<State<M>, Reason> {
        let conduit = self.to.conduit()?;
        let terms = Terms::now(self.time());
        let deadline = terms.deadline;
        self.time = Some(terms.time);
        match conduit.ask_now(Typed { message, terms }, waker) {
            Ok(asking) => Ok(waiting(conduit, asking, deadline)),
            Err(Held::Wait(typed, _)) => {
                let carried = conduit.ask_carried(typed);
                Ok(State::Long(Box::new(Long::InTurn(carried, deadline))))
            }
            Err(Held::Refused(_, reason)) => Err(reason),
        }
    }

    /// An ask that isn't [`State::Here`].
    #[inline(never)]
    fn poll_long(&mut self, cx: &mut Context<'_>) -> Poll<Result<M::Reply, CallError>> {
        loop {
            let time = self.time();
            let long = match &mut self.state {
                State::New(message) => {
                    let message = message
                        .take()
                        .expect("it is taken once, and the state changes");
                    match self.start(message, cx.waker()) {
                        Ok(state) => self.state = state,
                        Err(reason) => return self.end(Err(reason)),
                    }
                    if let State::Here(_) = self.state {
                        // Its end wakes this task: there is nothing to look at yet.
                        return Poll::Pending;
                    }
                    continue;
                }
                State::Here(key) => {
                    let look = here(&self.to).mailbox.look(*key, cx.waker());
                    return self.looked(look);
                }
                State::Long(long) => &mut **long,
                State::Over => return Poll::Pending,
            };
            match long {
                Long::InTurn(carried, deadline) => {
                    let deadline = *deadline;
                    let asking = match ready!(Pin::new(carried).poll(cx)) {
                        Ok(carried) => carried.take(),
                        Err(reason) => return self.end(Err(reason)),
                    };
                    match self.to.conduit() {
                        Ok(conduit) => self.state = waiting(conduit, asking, deadline),
                        Err(reason) => return self.end(Err(reason)),
                    }
                }
                Long::Here(hosted, key) => {
                    let look = hosted.mailbox.look(*key, cx.waker());
                    return self.looked(look);
                }
                Long::Elsewhere(reception, alarm) => {
                    let limits = match self.to.conduit() {
                        Ok(conduit) => conduit.node.limits(),
                        Err(reason) => return self.end(Err(reason)),
                    };
                    if let Poll::Ready(outcome) = reception.poll::<M>(cx, time, limits) {
                        return self.end(outcome);
                    }
                    ready!(Pin::new(alarm).poll(cx));
                    let may_have_run = match reception {
                        Reception::There(_, awaited) => awaited.cancel(),
                        Reception::Bytes(..) => true,
                    };
                    return self.end(Err(expired(time, may_have_run)));
                }
            }
        }
    }

    #[inline]
    fn looked(&mut self, look: Look) -> Poll<Result<M::Reply, CallError>> {
        let outcome = match look {
            Look::Open { .. } => return Poll::Pending,
            Look::Ended(outcome) => outcome,
            Look::Expired(began, component) => {
                if let Some(component) = component {
                    contain::wake(component);
                }
                return self.end(Err(expired(self.time(), began)));
            }
        };
        // There is nothing of it there any more.
        self.state = State::Over;
        match Asked::<M>::outcome_of(outcome) {
            Some(Ok(reply)) => Poll::Ready(Ok(reply)),
            Some(Err(failure)) => self.end(Err(Reason::from_failure(failure, self.time()))),
            // It was dropped before its turn.
            None => self.end(Err(Reason::stopped(false))),
        }
    }

    #[cold]
    fn end(&mut self, outcome: Result<M::Reply, Reason>) -> Poll<Result<M::Reply, CallError>> {
        self.state = State::Over;
        Poll::Ready(outcome.map_err(|reason| {
            CallError::new(self.to.name(), M::NAME, Letter::of::<M>().explain(reason))
        }))
    }
}

/// Where an ask is that went the short way.
#[inline]
fn here(to: &ComponentRef) -> &Arc<Hosted> {
    to.known()
        .and_then(|conduit| conduit.here())
        .expect("the short way leads through a conduit to its first place")
}

fn waiting<M: Message>(conduit: &Conduit, asking: Asking, deadline: Instant) -> State<M> {
    State::Long(Box::new(match asking {
        Asking::Here(hosted, key) => match conduit.here() {
            Some(first) if Arc::ptr_eq(first, &hosted) => return State::Here(key),
            _ => Long::Here(hosted, key),
        },
        Asking::Elsewhere(reception) => {
            Long::Elsewhere(reception, conduit.node.deadlines().at(deadline))
        }
    }))
}

impl<M: Message> Drop for Ask<M> {
    fn drop(&mut self) {
        match &self.state {
            State::Here(key) => here(&self.to).mailbox.give_up(*key),
            State::Long(long) => {
                if let Long::Here(hosted, key) = &**long {
                    hosted.mailbox.give_up(*key);
                }
            }
            State::New(_) | State::Over => {}
        }
    }
}

impl<M: Message> Unpin for Ask<M> {}

impl<M: Message> Future for Ask<M> {
    type Output = Result<M::Reply, CallError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match &mut this.state {
            State::New(message) => {
                let time = this.time.unwrap_or_else(|| this.to.time());
                if let Some(conduit) = this.to.known()
                    && let Some(key) = conduit.ask_at_once(message, time, cx.waker())
                {
                    this.state = State::Here(key);
                    // Its end wakes this task: there is nothing to look at yet.
                    return Poll::Pending;
                }
                this.poll_long(cx)
            }
            State::Here(key) => {
                let look = here(&this.to).mailbox.look(*key, cx.waker());
                this.looked(look)
            }
            State::Long(_) | State::Over => this.poll_long(cx),
        }
    }
}

impl Reception {
    fn poll<M: Message>(
        &mut self,
        cx: &mut Context<'_>,
        time: Duration,
        limits: &Limits,
    ) -> Poll<Result<M::Reply, Reason>> {
        match self {
            Self::Bytes(encoding, answer) => {
                let encoding = *encoding;
                Pin::new(answer)
                    .poll(cx)
                    .map(|answer| bytes_answer(answer.ok(), time))
                    .map(|answer| answer.and_then(|bytes| decode::<M>(encoding, &bytes, limits)))
            }
            Self::There(encoding, awaited) => {
                let encoding = *encoding;
                let ended = ready!(Pin::new(&mut awaited.ended).poll(cx));
                awaited.over();
                Poll::Ready(
                    remote_answer(ended.ok(), time)
                        .and_then(|bytes| decode::<M>(encoding, &bytes, limits)),
                )
            }
        }
    }
}

pub(crate) fn bytes_answer(
    answer: Option<Result<bytes::Bytes, Failure>>,
    time: Duration,
) -> Result<bytes::Bytes, Reason> {
    match answer {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(failure)) => Err(Reason::from_failure(failure, time)),
        None => Err(Reason::stopped(true)),
    }
}

pub(crate) fn remote_answer(ended: Option<Ended>, time: Duration) -> Result<bytes::Bytes, Reason> {
    match ended {
        Some(Ended::Reply(bytes)) => Ok(bytes),
        Some(Ended::Delivered) => Err(Reason::NoReply),
        Some(Ended::Failed(failure)) => Err(Reason::from_failure(failure, time)),
        Some(Ended::Disconnected { may_have_run, why }) => Err(Reason::Disconnected {
            why: why.to_string(),
            may_have_run,
        }),
        None => Err(Reason::Disconnected {
            why: "the node is shutting down".to_owned(),
            may_have_run: true,
        }),
    }
}

fn decode<M: Message>(
    encoding: Encoding,
    bytes: &[u8],
    limits: &Limits,
) -> Result<M::Reply, Reason> {
    match contain::catch(|| encoding::decode(encoding, bytes, limits)) {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(Reason::unreadable(format!(
            "its reply can't be read: {error}"
        ))),
        Err(panicked) => Err(Reason::unreadable(format!(
            "its reply's decoder panicked: {panicked}"
        ))),
    }
}

impl<M: Message> fmt::Debug for Ask<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("to", &self.to)
            .field("message", &M::NAME)
            .finish()
    }
}
