//! What is meant by what was typed: every argument checked, every setting found.

pub(crate) mod policy;
pub(crate) mod stream;

use std::{
    io::{self, Read},
    path::PathBuf,
    time::Duration,
};

use botzilla::{NodeConfig, Settings};
use botzilla_wire::{Limits, ident::Name};
use clap_complete::Shell;
use serde_json::Value;

use crate::{
    args::{
        self, Args, Command, Common, Message,
        key::{self, Key},
        stream::{Stream, Verb},
    },
    error::CliError,
    plan::policy::PolicyPlan,
    plan::stream::{Figure, Live, LivePlan, StreamName},
};

/// One command, ready to run.
pub(crate) enum Plan {
    Registry(RegistryPlan),
    Key(KeyPlan),
    Ask {
        config: Box<NodeConfig>,
        timeout: Duration,
        what: Ask,
    },
    /// A stream's items, for as long as it takes.
    Live {
        config: Box<NodeConfig>,
        plan: LivePlan,
    },
    Demo(DemoPlan),
    Policy(PolicyPlan),
    Completions {
        shell: Shell,
    },
}

/// What is to be done with secrets.
pub(crate) enum KeyPlan {
    New {
        id: Option<String>,
        file: Option<PathBuf>,
    },
    List {
        file: PathBuf,
    },
    Rotate {
        file: PathBuf,
        step: key::Step,
        which: Option<String>,
        id: Option<String>,
    },
}

pub(crate) struct RegistryPlan {
    pub(crate) node: Box<NodeConfig>,
    pub(crate) fresh: bool,
}

pub(crate) struct DemoPlan {
    pub(crate) svg: PathBuf,
    pub(crate) seed: u64,
    pub(crate) deadline: Option<Duration>,
}

/// What a short-lived node is to ask.
pub(crate) enum Ask {
    List {
        group: Option<Name>,
    },
    Info {
        name: Name,
    },
    Call(Outgoing<Name>),
    Tell {
        message: Outgoing<Name>,
        wait: bool,
    },
    Broadcast {
        message: Outgoing<Option<Name>>,
        wait: bool,
    },
    Schema {
        name: Name,
        message: Option<String>,
    },
    Streams {
        group: Option<Name>,
    },
    StreamInfo {
        name: StreamName,
    },
}

/// A message, and whom it is for.
pub(crate) struct Outgoing<To> {
    pub(crate) to: To,
    pub(crate) message: String,
    /// None was given: what is empty is the schema's to say.
    pub(crate) json: Option<Value>,
}

/// What a command has in all unless it is told.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);
/// The memory that an item's JSON may take, unless a setting says so.
const DECODED: usize = 2 << 30;

pub(crate) fn resolve(args: Args) -> Result<Plan, CliError> {
    let Args { common, command } = args;
    if common.secret.is_some() {
        return Err(CliError::not_asked(
            "--secret isn't taken: other users of this machine see a command's arguments, and the \
             shell keeps them; put the secret in BOTZILLA_SECRET or in a file for --secret-file, \
             and make a new one (`botzilla keygen`) if this one was real",
        ));
    }
    let what = match command {
        Command::Keygen(keygen) => {
            return Ok(Plan::Key(KeyPlan::New {
                id: keygen.id,
                file: None,
            }));
        }
        Command::Key(key) => return Ok(Plan::Key(key_plan(key))),
        Command::Completions(completions) => {
            return Ok(Plan::Completions {
                shell: completions.shell,
            });
        }
        Command::Policy(args::policy::Policy {
            verb: args::policy::Verb::Check(check),
        }) => return Ok(Plan::Policy(policy::check(check)?)),
        Command::Demo(demo) => {
            return Ok(Plan::Demo(DemoPlan {
                svg: demo.svg,
                seed: demo.seed,
                deadline: common.timeout,
            }));
        }
        Command::Registry(registry) => {
            return Ok(Plan::Registry(RegistryPlan {
                node: Box::new(registry_node(&registry.listen, common)?),
                fresh: registry.fresh,
            }));
        }
        Command::List(list) => Ask::List {
            group: list.group.as_deref().map(name).transpose()?,
        },
        Command::Info(info) => Ask::Info {
            name: name(&info.name)?,
        },
        Command::Call(message) => Ask::Call(outgoing(message)?),
        Command::Tell(tell) => Ask::Tell {
            message: outgoing(tell.message)?,
            wait: !tell.no_wait,
        },
        Command::Broadcast(broadcast) => Ask::Broadcast {
            message: Outgoing {
                to: broadcast.group.as_deref().map(name).transpose()?,
                message: broadcast.message,
                json: json(broadcast.payload, Longest::message())?,
            },
            wait: broadcast.wait,
        },
        Command::Schema(schema) => Ask::Schema {
            name: name(&schema.name)?,
            message: schema.message,
        },
        Command::Stream(Stream { verb }) => match streaming(verb)? {
            Ok(ask) => ask,
            Err(live) => return live_plan(common, live),
        },
    };
    let timeout = common.timeout.unwrap_or(TIMEOUT);
    let config = NodeConfig::from_settings(settings(common)?)?.short_lived();
    Ok(Plan::Ask {
        config: Box::new(config),
        timeout,
        what,
    })
}

