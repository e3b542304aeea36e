//! What comes, as it comes: lines for people, lines of JSON for programs.

use std::{fmt::Write as _, io, time::Duration};

use serde_json::{Value, json};

use super::{
    Style,
    csv::Csv,
    out::{Out, To},
    text::pretty,
};
use crate::{
    error::{one_line, plain},
    figures::{Figures, Spread},
    plan::stream::{Field, Figure, Live},
};

/// Of long lists and texts so much is shown to people.
const LONGEST: (usize, usize) = (16, 200);

/// Something to show.
pub(crate) enum Event<'a> {
    Item(Item<'a>),
    /// What was measured of each stream: in the last second, or in the whole time.
    Figures {
        figure: Figure,
        streams: &'a [(String, Figures)],
        whole: bool,
    },
    /// So much was published in the end.
    Published {
        stream: &'a str,
        items: u64,
        subscribers: usize,
        /// So many places in subscribers' queues were still taken.
        unsent: u64,
    },
    /// What should be known besides; it doesn't go to the output.
    Note(&'a str),
}

/// An item, and what of it is wanted: all, if no field is named.
pub(crate) struct Item<'a> {
    pub(crate) stream: &'a str,
    pub(crate) seq: u64,
    pub(crate) age: Duration,
    pub(crate) missed: u64,
    pub(crate) thinned: u64,
    pub(crate) restarted: bool,
    pub(crate) value: &'a Value,
    pub(crate) fields: &'a [Field],
}

/// Where it is shown.
pub(crate) struct Screen {
    json: bool,
    csv: Option<Csv>,
    whole: bool,
    style: Style,
    out: Out,
}

impl Screen {
    pub(crate) fn new(json: bool, verb: &Live) -> io::Result<Self> {
        let (csv, whole) = match verb {
            Live::Echo(echo) => (echo.csv.then(Csv::default), echo.whole),
            _ => (None, false),
        };
        Ok(Self {
            json,
            csv,
            whole,
            style: Style::of_stdout(),
            out: Out::new()?,
        })
    }

    /// Whether who reads keeps up with what is shown.
    pub(crate) fn has_room(&self) -> bool {
        self.out.has_room()
    }

    /// Until something of what was shown has been written. Cancel safe.
    pub(crate) async fn moved(&mut self) -> io::Result<()> {
        self.out.moved().await
    }

    /// Until all of it has. Cancel safe.
    pub(crate) async fn written(&mut self) -> io::Result<()> {
        self.out.written().await
    }

    /// Shows it at once: who reads it may wait for it. It doesn't wait for who reads.
    pub(crate) fn show(&mut self, event: &Event<'_>) {
        let text = match event {
            Event::Item(item) => self.item(item),
            Event::Figures {
                figure,
                streams,
                whole,
            } => self.figures(*figure, streams, *whole),
            Event::Published {
                stream,
                items,
                subscribers,
                unsent,
            } => self.published(stream, *items, *subscribers, *unsent),
            Event::Note(text) => return self.note(text),
        };
        self.out.hand(To::Output, text);
    }

    fn note(&mut self, text: &str) {
        let line = format!("note: {}\n", one_line(text));
        self.out.hand(To::Errors, line);
    }

    fn item(&mut self, item: &Item<'_>) -> String {
        if self.json {
            return format!("{}\n", item_json(item));
        }
        let Some(csv) = &mut self.csv else {
            return item_text(item, self.whole, self.style);
        };
        let first = [
            ("stream", item.stream.to_owned()),
            ("seq", item.seq.to_string()),
            ("missed", item.missed.to_string()),
            ("thinned", item.thinned.to_string()),
            ("restarted", item.restarted.to_string()),
            ("age_ms", format!("{:.3}", ms(item.age.as_secs_f64()))),
        ];
        let line = csv.line(&first, item.value, item.fields);
        if let Some(field) = line.left_out {
            let seq = item.seq;
            self.note(&format!(
                "item {seq} has {field:?}, which the first one hadn't: it is left out of the table"
            ));
        }
        let heading = line.heading.map(|heading| heading + "\n");
        format!("{}{}\n", heading.unwrap_or_default(), line.line)
    }

    fn figures(&self, figure: Figure, streams: &[(String, Figures)], whole: bool) -> String {
        let mut out = String::new();
        for (stream, figures) in streams {
            // Writing to a string can't fail.
            let _ = if self.json {
                writeln!(out, "{}", figures_json(figure, stream, figures, whole))
            } else {
                let line = figures_text(figure, figures, self.style);
                let when = if whole { "in all  " } else { "" };
                let stream = self.style.strong(&plain(stream));
                writeln!(out, "{when}{stream}  {line}")
            };
        }
        out
    }

