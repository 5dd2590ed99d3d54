//! What NTS requests get: RFC 8915 §5 for a server, row by row.

mod client;

use std::collections::HashSet;
use std::sync::Arc;

use client::{
    ASKED, Client, Server, authenticator, cookie_keys, counting, field, fields_of, header, plain,
    unique,
};
use noonmark_nts::{Aead, CookieKeys, Random};
use noonmark_packet::{FieldKind, KissCode, Leap, Packet};
use noonmark_server::{Batch, ClockState, Counter};
use noonmark_units::Timestamp;

const COOKIE: FieldKind = FieldKind::NTS_COOKIE;

/// NTSN, with nothing in it that could be mistaken for proof or for time.
fn check_ntsn(request: &[u8], answer: Option<Vec<u8>>, unique: &[u8]) {
    let answer = answer.expect("NTSN");
    assert!(answer.len() <= request.len());
    let packet = Packet::parse(&answer).unwrap();
    assert_eq!(
        (packet.kiss(), packet.leap(), packet.stratum()),
        (Some(KissCode::NTSN), Leap::Unsynchronised, 0)
    );
    assert_eq!((packet.origin(), packet.mode().number()), (ASKED, 4));
    assert_eq!(&answer[48..], unique);
}

#[test]
fn an_answer_brings_as_many_cookies_as_were_asked_for_in_as_many_octets() {
    for aead in Aead::ALL {
        let mut server = Server::new();
        let client = Client::new(aead);
        for placeholders in 0..=7 {
            let request = client.request(placeholders);
            let answer = server.ask(&request).expect("an answer");
            let cookies = client.open(&answer);
            // NS-05 yields to the 1232 octets every path carries: eight cookies of AEAD 17 would be 1428.
            let fit = if aead == Aead::SivCmac512 { 6 } else { 8 };
            assert_eq!(cookies.len(), (1 + placeholders).min(fit), "{aead}");
            if cookies.len() == 1 + placeholders {
                assert_eq!(answer.len(), request.len(), "{aead}: no more, no less, no padding");
            }
            assert!(answer.len() <= 1232, "{aead}: {}", answer.len());
            let nonce_and_tag = 4 + 4 + aead.nonce_len() + 16;
            let expected = vec![
                (0x0104, 36),
                (0x0404, nonce_and_tag + cookies.len() * (4 + client.cookie.len())),
            ];
            assert_eq!(fields_of(&answer), expected, "{aead}");
            assert!(cookies.iter().all(|cookie| cookie.len() == client.cookie.len()));
            let packet = Packet::parse(&answer).unwrap();
            assert_eq!(
                (packet.origin(), packet.stratum(), packet.version().number()),
                (ASKED, 1, 4)
            );
        }
    }
}

/// The sizes chrony's clients and servers have for the same exchange, so that length filters see nothing new.
#[test]
fn sizes_are_those_networks_know() {
    let check =
        |aead, placeholders, len| assert_eq!(Client::new(aead).request(placeholders).len(), len);
    check(Aead::SivCmac256, 0, 228);
    check(Aead::SivCmac256, 7, 956);
    check(Aead::Aes128GcmSiv, 0, 192);
    check(Aead::Aes128GcmSiv, 7, 696);
    check(Aead::SivCmac512, 0, 292);
}

#[test]
fn every_cookie_given_out_works() {
    for aead in Aead::ALL {
        let mut server = Server::new();
        let mut client = Client::new(aead);
        for _ in 0..1000 {
            let answer = server.ask(&client.request(0)).expect("an answer");
            client.cookie = client.open(&answer).pop().expect("a cookie");
        }
        assert_eq!(server.count(Counter::AnsweredNts), 1000);
        assert_eq!(server.count(Counter::CookiesIssued), 1000);
    }
}

