//! What all handshake messages have in common: a header that never changes, and fields.
//!
//! ```text
//! offset 0   "botzilla"
//!        8   kind        u8
//!        9   min         u16   the versions of the sender; in messages 2 to 4 both are the chosen one
//!       11   max         u16
//!       13   length      u16   of the body
//!       15   body
//! ```
//!
//! All integers are little endian. A body is fields, `tag u8 | length u16 | value`, in ascending
//! order of their tags; proofs end in 32 bytes that are no field. Who finds a tag that it doesn't
//! know skips it if the tag has bit 0x80, and refuses otherwise.

use bytes::{BufMut, Bytes, BytesMut};

use super::{HandshakeError, VersionRange};

pub(super) const MAGIC: &[u8; 8] = b"botzilla";
pub(super) const HEADER_LEN: usize = 15;
/// Fields with this bit in their tag are skipped by who doesn't know them.
pub(super) const OPTIONAL: u8 = 0x80;

pub(super) const KIND_DIALLER_HELLO: u8 = 1;
pub(super) const KIND_ACCEPTOR_HELLO: u8 = 2;
pub(super) const KIND_DIALLER_PROOF: u8 = 3;
pub(super) const KIND_ACCEPTOR_PROOF: u8 = 4;
pub(super) const KIND_REFUSAL: u8 = 5;

/// One whole message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) versions: VersionRange,
    /// Header and body.
    pub(super) bytes: Bytes,
}

impl Message {
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[HEADER_LEN..]
    }
}

/// Cuts messages out of what arrives, up to a number of bytes in all.
#[derive(Debug)]
pub(super) struct Inbox {
    taken: usize,
    max: usize,
}

impl Inbox {
    pub(super) fn new(max: usize) -> Self {
        Self { taken: 0, max }
    }

    /// The next message, if it is there whole. What follows it stays in `input`.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Option<Message>, HandshakeError> {
        let seen = input.len().min(MAGIC.len());
        if input[..seen] != MAGIC[..seen] {
            return Err(HandshakeError::not_botzilla(input));
        }
        let Some(header) = input.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let (kind, min, max) = (header[8], u16_at(9), u16_at(11));
        let len = HEADER_LEN + usize::from(u16_at(13));
        // Before the message is there: its length is only a claim.
        if self.taken + len > self.max {
            return Err(HandshakeError::TooLong { max: self.max });
        }
        if input.len() < len {
            return Ok(None);
        }
        self.taken += len;
        let bytes = input.split_to(len).freeze();
        if min > max {
            return Err(HandshakeError::Malformed(
                "its version range is upside down",
            ));
        }
        Ok(Some(Message {
            kind,
            versions: VersionRange { min, max },
            bytes,
        }))
    }
}

/// Builds a message: the header now, its length at the end.
#[derive(Debug)]
pub(super) struct Builder(BytesMut);

impl Builder {
    pub(super) fn new(kind: u8, versions: VersionRange) -> Self {
        let mut bytes = BytesMut::with_capacity(512);
        bytes.put_slice(MAGIC);
        bytes.put_u8(kind);
        bytes.put_u16_le(versions.min);
        bytes.put_u16_le(versions.max);
        bytes.put_u16_le(0);
        Self(bytes)
    }

    pub(super) fn field(&mut self, tag: u8, value: &[u8]) -> &mut Self {
        self.0.put_u8(tag);
        let len =
            u16::try_from(value.len()).expect("every field is a list of at most 16 short items");
        self.0.put_u16_le(len);
        self.raw(value)
    }

    /// Bytes that are no field.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.put_slice(bytes);
        self
    }

    /// Writes the length of a body that will have `more` bytes than it has now.
    pub(super) fn set_length(&mut self, more: usize) -> &[u8] {
        let len =
            u16::try_from(self.0.len() - HEADER_LEN + more).expect("a message is at most 1 KiB");
        self.0[13..15].copy_from_slice(&len.to_le_bytes());
        &self.0
    }

    pub(super) fn finish(mut self) -> Bytes {
        self.set_length(0);
        self.0.freeze()
    }
}

/// Goes through the fields of a body.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    last: Option<u8>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            rest: body,
            last: None,
        }
    }

    /// The next field.
    pub(super) fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, HandshakeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let cut = HandshakeError::Malformed("a field is cut off");
        let Some(([tag, low, high], rest)) = self.rest.split_first_chunk::<3>() else {
            return Err(cut);
        };
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        if rest.len() < len {
            return Err(cut);
        }
        if self.last.is_some_and(|last| last >= *tag) {
            return Err(HandshakeError::Malformed("its fields are out of order"));
        }
        self.last = Some(*tag);
        let (value, rest) = rest.split_at(len);
        self.rest = rest;
        Ok(Some((*tag, value)))
    }

    /// What to do about a field that isn't known: nothing, or refuse.
    pub(super) fn unknown(tag: u8) -> Result<(), HandshakeError> {
        if tag & OPTIONAL == 0 {
            Err(HandshakeError::Field(tag))
        } else {
            Ok(())
        }
    }
}
