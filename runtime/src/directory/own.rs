//! The names that a node claims for its own components, and how far each claim is. Pure.

use std::time::Instant;

use botzilla_wire::ident::{Name, NodeId};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::{
    facts::{ComponentFacts, HolderFacts, NodeFacts, StreamFacts},
    messages::{
        COMPONENT_BYTES, Claim, Outcome, Register, RegisterReply, Removal, Standing, Waiting,
    },
    replica::{Replica, epoch_text},
};

/// Why a component didn't get its name, or lost it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Another component has it.
    #[error("the name {name:?} is taken: {by} has it; stop that one, or choose another name")]
    Held {
        /// The name.
        name: String,
        /// Who.
        by: HolderFacts,
    },
    /// Another component got it while this node wasn't connected to the registry.
    #[error("the name {name:?} was given to {to} while this node was out of the registry's reach")]
    NameLost {
        /// The name.
        name: String,
        /// Who.
        to: HolderFacts,
    },
    /// The registry doesn't take it.
    #[error("the registry refuses the component {name:?}: {reason}")]
    Invalid {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The registry's policy doesn't let this node's secret have it.
    #[error("the component {name:?} is denied: {reason}")]
    Denied {
        /// The name.
        name: String,
        /// What the policy says.
        reason: String,
    },
    /// The claim was withdrawn, or the node ends.
    #[error("the component {name:?} was stopped before it had its name")]
    Withdrawn {
        /// The name.
        name: String,
    },
}

/// What became of a claim, for whoever made it.
pub type Decision = Result<(), Refused>;

/// The streams that an instance of a component offers now.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    count: u64,
    streams: Vec<StreamFacts>,
}

/// A component says more about itself than the registry takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{component:?} would describe itself in {bytes} bytes, with this stream; the registry takes \
     {COMPONENT_BYTES}: offer fewer streams, or split the component"
)]
pub struct SaysTooMuch {
    /// The component.
    pub component: String,
    /// How long its facts would be as JSON.
    pub bytes: usize,
}

/// The node's own names.
#[derive(Debug, Default)]
pub struct Own {
    names: FxHashMap<Name, Entry>,
    /// What its components offer, those too that haven't claimed their names yet: streams begin while a
    /// component starts.
    offers: FxHashMap<Name, Offer>,
    /// Given up, and the registry doesn't know it yet.
    withdrawn: Vec<(Name, Removal)>,
    /// The registry's start that knows all that we have.
    registered: Option<String>,
    /// The node itself isn't what the registry was told.
    node_changed: bool,
    /// When a registry that wasn't recovering last answered: it agreed on what it had granted.
    agreed: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    facts: ComponentFacts,
    /// The registry has heard these facts, in this connection to it or an earlier one.
    is_told: bool,
    state: State,
    /// Since when it is ours, or was when we last heard.
    ours: Option<Instant>,
    waiter: Option<oneshot::Sender<Decision>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The registry doesn't know of it, or has forgotten.
    Untold,
    /// It knows, and hasn't decided.
    Waiting,
    /// It gave us the name.
    Granted { revision: u64 },
}

impl Own {
    pub fn announce(
        &mut self,
        name: &Name,
        mut facts: ComponentFacts,
    ) -> oneshot::Receiver<Decision> {
        let (sender, receiver) = oneshot::channel();
        if let Some(offer) = self.offers.get(name)
            && offer.count == facts.count
        {
            facts.streams.clone_from(&offer.streams);
        }
        let entry = Entry {
            facts,
            is_told: false,
            state: State::Untold,
            ours: None,
            waiter: Some(sender),
        };
        // It may still be on its way out. The claim that comes after replaces what it had.
        self.withdrawn.retain(|(withdrawn, _)| withdrawn != name);
        self.names.insert(name.clone(), entry);
        receiver
    }

