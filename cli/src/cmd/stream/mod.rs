//! Streams: what there is is told at once; what comes is followed until somebody ends it.

mod echo;
mod follow;
pub(crate) mod info;
pub(crate) mod list;
mod measure;
mod publish;

use std::{
    io,
    time::{Duration, Instant},
};

use botzilla::NodeConfig;

use super::ending::Ending;
use crate::{
    client::Client,
    error::CliError,
    output::Event,
    plan::{
        TIMEOUT,
        stream::{Live, LivePlan},
    },
};

/// Longer than anybody waits.
const WITHOUT_END: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Shows what comes, as it comes.
pub(crate) type Show<'a> = &'a mut (dyn FnMut(Event<'_>) -> io::Result<()> + 'a);

/// What a command that goes on has to work with.
struct Stage<'a> {
    client: &'a Client,
    show: Show<'a>,
    ending: Ending,
    /// When its time is over, if that was said.
    deadline: Option<Instant>,
    timeout: Option<Duration>,
}

pub(crate) async fn run(
    config: NodeConfig,
    plan: LivePlan,
    show: Show<'_>,
) -> Result<(), CliError> {
    let LivePlan { verb, timeout } = plan;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    // Before anything that would have to be cleaned up.
    let ending = Ending::new()?;
    let connecting = timeout.unwrap_or(TIMEOUT);
    let client = Client::connect_within(config, connecting, timeout.unwrap_or(WITHOUT_END)).await?;
    let stage = Stage {
        client: &client,
        show,
        ending,
        deadline,
        timeout,
    };
    let outcome = match verb {
        Live::Echo(plan) => echo::run(stage, plan).await,
        Live::Measure { what, figure } => measure::run(stage, what, figure).await,
        Live::Publish(plan) => publish::run(stage, plan).await,
    };
    client.close().await;
    outcome
}

impl Stage<'_> {
    /// The end of its time, if there is one.
    async fn time_is_over(deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Something that isn't what was asked for, and should be known.
    fn note(&mut self, text: &str) -> Result<Flow, CliError> {
        flow((self.show)(Event::Note(text)))
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
