//! Packets and messages with known octets, read in full: golden vectors of AES-SIV and AES-GCM-SIV, and what is wrong with others.

use noonmark_prober::Level;
use noonmark_prober::decode::{
    Capture, Context, Decoded, KeySet, Packet, Part, Speaker, Wanted, capture, datagram, message,
    packets,
};
use noonmark_prober::octets::field::{AUTHENTICATOR, COOKIE, PLACEHOLDER, UNIQUE, field};
use noonmark_prober::octets::{Cipher, Field, Header, Protected, Record, record};

/// `count` octets that begin with `first` and count up.
fn counting(first: u8, count: usize) -> Vec<u8> {
    (0..count).map(|at| first.wrapping_add((at % 256) as u8)).collect()
}

fn request_header() -> Vec<u8> {
    Header::request(0x0123_4567_89ab_cdef).octets()
}

/// A request with AEAD 15, its nonce and its tag known: 436 octets.
fn v1() -> Vec<u8> {
    let mut packet = request_header();
    packet.extend(field(UNIQUE, &counting(0, 32)));
    packet.extend(field(COOKIE, &counting(0xa0, 100)));
    packet.extend(field(PLACEHOLDER, &[0; 100]));
    packet.extend(field(PLACEHOLDER, &[0; 100]));
    let tag = [
        0x96, 0x5e, 0x87, 0x57, 0x3f, 0x25, 0xba, 0xd4, 0xec, 0x91, 0xea, 0x2d, 0x88, 0x7c, 0x28,
        0x52,
    ];
    packet.extend(field(AUTHENTICATOR, &[&[0, 16, 0, 16][..], &counting(0x20, 16), &tag].concat()));
    packet
}

/// The answer to it, three cookies inside: 436 octets.
fn v2() -> Vec<u8> {
    let header = Header {
        version: 4,
        mode: 4,
        stratum: 1,
        poll: 6,
        precision: -25,
        root_dispersion: 0x10,
        reference_id: *b"GPS\0",
        reference: 0xe9ff_fff0 << 32,
        origin: 0x0123_4567_89ab_cdef,
        receive: 0xea00_0000_8000_0000,
        transmit: 0xea00_0000_8001_0000,
        ..Header::default()
    };
    let inner = [0xb0, 0xc0, 0xd0].map(|first| Field::new(COOKIE, counting(first, 100)));
    let open = Protected {
        header: header.octets(),
        clear: vec![Field::new(UNIQUE, counting(0, 32))],
        nonce: counting(0x30, 16),
        inner: inner.to_vec(),
        padding: 0,
        after: Vec::new(),
    };
    open.seal(Cipher::Siv256, &counting(0x20, 32))
}

/// A request with AEAD 30: 192 octets.
fn v3() -> Vec<u8> {
    let mut packet = request_header();
    packet.extend(field(UNIQUE, &counting(0, 32)));
    packet.extend(field(COOKIE, &counting(0xa0, 68)));
    let tag = [
        0xe9, 0x27, 0xc2, 0xfc, 0xce, 0xad, 0xfb, 0xb7, 0x42, 0xe9, 0xf8, 0x4e, 0xb0, 0x1c, 0x2b,
        0x56,
    ];
    packet.extend(field(AUTHENTICATOR, &[&[0, 12, 0, 16][..], &counting(0x20, 12), &tag].concat()));
    packet
}

fn keys() -> Vec<KeySet> {
    let hex = |first: u8, count: usize| noonmark_prober::evidence::hex(&counting(first, count));
    let text =
        format!("aead=15 c2s={} s2c={}\naead=30 c2s={}\n", hex(0, 32), hex(0x20, 32), hex(0, 16));
    KeySet::read_all(&text).expect("keys of their lengths")
}

fn read(octets: &[u8]) -> Decoded {
    let decoded = datagram(octets, Context { keys: &keys(), near_s: 1_800_000_000 });
    assert_eq!(Part::leaves(&decoded.parts), octets, "{}", decoded.summary);
    decoded
}

