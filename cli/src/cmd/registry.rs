//! Runs a registry until it is told to end.

use botzilla_registry::{Registry, RunningRegistry};

use crate::{error::CliError, output::Report, plan::RegistryPlan};

pub(crate) async fn start(plan: RegistryPlan) -> Result<(Report, RunningRegistry), CliError> {
    let RegistryPlan {
        listen,
        secret,
        fresh,
    } = plan;
    let mut registry = Registry::new(listen, secret)?;
    if fresh {
        registry = registry.fresh();
    }
    let running = registry.start().await?;
    // As bound: what others reach it at depends on where they are.
    let address = running
        .node()
        .address()
        .unwrap_or_else(|| running.address());
    Ok((Report::Listening { address, fresh }, running))
}

pub(crate) async fn serve(running: &RunningRegistry) -> Result<(), CliError> {
    Ok(running.node().until_shutdown().await?)
}
