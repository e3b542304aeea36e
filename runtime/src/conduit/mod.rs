//! From one sender to one target: in order, with credit, wherever the target is.
//!
//! The fast path takes no allocation beyond the call itself and waits for nothing; whatever can't
//! go at once (no place known, no connection, no credit) goes the slow path, in turn.

mod asks;
mod line;
mod routes;
mod tells;

use std::{
    any::TypeId,
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, Instant},
};

use botzilla_wire::{Encoding, Kind, Name, NodeId, route::Route};
use bytes::Bytes;
use parking_lot::Mutex;

pub(crate) use self::{
    asks::{Asking, CarriedAsk, Reception},
    line::Carried,
};
use self::{line::Turnstile, routes::Routes};
use crate::{
    Message, Node, Reason,
    ambient::Ambient,
    call::Head,
    credit::{Class, NoCredit},
    deadline::AS_LONG_AS_CAN_BE,
    directory::Located,
    hosted::Hosted,
    link::{Link, NotSent, Outgoing},
    seat::Seat,
    ticket::Tells,
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
    routes: Routes,
}

/// Where the target is now.
#[derive(Clone)]
pub(crate) enum Place {
    Here(Arc<Hosted>),
    There(Arc<Link>, Option<Arc<Located>>),
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

    /// Puts a call into a component of this node.
    #[inline]
    fn head(&self, deadline: Instant, path: Option<Arc<[Name]>>) -> Head {
        Head {
            sender: self.sender.clone(),
            sender_node: self.node.id(),
            key: None,
            deadline,
            path,
        }
    }

    /// The component of this node that it leads to from the first; once it is known, it is for ever.
    #[inline]
    pub(crate) fn here(&self) -> Option<&Arc<Hosted>> {
        match self.here.get() {
            Some(Place::Here(hosted)) => Some(hosted),
            _ => None,
        }
    }

    /// Whether others wait already, whom nobody may overtake.
    #[inline]
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
}

impl Conduit {
    /// Where the target is now that the connection there takes no messages any more: another is made.
    async fn find_another(&self, terms: &Terms) -> Result<Place, Reason> {
        // Whoever ends the old one may be on this very thread.
        tokio::task::yield_now().await;
        self.find_place(terms).await
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

#[inline]
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

fn time_of(outgoing: &Outgoing) -> Duration {
    outgoing.deadline.saturating_duration_since(Instant::now())
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
    Reason::TooLarge {
        detail: format!("{size} bytes, and the other side takes {max} at most (`limits.payload`)"),
        may_have_run: false,
    }
}

pub(crate) fn expired(after: Duration, may_have_run: bool) -> Reason {
    Reason::Expired {
        after,
        may_have_run,
    }
}

/// It wasn't taken into the queue any more.
fn stopped() -> Reason {
    Reason::stopped(false)
}

impl fmt::Debug for Conduit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conduit")
            .field("target", &self.target)
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

/// Whether a message may have that name. The other side would end the connection over one that it
/// may not have, and with it all that others have open there.
pub(crate) fn check_message_name(name: &str) -> Result<(), Reason> {
    const MOST: usize = 255;
    if name.is_empty() || name.len() > MOST {
        let len = name.len();
        return Err(Reason::NoHandler(format!(
            "a message's name has 1 to {MOST} bytes, and this one has {len}"
        )));
    }
    Ok(())
}

/// Which node a name of the form `node/<id>` means.
pub(crate) fn node_of_name(name: &str) -> Option<NodeId> {
    name.strip_prefix("node/").and_then(|id| id.parse().ok())
}
