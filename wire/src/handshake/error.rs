//! Why a handshake ended without a connection, in sentences that a person can act on.

use std::fmt;

use thiserror::Error;

use crate::ident::NodeId;

/// The protocol versions that a side speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

impl VersionRange {
    /// The newest version that is in both.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "version {}", self.min)
        } else {
            write!(f, "versions {} to {}", self.min, self.max)
        }
    }
}

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
    /// A required feature that the acceptor doesn't know, by its bit, or one that it demands.
    Feature(u8),
    /// A required field of the hello that the acceptor doesn't know, by its tag.
    Field(u8),
    /// No mode of protecting records in common.
    NoCommonMode,
    /// No payload encoding in common.
    NoCommonEncoding,
    /// The hello makes no sense.
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

/// Why a handshake failed. After an error nothing more is read; what `poll_transmit` still yields
/// (a refusal) is worth writing before the socket is closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The other side refused.
    #[error("refused: {0:?}")]
    Refused(RefusalCode),
    /// Another node is at the address.
    #[error("node {found} is at this address, not {meant}")]
    WrongNode {
        /// The node that was dialled.
        meant: NodeId,
        /// The node that answered.
        found: NodeId,
    },
}
