//! `botzilla key`: files of secrets, and the three steps that replace one.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::process::{Botzilla, Ended, Registry, SECRET, botzilla};

const OTHER: &str = "bz1:other:HxAeDx0OHA0bDBoLGQoYCRcIFgcVBhQFEwQSAxECEAE=";

fn scratch() -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("secret");
    (scratch, file)
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().mode() & 0o7777
}

/// `botzilla key VERB FILE WORDS`, which knows of no secret but the file's.
fn key(verb: &str, file: &Path, words: &str) -> Botzilla {
    let path = file.to_str().unwrap();
    botzilla("key")
        .without("BOTZILLA_SECRET")
        .words(verb)
        .arg(path)
        .words(words)
}

fn ids(file: &Path) -> Vec<String> {
    let list = key("list", file, "").json();
    let keys = list["keys"].as_array().unwrap();
    assert_eq!(keys[0]["preferred"], true, "{list}");
    let id = |key: &serde_json::Value| key["id"].as_str().unwrap().to_owned();
    keys.iter().map(id).collect()
}

fn refused(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(
        (ended.code, ended.err.lines().count()),
        (code, 1),
        "{ended:?}"
    );
    for part in parts {
        assert!(ended.err.contains(part), "{part:?} isn't in {ended:?}");
    }
    assert!(!ended.err.contains("AAEC"), "{ended:?}");
}

#[test]
fn a_new_file_is_closed_to_others_whatever_the_umask() {
    for umask in ["000", "022", "077", "277"] {
        let (_scratch, file) = scratch();
        let made = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "umask {umask}; exec \"$0\" key new --id first \"$1\""
            ))
            .args([env!("CARGO_BIN_EXE_botzilla").as_ref(), file.as_os_str()])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let said = String::from_utf8(made.stdout).unwrap();
        assert!(
            said.contains("first, which is preferred") && !said.contains("bz1:"),
            "{said}"
        );
        assert_eq!(mode(&file), 0o600, "umask {umask}");
        // Another one is accepted, and changes neither the first nor who may read it.
        let added = key("new --id second", &file, "").json();
        assert_eq!(
            (&added["id"], &added["created"]),
            (&"second".into(), &false.into())
        );
        assert_eq!(
            (ids(&file), mode(&file)),
            (vec!["first".into(), "second".into()], 0o600)
        );
        refused(
            &key("new --id first", &file, "").run(),
            2,
            &["stays as it is", "line 3: the key id `first`"],
        );
    }
}

#[test]
fn a_list_shows_ids_and_stars() {
    let (_scratch, file) = scratch();
    write(
        &file,
        &format!("# the robot's\n{SECRET}\n\na passphrase of some length\n"),
    );
    let text = key("list", &file, "").ok();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1], ["test", "***", "preferred"], "{text}");
    assert_eq!(lines[2][..2], ["passphrase", "***"], "{text}");
    let json = key("list", &file, "").json();
    assert_eq!(json["keys"][1]["passphrase"], true, "{json}");
    for shown in [text, json.to_string()] {
        assert!(
            !shown.contains("AAEC") && !shown.contains("some length"),
            "{shown}"
        );
    }
}

#[test]
fn three_steps_on_two_machines_replace_a_secret() {
    let (scratch, here) = scratch();
    let there = scratch.path().join("there");
    write(&here, &format!("# the robot's\n{SECRET}\n"));
    write(&there, SECRET);
    // 1. The line that the first shows is what the second reads.
    let added = key("rotate", &here, "add --id new").run();
    let line = added.out.trim();
    assert!(
        line.starts_with("bz1:new:") && added.out.lines().count() == 1,
        "{added:?}"
    );
    for part in ["add -", "switch", "stdin"] {
        assert!(added.err.contains(part), "{part:?} isn't in {added:?}");
    }
    for changed in [true, false] {
        let taken = key("rotate", &there, "add -").stdin(&added.out).json();
        assert_eq!(
            (&taken["id"], &taken["changed"]),
            (&"new".into(), &changed.into()),
            "{taken}"
        );
        assert_eq!(taken.get("secret"), None);
    }
    assert_eq!(
        (ids(&here), ids(&there)),
        (vec!["test".to_owned(), "new".into()], ids(&here))
    );
    // Both are the same secret: one that listens with the first file takes who has the second's new one.
    let registry = Registry::start(
        botzilla("registry --listen 127.0.0.1:0 --fresh --json")
            .without("BOTZILLA_SECRET")
            .env("BOTZILLA_SECRET_FILE", here.to_str().unwrap()),
    );
    let list = |secret: &str| {
        botzilla("list")
            .at(&registry)
            .env("BOTZILLA_SECRET", secret)
            .run()
    };
    assert_eq!((list(line).code, list(SECRET).code), (0, 0));
    // Not before its time.
    refused(
        &key("rotate", &here, "drop test").run(),
        1,
        &["`test`", "prefers", "switch"],
    );
    // 2.
    for file in [&here, &there] {
        let switched = key("rotate", file, "switch").run();
        assert_eq!(switched.code, 0, "{switched:?}");
        assert!(switched.out.starts_with("new is preferred: ") && switched.err.contains("drop"));
        assert_eq!(
            (ids(file), mode(file)),
            (vec!["new".to_owned(), "test".into()], 0o600)
        );
    }
    // 3.
    for file in [&here, &there] {
        let dropped = key("rotate", file, "drop").json();
        assert_eq!(
            (&dropped["id"], &dropped["keys"][0]["id"]),
            (&"test".into(), &"new".into())
        );
    }
    assert_eq!(
        fs::read_to_string(&here).unwrap(),
        format!("# the robot's\n{line}\n")
    );
    assert_eq!(fs::read_to_string(&there).unwrap(), format!("{line}\n"));
    // The registry notices by itself, and who has only the old one is out.
    let until_out = || {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            let ended = list(SECRET);
            if ended.code == 2 {
                return ended;
            }
        }
        panic!("the old one is still taken");
    };
    refused(&until_out(), 2, &["no secret in common", "`test`"]);
    assert_eq!(list(line).code, 0);
}

