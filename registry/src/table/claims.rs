//! How a claim on a name is decided.

use std::{sync::Arc, time::Duration};

use botzilla::directory::{
    facts::{ComponentFacts, HolderFacts, NodeFacts},
    messages::{Claim, Outcome, Standing, Waiting},
};
use botzilla_wire::ident::NodeId;

use super::{Claimant, Grant, Lease, Links, Table, clock::Moment, millis, rules};
use crate::store::{Store, StoreError};

impl<S: Store> Table<S> {
    pub(super) fn claim(
        &mut self,
        now: Moment,
        links: &impl Links,
        node: NodeId,
        facts: &Arc<NodeFacts>,
        claim: &Claim,
    ) -> Outcome {
        let component = &claim.component;
        let name = component.name.as_str();
        if let Err(reason) = self.check(node, component) {
            self.drop_claims(name, Some(node));
            return Outcome::Invalid { reason };
        }
        let confirmed = match claim.standing {
            Standing::New => None,
            Standing::Held { confirmed_ms_ago } => {
                Some(now.before(Duration::from_millis(confirmed_ms_ago)))
            }
        };
        // Someone's time may have come since the last tick.
        self.decide(now, links, name);
        match self.store.component(name).map(|row| row.node) {
            Some(holder) if holder == node => {
                self.grant(now, node, facts, &Arc::new(component.clone()), confirmed)
            }
            Some(holder) => {
                let theirs = self.grants.get(name).and_then(|grant| grant.confirmed);
                let ours = confirmed.flatten();
                if self.is_recovering() && ours > theirs {
                    return self.grant(now, node, facts, &Arc::new(component.clone()), confirmed);
                }
                let by = self.holder_facts(holder, links);
                if !by.connected {
                    let reason = Waiting::HolderAway { holder: by };
                    return self.wait(now, node, facts, component, reason);
                }
                match claim.standing {
                    Standing::New => Outcome::Held { by },
                    Standing::Held { .. } => Outcome::NameLost { to: by },
                }
            }
            None if self.is_recovering() && confirmed.is_none() => {
                self.wait(now, node, facts, component, Waiting::Recovering)
            }
            None => self.grant(now, node, facts, &Arc::new(component.clone()), confirmed),
        }
    }

    fn check(&self, node: NodeId, component: &ComponentFacts) -> Result<(), String> {
        rules::check_component(component, &self.rules)?;
        self.has_room(node, &component.name)
    }

    /// Whether a node may have a name besides those that it has, and the table one more.
    fn has_room(&self, node: NodeId, name: &str) -> Result<(), String> {
        let holder = self.store.component(name).map(|row| row.node);
        if holder == Some(node) {
            return Ok(());
        }
        if holder.is_none() && self.store.len() >= self.rules.components {
            return Err(format!(
                "the registry has {} components already, which is its limit",
                self.rules.components
            ));
        }
        let names = self.store.node(node).map_or(0, |row| row.names.len());
        if names >= self.rules.components_per_node {
            return Err(format!(
                "the node has {names} components already, which is the registry's limit for one"
            ));
        }
        Ok(())
    }

    fn grant(
        &mut self,
        now: Moment,
        node: NodeId,
        facts: &Arc<NodeFacts>,
        component: &Arc<ComponentFacts>,
        confirmed: Option<Option<Moment>>,
    ) -> Outcome {
        let name = component.name.as_str();
        let earlier = self
            .store
            .component(name)
            .map(|row| (row.node, row.facts.count));
        let revision = match self.store.put(component, node, facts) {
            Ok(revision) => revision,
            Err(error) => return self.store_away(&error),
        };
        self.drop_claims(name, Some(node));
        let same = earlier == Some((node, component.count));
        let grant = self.grants.get(name).copied().filter(|_| same);
        let since = grant.map_or(now, |grant| grant.since);
        // What a recovering registry grants doesn't count: its first word on it stands.
        let earlier_word = self
            .grants
            .get(name)
            .filter(|_| earlier.is_some_and(|it| it.0 == node));
        let confirmed = earlier_word
            .and_then(|grant| grant.confirmed)
            .or(confirmed.flatten());
        let name: Arc<str> = name.into();
        if let Some((earlier, _)) = earlier
            && earlier != node
        {
            self.forget_lease(earlier);
        }
        self.note_grant(&name, node, now, confirmed);
        self.grants.insert(name, Grant { since, confirmed });
        Outcome::Granted { revision }
    }

