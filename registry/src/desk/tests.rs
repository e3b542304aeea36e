use std::sync::{Arc, Mutex};

use botzilla::directory::{
    facts::{ComponentFacts, NodeFacts},
    messages::{Change, Claim, News, Standing},
};

use super::*;
use crate::table::{Link, Rules};

const ONE: NodeId = NodeId([1; 16]);
const TWO: NodeId = NodeId([2; 16]);

struct Counter {
    desk: Desk,
    now: Instant,
    gone: Vec<NodeId>,
}

/// An answer, once it is given.
struct Slip<R>(Arc<Mutex<Option<R>>>);

impl<R: Send + 'static> Slip<R> {
    fn new() -> (Self, Reply<R>) {
        let slot = Arc::new(Mutex::new(None));
        let slip = Self(Arc::clone(&slot));
        let reply = move |answer| *slot.lock().unwrap() = Some(answer);
        (slip, Box::new(reply))
    }

    fn take(&self) -> Option<R> {
        self.0.lock().unwrap().take()
    }
}

fn register(node: NodeId, name: &str, wait_ms: u64) -> Register {
    Register {
        node: NodeFacts {
            id: node.to_string(),
            ..NodeFacts::default()
        },
        components: vec![Claim {
            component: ComponentFacts {
                name: name.into(),
                ..ComponentFacts::default()
            },
            standing: Standing::New,
        }],
        complete: true,
        wait_ms,
    }
}

impl Counter {
    fn starting() -> Self {
        let now = Instant::now();
        Self {
            desk: Desk::new(Table::new(Rules::default(), 1, now), now),
            now,
            gone: Vec::new(),
        }
    }

    fn settled() -> Self {
        let mut counter = Self::starting();
        counter.pass(11_000);
        counter
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now += Duration::from_millis(100);
            let (now, gone) = (self.now, self.gone.clone());
            self.desk.tick(now, &links(now, gone));
        }
    }

    fn register(&mut self, from: NodeId, msg: Register) -> Slip<RegisterReply> {
        let (slip, reply) = Slip::new();
        let links = links(self.now, self.gone.clone());
        self.desk.register(self.now, &links, from, msg, reply);
        slip
    }

    fn deregister(&mut self, from: NodeId, name: &str) {
        let msg = Deregister {
            node: from.to_string(),
            names: vec![name.into()],
            failed: Vec::new(),
        };
        let links = links(self.now, self.gone.clone());
        self.desk.deregister(self.now, &links, from, &msg);
    }

    /// Watches from the present position.
    fn watch(&mut self, from: NodeId, wait_ms: u64) -> Slip<WatchReply> {
        let (revision, _) = self.desk.table().news();
        self.watch_from(from, revision, wait_ms)
    }

    fn watch_from(&mut self, from: NodeId, revision: u64, wait_ms: u64) -> Slip<WatchReply> {
        let recovering = self.desk.table().is_recovering();
        let msg = Watch {
            epoch: self.desk.table().epoch(),
            revision,
            recovering,
            after: None,
            wait_ms,
        };
        let (slip, reply) = Slip::new();
        self.desk.watch(self.now, from, msg, reply);
        slip
    }
}

fn links(now: Instant, gone: Vec<NodeId>) -> impl Links {
    move |node: NodeId| {
        Some(Link {
            connected: !gone.contains(&node),
            last_heard: now,
            address: None,
        })
    }
}

fn outcome(slip: &Slip<RegisterReply>) -> Option<Outcome> {
    let mut reply = slip.take()?;
    Some(reply.results.remove(0).outcome)
}

fn changes(slip: &Slip<WatchReply>) -> Option<usize> {
    match slip.take()?.news {
        News::Changes { changes, .. } => Some(changes.len()),
        News::Page { .. } => panic!("a snapshot"),
    }
}

#[test]
fn a_watch_is_held_until_something_changes() {
    let mut counter = Counter::settled();
    let slip = counter.watch(TWO, 20_000);
    counter.pass(5000);
    assert!(slip.take().is_none());
    counter.register(ONE, register(ONE, "a", 0));
    assert_eq!(changes(&slip), Some(1));
}

#[test]
fn a_watch_ends_with_no_news_after_its_time_and_at_once_without_any() {
    let mut counter = Counter::settled();
    let (held, at_once) = (counter.watch(TWO, 3000), counter.watch(ONE, 0));
    assert_eq!(changes(&at_once), Some(0));
    counter.pass(2900);
    assert!(held.take().is_none());
    counter.pass(100);
    assert_eq!(changes(&held), Some(0));
}

#[test]
fn a_node_s_newer_watch_ends_its_older_one() {
    let mut counter = Counter::settled();
    let older = counter.watch(TWO, 20_000);
    let newer = counter.watch(TWO, 20_000);
    assert_eq!(changes(&older), Some(0));
    counter.register(ONE, register(ONE, "a", 0));
    assert_eq!(changes(&newer), Some(1));
}

#[test]
fn the_end_of_recovery_is_told_to_all_who_wait_for_it() {
    let mut counter = Counter::starting();
    let watch = counter.watch(TWO, 20_000);
    let (list, reply) = Slip::new();
    let wait_ms = 20_000;
    let ask = List {
        wait_ms,
        ..List::default()
    };
    let none = links(counter.now, Vec::new());
    counter.desk.list(counter.now, &none, ask, reply);
    let (resolve, reply) = Slip::new();
    let name = "a".into();
    let ask = Resolve { name, wait_ms };
    counter.desk.resolve(counter.now, ask, reply);
    counter.pass(9900);
    assert!(watch.take().is_none() && list.take().is_none() && resolve.take().is_none());
    counter.pass(100);
    assert!(!watch.take().unwrap().recovering);
    assert!(!list.take().unwrap().recovering);
    assert!(resolve.take().unwrap().found.is_none());
}

