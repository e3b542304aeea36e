//! Processes, and waiting for what they do.

use std::{
    future::Future,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use botzilla::{
    Node, NodeConfig,
    directory::messages::{List, ListReply, REGISTRY},
};
use tokio::{
    net::TcpSocket,
    sync::mpsc,
    time::{sleep, timeout},
};

use super::talk::{Begin, Echo, TakeTally, Tally, Who};

/// The one secret; as keygen makes it, for a passphrase takes long to become a key.
pub(crate) const SECRET: &str = "bz1:it:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// For what takes a moment: a machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A test of several minutes hangs.
const WHOLE: Duration = Duration::from_secs(120);
/// What a bound that is promised may be exceeded by on a busy machine.
pub(crate) const SLACK: Duration = Duration::from_secs(2);

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let timed = async { timeout(WHOLE, test).await };
    runtime.block_on(timed).expect("it hangs");
}

/// Looks again and again until it is as it should be; the error says how it is instead. Returns when
/// that was.
pub(crate) async fn until<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let since = Instant::now();
    loop {
        let looked = timeout(limit + SLACK, look()).await;
        match looked.unwrap_or_else(|_| Err("looking takes for ever".to_owned())) {
            Ok(seen) => return seen,
            Err(instead) if since.elapsed() > limit => {
                panic!("{what}: not within {limit:?}; {instead}")
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A process of this test. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    /// This binary in another role; on a host of the lab if `IT_HOST` says which.
    pub(crate) fn start(role: &str, settings: &[(&str, &str)]) -> Self {
        let this = std::env::current_exe().unwrap();
        let mut command = match settings.iter().find(|(name, _)| *name == "IT_HOST") {
            Some((_, host)) => {
                // It becomes the program: its process is this one.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", host]).arg(this);
                command
            }
            None => Command::new(this),
        };
        command
            .args([
                "--exact",
                "processes::child::role",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("IT_ROLE", role)
            .envs(settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel(64);
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { break };
                if let Some(said) = line.strip_prefix('@') {
                    let _ = sender.blocking_send(said.to_owned());
                }
            }
        });
        Self { child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next that it says, which begins with this word.
    pub(crate) async fn says(&mut self, word: &str) -> String {
        let line = timeout(PATIENCE, self.lines.recv()).await;
        let line = line.unwrap_or_else(|_| panic!("it doesn't say {word:?}"));
        let line = line.unwrap_or_else(|| panic!("it ended before it said {word:?}"));
        let rest = line.strip_prefix(word);
        let rest = rest.unwrap_or_else(|| panic!("it should say {word:?} and says {line:?}"));
        rest.trim().to_owned()
    }

    pub(crate) fn order(&mut self, text: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{text}").unwrap();
    }

    /// As by kill -9: it has no chance to say anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        until(limit, "the process ends", async || {
            let ended = self.child.try_wait().unwrap();
            ended.ok_or_else(|| "it runs".to_owned())
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A registry in a process of its own, at an address that stays when it is gone.
pub(crate) struct RegistryProcess {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    /// Bound and never listened on, so that nobody else gets the port while no registry has it.
    _port: TcpSocket,
}

impl RegistryProcess {
    /// One that gives names from the first moment on.
    pub(crate) async fn fresh() -> Self {
        let port = TcpSocket::new_v4().unwrap();
        port.set_reuseaddr(true).unwrap();
        port.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = port.local_addr().unwrap();
        let process = Self::start(address, true).await;
        Self {
            address,
            process,
            _port: port,
        }
    }

    /// Starts it again, empty; somebody may have had names at the one before.
    pub(crate) async fn restart(&mut self) {
        self.process = Self::start(self.address, false).await;
    }

    async fn start(address: SocketAddr, fresh: bool) -> Process {
        let listen = address.to_string();
        let fresh = if fresh { "1" } else { "" };
        let mut process =
            Process::start("registry", &[("IT_LISTEN", &listen), ("IT_FRESH", fresh)]);
        process.says("ready").await;
        process
    }

    /// A process with a node and these components, which is registered.
    pub(crate) async fn node(&self, names: &str) -> NodeProcess {
        node_at(self.address, names, &[]).await
    }

    /// The same, before it is known whether it comes up.
    pub(crate) fn begin_node(&self, names: &str) -> Process {
        begin_node_at(&self.address, names, &[])
    }

    /// Processes of a component each, with traffic from each to all others.
    pub(crate) async fn busy(&self, names: &[&str]) -> Vec<NodeProcess> {
        let starting = names.iter().map(|name| self.node(name));
        let processes = futures_util::future::join_all(starting).await;
        let node = self.here().await;
        for name in names {
            begin(&node, name, names).await;
        }
        node.shutdown(Duration::ZERO).await;
        processes
    }

    /// A node in this process.
    pub(crate) async fn here(&self) -> Node {
        let config = NodeConfig::new(self.address.to_string(), SECRET).unwrap();
        let node = Node::start(config.listen("127.0.0.1:0")).await.unwrap();
        node.ready().await;
        node
    }

    pub(crate) fn begin_many(&self, names: &str, all: usize) -> Process {
        let (registry, all) = (self.address.to_string(), all.to_string());
        Process::start(
            "many",
            &[
                ("IT_REGISTRY", &registry),
                ("IT_NAMES", names),
                ("IT_ALL", &all),
            ],
        )
    }
}

/// A process with a node.
pub(crate) struct NodeProcess {
    pub(crate) process: Process,
    pub(crate) id: String,
    pub(crate) address: String,
}

pub(crate) async fn node_at(
    registry: impl ToString,
    names: &str,
    settings: &[(&str, &str)],
) -> NodeProcess {
    let mut process = begin_node_at(&registry, names, settings);
    let ready = process.says("ready").await;
    let (id, address) = ready.split_once(' ').unwrap();
    NodeProcess {
        id: id.to_owned(),
        address: address.to_owned(),
        process,
    }
}

pub(crate) fn begin_node_at(
    registry: &impl ToString,
    names: &str,
    settings: &[(&str, &str)],
) -> Process {
    let registry = registry.to_string();
    let mut all = vec![("IT_REGISTRY", &*registry), ("IT_NAMES", names)];
    all.extend_from_slice(settings);
    Process::start("node", &all)
}

/// Begins the traffic from one to all others of these.
pub(crate) async fn begin(node: &Node, name: &str, all: &[&str]) {
    let others = all.iter().filter(|other| **other != name);
    let targets = others.map(|other| (*other).to_owned()).collect();
    node.component(name).ask(Begin { targets }).await.unwrap();
}

pub(crate) async fn tally(node: &Node, name: &str) -> Tally {
    node.component(name).ask(TakeTally {}).await.unwrap()
}

/// Waits until its traffic to all of these goes well, as it may not while they come up.
pub(crate) async fn settled(node: &Node, name: &str, all: &[&str]) {
    let targets: Vec<_> = all.iter().filter(|other| **other != name).collect();
    let kinds = targets
        .iter()
        .flat_map(|it| [format!("ask {it}"), format!("tell {it}")]);
    let kinds: Vec<_> = kinds.chain(["broadcast (all)".to_owned()]).collect();
    // Twice each: the first of them may have begun long ago.
    let (mut missing, mut rounds) = (kinds.clone(), 0);
    until(seconds(15), "its traffic goes well", async || {
        let tally = tally(node, name).await;
        if tally
            .failed
            .iter()
            .any(|failed| targets.contains(&&&*failed.target))
        {
            (missing, rounds) = (kinds.clone(), 0);
            return Err(format!("{tally:?}"));
        }
        missing.retain(|kind| !tally.well.contains(kind));
        if missing.is_empty() {
            (missing, rounds) = (kinds.clone(), rounds + 1);
        }
        if rounds == 2 {
            Ok(())
        } else {
            Err(format!("{missing:?} for round {rounds}"))
        }
    })
    .await;
}

/// Which instance answers to a name.
pub(crate) async fn who(node: &Node, name: &str) -> Who {
    node.component(name).ask(Echo { n: 1 }).await.unwrap().who
}

pub(crate) async fn list(node: &Node) -> Result<ListReply, String> {
    let asked = node.component(REGISTRY).ask(List::default()).await;
    asked.map_err(|error| error.to_string())
}

pub(crate) fn names(list: &ListReply) -> Vec<&str> {
    list.components.iter().map(|it| it.name.as_str()).collect()
}

/// Waits until exactly these are listed.
pub(crate) async fn until_listed(node: &Node, limit: Duration, wanted: &[&str]) {
    until(limit, "the list is as it should be", async || {
        let list = list(node).await?;
        if names(&list) == wanted {
            Ok(())
        } else {
            Err(format!("{:?}", names(&list)))
        }
    })
    .await;
}