    pub(super) fn note_grant(
        &mut self,
        name: &Arc<str>,
        node: NodeId,
        now: Moment,
        confirmed: Option<Moment>,
    ) {
        let grant = Grant {
            since: now,
            confirmed,
        };
        self.grants.insert(Arc::clone(name), grant);
        let lease = self.leases.entry(node).or_insert(Lease {
            heard: now,
            overdue: false,
        });
        lease.hear(now);
    }

    fn wait(
        &mut self,
        now: Moment,
        node: NodeId,
        facts: &Arc<NodeFacts>,
        component: &ComponentFacts,
        reason: Waiting,
    ) -> Outcome {
        let name = component.name.as_str();
        let waits = self
            .claims
            .get(name)
            .is_some_and(|all| all.iter().any(|it| it.node == node));
        if !waits && self.claimants >= self.rules.claims {
            return Outcome::Invalid {
                reason: format!(
                    "{} components wait for their names already, which is the registry's limit",
                    self.claimants
                ),
            };
        }
        let all = self.claims.entry(name.into()).or_default();
        let since = match all.iter_mut().find(|it| it.node == node) {
            Some(claimant) => {
                claimant.facts = Arc::clone(facts);
                claimant.component = Arc::new(component.clone());
                claimant.since
            }
            None => {
                self.claimants += 1;
                all.push(Claimant {
                    node,
                    facts: Arc::clone(facts),
                    component: Arc::new(component.clone()),
                    since: now,
                });
                now
            }
        };
        let left = match (&reason, self.recovering) {
            (Waiting::Recovering, Some(end)) => end.since(now),
            _ => self.rules.takeover.saturating_sub(now.since(since)),
        };
        Outcome::Waiting {
            reason,
            left_ms: millis(left),
        }
    }

    /// Decides the claims on one name, as far as they can be.
    pub(super) fn decide(&mut self, now: Moment, links: &impl Links, name: &str) {
        let Some(claimants) = self.claims.get_mut(name) else {
            return;
        };
        // One who is gone comes again, or never.
        let before = claimants.len();
        claimants.retain(|it| links.connected(it.node));
        self.claimants -= before - claimants.len();
        let takeover = self.rules.takeover;
        let chosen = match self.store.component(name) {
            Some(row) if links.connected(row.node) => {
                self.drop_claims(name, None);
                return;
            }
            Some(_) => claimants.iter().find(|it| now.since(it.since) >= takeover),
            None if self.recovering.is_some() => None,
            None => claimants.first(),
        };
        let chosen = chosen.map(|it| (it.node, Arc::clone(&it.facts), Arc::clone(&it.component)));
        if claimants.is_empty() {
            self.claims.remove(name);
        }
        if let Some((node, facts, component)) = chosen {
            // It may have got others meanwhile. Asked again, it is told why.
            if self.has_room(node, name).is_err() {
                self.drop_claims(name, Some(node));
                return;
            }
            // A store that is away leaves the claim where it is, for the next tick.
            if let Outcome::Granted { .. } = self.grant(now, node, &facts, &component, None) {
                self.drop_claims(name, None);
            }
        }
    }

    /// Drops a node's claim on a name, or all claims on it.
    pub(super) fn drop_claims(&mut self, name: &str, node: Option<NodeId>) {
        let Some(claimants) = self.claims.get_mut(name) else {
            return;
        };
        let before = claimants.len();
        claimants.retain(|it| node.is_some_and(|node| it.node != node));
        self.claimants -= before - claimants.len();
        if claimants.is_empty() {
            self.claims.remove(name);
        }
    }

    fn holder_facts(&self, holder: NodeId, links: &impl Links) -> HolderFacts {
        let row = self.store.node(holder);
        row.map_or_else(HolderFacts::default, |row| HolderFacts {
            node: row.facts.id.clone(),
            host: row.facts.host.clone(),
            program: row.facts.program.clone(),
            pid: row.facts.pid,
            endpoints: row.facts.endpoints.clone(),
            connected: links.connected(holder),
        })
    }

    fn store_away(&self, error: &StoreError) -> Outcome {
        Outcome::Waiting {
            reason: Waiting::StoreAway {
                error: error.to_string(),
            },
            left_ms: millis(self.rules.takeover),
        }
    }
}
