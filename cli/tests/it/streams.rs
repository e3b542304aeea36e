//! `botzilla stream ..`: what it shows, what it publishes, how it ends.

use serde_json::{Value, json};

use crate::{
    process::{Botzilla, Ended, Registry, botzilla, one_line_of_json},
    robot::Robot,
};

fn world() -> (Registry, Robot) {
    let registry = Registry::fresh();
    let robot = Robot::with_lidar(&registry);
    (registry, robot)
}

fn stream(words: &str) -> Botzilla {
    botzilla("stream").words(words)
}

fn failed(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    let error = ended.err.lines().last().unwrap();
    assert!(error.starts_with("error: "), "{ended:?}");
    for part in parts {
        assert!(error.contains(part), "{part:?} isn't in {ended:?}");
    }
}

fn lines_of_json(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines.map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[test]
fn list_shows_the_streams_that_there_are() {
    let (registry, _robot) = world();
    let text = stream("list").at(&registry).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("STREAM"), "{text}");
    assert!(
        lines[1].starts_with("lidar/scan   Scan    latest    32     0      up"),
        "{text}"
    );
    assert!(
        lines[2].starts_with("lidar/state  String  reliable"),
        "{text}"
    );
    let json = stream("list").at(&registry).json();
    let [scan, state] = &json["streams"].as_array().unwrap()[..] else {
        panic!("{json}");
    };
    assert_eq!(
        (&scan["stream"], &scan["depth"]),
        (&json!("lidar/scan"), &json!(32))
    );
    assert_eq!(
        (&state["keep_last"], &state["reliable"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(scan["fingerprint"].as_str().unwrap().len(), 16);
    let none = stream("list --group talkers").at(&registry).ok();
    assert_eq!(none, "no streams in group talkers\n");
}

#[test]
fn info_shows_a_stream_and_who_subscribes() {
    let (registry, _robot) = world();
    let mut echo = stream("echo lidar/scan --json").at(&registry).start();
    echo.line();
    let text = stream("info lidar/scan").at(&registry).ok();
    for part in [
        "lidar/scan\n",
        "\"ranges_m\": [number, ..]",
        "latest, depth 32",
        "(a program)",
    ] {
        assert!(text.contains(part), "{part:?} isn't in {text}");
    }
    let json = stream("info lidar/scan").at(&registry).json();
    assert!(json["published"].as_u64().unwrap() > 0, "{json}");
    assert_eq!(json["schema"]["properties"]["note"]["type"], "string");
    let component = botzilla("info lidar").at(&registry).ok();
    assert!(
        component.contains("STREAM") && component.contains("scan"),
        "{component}"
    );
    let component = botzilla("info lidar").at(&registry).json();
    assert_eq!(component["streams"][1]["published"], 1);
    let wrong = stream("info lidar/scans").at(&registry).run();
    failed(&wrong, 1, &["no stream \"scans\"", "did you mean scan?"]);
    failed(
        &stream("info arm/x").at(&registry).run(),
        1,
        &["publishes none"],
    );
    failed(
        &stream("info amr/x").at(&registry).run(),
        1,
        &["close names: arm"],
    );
}

#[test]
fn echo_shows_the_items_as_they_come() {
    let (registry, _robot) = world();
    let text = stream("echo lidar/scan --count 1").at(&registry).ok();
    assert!(text.starts_with("lidar/scan #"), "{text}");
    assert!(text.contains("... 344 more (--whole)"), "{text}");
    let out = stream("echo lidar/scan --count 20 --json")
        .at(&registry)
        .ok();
    let items = lines_of_json(&out);
    assert_eq!(items.len(), 20);
    let mut next = items[0]["seq"].as_u64().unwrap();
    for item in &items {
        let left_out = item["missed"].as_u64().unwrap();
        if next > items[0]["seq"].as_u64().unwrap() {
            assert_eq!(item["seq"].as_u64().unwrap(), next + left_out, "{item}");
        }
        next = item["seq"].as_u64().unwrap() + 1;
        assert_eq!(item["value"]["ranges_m"].as_array().unwrap().len(), 360);
        assert!(item["age_ms"].as_f64().unwrap() >= 0.0);
    }
    let kept = stream("echo lidar/state --keep-last 1 --count 1").at(&registry);
    assert!(kept.ok().ends_with("\"turning\"\n"));
    let thinned = stream("echo lidar/scan --at-most 20 --count 3 --json").at(&registry);
    let items = lines_of_json(&thinned.ok());
    assert!(items[2]["thinned"].as_u64().unwrap() > 0, "{items:?}");
}

#[test]
fn echo_shows_fields_and_tables() {
    let (registry, _robot) = world();
    let one = stream("echo lidar/scan --count 2 --field ranges_m[3]");
    assert_eq!(one.at(&registry).ok(), "1.5\n1.5\n");
    let two = stream("echo lidar/scan --count 1 --field note --field from.x_m");
    assert_eq!(two.at(&registry).ok(), "note: \"a, b\"  from.x_m: 0.0\n");
    let table = stream("echo lidar/scan --count 2 --csv --field note --field from");
    let table = table.at(&registry).ok();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0],
        "stream,seq,missed,thinned,restarted,age_ms,note,from.x_m,from.y_m"
    );
    assert!(lines[1].ends_with(",\"a, b\",0.0,0.0"), "{table}");
    assert_eq!(lines.len(), 3);
    let wrong = stream("echo lidar/scan --field ranges").at(&registry).run();
    failed(
        &wrong,
        2,
        &["--field \"ranges\"", "there is from, note, ranges_m"],
    );
}

#[test]
fn what_is_measured_is_told_for_each_second_and_in_all() {
    let (registry, _robot) = world();
    let measured = |verb: &str| {
        let out = stream(verb)
            .words("lidar/scan --count 150 --json")
            .at(&registry)
            .ok();
        let lines = lines_of_json(&out);
        assert!(lines.len() >= 2, "{out}");
        let last = lines.last().unwrap().clone();
        assert_eq!(
            (&last["whole"], &last["items"]),
            (&json!(true), &json!(150))
        );
        assert!(
            lines.iter().rev().skip(1).all(|it| it["whole"] == false),
            "{out}"
        );
        last
    };
    let in_order = |spread: &Value| {
        let [min, mean, max] = ["min", "mean", "max"].map(|name| spread[name].as_f64().unwrap());
        assert!(min <= mean && mean <= max && spread["jitter"].as_f64().unwrap() >= 0.0);
        mean
    };
    let rate = measured("hz");
    let mean_ms = in_order(&rate["interval_ms"]);
    assert!(
        (rate["rate_hz"].as_f64().unwrap() * mean_ms - 1000.0).abs() < 1e-6,
        "{rate}"
    );
    let bytes = measured("bw");
    // As bincode: 360 numbers of 8 bytes, and a little.
    let size = in_order(&bytes["item_bytes"]);
    assert!((2880.0..2950.0).contains(&size), "{bytes}");
    assert!(bytes["bytes_per_s"].as_f64().unwrap() > 0.0);
    in_order(&measured("delay")["age_ms"]);
    let text = stream("hz */scan --count 5").at(&registry).ok();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("in all  lidar/scan  "), "{text}");
    for part in [" Hz  interval ", ", jitter ", ", 5 items"] {
        assert!(last.contains(part), "{part:?} isn't in {text}");
    }
}

