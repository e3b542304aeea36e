//! The future of a message that waits for credit.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Link, NotSent, Outgoing};
use crate::ticket::Ticket;

/// Waits its turn for credit; see [`Link::send`].
///
/// # Cancel safety
///
/// Dropped before it was ready, the message was not sent, or is withdrawn or cancelled; its ticket is
/// dropped without an end.
#[must_use = "nothing is sent unless it is polled"]
pub(crate) struct Sending {
    link: Arc<Link>,
    state: State,
}

enum State {
    Start(Outgoing, Ticket),
    Waiting(u64),
    Done,
}

impl Sending {
    pub(super) fn new(link: Arc<Link>, out: Outgoing, ticket: Ticket) -> Self {
        Self {
            link,
            state: State::Start(out, ticket),
        }
    }
}

impl Future for Sending {
    type Output = Result<u64, (Ticket, NotSent)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.state, State::Done) {
            State::Start(out, ticket) => match this.link.send_or_wait(out, ticket, cx.waker()) {
                Ok(taken) => Poll::Ready(taken),
                Err(place) => {
                    this.state = State::Waiting(place);
                    Poll::Pending
                }
            },
            State::Waiting(place) => match this.link.poll_waiting(place, cx.waker()) {
                Some(taken) => Poll::Ready(taken),
                None => {
                    this.state = State::Waiting(place);
                    Poll::Pending
                }
            },
            State::Done => panic!("Sending was polled after it was ready"),
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let State::Waiting(place) = self.state {
            self.link.leave_waiting(place);
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("peer", &self.link.peer())
            .finish_non_exhaustive()
    }
}