/// What is asked once, or else what goes on for a while.
fn streaming(verb: Verb) -> Result<Result<Ask, Live>, CliError> {
    Ok(match verb {
        Verb::List(list) => Ok(Ask::Streams {
            group: list.group.as_deref().map(name).transpose()?,
        }),
        Verb::Info(info) => Ok(Ask::StreamInfo {
            name: stream::stream_name(&info.name)?,
        }),
        Verb::Echo(echo) => Err(stream::echo(echo)?),
        Verb::Pub(publish) => Err(stream::publish(publish)?),
        Verb::Hz(measure) => Err(stream::measure(measure, Figure::Rate)?),
        Verb::Bw(measure) => Err(stream::measure(measure, Figure::Bytes)?),
        Verb::Delay(measure) => Err(stream::measure(measure, Figure::Age)?),
    })
}

fn live_plan(common: Common, verb: Live) -> Result<Plan, CliError> {
    if common.json && matches!(&verb, Live::Echo(echo) if echo.csv) {
        return Err(CliError::not_asked(
            "--csv and --json are two ways to show an item; give one of them",
        ));
    }
    let timeout = common.timeout;
    let mut settings = settings(common)?;
    // They are those of the robot's programs: its address is taken by one of them, and who is sent there
    // for this command's stream finds that one.
    (settings.listen, settings.advertise) = (None, None);
    if matches!(verb, Live::Echo(_)) {
        // A number of one byte takes 32 as JSON in memory: what may be published can be shown.
        let limits = settings.limits.get_or_insert_default();
        limits.decoded.get_or_insert(DECODED);
    }
    let mut config = NodeConfig::from_settings(settings)?;
    // Who publishes has to be found; who only reads hasn't.
    if !matches!(verb, Live::Publish(_)) {
        config = config.short_lived();
    }
    Ok(Plan::Live {
        config: Box::new(config),
        plan: LivePlan { verb, timeout },
    })
}

/// Options go before the environment, and that before the file.
fn settings(common: Common) -> Result<Settings, CliError> {
    let mut settings = Settings::from_env_and(common.config.as_deref())?;
    if common.registry.is_some() {
        settings.registry = common.registry;
    }
    if common.secret_file.is_some() {
        (settings.secret, settings.secret_file) = (None, common.secret_file);
    }
    Ok(settings)
}

fn key_plan(key: Key) -> KeyPlan {
    match key.verb {
        key::Verb::New(new) => KeyPlan::New {
            id: new.id,
            file: new.file,
        },
        key::Verb::List(list) => KeyPlan::List { file: list.file },
        key::Verb::Rotate(rotate) => KeyPlan::Rotate {
            file: rotate.file,
            step: rotate.step,
            which: rotate.which,
            id: rotate.id,
        },
    }
}

