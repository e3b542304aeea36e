//! One message on its way into a component, and the way back for its outcome.

use std::{any::Any, fmt, mem, panic::AssertUnwindSafe, sync::Arc, task, time::Instant};

use botzilla_wire::{Code, Encoding, Failure, Kind, Limits, Name, NodeId, encoding};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{
    Data, Message, Reason,
    asked::{Answering, Asked},
    contain::{self, Panicked},
    link::Responder,
    open::Parcel,
    routes::RouteInfo,
    seat::{Seat, Settled},
    ticket::Told,
};

/// A message in a component's mailbox. Small, since it is moved about: what is large is in its body.
pub(crate) struct Call {
    pub(crate) body: Body,
    pub(crate) seat: Seat,
}

/// What a handler may know about who sent it and how long there is.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) sender: Option<Name>,
    pub(crate) sender_node: NodeId,
    /// The key id of the connection that it came by, where there is a policy.
    pub(crate) key: Option<Arc<str>>,
    pub(crate) deadline: Instant,
    /// The components that wait for this message to be answered.
    pub(crate) path: Option<Arc<[Name]>>,
}

pub(crate) enum Body {
    /// An `Asked<M>`: nothing was serialized.
    Ask(Box<dyn AskEnvelope>),
    /// A `Telling<M>`.
    Tell(Box<dyn TellEnvelope>),
    Encoded(Box<EncodedCall>),
}

/// A message as bytes, and where its outcome goes.
pub(crate) struct EncodedCall {
    /// Until it is opened.
    pub(crate) head: Option<Head>,
    pub(crate) encoding: Encoding,
    pub(crate) payload: Bytes,
    pub(crate) to: EncodedTo,
}

/// An ask whose type is known only to its sender and to the route it was sent to.
pub(crate) trait AskEnvelope: Send {
    fn into_any(self: Box<Self>) -> Parcel;
    fn refuse(self: Box<Self>, failure: Failure, seat: &mut Seat);
}

impl<M: Message> AskEnvelope for Asked<M> {
    fn into_any(self: Box<Self>) -> Parcel {
        self
    }

    fn refuse(mut self: Box<Self>, failure: Failure, seat: &mut Seat) {
        let message = self.take_message();
        let how = Settled::by(&failure);
        seat.answer(how, Some(self.answer(Err(failure))));
        contain::drop_value(message);
    }
}

/// A tell that wasn't serialized.
pub(crate) struct Telling<M> {
    pub(crate) head: Head,
    pub(crate) message: M,
    pub(crate) told: Told,
}

/// A tell whose type is known only to its sender and to the route it was sent to.
pub(crate) trait TellEnvelope: Send {
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
    fn refuse(self: Box<Self>, failure: Failure);
    fn deadline(&self) -> Instant;
}

impl<M: Message> TellEnvelope for Telling<M> {
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }

    fn refuse(self: Box<Self>, failure: Failure) {
        self.told.failed(failure);
        contain::drop_value(self.message);
    }

    fn deadline(&self) -> Instant {
        self.head.deadline
    }
}

/// Where the outcome of an encoded message goes.
pub(crate) enum EncodedTo {
    Remote(Responder, Kind),
    Local(oneshot::Sender<Result<Bytes, Failure>>),
    Told(Told),
}

impl EncodedTo {
    fn is_cancelled(&self) -> bool {
        match self {
            Self::Remote(responder, _) => responder.is_cancelled(),
            Self::Local(asker) => asker.is_closed(),
            Self::Told(_) => false,
        }
    }
}

impl Call {
    /// Puts it in its component's queue, or gives it back when the component has stopped.
    pub(crate) fn push(self) -> Result<(), Self> {
        let hosted = self.seat.hosted().clone();
        hosted.mailbox.push(self)
    }

    /// What is known of its handler.
    #[inline]
    pub(crate) fn info(&self) -> &RouteInfo {
        self.seat.info()
    }

