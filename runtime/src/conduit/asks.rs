//! Asks on their way: at once where that can be, in turn where not.

use std::{
    any::TypeId,
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use botzilla_wire::{Encoding, Failure, Kind, Name};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    Conduit, Held, Place, Raw, Shortage, Typed, class, expired,
    line::{Carried, Turn},
    not_sent, outgoing,
    routes::encode,
    stopped, time_of, too_large, wait_for_seat,
};
use crate::{
    Message, Reason,
    ambient::Ambient,
    asked::Asked,
    call::{Body, Call, EncodedCall, EncodedTo},
    credit::NoCredit,
    hosted::{Hosted, refuse_stopped},
    link::{Ended, Link, NotSent, Outgoing},
    seat::Seat,
    ticket::Ticket,
    wheel::Key,
};

/// An ask that was sent.
pub(crate) enum Asking {
    /// To a component of this node that knows the type: its key there.
    Here(Arc<Hosted>, Key),
    Elsewhere(Reception),
}

/// An ask that was sent by whoever carried it, until its asker takes it: if that one is gone, nobody
/// waits any more.
pub(crate) struct CarriedAsk(Option<Asking>);

impl CarriedAsk {
    pub(crate) fn take(mut self) -> Asking {
        self.0.take().expect("it is taken once, by value")
    }
}

impl Drop for CarriedAsk {
    fn drop(&mut self) {
        if let Some(Asking::Here(hosted, key)) = &self.0 {
            hosted.mailbox.give_up(*key);
        }
    }
}

/// Where the reply to an ask will come from, as bytes.
pub(crate) enum Reception {
    /// From here.
    Bytes(Encoding, oneshot::Receiver<Result<Bytes, Failure>>),
    There(Encoding, Awaited),
}

/// An ask that went over a connection: dropping it says that nobody waits any more.
pub(crate) struct Awaited {
    pub(crate) ended: oneshot::Receiver<Ended>,
    link: Arc<Link>,
    id: u64,
    over: bool,
}

impl Awaited {
    /// Gives it up; false if it certainly didn't run.
    pub(crate) fn cancel(&mut self) -> bool {
        self.over = true;
        self.link.cancel(self.id).is_none()
    }

    pub(crate) fn over(&mut self) {
        self.over = true;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.over {
            drop(self.link.cancel(self.id));
        }
    }
}

impl Conduit {
    /// The short way, which most asks go: from outside of all handlers to the component of this node
    /// that is [`Self::here`] and has credit. Otherwise the message stays where it is.
    #[inline]
    pub(crate) fn ask_at_once<M: Message>(
        &self,
        message: &mut Option<M>,
        time: Duration,
        waker: &Waker,
    ) -> Option<Key> {
        let hosted = self.here()?;
        let route = hosted.route_of_type(TypeId::of::<M>())?;
        let urgent = hosted.routes[route].options.urgent;
        if hosted.is_forgotten() || self.is_line(urgent) || Ambient::is_any() {
            return None;
        }
        let deadline = Instant::now().checked_add(time)?;
        match self.ask_here(hosted, route, message.take()?, deadline, None, waker) {
            Ok(key) => Some(key),
            Err((held, _)) => {
                *message = Some(held);
                None
            }
        }
    }

