//! `botzilla policy check`, and what a policy does to who uses the command line.

use botzilla::{Node, NodeConfig};
use botzilla_wire::Secret;
use serde_json::{Value, json};

use crate::process::{Botzilla, PATIENCE, Registry, SECRET, botzilla};

const POLICY: &str = r#"# ours
[[allow]]
keys = ["test"]
call = ["**"]
publish = ["**"]
subscribe = ["**"]
register = ["**"]

[[allow]]
keys = ["tablet", "laptop-*"]
call = ["drive/Stop"]
register = ["tablet/*"]
"#;

fn check(words: &str) -> Botzilla {
    let check = botzilla("policy check").file("policy.toml", POLICY);
    check.arg("policy.toml").words(words)
}

#[test]
fn a_policy_is_shown_by_its_rules() {
    let text = check("").ok();
    for part in [
        "policy.toml: 2 rules",
        "line 2: test",
        "line 9: tablet, laptop-*",
        "drive/Stop",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let json = check("").json();
    assert_eq!(json["rules"][1]["line"], 9);
    assert_eq!(json["rules"][1]["call"], json!(["drive/Stop"]));
    assert_eq!(json["rules"][1]["publish"], json!([]));
}

#[test]
fn a_decision_is_explained_and_its_exit_code_is_the_answer() {
    let allowed = check("--key tablet --call drive/Stop").ok();
    assert_eq!(
        allowed,
        "allowed by the rule of line 9: its `call` has \"drive/Stop\"\n"
    );
    for (question, parts) in [
        (
            "--key tablet --call drive/Go",
            &["line 9", "no pattern of its `call`"][..],
        ),
        (
            "--key laptop-7 --subscribe a/b",
            &["line 9", "has no `subscribe`"],
        ),
        (
            "--key tablet --register drive",
            &["no pattern of its `register`"],
        ),
        (
            "--key guest --publish a/b",
            &["no rule names the key id `guest`"],
        ),
    ] {
        let ended = check(question).run();
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.out.starts_with("denied: "), "{ended:?}");
        assert!(ended.err.contains("may not"), "{ended:?}");
        for part in parts {
            assert!(ended.out.contains(part), "{ended:?}");
        }
    }
    let json = check("--key tablet --register tablet/ui").json();
    let expected = json!({
        "file": "policy.toml", "key": "tablet", "register": "tablet/ui", "allowed": true,
        "line": 9, "pattern": "tablet/*",
        "why": "allowed by the rule of line 9: its `register` has \"tablet/*\"",
    });
    assert_eq!(json, expected);
    let ended = check("--key tablet --call drive/Go --json").run();
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (ended.code, &json["allowed"], &json["line"]),
        (1, &json!(false), &Value::Null)
    );
    assert!(check("--key tablet --call registry/List").run().code == 0);
}

