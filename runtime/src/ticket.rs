//! What a sender keeps of a message that it sent, until its outcome is known.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use botzilla_wire::{Failure, Name, fingerprint::Layout};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::{CallError, Message, Reason, link::Ended, routes::layout_of};

/// Gets the outcome of one message that went over a connection.
#[derive(Debug)]
pub(crate) enum Ticket {
    Ask(oneshot::Sender<Ended>),
    Tell(Told),
}

impl Ticket {
    pub(crate) fn end(self, ended: Ended) {
        match self {
            Self::Ask(asker) => drop(asker.send(ended)),
            Self::Tell(told) => match ended {
                Ended::Reply(_) | Ended::Delivered => told.delivered(),
                Ended::Failed(failure) => told.failed(failure),
                Ended::Disconnected { may_have_run, why } => {
                    let why = why.to_string();
                    told.ended(Err(Reason::Disconnected { why, may_have_run }));
                }
            },
        }
    }
}

/// The way back for one tell: to its `Sent`, and to those who flush.
pub(crate) struct Told {
    asker: Option<oneshot::Sender<Result<(), Reason>>>,
    batch: Arc<Batch>,
    time: Duration,
    letter: Letter,
    /// Set once the message is on its way. Until then, dropping this takes the tell back.
    on_its_way: Arc<AtomicBool>,
}

/// What a sender knows of a message whose outcome it waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    pub(crate) name: &'static str,
    /// What differs between the sender's type and the receiver's, given that one's layout.
    pub(crate) difference: Option<fn(&str) -> String>,
}

impl Letter {
    pub(crate) fn of<M: Message>() -> Self {
        Self {
            name: M::NAME,
            difference: Some(difference::<M>),
        }
    }

    /// A message whose type isn't known here.
    pub(crate) const fn untyped(name: &'static str) -> Self {
        Self {
            name,
            difference: None,
        }
    }

    /// A refusal for the type tells the receiver's layout; the sender is to see what differs.
    pub(crate) fn explain(&self, reason: Reason) -> Reason {
        match (reason, self.difference) {
            (Reason::WrongSchema(theirs), Some(difference)) => {
                Reason::WrongSchema(difference(&theirs))
            }
            (other, _) => other,
        }
    }
}

fn difference<M: Message>(theirs: &str) -> String {
    match layout_of::<M>() {
        Some(ours) => Layout::first_difference(ours.text(), theirs)
            .unwrap_or_else(|| "their layouts differ".to_owned()),
        None => "ours can't be traced".to_owned(),
    }
}

impl Told {
    pub(crate) fn delivered(self) {
        self.ended(Ok(()));
    }

    pub(crate) fn failed(self, failure: Failure) {
        let reason = self
            .letter
            .explain(Reason::from_failure(failure, self.time));
        self.ended(Err(reason));
    }

    pub(crate) fn ended(mut self, outcome: Result<(), Reason>) {
        self.end_in_place(outcome);
    }

    fn end_in_place(&mut self, outcome: Result<(), Reason>) {
        let Some(asker) = self.asker.take() else {
            return;
        };
        self.batch.end(&outcome);
        if let Err(Err(reason)) = asker.send(outcome) {
            self.batch.unheard(self.letter.name, &reason);
        }
    }

    /// Takes back a tell that wasn't sent after all: nobody is told of it.
    pub(crate) fn unsent(mut self) {
        self.asker = None;
        self.batch.withdraw();
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if self.on_its_way.load(Relaxed) {
            self.end_in_place(Err(Reason::stopped(true)));
        } else if self.asker.take().is_some() {
            self.batch.withdraw();
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told")
            .field("message", &self.letter.name)
            .finish()
    }
}

/// A tell that has its place in the queue; awaiting it gives its outcome, dropping it is free.
#[must_use = "awaiting it gives the outcome; `drop` it, or use `flush`, to say that you don't want it"]
pub struct Sent {
    outcome: oneshot::Receiver<Result<(), Reason>>,
    component: Name,
    message: &'static str,
    on_its_way: Arc<AtomicBool>,
}

impl Sent {
    /// The message has its place in the queue: from now on it has an outcome.
    pub(crate) fn on_its_way(self) -> Self {
        self.on_its_way.store(true, Relaxed);
        self
    }
}

impl Future for Sent {
    type Output = Result<(), CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| {
            outcome
                .unwrap_or_else(|_| Err(Reason::stopped(true)))
                .map_err(|reason| CallError::new(&*self.component, self.message, reason))
        })
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent")
            .field("component", &self.component)
            .finish()
    }
}

