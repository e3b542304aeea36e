//! From one sender to one target: in order, with credit, wherever the target is.
//!
//! The fast path takes no allocation beyond the call itself and waits for nothing; whatever can't
//! go at once (no place known, no connection, no credit) goes the slow path, in turn.

use std::{
    any::TypeId,
    borrow::Cow,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use botzilla_wire::{
    Encoding, Failure, Kind, Name, NodeId,
    route::{Route, Scope},
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    Message, Node, Reason,
    ambient::Ambient,
    asked::Asked,
    call::{Body, Call, EncodedTo, Head, Seat, Telling, encode_to_send},
    credit::{Class, NoCredit},
    directory::Located,
    hosted::{Hosted, refuse_stopped},
    link::{Ended, Link, NotSent, Outgoing},
    routes::layout_of,
    ticket::{Letter, Sent, Tells, Ticket, Told},
};

/// The way from one sender to one target.
pub(crate) struct Conduit {
    pub(crate) node: Node,
    pub(crate) target: Name,
    pub(crate) sender: Option<Name>,
    pub(crate) tells: Tells,
    /// Whoever must wait goes through one, so that nobody overtakes: ordinary and urgent messages.
    turnstiles: [Turnstile; 2],
    place: Mutex<Option<(u64, Place)>>,
    /// The first place, if that was here: until its name is another's it needs no lock.
    here: OnceLock<Place>,
    routes: Mutex<Vec<(RouteKey, Arc<Route>)>>,
}

/// A line of senders who must wait. As long as nobody does, passing by costs one load.
#[derive(Debug, Default)]
struct Turnstile {
    line: AtomicUsize,
    turn: tokio::sync::Mutex<()>,
}

impl Turnstile {
    fn is_busy(&self) -> bool {
        self.line.load(Ordering::Acquire) > 0
    }

    /// Stands in line from the first poll until the guard is dropped.
    async fn pass(&self) -> Passing<'_> {
        let place = InLine::new(&self.line);
        let turn = self.turn.lock().await;
        Passing {
            _turn: turn,
            _place: place,
        }
    }
}

struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn new(line: &'a AtomicUsize) -> Self {
        line.fetch_add(1, Ordering::AcqRel);
        Self(line)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A message whose turn it is.
struct Turn<'a> {
    place: Place,
    urgent: bool,
    _passing: Passing<'a>,
}

struct Passing<'a> {
    _turn: tokio::sync::MutexGuard<'a, ()>,
    _place: InLine<'a>,
}

/// Where the target is now.
#[derive(Clone)]
pub(crate) enum Place {
    Here(Arc<Hosted>),
    There(Arc<Link>, Option<Arc<Located>>),
}

#[derive(Clone, PartialEq, Eq)]
enum RouteKey {
    /// Of this type, urgent, as JSON.
    Typed(TypeId, bool, bool),
    Named(String, Encoding, bool),
}

/// A message of a type known here.
pub(crate) struct Typed<M> {
    pub(crate) message: M,
    pub(crate) terms: Terms,
}

/// A message that is bytes already.
pub(crate) struct Raw {
    pub(crate) message: String,
    pub(crate) encoding: Encoding,
    pub(crate) payload: Bytes,
    pub(crate) terms: Terms,
}

/// What a message is sent under.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) deadline: Instant,
    pub(crate) time: Duration,
    pub(crate) path: Option<Arc<[Name]>>,
    ambient: Option<Ambient>,
}

const AS_LONG_AS_CAN_BE: Duration = Duration::from_secs(60 * 60 * 24 * 365);

impl Terms {
    /// What holds for a message that is sent now, within a handler or not.
    pub(crate) fn now(time: Duration) -> Self {
        let now = Instant::now();
        // A time too long for the clock means: for as long as can be.
        let time = if now.checked_add(time).is_some() {
            time
        } else {
            AS_LONG_AS_CAN_BE
        };
        let deadline = now + time;
        match Ambient::current() {
            Some(ambient) if ambient.deadline < deadline => Self {
                deadline: ambient.deadline,
                time: ambient.deadline.saturating_duration_since(now),
                path: None,
                ambient: Some(ambient),
            },
            ambient => Self {
                deadline,
                time,
                path: None,
                ambient,
            },
        }
    }
}

