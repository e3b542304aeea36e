//! One stream in full: what its publisher's node says.

use botzilla::directory::similar;

use crate::{client::Client, error::CliError, output::Report, plan::stream::StreamName};

pub(crate) async fn run(client: &Client, name: &StreamName) -> Result<Report, CliError> {
    let description = client.describe(&name.component, None).await?;
    let streams = description.streams;
    let names: Vec<String> = streams.iter().map(|it| it.stream.clone()).collect();
    let found = streams.into_iter().find(|it| it.stream == name.stream);
    let Some(report) = found else {
        let known = match &*similar(&name.stream, names.iter().map(String::as_str)) {
            [] if names.is_empty() => "it publishes none".to_owned(),
            [] => format!("it publishes {}", names.join(", ")),
            close => format!("did you mean {}?", close.join(" or ")),
        };
        let component = &name.component;
        let text = format!("{component:?} has no stream {:?}; {known}", name.stream);
        return Err(CliError::answered_no("no_such_stream", text));
    };
    Ok(Report::Stream {
        name: name.clone(),
        node: description.node,
        report: Box::new(report),
    })
}
