use serde_json::json;

use super::*;

fn checker() -> Checker {
    Checker::new(&json!({
        "title": "GoTo",
        "type": "object",
        "properties": {
            "linear_mps": {"type": "number"},
            "tries": {"type": "integer", "minimum": 0, "maximum": 255},
            "at": {"$ref": "#/$defs/Place"},
            "path": {"type": "array", "items": {"$ref": "#/$defs/Place"}},
            "via": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
            "mode": {"$ref": "#/$defs/Mode"},
            "gait": {"enum": ["Walk", "Trot"]}
        },
        "required": ["linear_mps"],
        "$defs": {
            "Place": {"type": "object", "properties": {"x_m": {"type": "number"}},
                      "required": ["x_m"]},
            "Mode": {"oneOf": [
                {"const": "Careful", "description": "slowly"},
                {"const": "Fast"},
                {"type": "object", "properties": {"Limited": {"type": "object",
                    "properties": {"mps": {"type": "number"}}, "required": ["mps"]}},
                 "required": ["Limited"], "additionalProperties": false}
            ]}
        }
    }))
    .unwrap()
}

fn fault(value: &Value) -> String {
    checker().faults(value).join("; ")
}

#[test]
fn a_value_that_fits_has_no_fault() {
    for value in [
        json!({"linear_mps": 1}),
        json!({"linear_mps": 0.5, "via": null, "mode": "Fast", "path": [{"x_m": 1}]}),
        json!({"linear_mps": 0.5, "mode": {"Limited": {"mps": 1}}, "gait": "Trot"}),
    ] {
        assert_eq!(fault(&value), "");
        assert!(checker().fits(&value));
    }
}

#[test]
fn each_fault_has_its_place_the_reason_and_what_was_meant() {
    for (value, expected) in [
        (
            json!({"linear_mp": 1}),
            "linear_mp: there is no such field, did you mean linear_mps?; linear_mps: it is missing",
        ),
        (
            json!({"linear_mps": 1, "colour": 1}),
            "colour: there is no such field, its fields are ",
        ),
        (
            json!({"linear_mps": "fast"}),
            r#"linear_mps: "fast" should be a number"#,
        ),
        (json!([1]), "the message: [1], a list, should be an object"),
        (
            json!({"linear_mps": 1, "tries": 300}),
            "tries: 300 is greater than the maximum of 255",
        ),
        (
            json!({"linear_mps": 1, "at": {"x": 1, "x_m": 1}}),
            "at.x: there is no such field",
        ),
        (
            json!({"linear_mps": 1, "path": [{"x_m": 1}, {"x_m": null}]}),
            "path[1].x_m: null should be a number",
        ),
        (
            json!({"linear_mps": 1, "via": {"x_m": true}}),
            "via.x_m: true should be a number",
        ),
        (
            json!({"linear_mps": 1, "via": 7}),
            r#"via: 7 should be {"x_m": number} | null"#,
        ),
        (
            json!({"linear_mps": 1, "gait": "Trott"}),
            r#"gait: "Trott" isn't "Walk" or "Trot", did you mean Trot?"#,
        ),
        (
            json!({"linear_mps": 1, "mode": "Fats"}),
            "did you mean Fast?",
        ),
        (
            json!({"linear_mps": 1, "mode": {"Limited": {"mps": "x"}}}),
            r#"mode.Limited.mps: "x" should be a number"#,
        ),
        (
            json!({"linear_mps": 1, "mode": {"Limitd": {"mps": 1}}}),
            "mode.Limitd: there is no such field, did you mean Limited?",
        ),
    ] {
        let found = fault(&value);
        assert!(found.contains(expected), "{value}: {found}");
    }
}

#[test]
fn a_struct_without_fields_takes_none_and_a_map_takes_any() {
    let empty = Checker::new(&json!({"title": "Get", "type": "object"})).unwrap();
    assert_eq!(
        empty.faults(&json!({"x": 1})),
        ["x: there is no such field, it has none"]
    );
    let map = json!({"title": "Map", "type": "object", "additionalProperties": {"type": "string"}});
    assert!(Checker::new(&map).unwrap().fits(&json!({"x": "1"})));
}
