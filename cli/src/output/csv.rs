//! Items as lines of a table with commas.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::plan::stream::Field;

/// A table whose columns are what its first item has.
#[derive(Debug, Default)]
pub(super) struct Csv {
    columns: Option<Vec<String>>,
    /// A column that a later item has besides was told of.
    was_told: bool,
}

/// A line for an item.
pub(super) struct Line {
    /// The heading before it, if it is the first.
    pub(super) heading: Option<String>,
    pub(super) line: String,
    /// What of it has no column, the first time that there is such.
    pub(super) left_out: Option<String>,
}

impl Csv {
    /// `first` goes before the item's own columns.
    pub(super) fn line(
        &mut self,
        first: &[(&str, String)],
        item: &Value,
        fields: &[Field],
    ) -> Line {
        let taken = first.iter().map(|(name, _)| (*name).to_owned());
        let cells = cells(item, fields, taken.collect());
        let mut heading = None;
        let columns = self.columns.get_or_insert_with(|| {
            let columns: Vec<String> = cells.iter().map(|(name, _)| name.clone()).collect();
            let names = first.iter().map(|(name, _)| *name);
            let names = names.chain(columns.iter().map(String::as_str));
            heading = Some(joined(names));
            columns
        });
        let values = columns.iter().map(|column| {
            let cell = cells.iter().find(|(name, _)| name == column);
            cell.map_or("", |(_, value)| value)
        });
        let line = joined(first.iter().map(|(_, value)| value.as_str()).chain(values));
        let mut left_out = None;
        if !self.was_told {
            let other = cells.iter().find(|(name, _)| !columns.contains(name));
            left_out = other.map(|(name, _)| name.clone());
            self.was_told = left_out.is_some();
        }
        Line {
            heading,
            line,
            left_out,
        }
    }
}

/// The fields of an item, those of its parts behind dots; a list is one cell. A name that is taken gets
/// `value.` before it.
fn cells(item: &Value, fields: &[Field], mut taken: BTreeSet<String>) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    if fields.is_empty() {
        flatten("", item, &mut cells);
    }
    for field in fields {
        let part = field.of(item).unwrap_or(&Value::Null);
        flatten(&field.text, part, &mut cells);
    }
    for (name, _) in &mut cells {
        while !taken.insert(name.clone()) {
            name.insert_str(0, "value.");
        }
    }
    cells
}

fn flatten(name: &str, value: &Value, cells: &mut Vec<(String, String)>) {
    let text = match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                let name = if name.is_empty() {
                    field.clone()
                } else {
                    format!("{name}.{field}")
                };
                flatten(&name, value, cells);
            }
            return;
        }
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let name = if name.is_empty() { "value" } else { name };
    cells.push((name.to_owned(), text));
}

fn joined<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let quoted = cells.map(|cell| {
        let cell = harmless(cell);
        let is_at_edge = cell.trim().len() < cell.len();
        if is_at_edge || cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell
        }
    });
    quoted.collect::<Vec<_>>().join(",")
}

/// Others wrote it: it does nothing to a terminal. What ends a line is quoted instead.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let ends_line = c == '\n' || (c == '\r' && rest.peek() == Some(&'\n'));
        if c.is_control() && c != '\t' && !ends_line {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seq(seq: u64) -> [(&'static str, String); 1] {
        [("seq", seq.to_string())]
    }

    #[test]
    fn the_first_item_makes_the_columns_and_later_ones_keep_to_them() {
        let mut csv = Csv::default();
        let item = json!({"pose": {"x_m": 1.5, "name": "a, \"b\""}, "far": null});
        let line = csv.line(&seq(0), &item, &[]);
        assert_eq!(line.heading.as_deref(), Some("seq,far,pose.name,pose.x_m"));
        assert_eq!(line.line, "0,,\"a, \"\"b\"\"\",1.5");
        let other = json!({"pose": {"x_m": 2, "y_m": 3}, "far": [1, 2]});
        let line = csv.line(&seq(1), &other, &[]);
        assert_eq!((line.heading, &*line.line), (None, "1,\"[1,2]\",,2"));
        assert_eq!(line.left_out.as_deref(), Some("pose.y_m"));
        assert!(csv.line(&seq(2), &other, &[]).left_out.is_none());
    }

    #[test]
    fn a_column_of_the_item_never_has_a_heading_that_is_taken() {
        let mut csv = Csv::default();
        let item = json!({"seq": 7, "value.seq": 8, "a.b": 1, "a": {"b": 2}});
        let line = csv.line(&seq(0), &item, &[]);
        assert_eq!(
            line.heading.as_deref(),
            Some("seq,a.b,value.a.b,value.seq,value.value.seq")
        );
        assert_eq!(line.line, "0,2,1,7,8");
        assert!(csv.line(&seq(1), &item, &[]).left_out.is_none());
    }

    #[test]
    fn what_would_break_a_line_is_quoted_and_what_a_terminal_obeys_is_escaped() {
        let fields = ["a", "b", "c"].map(|text| Field::parse(text).unwrap());
        let item = json!({"a": "x\r\ny", "b": " z", "c": "\u{1b}[31m\r"});
        let line = Csv::default().line(&[], &item, &fields);
        assert_eq!(line.line, "\"x\r\ny\",\" z\",\\u{1b}[31m\\r");
    }

    #[test]
    fn fields_are_the_columns_in_their_order_and_an_item_without_is_one_cell() {
        let fields = ["b", "a.c"].map(|text| Field::parse(text).unwrap());
        let line = Csv::default().line(&[], &json!({"a": {"c": 1}, "b": "x\ny"}), &fields);
        assert_eq!(line.heading.as_deref(), Some("b,a.c"));
        assert_eq!(line.line, "\"x\ny\",1");
        let line = Csv::default().line(&[], &json!(7), &[]);
        assert_eq!((line.heading.as_deref(), &*line.line), (Some("value"), "7"));
    }
}
