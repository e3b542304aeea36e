//! A robot: a registry, and three nodes with four components that all talk with each other. What is
//! the same in every scenario is here; what is done to it isn't.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::{net::TcpSocket, time::sleep};

use crate::{
    checker::{self, Account, Bounds, Figures},
    diary,
    network::{Host, Network},
    process::{Process, Usage},
    role::Plan,
};

/// A name resolves to its one live holder this long after a fault, and after what the registry needs
/// to recover.
const RESOLVED: Duration = Duration::from_secs(5);
/// A connection is found dead within this.
const DEAD_AFTER: Duration = Duration::from_secs(3);
/// What a bound that is promised may be exceeded by on a busy machine.
pub(crate) const SLACK: Duration = Duration::from_secs(2);
/// What a process may keep of a fault.
const RSS_KIB: u64 = 16 * 1024;
const DESCRIPTORS: u64 = 4;
/// How long it may take until it has given everything else back.
const GIVEN_BACK: Duration = Duration::from_secs(10);

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// How long a fault lasts.
pub(crate) fn fault_time() -> Duration {
    let set = std::env::var("BOTZILLA_CHAOS_SECONDS").ok();
    seconds(set.map_or(4, |set| {
        set.parse()
            .expect("BOTZILLA_CHAOS_SECONDS is whole seconds")
    }))
}

pub(crate) struct World<'a> {
    pub(crate) network: &'a Network,
    pub(crate) registry: Process,
    pub(crate) address: SocketAddr,
    pub(crate) nodes: Vec<Node>,
    pub(crate) plan: Plan,
    /// Put before the command of a host's process.
    pub(crate) prefixes: BTreeMap<&'static str, Vec<String>>,
    /// Of all processes that there were, in the order of their starts.
    records: Vec<Record>,
    before: BTreeMap<u32, Usage>,
    directory: TempDir,
    began: Instant,
    /// Bound and never listened on: so that nobody else gets the registry's port while it is away.
    _port: Option<TcpSocket>,
    notes: String,
}

/// A process with a node.
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) names: &'static str,
    pub(crate) process: Process,
    /// That it listens on.
    pub(crate) port: u16,
    record: usize,
}

impl Node {
    async fn ready(&mut self) {
        self.port = self.process.says("ready").await.parse().unwrap();
    }
}

struct Record {
    pid: u32,
    diary: PathBuf,
    killed: bool,
    still: Vec<(u64, u64)>,
}

/// Who comes later, if anybody does.
pub(crate) const NEWCOMER: &str = "e";

/// Where each component is.
const PLACES: [(Host, &str); 3] = [(Host::A, "a"), (Host::B, "b"), (Host::C, "c d")];

fn plan() -> Plan {
    Plan {
        names: ["a", "b", "c", "d"].map(str::to_owned).into(),
        within_ms: 4_000,
        every_ms: 40,
        burst: 3,
        large: 100_000,
        item_every_ms: 20,
        item: 1_000,
    }
}

impl<'a> World<'a> {
    /// All of it is up, and finds each other.
    pub(crate) async fn start(network: &'a Network) -> Self {
        Self::start_with(network, BTreeMap::new(), |_| {}).await
    }

    /// The same with words before the command of the processes with these names (`registry`, `b`).
    pub(crate) async fn start_with(
        network: &'a Network,
        prefixes: BTreeMap<&'static str, Vec<String>>,
        change: impl FnOnce(&mut Plan),
    ) -> Self {
        let began = Instant::now();
        let directory = TempDir::new().unwrap();
        let (mut port, mut address) = (None, (network.address(Host::Registry), 6985).into());
        if network.is_loopback() {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            address = socket.local_addr().unwrap();
            port = Some(socket);
        }
        let prefix = prefix(network, Host::Registry, prefixes.get("registry"));
        let mut plan = plan();
        change(&mut plan);
        let mut world = Self {
            registry: start_registry(address, &prefix, &directory, true).await,
            network,
            address,
            nodes: Vec::new(),
            plan,
            prefixes,
            records: Vec::new(),
            before: BTreeMap::new(),
            directory,
            began,
            _port: port,
            notes: String::new(),
        };
        let starting = PLACES.map(|(host, names)| world.begin_node(host, names));
        for mut node in starting {
            node.ready().await;
            world.nodes.push(node);
        }
        world.settled(Duration::ZERO).await;
        world
    }

