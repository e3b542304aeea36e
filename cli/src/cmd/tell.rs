//! A message out, and how it ended.

use botzilla::{CallError, Reason};
use botzilla_wire::ident::Name;

use super::checked;
use crate::{client::Client, error::CliError, output::Report, plan::Outgoing};

pub(crate) async fn run(
    client: &Client,
    outgoing: Outgoing<Name>,
    wait: bool,
) -> Result<Report, CliError> {
    let Outgoing { to, message, .. } = &outgoing;
    let failed = |error: CallError| client.call_error(to, Some(message), error.into_reason());
    let description = client.describe(to, Some(message)).await?;
    let (json, _) = checked(&outgoing, &description)?;
    let component = client.node().component(to);
    let sent = component
        .tell_json(message, &json, Some(client.left()))
        .await
        .map_err(failed)?;
    if wait {
        let ended = tokio::time::timeout(client.left(), sent).await;
        let late = Reason::Expired {
            after: client.left(),
            may_have_run: true,
        };
        ended
            .map_err(|_| client.call_error(to, Some(message), late))?
            .map_err(failed)?;
    } else {
        // The connection's end waits until it is written.
        drop(sent);
    }
    Ok(Report::Told {
        component: to.to_string(),
        message: message.clone(),
        delivered: wait,
    })
}
