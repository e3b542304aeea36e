//! The side that was dialled.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{
    Established, HandshakeError, Local, Mode, PeerLimits, Proven, RefusalCode,
    hello::Hello,
    message::{Inbox, KIND_DIALLER_HELLO, Message},
    proof::{Hellos, NoiseInputs, Protection, Role, Schedule, Transcript},
};
use crate::{
    encoding::Encoding,
    ident::{Features, Lane},
    noise::Cipher,
    secret::Secret,
};

/// The accepting side of a handshake.
///
/// Hand what arrives to [`receive`](Self::receive), write what
/// [`poll_transmit`](Self::poll_transmit) yields, and give up at the [`deadline`](Self::deadline).
/// When `receive` says who has proven itself, call [`accept`](Self::accept) or
/// [`refuse`](Self::refuse).
#[derive(Debug)]
pub struct Acceptor {
    local: Local,
    nonce: [u8; 32],
    deadline: Instant,
    inbox: Inbox,
    outbox: Option<Bytes>,
    transcript: Transcript,
    noise: NoiseInputs,
    state: State,
}

#[derive(Debug)]
enum State {
    AwaitHello,
    /// Message 2 is out, 3 is due.
    AwaitProof(Box<Peer>),
    /// Message 3 was right; the owner decides whether 4 leaves.
    Proven(Box<Peer>, Bytes, Instant),
    Done,
    Failed(HandshakeError),
}

/// What both sides' hellos come to.
#[derive(Debug)]
struct Peer {
    hello: Hello,
    lane: Lane,
    version: u16,
    features: Features,
    encodings: Vec<Encoding>,
    schedule: Schedule,
}

impl Acceptor {
    /// Waits for a hello. `nonce` is 32 random bytes that were never used before.
    pub fn new(local: &Local, nonce: [u8; 32], now: Instant) -> Self {
        Self {
            nonce,
            deadline: now + local.limits.handshake_time,
            inbox: Inbox::new(local.limits.handshake_bytes),
            outbox: None,
            transcript: Transcript::default(),
            noise: NoiseInputs {
                rekey_after: local.rekey_after,
                ephemeral: None,
            },
            state: State::AwaitHello,
            local: local.clone(),
        }
    }

    /// Noise mode's ephemeral key, for golden vectors: a connection that is to protect anything draws
    /// its own.
    #[doc(hidden)]
    pub fn fix_ephemeral_key_for_testing_only(&mut self, key: [u8; 32]) {
        self.noise.ephemeral = Some(key);
    }

