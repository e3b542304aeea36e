//! The items of a stream, as they come.

use botzilla::Item;
use serde_json::Value;

use super::{
    Flow, Stage, flow,
    follow::{Follower, follow},
};
use crate::{
    error::CliError,
    output::{Event, Item as Shown},
    plan::stream::{EchoPlan, Field},
};

pub(super) async fn run(stage: Stage<'_>, plan: EchoPlan) -> Result<(), CliError> {
    let subscribe = stage.client.node().subscribe_json(&plan.what.selector);
    let mut echo = Echo {
        fields: plan.fields,
        are_known: false,
    };
    follow(stage, &plan.what, subscribe, &mut echo).await
}

struct Echo {
    fields: Vec<Field>,
    /// They were found in an item once.
    are_known: bool,
}

impl Follower<Value> for Echo {
    fn item(&mut self, stage: &mut Stage<'_>, item: &Item<Value>) -> Result<Flow, CliError> {
        if !self.are_known {
            for field in &self.fields {
                is_there(field, item)?;
            }
            self.are_known = true;
        }
        flow((stage.show)(Event::Item(Shown {
            stream: item.stream(),
            seq: item.seq(),
            age: item.age(),
            missed: item.missed(),
            thinned: item.thinned(),
            restarted: item.restarted(),
            value: item,
            fields: &self.fields,
        })))
    }
}

/// A field that the first item hasn't is one that was typed wrong; later ones may be without.
fn is_there(field: &Field, item: &Value) -> Result<(), CliError> {
    if field.of(item).is_some() {
        return Ok(());
    }
    let known = match item {
        Value::Object(fields) if !fields.is_empty() => {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            format!("it has {}", names.join(", "))
        }
        Value::Array(elements) => format!("it is a list of {}", elements.len()),
        _ => "it has no fields".to_owned(),
    };
    Err(CliError::not_asked(format!(
        "--field {:?}: the item has no such part; {known}",
        field.text
    )))
}
