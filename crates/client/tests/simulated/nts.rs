//! NTS: keys, cookies, and who is believed.

use std::collections::HashSet;
use std::time::Duration;

use noonmark_client::{GiveUp, KeFailure, Output};
use noonmark_nts::{Aead, RequestFault, SessionKeys, classify, open_request};
use noonmark_packet::{FieldKind, KissCode, Leap, Packet, ReferenceId};
use noonmark_units::{Mono, PollExponent, Span};
use proptest::prelude::*;

use crate::server::{Answer, agreement, cookies, field, fields, keys, unique_of};
use crate::{Rig, count, every, names};

/// An association with keys and eight cookies of this length.
fn keyed(plan: noonmark_client::Plan, session: &SessionKeys, cookie_len: usize) -> Rig {
    let mut rig = Rig::nts(plan);
    assert_eq!(names(&rig.time_out()), ["rekey"]);
    assert_eq!(rig.association.deadline(), Mono::NEVER, "nothing can be asked without keys");
    rig.association
        .handle_agreement(agreement(session.clone(), None, cookies(8, cookie_len, 0)), rig.now);
    rig
}

/// How many cookies a request asks for, once its tag is verified.
fn verify(request: &[u8], session: &SessionKeys) -> Result<usize, RequestFault> {
    let packet = Packet::parse(request).expect("a packet");
    let noonmark_nts::Request::Protected(found) = classify(&packet).expect("a request") else {
        panic!("not protected")
    };
    open_request(&mut request.to_vec(), &found, session)
}

fn nak(request: &[u8], rig: &Rig) -> Vec<u8> {
    let mut answer = Answer::plain(request, rig.clock(), Span::ZERO);
    answer.header.stratum = 0;
    answer.header.leap = Leap::Unsynchronised;
    answer.header.reference_id = ReferenceId(KissCode::NTSN.0);
    answer.octets()
}

#[test]
fn a_request_has_the_four_fields_in_their_order_and_a_right_tag() {
    for aead in Aead::ALL {
        let session = keys(aead, 3);
        let mut rig = keyed(every(16), &session, aead.cookie_len());
        let request = rig.question();
        let kinds: Vec<_> = fields(&request).iter().map(|(kind, _)| *kind).collect();
        let expected =
            [FieldKind::UNIQUE_IDENTIFIER, FieldKind::NTS_COOKIE, FieldKind::NTS_AUTHENTICATOR];
        assert_eq!(kinds, expected);
        assert_eq!(verify(&request, &session), Ok(1), "{aead}");
        assert_eq!(verify(&request, &keys(aead, 4)), Err(RequestFault::Forged), "{aead}");
        assert_eq!(
            request[..40],
            noonmark_packet::Header::client(noonmark_units::Timestamp::UNSET).to_octets()[..40]
        );
    }
}

#[test]
fn after_n_lost_packets_n_placeholders_bring_the_stock_back_to_eight() {
    let session = keys(Aead::SivCmac256, 3);
    for lost in 0..8 {
        let mut rig = keyed(every(16), &session, 100);
        for _ in 0..lost {
            rig.question();
        }
        let request = rig.question();
        let placeholders: Vec<_> = fields(&request)
            .into_iter()
            .filter(|(kind, _)| *kind == FieldKind::NTS_COOKIE_PLACEHOLDER)
            .collect();
        assert_eq!(placeholders.len(), lost);
        assert!(placeholders.iter().all(|(_, body)| *body == [0; 100]));
        assert_eq!(request.len(), 228 + 104 * lost);
        assert_eq!(verify(&request, &session), Ok(1 + lost));
        let given = u8::try_from(1 + lost).expect("few");
        let answer = Answer::sealed(&request, rig.clock(), &session, cookies(given, 100, 9));
        assert_eq!(names(&rig.arrive(&answer.octets())), ["measured"]);
        assert_eq!(rig.association.cookies_left(), Some(8));
    }
}

