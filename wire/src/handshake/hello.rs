//! The two hellos: what each side says before anything is proven.

use bytes::Bytes;

use super::{
    HandshakeError, Mode, PeerLimits, VersionRange,
    message::{Builder, Fields, KIND_ACCEPTOR_HELLO, KIND_DIALLER_HELLO},
    proof::Protection,
};
use crate::{
    encoding::Encoding,
    ident::{ConnectionId, Features, Lane, NodeId},
    noise::Cipher,
    secret::is_key_id,
};

const NONCE: u8 = 1;
const NODE: u8 = 2;
const MEANT: u8 = 3;
const LANE: u8 = 4;
const KEY_IDS: u8 = 5;
const MODES: u8 = 6;
const CIPHERS: u8 = 7;
const ENCODINGS: u8 = 8;
const FEATURES: u8 = 9;
const WINDOWS: u8 = 10;
const REPLACES: u8 = 11;

/// How many key ids a hello offers at most: with 16 the longest hello stays below 1 KiB.
pub(super) const KEY_IDS_MAX: usize = 16;

/// A hello of either side. The dialler's lists are offers by preference, the acceptor's are its
/// choices, with one key id and one mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) nonce: [u8; 32],
    pub(super) node: NodeId,
    pub(super) meant: Option<NodeId>,
    /// Only in the dialler's.
    pub(super) lane: Option<Lane>,
    pub(super) key_ids: Vec<String>,
    /// Numbers, as they may be of a later version.
    pub(super) modes: Vec<u8>,
    /// For noise mode; numbers likewise.
    pub(super) ciphers: Vec<u8>,
    /// Those that are known.
    pub(super) encodings: Vec<Encoding>,
    pub(super) features: Features,
    pub(super) windows: PeerLimits,
    pub(super) replaces: Option<ConnectionId>,
}

