//! The key schedule: from the secret and the transcript to proofs and record keys.
//!
//! ```text
//! In MAC mode:
//!
//! proof keys   HKDF-SHA256(salt = SHA-256(m1 m2),          secret, label)   one a role
//! proof        HMAC-SHA256(proof key, SHA-256(all bytes before the proof))
//! record keys  HKDF-SHA256(salt = SHA-256(m1 m2 m3 m4),    secret, label)   one a direction
//!
//! In noise mode the proofs are the two messages of Noise_NNpsk0 with the prologue m1 m2, and
//!
//! psk          HKDF-SHA256(salt = SHA-256(m1 m2),          secret, label)
//! record keys  what Noise's Split gives
//!
//! In both:
//!
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
    HandshakeError, Mode, VersionRange,
    message::{Builder, Fields, HEADER_LEN, KIND_ACCEPTOR_PROOF, KIND_DIALLER_PROOF, Message},
};
use crate::{
    ident::ConnectionId,
    keys::{Keys, MacKey, RecordKeys},
    noise::{Cipher, Failed, MESSAGE_LEN, NoiseHandshake},
    secret::Secret,
};

pub(super) const PROOF_LEN: usize = 32;

/// The two ends, as the key schedule tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Dialler,
    Acceptor,
}

const PSK_LABEL: &[u8] = b"botzilla 1 noise psk";

impl Role {
    fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }

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

/// How a connection's records are to be protected, as the acceptor chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    Mac,
    Noise(Cipher),
}

impl Protection {
    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Mac => Mode::Mac,
            Self::Noise(_) => Mode::Noise,
        }
    }

    pub(super) fn cipher(self) -> Option<Cipher> {
        match self {
            Self::Mac => None,
            Self::Noise(cipher) => Some(cipher),
        }
    }
}

/// What both hellos come to.
pub(super) struct Hellos<'a> {
    pub(super) first: &'a [u8],
    pub(super) second: &'a [u8],
    pub(super) protection: Protection,
}

/// What noise mode needs besides.
#[derive(Clone, Default)]
pub(super) struct NoiseInputs {
    pub(super) rekey_after: u64,
    /// For vectors alone; otherwise snow draws it.
    pub(super) ephemeral: Option<[u8; 32]>,
}

impl fmt::Debug for NoiseInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoiseInputs(..)")
    }
}

/// What is known once the hellos were exchanged: the secret to use, and how to prove oneself.
#[derive(Debug)]
pub(super) struct Schedule {
    role: Role,
    secret: Secret,
    pub(super) protection: Protection,
    proofs: Proofs,
}

#[derive(Debug)]
enum Proofs {
    Mac {
        dialler: ProofKey,
        acceptor: ProofKey,
    },
    Noise {
        state: NoiseHandshake,
        rekey_after: u64,
    },
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
    /// `transcript` is of both hellos.
    pub(super) fn new(
        role: Role,
        secret: Secret,
        hellos: &Hellos<'_>,
        transcript: &Transcript,
        noise: &NoiseInputs,
    ) -> Self {
        let salt = transcript.hash();
        let proofs = match hellos.protection {
            Protection::Mac => Proofs::Mac {
                dialler: ProofKey(derive(&salt, &secret, Role::Dialler.proof_label())),
                acceptor: ProofKey(derive(&salt, &secret, Role::Acceptor.proof_label())),
            },
            Protection::Noise(cipher) => {
                let psk = derive(&salt, &secret, PSK_LABEL);
                let prologue = [hellos.first, hellos.second].concat();
                let is_dialler = role == Role::Dialler;
                let ephemeral = noise.ephemeral.as_ref();
                Proofs::Noise {
                    state: NoiseHandshake::new(is_dialler, cipher, &psk, &prologue, ephemeral),
                    rekey_after: noise.rekey_after,
                }
            }
        };
        Self {
            role,
            secret,
            protection: hellos.protection,
            proofs,
        }
    }

