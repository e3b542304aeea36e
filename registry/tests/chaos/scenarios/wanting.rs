//! Something runs out: descriptors, places for strangers, memory.

use std::net::SocketAddr;

use tokio::time::{Instant, sleep};

use super::{Needs, Scenario, killed::DEAD};
use crate::{
    network::{Host, Network},
    world::{NEWCOMER, SLACK, World, fault_time, seconds},
};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "a_node_without_descriptors_serves_whom_it_knows_and_takes_others_later",
        needs: Needs::Nothing,
        run: |network| Box::pin(descriptors(network)),
    },
    Scenario {
        name: "a_thousand_connections_of_strangers_are_not_noticed",
        needs: Needs::Hosts,
        run: |network| Box::pin(flood(network)),
    },
    Scenario {
        name: "a_node_with_a_little_memory_to_spare_lives",
        needs: Needs::Nothing,
        run: |network| Box::pin(spare_memory(network)),
    },
    Scenario {
        name: "a_node_without_memory_may_die_and_costs_no_outcome",
        needs: Needs::Nothing,
        run: |network| Box::pin(no_memory(network)),
    },
];

async fn descriptors(network: &Network) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    world.begin().await;
    let poor = &world.node("b").process;
    let used = poor.usage().descriptors;
    poor.leave_no_descriptor();
    let newcomer = world.begin_node(Host::Guest, NEWCOMER);
    world.join(newcomer).await;
    sleep(fault_time()).await;
    let poor = &world.node("b").process;
    assert!(poor.usage().descriptors <= used, "the limit does nothing");
    poor.limit("nofile=1024:4096");
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    // Only between those two there was no way.
    world.finish_between(&[("b", NEWCOMER)], DEAD).await
}

async fn flood(network: &Network) -> String {
    let raised = ["sh", "-c", "ulimit -n 4096; exec \"$@\"", "sh"].map(str::to_owned);
    let prefixes = [("flood", raised.into())].into();
    let mut world = World::start_with(network, prefixes, |_| {}).await;
    world.warm_up().await;
    let (registry, victim) = (world.address, world.node("b"));
    let victim = SocketAddr::new(network.address(victim.host).into(), victim.port);
    let before = world.node("b").process.usage();
    world.begin().await;
    let targets = format!("{registry} {victim}");
    let mut flood = world.stranger("flood", &[("CHAOS_TARGETS", targets)]);
    flood.says("ready").await;
    // Somebody who has a right to come in, from elsewhere.
    let since = Instant::now();
    let newcomer = world.begin_node(Host::A, NEWCOMER);
    world.join(newcomer).await;
    let took = world.settled(seconds(0)).await;
    world.note(&format!(
        "a newcomer is in after {:.1} s",
        took.as_secs_f64()
    ));
    let mut most = before.descriptors;
    while since.elapsed() < fault_time() + SLACK {
        most = most.max(world.node("b").process.usage().descriptors);
        sleep(seconds(1) / 20).await;
    }
    let made = flood.order("made").await.unwrap();
    drop(flood);
    world.note(&format!(
        "{made} connections made, {} at a time",
        most - before.descriptors
    ));
    assert!(
        made.parse::<u64>().unwrap() >= 1_000,
        "that was no flood: {made}"
    );
    // Eight strangers of one address, those that are just being accepted, as many, and the newcomer.
    assert!(
        most <= before.descriptors + 24,
        "{most} descriptors, {before:?}"
    );
    world.settled(seconds(0)).await;
    world.finish(&[], &[]).await
}

/// The address space that is left to a process, in MiB.
fn leave(world: &mut World<'_>, mib: u64) {
    let process = &world.node("b").process;
    let bytes = process.status("VmSize:") * 1024 + mib * 1024 * 1024;
    process.limit(&format!("as={bytes}:unlimited"));
}

async fn spare_memory(network: &Network) -> String {
    let mut world = World::start(network).await;
    world.warm_up().await;
    leave(&mut world, 32);
    world.begin().await;
    sleep(fault_time()).await;
    world.settled(seconds(0)).await;
    world.finish(&[], &[]).await
}

/// Messages that it has no room for.
async fn no_memory(network: &Network) -> String {
    let mut world = World::start_with(network, [].into(), |plan| {
        (plan.every_ms, plan.burst, plan.large) = (100, 2, 2_000_000);
    })
    .await;
    world.warm_up().await;
    world.begin().await;
    leave(&mut world, 1);
    let since = Instant::now();
    while !world.node("b").process.has_ended() && since.elapsed() < fault_time() {
        sleep(seconds(1) / 10).await;
    }
    let how = if world.node("b").process.has_ended() {
        "it died"
    } else {
        "it lived"
    };
    world.note(how);
    if how == "it died" {
        world.kill("b");
        world.revive("b").await;
    } else {
        world.node("b").process.limit("as=unlimited:unlimited");
    }
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.finish(&["a", "b", "c", "d"], DEAD).await
}
