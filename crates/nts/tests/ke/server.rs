//! Our server against a client that can say anything.

use noonmark_nts::{
    Aead, EXPORTER_LABEL, Outcome, Record, RecordKind, ServerPolicy, Violation, exporter_context,
    records,
};

use crate::wire::{KE_ALPN, Raw, Serving, World, carry};

const ERROR_0: &[u8] = &[0x80, 2, 0, 2, 0, 0, 0x80, 0, 0, 0];
const ERROR_1: &[u8] = &[0x80, 2, 0, 2, 0, 1, 0x80, 0, 0, 0];
const ERROR_2: &[u8] = &[0x80, 2, 0, 2, 0, 2, 0x80, 0, 0, 0];
const NO_PROTOCOL: &[u8] = &[0x80, 1, 0, 0, 0x80, 0, 0, 0];
const NO_AEAD: &[u8] = &[0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 0, 0x80, 0, 0, 0];

type Rows<'a> = &'a [(bool, u16, &'a [u8])];

fn message(rows: Rows<'_>) -> Vec<u8> {
    let mut message = Vec::new();
    for &(critical, kind, body) in rows {
        Record { critical, kind: RecordKind(kind), body }.write(&mut message).expect("fits");
    }
    Record::END.write(&mut message).expect("fits");
    message
}

const NEXT: (bool, u16, &[u8]) = (true, 1, &[0, 0]);
const AEAD: (bool, u16, &[u8]) = (true, 4, &[0, 15]);

/// What came back, whether `close_notify` did, and how the server saw it.
struct Heard {
    octets: Vec<u8>,
    closed: bool,
    outcome: Option<Outcome>,
}

fn say(world: &World, octets: &[u8], piece: usize) -> Heard {
    let mut client = Raw::new(world.raw_client(KE_ALPN), octets);
    client.piece = piece;
    let mut serving = Serving::new(world, ServerPolicy::default());
    carry(&mut client, &mut serving, 16384);
    Heard {
        octets: client.heard,
        closed: client.heard_close,
        outcome: serving.server.outcome().cloned(),
    }
}

fn check(world: &World, rows: Rows<'_>, expected: &[u8]) {
    for piece in [16384, 1] {
        let heard = say(world, &message(rows), piece);
        assert_eq!(heard.octets, expected, "{rows:?}");
        assert!(heard.closed, "close_notify after {rows:?}");
    }
}

fn check_served(world: &World, request: &[u8]) {
    let heard = say(world, request, 16384);
    assert_eq!(
        heard.outcome,
        Some(Outcome::Served { aead: Aead::SivCmac256, compliant_export: false })
    );
    let found: Vec<_> = records(&heard.octets).map(|record| record.expect("well formed")).collect();
    let kinds: Vec<_> =
        found.iter().map(|record| (record.critical, record.kind.0, record.body.len())).collect();
    let mut expected = vec![(true, 1, 2), (true, 4, 2)];
    expected.extend([(false, 5, 100); 8]);
    expected.push((true, 0, 0));
    assert_eq!(kinds, expected);
    assert!(heard.closed);
}

#[test]
fn good_requests_get_eight_cookies_and_close_notify() {
    let world = World::new();
    check_served(&world, &message(&[NEXT, AEAD]));
    check_served(&world, &message(&[NEXT, (false, 4, &[0, 15])]));
    check_served(
        &world,
        &message(&[(true, 1, &[0, 9, 0, 0, 0x9c, 0x40]), (true, 4, &[0x27, 0x10, 0, 15])]),
    );
    check_served(
        &world,
        &message(&[(false, 9, &[1]), NEXT, (false, 10, &[1; 3]), AEAD, (false, 11, &[1; 65535])]),
    );
    check_served(
        &world,
        &message(&[NEXT, AEAD, (true, 6, b"elsewhere.example"), (true, 7, &[1, 2])]),
    );
    check_served(&world, &message(&[NEXT, AEAD, (false, 1024, &[])]));
    let padding = vec![0; 1024 - 20];
    let padded = message(&[NEXT, AEAD, (false, 77, &padding)]);
    assert_eq!(padded.len(), 1024);
    check_served(&world, &padded);
}

#[test]
fn bad_requests_get_exactly_one_error() {
    let world = World::new();
    check(&world, &[(false, 1, &[0, 0]), AEAD], ERROR_1);
    check(&world, &[(true, 1, &[]), AEAD], ERROR_1);
    check(&world, &[(true, 1, &[0]), AEAD], ERROR_1);
    check(&world, &[(true, 1, &[0, 0, 0]), AEAD], ERROR_1);
    check(&world, &[NEXT, (true, 4, &[])], ERROR_1);
    check(&world, &[NEXT, (true, 4, &[0, 15, 0])], ERROR_1);
    check(&world, &[NEXT, AEAD, (false, 1024, &[0])], ERROR_1);
    check(&world, &[NEXT, AEAD, (true, 2, &[0, 0])], ERROR_1);
    check(&world, &[NEXT, AEAD, (true, 3, &[0, 0])], ERROR_1);
    check(&world, &[NEXT, AEAD, (false, 5, &[0; 100])], ERROR_1);
    check(&world, &[AEAD], ERROR_1);
    check(&world, &[NEXT], ERROR_1);
    check(&world, &[NEXT, NEXT, AEAD], ERROR_1);
    check(&world, &[NEXT, AEAD, AEAD], ERROR_1);
    check(&world, &[NEXT, AEAD, (false, 6, b"a"), (false, 6, b"b")], ERROR_1);
    check(&world, &[], ERROR_1);
    check(&world, &[NEXT, AEAD, (true, 0x3fff, &[])], ERROR_0);
    check(&world, &[(true, 8, &[1; 9]), NEXT, AEAD], ERROR_0);
    check(&world, &[(true, 1, &[0x27, 0x10])], NO_PROTOCOL);
    check(&world, &[(true, 1, &[0x27, 0x10]), AEAD], NO_PROTOCOL);
    check(&world, &[NEXT, (true, 4, &[0x27, 0x10])], NO_AEAD);
    let heard =
        say(&world, &[&message(&[NEXT, AEAD])[..12], &[0x80, 0, 0, 2, 1, 1]].concat(), 16384);
    assert_eq!(heard.octets, ERROR_1);
    assert_eq!(
        heard.outcome,
        Some(Outcome::Refused(Violation::Length { kind: RecordKind(0), len: 2 }))
    );
}

#[test]
fn what_follows_end_of_message_changes_nothing() {
    let world = World::new();
    check_served(&world, &[message(&[NEXT, AEAD]), message(&[(true, 0x3fff, &[]), NEXT])].concat());
    // Also when it comes later, and in octets of its own.
    let twice = [message(&[NEXT, AEAD]), message(&[NEXT, AEAD])].concat();
    let heard = say(&world, &twice, 1);
    let ends = records(&heard.octets)
        .filter(|record| record.is_ok_and(|record| record == Record::END))
        .count();
    assert_eq!(ends, 1);
}

#[test]
fn an_incomplete_request_ends_by_error_1() {
    let world = World::new();
    let request = message(&[NEXT, AEAD]);
    for len in 0..request.len() {
        let mut client = Raw::new(world.raw_client(KE_ALPN), &request[..len]);
        let mut serving = Serving::new(&world, ServerPolicy::default());
        carry(&mut client, &mut serving, 16384);
        assert_eq!(serving.server.outcome(), None);
        assert!(serving.server.wants_read());
        serving.server.handle_timeout();
        carry(&mut client, &mut serving, 16384);
        assert_eq!(
            (client.heard.as_slice(), client.heard_close),
            (ERROR_1, true),
            "{len} octets, then nothing"
        );
        assert!(serving.server.is_done());
        assert_eq!(serving.server.outcome(), Some(&Outcome::Refused(Violation::Incomplete)));
    }
}

#[test]
fn a_half_closed_partial_request_ends_by_error_1() {
    let world = World::new();
    let partial = &message(&[NEXT, AEAD])[..9];
    for by_tls in [true, false] {
        let mut client = Raw::new(world.raw_client(KE_ALPN), partial);
        client.close_after = by_tls;
        let mut serving = Serving::new(&world, ServerPolicy::default());
        carry(&mut client, &mut serving, 16384);
        if !by_tls {
            assert_eq!(serving.server.read_tls(&mut [].as_slice()).expect("end of stream"), 0);
            serving.server.process(None, &mut |_: &mut [u8]| ());
            carry(&mut client, &mut serving, 16384);
        }
        assert_eq!((client.heard.as_slice(), client.heard_close), (ERROR_1, true));
        assert_eq!(serving.server.outcome(), Some(&Outcome::Refused(Violation::Incomplete)));
    }
}

#[test]
fn a_client_may_close_its_half_after_the_request() {
    let world = World::new();
    let mut client = Raw::new(world.raw_client(KE_ALPN), &message(&[NEXT, AEAD]));
    client.close_after = true;
    let mut serving = Serving::new(&world, ServerPolicy::default());
    carry(&mut client, &mut serving, 16384);
    assert!(matches!(serving.server.outcome(), Some(Outcome::Served { .. })));
    assert!(client.heard.len() > 800);
}

#[test]
fn a_client_that_leaves_without_a_word_is_let_go() {
    let world = World::new();
    let mut client = Raw::new(world.raw_client(KE_ALPN), &[]);
    let mut serving = Serving::new(&world, ServerPolicy::default());
    carry(&mut client, &mut serving, 16384);
    serving.server.peer_closed();
    assert_eq!(serving.server.outcome(), Some(&Outcome::Abandoned));
    carry(&mut client, &mut serving, 16384);
    assert_eq!((client.heard.as_slice(), client.heard_close), (&[][..], true));

    let mut silent = Serving::new(&world, ServerPolicy::default());
    silent.server.handle_timeout();
    assert_eq!(silent.server.outcome(), Some(&Outcome::Abandoned));
}

#[test]
fn without_a_cookie_key_a_good_request_gets_error_2() {
    let world = World::new();
    let check = |request: Vec<u8>, expected: &[u8]| {
        let mut client = Raw::new(world.raw_client(KE_ALPN), &request);
        let mut serving = Serving::new(&world, ServerPolicy::default());
        serving.cookie_keys = None;
        carry(&mut client, &mut serving, 16384);
        assert_eq!((client.heard.as_slice(), client.heard_close), (expected, true));
    };
    check(message(&[NEXT, AEAD]), ERROR_2);
    check(message(&[AEAD]), ERROR_1);
    check(message(&[NEXT, (true, 4, &[0x27, 0x10])]), NO_AEAD);
}

#[test]
fn without_our_alpn_there_is_an_alert_and_no_response() {
    let world = World::new();
    let check = |alpn: &[&[u8]], alert: rustls::AlertDescription| {
        let mut client = Raw::new(world.raw_client(alpn), &message(&[NEXT, AEAD]));
        let mut serving = Serving::new(&world, ServerPolicy::default());
        carry(&mut client, &mut serving, 16384);
        assert_eq!(client.error, Some(rustls::Error::AlertReceived(alert)), "{alpn:?}");
        assert!(client.heard.is_empty());
        assert!(matches!(serving.server.outcome(), Some(Outcome::Tls(error)) if error.is_alpn()));
    };
    check(&[], rustls::AlertDescription::AccessDenied);
    check(&[b"h2"], rustls::AlertDescription::NoApplicationProtocol);
    check(&[b"ntske/2", b"ntske"], rustls::AlertDescription::NoApplicationProtocol);
    let mut client = Raw::new(world.raw_client(&[b"h2", b"ntske/1"]), &message(&[NEXT, AEAD]));
    carry(&mut client, &mut Serving::new(&world, ServerPolicy::default()), 16384);
    assert!(client.error.is_none() && client.heard.len() > 800);
}

#[test]
fn a_client_of_tls_1_2_gets_an_alert() {
    // A ClientHello of TLS 1.2 (RFC 5246 §7.4.1.2): ECDHE-ECDSA-AES128-GCM-SHA256, P-256, ecdsa_secp256r1_sha256, ALPN ntske/1.
    let extensions: &[&[u8]] = &[
        &[0, 10, 0, 4, 0, 2, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 16, 0, 10, 0, 8, 7, b'n', b't', b's', b'k', b'e', b'/', b'1'],
    ];
    let extensions = extensions.concat();
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut octets = vec![22, 3, 1];
    octets.extend((hello.len() as u16 + 4).to_be_bytes());
    octets.extend([1, 0]);
    octets.extend((hello.len() as u16).to_be_bytes());
    octets.extend(hello);

    let world = World::new();
    let mut server = world.server(ServerPolicy::default());
    server.read_tls(&mut octets.as_slice()).expect("room");
    server.process(world.cookie_keys.issuer(), &mut |out: &mut [u8]| out.fill(1));
    assert!(
        matches!(server.outcome(), Some(Outcome::Tls(error)) if error.is_version() && !error.is_alpn()),
        "{:?}",
        server.outcome()
    );
    let mut out = Vec::new();
    server.write_tls(&mut out).expect("memory");
    assert_eq!(
        (out.len(), out[0], out[5], out[6]),
        (7, 21, 2, 70),
        "one fatal alert: protocol_version"
    );
    assert!(server.is_done());
}

#[test]
fn octets_that_are_no_tls_end_the_session() {
    let world = World::new();
    for octets in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x23; 48], &[0; 1000]] {
        let mut server = world.server(ServerPolicy::default());
        let mut rest = octets;
        while !rest.is_empty() && server.wants_read() {
            server.read_tls(&mut rest).expect("room");
            server.process(world.cookie_keys.issuer(), &mut |out: &mut [u8]| out.fill(1));
        }
        assert!(matches!(server.outcome(), Some(Outcome::Tls(_))), "{:?}", server.outcome());
    }
}

