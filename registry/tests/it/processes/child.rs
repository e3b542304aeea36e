//! What this binary does as a process of a test: a registry, or nodes.

use std::{
    cell::RefCell,
    io::{BufRead, Write},
    process::exit,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use botzilla::{BroadcastReport, Ctx, Node, NodeConfig, Restart};
use botzilla_registry::Registry;
use futures_util::future::{join_all, pending};

use super::{
    support::SECRET,
    talk::{
        AskOther, Beat, Begin, Block, Break, Echo, Echoed, Hang, Hold, Holding, Known, Note, Notes,
        TakeTally, Tally, TellAll, TellOther, Wait, Who, Work, traffic,
    },
};

/// Not a test, unless a test says so.
#[test]
fn role() {
    let Ok(role) = std::env::var("IT_ROLE") else {
        return;
    };
    if std::env::var_os("IT_LOG").is_some() {
        let _ = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_env_filter(tracing_subscriber::EnvFilter::new(variable("IT_LOG")))
            .try_init();
    }
    let code = actix_rt::System::new().block_on(async move {
        let outcome = match &*role {
            "registry" => registry().await,
            "node" => node().await,
            "many" => many().await,
            #[cfg(unix)]
            "keyed-registry" => super::rotated::registry().await,
            #[cfg(unix)]
            "keyed-source" => super::rotated::source().await,
            #[cfg(unix)]
            "keyed-sink" => super::rotated::sink().await,
            other => panic!("no such role: {other}"),
        };
        match outcome {
            Ok(()) => 0,
            Err(error) => {
                say(&format!("failed {error}"));
                2
            }
        }
    });
    exit(code);
}

/// One line to the test.
pub(super) fn say(text: &str) {
    // The harness may have left a line unfinished.
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "\n@{text}\n");
    let _ = out.flush();
}

pub(super) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// What the test says, line by line; when it is gone, so is this process.
pub(super) fn orders() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, orders) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let _ = sender.blocking_send(line);
        }
        exit(3);
    });
    orders
}

async fn registry() -> botzilla::Result<()> {
    let _orders = orders();
    let mut registry = Registry::new(variable("IT_LISTEN"), SECRET)?;
    if !variable("IT_FRESH").is_empty() {
        registry = registry.fresh();
    }
    let running = registry.start().await?;
    say(&format!(
        "ready {} {}",
        running.node().id(),
        running.address()
    ));
    running.node().until_shutdown().await
}