    /// Whether its handler runs beside the others.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.info().concurrent
    }

    /// The place of its handler among the component's routes.
    #[inline]
    pub(crate) fn route(&self) -> usize {
        self.seat.route()
    }

    /// The typed message and the way back, or `None` after the sender was told why not.
    #[inline]
    pub(crate) fn open<M: Message>(self, limits: &Limits) -> Option<(M, Head, ReplyTo<M::Reply>)> {
        let Self { body, mut seat } = self;
        match body {
            Body::Ask(asked) => {
                let mut asked = asked
                    .into_any()
                    .downcast::<Asked<M>>()
                    .expect("the sender looked the route up by this type");
                if !seat.begin() {
                    // At this very moment, or it would have been seen before.
                    asked.refuse(in_vain(&seat), &mut seat);
                    return None;
                }
                let taken = asked.take_message();
                let (head, message) = taken.expect("it is taken out here alone, by value");
                seat.is_taken();
                Some((
                    message,
                    head,
                    ReplyTo {
                        to: To::Asked(asked),
                        seat,
                    },
                ))
            }
            Body::Tell(telling) => {
                let telling = telling
                    .into_any()
                    .downcast::<Telling<M>>()
                    .expect("the sender looked the route up by this type");
                let Telling {
                    head,
                    message,
                    told,
                } = *telling;
                seat.is_taken();
                Some((
                    message,
                    head,
                    ReplyTo {
                        to: To::Told(told),
                        seat,
                    },
                ))
            }
            Body::Encoded(mut call) => {
                let encoding = call.encoding;
                let head = call.head.take();
                let head = head.expect("it is opened once, by value");
                let payload = mem::take(&mut call.payload);
                let reply = ReplyTo {
                    to: To::Encoded(call),
                    seat,
                };
                let decoded = contain::catch(|| encoding::decode::<M>(encoding, &payload, limits));
                drop(payload);
                match decoded {
                    Ok(Ok(message)) => {
                        reply.seat.is_taken();
                        Some((message, head, reply))
                    }
                    Ok(Err(error)) => {
                        reply.fail(failure(Code::BadPayload, false, error.to_string()));
                        None
                    }
                    Err(panicked) => {
                        reply.fail(failure(
                            Code::BadPayload,
                            false,
                            format!("its decoder panicked: {panicked}"),
                        ));
                        None
                    }
                }
            }
        }
    }

    /// A told message whose component had stopped, back to its sender: it was never sent.
    pub(crate) fn take_back<M: Message>(mut self) -> M {
        self.seat.settle(Settled::Refused);
        let Body::Tell(telling) = self.body else {
            unreachable!("only who tells a typed message takes it back")
        };
        let telling = telling
            .into_any()
            .downcast::<Telling<M>>()
            .expect("who takes it back made it, of this type");
        telling.told.unsent();
        telling.message
    }

    /// Whether its sender went away before it began, or won't take what comes of it any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        match &self.body {
            Body::Ask(_) => self.seat.is_in_vain(),
            Body::Encoded(call) => call.to.is_cancelled(),
            Body::Tell(_) => false,
        }
    }

    /// Ends it without running its handler, since it is cancelled.
    pub(crate) fn refuse_in_vain(self) {
        let why = in_vain(&self.seat);
        self.refuse(why);
    }

    /// Until when it may begin. A typed ask has its own alarm: when that rang, it is cancelled.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.body {
            Body::Ask(_) => None,
            Body::Tell(telling) => Some(telling.deadline()),
            Body::Encoded(call) => call.head.as_ref().map(|head| head.deadline),
        }
    }

    /// Ends it without running its handler.
    pub(crate) fn refuse(mut self, failure: Failure) {
        match self.body {
            Body::Ask(asked) => asked.refuse(failure, &mut self.seat),
            Body::Tell(telling) => {
                self.seat.settle(Settled::by(&failure));
                telling.refuse(failure);
            }
            Body::Encoded(call) => {
                ReplyTo::<()> {
                    to: To::Encoded(call),
                    seat: self.seat,
                }
                .fail(failure);
            }
        }
    }
}

pub(crate) fn failure(code: Code, may_have_run: bool, detail: impl Into<String>) -> Failure {
    Failure {
        code,
        may_have_run,
        detail: detail.into(),
    }
}

/// What becomes of a message that its sender doesn't wait for any more when its turn comes.
fn in_vain(seat: &Seat) -> Failure {
    if seat.is_expired() {
        return expired();
    }
    failure(
        Code::Cancelled,
        false,
        "its caller went away before it began",
    )
}

/// What becomes of a message whose time is over when its turn comes.
pub(crate) fn expired() -> Failure {
    failure(Code::Expired, false, "its deadline passed in the queue")
}

/// Answers one message, once. Dropped unanswered, it says that the component stopped.
pub(crate) struct ReplyTo<R> {
    to: To<R>,
    seat: Seat,
}

enum To<R> {
    Asked(Box<dyn Answering<R>>),
    Told(Told),
    Encoded(Box<EncodedCall>),
    Over,
}

impl<R> ReplyTo<R> {
    pub(crate) fn fail(mut self, failure: Failure) {
        self.fail_in_place(failure);
    }

    fn fail_in_place(&mut self, failure: Failure) {
        let how = Settled::by(&failure);
        match mem::replace(&mut self.to, To::Over) {
            To::Asked(asked) => self.seat.answer(how, Some(asked.answer(Err(failure)))),
            To::Told(told) => {
                self.seat.settle(how);
                told.failed(failure);
            }
            To::Encoded(call) => {
                self.seat.settle(how);
                match call.to {
                    EncodedTo::Told(told) => told.failed(failure),
                    EncodedTo::Remote(responder, _) => responder.fail(failure),
                    EncodedTo::Local(asker) => drop(asker.send(Err(failure))),
                }
            }
            To::Over => {}
        }
    }

