//! The side that dialled.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{
    Established, HandshakeError, Local, Mode, PeerLimits, RefusalCode,
    hello::{Hello, KEY_IDS_MAX},
    message::{Inbox, KIND_ACCEPTOR_HELLO, KIND_DIALLER_HELLO, KIND_REFUSAL, Message},
    proof::{Hellos, NoiseInputs, Role, Schedule, Transcript},
};
use crate::ident::{ConnectionId, NodeId};

/// The dialling side of a handshake.
///
/// Write what [`poll_transmit`](Self::poll_transmit) yields, hand what arrives to
/// [`receive`](Self::receive), and give up at the [`deadline`](Self::deadline).
#[derive(Debug)]
pub struct Dialler {
    local: Local,
    hello: Hello,
    deadline: Instant,
    inbox: Inbox,
    outbox: Option<Bytes>,
    transcript: Transcript,
    /// Message 1, which noise mode binds the rest to.
    first: Bytes,
    noise: NoiseInputs,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Message 1 is out, 2 is due.
    AwaitHello,
    /// Message 3 is out, 4 is due.
    AwaitProof {
        schedule: Schedule,
        theirs: Box<Hello>,
        version: u16,
    },
    Done,
    Failed(HandshakeError),
}

const NOT_OFFERED: HandshakeError =
    HandshakeError::Malformed("its choices are not what was offered");

impl Dialler {
    /// Starts a handshake with the node `expect`, or with whoever answers.
    ///
    /// `nonce` is 32 random bytes that were never used before. `replaces` is the connection with
    /// the same node that this one is to take the place of.
    pub fn new(
        local: &Local,
        expect: Option<NodeId>,
        replaces: Option<ConnectionId>,
        nonce: [u8; 32],
        now: Instant,
    ) -> Self {
        let ids = local.secrets.iter().take(KEY_IDS_MAX);
        let hello = Hello {
            nonce,
            node: local.node,
            meant: expect,
            lane: Some(local.lane),
            key_ids: ids.map(|secret| secret.id().to_owned()).collect(),
            modes: local.modes.iter().map(|mode| mode.number()).collect(),
            ciphers: if local.modes.contains(&Mode::Noise) {
                local.ciphers.iter().map(|cipher| cipher.number()).collect()
            } else {
                Vec::new()
            },
            encodings: local.encodings.clone(),
            features: local.features,
            windows: PeerLimits::on(local.lane, &local.limits),
            replaces,
        };
        let first = hello.encode(local.versions);
        let mut transcript = Transcript::default();
        transcript.add(&first);
        Self {
            hello,
            deadline: now + local.limits.handshake_time,
            inbox: Inbox::new(local.limits.handshake_bytes),
            outbox: Some(first.clone()),
            transcript,
            first,
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

    /// Takes what arrived, and yields the connection once the acceptor has proven itself. Bytes
    /// after the last message of the handshake stay in `input`: they are the first records.
    ///
    /// # Errors
    ///
    /// If the handshake failed or its time is up. It is over then, and every later call says so
    /// again.
    pub fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
    ) -> Result<Option<Established>, HandshakeError> {
        let result = self.step(now, input);
        if let Err(error) = &result {
            self.state = State::Failed(error.clone());
            self.outbox = None;
        }
        result
    }

    /// When the handshake must be done.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    fn step(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
    ) -> Result<Option<Established>, HandshakeError> {
        loop {
            match &self.state {
                State::Failed(error) => return Err(error.clone()),
                State::Done => return Ok(None),
                State::AwaitHello | State::AwaitProof { .. } => {}
            }
            if now >= self.deadline {
                return Err(HandshakeError::TooSlow {
                    seconds: self.local.limits.handshake_time.as_secs(),
                });
            }
            let Some(message) = self.inbox.take(input)? else {
                return Ok(None);
            };
            match message.kind {
                KIND_REFUSAL => return Err(self.refused(&message)),
                KIND_DIALLER_HELLO => return Err(HandshakeError::Reflected),
                _ => {}
            }
            if let State::AwaitHello = self.state {
                self.on_hello(&message)?;
            } else {
                return self.on_proof(now, &message).map(Some);
            }
        }
    }

