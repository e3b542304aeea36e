//! Identifiers that travel: checked once at the door, plain values inside.

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr, sync::Arc};

use thiserror::Error;

/// The protocol's version that this crate speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// The longest [`Name`], in bytes.
pub const NAME_MAX: usize = 255;

/// The name of a component or a group: 1 to 255 bytes of `[A-Za-z0-9_./-]`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is nothing.
    #[error("a name is empty; give it 1 to 255 characters of A-Z a-z 0-9 _ . / -")]
    Empty,
    /// It has more than 255 bytes.
    #[error("a name of {len} bytes is too long; the longest has 255")]
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
    /// A character that names don't have.
    #[error("the name {name:?} has {found:?} in it; names are made of A-Z a-z 0-9 _ . / -")]
    BadCharacter {
        /// The text that was given.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
}

impl Name {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    ///
    /// If it is empty, longer than 255 bytes or has a character outside of `[A-Za-z0-9_./-]`.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong { len: text.len() });
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
        match text.chars().find(|c| !allowed(c)) {
            Some(found) => Err(NameError::BadCharacter {
                name: text.to_owned(),
                found,
            }),
            None => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;
    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

/// 128 random bits that name one start of a node's process. Compared for equality; the order only
/// settles which of two crossed dials is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub [u8; 16]);

/// Names one connection: the first 16 bytes of the hash of all four handshake messages, so both
/// ends know it without saying it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub [u8; 16]);

/// Why a text is not a [`NodeId`] or a [`ConnectionId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an id is 32 hexadecimal digits")]
pub struct IdError;

macro_rules! hex_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", u128::from_be_bytes(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                // `from_str_radix` would take a sign.
                if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(IdError);
                }
                let value = u128::from_str_radix(text, 16).map_err(|_| IdError)?;
                Ok(Self(value.to_be_bytes()))
            }
        }
    };
}
hex_id!(NodeId);
hex_id!(ConnectionId);

/// What a connection is for. Each lane is a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Lane {
    /// Asks, tells, broadcasts and replies.
    Control = 0,
    /// Stream items.
    Bulk = 1,
}

impl Lane {
    /// Its number in the hello.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The lane of this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Control),
            1 => Some(Self::Bulk),
            _ => None,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Control => "control",
            Self::Bulk => "bulk",
        })
    }
}

/// A set of protocol features, by bit.
///
/// Bits 0 to 31 are optional: who doesn't know one ignores it. Bits 32 to 63 are required: who
/// doesn't know one refuses the connection and names its number. Version 1 defines none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(pub u64);

impl Features {
    /// No feature.
    pub const NONE: Self = Self(0);
    const REQUIRED: u64 = 0xffff_ffff_0000_0000;

    /// What both sets have.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The lowest required bit of `self` that `known` doesn't have.
    pub const fn first_unknown_required(self, known: Self) -> Option<u8> {
        let missing = self.0 & Self::REQUIRED & !known.0;
        // A u64 has at most 64 trailing zeros.
        if missing == 0 {
            None
        } else {
            Some(missing.trailing_zeros() as u8)
        }
    }

    /// Whether every bit of `other` is in `self`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({:#018x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_takes_what_the_design_allows_and_nothing_else() {
        for good in ["a", "drive", "arm/left.2_x-y", &"n".repeat(255)] {
            assert_eq!(Name::new(good).unwrap(), *good);
        }
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(
            Name::new(&"n".repeat(256)),
            Err(NameError::TooLong { len: 256 })
        );
        for bad in ["two words", "ümlaut", "a\n", "a:b", "\0"] {
            assert!(
                matches!(Name::new(bad), Err(NameError::BadCharacter { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_node_id_reads_back_what_it_prints() {
        let id = NodeId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "00",
            "+00102030405060708090a0b0c0d0eff",
            &"g".repeat(32),
        ] {
            assert_eq!(bad.parse::<NodeId>(), Err(IdError), "{bad}");
        }
    }

    #[test]
    fn an_unknown_required_feature_is_named_and_an_optional_one_is_not() {
        let known = Features(1 << 33);
        assert_eq!(Features(0xffff_ffff).first_unknown_required(known), None);
        assert_eq!(Features(1 << 33).first_unknown_required(known), None);
        assert_eq!(
            Features(1 << 63 | 1 << 40).first_unknown_required(known),
            Some(40)
        );
    }
}
