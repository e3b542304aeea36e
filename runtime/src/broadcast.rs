//! One message for all who listen: one frame a node, fanned out there, with a report.

mod fan_out;
mod report;

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::{
    Encoding, Kind, Name, NodeId,
    route::{Route, Scope},
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use self::fan_out::deliver_here;
pub(crate) use self::fan_out::fan_out;
pub use self::report::{BroadcastFailure, BroadcastReport, Unreached};
use crate::{
    CallError, Message, Node, Reason, Sent,
    ask::remote_answer,
    call::encode_to_send,
    conduit::{Terms, check_message_name, expired},
    link::{NotSent, Outgoing},
    node::{is_public, not_connected},
    policy::Origin,
    routes::layout_of,
    ticket::{Letter, Ticket},
};

/// A broadcast that is about to be sent: await it for its report.
#[must_use = "nothing is sent until this is awaited"]
pub struct Broadcast<M> {
    node: Node,
    sender: Option<Name>,
    message: M,
    group: Option<String>,
    time: Option<Duration>,
    to_the_end: bool,
}

impl<M> Broadcast<M> {
    pub(crate) fn new(node: Node, sender: Option<Name>, message: M) -> Self {
        Self {
            node,
            sender,
            message,
            group: None,
            time: None,
            to_the_end: false,
        }
    }

    /// Only for this group's members.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// How long it may take in all. Default: the node's `ask_time`, 5 s.
    pub fn within(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Waits until the handlers ran to their end, not just until the message is in their queues.
    ///
    /// Broadcasts carry no path as asks do. If a handler awaits this, and a listener asks the
    /// handler's component in turn, that isn't seen as a cycle: both wait until the time of one is
    /// up. A handler that leaves its component free meanwhile (a concurrent one) has no such trouble.
    pub fn to_the_end(mut self) -> Self {
        self.to_the_end = true;
        self
    }
}

impl<M: Message> IntoFuture for Broadcast<M> {
    type Output = Result<BroadcastReport, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        // Outside a handler's poll there is no ambience: it is taken here, where the caller is.
        let terms = Terms::now(self.time.unwrap_or_else(|| self.node.default_time()));
        Box::pin(async move {
            let layout = layout_of::<M>();
            let encoding = if layout.is_some() {
                Encoding::Bincode
            } else {
                Encoding::Json
            };
            let target = self.group.clone().unwrap_or_else(|| "everyone".to_owned());
            let failed = |reason| CallError::new(target.clone(), M::NAME, reason);
            let payload = encode_to_send(encoding, &self.message).map_err(failed)?;
            let cast = Cast {
                scope: scope(self.group.as_deref()).map_err(failed)?,
                message: M::NAME.to_owned(),
                encoding,
                fingerprint: layout.map(|layout| layout.fingerprint().0),
                payload,
                to_the_end: self.to_the_end,
            };
            let mut report = send(&self.node, self.sender, cast, &terms)
                .await
                .map_err(failed)?;
            report.explain(Letter::of::<M>());
            Ok(report)
        })
    }
}

impl Node {
    /// A broadcast by name, in JSON: for tools.
    ///
    /// # Errors
    ///
    /// The group's name can't be one.
    pub async fn broadcast_json(
        &self,
        message: &str,
        payload: &serde_json::Value,
        group: Option<&str>,
        within: Duration,
        to_the_end: bool,
    ) -> Result<BroadcastReport, CallError> {
        let failed = |reason| CallError::new(group.unwrap_or("everyone"), message, reason);
        check_message_name(message).map_err(failed)?;
        let cast = Cast {
            scope: scope(group).map_err(failed)?,
            message: message.to_owned(),
            encoding: Encoding::Json,
            fingerprint: None,
            payload: payload.to_string().into(),
            to_the_end,
        };
        send(self, None, cast, &Terms::now(within))
            .await
            .map_err(failed)
    }
}

fn scope(group: Option<&str>) -> Result<Scope, Reason> {
    match group {
        None => Ok(Scope::Everyone),
        Some(group) => {
            Name::new(group)
                .map(Scope::Group)
                .map_err(|error| Reason::NoSuchComponent {
                    close: Vec::new(),
                    note: format!("as a group: {error}"),
                })
        }
    }
}

/// A broadcast, encoded once.
struct Cast {
    scope: Scope,
    message: String,
    encoding: Encoding,
    fingerprint: Option<[u8; 8]>,
    payload: Bytes,
    to_the_end: bool,
}

/// A node with listeners, as the directory knows it.
struct Audience {
    node: NodeId,
    addresses: Vec<String>,
    components: Vec<String>,
    urgent: bool,
}

async fn send(
    node: &Node,
    sender: Option<Name>,
    cast: Cast,
    terms: &Terms,
) -> Result<BroadcastReport, Reason> {
    let mut report = BroadcastReport::default();
    let audiences = audiences(node, &cast, &mut report, terms).await?;
    let mut framed = BytesMut::with_capacity(cast.payload.len() + 1);
    framed.put_u8(u8::from(cast.to_the_end));
    framed.put_slice(&cast.payload);
    let framed = framed.freeze();
    let elsewhere = join_all(audiences.into_iter().map(|audience| {
        let route = Arc::new(Route {
            scope: cast.scope.clone(),
            sender: sender.clone(),
            message: cast.message.clone(),
            encoding: cast.encoding,
            fingerprint: cast.fingerprint,
            urgent: audience.urgent,
        });
        reach(node, audience, route, framed.clone(), terms)
    }));
    let us = Origin {
        node: node.id(),
        key: None,
    };
    let here = deliver_here(node, &us, sender.as_ref(), &cast, terms.deadline);
    let here = async {
        let (mut report, waiting) = here;
        for (name, outcome) in waiting {
            report.settle(name, wait(node, outcome, terms).await);
        }
        report
    };
    let (elsewhere, here) = futures_util::join!(elsewhere, here);
    report.add(here);
    elsewhere.into_iter().for_each(|one| report.add(one));
    report.sort();
    Ok(report)
}

/// The nodes that have listeners; a short-lived node asks the registry.
async fn audiences(
    node: &Node,
    cast: &Cast,
    report: &mut BroadcastReport,
    terms: &Terms,
) -> Result<Vec<Audience>, Reason> {
    let inner = node.inner();
    let mut audiences: Vec<Audience> = Vec::new();
    let mut add = |id: NodeId, addresses: Vec<String>, name: &str, urgent: bool| match audiences
        .iter_mut()
        .find(|audience| audience.node == id)
    {
        Some(audience) => {
            audience.components.push(name.to_owned());
            audience.urgent |= urgent;
        }
        None => audiences.push(Audience {
            node: id,
            addresses,
            components: vec![name.to_owned()],
            urgent,
        }),
    };
    if inner.config().short_lived {
        let left = terms.deadline.saturating_duration_since(Instant::now());
        let listed = node
            .list_within(left)
            .await
            .map_err(CallError::into_reason)?;
        let mut deaf = Vec::new();
        for listed in listed {
            let Ok(id) = listed.node.parse::<NodeId>() else {
                continue;
            };
            if matches!(&cast.scope, Scope::Group(group) if !listed.groups.iter().any(|one| **one == **group))
            {
                continue;
            }
            let handler = listed.messages.iter().find(|one| one.name == cast.message);
            match handler.filter(|handler| handler.broadcast) {
                Some(handler) => add(id, listed.endpoints, &listed.name, handler.urgent),
                None => deaf.push((id, listed.name)),
            }
        }
        // A node that is reached names those of its own that ignore it.
        deaf.retain(|(id, _)| !audiences.iter().any(|audience| audience.node == *id));
        report
            .ignored
            .extend(deaf.into_iter().map(|(_, name)| name));
        return Ok(audiences);
    }
    let known: Vec<_> = inner.directory().read(|all| all.all().cloned().collect());
    for located in &known {
        if located.place.id == node.id()
            || matches!(&cast.scope, Scope::Group(group) if !located.is_in(group))
        {
            continue;
        }
        if let Some(handler) = located
            .handler(&cast.message)
            .filter(|handler| handler.broadcast)
        {
            let addresses = located.place.facts.endpoints.clone();
            add(located.place.id, addresses, &located.name, handler.urgent);
        }
    }
    // Who ignores it on a node without any listener is known here alone.
    for located in &known {
        let counted = audiences
            .iter()
            .any(|audience| audience.node == located.place.id);
        let outside = matches!(&cast.scope, Scope::Group(group) if !located.is_in(group));
        if !counted && !outside && located.place.id != node.id() && is_public(&located.name) {
            report.ignored.push(located.name.to_string());
        }
    }
    Ok(audiences)
}

/// One node's part: connect, send, await its report.
async fn reach(
    node: &Node,
    audience: Audience,
    route: Arc<Route>,
    payload: Bytes,
    terms: &Terms,
) -> BroadcastReport {
    let encoding = route.encoding;
    let outcome = node.deadlines().within(terms.deadline, async {
        let (link, denied, ended) = loop {
            let link = match node.inner().links().current(audience.node) {
                Some(link) => link,
                None => {
                    let (here, node, id) = (node.clone(), node.clone(), audience.node);
                    let (addresses, deadline) = (audience.addresses.clone(), terms.deadline);
                    let linked = here.on_thread(move || async move {
                        node.inner().links().connect(id, &addresses, deadline).await
                    });
                    let linked = linked.await.ok_or(Reason::ShuttingDown)?;
                    linked.map_err(|error| not_connected(&error))?
                }
            };
            // As a component that it may not be, a node is sent nothing, and isn't believed.
            let mut denied = Vec::new();
            for name in &audience.components {
                if let Err(reason) = node.inner().as_component(Arc::clone(&link), name) {
                    denied.push((name.clone(), reason));
                }
            }
            if denied.len() == audience.components.len()
                && let Some((_, reason)) = denied.pop()
            {
                return Err(reason);
            }
            let (asker, ended) = oneshot::channel();
            let outgoing = Outgoing {
                route: Arc::clone(&route),
                kind: Kind::Ask,
                deadline: terms.deadline,
                path: None,
                payload: payload.clone(),
            };
            match link.send(outgoing, Ticket::Ask(asker)).await {
                Ok(_) => break (link, denied, ended),
                Err((_, NotSent::TooLarge { max })) => {
                    return Err(Reason::TooLarge {
                        detail: format!("the other side takes {max} bytes at most"),
                        may_have_run: false,
                    });
                }
                Err((_, NotSent::NoCredit)) => return Err(Reason::Full),
                // It hasn't left: it goes over the next one.
                Err((_, NotSent::Closed { .. })) => tokio::task::yield_now().await,
            }
        };
        let bytes = remote_answer(ended.await.ok(), terms.time)?;
        let mut report: BroadcastReport =
            botzilla_wire::encoding::decode(encoding, &bytes, node.limits()).map_err(|error| {
                Reason::unreadable(format!("its report can't be read: {error}"))
            })?;
        report.keep(|name| node.inner().may_be(&link, name));
        for (name, reason) in denied {
            report.settle(name, Err(reason));
        }
        Ok(report)
    });
    match outcome
        .await
        .unwrap_or_else(|_| Err(expired(terms.time, true)))
    {
        Ok(report) => report,
        Err(reason) => BroadcastReport {
            unreached: vec![Unreached {
                node: audience.node.to_string(),
                components: audience.components,
                reason: reason.to_string(),
            }],
            ..BroadcastReport::default()
        },
    }
}

async fn wait(node: &Node, outcome: Sent, terms: &Terms) -> Result<(), Reason> {
    match node.deadlines().within(terms.deadline, outcome).await {
        Ok(outcome) => outcome.map_err(CallError::into_reason),
        Err(_) => Err(expired(terms.time, true)),
    }
}

impl<M: Message> fmt::Debug for Broadcast<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("message", &M::NAME)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
