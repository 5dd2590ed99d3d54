//! Who is answered, how often, and what the others are told.

mod client;

use std::time::Duration;

use client::{Client, Server, plain, unique};
use noonmark_nts::Aead;
use noonmark_packet::{KissCode, Leap, Packet};
use noonmark_server::{AccessRules, Action, Counter, Policy, RateLimit, RateTable};
use noonmark_units::Mono;

const FRIEND: &str = "192.0.2.7:50123";

fn access(rules: &[(&str, Action)]) -> Policy {
    let rules = rules.iter().map(|(prefix, action)| (prefix.parse().unwrap(), *action));
    Policy { access: AccessRules::new(rules, Action::Allow), ..Policy::default() }
}

fn limited(burst: u8, leak: u8) -> Policy {
    let limit = RateLimit { interval: Duration::from_secs(1), burst, leak, ..RateLimit::default() };
    Policy { rate: Some(RateTable::new(limit, [3, 4])), ..Policy::default() }
}

fn kiss_of(answer: &[u8]) -> Option<KissCode> {
    Packet::parse(answer).unwrap().kiss()
}

fn pass(server: &mut Server, time: Duration) {
    server.mono = Mono(server.mono.0 + time.as_nanos() as u64);
}

#[test]
fn a_denied_client_is_told_if_it_is_authentic_and_an_ignored_one_never() {
    let mut server = Server::with(access(&[
        ("198.51.100.0/24", Action::Deny),
        ("203.0.113.0/24", Action::Ignore),
        ("2001:db8::/32", Action::Deny),
        ("2001:db8:1::/48", Action::Allow),
    ]));
    let client = Client::new(Aead::SivCmac256);
    let request = client.request(2);
    for denied in ["198.51.100.9:123", "[2001:db8:2::1]:999", "[::ffff:198.51.100.9]:123"] {
        assert_eq!(server.ask_as(&plain(), denied), None);
        let answer = server.ask_as(&request, denied).expect("a kiss");
        let packet = Packet::parse(&answer).unwrap();
        assert_eq!(
            (packet.kiss(), packet.leap(), packet.stratum()),
            (Some(KissCode::DENY), Leap::Unsynchronised, 0)
        );
        assert_eq!(client.open(&answer).len(), 3, "authentic, so it has its cookies");
        let mut forged = request.clone();
        forged[300] ^= 1;
        assert_eq!(server.ask_as(&forged, denied), None);
    }
    assert_eq!(server.ask_as(&plain(), "203.0.113.1:123"), None);
    assert_eq!(server.ask_as(&request, "203.0.113.1:123"), None);
    for allowed in [FRIEND, "[2001:db8:1::1]:999"] {
        assert_eq!(server.ask_as(&plain(), allowed).as_deref().and_then(kiss_of), None);
        assert_eq!(client.open(&server.ask_as(&request, allowed).unwrap()).len(), 3);
    }
    assert_eq!(server.count(Counter::KissDenyAuthentic), 3);
    assert_eq!(server.count(Counter::DroppedDenied), 6);
    assert_eq!(server.count(Counter::DroppedIgnored), 2);
}

#[test]
fn over_the_limit_there_is_one_kiss_and_then_silence() {
    let mut server = Server::with(limited(4, 0));
    let request = [plain(), unique(32)].concat();
    for _ in 0..4 {
        assert_eq!(server.ask(&request).as_deref().and_then(kiss_of), None);
    }
    let kiss = server.ask(&request).expect("a kiss");
    let packet = Packet::parse(&kiss).unwrap();
    assert_eq!(
        (packet.kiss(), packet.leap(), packet.stratum()),
        (Some(KissCode::RATE), Leap::Unsynchronised, 0)
    );
    assert_eq!(kiss[48..], unique(32), "a kiss echoes the identifier");
    for _ in 0..100 {
        assert_eq!(server.ask(&request), None);
    }
    assert_eq!((server.count(Counter::KissRate), server.count(Counter::DroppedLimited)), (1, 100));
    pass(&mut server, Duration::from_secs(1));
    assert!(server.ask(&request).is_some(), "one more after the interval");
    assert!(
        server.ask_as(&request, "192.0.2.8:50123").is_some(),
        "another client is not concerned"
    );
}

