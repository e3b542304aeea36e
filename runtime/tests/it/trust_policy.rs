//! A robot whose nodes hold the main secret, and tablets and guests that hold lesser ones: who may call what.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use botzilla::{Node, NodeConfig, Reason, policy::DeniedReport};
use botzilla_registry::{Registry, RunningRegistry};
use botzilla_wire::Secret;
use serde_json::json;

use crate::world::{PATIENCE, SOON, run, started, until};

pub(crate) fn secret(id: &str) -> String {
    let byte = id.bytes().fold(7, u8::wrapping_add);
    let secret = Secret::from_bytes(id, [byte; 32]).unwrap();
    secret.to_text().to_string()
}

/// The robot's own nodes may all; a tablet may stop the drive, and is itself.
pub(crate) const POLICY: &str = r#"
[[allow]]
keys = ["robot"]
call = ["**"]
publish = ["**"]
subscribe = ["**"]
register = ["**"]

[[allow]]
keys = ["tablet"]
call = ["drive/Stop", "drive/Halt", "*/Honk", "ui/*"]
publish = ["tablet/*"]
subscribe = ["drive/*", "*/open"]
register = ["tablet", "tablet/*"]
"#;

/// A robot's registry and what its nodes are configured with.
pub(crate) struct Robot {
    pub(crate) registry: RunningRegistry,
    pub(crate) policy: PathBuf,
    _directory: tempfile::TempDir,
}

impl Robot {
    pub(crate) async fn new() -> Self {
        Self::with(POLICY).await
    }

    pub(crate) async fn with(policy: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.toml");
        std::fs::write(&path, policy).unwrap();
        let node = NodeConfig::hosting_registry(secret("robot")).unwrap();
        let node = guarded(node.listen("127.0.0.1:0"), &path);
        let registry = Registry::with(node).fresh().start().await.unwrap();
        Self {
            registry,
            policy: path,
            _directory: directory,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.registry.address()
    }

    pub(crate) fn config(&self) -> NodeConfig {
        guarded(holder(self.address(), "robot"), &self.policy)
    }

    /// One of the robot's own nodes.
    pub(crate) async fn node(&self) -> Node {
        started(self.config()).await
    }

    /// A node that holds one secret, and has no policy.
    pub(crate) async fn stranger(&self, key: &str) -> Node {
        started(holder(self.address(), key)).await
    }

    pub(crate) fn rewrite(&self, policy: &str) {
        std::fs::write(&self.policy, policy).unwrap();
    }
}

/// As the robot's nodes are: they accept the lesser secrets, and mind the policy.
pub(crate) fn guarded(config: NodeConfig, policy: &std::path::Path) -> NodeConfig {
    let config = config.also_accept(secret("tablet")).unwrap();
    let config = config.also_accept(secret("guest")).unwrap();
    config.policy(policy).unwrap()
}

pub(crate) fn holder(registry: SocketAddr, key: &str) -> NodeConfig {
    let config = NodeConfig::new(registry.to_string(), secret(key)).unwrap();
    config
        .listen("127.0.0.1:0")
        .ask_time(Duration::from_secs(30))
}

/// How often that was denied.
pub(crate) fn denied(node: &Node, key: &str, verb: &str, what: &str) -> u64 {
    let is_meant =
        |report: &&DeniedReport| (&*report.key, &*report.verb, &*report.what) == (key, verb, what);
    let denied = node.denied();
    denied
        .iter()
        .find(is_meant)
        .map_or(0, |report| report.times)
}

#[botzilla::message(reply = u64)]
#[derive(Debug)]
pub(crate) struct Go {}

#[botzilla::message(reply = u64)]
pub(crate) struct Stop {}

/// Goes first.
#[botzilla::message(reply = u64)]
pub(crate) struct Halt {}

/// Goes first too, and isn't a tablet's.
#[botzilla::message(reply = u64)]
pub(crate) struct Kill {}

/// For all who listen.
#[botzilla::message]
pub(crate) struct Honk {}

/// Asks the drive to go.
#[botzilla::message(reply = Result<u64, String>)]
pub(crate) struct Drive {}

/// Who sent it.
#[botzilla::message(reply = Option<String>)]
pub(crate) struct Who {}

#[derive(Default)]
pub(crate) struct Car {
    calls: u64,
    honks: u64,
}

#[botzilla::component(groups = ["base"])]
impl Car {
    #[botzilla::handler]
    fn go(&mut self, _: Go) -> u64 {
        self.calls += 1;
        self.calls
    }

    #[botzilla::handler]
    fn stop(&mut self, _: Stop) -> u64 {
        self.calls += 1;
        self.calls
    }

    #[botzilla::handler(urgent)]
    fn halt(&mut self, _: Halt) -> u64 {
        self.calls
    }

    #[botzilla::handler(urgent, broadcast)]
    fn kill(&mut self, _: Kill) -> u64 {
        self.calls += 100;
        self.calls
    }

