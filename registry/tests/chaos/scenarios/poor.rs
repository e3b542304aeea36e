//! Everything passes, badly: on all lines between all hosts, both ways.

use std::time::Duration;

use tokio::time::sleep;

use super::{Needs, Scenario, killed::DEAD};
use crate::{
    network::{Network, line::Fault},
    world::{World, fault_time, seconds},
};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "five_percent_loss_costs_time_and_no_connection",
        needs: Needs::Hosts,
        run: |network| Box::pin(poor(network, lossy(0.05), SLOW)),
    },
    Scenario {
        name: "thirty_percent_loss_may_cost_connections_and_no_outcome",
        needs: Needs::Hosts,
        run: |network| Box::pin(poor(network, lossy(0.3), DEAD)),
    },
    Scenario {
        name: "three_hundred_milliseconds_of_delay_cost_time_and_no_connection",
        needs: Needs::Hosts,
        run: |network| Box::pin(poor(network, DELAYED, SLOW)),
    },
    Scenario {
        name: "packets_that_overtake_each_other_cost_nothing",
        needs: Needs::Hosts,
        run: |network| Box::pin(poor(network, REORDERED, &[])),
    },
    Scenario {
        name: "packets_that_are_visibly_damaged_cost_time_and_no_connection",
        needs: Needs::Hosts,
        run: |network| Box::pin(poor(network, CORRUPTED, SLOW)),
    },
    Scenario {
        name: "packets_that_are_altered_under_a_right_checksum_cost_the_connection_and_no_outcome",
        needs: Needs::Hosts,
        run: |network| Box::pin(poor(network, FORGED, DEAD)),
    },
    Scenario {
        name: "a_megabit_a_second_costs_time_and_no_connection",
        needs: Needs::Hosts,
        run: |network| Box::pin(poor(network, NARROW, SLOW)),
    },
];

/// What a message may end as whose connection lives.
const SLOW: &[&str] = &["expired"];

const fn lossy(loss: f64) -> Fault {
    Fault {
        loss,
        ..Fault::NONE
    }
}

const DELAYED: Fault = Fault {
    delay: Duration::from_millis(300),
    ..Fault::NONE
};

const REORDERED: Fault = Fault {
    reorder: 0.25,
    detour: Duration::from_millis(20),
    ..Fault::NONE
};

const CORRUPTED: Fault = Fault {
    corrupt: 0.05,
    ..Fault::NONE
};

const FORGED: Fault = Fault {
    forge: 0.01,
    ..Fault::NONE
};

const NARROW: Fault = Fault {
    rate: Some(1_000_000),
    ..Fault::NONE
};

async fn poor(network: &Network, fault: Fault, allowed: &[&str]) -> String {
    let is_narrow = fault.rate.is_some();
    let mut world = World::start_with(network, [].into(), |plan| {
        if is_narrow {
            // As much as there is room for, and now and then more.
            (plan.every_ms, plan.item_every_ms) = (100, 100);
        }
    })
    .await;
    world.warm_up().await;
    let before = network.counts();
    network.everywhere(fault);
    world.begin().await;
    sleep(fault_time()).await;
    network.heal();
    let after = network.counts();
    let done = [
        after.lost - before.lost,
        after.late - before.late,
        after.altered - before.altered,
    ];
    assert!(
        done.iter().sum::<u64>() > 20,
        "there was no fault: {done:?}"
    );
    let [lost, late, altered] = done;
    world.note(&format!(
        "of {} packets {lost} lost, {late} late, {altered} altered",
        after.passed + after.lost - before.passed - before.lost,
    ));
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.finish(&["a", "b", "c", "d"], allowed).await
}
