//! From one life of a component to the next, and to its end.

use std::{
    task::{self, Poll},
    time::Duration,
};

use tokio::time::{sleep, sleep_until};

use super::{Phase, Supervisor, drop_state};
use crate::{
    DownReason,
    contain::{self, Panicked},
    hosted::Status,
    restart::RestartReason,
    stream::Streams,
    together::Step,
};

/// What a stop hook may take if others wait for the rebuild.
const STOP_TIME: Duration = Duration::from_secs(5);

impl<C: 'static> Supervisor<C> {
    pub(super) fn build(&mut self, restart: Option<RestartReason>) {
        match contain::catch(|| self.life.build()) {
            Ok(Ok(state)) => {
                let turn = self
                    .life
                    .start(Box::new(state), self.shared.clone(), restart);
                self.phase = Phase::Starting(turn);
            }
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(panicked) => self.failed(&format!("its factory panicked: {panicked}")),
        }
    }

    /// It has started.
    pub(super) fn began(&mut self, state: Box<C>) {
        let hosted = &self.hosted;
        if self.started.is_none() {
            hosted.keeper.started(hosted.number);
        } else if let Err(why) = hosted.keeper.join(hosted) {
            drop_state(state);
            self.failed(&why);
            return;
        }
        hosted.set_status(Status::Running);
        self.state = Some(state);
        self.phase = Phase::Idle;
        if self.streams.is_none() && !self.routes.streams.is_empty() {
            self.streams = Some(Streams::begin(&self.shared, &self.routes.streams));
        }
        self.routes.expects.begin(&self.shared);
        if let Some(started) = self.started.take() {
            drop(started.send(Ok(())));
        }
    }

    /// A factory or hook that failed: at first it is the spawner's to know, later it counts as a restart
    /// that didn't hold.
    pub(super) fn failed(&mut self, why: &str) {
        if let Some(started) = self.started.take() {
            drop(started.send(Err(why.to_owned())));
            self.phase = Phase::Ended(format!("it didn't start: {why}"));
        } else {
            self.rest(&RestartReason::StartFailed(why.to_owned()));
        }
    }

    pub(super) fn panicked(&mut self, panicked: &Panicked) {
        self.rest(&RestartReason::Panicked(panicked.to_string()));
    }

    /// It has no state any more, by its own doing: what comes of it is its keeper's to say.
    fn rest(&mut self, reason: &RestartReason) {
        self.end_life();
        let hosted = &self.hosted;
        let given_up = hosted.keeper.failed(hosted.number, reason.clone());
        match given_up {
            None => tracing::error!(component = %hosted.name, %reason, "a component is restarted"),
            Some(why) => {
                tracing::error!(component = %hosted.name, why, "a component is given up");
                self.escalates = hosted.keeper.policy().escalates();
            }
        }
        self.phase = Phase::Resting(None);
    }

    /// It dropped its state as it was told to.
    pub(super) fn stopped(&mut self) {
        self.end_life();
        let hosted = &self.hosted;
        if self.shared.restarts_itself.take() {
            self.rest(&RestartReason::Stopped);
        } else {
            hosted.keeper.stopped(hosted.number);
            self.phase = Phase::Resting(None);
        }
    }

    /// What belongs to a life goes with it.
    fn end_life(&mut self) {
        if let Some(state) = self.state.take() {
            drop_state(state);
        }
        self.routes.expects.end();
        self.shared.tasks.borrow_mut().abort_all();
        let turns = std::mem::take(&mut *self.shared.turns.borrow_mut());
        if let Err(panicked) = contain::catch(|| drop(turns)) {
            tracing::error!(component = %self.hosted.name, %panicked, "a timer's turn panicked when it was dropped");
        }
    }

    /// Without state: looks what is to be done.
    pub(super) fn rests(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        let hosted = &self.hosted;
        if hosted.is_ending() {
            self.phase = Phase::Ended(String::new());
            return Poll::Ready(());
        }
        match hosted.keeper.step(hosted.number) {
            Step::Sleep(until) => {
                hosted.set_status(Status::Resting);
                let nap = match &mut self.phase {
                    Phase::Resting(nap) => nap.take(),
                    _ => None,
                };
                let nap = nap.filter(|nap| nap.deadline() == until);
                let mut nap = nap.unwrap_or_else(|| Box::pin(sleep_until(until)));
                if nap.as_mut().poll(cx).is_pending() {
                    self.phase = Phase::Resting(Some(nap));
                    return Poll::Pending;
                }
            }
            Step::Build(reason) => {
                hosted.take_restart();
                self.shared.restarts_itself.set(false);
                hosted.count_restart(reason.clone());
                self.phase = Phase::Building(Some(reason));
            }
            Step::End(why) => self.phase = Phase::Ended(why),
            Step::Serve | Step::Stop | Step::Wait => {
                hosted.set_status(Status::Resting);
                self.phase = Phase::Resting(None);
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// It is between two turns, and was told to look whether it is to have another life.
    pub(super) fn heed_restart(&mut self) {
        self.hosted.take_restart();
        if self.shared.restarts_itself.get() || self.hosted.keeper.is_to_stop(self.hosted.number) {
            self.stop_within(Some(STOP_TIME));
        }
    }

    pub(super) fn stop(&mut self) {
        self.stop_within(None);
    }

    fn stop_within(&mut self, limit: Option<Duration>) {
        self.routes.expects.end();
        self.hosted.set_status(Status::Stopping);
        self.phase = match self.state.take() {
            Some(state) => Phase::Stopping(
                self.life.stop(state, self.shared.clone()),
                limit.map(|limit| Box::pin(sleep(limit))),
            ),
            None => Phase::Ended(String::new()),
        };
    }

    pub(super) fn end(&mut self, why: String) {
        self.shared.tasks.borrow_mut().abort_all();
        self.beside.abort_all();
        self.streams = None;
        self.hosted.close(&why);
        // Whoever ends in order says nothing about it.
        let down = if why.is_empty() {
            DownReason::Deregistered
        } else {
            DownReason::Failed
        };
        self.hosted.set_status(Status::Ended(why.clone()));
        self.hosted.keeper.leave(self.hosted.number);
        let node = &self.shared.node;
        node.forget(&self.hosted, down);
        // Only now, so that it is this one's failure that others hear of, not its node's end.
        if self.escalates {
            node.escalate(&self.hosted.name, why);
        }
    }
}