    /// What is to be sent next.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outbox.take()
    }

    /// Takes what arrived, and says once who the peer is when it has proven itself.
    ///
    /// # Errors
    ///
    /// If the handshake failed or its time is up. It is over then, every later call says so again,
    /// and a refusal may wait in [`poll_transmit`](Self::poll_transmit).
    pub fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
    ) -> Result<Option<Proven>, HandshakeError> {
        if let State::Failed(error) = &self.state {
            return Err(error.clone());
        }
        let result = self.step(now, input);
        if let Err(error) = &result {
            self.outbox = error.refusal().map(|code| code.encode(self.local.versions));
            self.state = State::Failed(error.clone());
        }
        result
    }

    /// Says yes: the acceptor's proof waits in [`poll_transmit`](Self::poll_transmit).
    ///
    /// # Panics
    ///
    /// If the peer isn't proven, or was answered already: [`receive`](Self::receive) has to return
    /// a [`Proven`] first, and that happens once.
    pub fn accept(&mut self) -> Established {
        let State::Proven(peer, proof, at) = std::mem::replace(&mut self.state, State::Done) else {
            panic!("accept comes once, after receive has returned Proven");
        };
        self.outbox = Some(proof);
        let key_id = peer.schedule.key_id().to_owned();
        let protection = peer.schedule.protection;
        let (connection, keys) = peer.schedule.finish(&self.transcript);
        Established {
            peer: peer.hello.node,
            lane: peer.lane,
            connection,
            replaces: peer.hello.replaces,
            version: peer.version,
            mode: protection.mode(),
            cipher: protection.cipher(),
            features: peer.features,
            encodings: peer.encodings,
            dialled: false,
            key_id,
            keys,
            peer_limits: peer.hello.windows,
            at,
        }
    }

    /// Says no, at any time: the refusal waits in [`poll_transmit`](Self::poll_transmit), and
    /// nothing more is read.
    pub fn refuse(&mut self, why: RefusalCode) {
        self.outbox = Some(why.encode(self.local.versions));
        self.state = State::Failed(HandshakeError::Refused(why));
    }

    /// When the handshake must be done.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    fn step(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
    ) -> Result<Option<Proven>, HandshakeError> {
        loop {
            if let State::Proven(..) | State::Done | State::Failed(_) = self.state {
                return Ok(None);
            }
            if now >= self.deadline {
                return Err(HandshakeError::TooSlow {
                    seconds: self.local.limits.handshake_time.as_secs(),
                });
            }
            let Some(message) = self.inbox.take(input)? else {
                return Ok(None);
            };
            if let State::AwaitHello = self.state {
                self.on_hello(&message)?;
            } else {
                return self.on_proof(now, &message).map(Some);
            }
        }
    }

    fn on_hello(&mut self, message: &Message) -> Result<(), HandshakeError> {
        if message.kind != KIND_DIALLER_HELLO {
            return Err(HandshakeError::Malformed(
                "another message came where a hello was due",
            ));
        }
        let ours = self.local.versions;
        let Some(version) = ours.common(message.versions) else {
            return Err(HandshakeError::Version {
                ours,
                theirs: message.versions,
            });
        };
        let hello = Hello::parse(message.body())?;
        let Some(lane) = hello.lane else {
            return Err(HandshakeError::Malformed("a field of its hello is missing"));
        };
        self.check_who(&hello)?;
        let features = self.choose_features(&hello)?;
        let encodings = self.choose_encodings(&hello)?;
        let protection = self.choose_protection(&hello)?;
        let secret = self.choose_secret(&hello)?;
        let answer = Hello {
            nonce: self.nonce,
            node: self.local.node,
            meant: None,
            lane: None,
            key_ids: vec![secret.id().to_owned()],
            modes: vec![protection.mode().number()],
            ciphers: protection
                .cipher()
                .map(Cipher::number)
                .into_iter()
                .collect(),
            encodings: encodings.clone(),
            features,
            windows: PeerLimits::on(lane, &self.local.limits),
            replaces: None,
        };
        let answer = answer.encode(super::VersionRange {
            min: version,
            max: version,
        });
        self.transcript.add(&message.bytes);
        self.transcript.add(&answer);
        let hellos = Hellos {
            first: &message.bytes,
            second: &answer,
            protection,
        };
        let schedule = Schedule::new(
            Role::Acceptor,
            secret,
            &hellos,
            &self.transcript,
            &self.noise,
        );
        self.outbox = Some(answer);
        self.state = State::AwaitProof(Box::new(Peer {
            hello,
            lane,
            version,
            features,
            encodings,
            schedule,
        }));
        Ok(())
    }

    fn check_who(&self, hello: &Hello) -> Result<(), HandshakeError> {
        if hello.node == self.local.node {
            return Err(HandshakeError::SelfDial);
        }
        if hello.nonce == self.nonce {
            return Err(HandshakeError::Reflected);
        }
        match hello.meant {
            Some(meant) if meant != self.local.node => Err(HandshakeError::WrongNode {
                meant,
                found: Some(self.local.node),
            }),
            _ => Ok(()),
        }
    }

    fn choose_features(&self, hello: &Hello) -> Result<Features, HandshakeError> {
        let ours = self.local.features;
        let only_one = hello.features.first_unknown_required(ours);
        match only_one.or_else(|| ours.first_unknown_required(hello.features)) {
            Some(bit) => Err(HandshakeError::Feature(bit)),
            None => Ok(ours.intersect(hello.features)),
        }
    }

    fn choose_encodings(&self, hello: &Hello) -> Result<Vec<Encoding>, HandshakeError> {
        let mut common = hello.encodings.clone();
        common.retain(|encoding| self.local.encodings.contains(encoding));
        if common.is_empty() {
            Err(HandshakeError::NoCommonEncoding)
        } else {
            Ok(common)
        }
    }

    /// The dialler's first mode that is ours too. For noise there has to be a cipher as well: AES-GCM
    /// if both have it in hardware.
    fn choose_protection(&self, hello: &Hello) -> Result<Protection, HandshakeError> {
        let theirs = hello.known_modes();
        let both = |cipher: &Cipher| {
            hello.ciphers.contains(&cipher.number()) && self.local.ciphers.contains(cipher)
        };
        let cipher = [Cipher::AesGcm, Cipher::ChaChaPoly].into_iter().find(both);
        let chosen = theirs.iter().find_map(|mode| match mode {
            _ if !self.local.modes.contains(mode) => None,
            Mode::Mac => Some(Protection::Mac),
            Mode::Noise => cipher.map(Protection::Noise),
        });
        chosen.ok_or_else(|| HandshakeError::NoCommonMode {
            ours: self.local.modes.clone(),
            theirs,
        })
    }

    /// The first that the dialler prefers and we have.
    fn choose_secret(&self, hello: &Hello) -> Result<Secret, HandshakeError> {
        let ours = &self.local.secrets;
        let found = hello
            .key_ids
            .iter()
            .find_map(|id| ours.iter().find(|secret| secret.id() == id));
        found.cloned().ok_or_else(|| HandshakeError::NoCommonKey {
            offered: hello.key_ids.clone(),
            held: ours.iter().map(|secret| secret.id().to_owned()).collect(),
        })
    }

    fn on_proof(&mut self, now: Instant, message: &Message) -> Result<Proven, HandshakeError> {
        let State::AwaitProof(mut peer) = std::mem::replace(&mut self.state, State::Done) else {
            return Err(HandshakeError::Malformed("a proof came before its hello"));
        };
        peer.schedule
            .verify(peer.version, message, &mut self.transcript)?;
        let version = peer.version;
        let proof = peer.schedule.prove(version, &mut self.transcript)?;
        let proven = Proven {
            peer: peer.hello.node,
            lane: peer.lane,
            replaces: peer.hello.replaces,
            key_id: peer.schedule.key_id().to_owned(),
        };
        self.state = State::Proven(peer, proof, now);
        Ok(proven)
    }
}
