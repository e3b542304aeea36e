//! Who holds the secret, and says whatever it likes before its proof, which is right.

use arbitrary::Arbitrary;
use botzilla_wire::{
    Lane, Limits,
    handshake::{Acceptor, Cipher, Dialler},
};
use bytes::BytesMut;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use snow::HandshakeState;

use crate::pair::{Guard, local, start};

/// The secret of [`local`].
const SECRET: [u8; 32] = [7; 32];

/// One who holds the secret.
#[derive(Debug, Arbitrary)]
pub(super) struct Holder {
    /// It dials; else it was dialled.
    dials: bool,
    /// Encrypted, with AES or without; else authenticated.
    noise: Option<bool>,
    /// In place of what such a hello has.
    changed: Vec<Change>,
    /// Fields before the proof.
    proof_fields: Vec<(u8, Vec<u8>)>,
    versions: (u8, u8),
    /// Bytes after its last message.
    after: Vec<u8>,
}

#[derive(Debug, Arbitrary)]
struct Change {
    tag: u8,
    /// None leaves the field out.
    value: Option<Vec<u8>>,
}

impl Holder {
    pub(super) fn run(self) {
        if self.dials {
            self.dial();
        } else {
            self.accept();
        }
    }

    fn cipher(&self) -> Cipher {
        if self.noise == Some(true) {
            Cipher::AesGcm
        } else {
            Cipher::ChaChaPoly
        }
    }

    fn guard(&self) -> Guard {
        Guard {
            cipher: self.noise.map(|_| self.cipher()),
            rekey_after: 2,
        }
    }

    /// What such a message has in it, in noise mode.
    fn noise(&self, dials: bool, hellos: &[&[u8]]) -> HandshakeState {
        let name = match self.cipher() {
            Cipher::AesGcm => "Noise_NNpsk0_25519_AESGCM_SHA256",
            _ => "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
        };
        let psk = derive(hellos, "botzilla 1 noise psk");
        let prologue = hellos.concat();
        let builder = snow::Builder::new(name.parse().unwrap())
            .psk(0, &psk)
            .and_then(|it| it.prologue(&prologue))
            .unwrap()
            .fixed_ephemeral_key_for_testing_only(&[9; 32]);
        let state = if dials {
            builder.build_initiator()
        } else {
            builder.build_responder()
        };
        state.unwrap()
    }

    fn seal(&self, kind: u8, state: &mut HandshakeState) -> Vec<u8> {
        let mut fields = body(&self.proof_fields);
        fields.truncate(900);
        let mut sealed = vec![0; fields.len() + 48];
        let len = state.write_message(&fields, &mut sealed).unwrap();
        message(kind, (1, 1), &sealed[..len])
    }

    fn hello(&self, kind: u8, versions: (u16, u16)) -> Vec<u8> {
        let mut windows = Vec::new();
        windows.extend(16_777_216_u64.to_le_bytes());
        windows.extend(33_554_432_u64.to_le_bytes());
        for count in [256_u32, 16, 4096, 8192] {
            windows.extend(count.to_le_bytes());
        }
        let mut fields = vec![
            (1, vec![0x11; 32]),
            (2, vec![0xd1; 16]),
            (5, b"\x03key".to_vec()),
            (6, vec![if self.noise.is_some() { 2 } else { 1 }]),
            (8, vec![1, 2]),
            (9, vec![0; 8]),
            (10, windows),
        ];
        if self.noise.is_some() {
            fields.push((7, vec![self.cipher().number()]));
        }
        if kind == 1 {
            fields.push((4, vec![0]));
        }
        for change in &self.changed {
            fields.retain(|(tag, _)| *tag != change.tag);
            if let Some(value) = &change.value {
                fields.push((change.tag, value.clone()));
            }
        }
        fields.sort();
        message(kind, versions, &body(&fields))
    }

