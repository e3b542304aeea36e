//! The bulk lane: streams between two nodes, on a connection and a thread of their own.
//!
//! ```text
//!   any thread                       the lane's thread                     network
//!   publisher ──▶ port ┐
//!   subscriber ────────┴─▶ orders ──▶ Driver { StreamSession } ◀─────────▶ socket
//!        ▲                              │
//!      Inbox ◀───── items by the record ┘
//! ```
//!
//! The driver owns its session alone. It makes records of many hundred kilobytes at a time, and a
//! publisher that had to wait for that would wait for as long as it takes to authenticate them: so
//! whoever wants something of a connection leaves an order.

mod driver;
mod thread;

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use wire::{
    code::{CloseReason, EndCode},
    handshake::{Established, Mode},
    ident::{ConnectionId, Lane, NodeId},
    limits::Limits,
    output::Output,
    stream::{End, StreamSession, Subscribe},
};

use self::{driver::Driver, thread::LaneThread};
use super::{
    lane::{Carrier, Connection, Socket},
    socket,
    table::{Links, LinksReport},
};
use crate::stream::{After, Ended, Hub, Inbox, RemotePort};

/// The node's bulk connections.
pub(crate) type BulkLinks = Links<Bulk>;

/// One bulk connection, as everybody but its driver sees it.
pub(crate) struct BulkLink {
    id: ConnectionId,
    peer: NodeId,
    peer_address: SocketAddr,
    dialled: bool,
    mode: Mode,
    key_id: Arc<str>,
    payload_max: usize,
    /// Bytes of items that wait for the peer, over all its subscriptions.
    waiting: AtomicUsize,
    waiting_max: usize,
    is_open: AtomicBool,
    handed_over: AtomicBool,
    orders: Mutex<Orders>,
    last_heard: Mutex<Instant>,
    /// The session, until the driver has it.
    session: Mutex<Option<Box<StreamSession>>>,
}

#[derive(Default)]
struct Orders {
    list: Vec<Order>,
    /// The driver's, if it sleeps: who adds an order takes it and wakes.
    waker: Option<Waker>,
    has_ended: bool,
    is_draining: bool,
    is_retired: bool,
    close: Option<CloseReason>,
}

impl Orders {
    /// Adds an order. Who subscribes and leaves before the driver has looked has asked for nothing:
    /// so there are no more orders than there are subscriptions, however fast they come and go. The
    /// order that this undoes comes back.
    fn add(&mut self, order: Order) -> Option<Order> {
        if let Order::Unsubscribe { feed } = &order {
            let begins = |it: &Order| matches!(it, Order::Subscribe { feed: begun, .. } if begun.number == *feed);
            // The latest are the likeliest to be left.
            if let Some(at) = self.list.iter().rposition(begins) {
                return Some(self.list.remove(at));
            }
        }
        self.list.push(order);
        None
    }
}

/// Something to be done on a connection.
pub(crate) enum Order {
    /// A subscriber here wants a stream of the peer's.
    Subscribe {
        feed: FeedRef,
        request: Box<Subscribe>,
    },
    /// It no longer does.
    Unsubscribe { feed: u64 },
    /// It has taken items: so many more may come.
    Consumed { feed: u64, items: u64, bytes: u64 },
    /// A publisher here has items for a subscriber of the peer's.
    Items(Arc<RemotePort>),
    /// It has no more for it.
    End(Arc<RemotePort>, End),
}

/// Where the items of a subscription go.
#[derive(Clone)]
pub(crate) struct FeedRef {
    pub(crate) number: u64,
    pub(crate) inbox: Weak<Inbox>,
    pub(crate) name: Arc<str>,
}

impl FeedRef {
    /// Its connection is gone.
    fn lost(&self, after: &mut After) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.lost(&self.name, self.number, after);
        }
    }

    /// There are as many subscriptions as we allow ourselves.
    fn refuse(&self, after: &mut After) {
        if let Some(inbox) = self.inbox.upgrade() {
            let ended = Ended {
                code: EndCode::TooMany,
                missed: 0,
                thinned: 0,
                detail: "this node has as many on the connection as its `subscriptions` allows"
                    .to_owned(),
            };
            inbox.ended(&self.name, self.number, ended, after);
        }
    }
}