#[test]
fn golden_packets_are_opened_and_nothing_is_wrong_with_them() {
    fn check(octets: &[u8], len: usize, summary: &str) {
        let decoded = read(octets);
        assert_eq!(
            (decoded.length, &decoded.remarks[..]),
            (len, &[][..]),
            "{:#?}",
            decoded.remarks
        );
        assert_eq!(decoded.summary, summary);
    }
    check(
        &v1(),
        436,
        "NTPv4 client, 436 octets, NTS, 1 cookie, 2 placeholders, opened with AEAD 15",
    );
    check(&v2(), 436, "NTPv4 server, stratum 1, 436 octets, NTS, opened with AEAD 15: 3 cookies");
    check(
        &v3(),
        192,
        "NTPv4 client, 192 octets, NTS, 1 cookie, 0 placeholders, opened with AEAD 30",
    );
    // RFC 5297 by another implementation: tag and first octets of the ciphertext.
    let sealed = v2();
    let tag = [
        0xf0, 0x0e, 0x44, 0x70, 0x31, 0xa0, 0x3d, 0xc1, 0x25, 0x67, 0x96, 0xbf, 0x5e, 0xda, 0x9f,
        0x82,
    ];
    let first = [
        0x7d, 0x02, 0xd0, 0xb5, 0x69, 0x09, 0xd8, 0x13, 0x94, 0x41, 0x9b, 0x23, 0x5e, 0xd7, 0xaa,
        0xc1,
    ];
    assert_eq!(sealed[108..124], tag);
    assert_eq!(sealed[124..140], first);
}

#[test]
fn every_line_has_its_place_octets_and_meaning() {
    let lines = read(&v2()).lines();
    let has = |words: &[&str]| {
        assert!(
            lines.iter().any(|line| words.iter().all(|word| line.contains(word))),
            "{words:?}\n{}",
            lines.join("\n")
        );
    };
    has(&["     0  24 ", "leap 0: no leap second announced; version 4; mode 4: server"]);
    has(&["     3  e7 ", "precision", "-25: 29.802 ns"]);
    has(&["     8  00000010", "root dispersion", "244.141 µs"]);
    has(&["    12  47505300", "\"GPS\""]);
    has(&[
        "    32  ea000000 80000000",
        "receive timestamp",
        "2024-05-28T07:02:24.500000000Z, era 0",
    ]);
    has(&["ciphertext", "tag good with AEAD 15, 312 octets of text"]);
    has(&["  +104 ", "extension field NTS Cookie"]);
    has(&["  +108  c0c1c2c3", "body", "100 octets, opaque"]);
}

#[test]
fn without_its_keys_a_packet_stays_sealed() {
    let decoded = datagram(&v2(), Context::default());
    assert!(decoded.summary.ends_with("NTS, sealed") && !decoded.is_wrong());
    let other = KeySet::read_all(&format!("aead=15 s2c={}", "11".repeat(32))).expect("a key");
    let decoded = datagram(&v2(), Context { keys: &other, near_s: 0 });
    assert!(decoded.remarks[0].what.contains("none of 1 keys given opens it"));
    // The right key of the wrong direction is told from damage.
    let mixed = keys()[0].clone();
    let mixed = KeySet { c2s: mixed.s2c, s2c: mixed.c2s, ..mixed };
    let decoded = datagram(&v2(), Context { keys: &[mixed], near_s: 0 });
    assert!(decoded.remarks[0].what.contains("other direction"), "{:?}", decoded.remarks);
}

/// What a changed packet is remarked for: level and words of the first remark.
fn remarked(octets: &[u8], level: Level, words: &str) {
    let decoded = read(octets);
    let found =
        decoded.remarks.iter().any(|remark| remark.level == level && remark.what.contains(words));
    assert!(found, "{words}: {:#?}", decoded.remarks);
}

