//! Reports for people.

use std::fmt::Write;

use botzilla::{
    BroadcastReport, Description, HandlerDescription, StreamReport,
    directory::{facts::NodeFacts, messages::Listed},
};
use serde_json::Value;

use super::{
    Held, Report, Style, stream,
    style::{Table, Tone},
};
use crate::{error::plain, schema::Contract};

/// A report as text. Writing to a string can't fail, so what `write!` returns is dropped here.
pub(crate) fn text(report: &Report, style: Style) -> String {
    match report {
        Report::Listening { address, fresh } => {
            let how = if *fresh { ", gives names at once" } else { "" };
            format!("registry listening on {address}{how} (Ctrl-C ends it)\n")
        }
        Report::Key { secret, .. } => format!("{}\n", secret.as_str()),
        Report::Keys { held, .. } => keys(held, style),
        Report::KeyAdded { file, id, held, .. } => {
            let preferred = held.first().is_some_and(|first| first.id == *id);
            let how = if preferred { "preferred" } else { "accepted" };
            format!("{} has the secret {id}, which is {how}\n", file.display())
        }
        // Alone, so that it can be given on.
        Report::KeyStep {
            secret: Some(secret),
            ..
        } => format!("{}\n", secret.as_str()),
        Report::KeyStep {
            file,
            id,
            step,
            changed,
            held,
            ..
        } => {
            let ids: Vec<_> = held.iter().map(|held| &*held.id).collect();
            let said = match (*step, changed) {
                ("drop", _) => format!("{id} is dropped"),
                ("switch", true) => format!("{id} is preferred"),
                (_, true) => format!("{id} is accepted"),
                (_, false) => "nothing to change".to_owned(),
            };
            format!("{said}: {} has {}\n", file.display(), ids.join(", "))
        }
        Report::List {
            components, group, ..
        } => list(components, group.as_deref(), style),
        Report::Info { description, node } => info(description, node.as_ref(), style),
        Report::Reply {
            reply: Ok(reply), ..
        } => format!("{}\n", pretty(reply)),
        // The error line says it.
        Report::Reply { reply: Err(_), .. } => String::new(),
        Report::Told {
            component,
            message,
            delivered: true,
        } => {
            format!("{message} was handled by {component}\n")
        }
        Report::Told {
            component,
            message,
            delivered: false,
        } => {
            format!("{message} was sent to {component}\n")
        }
        Report::Broadcast {
            message,
            wait,
            report,
            ..
        } => broadcast(message, *wait, report, style),
        Report::Schema {
            component,
            contracts,
            streams,
            whole,
        } => schema(component, contracts, streams, *whole, style),
        Report::Streams {
            components, group, ..
        } => stream::list_text(components, group.as_deref(), style),
        Report::Stream { name, node, report } => stream::info_text(name, node, report, style),
        Report::Policy {
            file,
            policy,
            decided,
        } => super::policy::text(file, policy, decided.as_ref(), style),
        Report::Demo(report) => format!("{}\n", plain_lines(&report.to_string())),
        Report::Completions { script, .. } => script.clone(),
    }
}

fn list(components: &[Listed], group: Option<&str>, style: Style) -> String {
    if components.is_empty() {
        return match group {
            Some(group) => format!("no components in group {group}\n"),
            None => "no components\n".to_owned(),
        };
    }
    let mut table = Table::new(&[
        "NAME", "GROUPS", "MESSAGES", "STATE", "AGE", "HOST", "PROGRAM", "NODE", "ADDRESS",
    ]);
    for listed in components {
        let state = if listed.connected {
            ("up".to_owned(), Tone::Good)
        } else {
            (format!("away {}", span(listed.heard_ms_ago)), Tone::Bad)
        };
        table.row([
            (plain(&listed.name), Tone::Strong),
            (or_dash(&listed.groups.join(",")), Tone::Plain),
            (listed.messages.len().to_string(), Tone::Plain),
            state,
            (span(listed.age_ms), Tone::Plain),
            (or_dash(&listed.host), Tone::Plain),
            (
                or_dash(&format!("{}({})", listed.program, listed.pid)),
                Tone::Plain,
            ),
            (short(&listed.node), Tone::Faint),
            (address(&listed.endpoints), Tone::Plain),
        ]);
    }
    table.render(style)
}