#[test]
fn where_long_requests_are_dropped_the_jar_is_kept_alive_by_short_ones() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig =
        keyed(noonmark_client::Plan::Polled(noonmark_client::Polling::default()), &session, 100);
    // One answer lost by accident, and from then on the path drops whatever has a placeholder.
    rig.question();
    let (mut answered, mut suspicions) = (0, 0);
    for round in 0..100u8 {
        let outputs = rig.time_out();
        assert!(!outputs.contains(&Output::Rekey), "round {round}");
        let Some(Output::Transmit(request)) = outputs.last() else { continue };
        rig.association.handle_sent(rig.clock());
        if request.len() == 228 {
            let answer = Answer::sealed(request, rig.clock(), &session, cookies(1, 100, round));
            let outputs = names(&rig.arrive(&answer.octets()));
            suspicions += outputs.iter().filter(|name| *name == "length filter").count();
            answered += 1;
        }
    }
    assert_eq!(suspicions, 1);
    assert!(answered >= 70, "{answered}");
}

#[test]
fn keys_are_renewed_after_four_weeks_while_the_old_go_on() {
    let session = keys(Aead::SivCmac256, 3);
    let polling = noonmark_client::Polling { min_poll: PollExponent(17), ..Default::default() };
    let mut rig = keyed(noonmark_client::Plan::Polled(polling), &session, 100);
    let start = rig.now;
    for round in 0..40u8 {
        let outputs = rig.time_out();
        if outputs.contains(&Output::Rekey) {
            assert_eq!(names(&outputs), ["rekey", "transmit"]);
            assert!((28..30).contains(&(rig.now.since(start).as_secs() / 86_400)));
            return;
        }
        let [Output::Transmit(request)] = &outputs[..] else { panic!("{outputs:?}") };
        rig.association.handle_sent(rig.clock());
        let answer = Answer::sealed(request, rig.clock(), &session, cookies(1, 100, round));
        assert_eq!(names(&rig.arrive(&answer.octets())), ["measured"]);
    }
    panic!("the keys are never renewed");
}

