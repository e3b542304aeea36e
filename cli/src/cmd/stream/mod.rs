//! Streams: what there is is told at once; what comes is followed until somebody ends it.

mod echo;
mod follow;
pub(crate) mod info;
pub(crate) mod list;
mod measure;
mod publish;
mod silence;

use std::{
    io,
    time::{Duration, Instant},
};

use botzilla::NodeConfig;

use super::ending::Ending;
use crate::{
    client::{Client, GOODBYE},
    error::CliError,
    output::{Event, Screen},
    plan::{
        TIMEOUT,
        stream::{Live, LivePlan},
    },
};

/// Longer than anybody waits.
const WITHOUT_END: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// How long who reads the output has for the last of it: after a signal ..
const LAST_WORDS: Duration = Duration::from_millis(500);
/// .. and after --timeout.
const LATE_WORDS: Duration = Duration::from_secs(1);

/// What a command that goes on has to work with.
struct Stage<'a> {
    client: &'a Client,
    screen: &'a mut Screen,
    ending: &'a mut Ending,
    /// When its time is over, if that was said.
    deadline: Option<Instant>,
    timeout: Option<Duration>,
}

pub(crate) async fn run(
    config: NodeConfig,
    plan: LivePlan,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let LivePlan { verb, timeout } = plan;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    // Before anything that would have to be cleaned up.
    let mut ending = Ending::new()?;
    let connecting = timeout.unwrap_or(TIMEOUT);
    let connect = Client::connect_within(config, connecting, timeout.unwrap_or(WITHOUT_END));
    let client = tokio::select! {
        client = connect => client?,
        () = ending.wait() => return Err(interrupted("the registry was reached")),
    };
    let stage = Stage {
        client: &client,
        screen,
        ending: &mut ending,
        deadline,
        timeout,
    };
    let outcome = match verb {
        Live::Echo(plan) => echo::run(stage, plan).await,
        Live::Measure { what, figure } => measure::run(stage, what, figure).await,
        Live::Publish(plan) => {
            let published = publish::run(stage, plan).await;
            return publish::end(client, screen, &mut ending, published).await;
        }
    };
    client.close(GOODBYE).await;
    let read = last_words(screen, &mut ending, deadline).await;
    outcome.and(read)
}

/// Waits until what was shown is written, if whoever reads it does so in time.
async fn last_words(
    screen: &mut Screen,
    ending: &mut Ending,
    deadline: Option<Instant>,
) -> Result<(), CliError> {
    if !ending.has_come() {
        let deadline = deadline.map(|it| it.max(Instant::now() + LATE_WORDS));
        tokio::select! {
            written = screen.written() => return flow(written).map(drop),
            () = ending.wait() => {}
            () = time_is_over(deadline) => return Err(CliError::no(
                "nobody reads the output: not all of it was written",
            )),
        }
    }
    // A person who ends it wants no more of it; what is on its way may get there.
    match tokio::time::timeout(LAST_WORDS, screen.written()).await {
        Ok(written) => flow(written).map(drop),
        Err(_) => Ok(()),
    }
}

/// The end of its time, if there is one.
async fn time_is_over(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Somebody ended it before anything of what it is for was done.
fn interrupted(before: &str) -> CliError {
    CliError::answered_no("interrupted", format!("ended by a signal before {before}"))
}

impl Stage<'_> {
    /// Something that isn't what was asked for, and should be known.
    fn note(&mut self, text: &str) {
        self.screen.show(&Event::Note(text));
    }

    fn too_late(&self, text: &str) -> CliError {
        let timeout = self.timeout.unwrap_or_default();
        let text = format!("{text} within {timeout:?}; --timeout gives it longer");
        CliError::answered_no("expired", text)
    }
}

/// Whether there is anybody who still wants to see something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

/// Whoever reads our output and has seen enough (`| head -1`) ends the command, and well.
fn flow(shown: io::Result<()>) -> Result<Flow, CliError> {
    match shown {
        Ok(()) => Ok(Flow::On),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Flow::End),
        Err(error) => Err(CliError::not_asked(format!(
            "the output can't be written ({error}); check where it goes to"
        ))),
    }
}
