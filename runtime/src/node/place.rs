//! Finding a component: here, in the replica, at the registry.

use std::{sync::Arc, time::Instant};

use botzilla_wire::Name;

use super::Node;
use crate::{
    Reason,
    conduit::{Place, node_of_name},
    config::RegistryAt,
    directory::{Located, messages::REGISTRY, similar},
    link::{ConnectError, Link, host_id},
};

impl Node {
    /// Where a component is, if that is known and its node is connected.
    pub(crate) fn place_now(&self, name: &Name) -> Option<Place> {
        let inner = self.inner();
        if let Some(hosted) = inner.components.read().get(name) {
            return Some(Place::Here(hosted.clone()));
        }
        if **name == *REGISTRY {
            let RegistryAt::Address(address) = &inner.config.registry else { return None };
            return Some(Place::There(inner.links.current_at(address)?, None));
        }
        if let Some(node) = node_of_name(name) {
            return Some(Place::There(inner.links.current(node)?, None));
        }
        let located = inner.replica.read().get(name).cloned()?;
        let link = inner.links.current(located.place.id)?;
        Some(Place::There(link, Some(located)))
    }

    /// Where a component is: asks the registry and connects, if need be.
    pub(crate) async fn find_place(&self, name: &Name, deadline: Instant) -> Result<Place, Reason> {
        if self.inner().is_stopping() {
            return Err(Reason::ShuttingDown);
        }
        if let Some(place) = self.place_now(name) {
            return Ok(place);
        }
        let (node, name) = (self.clone(), name.clone());
        let found = self.on_thread(move || async move { node.look_for(&name, deadline).await });
        found.await.unwrap_or(Err(Reason::ShuttingDown))
    }

    /// Why a message that can't wait has no place to go; begins to look for one.
    pub(crate) fn why_no_place(&self, name: &Name) -> Reason {
        let (node, wanted) = (self.clone(), name.clone());
        let deadline = Instant::now() + self.default_time();
        self.inner().arbiter.spawn(async move {
            drop(node.find_place(&wanted, deadline).await);
        });
        if self.inner().replica.read().get(name).is_some() || **name == *REGISTRY {
            Reason::NotConnected("its node isn't connected yet; a connection is being made".to_owned())
        } else {
            self.no_such_component(name, &[], "the registry is being asked")
        }
    }

    async fn look_for(&self, name: &Name, deadline: Instant) -> Result<Place, Reason> {
        let inner = self.inner();
        if **name == *REGISTRY {
            let RegistryAt::Address(address) = &inner.config.registry else {
                return Err(self.no_such_component(name, &[], "this node's registry isn't spawned"));
            };
            let link = inner.links.connect_address(address, deadline).await.map_err(not_connected)?;
            inner.links.keep(link.peer(), true);
            return Ok(Place::There(link, None));
        }
        if let Some(id) = node_of_name(name) {
            let addresses: Vec<String> = match inner.replica.read().place(&id) {
                Some(place) => place.addresses(host_id()).map(str::to_owned).collect(),
                None => Vec::new(),
            };
            if addresses.is_empty() {
                return Err(self.no_such_component(name, &[], "no node with that id is known"));
            }
            let link =
                inner.links.connect(id, &addresses, deadline).await.map_err(not_connected)?;
            return Ok(Place::There(link, None));
        }
        let known = inner.replica.read().get(name).cloned();
        let located = match known {
            Some(located) => located,
            None => self.resolve(name, deadline).await?,
        };
        let link = self.connect_to(&located, deadline).await?;
        Ok(Place::There(link, Some(located)))
    }

    async fn connect_to(&self, located: &Located, deadline: Instant) -> Result<Arc<Link>, Reason> {
        let place = &located.place;
        let addresses: Vec<&str> = place.addresses(host_id()).collect();
        self.inner()
            .links
            .connect(place.id, &addresses, deadline)
            .await
            .map_err(not_connected)
    }

    /// Asks the registry once.
    async fn resolve(&self, name: &Name, deadline: Instant) -> Result<Arc<Located>, Reason> {
        let Some(directory) = self.inner().directory.get() else {
            return Err(self.no_such_component(name, &[], ""));
        };
        match directory.resolve(name, deadline).await {
            Ok(Some(located)) => Ok(located),
            Ok(None) => Err(self.no_such_component(name, &[], "")),
            Err(error) => Err(self.no_such_component(name, &[], &error)),
        }
    }

    pub(crate) fn no_such_component(&self, name: &Name, more: &[String], note: &str) -> Reason {
        let inner = self.inner();
        let replica = inner.replica.read();
        let here = inner.components.read();
        let known = replica
            .all()
            .map(|located| &*located.name)
            .chain(here.keys().map(|name| &**name).filter(|name| super::is_public(name)))
            .chain(more.iter().map(String::as_str));
        let mut close = similar(name, known);
        close.dedup();
        Reason::NoSuchComponent { close, note: note.to_owned() }
    }
}

fn not_connected(error: ConnectError) -> Reason {
    Reason::NotConnected(error.to_string())
}
