//! Kiss-o'-death: who may ask for what.

use std::time::Duration;

use noonmark_nts::Aead;
use noonmark_packet::{KissCode, ReferenceId};
use noonmark_units::{PollExponent, Span, Timestamp};

use crate::server::{Answer, agreement, cookies, keys};
use crate::{Rig, every, names};

fn kiss(answer: &mut Answer, code: KissCode) {
    answer.header.stratum = 0;
    answer.header.reference_id = ReferenceId(code.0);
}

/// The time from one question to the next while `code` answers each.
fn spacings(code: KissCode, poll: i8, questions: usize) -> Vec<Duration> {
    let mut rig = Rig::plain(every(16));
    let mut times = Vec::new();
    for _ in 0..questions {
        let request = rig.question();
        times.push(rig.now);
        let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
        kiss(&mut answer, code);
        answer.header.poll = PollExponent(poll);
        let outputs = names(&rig.arrive(&answer.octets()));
        assert_eq!(outputs, [format!("kiss {code}")]);
    }
    times.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}

#[test]
fn each_rate_doubles_the_spacing_whatever_poll_it_carries() {
    for poll in [4, 17, 36, 127, -128] {
        let spacings = spacings(KissCode::RATE, poll, 14);
        for (n, spacing) in spacings.iter().enumerate() {
            let expected = Duration::from_secs((16u64 << (n + 1)).min(1 << 13));
            assert!(spacing.abs_diff(expected) <= Duration::from_millis(2), "{n}: {spacing:?}");
        }
    }
}

#[test]
fn a_repeated_rate_counts_once_for_a_question() {
    let mut rig = Rig::plain(every(16));
    let request = rig.question();
    let asked = rig.now;
    let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
    kiss(&mut answer, KissCode::RATE);
    for _ in 0..100 {
        rig.arrive(&answer.octets());
    }
    rig.question();
    assert!(rig.now.since(asked) < Duration::from_secs(33), "{:?}", rig.now.since(asked));
}

#[test]
fn codes_without_meaning_have_no_effect() {
    for code in [
        b"XABC", b"ACST", b"AUTH", b"AUTO", b"BCST", b"CRYP", b"DROP", b"INIT", b"MCST", b"NKEY",
        b"RMOT", b"STEP",
    ] {
        for spacing in spacings(KissCode(*code), 17, 4) {
            assert_eq!(spacing, Duration::from_secs(16));
        }
    }
}

#[test]
fn an_unproven_denial_makes_us_quiet_and_does_not_end_us() {
    for code in [KissCode::DENY, KissCode::RSTR] {
        let spacings = spacings(code, 6, 3);
        assert!(
            spacings.iter().all(|spacing| *spacing >= Duration::from_secs(1 << 10)),
            "{spacings:?}"
        );
    }
}

#[test]
fn a_kiss_with_a_wrong_origin_has_no_effect() {
    let mut rig = Rig::plain(every(16));
    let request = rig.question();
    let asked = rig.now;
    let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
    kiss(&mut answer, KissCode::RATE);
    answer.header.origin = Timestamp::from_bits(answer.header.origin.to_bits() ^ 1);
    assert_eq!(names(&rig.arrive(&answer.octets())), ["wrong-origin"]);
    rig.question();
    assert_eq!(rig.now.since(asked), Duration::from_secs(16));
}

#[test]
fn the_time_in_a_kiss_is_never_used() {
    let mut rig = Rig::plain(every(16));
    let request = rig.question();
    let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
    let good = answer.octets();
    kiss(&mut answer, KissCode::RATE);
    assert_eq!(names(&rig.arrive(&answer.octets())), ["kiss RATE"]);
    // It might be forged, so the answer behind it still counts.
    assert_eq!(names(&rig.arrive(&good)), ["measured"]);
}

#[test]
fn with_nts_a_kiss_must_carry_our_identifier_and_a_denial_must_prove_its_origin() {
    #[derive(Clone, Copy)]
    enum Proof {
        None,
        WrongUnique,
        Unique,
        Tag,
        WrongKey,
    }
    fn check(code: KissCode, proof: Proof, expected: &[&str]) {
        let session = keys(Aead::SivCmac256, 1);
        let mut rig = Rig::nts(every(16));
        assert_eq!(names(&rig.time_out()), ["rekey"]);
        rig.association
            .handle_agreement(agreement(session.clone(), None, cookies(8, 100, 0)), rig.now);
        let request = rig.question();
        let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
        kiss(&mut answer, code);
        match proof {
            Proof::None => answer.unique = None,
            Proof::WrongUnique => answer.unique = Some(vec![7; 32]),
            Proof::Unique => {}
            Proof::Tag => answer.sealed = Some((session.clone(), Vec::new())),
            Proof::WrongKey => answer.sealed = Some((keys(Aead::SivCmac256, 2), Vec::new())),
        }
        assert_eq!(names(&rig.arrive(&answer.octets())), expected);
        // Whatever it was, unless it ended us, the real answer still counts.
        if !rig.association.is_over() {
            let answer = Answer::sealed(&request, rig.clock(), &session, cookies(1, 100, 9));
            assert_eq!(names(&rig.arrive(&answer.octets())), ["measured"]);
        }
    }
    for code in [KissCode::DENY, KissCode::RSTR, KissCode::RATE, KissCode::NTSN, KissCode(*b"XABC")]
    {
        check(code, Proof::None, &["foreign-kiss"]);
        check(code, Proof::WrongUnique, &["foreign-kiss"]);
        check(code, Proof::Unique, &[&format!("kiss {code}")]);
        check(code, Proof::WrongKey, &["not-authenticated"]);
        let proven = format!("kiss {code} authenticated");
        match code {
            KissCode::DENY | KissCode::RSTR => check(code, Proof::Tag, &[&proven, "give up"]),
            _ => check(code, Proof::Tag, &[&proven]),
        }
    }
}
