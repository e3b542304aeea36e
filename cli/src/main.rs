//! The botzilla command line: short-lived commands that ask a robot something and end.
//!
//! What happens to a command, in order: [`args`] is what was typed, [`plan`] what is meant by it,
//! [`cmd`] does it and gives back a report, [`output`] shows the report. Exit codes are made here.
//!
//! - 0: done
//! - 1: it was asked, and the answer was no
//! - 2: it couldn't be asked

mod args;
mod client;
mod cmd;
mod error;
mod figures;
mod output;
mod plan;
mod schema;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::{Parser, error::ErrorKind};
use tracing_subscriber::EnvFilter;

use crate::{
    args::Args,
    error::{CliError, Exit, one_line},
    output::{Report, Style},
    plan::Plan,
};

/// How long who reads has for an error.
const LAST_WORDS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return misunderstood(&error),
    };
    let json = args.common.json;
    let ended = actix_rt::System::new().block_on(run(args));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, json),
    }
}

async fn run(args: Args) -> Result<(), CliError> {
    log(matches!(args.command, args::Command::Registry(_)));
    let json = args.common.json;
    match plan::resolve(args)? {
        Plan::Registry(plan) => {
            let (report, serving) = cmd::registry::start(plan).await?;
            show(&report, json)?;
            cmd::registry::serve(serving).await;
            Ok(())
        }
        Plan::Demo(plan) => {
            let mut progress = output::Progress::new(json);
            let report = cmd::demo::run(plan, |event| progress.show(event)).await;
            progress.end();
            show(&report?, json)
        }
        Plan::Live { config, plan } => {
            let screen = output::Screen::new(json, &plan.verb);
            let mut screen = screen.map_err(|error| {
                CliError::not_asked(format!("the output can't be written ({error})"))
            })?;
            cmd::stream::run(*config, plan, &mut screen).await
        }
        Plan::Key(plan) => show(&cmd::key::run(plan)?, json),
        Plan::Policy(plan) => {
            let report = cmd::policy::run(plan)?;
            show(&report, json)?;
            report.refusal().map_or(Ok(()), Err)
        }
        Plan::Completions { shell } => show(&cmd::completions::run(shell), json),
        Plan::Ask {
            config,
            timeout,
            what,
        } => {
            let report = cmd::run(*config, timeout, what).await?;
            show(&report, json)?;
            match report.refusal() {
                None => Ok(()),
                Some(refusal) => Err(refusal),
            }
        }
    }
}

fn show(report: &Report, json: bool) -> Result<(), CliError> {
    let text = if json {
        output::json(report)
    } else {
        output::text(report, Style::of_stdout())
    };
    written(write_out(&text))?;
    if let Some(note) = report.note().filter(|_| !json) {
        // Nobody is left to hear of a stderr that is closed.
        let _ = writeln!(io::stderr(), "note: {note}");
    }
    Ok(())
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whoever reads our output and has seen enough (`| head -1`) isn't a failure of ours.
fn written(result: io::Result<()>) -> Result<(), CliError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let text = format!("the output can't be written ({error}); check where it goes to");
            Err(CliError::not_asked(text))
        }
        _ => Ok(()),
    }
}

fn fail(error: &CliError, json: bool) -> ExitCode {
    let line = format!("error: {}\n", one_line(error.text()));
    let answer = error.answer().filter(|_| json).map(|it| format!("{it}\n"));
    let (done, is_done) = mpsc::channel();
    let write = move || {
        // Nobody is left to hear of a stderr that is closed; and the line says what matters.
        let _ = io::stderr().write_all(line.as_bytes());
        let _ = answer.map(|answer| write_out(&answer));
        // Who waits for it may have given up.
        let _ = done.send(());
    };
    // A command that takes signals must not be kept from its end by who doesn't read.
    let thread = thread::Builder::new().spawn(write);
    if thread.is_ok() {
        let _ = is_done.recv_timeout(LAST_WORDS);
    }
    error.exit().code()
}

/// Help and version are answers; the rest is a mistake, told in one line.
fn misunderstood(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match written(error.print()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, false),
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // As above.
            let _ = error.print();
            Exit::NotAsked.code()
        }
        _ => fail(&CliError::not_asked(args::mistake(error)), false),
    }
}

/// Logs to stderr: what `RUST_LOG` asks for, and of a registry what an operator wants to know.
fn log(registry: bool) {
    if !registry && std::env::var_os("RUST_LOG").is_none() {
        return;
    }
    let filter = EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !output::no_colour())
        .init();
}
