//! What was denied, counted by key id and by what was wanted. Bounded, whoever wants whatever.

use std::collections::BTreeMap;

/// How many things that one key id was denied are told apart.
const REMEMBERED: usize = 256;
/// What stands for all others.
const OTHERS: &str = "(others)";

/// What a policy denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Verb {
    Call,
    Publish,
    Subscribe,
    Register,
    Connect,
}

impl Verb {
    /// What rules speak of; who may connect follows from them.
    pub(super) const RULED: [Self; 4] =
        [Self::Call, Self::Publish, Self::Subscribe, Self::Register];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Register => "register",
            Self::Connect => "connect",
        }
    }
}

/// How often a node's policy has denied something.
#[crate::data]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeniedReport {
    /// The key id of those who wanted it.
    pub key: String,
    /// `call`, `publish`, `subscribe`, `register` (which is also to be asked, or to send, as a
    /// component) or `connect`.
    pub verb: String,
    /// What it was: `component/message`, `component/stream`, a component, a node's id. `(others)` is
    /// the sum of those of a key id that were too many to be told apart.
    pub what: String,
    /// How often.
    pub times: u64,
}

impl DeniedReport {
    /// Whether it is about this component, its messages or its streams.
    pub(crate) fn is_of(&self, component: &str) -> bool {
        match self.what.strip_prefix(component) {
            Some("") => true,
            Some(rest) => rest.strip_prefix('/').is_some_and(|own| !own.contains('/')),
            None => false,
        }
    }
}

/// The counts of a node.
#[derive(Debug, Default)]
pub(super) struct Denials {
    keys: BTreeMap<Box<str>, OfKey>,
}

#[derive(Debug, Default)]
struct OfKey {
    known: BTreeMap<(Verb, Box<str>), u64>,
    others: BTreeMap<Verb, u64>,
}

impl Denials {
    /// Counts one. How often it was denied by now.
    pub(super) fn add(&mut self, key: &str, verb: Verb, what: &str) -> u64 {
        // Key ids are those that this node holds, so they are few.
        if !self.keys.contains_key(key) {
            self.keys.insert(key.into(), OfKey::default());
        }
        let Some(of_key) = self.keys.get_mut(key) else {
            return 1;
        };
        let wanted = (verb, Box::<str>::from(what));
        let is_room = of_key.known.len() < REMEMBERED;
        let times = if is_room || of_key.known.contains_key(&wanted) {
            of_key.known.entry(wanted).or_default()
        } else {
            of_key.others.entry(verb).or_default()
        };
        *times += 1;
        *times
    }

    pub(super) fn reports(&self) -> Vec<DeniedReport> {
        let mut reports = Vec::new();
        for (key, OfKey { known, others }) in &self.keys {
            let known = known
                .iter()
                .map(|((verb, what), times)| (verb, &**what, times));
            let others = others.iter().map(|(verb, times)| (verb, OTHERS, times));
            reports.extend(known.chain(others).map(|(verb, what, times)| DeniedReport {
                key: key.to_string(),
                verb: verb.name().to_owned(),
                what: what.to_owned(),
                times: *times,
            }));
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_wanted_the_counts_are_bounded_and_add_up() {
        let mut denials = Denials::default();
        assert_eq!(denials.add("tablet", Verb::Call, "drive/Go"), 1);
        for n in 0..10_000 {
            denials.add("guest", Verb::Call, &format!("drive/Message{n}"));
        }
        assert_eq!(denials.add("tablet", Verb::Call, "drive/Go"), 2);
        let reports = denials.reports();
        assert!(reports.len() <= REMEMBERED + 2, "{}", reports.len());
        let times: u64 = reports.iter().map(|report| report.times).sum();
        assert_eq!(times, 10_002);
        let mine = reports
            .iter()
            .find(|report| report.key == "tablet")
            .unwrap();
        assert_eq!(
            (&*mine.what, mine.times),
            ("drive/Go", 2),
            "nobody's flood hides it"
        );
    }
}
