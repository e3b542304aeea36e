//! The desk as a component, and the node that serves it.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use botzilla::{
    Ctx, HookError, Later, Node, NodeConfig, REGISTRY_PORT, Replier, Result, Security,
    ShutdownReport,
    directory::messages::{
        Deregister, Dial, Introduce, IntroduceReply, Introduced, List, ListReply, REGISTRY,
        Register, RegisterReply, Resolve, ResolveReply, Watch, WatchReply,
    },
};
use botzilla_wire::NodeId;

use crate::{
    desk::{Desk, Reply},
    permit,
    table::{Link, Links, Rules, Table, rules},
};

/// How often time passes at the desk.
const TICK: Duration = Duration::from_millis(100);

/// A registry that is to be started.
///
/// ```
/// # async fn run() -> botzilla::Result<()> {
/// use botzilla::{Node, NodeConfig};
/// use botzilla_registry::Registry;
///
/// let secret = "a passphrase of at least 16 bytes";
/// // Part of this program: nobody can have had names at one before it.
/// let registry = Registry::new("127.0.0.1:0", secret)?.fresh().start().await?;
/// let node = Node::start(NodeConfig::new(registry.address().to_string(), secret)?).await?;
/// # drop(node);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing until it is started"]
pub struct Registry {
    node: NodeConfig,
    rules: Rules,
    fresh: bool,
}

impl Registry {
    /// A registry that listens on this address (`host:port`; port 0 takes any that is free).
    ///
    /// # Errors
    ///
    /// The secret can't be one.
    pub fn new(listen: impl Into<String>, secret: impl AsRef<str>) -> Result<Self> {
        let node = NodeConfig::hosting_registry(secret)?.listen(listen);
        Ok(Self::with(node))
    }

    /// A registry on a node with these settings, made by [`NodeConfig::hosting_registry`].
    pub fn with(node: NodeConfig) -> Self {
        Self {
            node,
            rules: Rules::default(),
            fresh: false,
        }
    }

    /// Where a registry listens unless it is told: on every interface, by IPv6 and IPv4, at
    /// [`REGISTRY_PORT`].
    pub fn default_address() -> String {
        format!("[::]:{REGISTRY_PORT}")
    }

    /// Nobody can have had a name at an earlier start: it doesn't wait for them, and gives names from
    /// the first moment on. For a registry that is part of a program. Should it panic and be rebuilt,
    /// those who have names by then are waited for as ever ([`Rules::recovery`]).
    pub fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// Who may register what, and do anything else on its node: see [`NodeConfig::policy`].
    ///
    /// # Errors
    ///
    /// The file can't be read, or is no policy.
    pub fn policy(mut self, file: impl Into<PathBuf>) -> Result<Self> {
        self.node = self.node.policy(file)?;
        Ok(self)
    }

    /// Other times and bounds.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Starts it, on a node of its own.
    ///
    /// # Errors
    ///
    /// The address can't be listened on.
    pub async fn start(self) -> Result<RunningRegistry> {
        let node = Node::start(self.node).await?;
        let spawned = node
            .spawn(REGISTRY, servers(self.rules, self.fresh))
            .reserved()
            .await;
        if let Err(error) = spawned {
            node.shutdown(Duration::ZERO).await;
            return Err(error.into());
        }
        Ok(RunningRegistry { node })
    }
}

/// A registry that runs until it is shut down, or its node's thread ends.
#[derive(Debug, Clone)]
pub struct RunningRegistry {
    node: Node,
}

impl RunningRegistry {
    /// Where it can be reached from this host.
    pub fn address(&self) -> SocketAddr {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let mut address = self.node.address().unwrap_or(any);
        match address.ip() {
            // Of IPv6 too: a wildcard takes both.
            ip if ip.is_unspecified() => address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            _ => {}
        }
        address
    }

    /// Its node: other components can be put on it, and `until_shutdown` waits for its end.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Ends it within this time.
    pub async fn shutdown(&self, time: Duration) -> ShutdownReport {
        self.node.shutdown(time).await
    }
}

/// Makes the component at its start, and again after each panic.
fn servers(rules: Rules, fresh: bool) -> impl Fn() -> Result<Server, HookError> + Send {
    let fresh = Cell::new(fresh);
    move || {
        let mut rules = rules.clone();
        // Only at the start is it so that nobody can have a name: a rebuilt table is as empty, but
        // there are holders.
        if fresh.take() {
            rules.recovery = Duration::ZERO;
        }
        Server::new(rules)
    }
}

/// The component `registry`.
#[derive(Debug)]
struct Server {
    desk: Desk,
    /// The policy that all names are held under.
    policy: u64,
}

impl Server {
    /// A new start, and so a new epoch, also after a panic.
    fn new(rules: Rules) -> Result<Self, HookError> {
        let epoch = getrandom::u64()?;
        let now = Instant::now();
        Ok(Self {
            desk: Desk::new(Table::new(rules, epoch, now), now),
            policy: 0,
        })
    }