#[test]
fn a_first_time_outside_the_certificates_is_refused_and_keys_are_sought_again() {
    fn certificate(from: i32, to: i32) -> Vec<u8> {
        let mut params =
            rcgen::CertificateParams::new(vec!["nts.example".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }
    fn check(chain: &[(i32, i32)], is_believed: bool) {
        let session = keys(Aead::SivCmac256, 3);
        let polling = noonmark_client::Polling::default();
        let mut rig = Rig::nts(noonmark_client::Plan::Polled(polling));
        rig.time_out();
        let mut agreed = agreement(session.clone(), None, cookies(8, 100, 0));
        agreed.certificates = chain.iter().map(|(from, to)| certificate(*from, *to)).collect();
        rig.association.handle_agreement(agreed, rig.now);
        for round in 0..8u8 {
            // The clock of the rig is in July 2026.
            let request = rig.question();
            let answer = Answer::sealed(&request, rig.clock(), &session, cookies(1, 100, round));
            let expected = if is_believed { "measured" } else { "outside-certificate" };
            assert_eq!(names(&rig.arrive(&answer.octets())), [expected], "{chain:?}");
        }
        // What is not believed brings no cookies either, so there are soon none.
        assert_eq!(names(&rig.time_out()), [if is_believed { "transmit" } else { "rekey" }]);
    }
    check(&[], true);
    check(&[(2020, 2040)], true);
    check(&[(2020, 2026)], false);
    check(&[(2027, 2040)], false);
    check(&[(2020, 2040), (2020, 2025)], false);
}

#[test]
fn keys_and_unspent_cookies_outlive_the_association() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig = keyed(every(16), &session, 100);
    let mut spent = HashSet::new();
    for _ in 0..3 {
        let request = rig.question();
        spent.insert(field(&request, FieldKind::NTS_COOKIE).expect("a cookie").to_vec());
    }
    let (kept, left) = rig.association.into_keys().expect("keys");
    assert_eq!((kept.c2s(), kept.s2c()), (session.c2s(), session.s2c()));
    assert_eq!(left.len(), 5);
    assert!(left.iter().all(|cookie| !spent.contains(cookie)));

    let mut rig = Rig::nts(every(16));
    rig.association.restore(agreement(kept, None, left.clone()), rig.now);
    let request = rig.question();
    assert!(left.contains(&field(&request, FieldKind::NTS_COOKIE).expect("a cookie").to_vec()));
    assert_eq!(verify(&request, &session), Ok(4), "and three more asked for");

    // Nothing is kept that the server may not know any more, or that is used up.
    assert!(Rig::nts(every(16)).association.into_keys().is_none());
    let mut rig = keyed(every(16), &session, 100);
    let request = rig.question();
    rig.arrive(&nak(&request, &rig));
    rig.time_out();
    assert!(rig.association.into_keys().is_none());
}

#[test]
fn no_request_is_longer_than_1232_octets() {
    let session = keys(Aead::SivCmac256, 3);
    for cookie_len in [4, 16, 100, 252, 256, 600, 1000, 1104] {
        let mut rig = keyed(every(16), &session, cookie_len);
        for _ in 0..8 {
            let request = rig.question();
            assert!(request.len() <= 1232, "{} octets with cookies of {cookie_len}", request.len());
            assert_eq!(
                field(&request, FieldKind::NTS_COOKIE).map(<[u8]>::len),
                Some(cookie_len.max(12))
            );
        }
    }
}

#[test]
fn cookies_go_back_as_they_came_and_only_once_and_identifiers_are_fresh() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig = keyed(every(16), &session, 100);
    let (mut spent, mut uniques) = (HashSet::new(), HashSet::new());
    let mut given: HashSet<_> = cookies(8, 100, 0).into_iter().collect();
    for round in 1..200u8 {
        let request = rig.question();
        let cookie = field(&request, FieldKind::NTS_COOKIE).expect("a cookie").to_vec();
        assert!(given.contains(&cookie), "never given: {cookie:?}");
        assert!(spent.insert(cookie), "spent twice");
        assert!(uniques.insert(unique_of(&request).expect("an identifier").to_vec()));
        // Every third answer is lost, so the identifier of a repeated question is looked at too.
        if round % 3 != 0 {
            let wanted = verify(&request, &session).expect("a right tag");
            let new = cookies(u8::try_from(wanted).expect("few"), 100, round);
            given.extend(new.iter().cloned());
            let answer = Answer::sealed(&request, rig.clock(), &session, new);
            assert_eq!(names(&rig.arrive(&answer.octets())), ["measured"]);
        }
    }
}

#[test]
fn what_does_not_prove_its_origin_is_dropped_and_the_answer_still_counts() {
    fn check(expected: &str, change: impl Fn(&mut Answer)) {
        let session = keys(Aead::SivCmac256, 3);
        let mut rig = keyed(every(16), &session, 100);
        let request = rig.question();
        let mut answer = Answer::sealed(&request, rig.clock(), &session, cookies(1, 100, 9));
        let good = answer.octets();
        change(&mut answer);
        let before = (rig.association.deadline(), rig.association.cookies_left());
        assert_eq!(names(&rig.arrive(&answer.octets())), [expected]);
        assert_eq!((rig.association.deadline(), rig.association.cookies_left()), before);
        assert_eq!(names(&rig.arrive(&good)), ["measured"], "after {expected}");
    }
    // A plain answer with the right origin, with and without our identifier.
    check("not-authenticated", |a| a.sealed = None);
    check("not-authenticated", |a| (a.sealed, a.unique) = (None, None));
    check("not-authenticated", |a| a.unique = None);
    check("not-authenticated", |a| a.unique = Some(vec![1; 32]));
    check("not-authenticated", |a| {
        a.sealed = Some((keys(Aead::SivCmac256, 4), cookies(1, 100, 9)));
    });
    check("not-authenticated", |a| {
        a.sealed = Some((keys(Aead::Aes128GcmSiv, 3), cookies(1, 100, 9)));
    });
}