#[test]
fn what_cannot_be_done_is_refused_with_what_can() {
    let (scratch, file) = scratch();
    let of = |text: &str, words: &str| {
        write(&file, text);
        let ended = key("rotate", &file, words).run();
        let kept = fs::read_to_string(&file).unwrap();
        assert_eq!(kept, text, "{ended:?}");
        ended
    };
    let both = format!("{SECRET}\n{OTHER}\n");
    refused(
        &of(SECRET, "switch"),
        1,
        &["one secret", "add` comes first"],
    );
    refused(&of(SECRET, "drop"), 1, &["no secret but `test`"]);
    refused(
        &of(&both, "drop test"),
        1,
        &["`test` is the one", "switch` comes first"],
    );
    refused(
        &of(&both, "switch nobody"),
        1,
        &["\"nobody\"", "`test`, `other`"],
    );
    let third = format!("{both}{}\n", OTHER.replace("other", "third"));
    refused(&of(&third, "drop"), 1, &["say which", "`other` or `third`"]);
    refused(&of(SECRET, "add new"), 2, &["--id new", "add -"]);
    refused(&of(SECRET, "switch --id x"), 2, &["--id", "add"]);
    refused(
        &of(SECRET, "add --id test"),
        2,
        &["stays as it is", "key id `test`"],
    );
    let pass = "a passphrase of some length\n";
    write(&file, pass);
    let ended = key("rotate", &file, "add -")
        .stdin("another passphrase of some length")
        .run();
    refused(&ended, 2, &["two passphrases", "botzilla key new"]);
    for (text, said) in [
        ("", "empty"),
        ("short", "5 bytes is too short"),
        (&*both, "more than one line"),
    ] {
        let ended = key("rotate", &file, "add -").stdin(text).run();
        refused(&ended, 2, &["stdin", said]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), pass);
    // A passphrase gives way to a secret.
    for words in ["add --id new", "switch", "drop"] {
        key("rotate", &file, words).ok();
    }
    assert_eq!(ids(&file), ["new"]);
    // As for a node: a file that others may read is none.
    for open in [0o644, 0o660] {
        fs::set_permissions(&file, fs::Permissions::from_mode(open)).unwrap();
        for (verb, words) in [("list", ""), ("rotate", "add")] {
            refused(&key(verb, &file, words).run(), 2, &["chmod 600", "secret"]);
        }
    }
    let nothing = scratch.path().join("nothing");
    refused(
        &key("list", &nothing, "").run(),
        2,
        &["can't be read", "nothing"],
    );
    refused(
        &key("rotate", &nothing, "add").run(),
        2,
        &["can't be read", "nothing"],
    );
}

#[test]
fn a_file_that_a_node_cannot_use_is_refused_by_commands_too() {
    let (_scratch, file) = scratch();
    write(&file, SECRET);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let list = botzilla("list")
        .env("BOTZILLA_REGISTRY", "127.0.0.1:1")
        .words("--secret-file")
        .arg(file.to_str().unwrap());
    refused(&list.run(), 2, &["mode 0644", "chmod 600"]);
}

#[test]
fn an_interrupted_step_leaves_the_old_file_or_the_new_one() {
    let (scratch, file) = scratch();
    let (one, two) = (
        format!("{SECRET}\n{OTHER}\n"),
        format!("{OTHER}\n{SECRET}\n"),
    );
    write(&file, &one);
    for round in 0..40_u64 {
        let mut step = Command::new(env!("CARGO_BIN_EXE_botzilla"))
            .args(["key", "rotate"])
            .arg(&file)
            .arg("switch")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Anywhere from its start to beyond its end.
        #[expect(
            clippy::disallowed_methods,
            reason = "no event is waited for: it is killed at another moment in each round"
        )]
        thread::sleep(Duration::from_micros(round * 500));
        step.kill().unwrap();
        step.wait().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text == one || text == two,
            "round {round}: {} bytes",
            text.len()
        );
        assert_eq!(mode(&file), 0o600);
        assert_eq!(ids(&file).len(), 2);
    }
    // What was left half-way is in nobody's way, and goes.
    key("rotate", &file, "switch").ok();
    let left: Vec<_> = fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["secret"]);
}

#[test]
fn a_link_to_a_file_stays_one() {
    let (scratch, file) = scratch();
    write(&file, SECRET);
    let link = scratch.path().join("link");
    symlink("secret", &link).unwrap();
    key("rotate", &link, "add --id new").ok();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        (ids(&file), ids(&link)),
        (vec!["test".to_owned(), "new".into()], ids(&file))
    );
}

#[test]
fn its_help_teaches_the_procedure() {
    let help = botzilla("key rotate --help").ok();
    for part in [
        "1. `add`",
        "2. `switch`",
        "3. `drop`",
        "every machine",
        "Examples:",
        "leaked",
    ] {
        assert!(help.contains(part), "{part:?} isn't in {help}");
    }
    let help = botzilla("key --help").ok();
    for part in [
        "new",
        "list",
        "rotate",
        "chmod 600",
        "Examples:\n  botzilla key new",
    ] {
        assert!(help.contains(part), "{part:?} isn't in {help}");
    }
}
