//! Two ends of a connection in memory and virtual time, and a forger who holds the keys of one of them.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use botzilla_wire::{
    Encoding, Lane, Limits, Name, NodeId, Secret,
    handshake::{Acceptor, Cipher, Dialler, Established, Local, Mode},
    keys::{Keys, RecordKeys},
    output::Output,
    record::{LENGTH_LEN, OVERHEAD},
    route::{Route, Scope},
};
use bytes::{Buf, Bytes, BytesMut};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Where time begins.
pub(crate) fn start() -> Instant {
    // Nothing here depends on when that is.
    Instant::now()
}

/// How a pair's records are protected: without a cipher, by tags alone. Keys are replaced after so many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    pub(crate) cipher: Option<Cipher>,
    pub(crate) rekey_after: u64,
}

pub(crate) const TAGS: Guard = Guard {
    cipher: None,
    rekey_after: u64::MAX,
};

/// Any of them, as the input says.
pub(crate) fn guard(input: &mut Unstructured<'_>) -> arbitrary::Result<Guard> {
    let which: u8 = input.arbitrary()?;
    let cipher = match which % 4 {
        0 | 1 => None,
        2 => Some(Cipher::AesGcm),
        _ => Some(Cipher::ChaChaPoly),
    };
    let rekey_after = 1 + u64::from(which / 4);
    Ok(Guard {
        cipher,
        rekey_after,
    })
}

pub(crate) fn local(id: u8, lane: Lane, limits: &Limits, guard: Guard) -> Local {
    let secret = Secret::from_bytes("key", [7; 32]).unwrap();
    let mut local = Local::new(NodeId([id; 16]), vec![secret]);
    local.lane = lane;
    local.limits = limits.clone();
    if let Some(cipher) = guard.cipher {
        local.modes = vec![Mode::Noise];
        local.ciphers = vec![cipher];
        local.rekey_after = guard.rekey_after;
    }
    local
}

/// Both ends after a handshake: the dialler's, the acceptor's. It always comes to the same keys.
pub(crate) fn established(
    guard: Guard,
    lane: Lane,
    limits: &Limits,
    now: Instant,
) -> (Established, Established) {
    let mut dialler = Dialler::new(&local(1, lane, limits, guard), None, None, [1; 32], now);
    let mut acceptor = Acceptor::new(&local(2, lane, limits, guard), [2; 32], now);
    dialler.fix_ephemeral_key_for_testing_only([3; 32]);
    acceptor.fix_ephemeral_key_for_testing_only([4; 32]);
    let (mut to_dialler, mut to_acceptor) = (BytesMut::new(), BytesMut::new());
    let mut accepted = None;
    loop {
        while let Some(bytes) = dialler.poll_transmit() {
            to_acceptor.extend_from_slice(&bytes);
        }
        if accepted.is_none() && acceptor.receive(now, &mut to_acceptor).unwrap().is_some() {
            accepted = Some(acceptor.accept());
        }
        while let Some(bytes) = acceptor.poll_transmit() {
            to_dialler.extend_from_slice(&bytes);
        }
        if let Some(dialled) = dialler.receive(now, &mut to_dialler).unwrap() {
            return (dialled, accepted.unwrap());
        }
    }
}

/// The default limits, changed.
pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

const TARGETS: [&str; 8] = ["drive", "arm", "camera", "lidar", "map", "a", "b", "c"];

/// One of a few routes; which one, the bits say.
pub(crate) fn route(which: u8, urgent: bool) -> Route {
    let to = name(TARGETS[usize::from(which & 7)]);
    Route {
        scope: match which >> 6 {
            2 => Scope::Group(to),
            3 => Scope::Everyone,
            _ => Scope::Component(to),
        },
        sender: (which & 8 != 0).then(|| name("sender")),
        message: if which & 16 != 0 { "Move" } else { "Stop" }.to_owned(),
        encoding: if which & 32 != 0 {
            Encoding::Json
        } else {
            Encoding::Bincode
        },
        fingerprint: (which & 32 == 0).then_some([3; 8]),
        urgent,
    }
}

/// So many bytes that are the same in each run.
pub(crate) fn bytes_of(len: usize) -> Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    let pattern = PATTERN.get_or_init(|| (0..1_200_000_u32).map(|i| (i % 251) as u8).collect());
    pattern.slice(..len)
}

/// What is left of an output, as bytes.
pub(crate) fn drain(out: &mut Output) -> Vec<u8> {
    let mut bytes = vec![0; out.remaining()];
    out.copy_to_slice(&mut bytes);
    bytes
}

/// Splits a stream into its records.
pub(crate) fn records(guard: Guard, mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let besides = match guard.cipher {
        None => OVERHEAD,
        Some(_) => LENGTH_LEN,
    };
    let mut records = Vec::new();
    while let Some(length) = bytes.first_chunk::<4>() {
        let len = u32::from_le_bytes(*length) as usize;
        let (record, rest) = bytes.split_at(len + besides);
        records.push(record.to_vec());
        bytes = rest;
    }
    records
}

/// Says whatever it is told to, authentically.
#[derive(Debug)]
pub(crate) struct Forger {
    keys: RecordKeys,
    next: u64,
}

impl Forger {
    pub(crate) fn new(keys: &Keys) -> Self {
        let keys = keys.mac().expect("it is made of MAC keys").clone();
        Self { keys, next: 0 }
    }

    pub(crate) fn record(&mut self, body: &[u8]) -> Vec<u8> {
        let mut record = (body.len() as u32).to_le_bytes().to_vec();
        record.extend_from_slice(body);
        let tag = self.keys.seal_key().tag(self.next, &[&record]);
        self.next += 1;
        record.extend_from_slice(&tag);
        record
    }
}
