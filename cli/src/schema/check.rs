//! What is wrong with a value, by a JSON schema, in words.

use botzilla::directory::similar;
use jsonschema::{
    ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use serde_json::Value;

use super::{resolved, shape::shape, with_definitions};

/// A schema, ready to check with.
pub(crate) struct Checker {
    schema: Value,
    validator: Validator,
}

impl Checker {
    pub(crate) fn new(schema: &Value) -> Result<Self, String> {
        let mut schema = schema.clone();
        forbid_unknown_fields(&mut schema);
        let options = jsonschema::options().should_validate_formats(false);
        let validator = options.build(&schema).map_err(|error| error.to_string())?;
        Ok(Self { schema, validator })
    }

    pub(crate) fn fits(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// Each with its place, the reason, and what was probably meant.
    pub(crate) fn faults(&self, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        for error in self.validator.iter_errors(value) {
            self.explain(value, &error, &mut faults);
        }
        faults.dedup();
        faults
    }

    fn explain(&self, whole: &Value, error: &ValidationError<'_>, faults: &mut Vec<String>) {
        let place = Place::of(error);
        let instance = error.instance();
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                let known = self.fields_at(error);
                for name in unexpected {
                    faults.push(format!(
                        "{}: there is no such field{}",
                        place.field(name),
                        meant(name, &known)
                    ));
                }
            }
            // Of a struct without fields; the error names none, but they are all too many.
            Kind::FalseSchema => {
                let at = whole.pointer(error.instance_path().as_str());
                for (name, _) in at.and_then(Value::as_object).into_iter().flatten() {
                    faults.push(format!(
                        "{}: there is no such field, it has none",
                        place.field(name)
                    ));
                }
            }
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                faults.push(format!("{}: it is missing", place.field(name)));
            }
            Kind::Type { kind } => {
                faults.push(format!(
                    "{place}: {} should be {}",
                    shown(instance),
                    types(kind)
                ));
            }
            Kind::Enum { options } => {
                let options: Vec<_> = options.as_array().into_iter().flatten().collect();
                faults.push(format!(
                    "{place}: {} isn't {}",
                    shown(instance),
                    choice(instance, &options)
                ));
            }
            Kind::Constant { expected_value } => {
                faults.push(format!(
                    "{place}: {} should be {expected_value}",
                    shown(instance)
                ));
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.explain_best(whole, error, context, faults);
            }
            // Its text shows the value and the bound.
            _ => faults.push(format!("{place}: {}", cut(&error.to_string()))),
        }
    }

    /// Of several ways to be right, the one that was probably meant.
    fn explain_best(
        &self,
        whole: &Value,
        error: &ValidationError<'_>,
        branches: &[Vec<ValidationError<'static>>],
        faults: &mut Vec<String>,
    ) {
        let depth = |error: &ValidationError<'_>| Place::of(error).0.len();
        let here = depth(error);
        // A branch whose faults all lie deeper has the right kind of value; one that dislikes the
        // kind of value itself wasn't meant.
        let rank = |errors: &Vec<ValidationError<'static>>| {
            let is_kind = |one: &ValidationError<'_>| {
                depth(one) == here
                    && matches!(
                        one.kind(),
                        Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. }
                    )
            };
            let is_here = |one: &ValidationError<'_>| depth(one) == here;
            match (errors.iter().any(is_kind), errors.iter().any(is_here)) {
                (true, _) => 2,
                (_, true) => 1,
                _ => 0,
            }
        };
        let best = branches
            .iter()
            .min_by_key(|errors| (rank(errors), errors.len()));
        let second_rank = branches.iter().filter(|errors| rank(errors) < 2).count();
        match best {
            Some(errors) if rank(errors) == 0 || (rank(errors) == 1 && second_rank == 1) => {
                for error in errors {
                    self.explain(whole, error, faults);
                }
            }
            _ => {
                let place = Place::of(error);
                let schema = self.schema_at(error).unwrap_or(&self.schema);
                let mut options = shape_under(schema, &self.schema);
                if let Some(name) = named(error.instance()) {
                    let names: Vec<&str> = options.split('"').skip(1).step_by(2).collect();
                    let meant = meant_only(name, &names);
                    options.push_str(&meant);
                }
                faults.push(format!(
                    "{place}: {} should be {options}",
                    shown(error.instance())
                ));
            }
        }
    }

    /// The schema that an error's keyword stands in.
    fn schema_at(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let pointer = error.schema_path().as_str();
        let (parent, _) = pointer.rsplit_once('/')?;
        // A path through a reference isn't one in the text: it is followed step by step.
        let mut at = &self.schema;
        for step in parent.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            if step == "$ref" {
                at = resolved(at, &self.schema);
                continue;
            }
            at = match at {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                other => other.get(&step)?,
            };
        }
        Some(at)
    }

    fn fields_at(&self, error: &ValidationError<'_>) -> Vec<&str> {
        let fields = self
            .schema_at(error)
            .and_then(|it| it.get("properties")?.as_object());
        fields
            .into_iter()
            .flatten()
            .map(|(name, _)| &**name)
            .collect()
    }
}

