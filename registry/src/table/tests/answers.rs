use botzilla::directory::{
    facts::StreamFacts,
    messages::{Change, List, News, Resolve, Watch},
    replica::Replica,
};

use super::*;

fn whole_copy(world: &World) -> Replica {
    let mut replica = Replica::new();
    for _ in 0..10_000 {
        let Some(reply) = ask_watch(&world.table, &replica) else {
            return replica;
        };
        replica.apply(reply, |_| false).unwrap();
    }
    panic!("the watch never ends");
}

#[test]
fn a_watcher_of_an_empty_table_gets_an_empty_page_and_then_waits() {
    let world = World::settled();
    let replica = whole_copy(&world);
    assert!(replica.is_whole() && replica.is_empty());
}

#[test]
fn nothing_is_new_until_something_is_and_then_only_that_is_told() {
    let mut world = World::settled();
    world.connect(1);
    world.send(node(1), true, vec![new("a"), new("b")]);
    let replica = whole_copy(&world);
    assert_eq!(replica.len(), 2);
    world.deregister(1, "a");
    let watch = replica.next_watch(Duration::ZERO);
    let News::Changes { changes, nodes, .. } = world.table.watch(&watch).unwrap().news else {
        panic!("a snapshot for one change");
    };
    assert!(matches!(&changes[..], [Change::Removed { name, .. }] if name == "a"));
    assert!(nodes.is_empty(), "the watcher knows the node");
}

fn streaming(mut claim: Claim, stream: &str) -> Claim {
    claim.component.streams.push(StreamFacts {
        name: stream.into(),
        fingerprint: Some("00112233445566ff".into()),
        depth: 8,
        ..StreamFacts::default()
    });
    claim
}

#[test]
fn a_stream_that_begins_is_a_new_revision_of_its_component_and_told_to_watchers() {
    let mut world = World::settled();
    world.connect(1);
    assert!(world.grants(1, new("lidar")));
    let mut replica = whole_copy(&world);
    assert!(replica.get("lidar").unwrap().streams.is_empty());
    let before = replica.position().1;
    assert!(world.grants(1, streaming(held("lidar", 0), "scan")));
    let reply = ask_watch(&world.table, &replica).unwrap();
    replica.apply(reply, |_| false).unwrap();
    let lidar = replica.get("lidar").unwrap();
    assert_eq!(lidar.stream("scan").unwrap().depth, 8);
    assert!(replica.position().1 > before);
    // Told again, it is no news.
    assert!(world.grants(1, streaming(held("lidar", 0), "scan")));
    assert!(
        world
            .table
            .watch(&replica.next_watch(Duration::ZERO))
            .is_none()
    );
    let links = |_: NodeId| None;
    let list = world.table.list(world.now, &links, &List::default());
    assert_eq!(list.components[0].streams[0].name, "scan");
}

#[test]
fn what_comes_back_to_a_restarted_registry_brings_its_streams() {
    let mut world = World::starting();
    world.connect(1);
    world.send(node(1), true, vec![streaming(held("lidar", 5), "scan")]);
    let replica = whole_copy(&world);
    assert!(replica.is_recovering());
    assert!(replica.get("lidar").unwrap().stream("scan").is_some());
}

#[test]
fn a_stream_s_name_is_a_name_without_a_slash_and_once_in_its_component() {
    let mut world = World::settled();
    world.connect(1);
    let wrong = [
        (streaming(new("a"), "front/scan"), "has a `/`"),
        (streaming(new("a"), "two words"), "stream of \"a\""),
        (
            streaming(streaming(new("a"), "scan"), "scan"),
            "two streams",
        ),
    ];
    for (claim, reason) in wrong {
        let Outcome::Invalid { reason: told } = world.claim(1, claim) else {
            panic!("it was taken");
        };
        assert!(told.contains(reason), "{told}");
    }
}

