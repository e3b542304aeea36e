//! A schema as a person would write the type down: `{"x_m": number, "tags"?: [string]}`.

use serde_json::Value;

use super::{alternatives, is_nullable, resolved, type_of};

/// Types within types within types are named instead of shown.
const DEEPEST: usize = 2;

pub(crate) fn shape(schema: &Value) -> String {
    of(schema, schema, 0)
}

fn of(schema: &Value, root: &Value, depth: usize) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = resolved(schema, root);
        if depth >= DEEPEST || std::ptr::eq(target, schema) {
            return reference.rsplit('/').next().unwrap_or(reference).to_owned();
        }
        return of(target, root, depth + 1);
    }
    if let Some(fixed) = schema.get("const") {
        return fixed.to_string();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return joined(values.iter().map(ToString::to_string));
    }
    if let Some(alternatives) = alternatives(schema) {
        return joined(alternatives.iter().map(|one| of(one, root, depth)));
    }
    let text = match type_of(schema) {
        Some("array") => array(schema, root, depth),
        Some("object") => object(schema, root, depth),
        Some(name) => name.to_owned(),
        None if schema.get("properties").is_some() => object(schema, root, depth),
        None => "anything".to_owned(),
    };
    if is_nullable(schema) {
        format!("{text} | null")
    } else {
        text
    }
}

/// Twice the same is said once.
fn joined(parts: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = Vec::new();
    for part in parts {
        if !all.contains(&part) {
            all.push(part);
        }
    }
    all.join(" | ")
}

fn array(schema: &Value, root: &Value, depth: usize) -> String {
    if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
        let items: Vec<_> = items.iter().map(|item| of(item, root, depth)).collect();
        return format!("[{}]", items.join(", "));
    }
    match schema.get("items") {
        Some(item) => format!("[{}, ..]", of(item, root, depth)),
        None => "[..]".to_owned(),
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> String {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    let fields = schema.get("properties").and_then(Value::as_object);
    let mut parts: Vec<String> = fields
        .into_iter()
        .flatten()
        .map(|(name, field)| {
            let mark = if is_required(name) { "" } else { "?" };
            format!("{}{mark}: {}", Value::from(&**name), of(field, root, depth))
        })
        .collect();
    if fields.is_none()
        && let Some(entry) = schema
            .get("additionalProperties")
            .filter(|it| it.is_object())
    {
        parts.push(format!("any name: {}", of(entry, root, depth)));
    }
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_reads_like_the_json_that_it_takes() {
        let schema = json!({
            "type": "object",
            "properties": {
                "at": {"$ref": "#/$defs/Place"},
                "mode": {"enum": ["Fast", "Slow"]},
                "note": {"type": ["string", "null"]},
                "path": {"type": "array", "items": {"$ref": "#/$defs/Place"}},
                "self": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
            },
            "required": ["at", "mode"],
            "$defs": {"Place": {"type": "object", "properties": {"x": {"type": "number"}},
                                "required": ["x"]}}
        });
        let text = shape(&schema);
        assert!(
            text.starts_with(
                r#"{"at": {"x": number}, "mode": "Fast" | "Slow", "note"?: string | null, "#
            ),
            "{text}"
        );
        assert!(text.contains(r#""path"?: [{"x": number}, ..]"#), "{text}");
        assert!(text.len() < 1000, "{text}");
    }
}
