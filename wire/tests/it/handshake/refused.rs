//! What is refused, and the sentences that people see.

use super::*;

#[test]
fn a_wrong_secret_is_told_from_no_common_key_id_on_both_sides() {
    let other = |id| Local::new(ACCEPTOR, vec![Secret::from_bytes(id, [7; 32]).unwrap()]);
    let mut pair = Pair::new(&local(DIALLER), &other("main"));
    let hello = pair.dialler.poll_transmit().unwrap();
    pair.acceptor_hears(&hello).unwrap();
    let answer = pair.acceptor.poll_transmit().unwrap();
    assert_eq!(answer[8], 2, "a hello, which has no MAC in it");
    pair.dialler_hears(&answer).unwrap();
    let proof = pair.dialler.poll_transmit().unwrap();
    let at_acceptor = pair.acceptor_hears(&proof).unwrap_err();
    let refusal = pair.acceptor.poll_transmit().unwrap();
    assert_eq!(
        refusal.len(),
        by_hand::HEADER + 2,
        "no MAC leaves before one was verified"
    );
    let at_dialler = pair.dialler_hears(&refusal).unwrap_err();
    assert_eq!(
        at_acceptor,
        HandshakeError::WrongSecret {
            key_id: "main".into()
        }
    );
    assert_eq!(at_dialler, at_acceptor);
    assert!(
        at_dialler.to_string().starts_with("wrong secret"),
        "{at_dialler}"
    );
    assert!(
        pair.acceptor
            .receive(pair.now, &mut BytesMut::new())
            .is_err(),
        "it is over"
    );

    let mut pair = Pair::new(&local(DIALLER), &other("spare"));
    let hello = pair.dialler.poll_transmit().unwrap();
    let at_acceptor = pair.acceptor_hears(&hello).unwrap_err();
    assert!(
        at_acceptor
            .to_string()
            .contains("`main`, this node `spare`"),
        "{at_acceptor}"
    );
    let at_dialler = {
        let refusal = pair.acceptor.poll_transmit().unwrap();
        pair.dialler_hears(&refusal).unwrap_err()
    };
    assert!(matches!(at_dialler, HandshakeError::NoCommonKey { .. }));
    assert!(
        at_dialler.to_string().contains("no key id out of `main`"),
        "{at_dialler}"
    );
}

#[test]
fn version_ranges_that_do_not_meet_are_both_in_the_text() {
    let mut newer = local(ACCEPTOR);
    newer.versions = VersionRange { min: 2, max: 3 };
    let mut pair = Pair::new(&local(DIALLER), &newer);
    let hello = pair.dialler.poll_transmit().unwrap();
    let at_acceptor = pair.acceptor_hears(&hello).unwrap_err().to_string();
    let refusal = pair.acceptor.poll_transmit().unwrap();
    let at_dialler = pair.dialler_hears(&refusal).unwrap_err().to_string();
    assert!(
        at_dialler.contains("speaks protocol version 1, the other side versions 2 to 3"),
        "{at_dialler}"
    );
    assert!(
        at_acceptor.contains("speaks protocol versions 2 to 3, the other side version 1"),
        "{at_acceptor}"
    );

    let mut wide = local(ACCEPTOR);
    wide.versions = VersionRange { min: 1, max: 9 };
    assert_eq!(
        Pair::new(&local(DIALLER), &wide)
            .run(0, untouched)
            .dialled
            .unwrap()
            .version,
        1
    );
    assert_eq!(
        Pair::new(&local(DIALLER), &local(ACCEPTOR))
            .run(0, untouched)
            .accepted
            .unwrap()
            .version,
        1
    );
}

#[test]
fn another_node_than_the_one_meant_is_refused() {
    let now = Instant::now();
    let meant = NodeId([1; 16]);
    let mut dialler = Dialler::new(&local(DIALLER), Some(meant), None, [0x11; 32], now);
    let mut acceptor = Acceptor::new(&local(ACCEPTOR), [0x22; 32], now);
    let mut input = BytesMut::from(&dialler.poll_transmit().unwrap()[..]);
    let error = acceptor.receive(now, &mut input).unwrap_err();
    assert_eq!(
        error,
        HandshakeError::WrongNode {
            meant,
            found: Some(ACCEPTOR)
        }
    );
    let mut input = BytesMut::from(&acceptor.poll_transmit().unwrap()[..]);
    let error = dialler.receive(now, &mut input).unwrap_err();
    assert_eq!(error, HandshakeError::WrongNode { meant, found: None });

    // An acceptor that doesn't care.
    let mut dialler = Dialler::new(&local(DIALLER), Some(meant), None, [0x11; 32], now);
    let answer = Pair::usual().run(0, untouched).messages[1].clone();
    let error = dialler
        .receive(now, &mut BytesMut::from(&answer[..]))
        .unwrap_err();
    assert_eq!(
        error,
        HandshakeError::WrongNode {
            meant,
            found: Some(ACCEPTOR)
        }
    );
    assert!(error.to_string().contains(&meant.to_string()), "{error}");
}

#[test]
fn a_proven_dialler_can_be_refused_for_every_reason() {
    for (code, text) in [
        (RefusalCode::Crossed, "both sides dialled"),
        (RefusalCode::Busy, "too many connections"),
        (RefusalCode::Stopping, "shutting down"),
        (
            RefusalCode::Denied,
            "denied by policy: the other side's lets nobody connect so under the key id `main`",
        ),
    ] {
        let mut pair = Pair::usual();
        let hello = pair.dialler.poll_transmit().unwrap();
        pair.acceptor_hears(&hello).unwrap();
        let answer = pair.acceptor.poll_transmit().unwrap();
        pair.dialler_hears(&answer).unwrap();
        let proof = pair.dialler.poll_transmit().unwrap();
        assert!(pair.acceptor_hears(&proof).unwrap().is_some());
        pair.acceptor.refuse(code);
        let refusal = pair.acceptor.poll_transmit().unwrap();
        let error = pair.dialler_hears(&refusal).unwrap_err();
        let expected = match code {
            RefusalCode::Denied => HandshakeError::Denied {
                key_id: "main".to_owned(),
            },
            code => HandshakeError::Refused(code),
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn a_reason_of_a_later_version_is_shown_by_its_number() {
    let mut pair = Pair::usual();
    let refusal = by_hand::message(5, (1, 7), &[99, 0, 1, 2, 3]);
    let error = pair.dialler_hears(&refusal).unwrap_err();
    assert_eq!(error, HandshakeError::Refused(RefusalCode::Unknown(99)));
    assert!(error.to_string().contains("99"), "{error}");
}
