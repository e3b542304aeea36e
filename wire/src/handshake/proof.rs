//! The key schedule: from the secret and the transcript to proofs and record keys.
//!
//! ```text
//! proof keys   HKDF-SHA256(salt = SHA-256(m1 m2),          secret, label)   one a role
//! proof        HMAC-SHA256(proof key, SHA-256(all bytes before the proof))
//! record keys  HKDF-SHA256(salt = SHA-256(m1 m2 m3 m4),    secret, label)   one a direction
//! connection   the first 16 bytes of SHA-256(m1 m2 m3 m4)
//! ```

use std::fmt;

use bytes::Bytes;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    HandshakeError, VersionRange,
    message::{Builder, Fields, HEADER_LEN, KIND_ACCEPTOR_PROOF, KIND_DIALLER_PROOF, Message},
};
use crate::{
    ident::ConnectionId,
    keys::{MacKey, RecordKeys},
    secret::Secret,
};

pub(super) const PROOF_LEN: usize = 32;

/// The two ends, as the key schedule tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Dialler,
    Acceptor,
}

impl Role {
    fn proof_label(self) -> &'static [u8] {
        match self {
            Self::Dialler => b"botzilla 1 dialler proof",
            Self::Acceptor => b"botzilla 1 acceptor proof",
        }
    }

    /// For the records that this role sends.
    fn records_label(self) -> &'static [u8] {
        match self {
            Self::Dialler => b"botzilla 1 dialler records",
            Self::Acceptor => b"botzilla 1 acceptor records",
        }
    }

    fn proof_kind(self) -> u8 {
        match self {
            Self::Dialler => KIND_DIALLER_PROOF,
            Self::Acceptor => KIND_ACCEPTOR_PROOF,
        }
    }
}

/// The hash of all bytes of the handshake so far, in the order in which they were sent.
#[derive(Clone, Default)]
pub(super) struct Transcript(Sha256);

impl Transcript {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transcript(..)")
    }
}

/// What is known once the hellos were exchanged: the secret to use and the keys of both proofs.
#[derive(Debug)]
pub(super) struct Schedule {
    secret: Secret,
    dialler: ProofKey,
    acceptor: ProofKey,
}

struct ProofKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

pub(super) fn derive(salt: &[u8; 32], secret: &Secret, label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(salt), secret.bytes())
        .expand(label, &mut *key)
        .expect("one block is not too long for HKDF");
    key
}

impl Schedule {
    /// `hellos` is the transcript after both hellos.
    pub(super) fn new(secret: Secret, hellos: &Transcript) -> Self {
        let salt = hellos.hash();
        let dialler = ProofKey(derive(&salt, &secret, Role::Dialler.proof_label()));
        let acceptor = ProofKey(derive(&salt, &secret, Role::Acceptor.proof_label()));
        Self {
            secret,
            dialler,
            acceptor,
        }
    }

    pub(super) fn key_id(&self) -> &str {
        self.secret.id()
    }

    fn proof(&self, role: Role, transcript: &Transcript) -> [u8; PROOF_LEN] {
        let key = match role {
            Role::Dialler => &self.dialler,
            Role::Acceptor => &self.acceptor,
        };
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*key.0).expect("HMAC takes a key of any length");
        mac.update(&transcript.hash());
        mac.finalize().into_bytes().into()
    }

    /// The proof message of `role`, added to the transcript.
    pub(super) fn prove(&self, role: Role, version: u16, transcript: &mut Transcript) -> Bytes {
        let mut out = Builder::new(
            role.proof_kind(),
            VersionRange {
                min: version,
                max: version,
            },
        );
        transcript.add(out.set_length(PROOF_LEN));
        let proof = self.proof(role, transcript);
        transcript.add(&proof);
        out.raw(&proof);
        out.finish()
    }

    /// Checks the proof message of `role`, and adds it to the transcript.
    pub(super) fn verify(
        &self,
        role: Role,
        version: u16,
        message: &Message,
        transcript: &mut Transcript,
    ) -> Result<(), HandshakeError> {
        if message.kind != role.proof_kind() {
            return Err(HandshakeError::Malformed(
                "another message came where a proof was due",
            ));
        }
        if message.versions
            != (VersionRange {
                min: version,
                max: version,
            })
        {
            return Err(HandshakeError::Malformed("it changed the version half-way"));
        }
        let (before, proof) = message
            .bytes
            .split_last_chunk::<PROOF_LEN>()
            .filter(|(before, _)| before.len() >= HEADER_LEN)
            .ok_or(HandshakeError::Malformed("its proof is cut off"))?;
        transcript.add(before);
        if !bool::from(self.proof(role, transcript).ct_eq(proof)) {
            return Err(HandshakeError::WrongSecret {
                key_id: self.key_id().to_owned(),
            });
        }
        // Only what was proven is read: fields that a later version has put before the proof.
        let mut fields = Fields::new(&before[HEADER_LEN..]);
        while let Some((tag, _)) = fields.next()? {
            Fields::unknown(tag)?;
        }
        transcript.add(proof);
        Ok(())
    }

    /// The connection's id and record keys as `role` uses them, after all four messages.
    pub(super) fn finish(&self, role: Role, transcript: &Transcript) -> (ConnectionId, RecordKeys) {
        let salt = transcript.hash();
        let [dialler, acceptor] = [Role::Dialler, Role::Acceptor]
            .map(|sender| MacKey::new(&derive(&salt, &self.secret, sender.records_label())));
        let keys = match role {
            Role::Dialler => RecordKeys::new(dialler, acceptor),
            Role::Acceptor => RecordKeys::new(acceptor, dialler),
        };
        let mut id = [0; 16];
        id.copy_from_slice(&salt[..16]);
        (ConnectionId(id), keys)
    }
}
