//! 69 odd requests and our answer to each, reviewed row by row.
//!
//! The table in `docs/odd-requests.md` is made from these rows, and this test fails if it differs. After a change that is meant,
//! `NOONMARK_WRITE_DOCS=1 cargo test -p noonmark-server --test odd_requests` writes it anew; read the difference before committing.

mod client;

use std::fmt::Write;
use std::path::Path;

use client::{Client, Server, authenticator, field, header, plain, unique};
use noonmark_nts::Aead;
use noonmark_packet::{FieldKind, Packet};
use noonmark_server::{Counter, PastAnswers, Policy};

/// What is asked, what we must answer, and why.
struct Row {
    request: &'static str,
    datagram: Vec<u8>,
    answer: &'static str,
    why: &'static str,
}

fn row(request: &'static str, datagram: Vec<u8>, answer: &'static str, why: &'static str) -> Row {
    Row { request, datagram, answer, why }
}

#[test]
fn every_odd_request_gets_its_reviewed_answer() {
    let rows = rows();
    assert_eq!(rows.len(), 69);
    for Row { request, datagram, answer, .. } in &rows {
        // Each from a server of its own: no row depends on another.
        let interleaved = Some(PastAnswers::new(16, [1, 2]).expect("memory"));
        let mut server = Server::with(Policy { interleaved, ..Policy::default() });
        assert_eq!(describe(&mut server, datagram), *answer, "{request}");
    }
}

#[test]
fn the_document_says_what_the_server_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/odd-requests.md");
    let document = document();
    if std::env::var_os("NOONMARK_WRITE_DOCS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == document,
        "docs/odd-requests.md is not what the rows say; see the head of this test"
    );
}

fn rows() -> Vec<Row> {
    let mut rows = versions_and_modes();
    rows.extend(lengths_and_macs());
    rows.extend(extension_fields());
    rows.extend(nts());
    rows
}

const PLAIN_1: &str = "48 octets: version 1, time";
const PLAIN_2: &str = "48 octets: version 2, time";
const PLAIN_3: &str = "48 octets: version 3, time";
const PLAIN_4: &str = "48 octets: version 4, time";
const NTSN: &str = "84 octets: version 4, kiss NTSN, unique identifier";

