//! Two or more nodes in one process, over real sockets.

mod crossing;
mod failures;
mod flow;
mod shutdown;
mod talk;
mod trouble;

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use botzilla_wire as wire;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot, watch},
    task::LocalSet,
};
use wire::{
    encoding::Encoding,
    handshake::Local,
    ident::{Name, NodeId},
    limits::Limits,
    route::{Route, Scope},
    secret::Secret,
    session::Kind,
};

use super::{error::AttemptError, table::LinksReport, *};
use crate::ticket::Ticket;

/// Nothing here takes long; this only turns a hang into a failure.
const LONG: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(LONG, test)
            .await
            .expect("the test hangs");
    });
}

/// Waits until it holds.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

fn soon() -> Instant {
    Instant::now() + LONG
}

type OnRequest = Box<dyn Fn(Inbound) + Send + Sync>;

/// What a test's node does with what comes.
struct TestHost {
    on_request: OnRequest,
    requests: AtomicUsize,
    ups: AtomicUsize,
    downs: Mutex<Vec<(NodeId, String)>>,
    counted: Mutex<Vec<Counters>>,
    changed: Notify,
}

impl Host for TestHost {
    fn request(&self, _link: &Arc<Link>, inbound: Inbound) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        (self.on_request)(inbound);
        self.changed.notify_waiters();
    }
    fn up(&self, _link: &Arc<Link>) {
        self.ups.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
    fn down(&self, link: &Arc<Link>, why: &str) {
        self.downs.lock().push((link.peer(), why.to_owned()));
        self.changed.notify_waiters();
    }
    fn counted(&self, _peer: NodeId, counters: Counters) {
        self.counted.lock().push(counters);
    }
}

impl TestHost {
    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
    fn ups(&self) -> usize {
        self.ups.load(Ordering::SeqCst)
    }
    fn downs(&self) -> usize {
        self.downs.lock().len()
    }
}

/// A node of a test.
struct Node {
    id: NodeId,
    links: Arc<Links>,
    host: Arc<TestHost>,
    address: SocketAddr,
}

/// How a node of a test is made.
struct Make {
    id: [u8; 16],
    secret: Secret,
    limits: Limits,
}

fn secret(id: &str, byte: u8) -> Secret {
    Secret::from_bytes(id, [byte; 32]).unwrap()
}

/// A node with this number as its id, the secret of all tests and default limits.
fn make(number: u8) -> Make {
    Make {
        id: [number; 16],
        secret: secret("test", 7),
        limits: Limits::default(),
    }
}

impl Make {
    fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    fn secret(mut self, secret: Secret) -> Self {
        self.secret = secret;
        self
    }

    fn start(self, on_request: impl Fn(Inbound) + Send + Sync + 'static) -> Node {
        let host = Arc::new(TestHost {
            on_request: Box::new(on_request),
            requests: AtomicUsize::new(0),
            ups: AtomicUsize::new(0),
            downs: Mutex::default(),
            counted: Mutex::default(),
            changed: Notify::new(),
        });
        let id = NodeId(self.id);
        let mut local = Local::new(id, vec![self.secret]);
        local.limits = self.limits;
        let as_host: Arc<dyn Host> = Arc::clone(&host) as _;
        let links = Links::new(local, Arc::downgrade(&as_host), Settings::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        links.listen(listener).unwrap();
        Node {
            id,
            links,
            host,
            address,
        }
    }
}

impl Node {
    async fn connect(&self, other: &Self) -> Arc<Link> {
        self.links
            .connect(other.id, &[other.address.to_string()], soon())
            .await
            .unwrap()
    }

    async fn shutdown(&self) -> LinksReport {
        self.links.shutdown(soon()).await
    }
}

/// Answers with what it got.
fn echo(inbound: Inbound) {
    match inbound.kind {
        Kind::Ask => inbound.responder.reply(inbound.payload),
        Kind::Tell => inbound.responder.delivered(),
    }
}

/// Keeps what comes, unanswered.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<Inbound>>>);

impl Shelf {
    fn put(&self) -> impl Fn(Inbound) + Send + Sync + 'static {
        let shelf = self.clone();
        move |inbound| shelf.0.lock().push(inbound)
    }
    fn len(&self) -> usize {
        self.0.lock().len()
    }
    fn take(&self) -> Vec<Inbound> {
        std::mem::take(&mut self.0.lock())
    }
}

fn route_to(target: &str) -> Arc<Route> {
    Arc::new(Route {
        scope: Scope::Component(Name::new(target).unwrap()),
        sender: None,
        message: "Test".into(),
        encoding: Encoding::Bincode,
        fingerprint: None,
        urgent: false,
    })
}

