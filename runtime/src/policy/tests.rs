use proptest::prelude::*;

use super::*;

/// The example of the README, with its comments.
pub(crate) const ROBOT: &str = r#"
# The robot's own nodes: all.
[[allow]]
keys = ["robot", "robot-*"]
call = ["**"]
publish = ["**"]
subscribe = ["**"]
register = ["**"]

[[allow]]
keys = ["tablet"]
call = [
    "drive/EmergencyStop",
    "planner/*",
]
subscribe = ["*/odometry", "camera/**"]
publish = ["tablet/*"]
register = ["tablet", "tablet/*"]

[[allow]]
keys = ["laptop", "tablet"]
call = ["node/*/botzilla.*"]
"#;

fn policy(text: &str) -> Policy {
    text.parse().unwrap()
}

fn says(policy: &Policy, key: &str, request: Request<'_>) -> bool {
    policy.decide(key, &request).is_allowed()
}

fn call(text: &str) -> Request<'_> {
    Request::call(text).unwrap()
}

#[test]
fn what_no_rule_allows_is_denied() {
    let policy = policy(ROBOT);
    for (key, request, allowed) in [
        ("robot", call("drive/SetVelocity"), true),
        ("robot-2026", Request::Register("drive"), true),
        ("robots", call("drive/SetVelocity"), false),
        ("tablet", call("drive/EmergencyStop"), true),
        ("tablet", call("drive/SetVelocity"), false),
        ("tablet", call("drive/left/EmergencyStop"), false),
        ("tablet", call("planner/GoTo"), true),
        ("tablet", call("planner/rear/GoTo"), false),
        ("tablet", call("node/00/botzilla.Report"), true),
        ("tablet", call("node/00/Other"), false),
        ("tablet", Request::Subscribe("drive/odometry"), true),
        ("tablet", Request::Subscribe("lidar/scan"), false),
        ("tablet", Request::Subscribe("camera/front/image"), true),
        ("tablet", Request::Publish("tablet/joystick"), true),
        ("tablet", Request::Publish("drive/odometry"), false),
        ("tablet", Request::Register("tablet/joystick"), true),
        ("tablet", Request::Register("drive"), false),
        ("tablet", Request::Register("registry"), false),
        ("laptop", call("planner/GoTo"), false),
        ("laptop", Request::Register("laptop"), false),
        ("guest", call("registry/List"), false),
        ("Tablet", call("planner/GoTo"), false),
    ] {
        let decision = policy.decide(key, &request);
        assert_eq!(
            decision.is_allowed(),
            allowed,
            "{key} {request}: {decision}"
        );
    }
}

#[test]
fn whoever_is_named_may_ask_the_registry_who_is_there_and_nothing_else() {
    let policy = policy("[[allow]]\nkeys = [\"guest\"]\n");
    for message in [
        "Register",
        "Deregister",
        "Introduce",
        "Resolve",
        "List",
        "Watch",
    ] {
        let component = REGISTRY;
        assert!(says(&policy, "guest", Request::Call { component, message }));
        assert!(!says(
            &policy,
            "other",
            Request::Call { component, message }
        ));
        let component = "drive";
        assert!(!says(
            &policy,
            "guest",
            Request::Call { component, message }
        ));
    }
    assert!(!says(&policy, "guest", call("registry/Anything")));
    assert!(!says(&policy, "guest", Request::Register("registry")));
    assert!(policy.names("guest") && !policy.names("guests"));
}

#[test]
fn a_decision_names_the_rule_and_the_pattern_or_what_each_rule_lacks() {
    let policy = policy(ROBOT);
    let request = call("planner/GoTo");
    let decision = policy.decide("tablet", &request);
    assert_eq!(decision.rule(), Some((10, "planner/*")));
    assert_eq!(
        decision.to_string(),
        "allowed by the rule of line 10: its `call` has \"planner/*\""
    );
    let text = policy.decide("tablet", &call("drive/Go")).to_string();
    for part in ["line 10", "line 20", "`tablet`", "no pattern of its `call`"] {
        assert!(text.contains(part), "{text}");
    }
    let text = policy
        .decide("laptop", &Request::Publish("a/b"))
        .to_string();
    assert!(text.ends_with("but has no `publish`"), "{text}");
    let text = policy.decide("guest", &Request::Publish("a/b")).to_string();
    assert!(text.contains("no rule names the key id `guest`"), "{text}");
}