fn versions_and_modes() -> Vec<Row> {
    let with_draft =
        [header(5, 3), field(FieldKind(0xf5ff), b"draft-ietf-ntp-ntpv5-08\0")].concat();
    let mut upgrade = plain();
    upgrade[16..24].copy_from_slice(b"NTP5DRFT");
    let control = |operation: u8| [&[0x16, operation][..], &[0; 10]].concat();
    let monlist = |len: usize| {
        let mut octets = vec![0x17, 0, 3, 0x2a];
        octets.resize(len, 0);
        octets
    };
    let no_such_version = "No version 0 was ever specified.";
    let not_yet = "Not a version we speak; an answer in another version would not be understood.";
    let mode_0 = "Reserved (RFC 5905 figure 10). Mode 0 could be an answer itself, and two servers would answer each other for ever.";
    let symmetric = "Belongs to a configured peer, and there is none: a stranger gets no association (RFC 8633 §5.6). Counted and handed over.";
    let mode_6 = "Control messages are not for the world (RFC 8633 §3.4). Counted and handed over; nobody answers yet.";
    let mode_7 = "Private mode was the great amplifier (CVE-2013-5211). Never answered.";
    vec![
        row("version 0, mode 3", header(0, 3), "silence: dropped_version", no_such_version),
        row(
            "version 1, mode 3",
            header(1, 3),
            PLAIN_1,
            "The header is the same, and such clients are still out there.",
        ),
        row("version 2, mode 3", header(2, 3), PLAIN_2, "Likewise."),
        row("version 3, mode 3", header(3, 3), PLAIN_3, "Many clients of SNTP send version 3."),
        row("version 4, mode 3", header(4, 3), PLAIN_4, "An ordinary request."),
        row("version 5, mode 3", header(5, 3), "silence: dropped_version", not_yet),
        row("version 6, mode 3", header(6, 3), "silence: dropped_version", not_yet),
        row("version 7, mode 3", header(7, 3), "silence: dropped_version", not_yet),
        row(
            "version 1, mode 0",
            header(1, 0),
            "silence: dropped_mode_reserved",
            "Clients of RFC 1059 sent it, but it cannot be told from an answer; see mode 0.",
        ),
        row(
            "version 5 with a draft identification field",
            with_draft,
            "silence: dropped_version",
            not_yet,
        ),
        row(
            "version 4 with NTPv5's upgrade reference time",
            upgrade,
            PLAIN_4,
            "A reference time in a request means nothing to version 4, so the client learns that version 5 is not spoken.",
        ),
        row("version 4, mode 0", header(4, 0), "silence: dropped_mode_reserved", mode_0),
        row("version 4, mode 1", header(4, 1), "silence: handed_symmetric_active", symmetric),
        row("version 4, mode 2", header(4, 2), "silence: handed_symmetric_passive", symmetric),
        row(
            "version 4, mode 4",
            header(4, 4),
            "silence: dropped_mode_server",
            "An answer. Two servers must not answer each other.",
        ),
        row(
            "version 4, mode 5",
            header(4, 5),
            "silence: dropped_mode_broadcast",
            "A broadcast asks for nothing.",
        ),
        row("version 3, mode 1", header(3, 1), "silence: handed_symmetric_active", symmetric),
        row("mode 6: read variables, 12 octets", control(2), "silence: handed_control", mode_6),
        row("mode 6: read status, 12 octets", control(1), "silence: handed_control", mode_6),
        row("mode 6: request a nonce, 12 octets", control(12), "silence: handed_control", mode_6),
        row("mode 7: monlist, 8 octets", monlist(8), "silence: dropped_mode_private", mode_7),
        row("mode 7: monlist, 192 octets", monlist(192), "silence: dropped_mode_private", mode_7),
    ]
}

fn lengths_and_macs() -> Vec<Row> {
    let cut = |len: usize| plain()[..len].to_vec();
    let zeros = |len: usize| [plain(), vec![0; len]].concat();
    let mac =
        |version, len: usize| [header(version, 3), vec![0, 0, 0, 1], vec![0xaa; len - 4]].concat();
    let mut never_asked = plain();
    never_asked[40..].fill(0);
    let naming = |receive: u8| {
        let mut request = plain();
        request[24..32].copy_from_slice(b"\xe9\xff\xff\xf0\x12\x34\x56\x79");
        request.copy_within(40..48, 32);
        request[39] ^= receive;
        request
    };
    let short = "Shorter than a header (RFC 5905 §7.3).";
    let no_frame =
        "Neither field nor MAC (RFC 7822 §3): who sends it means something we do not understand.";
    let no_key = "No key is configured, so the MAC cannot be right. An answer without MAC is useless to who asked with one, and a crypto-NAK helps only an attacker.";
    let long_mac = "Too long for a MAC in version 4, so it is read as a field (RFC 7822 §3), and its length is impossible.";
    vec![
        row("0 octets", cut(0), "silence: dropped_empty", short),
        row("1 octet", cut(1), "silence: dropped_short", short),
        row("12 octets", cut(12), "silence: dropped_short", short),
        row("47 octets", cut(47), "silence: dropped_short", short),
        row(
            "version 4 and 1 zero octet",
            zeros(1),
            "silence: dropped_length",
            "Not a whole number of 32-bit words.",
        ),
        row(
            "version 4 and 4 zero octets",
            zeros(4),
            "silence: dropped_crypto_nak",
            "A crypto-NAK: part of an answer, never of a request.",
        ),
        row("version 4 and 8 zero octets", zeros(8), "silence: dropped_fields", no_frame),
        row("version 4 and 12 zero octets", zeros(12), "silence: dropped_fields", no_frame),
        row("version 4 and a MAC of 20 octets", mac(4, 20), "silence: dropped_mac", no_key),
        row("version 4 and a MAC of 24 octets", mac(4, 24), "silence: dropped_mac", no_key),
        row("version 4 and a MAC of 36 octets", mac(4, 36), "silence: dropped_fields", long_mac),
        row("version 4 and a MAC of 68 octets", mac(4, 68), "silence: dropped_fields", long_mac),
        row("version 3 and a MAC of 20 octets", mac(3, 20), "silence: dropped_mac", no_key),
        row(
            "transmit time zero",
            never_asked,
            PLAIN_4,
            "SNTP clients may send it (RFC 4330 §5). The origin is copied, whatever it is.",
        ),
        row(
            "interleaved, naming an answer that is not remembered",
            naming(1),
            PLAIN_4,
            "Basic mode, with the origin copied (RFC 9769 §2). When this answer leaves is remembered for the next request.",
        ),
        row(
            "interleaved, with two equal stamps",
            naming(0),
            PLAIN_4,
            "Likewise; the answer to such a request could not say which mode it is in, so nothing is remembered.",
        ),
    ]
}

