//! Where a node can be reached, as texts that travel through the registry.
//!
//! An endpoint reads `host:port`, with an IPv6 address in brackets. A loopback endpoint means
//! something on its own host only, so it is marked with that host's id: `127.0.0.1:4100@<host id>`. A
//! link-local IPv6 address means something on one network only: whoever dials says on which of his
//! interfaces that is, `[fe80::1%eth0]:4100`, or tries each.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::OnceLock,
    time::Duration,
};

use if_addrs::{IfAddr, Interface};

use super::{error::AttemptError, names};

/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// One address under which a node may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// A numeric address (without brackets; a link-local one may name its interface behind a `%`), or
    /// a name.
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

    /// How late it is tried.
    fn distance(&self, interfaces: &[Interface]) -> u8 {
        if self.is_loopback() {
            return 0;
        }
        let Ok(ip) = split_zone(&self.host).0.parse::<IpAddr>() else {
            return 2;
        };
        let is_link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        if interfaces.iter().any(|own| own.ip() == ip) {
            4
        } else if is_link_local {
            3
        } else if interfaces.iter().any(|own| is_beside(ip, &own.addr)) {
            1
        } else {
            2
        }
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
            let (ip, zone) = split_zone(inner);
            ip.parse::<Ipv6Addr>().ok()?;
            if !zone.is_none_or(is_zone) {
                return None;
            }
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
    (text.starts_with('[') || is_name(host)).then_some((host, port))
}

/// An address, and the interface that it is meant on.
fn split_zone(host: &str) -> (&str, Option<&str>) {
    host.split_once('%')
        .map_or((host, None), |(ip, zone)| (ip, Some(zone)))
}

fn is_zone(zone: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    (1..=32).contains(&zone.len()) && zone.bytes().all(fits)
}

/// What an address stands for, as sockets take it: a name's addresses, a link-local address on each
/// interface.
pub(crate) async fn resolve(
    address: &str,
    within: Duration,
) -> Result<Vec<SocketAddr>, AttemptError> {
    let Endpoint { host, port, .. } = Endpoint::parse(address)?;
    let (ip, zone) = split_zone(&host);
    match ip.parse() {
        Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() || zone.is_some() => {
            let scopes = scopes(zone, &interfaces())?;
            let scoped = |scope| SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope));
            Ok(scopes.into_iter().map(scoped).collect())
        }
        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Err(_) => {
            let mut found = names::look_up(&host, port, within).await?;
            found.truncate(ADDRESSES);
            Ok(found)
        }
    }
}

/// The numbers of the interfaces on which a link-local address may be meant.
fn scopes(zone: Option<&str>, interfaces: &[Interface]) -> Result<Vec<u32>, AttemptError> {
    let has_one = |interface: &&Interface| matches!(&interface.addr, IfAddr::V6(v6) if v6.ip.is_unicast_link_local());
    let why = match zone {
        Some(zone) => {
            let named = interfaces.iter().find(|interface| interface.name == zone);
            let number = named.and_then(|interface| interface.index);
            if let Some(number) = number.or_else(|| zone.parse().ok()) {
                return Ok(vec![number]);
            }
            format!("this host has no interface {zone:?}")
        }
        None => {
            let all = interfaces.iter().filter(has_one);
            let mut all: Vec<u32> = all.filter_map(|interface| interface.index).collect();
            all.dedup();
            all.truncate(ADDRESSES);
            if !all.is_empty() {
                return Ok(all);
            }
            "no interface of this host has a link-local address".to_owned()
        }
    };
    Err(AttemptError::Unreachable { why })
}

