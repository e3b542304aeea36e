//! bincode's own numbers under a `Deserializer` that bounds what they claim.
//!
//! bincode's stock deserializer recurses as deep as the bytes say, reserves what a length says
//! and runs through 2^60 elements of size zero. This one reads the same format, scalar by scalar
//! with bincode's `Decode`, and counts: levels left, elements left, memory left. Scalars are not
//! counted, so small messages pay nothing for it.

use std::mem::size_of;

use bincode::{
    Decode,
    config::{self, Configuration},
    de::{
        Decoder as _, DecoderImpl,
        read::{BorrowReader, Reader},
    },
    error::DecodeError,
};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::limits::Limits;

/// Elements that all sequences of a payload may have beyond its bytes: room for some of size zero.
const SPARE_ELEMENTS: usize = 1024;

/// Elements of at most so many bytes are not charged for: that there are no more of them than bytes
/// is bound enough.
const SMALL: usize = 4;

type Decoder<'de> = DecoderImpl<Input<'de>, Configuration, ()>;

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], limits: &Limits) -> Result<T, String> {
    let input = Input {
        rest: bytes,
        // Every element with a size has a first byte that is no other element's, and lengths have
        // bytes of their own; so together they can't be more than the bytes.
        elements: bytes.len().saturating_add(SPARE_ELEMENTS),
        memory: limits.decoded,
    };
    let mut decoder = DecoderImpl::new(input, config::standard(), ());
    let bounded = Bounded {
        decoder: &mut decoder,
        levels: limits.nesting,
    };
    let value = T::deserialize(bounded).map_err(|error| describe(&error))?;
    match decoder.reader().rest.len() {
        0 => Ok(value),
        more => Err(format!("{more} bytes are left over after the value")),
    }
}

/// The bytes that are left, and what they may still claim.
struct Input<'de> {
    rest: &'de [u8],
    elements: usize,
    memory: usize,
}

impl Reader for Input<'_> {
    #[inline]
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        bytes.copy_from_slice(self.take_bytes(bytes.len())?);
        Ok(())
    }

    #[inline]
    fn peek_read(&mut self, len: usize) -> Option<&[u8]> {
        self.rest.get(..len)
    }

    #[inline]
    fn consume(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }
}

impl<'de> BorrowReader<'de> for Input<'de> {
    #[inline]
    fn take_bytes(&mut self, len: usize) -> Result<&'de [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(DecodeError::UnexpectedEnd {
                additional: len - self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(taken)
    }
}

struct Bounded<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    levels: usize,
}

impl<'de> Bounded<'_, 'de> {
    #[inline]
    fn scalar<T: Decode<()>>(self) -> Result<T, DecodeError> {
        T::decode(self.decoder)
    }

    #[inline]
    fn deeper(&mut self) -> Result<(), DecodeError> {
        match self.levels.checked_sub(1) {
            Some(levels) => self.levels = levels,
            None => return Err(DecodeError::Other("it nests too deep")),
        }
        Ok(())
    }

    /// The bytes of a string or byte string, still in the input.
    #[inline]
    fn slice(&mut self) -> Result<&'de [u8], DecodeError> {
        let len = u64::decode(self.decoder)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.decoder.reader().take_bytes(len)
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, DecodeError> {
        let bytes = self.slice()?;
        std::str::from_utf8(bytes).map_err(|inner| DecodeError::Utf8 { inner })
    }

    /// The length of a sequence or map, once it is known to be possible.
    #[inline]
    fn claim(&mut self) -> Result<usize, DecodeError> {
        let len = u64::decode(self.decoder)?;
        let input = self.decoder.reader();
        let most = input.elements.min(input.rest.len() + SPARE_ELEMENTS);
        match usize::try_from(len) {
            Ok(len) if len <= most => {
                input.elements -= len;
                Ok(len)
            }
            _ => Err(DecodeError::OtherString(format!(
                "a sequence claims {len} elements, with {} bytes left",
                input.rest.len()
            ))),
        }
    }
}

