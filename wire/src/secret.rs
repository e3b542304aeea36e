//! The secret that all nodes of a robot share.

use std::{fmt, sync::Arc};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::text::BASE64;

/// The length of a secret, in bytes.
pub const SECRET_LEN: usize = 32;
/// The longest key id, in bytes.
pub const KEY_ID_MAX: usize = 32;
/// The shortest passphrase, in bytes.
pub const PASSPHRASE_MIN: usize = 16;
/// The key id of every passphrase.
pub const PASSPHRASE_ID: &str = "passphrase";

// argon2id, version 0x13. 19 MiB and two passes are OWASP's recommendation and take a Raspberry Pi 4
// about 0.2 s, once a start. All nodes must come to the same key, so the salt is fixed.
const ARGON2_MEMORY_KIB: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 1;
const ARGON2_SALT: &[u8] = b"botzilla 1 passphrase";

const PREFIX: &str = "bz1:";

/// 32 secret bytes with an id that may be seen. Wiped when the last clone is dropped; prints as
/// `***`.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    id: Box<str>,
    bytes: [u8; SECRET_LEN],
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Why a text is no secret. Never shows the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There is nothing.
    #[error("the secret is empty; make one with `botzilla keygen`")]
    Empty,
    /// A passphrase of less than 16 bytes.
    #[error(
        "a passphrase of {len} bytes is too short; take at least 16, or make a secret with `botzilla keygen`"
    )]
    TooShort {
        /// How many bytes it has.
        len: usize,
    },
    /// It begins with `bz1:` but has no second colon.
    #[error(
        "a secret that begins with `bz1:` must read `bz1:<id>:<base64 of 32 bytes>`; copy the whole line that `botzilla keygen` printed"
    )]
    Malformed,
    /// A key id that is empty, too long or has other characters.
    #[error(
        "the key id of a secret is 1 to 32 characters of A-Z a-z 0-9 _ -; copy the whole line that `botzilla keygen` printed"
    )]
    BadId,
    /// What follows the id is not base64.
    #[error(
        "the last part of the secret is not base64; copy the whole line that `botzilla keygen` printed"
    )]
    BadBase64,
    /// It is base64, but not of 32 bytes.
    #[error(
        "the secret has {len} bytes instead of 32; copy the whole line that `botzilla keygen` printed"
    )]
    WrongLength {
        /// How many bytes it has.
        len: usize,
    },
}

impl Secret {
    /// Reads `bz1:<id>:<base64 of 32 bytes>`, or takes the text as a passphrase of at least 16
    /// bytes, which costs 19 MiB and some tens of milliseconds. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// One line with the remedy, which never shows the text itself.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        match text.strip_prefix(PREFIX) {
            Some(rest) => Self::from_base64(rest),
            None => Self::from_passphrase(text),
        }
    }

    fn from_base64(rest: &str) -> Result<Self, SecretError> {
        let (id, encoded) = rest.split_once(':').ok_or(SecretError::Malformed)?;
        if !is_key_id(id.as_bytes()) {
            return Err(SecretError::BadId);
        }
        // Decoded from base64 text of any length, so of a length that is not known before.
        let decoded = Zeroizing::new(BASE64.decode(encoded).map_err(|_| SecretError::BadBase64)?);
        let bytes: [u8; SECRET_LEN] = decoded
            .as_slice()
            .try_into()
            .map_err(|_| SecretError::WrongLength { len: decoded.len() })?;
        Self::from_bytes(id, bytes)
    }

    fn from_passphrase(text: &str) -> Result<Self, SecretError> {
        if text.len() < PASSPHRASE_MIN {
            return Err(SecretError::TooShort { len: text.len() });
        }
        let params = Params::new(
            ARGON2_MEMORY_KIB,
            ARGON2_PASSES,
            ARGON2_LANES,
            Some(SECRET_LEN),
        )
        .expect("the constants above are within argon2's bounds");
        let mut bytes = Zeroizing::new([0; SECRET_LEN]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(text.as_bytes(), ARGON2_SALT, &mut *bytes)
            .expect("argon2 refuses only lengths, and these are within its bounds");
        Self::from_bytes(PASSPHRASE_ID, *bytes)
    }

    /// A secret of 32 random bytes.
    ///
    /// # Errors
    ///
    /// If the id is not 1 to 32 characters of `[A-Za-z0-9_-]`.
    pub fn from_bytes(id: &str, bytes: [u8; SECRET_LEN]) -> Result<Self, SecretError> {
        let bytes = Zeroizing::new(bytes);
        if !is_key_id(id.as_bytes()) {
            return Err(SecretError::BadId);
        }
        Ok(Self(Arc::new(Inner {
            id: id.into(),
            bytes: *bytes,
        })))
    }

    /// `bz1:<id>:<base64>`: what [`Secret::parse`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(BASE64.encode(self.0.bytes));
        Zeroizing::new(format!("{PREFIX}{}:{}", self.0.id, *encoded))
    }

    /// What the secret is called in the hello. Anyone may see it.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Whether a person chose it; see [`PASSPHRASE_ID`].
    pub fn is_passphrase(&self) -> bool {
        self.id() == PASSPHRASE_ID
    }

    pub(crate) fn bytes(&self) -> &[u8; SECRET_LEN] {
        &self.0.bytes
    }
}

/// Whether this may name a secret.
pub(crate) fn is_key_id(id: &[u8]) -> bool {
    (1..=KEY_ID_MAX).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// The same id and the same bytes; compares these in a time that says nothing about them.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id && bool::from(self.0.bytes.ct_eq(&other.0.bytes))
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_has_its_own_line_with_a_remedy_and_without_the_text() {
        let long_id = format!("bz1:{}:AAAA", "i".repeat(33));
        let cases = [
            ("", SecretError::Empty),
            ("  \n", SecretError::Empty),
            ("hunter2secret", SecretError::TooShort { len: 13 }),
            ("bz1:", SecretError::Malformed),
            (
                "bz1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                SecretError::Malformed,
            ),
            ("bz1:main:not base64!", SecretError::BadBase64),
            ("bz1:main:AAECAwQ", SecretError::WrongLength { len: 5 }),
            ("bz1:main:", SecretError::WrongLength { len: 0 }),
            (
                "bz1::AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                SecretError::BadId,
            ),
            (
                "bz1:a b:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                SecretError::BadId,
            ),
            (&long_id, SecretError::BadId),
        ];
        for (text, expected) in cases {
            let error = Secret::parse(text).unwrap_err();
            assert_eq!(error, expected, "{text:?}");
            let line = error.to_string();
            assert!(line.contains("botzilla keygen"), "{line}");
            assert!(text.len() < 5 || !line.contains(text), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_secret_reads_back_what_it_wrote_and_prints_as_stars() {
        let secret = Secret::from_bytes("main-1_A", [7; 32]).unwrap();
        let text = secret.to_text();
        assert_eq!(
            *text,
            "bz1:main-1_A:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
        );
        let back = Secret::parse(&text).unwrap();
        assert_eq!((back.id(), back.bytes()), (secret.id(), secret.bytes()));
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }
}
