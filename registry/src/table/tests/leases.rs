use super::*;
use crate::store::Logged;

fn last_removal(world: &World) -> Option<(String, Removal)> {
    let last = world.table.store().since(1).last()?;
    match last.1 {
        Logged::Removed(name, reason) => Some((name.to_owned(), reason)),
        _ => None,
    }
}

#[test]
fn a_connected_node_keeps_its_names_for_ever() {
    let mut world = World::settled();
    world.connect(1);
    assert!(world.grants(1, new("drive")));
    world.pass(120_000);
    assert_eq!(world.holder("drive"), Some(1));
}

#[test]
fn a_node_that_is_gone_keeps_its_names_for_the_lease() {
    let mut world = World::settled();
    world.connect(1);
    assert!(world.grants(1, new("drive")));
    world.pass(5000);
    world.cut(1);
    world.pass(9750);
    assert_eq!(world.holder("drive"), Some(1));
    world.pass(500);
    assert_eq!(world.holder("drive"), None);
    assert_eq!(
        last_removal(&world),
        Some(("drive".into(), Removal::Lapsed))
    );
    world.check();
}

#[test]
fn a_name_that_is_given_up_is_gone_at_once() {
    let mut world = World::settled();
    world.connect(1);
    assert!(world.grants(1, new("drive")));
    world.deregister(2, "drive");
    assert_eq!(world.holder("drive"), Some(1));
    world.deregister(1, "drive");
    assert_eq!(world.holder("drive"), None);
    let removal = Some(("drive".into(), Removal::Deregistered));
    assert_eq!(last_removal(&world), removal);
}

#[test]
fn time_that_the_registry_stood_still_counts_for_nobody() {
    let mut world = World::settled();
    world.connect(1);
    world.connect(2);
    assert!(world.grants(1, new("drive")));
    world.cut(1);
    world.pass(1000);
    assert!(waits_for_holder(&world.claim(2, new("drive"))));
    world.stand_still(3_600_000);
    world.tick();
    assert_eq!(world.holder("drive"), Some(1));
    world.connect(1);
    world.pass(20_000);
    assert_eq!(world.holder("drive"), Some(1));
}

#[test]
fn a_lease_ends_only_after_what_had_arrived_was_read() {
    let mut world = World::settled();
    world.connect(1);
    assert!(world.grants(1, new("drive")));
    world.cut(1);
    world.pass(9750);
    world.now += Duration::from_millis(250);
    world.tick();
    // The tick came before the node's new connection and its message, which were waiting.
    world.connect(1);
    assert!(world.grants(1, held("drive", 10_000)));
    world.pass(1000);
    assert_eq!(world.holder("drive"), Some(1));
}

#[test]
fn bytes_heard_prolong_a_lease_though_the_connection_is_down_now() {
    let mut world = World::settled();
    world.connect(1);
    assert!(world.grants(1, new("drive")));
    world.cut(1);
    world.pass(8000);
    world.links.get_mut(&id(1)).unwrap().last_heard = world.now;
    world.pass(8000);
    assert_eq!(world.holder("drive"), Some(1));
    world.pass(3000);
    assert_eq!(world.holder("drive"), None);
}
