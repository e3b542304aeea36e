//! Each verb: its text, its JSON, its exit code when the answer is no.

use serde_json::json;

use crate::{
    process::{Botzilla, Ended, Registry, botzilla, one_line_of_json},
    robot::Robot,
};

/// The answer was no, in one line that says all of this; in JSON, if that was asked for.
fn no(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    assert!(ended.err.starts_with("error: "), "{ended:?}");
    for part in parts {
        assert!(ended.err.contains(part), "{part:?} isn't in {ended:?}");
    }
}

fn world() -> (Registry, Robot) {
    let registry = Registry::fresh();
    let robot = Robot::start(&registry);
    (registry, robot)
}

#[test]
fn the_registry_says_where_it_listens_in_its_line() {
    let json = Registry::fresh();
    assert!(
        json.address.starts_with("127.0.0.1:"),
        "{}",
        json.first_line
    );
    let text = Registry::start(botzilla("registry --listen 127.0.0.1:0"));
    assert!(
        text.first_line
            .starts_with("registry listening on 127.0.0.1:"),
        "{}",
        text.first_line
    );
    assert!(!text.address.ends_with(":0"), "{}", text.first_line);
}

#[test]
fn a_registry_that_cannot_listen_says_why() {
    let registry = Registry::fresh();
    let taken = botzilla("registry --listen").arg(&registry.address).run();
    assert_eq!(
        (
            taken.code,
            taken.err.starts_with("error: can't listen on 127.")
        ),
        (2, true),
        "{taken:?}"
    );
    assert_eq!(taken.err.lines().count(), 1, "{taken:?}");
}

#[test]
fn keygen_shows_the_secret_alone_and_it_can_be_used_at_once() {
    let secret = botzilla("keygen").without("BOTZILLA_SECRET").ok();
    assert!(
        secret.starts_with("bz1:k") && secret.lines().count() == 1,
        "{secret}"
    );
    let secret = secret.trim();
    let with = |words: &str| botzilla(words).env("BOTZILLA_SECRET", secret);
    let registry = Registry::start(with("registry --listen 127.0.0.1:0 --fresh"));
    assert_eq!(with("list").at(&registry).ok(), "no components\n");
    let named = botzilla("keygen --id lab-2").json();
    assert_eq!(named["id"], "lab-2");
    assert!(
        named["secret"].as_str().unwrap().starts_with("bz1:lab-2:"),
        "{named}"
    );
    assert_ne!(botzilla("keygen").ok(), botzilla("keygen").ok());
}

