//! The judge judged: packets and messages that others computed, to the octet.
//!
//! Three packets under NTS, computed twice by two foreign implementations (`cryptography` 48 with OpenSSL 3: AESSIV and AESGCMSIV, and
//! another of AES-SIV checked against RFC 5297 A.2), whose hashes are given here; and the smallest messages of RFC 8915 §4.

use noonmark_prober::evidence::{from_hex, hex};
use noonmark_prober::octets::field::{AUTHENTICATOR, COOKIE, Field, PLACEHOLDER, UNIQUE, cut};
use noonmark_prober::octets::protected::Parts;
use noonmark_prober::octets::record::{self, Record};
use noonmark_prober::octets::{Cipher, Header, Protected};
use ring::digest::{SHA256, digest};

/// Octets that count up from this one.
fn counting(first: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| first.wrapping_add(u8::try_from(at % 256).expect("below 256"))).collect()
}

fn request(cookie: usize, placeholders: usize, nonce: usize) -> Protected {
    let mut clear =
        vec![Field::new(UNIQUE, counting(0, 32)), Field::new(COOKIE, counting(0xa0, cookie))];
    clear.extend(vec![Field::new(PLACEHOLDER, vec![0; cookie]); placeholders]);
    Protected {
        header: Header::request(0x0123_4567_89ab_cdef).octets(),
        clear,
        nonce: counting(0x20, nonce),
        inner: Vec::new(),
        padding: 0,
        after: Vec::new(),
    }
}

fn answer() -> Protected {
    let header = Header {
        version: 4,
        mode: 4,
        stratum: 1,
        poll: 6,
        precision: -25,
        root_dispersion: 0x10,
        reference_id: *b"GPS\0",
        reference: 0xe9ff_fff0_0000_0000,
        origin: 0x0123_4567_89ab_cdef,
        receive: 0xea00_0000_8000_0000,
        transmit: 0xea00_0000_8001_0000,
        ..Header::default()
    };
    Protected {
        header: header.octets(),
        clear: vec![Field::new(UNIQUE, counting(0, 32))],
        nonce: counting(0x30, 16),
        inner: [0xb0, 0xc0, 0xd0].map(|first| Field::new(COOKIE, counting(first, 100))).to_vec(),
        padding: 0,
        after: Vec::new(),
    }
}

fn check(packet: &Protected, cipher: Cipher, key: &[u8], len: usize, sealed: &str, sha256: &str) {
    let octets = packet.seal(cipher, key);
    assert_eq!(octets.len(), len);
    assert_eq!(hex(digest(&SHA256, &octets).as_ref()), sha256);
    let (fields, rest) = cut(&octets[48..]);
    assert!(rest.is_empty());
    let last = fields.last().expect("an authenticator");
    assert_eq!(last.kind, AUTHENTICATOR);
    let parts = Parts::read(&last.body).expect("an authenticator's body");
    assert!(hex(parts.sealed).starts_with(sealed), "{}", hex(parts.sealed));

    // And back: what was closed opens to the same, with this key and no other, and not with a bit changed.
    assert_eq!(Protected::open(&octets, cipher, key).as_ref(), Some(packet));
    let mut other = key.to_vec();
    other[0] ^= 1;
    assert_eq!(Protected::open(&octets, cipher, &other), None);
    for at in [0, 47, 60, octets.len() - 1] {
        let mut changed = octets.clone();
        changed[at] ^= 1;
        assert_eq!(Protected::open(&changed, cipher, key), None, "octet {at}");
    }
}

#[test]
fn a_request_with_aead_15_is_built_and_opened_to_the_octet() {
    check(
        &request(100, 2, 16),
        Cipher::Siv256,
        &counting(0, 32),
        436,
        "965e87573f25bad4ec91ea2d887c2852",
        "b3655964a7127972285813b23745c0db4b35a360f57253b62a0d80994d33a8a3",
    );
}

#[test]
fn its_answer_is_built_and_opened_to_the_octet() {
    check(
        &answer(),
        Cipher::Siv256,
        &counting(0x20, 32),
        436,
        "f00e447031a03dc1256796bf5eda9f827d02d0b56909d81394419b235ed7aac1",
        "ae4c9c3b2e2dc571d050013fc28464a2a7605b473879936b64ed9aa5a493c600",
    );
}

#[test]
fn a_request_with_aead_30_is_built_and_opened_to_the_octet() {
    check(
        &request(68, 0, 12),
        Cipher::GcmSiv,
        &counting(0, 16),
        192,
        "e927c2fcceadfbb742e9f84eb01c2b56",
        "9a1ceca756ec404e264a57acce36e8fb700d46b3cbc5b5e753f8813be60f7a0a",
    );
}

#[test]
fn a_header_is_read_as_it_was_written() {
    let octets = answer().header;
    let header = Header::read(&octets).expect("48 octets");
    assert_eq!((header.stratum, header.precision, &header.reference_id), (1, -25, b"GPS\0"));
    assert_eq!(header.octets(), octets);
    assert!(header.gives_time());
    assert_eq!(Header::read(&octets[..47]), None);
}

#[test]
fn the_smallest_messages_of_key_establishment_are_built_and_read_to_the_octet() {
    fn check(records: &[Record], octets: &str) {
        let octets = from_hex(octets).expect("digits");
        assert_eq!(record::message(records), octets);
        let (read, rest) = record::cut(&octets);
        assert!(rest.is_empty());
        assert_eq!(read.split_last(), Some((&Record::end(), records)));
        assert_eq!(record::message_len(&octets), Some(octets.len()));
    }
    let [ntpv4, siv] = [Record::protocols(&[0]), Record::aeads(&[15])];
    check(&[ntpv4.clone(), siv], "80010002 0000 80040002 000f 80000000");
    check(&[Record::new(true, record::ERROR, [0, 0])], "80020002 0000 80000000");
    check(&[Record::new(true, record::ERROR, [0, 1])], "80020002 0001 80000000");
    check(&[Record::protocols(&[])], "80010000 80000000");
    check(&[ntpv4, Record::aeads(&[])], "80010002 0000 80040000 80000000");
}
