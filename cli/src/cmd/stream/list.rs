//! Which streams there are.

use botzilla_wire::ident::Name;

use crate::{client::Client, error::CliError, output::Report};

pub(crate) async fn run(client: &Client, group: Option<Name>) -> Result<Report, CliError> {
    let (mut components, recovering) = client.list().await?;
    components.retain(|listed| !listed.streams.is_empty());
    if let Some(group) = &group {
        components.retain(|listed| listed.groups.iter().any(|one| *one == **group));
    }
    Ok(Report::Streams {
        components,
        recovering,
        group: group.map(|group| group.to_string()),
    })
}
