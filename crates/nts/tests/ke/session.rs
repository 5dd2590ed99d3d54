//! Our client and our server.

use std::collections::HashSet;

use noonmark_nts::{
    Aead, Agreement, KeClient, KeError, KeRequest, NtpServer, Outcome, ServerPolicy,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::wire::{NAME, Serving, World, carry};

fn exchange(
    world: &World,
    policy: ServerPolicy,
    request: &KeRequest,
    piece: usize,
) -> (Result<Agreement, KeError>, Outcome) {
    let mut client = KeClient::with_request(&world.client_tls(), NAME, request).expect("a name");
    let mut serving = Serving::new(world, policy);
    carry(&mut client, &mut serving, piece);
    assert!(client.is_done() && serving.server.is_done());
    assert!(!client.wants_read() && !serving.server.wants_read());
    (client.finish(), serving.server.outcome().cloned().expect("done"))
}

fn agree(world: &World, policy: ServerPolicy, request: &KeRequest) -> Agreement {
    exchange(world, policy, request, 16384).0.unwrap_or_else(|error| panic!("{error}"))
}

/// Both sides have the same keys: the server's are in the cookies.
fn check_keys(world: &World, agreement: &Agreement) {
    for cookie in &agreement.cookies {
        let keys = world.cookie_keys.open(cookie).expect("its own");
        assert_eq!(keys.aead(), agreement.keys.aead());
        assert!(keys.c2s() == agreement.keys.c2s() && keys.s2c() == agreement.keys.s2c());
        assert!(keys.c2s() != keys.s2c());
    }
}

#[test]
fn every_aead_with_and_without_record_1024() {
    let world = World::new();
    for (offer, compliant, chosen) in [
        (vec![15], false, Aead::SivCmac256),
        (vec![15], true, Aead::SivCmac256),
        (vec![17], false, Aead::SivCmac512),
        (vec![17], true, Aead::SivCmac512),
        (vec![30], false, Aead::Aes128GcmSiv),
        (vec![30], true, Aead::Aes128GcmSiv),
        (vec![10000, 17, 15], false, Aead::SivCmac256),
        (vec![30, 15], false, Aead::Aes128GcmSiv),
        (vec![15, 30], true, Aead::Aes128GcmSiv),
    ] {
        let request = KeRequest {
            aeads: offer.clone(),
            compliant_export: compliant,
            ..KeRequest::offering(&[])
        };
        let aeads = vec![Aead::Aes128GcmSiv, Aead::SivCmac256, Aead::SivCmac512];
        let agreement = agree(&world, ServerPolicy { aeads, ..ServerPolicy::default() }, &request);
        assert_eq!(agreement.keys.aead(), chosen, "{offer:?}");
        let is_30 = chosen == Aead::Aes128GcmSiv;
        assert_eq!(agreement.compliant_export, compliant && is_30, "{offer:?}");
        check_keys(&world, &agreement);
        assert_eq!(agreement.alternative.is_some(), is_30);
        if let Some(other) = &agreement.alternative {
            assert!(other.aead() == chosen && other.c2s() != agreement.keys.c2s());
        }
        let cookies: HashSet<_> = agreement.cookies.iter().collect();
        assert_eq!(cookies.len(), 8);
        assert!(cookies.iter().all(|cookie| cookie.len() == chosen.cookie_len()));
        assert_eq!((agreement.server, agreement.port), (None, 123));
    }
}

#[test]
fn the_servers_preference_decides() {
    let world = World::new();
    for (ours, chosen) in [
        ([Aead::SivCmac256, Aead::Aes128GcmSiv], Aead::SivCmac256),
        ([Aead::Aes128GcmSiv, Aead::SivCmac256], Aead::Aes128GcmSiv),
        ([Aead::SivCmac512, Aead::Aes128GcmSiv], Aead::Aes128GcmSiv),
    ] {
        let policy = ServerPolicy { aeads: ours.to_vec(), ..ServerPolicy::default() };
        let request = KeRequest::offering(&[Aead::SivCmac256, Aead::Aes128GcmSiv]);
        assert_eq!(agree(&world, policy, &request).keys.aead(), chosen);
    }
}

#[test]
fn octets_may_come_in_any_pieces() {
    let world = World::new();
    for piece in [1, 2, 7, 100] {
        let request = KeRequest::offering(&Aead::ALL);
        let (agreement, outcome) = exchange(&world, ServerPolicy::default(), &request, piece);
        assert!(agreement.is_ok(), "{piece}");
        assert_eq!(outcome, Outcome::Served { aead: Aead::SivCmac256, compliant_export: false });
    }
}

#[test]
fn two_sessions_share_no_key_and_no_cookie() {
    let world = World::new();
    let request = KeRequest::offering(&[Aead::SivCmac256]);
    let [a, b] = [(), ()].map(|()| agree(&world, ServerPolicy::default(), &request));
    assert!(a.keys.c2s() != b.keys.c2s());
    assert!(a.cookies.iter().all(|cookie| !b.cookies.contains(cookie)));
}

#[test]
fn nothing_in_common_is_said_politely() {
    let world = World::new();
    let other = KeRequest { protocols: vec![0x8001], aeads: vec![15], ..KeRequest::default() };
    let (result, outcome) = exchange(&world, ServerPolicy::default(), &other, 16384);
    assert_eq!(
        (result.err(), outcome),
        (Some(KeError::NoSharedProtocol), Outcome::NoSharedProtocol)
    );
    let other = KeRequest { protocols: vec![0], aeads: vec![10000], ..KeRequest::default() };
    let (result, outcome) = exchange(&world, ServerPolicy::default(), &other, 16384);
    assert_eq!((result.err(), outcome), (Some(KeError::NoSharedAead), Outcome::NoSharedAead));
}

#[test]
fn a_server_and_a_port_are_told_to_the_client() {
    let world = World::new();
    let name = |text: &str| text.parse::<NtpServer>().expect("a name");
    let check = |ours: &[&str], wanted: Option<&str>, told: Option<&str>| {
        let ntp_servers = ours.iter().map(|text| name(text)).collect();
        let policy = ServerPolicy { ntp_servers, ntp_port: 11123, ..ServerPolicy::default() };
        let request =
            KeRequest { server: wanted.map(name), ..KeRequest::offering(&[Aead::SivCmac256]) };
        let agreement = agree(&world, policy, &request);
        assert_eq!(
            (agreement.server, agreement.port),
            (told.map(name), 11123),
            "{ours:?}, {wanted:?}"
        );
    };
    check(&["a.example", "b.example"], None, Some("a.example"));
    check(&["a.example", "b.example"], Some("B.example"), Some("b.example"));
    check(&["a.example", "b.example"], Some("c.example"), Some("a.example"));
    check(&["192.0.2.9"], None, Some("192.0.2.9"));
    // The session is over IPv4: an IPv6 address alone would be of no use.
    check(&["2001:db8::9"], None, None);
    check(&["2001:db8::9", "192.0.2.9"], None, Some("192.0.2.9"));
    check(&["2001:db8::9", "192.0.2.9"], Some("2001:db8::9"), Some("2001:db8::9"));
}

#[test]
fn the_client_keeps_the_certificate_for_display() {
    let world = World::new();
    let agreement =
        agree(&world, ServerPolicy::default(), &KeRequest::offering(&[Aead::SivCmac256]));
    let der = CertificateDer::from_pem_slice(world.chain.as_bytes()).expect("PEM");
    assert_eq!(agreement.certificates, [der.to_vec()]);
}
