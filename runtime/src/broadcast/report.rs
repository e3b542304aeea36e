//! Who got a broadcast, and who didn't.

use botzilla_wire::Code;

use crate::{Reason, ticket::Letter};

/// Who got a broadcast, and who didn't.
#[crate::data]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastReport {
    /// Components that have it in their queue, or, if asked, ran it to the end.
    pub delivered: Vec<String>,
    /// Components (of the group) that don't listen to it.
    pub ignored: Vec<String>,
    /// Components that refused it or ended badly.
    pub failed: Vec<BroadcastFailure>,
    /// Nodes that have listeners and didn't answer.
    pub unreached: Vec<Unreached>,
}

/// A component that a broadcast didn't get through to.
#[crate::data]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastFailure {
    /// Its name.
    pub component: String,
    /// The outcome's number; PROTOCOL.md, section 13.
    pub code: u16,
    /// What happened, for a person. (Between nodes, if the types differ: the component's layout.)
    pub reason: String,
}

/// A node that didn't answer.
#[crate::data]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreached {
    /// Its id, 32 hex digits.
    pub node: String,
    /// Its components that listen.
    pub components: Vec<String>,
    /// Why, for a person.
    pub reason: String,
}

impl BroadcastReport {
    /// Whether all who listen got it.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.unreached.is_empty()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.delivered.extend(other.delivered);
        self.ignored.extend(other.ignored);
        self.failed.extend(other.failed);
        self.unreached.extend(other.unreached);
    }

    /// Only of those components that are so meant.
    pub(super) fn keep(&mut self, is_meant: impl Fn(&str) -> bool) {
        self.delivered.retain(|name| is_meant(name));
        self.ignored.retain(|name| is_meant(name));
        self.failed.retain(|failed| is_meant(&failed.component));
    }

    /// Where the types differ, the receiver says what its own is.
    pub(super) fn explain(&mut self, letter: Letter) {
        let differ = |failed: &&mut BroadcastFailure| failed.code == Code::WrongSchema.number();
        for failed in self.failed.iter_mut().filter(differ) {
            let theirs = Reason::WrongSchema(std::mem::take(&mut failed.reason));
            failed.reason = letter.explain(theirs).to_string();
        }
    }

    pub(super) fn sort(&mut self) {
        self.delivered.sort_unstable();
        self.ignored.sort_unstable();
        self.failed
            .sort_unstable_by(|a, b| a.component.cmp(&b.component));
        self.unreached.sort_unstable_by(|a, b| a.node.cmp(&b.node));
    }
}

impl BroadcastReport {
    /// How it ended for one component.
    pub(super) fn settle(&mut self, component: String, outcome: Result<(), Reason>) {
        match outcome {
            Ok(()) => self.delivered.push(component),
            Err(reason) => {
                let (code, reason) = (code_of(&reason).number(), reason.to_string());
                self.failed.push(BroadcastFailure {
                    component,
                    code,
                    reason,
                });
            }
        }
    }
}

fn code_of(reason: &Reason) -> Code {
    match reason {
        Reason::NoSuchComponent { .. } => Code::NoSuchComponent,
        Reason::NoHandler(_) => Code::NoHandler,
        Reason::WrongSchema(_) => Code::WrongSchema,
        Reason::BadPayload(_) | Reason::Codec { .. } => Code::BadPayload,
        Reason::Denied(_) => Code::Denied,
        Reason::TooLarge { .. } => Code::TooLarge,
        Reason::Overloaded { .. } | Reason::Full => Code::Overloaded,
        Reason::HandlerPanicked(_) => Code::Panicked,
        Reason::Interrupted => Code::Interrupted,
        Reason::NoReply => Code::NoReply,
        Reason::Cancelled { .. } => Code::Cancelled,
        Reason::Expired { .. } => Code::Expired,
        Reason::Cycle(_) => Code::Cycle,
        _ => Code::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use botzilla_wire::Encoding;

    use super::*;
    use crate::call::encode_to_send;

    #[test]
    fn the_report_of_the_protocols_example_reads_as_it_says() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let report = BroadcastReport {
            delivered: names(&["drive", "planner"]),
            ignored: names(&["battery"]),
            ..BroadcastReport::default()
        };
        let json = encode_to_send(Encoding::Json, &report).unwrap();
        let hex: String = encode_to_send(Encoding::Bincode, &report)
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let protocol = include_str!("../../../PROTOCOL.md");
        assert!(protocol.contains(std::str::from_utf8(&json).unwrap()));
        let packed = protocol.replace([' ', '\n'], "");
        assert!(packed.contains(&hex), "{hex}");
    }
}