/// The connection has ended.
#[derive(Debug)]
pub(crate) struct Gone;

impl BulkLink {
    fn new(established: Established, limits: &Limits, peer_address: SocketAddr) -> Self {
        let now = Instant::now();
        Self {
            id: established.connection,
            peer: established.peer,
            peer_address,
            dialled: established.dialled,
            mode: established.mode,
            key_id: established.key_id.as_str().into(),
            payload_max: established.peer_limits.payload,
            waiting: AtomicUsize::new(0),
            waiting_max: limits.stream_queues,
            is_open: AtomicBool::new(true),
            handed_over: AtomicBool::new(false),
            orders: Mutex::default(),
            last_heard: Mutex::new(now),
            session: Mutex::new(Some(Box::new(StreamSession::new(established, limits, now)))),
        }
    }

    /// The node on the other side.
    pub(crate) fn peer(&self) -> NodeId {
        self.peer
    }

    /// The id of the secret that both sides have proven to hold.
    pub(crate) fn key_id(&self) -> &Arc<str> {
        &self.key_id
    }

    /// The largest item that the other side takes.
    pub(crate) fn payload_max(&self) -> usize {
        self.payload_max
    }

    /// How many bytes of items may wait for the peer besides those that do.
    pub(crate) fn room(&self) -> usize {
        self.waiting_max
            .saturating_sub(self.waiting.load(Ordering::Relaxed))
    }