/// An ask that was sent.
pub(crate) enum Asking<M: Message> {
    /// To a component of this node that knows the type.
    Here(Arc<Asked<M>>),
    Elsewhere(Reception),
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

/// What the fast path couldn't do.
pub(crate) enum Held<T> {
    /// It must wait: the message comes back.
    Wait(T, Shortage),
    /// It never will: the message comes back with the reason.
    Refused(T, Reason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    Credit,
    Place,
}

impl Conduit {
    pub(crate) fn new(node: Node, target: Name, sender: Option<Name>) -> Arc<Self> {
        Arc::new(Self {
            node,
            tells: Tells::new(target.clone()),
            target,
            sender,
            turnstiles: Default::default(),
            place: Mutex::new(None),
            here: OnceLock::new(),
            routes: Mutex::default(),
        })
    }

    // ---- asks -------------------------------------------------------------------------------

    #[expect(
        clippy::result_large_err,
        reason = "the message comes back whole: nothing is lost"
    )]
    pub(crate) fn ask_now<M: Message>(
        &self,
        mut typed: Typed<M>,
        waker: &Waker,
    ) -> Result<Asking<M>, Held<Typed<M>>> {
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
                self.ask_here(hosted, route, typed, waker).map(Asking::Here)
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
    pub(crate) async fn ask_in_turn<M: Message>(
        &self,
        typed: Typed<M>,
    ) -> Result<Asking<M>, Reason> {
        let terms = typed.terms.clone();
        let waited = self.node.deadlines().within(terms.deadline, async {
            let Turn {
                place,
                urgent,
                _passing,
            } = self.turn(M::NAME, &terms).await?;
            self.check_cycle(M::NAME, &place, &terms)?;
            match &place {
                Place::Here(hosted) => match hosted.route_of_type(TypeId::of::<M>()) {
                    Some(route) => {
                        let seat = wait_for_seat(hosted, route).await?;
                        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
                        self.ask_seated(hosted, seat, typed, waker)
                            .map(Asking::Here)
                    }
                    None => {
                        let raw = self.by_bytes(hosted, typed)?;
                        let encoding = raw.encoding;
                        let answer = self.ask_raw_here(hosted, raw).await?;
                        Ok(Asking::Elsewhere(Reception::Bytes(encoding, answer)))
                    }
                },
                Place::There(link, located) => {
                    let route = self.route::<M>(located.as_deref(), urgent);
                    let encoding = route.encoding;
                    let payload = encode(&route, &typed.message)?;
                    let outgoing = outgoing(route, Kind::Ask, &terms, payload);
                    let (id, ended) = ask_there(link, outgoing).await?;
                    let reception = Reception::There(encoding, awaited(link, id, ended));
                    Ok(Asking::Elsewhere(reception))
                }
            }
        });
        waited
            .await
            .unwrap_or_else(|_| Err(expired(terms.time, false)))
    }

    /// The same for a message that is bytes; there is no fast path for it.
    pub(crate) async fn ask_raw(&self, mut raw: Raw) -> Result<Reception, Reason> {
        self.enter_path(&raw.message, &mut raw.terms)?;
        let terms = raw.terms.clone();
        let waited = self.node.deadlines().within(terms.deadline, async {
            let Turn {
                place, _passing, ..
            } = self.turn(&raw.message, &terms).await?;
            self.check_cycle(&raw.message, &place, &terms)?;
            match &place {
                Place::Here(hosted) => {
                    let encoding = raw.encoding;
                    Ok(Reception::Bytes(
                        encoding,
                        self.ask_raw_here(hosted, raw).await?,
                    ))
                }
                Place::There(link, located) => {
                    let route = self.raw_route(located.as_deref(), &raw);
                    let outgoing = outgoing(route, Kind::Ask, &terms, raw.payload);
                    let (id, ended) = ask_there(link, outgoing).await?;
                    Ok(Reception::There(raw.encoding, awaited(link, id, ended)))
                }
            }
        });
        waited
            .await
            .unwrap_or_else(|_| Err(expired(terms.time, false)))
    }

    /// Into a component's queue if there is credit, at the cost of one lock.
    #[expect(
        clippy::result_large_err,
        reason = "the message comes back whole: nothing is lost"
    )]
    fn ask_here<M: Message>(
        &self,
        hosted: &Arc<Hosted>,
        route: usize,
        typed: Typed<M>,
        waker: &Waker,
    ) -> Result<Arc<Asked<M>>, Held<Typed<M>>> {
        let Typed { message, terms } = typed;
        let alarm = hosted.deadlines.put(terms.deadline, waker.clone());
        let asked = Asked::new(message, alarm);
        let seat = Seat::applying(hosted.clone(), route);
        let call = Call {
            head: self.head(&terms),
            body: Body::Ask(asked.clone()),
            seat,
        };
        match hosted.mailbox.admit(call) {
            Ok(()) => Ok(asked),
            Err(why) => {
                let typed = Typed {
                    message: asked.take_back(&hosted.deadlines),
                    terms,
                };
                Err(match why {
                    NoCredit::Full => Held::Wait(typed, Shortage::Credit),
                    NoCredit::Closed => Held::Refused(typed, stopped()),
                })
            }
        }
    }

    /// The same with credit that was waited for.
    fn ask_seated<M: Message>(
        &self,
        hosted: &Arc<Hosted>,
        seat: Seat,
        typed: Typed<M>,
        waker: Waker,
    ) -> Result<Arc<Asked<M>>, Reason> {
        let alarm = hosted.deadlines.put(typed.terms.deadline, waker);
        let asked = Asked::new(typed.message, alarm);
        self.push(seat, Body::Ask(asked.clone()), &typed.terms)
            .map_err(|call| {
                // Taken out of the wheel as well, by its end.
                refuse_stopped(call, "");
                stopped()
            })?;
        Ok(asked)
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
        let body = Body::Encoded {
            encoding: raw.encoding,
            payload: raw.payload,
            to: EncodedTo::Local(asker),
        };
        self.push(seat, body, &raw.terms).map_err(|_| stopped())?;
        Ok(answer)
    }

    // ---- tells ------------------------------------------------------------------------------

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

    pub(crate) async fn tell_in_turn<M: Message>(&self, typed: Typed<M>) -> Result<Sent, Reason> {
        let terms = typed.terms.clone();
        let waited = self.node.deadlines().within(terms.deadline, async {
            let Turn {
                place,
                urgent,
                _passing,
            } = self.turn(M::NAME, &terms).await?;
            match &place {
                Place::Here(hosted) => match hosted.route_of_type(TypeId::of::<M>()) {
                    Some(route) => {
                        let seat = wait_for_seat(hosted, route).await?;
                        self.tell_typed(seat, typed).map_err(|_| stopped())
                    }
                    None => {
                        let raw = self.by_bytes(hosted, typed)?;
                        self.tell_raw_here(hosted, raw, Letter::of::<M>()).await
                    }
                },
                Place::There(link, located) => {
                    let route = self.route::<M>(located.as_deref(), urgent);
                    let payload = encode(&route, &typed.message)?;
                    let outgoing = outgoing(route, Kind::Tell, &terms, payload);
                    self.tell_there(link, outgoing, Letter::of::<M>()).await
                }
            }
        });
        waited
            .await
            .unwrap_or_else(|_| Err(expired(terms.time, false)))
    }

    pub(crate) async fn tell_raw(&self, raw: Raw) -> Result<Sent, Reason> {
        const AS_JSON: Letter = Letter::untyped("a message as JSON");
        let terms = raw.terms.clone();
        let waited = self.node.deadlines().within(terms.deadline, async {
            let Turn {
                place, _passing, ..
            } = self.turn(&raw.message, &terms).await?;
            match &place {
                Place::Here(hosted) => self.tell_raw_here(hosted, raw, AS_JSON).await,
                Place::There(link, located) => {
                    let route = self.raw_route(located.as_deref(), &raw);
                    let outgoing = outgoing(route, Kind::Tell, &terms, raw.payload);
                    self.tell_there(link, outgoing, AS_JSON).await
                }
            }
        });
        waited
            .await
            .unwrap_or_else(|_| Err(expired(terms.time, false)))
    }

    fn tell_typed<M: Message>(&self, seat: Seat, typed: Typed<M>) -> Result<Sent, Typed<M>> {
        let (told, sent) = self.tells.open(Letter::of::<M>(), typed.terms.time);
        let telling = Telling {
            message: typed.message,
            told,
        };
        match self.push(seat, Body::Tell(Box::new(telling)), &typed.terms) {
            Ok(()) => Ok(sent.on_its_way()),
            Err(call) => Err(Typed {
                message: call.take_back(),
                terms: typed.terms,
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
        let body = Body::Encoded {
            encoding: raw.encoding,
            payload: raw.payload,
            to: EncodedTo::Told(told),
        };
        self.push(seat, body, &raw.terms).map_err(|_| stopped())?;
        Ok(sent.on_its_way())
    }

    async fn tell_there(
        &self,
        link: &Arc<Link>,
        outgoing: Outgoing,
        letter: Letter,
    ) -> Result<Sent, Reason> {
        let time = time_of(&outgoing);
        let (told, sent) = self.tells.open(letter, time);
        let size = outgoing.payload.len();
        match link.send(outgoing, Ticket::Tell(told)).await {
            Ok(_) => Ok(sent.on_its_way()),
            Err((ticket, why)) => {
                unsent(ticket);
                Err(not_sent(why, size, time))
            }
        }
    }

    // ---- common -----------------------------------------------------------------------------

    /// Puts a call into a component of this node.
    #[expect(clippy::result_large_err, reason = "the call comes back whole")]
    fn push(&self, seat: Seat, body: Body, terms: &Terms) -> Result<(), Call> {
        Call {
            head: self.head(terms),
            body,
            seat,
        }
        .push()
    }

    fn head(&self, terms: &Terms) -> Head {
        Head {
            sender: self.sender.clone(),
            sender_node: self.node.id(),
            deadline: terms.deadline,
            path: terms.path.clone(),
        }
    }

    /// Whether others wait already, whom nobody may overtake.
    fn is_line(&self, urgent: bool) -> bool {
        self.turnstiles[usize::from(urgent)].is_busy()
    }

    /// An ask from within a handler carries its path, and fails at once if it would close a cycle.
    fn enter_path(&self, message: &str, terms: &mut Terms) -> Result<(), Reason> {
        let Some(ambient) = &terms.ambient else {
            return Ok(());
        };
        if let Some(place) = self.known_place() {
            self.check_cycle(message, &place, terms)?;
        }
        let path = ambient.nested_path();
        if path.len() > self.node.limits().path {
            return Err(Reason::Cycle(
                path.iter().map(ToString::to_string).collect(),
            ));
        }
        terms.path = Some(path);
        Ok(())
    }

    fn check_cycle(&self, message: &str, place: &Place, terms: &Terms) -> Result<(), Reason> {
        let Some(ambient) = &terms.ambient else {
            return Ok(());
        };
        if !ambient.waits_already(&self.target) || place.runs_beside(message) {
            return Ok(());
        }
        let path = ambient.nested_path();
        let names = path
            .iter()
            .skip_while(|name| **name != self.target)
            .chain([&self.target]);
        Err(Reason::Cycle(names.map(ToString::to_string).collect()))
    }

    /// The place, if it is known and still good.
    fn known_place(&self) -> Option<Cow<'_, Place>> {
        if let Some(place @ Place::Here(hosted)) = self.here.get()
            && !hosted.is_forgotten()
        {
            return Some(Cow::Borrowed(place));
        }
        let generation = self.node.generation().load(Ordering::Acquire);
        let mut known = self.place.lock();
        if let Some((at, place)) = &*known
            && *at == generation
            && place.is_good()
        {
            return Some(Cow::Owned(place.clone()));
        }
        let place = self.node.place_now(&self.target)?;
        if matches!(place, Place::Here(_)) {
            // Only the first is kept: others come after a component of that name has ended.
            let _ = self.here.set(place.clone());
        }
        *known = Some((generation, place.clone()));
        Some(Cow::Owned(place))
    }

    async fn find_place(&self, terms: &Terms) -> Result<Place, Reason> {
        if let Some(place) = self.known_place() {
            return Ok(place.into_owned());
        }
        self.node.find_place(&self.target, terms.deadline).await
    }

    /// Stands in line until it is this message's turn, and finds the target meanwhile.
    ///
    /// Whether a message is urgent may be known only once the target is: then it leaves the ordinary
    /// line, where others may wait for credit that an emergency stop doesn't need.
    async fn turn(&self, message: &str, terms: &Terms) -> Result<Turn<'_>, Reason> {
        let urgent = self
            .known_place()
            .is_some_and(|place| place.is_urgent_named(message));
        let mut passing = Some(Box::pin(self.turnstiles[usize::from(urgent)].pass()));
        let mut passed = None;
        let mut finding = pin!(self.find_place(terms));
        let place = std::future::poll_fn(|cx| {
            if let Some(line) = &mut passing
                && let Poll::Ready(turn) = line.as_mut().poll(cx)
            {
                passed = Some(turn);
                passing = None;
            }
            finding.as_mut().poll(cx)
        })
        .await?;
        if !urgent && place.is_urgent_named(message) {
            drop((passing, passed));
            let _passing = self.turnstiles[1].pass().await;
            return Ok(Turn {
                place,
                urgent: true,
                _passing,
            });
        }
        let _passing = match (passed, passing) {
            (Some(passed), _) => passed,
            (None, Some(line)) => line.await,
            (None, None) => unreachable!("the line is left only by passing"),
        };
        Ok(Turn {
            place,
            urgent,
            _passing,
        })
    }

    fn route<M: Message>(&self, located: Option<&Located>, urgent: bool) -> Arc<Route> {
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

    fn raw_route(&self, located: Option<&Located>, raw: &Raw) -> Arc<Route> {
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
    fn by_bytes<M: Message>(&self, hosted: &Hosted, typed: Typed<M>) -> Result<Raw, Reason> {
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

impl Place {
    fn is_good(&self) -> bool {
        match self {
            Self::Here(_) => true,
            Self::There(link, _) => link.is_open(),
        }
    }

    fn is_urgent<M: Message>(&self) -> bool {
        match self {
            Self::Here(hosted) => hosted
                .route_of_type(TypeId::of::<M>())
                .is_some_and(|route| hosted.routes[route].options.urgent),
            Self::There(_, located) => located
                .as_ref()
                .and_then(|located| located.handler(M::NAME))
                .is_some_and(|handler| handler.urgent),
        }
    }

    fn is_urgent_named(&self, message: &str) -> bool {
        match self {
            Self::Here(hosted) => hosted
                .route_named(message)
                .is_some_and(|route| hosted.routes[route].options.urgent),
            Self::There(_, located) => located
                .as_ref()
                .and_then(|located| located.handler(message))
                .is_some_and(|handler| handler.urgent),
        }
    }

    /// Whether a message runs even while the component waits for something else.
    fn runs_beside(&self, message: &str) -> bool {
        match self {
            Self::Here(hosted) => hosted.route_named(message).is_some_and(|route| {
                hosted.routes[route].concurrent || hosted.routes[route].options.urgent
            }),
            Self::There(_, located) => located
                .as_ref()
                .and_then(|located| located.handler(message))
                .is_some_and(|handler| handler.concurrent || handler.urgent),
        }
    }
}

fn class(hosted: &Hosted, route: usize) -> Class {
    if hosted.routes[route].options.urgent {
        Class::Urgent
    } else {
        Class::Ordinary
    }
}

fn seat(hosted: &Arc<Hosted>, route: usize) -> Result<Seat, NoCredit> {
    let class = class(hosted, route);
    hosted.mailbox.take_credit(class)?;
    Ok(Seat::new(hosted.clone(), route, Some(class)))
}

async fn wait_for_seat(hosted: &Arc<Hosted>, route: usize) -> Result<Seat, Reason> {
    let class = class(hosted, route);
    hosted
        .mailbox
        .wait_for_credit(class)
        .await
        .map_err(|_| stopped())?;
    Ok(Seat::new(hosted.clone(), route, Some(class)))
}

fn outgoing(route: Arc<Route>, kind: Kind, terms: &Terms, payload: Bytes) -> Outgoing {
    Outgoing {
        route,
        kind,
        deadline: terms.deadline,
        path: terms.path.clone(),
        payload,
    }
}

async fn ask_there(
    link: &Arc<Link>,
    outgoing: Outgoing,
) -> Result<(u64, oneshot::Receiver<Ended>), Reason> {
    let (asker, ended) = oneshot::channel();
    let (size, time) = (outgoing.payload.len(), time_of(&outgoing));
    match link.send(outgoing, Ticket::Ask(asker)).await {
        Ok(id) => Ok((id, ended)),
        Err((_, why)) => Err(not_sent(why, size, time)),
    }
}

fn time_of(outgoing: &Outgoing) -> Duration {
    outgoing.deadline.saturating_duration_since(Instant::now())
}

fn awaited(link: &Arc<Link>, id: u64, ended: oneshot::Receiver<Ended>) -> Awaited {
    Awaited {
        ended,
        link: link.clone(),
        id,
        over: false,
    }
}

fn encode<M: Message>(route: &Route, message: &M) -> Result<Bytes, Reason> {
    encode_to_send(route.encoding, message)
}

fn unsent(ticket: Ticket) {
    if let Ticket::Tell(told) = ticket {
        Told::unsent(told);
    }
}

fn not_sent(why: NotSent, size: usize, time: Duration) -> Reason {
    match why {
        // A wait for credit ends so at the deadline alone.
        NotSent::NoCredit => expired(time, false),
        NotSent::TooLarge { max } => too_large(size, max),
        NotSent::Closed { why } => Reason::Disconnected {
            why: why.to_string(),
            may_have_run: false,
        },
    }
}

fn too_large(size: usize, max: usize) -> Reason {
    Reason::TooLarge(format!(
        "{size} bytes, and the other side takes {max} at most (`limits.payload`)"
    ))
}

pub(crate) fn expired(after: Duration, may_have_run: bool) -> Reason {
    Reason::Expired {
        after,
        may_have_run,
    }
}

fn stopped() -> Reason {
    Reason::Stopped(String::new())
}

impl fmt::Debug for Conduit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conduit")
            .field("target", &self.target)
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

/// Which node a name of the form `node/<id>` means.
pub(crate) fn node_of_name(name: &str) -> Option<NodeId> {
    name.strip_prefix("node/").and_then(|id| id.parse().ok())
}