#[test]
fn no_ticket_is_ever_sent() {
    let world = World::new();
    let mut client = Raw::new(world.raw_client(KE_ALPN), &message(&[NEXT, AEAD]));
    let mut serving = Serving::new(&world, ServerPolicy::default());
    carry(&mut client, &mut serving, 16384);
    assert_eq!(client.tls.tls13_tickets_received(), 0);
    assert_eq!(client.tls.handshake_kind(), Some(rustls::HandshakeKind::Full));
}

#[test]
fn the_keys_in_the_cookies_are_what_the_exporter_gives_the_client() {
    let world = World::new();
    let check = |offer: &[u8], compliant: bool, aead: Aead, id: u16| {
        let mut rows: Vec<(bool, u16, &[u8])> = vec![NEXT, (true, 4, offer)];
        if compliant {
            rows.push((false, 1024, &[]));
        }
        let mut client = Raw::new(world.raw_client(KE_ALPN), &message(&rows));
        carry(&mut client, &mut Serving::new(&world, ServerPolicy::default()), 16384);
        let found: Vec<_> =
            records(&client.heard).map(|record| record.expect("well formed")).collect();
        let echoed = found.iter().any(|record| record.kind == RecordKind::COMPLIANT_GCM_SIV_EXPORT);
        assert_eq!(echoed, compliant && aead == Aead::Aes128GcmSiv);
        let cookie =
            found.iter().find(|record| record.kind == RecordKind::NEW_COOKIE).expect("a cookie");
        let keys = world.cookie_keys.open(cookie.body).expect("its own");
        for (s2c, key) in [(false, keys.c2s()), (true, keys.s2c())] {
            let mut expected = vec![0; aead.key_len()];
            let context = exporter_context(id, s2c);
            client
                .tls
                .export_keying_material(&mut expected, EXPORTER_LABEL, Some(&context))
                .expect("established");
            assert_eq!(key, expected, "{offer:?} {compliant}");
        }
    };
    check(&[0, 15], false, Aead::SivCmac256, 15);
    check(&[0, 17], false, Aead::SivCmac512, 17);
    check(&[0, 30], true, Aead::Aes128GcmSiv, 30);
    check(&[0, 30], false, Aead::Aes128GcmSiv, 15);
    check(&[0, 15], true, Aead::SivCmac256, 15);
}
