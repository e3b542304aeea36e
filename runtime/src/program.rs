//! The program around a robot's `async fn main`.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

/// What it couldn't be asked, couldn't start, or ended by.
const FAILED: u8 = 2;

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
    match actix_rt::System::new().block_on(program()).failure() {
        None => ExitCode::SUCCESS,
        Some(error) => {
            // Nobody is left to hear of a stderr that is closed.
            let _ = writeln!(io::stderr(), "error: {}", one_line(&*error));
            ExitCode::from(FAILED)
        }
    }
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
}
