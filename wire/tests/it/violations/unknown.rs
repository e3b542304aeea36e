//! What later versions may say: skipped where it may be, else refused by number.

use botzilla_wire::{error::SessionError, frame::kind, limits::Limits};

use super::{declare, is_request, message, raw, refused, say};
use crate::pair::Pair;

#[test]
fn an_unknown_optional_frame_is_skipped_and_a_required_one_is_refused_by_number() {
    let body = [
        raw(0xff, &[1, 2, 3], b"later"),
        declare(0, 0, "a", false),
        message(0, 1, b"x"),
    ]
    .concat();
    let (result, events) = say(&[body]);
    assert_eq!(result, Ok(()));
    assert!(is_request(&events[1]));
    let error = refused(&[raw(0x7f, &[1, 2, 3], b"later")]);
    assert_eq!(error, SessionError::UnknownFrame { kind: 0x7f });
    assert_eq!(error.to_string(), "unknown required frame kind 0x7f");
    assert_eq!(
        refused(&[raw(0x00, &[], b"")]),
        SessionError::UnknownFrame { kind: 0 }
    );
}

#[test]
fn an_unknown_optional_field_is_skipped_and_a_required_one_is_refused_by_number() {
    let plain = declare(0, 0, "a", false);
    let with = |fields: &[u8]| {
        let mut body = plain.clone();
        body.extend_from_slice(fields);
        body[0] += fields.len() as u8;
        [body, message(0, 1, b"x")].concat()
    };
    let (result, events) = say(&[with(&[100, 2, 7, 7])]);
    assert_eq!(result, Ok(()));
    assert!(is_request(&events[1]));
    let error = say(&[with(&[101, 2, 7, 7])]).0.unwrap_err();
    assert_eq!(
        error,
        SessionError::UnknownField {
            frame: "route",
            tag: 101
        }
    );
    assert_eq!(
        error.to_string(),
        "unknown required field 101 in a route frame"
    );
}

#[test]
fn every_frame_skips_optional_fields_and_refuses_required_ones() {
    let kinds: [(u8, &[u8], &[u8]); 10] = [
        (kind::ASK, &[0, 1, 0], b"x"),
        (kind::TELL, &[0, 1, 0], b"x"),
        (kind::REPLY, &[1], b""),
        (kind::FAILURE, &[1, 1, 0], b""),
        (kind::DONE, &[], b""),
        (kind::CREDIT, &[251, 0, 16, 252, 0, 0, 0, 2], b""),
        (kind::CANCEL, &[1], b""),
        (kind::ABORT, &[], b""),
        (kind::CLOSE, &[1, 0], b""),
        (kind::PING, &[], b""),
    ];
    for (kind, fields, payload) in kinds {
        let say = |extra: &[u8]| {
            let (mut forger, mut end, now) = Pair::forged(&Limits::default());
            end.receive(now, &forger.record(&declare(0, 0, "a", false)))
                .unwrap();
            end.receive(
                now,
                &forger.record(&raw(kind, &[fields, extra].concat(), payload)),
            )
        };
        let plain = say(&[]);
        assert_eq!(say(&[200, 1, 0]), plain, "kind {kind:#x}");
        let required = say(&[200, 1, 0, 201, 0]);
        assert!(
            matches!(required, Err(SessionError::UnknownField { tag: 201, .. })),
            "{required:?}"
        );
    }
}
