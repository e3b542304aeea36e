//! A suite that breaks things: processes with addresses of their own talk to each other, something
//! is done to them or to the network between them, and then everything that was sent is accounted
//! for. What must hold under which fault is in `docs/faults.md`.
//!
//! Scenarios run one after the other, with the test harness's usual arguments. `BOTZILLA_CHAOS_SECONDS`
//! is how long each fault lasts, in seconds (6), where the fault itself doesn't need longer.

#![expect(clippy::unwrap_used, reason = "a test ends by it")]

mod checker;
mod diary;
mod network;
mod process;
mod role;
mod scenarios;
mod world;

use libtest_mimic::{Arguments, Trial};

fn main() {
    if let Ok(role) = std::env::var(role::ROLE) {
        role::play(&role);
    }
    let mut arguments = Arguments::from_args();
    // They share the network, and would take each other's time.
    arguments.test_threads = Some(1);
    let own = [
        ("checker", &checker::tests::ALL[..]),
        ("line", &network::line::tests::ALL[..]),
    ];
    let own = own.into_iter().flat_map(|(of, tests)| {
        let trial = move |&(name, test): &(&str, fn())| {
            Trial::test(format!("{of}::{name}"), move || {
                test();
                Ok(())
            })
        };
        tests.iter().map(trial)
    });
    let conclusion = libtest_mimic::run(&arguments, own.chain(scenarios::trials()).collect());
    scenarios::clean_up();
    conclusion.exit();
}
