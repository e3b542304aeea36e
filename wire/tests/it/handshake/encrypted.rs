//! Noise mode: who gets it, who is refused for the want of it, and who tries to take it away.

use super::*;

const BOTH: [Mode; 2] = [Mode::Mac, Mode::Noise];
const AES: [Cipher; 2] = [Cipher::AesGcm, Cipher::ChaChaPoly];
const NO_AES: [Cipher; 1] = [Cipher::ChaChaPoly];

fn taking(node: NodeId, modes: &[Mode], ciphers: &[Cipher]) -> Local {
    let mut local = local(node);
    local.modes = modes.to_vec();
    local.ciphers = ciphers.to_vec();
    local
}

fn pair(dialler: &[Mode], acceptor: &[Mode]) -> Pair {
    let (dialler, acceptor) = (
        taking(DIALLER, dialler, &AES),
        taking(ACCEPTOR, acceptor, &AES),
    );
    Pair::new(&dialler, &acceptor)
}

#[test]
fn it_is_encrypted_if_one_side_requires_it_and_with_aes_if_both_have_it_in_hardware() {
    let (mac, noise) = ([Mode::Mac], [Mode::Noise]);
    for (dialler, acceptor, mode) in [
        (&BOTH[..], &BOTH[..], Mode::Mac),
        (&BOTH, &noise, Mode::Noise),
        (&noise, &BOTH, Mode::Noise),
        (&noise, &noise, Mode::Noise),
        (&mac, &BOTH, Mode::Mac),
        (&BOTH, &mac, Mode::Mac),
    ] {
        let ended = pair(dialler, acceptor).run(0, untouched);
        let (d, a) = (ended.dialled.unwrap(), ended.accepted.unwrap());
        assert_eq!((d.mode, a.mode), (mode, mode), "{dialler:?} {acceptor:?}");
        assert_eq!(d.connection, a.connection);
        assert_eq!(d.key_id, "main");
        assert_eq!(d.keys.mac().is_some(), mode == Mode::Mac);
    }
    for (dialler, acceptor, cipher) in [
        (&AES[..], &AES[..], Cipher::AesGcm),
        (&NO_AES, &AES, Cipher::ChaChaPoly),
        (&AES, &NO_AES, Cipher::ChaChaPoly),
        (&NO_AES, &NO_AES, Cipher::ChaChaPoly),
    ] {
        let (dialler, acceptor) = (
            taking(DIALLER, &noise, dialler),
            taking(ACCEPTOR, &noise, acceptor),
        );
        let ended = Pair::new(&dialler, &acceptor).run(0, untouched);
        let ciphers = (
            ended.dialled.unwrap().cipher,
            ended.accepted.unwrap().cipher,
        );
        assert_eq!(ciphers, (Some(cipher), Some(cipher)));
    }
}

#[test]
fn who_takes_no_encryption_where_it_is_required_hears_so_on_either_side_with_the_setting_s_name() {
    let (mac, noise) = ([Mode::Mac], [Mode::Noise]);
    let says = |error: &Option<HandshakeError>, texts: [&str; 2]| {
        let error = error.as_ref().unwrap();
        assert!(matches!(error, HandshakeError::NoCommonMode { .. }));
        let text = error.to_string();
        assert!(texts.iter().all(|part| text.contains(part)), "{text}");
    };
    let setting = "`security = \"hmac\"`";
    let ended = pair(&mac, &noise).run(0, untouched);
    assert_eq!(ended.messages.len(), 2, "a hello and a refusal");
    assert_eq!(ended.messages[1][by_hand::HEADER..], [8, 2]);
    says(
        &ended.at_acceptor,
        ["this node requires encryption", setting],
    );
    says(
        &ended.at_dialler,
        ["the other side requires encryption", setting],
    );

    let ended = pair(&noise, &mac).run(0, untouched);
    assert_eq!(ended.messages[1][by_hand::HEADER..], [8, 1]);
    says(
        &ended.at_acceptor,
        ["the other side requires encryption", setting],
    );
    says(
        &ended.at_dialler,
        ["this node requires encryption", setting],
    );

    // An acceptor of before there was a choice names no mode.
    let mut pair = pair(&noise, &mac);
    let refusal = by_hand::message(5, (1, 1), &[8, 0]);
    let error = pair.dialler_hears(&refusal).unwrap_err();
    says(&Some(error), ["this node requires encryption", "update"]);
}

