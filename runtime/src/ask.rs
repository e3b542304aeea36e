//! Asking: a message out, its reply back.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use botzilla_wire::{Encoding, Failure, Limits, encoding};

use crate::{
    CallError, Message, Reason,
    asked::{Asked, Progress},
    conduit::{Asking, Carried, CarriedAsk, Conduit, Held, Reception, Terms, Typed, expired},
    contain,
    deadline::Alarm,
    link::Ended,
    reference::ComponentRef,
    ticket::Letter,
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

enum State<M: Message> {
    New(Option<M>),
    InTurn(Box<(Carried<CarriedAsk<M>>, Instant)>, Duration),
    /// Its alarm is its own. The others are boxed, so that this one, whose every nanosecond counts,
    /// is small to move.
    Here(Arc<Asked<M>>, Duration),
    Elsewhere(Box<(Reception, Alarm)>, Duration),
    Over,
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

    /// What the short way couldn't do.
    #[inline(never)]
    fn start(&mut self, message: M, time: Duration, waker: &Waker) -> Result<State<M>, Reason> {
        let conduit = self.to.conduit()?;
        let terms = Terms::now(time);
        let (deadline, time) = (terms.deadline, terms.time);
        match conduit.ask_now(Typed { message, terms }, waker) {
            Ok(asking) => Ok(waiting(conduit, asking, deadline, time)),
            Err(Held::Wait(typed, _)) => {
                let turn = Box::new((conduit.ask_carried(typed), deadline));
                Ok(State::InTurn(turn, time))
            }
            Err(Held::Refused(_, reason)) => Err(reason),
        }
    }

    fn end(&mut self, outcome: Result<M::Reply, Reason>) -> Poll<Result<M::Reply, CallError>> {
        self.state = State::Over;
        Poll::Ready(outcome.map_err(|reason| self.error(reason)))
    }

    #[cold]
    fn error(&self, reason: Reason) -> CallError {
        CallError::new(self.to.name(), M::NAME, Letter::of::<M>().explain(reason))
    }
}

fn waiting<M: Message>(
    conduit: &Conduit,
    asking: Asking<M>,
    deadline: Instant,
    time: Duration,
) -> State<M> {
    match asking {
        Asking::Here(asked) => State::Here(asked, time),
        Asking::Elsewhere(reception) => {
            let alarm = conduit.node.deadlines().at(deadline);
            State::Elsewhere(Box::new((reception, alarm)), time)
        }
    }
}

impl<M: Message> Drop for Ask<M> {
    fn drop(&mut self) {
        if let (State::Here(asked, _), Some(conduit)) = (&self.state, self.to.known()) {
            asked.give_up(conduit.node.deadlines());
        }
    }
}

impl<M: Message> Unpin for Ask<M> {}

impl<M: Message> Future for Ask<M> {
    type Output = Result<M::Reply, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::New(message) => {
                    let time = this.time.unwrap_or_else(|| this.to.time());
                    if let Some(conduit) = this.to.known()
                        && let Some(asked) = conduit.ask_at_once(message, time, cx.waker())
                    {
                        this.state = State::Here(asked, time);
                        // Its end wakes this task: there is nothing to look at yet.
                        return Poll::Pending;
                    }
                    let message = message
                        .take()
                        .expect("it is taken once, and the state changes");
                    match this.start(message, time, cx.waker()) {
                        Ok(state) => this.state = state,
                        Err(reason) => return this.end(Err(reason)),
                    }
                    if matches!(this.state, State::Here(..)) {
                        return Poll::Pending;
                    }
                }
                State::InTurn(turn, time) => {
                    let (turn, deadline) = &mut **turn;
                    let (deadline, time) = (*deadline, *time);
                    let asking = match ready!(Pin::new(turn).poll(cx)) {
                        Ok(carried) => carried.take(),
                        Err(reason) => return this.end(Err(reason)),
                    };
                    let conduit = match this.to.conduit() {
                        Ok(conduit) => conduit,
                        Err(reason) => return this.end(Err(reason)),
                    };
                    this.state = waiting(conduit, asking, deadline, time);
                }
                State::Here(asked, time) => {
                    let time = *time;
                    let deadlines = this.to.known().map(|conduit| conduit.node.deadlines());
                    let deadlines = deadlines.expect("it went through a conduit");
                    match asked.look(deadlines, cx.waker()) {
                        Progress::Open => return Poll::Pending,
                        Progress::Expired => {
                            // Otherwise it was answered meanwhile.
                            if let Some(began) = asked.give_up(deadlines) {
                                return this.end(Err(expired(time, began)));
                            }
                        }
                        Progress::Answered => {}
                    }
                    let State::Here(asked, _) = mem::replace(&mut this.state, State::Over) else {
                        unreachable!("it was that above")
                    };
                    return Poll::Ready(match asked.into_outcome() {
                        Some(Ok(reply)) => Ok(reply),
                        Some(Err(failure)) => Err(this.error(Reason::from_failure(failure, time))),
                        None => Err(this.error(Reason::stopped(true))),
                    });
                }
                State::Elsewhere(waits, time) => {
                    let (reception, alarm) = &mut **waits;
                    let time = *time;
                    let limits = match this.to.conduit() {
                        Ok(conduit) => conduit.node.limits(),
                        Err(reason) => return this.end(Err(reason)),
                    };
                    if let Poll::Ready(outcome) = reception.poll::<M>(cx, time, limits) {
                        return this.end(outcome);
                    }
                    ready!(Pin::new(alarm).poll(cx));
                    let may_have_run = match reception {
                        Reception::There(_, awaited) => awaited.cancel(),
                        Reception::Bytes(..) => true,
                    };
                    return this.end(Err(expired(time, may_have_run)));
                }
                State::Over => return Poll::Pending,
            }
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
