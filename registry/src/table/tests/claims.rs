use super::*;

#[test]
fn the_first_to_claim_a_name_has_it_and_the_second_is_told_who() {
    let mut world = World::settled();
    world.connect(1);
    world.connect(2);
    assert!(world.grants(1, new("drive")));
    let Outcome::Held { by } = world.claim(2, new("drive")) else {
        panic!("two holders");
    };
    assert_eq!(
        (by.host.as_str(), by.pid, by.connected),
        ("host-1", 1, true)
    );
    assert_eq!(by.to_string(), "robot (pid 1) on host-1, node 01010101");
}

#[test]
fn the_same_instance_is_never_in_its_own_way_and_repeats_change_nothing() {
    let mut world = World::settled();
    world.connect(1);
    let first = world.claim(1, new("drive"));
    let before = world.table.news();
    assert_eq!(world.claim(1, new("drive")), first);
    assert_eq!(world.claim(1, held("drive", 0)), first);
    assert_eq!(world.table.news(), before);
    // A component that its node spawned anew is another instance, and news.
    let again = Claim {
        component: component("drive", 2),
        standing: Standing::New,
    };
    assert!(world.grants(1, again));
    assert_ne!(world.table.news(), before);
}

#[test]
fn a_holder_that_is_away_is_waited_for_and_replaced_after_three_seconds() {
    let mut world = World::settled();
    world.connect(1);
    world.connect(2);
    assert!(world.grants(1, new("drive")));
    world.cut(1);
    assert!(waits_for_holder(&world.claim(2, new("drive"))));
    world.pass(2750);
    let Outcome::Waiting { left_ms, .. } = world.claim(2, new("drive")) else {
        panic!("decided before its time");
    };
    assert_eq!(left_ms, 250);
    world.pass(250);
    assert_eq!(world.holder("drive"), Some(2));
    assert!(world.grants(2, new("drive")));
}

#[test]
fn a_holder_that_is_back_in_time_keeps_its_name() {
    let mut world = World::settled();
    world.connect(1);
    world.connect(2);
    assert!(world.grants(1, new("drive")));
    world.cut(1);
    assert!(waits_for_holder(&world.claim(2, new("drive"))));
    world.pass(1000);
    world.connect(1);
    world.pass(5000);
    assert_eq!(world.holder("drive"), Some(1));
    assert!(matches!(world.claim(2, new("drive")), Outcome::Held { .. }));
    assert!(!world.table.has_claims());
}

#[test]
fn the_earlier_holder_is_told_that_it_lost_its_name_when_it_is_back() {
    let mut world = World::settled();
    world.connect(1);
    world.connect(2);
    assert!(world.grants(1, new("drive")));
    world.cut(1);
    world.claim(2, new("drive"));
    world.pass(3000);
    world.connect(1);
    let Outcome::NameLost { to } = world.claim(1, held("drive", 3000)) else {
        panic!("it isn't told");
    };
    assert_eq!(to.host, "host-2");
}

#[test]
fn a_name_that_is_given_up_goes_to_the_first_who_waits() {
    let mut world = World::settled();
    for node in 1..=3 {
        world.connect(node);
    }
    assert!(world.grants(1, new("drive")));
    world.cut(1);
    world.claim(2, new("drive"));
    world.pass(250);
    world.claim(3, new("drive"));
    world.deregister(1, "drive");
    assert_eq!(world.holder("drive"), Some(2));
    assert!(matches!(world.claim(3, new("drive")), Outcome::Held { .. }));
}

#[test]
fn a_claimant_that_goes_away_or_gives_up_waits_no_more() {
    let mut world = World::settled();
    for node in 1..=3 {
        world.connect(node);
    }
    assert!(world.grants(1, new("drive")));
    world.cut(1);
    world.claim(2, new("drive"));
    world.claim(3, new("drive"));
    world.cut(2);
    world.deregister(3, "drive");
    world.pass(4000);
    assert_eq!(world.holder("drive"), Some(1));
    assert!(!world.table.has_claims());
}

#[test]
fn a_complete_message_gives_up_what_is_not_in_it() {
    let mut world = World::settled();
    world.connect(1);
    world.send(node(1), true, vec![new("a"), new("b")]);
    world.send(node(1), false, vec![new("c")]);
    assert_eq!(world.holder("a"), Some(1));
    world.send(node(1), true, vec![held("b", 0)]);
    let held_now = ["a", "b", "c"].map(|name| world.holder(name));
    assert_eq!(held_now, [None, Some(1), None]);
    world.check();
}

#[test]
fn while_it_recovers_it_takes_back_holders_and_lets_new_names_wait() {
    let mut world = World::starting();
    world.connect(1);
    world.connect(2);
    let Outcome::Waiting { reason, left_ms } = world.claim(2, new("drive")) else {
        panic!("a newcomer got a name");
    };
    assert_eq!((reason, left_ms), (Waiting::Recovering, 10_000));
    assert!(world.grants(1, held("drive", 400)));
    assert!(matches!(world.claim(2, new("drive")), Outcome::Held { .. }));
    world.claim(2, new("lidar"));
    world.pass(9750);
    assert_eq!(world.holder("lidar"), None);
    world.pass(250);
    assert!(!world.table.is_recovering());
    assert_eq!(world.holder("lidar"), Some(2));
    assert_eq!(world.holder("drive"), Some(1));
}

