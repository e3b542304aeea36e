//! Bytes that are one value, not a list: images, point clouds.

use std::{borrow::Cow, cell::Cell, fmt, ops::Deref};

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    de::{Deserialize, Deserializer, Error, SeqAccess, Visitor},
    ser::{Serialize, Serializer},
};

use crate::text;

/// From this size on, bytes are always a slice of what they were decoded from.
const SLICE_FROM: usize = 64 * 1024;

/// Smaller ones are if they are at least this part of it: else a few bytes that are kept would keep
/// all of it.
const SLICE_PART: usize = 16;

/// A byte string: what images and point clouds are made of.
///
/// It is encoded by one copy, however long it is, where a `Vec<u8>` is walked byte by byte; and when
/// it arrives in a stream's item, it is decoded without any: it is a part of the memory that the
/// item arrived in. (A small part of a large item is copied, as it would keep all of it.) Cloning
/// shares the memory. In JSON it is a string, in base64.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Blob(Bytes);

impl Blob {
    /// The same bytes, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The same bytes in memory of their own, so that whatever they arrived in is free to go.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<Blob> for Bytes {
    fn from(blob: Blob) -> Self {
        blob.0
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A log has no use for six million numbers.
        if self.len() <= 16 {
            write!(f, "Blob({:?})", &self[..])
        } else {
            write!(f, "Blob({} bytes)", self.len())
        }
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&text::of(self))
        } else {
            serializer.serialize_bytes(self)
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Bytewise)
        } else {
            deserializer.deserialize_bytes(Bytewise)
        }
    }
}

impl JsonSchema for Blob {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Blob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64" })
    }
}

struct Bytewise;

impl<'de> Visitor<'de> for Bytewise {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string; in JSON base64 in a string")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Blob, E> {
        Ok(Blob(
            share(bytes).unwrap_or_else(|| Bytes::copy_from_slice(bytes)),
        ))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(bytes.into())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
        Ok(bytes.into())
    }

    fn visit_str<E: Error>(self, base64: &str) -> Result<Blob, E> {
        text::read(base64).map(Blob::from).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Blob, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes.into())
    }
}

thread_local! {
    /// What is being decoded on this thread, for byte strings to be slices of.
    static SOURCE: Cell<Option<Bytes>> = const { Cell::new(None) };
}

/// Puts back what was being decoded before, if one decoding ran inside of another.
struct Restore(Option<Bytes>);

impl Drop for Restore {
    fn drop(&mut self) {
        SOURCE.set(self.0.take());
    }
}

/// Decodes with byte strings that are slices of the source.
pub(super) fn sharing<R>(source: &Bytes, decode: impl FnOnce() -> R) -> R {
    let _restore = Restore(SOURCE.replace(Some(source.clone())));
    decode()
}

/// The same bytes as a slice of what is being decoded, if they are in there and worth it.
fn share(bytes: &[u8]) -> Option<Bytes> {
    let source = SOURCE.take()?;
    // Both are alive, so addresses within the source are the source's own bytes.
    let all = source.as_ptr_range();
    let part = bytes.as_ptr_range();
    let is_inside = all.start <= part.start && part.end <= all.end;
    let is_worth_it =
        bytes.len() >= SLICE_FROM || bytes.len().saturating_mul(SLICE_PART) >= source.len();
    let shared = (is_inside && is_worth_it).then(|| source.slice_ref(bytes));
    SOURCE.set(Some(source));
    shared
}