#[test]
fn what_is_wrong_with_a_packet_is_said() {
    let with = |tail: &[u8]| [&request_header()[..], tail].concat();
    remarked(&[0x23; 12], Level::Must, "less than a header");
    remarked(&[], Level::Must, "0 octets");
    remarked(&with(&[0; 2]), Level::Must, "not a multiple of 4");
    remarked(&with(&[0; 16]), Level::Must, "16 octets are left");
    remarked(&with(&[1, 2, 3, 4]), Level::Must, "4 octets are left");
    remarked(&with(&[1, 4, 0, 12].repeat(7)), Level::Derived, "length 12, less than 16");
    remarked(&with(&[1, 4, 0, 30].repeat(8)), Level::Derived, "not a multiple of 4");
    remarked(&with(&[1, 4, 0, 200].repeat(7)), Level::Derived, "28 octets left");
    remarked(&with(&field(UNIQUE, &[0; 28])), Level::Must, "28 octets, less than 32");
    remarked(&with(&field(COOKIE, &[0; 100])), Level::May, "message of Autokey");
    remarked(&with(&field(0x0207, &[0; 100])), Level::Should, "Autokey");
    remarked(&with(&field(0xf5ff, b"draft-ietf-ntp-ntpv5-08\0")), Level::May, "experimental");
    remarked(&with(&field(PLACEHOLDER, &[0; 100])), Level::Must, "without a cookie");
    let mut told = request_header();
    told[12] = 127;
    remarked(&told, Level::Should, "reference id tells");
    let mut version = request_header();
    version[0] = 0x2b;
    remarked(&version, Level::Derived, "version 5");
    let changed = |at: usize, octet: u8| {
        let mut octets = v1();
        octets[at] = octet;
        octets
    };
    remarked(&changed(0, 0x25), Level::Must, "an authenticator in mode 5");
    remarked(&changed(0, 0x24), Level::Must, "a placeholder in mode 4");
    remarked(&changed(0, 0x24), Level::Must, "not encrypted");
    remarked(&changed(200, 1), Level::Should, "not all zero");
    remarked(&[v1(), field(0x7777, &[0; 24])].concat(), Level::Must, "after the authenticator");
    remarked(&[v1(), v1()[396..].to_vec()].concat(), Level::Must, "a second field of type 0x0404");
    remarked(&changed(403, 200), Level::Must, "its lengths come to");
    remarked(&[&v1()[..48], &v1()[84..]].concat(), Level::Must, "no Unique Identifier");
    remarked(&[&v1()[..84], &v1()[188..]].concat(), Level::Must, "no cookie in clear");
    remarked(&[&v1()[..188], &v1()[84..]].concat(), Level::Must, "a second cookie");
    remarked(&[v1(), vec![0; 20]].concat(), Level::May, "a MAC beside NTS");
}

#[test]
fn what_is_wrong_inside_is_said() {
    let request = |clear: Vec<Field>, nonce: usize, padding: usize, text: &[u8]| {
        let open = Protected {
            header: request_header(),
            clear,
            nonce: counting(0x20, nonce),
            inner: Vec::new(),
            padding,
            after: Vec::new(),
        };
        open.seal_text(Cipher::Siv256, &counting(0, 32), text)
    };
    let clear =
        || vec![Field::new(UNIQUE, counting(0, 32)), Field::new(COOKIE, counting(0xa0, 100))];
    remarked(&request(clear(), 8, 0, &[]), Level::Must, "have 8 octets, less than 16");
    assert!(read(&request(clear(), 8, 8, &[])).remarks.is_empty());
    remarked(&request(clear(), 16, 0, &[1, 2, 3]), Level::Must, "inside the ciphertext");
    let long = [clear(), vec![Field::new(PLACEHOLDER, [0; 104])]].concat();
    remarked(
        &request(long, 16, 0, &[]),
        Level::Must,
        "a placeholder of 104 octets beside a cookie of 100",
    );
    let mut padded = request(clear(), 8, 8, &[]);
    *padded.last_mut().expect("padding") = 1;
    remarked(&padded, Level::Must, "additional padding that is not zero");
    // An encrypted field of 4 octets is one.
    let small = read(&request(clear(), 16, 0, &[0x77, 0x77, 0, 4]));
    assert!(small.remarks.is_empty() && small.lines().iter().any(|line| line.contains("0x7777")));
}