#[test]
fn one_flipped_bit_anywhere_makes_an_answer_worthless() {
    let session = keys(Aead::Aes128GcmSiv, 3);
    let mut rig = keyed(every(16), &session, 68);
    let request = rig.question();
    let good = Answer::sealed(&request, rig.clock(), &session, cookies(1, 68, 9)).octets();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let outputs = rig.arrive(&bad);
        let refused = matches!(
            &outputs[..],
            [Output::Refused(_) | Output::Kiss { authenticated: false, .. }]
        );
        assert!(refused, "bit {bit}: {outputs:?}");
        assert_eq!(rig.association.cookies_left(), Some(7));
    }
    assert_eq!(names(&rig.arrive(&good)), ["measured"]);
}

#[test]
fn cookies_in_the_clear_are_ignored_and_fields_behind_the_authenticator_are_passed_over() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig = keyed(every(16), &session, 100);
    let request = rig.question();
    let mut answer = Answer::sealed(&request, rig.clock(), &session, cookies(1, 100, 9));
    answer.clear = vec![(FieldKind::NTS_COOKIE, vec![0xee; 100])];
    answer.after = vec![(FieldKind(0xf0ab), vec![1; 24]), (FieldKind::NTS_COOKIE, vec![0xdd; 100])];
    assert_eq!(names(&rig.arrive(&answer.octets())), ["measured"]);
    assert_eq!(rig.association.cookies_left(), Some(8));
    for _ in 0..8 {
        let request = rig.question();
        let cookie = field(&request, FieldKind::NTS_COOKIE).expect("a cookie");
        assert!(![0xee, 0xdd].contains(&cookie[1]), "a cookie nobody vouched for");
    }
}

#[test]
fn more_cookies_than_asked_for_do_not_fill_our_memory() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig = keyed(every(16), &session, 100);
    let request = rig.question();
    let answer = Answer::sealed(&request, rig.clock(), &session, cookies(20, 100, 9));
    assert_eq!(names(&rig.arrive(&answer.octets())), ["measured"]);
    assert_eq!(rig.association.cookies_left(), Some(8));
}

#[test]
fn an_authentic_answer_without_usable_time_still_refills_the_jar() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig = keyed(every(16), &session, 100);
    let request = rig.question();
    let mut answer = Answer::sealed(&request, rig.clock(), &session, cookies(1, 100, 9));
    answer.header.leap = Leap::Unsynchronised;
    assert_eq!(names(&rig.arrive(&answer.octets())), ["unsynchronised"]);
    assert_eq!(rig.association.cookies_left(), Some(8));
    assert_eq!(names(&rig.arrive(&answer.octets())), ["unsolicited"], "it was the answer");
}

#[test]
fn a_forged_refusal_does_not_make_us_establish_keys() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig = keyed(every(16), &session, 100);
    for _ in 0..20 {
        let request = rig.question();
        assert_eq!(names(&rig.arrive(&nak(&request, &rig))), ["kiss NTSN"]);
        let answer = Answer::sealed(&request, rig.clock(), &session, cookies(1, 100, 9));
        assert_eq!(names(&rig.arrive(&answer.octets())), ["measured"]);
    }
    assert_eq!(names(&rig.time_out()), ["transmit"]);
}