    /// An instance of a component offers these streams from now on. Returns whether that is news for
    /// the registry.
    pub fn offer(
        &mut self,
        component: &Name,
        count: u64,
        streams: Vec<StreamFacts>,
    ) -> Result<bool, SaysTooMuch> {
        let known = self.offers.get(component);
        // One that still goes down says nothing about the one that has its name now.
        if known.is_some_and(|known| known.count > count) {
            return Ok(false);
        }
        let mut is_news = false;
        if let Some(entry) = self.names.get_mut(component)
            && entry.facts.count == count
            && entry.facts.streams != streams
        {
            let before = std::mem::replace(&mut entry.facts.streams, streams.clone());
            // Facts are strings, numbers and lists: there is nothing in them that JSON can't carry.
            let bytes = serde_json::to_vec(&entry.facts).map_or(usize::MAX, |json| json.len());
            // Refused by the registry, it would lose its name.
            if bytes > COMPONENT_BYTES {
                entry.facts.streams = before;
                return Err(SaysTooMuch {
                    component: component.to_string(),
                    bytes,
                });
            }
            entry.is_told = false;
            is_news = true;
        }
        if streams.is_empty() {
            self.offers.remove(component);
        } else {
            let offer = Offer { count, streams };
            self.offers.insert(component.clone(), offer);
        }
        Ok(is_news)
    }

    pub fn withdraw(&mut self, name: &Name, why: Removal) {
        self.offers.remove(name);
        if let Some(entry) = self.names.remove(name) {
            let refused = Refused::Withdrawn {
                name: name.to_string(),
            };
            entry.end(Err(refused));
            self.withdrawn.push((name.clone(), why));
        }
    }

    pub fn all(&self) -> Vec<Name> {
        self.names.keys().cloned().collect()
    }

    pub fn has_news(&self) -> bool {
        !self.withdrawn.is_empty() || self.names.values().any(|entry| !entry.is_settled())
    }

    /// Whether the registry knows all that we had when the connection began.
    pub fn is_registered(&self) -> bool {
        self.registered.is_some()
    }

    /// A connection begins: the registry may know nothing.
    pub fn begin(&mut self) {
        self.registered = None;
        // Told with all the rest.
        self.node_changed = false;
    }

    /// All that we have, in one message.
    pub fn whole(&mut self, node: NodeFacts, now: Instant) -> Register {
        // What isn't in it is thereby given up.
        self.withdrawn.clear();
        Register {
            node,
            components: self.names.values().map(|it| self.claim(it, now)).collect(),
            complete: true,
            wait_ms: 0,
        }
    }

    /// What the registry hasn't decided or heard, in one message. Asked for with time to wait unless some
    /// of it is new to the registry.
    pub fn undecided(&self, node: NodeFacts, now: Instant, wait_ms: u64) -> Register {
        let undecided = || {
            let entries = self.names.values();
            entries.filter(|it| !it.is_settled())
        };
        let all_wait = undecided().all(|it| it.state == State::Waiting && it.is_told);
        Register {
            node,
            components: undecided().map(|it| self.claim(it, now)).collect(),
            complete: false,
            wait_ms: if all_wait { wait_ms } else { 0 },
        }
    }

    pub fn node_changed(&mut self) {
        self.node_changed = true;
    }

    pub fn take_node_changed(&mut self) -> bool {
        std::mem::take(&mut self.node_changed)
    }

    /// What the registry is still to be told. It stays so until it was: who tells may be stopped half-way.
    pub fn withdrawn(&self) -> &[(Name, Removal)] {
        &self.withdrawn
    }

    /// The registry knows of these.
    pub fn told_withdrawn(&mut self, told: &[(Name, Removal)]) {
        self.withdrawn.retain(|withdrawn| !told.contains(withdrawn));
    }

    fn claim(&self, entry: &Entry, now: Instant) -> Claim {
        let standing = match entry.ours {
            None => Standing::New,
            Some(first) => {
                let confirmed = self.agreed.map_or(first, |agreed| agreed.max(first));
                let age = now.saturating_duration_since(confirmed);
                Standing::Held {
                    confirmed_ms_ago: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                }
            }
        };
        Claim {
            component: entry.facts.clone(),
            standing,
        }
    }

    /// The registry answered. Returns false if it isn't the start that we told everything to.
    pub fn heard_from(&mut self, epoch: &str, recovering: bool, now: Instant) -> bool {
        if self.registered.as_ref().is_some_and(|known| known != epoch) {
            return false;
        }
        if self.registered.is_some() && !recovering {
            self.agreed = Some(now);
        }
        true
    }