#[test]
fn what_is_wrong_with_an_answer_is_said() {
    let with = |change: fn(&mut Header)| {
        let mut header = Header::read(&v2()).expect("48 octets");
        change(&mut header);
        header.octets()
    };
    assert!(read(&with(|_| {})).remarks.is_empty());
    remarked(&with(|header| header.origin = 0), Level::Derived, "origin timestamp of zero");
    remarked(&with(|header| header.receive = 0), Level::Derived, "receive timestamp of zero");
    remarked(
        &with(|header| header.transmit = header.receive - 1),
        Level::Derived,
        "before it received",
    );
    remarked(&with(|header| header.transmit = header.receive), Level::Must, "are the same");
    remarked(
        &with(|header| header.reference = header.transmit + 1),
        Level::Derived,
        "after the answer was sent",
    );
    remarked(&with(|header| header.root_dispersion = 16 << 16), Level::Derived, "16 s or more");
    remarked(&with(|header| header.leap = 3), Level::Derived, "contradict");
    remarked(&with(|header| header.stratum = 17), Level::Derived, "reserved");
    remarked(&with(|header| header.stratum = 16), Level::Derived, "sent as 0");
    let kiss = with(|header| (header.stratum, header.reference_id) = (0, *b"RATE"));
    remarked(&kiss, Level::Derived, "a kiss with leap 0");
    assert!(read(&kiss).summary.contains("kiss RATE"));
}

#[test]
fn control_messages_are_read() {
    let readvar = read(&[0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, b'l', b'e', b'a', b'p']);
    assert_eq!(readvar.summary, "NTP control command, read variables, 16 octets");
    remarked(
        &[0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4],
        Level::Derived,
        "a count of 4 octets, 0 there",
    );
    remarked(&[0x17, 0, 3, 0x2a, 0, 0, 0, 0], Level::Should, "not to be answered");
    let mac = read(&[&request_header()[..], &[0, 0, 0, 7], &[9; 16]].concat());
    assert!(mac.lines().iter().any(|line| line.contains("key id") && line.ends_with(" 7")));
    let nak = read(&[&v2()[..48], &[0; 4]].concat());
    assert!(nak.lines().iter().any(|line| line.contains("crypto-NAK")));
}

fn said(octets: &[u8], speaker: Speaker) -> Decoded {
    let decoded = message(octets, speaker);
    assert_eq!(Part::leaves(&decoded.parts), octets);
    decoded
}

/// The smallest request.
const REQUEST: [u8; 16] = [0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0];

#[test]
fn key_establishment_is_read() {
    let request = said(&REQUEST, Speaker::Client);
    assert_eq!(
        (&request.summary[..], request.remarks.len()),
        ("NTS-KE request, 16 octets, 3 records", 0)
    );
    assert!(request.lines().iter().any(|line| line.contains("15 AEAD_AES_SIV_CMAC_256")));
    let error = said(&[0x80, 2, 0, 2, 0, 1, 0x80, 0, 0, 0], Speaker::Server);
    assert_eq!(
        (&error.summary[..], error.remarks.len()),
        ("NTS-KE response, 10 octets, error: 1 bad request", 0)
    );
    let cookies = (0..8).map(|nth| Record::new(false, record::COOKIE, counting(nth, 100)));
    let agreed = [Record::protocols(&[0]), Record::aeads(&[15])].into_iter().chain(cookies);
    let response = record::message(&agreed.collect::<Vec<_>>());
    assert_eq!(response.len(), 6 + 6 + 8 * 104 + 4);
    assert_eq!(said(&response, Speaker::Server).remarks, []);
}

