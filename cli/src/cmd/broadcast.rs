//! A message for all who listen, and who got it.

use std::time::Duration;

use botzilla::directory::messages::Listed;
use botzilla_wire::ident::Name;
use serde_json::{Value, json};

use super::checked;
use crate::{client::Client, error::CliError, output::Report, plan::Outgoing};

/// Of the time that is left, what a listener may take to describe itself.
const ASKING_FIRST: f64 = 0.25;

pub(crate) async fn run(
    client: &Client,
    outgoing: Outgoing<Option<Name>>,
    wait: bool,
) -> Result<Report, CliError> {
    let Outgoing {
        to: group,
        message,
        json,
    } = &outgoing;
    let (components, recovering) = client.list_now().await?;
    let asked_first = tokio::time::timeout(
        client.left().mul_f64(ASKING_FIRST),
        check_with_a_listener(client, &outgoing, &components),
    );
    let payload = match asked_first.await {
        Ok(checked) => checked?,
        // It is on its way to the others all the same: it may be an emergency.
        Err(_) => None,
    };
    let payload = payload
        .or_else(|| json.clone())
        .unwrap_or_else(|| json!({}));
    let group = group.as_deref();
    let left = client.left().mul_f64(0.9).max(Duration::from_millis(1));
    let sent = client
        .node()
        .broadcast_json(message, &payload, group, left, wait)
        .await;
    let report = sent.map_err(|error| {
        client.call_error(
            group.unwrap_or("everyone"),
            Some(message),
            error.into_reason(),
        )
    })?;
    let group = group.map(str::to_owned);
    Ok(Report::Broadcast {
        message: message.clone(),
        group,
        wait,
        recovering,
        report,
    })
}

/// One of those who listen says what the message has to be; none may be there.
async fn check_with_a_listener(
    client: &Client,
    outgoing: &Outgoing<Option<Name>>,
    components: &[Listed],
) -> Result<Option<Value>, CliError> {
    let Outgoing {
        to: group, message, ..
    } = outgoing;
    let listens = |listed: &&Listed| {
        let is_meant = group
            .as_deref()
            .is_none_or(|group| listed.groups.iter().any(|one| one == group));
        is_meant
            && listed
                .messages
                .iter()
                .any(|it| it.name == *message && it.broadcast)
    };
    for listed in components.iter().filter(listens) {
        let Ok(name) = Name::new(&listed.name) else {
            continue;
        };
        let Ok(description) = client.describe(&name, Some(message)).await else {
            continue;
        };
        return checked(outgoing, &description).map(|(json, _)| Some(json));
    }
    Ok(None)
}