#[test]
fn the_end_of_recovery_is_news() {
    let mut world = World::starting();
    let replica = whole_copy(&world);
    assert!(replica.is_recovering());
    world.pass(10_000);
    let reply = world.table.watch(&replica.next_watch(Duration::ZERO));
    assert!(!reply.unwrap().recovering);
}

#[test]
fn a_large_table_comes_in_pages_none_longer_than_the_limit() {
    let mut world = World::settled();
    world.table.rules.page_bytes = 4096;
    world.connect(1);
    world.connect(2);
    for count in 0..100 {
        let holder = 1 + count % 2;
        assert!(world.grants(holder, new(&format!("component/{count}"))));
    }
    let mut watch = Watch::default();
    let mut pages = 0;
    let replica = whole_copy(&world);
    assert_eq!(replica.len(), 100);
    while let Some(reply) = world.table.watch(&watch) {
        let json = serde_json::to_vec(&reply).unwrap();
        assert!(json.len() <= 4096, "{} bytes", json.len());
        pages += 1;
        watch.epoch = reply.epoch;
        let News::Page {
            revision,
            entries,
            more,
            ..
        } = reply.news
        else {
            panic!("changes in the middle of a snapshot");
        };
        watch.revision = revision;
        watch.after = more.then(|| entries.last().unwrap().component.name.clone());
    }
    assert!(pages > 3);
}

#[test]
fn many_changes_come_in_parts_none_longer_than_the_limit() {
    let mut world = World::settled();
    world.table.rules.page_bytes = 4096;
    world.connect(1);
    let mut replica = whole_copy(&world);
    for count in 0..100 {
        assert!(world.grants(1, new(&format!("component/{count}"))));
    }
    let mut parts = 0;
    while let Some(reply) = world.table.watch(&replica.next_watch(Duration::ZERO)) {
        assert!(serde_json::to_vec(&reply).unwrap().len() <= 4096);
        assert!(matches!(reply.news, News::Changes { .. }));
        replica.apply(reply, |_| false).unwrap();
        parts += 1;
    }
    assert!(parts > 3);
    assert_eq!(replica.len(), 100);
}

#[test]
fn a_name_is_resolved_or_its_neighbours_are_named() {
    let mut world = World::settled();
    world.connect(1);
    world.send(node(1), true, vec![new("drive"), new("lidar")]);
    let resolve = |name: &str| Resolve {
        name: name.into(),
        wait_ms: 0,
    };
    let found = world.table.resolve(&resolve("drive")).found.unwrap();
    assert_eq!(found.node.host, "host-1");
    assert_eq!(found.entry.component.name, "drive");
    let missed = world.table.resolve(&resolve("drvie"));
    assert_eq!(
        (missed.found, missed.similar),
        (None, vec!["drive".to_owned()])
    );
}

#[test]
fn the_list_tells_who_is_connected_and_spans_of_time() {
    let mut world = World::settled();
    world.connect(1);
    world.connect(2);
    world.send(node(1), true, vec![new("drive")]);
    world.pass(2000);
    world.send(node(2), true, vec![new("lidar")]);
    world.cut(1);
    world.pass(4000);
    let links = &world.links;
    let links = |node: NodeId| links.get(&node).copied();
    let list = world.table.list(world.now, &links, &List::default());
    let seen: Vec<_> = list
        .components
        .iter()
        .map(|it| (it.name.as_str(), it.connected, it.heard_ms_ago, it.age_ms))
        .collect();
    assert_eq!(
        seen,
        [("drive", false, 4000, 6000), ("lidar", true, 0, 4000)]
    );
    world.table.rules.page_bytes = 600;
    let first = world.table.list(world.now, &links, &List::default());
    assert!(first.more && first.components.len() == 1);
    let rest = List {
        after: "drive".into(),
        wait_ms: 0,
    };
    let rest = world.table.list(world.now, &links, &rest);
    assert!(!rest.more && rest.components[0].name == "lidar");
}