fn info(description: &Description, node: Option<&NodeFacts>, style: Style) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", style.strong(&plain(&description.name)));
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(out, "  {}  {value}", style.faint(&format!("{name:<8}")));
    };
    let state = match &*description.state {
        "running" => style.good("running"),
        other => style.bad(&plain(other)),
    };
    let restarts = match description.restarts {
        0 => "never restarted".to_owned(),
        1 => "restarted once".to_owned(),
        many => format!("restarted {many} times"),
    };
    fact(
        "state",
        format!("{state} for {}, {restarts}", span(description.age_ms)),
    );
    if let Some(reason) = &description.last_restart {
        fact("why", style.bad(&plain(reason)));
    }
    fact("restart", plain(&description.restart));
    fact("groups", or_dash(&description.groups.join(", ")));
    let queued = description.queued;
    fact(
        "queue",
        format!("{queued} {} waiting", plural(queued, "message", "messages")),
    );
    if let Some(ms) = description.blocks_ms {
        let advice = format!(
            "its thread for {}: give it `own_thread`, or let it await",
            span(ms)
        );
        fact("blocks", style.bad(&advice));
    }
    fact("node", plain(&description.node));
    if let Some(node) = node {
        fact(
            "program",
            plain(&format!(
                "{} (pid {}) on {}",
                node.program, node.pid, node.host
            )),
        );
        fact("at", or_dash(&node.endpoints.join(", ")));
    }
    if !description.handlers.is_empty() {
        out.push('\n');
        out.push_str(&handlers(&description.handlers, style));
    }
    if !description.streams.is_empty() {
        out.push('\n');
        out.push_str(&stream::reports_text(&description.streams, style));
    }
    if !description.denied.is_empty() {
        out.push('\n');
        out.push_str(&super::policy::denied_text(&description.denied, style));
    }
    out
}

fn handlers(handlers: &[HandlerDescription], style: Style) -> String {
    let mut table = Table::new(&[
        "MESSAGE", "SENT", "HANDLED", "REFUSED", "FAILED", "OPEN", "OPTIONS",
    ]);
    for handler in handlers {
        let counters = &handler.counters;
        let bad = |count: u64| {
            (
                count.to_string(),
                if count == 0 { Tone::Plain } else { Tone::Bad },
            )
        };
        table.row([
            (plain(&handler.message), Tone::Strong),
            (counters.sent.to_string(), Tone::Plain),
            (counters.delivered.to_string(), Tone::Plain),
            bad(counters.refused),
            bad(counters.failed),
            (counters.open.to_string(), Tone::Plain),
            (options(handler), Tone::Faint),
        ]);
    }
    table.render(style)
}

fn broadcast(message: &str, wait: bool, report: &BroadcastReport, style: Style) -> String {
    let mut out = String::new();
    let mut line = |what: &str, who: &str| {
        let _ = writeln!(out, "{what}  {}", plain(who));
    };
    let delivered = if wait { "handled by  " } else { "delivered to" };
    let _ = message;
    if !report.delivered.is_empty() {
        line(&style.good(delivered), &report.delivered.join(", "));
    }
    if !report.ignored.is_empty() {
        line(&style.faint("ignored by  "), &report.ignored.join(", "));
    }
    for failure in &report.failed {
        line(
            &style.bad("failed at   "),
            &format!("{}: {}", failure.component, failure.reason),
        );
    }
    for node in &report.unreached {
        let who = format!("{}: {}", node.components.join(", "), node.reason);
        line(&style.bad("not reached "), &who);
    }
    out
}

