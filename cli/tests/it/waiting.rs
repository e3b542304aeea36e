//! What isn't there yet, or no more.

use crate::{
    process::{Registry, botzilla},
    robot::Robot,
};

#[test]
fn a_registry_that_is_not_there_yet_is_waited_for() {
    let gone = Registry::fresh();
    let address = gone.address.clone();
    drop(gone);
    let list = botzilla("list --timeout 60s")
        .env("BOTZILLA_REGISTRY", &address)
        .start();
    let _back = Registry::start(botzilla("registry --fresh --listen").arg(&address));
    let ended = list.end();
    assert_eq!(
        (ended.code, &*ended.out),
        (0, "no components\n"),
        "{ended:?}"
    );
}

#[test]
fn a_registry_that_may_not_know_all_yet_says_so() {
    let registry = Registry::start(botzilla("registry --listen 127.0.0.1:0"));
    // All at once: the registry knows all after 10 s.
    let text = botzilla("list --timeout 3s").at(&registry).start();
    let json = botzilla("list --timeout 3s --json").at(&registry).start();
    let nobody = botzilla("call arm GetPlace --timeout 3s")
        .at(&registry)
        .start();
    let (text, json, nobody) = (text.end(), json.end(), nobody.end());
    assert_eq!((text.code, &*text.out), (0, "no components\n"), "{text:?}");
    assert!(
        text.err.starts_with("note: the registry has just started"),
        "{text:?}"
    );
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["recovering"], true);
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(
        nobody.err.contains("the registry has just started"),
        "{nobody:?}"
    );
}

#[test]
fn a_component_that_a_recovering_registry_does_not_know_yet_is_waited_for() {
    let registry = Registry::start(botzilla("registry --listen 127.0.0.1:0"));
    let call = botzilla("call arm GetPlace --timeout 100s")
        .at(&registry)
        .start();
    let _robot = Robot::start(&registry);
    let ended = call.end();
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_component_whose_node_is_gone_is_answered_for_at_once_or_at_the_deadline() {
    let registry = Registry::fresh();
    drop(Robot::start(&registry));
    let ended = botzilla("call arm GetPlace").at(&registry).run();
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
}
