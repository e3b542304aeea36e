//! Those who can't be let in: each is told why, and leaves nothing behind.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    process::Command,
    time::{Duration, Instant},
};

use botzilla::{Node, NodeConfig, Report};
use botzilla_wire::{
    NodeId,
    handshake::{Acceptor, Dialler, HandshakeError, Local, VersionRange},
    secret::Secret,
};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    support::{RegistryProcess, SECRET, list, node_at, run, who},
    talk::{Echo, kind},
};

/// Under the same key id, and under another.
const OTHER: &str = "bz1:it://///////////////////////////////////////w8=";
const ANOTHER: &str = "bz1:other:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

async fn refused(registry: &str, secret: &str) -> String {
    let config = NodeConfig::new(registry, secret).unwrap();
    let since = Instant::now();
    let refused = Node::start(config.listen("127.0.0.1:0")).await;
    let error = refused.expect_err("it was let in").to_string();
    // Waiting for 30 s would not make it right.
    assert!(since.elapsed() < Duration::from_secs(15), "{error}");
    error
}

#[test]
fn secrets_that_are_none_are_refused_before_anything_is_sent() {
    for (secret, said) in [
        ("hunter2", "at least 16"),
        ("", "empty"),
        ("bz1:it:AAAA", "32"),
        ("bz1:it", "bz1:"),
    ] {
        let error = NodeConfig::new("127.0.0.1:1", secret)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("secret: ") && error.contains(said),
            "{error}"
        );
        assert!(secret.is_empty() || !error.contains(secret), "{error}");
    }
}

#[test]
fn a_program_without_a_secret_says_so_in_one_line() {
    for (secret, said) in [
        (None, "BOTZILLA_SECRET: not set"),
        (Some("short"), "at least 16"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_botzilla-registry"));
        command
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(std::env::temp_dir());
        for name in ["BOTZILLA_SECRET", "BOTZILLA_SECRET_FILE", "BOTZILLA_CONFIG"] {
            command.env_remove(name);
        }
        if let Some(secret) = secret {
            command.env("BOTZILLA_SECRET", secret);
        }
        let output = command.output().unwrap();
        let said_all = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said_all}");
        assert_eq!(said_all.lines().count(), 1, "{said_all}");
        assert!(
            said_all.starts_with("error: ") && said_all.contains(said),
            "{said_all}"
        );
    }
}

#[test]
fn a_file_of_secrets_on_the_command_line_leaves_the_other_settings_in_force() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("secret");
    let mut options = OpenOptions::new();
    let mut secret = options
        .write(true)
        .create(true)
        .mode(0o600)
        .open(&file)
        .unwrap();
    writeln!(secret, "{SECRET}").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_botzilla-registry"))
        .args(["--listen", "127.0.0.1:0", "--secret-file"])
        .arg(&file)
        .current_dir(scratch.path())
        .env("BOTZILLA_SECURITY", "loud")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("BOTZILLA_SECURITY"), "{said}");
}

#[test]
fn strangers_are_told_why_and_change_nothing() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let process = registry.node("drive").await;
        let node = registry.here().await;
        let before = who(&node, "drive").await;
        let service = node.component(format!("node/{}", process.id));
        let peers = async || {
            let mut peers = service.ask(Report {}).await.unwrap().peers;
            peers.sort_unstable();
            peers
        };
        let (known, listed) = (peers().await, list(&node).await.unwrap());
        for address in [registry.address.to_string(), process.address.clone()] {
            let error = refused(&address, OTHER).await;
            assert!(
                error.contains("wrong secret") && error.contains("`it`"),
                "{error}"
            );
            let error = refused(&address, ANOTHER).await;
            assert!(
                error.contains("no secret in common") && error.contains("`other`"),
                "{error}"
            );
            let error = refused(&address, "another passphrase").await;
            assert!(error.contains("secret"), "{error}");
            let error = dial_with_versions(&address, VersionRange { min: 7, max: 9 }).await;
            assert!(matches!(error, HandshakeError::Version { .. }), "{error}");
            let said = error.to_string();
            assert!(
                said.contains("versions 7 to 9") && said.contains("version 1"),
                "{said}"
            );
        }
        assert_eq!(peers().await, known);
        let after = list(&node).await.unwrap();
        assert_eq!(after.revision, listed.revision);
        assert_eq!(who(&node, "drive").await, before);
        node.shutdown(Duration::ZERO).await;
    });
}

