//! Tells on their way: at once where that can be, in turn where not.

use std::{any::TypeId, sync::Arc};

use botzilla_wire::Kind;

use super::{
    Conduit, Held, Place, Raw, Shortage, Typed, expired,
    line::{Carried, Turn},
    not_sent, outgoing,
    routes::encode,
    seat, stopped, time_of, too_large, wait_for_seat,
};
use crate::{
    Message, Reason,
    call::{Body, Call, EncodedCall, EncodedTo, Telling},
    credit::NoCredit,
    hosted::Hosted,
    link::{Link, NotSent, Outgoing},
    seat::Seat,
    ticket::{Letter, Sent, Ticket, Told},
};

impl Conduit {
    #[expect(
        clippy::result_large_err,
        reason = "the message comes back whole: nothing is lost"
    )]
    pub(crate) fn tell_now<M: Message>(&self, typed: Typed<M>) -> Result<Sent, Held<Typed<M>>> {
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
                let seat = match seat(hosted, route) {
                    Ok(seat) => seat,
                    Err(NoCredit::Full) => return Err(Held::Wait(typed, Shortage::Credit)),
                    Err(NoCredit::Closed) => return Err(Held::Refused(typed, stopped())),
                };
                self.tell_typed(seat, typed)
                    .map_err(|typed| Held::Refused(typed, stopped()))
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
                let outgoing = outgoing(route, Kind::Tell, &typed.terms, payload);
                let (told, sent) = self.tells.open(Letter::of::<M>(), typed.terms.time);
                match link.try_send(&outgoing, Ticket::Tell(told)) {
                    Ok(_) => Ok(sent.on_its_way()),
                    Err((ticket, why)) => {
                        unsent(ticket);
                        Err(match why {
                            NotSent::NoCredit => Held::Wait(typed, Shortage::Credit),
                            NotSent::Closed { .. } => Held::Wait(typed, Shortage::Place),
                            NotSent::TooLarge { max } => {
                                Held::Refused(typed, too_large(outgoing.payload.len(), max))
                            }
                        })
                    }
                }
            }
        }
    }

    /// Waits for its turn, a place, a connection and credit.
    pub(crate) fn tell_carried<M: Message>(self: &Arc<Self>, typed: Typed<M>) -> Carried<Sent> {
        let this = self.clone();
        let terms = typed.terms.clone();
        Carried::new(self.node.clone(), &terms, async move {
            this.tell_in_turn(typed).await
        })
    }

    /// The same for a message that is bytes; there is no fast path for it.
    pub(crate) fn tell_raw(self: &Arc<Self>, raw: Raw) -> Carried<Sent> {
        let this = self.clone();
        let terms = raw.terms.clone();
        Carried::new(self.node.clone(), &terms, async move {
            this.tell_raw_in_turn(raw).await
        })
    }

    async fn tell_in_turn<M: Message>(&self, typed: Typed<M>) -> Result<Sent, Reason> {
        let terms = typed.terms.clone();
        let waited = self.node.deadlines().within(terms.deadline, async {
            let Turn {
                mut place,
                urgent,
                _passing,
            } = self.turn(M::NAME, &terms).await?;
            loop {
                match &place {
                    Place::Here(hosted) => match hosted.route_of_type(TypeId::of::<M>()) {
                        Some(route) => {
                            let seat = wait_for_seat(hosted, route).await?;
                            return self.tell_typed(seat, typed).map_err(|_| stopped());
                        }
                        None => {
                            let raw = self.by_bytes(hosted, typed)?;
                            return self.tell_raw_here(hosted, raw, Letter::of::<M>()).await;
                        }
                    },
                    Place::There(link, located) => {
                        let route = self.route::<M>(located.as_deref(), urgent);
                        let payload = encode(&route, &typed.message)?;
                        let outgoing = outgoing(route, Kind::Tell, &terms, payload);
                        if let Some(sent) =
                            self.tell_there(link, outgoing, Letter::of::<M>()).await?
                        {
                            return Ok(sent);
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

    async fn tell_raw_in_turn(&self, raw: Raw) -> Result<Sent, Reason> {
        const AS_JSON: Letter = Letter::untyped("a message as JSON");
        let terms = raw.terms.clone();
        let waited = self.node.deadlines().within(terms.deadline, async {
            let Turn {
                mut place,
                _passing,
                ..
            } = self.turn(&raw.message, &terms).await?;
            loop {
                match &place {
                    Place::Here(hosted) => return self.tell_raw_here(hosted, raw, AS_JSON).await,
                    Place::There(link, located) => {
                        let route = self.raw_route(located.as_deref(), &raw);
                        let payload = raw.payload.clone();
                        let outgoing = outgoing(route, Kind::Tell, &terms, payload);
                        if let Some(sent) = self.tell_there(link, outgoing, AS_JSON).await? {
                            return Ok(sent);
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

    fn tell_typed<M: Message>(&self, seat: Seat, typed: Typed<M>) -> Result<Sent, Typed<M>> {
        let (told, sent) = self.tells.open(Letter::of::<M>(), typed.terms.time);
        let Typed { message, terms } = typed;
        let telling = Telling {
            head: self.head(terms.deadline, terms.path.clone()),
            message,
            told,
        };
        let body = Body::Tell(Box::new(telling));
        match (Call { body, seat }).push() {
            Ok(()) => Ok(sent.on_its_way()),
            Err(call) => Err(Typed {
                message: call.take_back(),
                terms,
            }),
        }
    }

    async fn tell_raw_here(
        &self,
        hosted: &Arc<Hosted>,
        raw: Raw,
        letter: Letter,
    ) -> Result<Sent, Reason> {
        let route = hosted
            .route_named(&raw.message)
            .ok_or_else(|| Reason::NoHandler(hosted.handles()))?;
        let seat = wait_for_seat(hosted, route).await?;
        let (told, sent) = self.tells.open(letter, raw.terms.time);
        let body = Body::Encoded(Box::new(EncodedCall {
            head: Some(self.head(raw.terms.deadline, raw.terms.path)),
            encoding: raw.encoding,
            payload: raw.payload,
            to: EncodedTo::Told(told),
        }));
        (Call { body, seat }).push().map_err(|_| stopped())?;
        Ok(sent.on_its_way())
    }

    /// None if the connection takes no messages any more: this one hasn't left.
    async fn tell_there(
        &self,
        link: &Arc<Link>,
        outgoing: Outgoing,
        letter: Letter,
    ) -> Result<Option<Sent>, Reason> {
        let time = time_of(&outgoing);
        let (told, sent) = self.tells.open(letter, time);
        let size = outgoing.payload.len();
        match link.send(outgoing, Ticket::Tell(told)).await {
            Ok(_) => Ok(Some(sent.on_its_way())),
            Err((ticket, why)) => {
                unsent(ticket);
                match why {
                    NotSent::Closed { .. } => Ok(None),
                    why => Err(not_sent(why, size, time)),
                }
            }
        }
    }
}

fn unsent(ticket: Ticket) {
    if let Ticket::Tell(told) = ticket {
        Told::unsent(told);
    }
}