fn schema(
    component: &str,
    contracts: &[Contract],
    streams: &[StreamReport],
    whole: bool,
    style: Style,
) -> String {
    if contracts.is_empty() && streams.is_empty() {
        return format!("{component} handles no messages and publishes no streams\n");
    }
    let mut out = String::new();
    for (i, contract) in contracts.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let handler = contract.handler();
        let _ = write!(out, "{}", style.strong(&plain(&handler.message)));
        let options = options(handler);
        if !options.is_empty() {
            let _ = write!(out, "  {}", style.faint(&options));
        }
        out.push('\n');
        for about in contract.about().unwrap_or_default().lines() {
            let _ = writeln!(out, "{}", format!("  {}", plain(about)).trim_end());
        }
        let mut fact = |name: &str, value: &str| {
            let _ = writeln!(out, "  {}  {}", style.faint(name), plain(value));
        };
        let shapes = contract.shapes();
        fact("takes", &shapes.takes);
        fact("gives", &shapes.gives);
        if let Some(fails) = &shapes.fails {
            fact("fails", fails);
        }
        if let Some(example) = contract.example() {
            let json = example.to_string().replace('\'', "'\\''");
            let message = &handler.message;
            fact(
                "try  ",
                &format!("botzilla call {component} {message} '{json}'"),
            );
        }
        if whole {
            let _ = writeln!(out, "\n{}", style.faint("schema"));
            let _ = writeln!(out, "{}", pretty(contract.schema()));
            let _ = writeln!(out, "\n{}", style.faint("reply's schema"));
            let _ = writeln!(out, "{}", pretty(contract.reply_schema()));
        }
    }
    for report in streams {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&stream::schema_text(report, whole, style));
    }
    out
}

fn options(handler: &HandlerDescription) -> String {
    let all = [
        (handler.urgent, "urgent"),
        (handler.broadcast, "broadcast"),
        (handler.concurrent, "concurrent"),
        (handler.fallible, "may fail"),
    ];
    let on: Vec<&str> = all
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, name)| *name)
        .collect();
    on.join(", ")
}

/// Of all addresses, the first that is of use on other hosts too.
fn address(endpoints: &[String]) -> String {
    let first = endpoints
        .iter()
        .find(|one| !one.contains('@'))
        .or_else(|| endpoints.first());
    or_dash(first.map_or("", |one| one.split('@').next().unwrap_or(one)))
}

pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        plain(text)
    }
}

/// Enough of a node's id to tell it from others.
pub(super) fn short(id: &str) -> String {
    plain(id.get(..8).unwrap_or(id))
}

pub(super) fn plural<'a>(count: u64, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

fn span(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..10 => format!("{}.{} s", s, ms % 1000 / 100),
        10..120 => format!("{s} s"),
        120..7200 => format!("{} min", s / 60),
        7200..172_800 => format!("{} h", s / 3600),
        _ => format!("{} d", s / 86_400),
    }
}

/// JSON escapes what a terminal would obey, but for a few beyond ASCII.
pub(super) fn pretty(value: &Value) -> String {
    plain_lines(&format!("{value:#}"))
}

pub(super) fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn keys(held: &[Held], style: Style) -> String {
    let mut table = Table::new(&["ID", "SECRET", ""]);
    for Held {
        id,
        preferred,
        passphrase,
    } in held
    {
        let secret = if *passphrase {
            "*** (a passphrase)"
        } else {
            "***"
        };
        let (how, tone) = if *preferred {
            ("preferred", Tone::Strong)
        } else {
            ("accepted", Tone::Plain)
        };
        let cells = [(id.as_str(), tone), (secret, Tone::Plain), (how, tone)];
        table.row(cells.map(|(text, tone)| (text.to_owned(), tone)));
    }
    table.render(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (ms, text) in [
            (0, "0.0 s"),
            (1999, "1.9 s"),
            (61_000, "61 s"),
            (600_000, "10 min"),
            (7_200_000, "2 h"),
            (1_000_000_000, "11 d"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn an_address_that_others_can_use_is_shown_first() {
        let endpoints = ["127.0.0.1:7000@abc".to_owned(), "10.0.0.7:7000".to_owned()];
        assert_eq!(address(&endpoints), "10.0.0.7:7000");
        assert_eq!(address(&endpoints[..1]), "127.0.0.1:7000");
        assert_eq!(address(&[]), "-");
    }
}
