//! A lab: hosts of their own, with addresses of their own, on one network. They are network namespaces
//! on a bridge, inside a namespace of the test's own, which goes with the test and leaves nothing.
//!
//! The test runs itself again in there. Where namespaces can't be made it says so and tests nothing.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, ExitStatus},
};

use botzilla::{Node, NodeConfig};
use botzilla_registry::{Registry, RunningRegistry};

use super::support::{NodeProcess, SECRET, node_at, run};

/// Set inside, to the name of the test.
const INSIDE: &str = "IT_LAB";

/// What makes the network. `/run` is the lab's own, for the names of its hosts.
const SET_UP: &str = "mount -t tmpfs none /run && mkdir -p /run/netns && ip link set lo up && \
    ip link add br0 type bridge && sysctl -wq net.ipv6.conf.br0.accept_dad=0 && \
    ip link set br0 up && ip addr add 10.77.0.1/24 dev br0 && \
    ip netns add try && ip link add vtry type veth peer name eth0 netns try && \
    ip netns exec try iptables -A INPUT -p tcp -j DROP && ip netns del try";

/// Where this process is, in the lab.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Runs a test, which has this path, in a lab.
pub(crate) fn in_lab(path: &str, test: impl Future<Output = ()>) {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == path) {
        return run(test);
    }
    let within = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--net", "--mount", "sh", "-c", script])
            .env(INSIDE, path);
        command
    };
    if !within(SET_UP)
        .output()
        .is_ok_and(|done| done.status.success())
    {
        eprintln!(
            "SKIPPED {path}: no network namespaces with `ip` and `iptables` can be made here"
        );
        return;
    }
    let script = format!("{SET_UP} && exec \"$0\" --exact {path} --nocapture --test-threads=1");
    let status = within(&script)
        .arg(std::env::current_exe().unwrap())
        .status();
    assert!(
        status.as_ref().is_ok_and(ExitStatus::success),
        "see above: {status:?}"
    );
}

/// Runs a command in the lab.
pub(crate) fn sh(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status().unwrap();
    assert!(status.success(), "{script}");
}

/// A host beside this one, at 10.77.0.`number`.
pub(crate) fn host(name: &str, number: u8) {
    bare_host(name);
    sh(&format!(
        "ip -n {name} addr add 10.77.0.{number}/24 dev eth0"
    ));
}

/// A host that has nothing but its link-local address.
pub(crate) fn bare_host(name: &str) {
    sh(&format!(
        "ip netns add {name}
         ip link add v{name} type veth peer name eth0 netns {name}
         ip netns exec {name} sysctl -wq net.ipv6.conf.eth0.accept_dad=0
         ip link set v{name} master br0 up
         ip -n {name} link set lo up
         ip -n {name} link set eth0 up"
    ));
}

/// A robot at 192.168.`net`.2 behind a router at 10.77.0.`number`, which lets nobody in.
pub(crate) fn behind_nat(robot: &str, net: u8, number: u8) {
    let router = format!("r{robot}");
    host(&router, number);
    sh(&format!(
        "ip netns add {robot}
         ip link add lan type veth peer name eth0 netns {robot}
         ip link set lan netns {router}
         ip -n {router} link set lan up
         ip -n {router} addr add 192.168.{net}.1/24 dev lan
         ip -n {robot} link set lo up
         ip -n {robot} link set eth0 up
         ip -n {robot} addr add 192.168.{net}.2/24 dev eth0
         ip -n {robot} route add default via 192.168.{net}.1
         ip netns exec {router} sysctl -wq net.ipv4.ip_forward=1
         ip netns exec {router} iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
         ip netns exec {router} iptables -A INPUT -i eth0 -p tcp --syn -j DROP"
    ));
}

/// A registry in this process, for all of the lab.
pub(crate) async fn registry() -> RunningRegistry {
    let registry = Registry::new("[::]:6985", SECRET).unwrap();
    registry.fresh().start().await.unwrap()
}

/// Where it is found.
pub(crate) fn registry_address() -> SocketAddr {
    (HERE, 6985).into()
}

/// A node in this process.
pub(crate) async fn here() -> Node {
    let config = NodeConfig::new(registry_address().to_string(), SECRET).unwrap();
    let node = Node::start(config).await.unwrap();
    node.ready().await;
    node
}

/// A process with a node on a host, which listens wherever it can be reached.
pub(crate) async fn node_on(host: &str, names: &str) -> NodeProcess {
    let settings = [("IT_HOST", host), ("IT_LISTEN", "[::]:0")];
    node_at(registry_address(), names, &settings).await
}