#[test]
fn a_flood_in_a_clients_name_does_not_starve_the_client() {
    let mut server = Server::with(limited(4, 4));
    let client = Client::new(Aead::SivCmac256);
    let request = client.request(0);
    let mut authentic = 0;
    for second in 0..60 {
        // 1000 forged requests a second, plain ones and some that only look like NTS.
        let mut forged = request.clone();
        forged[120] ^= 1;
        for n in 0..1000 {
            let _ = if n % 10 == 0 { server.ask(&forged) } else { server.ask(&plain()) };
        }
        pass(&mut server, Duration::from_secs(1));
        if second % 2 == 0 {
            let answer = server.ask(&request).expect("the client is served");
            assert_eq!(kiss_of(&answer), None);
            authentic += client.open(&answer).len();
        }
    }
    assert_eq!(authentic, 30);
    // And a plain client still gets through, about one time in four.
    let answered = (0..400)
        .filter(|_| server.ask(&plain()).is_some_and(|answer| kiss_of(&answer).is_none()))
        .count();
    assert!((60..=140).contains(&answered), "{answered} of 400");
    let kisses = server.count(Counter::KissRate);
    assert!(kisses <= 60 / 8 + 1, "{kisses} kisses in a minute");
}

#[test]
fn an_authentic_client_over_its_limit_gets_an_authentic_kiss_at_a_bounded_rate() {
    let mut server = Server::with(limited(3, 0));
    let client = Client::new(Aead::Aes128GcmSiv);
    let request = client.request(1);
    for _ in 0..3 {
        assert_eq!(server.ask(&request).as_deref().and_then(kiss_of), None);
    }
    let kiss = server.ask(&request).expect("a kiss");
    assert_eq!(kiss_of(&kiss), Some(KissCode::RATE));
    assert_eq!(client.open(&kiss).len(), 2);
    for _ in 0..50 {
        assert_eq!(server.ask(&request), None);
    }
    assert_eq!(server.count(Counter::KissRateAuthentic), 1);
    assert_eq!(server.count(Counter::DroppedLimitedAuthentic), 50);
    assert!(server.ask(&plain()).is_some(), "its plain requests are counted apart");
}

#[test]
fn a_denied_client_cannot_ask_for_kisses_without_end() {
    let mut policy = limited(5, 4);
    policy.access = AccessRules::new([], Action::Deny);
    let mut server = Server::with(policy);
    let request = Client::new(Aead::SivCmac256).request(0);
    let kisses = (0..100).filter(|_| server.ask(&request).is_some()).count();
    assert_eq!((kisses, server.count(Counter::KissDenyAuthentic)), (5, 5));
}

#[test]
fn ntsn_counts_as_any_plain_answer() {
    let mut server = Server::with(limited(2, 0));
    let mut request = Client::new(Aead::SivCmac256).request(0);
    request[120] ^= 1;
    let answers = (0..50).filter(|_| server.ask(&request).is_some()).count();
    assert_eq!(answers, 2);
    assert_eq!(
        (server.count(Counter::KissNtsn), server.count(Counter::DroppedNtsnLimited)),
        (2, 48)
    );
    assert_eq!(server.count(Counter::KissRate), 0, "RATE and NTSN are never combined");
}

#[test]
fn datagrams_that_fail_a_check_use_up_nothing() {
    let mut server = Server::with(limited(2, 0));
    for _ in 0..100 {
        assert_eq!(server.ask(&plain()[..47]), None);
        assert_eq!(server.ask(&[plain(), vec![1; 20]].concat()), None);
        assert_eq!(server.ask(&client::header(4, 6)), None);
    }
    assert!(server.ask(&plain()).is_some() && server.ask(&plain()).is_some());
}
