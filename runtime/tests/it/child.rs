//! This program once more, in a process of its own: so that its memory is its own, too.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child as Process, ChildStdin, Command, Stdio},
    time::Duration,
};

use botzilla::{Limits, Node, RouteReport};
use tokio::sync::mpsc;

use crate::{
    parts,
    world::{self, PATIENCE, SOON},
};

const REGISTRY: &str = "BOTZILLA_IT_REGISTRY";
const PARTS: &str = "BOTZILLA_IT_PARTS";
const SUBSCRIPTIONS: &str = "BOTZILLA_IT_SUBSCRIPTIONS";

/// A node in a process of its own.
pub(crate) struct Child {
    process: Process,
    orders: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    pub(crate) address: SocketAddr,
}

/// What a process uses, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

impl Child {
    /// Starts a node with these parts; see [`parts::spawn`].
    pub(crate) async fn start(registry: SocketAddr, parts: &[&str]) -> Self {
        let subscriptions = Limits::default().subscriptions;
        Self::start_with(registry, parts, subscriptions).await
    }

    /// The same, with so many subscriptions a connection at most.
    pub(crate) async fn start_with(
        registry: SocketAddr,
        parts: &[&str],
        subscriptions: u32,
    ) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "child::the_other_process",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(REGISTRY, registry.to_string())
            .env(PARTS, parts.join(","))
            .env(SUBSCRIPTIONS, subscriptions.to_string())
            // What is measured is what the node holds, not what the allocator keeps for later: large
            // blocks go back at once, and there is one heap.
            .env("MALLOC_MMAP_THRESHOLD_", "8192")
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel(16);
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let orders = process.stdin.take();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut child = Self {
            process,
            orders,
            lines,
            address: any,
        };
        child.address = child.says("@address ").await.parse().unwrap();
        child
    }

    /// What follows on the line that begins so.
    async fn says(&mut self, begin: &str) -> String {
        let said = async {
            loop {
                let line = self.lines.recv().await.expect("the other process ended");
                if let Some(rest) = line.strip_prefix(begin) {
                    return rest.to_owned();
                }
            }
        };
        tokio::time::timeout(PATIENCE, said).await.unwrap()
    }

    pub(crate) fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).unwrap();
        let field = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        Memory {
            now: field("VmRSS:"),
            peak: field("VmHWM:"),
        }
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        self.entries("fd")
    }

    pub(crate) fn threads(&self) -> usize {
        self.entries("task")
    }

    fn entries(&self, of: &str) -> usize {
        let path = format!("/proc/{}/{of}", self.process.id());
        std::fs::read_dir(path).unwrap().count()
    }

    /// Sends it a signal, by its name: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it uses no more than so many KiB.
    pub(crate) async fn until_within(&self, kib: u64) {
        let within = async {
            while self.memory().now > kib {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), within)
            .await
            .is_err()
        {
            panic!("it keeps {:?}, and should {kib} KiB at most", self.memory());
        }
    }

    /// Shuts it down. What it counted on its connections, once all are closed.
    pub(crate) async fn stop(mut self) -> Vec<RouteReport> {
        drop(self.orders.take());
        let counters = self.says("@counters ").await;
        self.process.wait().unwrap();
        serde_json::from_str(&counters).unwrap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does nothing, unless it is started by [`Child::start`].
#[test]
fn the_other_process() {
    let set = [REGISTRY, PARTS, SUBSCRIPTIONS].map(std::env::var);
    let [Ok(registry), Ok(parts), Ok(subscriptions)] = set else {
        return;
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Nobody says anything: it is the end of the one who started this that counts.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(stop);
    });
    actix_rt::System::new().block_on(async move {
        let mut limits = Limits::default();
        limits.subscriptions = subscriptions.parse().unwrap();
        let config = world::config(registry.parse().unwrap()).limits(limits);
        let node = world::started(config).await;
        for part in parts.split(',') {
            parts::spawn(&node, part).await;
        }
        say(&format!("@address {}", node.address().unwrap()));
        let _ = stopped.await;
        end(&node).await;
    });
}

async fn end(node: &Node) {
    node.shutdown(SOON).await;
    say(&format!(
        "@counters {}",
        serde_json::to_string(&node.counters()).unwrap()
    ));
}

fn say(line: &str) {
    // Past the test harness, which has begun a line of its own.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{line}");
    let _ = out.flush();
}