#[test]
fn no_nonce_and_no_cookie_comes_twice() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    let request = client.request(7);
    let mut seen = HashSet::new();
    let mut batch = Batch::new();
    for _ in 0..20 {
        batch.clear();
        while batch.push(&request, server.envelope("192.0.2.7:50123")) {}
        server.respond(&mut batch);
        for slot in batch.slots() {
            let answer = slot.answer().unwrap();
            assert!(seen.insert(answer[92..108].to_vec()), "the nonce of the answer");
            for cookie in client.open(answer) {
                assert_eq!(cookie[..4], [0, 0, 0, 6]);
                assert!(
                    seen.insert(cookie[4..20].to_vec()) && seen.insert(cookie[20..36].to_vec())
                );
            }
        }
    }
    assert_eq!(seen.len(), 20 * 64 * (1 + 8 * 2));
}

#[test]
fn identifiers_of_any_legal_length_come_back_as_they_were() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    for len in [32, 36, 64, 200] {
        let request = client.sealed([plain(), unique(len), client.cookie_field()].concat());
        let answer = server.ask(&request).expect("an answer");
        assert_eq!(answer.len(), request.len());
        assert_eq!(answer[48..52 + len], unique(len));
    }
    for len in [12, 16, 28] {
        let request = client.sealed([plain(), unique(len), client.cookie_field()].concat());
        server.check_silence(&request, Counter::DroppedUniqueShort);
    }
}

#[test]
fn any_flipped_bit_gets_ntsn_or_silence_and_never_time() {
    for aead in Aead::ALL {
        let mut server = Server::new();
        let client = Client::new(aead);
        let request = client.request(1);
        for bit in 0..request.len() * 8 {
            let mut bent = request.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let Some(answer) = server.ask(&bent) else { continue };
            let packet = Packet::parse(&answer).unwrap();
            let is_ntsn =
                packet.kiss() == Some(KissCode::NTSN) && packet.leap() == Leap::Unsynchronised;
            assert!(is_ntsn, "{aead}, bit {bit}: {packet}");
        }
        assert_eq!(server.count(Counter::AnsweredNts) + server.count(Counter::AnsweredPlain), 0);
    }
}

#[test]
fn bad_cookies_and_bad_tags_get_ntsn() {
    let mut server = Server::new();
    for aead in Aead::ALL {
        let client = Client::new(aead);
        let mut check = |request: Vec<u8>, reason: Counter| {
            let before = server.count(reason);
            let answer = server.ask(&request);
            check_ntsn(&request, answer, &unique(32));
            assert_eq!(server.count(reason), before + 1, "{}", reason.name());
        };
        let with_cookie = |cookie: &[u8]| {
            let packet = [plain(), unique(32), field(COOKIE, cookie)].concat();
            client.sealed(packet)
        };
        let mut forged = client.cookie.clone();
        forged[50] ^= 1;
        check(with_cookie(&forged), Counter::CookieForged);
        check(with_cookie(&Client::of_epoch(aead, 9).cookie), Counter::CookieEpoch);
        check(with_cookie(&Client::of_epoch(aead, 2).cookie), Counter::CookieEpoch);
        check(with_cookie(&[7; 104]), Counter::CookieLength);
        let mut bad_tag = client.request(7);
        *bad_tag.last_mut().unwrap() ^= 1;
        check(bad_tag, Counter::TagForged);
        // Sealed with S2C instead of C2S.
        let packet = [plain(), unique(32), client.cookie_field()].concat();
        let nonce = vec![0x77; aead.nonce_len()];
        let tag = client.keys.s2c_key().seal(&packet, &nonce, &mut []).unwrap();
        check([packet, authenticator(&nonce, &tag, 0)].concat(), Counter::TagForged);
    }
    assert_eq!(server.count(Counter::KissNtsn), 18);
}

#[test]
fn cookies_are_good_through_their_retention_and_no_longer() {
    let mut server = Server::new();
    let client = Client::of_epoch(Aead::SivCmac256, 4);
    assert!(server.ask(&client.request(0)).is_some_and(|answer| client.open(&answer).len() == 1));
    // A rotation: epoch 4 is still retained, and new cookies belong to epoch 7.
    server.responder.set_cookie_keys(Some(Arc::new(cookie_keys(4..9, 7))));
    let answer = server.ask(&client.request(0)).unwrap();
    assert_eq!(client.open(&answer)[0][..4], [0, 0, 0, 7]);
    server.responder.set_cookie_keys(Some(Arc::new(cookie_keys(5..10, 8))));
    let request = client.request(0);
    let answer = server.ask(&request);
    check_ntsn(&request, answer, &unique(32));
}

