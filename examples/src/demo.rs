//! What `botzilla demo` runs: the whole robot, its registry, and somebody who presses the red
//! button on the way.
//!
//! It is one process, but each component has a node of its own, so that every message crosses a
//! real, authenticated TCP connection: asks and tells over one, the streams' items over one of
//! their own.

mod meter;
mod report;
mod ride;
mod stage;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use report::{Report, Stop};

use crate::picture;
use crate::robot::messages::Progress;
use crate::robot::{self, COMPONENTS};
use stage::Stage;

/// How long saying goodbye may take, over and above the deadline.
const GOODBYE: Duration = Duration::from_secs(2);

/// How to run the demo.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DemoOptions {
    /// The robot. Default: seed 0, 2.5 times as fast as the wall clock.
    pub robot: robot::Options,
    /// Where to write the picture. Default: `botzilla-demo.svg` in the current directory; `None`
    /// writes none.
    pub picture: Option<PathBuf>,
    /// When to press the red button, in metres driven. Default: 5.
    pub stop_after_m: f64,
    /// How long the button stays pressed. Default: 1 s.
    pub stop_for: Duration,
    /// When to give up. Default: 27 s.
    pub deadline: Duration,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            robot: robot::Options::default(),
            picture: Some(PathBuf::from("botzilla-demo.svg")),
            stop_after_m: 5.0,
            stop_for: Duration::from_secs(1),
            deadline: Duration::from_secs(27),
        }
    }
}

/// What happens, as it happens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The registry listens.
    Registry {
        /// Where.
        address: String,
    },
    /// A component runs, on a node of its own.
    Started {
        /// Its name.
        component: &'static str,
    },
    /// The robot is on its way.
    Driving(Progress),
    /// The red button was pressed.
    Stopped {
        /// Who heard it.
        heard_by: Vec<String>,
        /// How long the broadcast took until its report was there.
        took: Duration,
    },
    /// The robot stands.
    Standing {
        /// How far it still rolled, in metres.
        rolled_m: f64,
    },
    /// The red button was released.
    Resumed,
    /// The robot is at the goal.
    Arrived,
    /// The picture was written.
    Picture {
        /// Where.
        path: PathBuf,
    },
}

/// Why the demo didn't come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Something of the runtime failed.
    #[error("{doing} failed")]
    Runtime {
        /// What was being done.
        doing: String,
        /// What the runtime says.
        source: botzilla::Error,
    },
    /// The robot gave up.
    #[error("{0}")]
    Mission(#[from] robot::messages::MissionFailed),
    /// The red button did not reach who it should.
    #[error("the emergency stop wasn't heard by {}", missed.join(", "))]
    NotHeard {
        /// Who should have heard it.
        missed: Vec<String>,
    },
    /// The robot moved although the red button was pressed.
    #[error("the robot did not stand still after the emergency stop: it rolled {rolled_m:.2} m")]
    RolledOn {
        /// How far.
        rolled_m: f64,
    },
    /// It took too long.
    #[error("not at the goal after {} s: {last}", deadline.as_secs())]
    TooLong {
        /// The time that it had.
        deadline: Duration,
        /// What was last known.
        last: String,
    },
    /// The picture could not be written.
    #[error("the picture could not be written to {path:?}")]
    Picture {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl DemoError {
    fn runtime(doing: impl Into<String>) -> impl FnOnce(botzilla::Error) -> Self {
        let doing = doing.into();
        |source| Self::Runtime { doing, source }
    }
}

/// Runs the demo to its end: within [`DemoOptions::deadline`] and a little. `on` hears what happens.
pub async fn run(options: &DemoOptions, mut on: impl FnMut(Event)) -> Result<Report, DemoError> {
    let began = Instant::now();
    let mut stage = Stage::default();
    let outcome = tokio::time::timeout(options.deadline, async {
        stage.start(options, &mut on).await?;
        stage.ride(options, &mut on).await
    });
    let outcome = outcome.await;
    let last = stage.last_known();
    // Whatever happened: nothing stays behind.
    let _ = tokio::time::timeout(GOODBYE, stage.shut_down()).await;
    let deadline = options.deadline;
    let outcome = outcome.unwrap_or(Err(DemoError::TooLong { deadline, last }));
    let (mut report, trace) = outcome?;
    report.wall_s = began.elapsed().as_secs_f64();
    if let Some(path) = &options.picture {
        let caption = format!(
            "{:.1} m in {:.1} s, {} plans, {} messages",
            report.path_m, report.wall_s, report.plans, report.messages
        );
        let drawing = picture::svg(&options.robot.room, &picture::Trace { caption, ..trace });
        std::fs::write(path, drawing).map_err(|source| {
            let path = path.clone();
            DemoError::Picture { path, source }
        })?;
        report.picture = Some(path.clone());
        on(Event::Picture { path: path.clone() });
    }
    Ok(report)
}
