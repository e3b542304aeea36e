//! Clients that are written from the document, and those of later versions.

use super::*;

type Change = fn(&mut by_hand::Fields);

/// A dialler from the document alone; `change` is what a later version might do to its hello.
fn dial_by_hand(
    acceptor: &Local,
    versions: (u16, u16),
    change: impl Fn(&mut by_hand::Fields),
    proof_fields: &[u8],
) -> Result<Established, HandshakeError> {
    let now = Instant::now();
    let mut end = Acceptor::new(acceptor, [0x22; 32], now);
    let mut fields = by_hand::hello_fields();
    change(&mut fields);
    let first = by_hand::message(1, versions, &by_hand::body(&fields));
    end.receive(now, &mut BytesMut::from(&first[..]))?;
    let second = end.poll_transmit().unwrap();
    let third = by_hand::proof(3, &SECRET, &[&first, &second], proof_fields);
    end.receive(now, &mut BytesMut::from(&third[..]))?.unwrap();
    let established = end.accept();
    let fourth = end.poll_transmit().unwrap();
    assert_eq!(
        fourth,
        by_hand::proof(4, &SECRET, &[&first, &second, &third], &[])
    );
    let transcript = by_hand::sha256(&[&first, &second, &third, &fourth]);
    assert_eq!(established.connection.0, transcript[..16]);
    let key = by_hand::hkdf(&transcript, &SECRET, "botzilla 1 dialler records");
    let tag = by_hand::hmac(&key, &[&7_u64.to_le_bytes()[..], b"body"].concat());
    assert!(
        established
            .keys
            .mac()
            .unwrap()
            .open_key()
            .verify(7, &[b"body"], &tag)
    );
    Ok(established)
}

#[test]
fn a_client_from_the_document_alone_gets_in_and_so_does_one_of_a_later_version() {
    let acceptor = local(ACCEPTOR);
    let plain = dial_by_hand(&acceptor, (1, 1), |_| {}, &[]).unwrap();
    assert_eq!(plain.peer, DIALLER);
    let later = dial_by_hand(
        &acceptor,
        (1, 4),
        |fields| {
            fields[4].1 = vec![2, 1, 77];
            fields[5].1 = vec![99, 2];
            fields[6].1 = 0x0000_0000_ffff_ffff_u64.to_le_bytes().to_vec();
            fields[7].1.extend([1, 2, 3]);
            fields.push((0x80, b"unknown".to_vec()));
            fields.push((0xff, Vec::new()));
        },
        &by_hand::field(0x90, b"unknown too"),
    )
    .unwrap();
    assert_eq!((later.version, later.features), (1, Features::NONE));
    assert_eq!(later.encodings, [botzilla_wire::encoding::Encoding::Json]);
}

#[test]
fn what_is_required_and_unknown_is_refused_by_its_number() {
    let cases: [(Change, HandshakeError); 7] = [
        (
            |fields| fields.push((12, Vec::new())),
            HandshakeError::Field(12),
        ),
        (
            |fields| fields[6].1 = (1_u64 << 37).to_le_bytes().to_vec(),
            HandshakeError::Feature(37),
        ),
        (
            |fields| fields[4].1 = vec![2],
            HandshakeError::NoCommonMode {
                ours: vec![Mode::Mac],
                theirs: vec![Mode::Noise],
            },
        ),
        (
            |fields| fields[5].1 = vec![3],
            HandshakeError::NoCommonEncoding,
        ),
        (
            |fields| fields[2].1 = vec![2],
            HandshakeError::Malformed("its lane is not known here"),
        ),
        (
            |fields| fields.swap(0, 1),
            HandshakeError::Malformed("its fields are out of order"),
        ),
        (
            |fields| drop(fields.remove(0)),
            HandshakeError::Malformed("a field of its hello is missing"),
        ),
    ];
    for (change, expected) in cases {
        let error = dial_by_hand(&local(ACCEPTOR), (1, 1), change, &[]).unwrap_err();
        assert_eq!(error, expected);
    }
    let error =
        dial_by_hand(&local(ACCEPTOR), (1, 1), |_| {}, &by_hand::field(9, &[])).unwrap_err();
    assert_eq!(error, HandshakeError::Field(9));
    assert!(error.to_string().contains("field 9"), "{error}");

    // The acceptor may demand one, too.
    let mut demanding = local(ACCEPTOR);
    demanding.features = Features(1 << 50);
    let ended = Pair::new(&local(DIALLER), &demanding).run(0, untouched);
    assert_eq!(ended.at_acceptor.unwrap(), HandshakeError::Feature(50));
}

#[test]
fn a_choice_that_was_not_offered_is_refused() {
    let answer = |change: Change| {
        let mut fields = by_hand::hello_fields();
        fields.retain(|(tag, _)| *tag != 4);
        fields[0].1 = vec![0x22; 32];
        fields[1].1 = vec![0xac; 16];
        change(&mut fields);
        by_hand::message(2, (1, 1), &by_hand::body(&fields))
    };
    assert!(Pair::usual().dialler_hears(&answer(|_| {})).is_ok());
    let changes: [Change; 7] = [
        |fields| fields[2].1 = b"\x05other".to_vec(),
        |fields| fields[2].1 = b"\x04main\x04main".to_vec(),
        |fields| fields[3].1 = vec![2],
        |fields| fields[3].1 = vec![1, 2],
        |fields| fields[4].1 = vec![],
        |fields| fields[5].1 = vec![1, 0, 0, 0, 0, 0, 0, 0],
        |fields| fields[5].1 = vec![0, 0, 0, 0, 0, 0, 0, 128],
    ];
    for change in changes {
        assert!(Pair::usual().dialler_hears(&answer(change)).is_err());
    }
    let mut downgraded = answer(|_| {});
    downgraded[9] = 0;
    downgraded[11] = 0;
    let error = Pair::usual().dialler_hears(&downgraded).unwrap_err();
    assert!(matches!(error, HandshakeError::Version { .. }), "{error}");
}
