//! Whatever a person can type wrong: exit code 2, and one line with the thing, the reason and the
//! remedy.

use crate::{
    process::{Botzilla, Ended, Registry, botzilla},
    robot::Robot,
};

fn one_line(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, 2, "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    assert!(
        ended.err.starts_with("error: ") && ended.err.ends_with('\n'),
        "{ended:?}"
    );
    assert!(
        !ended.err.contains("panicked") && !ended.err.contains("backtrace"),
        "{ended:?}"
    );
    assert_eq!(ended.out, "", "{ended:?}");
    for part in parts {
        assert!(ended.err.contains(part), "{part:?} isn't in {ended:?}");
    }
}

fn mistakes(table: Vec<(Botzilla, &[&str])>) {
    for (command, parts) in table {
        one_line(&command.run(), parts);
    }
}

/// Nothing listens there, and nothing needs to.
const NOWHERE: &str = "127.0.0.1:1";

fn list() -> Botzilla {
    botzilla("list --timeout 300ms").env("BOTZILLA_REGISTRY", NOWHERE)
}

#[test]
fn addresses() {
    let at = |address: &str| list().env("BOTZILLA_REGISTRY", address);
    let listen = |address: &str| botzilla("registry --listen").arg(address);
    mistakes(vec![
        (
            list().without("BOTZILLA_REGISTRY"),
            &["BOTZILLA_REGISTRY", "not set", "192.168.1.10:6985"],
        ),
        (at(""), &["BOTZILLA_REGISTRY", "empty", "unset it"]),
        (
            at("robot:"),
            &["registry", "\"robot:\"", "no port", "write host:port"],
        ),
        (
            at("robot:70000"),
            &["registry", "no port", "write host:port"],
        ),
        (at("http://robot:6985"), &["registry", "write host:port"]),
        (at("[::1"), &["registry", "bracket", "write host:port"]),
        (
            list().words("--registry").arg("a b"),
            &["registry", "\"a b\"", "write host:port"],
        ),
        (
            at("no-such-host.invalid"),
            &[
                "no-such-host.invalid:6985",
                "can't use the registry",
                "check",
            ],
        ),
        (
            at(NOWHERE),
            &["127.0.0.1:1", "nothing listens there", "start it"],
        ),
        (listen("7000"), &["--listen", "\"7000\"", "write host:port"]),
        (
            listen(":7000"),
            &["--listen", "names no host", "write host:port"],
        ),
        (
            listen("127.0.0.1:99999"),
            &["--listen", "no port", "write host:port"],
        ),
        (
            listen("::1:7000"),
            &["--listen", "brackets", "write host:port"],
        ),
        (
            listen("203.0.113.7:0"),
            &["can't listen on 203.0.113.7:0", "choose another address"],
        ),
        (
            listen("no-such-host.invalid:0"),
            &["can't listen on no-such-host.invalid:0"],
        ),
    ]);
}