/// Who takes the message refuses fields that it doesn't know, whether its schema says so or not.
fn forbid_unknown_fields(schema: &mut Value) {
    const COMPOSED: [&str; 6] = [
        "allOf",
        "anyOf",
        "oneOf",
        "$ref",
        "patternProperties",
        "unevaluatedProperties",
    ];
    let Value::Object(keywords) = schema else {
        return;
    };
    let is_object = keywords.contains_key("properties")
        || keywords.get("type").is_some_and(|name| name == "object");
    if is_object && !COMPOSED.iter().any(|key| keywords.contains_key(*key)) {
        keywords
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
    for (keyword, below) in keywords {
        match (&**keyword, below) {
            ("properties" | "$defs" | "patternProperties", Value::Object(named)) => {
                named.values_mut().for_each(forbid_unknown_fields);
            }
            ("oneOf" | "anyOf" | "allOf" | "prefixItems", Value::Array(all)) => {
                all.iter_mut().for_each(forbid_unknown_fields);
            }
            ("items" | "additionalProperties", one) => forbid_unknown_fields(one),
            _ => {}
        }
    }
}

/// Where in the message: `path[2].x_m`.
struct Place(Vec<Step>);

enum Step {
    Field(String),
    Item(usize),
}

impl Place {
    fn of(error: &ValidationError<'_>) -> Self {
        let steps = error.instance_path().as_str().split('/').skip(1);
        Self(
            steps
                .map(|step| match step.parse() {
                    Ok(index) => Step::Item(index),
                    Err(_) => Step::Field(step.replace("~1", "/").replace("~0", "~")),
                })
                .collect(),
        )
    }

    fn field(&self, name: &str) -> String {
        if self.0.is_empty() {
            name.to_owned()
        } else {
            format!("{self}.{name}")
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the message");
        }
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Field(name) if i == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

/// `; did you mean ..?`, or which there are.
fn meant(name: &str, known: &[&str]) -> String {
    match &*meant_only(name, known) {
        "" if known.is_empty() => ", it has none".to_owned(),
        "" => format!(", its fields are {}", known.join(", ")),
        meant => meant.to_owned(),
    }
}

fn meant_only(name: &str, known: &[&str]) -> String {
    match &*similar(name, known.iter().copied()) {
        [] => String::new(),
        close => format!(", did you mean {}?", close.join(" or ")),
    }
}

/// How a variant of an enum is named in JSON.
fn named(value: &Value) -> Option<&str> {
    match value {
        Value::String(name) => Some(name),
        Value::Object(fields) if fields.len() == 1 => fields.keys().next().map(|name| &**name),
        _ => None,
    }
}

fn shape_under(schema: &Value, root: &Value) -> String {
    cut(&shape(&with_definitions(schema.clone(), root)))
}

fn choice(value: &Value, options: &[&Value]) -> String {
    let texts: Vec<String> = options.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = options
        .iter()
        .filter_map(|option| option.as_str())
        .collect();
    let meant = value
        .as_str()
        .map(|name| meant_only(name, &names))
        .unwrap_or_default();
    format!("{}{meant}", texts.join(" or "))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => format!("{}, an object,", cut(&value.to_string())),
        Value::Array(_) => format!("{}, a list,", cut(&value.to_string())),
        other => cut(&other.to_string()),
    }
}

fn types(kind: &TypeKind) -> String {
    let article = |name: &str| match name {
        "null" => "null".to_owned(),
        "integer" | "object" => format!("an {name}"),
        "array" => "a list".to_owned(),
        other => format!("a {other}"),
    };
    match kind {
        TypeKind::Single(one) => article(&one.to_string()),
        TypeKind::Multiple(many) => many
            .iter()
            .map(|one| article(&one.to_string()))
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

fn cut(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
