//! What a server makes of a request: classification, verification, the size of the answer.

use noonmark_nts::{
    Aead, AnswerPlan, CookieFault, MAX_PACKET_LEN, Request, RequestFault, RequestViolation,
    SessionKeys, UNIQUE_LEN, classify, echo_unique, open_request, placeholders_that_fit,
    write_request,
};
use noonmark_packet::{DecodeError, EncodeError, FieldKind, Header, Mode, Packet};
use noonmark_units::Timestamp;
use proptest::prelude::*;

use crate::shape::{Shape, cookie_keys, counting, field, session};

/// What a server does with a datagram: cookies it would give, or why it would not.
#[derive(Debug, Eq, PartialEq)]
enum Seen {
    Plain { unique: Option<usize> },
    Silent(RequestViolation),
    Nak(Option<CookieFault>),
    Time { cookies: usize },
}

fn serve(mut datagram: Vec<u8>) -> Seen {
    let packet = Packet::parse(&datagram).expect("48 octets");
    let fields = match classify(&packet) {
        Ok(Request::Plain { unique }) => {
            return Seen::Plain { unique: unique.map(|unique| unique.octets(&datagram).len()) };
        }
        Ok(Request::Protected(fields)) => fields,
        Err(violation) => return Seen::Silent(violation),
    };
    let keys = match cookie_keys().open(fields.cookie(&datagram)) {
        Ok(keys) => keys,
        Err(fault) => return Seen::Nak(Some(fault)),
    };
    match open_request(&mut datagram, &fields, &keys) {
        Ok(wanted) => {
            let plan = AnswerPlan::new(&fields, keys.aead(), wanted, datagram.len())
                .expect("one cookie fits");
            assert!(plan.len() <= datagram.len().min(MAX_PACKET_LEN));
            Seen::Time { cookies: plan.cookies() }
        }
        Err(RequestFault::Forged) => Seen::Nak(None),
        Err(RequestFault::Violation(violation)) => Seen::Silent(violation),
    }
}

fn cookie_for(keys: &SessionKeys) -> Vec<u8> {
    cookie_keys().issuer().expect("has its key").seal(keys, &mut counting())
}

fn good(aead: Aead, placeholders: usize) -> Shape {
    let keys = session(aead);
    Shape::request(&keys, &cookie_for(&keys), placeholders)
}

fn check(shape: Shape, expected: Seen) {
    assert_eq!(serve(shape.octets()), expected);
}

const UNIQUE: usize = 0;
const COOKIE: usize = 1;

#[test]
fn one_cookie_and_one_for_each_placeholder() {
    for aead in Aead::ALL {
        for placeholders in 0..=7 {
            let shape = good(aead, placeholders);
            if shape.octets().len() <= MAX_PACKET_LEN {
                check(shape, Seen::Time { cookies: 1 + placeholders });
            }
        }
    }
    check(good(Aead::SivCmac512, 7), Seen::Time { cookies: 6 }); // 8 would pass 1232 octets
    check(good(Aead::SivCmac256, 100), Seen::Time { cookies: 8 });
}

#[test]
fn unique_identifiers_of_32_octets_or_more_are_taken() {
    for len in [32, 33, 64, 200, 1000] {
        let shape = good(Aead::SivCmac256, 1).bend(|shape| shape.before[UNIQUE].1 = vec![9; len]);
        check(shape, Seen::Time { cookies: if len == 1000 { 1 } else { 2 } });
    }
    for len in [16, 28] {
        let shape = good(Aead::SivCmac256, 1).bend(|shape| shape.before[UNIQUE].1 = vec![9; len]);
        check(shape, Seen::Silent(RequestViolation::UniqueLength { len }));
    }
}

#[test]
fn an_answer_without_room_for_one_cookie_is_not_planned() {
    let keys = session(Aead::SivCmac256);
    let shape = good(Aead::SivCmac256, 0).bend(|shape| shape.before[UNIQUE].1 = vec![9; 1100]);
    let datagram = shape.octets();
    let Ok(Request::Protected(fields)) = classify(&Packet::parse(&datagram).expect("long enough"))
    else {
        panic!("a protected request")
    };
    assert!(
        AnswerPlan::new(&fields, keys.aead(), 1, datagram.len()).is_none(),
        "{} octets",
        datagram.len()
    );
}

#[test]
fn a_placeholder_of_another_length_is_not_honoured() {
    for len in [96, 104, 12, 400] {
        let shape = good(Aead::SivCmac256, 2).bend(|shape| shape.before[3].1 = vec![0; len]);
        check(shape, Seen::Time { cookies: 2 });
    }
}

