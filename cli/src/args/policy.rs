//! What is typed behind `botzilla policy`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Subcommand};

/// Checks a policy: which key id may call, publish, subscribe and register what
///
/// A node takes its policy from the setting `policy` or from BOTZILLA_POLICY. It allows by the id of the
/// secret that a connection was made with; what no rule allows is denied.
#[derive(Debug, ClapArgs)]
pub(crate) struct Policy {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Check(Check),
}

/// Reads a policy and shows its rules, or says what decides a request and why
#[derive(Debug, ClapArgs)]
#[command(
    group = ArgGroup::new("request").args(["call", "publish", "subscribe", "register"]).requires("key"),
    after_help = "\
Examples:
  botzilla policy check policy.toml                                  is it one, and what are its rules
  botzilla policy check policy.toml --key tablet --call drive/Stop   may a tablet stop the drive
  botzilla policy check policy.toml --key tablet --register drive && echo beware
Exit codes: 0 allowed, 1 denied, 2 it is no policy")]
pub(crate) struct Check {
    /// The policy's file
    pub(crate) file: PathBuf,

    /// The id of the secret, the part between the colons of `bz1:ID:..`; `passphrase` for a passphrase
    #[arg(long, value_name = "ID", requires = "request")]
    pub(crate) key: Option<String>,

    /// Sending a message to a component
    #[arg(long, value_name = "COMPONENT/MESSAGE")]
    pub(crate) call: Option<String>,

    /// Publishing a stream
    #[arg(long, value_name = "COMPONENT/STREAM")]
    pub(crate) publish: Option<String>,

    /// Subscribing to a stream
    #[arg(long, value_name = "COMPONENT/STREAM")]
    pub(crate) subscribe: Option<String>,

    /// Being a component
    #[arg(long, value_name = "COMPONENT")]
    pub(crate) register: Option<String>,
}
