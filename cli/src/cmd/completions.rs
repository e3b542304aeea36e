//! Writes a shell's completions.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{args::Args, output::Report};

pub(crate) fn run(shell: Shell) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "botzilla", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Report::Completions {
        shell: shell.to_string(),
        script,
    }
}
