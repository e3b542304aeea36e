//! The fixed set of things that an acceptor says instead of its next message.

use std::fmt;

use bytes::Bytes;

use super::{
    HandshakeError, VersionRange,
    message::{Builder, KIND_REFUSAL},
};

/// Why an acceptor refuses. Said before anything is proven, so it is a hint: the one that hears it
/// may show it and back off, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The version ranges don't meet.
    Version,
    /// The acceptor has none of the key ids.
    NoCommonKey,
    /// The dialler's proof is wrong: it has another secret under that key id.
    WrongProof,
    /// The dialler meant another node.
    WrongNode,
    /// The dialler is the acceptor itself.
    SelfDial,
    /// A required feature that only one side has, by its bit.
    Feature(u8),
    /// A required field that the acceptor doesn't know, by its tag.
    Field(u8),
    /// No way of protecting records in common; the number of the mode that the acceptor requires, or
    /// 0 if it isn't one alone.
    NoCommonMode(u8),
    /// No payload encoding in common.
    NoCommonEncoding,
    /// A message makes no sense.
    Malformed,
    /// The handshake took too long.
    TooSlow,
    /// Both dialled, and the other connection is kept.
    Crossed,
    /// The acceptor has too many connections.
    Busy,
    /// The acceptor is shutting down.
    Stopping,
    /// The acceptor's policy says no.
    Denied,
    /// A code of a later version.
    Unknown(u8),
}

impl RefusalCode {
    /// Its number on the wire, and the number that goes with it.
    fn numbers(self) -> (u8, u8) {
        match self {
            Self::Version => (1, 0),
            Self::NoCommonKey => (2, 0),
            Self::WrongProof => (3, 0),
            Self::WrongNode => (4, 0),
            Self::SelfDial => (5, 0),
            Self::Feature(bit) => (6, bit),
            Self::Field(tag) => (7, tag),
            Self::NoCommonMode(required) => (8, required),
            Self::NoCommonEncoding => (9, 0),
            Self::Malformed => (10, 0),
            Self::TooSlow => (11, 0),
            Self::Crossed => (12, 0),
            Self::Busy => (13, 0),
            Self::Stopping => (14, 0),
            Self::Denied => (15, 0),
            Self::Unknown(code) => (code, 0),
        }
    }

    fn from_numbers(code: u8, number: u8) -> Self {
        match code {
            1 => Self::Version,
            2 => Self::NoCommonKey,
            3 => Self::WrongProof,
            4 => Self::WrongNode,
            5 => Self::SelfDial,
            6 => Self::Feature(number),
            7 => Self::Field(number),
            8 => Self::NoCommonMode(number),
            9 => Self::NoCommonEncoding,
            10 => Self::Malformed,
            11 => Self::TooSlow,
            12 => Self::Crossed,
            13 => Self::Busy,
            14 => Self::Stopping,
            15 => Self::Denied,
            code => Self::Unknown(code),
        }
    }

    /// The refusal message; its header has all versions of the refuser, whatever was chosen.
    pub(super) fn encode(self, versions: VersionRange) -> Bytes {
        let (code, number) = self.numbers();
        let mut out = Builder::new(KIND_REFUSAL, versions);
        out.raw(&[code, number]);
        out.finish()
    }

    /// Reads a refusal's body. What a later version may have put behind the two bytes is ignored.
    pub(super) fn parse(body: &[u8]) -> Result<Self, HandshakeError> {
        match body {
            [code, number, ..] => Ok(Self::from_numbers(*code, *number)),
            _ => Err(HandshakeError::Malformed("its refusal is cut off")),
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "no protocol version in common",
            Self::NoCommonKey => "it has none of our secrets' key ids",
            Self::WrongProof => "it has another secret",
            Self::WrongNode => "it is not the node that was meant",
            Self::SelfDial => "it is this node itself",
            Self::Feature(bit) => {
                return write!(f, "feature {bit} is required and only one side has it");
            }
            Self::Field(tag) => return write!(f, "it does not know the required field {tag}"),
            Self::NoCommonMode(_) => "no way of protecting records in common",
            Self::NoCommonEncoding => "no payload encoding in common",
            Self::Malformed => "it could not make sense of our message",
            Self::TooSlow => "the handshake took too long",
            Self::Crossed => "both sides dialled, and the other connection is kept",
            Self::Busy => "it has too many connections; try again later",
            Self::Stopping => "it is shutting down",
            Self::Denied => "its policy does not allow this connection",
            Self::Unknown(code) => {
                return write!(f, "for a reason that is newer than this version ({code})");
            }
        })
    }
}
