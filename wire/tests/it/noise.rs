//! Sessions of both lanes in noise mode: what they say arrives, nobody else can read it, and the bytes
//! are those that PROTOCOL.md says.

use std::time::Instant;

use botzilla_wire::{
    handshake::Cipher,
    ident::Lane,
    limits::Limits,
    record::{NOISE_OVERHEAD, NOISE_RECORD_MAX},
    session::{Event, Kind, Session},
    stream::{Event as StreamEvent, Mode},
};
use bytes::{Bytes, BytesMut};

use crate::{
    by_hand::sha256,
    by_hand_noise as by_hand,
    golden::Vectors,
    pair::{
        EPHEMERAL, End, GUARDS, Pair, SECOND, bytes_of, established_anew, limits, records_in, route,
    },
    streams::{BulkPair, ask},
};

const CIPHERS: [Cipher; 2] = [Cipher::AesGcm, Cipher::ChaChaPoly];
const SECRET: [u8; 32] = [7; 32];

fn end(established: botzilla_wire::handshake::Established, now: Instant) -> End {
    // Each is heard alone.
    let limits = limits(|limits| limits.dead_after = 60 * SECOND);
    End {
        session: Session::new(established, &limits, now),
        input: BytesMut::new(),
        events: Vec::new(),
    }
}

/// A connection whose keys are replaced after so many records, and its handshake.
fn pair(rekey_after: u64, cipher: Cipher) -> (Pair, Vec<Bytes>) {
    let now = Instant::now();
    let ((dialled, accepted), messages) = established_anew(rekey_after, cipher, Lane::Control, now);
    let (a, b) = (end(dialled, now), end(accepted, now));
    (Pair { now, a, b }, messages)
}

#[test]
fn long_and_short_messages_and_replies_arrive_as_they_were_sent_over_many_keys() {
    let sizes = [
        0, 1, 8_191, 8_192, 65_450, 65_498, 65_499, 65_500, 65_536, 400_000,
    ];
    for cipher in CIPHERS {
        let (mut pair, _) = pair(3, cipher);
        for (token, len) in (0..).zip(sizes) {
            pair.a_sends("camera", Kind::Ask, len, token);
            pair.settle();
            let events = pair.b.take_events();
            let Some(Event::Request { id, payload, .. }) = events.last() else {
                panic!("{len} bytes make a message")
            };
            assert_eq!(*payload, bytes_of(len));
            pair.b.session.reply(*id, payload.clone());
            pair.settle();
            let payload = bytes_of(len);
            assert_eq!(pair.a.take_events(), [Event::Replied { token, payload }]);
        }
    }
}

#[test]
fn no_record_of_either_lane_is_longer_than_a_noise_message_and_full_ones_are_used() {
    let limits = Limits::default();
    for guard in GUARDS.into_iter().flatten() {
        let mut pair = Pair::guarded(Some(guard), &limits, &limits);
        pair.a_sends("camera", Kind::Ask, 1_000_000, 1);
        let said = records_in(Some(guard), &pair.a.transmit(pair.now));
        // Its route goes first, in a record of its own.
        assert_eq!(said.len(), 1 + 1_000_000 / 65_500 + 1);
        assert!(said.iter().all(|record| record.len() <= NOISE_RECORD_MAX));

        let mut bulk = BulkPair::guarded(Some(guard));
        let (_, to) = bulk.subscribe(ask(Mode::Reliable, 4, 4, 1 << 24));
        bulk.push(to, 0, 1_000_000);
        let bytes = bulk.publisher.transmit(bulk.now);
        let said = records_in(Some(guard), &bytes);
        let longest = said.iter().map(Vec::len).max();
        assert_eq!(longest, Some(NOISE_RECORD_MAX));
        assert!(bytes.len() < 1_000_000 + 17 * (NOISE_OVERHEAD + 16));
        bulk.subscriber.receive(bulk.now, &bytes).unwrap();
        let item = bulk
            .subscriber
            .take_events()
            .into_iter()
            .find_map(|event| match event {
                StreamEvent::Item { payload, .. } => Some(payload),
                _ => None,
            });
        assert_eq!(item.unwrap(), bytes_of(1_000_000));
    }
}

#[test]
fn nothing_of_a_message_its_names_or_a_failure_s_text_can_be_read_on_the_way() {
    let limits = Limits::default();
    let seen = |guard| {
        let mut pair = Pair::guarded(guard, &limits, &limits);
        let payload = Bytes::from_static(b"the payload itself");
        let to = route("component-name", false);
        pair.a
            .try_send(pair.now, &to, Kind::Ask, payload, 1)
            .unwrap();
        let mut bytes = pair.a.transmit(pair.now);
        pair.b.receive(pair.now, &bytes).unwrap();
        let why = botzilla_wire::Failure::refused(botzilla_wire::Code::Denied, "the text of it");
        pair.b.session.fail(1, why);
        bytes.extend(pair.b.transmit(pair.now));
        ["the payload itself", "component-name", "the text of it"].map(|text| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        })
    };
    for guard in GUARDS {
        assert_eq!(seen(guard), [guard.is_none(); 3]);
    }
}

#[test]
fn handshakes_keys_and_records_are_as_recorded() {
    let mut out = Vectors::new(
        "Noise mode: handshakes with fixed ephemeral keys, and records. All of it was computed a second time\n\
         by other code than that which is tested, from PROTOCOL.md and the Noise specification. The record\n\
         with number 2 is sealed under a key that was replaced, as if REKEY came after 2 records, not 2^20.",
    );
    for cipher in CIPHERS {
        let (mut pair, m) = pair(2, cipher);
        let [m1, m2, m3, m4] = &m[..] else {
            panic!("a handshake has four messages")
        };
        let hand = by_hand::handshake(cipher, &SECRET, [m1, m2], [&EPHEMERAL[0], &EPHEMERAL[1]]);
        assert_eq!((&m3[..], &m4[..]), (&hand.m3[..], &hand.m4[..]));
        out.section(&format!("{cipher:?}"));
        out.hex("secret key", &SECRET);
        for (who, key) in ["dialler", "acceptor"].into_iter().zip(&EPHEMERAL) {
            out.hex(&format!("{who}'s private ephemeral key"), key);
            out.hex(
                &format!("{who}'s public ephemeral key"),
                &by_hand::public(key),
            );
        }
        for (n, message) in (1..).zip(&m) {
            out.hex(&format!("m{n}"), message);
            if n == 2 {
                out.hex("SHA-256(m1 m2)", &sha256(&[m1, m2]));
                out.hex("psk", &hand.psk);
            }
        }
        let transcript = sha256(&[m1, m2, m3, m4]);
        out.hex("connection", &transcript[..16]);
        for (n, who) in ["dialler", "acceptor"].into_iter().enumerate() {
            let mut key = hand.keys[n];
            out.hex(&format!("{who}'s record key"), &key);
            let end = if n == 0 { &mut pair.a } else { &mut pair.b };
            for number in 0..3 {
                if number == 2 {
                    key = by_hand::rekey(cipher, &key);
                    out.hex(&format!("{who}'s key after REKEY"), &key);
                }
                let now = pair.now + (number as u32 + 1) * SECOND;
                end.session.handle_timeout(now).unwrap();
                let said = end.transmit(now);
                // Header length 2, kind 0c, no payload: a ping.
                assert_eq!(said, by_hand::record(cipher, &key, number, b"\x02\x0c\x00"));
                out.hex(&format!("{who} {number}, a ping"), &said);
            }
        }
    }
    out.check("noise.txt");
}
