//! What every node answers about itself, as the component `node/<id>`, without user code.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Counters, Ctx, Node, Result, StreamReport, SubscriberReport,
    contain::shorten,
    counters::RouteReport,
    directory::messages::{Dial, Dialled},
    hosted::{Hosted, Status},
    node::is_public,
    policy::DeniedReport,
    watchdog,
};

/// Asks a node about one of its components. Sent to `node/<id>`.
#[botzilla::message(reply = Option<Description>, name = "botzilla.Describe")]
#[derive(Clone, Debug)]
pub struct Describe {
    /// The component's name.
    pub component: String,
}

/// Asks a node about itself. Sent to `node/<id>`.
#[botzilla::message(reply = NodeReport, name = "botzilla.Report")]
#[derive(Clone, Debug)]
pub struct Report {}

/// Asks a node to dial another's bulk lane, where it dialled that node before: the other can't dial
/// it. The reply says whether there is a connection now. Sent to `node/<id>`.
#[botzilla::message(reply = bool, name = "botzilla.DialStreams")]
#[derive(Clone, Debug)]
pub(crate) struct DialStreams {
    /// The node's id, 32 hex digits.
    pub(crate) node: String,
}

/// How long such a dial may take.
const DIAL: Duration = Duration::from_millis(3500);

/// A component, in full.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Description {
    /// Its name.
    pub name: String,
    /// The id of its node, 32 hex digits.
    pub node: String,
    /// With the node's id, this incarnation.
    pub count: u64,
    /// Its groups.
    pub groups: Vec<String>,
    /// `starting`, `running`, `restarting`, `stopping` or `ended`.
    pub state: String,
    /// How long it has been on its node, in milliseconds.
    pub age_ms: u64,
    /// How often it was rebuilt.
    pub restarts: u64,
    /// Why it was rebuilt the last time, if it was; cut as a panic's text is.
    pub last_restart: Option<String>,
    /// When it is rebuilt, and how often at most.
    pub restart: String,
    /// Messages in its queue now.
    pub queued: u64,
    /// For how many milliseconds it has blocked its thread, if it does.
    pub blocks_ms: Option<u64>,
    /// Its handlers, by message.
    pub handlers: Vec<HandlerDescription>,
    /// The streams that it publishes now, by name.
    pub streams: Vec<StreamReport>,
    /// What its node's policy has denied of it, and whom it hasn't let in; of `registry`, the names that
    /// it has denied besides, and of `node/<id>`, all that it has.
    pub denied: Vec<DeniedReport>,
}

/// A handler, in full.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HandlerDescription {
    /// The message's name.
    pub message: String,
    /// Goes first and interrupts.
    pub urgent: bool,
    /// Listens to broadcasts.
    pub broadcast: bool,
    /// Runs beside the others.
    pub concurrent: bool,
    /// The reply is a `Result`.
    pub fallible: bool,
    /// The layout's fingerprint, 16 hex digits; none: JSON only.
    pub fingerprint: Option<String>,
    /// The layout that it is a fingerprint of; PROTOCOL.md, section 10.
    pub layout: Option<String>,
    /// The message's JSON schema, as JSON text.
    pub schema: String,
    /// The reply's JSON schema, as JSON text.
    pub reply_schema: String,
    /// What became of its messages, those from this node included.
    pub counters: Counters,
}

/// A node, in full.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NodeReport {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Where it listens.
    pub address: Option<String>,
    /// How long it has been up, in milliseconds.
    pub age_ms: u64,
    /// Its components.
    pub components: Vec<String>,
    /// The nodes that it is connected to.
    pub peers: Vec<String>,
    /// What went to and came from others, by route.
    pub routes: Vec<RouteReport>,
    /// What its components publish, and to whom.
    pub streams: Vec<StreamCounters>,
    /// What its policy has denied, by key id and by what it was.
    pub denied: Vec<DeniedReport>,
}

/// What became of a stream's items.
#[botzilla::data]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StreamCounters {
    /// The stream, as `component/stream`.
    pub stream: String,
    /// How many items were published.
    pub published: u64,
    /// What became of them, by subscriber.
    pub subscribers: Vec<SubscriberReport>,
}

struct Service;

#[botzilla::component]
impl Service {
    #[botzilla::handler]
    async fn describe(msg: Describe, ctx: &Ctx<Self>) -> Option<Description> {
        ctx.node().describe(&msg.component)
    }

    #[botzilla::handler]
    async fn report(_: Report, ctx: &Ctx<Self>) -> NodeReport {
        ctx.node().report()
    }