#[test]
fn a_wrong_secret_is_found_with_the_first_message_that_is_encrypted() {
    let mut other = taking(ACCEPTOR, &[Mode::Noise], &AES);
    other.secrets = vec![Secret::from_bytes("main", [7; 32]).unwrap()];
    let ended = Pair::new(&taking(DIALLER, &BOTH, &AES), &other).run(0, untouched);
    let wrong = HandshakeError::WrongSecret {
        key_id: "main".into(),
    };
    assert_eq!(ended.at_acceptor, Some(wrong.clone()));
    assert_eq!(ended.at_dialler, Some(wrong));
    assert!(ended.proven.is_none() && ended.dialled.is_none());
    let [_, _, _, refusal] = &ended.messages[..] else {
        panic!("two hellos, a proof, a refusal")
    };
    assert_eq!(refusal[by_hand::HEADER..], [3, 0], "and no key of ours");
}

/// Puts another value into the field of this tag.
fn edit(message: &mut Vec<u8>, tag: u8, value: &[u8]) {
    let mut body = Vec::new();
    let mut rest = &message[by_hand::HEADER..];
    while let [found, low, high, more @ ..] = rest {
        let (old, next) = more.split_at(usize::from(u16::from_le_bytes([*low, *high])));
        body.extend(by_hand::field(
            *found,
            if *found == tag { value } else { old },
        ));
        rest = next;
    }
    *message = by_hand::message(message[8], (1, 1), &body);
}

const MODES_TAG: u8 = 6;
const CIPHERS_TAG: u8 = 7;

#[test]
fn somebody_in_the_middle_gets_no_weaker_mode_by_editing_what_is_offered_or_chosen() {
    let (mac, noise) = ([Mode::Mac], [Mode::Noise]);
    for (dialler, acceptor) in [(&BOTH[..], &noise[..]), (&noise, &BOTH), (&noise, &noise)] {
        for (message, tag, value) in [
            (1, MODES_TAG, &[1_u8][..]),
            (1, MODES_TAG, &[1, 2]),
            (1, MODES_TAG, &[2, 1]),
            (2, MODES_TAG, &[1]),
            (1, CIPHERS_TAG, &[2]),
            (1, CIPHERS_TAG, &[2, 1]),
            (2, CIPHERS_TAG, &[2]),
        ] {
            let place = format!("{dialler:?} {acceptor:?} {message} {tag} {value:?}");
            let mut changed = false;
            let edited = std::cell::Cell::new(false);
            let ended = pair(dialler, acceptor).run(message, |bytes| {
                let before = bytes.clone();
                edit(bytes, tag, value);
                edited.set(*bytes != before);
            });
            changed |= edited.get();
            assert_eq!(ended.dialled.is_some(), !changed, "{place}");
            assert_eq!(ended.proven.is_some(), !changed, "{place}");
        }
    }
    // Two that would take either are not talked into another mode than they would have had.
    for (message, value) in [(1, &[2_u8][..]), (2, &[2])] {
        let ended = pair(&BOTH, &BOTH).run(message, |bytes| edit(bytes, MODES_TAG, value));
        assert!(ended.dialled.is_none() && ended.proven.is_none());
    }
    // One that takes tags alone isn't talked into anything either.
    let ended = pair(&mac, &BOTH).run(1, |bytes| edit(bytes, MODES_TAG, &[2, 1]));
    assert!(ended.dialled.is_none() && ended.proven.is_none());
}

#[test]
fn a_list_of_ciphers_that_nobody_knows_is_no_common_mode_unless_tags_are() {
    let noise = [Mode::Noise];
    let unknown = |bytes: &mut Vec<u8>| edit(bytes, CIPHERS_TAG, &[77]);
    let ended = pair(&noise, &noise).run(1, unknown);
    let error = ended.at_acceptor.unwrap();
    assert!(
        matches!(error, HandshakeError::NoCommonMode { .. }),
        "{error}"
    );
    let ended = pair(&BOTH, &BOTH).run(2, |bytes| edit(bytes, MODES_TAG, &[2]));
    let error = ended.at_dialler.unwrap();
    assert!(matches!(error, HandshakeError::Malformed(_)), "{error}");
}

#[test]
fn each_connection_has_keys_of_its_own_even_with_the_same_nonces() {
    let run = || {
        pair(&[Mode::Noise], &[Mode::Noise])
            .run(0, untouched)
            .messages
    };
    let (one, other) = (run(), run());
    assert_eq!(one[..2], other[..2]);
    assert_ne!(one[2], other[2], "the ephemeral keys are drawn anew");
    assert_ne!(one[3], other[3]);
}