/// What became of the tells that a flush waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// Their handlers ran to the end.
    pub delivered: u64,
    /// They ended otherwise.
    pub failed: u64,
    /// How the first of these ended.
    pub first_failure: Option<Reason>,
}

/// The tells of one sender to one target, in batches cut by `flush`.
#[derive(Debug)]
pub(crate) struct Tells {
    component: Name,
    batches: Mutex<Vec<Arc<Batch>>>,
}

#[derive(Debug)]
struct Batch {
    component: Name,
    counts: Mutex<Counts>,
    done: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    open: u64,
    cut: bool,
    unheard: u64,
    flushed: Flushed,
}

impl Tells {
    pub(crate) fn new(component: Name) -> Self {
        Self {
            batches: Mutex::new(vec![Batch::new(component.clone())]),
            component,
        }
    }

    pub(crate) fn open(&self, letter: Letter, time: Duration) -> (Told, Sent) {
        let batches = self.batches.lock();
        let batch = batches
            .last()
            .expect("a new batch is put in whenever one is cut")
            .clone();
        batch.counts.lock().open += 1;
        drop(batches);
        let (asker, outcome) = oneshot::channel();
        let on_its_way = Arc::new(AtomicBool::new(false));
        let told = Told {
            asker: Some(asker),
            batch,
            time,
            letter,
            on_its_way: on_its_way.clone(),
        };
        let component = self.component.clone();
        (
            told,
            Sent {
                outcome,
                component,
                message: letter.name,
                on_its_way,
            },
        )
    }

    /// Waits until all tells so far have ended.
    pub(crate) async fn flush(&self) -> Flushed {
        let cut = {
            let mut batches = self.batches.lock();
            batches.retain(|batch| !batch.is_spent());
            if let Some(last) = batches.last() {
                last.counts.lock().cut = true;
            }
            let cut = batches.clone();
            batches.push(Batch::new(self.component.clone()));
            cut
        };
        let mut total = Flushed::default();
        for batch in cut {
            let flushed = batch.done().await;
            total.delivered += flushed.delivered;
            total.failed += flushed.failed;
            total.first_failure = total.first_failure.or(flushed.first_failure);
        }
        total
    }
}

impl Batch {
    fn new(component: Name) -> Arc<Self> {
        Arc::new(Self {
            component,
            counts: Mutex::default(),
            done: Notify::new(),
        })
    }

    fn is_spent(&self) -> bool {
        let counts = self.counts.lock();
        counts.cut && counts.open == 0
    }

    fn end(&self, outcome: &Result<(), Reason>) {
        let mut counts = self.counts.lock();
        match outcome {
            Ok(()) => counts.flushed.delivered += 1,
            Err(reason) => {
                counts.flushed.failed += 1;
                if counts.flushed.first_failure.is_none() {
                    counts.flushed.first_failure = Some(reason.clone());
                }
            }
        }
        counts.open -= 1;
        let over = counts.cut && counts.open == 0;
        drop(counts);
        if over {
            self.done.notify_waiters();
        }
    }

    fn withdraw(&self) {
        let mut counts = self.counts.lock();
        counts.open -= 1;
        let over = counts.cut && counts.open == 0;
        drop(counts);
        if over {
            self.done.notify_waiters();
        }
    }

    /// Logs at powers of two, so that a component that is down doesn't fill the disk.
    fn unheard(&self, message: &str, reason: &Reason) {
        let unheard = {
            let mut counts = self.counts.lock();
            counts.unheard += 1;
            counts.unheard
        };
        if unheard.is_power_of_two() {
            tracing::warn!(component = %self.component, message, %reason, unheard, "a tell ended badly and nobody awaited it");
        }
    }

    async fn done(&self) -> Flushed {
        loop {
            let notified = self.done.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            {
                let counts = self.counts.lock();
                if counts.open == 0 {
                    return counts.flushed.clone();
                }
            }
            notified.await;
        }
    }
}