#[test]
fn what_a_placeholder_holds_is_ignored_and_so_is_its_place() {
    let shape = good(Aead::SivCmac256, 1).bend(|shape| shape.before[2].1 = (0..100).collect());
    check(shape, Seen::Time { cookies: 2 });
    let shape = good(Aead::SivCmac256, 1).bend(|shape| shape.before.rotate_right(1));
    check(shape, Seen::Time { cookies: 2 });
}

#[test]
fn encrypted_placeholders_are_honoured() {
    let placeholder = field(FieldKind::NTS_COOKIE_PLACEHOLDER, &[0; 100]);
    for (clear, encrypted) in [(0, 1), (1, 1), (0, 7), (3, 9)] {
        let shape = good(Aead::SivCmac256, clear)
            .bend(|shape| shape.seal().plaintext = placeholder.repeat(encrypted));
        check(shape, Seen::Time { cookies: (1 + clear + encrypted).min(8) });
    }
    let short = field(FieldKind(0x1234), &[]);
    let shape = good(Aead::SivCmac256, 0)
        .bend(|shape| shape.seal().plaintext = [short, placeholder].concat());
    check(shape, Seen::Time { cookies: 2 });
}

#[test]
fn encrypted_octets_that_are_no_fields_are_refused() {
    let shape = good(Aead::SivCmac256, 0).bend(|shape| shape.seal().plaintext = vec![0; 8]);
    let error = DecodeError::FieldLength { at: 0, claimed: 0 };
    check(shape, Seen::Silent(RequestViolation::EncryptedFraming(error)));
}

#[test]
fn fields_after_the_authenticator_are_discarded() {
    let after = |kind, len| {
        good(Aead::SivCmac256, 0).bend(|shape| shape.after = field(kind, &vec![7; len]))
    };
    check(after(FieldKind(0x7777), 24), Seen::Time { cookies: 1 });
    check(after(FieldKind::NTS_COOKIE_PLACEHOLDER, 100), Seen::Time { cookies: 1 });
    check(after(FieldKind::NTS_COOKIE, 100), Seen::Time { cookies: 1 });
    check(after(FieldKind::UNIQUE_IDENTIFIER, 32), Seen::Time { cookies: 1 });
    let second = after(FieldKind::NTS_AUTHENTICATOR, 40);
    check(second, Seen::Silent(RequestViolation::AuthenticatorRepeated));
}

#[test]
fn unknown_fields_before_the_authenticator_are_passed_over() {
    for kind in [0x7777, 0x2005, 0xf0ab] {
        let shape = good(Aead::SivCmac256, 1)
            .bend(|shape| shape.before.insert(1, (FieldKind(kind), vec![1; 24])));
        check(shape, Seen::Time { cookies: 2 });
    }
}

#[test]
fn fields_that_must_occur_once_may_not_occur_twice() {
    let twice = |at: usize| {
        good(Aead::SivCmac256, 0).bend(|shape| {
            let field = shape.before[at].clone();
            shape.before.push(field);
        })
    };
    check(twice(UNIQUE), Seen::Silent(RequestViolation::UniqueRepeated));
    check(twice(COOKIE), Seen::Silent(RequestViolation::CookieRepeated));
}

#[test]
fn eight_subsets_of_the_three_fields() {
    let subset = |unique: bool, cookie: bool, authenticator: bool| {
        good(Aead::SivCmac256, 0).bend(|shape| {
            let mut keep = [unique, cookie].into_iter();
            shape.before.retain(|_| keep.next() == Some(true));
            if !authenticator {
                shape.authenticator = None;
            }
        })
    };
    use RequestViolation::{AuthenticatorMissing, CookieMissing, UniqueMissing};
    check(subset(false, false, false), Seen::Plain { unique: None });
    check(subset(true, false, false), Seen::Plain { unique: Some(32) });
    check(subset(false, true, false), Seen::Silent(AuthenticatorMissing));
    check(subset(true, true, false), Seen::Silent(AuthenticatorMissing));
    check(subset(false, false, true), Seen::Silent(CookieMissing));
    check(subset(true, false, true), Seen::Silent(CookieMissing));
    check(subset(false, true, true), Seen::Silent(UniqueMissing));
    check(subset(true, true, true), Seen::Time { cookies: 1 });
    let lone = good(Aead::SivCmac256, 1).bend(|shape| {
        shape.authenticator = None;
        shape.before.remove(COOKIE);
    });
    check(lone, Seen::Silent(AuthenticatorMissing));
}

#[test]
fn the_authenticator_first_covers_nothing() {
    let keys = session(Aead::SivCmac256);
    let shape = Shape::request(&keys, &cookie_for(&keys), 0).bend(|shape| {
        let fields: Vec<_> = shape.before.drain(..).collect();
        shape.after = fields.iter().flat_map(|(kind, body)| field(*kind, body)).collect();
    });
    check(shape, Seen::Silent(RequestViolation::CookieMissing));
}