fn extension_fields() -> Vec<Row> {
    let unknown = |len: usize| field(FieldKind(0x7777), &vec![0x55; len - 4]);
    let claiming = |claimed: u16, len: usize| {
        let mut octets = unknown(len);
        octets[2..4].copy_from_slice(&claimed.to_be_bytes());
        [plain(), octets].concat()
    };
    let cookie = field(FieldKind::NTS_COOKIE, &[0x66; 100]);
    let ignored = "Unknown fields are ignored and not echoed (RFC 7822 §3, §4).";
    let impossible =
        "A field of impossible length: nothing after it can be trusted, so nothing is answered.";
    vec![
        row("an unknown field of 28 octets", [plain(), unknown(28)].concat(), PLAIN_4, ignored),
        row(
            "an unknown field of 16 octets",
            [plain(), unknown(16)].concat(),
            "silence: dropped_fields",
            "The last field has 28 octets or more if no MAC follows (RFC 7822 §3).",
        ),
        row(
            "a field longer than the packet",
            claiming(60, 28),
            "silence: dropped_fields",
            impossible,
        ),
        row("a field of length 0", claiming(0, 28), "silence: dropped_fields", impossible),
        row(
            "a field of 30 octets",
            claiming(30, 30),
            "silence: dropped_length",
            "Not a multiple of four octets.",
        ),
        row(
            "an unknown field of 1400 octets",
            [plain(), unknown(1400)].concat(),
            PLAIN_4,
            "Ignored, whatever its size; the answer has 48 octets.",
        ),
        row(
            "85 fields of 16 octets",
            [plain(), unknown(16).repeat(85)].concat(),
            "silence: dropped_fields",
            "The last one is too short; see above. With a last field of 28 octets it would be answered.",
        ),
        row(
            "a unique identifier alone",
            [plain(), unique(32)].concat(),
            "84 octets: version 4, time, unique identifier",
            "Echoed in every answer, also without NTS (RFC 8915 §5.3).",
        ),
        row(
            "a unique identifier of 16 octets",
            [plain(), unique(16)].concat(),
            "silence: dropped_mac",
            "20 octets at the end are a MAC (RFC 7822 §3).",
        ),
        row(
            "a unique identifier and a cookie, no authenticator",
            [plain(), unique(32), cookie].concat(),
            "silence: dropped_authenticator_missing",
            "Autokey, or a protected request that somebody cut: neither can use a plain answer.",
        ),
    ]
}