/// CVE-2012-4503 of chrony: answers carried octets that nobody had set.
#[test]
fn an_answer_has_nothing_in_it_of_what_was_in_its_place_before() {
    let requests = |client: &Client| {
        let unique_alone = [plain(), unique(32)].concat();
        let mut forged = client.request(1);
        *forged.last_mut().unwrap() ^= 1;
        [plain(), unique_alone, client.request(0), client.request(7), forged]
    };
    let client = Client::new(Aead::SivCmac256);
    for (number, request) in requests(&client).into_iter().enumerate() {
        let answers = [0x00, 0xff].map(|before| {
            let mut server = Server::new();
            let mut batch = Batch::new();
            assert!(batch.push(&[before; noonmark_server::ROOM], server.envelope("192.0.2.7:123")));
            batch.clear();
            assert!(batch.push(&request, server.envelope("192.0.2.7:123")));
            server.respond(&mut batch);
            batch.slots()[0].answer().map(<[u8]>::to_vec)
        });
        assert!(answers[0].is_some(), "request {number} is answered");
        assert_eq!(answers[0], answers[1], "request {number}");
    }
}

#[test]
fn without_keys_for_cookies_there_is_silence() {
    let mut server = Server::new();
    let request = Client::new(Aead::SivCmac256).request(0);
    for keys in [None, Some(CookieKeys::new(&[], 6)), Some(cookie_keys(3..6, 6))] {
        server.responder.set_cookie_keys(keys.map(Arc::new));
        server.check_silence(&request, Counter::DroppedNoCookieKeys);
    }
    assert!(server.ask(&plain()).is_some(), "plain requests are answered all the same");
}

#[test]
fn placeholders_that_do_not_fit_the_cookie_earn_nothing() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    let len = client.cookie.len();
    for wrong in [len - 4, len + 4, 12] {
        let placeholder = field(FieldKind::NTS_COOKIE_PLACEHOLDER, &vec![0; wrong]);
        let request =
            client.sealed([plain(), unique(32), client.cookie_field(), placeholder].concat());
        let answer = server.ask(&request).expect("an answer");
        assert_eq!(client.open(&answer).len(), 1, "{wrong} octets instead of {len}");
    }
    let noisy = field(FieldKind::NTS_COOKIE_PLACEHOLDER, &vec![0xd7; len]);
    let request = client.sealed([plain(), unique(32), client.cookie_field(), noisy].concat());
    let answer = server.ask(&request).unwrap();
    assert_eq!(client.open(&answer).len(), 2, "what is in them does not matter");
}

#[test]
fn work_is_bounded_whatever_is_asked_for() {
    let mut server = Server::new();
    let client = Client::new(Aead::Aes128GcmSiv);
    let request = client.request(17);
    assert!(request.len() > 1400);
    let answer = server.ask(&request).unwrap();
    assert_eq!(client.open(&answer).len(), 8);
    let small = field(FieldKind::NTS_COOKIE_PLACEHOLDER, &[0; 12]).repeat(75);
    let request = client.sealed([plain(), unique(32), client.cookie_field(), small].concat());
    let answer = server.ask(&request).unwrap();
    assert_eq!(client.open(&answer).len(), 1);
}

#[test]
fn encrypted_placeholders_count() {
    for aead in Aead::ALL {
        let mut server = Server::new();
        let client = Client::new(aead);
        let packet = [plain(), unique(32), client.cookie_field(), client.placeholders(1)].concat();
        let mut ask = |plaintext: &[u8]| {
            let request =
                client.sealed_with(packet.clone(), &[5; 16][..aead.nonce_len()], plaintext, 0);
            server.ask(&request).map(|answer| client.open(&answer).len())
        };
        assert_eq!(ask(&client.placeholders(1)), Some(3));
        // Fields inside may be as short as four octets (RFC 8915 §5.6).
        let tiny = field(FieldKind(0x7777), &[]);
        assert_eq!(ask(&[tiny.clone(), client.placeholders(1), tiny].concat()), Some(3));
        assert_eq!(ask(&field(FieldKind::NTS_COOKIE_PLACEHOLDER, &[0; 4])), Some(2));
        assert_eq!(ask(&[0x77, 0x77, 0, 3]), None, "cannot be framed");
        assert_eq!(server.count(Counter::DroppedEncryptedFields), 1);
    }
}

