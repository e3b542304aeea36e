//! What a node may register. Reasons are for the person who chose the name.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use botzilla::directory::facts::{ComponentFacts, NodeFacts};
use botzilla_wire::ident::{Name, NodeId};

use super::Rules;
use crate::store::json_len;

/// Checks a component; an error is the reason against it.
pub(super) fn check_component(component: &ComponentFacts, rules: &Rules) -> Result<(), String> {
    let name = &component.name;
    Name::new(name).map_err(|error| error.to_string())?;
    if name == "registry" || name.starts_with("node/") || name.starts_with('_') {
        return Err(format!(
            "the name {name:?} is reserved, like all that begin with `_` or `node/`; choose another"
        ));
    }
    for group in &component.groups {
        Name::new(group).map_err(|error| format!("group of {name:?}: {error}"))?;
    }
    for message in &component.messages {
        if message.name.is_empty() || message.name.len() > 255 {
            return Err(format!(
                "a message of {name:?} has a name that isn't 1 to 255 bytes long"
            ));
        }
        check_fingerprint(&message.name, message.fingerprint.as_deref())?;
    }
    let mut streams = BTreeSet::new();
    for stream in &component.streams {
        let part = &stream.name;
        Name::new(part).map_err(|error| format!("stream of {name:?}: {error}"))?;
        if part.contains('/') {
            return Err(format!(
                "the stream {part:?} of {name:?} has a `/` in its name, which only stands before it"
            ));
        }
        if !streams.insert(part) {
            return Err(format!("{name:?} has two streams named {part:?}"));
        }
        check_fingerprint(part, stream.fingerprint.as_deref())?;
    }
    let bytes = json_len(component);
    if bytes > rules.component_bytes {
        return Err(format!(
            "{name:?} describes itself in {bytes} bytes; the registry takes {}",
            rules.component_bytes
        ));
    }
    Ok(())
}

/// Checks how many claims there are. All of them are looked at again and again while one waits.
pub(super) fn check_count(claims: usize, rules: &Rules) -> Result<(), String> {
    // A node may claim names that it will be told it has lost.
    let max = rules.components_per_node.saturating_mul(2);
    if claims <= max {
        return Ok(());
    }
    Err(format!(
        "the node claims {claims} names at once; the registry looks at {max} at most"
    ))
}

fn check_fingerprint(part: &str, text: Option<&str>) -> Result<(), String> {
    let is_one = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if text.is_none_or(is_one) {
        return Ok(());
    }
    Err(format!(
        "the fingerprint of {part:?} isn't 16 hexadecimal digits"
    ))
}

/// Checks a node, and adds the address that it was seen at.
pub(super) fn check_node(
    mut facts: NodeFacts,
    seen: Option<SocketAddr>,
    rules: &Rules,
) -> Result<(NodeId, NodeFacts), String> {
    let id: NodeId = facts
        .id
        .parse()
        .map_err(|_| "the node's id is not 32 hexadecimal digits".to_owned())?;
    facts.id = id.to_string();
    facts.endpoints = with_seen(facts.endpoints, facts.port, seen);
    let bytes = json_len(&facts);
    if bytes > rules.node_bytes {
        return Err(format!(
            "the node describes itself in {bytes} bytes; the registry takes {}",
            rules.node_bytes
        ));
    }
    Ok((id, facts))
}

/// A node's endpoints, and the address that it was seen at with its port, unless that is 0.
pub(crate) fn with_seen(
    mut endpoints: Vec<String>,
    port: u16,
    seen: Option<SocketAddr>,
) -> Vec<String> {
    if port != 0
        && let Some(seen) = seen
        && is_useful(seen.ip())
    {
        let address = SocketAddr::new(seen.ip().to_canonical(), port).to_string();
        if !endpoints.contains(&address) {
            endpoints.push(address);
        }
    }
    endpoints
}

/// Whether an address means the same machine to everybody.
fn is_useful(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}