    pub(crate) fn no_reply(self) {
        self.fail(failure(Code::NoReply, true, ""));
    }

    pub(crate) fn panicked(self, panicked: &Panicked) {
        let text = contain::shorten(panicked.to_string(), self.seat.hosted().panic_text);
        self.fail(failure(Code::Panicked, true, text));
    }

    /// Whether the sender went away.
    pub(crate) fn is_cancelled(&self) -> bool {
        match &self.to {
            To::Asked(_) => self.seat.is_gone(),
            To::Encoded(call) => call.to.is_cancelled(),
            To::Told(_) => false,
            To::Over => true,
        }
    }

    /// Ready when the sender went away.
    pub(crate) fn poll_cancelled(&mut self, cx: &mut task::Context<'_>) -> task::Poll<()> {
        match &mut self.to {
            To::Asked(_) => self.seat.poll_gone(cx.waker()),
            To::Encoded(call) => match &mut call.to {
                EncodedTo::Local(asker) => asker.poll_closed(cx),
                EncodedTo::Remote(responder, _) => responder.poll_cancelled(cx),
                EncodedTo::Told(_) => task::Poll::Pending,
            },
            To::Told(_) => task::Poll::Pending,
            To::Over => task::Poll::Ready(()),
        }
    }
}

impl<R: Data> ReplyTo<R> {
    pub(crate) fn reply(mut self, reply: R) {
        match mem::replace(&mut self.to, To::Over) {
            To::Asked(asked) => {
                let outcome = asked.answer(Ok(reply));
                self.seat.answer(Settled::Delivered, Some(outcome));
            }
            To::Told(told) => {
                contain::drop_value(reply);
                self.seat.settle(Settled::Delivered);
                told.delivered();
            }
            To::Encoded(call) => self.reply_encoded(*call, reply),
            To::Over => {}
        }
    }

    fn reply_encoded(&mut self, call: EncodedCall, reply: R) {
        match call.to {
            EncodedTo::Told(told) => {
                contain::drop_value(reply);
                self.seat.settle(Settled::Delivered);
                told.delivered();
            }
            EncodedTo::Remote(responder, Kind::Tell) => {
                contain::drop_value(reply);
                self.seat.settle(Settled::Delivered);
                responder.delivered();
            }
            EncodedTo::Remote(responder, Kind::Ask) => match encode(call.encoding, reply) {
                Ok(bytes) => {
                    self.seat.settle(Settled::Delivered);
                    responder.reply(bytes);
                }
                Err(failure) => {
                    self.seat.settle(Settled::Failed);
                    responder.fail(failure);
                }
            },
            EncodedTo::Local(asker) => {
                let encoded = encode(call.encoding, reply);
                self.seat.settle(if encoded.is_ok() {
                    Settled::Delivered
                } else {
                    Settled::Failed
                });
                drop(asker.send(encoded));
            }
        }
    }
}

impl<R> Drop for ReplyTo<R> {
    fn drop(&mut self) {
        if !matches!(self.to, To::Over) {
            self.fail_in_place(failure(Code::Stopped, true, ""));
        }
    }
}

/// Encodes a reply; a type whose `Serialize` fails or panics is the handler's failure.
fn encode<R: Data>(encoding: Encoding, reply: R) -> Result<Bytes, Failure> {
    let encoded = contain::catch(AssertUnwindSafe(|| {
        let bytes = encode_to_bytes(encoding, &reply);
        drop(reply);
        bytes
    }));
    match encoded {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(failure(
            Code::Panicked,
            true,
            format!("its reply can't be encoded: {error}"),
        )),
        Err(panicked) => Err(failure(Code::Panicked, true, panicked.to_string())),
    }
}

fn encode_to_bytes<T: serde::Serialize>(
    encoding: Encoding,
    value: &T,
) -> Result<Bytes, encoding::EncodeError> {
    let mut bytes = Vec::with_capacity(64);
    encoding::encode(encoding, value, &mut bytes)?;
    Ok(bytes.into())
}

fn unsent(detail: String) -> Reason {
    Reason::Codec {
        detail,
        may_have_run: false,
    }
}

/// Encodes what is about to be sent; if it can't be, or panics, that is the sender's to know.
pub(crate) fn encode_to_send<T: serde::Serialize>(
    encoding: Encoding,
    value: &T,
) -> Result<Bytes, Reason> {
    match contain::catch(|| encode_to_bytes(encoding, value)) {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(unsent(format!("it can't be encoded: {error}"))),
        Err(panicked) => Err(unsent(format!("its encoder panicked: {panicked}"))),
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("message", &self.info().name)
            .finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for ReplyTo<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyTo")
    }
}
