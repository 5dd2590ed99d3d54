//! Plain NTP.

use std::collections::HashSet;
use std::time::Duration;

use noonmark_client::Output;
use noonmark_packet::{Leap, Mode, Version};
use noonmark_units::{Mono, Span, Timestamp};
use proptest::prelude::*;

use crate::server::Answer;
use crate::{Rig, count, every, names};

#[test]
fn an_answer_becomes_an_exchange_with_the_servers_offset() {
    let mut rig = Rig::plain(count(1));
    let request = rig.question();
    let offset = Span::from_nanos(1_500_000_000);
    let answer = Answer::plain(&request, rig.clock(), offset).octets();
    let outputs = rig.arrive(&answer);
    assert_eq!(names(&outputs), ["measured", "done"]);
    let Output::Measured(exchange) = &outputs[0] else { panic!("{outputs:?}") };
    // The way there took no time and the way back a millisecond.
    let half_way = Span::from_nanos(500_000);
    assert!(
        (exchange.offset() - (offset - half_way)).abs() <= Span::from_nanos(2),
        "{}",
        exchange.offset()
    );
    assert!(
        (exchange.delay() - Span::from_nanos(1_000_000)).abs() <= Span::from_nanos(2),
        "{}",
        exchange.delay()
    );
    assert_eq!(exchange.stratum, 2);
    assert!(!exchange.authenticated);
    assert!(rig.association.is_over());
    assert_eq!(rig.association.deadline(), Mono::NEVER);
}

#[test]
fn requests_tell_nothing_about_us() {
    let mut rig = Rig::plain(every(1));
    let mut stamps = HashSet::new();
    let mut ones = 0;
    for _ in 0..1000 {
        let request = rig.question();
        assert_eq!(request.len(), 48);
        assert_eq!(request[..4], [0x23, 0, 0, 0x20]);
        assert_eq!(request[4..40], [0; 36]);
        let stamp = u64::from_be_bytes(request[40..].try_into().expect("eight octets"));
        assert_ne!(stamp, 0);
        // Nothing of the clock: a stamp near it would show in the seconds.
        let ours = rig.clock().to_bits();
        assert_ne!(stamp >> 40, ours >> 40);
        stamps.insert(stamp);
        ones += stamp.count_ones();
    }
    assert_eq!(stamps.len(), 1000, "no stamp twice");
    assert!((31_000..33_000).contains(&ones), "half of 64000 bits: {ones}");
}

#[test]
fn questions_come_at_their_spacing_and_end_with_their_count() {
    let mut rig = Rig::plain(count(3));
    let mut asked = Vec::new();
    for n in 0..3 {
        let request = rig.question();
        asked.push(rig.now);
        let answer = Answer::plain(&request, rig.clock(), Span::ZERO).octets();
        let last = n == 2;
        assert_eq!(names(&rig.arrive(&answer)).contains(&"done".to_owned()), last);
    }
    assert_eq!(asked[1].since(asked[0]), Duration::from_secs(2));
    assert_eq!(asked[2].since(asked[1]), Duration::from_secs(2));
}

#[test]
fn an_unanswered_count_ends_too() {
    let mut rig = Rig::plain(count(2));
    rig.question();
    assert_eq!(names(&rig.time_out()), ["unanswered", "transmit"]);
    assert_eq!(names(&rig.time_out()), ["unanswered", "done"]);
}

#[test]
fn what_does_not_answer_the_question_is_dropped_and_the_answer_still_counts() {
    fn check(expected: &str, change: impl Fn(&mut Answer)) {
        let mut rig = Rig::plain(count(1));
        let request = rig.question();
        let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
        let good = answer.octets();
        change(&mut answer);
        let bad = answer.octets();
        let deadline = rig.association.deadline();
        assert_eq!(names(&rig.arrive(&bad)), [expected]);
        assert_eq!(rig.association.deadline(), deadline);
        assert_eq!(names(&rig.arrive(&good)), ["measured", "done"], "after {expected}");
    }
    for bit in 0..64 {
        check("wrong-origin", |a| {
            a.header.origin = Timestamp::from_bits(a.header.origin.to_bits() ^ 1 << bit);
        });
    }
    check("wrong-origin", |a| a.header.origin = Timestamp::UNSET);
    for mode in [
        Mode::SymmetricActive,
        Mode::SymmetricPassive,
        Mode::Client,
        Mode::Broadcast,
        Mode::Control,
    ] {
        check("wrong-mode", |a| a.header.mode = mode);
    }
    check("wrong-version", |a| a.header.version = Version::V3);
    check("stamp-missing", |a| a.header.receive = Timestamp::UNSET);
    check("stamp-missing", |a| a.header.transmit = Timestamp::UNSET);
    check("unsynchronised", |a| a.header.leap = Leap::Unsynchronised);
    check("stratum", |a| a.header.stratum = 16);
    check("reference-in-future", |a| {
        a.header.reference_time = a.header.transmit + Span::from_bits(1);
    });
    check("held", |a| a.header.transmit = a.header.receive - Span::from_bits(1));
}