#[test]
fn secrets() {
    let registry = Registry::fresh();
    let with = |secret: &str| {
        botzilla("list")
            .at(&registry)
            .env("BOTZILLA_SECRET", secret)
    };
    mistakes(vec![
        (
            list().without("BOTZILLA_SECRET"),
            &["BOTZILLA_SECRET", "not set", "botzilla keygen"],
        ),
        (with("   "), &["BOTZILLA_SECRET", "empty"]),
        (
            with("hunter2"),
            &["secret", "7 bytes is too short", "botzilla keygen"],
        ),
        (
            with("bz1:main"),
            &["secret", "bz1:<id>:<base64 of 32 bytes>"],
        ),
        (
            with("bz1:a b:AAAA"),
            &["secret", "key id", "botzilla keygen"],
        ),
        (with("bz1:main:AAAA"), &["secret", "3 bytes instead of 32"]),
        (with("bz1:main:!!!"), &["secret", "not base64"]),
        // Another one under the same id, and one under an id that the registry doesn't have.
        (
            with("bz1:test:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="),
            &["wrong secret", "`test`", "give both the same"],
        ),
        (
            with("bz1:other:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            &["no secret in common", "`other`"],
        ),
        // Several: the ids say which of them is meant.
        (
            with(
                "bz1:first:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=, bz1:test:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
            ),
            &["wrong secret", "`test`", "give both the same"],
        ),
        (
            with(
                "bz1:first:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,bz1:second:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
            ),
            &["no secret in common", "`first`, `second`"],
        ),
        (
            with(
                "bz1:test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,bz1:test:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
            ),
            &["secret", "line 2", "key id `test`", "another"],
        ),
        (
            with("a passphrase of some length"),
            &["no secret in common", "`passphrase`"],
        ),
        (
            list().words("--secret-file missing"),
            &["missing", "can't be read", "check"],
        ),
        (
            list().words("--secret-file empty").file("empty", ""),
            &["secret is empty", "botzilla keygen"],
        ),
        (list().words("--secret-file ."), &["can't be read", "check"]),
        (
            botzilla("registry").env("BOTZILLA_SECRET", "short"),
            &["too short", "botzilla keygen"],
        ),
        (
            botzilla("registry").without("BOTZILLA_SECRET"),
            &["BOTZILLA_SECRET", "not set"],
        ),
        (
            botzilla("keygen --id").arg("a b"),
            &["--id", "\"a b\"", "1 to 32 characters"],
        ),
    ]);
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    for words in [
        "--secret hush-hush-hush list",
        "list --secret=hush-hush-hush",
        "list --secret",
    ] {
        let ended = botzilla(words).run();
        one_line(&ended, &["--secret", "BOTZILLA_SECRET", "--secret-file"]);
        assert!(!ended.err.contains("hush"), "{ended:?}");
    }
}

#[test]
fn files() {
    let with = |text: &str| {
        botzilla("list")
            .without("BOTZILLA_SECRET")
            .file("botzilla.toml", text)
    };
    mistakes(vec![
        (
            list().words("--config missing.toml"),
            &["missing.toml", "can't be read", "check"],
        ),
        (
            list().env("BOTZILLA_CONFIG", "gone.toml"),
            &["gone.toml", "can't be read", "check"],
        ),
        (
            with("registry = \"a\"\nsecrte = \"x\"\n"),
            &["botzilla.toml:2", "secrte", "expected one of"],
        ),
        (with("registry = 7\n"), &["botzilla.toml:1", "string"]),
        (with("registry = \n"), &["botzilla.toml:1"]),
        (
            with("[limits]\npayload = 0\n")
                .env("BOTZILLA_REGISTRY", NOWHERE)
                .env("BOTZILLA_SECRET", "0123456789abcdef"),
            &["limits.payload", "is 0", "at least 1"],
        ),
        (
            with("registry = \"a\"\nsecret_file = \"nothing\"\n"),
            &["nothing", "can't be read", "check"],
        ),
        (
            with("registry = \"a:b\"\nsecret = \"0123456789abcdef\"\n"),
            &["registry", "\"a:b\"", "write host:port"],
        ),
    ]);
}

#[test]
fn names() {
    mistakes(vec![
        (
            botzilla("info")
                .arg("the arm")
                .env("BOTZILLA_REGISTRY", NOWHERE),
            &["\"the arm\"", "' '", "A-Z a-z 0-9"],
        ),
        (
            botzilla("call")
                .arg("")
                .arg("X")
                .env("BOTZILLA_REGISTRY", NOWHERE),
            &["\"\"", "empty", "1 to 255"],
        ),
        (
            botzilla("tell")
                .arg("ärm")
                .arg("X")
                .env("BOTZILLA_REGISTRY", NOWHERE),
            &["ärm", "A-Z a-z 0-9"],
        ),
        (
            botzilla("schema")
                .arg(&"a".repeat(256))
                .env("BOTZILLA_REGISTRY", NOWHERE),
            &["256 bytes is too long"],
        ),
        (list().words("--group").arg("a,b"), &["\"a,b\"", "','"]),
        (
            botzilla("broadcast --group")
                .arg("a b")
                .arg("X")
                .env("BOTZILLA_REGISTRY", NOWHERE),
            &["\"a b\""],
        ),
    ]);
}

#[test]
fn what_is_no_json() {
    let call = |json: &str| {
        botzilla("call arm MoveTo")
            .arg(json)
            .env("BOTZILLA_REGISTRY", NOWHERE)
    };
    let stdin = |text: &str| call("-").stdin(text);
    mistakes(vec![
        (
            call("{linear_mps: 1}"),
            &[
                "JSON",
                "{linear_mps: 1}",
                "line 1 column 2",
                "single quotes",
            ],
        ),
        (call(""), &["JSON", "\"\"", "for example"]),
        (call("{\"a\": 1"), &["JSON", "EOF"]),
        (call("{\"a\": 1} x"), &["JSON", "trailing"]),
        (call("{\"a\":\n1,\n}"), &["JSON", "line 3"]),
        (call(&"[".repeat(1000)), &["JSON", "recursion"]),
        (stdin("nope"), &["stdin", "isn't JSON", "\"nope\""]),
        (stdin(""), &["stdin", "isn't JSON"]),
        (
            botzilla("broadcast Stop")
                .arg("{")
                .env("BOTZILLA_REGISTRY", NOWHERE),
            &["JSON"],
        ),
        (
            botzilla("tell arm Stop")
                .arg("{")
                .env("BOTZILLA_REGISTRY", NOWHERE),
            &["JSON"],
        ),
    ]);
}

#[test]
fn json_that_does_not_fit_the_message() {
    let registry = Registry::fresh();
    let _robot = Robot::start(&registry);
    let call = |json: &str| botzilla("call arm MoveTo").arg(json).at(&registry);
    let example = r#"this would fit: '{"at":{"x_m":0.0,"y_m":0.0},"gait":"Careful"}'"#;
    mistakes(vec![
        (
            botzilla("call arm MoveTo").at(&registry),
            &["at: it is missing", "gait: it is missing", example],
        ),
        (
            call(r#"{"at": {"x_m": 1, "y": 2}, "gait": "Fast"}"#),
            &[
                "at.y: there is no such field",
                "at.y_m: it is missing",
                example,
            ],
        ),
        (
            call(r#"{"at": {"x_m": "1", "y_m": 2}, "gait": "Fast"}"#),
            &["at.x_m: \"1\" should be a number", example],
        ),
        (
            call(r#"{"at": {"x_m": 1, "y_m": 2}, "gait": "Fats"}"#),
            &["gait", "did you mean Fast?", example],
        ),
        (
            call(r#"{"at": {"x_m": 1, "y_m": 2}, "gait": "Fast", "tries": 300}"#),
            &["tries: 300", "255"],
        ),
        (
            call(r#"{"att": {"x_m": 1, "y_m": 2}, "gait": "Fast"}"#),
            &["att: there is no such field, did you mean at?"],
        ),
        (call("[]"), &["the message", "should be an object"]),
        (
            botzilla("call arm GetPlace")
                .arg(r#"{"x": 1}"#)
                .at(&registry),
            &["x: there is no such field, it has none", "'{}'"],
        ),
        (
            botzilla("tell arm EmergencyStop")
                .arg(r#"{"reson": "cat"}"#)
                .at(&registry),
            &["did you mean reason?"],
        ),
        (
            botzilla("broadcast EmergencyStop")
                .arg(r#"{"reson": "cat"}"#)
                .at(&registry),
            &["did you mean reason?"],
        ),
        // What a schema can't say, the component says itself.
        (
            call(r#"{"at": {"x_m": 1, "y_m": 2}, "gait": "Fast", "tries": 1.0}"#),
            &["MoveTo to \"arm\"", "isn't that message"],
        ),
    ]);
}

#[test]
fn commands_and_options() {
    mistakes(vec![
        (botzilla("lst"), &["lst", "list", "--help"]),
        (botzilla("list --jsn"), &["--jsn", "--json", "--help"]),
        (
            botzilla("call arm"),
            &["<MESSAGE>", "usage: botzilla call", "--help"],
        ),
        (
            botzilla("call arm X {} more").env("BOTZILLA_REGISTRY", NOWHERE),
            &["more", "usage"],
        ),
        (
            botzilla("list --timeout soon"),
            &["soon", "2s, 500ms or 1m"],
        ),
        (botzilla("list --timeout 0"), &["--timeout", "1ms"]),
        (botzilla("list --timeout 2h"), &["2h", "2s, 500ms or 1m"]),
        (botzilla("completions dos"), &["dos", "bash"]),
        (botzilla("demo --seed x"), &["x", "--seed"]),
    ]);
}

#[test]
fn who_types_nothing_is_shown_how() {
    let ended = Botzilla::new().run();
    assert_eq!((ended.code, &*ended.out), (2, ""), "{ended:?}");
    assert!(
        ended.err.contains("Usage: botzilla") && ended.err.contains("Examples:"),
        "{ended:?}"
    );
}

#[test]
fn something_else_that_listens_there_is_told_from_a_registry() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It takes connections and says nothing.
    let silent = list().env("BOTZILLA_REGISTRY", &address).run();
    one_line(&silent, &[&address, "no answer in time", "check"]);
    drop(listener);
}
