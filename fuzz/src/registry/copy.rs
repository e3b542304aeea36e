//! A node's copy of the table, fed by a registry that makes no sense. What it takes in is consistent, and a
//! whole snapshot mends it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use botzilla::directory::{
    facts::{ComponentFacts, Entry, NodeFacts},
    messages::{Change, Found, News, Removal, ResolveReply, WatchReply},
    replica::{Replica, epoch_text},
};
use botzilla_wire::NodeId;

const STEPS: usize = 100;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "", "no name"];

#[derive(Debug, Arbitrary)]
enum Step {
    Changes {
        at: Position,
        nodes: Vec<Node>,
        changes: Vec<(Named, Option<u8>)>,
        more: bool,
    },
    Page {
        at: Position,
        nodes: Vec<Node>,
        entries: Vec<Named>,
        more: bool,
    },
    Learn {
        at: Position,
        named: Named,
        node: Node,
    },
    LinkLost(u8),
}

/// Which start of the registry, and which revision of it.
#[derive(Debug, Arbitrary)]
struct Position {
    epoch: u8,
    /// How far from the replica's own.
    ahead: i8,
    recovering: bool,
    connected: u8,
}

#[derive(Debug, Arbitrary)]
struct Node {
    id: u8,
    host: bool,
}

#[derive(Debug, Arbitrary)]
struct Named {
    name: u8,
    node: u8,
    count: bool,
    revision: u8,
    group: u8,
}

fn id(node: u8) -> NodeId {
    NodeId([node % 4; 16])
}

fn node_text(node: u8) -> String {
    match node {
        255 => "none".to_owned(),
        254 => NodeId([0xab; 16]).to_string().to_uppercase(),
        _ => id(node).to_string(),
    }
}

impl Node {
    fn facts(&self) -> NodeFacts {
        NodeFacts {
            id: node_text(self.id),
            host: if self.host { "here" } else { "there" }.into(),
            ..NodeFacts::default()
        }
    }
}

impl Named {
    fn entry(&self) -> Entry {
        let name = |which: u8| NAMES[usize::from(which) % NAMES.len()].to_owned();
        Entry {
            component: ComponentFacts {
                name: name(self.name),
                count: self.count.into(),
                groups: (self.group > 128)
                    .then(|| name(self.group))
                    .into_iter()
                    .collect(),
                ..ComponentFacts::default()
            },
            node: node_text(self.node),
            revision: self.revision.into(),
        }
    }
}

impl Position {
    fn revision(&self, replica: &Replica) -> u64 {
        replica
            .position()
            .1
            .saturating_add_signed(self.ahead.into())
    }

    fn epoch(&self) -> String {
        match self.epoch {
            255 => "no epoch".to_owned(),
            epoch => epoch_text(u64::from(epoch % 3)),
        }
    }

    fn reply(&self, news: News) -> WatchReply {
        WatchReply {
            epoch: self.epoch(),
            recovering: self.recovering,
            news,
        }
    }
}

fn step(replica: &mut Replica, step: Step) {
    let apply = |replica: &mut Replica, at: &Position, news| {
        let connected = |node: &NodeId| at.connected >> (node.0[0] % 8) & 1 == 1;
        let before = replica.position();
        match replica.apply(at.reply(news), connected) {
            Ok(applied) => assert!(!applied.new_epoch || before.0 != replica.position().0),
            // The next question is for all there is.
            Err(_) => assert_eq!(replica.next_watch(Duration::ZERO).revision, 0),
        }
    };
    match step {
        Step::Changes {
            at,
            nodes,
            changes,
            more,
        } => {
            let change = |(named, kind): &(Named, Option<u8>)| match kind {
                None => Change::Set {
                    entry: named.entry(),
                },
                Some(why) => Change::Removed {
                    name: named.entry().component.name,
                    reason: match why % 3 {
                        0 => Removal::Deregistered,
                        1 => Removal::Lapsed,
                        _ => Removal::Failed,
                    },
                },
            };
            let news = News::Changes {
                revision: at.revision(replica),
                nodes: nodes.iter().map(Node::facts).collect(),
                changes: changes.iter().map(change).collect(),
                more,
            };
            apply(replica, &at, news);
        }
        Step::Page {
            at,
            nodes,
            entries,
            more,
        } => {
            let news = News::Page {
                revision: at.revision(replica),
                nodes: nodes.iter().map(Node::facts).collect(),
                entries: entries.iter().map(Named::entry).collect(),
                more,
            };
            apply(replica, &at, news);
        }
        Step::Learn { at, named, node } => {
            let found = Some(Found {
                entry: named.entry(),
                node: node.facts(),
            });
            let reply = ResolveReply {
                epoch: at.epoch(),
                recovering: at.recovering,
                found,
                similar: Vec::new(),
            };
            let _ = replica.learn(&reply);
        }
        Step::LinkLost(node) => {
            for name in replica.link_lost(&id(node)).changed {
                assert!(replica.get(&name).is_none());
            }
        }
    }
}

fn check(replica: &Replica) {
    assert_eq!(replica.all().count(), replica.len());
    for located in replica.all() {
        let same = replica.get(&located.name).expect("it is found by its name");
        assert!(Arc::ptr_eq(same, located));
        let place = replica.place(&located.place.id).expect("its node is known");
        assert_eq!(**place, *located.place, "a node is one place");
        for group in &located.groups {
            assert!(replica.group(group).any(|it| it.name == located.name));
        }
    }
}

pub(super) fn run(input: &mut Unstructured<'_>) {
    let mut replica = Replica::new();
    crate::steps(input, STEPS, |it: Step| {
        step(&mut replica, it);
        check(&replica);
        ControlFlow::Continue(())
    });
    // A registry that makes sense again, and has nothing.
    for _ in 0..2 {
        let reply = WatchReply {
            epoch: epoch_text(9),
            recovering: false,
            news: News::Page {
                revision: 1,
                nodes: Vec::new(),
                entries: Vec::new(),
                more: false,
            },
        };
        replica.apply(reply, |_| false).expect("a whole snapshot");
    }
    for node in 0..4 {
        replica.link_lost(&id(node));
    }
    check(&replica);
    assert!(replica.is_empty() && replica.is_whole());
}
