//! The operator's desk: it sends the robot somewhere, hears of its progress, and has the red
//! button.

use std::time::{Duration, Instant};

use botzilla::prelude::*;
use botzilla::{BroadcastReport, CallError, Reason};

use super::messages::{
    Arrived, EmergencyStop, GetOdometry, GetProgress, GoTo, GoToError, Heard, Mission,
    MissionFailed, Progress, Resume, ResumeAll, StopAll,
};

/// The longest drive to a goal.
const LONGEST: Duration = Duration::from_secs(600);
/// How often the desk looks whether a stopped robot was released, or tries again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long it tries again when a component doesn't answer, before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The component.
#[derive(Debug, Default)]
pub struct Operator {
    progress: Option<Progress>,
}

#[botzilla::component(groups = ["desk"])]
impl Operator {
    /// Has no `self`, so it runs beside the other handlers: the red button works meanwhile.
    #[botzilla::handler]
    async fn mission(msg: Mission, ctx: &Ctx<Self>) -> Result<Arrived, MissionFailed> {
        let planner = ctx.component("planner");
        let mut failing: Option<Instant> = None;
        loop {
            let go_to = GoTo { goal: msg.goal };
            match planner.ask(go_to).within(LONGEST).await {
                Ok(Ok(arrived)) => return Ok(arrived),
                // It is stopped, or it was stopped on the way there: ask again when released.
                Ok(Err(GoToError::Stopped)) => failing = None,
                Err(error) if *error.reason() == Reason::Interrupted => failing = None,
                // The map says no, and asking again won't change that.
                Ok(Err(error @ GoToError::NoWay { .. })) => return Err(failed(&error)),
                // A component may be restarting: try for a while.
                Ok(Err(error)) if is_enough(&mut failing) => return Err(failed(&error)),
                Err(error) if is_enough(&mut failing) => return Err(failed(&error)),
                _ => {}
            }
            wait_until_released(ctx).await;
        }
    }

    #[botzilla::handler(broadcast)]
    fn progress(&mut self, msg: Progress) {
        self.progress = Some(msg);
    }

    #[botzilla::handler]
    fn get_progress(&mut self, _: GetProgress) -> Option<Progress> {
        self.progress.clone()
    }

    #[botzilla::handler]
    async fn stop_all(msg: StopAll, ctx: &Ctx<Self>) -> Heard {
        let stop = EmergencyStop { reason: msg.reason };
        heard(ctx.broadcast(stop).to_the_end().await)
    }

    #[botzilla::handler]
    async fn resume_all(_: ResumeAll, ctx: &Ctx<Self>) -> Heard {
        heard(ctx.broadcast(Resume {}).to_the_end().await)
    }
}

/// Whether it has been failing for too long; it does from now on, if it did not before.
fn is_enough(failing: &mut Option<Instant>) -> bool {
    failing.get_or_insert_with(Instant::now).elapsed() > PATIENCE
}

async fn wait_until_released(ctx: &Ctx<Operator>) {
    loop {
        tokio::time::sleep(AGAIN).await;
        // A drive that doesn't answer isn't known to be stopped: the planner will say.
        match ctx.component("drive").ask(GetOdometry {}).await {
            Ok(odometry) if odometry.stopped => {}
            _ => return,
        }
    }
}

fn failed(error: &dyn std::error::Error) -> MissionFailed {
    MissionFailed {
        why: error.to_string(),
    }
}

/// Whoever pressed the button wants to know whom it did not reach, more than anything else.
fn heard(report: Result<BroadcastReport, CallError>) -> Heard {
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            return Heard {
                by: vec![],
                failed: vec![error.to_string()],
            };
        }
    };
    let failures = report.failed.iter();
    let refused = failures.map(|one| format!("{}: {}", one.component, one.reason));
    let unreached = report.unreached.iter();
    let unreached = unreached.map(|one| format!("{}: {}", one.components.join(", "), one.reason));
    let failed = refused.chain(unreached).collect();
    Heard {
        by: report.delivered,
        failed,
    }
}