    pub(super) fn key_id(&self) -> &str {
        self.secret.id()
    }

    /// Our proof message, added to the transcript.
    pub(super) fn prove(
        &mut self,
        version: u16,
        transcript: &mut Transcript,
    ) -> Result<Bytes, HandshakeError> {
        let versions = VersionRange {
            min: version,
            max: version,
        };
        let mut out = Builder::new(self.role.proof_kind(), versions);
        match &mut self.proofs {
            Proofs::Mac { dialler, acceptor } => {
                transcript.add(out.set_length(PROOF_LEN));
                let key = if self.role == Role::Dialler {
                    dialler
                } else {
                    acceptor
                };
                let proof = proof(key, transcript);
                transcript.add(&proof);
                out.raw(&proof);
                Ok(out.finish())
            }
            Proofs::Noise { state, .. } => {
                let message = state.write().map_err(|Failed| {
                    HandshakeError::Unable("the system has no random numbers for a key")
                })?;
                out.raw(&message);
                let out = out.finish();
                transcript.add(&out);
                Ok(out)
            }
        }
    }

    /// Checks the peer's proof message, and adds it to the transcript.
    pub(super) fn verify(
        &mut self,
        version: u16,
        message: &Message,
        transcript: &mut Transcript,
    ) -> Result<(), HandshakeError> {
        if message.kind != self.role.other().proof_kind() {
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
        let wrong = || HandshakeError::WrongSecret {
            key_id: self.secret.id().to_owned(),
        };
        match &mut self.proofs {
            Proofs::Mac { dialler, acceptor } => {
                let key = if self.role == Role::Dialler {
                    acceptor
                } else {
                    dialler
                };
                let (before, said) = message
                    .bytes
                    .split_last_chunk::<PROOF_LEN>()
                    .filter(|(before, _)| before.len() >= HEADER_LEN)
                    .ok_or(CUT_OFF)?;
                transcript.add(before);
                if !bool::from(proof(key, transcript).ct_eq(said)) {
                    return Err(wrong());
                }
                // Only what was proven is read.
                read_fields(&before[HEADER_LEN..])?;
                transcript.add(said);
            }
            Proofs::Noise { state, .. } => {
                if message.body().len() < MESSAGE_LEN {
                    return Err(CUT_OFF);
                }
                let fields = state.read(message.body()).map_err(|Failed| wrong())?;
                read_fields(&fields)?;
                transcript.add(&message.bytes);
            }
        }
        Ok(())
    }

    /// The connection's id and the keys of its records, after all four messages.
    pub(super) fn finish(self, transcript: &Transcript) -> (ConnectionId, Keys) {
        let salt = transcript.hash();
        let keys = match self.proofs {
            Proofs::Mac { .. } => {
                let [dialler, acceptor] = [Role::Dialler, Role::Acceptor].map(|sender| {
                    MacKey::new(&derive(&salt, &self.secret, sender.records_label()))
                });
                Keys::Mac(match self.role {
                    Role::Dialler => RecordKeys::new(dialler, acceptor),
                    Role::Acceptor => RecordKeys::new(acceptor, dialler),
                })
            }
            Proofs::Noise { state, rekey_after } => Keys::Noise(state.finish(rekey_after)),
        };
        let mut id = [0; 16];
        id.copy_from_slice(&salt[..16]);
        (ConnectionId(id), keys)
    }
}

const CUT_OFF: HandshakeError = HandshakeError::Malformed("its proof is cut off");

fn proof(key: &ProofKey, transcript: &Transcript) -> [u8; PROOF_LEN] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&*key.0).expect("HMAC takes a key of any length");
    mac.update(&transcript.hash());
    mac.finalize().into_bytes().into()
}

/// Fields that a later version has put into a proof message.
fn read_fields(fields: &[u8]) -> Result<(), HandshakeError> {
    let mut fields = Fields::new(fields);
    while let Some((tag, _)) = fields.next()? {
        Fields::unknown(tag)?;
    }
    Ok(())
}
