//! What a node may register. Reasons are for the person who chose the name.

use std::net::{IpAddr, SocketAddr};

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
    let messages = component.messages.iter();
    let named = messages.map(|it| (&it.name, &it.fingerprint));
    let streams = component.streams.iter();
    for (part, fingerprint) in named.chain(streams.map(|it| (&it.name, &it.fingerprint))) {
        if part.is_empty() || part.len() > 255 {
            return Err(format!(
                "a message of {name:?} has a name that isn't 1 to 255 bytes long"
            ));
        }
        if fingerprint
            .as_ref()
            .is_some_and(|text| !is_fingerprint(text))
        {
            return Err(format!(
                "the fingerprint of {part:?} isn't 16 hexadecimal digits"
            ));
        }
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

fn is_fingerprint(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
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
    if facts.port != 0
        && let Some(seen) = seen
        && is_useful(seen.ip())
    {
        let address = SocketAddr::new(seen.ip().to_canonical(), facts.port).to_string();
        if !facts.endpoints.contains(&address) {
            facts.endpoints.push(address);
        }
    }
    let bytes = json_len(&facts);
    if bytes > rules.node_bytes {
        return Err(format!(
            "the node describes itself in {bytes} bytes; the registry takes {}",
            rules.node_bytes
        ));
    }
    Ok((id, facts))
}

/// Whether an address means the same machine to everybody.
fn is_useful(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}