fn urgent_to(target: &str) -> Arc<Route> {
    Arc::new(Route {
        urgent: true,
        ..Route::clone(&route_to(target))
    })
}

fn message(route: &Arc<Route>, kind: Kind, payload: impl Into<Bytes>) -> Outgoing {
    Outgoing {
        route: Arc::clone(route),
        kind,
        deadline: soon(),
        path: None,
        payload: payload.into(),
    }
}

fn ask(target: &str, payload: impl Into<Bytes>) -> Outgoing {
    message(&route_to(target), Kind::Ask, payload)
}

fn tell(target: &str, payload: impl Into<Bytes>) -> Outgoing {
    message(&route_to(target), Kind::Tell, payload)
}

fn ticket() -> (Ticket, oneshot::Receiver<Ended>) {
    let (sender, receiver) = oneshot::channel();
    (Ticket::Ask(sender), receiver)
}

/// Sends, waiting for credit if need be; gives what will tell its end.
async fn send(link: &Arc<Link>, out: Outgoing) -> oneshot::Receiver<Ended> {
    let (ticket, ended) = ticket();
    link.send(out, ticket)
        .await
        .map_err(|(_, why)| why)
        .unwrap();
    ended
}

fn try_send(link: &Link, out: &Outgoing) -> Result<oneshot::Receiver<Ended>, NotSent> {
    let (ticket, ended) = ticket();
    link.try_send(out, ticket).map_err(|(_, why)| why)?;
    Ok(ended)
}

async fn reply(link: &Arc<Link>, out: Outgoing) -> Bytes {
    match send(link, out).await.await.unwrap() {
        Ended::Reply(payload) => payload,
        other => panic!("no reply but {other:?}"),
    }
}

/// What a wire between two nodes does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Forward,
    /// Passes on nothing, closes nothing.
    Stalled,
    /// Passes on nothing from the dialled side to the dialler.
    NothingBack,
    Cut,
}

/// A wire that can be cut, stalled, or made to alter bytes.
struct Proxy {
    address: SocketAddr,
    state: watch::Sender<Wire>,
    /// The dialler's byte at this place of all that it sends gets a bit flipped.
    flip: Arc<AtomicUsize>,
    /// How much the dialler has sent.
    passed: Arc<AtomicUsize>,
}

impl Proxy {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watching) = watch::channel(Wire::Forward);
        let flip = Arc::new(AtomicUsize::new(usize::MAX));
        let passed = Arc::new(AtomicUsize::new(0));
        let (flips, passes) = (Arc::clone(&flip), Arc::clone(&passed));
        tokio::task::spawn_local(async move {
            while let Ok((from, _)) = listener.accept().await {
                let Ok(to) = TcpStream::connect(target).await else {
                    continue;
                };
                let (from_read, from_write) = from.into_split();
                let (to_read, to_write) = to.into_split();
                let there = pump(
                    from_read,
                    to_write,
                    watching.clone(),
                    Wire::Forward,
                    Arc::clone(&flips),
                    Arc::clone(&passes),
                );
                let none = Arc::new(AtomicUsize::new(usize::MAX));
                let back = pump(
                    to_read,
                    from_write,
                    watching.clone(),
                    Wire::NothingBack,
                    none,
                    Arc::default(),
                );
                let mut cut = watching.clone();
                tokio::task::spawn_local(async move {
                    tokio::select! {
                        () = async { tokio::join!(there, back); } => {}
                        _ = cut.wait_for(|state| *state == Wire::Cut) => {}
                    }
                });
            }
        });
        Self {
            address,
            state,
            flip,
            passed,
        }
    }

    fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    fn set(&self, state: Wire) {
        self.state.send_replace(state);
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut state: watch::Receiver<Wire>,
    stalled_by: Wire,
    flip: Arc<AtomicUsize>,
    passed: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let flows = |state: &Wire| {
            *state != Wire::Stalled && (*state != stalled_by || stalled_by == Wire::Forward)
        };
        if state.wait_for(flows).await.is_err() {
            return;
        }
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            let _ = to.shutdown().await;
            return;
        };
        if state.wait_for(flows).await.is_err() {
            return;
        }
        let place = passed.load(Ordering::SeqCst);
        let flip = flip.load(Ordering::SeqCst);
        if (place..place + count).contains(&flip) {
            buffer[flip - place] ^= 0x10;
        }
        passed.fetch_add(count, Ordering::SeqCst);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
