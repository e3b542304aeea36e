//! One message for all who listen: one frame a node, fanned out there, with a report.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::{
    Code, Encoding, Failure, Kind, Name, NodeId,
    route::{Route, Scope},
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::{
    CallError, Message, Node, Reason, Sent,
    ask::remote_answer,
    call::{Body, Call, EncodedTo, Head, Seat, encode_to_send, failure},
    conduit::{Terms, expired},
    credit::{Class, NoCredit},
    directory::messages::REGISTRY,
    hosted::Hosted,
    link::{Inbound, NotSent, Outgoing},
    node::{check_schema, is_public},
    routes::layout_of,
    ticket::{Letter, Tells, Ticket},
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

/// Who got a broadcast, and who didn't.
#[crate::data]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastReport {
    /// Components that have it in their queue, or, if asked, ran it to the end.
    pub delivered: Vec<String>,
    /// Components (of the group) that don't listen to it.
    pub ignored: Vec<String>,
    /// Components that refused it or ended badly.
    pub failed: Vec<BroadcastFailure>,
    /// Nodes that have listeners and didn't answer.
    pub unreached: Vec<Unreached>,
}

/// A component that a broadcast didn't get through to.
#[crate::data]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastFailure {
    /// Its name.
    pub component: String,
    /// The outcome's number; PROTOCOL.md, section 13.
    pub code: u16,
    /// What happened, for a person. (Between nodes, if the types differ: the component's layout.)
    pub reason: String,
}

/// A node that didn't answer.
#[crate::data]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreached {
    /// Its id, 32 hex digits.
    pub node: String,
    /// Its components that listen.
    pub components: Vec<String>,
    /// Why, for a person.
    pub reason: String,
}

