//! Keys of a connection's records, and the MAC that they are for.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

pub use crate::noise::NoiseKeys;

/// The length of a record's tag, in bytes.
pub const TAG_LEN: usize = 32;

/// An HMAC-SHA256 key with the two blocks of the key already hashed, so that a tag costs only its
/// message. Its state is wiped when it is dropped.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// The key of these 32 bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// HMAC-SHA256 over `seq` (8 bytes, little endian) and `parts`, one after the other.
    #[must_use]
    pub fn tag(&self, seq: u64, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        self.tag_all(seq, parts.iter().copied())
    }

    /// The same, of parts that are nowhere in a row.
    pub(crate) fn tag_all<'a>(
        &self,
        seq: u64,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> [u8; TAG_LEN] {
        let mut mac = self.0.clone();
        mac.update(&seq.to_le_bytes());
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is the tag of `seq` and `parts`. Takes the same time wherever they differ.
    #[must_use]
    pub fn verify(&self, seq: u64, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.tag(seq, parts).as_slice().ct_eq(tag).into()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(***)")
    }
}

/// What one connection's records are protected with.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each connection, and a box would be one step more to each tag's key"
)]
#[non_exhaustive]
pub enum Keys {
    /// A key for each direction's tags.
    Mac(RecordKeys),
    /// Both directions' ciphers.
    Noise(NoiseKeys),
}

impl Keys {
    /// The keys of tags, if records are readable and carry one.
    #[must_use]
    pub fn mac(&self) -> Option<&RecordKeys> {
        match self {
            Self::Mac(keys) => Some(keys),
            Self::Noise(_) => None,
        }
    }
}

/// The keys of one connection's tags, one a direction.
#[derive(Clone)]
pub struct RecordKeys {
    seal: MacKey,
    open: MacKey,
}

impl RecordKeys {
    /// `seal` is for what is sent, `open` for what is received.
    pub fn new(seal: MacKey, open: MacKey) -> Self {
        Self { seal, open }
    }

    /// Makes the tags of what is sent.
    pub fn seal_key(&self) -> &MacKey {
        &self.seal
    }

    /// Checks the tags of what is received.
    pub fn open_key(&self) -> &MacKey {
        &self.open
    }
}

impl fmt::Debug for RecordKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKeys(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_covers_the_sequence_number_and_every_part_and_prints_no_key() {
        let key = MacKey::new(&[7; 32]);
        let tag = key.tag(1, &[b"len", b"body"]);
        assert!(
            key.verify(1, &[b"lenb", b"ody"], &tag),
            "parts are concatenated"
        );
        assert!(!key.verify(2, &[b"len", b"body"], &tag));
        assert!(!key.verify(1, &[b"len", b"bodY"], &tag));
        assert!(!key.verify(1, &[b"len", b"body"], &tag[..31]));
        assert!(!MacKey::new(&[8; 32]).verify(1, &[b"len", b"body"], &tag));
        assert_eq!(format!("{key:?}"), "MacKey(***)");
    }
}
