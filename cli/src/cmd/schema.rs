//! What a component understands.

use botzilla_wire::ident::Name;

use super::handler_of;
use crate::{client::Client, error::CliError, output::Report, schema::Contract};

pub(crate) async fn run(
    client: &Client,
    name: &Name,
    message: Option<&str>,
) -> Result<Report, CliError> {
    let description = client.describe(name, None).await?;
    let mut streams = description.streams.clone();
    let handlers: Vec<_> = match message {
        Some(message) => {
            streams.retain(|it| it.stream == message);
            match handler_of(&description, message) {
                Ok(handler) => vec![handler],
                Err(_) if !streams.is_empty() => Vec::new(),
                Err(error) => return Err(error),
            }
        }
        None => description.handlers.iter().collect(),
    };
    let contracts = handlers
        .into_iter()
        .map(|handler| Contract::new(&description.name, handler))
        .collect::<Result<_, _>>()?;
    Ok(Report::Schema {
        component: description.name,
        contracts,
        streams,
        whole: message.is_some(),
    })
}
