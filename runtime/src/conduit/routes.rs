//! What a message's head says, made once for each kind of message and then kept.

use std::{any::TypeId, sync::Arc};

use botzilla_wire::{
    Encoding,
    route::{Route, Scope},
};
use bytes::Bytes;
use parking_lot::Mutex;

use super::{Conduit, Raw, Typed};
use crate::{
    Message, Reason, call::encode_to_send, directory::Located, hosted::Hosted, routes::layout_of,
};

/// Those of one conduit.
pub(super) type Routes = Mutex<Vec<(RouteKey, Arc<Route>)>>;

#[derive(Clone, PartialEq, Eq)]
pub(super) enum RouteKey {
    /// Of this type, urgent, as JSON.
    Typed(TypeId, bool, bool),
    Named(String, Encoding, bool),
}

impl Conduit {
    pub(super) fn route<M: Message>(&self, located: Option<&Located>, urgent: bool) -> Arc<Route> {
        // A type that can't be traced, here or there, travels as JSON.
        let theirs_is_json = located
            .and_then(|located| located.handler(M::NAME))
            .is_some_and(|handler| handler.fingerprint.is_none());
        let key = RouteKey::Typed(TypeId::of::<M>(), urgent, theirs_is_json);
        self.cached_route(key, || {
            let layout = if theirs_is_json {
                None
            } else {
                layout_of::<M>()
            };
            Route {
                scope: Scope::Component(self.target.clone()),
                sender: self.sender.clone(),
                message: M::NAME.to_owned(),
                encoding: if layout.is_some() {
                    Encoding::Bincode
                } else {
                    Encoding::Json
                },
                fingerprint: layout.map(|layout| layout.fingerprint().0),
                urgent,
            }
        })
    }

    pub(super) fn raw_route(&self, located: Option<&Located>, raw: &Raw) -> Arc<Route> {
        let urgent = located
            .and_then(|located| located.handler(&raw.message))
            .is_some_and(|handler| handler.urgent);
        let key = RouteKey::Named(raw.message.clone(), raw.encoding, urgent);
        self.cached_route(key, || Route {
            scope: Scope::Component(self.target.clone()),
            sender: self.sender.clone(),
            message: raw.message.clone(),
            encoding: raw.encoding,
            fingerprint: None,
            urgent,
        })
    }

    fn cached_route(&self, key: RouteKey, make: impl FnOnce() -> Route) -> Arc<Route> {
        let mut routes = self.routes.lock();
        if let Some((_, route)) = routes.iter().find(|(known, _)| *known == key) {
            return route.clone();
        }
        // Tools may send any number of names through one conduit.
        if routes.len() >= 64 {
            routes.clear();
        }
        let route = Arc::new(make());
        routes.push((key, route.clone()));
        route
    }

    /// A component of this node that handles a message of that name with another type: by bytes.
    pub(super) fn by_bytes<M: Message>(
        &self,
        hosted: &Hosted,
        typed: Typed<M>,
    ) -> Result<Raw, Reason> {
        let Some(at) = hosted.route_named(M::NAME) else {
            return Err(Reason::NoHandler(hosted.handles()));
        };
        let ours = layout_of::<M>();
        let encoding = match (&ours, &hosted.routes[at].layout) {
            (Some(ours), Some(theirs)) if ours.fingerprint() == theirs.fingerprint() => {
                Encoding::Bincode
            }
            (Some(_), Some(theirs)) => return Err(Reason::WrongSchema(theirs.text().to_owned())),
            _ => Encoding::Json,
        };
        let payload = encode_to_send(encoding, &typed.message)?;
        Ok(Raw {
            message: M::NAME.to_owned(),
            encoding,
            payload,
            terms: typed.terms,
        })
    }
}

pub(super) fn encode<M: Message>(route: &Route, message: &M) -> Result<Bytes, Reason> {
    encode_to_send(route.encoding, message)
}