fn nts() -> Vec<Row> {
    let client = Client::new(Aead::SivCmac256);
    let cookie = client.cookie_field();
    let bad_cookie = {
        let mut body = client.cookie.clone();
        body[60] ^= 1;
        field(FieldKind::NTS_COOKIE, &body)
    };
    let parts = |parts: &[&[u8]]| [&plain()[..], &parts.concat()].concat();
    let sealed = |fields: &[&[u8]]| client.sealed(parts(fields));
    let with_nonce =
        |nonce: &[u8]| client.sealed_with(parts(&[&unique(32), &cookie]), nonce, &[], 0);
    let unknown = field(FieldKind(0x7777), &[0x55; 24]);
    let mut bad_tag = client.request(0);
    *bad_tag.last_mut().unwrap() ^= 1;
    let other_header =
        |version, mode| client.sealed([&header(version, mode)[..], &unique(32), &cookie].concat());
    let short_placeholder = field(FieldKind::NTS_COOKIE_PLACEHOLDER, &[0; 24]);
    let encrypted =
        client.sealed_with(parts(&[&unique(32), &cookie]), &[0x77; 16], &client.placeholders(1), 0);
    let first = {
        let mut packet = client.sealed(plain());
        packet.extend([unique(32), cookie.clone()].concat());
        packet
    };
    let one = "228 octets: version 4, time, unique identifier, authenticated, cookies: 1";
    let not_good = "The client can do nothing with this cookie any more, and is told so; the answer proves nothing, so the client waits for a better one before it believes it (RFC 8915 §5.7).";
    let twice = "RFC 8915 §5.7 allows one. Which of two was meant is not ours to guess.";
    vec![
        row("NTS, 1 cookie", client.request(0), one, "As many octets as were sent."),
        row(
            "NTS, 8 cookies",
            client.request(7),
            "956 octets: version 4, time, unique identifier, authenticated, cookies: 8",
            "Likewise.",
        ),
        row(
            "NTS, 12 cookies asked",
            client.request(11),
            "956 octets: version 4, time, unique identifier, authenticated, cookies: 8",
            "No client keeps more than eight, and the work for one request is bounded.",
        ),
        row(
            "NTS, placeholder shorter than the cookie",
            sealed(&[&unique(32), &cookie, &short_placeholder]),
            one,
            "The placeholder earns nothing (RFC 8915 §5.5); the request is otherwise good.",
        ),
        row(
            "NTS, the same packet again",
            client.request(0),
            one,
            "The server remembers nothing; the client checks the unique identifier.",
        ),
        row(
            "NTS in a version 3 header",
            other_header(3, 3),
            "silence: dropped_fields",
            "Version 3 has no extension fields, and no MAC is that long.",
        ),
        row(
            "NTS in mode 1",
            other_header(4, 1),
            "silence: handed_symmetric_active",
            "NTS fields have a meaning in modes 3 and 4 only (RFC 8915 §5).",
        ),
        row("NTS, bad cookie", sealed(&[&unique(32), &bad_cookie]), NTSN, not_good),
        row(
            "NTS, bad cookie, unique identifier of 16 octets",
            sealed(&[&unique(16), &bad_cookie]),
            "silence: dropped_unique_short",
            "RFC 8915 §5.3 demands 32 octets; shorter ones could be guessed.",
        ),
        row(
            "NTS, bad cookie and 7 placeholders",
            sealed(&[&unique(32), &bad_cookie, &client.placeholders(7)]),
            NTSN,
            not_good,
        ),
        row("NTS, bad authenticator", bad_tag, NTSN, not_good),
        row(
            "NTS without unique identifier",
            sealed(&[&cookie]),
            "silence: dropped_unique_missing",
            "RFC 8915 §5.7 demands one; without it the client could not tell an answer from a replay.",
        ),
        row(
            "NTS, two unique identifiers",
            sealed(&[&unique(32), &unique(32), &cookie]),
            "silence: dropped_unique_twice",
            twice,
        ),
        row(
            "NTS, two cookies",
            sealed(&[&unique(32), &cookie, &cookie]),
            "silence: dropped_cookie_twice",
            twice,
        ),
        row(
            "NTS cookie without authenticator",
            parts(&[&unique(32), &cookie]),
            "silence: dropped_authenticator_missing",
            "A plain answer would not be believed, and must not be tempting.",
        ),
        row(
            "NTS, authenticator first",
            first,
            "silence: dropped_cookie_missing",
            "What follows the authenticator is not covered and is discarded; nothing is left before it.",
        ),
        row(
            "NTS, a field after the authenticator",
            parts_after(&client, &unknown),
            one,
            "Discarded; the request is answered (RFC 8915 §5.7).",
        ),
        row(
            "NTS, an unknown field before the authenticator",
            sealed(&[&unique(32), &cookie, &unknown]),
            one,
            "Covered by the tag, otherwise ignored, not echoed.",
        ),
        row(
            "NTS, an encrypted placeholder",
            encrypted,
            "332 octets: version 4, time, unique identifier, authenticated, cookies: 2",
            "A client may encrypt its placeholders (RFC 8915 §5.7).",
        ),
        row(
            "NTS, nonce of 8 octets without padding",
            with_nonce(&[3; 8]),
            "silence: dropped_authenticator_padding",
            "Leaves no room for the nonce of an answer: such a request is to be discarded (RFC 8915 §5.6).",
        ),
        row(
            "NTS, nonce of 32 octets",
            with_nonce(&[3; 32]),
            one,
            "AES-SIV takes nonces of any length; our own has 16 octets.",
        ),
    ]
}

