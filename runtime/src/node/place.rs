//! Finding a component: here, in the replica, at the registry.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::Name;

use super::Node;
use crate::{
    Reason,
    conduit::{Place, node_of_name},
    config::RegistryAt,
    directory::{Located, Resolved, messages::REGISTRY, similar},
    link::{ConnectError, Link},
};

impl Node {
    /// Where a component is, if that is known and its node is connected.
    pub(crate) fn place_now(&self, name: &Name) -> Option<Place> {
        let inner = self.inner();
        if let Some(hosted) = inner.components.read().get(name) {
            return Some(Place::Here(hosted.clone()));
        }
        if **name == *REGISTRY {
            let RegistryAt::Address(address) = &inner.config.registry else {
                return None;
            };
            let link = inner.links.current_at(address)?;
            return inner
                .may_be(&link, name)
                .then_some(Place::There(link, None));
        }
        if let Some(node) = node_of_name(name) {
            let link = inner.links.current(node)?;
            return inner
                .may_be(&link, name)
                .then_some(Place::There(link, None));
        }
        let located = inner.directory.get(name)?;
        let link = inner.links.current(located.place.id)?;
        let may_be = inner.may_be(&link, name);
        may_be.then_some(Place::There(link, Some(located)))
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
        if let Some(located) = self.inner().directory.get(name)
            && let Some(link) = self.inner().links.current(located.place.id)
            && let Err(denied) = self.inner().as_component(link, name)
        {
            return denied;
        }
        let (node, wanted) = (self.clone(), name.clone());
        let deadline = Instant::now() + self.default_time();
        self.inner().arbiter.spawn(async move {
            drop(node.find_place(&wanted, deadline).await);
        });
        if self.inner().directory.get(name).is_some() || **name == *REGISTRY {
            Reason::NotConnected(
                "its node isn't connected yet; a connection is being made".to_owned(),
            )
        } else {
            self.no_such_component(name, &[], "the registry is being asked")
        }
    }

    async fn look_for(&self, name: &Name, deadline: Instant) -> Result<Place, Reason> {
        let inner = self.inner();
        if inner.config.registry == RegistryAt::Nowhere {
            return Err(self.no_such_component(name, &[], "this node has no registry to ask"));
        }
        if **name == *REGISTRY {
            let RegistryAt::Address(address) = &inner.config.registry else {
                return Err(self.no_such_component(
                    name,
                    &[],
                    "this node's registry isn't spawned",
                ));
            };
            let link = inner
                .links
                .connect_address(address, deadline)
                .await
                .map_err(|error| not_connected(&error))?;
            let link = inner.as_component(link, name).inspect_err(|_| {
                // Should it be another one's address again, that one is found.
                inner.links.forget_address(address);
            })?;
            inner.reached_registry(&link);
            return Ok(Place::There(link, None));
        }
        if let Some(id) = node_of_name(name) {
            let place = inner.directory.read(|all| all.place(&id).cloned());
            let addresses = place
                .map(|place| place.facts.endpoints.clone())
                .unwrap_or_default();
            if addresses.is_empty() {
                return Err(self.no_such_component(name, &[], "no node with that id is known"));
            }
            let link = self.reach(id, &addresses, deadline).await;
            let link = link.map_err(|error| not_connected(&error))?;
            return Ok(Place::There(inner.as_component(link, name)?, None));
        }
        let located = match inner.directory.get(name) {
            Some(located) => located,
            None => self.resolve(name, deadline).await?,
        };
        let link = self.connect_to(&located, deadline).await?;
        let link = inner.as_component(link, name)?;
        Ok(Place::There(link, Some(located)))
    }

    async fn connect_to(&self, located: &Located, deadline: Instant) -> Result<Arc<Link>, Reason> {
        let place = &located.place;
        self.reach(place.id, &place.facts.endpoints, deadline)
            .await
            .map_err(|error| not_connected(&error))
    }

    /// Asks the registry once.
    async fn resolve(&self, name: &Name, deadline: Instant) -> Result<Arc<Located>, Reason> {
        let within = deadline.saturating_duration_since(Instant::now());
        // What asks once and ends rather waits for a registry that recovers; the rest is for the way.
        let short_lived = self.inner().config.short_lived;
        let patience = if short_lived {
            within.mul_f64(0.9)
        } else {
            Duration::ZERO
        };
        // Boxed: an ask of the registry may itself look for a place, once.
        let resolved = self.inner().directory.resolve(self, name, within, patience);
        let resolved = Box::pin(resolved).await;
        match resolved {
            Ok(Resolved {
                located: Some(located),
                ..
            }) => Ok(located),
            Ok(Resolved {
                similar,
                recovering,
                ..
            }) => {
                let note = if recovering {
                    "the registry has just started and may not know all yet"
                } else {
                    ""
                };
                Err(self.no_such_component(name, &similar, note))
            }
            Err(error) => {
                let note = format!("the registry can't be asked: {}", error.reason());
                Err(self.no_such_component(name, &[], &note))
            }
        }
    }

    pub(crate) fn no_such_component(&self, name: &Name, more: &[String], note: &str) -> Reason {
        let inner = self.inner();
        let here = inner.components.read();
        let close = inner.directory.read(|all| {
            let known = all.all().map(|located| &*located.name);
            let here = here
                .keys()
                .map(|name| &**name)
                .filter(|name| super::is_public(name));
            similar(
                name,
                known.chain(here).chain(more.iter().map(String::as_str)),
            )
        });
        Reason::NoSuchComponent {
            close,
            note: note.to_owned(),
        }
    }
}

pub(crate) fn not_connected(error: &ConnectError) -> Reason {
    if error.is_denied() {
        return Reason::Denied(error.to_string());
    }
    Reason::NotConnected(error.to_string())
}
