//! Who claims to be somebody else: names of senders, ids of nodes, the registry.

use std::net::SocketAddr;

use botzilla::{Node, Reason};
use botzilla_registry::Registry;
use botzilla_wire::{
    Code, Name, NodeId, Secret,
    handshake::{HandshakeError, Local},
    ident::Lane,
    session::Event,
};

use crate::{
    client::{Client, Forger, encoded, route, try_handshake},
    trust_policy::{
        Car, Go, POLICY, Robot, Stop, Who, assert_denied, denied, guarded, holder, secret,
    },
    world::{PATIENCE, SOON, run, started, until, until_gone},
};

/// A tablet made by hand, which says that it is that node.
fn claiming(id: NodeId) -> Local {
    Local::new(id, vec![Secret::parse(&secret("tablet")).unwrap()])
}

fn address(node: &Node) -> SocketAddr {
    node.address().unwrap()
}

#[test]
fn who_sends_as_a_component_that_it_may_not_be_is_denied() {
    run(async {
        let policy = POLICY.replace("\"ui/*\"", "\"drive/Who\"");
        let robot = Robot::with(&policy).await;
        let base = robot.node().await;
        base.spawn("drive", Car::default).await.unwrap();
        let local = claiming(NodeId([9; 16]));
        let mut tablet = Client::connect_as(address(&base), &local).await;
        let as_sender = |sender: &str| {
            let mut route = route::<Who>("drive", false);
            route.sender = Some(Name::new(sender).unwrap());
            route
        };
        let own = format!("node/{}", local.node);
        for sender in ["tablet", "tablet/ui", &*own] {
            let event = tablet.asked(&as_sender(sender), encoded(&Who {})).await;
            let Event::Replied { payload, .. } = event else {
                panic!("{sender}: {event:?}");
            };
            assert!(String::from_utf8_lossy(&payload).contains(sender));
        }
        let others = format!("node/{}", base.id());
        for sender in ["planner", "tablets", "registry", "_x", &*others] {
            let event = tablet.asked(&as_sender(sender), encoded(&Who {})).await;
            let Event::Failed { failure, .. } = event else {
                panic!("{sender}: {event:?}");
            };
            assert_eq!((failure.code, failure.may_have_run), (Code::Denied, false));
            assert!(failure.detail.contains(sender), "{}", failure.detail);
            assert_eq!(denied(&base, "tablet", "register", sender), 1);
        }
        base.shutdown(SOON).await;
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn who_claims_the_id_of_the_drives_node_is_not_let_in_whether_that_is_there_or_not() {
    run(async {
        let robot = Robot::new().await;
        let (base, other) = (robot.node().await, robot.node().await);
        base.spawn("drive", Car::default).await.unwrap();
        let drive = other.component("drive");
        assert_eq!(drive.ask(Go {}).await.unwrap(), 1);
        for door in [&other, robot.registry.node()] {
            // Each has heard of it: until then the id is as good as any, and ends when it has.
            while !door
                .components()
                .await
                .unwrap()
                .contains(&"drive".to_owned())
            {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        }
        for lane in [Lane::Control, Lane::Bulk] {
            let mut local = claiming(base.id());
            local.lane = lane;
            // While the drive's node is connected, and where it never was: at another robot's node.
            for door in [
                address(&other),
                robot.address(),
                address(&robot.node().await),
            ] {
                let refused = try_handshake(door, &local).await.err();
                let key_id = "tablet".to_owned();
                assert_eq!(refused, Some(HandshakeError::Denied { key_id }), "{door}");
            }
        }
        assert_eq!(
            drive.ask(Go {}).await.unwrap(),
            2,
            "the connection is the same still"
        );
        assert_eq!(
            denied(&other, "tablet", "connect", &base.id().to_string()),
            2
        );
        for node in [&other, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn who_took_a_nodes_id_before_that_had_names_gets_nothing_once_it_has() {
    run(async {
        let robot = Robot::new().await;
        let (base, other) = (robot.node().await, robot.node().await);
        // Nobody knows yet who that node is, so the tablet is let in under its id.
        let early = Forger::connect_as(address(&other), &claiming(base.id())).await;
        until(|| other.report().peers.contains(&base.id().to_string())).await;
        base.spawn("drive", Car::default).await.unwrap();
        // Its connection ends.
        early.last_words().await;
        let drive = other.component("drive");
        drive.ready(PATIENCE).await.unwrap();
        assert_eq!(drive.ask(Go {}).await.unwrap(), 1, "asked is the real one");
        for node in [&other, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn the_main_secret_takes_its_id_back_and_a_lesser_one_never_takes_a_connection_over() {
    run(async {
        let robot = Robot::new().await;
        let other = robot.node().await;
        other.spawn("drive", Car::default).await.unwrap();
        let id = NodeId([9; 16]);
        let robots = Local::new(id, vec![Secret::parse(&secret("robot")).unwrap()]);
        let door = address(&other);
        let mut first = Client::connect_as(door, &robots).await;
        // Without names, the id says nothing; but the connection of a better key is there.
        let refused = try_handshake(door, &claiming(id)).await.err();
        assert!(matches!(refused, Some(HandshakeError::Denied { .. })));
        let event = first
            .asked(&route::<Go>("drive", false), encoded(&Go {}))
            .await;
        assert!(matches!(event, Event::Replied { .. }), "{event:?}");

        let id = NodeId([8; 16]);
        let mut lesser = Client::connect_as(door, &claiming(id)).await;
        let event = lesser
            .asked(&route::<Stop>("drive", false), encoded(&Stop {}))
            .await;
        assert!(matches!(event, Event::Replied { .. }), "{event:?}");
        let robots = Local::new(id, vec![Secret::parse(&secret("robot")).unwrap()]);
        let mut better = Client::connect_as(door, &robots).await;
        while lesser.event().await.is_some() {}
        let event = better
            .asked(&route::<Go>("drive", false), encoded(&Go {}))
            .await;
        assert!(matches!(event, Event::Replied { .. }), "{event:?}");
        other.shutdown(SOON).await;
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_registry_of_a_lesser_secret_is_none() {
    run(async {
        let robot = Robot::new().await;
        let theirs = Registry::new("127.0.0.1:0", secret("tablet")).unwrap();
        let theirs = theirs.fresh().start().await.unwrap();
        let astray = guarded(holder(theirs.address(), "robot"), &robot.policy);
        let error = Node::start(astray).await.unwrap_err().to_string();
        for part in ["denied", "`tablet`", "registry"] {
            assert!(error.contains(part), "{error}");
        }
        theirs.shutdown(SOON).await;
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn who_takes_the_registrys_address_while_a_robot_runs_does_not_take_its_place() {
    run(async {
        let robot = Robot::new().await;
        let (base, other) = (robot.node().await, robot.node().await);
        base.spawn("drive", Car::default).await.unwrap();
        let drive = other.component("drive");
        assert_eq!(drive.ask(Go {}).await.unwrap(), 1);
        let at = robot.address().to_string();
        robot.registry.shutdown(SOON).await;
        let theirs = Registry::new(&at, secret("tablet")).unwrap();
        let theirs = theirs.fresh().start().await.unwrap();
        let error = other.list().await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Denied(_)), "{error}");
        let seen = theirs.node().component("registry");
        let list = botzilla::directory::messages::List::default();
        assert!(seen.ask(list).await.unwrap().components.is_empty());
        assert_eq!(drive.ask(Go {}).await.unwrap(), 2, "the robot goes on");
        theirs.shutdown(SOON).await;
        let back = botzilla::NodeConfig::hosting_registry(secret("robot")).unwrap();
        let back = Registry::with(guarded(back.listen(&at), &robot.policy));
        let back = back.fresh().start().await.unwrap();
        crate::world::until_listed(&other, &["drive"]).await;
        while other.list().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        for node in [&other, &base] {
            node.shutdown(SOON).await;
        }
        back.shutdown(SOON).await;
    });
}

#[test]
fn who_has_a_name_at_a_registry_that_minds_no_policy_is_not_asked_by_it() {
    run(async {
        // The registry takes everybody: only the robot's node knows who may be what.
        let robot = Robot::new().await;
        let lax = botzilla::NodeConfig::hosting_registry(secret("robot")).unwrap();
        let lax = lax
            .listen("127.0.0.1:0")
            .also_accept(secret("tablet"))
            .unwrap();
        let lax = Registry::with(lax).fresh().start().await.unwrap();
        let base = started(guarded(holder(lax.address(), "robot"), &robot.policy)).await;
        let tablet = started(holder(lax.address(), "tablet")).await;
        for name in ["drive", "tablet/ui"] {
            tablet.spawn(name, Car::default).await.unwrap();
        }
        let refused = base.component("drive").ask(Go {}).await.unwrap_err();
        assert!(matches!(refused.reason(), Reason::Denied(_)), "{refused}");
        let told = base.component("drive").try_tell(Go {});
        assert!(told.is_err());
        // A node that is somebody else besides isn't connected with at all, since it would be both.
        assert!(base.component("tablet/ui").ask(Go {}).await.is_err());
        let report = base.broadcast(crate::trust_policy::Honk {}).await.unwrap();
        assert!(
            report.delivered.is_empty() && !report.is_complete(),
            "{report:?}"
        );
        assert_eq!(
            tablet.component("drive").ask(Go {}).await.unwrap(),
            1,
            "it was asked nothing"
        );

        let honest = started(holder(lax.address(), "tablet")).await;
        honest.spawn("tablet/two", Car::default).await.unwrap();
        base.component("tablet/two").ready(PATIENCE).await.unwrap();
        assert_eq!(base.component("tablet/two").ask(Go {}).await.unwrap(), 1);
        for node in [&honest, &tablet, &base] {
            node.shutdown(SOON).await;
        }
        lax.shutdown(SOON).await;
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_name_is_registered_only_by_a_secret_that_may() {
    run(async {
        let robot = Robot::new().await;
        let tablet = robot.stranger("tablet").await;
        let error = tablet.spawn("drive", Car::default).await.unwrap_err();
        let botzilla::SpawnError::Denied { name, reason } = &error else {
            panic!("{error}");
        };
        assert_eq!(name, "drive");
        assert!(
            reason.contains("`tablet`") && reason.contains("register drive"),
            "{reason}"
        );
        until_gone(&tablet, "drive").await;
        tablet.spawn("tablet/ui", Car::default).await.unwrap();
        let base = robot.node().await;
        base.spawn("drive", Car::default).await.unwrap();
        assert_denied(tablet.component("drive").ask(Go {}).await, &["drive/Go"]);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}