    fn on_hello(&mut self, message: &Message) -> Result<(), HandshakeError> {
        if message.kind != KIND_ACCEPTOR_HELLO {
            return Err(HandshakeError::Malformed(
                "another message came where a hello was due",
            ));
        }
        let version = message.versions.max;
        let ours = self.local.versions;
        if message.versions.min != version || !(ours.min..=ours.max).contains(&version) {
            return Err(HandshakeError::Version {
                ours,
                theirs: message.versions,
            });
        }
        let theirs = Hello::parse(message.body())?;
        let (key_id, protection) = theirs.choice()?;
        self.check(&theirs)?;
        let offered = self.local.secrets.iter().take(KEY_IDS_MAX);
        let secret = offered
            .into_iter()
            .find(|s| s.id() == key_id)
            .ok_or(NOT_OFFERED)?
            .clone();
        let mode_is_offered = self.hello.modes.contains(&protection.mode().number());
        let cipher_is_offered = protection
            .cipher()
            .is_none_or(|cipher| self.hello.ciphers.contains(&cipher.number()));
        if !mode_is_offered || !cipher_is_offered {
            return Err(NOT_OFFERED);
        }
        self.transcript.add(&message.bytes);
        let hellos = Hellos {
            first: &self.first,
            second: &message.bytes,
            protection,
        };
        let mut schedule = Schedule::new(
            Role::Dialler,
            secret,
            &hellos,
            &self.transcript,
            &self.noise,
        );
        self.outbox = Some(schedule.prove(version, &mut self.transcript)?);
        self.state = State::AwaitProof {
            schedule,
            theirs: Box::new(theirs),
            version,
        };
        Ok(())
    }

    fn check(&self, theirs: &Hello) -> Result<(), HandshakeError> {
        let ours = &self.hello;
        if theirs.nonce == ours.nonce {
            return Err(HandshakeError::Reflected);
        }
        if theirs.node == ours.node {
            return Err(HandshakeError::SelfDial);
        }
        if let Some(meant) = ours.meant
            && meant != theirs.node
        {
            return Err(HandshakeError::WrongNode {
                meant,
                found: Some(theirs.node),
            });
        }
        // It must have chosen out of what was offered, and all of what was demanded.
        if let Some(bit) = theirs.features.first_unknown_required(ours.features) {
            return Err(HandshakeError::Feature(bit));
        }
        if let Some(bit) = ours.features.first_unknown_required(theirs.features) {
            return Err(HandshakeError::Feature(bit));
        }
        let chosen = theirs
            .encodings
            .iter()
            .all(|encoding| ours.encodings.contains(encoding));
        if theirs.encodings.is_empty() || !chosen || !ours.features.contains(theirs.features) {
            return Err(NOT_OFFERED);
        }
        Ok(())
    }

    fn on_proof(&mut self, now: Instant, message: &Message) -> Result<Established, HandshakeError> {
        let State::AwaitProof {
            mut schedule,
            theirs,
            version,
        } = std::mem::replace(&mut self.state, State::Done)
        else {
            return Err(HandshakeError::Malformed("a proof came before its hello"));
        };
        schedule.verify(version, message, &mut self.transcript)?;
        let key_id = schedule.key_id().to_owned();
        let protection = schedule.protection;
        let (connection, keys) = schedule.finish(&self.transcript);
        Ok(Established {
            peer: theirs.node,
            lane: self.local.lane,
            connection,
            replaces: self.hello.replaces,
            version,
            mode: protection.mode(),
            cipher: protection.cipher(),
            features: theirs.features,
            encodings: theirs.encodings,
            dialled: true,
            key_id,
            keys,
            peer_limits: theirs.windows,
            at: now,
        })
    }

    /// Says a refusal with what is known here.
    fn refused(&self, message: &Message) -> HandshakeError {
        let code = match RefusalCode::parse(message.body()) {
            Ok(code) => code,
            Err(error) => return error,
        };
        let ours = &self.hello;
        match (code, ours.meant, &self.state) {
            (RefusalCode::Version, ..) => HandshakeError::Version {
                ours: self.local.versions,
                theirs: message.versions,
            },
            (RefusalCode::NoCommonKey, ..) => HandshakeError::NoCommonKey {
                offered: ours.key_ids.clone(),
                held: Vec::new(),
            },
            (RefusalCode::WrongProof, _, State::AwaitProof { schedule, .. }) => {
                HandshakeError::WrongSecret {
                    key_id: schedule.key_id().to_owned(),
                }
            }
            (RefusalCode::Denied, _, State::AwaitProof { schedule, .. }) => {
                HandshakeError::Denied {
                    key_id: schedule.key_id().to_owned(),
                }
            }
            (RefusalCode::WrongNode, Some(meant), _) => {
                HandshakeError::WrongNode { meant, found: None }
            }
            (RefusalCode::SelfDial, ..) => HandshakeError::SelfDial,
            (RefusalCode::Feature(bit), ..) => HandshakeError::Feature(bit),
            (RefusalCode::Field(tag), ..) => HandshakeError::Field(tag),
            (RefusalCode::NoCommonMode(required), ..) => HandshakeError::NoCommonMode {
                ours: self.local.modes.clone(),
                theirs: Mode::from_number(required).into_iter().collect(),
            },
            (RefusalCode::NoCommonEncoding, ..) => HandshakeError::NoCommonEncoding,
            (code, ..) => HandshakeError::Refused(code),
        }
    }
}
