//! The node's policy where messages come in and go out, and what a change of it does to what is open.
//!
//! What its own components send each other is never checked.

use std::sync::Arc;

use botzilla_wire::{Code, Failure, Name, NodeId};

use super::{Inner, Node};
use crate::{
    ConfigError, Reason,
    directory::messages::REGISTRY,
    link::{InboundRoute, Link},
    policy::{DeniedReport, Guard, Origin},
};

impl Inner {
    pub(crate) fn guard(&self) -> Option<&Arc<Guard>> {
        self.guard.as_ref()
    }

    /// Which policy is in force; 0 without one.
    #[inline]
    pub(super) fn policy_epoch(&self) -> u64 {
        self.guard.as_ref().map_or(0, |guard| guard.epoch())
    }

    /// Where messages of a connection come from.
    pub(super) fn origin(&self, link: &Link) -> Origin {
        Origin {
            node: link.peer(),
            key: self.guard.as_ref().map(|_| Arc::clone(link.key_id())),
        }
    }

    /// Whether messages of a route may come in: from who it says that sends them, to the component.
    pub(super) fn allow(
        &self,
        link: &Link,
        route: &InboundRoute,
        component: &Name,
        epoch: u64,
    ) -> Result<(), Failure> {
        let Some(guard) = &self.guard else {
            return Ok(());
        };
        let key = link.key_id();
        let mut denied = route.denied.lock();
        let refusal = match &*denied {
            Some((at, refusal)) if *at == epoch => {
                guard.count(key, refusal);
                refusal.clone()
            }
            _ => {
                let sender = route.info.sender.as_ref();
                let allowed = sender
                    .map_or(Ok(()), |sender| guard.send_as(key, link.peer(), sender))
                    .and_then(|()| guard.call(key, component, &route.info.message));
                let Err(refusal) = allowed else {
                    return Ok(());
                };
                *denied = Some((epoch, refusal.clone()));
                refusal
            }
        };
        Err(Failure::refused(Code::Denied, refusal))
    }

    /// Whether the node behind a connection may be asked as a component.
    pub(crate) fn may_be(&self, link: &Link, component: &str) -> bool {
        let guard = self.guard.as_ref();
        guard.is_none_or(|guard| guard.is(link.key_id(), link.peer(), component))
    }

    /// The connection, if the node behind it may be asked as a component.
    pub(crate) fn as_component(
        &self,
        link: Arc<Link>,
        component: &str,
    ) -> Result<Arc<Link>, Reason> {
        let Some(guard) = &self.guard else {
            return Ok(link);
        };
        match guard.ask_as(link.key_id(), link.peer(), component) {
            Ok(()) => Ok(link),
            Err(refusal) => Err(Reason::Denied(refusal.into())),
        }
    }

    /// Reads the policy again, and holds everybody to what it says now: what is open included. What has
    /// changed, for people.
    pub(super) fn read_policy(&self) -> Result<Option<String>, ConfigError> {
        let Some(guard) = &self.guard else {
            return Ok(None);
        };
        if !guard.reload()? {
            return Ok(None);
        }
        self.enforce();
        Ok(Some(format!("policy {} since the start", guard.epoch())))
    }

    /// Ends what the policy doesn't allow any more, and has the rest decided anew.
    fn enforce(&self) {
        self.links.enforce();
        self.hub.links().enforce();
        self.hub.enforce();
        self.moved();
    }

    /// The directory says something else about these names: who is connected as somebody whom it may not
    /// be, which nobody knew until now, isn't any longer.
    pub(super) fn enforce_names(&self, names: &[Name]) {
        if self.guard.is_none() {
            return;
        }
        let is_connected =
            |node| self.links.is_connected(node) || self.hub.links().is_connected(node);
        let holders = names.iter().filter_map(|name| self.directory.get(name));
        if holders
            .into_iter()
            .any(|located| is_connected(located.place.id))
        {
            self.links.enforce();
            self.hub.links().enforce();
        }
    }
}

impl Node {
    /// What the node's [policy](crate::NodeConfig::policy) has denied, by key id and by what it was.
    pub fn denied(&self) -> Vec<DeniedReport> {
        self.inner()
            .guard()
            .map_or_else(Vec::new, |guard| guard.reports())
    }

    /// The same of one component, and who wasn't let in; of the node's own service, all.
    pub(crate) fn denied_of(&self, component: &str) -> Vec<DeniedReport> {
        let mut denied = self.denied();
        let is_service = component == format!("node/{}", self.id());
        let is_of = |report: &DeniedReport| {
            let is_here = match &*report.verb {
                "connect" => true,
                // Here is where names are given.
                "register" => component == REGISTRY,
                _ => false,
            };
            is_service || is_here || report.is_of(component)
        };
        denied.retain(is_of);
        denied
    }

    /// Which policy is in force, for the registry: its tables outlive a change. 0 without one.
    #[doc(hidden)]
    pub fn policy_epoch(&self) -> u64 {
        self.inner().policy_epoch()
    }

    /// Whether a node that is connected now may have a component of that name, for the registry.
    #[doc(hidden)]
    pub fn may_hold(&self, peer: NodeId, component: &str) -> bool {
        let link = self.inner().links().current(peer);
        link.is_none_or(|link| self.inner().may_be(&link, component))
    }
}
