//! What the commands do. Nothing is printed here: each gives a report.

mod broadcast;
mod call;
pub(crate) mod completions;
pub(crate) mod demo;
mod ending;
mod info;
pub(crate) mod key;
mod list;
pub(crate) mod policy;
pub(crate) mod registry;
mod schema;
pub(crate) mod stream;
mod tell;

use std::time::Duration;

use botzilla::{Description, HandlerDescription, NodeConfig, directory::similar};

use crate::{
    client::{Client, GOODBYE},
    error::CliError,
    output::Report,
    plan::{Ask, Outgoing},
    schema::Contract,
};

/// What a command may need beyond its time, should one of its waits not end by itself.
const GRACE: Duration = Duration::from_millis(250);

/// Asks as a short-lived node, and never for longer than `timeout` and a little.
pub(crate) async fn run(
    config: NodeConfig,
    timeout: Duration,
    what: Ask,
) -> Result<Report, CliError> {
    let client = Client::connect(config, timeout).await?;
    let asked = async {
        match what {
            Ask::List { group } => list::run(&client, group).await,
            Ask::Info { name } => info::run(&client, &name).await,
            Ask::Call(message) => call::run(&client, message).await,
            Ask::Tell { message, wait } => tell::run(&client, message, wait).await,
            Ask::Broadcast { message, wait } => broadcast::run(&client, message, wait).await,
            Ask::Schema { name, message } => schema::run(&client, &name, message.as_deref()).await,
            Ask::Streams { group } => stream::list::run(&client, group).await,
            Ask::StreamInfo { name } => stream::info::run(&client, &name).await,
        }
    };
    let outcome = tokio::time::timeout(client.left() + GRACE, asked).await;
    client.close(GOODBYE).await;
    outcome.unwrap_or_else(|_| {
        let text = format!("no end within {timeout:?}; --timeout gives it longer");
        Err(CliError::answered_no("expired", text))
    })
}

/// The handler that a message is for, or what there is instead.
fn handler_of<'a>(
    description: &'a Description,
    message: &str,
) -> Result<&'a HandlerDescription, CliError> {
    let handlers = &description.handlers;
    if let Some(handler) = handlers.iter().find(|handler| handler.message == message) {
        return Ok(handler);
    }
    let names: Vec<&str> = handlers.iter().map(|handler| &*handler.message).collect();
    let known = match &*similar(message, names.iter().copied()) {
        [] if names.is_empty() => "it handles none".to_owned(),
        [] => format!("it handles {}", names.join(", ")),
        close => format!("did you mean {}?", close.join(" or ")),
    };
    let name = &description.name;
    let text = format!("{message} to {name:?}: it has no handler for that; {known}");
    Err(CliError::answered_no("no_handler", text))
}

/// The message's JSON, once it is sure that it fits.
fn checked<To>(
    outgoing: &Outgoing<To>,
    description: &Description,
) -> Result<(serde_json::Value, Contract), CliError> {
    let handler = handler_of(description, &outgoing.message)?;
    let contract = Contract::new(&description.name, handler)?;
    let json = contract.check(outgoing.json.clone())?;
    Ok((json, contract))
}
