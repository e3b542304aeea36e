//! The items of a stream, as they come.

use std::{collections::BTreeSet, time::Duration};

use botzilla::Item;
use serde_json::Value;

use super::{
    Stage,
    follow::{Follower, follow},
    interrupted,
};
use crate::{
    client::Client,
    error::CliError,
    output::{Event, Item as Shown},
    plan::stream::{EchoPlan, Field, stream_name},
    schema::{Part, part},
};

/// What a publisher has to tell its schema in, for the sake of the fields.
const ASKED: Duration = Duration::from_secs(1);

pub(super) async fn run(stage: Stage<'_>, plan: EchoPlan) -> Result<(), CliError> {
    if !plan.fields.is_empty() {
        let schema = tokio::select! {
            schema = schema(stage.client, &plan.what.selector) => schema,
            () = stage.ending.wait() => return Err(interrupted("an item came")),
        };
        for field in &plan.fields {
            is_possible(field, &schema)?;
        }
    }
    let subscribe = stage.client.node().subscribe_json(&plan.what.selector);
    let mut echo = Echo {
        fields: plan.fields,
        seen: BTreeSet::new(),
    };
    follow(stage, &plan.what, subscribe, &mut echo).await
}

struct Echo {
    fields: Vec<Field>,
    /// The streams of which an item came.
    seen: BTreeSet<String>,
}

impl Follower<Value> for Echo {
    fn item(&mut self, stage: &mut Stage<'_>, item: &Item<Value>, missed: u64) {
        if !self.fields.is_empty() && !self.seen.contains(item.stream()) {
            self.seen.insert(item.stream().to_owned());
            let missing = self.fields.iter().filter(|field| field.of(item).is_none());
            for field in missing {
                // Its type may allow it: a later item can have it.
                stage.note(&format!(
                    "--field {:?}: the first item of {} has no such part; {}",
                    field.text,
                    item.stream(),
                    parts(item)
                ));
            }
        }
        stage.screen.show(&Event::Item(Shown {
            stream: item.stream(),
            seq: item.seq(),
            age: item.age(),
            missed,
            thinned: item.thinned(),
            restarted: item.restarted(),
            value: item,
            fields: &self.fields,
        }));
    }
}

/// The schema of a stream's items, if it is one stream and its publisher is there to say.
async fn schema(client: &Client, selector: &str) -> Value {
    let Ok(name) = stream_name(selector) else {
        return Value::Null;
    };
    let asked = client.describe(&name.component, None);
    let Ok(Ok(description)) = tokio::time::timeout(ASKED, asked).await else {
        return Value::Null;
    };
    let mut streams = description.streams.into_iter();
    let found = streams.find(|it| it.stream == name.stream);
    found
        .and_then(|it| serde_json::from_str(&it.schema).ok())
        .unwrap_or_default()
}

/// A field that no item can have was typed wrong.
fn is_possible(field: &Field, schema: &Value) -> Result<(), CliError> {
    match part(schema, &field.steps) {
        Part::Possible => Ok(()),
        Part::No(known) => Err(CliError::not_asked(format!(
            "--field {:?}: the items have no such part; {known}",
            field.text
        ))),
    }
}

fn parts(item: &Value) -> String {
    match item {
        Value::Object(fields) if !fields.is_empty() => {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            format!("it has {}", names.join(", "))
        }
        Value::Array(elements) => format!("it is a list of {}", elements.len()),
        _ => "it has no fields".to_owned(),
    }
}
