//! Reports for programs: one line, whose fields stay.

use botzilla::{
    Description,
    directory::{facts::NodeFacts, messages::Listed},
};
use serde_json::{Value, json};

use super::{Held, Report, stream};
use crate::schema::Contract;

fn keys(held: &[Held]) -> Vec<Value> {
    let key = |held: &Held| json!({"id": held.id, "preferred": held.preferred, "passphrase": held.passphrase});
    held.iter().map(key).collect()
}

/// A report as one line.
pub(crate) fn json(report: &Report) -> String {
    format!("{}\n", value(report))
}

fn value(report: &Report) -> Value {
    match report {
        Report::Listening { address, fresh } => json!({"listening": address, "fresh": fresh}),
        Report::Key { id, secret } => json!({"id": id, "secret": secret.as_str()}),
        Report::Keys { file, held } => json!({"file": file, "keys": keys(held)}),
        Report::KeyAdded {
            file,
            id,
            created,
            held,
        } => json!({"file": file, "id": id, "created": created, "keys": keys(held)}),
        Report::KeyStep {
            file,
            step,
            id,
            secret,
            changed,
            held,
        } => {
            let mut step = json!({
                "file": file, "step": step, "id": id, "changed": changed, "keys": keys(held),
            });
            if let Some(secret) = secret {
                step["secret"] = secret.as_str().into();
            }
            step
        }
        Report::List {
            components,
            recovering,
            ..
        } => json!({
            "recovering": recovering,
            "components": components.iter().map(listed).collect::<Vec<_>>(),
        }),
        Report::Info { description, node } => info(description, node.as_ref()),
        Report::Reply {
            component,
            message,
            reply,
            took,
        } => {
            let took_ms = took.as_secs_f64() * 1000.0;
            match reply {
                Ok(reply) => json!({
                    "component": component, "message": message, "ok": true, "reply": reply,
                    "took_ms": took_ms,
                }),
                Err(error) => json!({
                    "component": component, "message": message, "ok": false,
                    "error": {"kind": "handler", "value": error, "may_have_run": true},
                    "took_ms": took_ms,
                }),
            }
        }
        Report::Told {
            component,
            message,
            delivered,
        } => json!({
            "component": component, "message": message, "ok": true, "delivered": delivered,
        }),
        Report::Broadcast {
            message,
            group,
            recovering,
            report,
            ..
        } => {
            let failed = report
                .failed
                .iter()
                .map(|it| json!({"component": it.component, "code": it.code, "reason": it.reason}));
            let unreached = report.unreached.iter().map(
                |it| json!({"node": it.node, "components": it.components, "reason": it.reason}),
            );
            json!({
                "message": message,
                "group": group,
                "ok": report.is_complete() && !report.delivered.is_empty(),
                "recovering": recovering,
                "delivered": report.delivered,
                "ignored": report.ignored,
                "failed": failed.collect::<Vec<_>>(),
                "unreached": unreached.collect::<Vec<_>>(),
            })
        }
        Report::Schema {
            component,
            contracts,
            streams,
            ..
        } => json!({
            "component": component,
            "messages": contracts.iter().map(contract).collect::<Vec<_>>(),
            "streams": streams.iter().map(stream::schema_json).collect::<Vec<_>>(),
        }),
        Report::Streams {
            components,
            recovering,
            ..
        } => stream::list_json(components, *recovering),
        Report::Stream { name, node, report } => stream::info_json(name, node, report),
        Report::Policy {
            file,
            policy,
            decided,
        } => super::policy::value(file, policy, decided.as_ref()),
        Report::Demo(report) => demo(report),
        Report::Completions { shell, script } => json!({"shell": shell, "script": script}),
    }
}

fn listed(listed: &Listed) -> Value {
    let messages = listed.messages.iter().map(|it| {
        json!({
            "name": it.name, "urgent": it.urgent, "broadcast": it.broadcast,
            "concurrent": it.concurrent, "fallible": it.fallible, "fingerprint": it.fingerprint,
        })
    });
    json!({
        "name": listed.name,
        "groups": listed.groups,
        "node": listed.node,
        "host": listed.host,
        "program": listed.program,
        "pid": listed.pid,
        "endpoints": listed.endpoints,
        "connected": listed.connected,
        "heard_ms_ago": listed.heard_ms_ago,
        "age_ms": listed.age_ms,
        "messages": messages.collect::<Vec<_>>(),
        "streams": listed
            .streams
            .iter()
            .map(|it| format!("{}/{}", listed.name, it.name))
            .collect::<Vec<_>>(),
    })
}

fn info(description: &Description, node: Option<&NodeFacts>) -> Value {
    let handlers = description.handlers.iter().map(|it| {
        let counters = &it.counters;
        json!({
            "message": it.message,
            "urgent": it.urgent,
            "broadcast": it.broadcast,
            "concurrent": it.concurrent,
            "fallible": it.fallible,
            "fingerprint": it.fingerprint,
            "counters": {
                "sent": counters.sent, "delivered": counters.delivered,
                "refused": counters.refused, "failed": counters.failed, "open": counters.open,
            },
        })
    });
    json!({
        "name": description.name,
        "groups": description.groups,
        "state": description.state,
        "age_ms": description.age_ms,
        "restarts": description.restarts,
        "last_restart": description.last_restart,
        "restart": description.restart,
        "queued": description.queued,
        "blocks_ms": description.blocks_ms,
        "node": description.node,
        "host": node.map(|node| &node.host),
        "program": node.map(|node| &node.program),
        "pid": node.map(|node| node.pid),
        "endpoints": node.map(|node| &node.endpoints),
        "handlers": handlers.collect::<Vec<_>>(),
        "streams": description.streams.iter().map(stream::report_json).collect::<Vec<_>>(),
        "denied": super::policy::denied_value(&description.denied),
    })
}

fn contract(contract: &Contract) -> Value {
    let handler = contract.handler();
    json!({
        "message": handler.message,
        "urgent": handler.urgent,
        "broadcast": handler.broadcast,
        "fallible": handler.fallible,
        "schema": contract.schema(),
        "reply_schema": contract.reply_schema(),
        "example": contract.example(),
    })
}

fn demo(report: &botzilla_examples::demo::Report) -> Value {
    let stops = report.stops.iter().map(|stop| {
        json!({"heard_by": stop.heard_by, "took_ms": stop.took_ms, "rolled_m": stop.rolled_m})
    });
    let streams = report.streams.iter().map(|count| {
        json!({
            "stream": count.stream,
            "subscriber": count.subscriber,
            "items": count.items,
            "bytes": count.bytes,
            "hz": count.hz,
            "missed": count.missed,
            "thinned": count.thinned,
        })
    });
    json!({
        "ok": true,
        "path_m": report.path_m,
        "off_goal_m": report.off_goal_m,
        "wall_s": report.wall_s,
        "simulated_s": report.simulated_s,
        "plans": report.plans,
        "bumps": report.bumps,
        "stops": stops.collect::<Vec<_>>(),
        "battery_percent": report.battery_percent,
        "messages": report.messages,
        "latency": {
            "asks": report.latency.asks,
            "p50_us": report.latency.p50_us,
            "p99_us": report.latency.p99_us,
        },
        "streams": streams.collect::<Vec<_>>(),
        "nearest_ahead_m": report.sight.nearest_m,
        "picture": report.picture,
    })
}