    /// A process with a node, before it is known whether it comes up.
    pub(crate) fn begin_node(&mut self, host: Host, names: &'static str) -> Node {
        let listen = if self.network.is_loopback() {
            "127.0.0.1:0"
        } else {
            "0.0.0.0:0"
        };
        let settings = [
            ("CHAOS_REGISTRY", self.address.to_string()),
            ("CHAOS_LISTEN", listen.to_owned()),
            ("CHAOS_NAMES", names.to_owned()),
        ];
        let prefix = prefix(self.network, host, self.prefixes.get(names));
        let process = Process::start("node", &prefix, &settings, self.directory.path());
        let record = self.records.len();
        self.records.push(Record {
            pid: process.pid(),
            diary: process.diary.clone(),
            killed: false,
            still: Vec::new(),
        });
        Node {
            host,
            names,
            process,
            port: 0,
            record,
        }
    }

    /// A stranger on the guests' host.
    pub(crate) fn stranger(&self, role: &str, settings: &[(&str, String)]) -> Process {
        let prefix = prefix(self.network, Host::Guest, self.prefixes.get(role));
        Process::start(role, &prefix, settings, self.directory.path())
    }

    pub(crate) fn node(&mut self, names: &str) -> &mut Node {
        let found = self.nodes.iter_mut().find(|node| node.names == names);
        found.unwrap_or_else(|| panic!("there is no {names}"))
    }

