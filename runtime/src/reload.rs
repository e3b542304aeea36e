//! Files that are read again while the node runs: when they change, at SIGHUP, or when it is asked to.
//!
//! One thread a node, if it has such files. It waits for the system's word of a change, never looks by
//! itself, and reads there: a passphrase takes tens of milliseconds, in which the node's own thread has
//! messages to pass.

mod files;

use std::{
    fmt,
    io::{self, IsTerminal},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::files::{Stamp, Watch};
use crate::ConfigError;

/// Who writes a file in several steps has this long from one to the next, and all together so long.
const QUIET: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(2);
/// Who asks at once gets in line; nobody needs more.
const ORDERS: usize = 16;

/// Reads a file and puts what it says into force. What there is to say of the difference, if there is
/// any; after an error all is as it was.
type Again = Box<dyn Fn() -> Result<Option<String>, ConfigError> + Send + Sync>;

/// The files of one node.
#[derive(Default)]
pub(crate) struct Reload {
    /// Until the thread has them.
    entries: Mutex<Vec<Entry>>,
    orders: Mutex<Option<mpsc::Sender<Order>>>,
}

struct Entry {
    what: &'static str,
    file: PathBuf,
    again: Again,
    seen: Option<Stamp>,
}

enum Order {
    Now(oneshot::Sender<Result<(), ConfigError>>),
    /// From now on SIGHUP means it.
    AtSighup(oneshot::Sender<io::Result<()>>),
}

impl Reload {
    /// Has a file read again by `again`, which runs on a thread where it may block. `what` names it in
    /// the log: "the policy". Call it before [`Reload::begin`].
    pub(crate) fn register(
        &self,
        what: &'static str,
        file: PathBuf,
        again: impl Fn() -> Result<Option<String>, ConfigError> + Send + Sync + 'static,
    ) {
        self.entries.lock().push(Entry {
            what,
            file,
            again: Box::new(again),
            // It may have changed since it was read for the start: so it is read once more.
            seen: None,
        });
    }

    /// Begins to watch, until `stopped`, and for SIGHUP if that is wanted; with nothing registered it
    /// does nothing.
    ///
    /// # Errors
    ///
    /// There can't be a thread.
    pub(crate) fn begin(&self, stopped: CancellationToken, at_sighup: bool) -> io::Result<()> {
        let entries = std::mem::take(&mut *self.entries.lock());
        if entries.is_empty() {
            return Ok(());
        }
        let (orders, taken) = mpsc::channel(ORDERS);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("botzilla-reload".to_owned())
            .spawn(move || {
                let running = Running::new(entries);
                let run = running.run(taken, at_sighup);
                runtime.block_on(stopped.run_until_cancelled(run));
            })?;
        *self.orders.lock() = Some(orders);
        Ok(())
    }

    /// Reads all files again now.
    ///
    /// # Errors
    ///
    /// The first that failed; the others were read all the same.
    pub(crate) async fn now(&self) -> Result<(), ConfigError> {
        match self.order(Order::Now).await {
            Some(outcome) => outcome,
            // There is no file, or the node has ended.
            None => Ok(()),
        }
    }

    /// Has SIGHUP read all files again, if there are any.
    ///
    /// # Errors
    ///
    /// Signals can't be waited for.
    pub(crate) async fn at_sighup(&self) -> io::Result<()> {
        self.order(Order::AtSighup).await.unwrap_or(Ok(()))
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let orders = self.orders.lock().clone()?;
        let (done, outcome) = oneshot::channel();
        orders.send(order(done)).await.ok()?;
        outcome.await.ok()
    }
}

/// What the thread has.
struct Running {
    entries: Vec<Entry>,
    changed: Arc<Notify>,
    watch: Watch,
}

impl Running {
    fn new(entries: Vec<Entry>) -> Self {
        let changed = Arc::new(Notify::new());
        let watch = Watch::new(Arc::clone(&changed));
        Self {
            entries,
            changed,
            watch,
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>, at_sighup: bool) {
        let mut sighup = Sighup::default();
        if at_sighup && let Err(error) = sighup.begin() {
            tracing::warn!(%error, "SIGHUP can't be waited for: changes of files are noticed without it");
        }
        self.follow();
        // What changed before that.
        self.look();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    // The node is gone.
                    None => return,
                    Some(Order::Now(done)) => drop(done.send(self.all())),
                    Some(Order::AtSighup(done)) => drop(done.send(sighup.begin())),
                },
                () = sighup.came() => {
                    if sighup.is_terminal_gone() {
                        end_process();
                    } else {
                        tracing::info!("SIGHUP: files are read again");
                        // Each error was logged.
                        let _ = self.all();
                    }
                }
                () = self.changed.notified() => {
                    self.settle().await;
                    // In this order: what changes after the first is noticed, what did before is seen.
                    self.follow();
                    self.look();
                }
            }
        }
    }

    /// Until nothing has changed for a moment.
    async fn settle(&self) {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience
            && tokio::time::timeout(QUIET, self.changed.notified())
                .await
                .is_ok()
        {}
    }

    fn follow(&mut self) {
        let files: Vec<_> = self.entries.iter().map(|entry| &*entry.file).collect();
        self.watch.follow(&files);
    }

    /// Reads what isn't as it was.
    fn look(&mut self) {
        for entry in &mut self.entries {
            if Stamp::of(&entry.file) != entry.seen {
                // Logged there.
                let _ = entry.read();
            }
        }
    }

    fn all(&mut self) -> Result<(), ConfigError> {
        let mut outcome = Ok(());
        for entry in &mut self.entries {
            let read = entry.read();
            outcome = outcome.and(read);
        }
        self.follow();
        outcome
    }
}

impl Entry {
    fn read(&mut self) -> Result<(), ConfigError> {
        // Taken before it is read: what changes meanwhile is seen the next time.
        self.seen = Stamp::of(&self.file);
        let what = self.what;
        match (self.again)() {
            Ok(Some(news)) => tracing::info!("{what} were read again: {news}"),
            Ok(None) => tracing::debug!("{what} were read again: nothing has changed"),
            Err(error) => {
                tracing::error!(%error, "{what} can't be read again; those in force stay");
                return Err(error);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

/// The signal, from when on it is wanted.
#[derive(Default)]
struct Sighup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
    /// Stdin was a terminal then.
    #[cfg(unix)]
    had_terminal: bool,
}

#[cfg(unix)]
impl Sighup {
    fn begin(&mut self) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        if self.signal.is_none() {
            self.signal = Some(signal(SignalKind::hangup())?);
            self.had_terminal = io::stdin().is_terminal();
        }
        Ok(())
    }

    async fn came(&mut self) {
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// The signal's first meaning: whoever started this in a terminal has closed it. A robot must not
    /// go on for that a new meaning was added.
    fn is_terminal_gone(&self) -> bool {
        self.had_terminal && !io::stdin().is_terminal()
    }
}

/// As the signal itself would have done, but in the way that a program may wait for.
#[cfg(unix)]
fn end_process() {
    tracing::warn!("the terminal is gone: this program ends");
    let this = rustix::process::getpid();
    if rustix::process::kill_process(this, rustix::process::Signal::TERM).is_err() {
        std::process::exit(i32::from(crate::program::FAILED));
    }
}

#[cfg(not(unix))]
fn end_process() {}

#[cfg(not(unix))]
impl Sighup {
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn came(&mut self) {
        std::future::pending::<()>().await;
    }

    fn is_terminal_gone(&self) -> bool {
        false
    }
}