impl BroadcastReport {
    /// Whether all who listen got it.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.unreached.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.delivered.extend(other.delivered);
        self.ignored.extend(other.ignored);
        self.failed.extend(other.failed);
        self.unreached.extend(other.unreached);
    }

    /// Where the types differ, the receiver says what its own is.
    fn explain(&mut self, letter: Letter) {
        let differ = |failed: &&mut BroadcastFailure| failed.code == Code::WrongSchema.number();
        for failed in self.failed.iter_mut().filter(differ) {
            let theirs = Reason::WrongSchema(std::mem::take(&mut failed.reason));
            failed.reason = letter.explain(theirs).to_string();
        }
    }

    fn sort(&mut self) {
        self.delivered.sort_unstable();
        self.ignored.sort_unstable();
        self.failed
            .sort_unstable_by(|a, b| a.component.cmp(&b.component));
        self.unreached.sort_unstable_by(|a, b| a.node.cmp(&b.node));
    }
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
    let here = deliver_here(node, node.id(), sender.as_ref(), &cast, terms.deadline);
    let here = async {
        let (mut report, waiting) = here;
        for (name, outcome) in waiting {
            settle(&mut report, name, wait(node, outcome, terms).await);
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
        let link = match node.inner().links().current(audience.node) {
            Some(link) => link,
            None => {
                let (here, node, id) = (node.clone(), node.clone(), audience.node);
                let (addresses, deadline) = (audience.addresses.clone(), terms.deadline);
                let linked = here.on_thread(move || async move {
                    node.inner().links().connect(id, &addresses, deadline).await
                });
                let linked = linked.await.ok_or(Reason::ShuttingDown)?;
                linked.map_err(|error| Reason::NotConnected(error.to_string()))?
            }
        };
        let (asker, ended) = oneshot::channel();
        let outgoing = Outgoing {
            route,
            kind: Kind::Ask,
            deadline: terms.deadline,
            path: None,
            payload,
        };
        match link.send(outgoing, Ticket::Ask(asker)).await {
            Ok(_) => {}
            Err((_, NotSent::TooLarge { max })) => {
                return Err(Reason::TooLarge(format!(
                    "the other side takes {max} bytes at most"
                )));
            }
            Err((_, NotSent::NoCredit)) => return Err(Reason::Full),
            Err((_, NotSent::Closed { why })) => {
                return Err(Reason::Disconnected {
                    why: why.to_string(),
                    may_have_run: false,
                });
            }
        }
        let bytes = remote_answer(ended.await.ok(), terms.time)?;
        botzilla_wire::encoding::decode::<BroadcastReport>(encoding, &bytes, node.limits())
            .map_err(|error| Reason::Codec(format!("its report can't be read: {error}")))
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

/// A broadcast that came in: to all who listen here, then the report back.
pub(crate) fn fan_out(node: &Node, peer: NodeId, inbound: Inbound) {
    let Inbound {
        route,
        deadline,
        mut payload,
        responder,
        ..
    } = inbound;
    let info = &route.info;
    if payload.is_empty() {
        return responder.fail(failure(Code::BadPayload, false, "an empty broadcast"));
    }
    let to_the_end = payload.split_to(1)[0] == 1;
    let cast = Cast {
        scope: info.scope.clone(),
        message: info.message.clone(),
        encoding: info.encoding,
        fingerprint: info.fingerprint,
        payload,
        to_the_end,
    };
    let (mut report, waiting) = deliver_here(node, peer, info.sender.as_ref(), &cast, deadline);
    let encoding = cast.encoding;
    let answer = move |report: &BroadcastReport| match encode_to_send(encoding, report) {
        Ok(bytes) => responder.reply(bytes),
        Err(reason) => responder.fail(failure(Code::Panicked, true, reason.to_string())),
    };
    if waiting.is_empty() {
        return answer(&report);
    }
    let node = node.clone();
    let time = deadline.saturating_duration_since(Instant::now());
    // Bounded by the deadline, and by the credit of who sent it.
    node.clone().spawn_until_stopped(async move {
        // A little earlier than the sender, so that the report still reaches it.
        let margin = (time / 10).min(Duration::from_millis(100));
        for (name, outcome) in waiting {
            let waited = node.deadlines().within(deadline - margin, outcome).await;
            let outcome = match waited {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.into_reason()),
                Err(_) => Err(expired(time, true)),
            };
            settle(&mut report, name, outcome);
        }
        answer(&report);
    });
}

async fn wait(node: &Node, outcome: Sent, terms: &Terms) -> Result<(), Reason> {
    match node.deadlines().within(terms.deadline, outcome).await {
        Ok(outcome) => outcome.map_err(CallError::into_reason),
        Err(_) => Err(expired(terms.time, true)),
    }
}

fn settle(report: &mut BroadcastReport, component: String, outcome: Result<(), Reason>) {
    match outcome {
        Ok(()) => report.delivered.push(component),
        Err(reason) => {
            let (code, reason) = (code_of(&reason).number(), reason.to_string());
            report.failed.push(BroadcastFailure {
                component,
                code,
                reason,
            });
        }
    }
}

/// Into the queues of this node's listeners. Those to wait for come back with their names.
fn deliver_here(
    node: &Node,
    from: NodeId,
    sender: Option<&Name>,
    cast: &Cast,
    deadline: Instant,
) -> (BroadcastReport, Vec<(String, Sent)>) {
    let mut report = BroadcastReport::default();
    let mut waiting = Vec::new();
    for hosted in node.inner().hosted() {
        // The sender gets none.
        if !is_public(&hosted.name)
            || *hosted.name == *REGISTRY
            || (from == node.id() && sender == Some(&hosted.name))
        {
            continue;
        }
        if matches!(&cast.scope, Scope::Group(group) if !hosted.is_in_group(group)) {
            continue;
        }
        match push(&hosted, from, sender, cast, deadline) {
            Ok(None) => report.ignored.push(hosted.name.to_string()),
            Ok(Some(sent)) if cast.to_the_end => waiting.push((hosted.name.to_string(), sent)),
            Ok(Some(_)) => report.delivered.push(hosted.name.to_string()),
            Err(failure) => report.failed.push(BroadcastFailure {
                component: hosted.name.to_string(),
                code: failure.code.number(),
                reason: match failure.code {
                    // Only the sender can say what differs.
                    Code::WrongSchema => failure.detail,
                    _ => Reason::from_failure(failure, Duration::ZERO).to_string(),
                },
            }),
        }
    }
    (report, waiting)
}

/// Into one component's queue; `None` if it doesn't listen.
fn push(
    hosted: &Arc<Hosted>,
    from: NodeId,
    sender: Option<&Name>,
    cast: &Cast,
    deadline: Instant,
) -> Result<Option<Sent>, Failure> {
    let Some(route) = hosted.route_named(&cast.message) else {
        return Ok(None);
    };
    let info = &hosted.routes[route];
    if !info.options.broadcast {
        return Ok(None);
    }
    check_schema(
        hosted,
        route,
        &Route {
            scope: cast.scope.clone(),
            sender: sender.cloned(),
            message: cast.message.clone(),
            encoding: cast.encoding,
            fingerprint: cast.fingerprint,
            urgent: info.options.urgent,
        },
    )?;
    let class = if info.options.urgent {
        Class::Urgent
    } else {
        Class::Broadcast
    };
    hosted
        .mailbox
        .take_credit(class)
        .map_err(|error| match error {
            NoCredit::Full => failure(Code::Overloaded, false, "its queue for broadcasts is full"),
            NoCredit::Closed => failure(Code::Stopped, false, ""),
        })?;
    let time = deadline.saturating_duration_since(Instant::now());
    let (told, sent) = Tells::new(hosted.name.clone()).open(Letter::untyped(info.name), time);
    let call = Call {
        head: Head {
            sender: sender.cloned(),
            sender_node: from,
            deadline,
            path: None,
        },
        body: Body::Encoded {
            encoding: cast.encoding,
            payload: cast.payload.clone(),
            to: EncodedTo::Told(told),
        },
        seat: Seat::new(hosted.clone(), route, Some(class)),
    };
    match call.push() {
        Ok(()) => Ok(Some(sent.on_its_way())),
        Err(call) => {
            crate::hosted::refuse_stopped(call, "");
            Err(failure(Code::Stopped, false, ""))
        }
    }
}

fn code_of(reason: &Reason) -> Code {
    match reason {
        Reason::NoSuchComponent { .. } => Code::NoSuchComponent,
        Reason::NoHandler(_) => Code::NoHandler,
        Reason::WrongSchema(_) => Code::WrongSchema,
        Reason::BadPayload(_) | Reason::Codec(_) => Code::BadPayload,
        Reason::Denied(_) => Code::Denied,
        Reason::TooLarge(_) => Code::TooLarge,
        Reason::Overloaded(_) | Reason::Full => Code::Overloaded,
        Reason::HandlerPanicked(_) => Code::Panicked,
        Reason::Interrupted => Code::Interrupted,
        Reason::NoReply => Code::NoReply,
        Reason::Cancelled { .. } => Code::Cancelled,
        Reason::Expired { .. } => Code::Expired,
        Reason::Cycle(_) => Code::Cycle,
        _ => Code::Stopped,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_the_protocols_example_reads_as_it_says() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let report = BroadcastReport {
            delivered: names(&["drive", "planner"]),
            ignored: names(&["battery"]),
            ..BroadcastReport::default()
        };
        let json = encode_to_send(Encoding::Json, &report).unwrap();
        let hex: String = encode_to_send(Encoding::Bincode, &report)
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let protocol = include_str!("../../PROTOCOL.md");
        assert!(protocol.contains(std::str::from_utf8(&json).unwrap()));
        let packed = protocol.replace([' ', '\n'], "");
        assert!(packed.contains(&hex), "{hex}");
    }
}
