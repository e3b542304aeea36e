//! One component in full: what its node says, and what the registry says about that node.

use botzilla_wire::ident::Name;

use crate::{client::Client, error::CliError, output::Report};

pub(crate) async fn run(client: &Client, name: &Name) -> Result<Report, CliError> {
    let description = client.describe(name, None).await?;
    // The registry doesn't register itself, nor what belongs to the runtime.
    let found = client.resolve(name).await?.found;
    let node = found
        .map(|found| found.node)
        .filter(|node| node.id == description.node);
    Ok(Report::Info {
        description: Box::new(description),
        node,
    })
}
