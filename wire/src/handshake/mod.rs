//! Four messages that prove to each side that the other holds the secret, and agree on the rest.
//!
//! ```text
//! dialler                                             acceptor
//!    | 1 hello: versions, nonce, node, key ids, .. ------> |
//!    | <-------- 2 hello: nonce, node, its choices, ..     |
//!    | 3 proof: HMAC(dialler's key, hash of 1..3) -------> |  verified: `Proven`
//!    |                                                     |  the owner decides: accept or refuse
//!    | <-------- 4 proof: HMAC(acceptor's key, hash 1..4)  |
//!    | verified: `Established`                             |  `Established`
//! ```
//!
//! [`Dialler`] and [`Acceptor`] take bytes and `now`, and give bytes. Everything that they need
//! to know of this node is in [`Local`]. Neither reads a clock, a socket or a random number, but for
//! the ephemeral keys of noise mode, which snow draws itself.
//!
//! In noise mode 3 and 4 are the two messages of Noise_NNpsk0 instead, with the hellos as its prologue
//! and a key made of the secret as its psk: who reads or writes them right has proven itself.
//!
//! What the acceptor says before the dialler has proven itself is no MAC and no secret: its hello,
//! or one of a fixed set of [`RefusalCode`]s, which the dialler takes as a hint.

mod acceptor;
mod dialler;
mod error;
mod hello;
mod message;
mod proof;
mod refusal;

use std::time::Instant;

pub use self::{
    acceptor::Acceptor,
    dialler::Dialler,
    error::{HandshakeError, VersionRange},
    refusal::RefusalCode,
};
pub use crate::noise::Cipher;
use crate::{
    encoding::Encoding,
    ident::{ConnectionId, Features, Lane, NodeId, PROTOCOL_VERSION},
    keys::Keys,
    limits::Limits,
    noise::REKEY_AFTER,
    secret::Secret,
};

/// How records are protected, as numbered in the hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Mode {
    /// Records are readable and carry an HMAC-SHA256.
    Mac = 1,
    /// Records are encrypted, under keys that nobody can compute later, not even with the secret:
    /// Noise_NNpsk0.
    Noise = 2,
}

impl Mode {
    /// Its number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The mode of a number, if it is known here.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Mac),
            2 => Some(Self::Noise),
            _ => None,
        }
    }
}

/// What a node says about itself in every handshake.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Local {
    /// This node.
    pub node: NodeId,
    /// What the connection to be dialled is for. (The acceptor takes any lane.)
    pub lane: Lane,
    /// By preference. A dialler offers the first 16, an acceptor takes any of them.
    pub secrets: Vec<Secret>,
    /// What this node knows and wants to use.
    pub features: Features,
    /// What this node takes.
    pub limits: Limits,
    /// How payloads may be encoded here, by preference.
    pub encodings: Vec<Encoding>,
    /// The protocol versions that this node speaks.
    pub versions: VersionRange,
    /// How records may be protected, by preference: a dialler offers them, an acceptor takes the
    /// dialler's first that is among them. Default: MAC alone.
    pub modes: Vec<Mode>,
    /// What this node is good at in noise mode, by preference. A connection gets AES-GCM if both
    /// sides have it here. Default: what this processor is good at.
    pub ciphers: Vec<Cipher>,
    /// In noise mode, after so many records of a direction its key is replaced: a part of the
    /// protocol, which only tests change, at both ends.
    #[doc(hidden)]
    pub rekey_after: u64,
}

impl Local {
    /// A node with these secrets, by preference, and defaults for everything else.
    pub fn new(node: NodeId, secrets: Vec<Secret>) -> Self {
        Self {
            node,
            lane: Lane::Control,
            secrets,
            features: Features::NONE,
            limits: Limits::default(),
            encodings: vec![Encoding::Bincode, Encoding::Json],
            versions: VersionRange {
                min: PROTOCOL_VERSION,
                max: PROTOCOL_VERSION,
            },
            modes: vec![Mode::Mac],
            ciphers: Cipher::of_this_processor(),
            rekey_after: REKEY_AFTER,
        }
    }
}

/// What the peer takes from us, as it stated it in its hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerLimits {
    /// The largest payload of a message or reply, or of a stream's item on the bulk lane, in bytes.
    pub payload: usize,
    /// Messages that we may have open at one target.
    pub messages_per_target: u32,
    /// Urgent messages that we may have open at one target.
    pub urgent_per_target: u32,
    /// Messages that we may have open over all targets.
    pub messages_per_connection: u32,
    /// Bytes of messages that we may have open over all targets.
    pub bytes_per_connection: u64,
    /// Route numbers that we may have in use.
    pub routes: u32,
}

impl From<&Limits> for PeerLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            payload: limits.payload,
            messages_per_target: limits.messages_per_target,
            urgent_per_target: limits.urgent_per_target,
            messages_per_connection: limits.messages_per_connection,
            bytes_per_connection: limits.bytes_per_connection,
            routes: limits.routes,
        }
    }
}

impl PeerLimits {
    /// What a node with these limits takes on a lane.
    pub(crate) fn on(lane: Lane, limits: &Limits) -> Self {
        let all = Self::from(limits);
        match lane {
            Lane::Control => all,
            Lane::Bulk => Self {
                payload: limits.stream_payload,
                ..all
            },
        }
    }
}

/// The dialler has proven itself: who it is, before the acceptor says yes or no.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proven {
    /// The node that dialled.
    pub peer: NodeId,
    /// What it wants the connection for.
    pub lane: Lane,
    /// The connection that the dialler means to replace by this one.
    pub replaces: Option<ConnectionId>,
    /// The id of the secret that it has proven to hold.
    pub key_id: String,
}

/// A handshake that is done: both sides have proven themselves and agree on all of this.
#[derive(Debug)]
#[non_exhaustive]
pub struct Established {
    /// The other node.
    pub peer: NodeId,
    /// What the connection is for.
    pub lane: Lane,
    /// The connection's id, the same on both ends.
    pub connection: ConnectionId,
    /// The connection that this one replaces, as its dialler said.
    pub replaces: Option<ConnectionId>,
    /// The version that both speak.
    pub version: u16,
    /// How records are protected.
    pub mode: Mode,
    /// What they are encrypted with, in noise mode.
    pub cipher: Option<Cipher>,
    /// The features that both know.
    pub features: Features,
    /// The encodings that both know, by the dialler's preference.
    pub encodings: Vec<Encoding>,
    /// Whether this end dialled.
    pub dialled: bool,
    /// The id of the secret that was used.
    pub key_id: String,
    /// The keys of the records.
    pub keys: Keys,
    /// What the peer takes from us.
    pub peer_limits: PeerLimits,
    /// When it was done.
    pub at: Instant,
}
