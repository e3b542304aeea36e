//! Who is there.

use botzilla_wire::ident::Name;

use crate::{client::Client, error::CliError, output::Report};

pub(crate) async fn run(client: &Client, group: Option<Name>) -> Result<Report, CliError> {
    let (mut components, recovering) = client.list().await?;
    if let Some(group) = &group {
        components.retain(|listed| listed.groups.iter().any(|one| *one == **group));
    }
    Ok(Report::List {
        components,
        recovering,
        group: group.map(|group| group.to_string()),
    })
}
