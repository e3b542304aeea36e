//! The registry as a process of its own.

use std::{io::IsTerminal, path::PathBuf};

use botzilla::{NodeConfig, Settings};
use botzilla_registry::Registry;
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Botzilla's registry: components find each other through it.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", default_value_t = Registry::default_address())]
    listen: String,

    /// A file with a secret on each line, the preferred one first; otherwise BOTZILLA_SECRET, BOTZILLA_SECRET_FILE or
    /// botzilla.toml have it.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// Gives names from the first moment on: no robot that is running has names from an earlier start
    /// of the registry.
    #[arg(long)]
    fresh: bool,
}

#[botzilla::main]
async fn main() -> botzilla::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::builder()
                .with_default_directive(tracing::Level::INFO.into())
                .from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // What else is set counts with a file of secrets too: a network that is to encrypt must not be without for that.
    let mut settings = Settings::from_env()?;
    if let Some(path) = args.secret_file {
        (settings.secret, settings.secret_file) = (None, Some(path));
    }
    let node = NodeConfig::hosting_registry_from(&settings)?.listen(args.listen);
    let mut registry = Registry::with(node);
    if args.fresh {
        registry = registry.fresh();
    }
    let running = registry.start().await?;
    if let Some(address) = running.node().address() {
        tracing::info!(%address, "listening");
    }
    running.node().until_shutdown().await
}