    #[expect(
        clippy::result_large_err,
        reason = "the message comes back whole: nothing is lost"
    )]
    pub(crate) fn ask_now<M: Message>(
        &self,
        mut typed: Typed<M>,
        waker: &Waker,
    ) -> Result<Asking, Held<Typed<M>>> {
        if let Err(reason) = self.enter_path(M::NAME, &mut typed.terms) {
            return Err(Held::Refused(typed, reason));
        }
        let Some(place) = self.known_place() else {
            return Err(Held::Wait(typed, Shortage::Place));
        };
        match &*place {
            Place::Here(hosted) => {
                let Some(route) = hosted.route_of_type(TypeId::of::<M>()) else {
                    return Err(Held::Wait(typed, Shortage::Place));
                };
                if self.is_line(hosted.routes[route].options.urgent) {
                    return Err(Held::Wait(typed, Shortage::Credit));
                }
                let Typed { message, terms } = typed;
                let (deadline, path) = (terms.deadline, terms.path.clone());
                match self.ask_here(hosted, route, message, deadline, path, waker) {
                    Ok(key) => Ok(Asking::Here(hosted.clone(), key)),
                    Err((message, NoCredit::Full)) => {
                        Err(Held::Wait(Typed { message, terms }, Shortage::Credit))
                    }
                    Err((message, NoCredit::Closed)) => {
                        Err(Held::Refused(Typed { message, terms }, stopped()))
                    }
                }
            }
            Place::There(link, located) => {
                let urgent = place.is_urgent::<M>();
                if self.is_line(urgent) {
                    return Err(Held::Wait(typed, Shortage::Credit));
                }
                let route = self.route::<M>(located.as_deref(), urgent);
                let payload = match encode(&route, &typed.message) {
                    Ok(payload) => payload,
                    Err(reason) => return Err(Held::Refused(typed, reason)),
                };
                let encoding = route.encoding;
                let outgoing = outgoing(route, Kind::Ask, &typed.terms, payload);
                let (asker, ended) = oneshot::channel();
                match link.try_send(&outgoing, Ticket::Ask(asker)) {
                    Ok(id) => {
                        let reception = Reception::There(encoding, awaited(link, id, ended));
                        Ok(Asking::Elsewhere(reception))
                    }
                    Err((_, NotSent::NoCredit)) => Err(Held::Wait(typed, Shortage::Credit)),
                    Err((_, NotSent::Closed { .. })) => Err(Held::Wait(typed, Shortage::Place)),
                    Err((_, NotSent::TooLarge { max })) => {
                        Err(Held::Refused(typed, too_large(outgoing.payload.len(), max)))
                    }
                }
            }
        }
    }

    /// Waits for its turn, a place, a connection and credit.
    pub(crate) fn ask_carried<M: Message>(
        self: &Arc<Self>,
        typed: Typed<M>,
    ) -> Carried<CarriedAsk> {
        let this = self.clone();
        let terms = typed.terms.clone();
        Carried::new(self.node.clone(), &terms, async move {
            let asking = this.ask_in_turn(typed).await?;
            Ok(CarriedAsk(Some(asking)))
        })
    }

    /// The same for a message that is bytes; there is no fast path for it.
    pub(crate) fn ask_raw(self: &Arc<Self>, raw: Raw) -> Carried<Reception> {
        let this = self.clone();
        let terms = raw.terms.clone();
        Carried::new(self.node.clone(), &terms, async move {
            this.ask_raw_in_turn(raw).await
        })
    }

    async fn ask_in_turn<M: Message>(&self, typed: Typed<M>) -> Result<Asking, Reason> {
        let terms = typed.terms.clone();
        let waited = self.node.deadlines().within(terms.deadline, async {
            let Turn {
                mut place,
                urgent,
                _passing,
            } = self.turn(M::NAME, &terms).await?;
            self.check_cycle(M::NAME, &place, &terms)?;
            loop {
                match &place {
                    Place::Here(hosted) => match hosted.route_of_type(TypeId::of::<M>()) {
                        Some(route) => {
                            let seat = wait_for_seat(hosted, route).await?;
                            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
                            let key = self.ask_seated(hosted, seat, typed, waker)?;
                            return Ok(Asking::Here(hosted.clone(), key));
                        }
                        None => {
                            let raw = self.by_bytes(hosted, typed)?;
                            let encoding = raw.encoding;
                            let answer = self.ask_raw_here(hosted, raw).await?;
                            return Ok(Asking::Elsewhere(Reception::Bytes(encoding, answer)));
                        }
                    },
                    Place::There(link, located) => {
                        let route = self.route::<M>(located.as_deref(), urgent);
                        let encoding = route.encoding;
                        let payload = encode(&route, &typed.message)?;
                        let outgoing = outgoing(route, Kind::Ask, &terms, payload);
                        if let Some((id, ended)) = ask_there(link, outgoing).await? {
                            let reception = Reception::There(encoding, awaited(link, id, ended));
                            return Ok(Asking::Elsewhere(reception));
                        }
                        place = self.find_another(&terms).await?;
                    }
                }
            }
        });
        waited
            .await
            .unwrap_or_else(|_| Err(expired(terms.time, false)))
    }

    async fn ask_raw_in_turn(&self, mut raw: Raw) -> Result<Reception, Reason> {
        self.enter_path(&raw.message, &mut raw.terms)?;
        let terms = raw.terms.clone();
        let waited = self.node.deadlines().within(terms.deadline, async {
            let Turn {
                mut place,
                _passing,
                ..
            } = self.turn(&raw.message, &terms).await?;
            self.check_cycle(&raw.message, &place, &terms)?;
            loop {
                match &place {
                    Place::Here(hosted) => {
                        let encoding = raw.encoding;
                        return Ok(Reception::Bytes(
                            encoding,
                            self.ask_raw_here(hosted, raw).await?,
                        ));
                    }
                    Place::There(link, located) => {
                        let route = self.raw_route(located.as_deref(), &raw);
                        let outgoing = outgoing(route, Kind::Ask, &terms, raw.payload.clone());
                        if let Some((id, ended)) = ask_there(link, outgoing).await? {
                            return Ok(Reception::There(raw.encoding, awaited(link, id, ended)));
                        }
                        place = self.find_another(&terms).await?;
                    }
                }
            }
        });
        waited
            .await
            .unwrap_or_else(|_| Err(expired(terms.time, false)))
    }

    /// Into a component's queue if there is credit, at the cost of one lock.
    #[inline]
    fn ask_here<M: Message>(
        &self,
        hosted: &Arc<Hosted>,
        route: usize,
        message: M,
        deadline: Instant,
        path: Option<Arc<[Name]>>,
        waker: &Waker,
    ) -> Result<Key, (M, NoCredit)> {
        let class = class(hosted, route);
        // Made before the lock is taken, and its own again if there is no credit.
        let mut asked = Some(Box::new(Asked::Message(self.head(deadline, path), message)));
        let admitted = hosted.admit(class, deadline, waker.clone(), |key| Call {
            body: Body::Ask(asked.take().expect("it is put together once")),
            seat: Seat::admitted(hosted.clone(), route, class, key),
        });
        admitted.map_err(|why| {
            let taken = asked.and_then(|mut asked| asked.take_message());
            let (_, message) = taken.expect("nobody else has had it");
            (message, why)
        })
    }

    /// The same with credit that was waited for.
    fn ask_seated<M: Message>(
        &self,
        hosted: &Arc<Hosted>,
        seat: Seat,
        typed: Typed<M>,
        waker: Waker,
    ) -> Result<Key, Reason> {
        let Typed { message, terms } = typed;
        let deadline = terms.deadline;
        let asked = Asked::Message(self.head(deadline, terms.path), message);
        let body = Body::Ask(Box::new(asked));
        let pushed = hosted.push_ask(Call { body, seat }, deadline, waker);
        pushed.map_err(|call| {
            refuse_stopped(call, "");
            stopped()
        })
    }

    async fn ask_raw_here(
        &self,
        hosted: &Arc<Hosted>,
        raw: Raw,
    ) -> Result<oneshot::Receiver<Result<Bytes, Failure>>, Reason> {
        let route = hosted
            .route_named(&raw.message)
            .ok_or_else(|| Reason::NoHandler(hosted.handles()))?;
        let seat = wait_for_seat(hosted, route).await?;
        let (asker, answer) = oneshot::channel();
        let body = Body::Encoded(Box::new(EncodedCall {
            head: Some(self.head(raw.terms.deadline, raw.terms.path)),
            encoding: raw.encoding,
            payload: raw.payload,
            to: EncodedTo::Local(asker),
        }));
        (Call { body, seat }).push().map_err(|_| stopped())?;
        Ok(answer)
    }
}

/// None if the connection takes no messages any more: this one hasn't left, and goes where the target
/// is found next.
async fn ask_there(
    link: &Arc<Link>,
    outgoing: Outgoing,
) -> Result<Option<(u64, oneshot::Receiver<Ended>)>, Reason> {
    let (asker, ended) = oneshot::channel();
    let (size, time) = (outgoing.payload.len(), time_of(&outgoing));
    match link.send(outgoing, Ticket::Ask(asker)).await {
        Ok(id) => Ok(Some((id, ended))),
        Err((_, NotSent::Closed { .. })) => Ok(None),
        Err((_, why)) => Err(not_sent(why, size, time)),
    }
}

fn awaited(link: &Arc<Link>, id: u64, ended: oneshot::Receiver<Ended>) -> Awaited {
    Awaited {
        ended,
        link: link.clone(),
        id,
        over: false,
    }
}
