//! What is written while a command goes on: by a thread of its own, so that a reader that stops reading
//! keeps the command from nothing, not from its end either.

use std::{
    io::{self, Write},
    sync::{Arc, mpsc},
};

use tokio::sync::watch;

/// So many bytes may wait for whoever reads; what makes more of them waits.
const AHEAD: u64 = 64 * 1024;

/// Where the text goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Output,
    Errors,
}

/// The way to the thread that writes.
pub(super) struct Out {
    lines: mpsc::Sender<(To, String)>,
    progress: watch::Receiver<Progress>,
    handed: u64,
}

/// How far the thread is.
#[derive(Clone, Default)]
struct Progress {
    written: u64,
    /// Why nothing more is written to the output.
    failed: Option<Arc<io::Error>>,
}

impl Out {
    pub(super) fn new() -> io::Result<Self> {
        let (lines, texts) = mpsc::channel();
        let (told, progress) = watch::channel(Progress::default());
        let thread = std::thread::Builder::new().name("output".to_owned());
        thread.spawn(move || write(&texts, &told))?;
        Ok(Self {
            lines,
            progress,
            handed: 0,
        })
    }

    /// Hands it over; it never waits.
    pub(super) fn hand(&mut self, to: To, text: String) {
        self.handed += text.len() as u64;
        // The thread lives for as long as this.
        let _ = self.lines.send((to, text));
    }

    fn waiting(&self) -> u64 {
        self.handed.saturating_sub(self.progress.borrow().written)
    }

    /// Whether who reads keeps up.
    pub(super) fn has_room(&self) -> bool {
        self.waiting() < AHEAD
    }

    /// Until something was written.
    ///
    /// # Errors
    ///
    /// The output is closed, or can't be written to.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was ready, nothing is lost.
    pub(super) async fn moved(&mut self) -> io::Result<()> {
        self.health()?;
        if self.progress.changed().await.is_err() {
            return Err(io::Error::other("the thread that writes has ended"));
        }
        self.health()
    }

    /// Until all was written. Cancel safe as [`Out::moved`] is.
    pub(super) async fn written(&mut self) -> io::Result<()> {
        while self.waiting() > 0 {
            self.moved().await?;
        }
        self.health()
    }

    fn health(&self) -> io::Result<()> {
        match &self.progress.borrow().failed {
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
            None => Ok(()),
        }
    }
}

fn write(texts: &mpsc::Receiver<(To, String)>, told: &watch::Sender<Progress>) {
    let mut failed = false;
    while let Ok(first) = texts.recv() {
        // All that is there at once: then it is flushed, since who reads may wait for it.
        let mut written = 0;
        let mut outcome = Ok(());
        for (to, text) in std::iter::once(first).chain(texts.try_iter()) {
            written += text.len() as u64;
            match to {
                // Nobody is left to hear of a stderr that is closed.
                To::Errors => drop(io::stderr().write_all(text.as_bytes())),
                To::Output if !failed && outcome.is_ok() => {
                    outcome = io::stdout().lock().write_all(text.as_bytes());
                }
                To::Output => {}
            }
        }
        if !failed && outcome.is_ok() {
            outcome = io::stdout().lock().flush();
        }
        failed |= outcome.is_err();
        told.send_modify(|progress| {
            progress.written += written;
            if let Err(error) = outcome {
                progress.failed = Some(Arc::new(error));
            }
        });
    }
}
