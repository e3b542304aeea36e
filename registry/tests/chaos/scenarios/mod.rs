//! What is done to the robot.

mod cut;
mod killed;
mod poor;
mod stopped;
mod timed;
mod wanting;

use std::{
    io::Write,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Completion, Trial};

use crate::{
    network::{self, Network},
    world::{fault_time, seconds},
};

/// What a scenario needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// Hosts with addresses and a network of their own.
    Hosts,
    /// `libfaketime`.
    Clocks,
}

type Run = for<'a> fn(&'a Network) -> LocalBoxFuture<'a, String>;

/// A scenario, with a name that says what must hold.
struct Scenario {
    name: &'static str,
    needs: Needs,
    run: Run,
}

/// Made for the first scenario that runs.
static NETWORK: Mutex<Option<Network>> = Mutex::new(None);
static LEFT_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Besides its fault, a scenario takes less than this, or hangs.
const WHOLE: Duration = Duration::from_secs(90);

pub(crate) fn trials() -> Vec<Trial> {
    let all = [
        killed::ALL,
        stopped::ALL,
        cut::ALL,
        poor::ALL,
        timed::ALL,
        wanting::ALL,
    ];
    let trial = |(index, scenario): (usize, &'static Scenario)| {
        // In turn, so that both have faults of each kind.
        let is_encrypted = index % 2 == 1;
        Trial::ignorable_test(scenario.name, move || Ok(perform(scenario, is_encrypted)))
    };
    all.into_iter().flatten().enumerate().map(trial).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A scenario that failed has left it whole.
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn perform(scenario: &Scenario, is_encrypted: bool) -> Completion {
    let mut network = locked(&NETWORK);
    let network = network.get_or_insert_with(|| {
        let (network, without) = Network::new(std::process::id().into());
        if let Some(why) = without {
            locked(&LEFT_OUT).push(format!("no network namespaces, all is on loopback: {why}"));
        }
        network
    });
    let missing = match scenario.needs {
        Needs::Hosts if network.is_loopback() => Some("it needs network namespaces"),
        Needs::Clocks if timed::library().is_none() => Some("it needs libfaketime"),
        _ => None,
    };
    if let Some(missing) = missing {
        locked(&LEFT_OUT).push(format!("{}: {missing}", scenario.name));
        return Completion::ignored_with(missing);
    }
    network.heal();
    network::encrypt(is_encrypted);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = (scenario.run)(network);
    let timed = async { tokio::time::timeout(WHOLE + 2 * fault_time(), run).await };
    let line = runtime.block_on(timed).expect("it hangs");
    print!("{}, {line} ... ", network::security());
    let _ = std::io::stdout().flush();
    Completion::Completed
}

/// Takes the network down, and says what was left out.
pub(crate) fn clean_up() {
    drop(locked(&NETWORK).take());
    let left_out = std::mem::take(&mut *locked(&LEFT_OUT));
    if !left_out.is_empty() {
        let stars = "*".repeat(72);
        println!("{stars}\n*** SKIPPED, and so not shown by this run:");
        for line in left_out {
            println!("***   {line}");
        }
        println!("{stars}");
    }
}

/// The fault's time, or this if it is longer.
fn at_least(least: u64) -> Duration {
    fault_time().max(seconds(least))
}
