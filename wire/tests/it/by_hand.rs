//! The handshake once more, from PROTOCOL.md alone: what a client in another language would do.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Fields with their tags.
pub(crate) type Fields = Vec<(u8, Vec<u8>)>;

pub(crate) const HEADER: usize = 15;

/// A message of this kind for these versions.
pub(crate) fn message(kind: u8, versions: (u16, u16), body: &[u8]) -> Vec<u8> {
    let mut out = b"botzilla".to_vec();
    out.push(kind);
    out.extend(versions.0.to_le_bytes());
    out.extend(versions.1.to_le_bytes());
    out.extend((body.len() as u16).to_le_bytes());
    out.extend(body);
    out
}

/// A field.
pub(crate) fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    out
}

/// The fields of a dialler's hello, by tag; tests change them before they are put together.
pub(crate) fn hello_fields() -> Fields {
    let mut windows = Vec::new();
    windows.extend(16_777_216_u64.to_le_bytes());
    windows.extend(33_554_432_u64.to_le_bytes());
    for count in [256_u32, 16, 4096, 8192] {
        windows.extend(count.to_le_bytes());
    }
    vec![
        (1, vec![0x11; 32]),
        (2, vec![0xd1; 16]),
        (4, vec![0]),
        (5, b"\x04main".to_vec()),
        (6, vec![1]),
        (8, vec![1, 2]),
        (9, vec![0; 8]),
        (10, windows),
    ]
}

/// All fields, one after the other.
pub(crate) fn body(fields: &[(u8, Vec<u8>)]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(tag, value)| field(*tag, value))
        .collect()
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

pub(crate) fn hkdf(salt: &[u8], secret: &[u8; 32], label: &str) -> [u8; 32] {
    let mut out = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(label.as_bytes(), &mut out)
        .unwrap();
    out
}

pub(crate) fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Message 3 (or 4), after everything that was said before it. `fields` go before the proof.
pub(crate) fn proof(kind: u8, secret: &[u8; 32], before: &[&[u8]], fields: &[u8]) -> Vec<u8> {
    let label = if kind == 3 {
        "botzilla 1 dialler proof"
    } else {
        "botzilla 1 acceptor proof"
    };
    let key = hkdf(&sha256(&before[..2]), secret, label);
    let mut filler = fields.to_vec();
    filler.extend([0; 32]);
    let mut out = message(kind, (1, 1), &filler);
    out.truncate(out.len() - 32);
    let mut all = before.to_vec();
    all.push(&out);
    let tag = hmac(&key, &sha256(&all));
    out.extend(tag);
    out
}