#[test]
fn a_refusal_that_stands_makes_us_establish_keys_and_go_on_with_the_old_cookies() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig = keyed(every(16), &session, 100);
    // A first good exchange, so that the backoff of key establishment starts anew.
    let request = rig.question();
    let answer = Answer::sealed(&request, rig.clock(), &session, cookies(1, 100, 9));
    rig.arrive(&answer.octets());

    let request = rig.question();
    rig.arrive(&nak(&request, &rig));
    assert_eq!(names(&rig.time_out()), ["unanswered"], "not before the next poll");
    assert_eq!(
        names(&rig.time_out()),
        ["rekey", "transmit"],
        "old cookies go on until there are new ones"
    );
    rig.association.handle_ke_failure(KeFailure::Unreachable, rig.now);
    let request = rig.question();
    assert_eq!(verify(&request, &session), Ok(3));

    // New keys: nothing of the old is ever seen again.
    let new = keys(Aead::Aes128GcmSiv, 7);
    rig.association.handle_agreement(agreement(new.clone(), None, cookies(8, 68, 0x77)), rig.now);
    assert_eq!(rig.association.cookies_left(), Some(8));
    for _ in 0..8 {
        let request = rig.question();
        let cookie = field(&request, FieldKind::NTS_COOKIE).expect("a cookie");
        assert_eq!((cookie.len(), cookie[1]), (68, 0x77));
        assert!(verify(&request, &new).is_ok());
    }
}

#[test]
fn the_other_exporter_context_is_tried_once_before_keys_are_established_anew() {
    let (first, second) = (keys(Aead::Aes128GcmSiv, 3), keys(Aead::Aes128GcmSiv, 4));
    let mut rig = Rig::nts(every(16));
    rig.time_out();
    let both = agreement(first.clone(), Some(second.clone()), cookies(8, 68, 0));
    rig.association.handle_agreement(both, rig.now);
    let request = rig.question();
    assert!(verify(&request, &first).is_ok());
    rig.arrive(&nak(&request, &rig));
    let request = rig.question();
    assert!(verify(&request, &second).is_ok(), "the other context");
    rig.arrive(&nak(&request, &rig));
    rig.time_out();
    assert_eq!(names(&rig.time_out()), ["rekey", "transmit"], "both contexts were refused");
}

#[test]
fn a_count_is_not_used_up_by_trying_the_other_context() {
    let (first, second) = (keys(Aead::Aes128GcmSiv, 3), keys(Aead::Aes128GcmSiv, 4));
    let mut rig = Rig::nts(count(1));
    rig.time_out();
    rig.association
        .handle_agreement(agreement(first, Some(second.clone()), cookies(8, 68, 0)), rig.now);
    let request = rig.question();
    rig.arrive(&nak(&request, &rig));
    let request = rig.question();
    let answer = Answer::sealed(&request, rig.clock(), &second, cookies(1, 68, 9));
    assert_eq!(names(&rig.arrive(&answer.octets())), ["measured", "done"]);
}

#[test]
fn a_count_gives_up_when_fresh_cookies_are_refused() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig = keyed(count(4), &session, 100);
    let request = rig.question();
    rig.arrive(&nak(&request, &rig));
    let outputs = rig.time_out();
    assert_eq!(names(&outputs), ["unanswered", "give up"]);
    assert_eq!(outputs[1], Output::GiveUp(GiveUp::CookiesRefused));
    assert!(rig.association.is_over());
}

#[test]
fn silence_spends_the_jar_and_then_keys_are_established_at_growing_intervals() {
    let mut rig = Rig::nts(every(1));
    let mut rekeys = Vec::new();
    // A server whose key establishment works and whose NTP never answers.
    while rekeys.len() < 6 {
        let outputs = rig.time_out();
        if outputs.contains(&Output::Rekey) {
            rekeys.push(rig.now);
            let session = keys(Aead::SivCmac256, 3);
            rig.association.handle_agreement(agreement(session, None, cookies(8, 100, 0)), rig.now);
        }
    }
    let waits: Vec<_> = rekeys.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    // Eight questions of three seconds each come first; after that RFC 8915 §4.2 sets the pace.
    for (wait, least) in waits.iter().zip([10.0, 15.0, 22.5, 33.75, 50.625]) {
        assert!(
            *wait >= Duration::from_secs_f64(least) && *wait >= Duration::from_secs(24),
            "{waits:?}"
        );
    }
    assert!(waits[4] >= Duration::from_secs_f64(50.6));
}