    fn published(&self, stream: &str, items: u64, subscribers: usize, unsent: u64) -> String {
        if self.json {
            let line = json!({
                "stream": stream, "published": items, "subscribers": subscribers, "unsent": unsent,
            });
            return format!("{line}\n");
        }
        let items = counted(items, "item");
        let subscribers = counted(subscribers as u64, "subscriber");
        let unsent = match unsent {
            0 => String::new(),
            many => self.style.bad(&format!(", {many} may not have got there")),
        };
        format!("{items} of {stream} published, {subscribers} now{unsent}\n")
    }
}

fn item_json(item: &Item<'_>) -> Value {
    let value = match item.fields {
        [] => item.value.clone(),
        fields => {
            let part = |field: &Field| {
                let value = field.of(item.value).cloned().unwrap_or_default();
                (field.text.clone(), value)
            };
            Value::Object(fields.iter().map(part).collect())
        }
    };
    json!({
        "stream": item.stream,
        "seq": item.seq,
        "age_ms": ms(item.age.as_secs_f64()),
        "missed": item.missed,
        "thinned": item.thinned,
        "restarted": item.restarted,
        "value": value,
    })
}

fn item_text(item: &Item<'_>, whole: bool, style: Style) -> String {
    let shown = |value: &Value| {
        if whole {
            value.clone()
        } else {
            shortened(value)
        }
    };
    let compact = |field: &Field| match field.of(item.value) {
        Some(value) => plain(&shown(value).to_string()),
        None => "-".to_owned(),
    };
    match item.fields {
        [] => {
            let head = format!("{} #{}", plain(item.stream), item.seq);
            let age = format!("{:.1} ms old", ms(item.age.as_secs_f64()));
            let lost = losses(item.missed, item.thinned, u64::from(item.restarted), style);
            let head = style.strong(&head);
            format!(
                "{head}  {}{lost}\n{}\n",
                style.faint(&age),
                pretty(&shown(item.value))
            )
        }
        [field] => format!("{}\n", compact(field)),
        fields => {
            let parts = fields.iter().map(|field| {
                let name = style.faint(&format!("{}:", plain(&field.text)));
                format!("{name} {}", compact(field))
            });
            format!("{}\n", parts.collect::<Vec<_>>().join("  "))
        }
    }
}

fn figures_text(figure: Figure, figures: &Figures, style: Style) -> String {
    let lost = losses(figures.missed, figures.thinned, figures.restarts, style);
    let items = counted(figures.items, "item");
    if figures.items == 0 {
        return format!("{}{lost}", style.bad("nothing came"));
    }
    let spread = |name: &str, spread: &Spread, digits: usize, unit: &str, scale: f64| {
        if spread.is_empty() {
            return String::new();
        }
        let [min, mean, max, jitter] = [spread.min(), spread.mean(), spread.max(), spread.jitter()]
            .map(|value| format!("{:.digits$}", value * scale));
        format!("{name} {min} / {mean} / {max} {unit}, jitter {jitter} {unit}, ")
    };
    let text = match figure {
        Figure::Rate if figures.intervals.is_empty() => String::new(),
        Figure::Rate => {
            let interval = spread("interval", &figures.intervals, 2, "ms", 1e3);
            format!("{:.2} Hz  {interval}", figures.rate())
        }
        Figure::Bytes => {
            let size = spread("item", &figures.sizes, 0, "B", 1.0);
            format!("{}/s  {size}", bytes(figures.throughput()))
        }
        Figure::Age => spread("age", &figures.ages, 3, "ms", 1e3),
    };
    format!("{text}{items}{lost}")
}

fn figures_json(figure: Figure, stream: &str, figures: &Figures, whole: bool) -> Value {
    let spread = |spread: &Spread, scale: f64| {
        if spread.is_empty() {
            return Value::Null;
        }
        json!({
            "min": spread.min() * scale, "mean": spread.mean() * scale,
            "max": spread.max() * scale, "jitter": spread.jitter() * scale,
        })
    };
    let mut line = json!({
        "stream": stream,
        "whole": whole,
        "over_s": figures.over,
        "items": figures.items,
        "missed": figures.missed,
        "thinned": figures.thinned,
        "restarts": figures.restarts,
    });
    match figure {
        Figure::Rate => {
            line["rate_hz"] = json!(figures.rate());
            line["interval_ms"] = spread(&figures.intervals, 1e3);
        }
        Figure::Bytes => {
            line["bytes"] = json!(figures.bytes);
            line["bytes_per_s"] = json!(figures.throughput());
            line["item_bytes"] = spread(&figures.sizes, 1.0);
        }
        Figure::Age => line["age_ms"] = spread(&figures.ages, 1e3),
    }
    line
}

