//! Whether what fits a schema can have a certain part.

use serde_json::Value;

use super::{alternatives, resolved, type_of};

/// References within references end somewhere; what is deeper is taken for possible.
const DEEPEST: usize = 32;

/// Whether there can be a part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// There can, as far as the schema says.
    Possible,
    /// There never is; what there is instead, for people.
    No(String),
}

/// Whether what fits the schema can have the part that these steps lead to. A schema that says nothing
/// forbids nothing.
pub(crate) fn part(schema: &Value, steps: &[String]) -> Part {
    of(schema, schema, steps, 0)
}

fn of(schema: &Value, root: &Value, steps: &[String], depth: usize) -> Part {
    let Some((step, rest)) = steps.split_first() else {
        return Part::Possible;
    };
    let schema = resolved(schema, root);
    if depth > DEEPEST || schema.get("allOf").is_some() || schema.get("$ref").is_some() {
        return Part::Possible;
    }
    if let Some(alternatives) = alternatives(schema) {
        let tried = alternatives
            .iter()
            .map(|one| of(one, root, steps, depth + 1));
        let better = |all: Part, one: Part| match all {
            Part::Possible => all,
            Part::No(_) => one,
        };
        // From the last on: if none has it, the first tells what there is.
        return tried.rev().reduce(better).unwrap_or(Part::Possible);
    }
    let fields = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    match (fields, type_of(schema)) {
        (Some(fields), _) => match (fields.get(step), others) {
            (Some(field), _) => of(field, root, rest, depth + 1),
            (None, Some(others)) if *others != Value::Bool(false) => {
                of(others, root, rest, depth + 1)
            }
            // Our types have the fields that they say, whether or not the schema is strict.
            (None, _) => {
                let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                Part::No(format!("there is {}", names.join(", ")))
            }
        },
        (None, Some("array")) => {
            let Ok(at) = step.parse::<usize>() else {
                return Part::No(format!("there is a list; write [0] instead of {step}"));
            };
            let tuple = schema.get("prefixItems").and_then(Value::as_array);
            let item = tuple
                .and_then(|tuple| tuple.get(at))
                .or_else(|| schema.get("items"));
            item.map_or(Part::Possible, |item| of(item, root, rest, depth + 1))
        }
        (None, Some("object")) => match others {
            Some(others) => of(others, root, rest, depth + 1),
            None => Part::Possible,
        },
        (None, Some(other)) => Part::No(format!("there is only {other}, which has no parts")),
        (None, None) => Part::Possible,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_part_that_no_item_can_have_is_told_from_one_that_this_item_lacks() {
        let schema = json!({
            "type": "object",
            "properties": {
                "at": {"$ref": "#/$defs/Place"},
                "perhaps": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
                "ranges_m": {"type": "array", "items": {"type": "number"}},
                "tags": {"type": "object", "additionalProperties": {"type": "string"}},
                "count": {"type": ["integer", "null"]},
                "any": {},
            },
            "$defs": {"Place": {"type": "object", "properties": {"x_m": {"type": "number"}}}},
        });
        let steps = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        for path in [
            "at.x_m",
            "perhaps.x_m",
            "ranges_m.3",
            "tags.whatever",
            "count",
            "any.thing",
        ] {
            assert_eq!(part(&schema, &steps(path)), Part::Possible, "{path}");
        }
        for (path, known) in [
            ("x_m", "there is any, at, count, perhaps, ranges_m, tags"),
            ("at.y_m", "there is x_m"),
            ("perhaps.y_m", "there is x_m"),
            ("ranges_m.x", "there is a list; write [0] instead of x"),
            ("tags.a.b", "there is only string, which has no parts"),
            ("count.x", "there is only integer, which has no parts"),
        ] {
            let no = Part::No(known.to_owned());
            assert_eq!(part(&schema, &steps(path)), no, "{path}");
        }
        assert_eq!(part(&Value::Null, &steps("a.b")), Part::Possible);
    }
}
