//! Processes end by kill -9.

use tokio::time::sleep;

use super::{Needs, Scenario};
use crate::{
    network::Network,
    world::{World, fault_time, seconds},
};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "a_component_is_killed_and_comes_back",
        needs: Needs::Nothing,
        run: |network| Box::pin(component(network)),
    },
    Scenario {
        name: "a_node_of_two_components_is_killed_and_comes_back",
        needs: Needs::Nothing,
        run: |network| Box::pin(node(network)),
    },
    Scenario {
        name: "the_registry_is_killed_and_comes_back",
        needs: Needs::Nothing,
        run: |network| Box::pin(registry(network)),
    },
];

/// What becomes of messages to and from who is dead.
pub(super) const DEAD: &[&str] = &[
    "disconnected",
    "not connected",
    "no such component",
    "expired",
];

async fn component(network: &Network) -> String {
    killed(network, "b", &["b"]).await
}

async fn node(network: &Network) -> String {
    killed(network, "c d", &["c", "d"]).await
}

async fn killed(network: &Network, names: &str, touched: &[&str]) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    world.begin().await;
    sleep(fault_time() / 2).await;
    world.kill(names);
    sleep(fault_time() / 2).await;
    world.revive(names).await;
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.finish(touched, DEAD).await
}

/// Nobody notices.
async fn registry(network: &Network) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    world.begin().await;
    sleep(fault_time() / 2).await;
    world.registry.kill();
    sleep(fault_time() / 2).await;
    world.restart_registry().await;
    let took = world.settled(seconds(10)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.finish(&[], &[]).await
}