#[test]
fn what_is_no_policy_or_no_question_is_told_in_one_line() {
    let of = |text: &str| botzilla("policy check p.toml").file("p.toml", text);
    for (command, parts) in [
        (
            botzilla("policy check none.toml"),
            &["none.toml", "can't be read", "check"][..],
        ),
        (of(""), &["p.toml:1", "[[allow]]"]),
        (
            of("[[allow]]\nkeys = [\"a\"]\ncall = [\"drive\"]\n"),
            &["p.toml:3", "no slash", "**"],
        ),
        (
            of("[[allow]]\nkeys = [\"a\"]\ncal = []\n"),
            &["p.toml:3", "cal"],
        ),
        (check("--key tablet"), &["--help"]),
        (check("--call drive/Stop"), &["--key"]),
        (
            check("--key a --call drive"),
            &["--call \"drive\"", "component/message"],
        ),
        (
            check("--key a --subscribe */scan"),
            &["--subscribe", "not for a pattern"],
        ),
        (check("--key a --call a/b --register c"), &["--help"]),
    ] {
        let ended = command.run();
        assert_eq!((ended.code, &*ended.out), (2, ""), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
        for part in parts {
            assert!(ended.err.contains(part), "{part:?} isn't in {ended:?}");
        }
    }
}

#[test]
fn a_registry_that_does_not_name_a_secret_refuses_its_holder_and_both_say_so() {
    let minds = |policy: &str| {
        let registry = botzilla("registry --listen 127.0.0.1:0 --fresh --json");
        let registry = registry.file("policy.toml", policy);
        Registry::start(registry.env("BOTZILLA_POLICY", "policy.toml"))
    };
    let ours = minds(POLICY);
    botzilla("list").at(&ours).ok();
    let others = minds(&POLICY.replace("\"test\"", "\"other\""));
    let ended = botzilla("list").at(&others).run();
    assert_eq!(ended.code, 2, "{ended:?}");
    for part in ["denied by policy", "`test`", "[[allow]]"] {
        assert!(ended.err.contains(part), "{ended:?}");
    }
    let broken = botzilla("registry --listen 127.0.0.1:0").file("policy.toml", "[[allow]]\n");
    let ended = broken.env("BOTZILLA_POLICY", "policy.toml").run();
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("policy.toml:1"), "{ended:?}");
}

#[botzilla::message(reply = u64)]
struct Stop {}

#[botzilla::message(reply = u64)]
struct Go {}

#[derive(Default)]
struct Drive;

#[botzilla::component]
impl Drive {
    #[botzilla::handler]
    fn stop(&mut self, _: Stop) -> u64 {
        1
    }

    #[botzilla::handler]
    fn go(&mut self, _: Go) -> u64 {
        2
    }
}

#[test]
fn a_tablet_is_told_what_it_may_not_and_the_robot_counts_it() {
    let tablet = Secret::from_bytes("tablet", [9; 32]).unwrap().to_text();
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.toml");
    let describe = "[[allow]]\nkeys = [\"tablet\"]\ncall = [\"node/*/botzilla.Describe\"]\n";
    std::fs::write(&policy, format!("{POLICY}{describe}")).unwrap();
    let guarded = |config: NodeConfig| {
        let config = config
            .listen("127.0.0.1:0")
            .also_accept(tablet.as_str())
            .unwrap();
        config.policy(&policy).unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (registry, node) = runtime.block_on(async {
        let registry = guarded(NodeConfig::hosting_registry(SECRET).unwrap());
        let registry = botzilla_registry::Registry::with(registry).fresh();
        let registry = registry.start().await.unwrap();
        let config = NodeConfig::new(registry.address().to_string(), SECRET).unwrap();
        let node = Node::start(guarded(config)).await.unwrap();
        node.spawn("drive", || Drive).await.unwrap();
        (registry, node)
    });
    let at = registry.address().to_string();
    let ask = |words: &str, secret: &str| {
        let ask = botzilla(words).env("BOTZILLA_REGISTRY", &at);
        ask.env("BOTZILLA_SECRET", secret).words("--timeout 20s")
    };
    assert_eq!(ask("call drive Stop", &tablet).ok(), "1\n");
    let ended = ask("call drive Go --json", &tablet).run();
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &json["error"]["kind"]), (1, &json!("denied")));
    assert_eq!(json["error"]["may_have_run"], false);
    assert!(
        ended.err.contains("`tablet`") && ended.err.contains("call drive/Go"),
        "{ended:?}"
    );
    assert_eq!(ask("call drive Go", SECRET).ok(), "2\n");
    let info = ask("info drive", SECRET).ok();
    for part in ["DENIED", "tablet", "drive/Go"] {
        assert!(info.contains(part), "{info}");
    }
    let info = ask("info drive", SECRET).json();
    let expected = json!([{"key": "tablet", "verb": "call", "what": "drive/Go", "times": 1}]);
    assert_eq!(info["denied"], expected);
    runtime.block_on(async {
        node.shutdown(PATIENCE).await;
        registry.shutdown(PATIENCE).await;
    });
}
