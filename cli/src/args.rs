//! What was typed. The doc comments are the help.

pub(crate) mod key;
pub(crate) mod policy;
pub(crate) mod stream;

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;

/// Asks a robot things, and runs what it needs: the registry, a secret, a demo.
///
/// Components find each other through a registry and share one secret. Both come from options, from
/// the environment (BOTZILLA_REGISTRY, and BOTZILLA_SECRET or BOTZILLA_SECRET_FILE), or from a
/// configuration file, in this order.
#[derive(Debug, Parser)]
#[command(
    name = "botzilla",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{CODES}\n\n{FILE}")
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  botzilla demo                                    a simulated robot drives through a room
  export BOTZILLA_SECRET=$(botzilla keygen)        once; all of a robot shares it
  botzilla registry                                keep it running somewhere
  export BOTZILLA_REGISTRY=192.168.1.10            where that is
  botzilla list                                    who is there
  botzilla schema drive                            what it understands
  botzilla call drive SetVelocity '{\"linear_mps\": 0.2, \"angular_rps\": 0}'
  botzilla broadcast EmergencyStop '{\"reason\": \"cat\"}'
  botzilla stream echo lidar/scan                  what it publishes, as it comes";

const CODES: &str = "\
Exit codes:
  0  done
  1  the answer was no: unknown component, deadline, a handler's error, nobody reached
  2  it couldn't be asked: bad argument, wrong secret, no registry";

const FILE: &str = "\
Configuration file (--config, BOTZILLA_CONFIG, or botzilla.toml in the working directory):
  registry = \"192.168.1.10:6985\"
  secret_file = \"/etc/botzilla/secret\"";

#[derive(Debug, ClapArgs)]
pub(crate) struct Common {
    /// Where the registry is; port 6985 unless it says otherwise [env: BOTZILLA_REGISTRY]
    #[arg(
        long,
        global = true,
        value_name = "HOST[:PORT]",
        help_heading = "Common options"
    )]
    pub(crate) registry: Option<String>,

    /// A file with a secret on each line, the preferred one first, that only its owner can read [env:
    /// BOTZILLA_SECRET_FILE; BOTZILLA_SECRET is the secret itself]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Common options"
    )]
    pub(crate) secret_file: Option<PathBuf>,

    // Taken only to be refused with the reason; what was typed is not kept.
    #[arg(long, global = true, hide = true, num_args = 0..=1, default_missing_value = "",
          value_parser = |_: &str| Ok::<_, String>(Typed))]
    pub(crate) secret: Option<Typed>,

    /// The configuration file [env: BOTZILLA_CONFIG] [default: botzilla.toml, if it is there]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Common options"
    )]
    pub(crate) config: Option<PathBuf>,

    /// How long it may take in all, connecting included: 2, 500ms, 1.5s, 1m [default: 2s; a demo
    /// has 27s, and what follows a stream or publishes at a --rate goes on until Ctrl-C]
    #[arg(long, global = true, value_name = "TIME", value_parser = time,
          help_heading = "Common options")]
    pub(crate) timeout: Option<Duration>,

    /// Shows one line of JSON instead of text; of a stream, one for each item or second
    #[arg(long, global = true, help_heading = "Common options")]
    pub(crate) json: bool,
}

/// A secret on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Registry(Registry),
    Keygen(Keygen),
    Key(key::Key),
    List(List),
    Info(Info),
    Call(Message),
    Tell(Tell),
    Broadcast(Broadcast),
    Schema(Schema),
    Stream(stream::Stream),
    Policy(policy::Policy),
    Demo(Demo),
    Completions(Completions),
}

/// Runs a registry: components find each other through it
///
/// It listens until Ctrl-C. Nothing is stored: after a restart, the robot's nodes tell it again what
/// they have, and it gives no new names for 10 s meanwhile.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla registry
  botzilla registry --listen 127.0.0.1:0 --fresh      any free port, printed in the first line
  botzilla registry --secret-file /etc/botzilla/secret")]
pub(crate) struct Registry {
    /// The address to listen on; port 0 takes any that is free
    #[arg(long, value_name = "ADDR", default_value_t = botzilla_registry::Registry::default_address())]
    pub(crate) listen: String,

    /// Gives names from the first moment on: no running robot has names from before
    #[arg(long)]
    pub(crate) fresh: bool,
}

/// Makes a secret, and shows it alone; short for `key new`
///
/// All nodes of a robot and its registry share one secret. Whoever has it is one of them.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  export BOTZILLA_SECRET=$(botzilla keygen)
  botzilla key new secret                     a file for --secret-file that nobody else reads
  botzilla keygen --id lab-2                  the id tells secrets apart, and may be seen by anybody")]
pub(crate) struct Keygen {
    /// What the secret is called: 1 to 32 characters of A-Z a-z 0-9 _ - [default: random]
    #[arg(long)]
    pub(crate) id: Option<String>,
}

/// Shows who is there
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla list
  botzilla list --group base
  botzilla list --json | jq -r '.components[].name'")]
pub(crate) struct List {
    /// Only this group's members
    #[arg(long, short)]
    pub(crate) group: Option<String>,
}

/// Shows one component: where it is, how it is, what became of its messages
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla info drive
  botzilla info drive --json | jq '.handlers[] | select(.counters.failed > 0)'")]
pub(crate) struct Info {
    /// The component
    pub(crate) name: String,
}