#[test]
fn only_mode_3_of_version_4_speaks_nts() {
    for mode in [0, 1, 2, 4, 5] {
        let shape = good(Aead::SivCmac256, 0).bend(|shape| shape.header[0] = 0x20 | mode);
        check(shape, Seen::Silent(RequestViolation::Mode(Mode::from_octet(mode))));
    }
    // Before version 4 all that follows is a MAC, and none is as long.
    let shape = good(Aead::SivCmac256, 0).bend(|shape| shape.header[0] = 0x1b);
    assert!(matches!(serve(shape.octets()), Seen::Silent(RequestViolation::Framing(_))));
}

#[test]
fn nonce_and_padding_must_leave_room_for_the_answers_nonce() {
    let with = |aead, nonce: usize, padding: usize| {
        good(aead, 0).bend(|shape| {
            shape.seal().nonce = vec![5; nonce];
            shape.seal().padding = padding;
        })
    };
    let too_small = |found, required| Seen::Silent(RequestViolation::Padding { found, required });
    check(with(Aead::SivCmac256, 8, 0), too_small(8, 16));
    check(with(Aead::SivCmac256, 8, 4), too_small(12, 16));
    check(with(Aead::SivCmac256, 8, 8), Seen::Time { cookies: 1 });
    check(with(Aead::SivCmac256, 1, 12), Seen::Time { cookies: 1 });
    check(with(Aead::SivCmac256, 1, 8), too_small(12, 16));
    check(with(Aead::SivCmac512, 12, 0), too_small(12, 16));
    for nonce in [12, 13, 16, 17, 20, 32, 100] {
        check(with(Aead::SivCmac256, nonce, 4), Seen::Time { cookies: 1 });
    }
    check(with(Aead::Aes128GcmSiv, 12, 0), Seen::Time { cookies: 1 });
    check(with(Aead::Aes128GcmSiv, 12, 8), Seen::Time { cookies: 1 });
    for len in [8, 11, 13, 16] {
        check(
            with(Aead::Aes128GcmSiv, len, 8),
            Seen::Silent(RequestViolation::NonceLength { len }),
        );
    }
    check(with(Aead::SivCmac256, 0, 16), Seen::Silent(RequestViolation::AuthenticatorLayout));
}

#[test]
fn lengths_inside_the_authenticator_must_agree_with_its_own() {
    let octets = good(Aead::SivCmac256, 0).octets();
    let at = octets.len() - 36;
    for (place, value) in
        [(0, 0xffff_u16), (0, 0), (0, 17), (0, 20), (2, 0), (2, 15), (2, 17), (2, 0xffff)]
    {
        let mut octets = octets.clone();
        octets[at + place..at + place + 2].copy_from_slice(&value.to_be_bytes());
        assert_eq!(
            serve(octets),
            Seen::Silent(RequestViolation::AuthenticatorLayout),
            "{place} {value}"
        );
    }
}

#[test]
fn no_flipped_bit_gets_the_time() {
    for aead in Aead::ALL {
        let octets = good(aead, 1).octets();
        for bit in 0..octets.len() * 8 {
            let mut bent = octets.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let seen = serve(bent);
            assert!(matches!(seen, Seen::Silent(_) | Seen::Nak(_)), "{aead}, bit {bit}: {seen:?}");
        }
    }
}

#[test]
fn a_wrong_key_or_cookie_is_a_nak() {
    let shape = good(Aead::SivCmac256, 0).bend(|shape| shape.seal().key = vec![9; 32]);
    check(shape, Seen::Nak(None));
    let shape = good(Aead::SivCmac256, 0).bend(|shape| shape.before[COOKIE].1[30] ^= 1);
    check(shape, Seen::Nak(Some(CookieFault::Forged)));
    let shape = good(Aead::SivCmac256, 0).bend(|shape| shape.before[COOKIE].1[3] = 99);
    check(shape, Seen::Nak(Some(CookieFault::UnknownEpoch)));
    let shape = good(Aead::SivCmac256, 0).bend(|shape| shape.before[COOKIE].1.truncate(96));
    check(shape, Seen::Nak(Some(CookieFault::Length)));
}

