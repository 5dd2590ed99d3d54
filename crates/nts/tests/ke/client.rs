//! Our client against a server that can say anything, or be anyone.

use noonmark_nts::{
    Aead, ClientTls, ErrorCode, KeClient, KeError, Record, RecordKind, TrustRoots, Violation,
};
use rcgen::{DnType, ExtendedKeyUsagePurpose, KeyPair, SanType, date_time_ymd};

use crate::wire::{At, Authority, GOOD_TIME, KE_ALPN, NAME, Raw, World, carry};

fn message(rows: &[(bool, u16, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    for &(critical, kind, body) in rows {
        Record { critical, kind: RecordKind(kind), body }.write(&mut message).expect("fits");
    }
    Record::END.write(&mut message).expect("fits");
    message
}

const NEXT: (bool, u16, &[u8]) = (true, 1, &[0, 0]);
const AEAD: (bool, u16, &[u8]) = (true, 4, &[0, 15]);
const COOKIE: (bool, u16, &[u8]) = (false, 5, &[1; 100]);

/// What our client said, whether it closed, and what it made of the answer.
fn answer(
    world: &World,
    octets: &[u8],
    piece: usize,
) -> (Vec<u8>, bool, Result<Vec<Vec<u8>>, KeError>) {
    let mut server = Raw::new(world.raw_server(KE_ALPN), octets);
    server.piece = piece;
    let mut client = KeClient::new(&world.client_tls(), NAME, &[Aead::SivCmac256]).expect("a name");
    carry(&mut client, &mut server, 16384);
    if !client.is_done() {
        client.peer_closed();
    }
    (server.heard, server.heard_close, client.finish().map(|agreement| agreement.cookies))
}

fn check(world: &World, rows: &[(bool, u16, &[u8])], expected: Result<usize, KeError>) {
    for piece in [16384, 1] {
        let (_, closed, result) = answer(world, &message(rows), piece);
        assert_eq!(result.map(|cookies| cookies.len()), expected, "{rows:?}");
        assert!(closed, "close_notify after {rows:?}");
    }
}

#[test]
fn exactly_one_request_is_sent() {
    let world = World::new();
    let (said, closed, result) = answer(&world, &message(&[NEXT, AEAD, COOKIE]), 16384);
    assert_eq!(said, [0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0]);
    assert_eq!((closed, result), (true, Ok(vec![vec![1; 100]])));
}

#[test]
fn responses_are_taken_or_refused_by_the_rules() {
    let world = World::new();
    let broken = |violation| Err(KeError::Violation(violation));
    check(&world, &[NEXT, AEAD, COOKIE, COOKIE], Ok(2));
    check(&world, &[NEXT, AEAD, COOKIE, (false, 99, &[0; 65000])], Ok(1));
    check(&world, &[(true, 2, &[0, 1])], Err(KeError::Refused(ErrorCode::BAD_REQUEST)));
    check(
        &world,
        &[NEXT, AEAD, COOKIE, (true, 2, &[0, 2])],
        Err(KeError::Refused(ErrorCode::INTERNAL)),
    );
    check(
        &world,
        &[NEXT, AEAD, COOKIE, (true, 2, &[1])],
        broken(Violation::Length { kind: RecordKind::ERROR, len: 1 }),
    );
    check(&world, &[NEXT, AEAD, COOKIE, (true, 3, &[0, 0])], broken(Violation::Warning(0)));
    check(&world, &[(true, 1, &[])], Err(KeError::NoSharedProtocol));
    check(&world, &[NEXT, (true, 4, &[])], Err(KeError::NoSharedAead));
    check(&world, &[NEXT, (true, 4, &[0, 17]), COOKIE], broken(Violation::AeadNotOffered(17)));
    check(&world, &[NEXT, AEAD], broken(Violation::NoCookie));
    check(
        &world,
        &[NEXT, AEAD, COOKIE, (true, 4096, &[])],
        broken(Violation::UnknownCritical(RecordKind(4096))),
    );
    check(&world, &[NEXT, AEAD, COOKIE, (true, 7, &[0, 0])], broken(Violation::PortZero));
    check(
        &world,
        &[NEXT, AEAD, COOKIE, (false, 1024, &[])],
        broken(Violation::CompliantExportUnasked),
    );
}

#[test]
fn a_response_cut_short_is_no_agreement() {
    let world = World::new();
    let response = message(&[NEXT, AEAD, COOKIE]);
    for len in [0, 1, 11, response.len() - 1] {
        let mut server = Raw::new(world.raw_server(KE_ALPN), &response[..len]);
        server.close_after = true;
        let mut client =
            KeClient::new(&world.client_tls(), NAME, &[Aead::SivCmac256]).expect("a name");
        carry(&mut client, &mut server, 16384);
        assert!(client.is_done());
        assert_eq!(client.finish().err(), Some(KeError::Closed), "{len} octets");
    }
}

#[test]
fn a_silent_server_times_out() {
    let world = World::new();
    let mut server = Raw::new(world.raw_server(KE_ALPN), &[]);
    let mut client = KeClient::new(&world.client_tls(), NAME, &[Aead::SivCmac256]).expect("a name");
    carry(&mut client, &mut server, 16384);
    client.handle_timeout();
    carry(&mut client, &mut server, 16384);
    assert!(server.heard_close);
    assert_eq!(client.finish().err(), Some(KeError::TimedOut));
}

#[test]
fn a_server_without_our_alpn_is_left_before_a_word_is_said() {
    let world = World::new();
    let mut server = Raw::new(world.raw_server(&[]), &message(&[NEXT, AEAD, COOKIE]));
    let mut client = KeClient::new(&world.client_tls(), NAME, &[Aead::SivCmac256]).expect("a name");
    carry(&mut client, &mut server, 16384);
    assert!(server.heard.is_empty());
    assert_eq!(client.finish().err(), Some(KeError::Alpn));
}

#[test]
fn a_name_that_no_certificate_has_is_refused_at_once() {
    let world = World::new();
    for name in ["", "no spaces", "a..b", "fe80::1%eth0"] {
        let client = KeClient::new(&world.client_tls(), name, &[Aead::SivCmac256]);
        assert_eq!(client.err(), Some(KeError::ServerName(name.to_owned())));
    }
    assert!(KeClient::new(&world.client_tls(), "time.example.", &[Aead::SivCmac256]).is_ok());
}

/// Tries a server with a certificate bent by `bend` at `time`; true when the client accepts it.
fn accepts(name: &str, time: i64, bend: impl FnOnce(&mut rcgen::CertificateParams)) -> bool {
    let world = World::with(bend);
    let tls = ClientTls::new(world.authority.roots(), At(time));
    try_tls(&world, &tls, name)
}

fn try_tls(world: &World, tls: &ClientTls, name: &str) -> bool {
    let mut server = Raw::new(world.raw_server(KE_ALPN), &message(&[NEXT, AEAD, COOKIE]));
    let mut client = KeClient::new(tls, name, &[Aead::SivCmac256]).expect("a name");
    carry(&mut client, &mut server, 16384);
    match client.finish() {
        Ok(_) => true,
        Err(KeError::Tls(error)) if error.is_certificate() => {
            assert!(server.heard.is_empty(), "nothing was said to a stranger");
            false
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn certificates_are_verified_by_path_name_time_and_use() {
    assert!(accepts(NAME, GOOD_TIME, |_| ()));
    assert!(accepts("TIME.example", GOOD_TIME, |_| ()));
    assert!(!accepts("other.example", GOOD_TIME, |_| ()));
    assert!(!accepts(NAME, GOOD_TIME, |params| params.subject_alt_names.clear()), "no name at all");
    let only_common_name = |params: &mut rcgen::CertificateParams| {
        params.subject_alt_names.clear();
        params.distinguished_name.push(DnType::CommonName, NAME);
    };
    assert!(!accepts(NAME, GOOD_TIME, only_common_name));
    assert!(!accepts(NAME, 1_700_000_000, |_| ()), "not yet valid in 2023");
    assert!(!accepts(NAME, 2_100_000_000, |_| ()), "expired in 2036");
    assert!(!accepts(NAME, -1, |_| ()), "before 1970");
    assert!(
        accepts(NAME, 2_300_000_000, |params| params.not_after = date_time_ymd(2049, 1, 1)),
        "after 2038"
    );
    let client_only = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    assert!(!accepts(NAME, GOOD_TIME, client_only));
    let address = |params: &mut rcgen::CertificateParams| {
        params.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 1].into())];
    };
    assert!(accepts("192.0.2.1", GOOD_TIME, address));
    assert!(!accepts("192.0.2.2", GOOD_TIME, address));
    assert!(!accepts("192.0.2.1", GOOD_TIME, |_| ()));
}

#[test]
fn an_authority_nobody_trusts_is_refused() {
    let world = World::new();
    let stranger = ClientTls::new(Authority::new().roots(), At(GOOD_TIME));
    assert!(!try_tls(&world, &stranger, NAME));
    assert!(!try_tls(&world, &ClientTls::new(TrustRoots::new(), At(GOOD_TIME)), NAME));
}

#[test]
fn a_missing_intermediate_is_refused() {
    // The server's certificate is signed by an authority that the trusted one knows nothing of.
    let world = World::new();
    let between = Authority::new();
    let key = KeyPair::generate().expect("a key");
    let chain = between.issue(&key, |_| ());
    let other = World {
        authority: Authority::new(),
        chain,
        key,
        cookie_keys: noonmark_nts::CookieKeys::new(&[], 0),
    };
    assert!(!try_tls(&other, &world.client_tls(), NAME));
}

#[test]
fn two_authorities_in_one_file_are_both_trusted() {
    let (a, b) = (Authority::new(), Authority::new());
    let mut roots = TrustRoots::new();
    assert!(roots.is_empty());
    assert_eq!(roots.add_pem(format!("{}\nnoise\n{}", a.pem, b.pem).as_bytes()), Ok(2));
    assert_eq!(roots.len(), 2);
    assert!(roots.add_pem(b"no certificate here").is_err());
    assert!(roots.add_der(&[1, 2, 3]).is_err());
}
