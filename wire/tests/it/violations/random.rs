//! Random words of someone who holds the keys, and random bytes of someone who doesn't.

use botzilla_wire::{limits::Limits, session::Kind};
use bytes::Bytes;
use proptest::prelude::*;

use super::{declare, message, raw};
use crate::pair::{Pair, bytes_of, route};

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let fields = proptest::collection::vec(prop_oneof![0_u8..8, any::<u8>()], 0..20);
    let payload = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (0_u8..16, fields, payload)
            .prop_map(|(kind, fields, payload)| raw(kind, &fields, &payload)),
        (0_u32..3, 0_u32..3, any::<bool>()).prop_map(|(n, w, urgent)| declare(n, w, "a", urgent)),
        (0_u32..3, 1_u32..6).prop_map(|(route, id)| message(route, id, b"payload")),
        proptest::collection::vec(any::<u8>(), 1..60),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_an_authentic_peer_says_nothing_panics(
        bodies in proptest::collection::vec(proptest::collection::vec(any_frame(), 1..4), 1..12),
        answers: bool,
    ) {
        let (mut forger, mut end, now) = Pair::forged(&Limits::default());
        end.try_send(now, &route("x", false), Kind::Ask, Bytes::new(), 0).unwrap();
        end.try_send(now, &route("x", true), Kind::Tell, Bytes::new(), 1).unwrap();
        for body in bodies {
            let result = end.receive(now, &forger.record(&body.concat()));
            if answers {
                for id in end.take_requests() {
                    end.session.reply(id, bytes_of(id as usize));
                }
            }
            end.transmit(now);
            if result.is_err() {
                let before = end.events.len();
                prop_assert!(end.receive(now, &forger.record(&declare(0, 0, "a", false))).is_err());
                prop_assert_eq!(end.events.len(), before);
                break;
            }
        }
        prop_assert!(end.session.end().len() <= 2);
    }

    #[test]
    fn random_bytes_are_no_record(bytes in proptest::collection::vec(any::<u8>(), 0..300), step in 1_usize..50) {
        let (_, mut end, now) = Pair::forged(&Limits::default());
        for part in bytes.chunks(step) {
            if end.receive(now, part).is_err() {
                break;
            }
            prop_assert!(end.input.capacity() < 4096, "a length sizes nothing");
        }
        prop_assert!(end.events.is_empty());
    }
}