#[test]
fn a_mistake_is_told_with_its_line_and_the_remedy() {
    let rule = "[[allow]]\nkeys = [\"a\"]\n";
    for (text, line, remedy) in [
        ("", 1, "[[allow]]"),
        ("# nothing\n", 1, "README.md"),
        ("[[allow]]\ncall = [\"**\"]\n", 1, "keys"),
        ("[[allow]]\nkeys = []\n", 1, "name the key ids"),
        ("[[allow]]\nkeys = [\"a/b\"]\n", 2, "a key id has"),
        ("[[alow]]\nkeys = [\"a\"]\n", 1, "alow"),
        ("[[allow]]\nkeys = [\"a\"]\ncals = [\"**\"]\n", 3, "cals"),
        (&format!("{rule}call = [\"drive\"]\n"), 3, "no slash"),
        (
            &format!("{rule}call = [\n  \"a/b\",\n  \"*\",\n]\n"),
            5,
            "no slash",
        ),
        (
            &format!("{rule}subscribe = [\"group:base/*\"]\n"),
            3,
            "name components",
        ),
        (&format!("{rule}publish = [\"a/b c\"]\n"), 3, "no blanks"),
        (&format!("{rule}register = [\"é\"]\n"), 3, "names have"),
        (&format!("{rule}register = [\"\"]\n"), 3, "empty"),
        (
            &format!("{rule}call = [\"a/***\"]\n"),
            3,
            "`**` (over segments)",
        ),
        (&format!("{rule}call = \"a/b\"\n"), 3, "sequence"),
        ("[[allow]\n", 1, ""),
    ] {
        let error = text.parse::<Policy>().unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.reason.contains(remedy), "{text}: {error}");
    }
}

#[test]
fn a_key_takes_the_place_of_another_only_if_it_may_do_as_much() {
    let policy = policy(ROBOT);
    for (wide, narrow, covers) in [
        ("robot", "tablet", true),
        ("robot-2", "robot", true),
        ("robot", "robot-2", true),
        ("tablet", "robot", false),
        ("tablet", "laptop", true),
        ("laptop", "tablet", false),
        ("tablet", "tablet", true),
    ] {
        assert_eq!(policy.covers(wide, narrow), covers, "{wide} for {narrow}");
    }
}

proptest! {
    #[test]
    fn a_rule_more_never_takes_anything_away(
        key in "(robot|tablet|guest)", text in "(drive|tablet|arm/left)/[A-Z*/a-z]{1,6}",
    ) {
        let less = policy(ROBOT);
        let more = policy(&format!("{ROBOT}\n[[allow]]\nkeys = [\"guest\"]\ncall = [\"drive/*\"]\n"));
        for request in [call(&text), Request::Publish(&text), Request::Subscribe(&text), Request::Register(&text)] {
            prop_assert!(!says(&less, &key, request) || says(&more, &key, request));
        }
    }

    #[test]
    fn nothing_is_allowed_that_no_pattern_of_the_keys_rules_means(
        key in "[a-z]{1,8}", component in "[a-z/]{1,8}", message in "\\PC{1,12}",
    ) {
        let request = Request::Call { component: &component, message: &message };
        let policy = policy(ROBOT);
        if policy.decide(&key, &request).is_allowed() {
            let of_key = policy.rules().iter().filter(|rule| rule.keys.iter().any(|glob| glob.matches(&key)));
            let means = of_key.flat_map(|rule| &rule.call).any(|glob| glob.matches_call(&component, &message));
            prop_assert!(means || component == REGISTRY);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = text.parse::<Policy>();
    }
}
