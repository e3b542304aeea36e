//! Random things happen to nodes, connections and the registry; what must hold, holds.

use botzilla::directory::replica::Replica;
use proptest::prelude::*;

use super::*;

const NODES: u8 = 4;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const WATCHERS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Connect(u8),
    Cut(u8),
    /// Claims one name as a newcomer.
    Claim(u8, usize),
    /// Sends all that it believes to hold, as after a connection.
    Announce(u8),
    /// Changes what it says about itself.
    Move(u8, u8),
    GiveUp(u8, usize),
    Pass(u64),
    StandStill,
    /// A watcher asks once.
    Watch(usize),
    RestartRegistry,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = || 1..=NODES;
    let name = || 0..NAMES.len();
    let step = prop_oneof![
        3 => node().prop_map(Step::Connect),
        2 => node().prop_map(Step::Cut),
        8 => (node(), name()).prop_map(|(node, name)| Step::Claim(node, name)),
        3 => node().prop_map(Step::Announce),
        1 => (node(), 0..3_u8).prop_map(|(node, to)| Step::Move(node, to)),
        3 => (node(), name()).prop_map(|(node, name)| Step::GiveUp(node, name)),
        5 => (1..5000_u64).prop_map(Step::Pass),
        1 => Just(Step::StandStill),
        6 => (0..WATCHERS).prop_map(Step::Watch),
        1 => Just(Step::RestartRegistry),
    ];
    prop::collection::vec(step, 1..80)
}

/// What a node believes.
#[derive(Debug, Clone, Default)]
struct Believer {
    /// Names that it was granted, and when a registry that wasn't recovering last agreed.
    names: BTreeMap<&'static str, Option<Instant>>,
    at: u8,
}

struct Run {
    world: World,
    nodes: BTreeMap<u8, Believer>,
    watchers: Vec<Replica>,
}

impl Run {
    fn new() -> Self {
        let mut world = World::settled();
        // Small enough that snapshots of several pages and forgotten removals happen.
        world.table.rules.page_bytes = 900;
        world.restart_registry();
        world.pass(10_000);
        Self {
            world,
            nodes: (1..=NODES)
                .map(|node| (node, Believer::default()))
                .collect(),
            watchers: (0..WATCHERS).map(|_| Replica::new()).collect(),
        }
    }

    fn facts(&self, from: u8) -> NodeFacts {
        let mut facts = node(from);
        facts.endpoints = vec![format!("10.0.0.{}:1", self.nodes[&from].at)];
        facts
    }

    fn take_in(&mut self, from: u8, claims: &[Claim], outcomes: Vec<Outcome>) {
        let confirmed = (!self.world.table.is_recovering()).then_some(self.world.now);
        for (claim, outcome) in claims.iter().zip(outcomes) {
            let name = NAMES.into_iter().find(|name| *name == claim.component.name);
            let names = &mut self.nodes.get_mut(&from).unwrap().names;
            match outcome {
                Outcome::Granted { .. } => {
                    let known = names.entry(name.unwrap()).or_default();
                    *known = confirmed.or(*known);
                }
                Outcome::NameLost { .. } => {
                    names.remove(name.unwrap());
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let now = self.world.now;
        match *step {
            Step::Connect(node) => self.world.connect(node),
            Step::Cut(node) => self.world.cut(node),
            Step::Claim(from, name) => {
                if !self.world.is_connected(from)
                    || self.nodes[&from].names.contains_key(NAMES[name])
                {
                    return;
                }
                let before = self.world.holder(NAMES[name]);
                let recovering = self.world.table.is_recovering();
                let claims = [new(NAMES[name])];
                let outcomes = self.world.send(self.facts(from), false, claims.to_vec());
                if matches!(outcomes[0], Outcome::Granted { .. }) {
                    let free = before.is_none() && !recovering;
                    let away = before.is_some_and(|it| it == from || !self.world.is_connected(it));
                    assert!(
                        free || away,
                        "a live holder lost {} to a newcomer",
                        NAMES[name]
                    );
                }
                self.take_in(from, &claims, outcomes);
            }
            Step::Announce(from) => {
                if !self.world.is_connected(from) {
                    return;
                }
                let claims: Vec<Claim> = self.nodes[&from]
                    .names
                    .iter()
                    .map(|(name, confirmed)| {
                        let age = confirmed.map_or(u64::MAX, |it| (now - it).as_millis() as u64);
                        held(name, age)
                    })
                    .collect();
                let outcomes = self.world.send(self.facts(from), true, claims.clone());
                self.take_in(from, &claims, outcomes);
            }
            Step::Move(node, to) => self.nodes.get_mut(&node).unwrap().at = to,
            Step::GiveUp(from, name) => {
                if self.world.is_connected(from) {
                    self.nodes.get_mut(&from).unwrap().names.remove(NAMES[name]);
                    self.world.deregister(from, NAMES[name]);
                    assert_ne!(self.world.holder(NAMES[name]), Some(from));
                }
            }
            Step::Pass(ms) => self.world.pass(ms),
            Step::StandStill => self.world.stand_still(60_000),
            Step::Watch(watcher) => {
                self.watch(watcher);
            }
            Step::RestartRegistry => self.world.restart_registry(),
        }
        self.world.check();
    }

    fn watch(&mut self, watcher: usize) -> bool {
        let replica = &mut self.watchers[watcher];
        let before = replica.len();
        let Some(reply) = ask_watch(&self.world.table, replica) else {
            return false;
        };
        let recovering = reply.recovering;
        replica.apply(reply, |_| false).unwrap();
        assert!(
            !recovering || replica.len() >= before,
            "it forgot a name while the registry recovers"
        );
        true
    }

    fn settle(&mut self) {
        self.world.pass(11_000);
        for watcher in 0..WATCHERS {
            let steps = (0..1000).take_while(|_| self.watch(watcher)).count();
            assert!(steps < 1000, "the watch never ends");
            let replica = &self.watchers[watcher];
            assert!(!replica.is_recovering());
            let store = self.world.table.store();
            assert_eq!(replica.len(), store.len());
            for row in store.after("") {
                let copy = replica.get(&row.facts.name).expect("it is in the table");
                assert_eq!((copy.place.id, copy.count), (row.node, row.facts.count));
                assert_eq!(copy.revision, row.revision);
                let node = store.node(row.node).unwrap();
                assert_eq!(copy.place.facts, *node.facts);
                assert!(std::sync::Arc::ptr_eq(
                    &copy.place,
                    replica.place(&row.node).unwrap()
                ));
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_name_is_one_holder_and_every_copy_ends_as_the_table(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            run.step(&step);
        }
        run.settle();
    }
}
