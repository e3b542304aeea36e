//! A value that a schema would take, as small and as telling as can be.

use serde_json::{Map, Value, json};

use super::{alternatives, resolved, type_of};

/// Deeper than this, only a recursive type goes on.
const DEEPEST: usize = 12;

/// A value for this schema; whether it fits is for the caller to check.
pub(crate) fn example(schema: &Value) -> Option<Value> {
    of(schema, schema, 0)
}

fn of(schema: &Value, root: &Value, depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    let own = |key: &str| schema.get(key).cloned();
    if let Some(given) = own("const").or_else(|| own("default")) {
        return Some(given);
    }
    for key in ["examples", "enum"] {
        if let Some(first) = schema
            .get(key)
            .and_then(Value::as_array)
            .and_then(|all| all.first())
        {
            return Some(first.clone());
        }
    }
    if schema.get("$ref").is_some() {
        let target = resolved(schema, root);
        return if std::ptr::eq(target, schema) {
            None
        } else {
            of(target, root, depth + 1)
        };
    }
    if let Some(alternatives) = alternatives(schema) {
        let is_null = |one: &&Value| type_of(one) == Some("null");
        let some = alternatives.iter().filter(|one| !is_null(one));
        let none = alternatives.iter().filter(is_null);
        return some.chain(none).find_map(|one| of(one, root, depth + 1));
    }
    if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
        let mut whole = object(schema, root, depth)?;
        for one in all {
            if let Value::Object(part) = of(one, root, depth + 1)? {
                whole.extend(part);
            }
        }
        return Some(Value::Object(whole));
    }
    Some(match type_of(schema) {
        Some("string") => json!(string(schema)),
        Some("integer") => schema
            .get("minimum")
            .filter(|it| it.is_i64())
            .cloned()
            .unwrap_or(json!(0)),
        Some("number") => schema.get("minimum").cloned().unwrap_or(json!(0.0)),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some("array") => Value::Array(array(schema, root, depth)?),
        Some("object") => Value::Object(object(schema, root, depth)?),
        _ if schema.get("properties").is_some() => Value::Object(object(schema, root, depth)?),
        _ => json!({}),
    })
}

fn string(schema: &Value) -> String {
    let one_char = schema.get("maxLength") == Some(&json!(1));
    let shortest = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
    if one_char {
        "a".to_owned()
    } else {
        "a".repeat(shortest.clamp(1, 64) as usize)
    }
}

fn array(schema: &Value, root: &Value, depth: usize) -> Option<Vec<Value>> {
    let first = schema.get("prefixItems").and_then(Value::as_array);
    let mut items = first
        .into_iter()
        .flatten()
        .map(|item| of(item, root, depth + 1))
        .collect::<Option<Vec<_>>>()?;
    let shortest = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
    let item = schema.get("items").filter(|item| item.is_object());
    // One item tells more than none; of many, the first tells all.
    let wanted = if items.is_empty() {
        shortest.max(1)
    } else {
        shortest
    };
    while (items.len() as u64) < wanted.min(64) {
        match item.and_then(|item| of(item, root, depth + 1)) {
            Some(item) => items.push(item),
            // A list of what goes on for ever may still be empty.
            None if shortest == 0 => break,
            None => return None,
        }
    }
    Some(items)
}

fn object(schema: &Value, root: &Value, depth: usize) -> Option<Map<String, Value>> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut fields = Map::new();
    for (name, field) in properties.into_iter().flatten() {
        if required.contains(&&**name) {
            fields.insert(name.clone(), of(field, root, depth + 1)?);
        }
    }
    // A map shows how its entries look.
    if properties.is_none()
        && let Some(entry) = schema
            .get("additionalProperties")
            .filter(|it| it.is_object())
        && let Some(value) = of(entry, root, depth + 1)
    {
        fields.insert("key".to_owned(), value);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_what_is_required_and_ends_where_a_type_contains_itself() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "speed": {"type": "number"},
                "gear": {"type": "integer", "minimum": 1},
                "at": {"$ref": "#/$defs/Place"},
                "note": {"type": "string"},
                "how": {"oneOf": [{"type": "null"}, {"const": "Fast"}]},
                "children": {"type": "array", "items": {"$ref": "#"}},
                "pair": {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}],
                         "minItems": 2, "maxItems": 2},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}}
            },
            "required": ["name", "speed", "gear", "at", "how", "children", "pair", "labels"],
            "$defs": {"Place": {"type": "object", "properties": {"x": {"type": "number"}},
                                "required": ["x"]}}
        });
        let expected = json!({
            "name": "a", "speed": 0.0, "gear": 1, "at": {"x": 0.0}, "how": "Fast", "children": [],
            "pair": [false, null], "labels": {"key": "a"}
        });
        let mut found = example(&schema).unwrap();
        // However deep it went before it ended.
        found["children"] = json!([]);
        assert_eq!(found, expected);
    }
}