#[test]
fn a_name_that_is_waited_for_is_told_as_soon_as_it_is_back() {
    let mut counter = Counter::starting();
    let (resolve, reply) = Slip::new();
    let ask = Resolve {
        name: "a".into(),
        wait_ms: 20_000,
    };
    counter.desk.resolve(counter.now, ask, reply);
    let mut back = register(ONE, "a", 0);
    back.components[0].standing = Standing::Held {
        confirmed_ms_ago: 100,
    };
    counter.register(ONE, back);
    assert!(resolve.take().unwrap().found.is_some());
}

#[test]
fn a_claim_that_waits_is_answered_when_it_is_decided() {
    let mut counter = Counter::settled();
    counter.register(ONE, register(ONE, "a", 0));
    counter.gone = vec![ONE];
    let slip = counter.register(TWO, register(TWO, "a", 4000));
    counter.pass(2900);
    assert!(slip.take().is_none());
    counter.pass(100);
    assert!(matches!(outcome(&slip), Some(Outcome::Granted { .. })));
}

#[test]
fn a_claim_that_waits_is_answered_as_it_stands_when_its_time_is_over() {
    let mut counter = Counter::settled();
    counter.register(ONE, register(ONE, "a", 0));
    counter.gone = vec![ONE];
    let slip = counter.register(TWO, register(TWO, "a", 1000));
    counter.pass(1000);
    assert!(matches!(outcome(&slip), Some(Outcome::Waiting { .. })));
    // The claim keeps its place all the same.
    counter.pass(2000);
    let slip = counter.register(TWO, register(TWO, "a", 0));
    assert!(matches!(outcome(&slip), Some(Outcome::Granted { .. })));
}

#[test]
fn what_is_given_up_while_a_claim_waits_is_not_brought_back_by_it() {
    let mut counter = Counter::settled();
    counter.register(ONE, register(ONE, "a", 0));
    counter.gone = vec![ONE];
    let slip = counter.register(TWO, register(TWO, "a", 4000));
    counter.deregister(TWO, "a");
    assert!(matches!(outcome(&slip), Some(Outcome::Waiting { .. })));
    counter.pass(5000);
    let row = counter.desk.table().store().component("a");
    assert_eq!(row.unwrap().node, ONE);
}

#[test]
fn a_claimant_that_is_gone_gets_no_answer_and_no_name() {
    let mut counter = Counter::settled();
    counter.register(ONE, register(ONE, "a", 0));
    counter.gone = vec![ONE, TWO];
    let slip = counter.register(TWO, register(TWO, "a", 4000));
    counter.pass(5000);
    assert!(slip.take().is_none());
    assert!(counter.desk.registrations.is_empty());
}

#[test]
fn a_node_speaks_for_itself_only() {
    let mut counter = Counter::settled();
    let slip = counter.register(TWO, register(ONE, "a", 0));
    assert!(matches!(outcome(&slip), Some(Outcome::Invalid { .. })));
    counter.register(ONE, register(ONE, "a", 0));
    let msg = Deregister {
        node: ONE.to_string(),
        names: vec!["a".into()],
        failed: Vec::new(),
    };
    let all = links(counter.now, Vec::new());
    counter.desk.deregister(counter.now, &all, TWO, &msg);
    assert!(counter.desk.table().store().component("a").is_some());
}

#[test]
fn a_burst_of_changes_is_told_in_few_answers() {
    let mut counter = Counter::settled();
    let mut answers = Vec::new();
    let mut slip = counter.watch(TWO, 20_000);
    let mut revision = 0;
    let mut read = |slip: &Slip<WatchReply>| match slip.take()?.news {
        News::Changes {
            revision, changes, ..
        } => {
            answers.push(changes.len());
            Some(revision)
        }
        News::Page { .. } => panic!("a snapshot"),
    };
    for count in 0..50_u8 {
        let node = NodeId([100 + count; 16]);
        counter.now += Duration::from_millis(1);
        counter.register(node, register(node, &format!("c{count}"), 0));
        if let Some(at) = read(&slip) {
            revision = at;
            slip = counter.watch_from(TWO, revision, 20_000);
        }
    }
    counter.pass(100);
    assert!(read(&slip).unwrap() > revision);
    assert!(answers.len() <= 3, "{answers:?}");
    assert_eq!(answers.iter().sum::<usize>(), 50);
}

#[test]
fn those_that_could_not_be_kept_alive_are_told_apart_from_those_that_ended() {
    let mut counter = Counter::settled();
    let mut both = register(ONE, "a", 0);
    both.components.extend(register(ONE, "b", 0).components);
    counter.register(ONE, both);
    let watch = counter.watch(TWO, 1_000);
    let msg = Deregister {
        node: ONE.to_string(),
        names: vec!["a".into(), "b".into()],
        // What isn't given up doesn't fail.
        failed: vec!["b".into(), "c".into()],
    };
    let all = links(counter.now, Vec::new());
    counter.desk.deregister(counter.now, &all, ONE, &msg);
    counter.pass(1_000);
    let News::Changes { changes, .. } = watch.take().unwrap().news else {
        panic!()
    };
    let removed = |name: &str, reason| Change::Removed {
        name: name.into(),
        reason,
    };
    let expected = [
        removed("a", Removal::Deregistered),
        removed("b", Removal::Failed),
    ];
    assert_eq!(changes, expected);
}
