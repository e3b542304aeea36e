//! Nothing passes between some hosts.

use tokio::time::sleep;

use super::{Needs, Scenario, at_least, killed::DEAD};
use crate::{
    diary,
    network::{Host, Network, line::Fault},
    world::{World, seconds},
};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "a_host_that_is_cut_off_is_given_up_within_three_seconds_and_comes_back",
        needs: Needs::Hosts,
        run: |network| Box::pin(host(network)),
    },
    Scenario {
        name: "two_hosts_that_hear_each_other_one_way_only_give_each_other_up_and_come_back",
        needs: Needs::Hosts,
        run: |network| Box::pin(one_way(network)),
    },
    Scenario {
        name: "a_registry_that_is_cut_off_for_longer_than_a_lease_is_not_missed",
        needs: Needs::Hosts,
        run: |network| Box::pin(registry(network)),
    },
];

const CUT: Fault = Fault {
    cut: true,
    ..Fault::NONE
};

async fn host(network: &Network) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    world.begin().await;
    sleep(seconds(1)).await;
    let since = diary::now();
    for other in [Host::Registry, Host::A, Host::C] {
        network.between(Host::B, other, CUT);
    }
    sleep(at_least(6)).await;
    network.heal();
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.given_up(&["b"], since);
    world.finish(&["b"], DEAD).await
}

/// What `a` says doesn't come to `b`, which it hears well.
async fn one_way(network: &Network) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    world.begin().await;
    sleep(seconds(1)).await;
    let since = diary::now();
    network.one_way(Host::A, Host::B, CUT);
    sleep(at_least(6)).await;
    network.heal();
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.given_up(&["a", "b"], since);
    // The others don't notice; what the two say to them is no trouble either.
    world.finish_between(&[("a", "b")], DEAD).await
}

async fn registry(network: &Network) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    world.begin().await;
    for other in [Host::A, Host::B, Host::C] {
        network.between(Host::Registry, other, CUT);
    }
    sleep(at_least(13)).await;
    network.heal();
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.finish(&[], &[]).await
}