/// This host's interfaces, an entry for each address.
fn interfaces() -> Vec<Interface> {
    if_addrs::get_if_addrs().unwrap_or_default()
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
/// loopback or link-local, then loopback, marked. A host that has link-local addresses only, such as two
/// machines and a cable, has those. A listener on one address has that one.
pub(crate) fn advertised(bound: SocketAddr) -> Vec<Endpoint> {
    if bound.ip().is_unspecified() {
        advertised_of(bound, &interfaces())
    } else {
        vec![Endpoint::of(bound)]
    }
}

fn advertised_of(bound: SocketAddr, interfaces: &[Interface]) -> Vec<Endpoint> {
    // An IPv6 wildcard socket takes IPv4 as well: it is made so.
    let takes = |ip: &IpAddr| bound.is_ipv6() || ip.is_ipv4();
    let of_host = |link_local: bool| {
        let all = interfaces.iter().filter(|interface| {
            !interface.is_loopback() && interface.is_link_local() == link_local
        });
        let mut found: Vec<IpAddr> = all.map(Interface::ip).filter(takes).collect();
        // IPv4 first: on robots it is what is set up; within a family the system's order.
        found.sort_by_key(IpAddr::is_ipv6);
        let mut seen = rustc_hash::FxHashSet::default();
        found.retain(|ip| seen.insert(*ip));
        found
    };
    let mut found = of_host(false);
    if found.is_empty() {
        found = of_host(true);
    }
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
/// first, and those of other hosts are left out; then those on a network that this host is on as well;
/// last what is the most likely to be another machine here, link-local addresses and this host's own
/// (each host's container bridge has the same). What can't be read stays, and fails with its reason.
pub(crate) fn trial_order<S: AsRef<str>>(endpoints: &[S]) -> Vec<String> {
    // Who has one address has no order.
    let interfaces = if endpoints.len() > 1 {
        interfaces()
    } else {
        Vec::new()
    };
    trial_order_among(endpoints, &interfaces)
}

fn trial_order_among<S: AsRef<str>>(endpoints: &[S], interfaces: &[Interface]) -> Vec<String> {
    let mut ranked = Vec::new();
    for text in endpoints {
        let text = text.as_ref();
        match Endpoint::parse(text) {
            Ok(endpoint) => match &endpoint.only_on {
                Some(id) if id != host_id() => {}
                Some(_) => ranked.push((0, endpoint.address())),
                None => ranked.push((endpoint.distance(interfaces), endpoint.address())),
            },
            Err(_) => ranked.push((2, text.to_owned())),
        }
    }
    // Stable: of two that are as far the node's own order decides.
    ranked.sort_by_key(|(distance, _)| *distance);
    let mut seen = rustc_hash::FxHashSet::default();
    ranked.retain(|(_, address)| seen.insert(address.clone()));
    ranked.into_iter().map(|(_, address)| address).collect()
}

/// Whether an address is on the network that an interface's address is on.
fn is_beside(ip: IpAddr, own: &IfAddr) -> bool {
    match (ip, own) {
        (IpAddr::V4(ip), IfAddr::V4(own)) => {
            let mask = own.netmask.to_bits();
            mask != 0 && ip.to_bits() & mask == own.ip.to_bits() & mask
        }
        (IpAddr::V6(ip), IfAddr::V6(own)) => {
            let mask = own.netmask.to_bits();
            mask != 0 && ip.to_bits() & mask == own.ip.to_bits() & mask
        }
        _ => false,
    }
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
            "[fe80::1%eth0]:7",
            "[fe80::1%2]:7",
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
            "[fe80::1%]:1",
            "[fe80::1%a b]:1",
            "[robot%eth0]:1",
            "fe80::1%eth0:1",
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

    fn interface(name: &str, index: u32, ip: &str, prefix: u32) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(if_addrs::Ifv4Addr {
                ip,
                netmask: Ipv4Addr::from_bits(u32::MAX << (32 - prefix)),
                prefixlen: prefix as u8,
                broadcast: None,
            }),
            IpAddr::V6(ip) => IfAddr::V6(if_addrs::Ifv6Addr {
                ip,
                netmask: Ipv6Addr::from_bits(u128::MAX << (128 - prefix)),
                prefixlen: prefix as u8,
                broadcast: None,
            }),
        };
        Interface {
            name: name.to_owned(),
            addr,
            index: Some(index),
            oper_status: if_addrs::IfOperStatus::Up,
            is_p2p: false,
        }
    }

    fn robot() -> Vec<Interface> {
        vec![
            interface("lo", 1, "127.0.0.1", 8),
            interface("eth0", 2, "fe80::2", 64),
            interface("eth0", 2, "fd00:1::2", 64),
            interface("eth0", 2, "10.1.0.2", 16),
            interface("docker0", 3, "172.17.0.1", 16),
            interface("wlan0", 4, "192.168.4.2", 24),
            interface("wlan0", 4, "fe80::4", 64),
        ]
    }

    #[test]
    fn a_machine_with_many_addresses_is_tried_first_on_a_network_that_is_shared() {
        let order = trial_order_among(
            &[
                "172.17.0.1:1",
                "203.0.113.7:1",
                "169.254.3.3:1",
                "[fd00:2::9]:1",
                "192.168.4.9:1",
                "robot.local:1",
                "[fd00:1::9]:1",
            ],
            &robot(),
        );
        let wanted = [
            "192.168.4.9:1",
            "[fd00:1::9]:1",
            "203.0.113.7:1",
            "[fd00:2::9]:1",
            "robot.local:1",
            "169.254.3.3:1",
            "172.17.0.1:1",
        ];
        assert_eq!(order, wanted);
    }

    #[test]
    fn a_link_local_address_is_meant_on_the_interface_that_it_names_or_on_each() {
        assert_eq!(scopes(Some("wlan0"), &robot()).unwrap(), [4]);
        assert_eq!(scopes(Some("7"), &robot()).unwrap(), [7]);
        assert_eq!(scopes(None, &robot()).unwrap(), [2, 4]);
        let error = scopes(Some("eth9"), &robot()).unwrap_err();
        assert!(error.to_string().contains("\"eth9\""), "{error}");
        assert!(scopes(None, &robot()[..1]).is_err());
    }

    #[test]
    fn a_wildcard_listener_has_the_addresses_of_its_families_and_link_local_ones_for_want_of_others()
     {
        let texts = |bound: &str, interfaces: &[Interface]| -> Vec<String> {
            let all = advertised_of(bound.parse().unwrap(), interfaces);
            let numeric = all.iter().map(Endpoint::address);
            numeric.collect()
        };
        let four = ["10.1.0.2:9", "172.17.0.1:9", "192.168.4.2:9", "127.0.0.1:9"];
        assert_eq!(texts("0.0.0.0:9", &robot()), four);
        let mut both = four.to_vec();
        both.insert(3, "[fd00:1::2]:9");
        assert_eq!(texts("[::]:9", &robot()), both);
        let cable = [
            interface("lo", 1, "127.0.0.1", 8),
            interface("eth0", 2, "fe80::2", 64),
            interface("eth0", 2, "169.254.7.7", 16),
        ];
        let wanted = ["169.254.7.7:9", "[fe80::2]:9", "127.0.0.1:9"];
        assert_eq!(texts("[::]:9", &cable), wanted);
    }
}
