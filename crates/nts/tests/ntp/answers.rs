//! What a client makes of an answer.

use noonmark_nts::{Aead, AnswerError, open_answer};
use noonmark_packet::{DecodeError, FieldKind, KissCode};
use proptest::prelude::*;

use crate::shape::{Shape, field, server_header, session};

const UNIQUE: [u8; 32] = {
    let mut unique = [0; 32];
    let mut n = 0;
    while n < 32 {
        unique[n] = n as u8;
        n += 1;
    }
    unique
};

fn cookies(count: u8) -> Vec<u8> {
    (0..count).flat_map(|n| field(FieldKind::NTS_COOKIE, &[n; 100])).collect()
}

fn good(aead: Aead) -> Shape {
    Shape::answer(&session(aead), &cookies(3))
}

/// The number of cookies, or what was wrong.
fn check(shape: Shape, expected: Result<usize, AnswerError>) {
    let mut octets = shape.octets();
    let key = session(Aead::SivCmac256).s2c_key();
    let opened = open_answer(&mut octets, &UNIQUE, &key).map(|answer| answer.cookies().count());
    assert_eq!(opened, expected);
}

#[test]
fn a_good_answer_gives_its_header_and_cookies() {
    for aead in Aead::ALL {
        let mut octets = good(aead).octets();
        let answer =
            open_answer(&mut octets, &UNIQUE, &session(aead).s2c_key()).expect("authentic");
        assert_eq!(answer.packet.header(), server_header());
        let cookies: Vec<_> = answer.cookies().map(<[u8]>::to_vec).collect();
        assert_eq!(cookies, [vec![0; 100], vec![1; 100], vec![2; 100]]);
    }
}

#[test]
fn an_answer_must_echo_our_identifier_once_before_the_authenticator() {
    let with = |before: Vec<Vec<u8>>| {
        good(Aead::SivCmac256).bend(|shape| {
            shape.before =
                before.into_iter().map(|body| (FieldKind::UNIQUE_IDENTIFIER, body)).collect();
        })
    };
    check(with(vec![]), Err(AnswerError::UniqueMissing));
    check(with(vec![UNIQUE.to_vec(), UNIQUE.to_vec()]), Err(AnswerError::UniqueRepeated));
    check(with(vec![vec![1; 32]]), Err(AnswerError::UniqueWrong));
    check(with(vec![[&UNIQUE[..], &[0; 4]].concat()]), Err(AnswerError::UniqueWrong));
    check(with(vec![UNIQUE[..28].to_vec()]), Err(AnswerError::UniqueWrong));
    let behind =
        with(vec![]).bend(|shape| shape.after = field(FieldKind::UNIQUE_IDENTIFIER, &UNIQUE));
    check(behind, Err(AnswerError::UniqueMissing));
}

#[test]
fn a_tag_by_another_key_or_over_other_octets_is_forged() {
    let shape = good(Aead::SivCmac256)
        .bend(|shape| shape.seal().key = session(Aead::SivCmac256).c2s().to_vec());
    check(shape, Err(AnswerError::Forged));
    let octets = good(Aead::SivCmac256).octets();
    let key = session(Aead::SivCmac256).s2c_key();
    for bit in 0..octets.len() * 8 {
        let mut bent = octets.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(open_answer(&mut bent, &UNIQUE, &key).is_err(), "bit {bit}");
    }
}

#[test]
fn an_answer_under_another_algorithm_is_forged() {
    let mut octets = good(Aead::Aes128GcmSiv).octets();
    let opened = open_answer(&mut octets, &UNIQUE, &session(Aead::SivCmac256).s2c_key());
    assert_eq!(opened.err(), Some(AnswerError::Forged));
}

#[test]
fn an_unprotected_answer_is_dropped() {
    let plain = good(Aead::SivCmac256).bend(|shape| shape.authenticator = None);
    check(plain.clone(), Err(AnswerError::Unprotected));
    check(plain.bend(|shape| shape.before.clear()), Err(AnswerError::UniqueMissing));
}

#[test]
fn an_unprotected_kiss_counts_only_with_our_identifier() {
    for code in [*b"DENY", *b"RSTR", *b"RATE", *b"NTSN", *b"XABC"] {
        let kiss = good(Aead::SivCmac256).bend(|shape| {
            shape.authenticator = None;
            shape.header[1] = 0;
            shape.header[12..16].copy_from_slice(&code);
        });
        check(kiss.clone(), Err(AnswerError::Kiss(KissCode(code))));
        let wrong = kiss.clone().bend(|shape| shape.before[0].1[0] ^= 1);
        check(wrong, Err(AnswerError::UniqueWrong));
        check(kiss.bend(|shape| shape.before.clear()), Err(AnswerError::UniqueMissing));
    }
}