#[test]
fn a_publisher_that_is_not_there_yet_is_waited_for() {
    let registry = Registry::fresh();
    let echo = stream("echo lidar/scan --count 1").at(&registry).start();
    let late = stream("hz lidar/scan --timeout 300ms --json")
        .at(&registry)
        .run();
    failed(
        &late,
        1,
        &["no item of lidar/scan came within 300ms", "--timeout"],
    );
    assert_eq!(one_line_of_json(&late.out)["error"]["kind"], "expired");
    let _robot = Robot::with_lidar(&registry);
    let ended = echo.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    let typo = stream("echo lidar/scam --timeout 2500ms")
        .at(&registry)
        .run();
    failed(&typo, 1, &["no item of lidar/scam came"]);
    assert!(typo.err.contains("close names: lidar/scan"), "{typo:?}");
    let few = stream("echo lidar/state --keep-last 1 --count 2 --timeout 1s").at(&registry);
    failed(
        &few.run(),
        1,
        &["1 of 2 items of lidar/state came within 1s"],
    );
}

#[test]
fn pub_publishes_what_a_subscriber_gets() {
    let registry = Registry::fresh();
    let echo = stream("echo lamp/level --count 2 --json")
        .at(&registry)
        .start();
    let level = stream("pub lamp/level --rate 50 --timeout 60s")
        .arg("{\"percent\": 50}")
        .at(&registry)
        .start();
    let ended = echo.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    for item in lines_of_json(&ended.out) {
        assert_eq!(item["value"], json!({"percent": 50}));
    }
    let taken = stream("pub lamp/other 1").at(&registry).run();
    failed(&taken, 1, &["\"lamp\" is there already"]);
    // It has a subscriber's answer by now: it runs.
    level.interrupt();
    let ended = level.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("of lamp/level published"), "{ended:?}");
}

