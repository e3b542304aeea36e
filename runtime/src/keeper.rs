//! What keeps components alive, for their supervisors, each on a thread of its own maybe.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    hosted::Hosted,
    restart::{Restart, RestartReason, chance},
    together::{Step, Together},
};

/// Components that restart together: when one must be rebuilt, all are.
///
/// For components that rely on each other's state. When one of them panics (or whatever else its
/// [`Restart`] says), the others are stopped one after the other, the last spawned first: a handler that runs is
/// dropped at its next await, unless it is an urgent one, its caller gets
/// [`Reason::Stopped`](crate::Reason::Stopped), and [`on_stop`](crate::on_stop) has 5 s. After the pause they are
/// built one after the other in the order in which they were spawned, each when the one before it has
/// started. Their names, addresses and queued messages stay.
///
/// They share one count of restarts. When there were too many, or one of them is never to be restarted, all are
/// given up. One that ends by itself leaves the others alone, unless it is to run always.
///
/// ```
/// use std::time::Duration;
///
/// use botzilla::{OneForAll, Restart, prelude::*};
///
/// # #[derive(Default)] struct Shoulder;
/// # #[botzilla::component] impl Shoulder {}
/// # #[derive(Default)] struct Gripper;
/// # #[botzilla::component] impl Gripper {}
/// # async fn run(node: Node) -> botzilla::Result<()> {
/// let arm = OneForAll::new(Restart::on_panic().at_most(3, Duration::from_secs(60)));
/// node.spawn("arm/shoulder", Shoulder::default).restart_with(&arm).await?;
/// node.spawn("arm/gripper", Gripper::default).restart_with(&arm).await?;
/// # Ok(()) }
/// ```
///
/// It is for components of one process; each node has its own, as a rule.
#[derive(Clone, Debug)]
pub struct OneForAll(Keeper);

impl OneForAll {
    /// For components that are all rebuilt as this says.
    pub fn new(restart: Restart) -> Self {
        Self(Keeper::new(restart))
    }

    pub(crate) fn keeper(&self) -> Keeper {
        self.0.clone()
    }
}

/// What a supervisor asks when its component fails; shared by those that restart together.
#[derive(Clone)]
pub(crate) struct Keeper(Arc<Shared>);

struct Shared {
    policy: Restart,
    state: Mutex<State>,
}

struct State {
    together: Together,
    hosted: Vec<Weak<Hosted>>,
}

impl Keeper {
    pub(crate) fn new(policy: Restart) -> Self {
        Self(Arc::new(Shared {
            policy,
            state: Mutex::new(State {
                together: Together::new(policy),
                hosted: Vec::new(),
            }),
        }))
    }

    pub(crate) fn policy(&self) -> &Restart {
        &self.0.policy
    }

    /// One has been started for the first time. An error says why it can't stay.
    pub(crate) fn join(&self, hosted: &Arc<Hosted>) -> Result<(), String> {
        let mut state = self.0.state.lock();
        state.together.join(hosted.number, &hosted.name)?;
        state.hosted.push(Arc::downgrade(hosted));
        Ok(())
    }

    pub(crate) fn leave(&self, number: u64) {
        self.change(|together| together.leave(number, Instant::now()));
    }

    /// One has no state any more. Says why they are all given up, if this is what did it.
    pub(crate) fn failed(&self, number: u64, reason: RestartReason) -> Option<String> {
        self.change(|together| together.failed(number, reason, Instant::now(), chance()))
    }

    pub(crate) fn stopped(&self, number: u64) {
        self.change(|together| together.stopped(number, Instant::now()));
    }

    pub(crate) fn started(&self, number: u64) {
        self.change(|together| together.started(number, Instant::now()));
    }

    pub(crate) fn step(&self, number: u64) -> Step {
        self.0.state.lock().together.step(number, Instant::now())
    }

    /// Whether one that has its state is to drop it, for the others' sake.
    pub(crate) fn is_to_stop(&self, number: u64) -> bool {
        self.0.state.lock().together.is_to_stop(number)
    }

    /// Does it, and lets all look what that means for them.
    fn change<R>(&self, change: impl FnOnce(&mut Together) -> R) -> R {
        let mut state = self.0.state.lock();
        let done = change(&mut state.together);
        let State { together, hosted } = &mut *state;
        hosted.retain(|hosted| {
            let Some(hosted) = hosted.upgrade() else {
                return false;
            };
            if together.is_to_stop(hosted.number) {
                hosted.order_restart();
            } else {
                hosted.mailbox.wake();
            }
            together.has(hosted.number)
        });
        done
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keeper").field(&self.0.policy).finish()
    }
}
