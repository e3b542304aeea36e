//! A broadcast where it arrives: into the queue of each who listens.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use botzilla_wire::{
    Code, Failure, Name,
    route::{Route, Scope},
};

use super::{BroadcastFailure, BroadcastReport, Cast};
use crate::{
    Node, Reason, Sent,
    call::{Body, Call, EncodedCall, EncodedTo, Head, encode_to_send, failure},
    conduit::expired,
    credit::{Class, NoCredit},
    directory::messages::REGISTRY,
    hosted::{Hosted, refuse_stopped},
    link::Inbound,
    node::{check_schema, is_public},
    policy::Origin,
    seat::Seat,
    ticket::{Letter, Tells},
};

/// A broadcast that came in: to all who listen here, then the report back.
pub(crate) fn fan_out(node: &Node, from: &Origin, inbound: Inbound) {
    let Inbound {
        route,
        deadline,
        mut payload,
        responder,
        ..
    } = inbound;
    let info = &route.info;
    if let (Some(guard), Some(key), Some(sender)) = (node.inner().guard(), &from.key, &info.sender)
        && let Err(refusal) = guard.send_as(key, from.node, sender)
    {
        return responder.fail(failure(Code::Denied, false, refusal));
    }
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
    let (mut report, waiting) = deliver_here(node, from, info.sender.as_ref(), &cast, deadline);
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
            report.settle(name, outcome);
        }
        answer(&report);
    });
}

/// Into the queues of this node's listeners. Those to wait for come back with their names.
pub(super) fn deliver_here(
    node: &Node,
    from: &Origin,
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
            || (from.node == node.id() && sender == Some(&hosted.name))
        {
            continue;
        }
        if matches!(&cast.scope, Scope::Group(group) if !hosted.is_in_group(group)) {
            continue;
        }
        match push(node, &hosted, from, sender, cast, deadline) {
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
    node: &Node,
    hosted: &Arc<Hosted>,
    from: &Origin,
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
    // From a component of this node it has no key.
    if let (Some(guard), Some(key)) = (node.inner().guard(), &from.key) {
        guard
            .call(key, &hosted.name, &cast.message)
            .map_err(|refusal| failure(Code::Denied, false, refusal))?;
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
    let head = Head {
        sender: sender.cloned(),
        sender_node: from.node,
        key: from.key.clone(),
        deadline,
        path: None,
    };
    let call = Call {
        body: Body::Encoded(Box::new(EncodedCall {
            head: Some(head),
            encoding: cast.encoding,
            payload: cast.payload.clone(),
            to: EncodedTo::Told(told),
        })),
        seat: Seat::new(hosted.clone(), route, Some(class)),
    };
    match call.push() {
        Ok(()) => Ok(Some(sent.on_its_way())),
        Err(call) => {
            refuse_stopped(call, "");
            Err(failure(Code::Stopped, false, ""))
        }
    }
}