#[test]
fn nonces_of_any_length_with_enough_room_behind_them() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    let packet = [plain(), unique(32), client.cookie_field()].concat();
    let mut check = |nonce_len: usize, padding: usize, answered: bool| {
        let request = client.sealed_with(packet.clone(), &[3; 64][..nonce_len], &[], padding);
        let answer = server.ask(&request);
        assert_eq!(answer.is_some(), answered, "nonce {nonce_len}, padding {padding}");
        if let Some(answer) = answer {
            assert_eq!(client.open(&answer).len(), 1);
        }
    };
    check(16, 0, true);
    check(16, 20, true);
    check(20, 0, true);
    check(32, 0, true);
    check(1, 12, true);
    check(12, 4, true);
    check(8, 8, true);
    check(8, 0, false);
    check(8, 4, false);
    check(12, 0, false);
    check(1, 8, false);
    assert_eq!(server.count(Counter::DroppedAuthenticatorPadding), 4);
    let gcm = Client::new(Aead::Aes128GcmSiv);
    let packet = [plain(), unique(32), gcm.cookie_field()].concat();
    assert!(server.ask(&gcm.sealed_with(packet.clone(), &[3; 12], &[], 0)).is_some());
    let sixteen = [packet, authenticator(&[3; 16], &[0; 16], 0)].concat();
    server.check_silence(&sixteen, Counter::DroppedAuthenticatorLength);
}

#[test]
fn fields_after_the_authenticator_are_discarded() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    for trailing in [
        field(FieldKind(0x7777), &[0; 24]),
        client.placeholders(1),
        client.cookie_field(),
        unique(32),
        [field(FieldKind(1), &[0; 12]), field(FieldKind(2), &[0; 60])].concat(),
    ] {
        let answer = server.ask(&[client.request(1), trailing].concat()).expect("an answer");
        assert_eq!(client.open(&answer).len(), 2);
    }
}

#[test]
fn unknown_fields_before_the_authenticator_are_ignored_and_not_echoed() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    for unknown in
        [field(FieldKind(0xf0ab), &[1; 24]), field(FieldKind::CHECKSUM_COMPLEMENT, &[0; 24])]
    {
        for packet in [
            [plain(), unknown.clone(), unique(32), client.cookie_field()].concat(),
            [plain(), client.cookie_field(), unique(32), unknown.clone()].concat(),
        ] {
            let answer = server.ask(&client.sealed(packet)).expect("an answer");
            assert_eq!(client.open(&answer).len(), 1);
            assert_eq!(fields_of(&answer).len(), 2);
        }
    }
}

#[test]
fn incomplete_and_doubled_requests_get_silence() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    let cookie = client.cookie_field();
    let mut check = |packet: Vec<u8>, reason| server.check_silence(&packet, reason);
    check(client.sealed([plain(), cookie.clone()].concat()), Counter::DroppedUniqueMissing);
    check(client.sealed([plain(), unique(32)].concat()), Counter::DroppedCookieMissing);
    check(client.sealed(plain()), Counter::DroppedCookieMissing);
    check([plain(), unique(32), cookie.clone()].concat(), Counter::DroppedAuthenticatorMissing);
    check([plain(), cookie.clone()].concat(), Counter::DroppedAuthenticatorMissing);
    check([plain(), client.placeholders(1)].concat(), Counter::DroppedAuthenticatorMissing);
    check(
        client.sealed([plain(), unique(32), unique(32), cookie.clone()].concat()),
        Counter::DroppedUniqueTwice,
    );
    check(
        client.sealed([plain(), unique(32), cookie.clone(), cookie.clone()].concat()),
        Counter::DroppedCookieTwice,
    );
    check(
        [client.request(0), authenticator(&[1; 16], &[2; 16], 0)].concat(),
        Counter::DroppedAuthenticatorTwice,
    );
    check([client.sealed(plain()), unique(32), cookie].concat(), Counter::DroppedCookieMissing);
    let no_room_for_a_tag = authenticator(&[1; 16], &[2; 12], 0);
    check(
        [plain(), unique(32), client.cookie_field(), no_room_for_a_tag].concat(),
        Counter::DroppedAuthenticatorLength,
    );
    let mut lying = client.request(0);
    lying[48 + 36 + 104 + 5] = 200;
    check(lying, Counter::DroppedAuthenticatorLength);
}