#[test]
fn what_is_wrong_with_key_establishment_is_said() {
    fn check(records: &[Record], speaker: Speaker, level: Level, words: &str) {
        let decoded = said(&record::message(records), speaker);
        let found = decoded
            .remarks
            .iter()
            .any(|remark| remark.level == level && remark.what.contains(words));
        assert!(found, "{words}: {:#?}", decoded.remarks);
    }
    use Level::{Derived, May, Must, Should};
    use Speaker::{Client, Server};
    let good = || vec![Record::protocols(&[0]), Record::aeads(&[15])];
    let and = |records: &[Record]| [good(), records.to_vec()].concat();
    let of = |critical: bool, kind: u16, body: &[u8]| Record::new(critical, kind, body);
    check(&[], Client, Must, "no Next Protocol");
    check(&[Record::protocols(&[0])], Client, Must, "without AEAD");
    check(&[Record::protocols(&[]), Record::aeads(&[15])], Client, Must, "no number");
    check(&[of(false, 1, &[0, 0]), Record::aeads(&[15])], Client, Must, "without the critical bit");
    check(&[of(true, 1, &[0, 0, 0]), Record::aeads(&[15])], Client, Derived, "with 3 octets");
    check(&and(&good()), Client, Must, "a second record");
    check(&and(&[of(true, 2, &[0, 0])]), Client, Must, "Error from a client");
    check(&and(&[of(true, 2, &[0])]), Server, Must, "Error with 1 octets");
    check(&and(&[of(true, 3, &[0, 0])]), Server, Must, "no warning is defined");
    check(&and(&[of(true, 7, &[0, 123])]), Client, Should, "critical bit from a client");
    check(&and(&[of(false, 7, &[0, 0])]), Server, Derived, "port 0");
    check(&and(&[of(true, 1024, &[])]), Client, Derived, "without AEAD 30");
    check(&and(&[of(true, 0x3fff, &[])]), Client, May, "critical bit");
    check(&and(&[of(false, 8, &[])]), Client, May, "kept alive");
    check(&good(), Server, Must, "there is no cookie");
    check(&[Record::protocols(&[0]), Record::aeads(&[15, 17])], Server, Must, "2 algorithms");
    check(&[Record::protocols(&[]), of(false, 5, &[1; 100])], Server, Must, "nothing is agreed");
    let cookie = of(true, 5, &[1; 10]);
    for (level, words) in [
        (Should, "2 cookies, not 8"),
        (Should, "with the critical bit"),
        (May, "fits an extension field"),
        (Derived, "there before"),
    ] {
        check(&and(&[cookie.clone(), cookie.clone()]), Server, level, words);
    }
    for name in ["", "a b", "fe80::1%eth0", "a..b", "1.2.3.4.5", "-a.test", "b\u{fc}cher.test"] {
        check(&and(&[of(false, 6, name.as_bytes())]), Server, Must, "neither an address");
    }
    for name in ["192.0.2.1", "2001:db8::1", "xn--bcher-kva.test", "a.test."] {
        let decoded = said(&record::message(&and(&[of(false, 6, name.as_bytes())])), Client);
        assert_eq!(decoded.remarks, [], "{name}");
    }
    let after = [&REQUEST[..], &Record::end().octets()].concat();
    assert!(said(&after, Client).remarks.iter().any(|remark| remark.what.contains("after End")));
    let cut = said(&REQUEST[..13], Client);
    assert!(cut.remarks.iter().any(|remark| remark.what.contains("no whole record")));
    assert!(cut.remarks.iter().any(|remark| remark.what.contains("no End")));
}

/// A recording of raw IP with UDP datagrams between port 50000 and port 123, a second apart.
fn recording(datagrams: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let mut file: Vec<u8> =
        [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65535, 101].map(u32::to_le_bytes).concat();
    for (second, (answer, octets)) in (1_800_000_000_u32..).zip(datagrams) {
        let (from, to) = if *answer { (123_u16, 50_000_u16) } else { (50_000, 123) };
        let len = |more: usize| u16::try_from(octets.len() + more).expect("short").to_be_bytes();
        let (client, server) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let ends = if *answer { [server, client] } else { [client, server] };
        let mut packet =
            [&[0x45, 0][..], &len(28), &[0, 0, 0x40, 0, 64, 17, 0, 0], &ends[0], &ends[1]].concat();
        packet.extend(
            [&from.to_be_bytes()[..], &to.to_be_bytes(), &len(8), &[0, 0], octets].concat(),
        );
        let whole = u32::try_from(packet.len()).expect("short");
        file.extend([second, 0, whole, whole].map(u32::to_le_bytes).concat());
        file.extend(packet);
    }
    file
}