    /// Takes back what a policy that has changed doesn't allow any more.
    fn review(&mut self, ctx: &Ctx<Self>) {
        let node = ctx.node();
        let policy = node.policy_epoch();
        if std::mem::replace(&mut self.policy, policy) != policy {
            let may_hold = |peer, name: &str| node.may_hold(peer, name);
            self.desk.review(Instant::now(), &links(ctx), may_hold);
        }
    }
}

#[botzilla::component]
impl Server {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) {
        self.policy = ctx.node().policy_epoch();
        ctx.every(TICK, |this, ctx| {
            this.review(ctx);
            this.desk.tick(Instant::now(), &links(ctx));
        });
        let epoch = self.desk.table().epoch();
        let recovering = self.desk.table().is_recovering();
        tracing::info!(%epoch, recovering, "the registry is open");
    }

    #[botzilla::handler]
    fn register(&mut self, msg: Register, ctx: &Ctx<Self>) -> Later<RegisterReply> {
        let (reply, later) = reply(ctx);
        let encrypted = ctx.node().security() == Some(Security::Encrypted);
        let reply = Box::new(move |answer: RegisterReply| {
            reply(RegisterReply {
                encrypted,
                ..answer
            });
        });
        let now = Instant::now();
        let may_register = |name: &str| ctx.may_register(name);
        let table = self.desk.table();
        let (msg, reply) = permit::register(table, from(ctx), msg, may_register, reply);
        if let Some(msg) = msg {
            self.desk.register(now, &links(ctx), from(ctx), msg, reply);
        } else {
            reply(self.desk.nothing_registered());
        }
        later
    }

    #[botzilla::handler]
    fn deregister(&mut self, msg: Deregister, ctx: &Ctx<Self>) {
        let now = Instant::now();
        let may_register = |name: &str| ctx.may_register(name);
        if let Err(reason) = permit::speak(self.desk.table(), from(ctx), may_register) {
            tracing::warn!(node = %from(ctx), reason, "a deregistration is denied");
            return;
        }
        self.desk.deregister(now, &links(ctx), from(ctx), &msg);
    }

    #[botzilla::handler]
    fn resolve(&mut self, msg: Resolve, ctx: &Ctx<Self>) -> Later<ResolveReply> {
        let (reply, later) = reply(ctx);
        self.desk.resolve(Instant::now(), msg, reply);
        later
    }

    /// Beside the others: it waits for another node.
    #[botzilla::handler]
    async fn introduce(msg: Introduce, ctx: &Ctx<Self>) -> IntroduceReply {
        let outcome = introduce(msg, ctx).await;
        IntroduceReply { outcome }
    }

    #[botzilla::handler]
    fn list(&mut self, msg: List, ctx: &Ctx<Self>) -> Later<ListReply> {
        let (reply, later) = reply(ctx);
        self.desk.list(Instant::now(), &links(ctx), msg, reply);
        later
    }

    #[botzilla::handler]
    fn watch(&mut self, msg: Watch, ctx: &Ctx<Self>) -> Later<WatchReply> {
        let (reply, later) = reply(ctx);
        self.desk.watch(Instant::now(), from(ctx), msg, reply);
        later
    }
}

/// Asks a node, over its own connection, to dial the one that can't dial it.
async fn introduce(msg: Introduce, ctx: &Ctx<Server>) -> Introduced {
    let asker = from(ctx);
    let failed = |reason: String| Introduced::Failed { reason };
    let Ok(node) = msg.node.parse::<NodeId>() else {
        return failed("the node's id is not 32 hexadecimal digits".to_owned());
    };
    let peer = |node| ctx.node().peer(node);
    if !peer(node).is_some_and(|peer| peer.connected) {
        return Introduced::Away;
    }
    let seen = peer(asker).and_then(|peer| peer.address);
    let dial = Dial {
        node: asker.to_string(),
        endpoints: rules::with_seen(msg.endpoints, msg.port, seen),
    };
    let service = ctx.component(format!("node/{node}"));
    match service.ask(dial).await {
        Ok(dialled) if dialled.connected => Introduced::Connected,
        Ok(dialled) => failed(dialled.reason),
        Err(error) => failed(format!("it couldn't be asked: {}", error.reason())),
    }
}

fn reply<R: botzilla::Data>(ctx: &Ctx<Server>) -> (Reply<R>, Later<R>) {
    let (replier, later): (Replier<R>, _) = ctx.reply_later();
    (Box::new(move |answer| replier.reply(answer)), later)
}

fn from(ctx: &Ctx<Server>) -> NodeId {
    ctx.sender_node().unwrap_or_else(|| ctx.node().id())
}

fn links(ctx: &Ctx<Server>) -> impl Links {
    let node = ctx.node();
    move |peer: NodeId| {
        let facts = node.peer(peer)?;
        Some(Link {
            connected: facts.connected,
            last_heard: facts.last_heard,
            address: facts.address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Rules, servers};

    #[test]
    fn only_the_first_start_of_a_fresh_registry_gives_names_at_once() {
        let recovering = |fresh| {
            let server = servers(Rules::default(), fresh);
            [0, 1, 2].map(|_| {
                let server = server().expect("the system has random numbers");
                server.desk.table().is_recovering()
            })
        };
        assert_eq!(recovering(true), [false, true, true]);
        assert_eq!(recovering(false), [true, true, true]);
    }
}
