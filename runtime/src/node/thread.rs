//! A node on a thread of its own, for programs without an actix system.

use std::sync::mpsc;

use super::{Node, start::start_here};
use crate::{Error, NodeConfig, Result, StartError};

pub(super) async fn start(config: NodeConfig) -> Result<Node> {
    let (started, node) = tokio::sync::oneshot::channel();
    run(config, |result| drop(started.send(result)))?;
    node.await.unwrap_or_else(|_| Err(died()))
}

pub(super) fn start_blocking(config: NodeConfig) -> Result<Node> {
    let (started, node) = mpsc::sync_channel(1);
    run(config, move |result| drop(started.send(result)))?;
    node.recv().unwrap_or_else(|_| Err(died()))
}

/// Starts the thread; it ends when the node has been shut down.
fn run(config: NodeConfig, started: impl FnOnce(Result<Node>) + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name("botzilla-node".to_owned());
    thread
        .spawn(move || {
            actix_rt::System::new().block_on(async move {
                let arbiter = actix_rt::Arbiter::current();
                match start_here(config, arbiter).await {
                    Ok(node) => {
                        let stopped = node.0.stopped.clone();
                        started(Ok(node));
                        stopped.cancelled().await;
                    }
                    Err(error) => started(Err(error)),
                }
            });
        })
        .map(drop)
        .map_err(|error| Error::Start(StartError::Thread(error)))
}

fn died() -> Error {
    Error::Start(StartError::Thread(std::io::Error::other(
        "it ended while the node started",
    )))
}
