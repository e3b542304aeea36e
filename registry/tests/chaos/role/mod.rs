//! What this binary does as a process of a scenario: a registry, a node with components, or
//! somebody who floods.

mod flood;
mod node;
mod robot;
mod traffic;

use std::{
    io::{BufRead, Write},
    process::exit,
};

use botzilla::{NodeConfig, Security};
use botzilla_registry::Registry;
pub(crate) use robot::Plan;

use crate::diary;

/// The one secret; as keygen makes it, for a passphrase takes long to become a key.
const SECRET: &str = "bz1:it:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Says which role this process has.
pub(crate) const ROLE: &str = "CHAOS_ROLE";

/// Plays the role that the environment names; this process ends with it.
pub(crate) fn play(role: &str) -> ! {
    if let Ok(filter) = std::env::var("CHAOS_LOG") {
        let _ = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .try_init();
    }
    let diary = variable("CHAOS_DIARY");
    diary::begin(diary.as_ref());
    let code = actix_rt::System::new().block_on(async move {
        let outcome = match role {
            "registry" => registry().await,
            "node" => node::run().await,
            "flood" => flood::run().await,
            other => panic!("no such role: {other}"),
        };
        match outcome {
            Ok(()) => 0,
            Err(error) => {
                say(&format!("failed {error}"));
                2
            }
        }
    });
    exit(code)
}

/// One line to the suite.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "@{text}");
    let _ = out.flush();
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// What the suite says, line by line; when it is gone, so is this process.
fn orders() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, orders) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let _ = sender.blocking_send(line);
        }
        exit(3);
    });
    orders
}

async fn registry() -> botzilla::Result<()> {
    let _orders = orders();
    let config = NodeConfig::hosting_registry(SECRET)?.security(security());
    let config = config.listen(variable("CHAOS_LISTEN"));
    let mut registry = Registry::with(config);
    if !variable("CHAOS_FRESH").is_empty() {
        registry = registry.fresh();
    }
    let running = registry.start().await?;
    say(&format!("ready {}", running.address()));
    running.node().until_shutdown().await
}

/// How the scenario's connections are protected.
fn security() -> Security {
    let security = variable("CHAOS_SECURITY");
    security.parse().expect("the suite knows how it is written")
}

/// How a node of the suite is set up.
fn config() -> botzilla::Result<NodeConfig> {
    let config = NodeConfig::new(variable("CHAOS_REGISTRY"), SECRET)?;
    Ok(config.security(security()).listen(variable("CHAOS_LISTEN")))
}