#[test]
fn failed_key_establishment_is_retried_at_10_15_and_22_5_seconds() {
    let mut rig = Rig::nts(every(1));
    let mut waits = Vec::new();
    let mut last = rig.now;
    for _ in 0..5 {
        assert_eq!(names(&rig.time_out()), ["rekey"]);
        waits.push(rig.now.since(last).as_secs_f64());
        last = rig.now;
        rig.association.handle_ke_failure(KeFailure::Unreachable, rig.now);
        assert!(rig.drain().is_empty());
    }
    assert_eq!(waits, [0.0, 10.0, 15.0, 22.5, 33.75]);
}

#[test]
fn a_request_the_server_calls_bad_is_not_repeated() {
    for code in [0, 1] {
        let mut rig = Rig::nts(every(1));
        rig.time_out();
        rig.association.handle_ke_failure(KeFailure::Refused { code }, rig.now);
        assert_eq!(names(&rig.drain()), ["give up"]);
    }
    let mut rig = Rig::nts(every(1));
    rig.time_out();
    rig.association.handle_ke_failure(KeFailure::Refused { code: 2 }, rig.now);
    assert!(rig.drain().is_empty(), "an internal error may pass");
}

#[test]
fn a_count_gives_up_with_key_establishment() {
    let mut rig = Rig::nts(count(1));
    rig.time_out();
    rig.association.handle_ke_failure(KeFailure::Untrusted, rig.now);
    let outputs = rig.drain();
    assert_eq!(outputs, [Output::GiveUp(GiveUp::KeyEstablishment(KeFailure::Untrusted))]);
    assert_eq!(rig.association.deadline(), Mono::NEVER);
}

#[test]
fn a_protected_association_never_sends_a_plain_request() {
    let session = keys(Aead::SivCmac256, 3);
    let mut rig = keyed(every(1), &session, 100);
    for _ in 0..100 {
        if rig.association.deadline() == Mono::NEVER {
            rig.association.handle_ke_failure(KeFailure::Unreachable, rig.now);
        }
        for output in rig.time_out() {
            if let Output::Transmit(request) = output {
                assert!(field(&request, FieldKind::NTS_AUTHENTICATOR).is_some());
            }
        }
    }
}

#[test]
fn an_answer_under_replaced_keys_is_not_taken() {
    let (old, new) = (keys(Aead::SivCmac256, 3), keys(Aead::SivCmac256, 4));
    let mut rig = keyed(every(16), &old, 100);
    let request = rig.question();
    rig.association.handle_agreement(agreement(new, None, cookies(8, 100, 5)), rig.now);
    assert_eq!(names(&rig.drain()), ["unanswered"]);
    let answer = Answer::sealed(&request, rig.clock(), &old, cookies(1, 100, 9));
    assert_eq!(names(&rig.arrive(&answer.octets())), ["unsolicited"]);
}

proptest! {
    #[test]
    fn no_octets_behind_the_right_origin_are_believed_or_disturb(tail in proptest::collection::vec(any::<u8>(), 0..1300)) {
        let session = keys(Aead::SivCmac256, 3);
        let mut rig = keyed(every(16), &session, 100);
        let request = rig.question();
        let answer = Answer::sealed(&request, rig.clock(), &session, cookies(1, 100, 9));
        let good = answer.octets();
        let bad = [&good[..48], &tail].concat();
        let outputs = rig.arrive(&bad);
        prop_assert!(matches!(&outputs[..], [Output::Refused(_)]), "{:?}", outputs);
        prop_assert_eq!(names(&rig.arrive(&good)), ["measured"]);
    }
}
