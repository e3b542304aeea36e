//! What comes in over the connections, handed to the components that it is for.

use std::sync::{Arc, atomic::Ordering};

use botzilla_wire::{Code, Failure, Name, NodeId, route::Scope};

use super::{Inner, Node};
use crate::{
    DownReason,
    broadcast::fan_out,
    call::{Body, Call, EncodedCall, EncodedTo, Head, failure},
    config::RegistryAt,
    directory::messages::Removal,
    hosted::Hosted,
    link::{BulkLinks, Counters, Host, Inbound, InboundRoute, Invitation, Link},
    policy::Origin,
    seat::Seat,
};

/// What an inbound route leads to.
pub(crate) struct Resolved {
    hosted: Arc<Hosted>,
    route: usize,
    /// The policy that allows it.
    epoch: u64,
}

impl Host for Inner {
    fn request(&self, link: &Arc<Link>, inbound: Inbound) {
        match &inbound.route.info.scope {
            Scope::Component(name) => {
                let resolved = match self.resolve_route(link, &inbound.route, name) {
                    Ok(resolved) => resolved,
                    Err(failure) => return inbound.responder.fail(failure),
                };
                deliver(self.origin(link), &resolved, inbound);
            }
            Scope::Group(_) | Scope::Everyone => match self.node() {
                Some(node) => fan_out(&node, &self.origin(link), inbound),
                None => drop(inbound),
            },
        }
    }

    fn up(&self, _: &Arc<Link>) {
        self.moved();
    }

    fn down(&self, link: &Arc<Link>, _: &str) {
        self.moved();
        if let Some(node) = self.node()
            && !self.links.is_connected(link.peer())
        {
            self.directory.link_lost(&node, &link.peer());
        }
    }

    fn is_needed(&self, link: &Link) -> bool {
        self.is_worth_keeping(link)
    }

    fn invite(&self, peer: NodeId) -> Option<Invitation> {
        if self.config.registry == RegistryAt::Nowhere {
            return None;
        }
        Some(Box::pin(self.node()?.invite(peer)))
    }

    fn bulk(&self) -> Option<Arc<BulkLinks>> {
        Some(Arc::clone(self.hub.links()))
    }

    fn counted(&self, peer: NodeId, counters: Counters) {
        self.past.lock().add(peer, counters);
    }
}

impl Inner {
    fn resolve_route(
        &self,
        link: &Link,
        route: &InboundRoute,
        name: &Name,
    ) -> Result<Arc<Resolved>, Failure> {
        let mut known = route.resolved.lock();
        let epoch = self.policy_epoch();
        if let Some(resolved) = &*known
            && resolved.epoch == epoch
            && !resolved.hosted.mailbox.is_closed()
        {
            return Ok(resolved.clone());
        }
        // First of all: who may not call it isn't told what there is.
        self.allow(link, route, name, epoch)?;
        let Some(hosted) = self.hosted_named(name) else {
            return Err(failure(
                Code::NoSuchComponent,
                false,
                format!("it isn't on node {} any more", self.id),
            ));
        };
        let info = &route.info;
        let Some(at) = hosted.route_named(&info.message) else {
            return Err(failure(Code::NoHandler, false, hosted.handles()));
        };
        check_schema(&hosted, at, info)?;
        let resolved = Arc::new(Resolved {
            hosted,
            route: at,
            epoch,
        });
        *known = Some(resolved.clone());
        Ok(resolved)
    }
}

/// Bincode tells fields by their place: both sides must mean the same ones.
pub(crate) fn check_schema(
    hosted: &Hosted,
    route: usize,
    theirs: &botzilla_wire::route::Route,
) -> Result<(), Failure> {
    use botzilla_wire::Encoding;
    if theirs.encoding != Encoding::Bincode {
        return Ok(());
    }
    let info = &hosted.routes[route];
    let ours = info.layout.as_deref();
    if let (Some(ours), Some(theirs)) = (ours, theirs.fingerprint)
        && ours.fingerprint().0 == theirs
    {
        return Ok(());
    }
    // A robot that runs for weeks beside one that was built wrong doesn't fill its disk.
    let times = info.misbuilt.fetch_add(1, Ordering::Relaxed) + 1;
    if times.is_power_of_two() {
        tracing::warn!(
            component = %hosted.name,
            message = theirs.message,
            sender = theirs.sender.as_deref().unwrap_or("(no component)"),
            times,
            "refused: the sender's type differs from this component's"
        );
    }
    let text = ours.map_or("a type that only travels as JSON", |ours| ours.text());
    Err(failure(Code::WrongSchema, false, text))
}

fn deliver(from: Origin, resolved: &Resolved, inbound: Inbound) {
    let hosted = &resolved.hosted;
    let head = Head {
        sender: inbound.route.info.sender.clone(),
        sender_node: from.node,
        key: from.key,
        deadline: inbound.deadline,
        path: (!inbound.path.is_empty()).then(|| inbound.path.into()),
    };
    let call = Call {
        body: Body::Encoded(Box::new(EncodedCall {
            head: Some(head),
            encoding: inbound.route.info.encoding,
            payload: inbound.payload,
            to: EncodedTo::Remote(inbound.responder, inbound.kind),
        })),
        seat: Seat::new(hosted.clone(), resolved.route, None),
    };
    if let Err(call) = call.push() {
        crate::hosted::refuse_stopped(call, "");
    }
}

impl Node {
    /// Takes a component that has ended out of the node; why it isn't there, those who watch are told.
    pub(crate) fn forget(&self, hosted: &Arc<Hosted>, why: DownReason) {
        let mut components = self.0.components.write();
        if components
            .get(&hosted.name)
            .is_some_and(|known| Arc::ptr_eq(known, hosted))
        {
            components.remove(&hosted.name);
            hosted.forget();
            drop(components);
            self.0.hub.component_ended(hosted);
            self.0.moved();
            let removal = match why {
                DownReason::Failed => Removal::Failed,
                _ => Removal::Deregistered,
            };
            self.0.directory.withdraw(&hosted.name, removal);
            self.look_who_is(&hosted.name, why);
        }
    }
}
