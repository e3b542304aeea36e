//! A message out, its reply back.

use std::time::Instant;

use botzilla_wire::ident::Name;
use serde_json::Value;

use super::checked;
use crate::{client::Client, error::CliError, output::Report, plan::Outgoing};

pub(crate) async fn run(client: &Client, outgoing: Outgoing<Name>) -> Result<Report, CliError> {
    let Outgoing { to, message, .. } = &outgoing;
    let description = client.describe(to, Some(message)).await?;
    let (json, contract) = checked(&outgoing, &description)?;
    let began = Instant::now();
    let component = client.node().component(to);
    let asked = component
        .ask_json(message, &json, Some(client.left()))
        .await;
    let reply = asked.map_err(|error| client.call_error(to, Some(message), error.into_reason()))?;
    let took = began.elapsed();
    let reply = if contract.fallible() {
        opened(reply)
    } else {
        Ok(reply)
    };
    let (component, message) = (to.to_string(), outgoing.message);
    Ok(Report::Reply {
        component,
        message,
        reply,
        took,
    })
}

/// A `Result` in JSON is an object with one of two keys.
fn opened(reply: Value) -> Result<Value, Value> {
    match reply {
        Value::Object(mut fields) if fields.len() == 1 => {
            if let Some(error) = fields.remove("Err") {
                return Err(error);
            }
            match fields.remove("Ok") {
                Some(reply) => Ok(reply),
                None => Ok(Value::Object(fields)),
            }
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_is_opened_and_anything_else_is_left_alone() {
        assert_eq!(opened(json!({"Ok": {"x": 1}})), Ok(json!({"x": 1})));
        assert_eq!(opened(json!({"Err": "no"})), Err(json!("no")));
        for other in [json!(null), json!({"x": 1}), json!({"Ok": 1, "Err": 2})] {
            assert_eq!(opened(other.clone()), Ok(other));
        }
    }
}
