//! Three nodes and a registry in virtual time, over a network that does all that networks do.
//!
//! What runs are the parts without I/O, as they are: handshakes and sessions, the registry's desk and
//! table, a node's own names and its copy of the table. What is between them in the runtime, sockets
//! and tasks, is as simple here as it can be (`process.rs`, `role.rs`). The checker (`book.rs`) knows
//! every message, and both ends of every connection.
//!
//! Everything comes from one number: `BOTZILLA_SEED=17 cargo test -p botzilla-registry --test it
//! simulation -- --nocapture` runs that one again and tells all that happens; `BOTZILLA_SEEDS=100000`
//! runs so many.

mod book;
mod clock;
mod net;
mod process;
mod rng;
mod role;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use self::world::{Summary, World};

/// As many as a debug build does in half a minute.
const SEEDS: u64 = 500;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Runs one; whatever fails, it is said how to see it again.
fn run(seed: u64) -> Option<Summary> {
    let ran = catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run()));
    if ran.is_err() {
        eprintln!(
            "\nseed {seed} failed; to see it again, with all that happened:\n  BOTZILLA_SEED={seed} \
             cargo test -p botzilla-registry --test it simulation::whatever -- --nocapture\n"
        );
    }
    ran.ok()
}

#[test]
fn whatever_happens_each_message_ends_once_and_each_name_has_one_holder() {
    if let Some(seed) = setting("BOTZILLA_SEED") {
        println!("{:?}", World::new(seed, true).run());
        return;
    }
    let seeds = setting("BOTZILLA_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut all = Vec::new();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds {
                return all;
            }
            let Some(summary) = run(seed) else {
                // One is enough to be looked at.
                next.store(seeds, Relaxed);
                panic!("seed {seed}");
            };
            all.push(summary);
        }
    };
    let all: Vec<Summary> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done = threads.into_iter().map(|thread| thread.join());
        done.flat_map(|it| it.expect("a seed failed; it is said above how to see it again"))
            .collect()
    });
    // It all did happen.
    let sum = |count: fn(&Summary) -> u64| all.iter().map(count).sum::<u64>();
    let totals = [
        sum(|it| it.messages as u64),
        sum(|it| it.good as u64),
        sum(|it| it.clean),
        sum(|it| it.cut),
        sum(|it| it.tampered),
    ];
    println!(
        "{seeds} seeds; messages, good ones, clean ends, cuts, changes on the way: {totals:?}"
    );
    assert!(totals[1] > totals[0] / 10, "most got nowhere: {totals:?}");
    assert!(
        seeds < 100 || totals.iter().all(|total| *total > seeds / 10),
        "{totals:?}"
    );
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 0..20 {
        let runs = [(); 2].map(|()| World::new(seed, false).run());
        assert_eq!(runs[0], runs[1], "seed {seed}");
        assert_ne!(runs[0].hash, World::new(seed + 1, false).run().hash);
    }
}