    #[botzilla::handler(broadcast)]
    fn honk(&mut self, _: Honk) {
        self.honks += 1;
    }

    #[botzilla::handler]
    async fn drive(&mut self, _: Drive, ctx: &botzilla::Ctx<Self>) -> Result<u64, String> {
        let drive = ctx.component("drive").ask(Go {}).await;
        drive.map_err(|error| error.to_string())
    }

    #[botzilla::handler]
    fn who(&mut self, _: Who, ctx: &botzilla::Ctx<Self>) -> Option<String> {
        ctx.sender().map(ToOwned::to_owned)
    }
}

pub(crate) fn assert_denied<T: std::fmt::Debug>(
    result: Result<T, botzilla::CallError>,
    parts: &[&str],
) {
    let error = result.unwrap_err();
    let Reason::Denied(text) = error.reason() else {
        panic!("{error}");
    };
    assert!(!error.may_have_run());
    for part in parts {
        assert!(text.contains(part), "{text}: {part}");
    }
}

#[test]
fn a_lesser_secret_calls_what_a_rule_allows_and_nothing_else_however_it_asks() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        base.spawn("drive", Car::default).await.unwrap();
        let drive = tablet.component("drive");
        drive.ready(PATIENCE).await.unwrap();
        assert_eq!(drive.ask(Stop {}).await.unwrap(), 1);

        assert_denied(drive.ask(Go {}).await, &["`tablet`", "call drive/Go"]);
        let told = drive.tell(Go {}).await.unwrap().await;
        assert_denied(told, &["drive/Go"]);
        let told = drive.try_tell(Go {}).unwrap().await;
        assert_denied(told, &["drive/Go"]);
        let empty = json!({});
        assert_denied(drive.ask_json("Go", &empty, None).await, &["drive/Go"]);
        // Who may not call it isn't told what there is.
        assert_denied(drive.ask_json("None", &empty, None).await, &["drive/None"]);
        assert_denied(tablet.component("drive").ask(Go {}).await, &["drive/Go"]);
        assert_eq!(denied(&base, "tablet", "call", "drive/Go"), 5);
        assert_eq!(denied(&base, "tablet", "call", "drive/None"), 1);

