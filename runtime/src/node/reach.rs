//! Reaching nodes that can't be dialled, and staying reachable when addresses change.

use std::time::{Duration, Instant};

use botzilla_wire::NodeId;

use super::{Inner, Node, listener};
use crate::{
    Result,
    config::RegistryAt,
    directory::messages::{Introduce, Introduced, REGISTRY},
    link::{AddressChanges, ConnectError, Link, Uninvited},
};

/// How long the registry may take to have a node dial this one.
const INVITATION: Duration = Duration::from_secs(4);
/// How long addresses are let settle: a lease that is renewed takes one away and gives it back.
const SETTLE: Duration = Duration::from_millis(200);

impl Node {
    /// A connection to a node. Its addresses may become others while they are tried: then those are.
    pub(super) async fn reach(
        &self,
        peer: NodeId,
        endpoints: &[String],
        deadline: Instant,
    ) -> Result<std::sync::Arc<Link>, ConnectError> {
        let mut endpoints = endpoints.to_vec();
        loop {
            let links = &self.inner().links;
            let failed = match links.connect(peer, &endpoints, deadline).await {
                Err(error @ (ConnectError::Failed { .. } | ConnectError::NoEndpoints { .. })) => {
                    error
                }
                other => return other,
            };
            let place = self.inner().directory.read(|all| all.place(&peer).cloned());
            match place {
                Some(place) if place.facts.endpoints != endpoints => {
                    endpoints.clone_from(&place.facts.endpoints);
                }
                _ => return Err(failed),
            }
        }
    }

    /// Has the registry ask a node that can't be dialled from here to dial this one.
    pub(super) async fn invite(self, peer: NodeId) -> Result<(), Uninvited> {
        let not_asked = |why: String| Uninvited::NotAsked { why };
        if let RegistryAt::Address(address) = &self.inner().config.registry
            && self.inner().links.current_at(address).is_none()
        {
            return Err(not_asked("this node isn't connected to it now".to_owned()));
        }
        self.listen_if_need_be()
            .await
            .map_err(|error| not_asked(error.to_string()))?;
        let msg = Introduce {
            node: peer.to_string(),
            endpoints: self.inner().endpoints(),
            port: self.inner().port_to_add(),
        };
        let asked = self.component(REGISTRY).ask(msg).within(INVITATION).await;
        match asked.map(|reply| reply.outcome) {
            Ok(Introduced::Connected) => Ok(()),
            Ok(Introduced::Away) => Err(Uninvited::Away),
            Ok(Introduced::Failed { reason }) => Err(Uninvited::NeitherWay { why: reason }),
            Err(error) => Err(not_asked(error.reason().to_string())),
        }
    }

    /// A short-lived node listens only when another has to dial it.
    async fn listen_if_need_be(&self) -> Result<()> {
        let inner = self.inner();
        if inner.address.get().is_some() {
            return Ok(());
        }
        let listener = listener::bind(&inner.config.listen).await?;
        let address = listener.local_addr()?;
        // Another may have been faster: one listener is enough.
        if inner.address.set(address).is_ok() {
            inner.links.listen(listener)?;
        }
        Ok(())
    }

    /// The node that is the registry's, as far as it is known.
    pub(crate) fn registry_node(&self) -> Option<NodeId> {
        match &self.inner().config.registry {
            RegistryAt::Address(address) => Some(self.inner().links.current_at(address)?.peer()),
            RegistryAt::Here => Some(self.id()),
            RegistryAt::Nowhere => None,
        }
    }

    /// Tells the registry when this host's addresses have become others. Runs until it is dropped.
    pub(super) async fn follow_addresses(&self) {
        let inner = self.inner();
        let is_wildcard = inner
            .address
            .get()
            .is_some_and(|it| it.ip().is_unspecified());
        if !is_wildcard || !inner.config.advertise.is_empty() {
            return;
        }
        let mut changes = match AddressChanges::open() {
            Ok(changes) => changes,
            Err(error) => {
                // What has changed is told at the next connection to the registry.
                tracing::debug!(%error, "changes of this host's addresses aren't seen as they happen");
                return;
            }
        };
        let mut known = inner.endpoints();
        while changes.next().await.is_ok() {
            tokio::time::sleep(SETTLE).await;
            let now = inner.endpoints();
            if now != known {
                tracing::info!(?now, before = ?known, "this host's addresses have changed");
                known = now;
                inner.directory.node_changed();
            }
        }
    }
}

impl Inner {
    /// Whether a connection that nobody uses is to stay, since one of the two nodes couldn't make it
    /// again.
    ///
    /// The side that was dialled decides, for only that one can find out whether it could dial itself:
    /// it tries, once a connection, without proving anything.
    pub(super) fn is_worth_keeping(&self, link: &Link) -> bool {
        if self.config.short_lived {
            return false;
        }
        if link.dialled() {
            return true;
        }
        let peer = link.peer();
        let place = self.directory.read(|all| all.place(&peer).cloned());
        // Nobody looks for a node that has no names.
        let Some(place) = place else { return false };
        if let Some(dialable) = link.is_dialable() {
            return !dialable;
        }
        if link.look_whether_dialable()
            && let Some(node) = self.node()
        {
            let (links, id) = (self.links.clone(), link.id());
            node.spawn_until_stopped(async move {
                let answers = links.answers(peer, &place.facts.endpoints).await;
                if let Some(link) = links.current(peer).filter(|it| it.id() == id) {
                    link.set_dialable(answers);
                }
            });
        }
        true
    }
}
