//! How payloads become bytes and values again. The one module that names `bincode`.
//!
//! Decoding is bounded in what hostile bytes can do to it: nesting (the stack), elements claimed
//! by sequences and maps (time, memory), and nothing may be left over. A payload that claims more
//! than it brings is refused where it claims it.

mod blob;
mod bounded;
mod guarded;
mod path;
mod strict;

use bincode::enc::write::Writer;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use self::blob::Blob;
use crate::limits::Limits;

/// How a payload is encoded, as numbered on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Encoding {
    /// bincode 2, `config::standard()`: little endian, varints.
    Bincode = 1,
    /// JSON, UTF-8.
    Json = 2,
}

impl Encoding {
    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The encoding of this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Bincode),
            2 => Some(Self::Json),
            _ => None,
        }
    }
}

/// Why a value can't be encoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct EncodeError {
    reason: String,
}

/// Why bytes are not the value that they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct DecodeError {
    reason: String,
}

/// Appends `value` to `out`. When it fails, `out` is as it was.
///
/// # Errors
///
/// If the type can't be encoded so, or JSON can't carry a number in it (NaN, an infinity).
pub fn encode<T: Serialize + ?Sized>(
    encoding: Encoding,
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let before = out.len();
    let result = match encoding {
        Encoding::Bincode => {
            bincode::serde::encode_into_writer(value, Appender(out), bincode::config::standard())
                .map_err(|error| describe_encode(&error))
        }
        Encoding::Json => strict::encode(value, out),
    };
    result.map_err(|reason| {
        out.truncate(before);
        EncodeError { reason }
    })
}

/// Reads a value that takes up all of `bytes`.
///
/// # Errors
///
/// If the bytes are no such value, nest deeper than `limits.nesting`, claim more elements than
/// there are bytes, would take more memory than `limits.decoded`, or go on after the value. In
/// JSON also if they have a field that the type doesn't have.
pub fn decode<T: DeserializeOwned>(
    encoding: Encoding,
    bytes: &[u8],
    limits: &Limits,
) -> Result<T, DecodeError> {
    match encoding {
        Encoding::Bincode => bounded::decode(bytes, limits),
        Encoding::Json => guarded::decode(bytes, limits),
    }
    .map_err(|reason| DecodeError { reason })
}

/// The same, of bytes that are shared: a [`Blob`] in the value is a part of them, not a copy.
///
/// # Errors
///
/// As for [`decode`].
pub fn decode_shared<T: DeserializeOwned>(
    encoding: Encoding,
    bytes: &Bytes,
    limits: &Limits,
) -> Result<T, DecodeError> {
    blob::sharing(bytes, || decode(encoding, bytes, limits))
}

/// What is reserved behind a large byte string, so that the fields after it don't make a vector move
/// that was made just long enough for it.
const SLACK: usize = 4096;

/// Appends to a vector without `std::io`'s detour.
struct Appender<'a>(&'a mut Vec<u8>);

impl Writer for Appender<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        if bytes.len() > SLACK {
            self.0.reserve(bytes.len() + SLACK);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn describe_encode(error: &bincode::error::EncodeError) -> String {
    use bincode::error::EncodeError as E;
    match error {
        E::Other(text) => (*text).to_owned(),
        E::OtherString(text) => text.clone(),
        E::Serde(bincode::serde::EncodeError::SequenceMustHaveLength) => {
            "bincode can't carry a sequence or map that doesn't know its length before it is written".to_owned()
        }
        other => format!("bincode can't carry it: {other:?}"),
    }
}
