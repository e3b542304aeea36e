use super::*;
use crate::directory::facts::{ComponentFacts, MessageFacts};

fn id(node: u8) -> NodeId {
    NodeId([node; 16])
}

fn node(node: u8) -> NodeFacts {
    NodeFacts {
        id: id(node).to_string(),
        host: format!("host-{node}"),
        ..NodeFacts::default()
    }
}

fn entry(name: &str, holder: u8, revision: u64) -> Entry {
    Entry {
        component: ComponentFacts {
            name: name.into(),
            count: 1,
            groups: vec!["base".into(), "all".into()],
            messages: vec![MessageFacts {
                name: "Stop".into(),
                fingerprint: Some("00000000000000ff".into()),
                broadcast: true,
                ..MessageFacts::default()
            }],
            streams: Vec::new(),
        },
        node: id(holder).to_string(),
        revision,
    }
}

fn page(epoch: u64, revision: u64, entries: &[(&str, u8)], more: bool) -> WatchReply {
    let mut nodes: Vec<u8> = entries.iter().map(|it| it.1).collect();
    nodes.dedup();
    WatchReply {
        epoch: epoch_text(epoch),
        recovering: false,
        news: News::Page {
            revision,
            nodes: nodes.into_iter().map(node).collect(),
            entries: entries
                .iter()
                .map(|(name, holder)| entry(name, *holder, revision))
                .collect(),
            more,
        },
    }
}

fn changes(epoch: u64, revision: u64, nodes: &[u8], changes: Vec<Change>) -> WatchReply {
    WatchReply {
        epoch: epoch_text(epoch),
        recovering: false,
        news: News::Changes {
            revision,
            nodes: nodes.iter().copied().map(node).collect(),
            changes,
            more: false,
        },
    }
}

fn recovering(mut reply: WatchReply) -> WatchReply {
    reply.recovering = true;
    reply
}

fn removed(name: &str, reason: Removal) -> Change {
    Change::Removed {
        name: name.into(),
        reason,
    }
}

fn set(name: &str, holder: u8, revision: u64) -> Change {
    Change::Set {
        entry: entry(name, holder, revision),
    }
}

/// Node 9 is the one that we are connected to.
fn see_nine(node: &NodeId) -> bool {
    *node == id(9)
}

fn replica(entries: &[(&str, u8)]) -> Replica {
    let mut replica = Replica::new();
    let applied = replica
        .apply(page(1, 10, entries, false), see_nine)
        .unwrap();
    assert!(applied.new_epoch);
    replica
}