#[test]
fn a_protected_kiss_is_an_authentic_answer() {
    let mut octets = good(Aead::SivCmac256)
        .bend(|shape| {
            shape.header[1] = 0;
            shape.header[12..16].copy_from_slice(b"RATE");
        })
        .octets();
    let answer =
        open_answer(&mut octets, &UNIQUE, &session(Aead::SivCmac256).s2c_key()).expect("authentic");
    assert_eq!(answer.packet.kiss(), Some(KissCode::RATE));
}

#[test]
fn cookies_in_the_clear_are_ignored() {
    let shape = good(Aead::SivCmac256)
        .bend(|shape| shape.before.push((FieldKind::NTS_COOKIE, vec![9; 100])));
    check(shape, Ok(3));
}

#[test]
fn fields_after_the_authenticator_are_discarded() {
    let after =
        |kind, len| good(Aead::SivCmac256).bend(|shape| shape.after = field(kind, &vec![7; len]));
    check(after(FieldKind(0x7777), 24), Ok(3));
    check(after(FieldKind::NTS_COOKIE, 100), Ok(3));
    check(after(FieldKind::NTS_AUTHENTICATOR, 40), Err(AnswerError::AuthenticatorRepeated));
}

#[test]
fn more_cookies_than_eight_are_left_out() {
    check(good(Aead::SivCmac256).bend(|shape| shape.seal().plaintext = cookies(20)), Ok(8));
    check(good(Aead::SivCmac256).bend(|shape| shape.seal().plaintext = Vec::new()), Ok(0));
}

#[test]
fn encrypted_fields_may_be_four_octets_but_must_be_framed() {
    let with = |plaintext: Vec<u8>| {
        good(Aead::SivCmac256).bend(|shape| shape.seal().plaintext = plaintext)
    };
    check(with([vec![0x12, 0x34, 0, 4], cookies(1)].concat()), Ok(1));
    check(with([cookies(1), vec![0x12, 0x34, 0, 4]].concat()), Ok(1));
    let error = DecodeError::FieldLength { at: 104, claimed: 0 };
    check(with([cookies(1), vec![0; 4]].concat()), Err(AnswerError::EncryptedFraming(error)));
}

#[test]
fn other_modes_and_versions_are_no_answers() {
    for first in [0x23, 0x21, 0x22, 0x25, 0x26, 0x1c, 0x2c, 0x04] {
        let mut octets = good(Aead::SivCmac256).bend(|shape| shape.header[0] = first).octets();
        let opened = open_answer(&mut octets, &UNIQUE, &session(Aead::SivCmac256).s2c_key());
        assert!(matches!(opened, Err(AnswerError::NotAnAnswer { .. })), "{first:#04x}");
    }
}

#[test]
fn short_and_badly_framed_datagrams_are_no_answers() {
    let octets = good(Aead::SivCmac256).octets();
    let key = session(Aead::SivCmac256).s2c_key();
    for len in 0..octets.len() {
        assert!(open_answer(&mut octets[..len].to_vec(), &UNIQUE, &key).is_err(), "{len} octets");
    }
}

#[test]
fn an_answers_authenticator_may_have_any_nonce_and_padding_that_fit() {
    for (nonce, padding) in [(1, 0), (12, 0), (16, 0), (20, 8), (32, 400)] {
        let shape = good(Aead::SivCmac256).bend(|shape| {
            shape.seal().nonce = vec![3; nonce];
            shape.seal().padding = padding;
        });
        check(shape, Ok(3));
    }
    check(
        good(Aead::SivCmac256).bend(|shape| shape.seal().nonce.clear()),
        Err(AnswerError::AuthenticatorLayout),
    );
}

proptest! {
    #[test]
    fn no_octets_make_a_client_panic(
        start in 0_usize..400,
        junk in prop::collection::vec(any::<u8>(), 1..60),
    ) {
        let mut octets = good(Aead::SivCmac256).octets();
        let before = octets.clone();
        let start = start.min(octets.len() - 1);
        let end = (start + junk.len()).min(octets.len());
        octets.splice(start..end, junk);
        prop_assume!(octets[..before.len()] != before[..]);
        let opened = open_answer(&mut octets, &UNIQUE, &session(Aead::SivCmac256).s2c_key());
        prop_assert!(opened.is_err());
    }
}
