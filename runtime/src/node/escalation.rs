//! A node that can't do without a component goes down with it.

use std::time::Duration;

use super::Node;

/// As long as at a signal.
const TIME: Duration = Duration::from_secs(5);

/// A component could not be kept alive, and was one that its node can't do without: it was spawned with
/// [`Restart::escalate`](crate::Restart::escalate).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("component {component:?} couldn't be kept alive, so its node was shut down: {reason}")]
pub struct Escalation {
    component: String,
    reason: String,
}

impl Escalation {
    /// The component's name.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// Why it couldn't be kept alive.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl Node {
    /// Shuts the node down because of a component; the first one is what the program is told of.
    pub(crate) fn escalate(&self, component: &str, reason: String) {
        {
            let mut known = self.0.escalation.lock();
            if known.is_some() || self.0.is_stopping() {
                return;
            }
            *known = Some(Escalation {
                component: component.to_owned(),
                reason,
            });
        }
        tracing::error!(component, "the node can't do without it and shuts down");
        // `until_shutdown` hears of it too, and ends the process if a component holds its thread.
        self.0.escalated.cancel();
        let node = self.clone();
        // On a thread of its own, as at a signal: a component may hold the node's.
        let thread = std::thread::Builder::new().name("botzilla-escalation".to_owned());
        let down = thread.spawn(move || {
            let report = futures_executor::block_on(node.shutdown(TIME));
            tracing::info!(%report, "shut down");
        });
        if let Err(error) = down {
            tracing::error!(%error, "no thread to shut the node down on");
        }
    }

    pub(super) fn escalation(&self) -> Option<Escalation> {
        self.0.escalation.lock().clone()
    }
}