#[test]
fn an_unprotected_answer_is_header_and_identifier() {
    let keys = session(Aead::SivCmac256);
    for (at_end, len) in [(false, 32), (true, 32), (true, 200)] {
        let shape = Shape::request(&keys, &cookie_for(&keys), 1).bend(|shape| {
            shape.before[UNIQUE].1 = vec![0xab; len];
            if at_end {
                shape.before.rotate_left(1);
            }
        });
        let mut datagram = shape.octets();
        let Ok(Request::Protected(fields)) =
            classify(&Packet::parse(&datagram).expect("long enough"))
        else {
            panic!("a protected request")
        };
        let written = echo_unique(&mut datagram, fields.unique());
        assert_eq!(written, 48 + 4 + len);
        let answer = Packet::parse(&datagram[..written]).expect("long enough");
        let found: Vec<_> = answer.contents().expect("well framed").fields.collect();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].kind, found[0].body),
            (FieldKind::UNIQUE_IDENTIFIER, &vec![0xab; len][..])
        );
    }
}

#[test]
fn a_request_that_would_fragment_is_not_written() {
    let key = session(Aead::SivCmac256).c2s_key();
    let header = Header::client(Timestamp::from_bits(1));
    let write = |cookie_len: usize, placeholders: usize| {
        let mut buffer = [0; 4000];
        write_request(
            &mut buffer,
            &header,
            &[1; UNIQUE_LEN],
            &vec![2; cookie_len],
            placeholders,
            &key,
            &[3; 16],
        )
    };
    for (cookie_len, most) in
        [(1, 7), (100, 7), (140, 6), (164, 5), (252, 3), (544, 1), (1000, 0), (1104, 0)]
    {
        assert_eq!(
            placeholders_that_fit(Aead::SivCmac256, cookie_len, 7),
            most,
            "{cookie_len} octets"
        );
        assert!(write(cookie_len, most).is_ok_and(|len| len <= MAX_PACKET_LEN));
        if most < 7 {
            assert!(
                matches!(write(cookie_len, most + 1), Err(EncodeError::NoRoom { .. })),
                "{cookie_len} octets"
            );
        }
    }
    assert!(matches!(write(1108, 0), Err(EncodeError::NoRoom { .. })));
}

#[test]
fn foreign_cookies_are_sent_back_octet_for_octet() {
    let key = session(Aead::SivCmac256).c2s_key();
    for len in [4, 12, 100, 104, 252, 256, 1000] {
        let cookie: Vec<u8> = (0..len).map(|n| n as u8 ^ 0x5a).collect();
        let mut buffer = [0; 1500];
        let header = Header::client(Timestamp::from_bits(1));
        let len = write_request(&mut buffer, &header, &[1; 32], &cookie, 0, &key, &[3; 16])
            .expect("fits");
        let packet = Packet::parse(&buffer[..len]).expect("long enough");
        let Ok(Request::Protected(fields)) = classify(&packet) else {
            panic!("a protected request")
        };
        let sent = fields.cookie(&buffer);
        assert_eq!(&sent[..cookie.len()], cookie);
        assert!(sent.len() == cookie.len() || (cookie.len() < 12 && sent.len() == 12));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_classified_and_opened(
        aead in prop::sample::select(Aead::ALL.to_vec()),
        unique in any::<[u8; 32]>(),
        placeholders in 0_usize..8,
        nonce in any::<[u8; 16]>(),
        transmit in any::<u64>(),
    ) {
        let keys = session(aead);
        let cookie = cookie_for(&keys);
        let placeholders = placeholders_that_fit(aead, cookie.len(), placeholders);
        let mut buffer = [0xee; 1500];
        let header = Header::client(Timestamp::from_bits(transmit));
        let nonce = &nonce[..aead.nonce_len()];
        let len = write_request(&mut buffer, &header, &unique, &cookie, placeholders, &keys.c2s_key(), nonce)
            .expect("fits");
        let datagram = &mut buffer[..len];
        let packet = Packet::parse(datagram).expect("long enough");
        prop_assert_eq!(packet.header(), header);
        let Ok(Request::Protected(fields)) = classify(&packet) else { panic!("a protected request") };
        prop_assert_eq!(fields.unique().octets(datagram), &unique);
        prop_assert_eq!(fields.cookie(datagram), &cookie);
        prop_assert_eq!(fields.nonce(datagram), nonce);
        prop_assert_eq!(open_request(datagram, &fields, &keys), Ok(1 + placeholders));
    }

    #[test]
    fn no_octets_make_a_server_panic_or_answer_at_length(
        start in 0_usize..400,
        junk in prop::collection::vec(any::<u8>(), 0..60),
        cut in 0_usize..500,
    ) {
        let mut octets = good(Aead::SivCmac256, 1).octets();
        let start = start.min(octets.len());
        let end = (start + junk.len()).min(octets.len());
        octets.splice(start..end, junk);
        octets.truncate(cut.max(48));
        let _seen = serve(octets);
    }
}
