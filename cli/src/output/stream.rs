//! Streams as they are: who publishes what, and who subscribes.

use std::fmt::Write;

use botzilla::{StreamReport, directory::messages::Listed};
use serde_json::{Value, json};

use super::{
    Style,
    style::{Table, Tone},
    text::{or_dash, pretty, short},
};
use crate::{error::plain, plan::stream::StreamName, schema::shape};

/// `reliable`, `latest`.
fn mode(reliable: bool) -> String {
    if reliable { "reliable" } else { "latest" }.to_owned()
}

/// A type's name without the modules that it is in.
fn type_name(name: &str) -> String {
    let from = name.split(['<', '(', '[']).next().unwrap_or(name);
    let prefix = from.rfind("::").map_or(0, |at| at + 2);
    or_dash(&name[prefix..])
}

pub(super) fn list_text(components: &[Listed], group: Option<&str>, style: Style) -> String {
    if components.is_empty() {
        return match group {
            Some(group) => format!("no streams in group {group}\n"),
            None => "no streams\n".to_owned(),
        };
    }
    let mut table = Table::new(&[
        "STREAM", "TYPE", "MODE", "DEPTH", "KEEPS", "STATE", "HOST", "PROGRAM",
    ]);
    for listed in components {
        let state = if listed.connected {
            ("up".to_owned(), Tone::Good)
        } else {
            ("away".to_owned(), Tone::Bad)
        };
        for stream in &listed.streams {
            table.row([
                (
                    plain(&format!("{}/{}", listed.name, stream.name)),
                    Tone::Strong,
                ),
                (type_name(&stream.type_name), Tone::Plain),
                (mode(stream.reliable), Tone::Plain),
                (stream.depth.to_string(), Tone::Plain),
                (stream.keep_last.to_string(), Tone::Plain),
                state.clone(),
                (or_dash(&listed.host), Tone::Plain),
                (
                    or_dash(&format!("{}({})", listed.program, listed.pid)),
                    Tone::Plain,
                ),
            ]);
        }
    }
    table.render(style)
}

pub(super) fn list_json(components: &[Listed], recovering: bool) -> Value {
    let streams = components.iter().flat_map(|listed| {
        listed.streams.iter().map(move |stream| {
            json!({
                "stream": format!("{}/{}", listed.name, stream.name),
                "component": listed.name,
                "type": stream.type_name,
                "fingerprint": stream.fingerprint,
                "reliable": stream.reliable,
                "depth": stream.depth,
                "keep_last": stream.keep_last,
                "groups": listed.groups,
                "node": listed.node,
                "host": listed.host,
                "program": listed.program,
                "pid": listed.pid,
                "connected": listed.connected,
            })
        })
    });
    json!({"recovering": recovering, "streams": streams.collect::<Vec<_>>()})
}

/// A component's streams, a line each.
pub(super) fn reports_text(reports: &[StreamReport], style: Style) -> String {
    let mut table = Table::new(&[
        "STREAM",
        "TYPE",
        "MODE",
        "DEPTH",
        "KEEPS",
        "PUBLISHED",
        "SUBSCRIBERS",
    ]);
    for report in reports {
        table.row([
            (plain(&report.stream), Tone::Strong),
            (type_name(&report.type_name), Tone::Plain),
            (mode(report.reliable), Tone::Plain),
            (report.depth.to_string(), Tone::Plain),
            (report.keep_last.to_string(), Tone::Plain),
            (report.published.to_string(), Tone::Plain),
            (report.subscribers.len().to_string(), Tone::Plain),
        ]);
    }
    table.render(style)
}

pub(super) fn info_text(
    name: &StreamName,
    node: &str,
    report: &StreamReport,
    style: Style,
) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(out, "{}", style.strong(&plain(&name.to_string())));
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(out, "  {}  {value}", style.faint(&format!("{name:<9}")));
    };
    let schema = schema(report);
    fact("type", plain(&report.type_name));
    fact("items", plain(&shape(&schema)));
    let encoding = match &report.fingerprint {
        Some(fingerprint) => format!("bincode (fingerprint {}) or JSON", plain(fingerprint)),
        None => "JSON only".to_owned(),
    };
    fact("travel as", encoding);
    let keeps = match report.keep_last {
        0 => "keeps none for who comes late".to_owned(),
        many => format!("keeps {many} for who comes late"),
    };
    fact(
        "mode",
        format!("{}, depth {}, {keeps}", mode(report.reliable), report.depth),
    );
    fact("published", report.published.to_string());
    fact("node", plain(node));
    out.push('\n');
    out.push_str(&subscribers(report, style));
    let _ = writeln!(out, "\n{}\n{}", style.faint("schema"), pretty(&schema));
    out
}

