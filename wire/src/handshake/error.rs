//! Why a handshake ended without a connection, in sentences that a person can act on.

use std::fmt;

use thiserror::Error;

use super::{Mode, RefusalCode};
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

/// Why a handshake failed. After an error nothing more is read; what `poll_transmit` still yields
/// (a refusal) is worth writing before the socket is closed.
///
/// What the dialler knows only from a refusal reads the same as what it found out itself, but it
/// is unauthenticated: show it, back off, and do nothing else on its account.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The first bytes are not this protocol's.
    #[error(
        "the other side is not a botzilla node (it said {said:?}); check the address and the port"
    )]
    NotBotzilla {
        /// What it said, cut and with odd characters replaced.
        said: String,
    },
    /// The version ranges don't meet.
    #[error(
        "this node speaks protocol {ours}, the other side {theirs}; update the older of the two"
    )]
    Version {
        /// What this node speaks.
        ours: VersionRange,
        /// What the other side speaks.
        theirs: VersionRange,
    },
    /// No key id in common.
    #[error("no secret in common: {}; give both the same secret", KeyIds { offered, held })]
    NoCommonKey {
        /// The key ids that the dialler offered.
        offered: Vec<String>,
        /// Those that the acceptor has; none if this is the dialler, which isn't told.
        held: Vec<String>,
    },
    /// The same key id, but another secret.
    #[error(
        "wrong secret: the two sides have different ones under the key id `{key_id}`; give both the same"
    )]
    WrongSecret {
        /// The key id that both have.
        key_id: String,
    },
    /// Another node than the one that was meant.
    #[error(
        "not the node that was meant ({meant}): {}; it has restarted, or something else has its address now",
        Found(found)
    )]
    WrongNode {
        /// The node that was meant.
        meant: NodeId,
        /// The node that is there, if it said so.
        found: Option<NodeId>,
    },
    /// The address is this node's own.
    #[error("this node has dialled itself; check the address")]
    SelfDial,
    /// What was sent came back.
    #[error("what this node sent came back to it; something between the two sides mirrors it")]
    Reflected,
    /// A required feature that only one side has.
    #[error("feature {0} is required and only one side has it; update the older of the two")]
    Feature(u8),
    /// A required field that isn't known here.
    #[error(
        "field {0} of the handshake is required and not known to both; update the older of the two"
    )]
    Field(u8),
    /// No way of protecting records in common: one side requires encryption, the other takes none.
    #[error("{}", NoMode { ours, theirs })]
    NoCommonMode {
        /// What this side takes.
        ours: Vec<Mode>,
        /// What the other side takes, as far as it is known.
        theirs: Vec<Mode>,
    },
    /// No payload encoding in common.
    #[error("no payload encoding in common; update the older of the two")]
    NoCommonEncoding,
    /// A message makes no sense, or was damaged on its way.
    #[error("the other side's handshake makes no sense: {0}")]
    Malformed(&'static str),
    /// More bytes than a handshake has.
    #[error("the other side's handshake is longer than {max} bytes")]
    TooLong {
        /// The most that is taken.
        max: usize,
    },
    /// It wasn't done in time.
    #[error(
        "the handshake was not done within {seconds} s; the other side is too slow, or not a botzilla node"
    )]
    TooSlow {
        /// The time that it has.
        seconds: u64,
    },
    /// The acceptor's policy says no.
    #[error(
        "denied by policy: the other side's lets nobody connect so under the key id `{key_id}`; name it in an `[[allow]]` table there, or use another secret"
    )]
    Denied {
        /// The id of the secret that was used.
        key_id: String,
    },
    /// This side can't go on.
    #[error("this node can't shake hands: {0}")]
    Unable(&'static str),
    /// The acceptor refused for a reason of its own.
    #[error("the other side refused: {0}")]
    Refused(RefusalCode),
}

impl HandshakeError {
    pub(super) fn not_botzilla(said: &[u8]) -> Self {
        let said = said.iter().take(16).map(|b| {
            if matches!(b, b' '..=b'~') {
                char::from(*b)
            } else {
                '.'
            }
        });
        Self::NotBotzilla {
            said: said.collect(),
        }
    }

    /// What an acceptor that ended so tells the dialler, if anything.
    pub(super) fn refusal(&self) -> Option<RefusalCode> {
        Some(match self {
            // Whoever it is, it would not understand.
            Self::NotBotzilla { .. } => return None,
            Self::Version { .. } => RefusalCode::Version,
            Self::NoCommonKey { .. } => RefusalCode::NoCommonKey,
            Self::WrongSecret { .. } => RefusalCode::WrongProof,
            Self::WrongNode { .. } => RefusalCode::WrongNode,
            Self::Denied { .. } => RefusalCode::Denied,
            Self::SelfDial => RefusalCode::SelfDial,
            Self::Feature(bit) => RefusalCode::Feature(*bit),
            Self::Field(tag) => RefusalCode::Field(*tag),
            Self::NoCommonMode { ours, .. } => RefusalCode::NoCommonMode(match ours[..] {
                [only] => only.number(),
                _ => 0,
            }),
            Self::NoCommonEncoding => RefusalCode::NoCommonEncoding,
            Self::TooSlow { .. } => RefusalCode::TooSlow,
            Self::Reflected | Self::Malformed(_) | Self::TooLong { .. } => RefusalCode::Malformed,
            Self::Unable(_) => RefusalCode::Busy,
            Self::Refused(code) => *code,
        })
    }
}

struct KeyIds<'a> {
    offered: &'a [String],
    held: &'a [String],
}

impl fmt::Display for KeyIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &[String]| {
            if ids.is_empty() {
                "none".to_owned()
            } else {
                format!("`{}`", ids.join("`, `"))
            }
        };
        if self.held.is_empty() {
            write!(
                f,
                "the other side has no key id out of {}",
                list(self.offered)
            )
        } else {
            write!(
                f,
                "the other side has the key ids {}, this node {}",
                list(self.offered),
                list(self.held)
            )
        }
    }
}

struct Found<'a>(&'a Option<NodeId>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(node) => write!(f, "{node} is there"),
            None => f.write_str("another one is there"),
        }
    }
}

struct NoMode<'a> {
    ours: &'a [Mode],
    theirs: &'a [Mode],
}

impl fmt::Display for NoMode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.ours, self.theirs) {
            ([Mode::Noise], _) => {
                "this node requires encryption (its own `security = \"noise\"`, or its registry's), and the other \
                 side doesn't take it; there, remove `security = \"hmac\"` (BOTZILLA_SECURITY) or set it to \"noise\", \
                 and update it if it is older"
            }
            ([Mode::Mac], [Mode::Noise]) => {
                "the other side requires encryption, and this node has `security = \"hmac\"` (BOTZILLA_SECURITY); \
                 remove that or set it to \"noise\""
            }
            _ => "no way of protecting records in common; give both sides the same `security`, or update the older of the two",
        })
    }
}