fn parts_after(client: &Client, trailing: &[u8]) -> Vec<u8> {
    [client.request(0), trailing.to_vec()].concat()
}

/// The answer in words; silence with the counter that tells why.
fn describe(server: &mut Server, datagram: &[u8]) -> String {
    let Some(answer) = server.ask(datagram) else {
        let reasons = Counter::ALL
            .into_iter()
            .filter(|counter| counter.is_fate() && server.count(*counter) > 0);
        return format!("silence: {}", reasons.map(Counter::name).collect::<Vec<_>>().join(", "));
    };
    let packet = Packet::parse(&answer).unwrap();
    let mut text = format!("{} octets: version {}", answer.len(), packet.version());
    match packet.kiss() {
        Some(code) => write!(text, ", kiss {code}").unwrap(),
        None => text.push_str(", time"),
    }
    for field in packet.contents().unwrap().fields {
        match field.kind {
            FieldKind::UNIQUE_IDENTIFIER => text.push_str(", unique identifier"),
            FieldKind::NTS_AUTHENTICATOR => {
                let cookies = Client::new(Aead::SivCmac256).open(&answer).len();
                write!(text, ", authenticated, cookies: {cookies}").unwrap();
            }
            other => write!(text, ", {other}").unwrap(),
        }
    }
    text
}

fn document() -> String {
    let mut text = String::from(
        "# Odd requests and our answers\n\n\
         What a Noonmark server says to requests that are old, unusual, broken or hostile: 69 of them, each reviewed, with the reason.\n\
         The server speaks for a synchronised clock, allows everybody, limits nobody and knows the cookies' keys. Silence is followed by the\n\
         name of its counter. No answer is longer than its request.\n\n\
         This table is checked against the server by `crates/server/tests/odd_requests.rs`, which also writes it.\n\n\
         | | request | octets | our answer | why |\n|---|---|---|---|---|\n",
    );
    for (number, Row { request, datagram, answer, why }) in (1..).zip(rows()) {
        writeln!(text, "| {number} | {request} | {} | {answer} | {why} |", datagram.len()).unwrap();
    }
    text
}

/// Wrong lengths inside an authenticator are one more way to be odd; here only so that the helper's own shape is tested.
#[test]
fn the_test_clients_authenticator_has_the_layout_of_the_rfc() {
    let octets = authenticator(&[1; 5], &[2; 17], 8);
    assert_eq!(octets[..8], [0x04, 0x04, 0, 4 + 4 + 8 + 20 + 8, 0, 5, 0, 17]);
    assert_eq!((&octets[8..13], &octets[13..16]), (&[1; 5][..], &[0; 3][..]));
    assert_eq!((&octets[16..33], &octets[33..]), (&[2; 17][..], &[0; 11][..]));
}
