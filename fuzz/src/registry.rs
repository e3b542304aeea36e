//! Nodes, connections and the registry itself do anything, at its desk. A name has one holder, which keeps it
//! while it is connected; revisions ascend; every question is answered once; and what is told to those who
//! watch makes copies that end as the table. Or a copy is fed by a registry that makes no sense.

mod copy;
mod world;

use std::ops::ControlFlow;

use arbitrary::{Arbitrary, Unstructured};
use botzilla::directory::{
    facts::{ComponentFacts, MessageFacts, NodeFacts, StreamFacts},
    messages::{Claim, Register, Standing},
};

use self::world::{HELD_MAX_MS, NAMES, World, id};

const STEPS: usize = 120;

#[derive(Debug, Arbitrary)]
enum Step {
    Connect(u8),
    Cut(u8),
    /// Claims one name as a newcomer.
    Claim {
        from: u8,
        name: u8,
        wait: bool,
    },
    /// Sends all that it believes to hold, as after a connection.
    Announce {
        from: u8,
        wait: bool,
    },
    /// Changes what it says about itself.
    Move {
        node: u8,
        to: u8,
    },
    GiveUp {
        from: u8,
        name: u8,
    },
    Pass(u16),
    StandStill(u8),
    Watch(u8),
    Resolve {
        name: u8,
        wait: bool,
    },
    List {
        after: u8,
        wait: bool,
    },
    RestartRegistry,
    /// Says anything.
    Odd(Odd),
}

/// A registration that nobody would send.
#[derive(Debug, Arbitrary)]
struct Odd {
    from: u8,
    speaks_for: u8,
    claims: Vec<OddClaim>,
    complete: bool,
    wait_ms: u64,
    endpoints: Vec<u8>,
    port: u16,
}

#[derive(Debug, Arbitrary)]
struct OddClaim {
    name: u8,
    count: u8,
    confirmed_ms_ago: Option<u64>,
    groups: u8,
    messages: u8,
    streams: u8,
}

const ODD_NAMES: [&str; 12] = [
    "", "registry", "node/1", "_x", "ä", "a/b", "a b", "A", "a", "b", "c", "*",
];

fn odd_name(which: u8) -> String {
    match which {
        255 => "x".repeat(256),
        254 => "x".repeat(255),
        _ => ODD_NAMES[usize::from(which) % ODD_NAMES.len()].to_owned(),
    }
}

impl OddClaim {
    fn claim(&self) -> Claim {
        let few = |many: u8| 0..many % 4;
        let fingerprint = |which: u8| {
            (!which.is_multiple_of(3))
                .then(|| "0123456789abcdeg"[..15 + usize::from(which % 2)].to_owned())
        };
        let component = ComponentFacts {
            name: odd_name(self.name),
            count: self.count.into(),
            groups: few(self.groups)
                .map(|it| odd_name(it.wrapping_add(self.groups)))
                .collect(),
            messages: few(self.messages)
                .map(|it| MessageFacts {
                    name: odd_name(it.wrapping_mul(self.messages)),
                    fingerprint: fingerprint(self.messages / 4),
                    ..MessageFacts::default()
                })
                .collect(),
            streams: few(self.streams)
                .map(|it| StreamFacts {
                    name: odd_name(it.wrapping_add(self.streams)),
                    fingerprint: fingerprint(self.streams / 4),
                    ..StreamFacts::default()
                })
                .collect(),
        };
        let standing = self
            .confirmed_ms_ago
            .map_or(Standing::New, |confirmed_ms_ago| Standing::Held {
                confirmed_ms_ago,
            });
        Claim {
            component,
            standing,
        }
    }
}

impl Odd {
    fn register(&self) -> Register {
        let node = match self.speaks_for % 8 {
            7 => "not an id".to_owned(),
            6 => id(self.from).to_string().to_uppercase(),
            5 => id(self.from.wrapping_add(1)).to_string(),
            _ => id(self.from).to_string(),
        };
        Register {
            node: NodeFacts {
                id: node,
                endpoints: self
                    .endpoints
                    .iter()
                    .map(|it| format!("{it}:0@x"))
                    .collect(),
                port: self.port,
                ..NodeFacts::default()
            },
            components: self.claims.iter().map(OddClaim::claim).collect(),
            complete: self.complete,
            wait_ms: self.wait_ms,
        }
    }
}

/// How long an answer may be held.
fn wait_ms(wait: bool) -> u64 {
    if wait { HELD_MAX_MS } else { 0 }
}

fn act(world: &mut World, step: Step) {
    match step {
        Step::Connect(node) => world.connect(node),
        Step::Cut(node) => world.cut(node),
        Step::Claim { from, name, wait } => {
            world.claim(from, NAMES[usize::from(name) % NAMES.len()], wait_ms(wait));
        }
        Step::Announce { from, wait } => world.announce(from, wait_ms(wait)),
        Step::Move { node, to } => world.move_to(node, to),
        Step::GiveUp { from, name } => world.give_up(from, NAMES[usize::from(name) % NAMES.len()]),
        Step::Pass(ms) => world.pass(u64::from(ms % 6000)),
        Step::StandStill(seconds) => world.stand_still(seconds),
        Step::Watch(watcher) => world.watch(watcher),
        Step::Resolve { name, wait } => world.resolve(&odd_name(name), wait_ms(wait)),
        Step::List { after, wait } => world.list(&odd_name(after), wait_ms(wait)),
        Step::RestartRegistry => world.restart_registry(),
        Step::Odd(odd) => world.odd(odd.from, odd.register()),
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    if input.arbitrary() == Ok(true) {
        return copy::run(&mut input);
    }
    let mut world = World::new();
    crate::steps(&mut input, STEPS, |step: Step| {
        act(&mut world, step);
        world.check();
        ControlFlow::Continue(())
    });
    world.settle();
}
