//! Bytes as text: base64 (RFC 4648, section 4), written with padding, read with or without.

use std::fmt;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::{Error, SeqAccess, Visitor};

pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn of(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

pub(crate) fn read(text: &str) -> Result<Vec<u8>, String> {
    BASE64
        .decode(text)
        .map_err(|error| format!("its bytes are not base64: {error}"))
}

/// A byte string: base64 in a string, or a list of numbers.
pub(crate) struct FromText<V>(pub(crate) V);

impl<'de, V: Visitor<'de>> Visitor<'de> for FromText<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, base64: &str) -> Result<V::Value, E> {
        self.0.visit_byte_buf(read(base64).map_err(E::custom)?)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, numbers: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(numbers)
    }
}