#[test]
fn what_pub_publishes_reaches_subscribers_of_a_type() {
    let registry = Registry::fresh();
    let robot = Robot::start(&registry);
    let mut levels = robot.levels();
    let publish = stream("pub lamp/level --timeout 60s").arg("{\"percent\": 50}");
    publish.at(&registry).ok();
    let level = robot.wait(levels.next()).unwrap().unwrap();
    assert_eq!((level.percent, level.stream()), (50, "lamp/level"));
}

#[test]
fn pub_without_a_rate_waits_for_who_listens() {
    let registry = Registry::fresh();
    let nobody = stream("pub lamp/level 50 --timeout 300ms")
        .at(&registry)
        .run();
    failed(
        &nobody,
        1,
        &["nobody subscribes to lamp/level within 300ms"],
    );
    let echo = stream("echo lamp/level --count 1 --json")
        .at(&registry)
        .start();
    let once = stream("pub lamp/level 50 --timeout 60s --json").at(&registry);
    let published = once.ok();
    assert_eq!(one_line_of_json(&published)["published"], 1);
    let item = echo.end();
    assert_eq!(one_line_of_json(&item.out)["value"], 50, "{item:?}");
}

#[test]
fn a_person_or_a_reader_that_has_seen_enough_ends_it_well() {
    let (registry, _robot) = world();
    let mut echo = stream("echo lidar/scan --json").at(&registry).start();
    let item: Value = serde_json::from_str(&echo.line()).unwrap();
    assert_eq!(item["stream"], "lidar/scan");
    echo.close_output();
    let ended = echo.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut hz = stream("hz lidar/scan --json").at(&registry).start();
    let line: Value = serde_json::from_str(&hz.line()).unwrap();
    assert_eq!(line["whole"], false);
    hz.interrupt();
    let ended = hz.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    let last = lines_of_json(&ended.out).pop().unwrap();
    assert_eq!(last["whole"], true);
    let timed = stream("hz lidar/scan --timeout 1s --json").at(&registry);
    assert_eq!(lines_of_json(&timed.ok()).pop().unwrap()["whole"], true);
}

#[test]
fn what_is_typed_wrong_is_told_in_one_line() {
    let registry = Registry::fresh();
    for (words, parts) in [
        (
            "echo lidar",
            &["\"lidar\" names no stream", "component/stream"][..],
        ),
        ("hz lidar/", &["names no stream"]),
        ("info */scan", &["is a pattern, where one stream is meant"]),
        ("pub group:a/b 1", &["is a pattern"]),
        ("pub a/b {", &["isn't JSON"]),
        ("pub a/b 1 --rate often", &["--rate", "isn't a rate"]),
        ("echo a/b --csv --json", &["--csv and --json", "give one"]),
        ("echo a/b --field a..b", &["--field", "ranges_m[0]"]),
        ("echo a/b --count 0", &["--count"]),
        ("echo */* --at-most 0", &["--at-most", "items a second"]),
        ("echo *", &["two parts"]),
    ] {
        let ended = stream(words).at(&registry).run();
        failed(&ended, 2, parts);
        assert_eq!(
            (ended.err.lines().count(), &*ended.out),
            (1, ""),
            "{ended:?}"
        );
    }
}
