//! Integers, names and optional fields in headers: the only place that does offset arithmetic.
//!
//! Header integers are bincode's varints (little endian): one byte below 251, else 251 and two
//! bytes, 252 and four, 253 and eight. They are written out here, for they are on the path of
//! each message; a test holds them to bincode's own. A longer form than needed is refused, so each
//! value has one form.

use crate::ident::Name;

const U16: u8 = 251;
const U32: u8 = 252;
const U64: u8 = 253;

/// The most bytes that a varint takes.
pub(crate) const VARINT_MAX: usize = 9;

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    if value < u64::from(U16) {
        out.push(value as u8);
    } else if let Ok(value) = u16::try_from(value) {
        let [a, b] = value.to_le_bytes();
        out.extend_from_slice(&[U16, a, b]);
    } else if let Ok(value) = u32::try_from(value) {
        let [a, b, c, d] = value.to_le_bytes();
        out.extend_from_slice(&[U32, a, b, c, d]);
    } else {
        out.push(U64);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// How many bytes [`put_varint`] appends.
pub fn varint_len(value: u64) -> usize {
    match value {
        0..251 => 1,
        251..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

/// Appends a length and that many bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Why a field can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldError {
    /// What is wrong.
    Why(&'static str),
    /// A field of that number isn't known and may not be skipped.
    Unknown(u64),
}

impl From<&'static str> for FieldError {
    fn from(why: &'static str) -> Self {
        Self::Why(why)
    }
}

/// Reads a header from its front.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What isn't read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, &'static str> {
        let (&first, rest) = self.bytes.split_first().ok_or("it is cut short")?;
        self.bytes = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (array, rest) = self
            .bytes
            .split_first_chunk::<N>()
            .ok_or("it is cut short")?;
        self.bytes = rest;
        Ok(*array)
    }

    /// A varint in its shortest form.
    pub fn varint(&mut self) -> Result<u64, &'static str> {
        let first = self.u8()?;
        let (value, least) = match first {
            0..U16 => return Ok(u64::from(first)),
            U16 => (u64::from(u16::from_le_bytes(self.array()?)), u64::from(U16)),
            U32 => (u64::from(u32::from_le_bytes(self.array()?)), 1 << 16),
            U64 => (u64::from_le_bytes(self.array()?), 1 << 32),
            _ => return Err("254 and 255 begin no integer"),
        };
        if value < least {
            Err("an integer isn't in its shortest form")
        } else {
            Ok(value)
        }
    }

    /// A varint of at most 32 bits.
    pub fn u32(&mut self) -> Result<u32, &'static str> {
        u32::try_from(self.varint()?).map_err(|_| "an integer is out of range")
    }

    /// A varint of at most 16 bits.
    pub fn u16(&mut self) -> Result<u16, &'static str> {
        u16::try_from(self.varint()?).map_err(|_| "an integer is out of range")
    }

    /// A length and that many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let len = usize::try_from(self.varint()?).map_err(|_| "it is cut short")?;
        let (bytes, rest) = self.bytes.split_at_checked(len).ok_or("it is cut short")?;
        self.bytes = rest;
        Ok(bytes)
    }

    /// A length and a name.
    pub fn name(&mut self) -> Result<Name, &'static str> {
        name(self.bytes()?)
    }

    /// The next optional field; `last` is the tag of the one before.
    pub fn field(
        &mut self,
        last: &mut Option<u64>,
    ) -> Result<Option<(u64, &'a [u8])>, &'static str> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        if last.is_some_and(|last| tag <= last) {
            return Err("its optional fields aren't in ascending order");
        }
        *last = Some(tag);
        Ok(Some((tag, self.bytes()?)))
    }

    /// Skips all optional fields that are left, but for required ones.
    pub fn skip_fields(&mut self) -> Result<(), FieldError> {
        let mut last = None;
        while let Some((tag, _)) = self.field(&mut last)? {
            unknown(tag)?;
        }
        Ok(())
    }
}

/// A name from its bytes.
pub(crate) fn name(bytes: &[u8]) -> Result<Name, &'static str> {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| Name::new(text).ok())
        .ok_or("a name isn't 1 to 255 bytes of A-Z a-z 0-9 _ . / -")
}

/// An even tag that isn't known is skipped; an odd one is required.
pub(crate) fn unknown(tag: u64) -> Result<(), FieldError> {
    if tag % 2 == 1 {
        Err(FieldError::Unknown(tag))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encoding::{Encoding, encode};

    fn check(value: u64) {
        let mut ours = Vec::new();
        put_varint(&mut ours, value);
        let mut theirs = Vec::new();
        encode(Encoding::Bincode, &value, &mut theirs).unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), varint_len(value));
        let mut reader = Reader::new(&ours);
        assert_eq!(reader.varint(), Ok(value));
        assert!(reader.is_empty());
        for cut in 0..ours.len() {
            assert!(Reader::new(&ours[..cut]).varint().is_err());
        }
    }

    #[test]
    fn integers_are_bincodes_at_every_boundary() {
        for edge in [
            0,
            250,
            251,
            0xffff,
            0x1_0000,
            0xffff_ffff,
            0x1_0000_0000,
            u64::MAX,
        ] {
            for value in edge.saturating_sub(2)..=edge.saturating_add(2) {
                check(value);
            }
        }
    }

    #[test]
    fn a_longer_form_than_needed_is_refused() {
        for bytes in [
            &[251, 250, 0][..],
            &[252, 255, 255, 0, 0],
            &[253, 255, 255, 255, 255, 0, 0, 0, 0],
        ] {
            assert_eq!(
                Reader::new(bytes).varint(),
                Err("an integer isn't in its shortest form")
            );
        }
        assert!(Reader::new(&[254, 0, 0]).varint().is_err());
        assert!(Reader::new(&[255, 0, 0]).varint().is_err());
    }

    #[test]
    fn optional_fields_ascend_and_odd_ones_are_required() {
        let mut reader = Reader::new(&[2, 1, 9, 4, 0]);
        let mut last = None;
        assert_eq!(reader.field(&mut last), Ok(Some((2, &[9][..]))));
        assert_eq!(reader.field(&mut last), Ok(Some((4, &[][..]))));
        assert_eq!(reader.field(&mut last), Ok(None));
        assert_eq!(Reader::new(&[2, 0, 4, 1, 1]).skip_fields(), Ok(()));
        assert_eq!(
            Reader::new(&[2, 0, 7, 1, 1]).skip_fields(),
            Err(FieldError::Unknown(7))
        );
        assert!(matches!(
            Reader::new(&[4, 0, 2, 0]).skip_fields(),
            Err(FieldError::Why(_))
        ));
        assert!(matches!(
            Reader::new(&[4, 0, 4, 0]).skip_fields(),
            Err(FieldError::Why(_))
        ));
        assert!(matches!(
            Reader::new(&[4, 9, 0]).skip_fields(),
            Err(FieldError::Why(_))
        ));
    }

    proptest! {
        #[test]
        fn any_integer_is_bincodes(value: u64, shift in 0_u32..64) {
            check(value >> shift);
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Reader::new(&bytes).varint();
            let _ = Reader::new(&bytes).bytes();
            let _ = Reader::new(&bytes).name();
            let _ = Reader::new(&bytes).skip_fields();
        }
    }
}
