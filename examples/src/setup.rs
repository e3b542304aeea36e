//! A registry for programs that should run without any set-up.

use std::time::Duration;

use botzilla::{Node, NodeConfig, Settings};
use botzilla_registry::{Registry, RunningRegistry};
use botzilla_wire::Secret;

/// Only this process talks to it, or processes of this host that it started.
const LOOPBACK: &str = "127.0.0.1:0";

/// A node to play with: of the robot that the environment names, if `BOTZILLA_REGISTRY` is set,
/// otherwise of one with a registry in this process. A program of yours says
/// `Node::from_env().await?` instead.
pub async fn node() -> botzilla::Result<Node> {
    if has_environment() {
        return Node::from_env().await;
    }
    Embedded::start().await?.node().await
}

/// The address and the secret of a registry to play with, for programs that aren't async: that of
/// the environment, or one in this process.
pub fn registry_blocking() -> botzilla::Result<(String, String)> {
    if has_environment() {
        let settings = Settings::from_env()?;
        let registry = settings.registry.clone().unwrap_or_default();
        let keyring = settings.keyring()?;
        let preferred = keyring
            .secrets()
            .first()
            .map(|secret| secret.to_text().to_string());
        return Ok((registry, preferred.unwrap_or_default()));
    }
    // Without an actix system on this thread the registry takes a thread of its own, and stays.
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let embedded = runtime.block_on(Embedded::start())?;
    Ok((embedded.address(), embedded.secret))
}

fn has_environment() -> bool {
    std::env::var_os("BOTZILLA_REGISTRY").is_some()
}

/// A registry in this process, with a secret that nobody else knows.
#[derive(Debug)]
pub struct Embedded {
    registry: RunningRegistry,
    secret: String,
}

impl Embedded {
    /// Starts one on a free port of the loopback interface.
    pub async fn start() -> botzilla::Result<Self> {
        let secret = fresh_secret()?;
        // `fresh`: nobody can have had a name at an earlier start of it, so it waits for nobody.
        let registry = Registry::new(LOOPBACK, &secret)?.fresh().start().await?;
        Ok(Self { registry, secret })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.registry.address().to_string()
    }

    /// Its secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// A node of its robot.
    pub async fn node(&self) -> botzilla::Result<Node> {
        Node::start(NodeConfig::new(self.address(), &self.secret)?.listen(LOOPBACK)).await
    }

    /// Ends the registry.
    pub async fn shut_down(&self) {
        self.registry.shutdown(Duration::from_millis(300)).await;
    }
}

/// What `botzilla keygen` prints.
fn fresh_secret() -> botzilla::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    let secret = Secret::from_bytes("demo", bytes).map_err(|error| error.to_string())?;
    Ok(secret.to_text().to_string())
}