    /// For the line that is printed in the end.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = write!(self.notes, "; {text}");
    }

    /// All traffic, for a moment, and what is used when it has ended: to compare with.
    pub(crate) async fn warm_up(&mut self) {
        self.begin().await;
        sleep(seconds(1)).await;
        self.settled(Duration::ZERO).await;
        self.stop().await;
        let used = |process: &Process| (process.pid(), process.usage());
        self.before = self.nodes.iter().map(|node| used(&node.process)).collect();
        self.before.extend([used(&self.registry)]);
    }

    /// Begins the traffic.
    pub(crate) async fn begin(&mut self) {
        let order = order_to_begin(&self.plan);
        let orders = self.nodes.iter_mut().map(|it| it.process.order(&order));
        for begun in join_all(orders).await {
            begun.unwrap();
        }
    }

    /// Sends no more; all outcomes are there.
    async fn stop(&mut self) {
        let orders = self.nodes.iter_mut().map(|it| it.process.order("stop"));
        for stopped in join_all(orders).await {
            stopped.unwrap();
        }
    }

    /// As by kill -9. It stays dead.
    pub(crate) fn kill(&mut self, names: &str) {
        let index = self.nodes.iter().position(|node| node.names == names);
        let mut node = self.nodes.remove(index.expect("it lives"));
        node.process.kill();
        self.records[node.record].killed = true;
    }

    /// Starts it again, as a new process with the same components, which takes part in the traffic.
    pub(crate) async fn revive(&mut self, names: &str) {
        let place = PLACES.iter().find(|place| place.1 == names);
        let &(host, names) = place.expect("it was there");
        let node = self.begin_node(host, names);
        self.join(node).await;
    }

    /// Takes part in the traffic from now on.
    pub(crate) async fn join(&mut self, mut node: Node) {
        node.ready().await;
        let order = order_to_begin(&self.plan);
        node.process.order(&order).await.unwrap();
        self.nodes.push(node);
    }

    pub(crate) async fn restart_registry(&mut self) {
        let prefix = prefix(self.network, Host::Registry, self.prefixes.get("registry"));
        self.before.remove(&self.registry.pid());
        self.registry = start_registry(self.address, &prefix, &self.directory, false).await;
    }

    /// SIGSTOP, for so long.
    pub(crate) async fn stand_still(&mut self, names: &str, time: Duration) {
        self.node(names).process.signal("STOP");
        let from = diary::now();
        sleep(time).await;
        self.node(names).process.signal("CONT");
        let (record, to) = (self.node(names).record, diary::now());
        self.records[record].still.push((from, to));
    }

    /// Waits until each node finds the one live holder of each name, the registry lists all of them
    /// and no others, and every subscription has items again: no longer than promised.
    pub(crate) async fn settled(&mut self, recovery: Duration) -> Duration {
        let since = Instant::now();
        let limit = recovery + RESOLVED + SLACK;
        let holders = self.nodes.iter().flat_map(|node| {
            let pid = node.process.pid();
            node.names.split(' ').map(move |name| (name, pid))
        });
        let holders: BTreeMap<&str, u32> = holders.collect();
        let flows = self.plan_runs().await;
        loop {
            let streams = if flows { &self.plan.names[..] } else { &[] };
            let looks = self.nodes.iter_mut();
            let looks = looks.map(|node| look(node, &holders, streams));
            let wrong = join_all(looks).await.concat();
            if wrong.is_empty() {
                return since.elapsed();
            }
            assert!(
                since.elapsed() < limit,
                "after {limit:?} it isn't as before: {}",
                wrong.join("; ")
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether items flow; what came before now doesn't count.
    async fn plan_runs(&mut self) -> bool {
        let orders = self.nodes.iter_mut().map(|it| it.process.order("heard"));
        let heard = join_all(orders).await;
        heard.into_iter().any(|heard| heard.unwrap() != "[]")
    }

    /// The time by both clocks of a node; see `role::node`.
    pub(crate) async fn clock(&mut self, names: &str) -> (f64, f64) {
        let said = self.node(names).process.order("clock").await.unwrap();
        let (wall, monotonic) = said.split_once(' ').unwrap();
        (wall.parse().unwrap(), monotonic.parse().unwrap())
    }

    /// That messages with much time left, sent to or from one of these in the second after it was
    /// lost, ended when its connections were found dead.
    pub(crate) fn given_up(&mut self, lost: &[&str], since: u64) {
        let accounts = self.accounts();
        let longest = checker::ends(&accounts)
            .into_iter()
            .filter(|end| {
                lost.iter()
                    .any(|name| *name == end.id.from || *name == end.id.to)
            })
            .filter(|end| end.within >= 5_000 && (since..since + 1_000).contains(&end.sent_at))
            .map(|end| end.ended_at.saturating_sub(since))
            .max();
        let longest = longest.expect("there is such a message each second");
        let limit = DEAD_AFTER + SLACK;
        assert!(
            longest < limit.as_millis() as u64,
            "given up after {longest} ms only"
        );
        self.note(&format!("given up after {longest} ms at most"));
    }

    /// Ends the traffic and adds everything up. Only what one of `touched` has sent, or was sent, may
    /// have failed; `allowed` are the ways in which it may.
    pub(crate) async fn finish(self, touched: &[&str], allowed: &[&str]) -> String {
        let is_touched = |name: &str| touched.contains(&name);
        let may_fail = |from: &str, to: &str| is_touched(from) || is_touched(to);
        self.add_up(may_fail, !touched.is_empty(), allowed).await
    }

    /// The same; only what went between these may have failed.
    pub(crate) async fn finish_between(self, pairs: &[(&str, &str)], allowed: &[&str]) -> String {
        let may_fail =
            |from: &str, to: &str| pairs.contains(&(from, to)) || pairs.contains(&(to, from));
        self.add_up(may_fail, true, allowed).await
    }

    async fn add_up(
        mut self,
        may_fail: impl Fn(&str, &str) -> bool,
        may_broadcasts: bool,
        allowed: &[&str],
    ) -> String {
        self.stop().await;
        self.complete().await;
        let (grown, more) = self.given_back().await;
        let (figures, found) = checker::check(&self.accounts(), Bounds::default());
        let mut broken = found;
        for ((from, to, why), count) in &figures.failures {
            if from == NEWCOMER && why == "not connected" {
                // `try_tell` doesn't wait for a first connection.
                continue;
            }
            let may = may_fail(from, to) || to == diary::EVERYONE && may_broadcasts;
            if ["interrupted", "full"].contains(&&**why) {
                // By the urgent ones, which is their right; and `try_tell` doesn't wait.
                continue;
            }
            let is_allowed = allowed.contains(&&**why) || why == "broadcast";
            if !may || !is_allowed {
                broken.push(format!(
                    "{count} messages from {from} to {to} ended as {why}"
                ));
            }
        }
        if !broken.is_empty() {
            let kept = std::mem::replace(&mut self.directory, TempDir::new().unwrap()).keep();
            panic!("{}\nin {}", broken.join("\n"), kept.display());
        }
        assert!(
            figures.delivered > 100 && figures.items > 100 && figures.broadcasts > 4,
            "there was hardly any traffic: {figures:?}"
        );
        self.line(&figures, grown, more)
    }

    fn line(&self, figures: &Figures, grown: i64, more: i64) -> String {
        format!(
            "{:.0} s, {} messages: {} delivered, {} not run, {} may have run ({} did), {} unknown, {} broadcasts; \
             {} items, {} missed; latest {} ms late (tells {}); RSS {:+.1} MiB, descriptors {:+}{}",
            self.began.elapsed().as_secs_f64(),
            figures.sent,
            figures.delivered,
            figures.not_run,
            figures.may_have_run,
            figures.did_run,
            figures.unknown,
            figures.broadcasts,
            figures.items,
            figures.missed,
            figures.latest,
            figures.latest_tell,
            grown as f64 / 1024.0,
            more,
            self.notes,
        )
    }

    pub(crate) fn accounts(&self) -> Vec<Account> {
        let account = |record: &Record| Account {
            pid: record.pid,
            killed: record.killed,
            still: record.still.clone(),
            lines: diary::read(&record.diary),
        };
        self.records.iter().map(account).collect()
    }

    /// Waits until every subscriber has the last item.
    async fn complete(&self) {
        let since = Instant::now();
        loop {
            let awaited = checker::awaited(&self.accounts());
            if awaited.is_empty() {
                return;
            }
            assert!(
                since.elapsed() < RESOLVED + SLACK,
                "items don't come: {}",
                awaited.join("; ")
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the processes that were there before use what they used then. What they use more,
    /// at most, in KiB and descriptors.
    async fn given_back(&self) -> (i64, i64) {
        let since = Instant::now();
        loop {
            let processes = self.nodes.iter().map(|node| &node.process);
            let mut worst = (i64::MIN, i64::MIN);
            let mut over = Vec::new();
            for process in processes.chain([&self.registry]) {
                let Some(before) = self.before.get(&process.pid()) else {
                    continue;
                };
                let now = process.usage();
                worst.0 = worst.0.max(now.rss_kib as i64 - before.rss_kib as i64);
                worst.1 = worst
                    .1
                    .max(now.descriptors as i64 - before.descriptors as i64);
                if now.rss_kib > before.rss_kib + RSS_KIB
                    || now.descriptors > before.descriptors + DESCRIPTORS
                {
                    over.push(format!("{}: {now:?}, before {before:?}", process.pid()));
                }
            }
            if over.is_empty() {
                return worst;
            }
            assert!(
                since.elapsed() < GIVEN_BACK,
                "it isn't given back: {}",
                over.join("; ")
            );
            sleep(Duration::from_millis(200)).await;
        }
    }
}

fn order_to_begin(plan: &Plan) -> String {
    format!("begin {}", serde_json::to_string(plan).unwrap())
}

fn prefix(network: &Network, host: Host, own: Option<&Vec<String>>) -> Vec<String> {
    let mut prefix = network.enter(host);
    prefix.extend(own.into_iter().flatten().cloned());
    prefix
}

async fn start_registry(
    address: SocketAddr,
    prefix: &[String],
    directory: &TempDir,
    is_fresh: bool,
) -> Process {
    let fresh = if is_fresh { "1" } else { "" };
    let settings = [
        ("CHAOS_LISTEN", address.to_string()),
        ("CHAOS_FRESH", fresh.to_owned()),
    ];
    let mut process = Process::start("registry", prefix, &settings, directory.path());
    process.says("ready").await;
    process
}

/// What isn't as it should be, as this node sees it.
async fn look(node: &mut Node, holders: &BTreeMap<&str, u32>, streams: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let process = &mut node.process;
    for (name, pid) in holders {
        match process.order(&format!("who {name}")).await {
            Ok(who) if who == pid.to_string() => {}
            other => wrong.push(format!("{name} for {} is {other:?}", node.names)),
        }
    }
    let listed = process.order("list").await;
    let all = holders.keys().copied().collect::<Vec<_>>().join(" ");
    if listed.as_ref() != Ok(&all) {
        wrong.push(format!("{} is shown {listed:?}", node.names));
    }
    if !streams.is_empty() {
        let heard = process.order("heard").await.unwrap();
        let heard: Vec<(String, String, u32, u64)> = serde_json::from_str(&heard).unwrap();
        for by in node.names.split(' ') {
            for name in streams.iter().filter(|name| *name != by) {
                let pid = holders[&**name];
                let stream = format!("{name}/item");
                if !heard
                    .iter()
                    .any(|it| (&*it.0, &*it.1, it.2) == (by, &*stream, pid))
                {
                    wrong.push(format!("{by} gets nothing of {stream}"));
                }
            }
        }
    }
    wrong
}
