//! Who must wait does so in line, and is carried through it: nobody waits longer because the one
//! before, whose turn it is, isn't polled.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::{Conduit, Place, Terms, expired};
use crate::{Node, Reason, deadline::Alarm};

/// A line of senders who must wait. As long as nobody does, passing by costs one load.
#[derive(Debug, Default)]
pub(super) struct Turnstile {
    line: AtomicUsize,
    turn: tokio::sync::Mutex<()>,
}

impl Turnstile {
    pub(super) fn is_busy(&self) -> bool {
        self.line.load(Ordering::Acquire) > 0
    }

    /// Stands in line from the first poll until the guard is dropped.
    async fn pass(&self) -> Passing<'_> {
        let place = InLine::new(&self.line);
        let turn = self.turn.lock().await;
        Passing {
            _turn: turn,
            _place: place,
        }
    }
}

struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn new(line: &'a AtomicUsize) -> Self {
        line.fetch_add(1, Ordering::AcqRel);
        Self(line)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A message whose turn it is.
pub(super) struct Turn<'a> {
    pub(super) place: Place,
    pub(super) urgent: bool,
    pub(super) _passing: Passing<'a>,
}

pub(super) struct Passing<'a> {
    _turn: tokio::sync::MutexGuard<'a, ()>,
    _place: InLine<'a>,
}

impl Conduit {
    /// Stands in line until it is this message's turn, and finds the target meanwhile.
    ///
    /// Whether a message is urgent may be known only once the target is: then it leaves the ordinary
    /// line, where others may wait for credit that an emergency stop doesn't need.
    pub(super) async fn turn(&self, message: &str, terms: &Terms) -> Result<Turn<'_>, Reason> {
        let urgent = self
            .known_place()
            .is_some_and(|place| place.is_urgent_named(message));
        let mut passing = Some(Box::pin(self.turnstiles[usize::from(urgent)].pass()));
        let mut passed = None;
        let mut finding = pin!(self.find_place(terms));
        let place = poll_fn(|cx| {
            if let Some(line) = &mut passing
                && let Poll::Ready(turn) = line.as_mut().poll(cx)
            {
                passed = Some(turn);
                passing = None;
            }
            finding.as_mut().poll(cx)
        })
        .await?;
        if !urgent && place.is_urgent_named(message) {
            drop((passing, passed));
            let _passing = self.turnstiles[1].pass().await;
            return Ok(Turn {
                place,
                urgent: true,
                _passing,
            });
        }
        let _passing = match (passed, passing) {
            (Some(passed), _) => passed,
            (None, Some(line)) => line.await,
            (None, None) => unreachable!("the line is left only by passing"),
        };
        Ok(Turn {
            place,
            urgent,
            _passing,
        })
    }
}

/// What takes its turn. Polled once, it stands in line; if that isn't all, a task on the node's thread
/// sees it through, for its owner may look away, or block the thread it is on. Dropping it takes it
/// out of the line.
pub(crate) struct Carried<T> {
    state: State<T>,
    node: Node,
    time: Duration,
    /// The task minds the deadline; this is for the time when the node's thread is blocked.
    alarm: Alarm,
}

/// How much later than the task its owner says that the time is over.
const GRACE: Duration = Duration::from_millis(20);

enum State<T> {
    New(BoxFuture<'static, Result<T, Reason>>),
    Carried(oneshot::Receiver<Result<T, Reason>>),
    Over,
}

impl<T: Send + 'static> Carried<T> {
    pub(super) fn new(
        node: Node,
        terms: &Terms,
        turn: impl Future<Output = Result<T, Reason>> + Send + 'static,
    ) -> Self {
        Self {
            state: State::New(Box::pin(turn)),
            time: terms.time,
            alarm: node.deadlines().at(terms.deadline + GRACE),
            node,
        }
    }

    fn carry(
        node: &Node,
        mut turn: BoxFuture<'static, Result<T, Reason>>,
    ) -> oneshot::Receiver<Result<T, Reason>> {
        let (mut done, outcome) = oneshot::channel();
        let task = async move {
            let ended = poll_fn(|cx| {
                if done.poll_closed(cx).is_ready() {
                    return Poll::Ready(None);
                }
                turn.as_mut().poll(cx).map(Some)
            });
            if let Some(ended) = ended.await {
                // Nobody may want it any more; then it gives itself up.
                drop(done.send(ended));
            }
        };
        node.spawn_here(task);
        outcome
    }
}

impl<T: Send + 'static> Future for Carried<T> {
    type Output = Result<T, Reason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let State::New(turn) = &mut this.state {
            let ended = turn.as_mut().poll(cx);
            let State::New(turn) = std::mem::replace(&mut this.state, State::Over) else {
                unreachable!("it was that above")
            };
            if ended.is_ready() {
                return ended;
            }
            this.state = State::Carried(Self::carry(&this.node, turn));
        }
        let State::Carried(outcome) = &mut this.state else {
            return Poll::Pending;
        };
        let ended = match Pin::new(outcome).poll(cx) {
            Poll::Ready(ended) => ended.unwrap_or(Err(Reason::ShuttingDown)),
            Poll::Pending => {
                ready!(Pin::new(&mut this.alarm).poll(cx));
                Err(expired(this.time, true))
            }
        };
        this.state = State::Over;
        Poll::Ready(ended)
    }
}
