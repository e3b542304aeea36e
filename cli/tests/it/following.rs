//! `botzilla stream ..` over whatever happens: losses, restarts, cut-offs, readers that don't read.

use std::{io::Write, process::Stdio, thread};

use serde_json::{Value, json};

use crate::{
    process::{Botzilla, Registry, Running, botzilla},
    robot::Robot,
};

fn stream(words: &str) -> Botzilla {
    botzilla("stream").words(words)
}

/// The first item that this holds for.
fn item_where(running: &mut Running, is_it: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line = running.line();
        let item: Value = serde_json::from_str(&line).expect(&line);
        if is_it(&item) {
            return item;
        }
    }
}

fn has_missed(item: &Value) -> bool {
    item["missed"].as_u64().unwrap() > 0
}

/// A pipe that is full, and that nobody reads.
fn full_pipe() -> (std::io::PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stdout = writer.try_clone().unwrap().into();
    // It waits for ever: until the reader is closed there is never room for more.
    thread::spawn(move || writer.write_all(&vec![0; 8 << 20]));
    (reader, stdout)
}

#[test]
fn what_was_missed_while_nobody_read_is_told_with_the_next_item() {
    let registry = Registry::fresh();
    let _robot = Robot::with_lidar(&registry);
    let mut echo = stream("echo lidar/scan --depth 1 --json")
        .at(&registry)
        .start();
    let first: Value = serde_json::from_str(&echo.line()).unwrap();
    // Far more than pipe and command hold: by then it has stopped to take what comes.
    let mut lidar = stream("echo lidar/scan --json --reliable")
        .at(&registry)
        .start();
    item_where(&mut lidar, |item| {
        item["seq"].as_u64() > first["seq"].as_u64().map(|seq| seq + 300)
    });
    item_where(&mut echo, has_missed);
    echo.interrupt();
    let ended = echo.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains(" were missed"), "{ended:?}");
}

#[test]
fn several_streams_of_one_pattern_are_told_apart() {
    let registry = Registry::fresh();
    let _robot = Robot::with_lidar(&registry);
    let _front = stream("pub front/scan 7 --rate 50").at(&registry).start();
    let mut echo = stream("echo */scan --json").at(&registry).start();
    item_where(&mut echo, |item| item["stream"] == "lidar/scan");
    let front = item_where(&mut echo, |item| item["stream"] == "front/scan");
    assert_eq!(front["value"], 7);
    let mut hz = stream("hz */scan").at(&registry).start();
    for name in ["front/scan", "lidar/scan"] {
        while !hz.line().starts_with(name) {}
    }
    hz.interrupt();
    let ended = hz.end();
    for name in ["in all  front/scan  ", "in all  lidar/scan  "] {
        assert!(ended.out.contains(name), "{ended:?}");
    }
}

#[test]
fn a_publisher_that_is_gone_is_told_and_its_next_life_is_followed() {
    let registry = Registry::fresh();
    let first = stream("pub lamp/level 1 --rate 50").at(&registry).start();
    let mut echo = stream("echo lamp/level --json").at(&registry).start();
    let mut hz = stream("hz lamp/level --json").at(&registry).start();
    item_where(&mut echo, |item| item["value"] == 1);
    hz.line();
    first.interrupt();
    assert_eq!(first.end().code, 0);
    let gone = "nobody publishes lamp/level any more";
    echo.error_line(gone);
    let _second = stream("pub lamp/level 2 --rate 50").at(&registry).start();
    let back = item_where(&mut echo, |item| item["value"] == 2);
    assert_eq!(back["restarted"], true, "{back}");
    item_where(&mut hz, |line| line["restarts"] == 1);
    hz.interrupt();
    let ended = hz.end();
    let whole: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&whole["whole"], &whole["restarts"]),
        (&json!(true), &json!(1))
    );
}

#[test]
fn a_cut_off_is_told_and_its_losses_are_counted() {
    let registry = Registry::fresh();
    let _robot = Robot::with_log(&registry);
    let mut echo = stream("echo log/lines --reliable --depth 1 --json")
        .at(&registry)
        .start();
    echo.line();
    // Nobody reads on: the pipe fills up, then the command, then its place at the publisher.
    subscribed(&registry, "log/lines", 0);
    item_where(&mut echo, has_missed);
    echo.interrupt();
    let ended = echo.end();
    for part in ["cut off by its publisher", " were missed"] {
        assert!(ended.err.contains(part), "{part:?} isn't in {ended:?}");
    }
}

#[test]
fn what_cannot_be_decoded_is_told_once_and_counts() {
    let registry = Registry::fresh();
    let _robot = Robot::with_log(&registry);
    let ended = stream("echo log/lines --count 3")
        .file("botzilla.toml", "[limits]\ndecoded = 50000\n")
        .at(&registry)
        .run();
    assert_eq!((ended.code, &*ended.out), (1, ""), "{ended:?}");
    let notes = ended.err.matches("can't be decoded").count();
    assert_eq!(notes, 1, "{ended:?}");
    assert!(
        ended
            .err
            .contains("error: 3 items of log/lines couldn't be decoded")
    );
    assert!(ended.err.contains("stream hz"), "{ended:?}");
}

#[test]
fn a_large_list_of_small_numbers_can_be_shown() {
    let registry = Registry::fresh();
    let _robot = Robot::with_cloud(&registry, 3_000_000);
    let shown = stream("echo cloud/bytes --keep-last 1 --count 1 --timeout 100s").at(&registry);
    assert!(shown.ok().contains("... 2999984 more (--whole)"));
}

