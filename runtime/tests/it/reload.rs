//! Secrets that change while a node runs, and files that can't be them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use botzilla::{ConfigError, Node, NodeConfig, Settings};
use tempfile::TempDir;

const ONE: &str = "bz1:one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TWO: &str = "bz1:two:HxAeDx0OHA0bDBoLGQoYCRcIFgcVBhQFEwQSAxECEAE=";
/// What it takes is milliseconds; a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// As a person does who knows of umask.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// As `botzilla key rotate` does.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    write(&next, text);
    fs::rename(&next, path).unwrap();
}

fn scratch(text: &str) -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("secret");
    write(&file, text);
    (scratch, file)
}

fn config(file: &Path) -> Result<NodeConfig, ConfigError> {
    let mut settings = Settings::default();
    settings.secret_file = Some(file.to_owned());
    Ok(NodeConfig::hosting_registry_from(&settings)?.listen("127.0.0.1:0"))
}

async fn node(file: &Path) -> Node {
    Node::start(config(file).unwrap()).await.unwrap()
}

async fn until_held(node: &Node, ids: &[&str]) {
    let since = Instant::now();
    while node.key_ids() != ids {
        let held = node.key_ids();
        assert!(since.elapsed() < PATIENCE, "{held:?} instead of {ids:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[actix_rt::test]
async fn a_file_that_changes_is_read_again_however_it_changes() {
    let (scratch, file) = scratch(ONE);
    let node = node(&file).await;
    assert_eq!(node.key_ids(), ["one"]);
    replace(&file, &format!("{ONE}\n{TWO}\n"));
    until_held(&node, &["one", "two"]).await;
    // In place, as an editor may.
    write(&file, &format!("# the new one first\n{TWO}\n\n{ONE}\n"));
    until_held(&node, &["two", "one"]).await;
    // Gone for a while, and back.
    fs::remove_file(&file).unwrap();
    let error = node.reload().await.unwrap_err().to_string();
    assert!(error.contains("can't be read"), "{error}");
    assert_eq!(node.key_ids(), ["two", "one"]);
    write(&file, TWO);
    until_held(&node, &["two"]).await;
    // Its directory, too.
    let aside = scratch.path().join("aside");
    fs::create_dir(&aside).unwrap();
    write(&aside.join("secret"), ONE);
    fs::remove_file(&file).unwrap();
    symlink(aside.join("secret"), &file).unwrap();
    until_held(&node, &["one"]).await;
    replace(&aside.join("secret"), TWO);
    until_held(&node, &["two"]).await;
    node.shutdown(Duration::ZERO).await;
}

#[actix_rt::test]
async fn a_mounted_secret_of_kubernetes_is_read_again_when_its_directory_is_swapped() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |path: &str| scratch.path().join(path);
    let version = |name: &str, text: &str| {
        fs::create_dir(at(name)).unwrap();
        write(&at(name).join("secret"), text);
        symlink(name, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    version("..one", ONE);
    symlink("..data/secret", at("secret")).unwrap();
    let node = node(&at("secret")).await;
    version("..two", &format!("{TWO}\n{ONE}\n"));
    until_held(&node, &["two", "one"]).await;
    fs::remove_dir_all(at("..one")).unwrap();
    version("..three", TWO);
    until_held(&node, &["two"]).await;
    node.shutdown(Duration::ZERO).await;
}

#[actix_rt::test]
async fn secrets_in_a_configuration_file_are_read_again_too() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("botzilla.toml");
    write(&file, &format!("secret = {ONE:?}\n"));
    let settings = Settings::from_file(&file).unwrap();
    let config = NodeConfig::hosting_registry_from(&settings).unwrap();
    let node = Node::start(config.listen("127.0.0.1:0")).await.unwrap();
    replace(&file, &format!("secret = [{TWO:?}, {ONE:?}]\n"));
    until_held(&node, &["two", "one"]).await;
    replace(&file, "listen = \"0.0.0.0:0\"\n");
    let error = node.reload().await.unwrap_err().to_string();
    assert!(error.contains("no `secret` any more"), "{error}");
    assert_eq!(node.key_ids(), ["two", "one"]);
    node.shutdown(Duration::ZERO).await;
}

#[actix_rt::test]
async fn a_file_that_cannot_be_used_keeps_what_is_held_and_says_why() {
    let (_scratch, file) = scratch(&format!("{ONE}\n{TWO}\n"));
    let node = node(&file).await;
    let torn = &format!("{ONE}\n{TWO}")[..ONE.len() + 30];
    let cases = [
        ("", "the secret is empty"),
        (torn, "line 2: "),
        ("bz1:one\n", "must read"),
        (&format!("{ONE}\n# x\n{ONE}\n"), "line 3: the key id `one`"),
        (
            &format!("{ONE}\nshort\n"),
            "line 2: a passphrase of 5 bytes",
        ),
        (
            "a first long passphrase\na second long passphrase\n",
            "two passphrases",
        ),
    ];
    for (text, said) in cases {
        replace(&file, text);
        let error = node.reload().await.unwrap_err().to_string();
        assert!(
            error.contains(said) && error.contains(&*file.to_string_lossy()),
            "{error}"
        );
        assert!(
            !error.contains("AAEC") && !error.contains("long pass"),
            "{error}"
        );
        assert_eq!(node.key_ids(), ["one", "two"], "{text:?}");
    }
    // What is right, in a file that others may read.
    replace(&file, TWO);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let error = node.reload().await.unwrap_err().to_string();
    let remedy = format!("chmod 600 {}", file.display());
    assert!(
        error.contains("mode 0640") && error.contains(&remedy),
        "{error}"
    );
    assert_eq!(node.key_ids(), ["one", "two"]);
    // Closing it is enough.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    until_held(&node, &["two"]).await;
    node.shutdown(Duration::ZERO).await;
}

#[test]
fn files_with_secrets_that_others_may_read_are_refused_at_the_start() {
    let (scratch, file) = scratch(ONE);
    for mode in [0o644, 0o640, 0o604, 0o660, 0o610] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let error = config(&file).unwrap_err().to_string();
        let mode = format!("mode {mode:04o}");
        assert!(
            error.contains(&mode) && error.contains("chmod 600"),
            "{error}"
        );
    }
    for mode in [0o600, 0o400, 0o700] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        config(&file).unwrap();
    }
    let toml = scratch.path().join("botzilla.toml");
    write(&toml, &format!("registry = \"a\"\nsecret = {ONE:?}\n"));
    NodeConfig::from_file(&toml).unwrap();
    fs::set_permissions(&toml, fs::Permissions::from_mode(0o644)).unwrap();
    let error = NodeConfig::from_file(&toml).unwrap_err().to_string();
    assert!(
        error.contains("mode 0644") && !error.contains("AAEC"),
        "{error}"
    );
    // Without a secret in it, it is nobody's business who reads it.
    write(
        &toml,
        &format!("registry = \"a\"\nsecret_file = {file:?}\n"),
    );
    fs::set_permissions(&toml, fs::Permissions::from_mode(0o644)).unwrap();
    NodeConfig::from_file(&toml).unwrap();
}
