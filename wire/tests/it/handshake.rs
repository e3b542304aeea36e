use std::time::{Duration, Instant};

use botzilla_wire::{
    handshake::{
        Acceptor, Cipher, Dialler, Established, HandshakeError, Local, Mode, Proven, RefusalCode,
        VersionRange,
    },
    ident::{ConnectionId, Features, Lane, NodeId},
    secret::Secret,
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::by_hand;

mod encrypted;
mod later;
mod refused;

const DIALLER: NodeId = NodeId([0xd1; 16]);
const ACCEPTOR: NodeId = NodeId([0xac; 16]);
const SECRET: [u8; 32] = [0x5e; 32];

fn local(node: NodeId) -> Local {
    Local::new(node, vec![Secret::from_bytes("main", SECRET).unwrap()])
}

struct Pair {
    now: Instant,
    dialler: Dialler,
    acceptor: Acceptor,
}

impl Pair {
    fn new(dialler: &Local, acceptor: &Local) -> Self {
        let now = Instant::now();
        Self {
            now,
            dialler: Dialler::new(dialler, Some(acceptor.node), None, [0x11; 32], now),
            acceptor: Acceptor::new(acceptor, [0x22; 32], now),
        }
    }

    fn usual() -> Self {
        Self::new(&local(DIALLER), &local(ACCEPTOR))
    }

    /// The same in a mode, whose keys are always the same.
    fn in_mode(mode: Mode) -> Self {
        let [dialler, acceptor] = [DIALLER, ACCEPTOR].map(|node| {
            let mut local = local(node);
            local.modes = vec![mode];
            local
        });
        let mut pair = Self::new(&dialler, &acceptor);
        pair.dialler.fix_ephemeral_key_for_testing_only([3; 32]);
        pair.acceptor.fix_ephemeral_key_for_testing_only([4; 32]);
        pair
    }

    /// Hands a message to the acceptor.
    fn acceptor_hears(&mut self, message: &[u8]) -> Result<Option<Proven>, HandshakeError> {
        self.acceptor
            .receive(self.now, &mut BytesMut::from(message))
    }

    fn dialler_hears(&mut self, message: &[u8]) -> Result<Option<Established>, HandshakeError> {
        self.dialler.receive(self.now, &mut BytesMut::from(message))
    }

    /// Runs the handshake as far as it goes; message `changed.0` (from 1) goes through `changed.1`
    /// on its way.
    fn run(mut self, changed: usize, change: impl Fn(&mut Vec<u8>)) -> Ended {
        let mut ended = Ended::default();
        let mut step = |message: Bytes| {
            ended.messages.push(message.clone());
            let mut message = message.to_vec();
            if ended.messages.len() == changed {
                change(&mut message);
            }
            message
        };
        let first = step(self.dialler.poll_transmit().unwrap());
        let heard = self.acceptor_hears(&first);
        ended.at_acceptor = heard.err();
        let Some(second) = self.acceptor.poll_transmit() else {
            return ended;
        };
        let second = step(second);
        let heard = self.dialler_hears(&second);
        ended.at_dialler = heard.err();
        let Some(third) = self.dialler.poll_transmit() else {
            return ended;
        };
        let third = step(third);
        match self.acceptor_hears(&third) {
            Ok(Some(proven)) => {
                ended.proven = Some(proven);
                ended.accepted = Some(self.acceptor.accept());
            }
            Ok(None) => {}
            Err(error) => ended.at_acceptor = Some(error),
        }
        let Some(fourth) = self.acceptor.poll_transmit() else {
            return ended;
        };
        let fourth = step(fourth);
        match self.dialler_hears(&fourth) {
            Ok(established) => ended.dialled = established,
            Err(error) => ended.at_dialler = Some(error),
        }
        ended
    }
}

#[derive(Default)]
struct Ended {
    messages: Vec<Bytes>,
    proven: Option<Proven>,
    accepted: Option<Established>,
    dialled: Option<Established>,
    at_dialler: Option<HandshakeError>,
    at_acceptor: Option<HandshakeError>,
}

fn untouched(_: &mut Vec<u8>) {}

#[test]
fn both_ends_agree_on_everything_and_have_a_key_for_each_direction() {
    let mut dialler = local(DIALLER);
    dialler.lane = Lane::Bulk;
    dialler.limits.routes = 7;
    dialler.features = Features(0b0110 | 1 << 40);
    let mut acceptor = local(ACCEPTOR);
    acceptor.limits.stream_payload = 12_345;
    acceptor.features = Features(0b0011 | 1 << 40);
    let ended = Pair::new(&dialler, &acceptor).run(0, untouched);
    let (d, a) = (ended.dialled.unwrap(), ended.accepted.unwrap());
    assert_eq!((d.peer, a.peer), (ACCEPTOR, DIALLER));
    assert_eq!((d.dialled, a.dialled), (true, false));
    assert_eq!((d.lane, a.lane), (Lane::Bulk, Lane::Bulk));
    assert_eq!(ended.proven.unwrap().lane, Lane::Bulk);
    assert_eq!(d.connection, a.connection);
    assert_eq!((d.version, a.version), (1, 1));
    assert_eq!(
        (d.features, a.features),
        (Features(0b0010 | 1 << 40), Features(0b0010 | 1 << 40))
    );
    assert_eq!(d.encodings, a.encodings);
    assert_eq!((d.key_id.as_str(), a.key_id.as_str()), ("main", "main"));
    assert_eq!((d.peer_limits.payload, a.peer_limits.routes), (12_345, 7));
    let tag = d.keys.mac().unwrap().seal_key().tag(0, &[b"body"]);
    assert!(a.keys.mac().unwrap().open_key().verify(0, &[b"body"], &tag));
    assert!(
        !d.keys.mac().unwrap().open_key().verify(0, &[b"body"], &tag),
        "a record can't be reflected"
    );
    let tag = a.keys.mac().unwrap().seal_key().tag(9, &[b"body"]);
    assert!(d.keys.mac().unwrap().open_key().verify(9, &[b"body"], &tag));
}

const MODES: [Mode; 2] = [Mode::Mac, Mode::Noise];

fn lengths(mode: Mode) -> Vec<usize> {
    let messages = Pair::in_mode(mode).run(0, untouched).messages;
    assert_eq!(messages.len(), 4);
    messages.iter().map(Bytes::len).collect()
}

#[test]
fn no_bit_of_any_message_can_be_flipped() {
    for mode in MODES {
        for (message, len) in (1..).zip(lengths(mode)) {
            for bit in 0..len * 8 {
                let flip = |bytes: &mut Vec<u8>| bytes[bit / 8] ^= 1 << (bit % 8);
                let ended = Pair::in_mode(mode).run(message, flip);
                let place = format!("{mode:?}: bit {bit} of message {message}");
                let goes_on = ended.dialled.is_some() || message < 4 && ended.proven.is_some();
                assert!(!goes_on, "{place}: nobody must go on");
            }
        }
    }
}

#[test]
fn a_cut_message_makes_nobody_go_on() {
    for mode in MODES {
        for (message, len) in (1..).zip(lengths(mode)) {
            for keep in 0..len {
                let ended = Pair::in_mode(mode).run(message, |bytes| bytes.truncate(keep));
                assert!(ended.dialled.is_none() && (message == 4 || ended.proven.is_none()));
            }
        }
    }
}

#[test]
fn it_works_byte_by_byte_and_leaves_the_first_record_alone() {
    for mode in MODES {
        byte_by_byte(Pair::in_mode(mode));
    }
}

fn byte_by_byte(mut pair: Pair) {
    let mut input = BytesMut::new();
    for byte in pair.dialler.poll_transmit().unwrap() {
        input.extend_from_slice(&[byte]);
        assert!(
            pair.acceptor
                .receive(pair.now, &mut input)
                .unwrap()
                .is_none()
        );
    }
    let answer = pair.acceptor.poll_transmit().unwrap();
    pair.dialler_hears(&answer).unwrap();
    let mut proven = None;
    for byte in pair.dialler.poll_transmit().unwrap() {
        input.extend_from_slice(&[byte]);
        proven = pair.acceptor.receive(pair.now, &mut input).unwrap();
    }
    assert_eq!(proven.unwrap().peer, DIALLER);
    pair.acceptor.accept();
    let mut input = BytesMut::from(&pair.acceptor.poll_transmit().unwrap()[..]);
    input.extend_from_slice(b"the first record");
    assert!(
        pair.dialler
            .receive(pair.now, &mut input)
            .unwrap()
            .is_some()
    );
    assert_eq!(&input[..], b"the first record");
}

#[test]
fn nothing_that_was_recorded_works_a_second_time() {
    let is_wrong = |error: &HandshakeError| matches!(error, HandshakeError::WrongSecret { .. });
    for mode in MODES {
        let recorded = Pair::in_mode(mode).run(0, untouched).messages;
        let [mut dialler_s, mut acceptor_s] = [local(DIALLER), local(ACCEPTOR)];
        (dialler_s.modes, acceptor_s.modes) = (vec![mode], vec![mode]);
        let now = Instant::now();
        let hear = |n: usize| BytesMut::from(&recorded[n][..]);
        // The hello is only a hello, but the proof was for another nonce.
        let mut acceptor = Acceptor::new(&acceptor_s, [0x33; 32], now);
        acceptor.receive(now, &mut hear(0)).unwrap();
        let error = acceptor.receive(now, &mut hear(2)).unwrap_err();
        assert!(is_wrong(&error), "{error}");
        // And the other way round.
        let mut dialler = Dialler::new(&dialler_s, None, None, [0x44; 32], now);
        dialler.receive(now, &mut hear(1)).unwrap();
        let error = dialler.receive(now, &mut hear(3)).unwrap_err();
        assert!(is_wrong(&error), "{error}");
    }
}

#[test]
fn nothing_can_be_reflected() {
    let mut pair = Pair::usual();
    let hello = pair.dialler.poll_transmit().unwrap();
    assert_eq!(
        pair.dialler_hears(&hello).unwrap_err(),
        HandshakeError::Reflected
    );

    // Its own hello, dressed up as an acceptor's.
    for forged_nonce in [true, false] {
        let mut pair = Pair::usual();
        let mut fields = by_hand::hello_fields();
        fields.retain(|(tag, _)| *tag != 4);
        fields[1].1 = vec![if forged_nonce { 0xac } else { 0xd1 }; 16];
        if !forged_nonce {
            fields[0].1 = vec![9; 32];
        }
        let answer = by_hand::message(2, (1, 1), &by_hand::body(&fields));
        let error = pair.dialler_hears(&answer).unwrap_err();
        let expected = if forged_nonce {
            HandshakeError::Reflected
        } else {
            HandshakeError::SelfDial
        };
        assert_eq!(error, expected);
    }

    // Its own proof, dressed up as an acceptor's.
    let mut pair = Pair::usual();
    let hello = pair.dialler.poll_transmit().unwrap();
    pair.acceptor_hears(&hello).unwrap();
    let answer = pair.acceptor.poll_transmit().unwrap();
    pair.dialler_hears(&answer).unwrap();
    let mut proof = pair.dialler.poll_transmit().unwrap().to_vec();
    assert!(pair.dialler_hears(&proof).is_err());
    let mut pair = Pair::usual();
    pair.dialler_hears(&answer).unwrap();
    proof[8] = 4;
    let error = pair.dialler_hears(&proof).unwrap_err();
    assert!(
        matches!(error, HandshakeError::WrongSecret { .. }),
        "{error}"
    );

    // Another acceptor of the same node.
    let now = Instant::now();
    let mut acceptor = Acceptor::new(&local(DIALLER), [0x33; 32], now);
    let error = acceptor
        .receive(now, &mut BytesMut::from(&hello[..]))
        .unwrap_err();
    assert_eq!(error, HandshakeError::SelfDial);
}

#[test]
fn the_diallers_preference_decides_among_several_secrets() {
    let secret = |id: &str, byte| Secret::from_bytes(id, [byte; 32]).unwrap();
    let dialler = Local::new(
        DIALLER,
        vec![secret("x", 1), secret("b", 2), secret("a", 3)],
    );
    let acceptor = Local::new(ACCEPTOR, vec![secret("a", 3), secret("b", 2)]);
    let ended = Pair::new(&dialler, &acceptor).run(0, untouched);
    assert_eq!(ended.dialled.unwrap().key_id, "b");
}

#[test]
fn what_is_replaced_reaches_the_acceptor() {
    let now = Instant::now();
    let old = ConnectionId([0x0c; 16]);
    let mut pair = Pair::usual();
    pair.dialler = Dialler::new(&local(DIALLER), None, Some(old), [0x11; 32], now);
    let ended = pair.run(0, untouched);
    assert_eq!(ended.proven.unwrap().replaces, Some(old));
    assert_eq!(ended.accepted.unwrap().replaces, Some(old));
    assert_eq!(ended.dialled.unwrap().replaces, Some(old));
}

#[test]
fn time_runs_out_on_both_sides() {
    let mut pair = Pair::usual();
    let hello = pair.dialler.poll_transmit().unwrap();
    assert_eq!(pair.dialler.deadline(), pair.now + Duration::from_secs(5));
    assert_eq!(pair.acceptor.deadline(), pair.now + Duration::from_secs(5));
    pair.now += Duration::from_secs(5);
    let error = pair.acceptor_hears(&hello).unwrap_err();
    assert_eq!(error, HandshakeError::TooSlow { seconds: 5 });
    let refusal = pair.acceptor.poll_transmit().unwrap();
    assert_eq!(
        pair.dialler_hears(&refusal).unwrap_err(),
        HandshakeError::TooSlow { seconds: 5 }
    );
}

#[test]
fn more_than_a_kibibyte_is_refused_before_it_has_arrived() {
    let mut pair = Pair::usual();
    let long = by_hand::message(1, (1, 1), &[0; 1010]);
    let error = pair.acceptor_hears(&long[..by_hand::HEADER]).unwrap_err();
    assert_eq!(error, HandshakeError::TooLong { max: 1024 });

    // In all, not each.
    let mut fields = by_hand::hello_fields();
    fields.push((0x80, vec![0; 750]));
    let hello = by_hand::message(1, (1, 1), &by_hand::body(&fields));
    let mut pair = Pair::usual();
    pair.acceptor_hears(&hello).unwrap();
    let error = pair
        .acceptor_hears(&by_hand::message(3, (1, 1), &[0; 32 + 100]))
        .unwrap_err();
    assert_eq!(error, HandshakeError::TooLong { max: 1024 });
}

#[test]
fn the_longest_hello_fits() {
    let ids = (0..20).map(|n| format!("{n:0>32}"));
    let secrets: Vec<Secret> = ids
        .map(|id| Secret::from_bytes(&id, SECRET).unwrap())
        .collect();
    let dialler = Local::new(DIALLER, secrets.clone());
    let acceptor = Local::new(ACCEPTOR, vec![secrets[15].clone()]);
    let mut pair = Pair::new(&dialler, &acceptor);
    let replaced = Some(ConnectionId([1; 16]));
    pair.dialler = Dialler::new(&dialler, Some(ACCEPTOR), replaced, [0x11; 32], pair.now);
    let ended = pair.run(0, untouched);
    assert!(ended.dialled.is_some());
    assert!(ended.messages[0].len() + ended.messages[2].len() <= 1024);
}

#[test]
fn whoever_is_no_botzilla_is_named_by_what_it_said_and_told_nothing() {
    let mut pair = Pair::usual();
    let error = pair
        .dialler_hears(b"HTTP/1.1 400 Bad Request\r\n")
        .unwrap_err();
    assert_eq!(
        error,
        HandshakeError::NotBotzilla {
            said: "HTTP/1.1 400 Bad".into()
        }
    );
    assert!(error.to_string().contains("check the address"), "{error}");
    let error = pair.acceptor_hears(b"\x16\x03\x01").unwrap_err();
    assert_eq!(error, HandshakeError::NotBotzilla { said: "...".into() });
    assert!(pair.acceptor.poll_transmit().is_none());
}

proptest! {
    #[test]
    fn random_bytes_never_panic_nor_prove_anything(
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
        kind in 0..7_u8,
        framed in any::<bool>(),
    ) {
        let body = &bytes[..bytes.len().min(1000)];
        let bytes = if framed { by_hand::message(kind, (1, 1), body) } else { bytes };
        let mut pair = Pair::usual();
        prop_assert!(!matches!(pair.acceptor_hears(&bytes), Ok(Some(_))));
        prop_assert!(!matches!(pair.dialler_hears(&bytes), Ok(Some(_))));
        // Behind a good hello, too.
        let mut pair = Pair::usual();
        let hello = pair.dialler.poll_transmit().unwrap();
        pair.acceptor_hears(&hello).unwrap();
        let answer = pair.acceptor.poll_transmit().unwrap();
        pair.dialler_hears(&answer).unwrap();
        prop_assert!(!matches!(pair.acceptor_hears(&bytes), Ok(Some(_))));
        prop_assert!(!matches!(pair.dialler_hears(&bytes), Ok(Some(_))));
    }
}
