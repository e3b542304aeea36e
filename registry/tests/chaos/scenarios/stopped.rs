//! Processes stand still (SIGSTOP) and go on.

use super::{Needs, Scenario, at_least, killed::DEAD};
use crate::{
    network::Network,
    world::{World, seconds},
};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "a_component_that_stands_still_for_two_seconds_keeps_its_connections",
        needs: Needs::Nothing,
        run: |network| Box::pin(shortly(network)),
    },
    Scenario {
        name: "a_component_that_stands_still_for_longer_is_given_up_and_comes_back",
        needs: Needs::Nothing,
        run: |network| Box::pin(for_long(network)),
    },
    Scenario {
        name: "a_registry_that_stands_still_for_longer_than_a_lease_is_not_missed",
        needs: Needs::Nothing,
        run: |network| Box::pin(registry(network)),
    },
];

async fn shortly(network: &Network) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    world.begin().await;
    world.stand_still("b", seconds(2)).await;
    world.settled(seconds(0)).await;
    world.finish(&["b"], &["expired"]).await
}

async fn for_long(network: &Network) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    world.begin().await;
    let since = crate::diary::now();
    world.stand_still("b", at_least(11)).await;
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.given_up(&["b"], since);
    world.finish(&["b"], DEAD).await
}

/// Time in which the registry itself stood still counts for nobody: no lease ends.
async fn registry(network: &Network) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    world.begin().await;
    world.registry.signal("STOP");
    tokio::time::sleep(at_least(12)).await;
    world.registry.signal("CONT");
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.finish(&[], &[]).await
}