#[test]
fn nts_fields_mean_nothing_in_other_modes_and_versions() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    let request = |version, mode| {
        client.sealed([header(version, mode), unique(32), client.cookie_field()].concat())
    };
    server.check_silence(&request(3, 3), Counter::DroppedFields);
    server.check_silence(&request(4, 1), Counter::HandedSymmetricActive);
    server.check_silence(&request(4, 2), Counter::HandedSymmetricPassive);
    server.check_silence(&request(4, 4), Counter::DroppedModeServer);
    server.check_silence(&request(4, 5), Counter::DroppedModeBroadcast);
    assert_eq!(server.count(Counter::CookiesIssued), 0);
}

#[test]
fn a_replayed_request_is_answered_anew() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    let request = client.request(0);
    let answers: HashSet<_> = (0..100).map(|_| server.ask(&request).unwrap()).collect();
    assert_eq!(answers.len(), 100);
}

#[test]
fn an_unsynchronised_server_says_so_under_its_seal() {
    let mut server = Server::new();
    server.state = ClockState::UNSYNCHRONISED;
    let client = Client::new(Aead::SivCmac256);
    let answer = server.ask(&client.request(0)).unwrap();
    assert_eq!(client.open(&answer).len(), 1);
    let packet = Packet::parse(&answer).unwrap();
    assert_eq!((packet.leap(), packet.stratum(), packet.kiss()), (Leap::Unsynchronised, 0, None));
}

#[test]
fn authentic_answers_cross_the_end_of_the_era() {
    let mut server = Server::new();
    let client = Client::new(Aead::SivCmac256);
    for time in [u64::MAX - 10_000, 0, 10_000] {
        server.time = Timestamp::from_bits(time);
        let answer = server.ask(&client.request(0)).unwrap();
        assert_eq!(client.open(&answer).len(), 1);
    }
}

#[test]
fn a_mixed_batch_is_answered_as_its_requests_would_be_alone() {
    let clients = Aead::ALL.map(Client::new);
    let mut requests = Vec::new();
    let mut noise = counting(7);
    for n in 0..64_usize {
        let client = &clients[n % 3];
        let mut request = match n % 8 {
            0 => plain(),
            1 => [plain(), unique(32)].concat(),
            2 => header(4, (n / 8) as u8),
            _ => client.request(n % 8),
        };
        if n % 11 == 5 {
            let mut octet = [0; 2];
            noise.fill(&mut octet);
            let at = usize::from(octet[0]) % request.len();
            request[at] ^= octet[1] | 1;
        }
        requests.push(request);
    }
    let mut together = Server::new();
    let mut batch = Batch::new();
    for request in &requests {
        assert!(batch.push(request, together.envelope("192.0.2.7:50123")));
    }
    together.respond(&mut batch);
    let mut alone = Server::new();
    // What does not depend on time and chance: header up to the reference time, origin, length, fields, cookies.
    let gist = |answer: &[u8], client: &Client| {
        let cookies = if fields_of(answer).len() == 2 { client.open(answer).len() } else { 0 };
        (answer[..16].to_vec(), answer[24..32].to_vec(), fields_of(answer), cookies)
    };
    for (n, request) in requests.iter().enumerate() {
        let client = &clients[n % 3];
        let single = alone.ask(request).map(|answer| gist(&answer, client));
        assert_eq!(
            batch.slots()[n].answer().map(|answer| gist(answer, client)),
            single,
            "request {n}"
        );
    }
    assert_eq!(together.responder.counters().values(), alone.responder.counters().values());
    assert!(together.count(Counter::AnsweredNts) > 20);
}
