//! How payloads become bytes and values again. The one module that names `bincode`.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

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
    let result = match encoding {
        Encoding::Bincode => {
            bincode::serde::encode_into_std_write(value, out, bincode::config::standard())
                .map_err(|e| e.to_string())
        }
        Encoding::Json => serde_json::to_writer(out, value)
            .map(|()| 0)
            .map_err(|e| e.to_string()),
    };
    result.map(|_| ()).map_err(|reason| EncodeError { reason })
}

/// Reads a value that takes up all of `bytes`.
///
/// # Errors
///
/// If the bytes are no such value, nest too deep, claim more than is there, or go on after it.
pub fn decode<T: DeserializeOwned>(
    encoding: Encoding,
    bytes: &[u8],
    limits: &Limits,
) -> Result<T, DecodeError> {
    let _ = limits;
    let result = match encoding {
        Encoding::Bincode => bincode::serde::decode_from_slice(bytes, bincode::config::standard())
            .map(|(value, _)| value)
            .map_err(|e| e.to_string()),
        Encoding::Json => serde_json::from_slice(bytes).map_err(|e| e.to_string()),
    };
    result.map_err(|reason| DecodeError { reason })
}