fn recorded(datagrams: &[(bool, Vec<u8>)]) -> Vec<Packet> {
    let file = recording(datagrams);
    let capture: Capture<'_> = capture::read(&file).expect("a recording");
    let mut seen = Vec::new();
    let wanted = Wanted { ports: &[123], ke_port: 4460, keys: &keys(), near_s: 0 };
    assert_eq!(packets(&capture, &wanted, |packet| seen.push(packet)), 0);
    seen
}

#[test]
fn an_answer_is_judged_by_its_question() {
    let seen = recorded(&[(false, v1()), (true, v2())]);
    assert_eq!((seen[1].answers, seen[1].after_s), (Some(1), Some(1.0)));
    assert_eq!(seen[0].time.as_deref(), Some("2027-01-15T08:00:00.000000000Z"));
    assert_eq!(seen[1].from.as_deref(), Some("192.0.2.2:123"));
    assert!(
        seen.iter()
            .all(|packet| packet.decoded.as_ref().is_some_and(|read| read.remarks.is_empty()))
    );
    let check = |datagrams: &[(bool, Vec<u8>)], words: &str| {
        let seen = recorded(datagrams);
        let remarks = &seen.last().and_then(|last| last.decoded.as_ref()).expect("read").remarks;
        assert!(remarks.iter().any(|remark| remark.what.contains(words)), "{words}: {remarks:#?}");
    };
    check(&[(false, v1()), (true, v2()), (true, v2())], "answer 2 to packet 1: clients take one");
    check(&[(false, v1()), (true, v2()[..48].to_vec())], "nothing proves this answer");
    check(&[(false, v1()), (true, v2()[..48].to_vec())], "the identifier of packet 1 is missing");
    check(&[(false, v3()), (true, v2())], "436 octets answer 192");
    check(&[(false, v3()), (true, v2())], "3 cookies answer packet 1, which made room for 1");
    let old = [&[0x1b][..], &request_header()[1..]].concat();
    check(&[(false, old), (true, v2()[..48].to_vec())], "version 4 answers version 3");
    let mut other = v1();
    other[60] ^= 1;
    check(&[(false, other), (true, v2())], "another identifier");
}

#[test]
fn other_ports_are_counted_and_short_recordings_said() {
    let mut file = recording(&[(false, v1())]);
    let capture = capture::read(&file).expect("a recording");
    let wanted = Wanted { ports: &[11123], ke_port: 4460, keys: &[], near_s: 0 };
    assert_eq!(packets(&capture, &wanted, |packet| panic!("{packet:?}")), 1);
    // Recorded with 48 octets of NTP only.
    file.truncate(24 + 16 + 28 + 48);
    file[24 + 8..24 + 12].copy_from_slice(&76_u32.to_le_bytes());
    let capture = capture::read(&file).expect("a recording");
    let mut seen = Vec::new();
    packets(&capture, &Wanted { ports: &[123], ..wanted }, |packet| seen.push(packet));
    let remarks = &seen[0].decoded.as_ref().expect("read").remarks;
    assert!(remarks[0].what.contains("48 of 436 octets were recorded"));
}

#[test]
fn the_twin_for_programs_has_places_octets_and_meanings() {
    let json =
        serde_json::to_value(Packet::alone(read(&v1()))).expect("a tree of texts and numbers");
    assert_eq!(json["decoded"]["parts"][0]["octets"], "23");
    assert_eq!(json["decoded"]["parts"][11]["name"], "extension field Unique Identifier");
    assert_eq!(json["decoded"]["parts"][11]["at"], 48);
    assert_eq!(json["decoded"]["length"], 436);
}
