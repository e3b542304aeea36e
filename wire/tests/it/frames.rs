//! Each frame reads back what was written.

use std::time::Duration;

use botzilla_wire::{
    code::{CloseReason, Code},
    coding::Reader,
    encoding::Encoding,
    frame::{Cancel, Close, Credit, Done, FailureFrame, Frame, Message, Raw, Reply, RouteFrame},
    ident::Name,
    route::{Route, Scope},
    session::Kind,
};
use proptest::prelude::*;

fn read<'a, F: Frame<'a>>(bytes: &'a [u8]) -> (F, u64, &'a [u8]) {
    let raw = Raw::split(bytes).unwrap();
    (raw.read().unwrap(), raw.payload_len, &bytes[raw.head..])
}

fn any_name() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9_./-]{1,255}".prop_map(|text| Name::new(&text).unwrap())
}

/// Integers of all sizes, small ones more often.
fn any_int() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
}

fn any_route() -> impl Strategy<Value = Route> {
    let scope = prop_oneof![
        any_name().prop_map(Scope::Component),
        any_name().prop_map(Scope::Group),
        Just(Scope::Everyone),
    ];
    let encoding = prop_oneof![Just(Encoding::Bincode), Just(Encoding::Json)];
    let sender = prop::option::of(any_name());
    (
        scope,
        sender,
        "\\PC{1,60}",
        encoding,
        any::<Option<[u8; 8]>>(),
        any::<bool>(),
    )
        .prop_map(
            |(scope, sender, message, encoding, fingerprint, urgent)| Route {
                scope,
                sender,
                message,
                encoding,
                fingerprint,
                urgent,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_route(number: u32, window: u32, route in any_route()) {
        let frame = RouteFrame { number, window, route };
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        prop_assert_eq!(read::<RouteFrame>(&bytes), (frame, 0, &[][..]));
    }

    #[test]
    fn a_message(
        ask: bool,
        route: u32,
        id: u32,
        micros in any_int(),
        path in proptest::collection::vec(any_name(), 0..16),
        payload: Vec<u8>,
    ) {
        let frame = Message {
            kind: if ask { Kind::Ask } else { Kind::Tell },
            route,
            id,
            time_left: Duration::from_micros(micros),
            path_len: Message::path_len(&path),
            path,
        };
        let mut bytes = Vec::new();
        frame.encode(payload.len(), &mut bytes);
        bytes.extend_from_slice(&payload);
        prop_assert_eq!(read::<Message>(&bytes), (frame, payload.len() as u64, &payload[..]));
        for cut in 0..bytes.len() - payload.len() {
            prop_assert!(Raw::split(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn the_ends(id in any_int(), code: u16, may_have_run: bool, payload: Vec<u8>) {
        let mut bytes = Vec::new();
        Reply { id }.encode(payload.len(), &mut bytes);
        bytes.extend_from_slice(&payload);
        prop_assert_eq!(read::<Reply>(&bytes), (Reply { id }, payload.len() as u64, &payload[..]));
        let frame = FailureFrame { id, code: Code::from_number(code), may_have_run };
        let mut bytes = Vec::new();
        frame.encode(payload.len(), &mut bytes);
        bytes.extend_from_slice(&payload);
        prop_assert_eq!(read::<FailureFrame>(&bytes), (frame, payload.len() as u64, &payload[..]));
        let mut bytes = Vec::new();
        Cancel { id }.encode(&mut bytes);
        prop_assert_eq!(read::<Cancel>(&bytes), (Cancel { id }, 0, &[][..]));
    }

    #[test]
    fn ranges_credit_and_close(
        pairs in proptest::collection::vec((any::<u32>(), 1..u64::from(u32::MAX)), 0..200),
        messages in any_int(),
        total in any_int(),
        reason: u16,
        text in "\\PC{0,99}",
    ) {
        let ranges: Vec<_> = pairs.iter().map(|&(first, count)| (u64::from(first), count)).collect();
        let mut bytes = Vec::new();
        Done::encode(&ranges, &mut bytes);
        let (_, len, payload) = read::<Done>(&bytes);
        prop_assert_eq!(len as usize, payload.len());
        let mut payload = Reader::new(payload);
        let found: Vec<_> = std::iter::from_fn(|| Done::range(&mut payload).unwrap()).collect();
        prop_assert_eq!(found, ranges);

        let credit = Credit { messages, bytes: total };
        let mut bytes = Vec::new();
        credit.encode(&pairs, &mut bytes);
        let (found, len, payload) = read::<Credit>(&bytes);
        prop_assert_eq!((found, len as usize), (credit, payload.len()));
        let mut payload = Reader::new(payload);
        let found: Vec<_> = std::iter::from_fn(|| Credit::window(&mut payload).unwrap()).collect();
        prop_assert_eq!(found, pairs);

        let close = Close { reason: CloseReason::from_number(reason), received: total };
        let mut bytes = Vec::new();
        close.encode(&text, &mut bytes);
        prop_assert_eq!(read::<Close>(&bytes), (close, text.len() as u64, text.as_bytes()));
    }
}