#[test]
fn a_flood_of_wrong_answers_changes_nothing() {
    let mut rig = Rig::plain(count(1));
    let request = rig.question();
    let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
    let good = answer.octets();
    for guess in 0..100_000u64 {
        answer.header.origin = Timestamp::from_bits(guess);
        rig.association.handle_datagram(&answer.octets(), rig.clock(), rig.now);
    }
    let waiting = rig.drain();
    assert!(
        waiting.len() <= noonmark_client::MAX_WAITING_OUTPUTS,
        "{} outputs wait",
        waiting.len()
    );
    assert_eq!(names(&rig.arrive(&good)), ["measured", "done"]);
}

#[test]
fn one_question_takes_one_answer() {
    let mut rig = Rig::plain(every(64));
    let request = rig.question();
    let good = Answer::plain(&request, rig.clock(), Span::ZERO).octets();
    assert_eq!(names(&rig.arrive(&good)), ["measured"]);
    assert_eq!(names(&rig.arrive(&good)), ["unsolicited"]);
    rig.question();
    assert_eq!(names(&rig.arrive(&good)), ["wrong-origin"]);
}

#[test]
fn nothing_is_taken_before_a_question_or_after_its_window() {
    let mut rig = Rig::plain(every(64));
    assert_eq!(names(&rig.arrive(&[0x24; 48])), ["unsolicited"]);
    let request = rig.question();
    let good = Answer::plain(&request, rig.clock(), Span::ZERO).octets();
    rig.now = rig.association.deadline();
    assert_eq!(names(&rig.arrive(&good)), ["late"]);
    assert_eq!(names(&rig.time_out()), ["unanswered"]);
    assert_eq!(names(&rig.arrive(&good)), ["unsolicited"]);
}

#[test]
fn no_answer_is_taken_before_the_question_was_sent() {
    let mut rig = Rig::plain(count(1));
    rig.association.handle_timeout(rig.now);
    let Some(Output::Transmit(request)) = rig.association.poll_output() else {
        panic!("a question")
    };
    let good = Answer::plain(&request, rig.clock(), Span::ZERO).octets();
    assert_eq!(names(&rig.arrive(&good)), ["unsolicited"]);
    rig.association.handle_sent(rig.clock());
    assert_eq!(names(&rig.arrive(&good)), ["measured", "done"]);
}

#[test]
fn a_crypto_nak_is_only_counted() {
    let mut rig = Rig::plain(count(1));
    let request = rig.question();
    let good = Answer::plain(&request, rig.clock(), Span::ZERO).octets();
    let nak = [&good[..], &[0; 4]].concat();
    assert_eq!(names(&rig.arrive(&nak)), ["crypto-nak"]);
    assert_eq!(names(&rig.arrive(&good)), ["measured", "done"]);
}

proptest! {
    #[test]
    fn no_octets_disturb_an_open_question(tail in proptest::collection::vec(any::<u8>(), 0..1300), keep_origin: bool) {
        let mut rig = Rig::plain(count(1));
        let request = rig.question();
        let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
        let good = answer.octets();
        if keep_origin {
            // Past the origin check, and never an answer with time.
            answer.header.leap = Leap::Unsynchronised;
            let mut octets = answer.octets();
            octets.extend(&tail);
            rig.arrive(&octets);
        } else {
            rig.arrive(&tail);
        }
        prop_assert_eq!(names(&rig.arrive(&good)), ["measured", "done"]);
    }
}