#[test]
fn list_shows_who_is_there() {
    let (registry, _robot) = world();
    let text = botzilla("list").at(&registry).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("NAME"), "{text}");
    assert!(lines[1].starts_with("arm      base     5"), "{text}");
    assert!(lines[2].starts_with("greeter  talkers  1"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour in a pipe: {text}");
    let json = botzilla("list").at(&registry).json();
    assert_eq!(json["recovering"], false);
    assert_eq!(json["components"][0]["name"], "arm");
    assert_eq!(json["components"][0]["connected"], true);
    assert_eq!(json["components"][1]["messages"][0]["name"], "Greet");
    let group = botzilla("list --group talkers").at(&registry).json();
    assert_eq!(group["components"].as_array().unwrap().len(), 1);
    let empty = botzilla("list --group dancers").at(&registry).ok();
    assert_eq!(empty, "no components in group dancers\n");
}

#[test]
fn info_shows_one_component_with_what_became_of_its_messages() {
    let (registry, _robot) = world();
    botzilla("call arm GetPlace").at(&registry).ok();
    let text = botzilla("info arm").at(&registry).ok();
    assert!(text.starts_with("arm\n"), "{text}");
    for part in [
        "running",
        "base",
        "never restarted",
        "on panic, at most 10 in 60s",
        "127.0.0.1:",
        "MoveTo",
        "urgent, broadcast",
    ] {
        assert!(text.contains(part), "{part:?} isn't in {text}");
    }
    let json = botzilla("info arm").at(&registry).json();
    assert_eq!(
        (&json["name"], &json["state"]),
        (&json!("arm"), &json!("running"))
    );
    assert_eq!(json["pid"], std::process::id());
    assert_eq!(
        (&json["restarts"], &json["last_restart"]),
        (&json!(0), &json!(null))
    );
    let handlers = json["handlers"].as_array().unwrap();
    let place = handlers
        .iter()
        .find(|handler| handler["message"] == "GetPlace")
        .unwrap();
    assert_eq!(place["counters"]["delivered"], 1);
    no(
        &botzilla("info amr").at(&registry).run(),
        &["\"amr\"", "no such component", "close names: arm"],
    );
    let nobody = botzilla("info camera --json").at(&registry).run();
    no(
        &nobody,
        &["\"camera\"", "no such component", "`botzilla list`"],
    );
    let answer = one_line_of_json(&nobody.out);
    assert_eq!(answer["error"]["kind"], "no_such_component");
}

#[test]
fn info_shows_how_often_a_component_was_restarted_and_why() {
    let (registry, _robot) = world();
    botzilla("tell arm Break").at(&registry).run();
    // It waits for the rebuild.
    botzilla("call arm GetPlace").at(&registry).ok();
    let text = botzilla("info arm").at(&registry).ok();
    for part in [
        "restarted once",
        "it panicked: the elbow",
        "on panic, at most 10 in 60s",
    ] {
        assert!(text.contains(part), "{part:?} isn't in {text}");
    }
    let json = botzilla("info arm").at(&registry).json();
    assert_eq!(json["restarts"], 1);
    assert_eq!(json["last_restart"], "it panicked: the elbow\nis broken");
    assert_eq!(json["restart"], "on panic, at most 10 in 60s");
}

#[test]
fn info_knows_the_registry_itself_too() {
    let registry = Registry::fresh();
    let info = botzilla("info registry").at(&registry).json();
    assert_eq!(
        (&info["name"], &info["state"]),
        (&json!("registry"), &json!("running"))
    );
}

#[test]
fn call_shows_the_reply() {
    let (registry, _robot) = world();
    let call = |words: &str, json: &str| botzilla(words).arg(json).at(&registry);
    assert_eq!(
        call("call greeter Greet", r#"{"name": "Ada"}"#).ok(),
        "\"hello Ada\"\n"
    );
    let from_stdin = botzilla("call greeter Greet -")
        .stdin(r#"{"name": "Ada"}"#)
        .at(&registry);
    assert_eq!(from_stdin.ok(), "\"hello Ada\"\n");
    let reply = call("call greeter Greet", r#"{"name": "Ada"}"#).json();
    assert_eq!(
        (&reply["ok"], &reply["reply"]),
        (&json!(true), &json!("hello Ada"))
    );
    let place = botzilla("call arm GetPlace").at(&registry).json();
    assert_eq!(place["reply"], json!({"x_m": 0.0, "y_m": 0.0}));
    let moved = call(
        "call arm MoveTo",
        r#"{"at": {"x_m": 0.5, "y_m": 0}, "gait": "Fast"}"#,
    )
    .json();
    assert_eq!(moved["reply"], json!({"x_m": 0.5, "y_m": 0.0}));
}

#[test]
fn call_ends_with_1_when_the_answer_is_no() {
    let (registry, _robot) = world();
    let call = |words: &str| botzilla(words).at(&registry);
    let too_far = r#"{"at": {"x_m": 5, "y_m": 0}, "gait": "Careful"}"#;
    let refused = call("call arm MoveTo").arg(too_far).run();
    no(
        &refused,
        &[
            "MoveTo to \"arm\"",
            "its handler answered with an error",
            r#"{"longest_m":1.0}"#,
        ],
    );
    assert_eq!(refused.out, "");
    let refused = call("call --json arm MoveTo").arg(too_far).run();
    no(&refused, &["longest_m"]);
    let answer = one_line_of_json(&refused.out);
    assert_eq!(
        (&answer["ok"], &answer["error"]["value"]),
        (&json!(false), &json!({"longest_m": 1.0}))
    );
    no(
        &call("call amr GetPlace").run(),
        &["GetPlace to \"amr\"", "no such component", "arm"],
    );
    no(
        &call("call arm GetPalce").run(),
        &["no handler", "did you mean GetPlace?"],
    );
    no(
        &call("call arm Dance").run(),
        &["no handler", "it handles Break, EmergencyStop, GetPlace"],
    );
    no(
        &call("call arm Break").run(),
        &["panicked", "the elbow is broken"],
    );
    let late = call("--timeout 500ms call arm Linger --json").run();
    no(
        &late,
        &["no answer within 500ms", "may have run", "--timeout"],
    );
    assert_eq!(one_line_of_json(&late.out)["error"]["kind"], "expired");
}

#[test]
fn tell_says_how_it_ended() {
    let (registry, _robot) = world();
    let tell = |words: &str| botzilla(words).at(&registry);
    assert_eq!(
        tell("tell arm GetPlace").ok(),
        "GetPlace was handled by arm\n"
    );
    assert_eq!(tell("tell arm GetPlace").json()["delivered"], true);
    no(
        &tell("tell camera GetPlace").run(),
        &["\"camera\"", "no such component"],
    );
    no(&tell("tell arm Dance").run(), &["no handler"]);
    let broken = tell("tell arm Break --json").run();
    no(&broken, &["panicked", "the elbow is broken"]);
    assert_eq!(one_line_of_json(&broken.out)["error"]["kind"], "panicked");
    no(
        &tell("tell arm Linger --timeout 500ms").run(),
        &["no answer within 500ms"],
    );
}

#[test]
fn a_tell_that_nobody_waits_for_arrives_all_the_same() {
    let (registry, _robot) = world();
    let at = r#"{"at": {"x_m": 0.25, "y_m": 0}, "gait": "Fast"}"#;
    let told = botzilla("tell --no-wait arm MoveTo")
        .arg(at)
        .at(&registry)
        .ok();
    assert_eq!(told, "MoveTo was sent to arm\n");
    // The next one waits behind it.
    let place = botzilla("call arm GetPlace").at(&registry).json();
    assert_eq!(place["reply"]["x_m"], 0.25);
}

#[test]
fn broadcast_says_who_got_it() {
    let (registry, _robot) = world();
    let stop = |words: &str| botzilla(words).arg(r#"{"reason": "cat"}"#).at(&registry);
    let text = stop("broadcast EmergencyStop").ok();
    assert_eq!(text, "delivered to  arm\nignored by    greeter\n");
    assert!(
        stop("broadcast --wait EmergencyStop")
            .ok()
            .starts_with("handled by    arm\n")
    );
    let json = stop("broadcast --group base EmergencyStop").json();
    assert_eq!(
        (&json["ok"], &json["delivered"]),
        (&json!(true), &json!(["arm"]))
    );
    assert_eq!(json["ignored"], json!([]));
    let nobody = stop("broadcast --group talkers EmergencyStop --json").run();
    no(
        &nobody,
        &["EmergencyStop reached nobody", "group \"talkers\""],
    );
    let nobody = one_line_of_json(&nobody.out);
    assert_eq!(
        (&nobody["ok"], &nobody["ignored"]),
        (&json!(false), &json!(["greeter"]))
    );
    no(
        &stop("broadcast Dance").run(),
        &["Dance reached nobody", "`botzilla list`"],
    );
}

#[test]
fn schema_shows_what_a_component_understands() {
    let (registry, _robot) = world();
    let schema = |words: &str| botzilla(words).at(&registry);
    let text = schema("schema arm").ok();
    for part in [
        "MoveTo  may fail\n  Moves the arm's hand.\n",
        r#"takes  {"at": {"x_m": number, "y_m": number}, "gait": "Careful" | "Fast", "tries"?: integer | null}"#,
        r#"try    botzilla call arm MoveTo '{"at":{"x_m":0.0,"y_m":0.0},"gait":"Careful"}'"#,
        "  gives  {\"x_m\": number, \"y_m\": number}\n  fails  {\"longest_m\": number}\n",
        "GetPlace\n",
        "EmergencyStop  urgent, broadcast\n",
    ] {
        assert!(text.contains(part), "{part:?} isn't in {text}");
    }
    let one = schema("schema arm GetPlace").ok();
    assert!(
        one.contains("\"type\": \"object\"") && !one.contains("MoveTo"),
        "{one}"
    );
    let json = schema("schema arm MoveTo").json();
    let message = &json["messages"][0];
    assert_eq!(message["schema"]["properties"]["tries"]["maximum"], 255);
    no(
        &schema("schema camera").run(),
        &["\"camera\"", "no such component"],
    );
    no(
        &schema("schema arm MoveTwo").run(),
        &["no handler", "did you mean MoveTo?"],
    );
}

#[test]
fn the_example_that_schema_shows_is_one_that_call_takes() {
    let (registry, _robot) = world();
    let json = botzilla("schema arm MoveTo").at(&registry).json();
    let example = json["messages"][0]["example"].to_string();
    let reply = botzilla("call arm MoveTo")
        .arg(&example)
        .at(&registry)
        .json();
    assert_eq!(reply["ok"], true, "{reply}");
}

#[test]
fn completions_know_all_verbs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = botzilla("completions").arg(shell).ok();
        for verb in ["registry", "keygen", "broadcast", "completions"] {
            assert!(script.contains(verb), "{verb} isn't in {shell}'s");
        }
    }
    let json = botzilla("completions fish").json();
    assert_eq!(json["shell"], "fish");
}

#[test]
fn every_verb_teaches_by_examples() {
    let all = [
        "registry",
        "keygen",
        "key",
        "list",
        "info",
        "call",
        "tell",
        "broadcast",
        "schema",
        "demo",
        "completions",
    ];
    let help = botzilla("--help").without("BOTZILLA_SECRET").ok();
    assert!(
        help.contains("Examples:") && help.contains("Exit codes:"),
        "{help}"
    );
    for verb in all {
        assert!(
            help.contains(&format!("\n  {verb} ")),
            "{verb} isn't in {help}"
        );
        let help = botzilla(verb).arg("--help").ok();
        assert!(
            help.contains(&format!(
                "Examples:\n  {}",
                if verb == "keygen" {
                    "export"
                } else {
                    "botzilla"
                }
            )),
            "{help}"
        );
    }
    assert!(botzilla("--version").ok().starts_with("botzilla 0."));
}

#[test]
fn nobody_who_reads_on_is_no_failure() {
    let registry = Registry::fresh();
    for words in ["list", "--help", "completions bash", "keygen"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = botzilla(words).at(&registry).stdout(writer).end();
        assert_eq!((ended.code, &*ended.err), (0, ""), "{words}: {ended:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_gets_lost_is_a_failure() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let ended = botzilla("keygen").stdout(full).end();
    assert_eq!((ended.code, ended.err.lines().count()), (2, 1), "{ended:?}");
    assert!(
        ended.err.contains("the output can't be written"),
        "{ended:?}"
    );
}

#[test]
#[cfg(unix)]
fn a_registry_that_is_asked_to_end_ends_well() {
    let registry = Registry::fresh();
    let pid = registry.running.child.id().to_string();
    let asked = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(asked.unwrap().success());
    let ended = registry.running.end();
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn settings_come_from_options_before_the_environment_before_the_file() {
    let registry = Registry::fresh();
    let bare = || Botzilla::new().words("list").without("BOTZILLA_SECRET");
    let secret = crate::process::SECRET;
    let file = format!(
        "registry = {:?}\nsecret_file = \"secret\"\n",
        registry.address
    );
    let with_file = |command: Botzilla| command.file("secret", secret).file("botzilla.toml", &file);
    with_file(bare()).ok();
    bare()
        .file("secret", secret)
        .file("other.toml", &file)
        .words("--config other.toml")
        .ok();
    bare()
        .file("secret", secret)
        .file("other.toml", &file)
        .env("BOTZILLA_CONFIG", "other.toml")
        .ok();
    // The file's registry isn't there; the environment's is, and so is the option's.
    let wrong = "registry = \"127.0.0.1:1\"\nsecret = \"not this one, nor any other\"\n";
    let wrong = || bare().file("botzilla.toml", wrong).file("secret", secret);
    wrong().at(&registry).env("BOTZILLA_SECRET", secret).ok();
    wrong()
        .words("--registry")
        .arg(&registry.address)
        .words("--secret-file secret")
        .ok();
}
