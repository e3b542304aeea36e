//! Where a node can be reached, as texts that travel through the registry.
//!
//! An endpoint reads `host:port`, with an IPv6 address in brackets. A loopback endpoint means
//! something on its own host only, so it is marked with that host's id: `127.0.0.1:4100@<host id>`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::OnceLock,
};

use super::error::AttemptError;

/// One address under which a node may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// A numeric address (without brackets) or a name.
    pub(crate) host: String,
    /// Never 0.
    pub(crate) port: u16,
    /// The id of the only host on which it means this node.
    pub(crate) only_on: Option<String>,
}

impl Endpoint {
    /// Reads `host:port` or `host:port@<host id>`.
    pub(crate) fn parse(text: &str) -> Result<Self, AttemptError> {
        let (address, only_on) = match text.split_once('@') {
            Some((_, "")) => return Err(AttemptError::BadAddress),
            Some((address, id)) => (address, Some(id.to_owned())),
            None => (text, None),
        };
        let (host, port) = split_host_port(address).ok_or(AttemptError::BadAddress)?;
        Ok(Self {
            host: host.to_owned(),
            port,
            only_on,
        })
    }

    fn of(address: SocketAddr) -> Self {
        let only_on = address.ip().is_loopback().then(|| host_id().to_owned());
        Self {
            host: address.ip().to_string(),
            port: address.port(),
            only_on,
        }
    }

    /// `host:port` as a dialler takes it, without the mark.
    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn is_loopback(&self) -> bool {
        self.host
            .parse::<IpAddr>()
            .map_or(self.host == "localhost", |ip| ip.is_loopback())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())?;
        self.only_on
            .as_ref()
            .map_or(Ok(()), |id| write!(f, "@{id}"))
    }
}

/// Whether a text says where a node may be reached.
pub(crate) fn is_endpoint(text: &str) -> bool {
    Endpoint::parse(text).is_ok()
}

fn split_host_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    // `+80` and the like are numbers to Rust.
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let inner = rest.strip_suffix(']')?;
            inner.parse::<Ipv6Addr>().ok()?;
            inner
        }
        None => host,
    };
    let is_name = |host: &str| {
        !host.is_empty()
            && host.len() <= 253
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    (host.parse::<Ipv6Addr>().is_ok() && text.starts_with('[') || is_name(host))
        .then_some((host, port))
}

/// What tells this host from others for as long as it is up: Linux's boot id, or random elsewhere.
/// Two containers on one kernel share it; the handshake then finds another node at the address.
pub(crate) fn host_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot: String = boot
            .chars()
            .filter(char::is_ascii_hexdigit)
            .take(32)
            .collect();
        if boot.len() == 32 {
            return boot;
        }
        // Known to this process alone: its own loopback endpoints are then tried by nobody else.
        let mut random = [0; 16];
        match getrandom::fill(&mut random) {
            Ok(()) => format!("{:032x}", u128::from_be_bytes(random)),
            Err(_) => format!("{:032x}", std::process::id()),
        }
    })
}

/// The endpoints of a listener bound to `bound`, best first: every address of this host that isn't
/// loopback or link-local, then loopback, marked. A listener on one address has that one.
pub(crate) fn advertised(bound: SocketAddr) -> Vec<Endpoint> {
    if !bound.ip().is_unspecified() {
        return vec![Endpoint::of(bound)];
    }
    // An IPv6 wildcard socket takes IPv4 as well (Linux's default).
    let takes = |ip: &IpAddr| bound.is_ipv6() || ip.is_ipv4();
    let mut found: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .filter(takes)
        .collect();
    // IPv4 first: on robots it is what is set up; within a family the system's order.
    found.sort_by_key(IpAddr::is_ipv6);
    found.dedup();
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    // One loopback endpoint is enough: whoever may use it has this one.
    found.extend(loopback.into_iter().find(takes));
    found
        .into_iter()
        .map(|ip| Endpoint::of(SocketAddr::new(ip, bound.port())))
        .collect()
}

/// The addresses to dial, in the order of trial: on the node's own host its loopback endpoints come
/// first; those of other hosts are left out. What can't be read stays, and fails with its reason.
pub(crate) fn trial_order<S: AsRef<str>>(endpoints: &[S]) -> Vec<String> {
    let mut first = Vec::new();
    let mut rest = Vec::new();
    for text in endpoints {
        let text = text.as_ref();
        match Endpoint::parse(text) {
            Ok(endpoint) => match &endpoint.only_on {
                Some(id) if id != host_id() => {}
                Some(_) => first.push(endpoint.address()),
                None if endpoint.is_loopback() => first.push(endpoint.address()),
                None => rest.push(endpoint.address()),
            },
            Err(_) => rest.push(text.to_owned()),
        }
    }
    first.append(&mut rest);
    let mut seen = rustc_hash::FxHashSet::default();
    first.retain(|address| seen.insert(address.clone()));
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_reads_back_what_it_prints() {
        for text in [
            "192.168.1.20:6985",
            "[fd00::20]:1",
            "robot-3.local:65535",
            "127.0.0.1:9@abc",
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
        let six = Endpoint::parse("[::1]:70@id").unwrap();
        assert_eq!(
            (six.host.as_str(), six.port, six.only_on.as_deref()),
            ("::1", 70, Some("id"))
        );
        assert_eq!(six.address(), "[::1]:70");
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for text in [
            "",
            "host",
            ":1",
            "host:",
            "host:0",
            "host:65536",
            "host:+80",
            "::1:80",
            "fd00::20:80",
            "[::1:80",
            "[host]:80",
            "a b:1",
            "h:1@",
            "[]:1",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_wildcard_listener_is_advertised_without_link_local_and_with_a_marked_loopback() {
        let all = advertised("0.0.0.0:4100".parse().unwrap());
        let last = all.last().unwrap();
        assert_eq!(last.to_string(), format!("127.0.0.1:4100@{}", host_id()));
        for endpoint in &all[..all.len() - 1] {
            assert!(
                endpoint.only_on.is_none() && !endpoint.host.starts_with("169.254."),
                "{endpoint}"
            );
        }
        let one = advertised("127.0.0.1:4100".parse().unwrap());
        assert_eq!(one.as_slice(), std::slice::from_ref(last));
    }

    #[test]
    fn loopback_comes_first_at_home_and_is_left_out_elsewhere() {
        let home = format!("127.0.0.1:1@{}", host_id());
        let order = trial_order(&[
            "10.0.0.1:1",
            "nonsense",
            &home,
            "127.0.0.1:2@elsewhere",
            "10.0.0.1:1",
        ]);
        assert_eq!(order, ["127.0.0.1:1", "10.0.0.1:1", "nonsense"]);
    }
}