    #[botzilla::handler]
    async fn dial_streams(msg: DialStreams, ctx: &Ctx<Self>) -> bool {
        let node = ctx.node();
        let Ok(peer) = msg.node.parse() else {
            return false;
        };
        // The address that it was found at, and no other: nobody is made to dial whoever is named.
        let known = node.inner().links().current(peer);
        let Some(known) = known.filter(|link| link.dialled()) else {
            return false;
        };
        let endpoints = [known.peer_address().to_string()];
        let links = Arc::clone(node.streams_hub().links());
        let deadline = Instant::now() + DIAL;
        links.connect(peer, &endpoints, deadline).await.is_ok()
    }

    #[botzilla::handler]
    async fn dial(msg: Dial, ctx: &Ctx<Self>) -> Dialled {
        let dialled = dial(&msg, ctx).await;
        Dialled {
            connected: dialled.is_ok(),
            reason: dialled.err().unwrap_or_default(),
        }
    }
}

async fn dial(msg: &Dial, ctx: &Ctx<Service>) -> Result<(), String> {
    let node = ctx.node();
    let Ok(peer) = msg.node.parse() else {
        return Err("the node's id is not 32 hexadecimal digits".to_owned());
    };
    // Nobody else has this node dial wherever he likes.
    if ctx.sender_node().is_none() || ctx.sender_node() != node.registry_node() {
        return Err("only the registry asks a node to dial another".to_owned());
    }
    let links = node.inner().links();
    let deadline = Instant::now() + DIAL;
    let dialled = links.connect_as_asked(peer, &msg.endpoints, deadline).await;
    dialled.map(drop).map_err(|error| error.to_string())
}

pub(crate) async fn spawn(node: &Node) -> Result<()> {
    node.spawn(format!("node/{}", node.id()), || Service)
        .reserved()
        .await?;
    Ok(())
}

impl Node {
    /// One of this node's components, in full.
    pub fn describe(&self, component: &str) -> Option<Description> {
        let hosted = self.inner().hosted_named(component)?;
        let (restarts, last_restart) = hosted.restarts();
        Some(Description {
            name: hosted.name.to_string(),
            node: self.id().to_string(),
            count: hosted.count,
            groups: hosted.groups.iter().map(ToString::to_string).collect(),
            state: state(&hosted).to_owned(),
            age_ms: ms(hosted.since.elapsed()),
            restarts,
            last_restart: last_restart.map(|reason| shorten(reason.to_string(), hosted.panic_text)),
            restart: hosted.keeper.policy().to_string(),
            queued: hosted.mailbox.len() as u64,
            blocks_ms: watchdog::blocks_since(&hosted).map(|since| ms(since.elapsed())),
            handlers: handlers(&hosted),
            streams: self.streams_hub().report_of(component),
            denied: self.denied_of(component),
        })
    }

    /// This node, in full.
    pub fn report(&self) -> NodeReport {
        let inner = self.inner();
        let components = inner.hosted();
        let components = components.iter().filter(|hosted| is_public(&hosted.name));
        NodeReport {
            id: self.id().to_string(),
            address: self.address().map(|address| address.to_string()),
            age_ms: ms(Instant::now().saturating_duration_since(inner.started())),
            components: components.map(|hosted| hosted.name.to_string()).collect(),
            peers: inner
                .links()
                .all()
                .iter()
                .filter(|link| link.is_open())
                .map(|link| link.peer().to_string())
                .collect(),
            routes: self.counters(),
            streams: self.streams_hub().counters(),
            denied: self.denied(),
        }
    }
}

fn state(hosted: &Hosted) -> &'static str {
    match hosted.status() {
        Status::Starting => "starting",
        Status::Running => "running",
        Status::Resting => "restarting",
        Status::Stopping => "stopping",
        Status::Ended(_) => "ended",
    }
}

fn handlers(hosted: &Hosted) -> Vec<HandlerDescription> {
    let mut handlers: Vec<_> = hosted
        .routes
        .iter()
        .map(|route| {
            let schemas = (route.schemas)();
            HandlerDescription {
                message: route.name.to_owned(),
                urgent: route.options.urgent,
                broadcast: route.options.broadcast,
                concurrent: route.concurrent,
                fallible: route.fallible,
                fingerprint: route
                    .layout
                    .as_ref()
                    .map(|layout| layout.fingerprint().to_string()),
                layout: route.layout.as_ref().map(|layout| layout.text().to_owned()),
                schema: schemas.message.to_string(),
                reply_schema: schemas.reply.to_string(),
                counters: route.ledger.counters(),
            }
        })
        .collect();
    handlers.sort_unstable_by(|a, b| a.message.cmp(&b.message));
    handlers
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