    /// So many bytes wait at one of its subscriptions, where there were others before.
    pub(crate) fn waits(&self, before: usize, now: usize) {
        if now > before {
            self.waiting.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.waiting.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Leaves an order. The waker is to be woken once all locks are given back.
    pub(crate) fn order(&self, order: Order) -> Result<Option<Waker>, Gone> {
        let mut orders = self.orders.lock();
        if orders.has_ended {
            drop(orders);
            // Not under the lock: it may be the last to hold a publisher's items.
            drop(order);
            return Err(Gone);
        }
        let undone = orders.add(order);
        let waker = orders.waker.take();
        drop(orders);
        drop(undone);
        Ok(waker)
    }

    fn tell(&self, change: impl FnOnce(&mut Orders)) {
        let waker = {
            let mut orders = self.orders.lock();
            change(&mut orders);
            orders.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Connection for BulkLink {
    /// Orders that were not carried out.
    type Remains = Vec<Order>;

    fn id(&self) -> ConnectionId {
        self.id
    }

    fn peer(&self) -> NodeId {
        self.peer
    }

    fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    fn dialled(&self) -> bool {
        self.dialled
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn key_id(&self) -> &Arc<str> {
        Self::key_id(self)
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    fn last_heard(&self) -> Instant {
        *self.last_heard.lock()
    }

    fn keep(&self, _: bool) {}

    fn drain(&self) {
        self.tell(|orders| orders.is_draining = true);
    }

    fn retire(&self) {
        self.is_open.store(false, Ordering::Release);
        self.tell(|orders| orders.is_retired = true);
    }

    fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    fn close(&self, why: CloseReason) {
        self.is_open.store(false, Ordering::Release);
        self.tell(|orders| orders.close = Some(why));
    }

    fn end(&self, _: &str) -> Option<Vec<Order>> {
        self.is_open.store(false, Ordering::Release);
        let mut orders = self.orders.lock();
        if std::mem::replace(&mut orders.has_ended, true) {
            return None;
        }
        let waker = orders.waker.take();
        let list = std::mem::take(&mut orders.list);
        drop(orders);
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(list)
    }
}

/// Streams.
pub(crate) struct Bulk {
    hub: Weak<Hub>,
    thread: LaneThread,
}

impl Bulk {
    pub(super) fn new(hub: Weak<Hub>) -> Self {
        Self {
            hub,
            thread: LaneThread::default(),
        }
    }
}

impl Carrier for Bulk {
    const LANE: Lane = Lane::Bulk;
    /// Subscriptions come back by themselves as soon as there is a connection: one that they break
    /// would else be dialled again and again.
    const SETTLED: Duration = Duration::from_secs(5);
    type Link = BulkLink;

    fn link(established: Established, limits: &Limits, address: SocketAddr, _: bool) -> BulkLink {
        BulkLink::new(established, limits, address)
    }

    fn goodbye(established: Established, limits: &Limits, why: &str) -> Bytes {
        let now = Instant::now();
        let mut session = StreamSession::new(established, limits, now);
        session.close_with(CloseReason::Denied, why);
        let mut output = Output::new();
        session.poll_transmit(now, &mut output);
        output.copy_to_bytes(output.len())
    }

    fn drive(links: &Arc<BulkLinks>, link: &Arc<BulkLink>, socket: Socket) {
        let (weak, hub) = (Arc::downgrade(links), links.carrier.hub.clone());
        let limits = links.local().limits.clone();
        let Some(session) = link.session.lock().take() else {
            return;
        };
        let moved = link.clone();
        // A socket belongs to the thread that looks for its events: it was made on another.
        let stream = socket.stream.into_std();
        let (first, input) = (socket.first, socket.input);
        let run = async move {
            let stream = stream.and_then(|stream| {
                let stream = tokio::net::TcpStream::from_std(stream)?;
                socket::tune(&stream, Lane::Bulk)?;
                Ok(stream)
            });
            match stream {
                Ok(stream) => {
                    let socket = Socket {
                        stream,
                        first,
                        input,
                    };
                    Driver::new(moved, weak, hub, *session, socket, &limits).await;
                }
                Err(error) => {
                    if let Some(links) = weak.upgrade() {
                        links.ended(&moved, &format!("the socket can't be used ({error})"));
                    }
                }
            }
        };
        if !links.carrier.thread.spawn(run) {
            links.ended(link, "this node has ended its connections");
        }
    }

    fn up(&self, _: &Arc<BulkLink>) {
        if let Some(hub) = self.hub.upgrade() {
            hub.changed();
        }
    }

    fn open(_: &Vec<Order>) -> LinksReport {
        LinksReport::default()
    }

    fn down(&self, _: &Arc<BulkLink>, _: &str, remains: Vec<Order>) {
        let mut after = After::default();
        for order in &remains {
            if let Order::Subscribe { feed, .. } = order {
                feed.lost(&mut after);
            }
        }
        drop(after);
        drop(remains);
        if let Some(hub) = self.hub.upgrade() {
            hub.changed();
        }
    }
}

impl BulkLinks {
    /// Ends the lane's thread. Nothing of it runs afterwards.
    pub(crate) async fn end_thread(&self) {
        self.carrier.thread.end().await;
    }
}

impl fmt::Debug for BulkLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkLink")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use wire::stream::Mode;

    use super::*;

    #[test]
    fn who_leaves_before_the_driver_has_looked_leaves_no_orders() {
        let mut orders = Orders::default();
        let subscribe = |number| Order::Subscribe {
            feed: FeedRef {
                number,
                inbox: Weak::new(),
                name: "clock/tick".into(),
            },
            request: Box::new(Subscribe {
                component: wire::Name::new("clock").unwrap(),
                stream: wire::Name::new("tick").unwrap(),
                subscriber: None,
                encoding: wire::Encoding::Bincode,
                fingerprint: None,
                mode: Mode::Latest,
                depth: 1,
                keep_last: 0,
                interval: std::time::Duration::ZERO,
                items: 1,
                bytes: 1,
                resumes: None,
            }),
        };
        orders.add(subscribe(0));
        for feed in 1..10_000 {
            assert!(orders.add(subscribe(feed)).is_none());
            assert!(orders.add(Order::Unsubscribe { feed }).is_some());
        }
        assert_eq!(orders.list.len(), 1);
        // One that the driver has begun is to be ended by it.
        orders.list.clear();
        assert!(orders.add(Order::Unsubscribe { feed: 0 }).is_none());
        assert_eq!(orders.list.len(), 1);
    }
}
