//! What waits for the end of a message that was sent.

use tokio::sync::oneshot;

use crate::link::Ended;

/// Ends exactly once, when the message that it was sent with has ended.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// Somebody awaits the outcome.
    Ask(oneshot::Sender<Ended>),
}

impl Ticket {
    /// Hands over the outcome; who no longer listens is not told.
    pub(crate) fn end(self, ended: Ended) {
        match self {
            Self::Ask(sender) => drop(sender.send(ended)),
        }
    }
}
