//! What was typed behind `botzilla key`. The doc comments are the help.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

/// Makes secrets, shows which a file has, and replaces them on a running robot
///
/// A file of secrets has one on each line; blank lines and lines that begin with `#` mean nothing. A node
/// that reads it (BOTZILLA_SECRET_FILE, `secret_file`, --secret-file) prefers the first and accepts all. It
/// must be closed to other users of the machine (chmod 600), and is read again when it changes.
#[derive(Debug, ClapArgs)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples:
  botzilla key new /etc/botzilla/secret                 once; copy the file to every machine of the robot
  botzilla key list /etc/botzilla/secret                which it has, without showing them
  botzilla key rotate /etc/botzilla/secret add          the first of three steps to a new one"
)]
pub(crate) struct Key {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    New(New),
    List(List),
    Rotate(Rotate),
}

/// Makes a secret, and adds it to a file or shows it alone
///
/// A new file is made with mode 600, whatever the umask. In one that is there, the new secret is the last:
/// it is accepted, and not preferred yet.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla key new robot.secret
  botzilla key new --id lab-2 robot.secret    the id tells secrets apart, and may be seen by anybody
  export BOTZILLA_SECRET=$(botzilla key new)  without a file, as `botzilla keygen` does")]
pub(crate) struct New {
    /// What the secret is called: 1 to 32 characters of A-Z a-z 0-9 _ - [default: random]
    #[arg(long)]
    pub(crate) id: Option<String>,

    /// Where it goes
    pub(crate) file: Option<PathBuf>,
}

/// Shows the ids of a file's secrets, and which is preferred
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla key list robot.secret
  botzilla key list robot.secret --json | jq -r '.keys[].id'")]
pub(crate) struct List {
    /// The file of secrets
    pub(crate) file: PathBuf,
}

/// Replaces the secret of a running robot, in three steps
///
/// Each step is done on every machine (its registry's, too) before the next begins anywhere. Nothing has to
/// be restarted: whoever reads the file notices the change, or is told by SIGHUP.
///
/// 1. `add`: makes a new secret, adds it to the file, and shows its line, for the other machines: there,
///    `add -` reads that line from stdin. From now on both secrets are accepted.
///
/// 2. `switch`: the new one comes first. From now on connections are made with it.
///
/// 3. `drop`: the old one goes. Connections that were made with it end as soon as nothing is open on them,
///    within 5 s, and are made anew; whoever has only the old one is out.
///
/// The file is replaced as a whole: who interrupts a step, or loses power, has the old one or the new one. If a
/// secret has leaked, take the steps without a pause, and remember that its finder can take part until the
/// third is done everywhere.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  botzilla key rotate robot.secret add > new.line       and give it to the others over a safe way:
  ssh arm botzilla key rotate robot.secret add - < new.line
  botzilla key rotate robot.secret switch               when all have it
  botzilla key rotate robot.secret drop                 when all have switched
  botzilla key rotate robot.secret drop k3f9a1          one of several

A passphrase can be replaced so by a secret, and a secret by a passphrase (`add -`), but not one passphrase by
another: all passphrases have the same id, `passphrase`.")]
pub(crate) struct Rotate {
    /// The file of secrets
    pub(crate) file: PathBuf,

    /// What to do
    #[arg(value_enum)]
    pub(crate) step: Step,

    /// Which secret; of `add`, `-`: a line from stdin [default: the last one for `switch`, the one that isn't
    /// preferred for `drop`]
    #[arg(value_name = "ID")]
    pub(crate) which: Option<String>,

    /// What the new secret of `add` is called [default: random]
    #[arg(long = "id", value_name = "ID")]
    pub(crate) id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Accepts a new secret besides
    Add,
    /// Prefers it
    Switch,
    /// Takes the old one away
    Drop,
}