/// Sends a message and shows the reply
///
/// The JSON is checked against the component's own schema before it is sent: `botzilla schema NAME`
/// shows that.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla call drive GetOdometry
  botzilla call drive SetVelocity '{\"linear_mps\": 0.2, \"angular_rps\": 0}'
  botzilla call planner GoTo - < goal.json
  botzilla --timeout 30s call planner GoTo '{\"x_m\": 1, \"y_m\": 2}'")]
pub(crate) struct Message {
    /// The component
    pub(crate) name: String,

    /// The message's name
    pub(crate) message: String,

    /// What is in the message; `-` reads it from stdin. Left out: an empty message
    #[arg(allow_negative_numbers = true, value_name = "JSON")]
    pub(crate) payload: Option<String>,
}

/// Sends a message and doesn't want the reply; says how it ended
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla tell lamp Light '{\"on\": true}'
  botzilla tell planner GoTo '{\"x_m\": 1, \"y_m\": 2}' --no-wait")]
pub(crate) struct Tell {
    #[command(flatten)]
    pub(crate) message: Message,

    /// Ends when the message is on its way, not when its handler has ended
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Sends a message to all components that listen to it
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla broadcast EmergencyStop '{\"reason\": \"cat\"}'
  botzilla broadcast --group base --wait Resume")]
pub(crate) struct Broadcast {
    /// Only to this group's members
    #[arg(long, short)]
    pub(crate) group: Option<String>,

    /// Waits until the handlers have ended, not only until they have the message
    #[arg(long)]
    pub(crate) wait: bool,

    /// The message's name
    pub(crate) message: String,

    /// What is in the message; `-` reads it from stdin. Left out: an empty message
    #[arg(allow_negative_numbers = true, value_name = "JSON")]
    pub(crate) payload: Option<String>,
}

/// Shows what a component understands and publishes: messages with their replies, streams
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla schema drive                       all its messages, each with a call to copy
  botzilla schema drive SetVelocity           one of them, with its JSON schema
  botzilla schema lidar scan                  the same of a stream
  botzilla schema drive --json | jq '.messages[].schema'")]
pub(crate) struct Schema {
    /// The component
    pub(crate) name: String,

    /// One of its messages or streams
    pub(crate) message: Option<String>,
}

/// Drives a simulated robot through a room, with a registry of its own
///
/// Seven components (drive, lidar, camera, planner, battery, watcher, operator), each on a node of its
/// own, talk and stream over authenticated connections. On the way somebody presses the emergency stop.
/// It needs no setting, and ends within 30 s.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla demo
  botzilla demo --seed 7 --svg seven.svg      another room")]
pub(crate) struct Demo {
    /// Where to write the picture of the room and of the way through it
    #[arg(long, value_name = "PATH", default_value = "botzilla-demo.svg")]
    pub(crate) svg: PathBuf,

    /// Which room
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Shows a script that completes this command line in a shell
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla completions bash > ~/.local/share/bash-completion/completions/botzilla
  botzilla completions fish > ~/.config/fish/completions/botzilla.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Reads `2`, `2s`, `500ms`, `1.5s`, `1m`.
fn time(text: &str) -> Result<Duration, String> {
    const REMEDY: &str = "write for example 2s, 500ms or 1m";
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return Err(format!("there is no unit {unit:?}; {REMEDY}")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("it isn't a time; {REMEDY}"))?;
    let time = Duration::try_from_secs_f64(number * seconds)
        .map_err(|_| format!("it isn't a time to wait; {REMEDY}"))?;
    if time < Duration::from_millis(1) || time > LONGEST {
        return Err("it isn't between 1ms and 24 hours (1440m)".to_owned());
    }
    Ok(time)
}

const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What was typed wrong, in one line.
pub(crate) fn mistake(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut usage = None;
    let mut parts: Vec<String> = Vec::new();
    for block in text.split("\n\n") {
        let block = block.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(how) = block.strip_prefix("Usage: ") {
            usage = Some(how.to_owned());
        } else if !block.is_empty() && !block.starts_with("For more information") {
            let block = block.strip_prefix("error: ").unwrap_or(&block);
            parts.push(block.strip_prefix("tip: ").unwrap_or(block).to_owned());
        }
    }
    match usage {
        Some(usage) => parts.push(format!("usage: {usage} (--help tells more)")),
        None => parts.push("--help tells more".to_owned()),
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_are_read_with_their_units_and_nonsense_is_refused() {
        for (text, ms) in [("2", 2000), ("500ms", 500), ("1.5s", 1500), ("1m", 60_000)] {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "s",
            "0",
            "-1",
            "2h",
            "soon",
            "1e99",
            "NaN",
            "inf",
            "2 parsecs",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_one_line_with_a_remedy() {
        for typed in [
            &["botzilla", "lst"][..],
            &["botzilla", "call", "drive"],
            &["botzilla", "list", "--jsn"],
            &["botzilla", "list", "--timeout", "soon"],
            &["botzilla", "completions", "dos"],
            &["botzilla", "list", "--json", "--json"],
            &["botzilla", "policy", "check", "p.toml", "--key", "tablet"],
            &["botzilla", "policy", "check", "p.toml", "--call", "a/b"],
            &["botzilla", "key", "rotate", "secret", "turn"],
            &["botzilla", "stream", "hz"],
            &["botzilla", "stream", "echo", "a/b", "--count", "0"],
            &["botzilla", "stream", "pub", "a/b", "1", "--rate", "often"],
        ] {
            let line = mistake(&Args::try_parse_from(typed).unwrap_err());
            assert!(!line.contains('\n') && line.contains("--help"), "{line}");
            assert!(!line.contains("error:") && !line.contains("  "), "{line}");
        }
    }
}