fn config() -> botzilla::Result<NodeConfig> {
    let listen = std::env::var("IT_LISTEN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let mut config = NodeConfig::new(variable("IT_REGISTRY"), SECRET)?.listen(listen);
    if let Ok(advertise) = std::env::var("IT_ADVERTISE") {
        config = config.advertise([advertise]);
    }
    Ok(config)
}

/// A node with a component of each of the names; a name that ends in `!` has a thread of its own, and one in
/// `:never` or `:escalate` is never restarted, or takes its node with it.
async fn node() -> botzilla::Result<()> {
    let mut orders = orders();
    let node = Node::start(config()?).await?;
    for name in variable("IT_NAMES").split(' ') {
        let lives = Arc::new(AtomicU64::new(0));
        let robot = move || Robot::new(lives.fetch_add(1, Ordering::Relaxed) + 1);
        match name.strip_suffix('!') {
            Some(name) => node.spawn(name, robot).own_thread().await?,
            None => {
                let (name, restart) = match name.split_once(':') {
                    Some((name, "never")) => (name, Restart::never()),
                    Some((name, "escalate")) => (name, Restart::never().escalate()),
                    _ => (name, Restart::on_panic()),
                };
                node.spawn(name, robot).restart(restart).await?
            }
        };
    }
    node.ready().await;
    let address = node.address().map(|it| it.to_string()).unwrap_or_default();
    say(&format!("ready {} {address}", node.id()));
    let order = async {
        loop {
            let order = orders.recv().await.unwrap_or_default();
            if let Some(ms) = order.strip_prefix("shutdown ") {
                return Duration::from_millis(ms.parse().unwrap());
            } else if let Some(peer) = order.strip_prefix("lost? ") {
                actix_rt::spawn(say_when_lost(node.clone(), peer.parse().unwrap()));
            } else if let Some(stream) = order.strip_prefix("subscribe ") {
                actix_rt::spawn(say_how_it_goes(node.clone(), stream.to_owned()));
            }
        }
    };
    tokio::select! {
        ended = node.until_shutdown() => ended,
        time = order => {
            let report = node.shutdown(time).await;
            say(&format!(
                "report {}|{}|{}|{}|{}|{}",
                report.drained.join(" "),
                report.cut.join(" "),
                report.stuck.join(" "),
                report.refused,
                report.unanswered,
                report.owed,
            ));
            Ok(())
        }
    }
}

/// Looks until the node isn't connected with another any more.
async fn say_when_lost(node: Node, peer: botzilla_wire::NodeId) {
    while node.peer(peer).is_some_and(|peer| peer.connected) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    say(&format!("lost {peer}"));
}

/// Looks until a stream has come, and until its publisher is lost.
async fn say_how_it_goes(node: Node, stream: String) {
    let beats = node.subscribe::<Beat>(&stream).await.unwrap();
    for (is_there, word) in [(true, "subscribed"), (false, "unsubscribed")] {
        while beats.publishers().is_empty() == is_there {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        say(word);
    }
    // It goes on, and subscribes again.
    pending::<()>().await;
}

/// Many nodes at once, a component each, all of which must see as many as the test says.
async fn many() -> botzilla::Result<()> {
    let _orders = orders();
    let all: usize = variable("IT_ALL").parse().unwrap();
    let names = variable("IT_NAMES");
    let nodes = join_all(names.split(' ').map(async |name| -> botzilla::Result<_> {
        let node = Node::start(config()?).await?;
        node.spawn(name, || Robot::new(1)).await?;
        Ok(node)
    }));
    let nodes = nodes
        .await
        .into_iter()
        .collect::<botzilla::Result<Vec<_>>>()?;
    say("ready");
    for node in &nodes {
        while node.components().await?.len() < all {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for node in &nodes {
        for other in node.components().await? {
            let reply = node.component(&other).ask(Echo { n: 7 }).await?;
            assert_eq!((reply.n, reply.who.name), (7, other));
        }
    }
    say(&format!("done {}", nodes.len()));
    pending().await
}

struct Robot {
    life: u64,
    notes: Vec<(String, u64)>,
    tally: Rc<RefCell<Tally>>,
}

/// Whether this process has a handler for it.
fn is_sigterm_caught() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .unwrap();
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
    mask & (1 << (15 - 1)) != 0
}

thread_local! {
    /// Of all components of the thread: handlers without a component's state count here.
    static HOLDING: RefCell<u64> = const { RefCell::new(0) };
}

impl Robot {
    fn new(life: u64) -> Self {
        Self {
            life,
            notes: Vec::new(),
            tally: Rc::default(),
        }
    }
}

#[botzilla::component(groups = ["robots"])]
impl Robot {
    #[botzilla::handler]
    fn echo(&mut self, msg: Echo, ctx: &Ctx<Self>) -> Echoed {
        let who = Who {
            name: ctx.name().to_owned(),
            pid: std::process::id(),
            life: self.life,
        };
        Echoed { n: msg.n, who }
    }

    #[botzilla::handler]
    async fn hold(_: Hold) {
        HOLDING.with_borrow_mut(|count| *count += 1);
        pending::<()>().await;
    }

    #[botzilla::handler]
    async fn holding(_: Holding) -> u64 {
        HOLDING.with_borrow(|count| *count)
    }

    #[botzilla::handler]
    async fn wait(&mut self, _: Wait) {
        HOLDING.with_borrow_mut(|count| *count += 1);
        pending::<()>().await;
    }

    #[botzilla::handler]
    fn breaks(&mut self, _: Break) {
        panic!("broken");
    }

    #[botzilla::handler]
    fn hang(&mut self, _: Hang) {
        loop {
            std::thread::park();
        }
    }

    /// Says so once a signal would be heard, which no other test's orders expect.
    #[botzilla::handler]
    fn block(&mut self, _: Block) {
        while !is_sigterm_caught() {
            std::thread::yield_now();
        }
        say("blocks");
        loop {
            std::thread::park();
        }
    }

    #[botzilla::handler]
    async fn work(&mut self, msg: Work) -> u64 {
        tokio::time::sleep(Duration::from_millis(msg.ms)).await;
        msg.n
    }

    #[botzilla::handler(broadcast)]
    fn note(&mut self, msg: Note) {
        self.notes.push((msg.from, msg.n));
    }

    #[botzilla::handler]
    fn notes(&mut self, msg: Notes) -> Vec<u64> {
        let of_it = self.notes.iter().filter(|(from, _)| *from == msg.from);
        of_it.map(|(_, n)| *n).collect()
    }

    #[botzilla::handler]
    async fn ask_other(msg: AskOther, ctx: &Ctx<Self>) -> Result<Echoed, String> {
        let reply = ctx.component(&msg.to).ask(Echo { n: msg.n }).await;
        reply.map_err(|error| error.to_string())
    }

    #[botzilla::handler]
    async fn tell_other(msg: TellOther, ctx: &Ctx<Self>) -> Result<u64, String> {
        let to = ctx.component(&msg.to);
        for n in 0..msg.count {
            let note = Note {
                from: ctx.name().to_owned(),
                n,
            };
            drop(to.tell(note).await.map_err(|error| error.to_string())?);
        }
        let flushed = to.flush().await;
        match flushed.first_failure {
            None => Ok(flushed.delivered),
            Some(reason) => Err(reason.to_string()),
        }
    }

    #[botzilla::handler]
    async fn tell_all(msg: TellAll, ctx: &Ctx<Self>) -> Result<BroadcastReport, String> {
        let note = Note {
            from: ctx.name().to_owned(),
            n: msg.n,
        };
        let mut cast = ctx.broadcast(note).to_the_end();
        if let Some(group) = msg.group {
            cast = cast.group(group);
        }
        cast.await.map_err(|error| error.to_string())
    }

    #[botzilla::handler]
    async fn known(_: Known, ctx: &Ctx<Self>) -> Vec<String> {
        ctx.node().components().await.unwrap_or_default()
    }

    #[botzilla::handler]
    fn begin(&mut self, msg: Begin, ctx: &Ctx<Self>) {
        traffic(ctx, &msg.targets, &self.tally);
    }

    #[botzilla::handler]
    fn take_tally(&mut self, _: TakeTally) -> Tally {
        self.tally.take()
    }
}
