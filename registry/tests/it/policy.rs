//! Names under a policy: who may register what, whatever it says about itself.

use botzilla::{
    Node, NodeConfig, SpawnError,
    directory::{
        facts::{ComponentFacts, NodeFacts},
        messages::{Claim, Deregister, Outcome, REGISTRY, Register, Standing},
    },
};
use botzilla_registry::{Registry, RunningRegistry};
use botzilla_wire::Secret;

use crate::{greet, run, until_listed};

const POLICY: &str = r#"
[[allow]]
keys = ["robot"]
call = ["**"]
register = ["**"]

[[allow]]
keys = ["tablet"]
register = ["tablet/*"]
"#;

fn secret(id: &str) -> String {
    let secret = Secret::from_bytes(id, [id.len() as u8; 32]).unwrap();
    secret.to_text().to_string()
}

async fn start(fresh: bool) -> RunningRegistry {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), POLICY).unwrap();
    let node = NodeConfig::hosting_registry(secret("robot")).unwrap();
    let node = node
        .listen("127.0.0.1:0")
        .also_accept(secret("tablet"))
        .unwrap();
    let registry = Registry::with(node).policy(file.path()).unwrap();
    let registry = if fresh { registry.fresh() } else { registry };
    registry.start().await.unwrap()
}

async fn holder(registry: &RunningRegistry, key: &str) -> Node {
    let config = NodeConfig::new(registry.address().to_string(), secret(key)).unwrap();
    Node::start(config.listen("127.0.0.1:0")).await.unwrap()
}

/// A claim by hand, and what becomes of it.
async fn claim(node: &Node, name: &str, standing: Standing) -> Outcome {
    let component = ComponentFacts {
        name: name.to_owned(),
        count: 1,
        ..ComponentFacts::default()
    };
    let msg = Register {
        node: NodeFacts {
            id: node.id().to_string(),
            ..NodeFacts::default()
        },
        components: vec![Claim {
            component,
            standing,
        }],
        complete: false,
        wait_ms: 0,
    };
    let mut reply = node.component(REGISTRY).ask(msg).await.unwrap();
    assert_eq!(reply.results[0].name, name);
    reply.results.remove(0).outcome
}

#[test]
fn a_name_is_for_the_secret_that_may_have_it_also_while_the_registry_recovers() {
    run(async {
        for fresh in [true, false] {
            let registry = start(fresh).await;
            let tablet = holder(&registry, "tablet").await;
            for standing in [
                Standing::New,
                Standing::Held {
                    confirmed_ms_ago: 0,
                },
            ] {
                let outcome = claim(&tablet, "drive", standing).await;
                let Outcome::Denied { reason } = outcome else {
                    panic!("{outcome:?}");
                };
                assert!(
                    reason.contains("`tablet`") && reason.contains("drive"),
                    "{reason}"
                );
            }
            let held = Standing::Held {
                confirmed_ms_ago: 0,
            };
            let outcome = claim(&tablet, "tablet/a", held).await;
            assert!(matches!(outcome, Outcome::Granted { .. }), "{outcome:?}");
        }
    });
}

#[test]
fn nobody_gives_up_names_that_it_may_not_have() {
    run(async {
        let registry = start(true).await;
        let (robot, tablet) = (
            holder(&registry, "robot").await,
            holder(&registry, "tablet").await,
        );
        robot.spawn("greeter", greet).await.unwrap();
        tablet.spawn("tablet/greeter", greet).await.unwrap();
        let error = tablet.spawn("other", greet).await.unwrap_err();
        assert!(matches!(error, SpawnError::Denied { .. }), "{error}");
        for node in [robot.id(), tablet.id()] {
            let msg = Deregister {
                node: node.to_string(),
                names: vec!["greeter".to_owned()],
                failed: Vec::new(),
            };
            tablet.component(REGISTRY).ask(msg).await.unwrap();
        }
        until_listed(&robot, &["greeter", "tablet/greeter"]).await;
        let report = registry.node().denied();
        let register = report
            .iter()
            .filter(|it| it.verb == "register" && it.key == "tablet");
        assert_eq!(register.map(|it| &*it.what).collect::<Vec<_>>(), ["other"]);
    });
}
