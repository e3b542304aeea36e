//! How a person ends what would go on: Ctrl-C, or SIGTERM.

use crate::error::CliError;

#[cfg(unix)]
pub(crate) struct Ending {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    has_come: bool,
}

#[cfg(unix)]
impl Ending {
    /// From now on the signals end nothing by themselves.
    pub(crate) fn new() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};

        let signal = |kind| {
            signal(kind).map_err(|error| {
                CliError::not_asked(format!("signals can't be waited for ({error})"))
            })
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            has_come: false,
        })
    }

    /// Whether there was one already.
    pub(crate) fn has_come(&self) -> bool {
        self.has_come
    }

    /// Until one of them comes: the next, if one has.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was ready, no signal was taken.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.has_come = true;
    }
}

#[cfg(not(unix))]
pub(crate) struct Ending {
    has_come: bool,
}

#[cfg(not(unix))]
impl Ending {
    /// From now on the signals end nothing by themselves.
    pub(crate) fn new() -> Result<Self, CliError> {
        Ok(Self { has_come: false })
    }

    /// Whether there was one already.
    pub(crate) fn has_come(&self) -> bool {
        self.has_come
    }

    /// Until one of them comes: the next, if one has.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was ready, no signal was taken.
    pub(crate) async fn wait(&mut self) {
        // Without a Ctrl-C to wait for, it runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.has_come = true;
    }
}
