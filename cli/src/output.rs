//! What commands report, as text for people and as JSON for programs.

mod csv;
mod json;
mod live;
mod out;
mod policy;
mod progress;
mod stream;
mod style;
mod text;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use botzilla::{
    BroadcastReport, Description, StreamReport,
    directory::{facts::NodeFacts, messages::Listed},
    policy::Policy,
};
use botzilla_examples::demo;
use serde_json::Value;
use zeroize::Zeroizing;

pub(crate) use self::{
    json::json,
    live::{Event, Item, Screen},
    progress::Progress,
    style::{Style, no_colour},
    text::text,
};
use crate::{
    error::CliError,
    plan::{policy::Question, stream::StreamName},
    schema::Contract,
};

/// A secret that a file has.
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) preferred: bool,
    pub(crate) passphrase: bool,
}

/// What a command found or did.
pub(crate) enum Report {
    /// A registry that runs.
    Listening { address: SocketAddr, fresh: bool },
    /// A new secret.
    Key {
        id: String,
        secret: Zeroizing<String>,
    },
    /// The secrets of a file.
    Keys { file: PathBuf, held: Vec<Held> },
    /// A new secret in a file.
    KeyAdded {
        file: PathBuf,
        id: String,
        created: bool,
        held: Vec<Held>,
    },
    /// A step of a rotation was done.
    KeyStep {
        file: PathBuf,
        step: &'static str,
        id: String,
        /// To be given to other machines.
        secret: Option<Zeroizing<String>>,
        changed: bool,
        held: Vec<Held>,
    },
    /// Who is there.
    List {
        components: Vec<Listed>,
        recovering: bool,
        group: Option<String>,
    },
    /// One component in full; its node, if the registry knows it.
    Info {
        description: Box<Description>,
        node: Option<NodeFacts>,
    },
    /// A handler's answer; `Err` is its own no.
    Reply {
        component: String,
        message: String,
        reply: Result<Value, Value>,
        took: Duration,
    },
    /// A tell that ended well, or that was sent and not waited for.
    Told {
        component: String,
        message: String,
        delivered: bool,
    },
    /// Who got a broadcast.
    Broadcast {
        message: String,
        group: Option<String>,
        wait: bool,
        recovering: bool,
        report: BroadcastReport,
    },
    /// Messages and streams; `whole`: with their schemas.
    Schema {
        component: String,
        contracts: Vec<Contract>,
        streams: Vec<StreamReport>,
        whole: bool,
    },
    /// Which streams there are: of these components.
    Streams {
        components: Vec<Listed>,
        recovering: bool,
        group: Option<String>,
    },
    /// One stream in full.
    Stream {
        name: StreamName,
        node: String,
        report: Box<StreamReport>,
    },
    /// A policy, and what it says to a question.
    Policy {
        file: String,
        policy: Policy,
        decided: Option<Decided>,
    },
    /// The simulated robot's ride.
    Demo(Box<demo::Report>),
    /// A shell's script.
    Completions { shell: String, script: String },
}

/// What a policy says to a question.
pub(crate) struct Decided {
    pub(crate) question: Question,
    pub(crate) allowed: bool,
    /// The line of the rule that allows it, and its pattern.
    pub(crate) rule: Option<(usize, String)>,
    pub(crate) why: String,
}

impl Report {
    /// Why what was asked for isn't done, although there is a report.
    pub(crate) fn refusal(&self) -> Option<CliError> {
        match self {
            Self::Reply {
                component,
                message,
                reply: Err(error),
                ..
            } => Some(CliError::no(format!(
                "{message} to {component:?}: its handler answered with an error: {error}"
            ))),
            Self::Broadcast {
                message,
                group,
                report,
                ..
            } => not_all_reached(message, group.as_deref(), report),
            Self::Policy {
                decided: Some(decided),
                ..
            } if !decided.allowed => {
                let Question { key, verb, what } = &decided.question;
                Some(CliError::no(format!("`{key}` may not {verb} {what}")))
            }
            _ => None,
        }
    }

    /// What a person should know besides.
    pub(crate) fn note(&self) -> Option<String> {
        match self {
            Self::List {
                recovering: true, ..
            }
            | Self::Streams {
                recovering: true, ..
            }
            | Self::Broadcast {
                recovering: true, ..
            } => Some(
                "the registry has just started and may not know everybody yet; --timeout 15s waits \
                 until it does"
                    .to_owned(),
            ),
            Self::KeyAdded {
                created: true,
                file,
                ..
            } => Some(format!(
                "copy {} to every machine of the robot, over a safe way; its nodes find it by \
                 BOTZILLA_SECRET_FILE or `secret_file`",
                file.display()
            )),
            Self::KeyStep {
                file, step, held, ..
            } => Some(next_step(file, step, held)),
            _ => None,
        }
    }
}

/// What comes after a step of a rotation.
fn next_step(file: &Path, step: &str, held: &[Held]) -> String {
    let file = file.display();
    let rotate = format!("`botzilla key rotate {file}");
    match step {
        "add" => format!(
            "{file} accepts it now; give the same line to each other machine ({rotate} add -` reads it from \
             stdin), and when all have it, {rotate} switch` on each"
        ),
        "switch" => format!("when this was done on every machine, {rotate} drop` on each"),
        _ if held.len() > 1 => format!("{file} has {} secrets left", held.len()),
        _ => "when this was done on every machine, the old one is of no use to anybody".to_owned(),
    }
}

fn not_all_reached(
    message: &str,
    group: Option<&str>,
    report: &BroadcastReport,
) -> Option<CliError> {
    if report.is_complete() {
        let whose = group.map(|group| format!(" in group {group:?}"));
        let whose = whose.unwrap_or_default();
        return report.delivered.is_empty().then(|| {
            CliError::no(format!(
                "{message} reached nobody: no component{whose} listens to it; `botzilla list` \
                 shows those that there are"
            ))
        });
    }
    let failed = report.failed.iter();
    let failed = failed.map(|it| format!("{}: {}", it.component, it.reason));
    let unreached = report.unreached.iter();
    let unreached = unreached.map(|it| format!("{}: {}", it.components.join(", "), it.reason));
    let missed: Vec<String> = failed.chain(unreached).collect();
    let missed = missed.join("; ");
    Some(CliError::no(format!(
        "{message} didn't reach everybody: {missed}"
    )))
}
