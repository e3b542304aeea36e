//! Those that restart together, and whose turn it is. Pure: time and chance come in.
//!
//! A component that restarts alone is one of one.
//!
//! ```text
//!            one fails                all are down             the pause is over
//!   Up -----------------> Stopping ----------------> Resting -------------------> Building
//!   ^                     |     ^                                                 |     |
//!   |                     |     '------------------ one fails --------------------'     |
//!   |                     '-- given up: each that is down ends                          |
//!   '------------------------------------ all are up -----------------------------------'
//! ```
//!
//! They stop one after the other, the last spawned first, and are built one after the other in the order in
//! which they were spawned.

use std::time::Duration;

use tokio::time::Instant;

use crate::restart::{Restart, RestartReason, Restarts};

/// All that restart together.
#[derive(Debug)]
pub(crate) struct Together {
    policy: Restart,
    restarts: Restarts,
    /// In the order in which they were spawned.
    members: Vec<Member>,
    stage: Stage,
    /// Why there was the last restart, and who it was.
    cause: Option<(u64, String, RestartReason)>,
    /// They can't be kept alive; why.
    given_up: Option<String>,
}

#[derive(Debug)]
struct Member {
    number: u64,
    name: String,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Up,
    /// It is being built.
    Coming,
    /// It has no state.
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Up,
    /// The pause comes when all are down.
    Stopping(Duration),
    Resting(Instant),
    Building,
}

/// What one of them is to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// What it always does, if it has its state.
    Serve,
    /// It drops its state; others wait for that.
    Stop,
    /// It stays without state, until somebody else is done.
    Wait,
    /// The same, until then.
    Sleep(Instant),
    Build(RestartReason),
    End(String),
}

impl Together {
    pub(crate) fn new(policy: Restart) -> Self {
        Self {
            policy,
            restarts: Restarts::default(),
            members: Vec::new(),
            stage: Stage::Up,
            cause: None,
            given_up: None,
        }
    }

    /// Takes in one that has been started for the first time, or says why it can't be.
    pub(crate) fn join(&mut self, number: u64, name: &str) -> Result<(), String> {
        if let Some(why) = &self.given_up {
            return Err(format!("those that it restarts with were given up: {why}"));
        }
        self.members.push(Member {
            number,
            name: name.to_owned(),
            standing: Standing::Up,
        });
        Ok(())
    }

    /// One has ended, whatever for. With the last one all is forgotten.
    pub(crate) fn leave(&mut self, number: u64, now: Instant) {
        self.members.retain(|member| member.number != number);
        if self.members.is_empty() {
            *self = Self::new(self.policy);
        }
        self.advance(now);
    }

    /// One has no state any more, since it failed. Says why they are all given up, if they are, by this.
    pub(crate) fn failed(
        &mut self,
        number: u64,
        reason: RestartReason,
        now: Instant,
        chance: f64,
    ) -> Option<String> {
        let member = self.members.iter_mut().find(|it| it.number == number)?;
        member.standing = Standing::Down;
        let mut gives_up = None;
        // Those that still stop are on their way already, and so is this one then.
        if !matches!(self.stage, Stage::Stopping(_)) {
            let next = self.restarts.next(&self.policy, &reason, now, chance);
            self.cause = Some((number, member.name.clone(), reason));
            let pause = next.unwrap_or_else(|why| {
                gives_up = Some(why.clone());
                self.given_up = Some(why);
                Duration::ZERO
            });
            self.stage = Stage::Stopping(pause);
        }
        self.advance(now);
        gives_up
    }

    /// One has dropped its state as it was told to.
    pub(crate) fn stopped(&mut self, number: u64, now: Instant) {
        self.put(number, Standing::Down);
        self.advance(now);
    }

    /// One has been built and started.
    pub(crate) fn started(&mut self, number: u64, now: Instant) {
        self.put(number, Standing::Up);
        self.advance(now);
    }

    /// What one of them is to do.
    pub(crate) fn step(&mut self, number: u64, now: Instant) -> Step {
        let Some(at) = self.members.iter().position(|it| it.number == number) else {
            return Step::Serve;
        };
        if let Stage::Resting(until) = self.stage
            && until <= now
        {
            self.stage = Stage::Building;
        }
        let is_down = self.members[at].standing == Standing::Down;
        match self.stage {
            Stage::Stopping(_) if is_down => match &self.given_up {
                Some(why) => Step::End(self.in_words(number, why)),
                None => Step::Wait,
            },
            Stage::Stopping(_) if self.is_last_up(at) => Step::Stop,
            Stage::Resting(until) if is_down => Step::Sleep(until),
            Stage::Building if is_down => {
                let may = self.members[..at]
                    .iter()
                    .all(|it| it.standing == Standing::Up);
                if !may {
                    return Step::Wait;
                }
                self.members[at].standing = Standing::Coming;
                Step::Build(self.reason(number))
            }
            _ => Step::Serve,
        }
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        self.members.iter().any(|it| it.number == number)
    }

    /// Whether it is this one's turn to stop.
    pub(crate) fn is_to_stop(&self, number: u64) -> bool {
        let at = self.members.iter().position(|it| it.number == number);
        matches!(self.stage, Stage::Stopping(_)) && at.is_some_and(|at| self.is_last_up(at))
    }

    fn is_last_up(&self, at: usize) -> bool {
        !self.members[at].is_down() && self.members[at + 1..].iter().all(Member::is_down)
    }

    fn put(&mut self, number: u64, standing: Standing) {
        if let Some(member) = self.members.iter_mut().find(|it| it.number == number) {
            member.standing = standing;
        }
    }

    fn advance(&mut self, now: Instant) {
        let all = |standing| self.members.iter().all(|it| it.standing == standing);
        match self.stage {
            Stage::Stopping(pause) if self.given_up.is_none() && all(Standing::Down) => {
                self.stage = Stage::Resting(now + pause);
            }
            Stage::Building if all(Standing::Up) => self.stage = Stage::Up,
            _ => {}
        }
    }

    /// Why this one is built anew.
    fn reason(&self, number: u64) -> RestartReason {
        match &self.cause {
            Some((who, _, reason)) if *who == number => reason.clone(),
            Some((_, name, reason)) => RestartReason::Together {
                component: name.clone(),
                reason: Box::new(reason.clone()),
            },
            // Nobody is down without a cause.
            None => RestartReason::Stopped,
        }
    }

    /// Why this one ends.
    fn in_words(&self, number: u64, why: &str) -> String {
        match &self.cause {
            Some((who, name, _)) if *who != number => {
                format!("it restarts together with {name:?}, which was given up: {why}")
            }
            _ => why.to_owned(),
        }
    }
}

impl Member {
    fn is_down(&self) -> bool {
        self.standing == Standing::Down
    }
}

#[cfg(test)]
mod tests;
