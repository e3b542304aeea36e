//! The program around a robot's `async fn main`.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// What it couldn't be asked, couldn't start, or ended by.
pub(crate) const FAILED: u8 = 2;

/// What a program's `main` may return.
#[diagnostic::on_unimplemented(
    message = "`main` can't return `{Self}`",
    label = "neither nothing nor a `Result<(), E>`",
    note = "write `-> botzilla::Result<()>`"
)]
pub trait Outcome {
    /// The error that it ended with.
    fn failure(self) -> Option<Box<dyn Error + Send + Sync>>;
}

#[diagnostic::do_not_recommend]
impl Outcome for () {
    fn failure(self) -> Option<Box<dyn Error + Send + Sync>> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn Error + Send + Sync>>> Outcome for Result<(), E> {
    fn failure(self) -> Option<Box<dyn Error + Send + Sync>> {
        self.err().map(Into::into)
    }
}

/// Runs the program in an actix system on this thread. An error ends it with one line that says
/// why, and exit code 2.
pub fn main<O: Outcome>(program: impl AsyncFnOnce() -> O) -> ExitCode {
    IS_OURS.store(true, Ordering::Relaxed);
    match actix_rt::System::new().block_on(program()).failure() {
        None => ExitCode::SUCCESS,
        Some(error) => {
            // Nobody is left to hear of a stderr that is closed.
            let _ = writeln!(io::stderr(), "error: {}", one_line(&*error));
            ExitCode::from(FAILED)
        }
    }
}

/// Whether the process is a program of [`main`]'s.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// Whether the process is one whose signals are ours to answer.
pub(crate) fn is_ours() -> bool {
    IS_OURS.load(Ordering::Relaxed)
}

/// Sends the log to stderr, if this is a program of [`main`]'s and it logs nowhere itself: warnings
/// (a registry that isn't there, a component that blocks its thread), or what `RUST_LOG` asks for.
///
/// Called when a node starts, for a program that sets up a log of its own does so before that.
pub(crate) fn log_if_nobody_does() {
    if !is_ours() || tracing::dispatcher::has_been_set() {
        return;
    }
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    // Two nodes may start at once: then the other's will do.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
}

/// An error and its causes, each behind a colon.
fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the lidar\nis gone")]
    struct Gone(#[source] io::Error);

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let error = Gone(io::Error::other("no such device"));
        assert_eq!(one_line(&error), "the lidar is gone: no such device");
    }

    #[test]
    fn a_program_runs_to_its_end_in_an_actix_system() {
        let code = main(async || {
            assert!(actix_rt::System::try_current().is_some());
        });
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
        let code = main(async || Err::<(), _>("no registry"));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(FAILED)));
    }

    /// A program of its own, when the test below starts it.
    #[test]
    fn a_program_without_a_registry() {
        let Ok(registry) = std::env::var("PROGRAM_WITHOUT_A_REGISTRY") else {
            return;
        };
        let config = crate::NodeConfig::new(registry, "a very secret passphrase").unwrap();
        main(async || {
            crate::Node::start(config.registry_time(Duration::from_secs(3)))
                .await
                .map(drop)
        });
    }

    #[test]
    fn a_program_says_what_it_waits_for_while_it_waits_and_at_the_end_why_it_did_not_start() {
        // Nobody listens there; only root could.
        let address = "127.0.0.1:1";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "program::tests::a_program_without_a_registry"])
            .arg("--nocapture")
            .env("PROGRAM_WITHOUT_A_REGISTRY", address)
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let waits = |line: &str| line.contains("waiting for the registry");
        assert!(said.lines().any(waits), "{said}");
        let error = said.lines().find(|line| line.starts_with("error: "));
        assert!(error.unwrap().contains(address), "{said}");
    }
}