fn names(replica: &Replica) -> Vec<&str> {
    let mut names: Vec<_> = replica.all().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_the_registry_tells_can_be_looked_up() {
    let replica = replica(&[("drive", 1), ("lidar", 2)]);
    let drive = replica.get("drive").unwrap();
    assert_eq!((drive.place.id, drive.revision), (id(1), 10));
    assert!(drive.is_in("base") && !drive.is_in("arm"));
    assert!(drive.listens_to("Stop") && !drive.listens_to("Go"));
    let fingerprint = drive.handler("Stop").unwrap().fingerprint.unwrap();
    assert_eq!(fingerprint.0, [0, 0, 0, 0, 0, 0, 0, 255]);
    assert_eq!(replica.group("all").count(), 2);
    assert_eq!(replica.position(), (Some(1), 10));
}

#[test]
fn a_snapshot_shows_when_all_its_pages_are_there_and_not_before() {
    let mut replica = replica(&[("old", 1)]);
    let applied = replica.apply(page(2, 20, &[("a", 1), ("b", 2)], true), see_nine);
    assert_eq!(applied.unwrap(), Applied::default());
    assert_eq!(names(&replica), ["old"]);
    let next = replica.next_watch(Duration::from_secs(9));
    assert_eq!(
        (next.revision, next.after.as_deref(), next.wait_ms),
        (20, Some("b"), 0)
    );
    let applied = replica
        .apply(page(2, 20, &[("c", 2)], false), see_nine)
        .unwrap();
    assert!(applied.new_epoch);
    // What changed meanwhile is asked for before anything is given up.
    assert_eq!(names(&replica), ["a", "b", "c", "old"]);
    let next = replica.next_watch(Duration::from_secs(9));
    assert_eq!((next.revision, next.after, next.wait_ms), (20, None, 0));
    replica
        .apply(changes(2, 20, &[], Vec::new()), see_nine)
        .unwrap();
    assert_eq!(names(&replica), ["a", "b", "c"]);
    assert_eq!(replica.next_watch(Duration::from_secs(9)).wait_ms, 9000);
}

#[test]
fn a_snapshot_that_begins_anew_forgets_the_pages_of_the_other() {
    let mut replica = replica(&[]);
    replica
        .apply(page(2, 20, &[("a", 1)], true), see_nine)
        .unwrap();
    replica
        .apply(page(2, 30, &[("b", 1)], false), see_nine)
        .unwrap();
    assert_eq!(names(&replica), ["b"]);
}

#[test]
fn a_name_that_is_given_up_goes_at_once_and_one_that_lapsed_stays_while_we_see_its_node() {
    let mut replica = replica(&[("a", 1), ("b", 9), ("c", 9)]);
    let lapsed = ["a", "b"].map(|name| removed(name, Removal::Lapsed));
    let mut all = lapsed.to_vec();
    all.push(removed("c", Removal::Deregistered));
    let applied = replica.apply(changes(1, 11, &[], all), see_nine).unwrap();
    assert_eq!(applied.changed.len(), 2);
    assert_eq!(names(&replica), ["b"]);
    assert_eq!(replica.link_lost(&id(1)).changed, Vec::<Name>::new());
    let lost = replica.link_lost(&id(9));
    let b = Name::new("b").unwrap();
    assert_eq!(
        (lost.changed, lost.gone),
        (vec![b.clone()], vec![(b, Removal::Lapsed)])
    );
    assert!(replica.is_empty() && replica.place(&id(9)).is_none());
}

#[test]
fn another_holder_ends_a_name_that_was_kept() {
    let mut replica = replica(&[("a", 9)]);
    let lapsed = vec![removed("a", Removal::Lapsed)];
    replica
        .apply(changes(1, 11, &[], lapsed), see_nine)
        .unwrap();
    assert_eq!(replica.get("a").unwrap().place.id, id(9));
    replica
        .apply(changes(1, 12, &[2], vec![set("a", 2, 12)]), see_nine)
        .unwrap();
    assert_eq!(replica.get("a").unwrap().place.id, id(2));
    assert!(replica.link_lost(&id(9)).changed.is_empty());
}

#[test]
fn nothing_is_removed_until_a_registry_has_recovered() {
    let mut replica = replica(&[("a", 1), ("b", 9), ("c", 1), ("d", 1)]);
    let empty = recovering(page(2, 1, &[], false));
    let applied = replica.apply(empty, see_nine).unwrap();
    assert!(applied.new_epoch && applied.changed.is_empty());
    let back = vec![
        set("c", 1, 3),
        set("d", 1, 4),
        removed("d", Removal::Deregistered),
    ];
    let reply = recovering(changes(2, 5, &[1], back));
    replica.apply(reply, see_nine).unwrap();
    assert_eq!(names(&replica), ["a", "b", "c", "d"]);
    assert!(replica.is_recovering());
    replica
        .apply(changes(2, 5, &[], Vec::new()), see_nine)
        .unwrap();
    // `a` is not vouched for; `b` neither, but we see its node; `d` was given up.
    assert_eq!(names(&replica), ["b", "c"]);
}

#[test]
fn a_name_that_was_given_up_while_a_registry_began_anew_goes_though_we_see_its_node() {
    let mut replica = Replica::new();
    let all = [("arm", 3), ("base", 3), ("lidar", 4)];
    replica.apply(page(1, 5, &all, false), |_| true).unwrap();
    // Node 3 has told the next start all that it has, and `arm` isn't among it; node 4 is out of the
    // registry's sight, and not of ours.
    let begun = recovering(page(2, 1, &[("base", 3)], false));
    replica.apply(begun, |_| true).unwrap();
    assert_eq!(replica.len(), 3, "nothing goes while it recovers");
    replica
        .apply(changes(2, 1, &[], Vec::new()), |_| true)
        .unwrap();
    let known = ["arm", "base", "lidar"].map(|name| replica.get(name).is_some());
    assert_eq!(known, [false, true, true]);
}

#[test]
fn a_node_that_moves_takes_its_components_along_and_is_kept_once() {
    let mut replica = replica(&[("a", 1), ("b", 1), ("c", 2)]);
    let mut moved = changes(1, 11, &[1], Vec::new());
    if let News::Changes { nodes, .. } = &mut moved.news {
        nodes[0].endpoints = vec!["10.0.0.1:1".into()];
    }
    let applied = replica.apply(moved, see_nine).unwrap();
    assert_eq!(applied.changed.len(), 2);
    let [a, b] = ["a", "b"].map(|name| &replica.get(name).unwrap().place);
    assert_eq!(a.facts.endpoints, ["10.0.0.1:1"]);
    assert!(Arc::ptr_eq(a, b));
}

#[test]
fn an_answer_that_makes_no_sense_is_refused_and_what_is_known_stays() {
    let bad: [fn() -> WatchReply; 5] = [
        || changes(2, 11, &[], Vec::new()),
        || changes(1, 9, &[], Vec::new()),
        || changes(1, 11, &[], vec![set("x", 7, 11)]),
        || page(1, 11, &[("b", 1), ("a", 1)], false),
        || WatchReply {
            epoch: "x".into(),
            ..WatchReply::default()
        },
    ];
    for reply in bad {
        let mut replica = replica(&[("a", 1)]);
        replica.apply(reply(), see_nine).unwrap_err();
        assert_eq!(names(&replica), ["a"]);
        assert_eq!(replica.next_watch(Duration::ZERO).revision, 0);
        // The whole snapshot that it then asks for puts everything right.
        replica
            .apply(page(1, 12, &[("b", 2)], false), see_nine)
            .unwrap();
        assert_eq!(names(&replica), ["b"]);
    }
}

#[test]
fn a_name_that_was_asked_for_is_remembered_only_if_it_is_news_of_the_same_registry() {
    let mut replica = replica(&[("a", 1)]);
    let answer = |epoch, revision| ResolveReply {
        epoch: epoch_text(epoch),
        found: Some(super::super::messages::Found {
            entry: entry("new", 3, revision),
            node: node(3),
        }),
        ..ResolveReply::default()
    };
    for stale in [answer(2, 50), answer(1, 10)] {
        let (located, applied) = replica.learn(&stale).unwrap();
        assert!(located.is_some() && applied.changed.is_empty());
        assert!(replica.get("new").is_none());
    }
    // The watch will say the same later, when it is no news: those who wait for it are told now.
    let (located, applied) = replica.learn(&answer(1, 11)).unwrap();
    assert_eq!(located.unwrap().place.id, id(3));
    assert_eq!(applied.changed, [Name::new("new").unwrap()]);
    let set = vec![Change::Set {
        entry: entry("new", 3, 11),
    }];
    let applied = replica.apply(changes(1, 11, &[3], set), see_nine).unwrap();
    assert!(applied.changed.is_empty());
    let nobody = replica.learn(&ResolveReply::default()).unwrap();
    assert_eq!(nobody, (None, Applied::default()));
}