    fn dial(self) {
        let now = start();
        let mut acceptor = Acceptor::new(
            &local(2, Lane::Control, &Limits::default(), self.guard()),
            [2; 32],
            now,
        );
        let versions = (
            u16::from(self.versions.0 % 3),
            u16::from(self.versions.1 % 3),
        );
        let first = self.hello(1, versions);
        let mut input = BytesMut::from(&first[..]);
        let is_taken = acceptor.receive(now, &mut input).is_ok();
        let Some(second) = acceptor.poll_transmit() else {
            return;
        };
        if !is_taken {
            assert_eq!(second[8], 5, "it is refused");
            return;
        }
        let third = if self.noise.is_some() {
            self.seal(3, &mut self.noise(true, &[&first, &second]))
        } else {
            self.proof(3, &[&first, &second])
        };
        let mut input = BytesMut::from(&third[..]);
        input.extend_from_slice(&self.after);
        if let Ok(Some(_)) = acceptor.receive(now, &mut input) {
            assert_eq!(input, self.after, "what follows stays");
            let established = acceptor.accept();
            assert_eq!(established.key_id, "key");
            assert!(!established.encodings.is_empty());
            assert_eq!(acceptor.poll_transmit().unwrap()[8], 4);
        }
    }

    fn accept(self) {
        let now = start();
        let local = local(1, Lane::Control, &Limits::default(), self.guard());
        let mut dialler = Dialler::new(&local, None, None, [1; 32], now);
        let first = dialler.poll_transmit().unwrap();
        let version = u16::from(self.versions.0 % 3);
        let second = self.hello(2, (version, version));
        let mut input = BytesMut::from(&second[..]);
        if dialler.receive(now, &mut input).is_err() {
            assert!(dialler.poll_transmit().is_none());
            return;
        }
        let third = dialler.poll_transmit().unwrap();
        let fourth = if self.noise.is_some() {
            let mut state = self.noise(false, &[&first, &second]);
            let mut payload = [0; 64];
            if state.read_message(&third[15..], &mut payload).is_err() {
                // It has chosen something that it doesn't do itself.
                return;
            }
            self.seal(4, &mut state)
        } else {
            self.proof(4, &[&first, &second, &third])
        };
        let mut input = BytesMut::from(&fourth[..]);
        input.extend_from_slice(&self.after);
        if let Ok(Some(established)) = dialler.receive(now, &mut input) {
            assert_eq!(input, self.after, "what follows stays");
            assert_eq!(established.key_id, "key");
            assert!(!established.encodings.is_empty());
            assert!(local.features.contains(established.features));
        }
    }

    fn proof(&self, kind: u8, before: &[&[u8]]) -> Vec<u8> {
        let label = if kind == 3 {
            "botzilla 1 dialler proof"
        } else {
            "botzilla 1 acceptor proof"
        };
        let mut filler = body(&self.proof_fields);
        filler.truncate(900);
        filler.extend([0; 32]);
        let mut out = message(kind, (1, 1), &filler);
        out.truncate(out.len() - 32);
        let key = derive(&before[..2], label);
        let mut all = before.to_vec();
        all.push(&out);
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(&sha256(&all));
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        out.extend(tag);
        out
    }
}

fn derive(hellos: &[&[u8]], label: &str) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(&sha256(hellos)), &SECRET)
        .expand(label.as_bytes(), &mut key)
        .unwrap();
    key
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn message(kind: u8, versions: (u16, u16), body: &[u8]) -> Vec<u8> {
    let mut out = b"botzilla".to_vec();
    out.push(kind);
    out.extend(versions.0.to_le_bytes());
    out.extend(versions.1.to_le_bytes());
    out.extend((body.len() as u16).to_le_bytes());
    out.extend(body);
    out
}

fn body(fields: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, value) in fields {
        out.push(*tag);
        out.extend((value.len() as u16).to_le_bytes());
        out.extend(value);
    }
    out
}