    /// Takes in an answer. Returns the names that were ours and are no longer.
    pub fn registered(
        &mut self,
        sent: &Register,
        reply: RegisterReply,
        now: Instant,
    ) -> Vec<(Name, Refused)> {
        let mut lost = Vec::new();
        for (claim, result) in sent.components.iter().zip(reply.results) {
            let Ok(name) = Name::new(&result.name) else {
                continue;
            };
            let Some(entry) = self.names.get_mut(&name) else {
                continue;
            };
            // Spawned anew while the message was on its way.
            if entry.facts.count != claim.component.count {
                continue;
            }
            entry.is_told = entry.facts == claim.component;
            let refused = match result.outcome {
                Outcome::Granted { revision } => {
                    self.granted(&name, revision, now);
                    continue;
                }
                Outcome::Waiting { reason, .. } => {
                    self.waits(&name, &reason);
                    continue;
                }
                Outcome::Held { by } => Refused::Held {
                    name: result.name,
                    by,
                },
                Outcome::NameLost { to } => Refused::NameLost {
                    name: result.name,
                    to,
                },
                Outcome::Denied { reason } => Refused::Denied {
                    name: result.name,
                    reason,
                },
                Outcome::Invalid { reason } => Refused::Invalid {
                    name: result.name,
                    reason,
                },
            };
            lost.extend(self.lose(&name, refused));
        }
        if sent.complete {
            self.registered = Some(reply.epoch);
            if !reply.recovering {
                self.agreed = Some(now);
            }
        }
        lost
    }

    fn granted(&mut self, name: &Name, revision: u64, now: Instant) {
        let Some(entry) = self.names.get_mut(name) else {
            return;
        };
        entry.ours = entry.ours.or(Some(now));
        entry.state = State::Granted { revision };
        if let Some(waiter) = entry.waiter.take() {
            // Whoever waited may have gone; the name stays until it is withdrawn.
            let _ = waiter.send(Ok(()));
        }
    }

    fn waits(&mut self, name: &Name, reason: &Waiting) {
        let Some(entry) = self.names.get_mut(name) else {
            return;
        };
        if entry.state != State::Waiting {
            entry.state = State::Waiting;
            tracing::info!(%name, reason = %Because(reason), "waiting for the name");
        }
    }

    fn lose(&mut self, name: &Name, refused: Refused) -> Option<(Name, Refused)> {
        let entry = self.names.remove(name)?;
        self.offers.remove(name);
        let was_ours = entry.ours.is_some();
        entry.end(Err(refused.clone()));
        was_ours.then(|| (name.clone(), refused))
    }

    /// Compares what changed in the registry's table with what is ours. Returns the names that were
    /// ours and are another's; those that the registry only forgot are claimed again.
    pub fn compare(
        &mut self,
        us: NodeId,
        replica: &Replica,
        changed: &[Name],
    ) -> Vec<(Name, Refused)> {
        let (epoch, revision) = replica.position();
        if epoch.map(epoch_text) != self.registered {
            return Vec::new();
        }
        let mut lost = Vec::new();
        for name in changed {
            let Some(entry) = self.names.get_mut(name) else {
                continue;
            };
            let State::Granted { revision: granted } = entry.state else {
                continue;
            };
            match replica.get(name) {
                Some(located) if located.place.id == us || located.revision < granted => {}
                Some(located) => {
                    let facts = &located.place.facts;
                    let to = HolderFacts {
                        node: facts.id.clone(),
                        host: facts.host.clone(),
                        program: facts.program.clone(),
                        pid: facts.pid,
                        endpoints: facts.endpoints.clone(),
                        connected: true,
                    };
                    let name_lost = Refused::NameLost {
                        name: name.to_string(),
                        to,
                    };
                    lost.extend(self.lose(name, name_lost));
                }
                None if revision < granted => {}
                None => entry.state = State::Untold,
            }
        }
        lost
    }
}

impl Entry {
    /// There is nothing to tell or ask the registry.
    fn is_settled(&self) -> bool {
        self.is_told && matches!(self.state, State::Granted { .. })
    }

    fn end(self, decision: Decision) {
        if let Some(waiter) = self.waiter {
            // Whoever waited may have gone.
            let _ = waiter.send(decision);
        }
    }
}

/// A reason to wait, for the log.
struct Because<'a>(&'a Waiting);

impl std::fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Waiting::HolderAway { holder } => write!(f, "{holder} has it and is away"),
            Waiting::Recovering => f.write_str("the registry has just started"),
            Waiting::StoreAway { error } => f.write_str(error),
        }
    }
}

#[cfg(test)]
mod tests;
