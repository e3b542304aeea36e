//! Clocks that step.

use std::{collections::BTreeMap, fs, path::PathBuf};

use tempfile::TempDir;
use tokio::time::sleep;

use super::{Needs, Scenario, at_least, killed::DEAD};
use crate::{
    network::Network,
    world::{World, fault_time, seconds},
};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "clocks_on_the_wall_that_step_are_not_noticed",
        needs: Needs::Clocks,
        run: |network| Box::pin(walls(network)),
    },
    Scenario {
        name: "a_monotonic_clock_that_leaps_an_hour_ahead_costs_connections_and_no_outcome",
        needs: Needs::Clocks,
        run: |network| Box::pin(monotonic(network)),
    },
];

/// What fakes the clocks of a process.
pub(super) fn library() -> Option<PathBuf> {
    let entries = fs::read_dir("/usr/lib").ok()?;
    let places = entries.flatten().map(|entry| entry.path());
    let files = places.map(|place| place.join("faketime/libfaketimeMT.so.1"));
    files.into_iter().find(|file| file.exists())
}

/// A clock for one process, which is set by writing to a file.
struct Clock(PathBuf);

impl Clock {
    fn new(directory: &TempDir, name: &str) -> Self {
        let clock = Self(directory.path().join(name));
        clock.set("+0");
        clock
    }

    /// So much beside the true time, in seconds: `+3600`.
    fn set(&self, offset: &str) {
        // At once: it may be read at any moment.
        let new = self.0.with_extension("new");
        fs::write(&new, offset).unwrap();
        fs::rename(new, &self.0).unwrap();
    }

    fn prefix(&self, fakes_monotonic: bool) -> Vec<String> {
        let library = library().expect("it was looked for");
        let mut words = vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.0.display()),
            // It looks at the file again after a second.
            "FAKETIME_CACHE_DURATION=1".to_owned(),
        ];
        if !fakes_monotonic {
            words.push("FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned());
        }
        words
    }
}

/// A year ahead, back to the seventies, as a machine without a battery may do when it gets its time:
/// everybody at another moment.
async fn walls(network: &Network) -> String {
    let directory = TempDir::new().unwrap();
    let names = ["registry", "a", "b", "c d"];
    let clocks = names.map(|name| (name, Clock::new(&directory, name)));
    let prefixes = clocks
        .iter()
        .map(|(name, clock)| (*name, clock.prefix(false)));
    let prefixes: BTreeMap<_, _> = prefixes.collect();
    let mut world = World::start_with(network, prefixes, |_| {}).await;
    world.warm_up().await;
    let before = world.clock("b").await;
    world.begin().await;
    for offset in ["+31536000", "-1577836800"] {
        for (_, clock) in &clocks {
            clock.set(offset);
            sleep(fault_time() / 4).await;
        }
    }
    sleep(seconds(1)).await;
    let after = world.clock("b").await;
    let stepped = after.0 - before.0;
    assert!(
        (-1.6e9..-1.5e9).contains(&stepped),
        "it didn't step: {stepped} s"
    );
    assert!(after.1 - before.1 < 600.0, "the other clock did as well");
    world.settled(seconds(0)).await;
    world.finish(&[], &[]).await
}

/// To its process it is as if it had stood still for an hour, and nobody else had.
async fn monotonic(network: &Network) -> String {
    let directory = TempDir::new().unwrap();
    let clock = Clock::new(&directory, "b");
    let prefixes = [("b", clock.prefix(true))].into();
    let mut world = World::start_with(network, prefixes, |_| {}).await;
    world.warm_up().await;
    let before = world.clock("b").await;
    world.begin().await;
    sleep(seconds(1)).await;
    clock.set("+3600");
    sleep(at_least(3)).await;
    let after = world.clock("b").await;
    let leapt = after.1 - before.1;
    assert!(
        (3600.0..4200.0).contains(&leapt),
        "it didn't leap: {leapt} s"
    );
    let took = world.settled(seconds(0)).await;
    world.note(&format!("back after {:.1} s", took.as_secs_f64()));
    world.finish(&["b"], DEAD).await
}