macro_rules! scalars {
    ($($method:ident $visit:ident),* $(,)?) => {
        $(#[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.$visit(self.scalar()?)
        })*
    };
}

impl<'de> Deserializer<'de> for Bounded<'_, 'de> {
    type Error = DecodeError;

    scalars! {
        deserialize_bool visit_bool, deserialize_char visit_char,
        deserialize_u8 visit_u8, deserialize_u16 visit_u16, deserialize_u32 visit_u32,
        deserialize_u64 visit_u64, deserialize_u128 visit_u128,
        deserialize_i8 visit_i8, deserialize_i16 visit_i16, deserialize_i32 visit_i32,
        deserialize_i64 visit_i64, deserialize_i128 visit_i128,
        deserialize_f32 visit_f32, deserialize_f64 visit_f64,
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
        Err(DecodeError::Other(
            "the type asks what comes next, which bincode doesn't say; send it as JSON",
        ))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_any(visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_string(self.text()?.to_owned())
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_bytes(self.slice()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(
        mut self,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_byte_buf(self.slice()?.to_owned())
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        match u8::decode(self.decoder)? {
            0 => visitor.visit_none(),
            1 => {
                self.deeper()?;
                visitor.visit_some(self)
            }
            other => Err(DecodeError::custom(format_args!(
                "an option begins with 0 or 1, not {other}"
            ))),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deeper()?;
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deeper()?;
        let left = self.claim()?;
        visitor.visit_seq(Elements::<true> { inner: self, left })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        mut self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deeper()?;
        visitor.visit_seq(Elements::<false> {
            inner: self,
            left: len,
        })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deeper()?;
        let left = self.claim()?;
        visitor.visit_map(Elements::<true> { inner: self, left })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deeper()?;
        visitor.visit_enum(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// What is left of a sequence, map or tuple. The length of a sequence is the peer's word, so its
/// elements are charged for their memory as they come; a tuple is part of what it is in.
struct Elements<'a, 'de, const CHARGED: bool> {
    inner: Bounded<'a, 'de>,
    left: usize,
}

impl<'de, const CHARGED: bool> Elements<'_, 'de, CHARGED> {
    #[inline]
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        if CHARGED && size_of::<S::Value>() > SMALL {
            let input = self.inner.decoder.reader();
            match input.memory.checked_sub(size_of::<S::Value>()) {
                Some(memory) => input.memory = memory,
                None => {
                    return Err(DecodeError::Other(
                        "its elements would take too much memory",
                    ));
                }
            }
        }
        seed.deserialize(Bounded {
            decoder: self.inner.decoder,
            levels: self.inner.levels,
        })
    }
}

impl<'de, const CHARGED: bool> SeqAccess<'de> for Elements<'_, 'de, CHARGED> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        self.next(seed).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de, const CHARGED: bool> MapAccess<'de> for Elements<'_, 'de, CHARGED> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        self.next_element_seed(seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        self.next(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> EnumAccess<'de> for Bounded<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), DecodeError> {
        let index = u32::decode(self.decoder)?;
        let value = seed.deserialize(IntoDeserializer::<DecodeError>::into_deserializer(index))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Bounded<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        // The enum has been counted as a level already.
        visitor.visit_seq(Elements::<false> {
            inner: self,
            left: len,
        })
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.tuple_variant(fields.len(), visitor)
    }
}

fn describe(error: &DecodeError) -> String {
    match error {
        DecodeError::Other(text) => (*text).to_owned(),
        DecodeError::OtherString(text) => text.clone(),
        DecodeError::UnexpectedEnd { additional } => {
            format!("it ends too early: at least {additional} more bytes are due")
        }
        DecodeError::Utf8 { .. } => "a text in it is not UTF-8".to_owned(),
        DecodeError::InvalidBooleanValue(byte) => format!("a bool is 0 or 1, not {byte}"),
        DecodeError::InvalidCharEncoding(_) => "a char in it is no Unicode character".to_owned(),
        DecodeError::InvalidIntegerType { .. } => {
            "an integer in it is too large for its type".to_owned()
        }
        other => format!("it is no such value: {other:?}"),
    }
}
