//! Runs a registry until it is told to end.

use std::time::Duration;

use botzilla_registry::{Registry, RunningRegistry};

use super::ending::Ending;
use crate::{error::CliError, output::Report, plan::RegistryPlan};

/// What its goodbyes may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// A registry that listens, and what ends it.
pub(crate) struct Serving {
    registry: RunningRegistry,
    ending: Ending,
}

pub(crate) async fn start(plan: RegistryPlan) -> Result<(Report, Serving), CliError> {
    let RegistryPlan { node, fresh } = plan;
    let mut registry = Registry::with(*node);
    if fresh {
        registry = registry.fresh();
    }
    // Before anybody is told that it runs: whoever is may end it at once.
    let ending = Ending::new()?;
    let registry = registry.start().await?;
    // Its secrets may be rotated while it runs.
    registry.node().reload_at_sighup().await?;
    // As bound: what others reach it at depends on where they are.
    let bound = registry.node().address();
    let address = bound.unwrap_or_else(|| registry.address());
    Ok((
        Report::Listening { address, fresh },
        Serving { registry, ending },
    ))
}

/// Until Ctrl-C, or SIGTERM.
pub(crate) async fn serve(mut serving: Serving) {
    serving.ending.wait().await;
    serving.registry.shutdown(GOODBYE).await;
}
