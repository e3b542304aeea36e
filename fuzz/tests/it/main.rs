//! The corpus, through its targets, on stable: what fuzzing has found stays found.
#![expect(clippy::unwrap_used, reason = "a test ends by it")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use botzilla_fuzz::TARGETS;

/// All inputs together take up no more than this.
const CORPUS_MAX: u64 = 2 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The files below a directory of the corpus, in the order of their names.
fn inputs(target: &str) -> Vec<PathBuf> {
    let directory = root().join("corpus").join(target);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    inputs
}

/// Runs a target on its corpus; who fails is named.
fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let run = target.expect("the target is in the list").run;
    let inputs = inputs(name);
    assert!(inputs.len() > 10, "the corpus of {name} is missing");
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        if catch_unwind(AssertUnwindSafe(|| run(&bytes))).is_err() {
            panic!("{name} fails on {}", input.display());
        }
    }
}

macro_rules! replayed {
    ($($target:ident)*) => {
        /// Those that have a test.
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];

        mod nothing_in_the_corpus_fails {
            $(
                #[test]
                fn $target() {
                    super::replay(stringify!($target));
                }
            )*
        }
    };
}

replayed! {
    bulk_frames control_frames decoding handshake policy records registry session streams texts
}

#[test]
fn every_target_has_a_test_a_program_and_a_corpus_and_the_corpus_is_small() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, REPLAYED);
    let mut bytes = 0;
    for name in &names {
        let program = format!("fuzz_targets/{name}.rs");
        let text = fs::read_to_string(root().join(&program)).unwrap();
        assert!(text.contains(&format!("botzilla_fuzz::{name}::run(data)")));
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"{program}\"")));
        for input in inputs(name) {
            bytes += fs::metadata(input).unwrap().len();
        }
    }
    assert!(bytes <= CORPUS_MAX, "{bytes} bytes: minimize it");
    let others = fs::read_dir(root().join("corpus")).unwrap();
    for entry in others {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name.as_str()), "{name} is no target");
    }
}
