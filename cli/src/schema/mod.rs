//! What a message has to be: its JSON schema, checked, shown, and filled with an example.

mod check;
mod example;
mod part;
mod shape;

use botzilla::HandlerDescription;
use serde_json::{Value, json};

use self::{check::Checker, example::example};
pub(crate) use self::{
    part::{Part, part},
    shape::shape,
};
use crate::error::CliError;

/// One message that a component takes, and what it gives back.
pub(crate) struct Contract {
    component: String,
    handler: HandlerDescription,
    schema: Value,
    reply: Value,
    checker: Checker,
}

/// A message's types, as a person would write them down.
pub(crate) struct Shapes {
    pub(crate) takes: String,
    pub(crate) gives: String,
    pub(crate) fails: Option<String>,
}

/// So many faults are shown; the rest are counted.
const SHOWN: usize = 4;

impl Contract {
    pub(crate) fn new(component: &str, handler: &HandlerDescription) -> Result<Self, CliError> {
        let bad = |what: &str, error: &dyn std::fmt::Display| {
            let message = &handler.message;
            let text = format!(
                "{message} to {component:?}: its {what} can't be used: {error}; correct its \
                 JsonSchema"
            );
            CliError::answered_no("bad_schema", text)
        };
        let parsed = |what: &str, text: &str| {
            serde_json::from_str::<Value>(text).map_err(|error| bad(what, &error))
        };
        let schema = parsed("schema", &handler.schema)?;
        let reply = parsed("reply's schema", &handler.reply_schema)?;
        let checker = Checker::new(&schema).map_err(|error| bad("schema", &error))?;
        Ok(Self {
            component: component.to_owned(),
            handler: handler.clone(),
            schema,
            reply,
            checker,
        })
    }

    pub(crate) fn fallible(&self) -> bool {
        self.handler.fallible
    }

    pub(crate) fn handler(&self) -> &HandlerDescription {
        &self.handler
    }

    pub(crate) fn schema(&self) -> &Value {
        &self.schema
    }

    pub(crate) fn reply_schema(&self) -> &Value {
        &self.reply
    }

    /// What the message's author wrote about it, for whoever reads no Rust.
    pub(crate) fn about(&self) -> Option<String> {
        let text = self.schema.get("description")?.as_str()?;
        Some(text.replace("[`", "`").replace("`]", "`"))
    }

    /// What goes in, what comes back, and of a handler that may fail, its error: as types.
    pub(crate) fn shapes(&self) -> Shapes {
        let takes = shape(&self.schema);
        let ends = alternatives(&self.reply).filter(|_| self.fallible());
        let end = |name: &str| {
            let with_name = |one: &Value| one.get("properties")?.get(name).cloned();
            let part = ends?.iter().find_map(with_name)?;
            Some(shape(&with_definitions(part, &self.reply)))
        };
        match (end("Ok"), end("Err")) {
            (Some(gives), fails @ Some(_)) => Shapes {
                takes,
                gives,
                fails,
            },
            _ => Shapes {
                takes,
                gives: shape(&self.reply),
                fails: None,
            },
        }
    }

    /// One that fits, if one was found.
    pub(crate) fn example(&self) -> Option<Value> {
        example(&self.schema).filter(|example| self.checker.fits(example))
    }

    /// The JSON, if it fits; none given stands for the message without contents.
    pub(crate) fn check(&self, json: Option<Value>) -> Result<Value, CliError> {
        let json = match json {
            Some(json) => json,
            None if self.checker.fits(&Value::Null) && !self.checker.fits(&json!({})) => {
                Value::Null
            }
            None => json!({}),
        };
        let faults = self.checker.faults(&json);
        if faults.is_empty() {
            return Ok(json);
        }
        let mut text = format!(
            "{} for {:?} doesn't fit",
            self.handler.message, self.component
        );
        let rest = faults.len().saturating_sub(SHOWN);
        for (i, fault) in faults.into_iter().take(SHOWN).enumerate() {
            text.push_str(if i == 0 { ": " } else { "; " });
            text.push_str(&fault);
        }
        if rest > 0 {
            text.push_str(&format!("; and {rest} more"));
        }
        match self.example() {
            Some(example) => text.push_str(&format!("; this would fit: '{example}'")),
            None => text.push_str("; `botzilla schema` shows what would fit"),
        }
        Err(CliError::not_asked(text))
    }
}

/// A part of a schema on its own, with what its references lead to.
fn with_definitions(mut part: Value, root: &Value) -> Value {
    if let (Value::Object(keywords), Some(definitions)) = (&mut part, root.get("$defs")) {
        keywords.insert("$defs".to_owned(), definitions.clone());
    }
    part
}

/// The part of a schema that a reference leads to.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    // References to references end somewhere, or the schema is none.
    for _ in 0..16 {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return schema;
        };
        let Some(pointer) = reference.strip_prefix('#') else {
            return schema;
        };
        let Some(target) = root.pointer(pointer) else {
            return schema;
        };
        schema = target;
    }
    schema
}

/// The alternatives of a schema that has some.
fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    schema
        .get("oneOf")
        .or_else(|| schema.get("anyOf"))?
        .as_array()
}

/// The type that a schema names; the first that isn't null, if it names several.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names
                .clone()
                .find(|name| *name != "null")
                .or_else(|| names.next())
        }
        _ => None,
    }
}

/// Whether a schema that names several types names null.
fn is_nullable(schema: &Value) -> bool {
    let types = schema.get("type").and_then(Value::as_array);
    types.is_some_and(|types| types.iter().any(|name| name == "null"))
}
