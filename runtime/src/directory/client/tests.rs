//! The client against a registry of a few lines, on a clock that the test owns.

mod streams;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use serde_json::{Value, from_value, to_value};

use super::*;
use crate::directory::{
    facts::{Entry, HolderFacts, StreamFacts},
    messages::{
        Change, Found, News, Outcome, RegisterReply, Registered, Removal, Standing, Waiting, Watch,
        WatchReply,
    },
    replica::epoch_text,
};

const US: NodeId = NodeId([1; 16]);
const OTHER: NodeId = NodeId([2; 16]);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreachable(&'static str);

/// A registry that grants what is free and logs what it is asked.
#[derive(Default)]
struct Registry {
    epoch: u64,
    recovering: bool,
    down: bool,
    revision: u64,
    names: BTreeMap<String, (NodeId, u64)>,
    /// The streams of those that have some.
    streams: BTreeMap<String, Vec<StreamFacts>>,
    /// All claims on these names wait.
    undecided: Vec<String>,
    removals: Vec<(u64, String, Removal)>,
    log: Vec<String>,
    lost: Vec<String>,
}

#[derive(Clone, Default)]
struct Node {
    registry: Rc<RefCell<Registry>>,
    news: Rc<Notify>,
}

fn facts(id: NodeId) -> NodeFacts {
    NodeFacts {
        id: id.to_string(),
        ..NodeFacts::default()
    }
}

fn component(name: &str) -> ComponentFacts {
    ComponentFacts {
        name: name.into(),
        ..ComponentFacts::default()
    }
}

fn entry(name: &str, holder: NodeId, revision: u64) -> Entry {
    Entry {
        component: component(name),
        node: holder.to_string(),
        revision,
    }
}

impl Registry {
    fn give(&mut self, name: &str, node: NodeId) {
        self.revision += 1;
        self.names.insert(name.into(), (node, self.revision));
    }

    fn forget(&mut self, name: &str) {
        self.revision += 1;
        self.names.remove(name);
        self.removals
            .push((self.revision, name.into(), Removal::Lapsed));
    }

    fn restart(&mut self) {
        let log = std::mem::take(&mut self.log);
        *self = Self {
            epoch: self.epoch + 1,
            revision: 1,
            recovering: true,
            log,
            ..Self::default()
        };
    }

    fn register(&mut self, msg: &Register) -> RegisterReply {
        let mut names: Vec<String> = Vec::new();
        let mut results = Vec::new();
        for claim in &msg.components {
            let name = claim.component.name.clone();
            let held = matches!(claim.standing, Standing::Held { .. });
            names.push(format!("{name}{}", if held { "!" } else { "" }));
            let outcome = match self.names.get(&name) {
                _ if self.undecided.contains(&name) => Outcome::Waiting {
                    reason: Waiting::Recovering,
                    left_ms: 1,
                },
                Some((node, revision)) if *node == US => {
                    let streams = &claim.component.streams;
                    let mut revision = *revision;
                    if self.streams.get(&name).is_none_or(|known| known != streams) {
                        self.give(&name, US);
                        revision = self.revision;
                    }
                    Outcome::Granted { revision }
                }
                Some(_) if held => Outcome::NameLost {
                    to: HolderFacts::default(),
                },
                Some(_) => Outcome::Held {
                    by: HolderFacts::default(),
                },
                None => {
                    self.give(&name, US);
                    Outcome::Granted {
                        revision: self.revision,
                    }
                }
            };
            if let Outcome::Granted { .. } = outcome {
                let streams = claim.component.streams.clone();
                self.streams.insert(name.clone(), streams);
            }
            results.push(Registered { name, outcome });
        }
        names.sort_unstable();
        let kind = if msg.complete { "all" } else { "new" };
        self.log.push(format!("{kind} {}", names.join(" ")));
        RegisterReply {
            epoch: epoch_text(self.epoch),
            recovering: self.recovering,
            results,
            encrypted: false,
        }
    }

    fn watch(&self, msg: &Watch) -> Option<WatchReply> {
        let node_facts = || vec![facts(US), facts(OTHER)];
        let entries = |since: u64| {
            let names = self.names.iter().filter(move |it| it.1.1 > since);
            names.map(|(name, (node, revision))| {
                let mut entry = entry(name, *node, *revision);
                entry.component.streams = self.streams.get(name).cloned().unwrap_or_default();
                entry
            })
        };
        let news = if msg.epoch != epoch_text(self.epoch) {
            News::Page {
                revision: self.revision,
                nodes: node_facts(),
                entries: entries(0).collect(),
                more: false,
            }
        } else if msg.revision == self.revision && msg.recovering == self.recovering {
            return None;
        } else {
            let removals = self.removals.iter().filter(|it| it.0 > msg.revision);
            let removed = removals.map(|(_, name, reason)| Change::Removed {
                name: name.clone(),
                reason: *reason,
            });
            let set = entries(msg.revision).map(|entry| Change::Set { entry });
            News::Changes {
                revision: self.revision,
                nodes: node_facts(),
                changes: removed.chain(set).collect(),
                more: false,
            }
        };
        Some(WatchReply {
            epoch: epoch_text(self.epoch),
            recovering: self.recovering,
            news,
        })
    }
}

impl Home for Node {
    type Error = Unreachable;

    fn id(&self) -> NodeId {
        US
    }

    fn facts(&self) -> NodeFacts {
        facts(US)
    }

    async fn ask<M: Message>(&self, msg: M, within: Duration) -> Result<M::Reply, Unreachable> {
        let msg = to_value(&msg).unwrap();
        let answered = tokio::time::timeout(within, self.answer(M::NAME, msg)).await;
        let reply = answered.map_err(|_| Unreachable("no answer in time"))??;
        Ok(from_value(reply).unwrap())
    }

    fn connected(&self, _: &NodeId) -> bool {
        true
    }

    fn name_lost(&self, name: &Name, _: &Refused) {
        self.registry.borrow_mut().lost.push(name.to_string());
    }

    fn changed(&self, _: &Applied) {}
}

impl Node {
    /// Changes the registry, and lets those who watch know.
    fn change(&self, change: impl FnOnce(&mut Registry)) {
        change(&mut self.registry.borrow_mut());
        self.news.notify_waiters();
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.registry.borrow_mut().log)
    }

    async fn answer(&self, name: &str, msg: Value) -> Result<Value, Unreachable> {
        loop {
            let news = self.news.notified();
            let epoch = self.registry.borrow().epoch;
            if self.registry.borrow().down {
                return Err(Unreachable("refused"));
            }
            let reply = match name {
                "Register" => {
                    let msg: Register = from_value(msg.clone()).unwrap();
                    let reply = self.registry.borrow_mut().register(&msg);
                    self.news.notify_waiters();
                    let waits = |it: &Registered| matches!(it.outcome, Outcome::Waiting { .. });
                    if msg.wait_ms > 0 && reply.results.iter().any(waits) {
                        let held = Duration::from_millis(msg.wait_ms);
                        let _ = tokio::time::timeout(held, self.news.notified()).await;
                    }
                    Some(to_value(reply).unwrap())
                }
                "Watch" => {
                    let msg: Watch = from_value(msg.clone()).unwrap();
                    let reply = self.registry.borrow().watch(&msg);
                    reply.map(|reply| to_value(reply).unwrap())
                }
                "Deregister" => {
                    let msg: Deregister = from_value(msg.clone()).unwrap();
                    let mut registry = self.registry.borrow_mut();
                    registry.log.push(format!("gone {}", msg.names.join(" ")));
                    for name in &msg.names {
                        registry.forget(name);
                    }
                    Some(Value::Null)
                }
                "Resolve" => {
                    // Long enough for others to ask the same.
                    tokio::task::yield_now().await;
                    let mut registry = self.registry.borrow_mut();
                    registry.log.push("resolve".into());
                    let name = msg["name"].as_str().unwrap();
                    let found = registry.names.get(name).map(|(node, revision)| Found {
                        entry: entry(name, *node, *revision),
                        node: facts(*node),
                    });
                    let reply = ResolveReply {
                        epoch: epoch_text(registry.epoch),
                        found,
                        ..ResolveReply::default()
                    };
                    Some(to_value(reply).unwrap())
                }
                other => panic!("what is {other}?"),
            };
            if let Some(reply) = reply {
                return Ok(reply);
            }
            news.await;
            // A restart ends its connections.
            if self.registry.borrow().epoch != epoch {
                return Err(Unreachable("disconnected"));
            }
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn in_touch(directory: &Directory) {
    let mut status = directory.status();
    status.wait_for(|status| status.in_touch).await.unwrap();
}

/// Runs a test beside the client of a node whose registry is up.
async fn beside<F: Future<Output = ()>>(test: impl FnOnce(Rc<Directory>, Node) -> F) {
    let node = Node::default();
    node.change(|registry| registry.revision = 1);
    let directory = Rc::new(Directory::new());
    let client = directory.run(&node);
    tokio::select! {
        () = client => panic!("the client never ends"),
        () = test(Rc::clone(&directory), node.clone()) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_granted_and_seen_by_all() {
    beside(|directory, node| async move {
        let decision = directory.announce(&name("drive"), component("drive"));
        assert_eq!(decision.await.unwrap(), Ok(()));
        in_touch(&directory).await;
        node.change(|registry| registry.give("lidar", OTHER));
        while directory.get("lidar").is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(directory.get("lidar").unwrap().place.id, OTHER);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_refused_and_not_claimed_again() {
    beside(|directory, node| async move {
        node.change(|registry| registry.give("drive", OTHER));
        let decision = directory.announce(&name("drive"), component("drive"));
        assert!(matches!(decision.await.unwrap(), Err(Refused::Held { .. })));
        in_touch(&directory).await;
        node.log();
        let decision = directory.announce(&name("lidar"), component("lidar"));
        assert_eq!(decision.await.unwrap(), Ok(()));
        assert_eq!(node.log(), ["new lidar"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_waits_delays_no_other_and_is_asked_for_until_it_is_decided() {
    beside(|directory, node| async move {
        in_touch(&directory).await;
        node.change(|registry| registry.undecided.push("slow".into()));
        let slow = directory.announce(&name("slow"), component("slow"));
        tokio::time::sleep(Duration::from_secs(30)).await;
        // A held question each 4 s, and not one after the other.
        assert!((5..15).contains(&node.log().len()));
        let quick = directory.announce(&name("quick"), component("quick"));
        assert_eq!(quick.await.unwrap(), Ok(()));
        node.change(|registry| registry.undecided.clear());
        assert_eq!(slow.await.unwrap(), Ok(()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_of_the_registry_everything_is_told_again_at_once() {
    beside(|directory, node| async move {
        for text in ["a", "b"] {
            let decision = directory.announce(&name(text), component(text));
            decision.await.unwrap().unwrap();
        }
        in_touch(&directory).await;
        node.log();
        node.change(|registry| {
            registry.down = true;
            registry.restart();
            registry.down = true;
        });
        let mut status = directory.status();
        status.wait_for(|status| status.failures > 5).await.unwrap();
        assert!(directory.get("a").is_some(), "what is known stays in use");
        node.change(|registry| registry.down = false);
        in_touch(&directory).await;
        assert_eq!(node.log(), ["all a! b!"]);
        while !directory.status().borrow().recovering {
            tokio::task::yield_now().await;
        }
        node.change(|registry| registry.recovering = false);
        status.wait_for(|status| !status.recovering).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_changed_tells_all_that_it_has_again_and_once() {
    beside(|directory, node| async move {
        let decision = directory.announce(&name("a"), component("a"));
        decision.await.unwrap().unwrap();
        in_touch(&directory).await;
        node.log();
        directory.node_changed();
        while node.registry.borrow().log.is_empty() {
            tokio::task::yield_now().await;
        }
        let decision = directory.announce(&name("b"), component("b"));
        decision.await.unwrap().unwrap();
        assert_eq!(node.log(), ["all a!", "new b"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_pause_between_attempts_is_never_longer_than_two_seconds() {
    beside(|directory, node| async move {
        node.change(|registry| registry.down = true);
        let mut status = directory.status();
        let begin = tokio::time::Instant::now();
        status
            .wait_for(|status| status.failures == 40)
            .await
            .unwrap();
        assert!(begin.elapsed() <= Duration::from_secs(80));
        let trouble = status.borrow().trouble.clone().unwrap();
        assert_eq!(&*trouble, "the registry can't be reached: refused");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_the_registry_forgot_is_claimed_again_and_one_it_gave_away_is_lost() {
    beside(|directory, node| async move {
        for text in ["a", "b"] {
            let decision = directory.announce(&name(text), component(text));
            decision.await.unwrap().unwrap();
        }
        in_touch(&directory).await;
        while directory.read(Replica::len) < 2 {
            tokio::task::yield_now().await;
        }
        node.log();
        node.change(|registry| {
            registry.forget("a");
            registry.give("b", OTHER);
        });
        while !node.registry.borrow().names.contains_key("a") {
            tokio::task::yield_now().await;
        }
        assert_eq!(node.log(), ["new a!"]);
        assert_eq!(node.registry.borrow().lost, ["b"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_is_given_up() {
    beside(|directory, node| async move {
        for text in ["a", "b"] {
            let decision = directory.announce(&name(text), component(text));
            decision.await.unwrap().unwrap();
        }
        in_touch(&directory).await;
        node.log();
        directory.withdraw(&name("a"), Removal::Deregistered);
        while node.registry.borrow().names.contains_key("a") {
            tokio::task::yield_now().await;
        }
        assert_eq!(node.log(), ["gone a"]);
        directory
            .leave(&node, Duration::from_secs(1))
            .await
            .unwrap();
        assert_eq!(node.log(), ["gone b"]);
        assert!(node.registry.borrow().names.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_who_miss_a_name_ask_the_registry_once() {
    let node = Node::default();
    let directory = Directory::new();
    node.change(|registry| registry.give("lidar", OTHER));
    let lidar = name("lidar");
    let within = Duration::from_secs(1);
    let ask = || directory.resolve(&node, &lidar, within, Duration::ZERO);
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    for resolved in [a, b, c] {
        assert_eq!(resolved.unwrap().located.unwrap().place.id, OTHER);
    }
    assert_eq!(node.log(), ["resolve"]);
    // Who asks first and goes away leaves it to the next.
    let mut first = Box::pin(ask());
    assert!(futures_util::poll!(&mut first).is_pending());
    let mut second = Box::pin(ask());
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    assert!(second.await.unwrap().located.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_whose_time_is_over_leaves_the_one_who_asks_alone() {
    let node = Node::default();
    let directory = Directory::new();
    let lidar = name("lidar");
    let ask = |within| directory.resolve(&node, &lidar, within, Duration::ZERO);
    let mut first = Box::pin(ask(Duration::from_secs(1)));
    assert!(futures_util::poll!(&mut first).is_pending());
    drop(ask(Duration::ZERO).await);
    assert!(
        directory.resolving.lock().contains_key(&lidar),
        "the first still asks"
    );
    drop(first);
    assert!(directory.resolving.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_ask_about_a_name_is_told_so_within_the_time() {
    let node = Node::default();
    let directory = Directory::new();
    node.change(|registry| registry.down = true);
    let within = Duration::from_secs(1);
    let (lidar, ask) = (name("lidar"), |name| {
        directory.resolve(&node, name, within, Duration::ZERO)
    });
    let (a, b) = tokio::join!(ask(&lidar), ask(&lidar));
    assert!(a.is_err() && b.is_err());
    assert!(directory.resolving.lock().is_empty());
}