fn registry_node(listen: &str, common: Common) -> Result<NodeConfig, CliError> {
    let listen = address(listen)?;
    Ok(NodeConfig::hosting_registry_from(&settings(common)?)?.listen(listen))
}

fn name(text: &str) -> Result<Name, CliError> {
    Name::new(text).map_err(|error| CliError::not_asked(format!("{text:?}: {error}")))
}

fn outgoing(message: Message) -> Result<Outgoing<Name>, CliError> {
    Ok(Outgoing {
        to: name(&message.name)?,
        message: message.message,
        json: json(message.payload, Longest::message())?,
    })
}

/// What stdin may have: nobody takes more, so nobody needs to read it.
#[derive(Clone, Copy)]
struct Longest {
    bytes: usize,
    what: &'static str,
}

impl Longest {
    fn message() -> Self {
        Self {
            bytes: Limits::default().payload,
            what: "a message",
        }
    }

    fn item() -> Self {
        Self {
            bytes: Limits::default().stream_payload,
            what: "an item of a stream",
        }
    }
}

fn json(text: Option<String>, longest: Longest) -> Result<Option<Value>, CliError> {
    let Some(text) = text else { return Ok(None) };
    let (text, place) = match &*text {
        "-" => (stdin(longest)?, "what stdin has"),
        _ => (text, "the argument JSON"),
    };
    let value = serde_json::from_str(&text).map_err(|error| {
        let shown = shortened(&text);
        let remedy =
            "write for example '{\"x_m\": 1.5, \"name\": \"a\"}', in single quotes for the shell";
        CliError::not_asked(format!("{place} isn't JSON: {shown}: {error}; {remedy}"))
    })?;
    Ok(Some(value))
}

fn stdin(
    Longest {
        bytes: longest,
        what,
    }: Longest,
) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = io::stdin()
        .lock()
        .take(longest as u64 + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| {
        CliError::not_asked(format!(
            "stdin can't be read ({error}); check where it comes from"
        ))
    })?;
    if bytes.len() > longest {
        let text = format!("what stdin has is longer than {what} may be: {longest} bytes");
        return Err(CliError::not_asked(text));
    }
    String::from_utf8(bytes)
        .map_err(|_| CliError::not_asked("what stdin has isn't UTF-8, so it isn't JSON"))
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// `host:port` to listen on.
fn address(text: &str) -> Result<String, CliError> {
    let bad = |reason: &str| {
        Err(CliError::not_asked(format!(
            "--listen {text:?} {reason}; write host:port, for example 0.0.0.0:6985, or port 0 for \
             any free one"
        )))
    };
    let Some((host, port)) = text.rsplit_once(':') else {
        return bad("has no port");
    };
    if host.is_empty() {
        return bad("names no host");
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return bad("needs brackets around its IPv6 address");
    }
    if host.contains(|c: char| c.is_whitespace() || c == '/') {
        return bad("isn't an address");
    }
    if port.parse::<u16>().is_err() {
        return bad("has no port from 0 to 65535");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_is_checked_before_anything_is_started() {
        for good in ["0.0.0.0:6985", "[::]:0", "localhost:7000"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "7000",
            ":7000",
            "a:b",
            "a:70000",
            "::1:7000",
            "http://a:80",
            "a b:80",
        ] {
            let error = address(bad).unwrap_err();
            assert!(error.text().contains("write host:port"), "{}", error.text());
        }
    }

    #[test]
    fn what_is_no_json_is_shown_shortened_with_the_remedy() {
        let long = format!("{{a: {}", "b".repeat(200));
        let json = |text: Option<String>| json(text, Longest::message());
        let error = json(Some(long)).unwrap_err();
        assert!(
            error.text().contains("bbb\"...") && error.text().len() < 300,
            "{}",
            error.text()
        );
        assert_eq!(json(Some("-5".into())).unwrap(), Some(Value::from(-5)));
        assert_eq!(json(None).unwrap(), None);
    }
}
