//! Texts that people and peers write: names, ids, secrets and files of them, layouts.

mod layouts;

use botzilla_wire::{ConnectionId, Name, NodeId, Secret, keyring::Keyring};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    match which % 6 {
        0 => {
            if let Ok(name) = Name::new(text) {
                assert_eq!(name.as_str(), text);
                assert!((1..=255).contains(&text.len()) && text.is_ascii());
            }
        }
        1 => {
            if let Ok(id) = text.parse::<NodeId>() {
                assert_eq!(id.to_string().parse(), Ok(id));
            }
        }
        2 => {
            if let Ok(id) = text.parse::<ConnectionId>() {
                assert_eq!(id.to_string().parse(), Ok(id));
            }
        }
        3 => secret(text),
        4 => layouts::compare(text),
        _ => keyring(text),
    }
}

/// The lines of a secret file.
fn keyring(text: &str) {
    let is_quick = |line: &str| line.starts_with("bz1:") || line.len() < 16;
    if !text.lines().all(|line| is_quick(line.trim())) {
        return;
    }
    match Keyring::parse(text) {
        Ok(ring) => {
            let mut ids: Vec<&str> = ring.ids().collect();
            assert!(ids.iter().all(|id| ring.get(id).is_some()));
            ids.sort_unstable();
            let count = ids.len();
            ids.dedup();
            assert_eq!((ids.len(), ring.secrets().len()), (count, count));
        }
        Err(error) => assert!(!error.to_string().contains("bz1:main:AA")),
    }
}

/// A passphrase takes as long as argon2id is to take: not here.
fn secret(text: &str) {
    if !text.trim_start().starts_with("bz1:") && text.len() >= 16 {
        return;
    }
    match Secret::parse(text) {
        Ok(secret) => {
            let again = Secret::parse(&secret.to_text()).unwrap();
            assert_eq!(again.id(), secret.id());
            assert_eq!(*again.to_text(), *secret.to_text());
            assert!(!format!("{secret:?}").contains(&secret.to_text()[5..]));
        }
        Err(error) => {
            // An error is read by many, the secret by nobody.
            let said = error.to_string();
            assert!(!said.is_empty());
            assert!(text.len() < 12 || !said.contains(text));
        }
    }
}