        assert_eq!(drive.ask(Stop {}).await.unwrap(), 2, "none of them ran");
        let report = base.describe("drive").unwrap();
        assert_eq!(report.denied.iter().map(|it| it.times).sum::<u64>(), 6);
        assert_eq!(base.report().denied, base.denied());
        let other = robot.node().await;
        let drive = other.component("drive");
        assert_eq!(
            drive.ask(Go {}).await.unwrap(),
            3,
            "the main secret may all"
        );
        for node in [&tablet, &other, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn being_urgent_is_no_way_around() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        base.spawn("drive", Car::default).await.unwrap();
        let drive = tablet.component("drive");
        assert_denied(drive.ask(Kill {}).await, &["drive/Kill"]);
        assert_denied(drive.tell(Kill {}).await.unwrap().await, &["drive/Kill"]);
        let report = tablet.broadcast(Kill {}).await.unwrap();
        assert_eq!((report.delivered.len(), report.failed.len()), (0, 1));
        assert_eq!(drive.ask(Halt {}).await.unwrap(), 0, "this it may");
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn who_holds_a_secret_that_no_rule_names_is_not_let_in_and_both_sides_say_so() {
    run(async {
        let robot = Robot::new().await;
        let began = std::time::Instant::now();
        let guest = Node::start(holder(robot.address(), "guest")).await;
        let error = guest.unwrap_err().to_string();
        for part in ["denied by policy", "`guest`", "[[allow]]"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(began.elapsed() < SOON, "waiting doesn't make it right");
        let denied = robot.registry.node().denied();
        let [report] = &denied[..] else {
            panic!("{denied:?}");
        };
        assert_eq!((&*report.key, &*report.verb), ("guest", "connect"));
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_robot_does_not_connect_with_whom_its_policy_does_not_name_and_tells_why() {
    run(async {
        let robot = Robot::new().await;
        // Somebody else's registry, without a policy, which knows the guest's secret alone.
        let theirs = Registry::new("127.0.0.1:0", secret("guest")).unwrap();
        let theirs = theirs.fresh().start().await.unwrap();
        let astray = guarded(holder(theirs.address(), "robot"), &robot.policy);
        let error = Node::start(astray).await.unwrap_err().to_string();
        for part in ["denied by this node's policy", "`guest`"] {
            assert!(error.contains(part), "{error}");
        }
        theirs.shutdown(SOON).await;
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_broadcast_reaches_those_whom_its_sender_may_call_and_says_who_was_denied() {
    run(async {
        let robot = Robot::with(&POLICY.replace("*/Honk", "drive/Honk")).await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        for name in ["drive", "crane", "winch"] {
            base.spawn(name, Car::default).await.unwrap();
        }
        tablet.component("winch").ready(PATIENCE).await.unwrap();
        let to_all = tablet.broadcast(Honk {}).await.unwrap();
        let to_group = tablet.broadcast(Honk {}).group("base");
        let to_group = to_group.to_the_end().await.unwrap();
        let empty = json!({});
        let as_json = tablet.broadcast_json("Honk", &empty, Some("base"), SOON, false);
        let as_json = as_json.await.unwrap();
        for report in [to_all, to_group, as_json] {
            assert_eq!(report.delivered, ["drive"], "{report:?}");
            let failed: Vec<_> = report
                .failed
                .iter()
                .map(|it| (&*it.component, it.code))
                .collect();
            assert_eq!(failed, [("crane", 4), ("winch", 4)]);
            assert!(report.failed[0].reason.contains("denied"), "{report:?}");
        }
        assert_eq!(denied(&base, "tablet", "call", "crane/Honk"), 3);
        let ours = base.broadcast(Honk {}).await.unwrap();
        assert_eq!(ours.delivered, ["crane", "drive", "winch"]);
        assert!(ours.is_complete());
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn what_a_node_says_about_itself_is_called_like_anything_else() {
    run(async {
        let robot = Robot::new().await;
        let (base, tablet) = (robot.node().await, robot.stranger("tablet").await);
        base.spawn("drive", Car::default).await.unwrap();
        let drive = tablet.component("drive");
        drive.ready(PATIENCE).await.unwrap();
        assert_denied(drive.describe(SOON).await, &["botzilla.Describe"]);
        let node = tablet.component(format!("node/{}", base.id()));
        let report = node.ask(botzilla::Report {}).await;
        assert_denied(report, &["botzilla.Report"]);

        let more = "\n[[allow]]\nkeys = [\"tablet\"]\ncall = [\"node/*/botzilla.*\"]\n";
        robot.rewrite(&format!("{POLICY}{more}"));
        base.reload().await.unwrap();
        let described = drive.describe(SOON).await.unwrap();
        assert_eq!(described.name, "drive");
        let report = node.ask(botzilla::Report {}).await.unwrap();
        assert_eq!(report.denied.len(), 2);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn components_of_one_node_are_never_checked() {
    run(async {
        // Not even the robot's own secret may call the crane from outside.
        let policy = POLICY.replace("call = [\"**\"]", "call = [\"ui/*\"]");
        let robot = Robot::with(&policy).await;
        let (base, other) = (robot.node().await, robot.node().await);
        base.spawn("drive", Car::default).await.unwrap();
        base.spawn("ui", Car::default).await.unwrap();
        assert_eq!(base.component("drive").ask(Go {}).await.unwrap(), 1);
        assert_denied(other.component("drive").ask(Go {}).await, &["`robot`"]);
        let ui = other.component("ui");
        assert_eq!(ui.ask(Drive {}).await.unwrap(), Ok(2));
        assert_eq!(
            base.broadcast(Honk {}).await.unwrap().delivered,
            ["drive", "ui"]
        );
        for node in [&other, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn a_nested_ask_is_checked_by_who_sends_it_not_by_who_began() {
    run(async {
        let robot = Robot::new().await;
        let (base, front) = (robot.node().await, robot.node().await);
        let tablet = robot.stranger("tablet").await;
        base.spawn("drive", Car::default).await.unwrap();
        front.spawn("ui", Car::default).await.unwrap();
        // The tablet may ask the `ui`, which is of the robot, and sees to what it does.
        let ui = tablet.component("ui");
        assert_eq!(ui.ask(Drive {}).await.unwrap(), Ok(1));
        assert_denied(tablet.component("drive").ask(Go {}).await, &["drive/Go"]);
        // The tablet's own component gets no further than the tablet.
        tablet.spawn("tablet/ui", Car::default).await.unwrap();
        let lent = front.component("tablet/ui").ask(Drive {}).await.unwrap();
        assert!(lent.unwrap_err().contains("denied"));
        for node in [&tablet, &front, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}

#[test]
fn over_a_connection_that_the_robot_dialled_the_same_holds() {
    run(async {
        let robot = Robot::new().await;
        // It says that it is where nobody is: so who would talk to it waits for it to dial.
        let base = started(robot.config().advertise(["127.0.0.1:1"])).await;
        let tablet = robot.stranger("tablet").await;
        base.spawn("drive", Car::default).await.unwrap();
        tablet.spawn("tablet/ui", Car::default).await.unwrap();
        let ui = base.component("tablet/ui");
        assert_eq!(ui.ask(Go {}).await.unwrap(), 1);
        until(|| tablet.report().peers.contains(&base.id().to_string())).await;
        let drive = tablet.component("drive");
        assert_eq!(drive.ask(Stop {}).await.unwrap(), 1);
        assert_denied(drive.ask(Go {}).await, &["drive/Go"]);
        for node in [&tablet, &base] {
            node.shutdown(SOON).await;
        }
        robot.registry.shutdown(SOON).await;
    });
}