/// Dials as a node of a later version would.
async fn dial_with_versions(address: &str, versions: VersionRange) -> HandshakeError {
    let mut local = Local::new(NodeId([7; 16]), vec![Secret::parse(SECRET).unwrap()]);
    local.versions = versions;
    let mut dialler = Dialler::new(&local, None, None, [9; 32], Instant::now());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut input = BytesMut::new();
    loop {
        while let Some(bytes) = dialler.poll_transmit() {
            stream.write_all(&bytes).await.unwrap();
        }
        assert_ne!(
            stream.read_buf(&mut input).await.unwrap(),
            0,
            "it says nothing"
        );
        match dialler.receive(Instant::now(), &mut input) {
            Ok(established) => assert!(established.is_none(), "it was let in"),
            Err(error) => return error,
        }
    }
}

#[test]
fn a_registry_of_another_version_is_told_apart_from_one_that_is_not_there() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let later = tokio::spawn(async move {
            let mut local = Local::new(NodeId([7; 16]), vec![Secret::parse(SECRET).unwrap()]);
            local.versions = VersionRange { min: 7, max: 9 };
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut acceptor = Acceptor::new(&local, [9; 32], Instant::now());
                let mut input = BytesMut::new();
                while stream
                    .read_buf(&mut input)
                    .await
                    .is_ok_and(|count| count > 0)
                {
                    let ended = acceptor.receive(Instant::now(), &mut input).is_err();
                    while let Some(bytes) = acceptor.poll_transmit() {
                        stream.write_all(&bytes).await.unwrap();
                    }
                    if ended {
                        break;
                    }
                }
            }
        });
        let error = refused(&address, SECRET).await;
        assert!(
            error.contains("versions 7 to 9") && error.contains("version 1"),
            "{error}"
        );
        assert!(error.contains(&address), "{error}");
        later.abort();

        let config = NodeConfig::new(&address, SECRET).unwrap();
        let config = config
            .listen("127.0.0.1:0")
            .registry_time(Duration::from_millis(300));
        let error = Node::start(config).await.err().unwrap().to_string();
        assert!(
            error.contains(&address) && error.contains("nothing listens"),
            "{error}"
        );
    });
}

#[test]
fn another_node_at_the_address_is_not_taken_for_the_one_that_was_meant() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let there = registry.node("there").await;
        let meant = node_at(
            registry.address,
            "meant",
            &[("IT_ADVERTISE", &there.address)],
        )
        .await;
        // The one that is meant is asked to dial, and can't either.
        let config = NodeConfig::new(registry.address.to_string(), SECRET).unwrap();
        let config = config.listen("127.0.0.1:0").advertise([&*there.address]);
        let node = Node::start(config).await.unwrap();
        node.ready().await;
        let error = node
            .component("meant")
            .ask(Echo { n: 1 })
            .await
            .unwrap_err();
        assert_eq!(kind(error.reason()), "not connected", "{error}");
        let text = error.to_string();
        assert!(text.contains("not the node that was meant"), "{text}");
        assert!(
            text.contains(&meant.id) && text.contains(&there.address),
            "{text}"
        );
        assert!(!error.may_have_run(), "{text}");
        // No effect on the one that is there: it doesn't even count this node among its peers.
        let report = registry.here().await;
        let service = report.component(format!("node/{}", there.id));
        let peers = service.ask(Report {}).await.unwrap().peers;
        assert!(!peers.contains(&node.id().to_string()), "{peers:?}");
        assert_eq!(who(&node, "there").await.pid, there.process.pid());
        report.shutdown(Duration::ZERO).await;
        node.shutdown(Duration::ZERO).await;
    });
}
