//! Who may do what: rules by key id, from a TOML file.
//!
//! A policy tells secrets apart, not nodes: it defends a robot's own nodes, which hold the main secret,
//! against those who hold a lesser one. Here is what it says and why; where it is asked is in
//! `guard`. It knows nothing of connections.

mod denials;
mod file;
mod glob;
mod guard;

use std::fmt;

pub use self::{denials::DeniedReport, file::PolicyError, glob::Glob};
pub(crate) use self::{
    denials::Verb,
    guard::{Guard, Origin, PolicyFile, Refusal},
};
use crate::directory::messages::REGISTRY;

/// What the registry is asked by everybody: who is there, one's own names, which `register` rules, and to be
/// connected with a node that can't be dialled, which needs no more than to be let in by that node.
const DISCOVERY: [&str; 6] = [
    "Register",
    "Deregister",
    "Introduce",
    "Resolve",
    "List",
    "Watch",
];

/// The rules of a node. What none of them allows is denied.
///
/// ```
/// use botzilla::policy::{Policy, Request};
///
/// let policy: Policy = r#"
///     [[allow]]
///     keys = ["tablet"]
///     call = ["drive/EmergencyStop"]
///     subscribe = ["*/scan"]
/// "#.parse()?;
/// let stop = Request::call("drive/EmergencyStop").unwrap();
/// assert!(policy.decide("tablet", &stop).is_allowed());
/// assert!(!policy.decide("guest", &stop).is_allowed());
/// let decision = policy.decide("tablet", &Request::Publish("drive/odometry"));
/// assert_eq!(decision.to_string(), "denied: the rule of line 2 names the key id `tablet`, but has no `publish`");
/// # Ok::<(), botzilla::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One `[[allow]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// The line that it begins at, counted from 1.
    pub line: usize,
    /// The key ids that it is for.
    pub keys: Vec<Glob>,
    /// `component/message` that they may send.
    pub call: Vec<Glob>,
    /// `component/stream` that they may publish.
    pub publish: Vec<Glob>,
    /// `component/stream` that they may subscribe to.
    pub subscribe: Vec<Glob>,
    /// The components that they may be.
    pub register: Vec<Glob>,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Send a message to a component: an ask, a tell, its part of a broadcast.
    Call {
        /// The component.
        component: &'a str,
        /// The message's name.
        message: &'a str,
    },
    /// Publish a stream, `component/stream`.
    Publish(&'a str),
    /// Subscribe to a stream, `component/stream`.
    Subscribe(&'a str),
    /// Be a component of that name: register it, be asked as it, send as it.
    Register(&'a str),
}

/// What a policy says to a request, and which rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    why: Why<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why<'a> {
    /// A rule allows it, by one of its patterns.
    Rule {
        line: usize,
        verb: Verb,
        pattern: &'a Glob,
    },
    /// Whoever is named may ask the registry who is there.
    Discovery,
    /// No rule is for the key.
    Unnamed { key: String },
    /// These rules are for it, and none of them allows this.
    Unmatched {
        key: String,
        verb: Verb,
        /// With whether it says anything about such requests.
        lines: Vec<(usize, bool)>,
    },
}

impl Policy {
    /// All rules, in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether any rule is for this key id: whoever holds another isn't let in at all.
    pub fn names(&self, key: &str) -> bool {
        self.of(key).next().is_some()
    }

    fn of<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a Rule> {
        let is_meant = move |rule: &&Rule| rule.keys.iter().any(|glob| glob.matches(key));
        self.rules.iter().filter(is_meant)
    }

    /// What it says to a request of somebody who holds the secret of this key id.
    pub fn decide(&self, key: &str, request: &Request<'_>) -> Decision<'_> {
        let verb = request.verb();
        let mut lines = Vec::new();
        for rule in self.of(key) {
            let globs = rule.globs(verb);
            if let Some(pattern) = globs.iter().find(|glob| request.is_meant_by(glob)) {
                let line = rule.line;
                let why = Why::Rule {
                    line,
                    verb,
                    pattern,
                };
                return Decision { why };
            }
            lines.push((rule.line, !globs.is_empty()));
        }
        let key = key.to_owned();
        let why = if lines.is_empty() {
            Why::Unnamed { key }
        } else if request.is_discovery() {
            Why::Discovery
        } else {
            Why::Unmatched { key, verb, lines }
        };
        Decision { why }
    }

    /// Whether one key id may do all that another may, as far as the patterns show.
    pub(crate) fn covers(&self, wide: &str, narrow: &str) -> bool {
        wide == narrow
            || Verb::RULED.into_iter().all(|verb| {
                let mut narrow = self.of(narrow).flat_map(|rule| rule.globs(verb));
                narrow.all(|glob| {
                    let mut wide = self.of(wide).flat_map(|rule| rule.globs(verb));
                    wide.any(|it| it.covers(glob))
                })
            })
    }
}

impl Rule {
    fn globs(&self, verb: Verb) -> &[Glob] {
        match verb {
            Verb::Call => &self.call,
            Verb::Publish => &self.publish,
            Verb::Subscribe => &self.subscribe,
            Verb::Register => &self.register,
            Verb::Connect => &[],
        }
    }
}

impl<'a> Request<'a> {
    /// A message, written `component/message`: the message is after the last slash. `None` without one.
    pub fn call(text: &'a str) -> Option<Self> {
        let (component, message) = text.rsplit_once('/')?;
        Some(Self::Call { component, message })
    }

    pub(crate) fn verb(&self) -> Verb {
        match self {
            Self::Call { .. } => Verb::Call,
            Self::Publish(_) => Verb::Publish,
            Self::Subscribe(_) => Verb::Subscribe,
            Self::Register(_) => Verb::Register,
        }
    }

    fn is_meant_by(&self, glob: &Glob) -> bool {
        match self {
            Self::Call { component, message } => glob.matches_call(component, message),
            Self::Publish(text) | Self::Subscribe(text) | Self::Register(text) => {
                glob.matches(text)
            }
        }
    }

    fn is_discovery(&self) -> bool {
        matches!(self, Self::Call { component, message }
            if *component == REGISTRY && DISCOVERY.contains(message))
    }
}

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { component, message } => write!(f, "{component}/{message}"),
            Self::Publish(text) | Self::Subscribe(text) | Self::Register(text) => f.write_str(text),
        }
    }
}

impl Decision<'_> {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self.why, Why::Rule { .. } | Why::Discovery)
    }

    /// The line of the rule that allows it, counted from 1, with the pattern that does.
    pub fn rule(&self) -> Option<(usize, &str)> {
        match &self.why {
            Why::Rule { line, pattern, .. } => Some((*line, pattern.text())),
            _ => None,
        }
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Rule {
                line,
                verb,
                pattern,
            } => write!(
                f,
                "allowed by the rule of line {line}: its `{verb}` has \"{pattern}\""
            ),
            Why::Discovery => f.write_str(
                "allowed: whoever a rule names may ask the registry who is there, and register what \
                 `register` allows",
            ),
            Why::Unnamed { key } => write!(
                f,
                "denied: no rule names the key id `{key}`, and its holder can't even connect"
            ),
            Why::Unmatched { key, verb, lines } => {
                f.write_str("denied: ")?;
                for (at, (line, says)) in lines.iter().enumerate() {
                    let and = if at == 0 { "" } else { "; " };
                    write!(f, "{and}the rule of line {line} names the key id `{key}`, but ")?;
                    if *says {
                        write!(f, "no pattern of its `{verb}` means this")?;
                    } else {
                        write!(f, "has no `{verb}`")?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