impl Hello {
    pub(super) fn encode(&self, versions: VersionRange) -> Bytes {
        let kind = if self.lane.is_some() {
            KIND_DIALLER_HELLO
        } else {
            KIND_ACCEPTOR_HELLO
        };
        let mut out = Builder::new(kind, versions);
        out.field(NONCE, &self.nonce).field(NODE, &self.node.0);
        if let Some(meant) = self.meant {
            out.field(MEANT, &meant.0);
        }
        if let Some(lane) = self.lane {
            out.field(LANE, &[lane.number()]);
        }
        let mut ids = Vec::new();
        for id in self.key_ids.iter().take(KEY_IDS_MAX) {
            // A key id has at most 32 bytes.
            ids.push(id.len() as u8);
            ids.extend_from_slice(id.as_bytes());
        }
        let encodings: Vec<u8> = self.encodings.iter().map(|e| e.number()).collect();
        out.field(KEY_IDS, &ids).field(MODES, &self.modes);
        if !self.ciphers.is_empty() {
            out.field(CIPHERS, &self.ciphers);
        }
        out.field(ENCODINGS, &encodings)
            .field(FEATURES, &self.features.0.to_le_bytes())
            .field(WINDOWS, &encode_windows(&self.windows));
        if let Some(replaces) = self.replaces {
            out.field(REPLACES, &replaces.0);
        }
        out.finish()
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, HandshakeError> {
        let (mut nonce, mut node, mut meant, mut lane, mut replaces) =
            (None, None, None, None, None);
        let (mut key_ids, mut modes, mut encodings) = (None, None, None);
        let (mut features, mut windows, mut ciphers) = (None, None, Vec::new());
        let mut fields = Fields::new(body);
        while let Some((tag, value)) = fields.next()? {
            match tag {
                NONCE => nonce = Some(fixed(value)?),
                NODE => node = Some(NodeId(fixed(value)?)),
                MEANT => meant = Some(NodeId(fixed(value)?)),
                LANE => {
                    let [number] = fixed(value)?;
                    let unknown = HandshakeError::Malformed("its lane is not known here");
                    lane = Some(Lane::from_number(number).ok_or(unknown)?);
                }
                KEY_IDS => key_ids = Some(parse_key_ids(value)?),
                MODES => modes = Some(value.to_vec()),
                CIPHERS => ciphers = value.to_vec(),
                ENCODINGS => {
                    encodings = Some(
                        value
                            .iter()
                            .filter_map(|n| Encoding::from_number(*n))
                            .collect(),
                    );
                }
                FEATURES => features = Some(Features(u64::from_le_bytes(fixed(value)?))),
                WINDOWS => windows = Some(parse_windows(value)?),
                REPLACES => replaces = Some(ConnectionId(fixed(value)?)),
                _ => Fields::unknown(tag)?,
            }
        }
        let missing = || HandshakeError::Malformed("a field of its hello is missing");
        Ok(Self {
            nonce: nonce.ok_or_else(missing)?,
            node: node.ok_or_else(missing)?,
            meant,
            lane,
            key_ids: key_ids.ok_or_else(missing)?,
            modes: modes.ok_or_else(missing)?,
            ciphers,
            encodings: encodings.ok_or_else(missing)?,
            features: features.ok_or_else(missing)?,
            windows: windows.ok_or_else(missing)?,
            replaces,
        })
    }

    /// The acceptor's single key id, single mode, and in noise mode single cipher.
    pub(super) fn choice(&self) -> Result<(&str, Protection), HandshakeError> {
        let not_one = HandshakeError::Malformed("its choices are not what was offered");
        let ([id], [mode]) = (self.key_ids.as_slice(), self.modes.as_slice()) else {
            return Err(not_one);
        };
        let protection = match (Mode::from_number(*mode), self.ciphers.as_slice()) {
            (Some(Mode::Mac), _) => Some(Protection::Mac),
            (Some(Mode::Noise), [cipher]) => Cipher::from_number(*cipher).map(Protection::Noise),
            _ => None,
        };
        Ok((id, protection.ok_or(not_one)?))
    }

    /// The known modes of its list, in its order.
    pub(super) fn known_modes(&self) -> Vec<Mode> {
        let known = self.modes.iter().filter_map(|n| Mode::from_number(*n));
        known.collect()
    }
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], HandshakeError> {
    value
        .try_into()
        .map_err(|_| HandshakeError::Malformed("a field has the wrong length"))
}

fn parse_key_ids(mut value: &[u8]) -> Result<Vec<String>, HandshakeError> {
    let bad = || HandshakeError::Malformed("its list of key ids is damaged");
    let mut ids = Vec::new();
    while let Some((len, rest)) = value.split_first() {
        let (id, rest) = rest.split_at_checked(usize::from(*len)).ok_or_else(bad)?;
        let id = std::str::from_utf8(id)
            .ok()
            .filter(|id| is_key_id(id.as_bytes()))
            .ok_or_else(bad)?;
        if ids.len() == KEY_IDS_MAX {
            return Err(bad());
        }
        ids.push(id.to_owned());
        value = rest;
    }
    Ok(ids)
}

fn encode_windows(windows: &PeerLimits) -> [u8; 32] {
    let mut out = [0; 32];
    out[..8].copy_from_slice(&(windows.payload as u64).to_le_bytes());
    out[8..16].copy_from_slice(&windows.bytes_per_connection.to_le_bytes());
    let counts = [
        windows.messages_per_target,
        windows.urgent_per_target,
        windows.messages_per_connection,
        windows.routes,
    ];
    for (slot, count) in out[16..].chunks_exact_mut(4).zip(counts) {
        slot.copy_from_slice(&count.to_le_bytes());
    }
    out
}

fn parse_windows(value: &[u8]) -> Result<PeerLimits, HandshakeError> {
    // A later version may state more of them; these keep their places.
    let short = HandshakeError::Malformed("its windows are cut off");
    let Some(value) = value.first_chunk::<32>() else {
        return Err(short);
    };
    let long = |at: usize| fixed(&value[at..at + 8]).map(u64::from_le_bytes);
    let count = |at: usize| fixed(&value[at..at + 4]).map(u32::from_le_bytes);
    Ok(PeerLimits {
        payload: usize::try_from(long(0)?).unwrap_or(usize::MAX),
        bytes_per_connection: long(8)?,
        messages_per_target: count(16)?,
        urgent_per_target: count(20)?,
        messages_per_connection: count(24)?,
        routes: count(28)?,
    })
}