#[test]
fn of_two_who_bring_the_same_name_back_the_one_last_in_touch_is_right() {
    for order in [[(1, 60_000), (2, 900)], [(2, 900), (1, 60_000)]] {
        let mut world = World::starting();
        let mut outcomes = BTreeMap::new();
        for (node, age) in order {
            world.connect(node);
            outcomes.insert(node, world.claim(node, held("drive", age)));
            world.pass(250);
        }
        assert_eq!(world.holder("drive"), Some(2));
        assert!(matches!(
            world.claim(1, held("drive", 60_000)),
            Outcome::NameLost { .. }
        ));
    }
}

#[test]
fn a_recovering_registry_s_own_word_is_no_proof() {
    let mut world = World::starting();
    world.connect(1);
    world.connect(2);
    assert!(world.grants(1, held("drive", 60_000)));
    world.pass(500);
    // Its node repeats itself, with what the registry told it.
    assert!(world.grants(1, held("drive", 0)));
    assert!(world.grants(2, held("drive", 900)));
}

#[test]
fn names_that_break_a_rule_are_refused_with_the_reason() {
    let mut world = World::settled();
    world.connect(1);
    let long = "n".repeat(256);
    for (name, reason) in [
        ("registry", "reserved"),
        ("node/x", "reserved"),
        ("_x", "reserved"),
        ("", "empty"),
        ("two words", "' '"),
        (&long, "256 bytes"),
    ] {
        let Outcome::Invalid { reason: given } = world.claim(1, new(name)) else {
            panic!("{name:?} was taken");
        };
        assert!(given.contains(reason), "{given}");
    }
    let mut bad = node(1);
    bad.id = "me".into();
    let outcomes = world.send(bad, true, vec![new("a")]);
    assert!(matches!(&outcomes[0], Outcome::Invalid { reason } if reason.contains("32 hex")));
}

#[test]
fn what_a_node_says_is_bounded() {
    let mut world = World::settled();
    world.connect(1);
    let mut big = new("big");
    big.component.groups = vec!["g".repeat(200); 400];
    assert!(matches!(world.claim(1, big), Outcome::Invalid { .. }));
    let mut wordy = node(1);
    wordy.program = "p".repeat(20_000);
    let outcomes = world.send(wordy, true, vec![new("a")]);
    assert!(matches!(&outcomes[0], Outcome::Invalid { .. }));
    world.table.rules.components_per_node = 2;
    let outcomes = world.send(node(1), true, vec![new("a"), new("b"), new("c")]);
    assert!(matches!(&outcomes[1], Outcome::Granted { .. }));
    assert!(matches!(&outcomes[2], Outcome::Invalid { reason } if reason.contains("limit")));
    world.check();
}

#[test]
fn names_that_a_node_waited_for_count_like_those_that_it_got_at_once() {
    let mut world = World::settled();
    world.table.rules.components_per_node = 2;
    for holder in [1, 2, 3] {
        world.connect(holder);
    }
    world.send(node(1), true, vec![new("a"), new("b")]);
    world.send(node(3), true, vec![new("c")]);
    world.cut(1);
    world.cut(3);
    let claims = vec![new("a"), new("b"), new("c")];
    let outcomes = world.send(node(2), true, claims.clone());
    assert!(outcomes.iter().all(waits_for_holder));
    world.pass(3000);
    let names = &world.table.store().node(id(2)).unwrap().names;
    assert_eq!(names.len(), 2, "{names:?}");
    let outcomes = world.send(node(2), true, claims);
    assert!(matches!(&outcomes[2], Outcome::Invalid { reason } if reason.contains("limit")));
    world.check();
}

#[test]
fn more_claims_than_a_node_can_have_names_are_not_looked_at() {
    let mut world = World::settled();
    world.table.rules.components_per_node = 2;
    world.connect(1);
    assert!(world.grants(1, new("a")));
    let claims = ["a", "b", "c", "d", "e"].map(new).to_vec();
    let outcomes = world.send(node(1), true, claims);
    let is_refused =
        |it: &Outcome| matches!(it, Outcome::Invalid { reason } if reason.contains("at most"));
    assert!(outcomes.iter().all(is_refused), "{outcomes:?}");
    assert_eq!(world.holder("a"), Some(1), "nothing was given up");
    world.check();
}

#[test]
fn the_address_that_a_node_is_seen_at_is_added_unless_it_says_little() {
    for (seen, port, added) in [
        ("10.0.0.7:40000", 6000, vec!["10.0.0.7:6000"]),
        ("[::ffff:10.0.0.7]:40000", 6000, vec!["10.0.0.7:6000"]),
        ("[2001:db8::7]:40000", 6000, vec!["[2001:db8::7]:6000"]),
        ("10.0.0.7:40000", 0, vec![]),
        ("127.0.0.1:40000", 6000, vec![]),
        ("[fe80::7]:40000", 6000, vec![]),
        ("169.254.0.7:40000", 6000, vec![]),
    ] {
        let mut world = World::settled();
        world.connect(1);
        world.links.get_mut(&id(1)).unwrap().address = Some(seen.parse().unwrap());
        let mut facts = node(1);
        facts.port = port;
        world.send(facts, true, vec![new("a")]);
        let row = world.table.store().node(id(1)).unwrap();
        assert_eq!(row.facts.endpoints, added, "{seen}");
    }
}
