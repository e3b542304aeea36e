//! Documents and code in step: what one says, the other has.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// No source file is longer.
const LINES: usize = 600;

const CRATES: [&str; 8] = [
    "wire", "runtime", "macros", "registry", "cli", "examples", "benches", "fuzz",
];
const DOCUMENTS: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "PROTOCOL.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files below a directory, with their paths from the root.
fn sources(below: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![below.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(root().join(&directory)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{directory}/{name}");
            if entry.file_type().unwrap().is_dir() {
                // Built things, wherever somebody builds them.
                if name != "target" {
                    open.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(entry.path()).unwrap();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// What a file compiles to outside of tests: no comments, nothing behind its test module.
fn code(text: &str) -> String {
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What stands between two texts.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("there is no {start:?}"));
    rest.split_once(end)
        .unwrap_or_else(|| panic!("there is no {end:?} behind {start:?}"))
        .0
}

fn none(found: &[String], remedy: &str) {
    assert!(found.is_empty(), "{remedy}:\n  {}", found.join("\n  "));
}

#[test]
fn every_frame_has_a_row_in_the_protocol_and_a_golden_vector() {
    let module = text("wire/src/frame/mod.rs");
    let kinds: Vec<(String, u8)> = between(&module, "pub mod kind {", "\n}")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const "))
        .map(|rest| {
            let (name, number) = rest.trim_end_matches(';').split_once(": u8 = 0x").unwrap();
            (name.to_lowercase(), u8::from_str_radix(number, 16).unwrap())
        })
        .collect();
    assert!(
        kinds.len() >= 12,
        "the kinds can't be read any more: {kinds:?}"
    );
    let protocol = text("PROTOCOL.md");
    let golden = text("wire/testdata/frames.txt");
    let in_vectors: Vec<u8> = golden
        .lines()
        .filter_map(|line| line.strip_prefix("header: "))
        .map(|header| {
            // Behind the header's length, which is one byte, or fb and two.
            let at = if header.starts_with("fb") { 6 } else { 2 };
            u8::from_str_radix(&header[at..at + 2], 16).unwrap()
        })
        .collect();
    let mut missing = Vec::new();
    for (name, number) in kinds {
        if !protocol.contains(&format!("\n| `{number:02x}` | {name} |")) {
            missing.push(format!(
                "{name}: no row in the table of PROTOCOL.md, section 6"
            ));
        }
        if !in_vectors.contains(&number) {
            missing.push(format!("{name}: no vector in wire/testdata/frames.txt"));
        }
    }
    none(&missing, "document these frames");
}

#[test]
fn every_setting_is_in_the_readme_and_its_example_can_be_read() {
    let readme = text("README.md");
    let section = between(&readme, "\n## Settings\n", "\n## ");
    let config = text("runtime/src/config/settings.rs");
    let mut missing = Vec::new();
    for settings in ["pub struct Settings {", "pub struct LimitSettings {"] {
        for line in between(&config, settings, "\n}").lines() {
            let Some(field) = line.trim().strip_prefix("pub ") else {
                continue;
            };
            let key = field.split(':').next().unwrap();
            if key != "limits" && !section.contains(&format!("{key} = ")) {
                missing.push(key.to_owned());
            }
        }
    }
    for line in config.lines().filter(|line| line.starts_with("const ENV_")) {
        let variable = between(line, "\"", "\"");
        if !section.contains(&format!("`{variable}`")) {
            missing.push(variable.to_owned());
        }
    }
    none(&missing, "name these settings in README.md");
    let example = between(section, "```toml\n", "```");
    let settings: botzilla::Settings = toml::from_str(example).unwrap();
    botzilla::NodeConfig::from_settings({
        let mut settings = settings;
        (settings.secret, settings.secret_file) = (Some("a passphrase of 16 bytes".into()), None);
        settings
    })
    .unwrap();
}

/// A line of documentation without its links.
fn unlinked(line: &str) -> String {
    let mut parts = line.split("](");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        text.push_str(part.split_once(')').unwrap().1);
    }
    text.replace("[`", "`")
}

#[test]
fn what_publisher_and_subscriber_come_to_is_in_the_readme_as_it_is_at_qos() {
    let first = "| publisher | subscriber | what happens when the subscriber is full |";
    let qos = text("runtime/src/stream/qos.rs");
    let table: Vec<_> = qos
        .lines()
        .filter_map(|line| line.strip_prefix("/// "))
        .skip_while(|line| *line != first)
        .take_while(|line| line.starts_with('|'))
        .map(unlinked)
        .collect();
    assert!(table.len() > 4, "the table can't be read any more");
    let readme = text("README.md");
    let missing: Vec<_> = table
        .into_iter()
        .filter(|row| !readme.contains(row))
        .collect();
    none(
        &missing,
        "copy these rows of `Qos` to README.md, without links",
    );
}

#[test]
fn every_verb_of_the_command_line_is_in_the_readme() {
    let readme = text("README.md");
    let section = between(&readme, "\n## The command line\n", "\n## ");
    let mut missing = Vec::new();
    for (path, source) in sources("cli/src") {
        // A verb's own verbs are in a file of its name.
        let of = match path.strip_prefix("cli/src/args/") {
            Some(file) => format!("{} ", file.trim_end_matches(".rs")),
            None => String::new(),
        };
        for part in source.split("Subcommand)]").skip(1) {
            let variants = between(part, " {\n", "\n}");
            for line in variants.lines() {
                let Some(rest) = line.strip_prefix("    ") else {
                    continue;
                };
                if !rest.starts_with(|first: char| first.is_ascii_uppercase()) {
                    continue;
                }
                let verb = rest
                    .split(|c: char| !c.is_alphanumeric())
                    .next()
                    .unwrap()
                    .to_lowercase();
                let verb = format!("{of}{verb}");
                if !section.contains(&format!("`botzilla {verb}")) {
                    missing.push(verb);
                }
            }
        }
    }
    none(&missing, "give these verbs a row in README.md");
}

#[test]
fn every_scenario_that_breaks_something_has_a_row_in_the_table_of_faults() {
    let table = text("docs/faults.md");
    let mut scenarios = Vec::new();
    for (_, source) in sources("registry/tests/chaos/scenarios") {
        let names = source.split(" name: \"").skip(1);
        scenarios.extend(names.map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    assert!(
        scenarios.len() >= 20,
        "they can't be read any more: {scenarios:?}"
    );
    let rows = table.lines().filter_map(|line| line.strip_suffix("` |"));
    let rows: Vec<_> = rows.filter_map(|row| row.rsplit('`').next()).collect();
    let mut missing: Vec<_> = scenarios
        .iter()
        .filter(|name| !rows.contains(&name.as_str()))
        .map(|name| format!("{name}: no row in docs/faults.md"))
        .collect();
    let gone = rows
        .iter()
        .filter(|row| !scenarios.iter().any(|name| name == *row));
    missing.extend(gone.map(|row| format!("{row}: no scenario in registry/tests/chaos")));
    none(&missing, "bring these in step");
}

#[test]
fn every_test_that_security_names_is_there_and_every_threat_has_one() {
    let document = text("SECURITY.md");
    let rows = document
        .split("## Threats")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| threat |"))
        .filter(|line| !line.starts_with("| --- |"));
    let code: String = ["wire", "runtime", "registry", "cli"]
        .into_iter()
        .flat_map(sources)
        .map(|(_, source)| source)
        .collect();
    let (mut count, mut wrong) = (0, Vec::new());
    for row in rows {
        count += 1;
        let tests = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        let is_there = |name: &&&str| {
            code.contains(&format!("fn {name}(")) || code.contains(&format!("name: \"{name}\""))
        };
        let gone = names.iter().filter(|name| !is_there(name));
        wrong.extend(gone.map(|name| format!("no such test: {name}")));
    }
    assert!(count >= 20, "the table can't be read any more");
    none(&wrong, "bring SECURITY.md in step");
}

#[test]
fn the_commands_of_the_readme_are_what_ci_runs() {
    let readme = text("README.md");
    let section = between(&readme, "\n## Two commands\n", "\n## ");
    let ci = text(".ci/run");
    let commands: Vec<&str> = between(section, "```sh\n", "```")
        .lines()
        .map(|line| line.split('#').next().unwrap().trim())
        .collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        assert!(ci.contains(command), "{command}");
    }
}

#[test]
fn no_source_file_is_too_long() {
    let mut long = Vec::new();
    for (path, source) in CRATES.iter().flat_map(|directory| sources(directory)) {
        let lines = source.lines().count();
        if lines > LINES {
            long.push(format!("{path}: {lines} lines"));
        }
    }
    none(
        &long,
        &format!("split these by subject, to {LINES} lines at most"),
    );
}

#[test]
fn the_changelog_has_this_version() {
    let heading = format!("\n## {}\n", env!("CARGO_PKG_VERSION"));
    assert!(
        text("CHANGELOG.md").contains(&heading),
        "CHANGELOG.md has no {heading:?}"
    );
}

#[test]
fn the_protocol_crate_does_no_io_and_reads_no_clock() {
    let manifest = text("wire/Cargo.toml");
    let dependencies = between(&manifest, "[dependencies]\n", "[dev-dependencies]");
    let mut found = Vec::new();
    for name in ["tokio", "actix", "tracing", "getrandom", "rand", "botzilla"] {
        if dependencies.lines().any(|line| line.starts_with(name)) {
            found.push(format!("wire/Cargo.toml: {name}"));
        }
    }
    let banned = [
        "Instant::now",
        "SystemTime",
        "std::net",
        "std::thread",
        "std::fs",
        "std::env",
    ];
    for (path, source) in sources("wire/src") {
        if path.ends_with("/tests.rs") {
            continue;
        }
        let code = code(&source);
        found.extend(
            banned
                .iter()
                .filter(|word| code.contains(**word))
                .map(|word| format!("{path}: {word}")),
        );
    }
    none(
        &found,
        "`wire` gets bytes and `now` from its owner; take these out",
    );
}

#[test]
fn bincode_is_named_in_one_module() {
    let mut found = Vec::new();
    for (path, source) in CRATES
        .iter()
        .flat_map(|directory| sources(&format!("{directory}/src")))
    {
        let code = code(&source);
        let names_it = code.contains("bincode::") || code.contains("use bincode");
        if names_it && !path.starts_with("wire/src/encoding") {
            found.push(path);
        }
    }
    none(&found, "go through `botzilla_wire::encoding` instead");
}

#[test]
fn every_module_is_on_the_map() {
    let map = text("ARCHITECTURE.md");
    let mut missing = Vec::new();
    for directory in [
        "wire/src",
        "runtime/src",
        "registry/src",
        "macros/src",
        "cli/src",
    ] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let entry = entry.unwrap();
            let mut name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                name.push('/');
            }
            // A directory beside a file of the same name needs no word of its own.
            let file = format!("`{}.rs`", name.trim_end_matches('/'));
            if name != "lib.rs" && !map.contains(&format!("`{name}`")) && !map.contains(&file) {
                missing.push(format!("{directory}/{name}"));
            }
        }
    }
    none(&missing, "say in ARCHITECTURE.md what these are for");
}

#[test]
fn links_and_paths_in_the_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for document in DOCUMENTS {
        let text = text(document);
        for target in text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            let path = target.split('#').next().unwrap();
            if !target.starts_with("http") && !path.is_empty() && !root().join(path).exists() {
                broken.push(format!("{document}: {target}"));
            }
        }
        // `wire/src/record.rs` and the like; a word in capitals stands for any.
        for quoted in text
            .lines()
            .flat_map(|line| line.split('`').skip(1).step_by(2))
        {
            let is_path = CRATES
                .iter()
                .any(|name| quoted.starts_with(&format!("{name}/")));
            let stands_for_any = quoted.contains(['*', ' ', '<']) || quoted.contains("NAME");
            if is_path && !stands_for_any && !root().join(quoted).exists() {
                broken.push(format!("{document}: {quoted}"));
            }
        }
    }
    none(&broken, "these are not there");
}
