//! A handshake with somebody between the two, with a stranger, and with one who holds the secret and says
//! what it likes. Whoever is established agrees with the other about everything; what was altered on its way
//! establishes nobody; a stranger gets no proof.

mod by_hand;

use std::ops::ControlFlow;
use std::time::Instant;

use arbitrary::{Arbitrary, Unstructured};
use botzilla_wire::{
    Encoding, Kind, Lane, Limits, NodeId, Secret,
    handshake::{
        Acceptor, Cipher, Dialler, Established, HandshakeError, Local, Mode, RefusalCode,
        VersionRange,
    },
    ident::{ConnectionId, Features},
    output::Output,
    session::{Event, Send, Session},
};
use bytes::{Bytes, BytesMut};

use crate::pair::{SECOND, drain, route, start};

/// What a side is like.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Side {
    node: u8,
    nonce: u8,
    /// Which of four secrets it has.
    secrets: u8,
    features: u64,
    versions: (u8, u8),
    encodings: u8,
    /// Modes and ciphers, two bits each, and which is preferred.
    security: u8,
    lane: bool,
    expect: Option<u8>,
    replaces: Option<u8>,
}

/// What happens on the way.
#[derive(Debug, Arbitrary)]
enum Step {
    /// So many of the bytes that wait arrive.
    ToAcceptor(u8),
    ToDialler(u8),
    AllToAcceptor,
    AllToDialler,
    Flip {
        pass_to_acceptor: bool,
        at: u16,
        bit: u8,
    },
    Insert {
        pass_to_acceptor: bool,
        at: u16,
        bytes: Vec<u8>,
    },
    Remove {
        pass_to_acceptor: bool,
        at: u16,
        len: u8,
    },
    /// What one side said comes back to it.
    Reflect {
        pass_to_acceptor: bool,
    },
    Refuse(u8),
    Wait(u16),
}

#[derive(Debug, Arbitrary)]
enum Scene {
    Between {
        dialler: Side,
        acceptor: Side,
    },
    Stranger {
        pass_to_acceptor: bool,
        side: Side,
        step: u8,
    },
    Holder(by_hand::Holder),
}

impl Side {
    fn node(self) -> NodeId {
        NodeId([self.node % 4; 16])
    }

    fn local(self) -> Local {
        let all = ["main", "spare", "main", "old"];
        let secrets = (0..4_u8)
            .filter(|which| self.secrets >> which & 1 == 1)
            .map(|which| {
                // The same id twice, with other bytes: as when somebody has a wrong secret.
                Secret::from_bytes(all[usize::from(which)], [which; 32]).unwrap()
            });
        let mut local = Local::new(self.node(), secrets.collect());
        local.features = Features(self.features);
        local.lane = if self.lane { Lane::Bulk } else { Lane::Control };
        let (min, max) = self.versions;
        local.versions = VersionRange {
            min: u16::from(min % 3),
            max: u16::from(min % 3) + u16::from(max % 3),
        };
        local.encodings = match self.encodings % 4 {
            0 => vec![Encoding::Bincode, Encoding::Json],
            1 => vec![Encoding::Json],
            2 => vec![Encoding::Json, Encoding::Bincode],
            _ => vec![],
        };
        local.modes = match self.security % 4 {
            0 => vec![Mode::Mac],
            1 => vec![Mode::Noise],
            2 => vec![Mode::Mac, Mode::Noise],
            _ => vec![Mode::Noise, Mode::Mac],
        };
        local.ciphers = match self.security / 4 % 4 {
            0 => vec![],
            1 => vec![Cipher::ChaChaPoly],
            2 => vec![Cipher::ChaChaPoly, Cipher::AesGcm],
            _ => vec![Cipher::AesGcm, Cipher::ChaChaPoly],
        };
        local
    }

    fn dialler(self, now: Instant) -> Dialler {
        let expect = self.expect.map(|node| NodeId([node % 4; 16]));
        let replaces = self.replaces.map(|id| ConnectionId([id; 16]));
        let mut dialler = Dialler::new(&self.local(), expect, replaces, [self.nonce; 32], now);
        dialler.fix_ephemeral_key_for_testing_only([3; 32]);
        dialler
    }

    fn acceptor(self, now: Instant) -> Acceptor {
        let mut acceptor = Acceptor::new(&self.local(), [self.nonce; 32], now);
        acceptor.fix_ephemeral_key_for_testing_only([4; 32]);
        acceptor
    }
}

/// Bytes on their way in one direction, with what was said and what arrived.
#[derive(Debug, Default)]
struct Way {
    said: Vec<u8>,
    waits: Vec<u8>,
    arrived: Vec<u8>,
    input: BytesMut,
}

