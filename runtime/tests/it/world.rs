//! A registry, nodes, and patience.

use std::{
    future::Future,
    net::SocketAddr,
    sync::LazyLock,
    time::{Duration, Instant},
};

use botzilla::{Node, NodeConfig};
use botzilla_registry::{Registry, RunningRegistry};
use parking_lot::{Mutex, MutexGuard};

/// Nothing here takes so long; a machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);
/// What a node gets to go down.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A key, not a passphrase: that would be stretched, with 64 MiB of memory, for each node.
pub(crate) static SECRET: LazyLock<String> = LazyLock::new(|| {
    let secret = botzilla_wire::Secret::from_bytes("it", [7; 32]).unwrap();
    secret.to_text().to_string()
});

/// What a test that measures times, or that takes all of the machine, holds: so that neither meets another.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

/// Runs a test on an actix system of its own: its nodes share the thread.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let timed = async { tokio::time::timeout(PATIENCE, test).await };
    actix_rt::System::new().block_on(timed).expect("it hangs");
}

/// Runs a test without an actix system: each of its nodes gets a thread of its own.
pub(crate) fn run_apart(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let timed = async { tokio::time::timeout(PATIENCE, test).await };
    runtime.block_on(timed).expect("it hangs");
}

pub(crate) async fn registry() -> RunningRegistry {
    let registry = Registry::new("127.0.0.1:0", &*SECRET).unwrap();
    registry.fresh().start().await.unwrap()
}

pub(crate) fn config(registry: SocketAddr) -> NodeConfig {
    let config = NodeConfig::new(registry.to_string(), &*SECRET).unwrap();
    config
        .listen("127.0.0.1:0")
        .ask_time(Duration::from_secs(30))
}

pub(crate) async fn node(registry: SocketAddr) -> Node {
    started(config(registry)).await
}

pub(crate) async fn started(config: NodeConfig) -> Node {
    let node = Node::start(config).await.unwrap();
    node.ready().await;
    node
}

/// A registry and two nodes.
pub(crate) async fn two() -> (RunningRegistry, Node, Node) {
    let registry = registry().await;
    let (one, two) = (
        node(registry.address()).await,
        node(registry.address()).await,
    );
    (registry, one, two)
}

/// Looks until it is so; the test's patience bounds it.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Looks until the node hosts the component no longer.
pub(crate) async fn until_gone(node: &Node, component: &str) {
    until(|| node.describe(component).is_none()).await;
}

/// Looks until a component has nothing in its queue: what was sent to it runs or has run.
pub(crate) async fn until_begun(node: &Node, component: &str, received: u64) {
    until(|| {
        let description = node.describe(component).unwrap();
        let sent: u64 = description
            .handlers
            .iter()
            .map(|handler| handler.counters.sent)
            .sum();
        sent >= received && description.queued == 0
    })
    .await;
}

/// Looks until as many have come in for a component.
pub(crate) async fn until_received(node: &Node, component: &str, received: u64) {
    until(|| {
        let description = node.describe(component).unwrap();
        let sent: u64 = description
            .handlers
            .iter()
            .map(|handler| handler.counters.sent)
            .sum();
        sent >= received
    })
    .await;
}

/// Waits until others know where a component is.
pub(crate) async fn found(node: &Node, component: &str) -> botzilla::ComponentRef {
    let component = node.component(component);
    component.ready(PATIENCE).await.unwrap();
    component
}

/// Waits until a node's own copy of the directory lists these, and no others.
pub(crate) async fn until_listed(node: &Node, names: &[&str]) {
    let began = Instant::now();
    while node.components().await.unwrap() != names {
        assert!(began.elapsed() < PATIENCE, "{:?}", node.components().await);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