#[test]
fn a_signal_ends_a_command_whose_output_nobody_reads() {
    let registry = Registry::fresh();
    let _robot = Robot::with_lidar(&registry);
    for verb in ["echo", "hz"] {
        let (_unread, stdout) = full_pipe();
        let stalled = stream(verb).words("lidar/scan --json").at(&registry);
        let stalled = stalled.stdout(stdout);
        subscribed(&registry, "lidar/scan", 1);
        stalled.terminate();
        let ended = stalled.end();
        assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
        subscribed(&registry, "lidar/scan", 0);
    }
}

#[test]
fn a_command_whose_output_nobody_reads_ends_when_its_time_is_over() {
    let registry = Registry::fresh();
    let _robot = Robot::with_lidar(&registry);
    let (_unread, stdout) = full_pipe();
    let stalled = stream("echo lidar/scan --timeout 3s")
        .at(&registry)
        .stdout(stdout);
    let ended = stalled.end();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("nobody reads the output"), "{ended:?}");
}

/// Until so many subscribe.
fn subscribed(registry: &Registry, name: &str, count: usize) {
    loop {
        let info = stream("info").words(name).at(registry).json();
        if info["subscribers"].as_array().unwrap().len() == count {
            return;
        }
    }
}

#[test]
fn what_did_not_get_to_a_subscriber_in_time_is_not_claimed() {
    let registry = Registry::fresh();
    let (_unread, stdout) = full_pipe();
    let _stalled = stream("echo lamp/level --reliable --depth 1 --whole")
        .at(&registry)
        .stdout(stdout);
    let long = format!("\"{}\"", "a".repeat(100_000));
    let ended = stream("pub lamp/level - --rate 50 --timeout 4s --json")
        .stdin(&long)
        .at(&registry)
        .run();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("may not have got to"), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert!(report["unsent"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn what_is_published_at_the_end_gets_there_before_it_is_claimed() {
    let registry = Registry::fresh();
    let bw = stream("bw lamp/level --count 1 --json")
        .at(&registry)
        .start();
    let long = format!("\"{}\"", "a".repeat(20 << 20));
    let published = stream("pub lamp/level - --timeout 100s")
        .stdin(&long)
        .at(&registry)
        .json();
    assert_eq!(
        (&published["published"], &published["unsent"]),
        (&json!(1), &json!(0))
    );
    let ended = bw.end();
    let line: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    assert_eq!(line["bytes"], long.len(), "{ended:?}");
}

#[test]
fn the_robot_s_own_addresses_are_not_those_of_a_stream_that_is_published_beside_it() {
    let registry = Registry::fresh();
    let echo = stream("echo lamp/level --count 1 --json")
        .at(&registry)
        .start();
    // Where one of the robot's programs listens.
    let publish = stream("pub lamp/level 5 --timeout 100s")
        .env("BOTZILLA_LISTEN", &registry.address)
        .env("BOTZILLA_ADVERTISE", &registry.address);
    publish.at(&registry).ok();
    let ended = echo.end();
    let item: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(item["value"], 5, "{ended:?}");
}

#[test]
fn who_ends_it_before_anybody_subscribed_is_told_that_and_nothing_else() {
    let registry = Registry::fresh();
    let waiting = stream("pub lamp/level 5 --timeout 100s")
        .at(&registry)
        .start();
    while stream("list").at(&registry).ok() == "no streams\n" {}
    waiting.interrupt();
    let ended = waiting.end();
    assert_eq!((ended.code, &*ended.out), (1, ""), "{ended:?}");
    let said = "error: ended by a signal before anybody subscribed to lamp/level";
    assert!(ended.err.starts_with(said), "{ended:?}");
}

#[test]
fn silence_is_explained() {
    let registry = Registry::fresh();
    let _robot = Robot::with_lidar(&registry);
    let mut silent = stream("echo lidar/state").at(&registry).start();
    let note = silent.error_line("connected to lidar/state");
    assert!(note.contains("--keep-last 1"), "{note}");
}

#[test]
fn bytes_and_ages_are_measured_for_people_too() {
    let registry = Registry::fresh();
    let _robot = Robot::with_lidar(&registry);
    for (verb, parts) in [
        ("bw", [" KiB/s  item ", " B, jitter ", ", 5 items"]),
        ("delay", ["  age ", " ms, jitter ", ", 5 items"]),
    ] {
        let text = stream(verb)
            .words("lidar/scan --count 5 --depth 32")
            .at(&registry)
            .ok();
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("in all  lidar/scan  "), "{text}");
        for part in parts {
            assert!(last.contains(part), "{part:?} isn't in {text}");
        }
    }
}

#[test]
fn a_schema_shows_streams_and_all_output_has_their_full_names() {
    let registry = Registry::fresh();
    let _robot = Robot::with_lidar(&registry);
    let text = botzilla("schema lidar").at(&registry).ok();
    for part in ["lidar/scan", "\"ranges_m\": [number, ..]", "lidar/state"] {
        assert!(text.contains(part), "{part:?} isn't in {text}");
    }
    let json = botzilla("schema lidar scan").at(&registry).json();
    let [scan] = &json["streams"].as_array().unwrap()[..] else {
        panic!("{json}");
    };
    assert_eq!(scan["stream"], "lidar/scan");
    assert_eq!(scan["schema"]["properties"]["note"]["type"], "string");
    let info = botzilla("info lidar").at(&registry).json();
    assert_eq!(info["streams"][0]["stream"], "lidar/scan");
    let list = botzilla("list --group sensors").at(&registry).json();
    let names = &list["components"][0]["streams"];
    assert_eq!(*names, json!(["lidar/scan", "lidar/state"]));
}