/// What is lost is told in colour.
fn losses(missed: u64, thinned: u64, restarts: u64, style: Style) -> String {
    let mut out = String::new();
    if missed > 0 {
        let _ = write!(out, ", {}", style.bad(&format!("{missed} missed")));
    }
    if thinned > 0 {
        let _ = write!(out, ", {thinned} left out");
    }
    match restarts {
        0 => {}
        1 => {
            let _ = write!(out, ", {}", style.bad("publisher restarted"));
        }
        many => {
            let text = format!("publisher restarted {many} times");
            let _ = write!(out, ", {}", style.bad(&text));
        }
    }
    out
}

fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn ms(seconds: f64) -> f64 {
    seconds * 1e3
}

/// `1.50 MiB`.
fn bytes(bytes: f64) -> String {
    let (amount, unit) = match bytes {
        small if small < 1024.0 => (small, "B"),
        kib if kib < 1024.0 * 1024.0 => (kib / 1024.0, "KiB"),
        mib if mib < 1024.0 * 1024.0 * 1024.0 => (mib / (1024.0 * 1024.0), "MiB"),
        gib => (gib / (1024.0 * 1024.0 * 1024.0), "GiB"),
    };
    format!("{amount:.2} {unit}")
}

/// Long lists and texts end early, and say so.
fn shortened(value: &Value) -> Value {
    let (elements, characters) = LONGEST;
    match value {
        Value::Array(all) => {
            let mut few: Vec<Value> = all.iter().take(elements).map(shortened).collect();
            if all.len() > elements {
                few.push(format!("... {} more (--whole)", all.len() - elements).into());
            }
            Value::Array(few)
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), shortened(value)));
            Value::Object(fields.collect())
        }
        Value::String(text) => match text.char_indices().nth(characters) {
            Some((end, _)) => {
                let left = text.len() - end;
                format!("{}... {left} bytes more (--whole)", &text[..end]).into()
            }
            None => value.clone(),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item<'a>(value: &'a Value, fields: &'a [Field]) -> Item<'a> {
        Item {
            stream: "lidar/scan",
            seq: 7,
            age: Duration::from_micros(1500),
            missed: 2,
            thinned: 0,
            restarted: true,
            value,
            fields,
        }
    }

    #[test]
    fn an_item_is_shown_with_what_was_lost_before_it() {
        let value = json!({"x": 1});
        assert_eq!(
            item_text(&item(&value, &[]), false, Style::plain()),
            "lidar/scan #7  1.5 ms old, 2 missed, publisher restarted\n{\n  \"x\": 1\n}\n"
        );
        let line = item_json(&item(&value, &[]));
        assert_eq!((&line["seq"], &line["value"]), (&json!(7), &value));
        assert_eq!((&line["missed"], &line["age_ms"]), (&json!(2), &json!(1.5)));
    }

    #[test]
    fn of_fields_only_their_values_are_shown() {
        let value = json!({"x": 1, "far": {"y": [2, 3]}});
        let fields = ["x", "far.y", "z"].map(|text| Field::parse(text).unwrap());
        let text = |fields| item_text(&item(&value, fields), false, Style::plain());
        assert_eq!(text(&fields[..1]), "1\n");
        assert_eq!(text(&fields), "x: 1  far.y: [2,3]  z: -\n");
        assert_eq!(
            item_json(&item(&value, &fields))["value"],
            json!({"x": 1, "far.y": [2, 3], "z": null})
        );
    }

    #[test]
    fn long_lists_and_texts_are_shown_in_part_unless_all_is_wanted() {
        let value = json!({"ranges": vec![1; 360], "name": "a".repeat(300)});
        let short = shortened(&value);
        assert_eq!(short["ranges"].as_array().unwrap().len(), 17);
        assert_eq!(short["ranges"][16], "... 344 more (--whole)");
        assert!(
            short["name"]
                .as_str()
                .unwrap()
                .ends_with("a... 100 bytes more (--whole)")
        );
        let whole = item_text(&item(&value, &[]), true, Style::plain());
        assert!(!whole.contains("more"));
    }

    #[test]
    fn amounts_of_bytes_have_the_unit_that_fits() {
        for (amount, text) in [
            (0.0, "0.00 B"),
            (1536.0, "1.50 KiB"),
            (6.0 * 1024.0 * 1024.0, "6.00 MiB"),
        ] {
            assert_eq!(bytes(amount), text);
        }
    }

    #[test]
    fn silence_is_told_as_such() {
        let text = figures_text(Figure::Rate, &Figures::default(), Style::plain());
        assert_eq!(text, "nothing came");
        let line = figures_json(Figure::Rate, "a/b", &Figures::default(), true);
        assert_eq!(
            (&line["items"], &line["interval_ms"]),
            (&json!(0), &Value::Null)
        );
    }
}
