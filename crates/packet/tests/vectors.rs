//! Whole packets, octet by octet.
//!
//! Source: made for this project. The authenticator tags come from AES-SIV-CMAC-256 and AES-128-GCM-SIV of OpenSSL 3;
//! the SHA-256 of each packet was computed by a second implementation.

use noonmark_packet::{
    FieldKind, HEADER_LEN, Header, Leap, Mode, Packet, PacketWriter, ReferenceId, Trailer, Version,
};
use noonmark_units::{PollExponent, Precision, Short, Timestamp};
use ring::digest::{SHA256, digest};

/// Octets `first`, `first + 1`, … modulo 256.
fn counting<const LEN: usize>(first: u8) -> [u8; LEN] {
    core::array::from_fn(|at| first.wrapping_add(at as u8))
}

fn hex(text: &str) -> Vec<u8> {
    let digits =
        text.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

fn request_header() -> Header {
    Header { poll: PollExponent(6), ..Header::client(Timestamp::from_bits(0x0123_4567_89ab_cdef)) }
}

/// A request with the given cookie, `placeholders` as long as it, and an authenticator over an empty plaintext.
fn request(cookie: &[u8], placeholders: usize, nonce: &[u8], tag: &str) -> Vec<u8> {
    let mut buffer = [0xff; 1232];
    let mut writer = PacketWriter::new(&mut buffer, &request_header()).expect("room");
    writer.field(FieldKind::UNIQUE_IDENTIFIER, &counting::<32>(0)).expect("room");
    writer.field(FieldKind::NTS_COOKIE, cookie).expect("room");
    for _ in 0..placeholders {
        writer.field_with(FieldKind::NTS_COOKIE_PLACEHOLDER, cookie.len(), |_| {}).expect("room");
    }
    let tag = hex(tag);
    let before = writer.len();
    writer
        .field_over(FieldKind::NTS_AUTHENTICATOR, 4 + nonce.len() + tag.len(), |covered, body| {
            assert_eq!(covered.len(), before);
            body[..2].copy_from_slice(&(nonce.len() as u16).to_be_bytes());
            body[2..4].copy_from_slice(&(tag.len() as u16).to_be_bytes());
            body[4..4 + nonce.len()].copy_from_slice(nonce);
            body[4 + nonce.len()..].copy_from_slice(&tag);
        })
        .expect("room");
    writer.finish().to_vec()
}

fn check(octets: &[u8], len: usize, sha256: &str, fields: &[(FieldKind, usize)], text: &str) {
    assert_eq!(octets.len(), len);
    assert_eq!(digest(&SHA256, octets).as_ref(), hex(sha256));
    let packet = Packet::parse(octets).expect("a header");
    let contents = packet.contents().expect("well framed");
    assert_eq!(contents.trailer, Trailer::None);
    assert!(contents.fields.map(|field| (field.kind, field.body.len())).eq(fields.iter().copied()));
    assert_eq!(packet.to_string(), text);
}

#[test]
fn request_with_aead_15_and_two_placeholders() {
    let octets = request(
        &counting::<100>(0xa0),
        2,
        &counting::<16>(0x20),
        "965e87573f25bad4ec91ea2d887c2852",
    );
    check(
        &octets,
        436,
        "b3655964a7127972285813b23745c0db4b35a360f57253b62a0d80994d33a8a3",
        &[
            (FieldKind::UNIQUE_IDENTIFIER, 32),
            (FieldKind::NTS_COOKIE, 100),
            (FieldKind::NTS_COOKIE_PLACEHOLDER, 100),
            (FieldKind::NTS_COOKIE_PLACEHOLDER, 100),
            (FieldKind::NTS_AUTHENTICATOR, 36),
        ],
        "NTPv4 client, poll 64 s, transmit 01234567.89abcdef; unique identifier 32, cookie 100, \
         cookie placeholder 100 ×2, authenticator 36",
    );
}

#[test]
fn request_with_aead_30() {
    let octets = request(
        &counting::<68>(0xa0),
        0,
        &counting::<12>(0x20),
        "e927c2fcceadfbb742e9f84eb01c2b56",
    );
    check(
        &octets,
        192,
        "9a1ceca756ec404e264a57acce36e8fb700d46b3cbc5b5e753f8813be60f7a0a",
        &[
            (FieldKind::UNIQUE_IDENTIFIER, 32),
            (FieldKind::NTS_COOKIE, 68),
            (FieldKind::NTS_AUTHENTICATOR, 32),
        ],
        "NTPv4 client, poll 64 s, transmit 01234567.89abcdef; unique identifier 32, cookie 68, authenticator 32",
    );
}

/// The header of the answer to the first request, and the fields it has in the clear.
#[test]
fn answer_of_a_stratum_1_server() {
    let header = Header {
        leap: Leap::None,
        version: Version::V4,
        mode: Mode::Server,
        stratum: 1,
        poll: PollExponent(6),
        precision: Precision(-25),
        root_delay: Short::ZERO,
        root_dispersion: Short::from_bits(0x10),
        reference_id: ReferenceId(*b"GPS\0"),
        reference_time: Timestamp::from_bits(0xe9ff_fff0_0000_0000),
        origin: Timestamp::from_bits(0x0123_4567_89ab_cdef),
        receive: Timestamp::from_bits(0xea00_0000_8000_0000),
        transmit: Timestamp::from_bits(0xea00_0000_8001_0000),
    };
    let octets = hex(
        "240106e7000000000000001047505300e9fffff0000000000123456789abcdefea00000080000000ea00000080010000",
    );
    assert_eq!(header.to_octets()[..], octets);
    let mut buffer = [0; HEADER_LEN + 36];
    let mut writer = PacketWriter::new(&mut buffer, &header).expect("room");
    writer.field(FieldKind::UNIQUE_IDENTIFIER, &counting::<32>(0)).expect("room");
    let packet = Packet::parse(writer.finish()).expect("a header");
    assert_eq!(packet.header(), header);
    assert_eq!(packet.kiss(), None);
    assert_eq!(
        packet.to_string(),
        "NTPv4 server, stratum 1 from GPS, no leap, poll 64 s, root delay 0 s dispersion 244.141 µs, \
         precision 29.802 ns, origin 01234567.89abcdef, sent 2024-05-28T07:02:24.500015259Z, \
         received 15.259 µs before, clock set 16.500 s before; unique identifier 32"
    );
}

#[test]
fn odd_packets_read_as_what_they_are() {
    let check = |octets: &[u8], text: &str| {
        assert_eq!(Packet::parse(octets).expect("a header").to_string(), text);
    };
    let mut kiss = [0; HEADER_LEN];
    kiss[..16].copy_from_slice(b"\xe4\0\x06\xe7\0\0\0\0\0\0\0\0RATE");
    kiss[24..32].copy_from_slice(&[1; 8]);
    check(
        &kiss,
        "NTPv4 server, kiss RATE, unsynchronised, poll 64 s, root delay 0 s dispersion 0 s, \
         precision 29.802 ns, origin 01010101.01010101, no time",
    );
    let packet = Packet::parse(&kiss).expect("a header");
    assert_eq!(packet.kiss(), Some(noonmark_packet::KissCode::RATE));
    let mut nak = [0; 52];
    nak[0] = 0x23;
    check(&nak, "NTPv4 client, transmit 00000000.00000000; crypto-NAK");
    let mut mac = [9; 72];
    mac[..48].fill(0);
    mac[0] = 0x1b;
    check(&mac, "NTPv3 client, transmit 00000000.00000000; MAC 20 by key 151587081");
    let mut stray = [0; 56];
    stray[0] = 0x23;
    check(
        &stray,
        "NTPv4 client, transmit 00000000.00000000; malformed: 8 octets at 48 are neither an extension field nor a MAC",
    );
    let mut private = [0; 60];
    private[0] = 0x17;
    check(&private, "NTPv2 private, 60 octets");
    let mut future = [0; 48];
    future[0] = 0x2b;
    check(&future, "NTPv5 client, transmit 00000000.00000000; malformed: unknown version 5");
}