impl Way {
    fn say(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
        self.waits.extend_from_slice(bytes);
    }

    fn arrive(&mut self, count: usize) {
        let some: Vec<u8> = self.waits.drain(..count.min(self.waits.len())).collect();
        self.arrived.extend_from_slice(&some);
        self.input.extend_from_slice(&some);
    }

    /// What was read arrived as it was said.
    fn is_intact(&self) -> bool {
        let read = self.arrived.len() - self.input.len();
        self.said.get(..read) == Some(&self.arrived[..read])
    }
}

struct Between {
    now: Instant,
    dialler: Dialler,
    acceptor: Acceptor,
    pass_to_dialler: Way,
    pass_to_acceptor: Way,
    dialled: Option<Established>,
    accepted: Option<Established>,
    dialler_failed: bool,
    acceptor_failed: bool,
}

impl Between {
    fn step(&mut self, step: Step) {
        match step {
            Step::ToAcceptor(count) => self.pass_to_acceptor(count.into()),
            Step::ToDialler(count) => self.pass_to_dialler(count.into()),
            Step::AllToAcceptor => self.pass_to_acceptor(usize::MAX),
            Step::AllToDialler => self.pass_to_dialler(usize::MAX),
            Step::Flip {
                pass_to_acceptor,
                at,
                bit,
            } => {
                let waits = self.waits(pass_to_acceptor);
                let len = waits.len().max(1);
                if let Some(byte) = waits.get_mut(usize::from(at) % len) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Step::Insert {
                pass_to_acceptor,
                at,
                bytes,
            } => {
                let waits = self.waits(pass_to_acceptor);
                let at = usize::from(at).min(waits.len());
                waits.splice(at..at, bytes);
            }
            Step::Remove {
                pass_to_acceptor,
                at,
                len,
            } => {
                let waits = self.waits(pass_to_acceptor);
                let at = usize::from(at).min(waits.len());
                let end = (at + usize::from(len)).min(waits.len());
                waits.drain(at..end);
            }
            Step::Reflect { pass_to_acceptor } => {
                let back = if pass_to_acceptor {
                    self.pass_to_dialler.said.clone()
                } else {
                    self.pass_to_acceptor.said.clone()
                };
                self.waits(pass_to_acceptor).extend(back);
            }
            Step::Refuse(code) => {
                if self.accepted.is_none() && !self.acceptor_failed {
                    let codes = [RefusalCode::Busy, RefusalCode::Crossed, RefusalCode::Denied];
                    self.acceptor.refuse(codes[usize::from(code) % codes.len()]);
                    self.acceptor_failed = true;
                }
            }
            Step::Wait(ms) => self.now += std::time::Duration::from_millis(ms.into()),
        }
    }

    fn waits(&mut self, pass_to_acceptor: bool) -> &mut Vec<u8> {
        if pass_to_acceptor {
            &mut self.pass_to_acceptor.waits
        } else {
            &mut self.pass_to_dialler.waits
        }
    }

    fn pass_to_acceptor(&mut self, count: usize) {
        while let Some(bytes) = self.dialler.poll_transmit() {
            self.pass_to_acceptor.say(&bytes);
        }
        self.pass_to_acceptor.arrive(count);
        match self
            .acceptor
            .receive(self.now, &mut self.pass_to_acceptor.input)
        {
            Ok(Some(proven)) => {
                assert!(!self.acceptor_failed && self.accepted.is_none());
                assert!(self.now < self.acceptor.deadline());
                assert!(self.pass_to_acceptor.is_intact() && self.pass_to_dialler.is_intact());
                let established = self.acceptor.accept();
                assert_eq!(
                    (established.peer, established.lane),
                    (proven.peer, proven.lane)
                );
                self.accepted = Some(established);
            }
            Ok(None) => {}
            Err(_) => {
                assert!(self.accepted.is_none());
                self.acceptor_failed = true;
            }
        }
    }

    fn pass_to_dialler(&mut self, count: usize) {
        while let Some(bytes) = self.acceptor.poll_transmit() {
            self.pass_to_dialler.say(&bytes);
        }
        self.pass_to_dialler.arrive(count);
        match self
            .dialler
            .receive(self.now, &mut self.pass_to_dialler.input)
        {
            Ok(Some(established)) => {
                assert!(!self.dialler_failed && self.dialled.is_none());
                assert!(self.now < self.dialler.deadline());
                assert!(self.pass_to_acceptor.is_intact() && self.pass_to_dialler.is_intact());
                self.dialled = Some(established);
            }
            Ok(None) => {}
            Err(_) => {
                assert!(self.dialled.is_none());
                assert!(self.dialler.poll_transmit().is_none());
                self.dialler_failed = true;
            }
        }
    }

    fn finish(self) {
        let Some(dialled) = self.dialled else { return };
        let accepted = self.accepted.expect("nobody proved itself");
        assert_ne!(dialled.peer, accepted.peer);
        assert_eq!(dialled.connection, accepted.connection);
        assert_eq!(dialled.lane, accepted.lane);
        assert_eq!(dialled.version, accepted.version);
        assert_eq!(dialled.mode, accepted.mode);
        assert_eq!(dialled.features, accepted.features);
        assert_eq!(dialled.encodings, accepted.encodings);
        assert_eq!(dialled.key_id, accepted.key_id);
        assert_eq!(dialled.replaces, accepted.replaces);
        assert!(dialled.dialled && !accepted.dialled);
        talk(dialled, accepted, self.now);
    }
}

/// What one says the other hears: both have the same keys.
fn talk(dialled: Established, accepted: Established, now: Instant) {
    let limits = Limits::default();
    if dialled.lane == Lane::Bulk {
        return;
    }
    let [mut dialled, mut accepted] =
        [dialled, accepted].map(|established| Session::<()>::new(established, &limits, now));
    for (from, to) in [(0, 1), (1, 0)] {
        let ends = [&mut dialled, &mut accepted];
        let route = ends[from].route(&route(0, false)).unwrap();
        let send = Send {
            route,
            kind: Kind::Tell,
            deadline: now + SECOND,
            path: &[],
            payload: Bytes::from_static(b"hello"),
        };
        if ends[from].try_send(send, ()).is_err() {
            // The other one says that it takes nothing.
            return;
        }
        let mut out = Output::new();
        ends[from].poll_transmit(now, &mut out);
        let mut input = BytesMut::from(&drain(&mut out)[..]);
        let mut events = Vec::new();
        ends[to].receive(now, &mut input, &mut events).unwrap();
        let heard = |event: &Event<()>| matches!(event, Event::Request { payload, .. } if payload == "hello");
        assert!(events.iter().any(heard));
    }
}

fn between(dialler: Side, acceptor: Side, input: &mut Unstructured<'_>) {
    let now = start();
    let mut between = Between {
        now,
        dialler: dialler.dialler(now),
        acceptor: acceptor.acceptor(now),
        pass_to_dialler: Way::default(),
        pass_to_acceptor: Way::default(),
        dialled: None,
        accepted: None,
        dialler_failed: false,
        acceptor_failed: false,
    };
    crate::steps(input, 30, |step: Step| {
        between.step(step);
        ControlFlow::Continue(())
    });
    for _ in 0..3 {
        between.pass_to_acceptor(usize::MAX);
        between.pass_to_dialler(usize::MAX);
    }
    between.finish();
}

/// Random bytes, in pieces: they establish nobody, and nobody proves itself to them.
fn stranger(pass_to_acceptor: bool, side: Side, step: u8, bytes: &[u8]) {
    let now = start();
    let mut input = BytesMut::new();
    let mut said = Vec::new();
    let max = Limits::default().handshake_bytes;
    let mut dialler = side.dialler(now);
    let mut acceptor = side.acceptor(now);
    let mut failed: Option<HandshakeError> = None;
    for part in bytes.chunks(usize::from(step).max(1)) {
        input.extend_from_slice(part);
        let result = if pass_to_acceptor {
            acceptor
                .receive(now, &mut input)
                .map(|proven| proven.is_some())
        } else {
            dialler.receive(now, &mut input).map(|done| done.is_some())
        };
        match result {
            Ok(established) => assert!(!established && failed.is_none()),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(failed.is_none_or(|earlier| earlier == error));
                failed = Some(error);
                // Its owner reads no more.
                input.clear();
            }
        }
        assert!(input.len() <= max, "what was read is bounded");
        while let Some(bytes) = acceptor.poll_transmit() {
            said.push(bytes);
        }
    }
    if !pass_to_acceptor {
        return;
    }
    // A hello and a refusal at most, and no proof.
    assert!(said.len() <= 2 && said.iter().map(Bytes::len).sum::<usize>() <= max);
    assert!(said.iter().all(|message| matches!(message[8], 2 | 5)));
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(scene) = input.arbitrary() else { return };
    match scene {
        Scene::Between { dialler, acceptor } => between(dialler, acceptor, &mut input),
        Scene::Stranger {
            pass_to_acceptor,
            side,
            step,
        } => {
            let rest = input.bytes(input.len()).unwrap_or_default();
            stranger(pass_to_acceptor, side, step, rest);
        }
        Scene::Holder(holder) => holder.run(),
    }
}