fn subscribers(report: &StreamReport, style: Style) -> String {
    if report.subscribers.is_empty() {
        return "nobody subscribes now\n".to_owned();
    }
    let mut table = Table::new(&[
        "SUBSCRIBER",
        "NODE",
        "MODE",
        "DEPTH",
        "WAITING",
        "SENT",
        "MISSED",
        "LEFT OUT",
    ]);
    for one in &report.subscribers {
        let missed = if one.missed == 0 {
            Tone::Plain
        } else {
            Tone::Bad
        };
        let who = one.component.as_deref().unwrap_or("(a program)");
        table.row([
            (plain(who), Tone::Strong),
            (short(&one.node), Tone::Faint),
            (mode(one.reliable), Tone::Plain),
            (one.depth.to_string(), Tone::Plain),
            (one.queued.to_string(), Tone::Plain),
            (one.sent.to_string(), Tone::Plain),
            (one.missed.to_string(), missed),
            (one.thinned.to_string(), Tone::Plain),
        ]);
    }
    table.render(style)
}

pub(super) fn info_json(name: &StreamName, node: &str, report: &StreamReport) -> Value {
    let mut json = report_json(report);
    json["stream"] = json!(name.to_string());
    json["node"] = json!(node);
    json["schema"] = schema(report);
    json
}

/// What its items are, for `botzilla schema`.
pub(super) fn schema_json(report: &StreamReport) -> Value {
    json!({
        "stream": full_name(report),
        "type": report.type_name,
        "fingerprint": report.fingerprint,
        "reliable": report.reliable,
        "schema": schema(report),
    })
}

/// The same for people; `whole`: with the schema itself.
pub(super) fn schema_text(report: &StreamReport, whole: bool, style: Style) -> String {
    let schema = schema(report);
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = write!(out, "{}", style.strong(&plain(&full_name(report))));
    let kind = format!("stream, {}", mode(report.reliable));
    let _ = writeln!(out, "  {}", style.faint(&kind));
    let about = schema.get("description").and_then(Value::as_str);
    for line in about.unwrap_or_default().lines() {
        let _ = writeln!(out, "{}", format!("  {}", plain(line)).trim_end());
    }
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(out, "  {}  {}", style.faint(name), plain(value));
    };
    fact("items", &shape(&schema));
    fact(
        "try  ",
        &format!("botzilla stream echo {}", full_name(report)),
    );
    if whole {
        let _ = writeln!(out, "\n{}\n{}", style.faint("schema"), pretty(&schema));
    }
    out
}

/// `component/stream`.
fn full_name(report: &StreamReport) -> String {
    format!("{}/{}", report.component, report.stream)
}

/// The schema of its items; a publisher's mistake is shown as null.
fn schema(report: &StreamReport) -> Value {
    serde_json::from_str(&report.schema).unwrap_or_default()
}

pub(super) fn report_json(report: &StreamReport) -> Value {
    let subscribers = report.subscribers.iter().map(|one| {
        json!({
            "component": one.component,
            "node": one.node,
            "reliable": one.reliable,
            "depth": one.depth,
            "queued": one.queued,
            "sent": one.sent,
            "missed": one.missed,
            "thinned": one.thinned,
        })
    });
    json!({
        "stream": full_name(report),
        "component": report.component,
        "type": report.type_name,
        "fingerprint": report.fingerprint,
        "reliable": report.reliable,
        "depth": report.depth,
        "keep_last": report.keep_last,
        "published": report.published,
        "subscribers": subscribers.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_shown_without_its_modules() {
        for (name, shown) in [
            ("robot::lidar::Scan", "Scan"),
            ("Scan", "Scan"),
            ("alloc::vec::Vec<robot::Scan>", "Vec<robot::Scan>"),
            ("(f64, f64)", "(f64, f64)"),
            ("", "-"),
        ] {
            assert_eq!(type_name(name), shown, "{name}");
        }
    }
}
