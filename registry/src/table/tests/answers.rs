use botzilla::directory::{
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
