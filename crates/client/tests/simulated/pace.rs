//! How often a source is asked.

use std::time::Duration;

use noonmark_client::{Output, Plan, Polling};
use noonmark_packet::{KissCode, ReferenceId};
use noonmark_units::{PollExponent, Span};
use proptest::prelude::*;

use crate::server::Answer;
use crate::{Rig, names};

fn polling(min: i8, max: i8) -> Polling {
    Polling {
        min_poll: PollExponent(min),
        max_poll: PollExponent(max),
        initial_burst: false,
        burst: false,
    }
}

/// What the server does with one question.
#[derive(Clone, Copy, PartialEq)]
enum Reply {
    Time,
    Nothing,
    Kiss(KissCode),
}

/// Asks `questions` times and returns the seconds between them.
fn gaps(rig: &mut Rig, questions: usize, reply: impl Fn(usize) -> Reply) -> Vec<f64> {
    let mut times = Vec::new();
    for number in 0..questions {
        let request = rig.question();
        times.push(rig.now);
        let mut answer = Answer::plain(&request, rig.clock(), Span::ZERO);
        match reply(number) {
            Reply::Time => drop(rig.arrive(&answer.octets())),
            Reply::Nothing => {}
            Reply::Kiss(code) => {
                answer.header.stratum = 0;
                answer.header.reference_id = ReferenceId(code.0);
                rig.arrive(&answer.octets());
            }
        }
    }
    times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect()
}

fn check_all(gaps: &[f64], expected: f64) {
    for gap in gaps {
        assert!((expected..=expected * 1.0201).contains(gap), "{gaps:?}, not {expected}");
    }
}

#[test]
fn the_interval_obeys_its_limits_and_is_stretched_a_little() {
    fn check(min: i8, max: i8, wanted_s: f64, expected_s: f64) {
        let mut rig = Rig::plain(Plan::Polled(polling(min, max)));
        rig.association.set_interval(Duration::from_secs_f64(wanted_s), rig.now);
        let gaps = gaps(&mut rig, 40, |_| Reply::Time);
        check_all(&gaps, expected_s);
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((1.005..1.015).contains(&(mean / expected_s)), "{mean}");
        assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]), "always the same");
    }
    check(6, 10, 64.0, 64.0);
    check(6, 10, 350.0, 350.0);
    check(6, 10, 1.0, 64.0);
    check(6, 10, 1e6, 1024.0);
    check(4, 4, 1000.0, 16.0);
    check(10, 6, 1.0, 1024.0);
    check(17, 127, 1e9, 131_072.0);
    check(0, 3, 2.5, 2.5);
}

#[test]
fn below_a_second_only_where_the_round_trip_is_short() {
    // The first gap comes before the round trip of 1 ms is known.
    let mut rig = Rig::plain(Plan::Polled(polling(-4, 2)));
    rig.association.set_interval(Duration::from_millis(1), rig.now);
    let all = gaps(&mut rig, 20, |_| Reply::Time);
    check_all(&all, 1.0 / 16.0);
    // A server that falls silent is not asked at that pace.
    let all = gaps(&mut rig, 40, |_| Reply::Nothing);
    check_all(&all[20..], 4.0);
    // Nor is one that has not answered yet, even if a burst begins.
    let burst = Polling { initial_burst: true, ..polling(-4, 2) };
    let mut rig = Rig::plain(Plan::Polled(burst));
    let all = gaps(&mut rig, 8, |_| Reply::Nothing);
    assert!(all.iter().all(|gap| *gap >= 1.0), "{all:?}");
    // Nor is one that is far away: 15 ms here.
    let mut rig = Rig::plain(Plan::Polled(polling(-4, 2)));
    for number in 0..10 {
        let request = rig.question();
        let asked = rig.now;
        let answer = Answer::plain(&request, rig.clock(), Span::ZERO);
        rig.now = rig.now + Duration::from_millis(14);
        assert_eq!(names(&rig.arrive(&answer.octets())), ["measured"]);
        rig.question();
        assert!(rig.now.since(asked) >= Duration::from_secs(1), "question {number}");
    }
}

#[test]
fn the_poll_field_says_the_interval_rounded() {
    for (seconds, poll) in [(64.0, 6), (90.0, 6), (91.0, 7), (350.0, 8), (1024.0, 10)] {
        let mut rig = Rig::plain(Plan::Polled(polling(6, 10)));
        rig.association.set_interval(Duration::from_secs_f64(seconds), rig.now);
        assert_eq!(rig.question()[2], poll, "{seconds}");
    }
    let mut rig = Rig::plain(Plan::Polled(polling(-4, 0)));
    rig.association.set_interval(Duration::from_millis(70), rig.now);
    gaps(&mut rig, 2, |_| Reply::Time);
    assert_eq!(rig.question()[2].cast_signed(), -4);
}

#[test]
fn a_shorter_interval_counts_at_once() {
    let mut rig = Rig::plain(Plan::Polled(polling(4, 10)));
    rig.association.set_interval(Duration::from_secs(1024), rig.now);
    rig.question();
    let asked = rig.now;
    rig.association.set_interval(Duration::from_secs(16), rig.now);
    rig.question();
    assert!(rig.now.since(asked) < Duration::from_secs(17));
}

#[test]
fn the_first_burst_ends_with_four_answers_or_eight_questions() {
    let burst = Polling { initial_burst: true, ..polling(6, 10) };
    let mut rig = Rig::plain(Plan::Polled(burst));
    let all = gaps(&mut rig, 6, |_| Reply::Time);
    assert_eq!(all[..3], [2.0; 3]);
    check_all(&all[3..], 64.0);
    let mut rig = Rig::plain(Plan::Polled(burst));
    let all = gaps(&mut rig, 10, |_| Reply::Nothing);
    assert_eq!(all[..7], [2.0; 7]);
    assert!(all[7] >= 64.0, "{all:?}");
    // Answers 2, 4, 6 and 7 are the four.
    let mut rig = Rig::plain(Plan::Polled(burst));
    let all =
        gaps(&mut rig, 9, |n| if [1, 3, 5, 6].contains(&n) { Reply::Time } else { Reply::Nothing });
    assert_eq!(all[..6], [2.0; 6]);
    check_all(&all[6..], 64.0);
}

#[test]
fn burst_asks_again_within_an_interval_only_until_there_is_an_answer() {
    let mut rig = Rig::plain(Plan::Polled(Polling { burst: true, ..polling(6, 10) }));
    check_all(&gaps(&mut rig, 4, |_| Reply::Time), 64.0);
    let all = gaps(&mut rig, 9, |_| Reply::Nothing);
    assert_eq!((&all[..3], &all[4..7]), (&[2.0; 3][..], &[2.0; 3][..]), "{all:?}");
    check_all(&all[3..4], 64.0);
}

#[test]
fn a_burst_on_request_is_bounded_and_keeps_its_distance() {
    let mut rig = Rig::plain(Plan::Polled(polling(6, 10)));
    gaps(&mut rig, 2, |_| Reply::Time);
    let asked = rig.now;
    rig.association.burst(1000, Duration::ZERO, rig.now);
    let all = gaps(&mut rig, 50, |_| Reply::Nothing);
    assert_eq!(
        all.iter().filter(|gap| **gap == 2.0).count(),
        31,
        "16 answers, twice the questions"
    );
    rig.association.burst(4, Duration::from_secs(2), rig.now);
    rig.question();
    assert!(rig.now.since(asked) > Duration::from_secs(2));
}

#[test]
fn a_burst_is_not_cut_short_by_a_smaller_one() {
    let mut rig = Rig::plain(Plan::Polled(polling(6, 10)));
    gaps(&mut rig, 2, |_| Reply::Time);
    rig.association.burst(4, Duration::from_secs(2), rig.now);
    gaps(&mut rig, 1, |_| Reply::Time);
    rig.association.burst(1, Duration::from_secs(12), rig.now);
    check_all(&gaps(&mut rig, 3, |_| Reply::Time), 2.0);
}

#[test]
fn a_silent_server_is_asked_less_and_less() {
    let mut rig = Rig::plain(Plan::Polled(polling(6, 10)));
    let all = gaps(&mut rig, 40, |_| Reply::Nothing);
    // Not before the reach register is empty, and not later than RFC 5905 has it.
    let grows = all.iter().position(|gap| *gap > 66.0).expect("it grows");
    assert!((7..=23).contains(&grows), "{all:?}");
    check_all(&all[..grows], 64.0);
    for (place, expected) in (grows..).zip([128.0, 256.0, 512.0, 1024.0]) {
        check_all(&all[place..=place], expected);
    }
    check_all(&all[grows + 3..], 1024.0);
    // One answer and all is as before.
    gaps(&mut rig, 1, |_| Reply::Time);
    check_all(&gaps(&mut rig, 5, |_| Reply::Time), 64.0);
}

#[test]
fn rate_doubles_at_once_stops_bursts_and_wears_off() {
    let burst = Polling { initial_burst: true, ..polling(6, 10) };
    let mut rig = Rig::plain(Plan::Polled(burst));
    let all = gaps(&mut rig, 4, |_| Reply::Kiss(KissCode::RATE));
    for (gap, expected) in all.iter().zip([128.0, 256.0, 512.0]) {
        assert!((expected..expected * 1.03).contains(gap), "{all:?}");
    }
    // Wanted shorter, or a burst: the server's word counts.
    rig.association.burst(4, Duration::from_secs(2), rig.now);
    let all = gaps(&mut rig, 24, |_| Reply::Time);
    assert!(all[1] >= 1024.0, "{all:?}");
    assert!(all.windows(2).all(|pair| pair[1] < pair[0] * 1.03), "never longer: {all:?}");
    check_all(&all[20..], 64.0);
    // However often it comes: poll exponent 13, unless the interval was longer before.
    let mut rig = Rig::plain(Plan::Polled(polling(6, 10)));
    let all = gaps(&mut rig, 20, |_| Reply::Kiss(KissCode::RATE));
    check_all(&all[10..], 8192.0);
    let mut rig = Rig::plain(Plan::Polled(polling(15, 17)));
    let all = gaps(&mut rig, 5, |_| Reply::Kiss(KissCode::RATE));
    check_all(&all[1..], 32768.0);
}

#[test]
fn an_unproven_denial_is_believed_only_where_nothing_else_is_heard() {
    for code in [KissCode::DENY, KissCode::RSTR] {
        let mut rig = Rig::plain(Plan::Polled(polling(6, 10)));
        gaps(&mut rig, 2, |_| Reply::Time);
        // One answer in eight keeps it alive for ever.
        let all = gaps(&mut rig, 80, |n| if n % 8 == 7 { Reply::Time } else { Reply::Kiss(code) });
        assert!(all.iter().all(|gap| *gap >= 1024.0), "{all:?}");
        assert!(!rig.association.is_over());
        let mut rig = Rig::plain(Plan::Polled(polling(6, 10)));
        gaps(&mut rig, 4, |_| Reply::Kiss(code));
        assert!(rig.association.is_over());
    }
}

#[test]
fn reach_is_the_last_eight_questions() {
    let mut rig = Rig::plain(Plan::Polled(polling(6, 10)));
    gaps(&mut rig, 10, |n| if n == 7 { Reply::Nothing } else { Reply::Time });
    assert_eq!(rig.association.reach(), 0b1111_1011);
    gaps(&mut rig, 8, |_| Reply::Nothing);
    rig.time_out();
    assert_eq!((rig.association.reach(), rig.association.unanswered_in_a_row()), (0, 8));
}

#[test]
fn a_question_closes_when_the_next_goes_out() {
    let mut rig = Rig::plain(Plan::Polled(polling(0, 0)));
    let request = rig.question();
    let late = Answer::plain(&request, rig.clock(), Span::ZERO).octets();
    assert_eq!(names(&rig.time_out()), ["unanswered", "transmit"]);
    rig.association.handle_sent(rig.clock());
    assert_eq!(names(&rig.arrive(&late)), ["wrong-origin"]);
}

proptest! {
    #[test]
    fn no_interval_no_burst_and_no_answer_makes_the_pace_faster_than_allowed(
        min in -10..20i8, max in -10..20i8, steps in proptest::collection::vec((any::<u32>(), any::<u8>(), 0..20u32), 1..60)
    ) {
        let mut rig = Rig::plain(Plan::Polled(Polling { initial_burst: true, burst: true, ..polling(min, max) }));
        let mut last = None;
        for (number, kind, questions) in steps {
            match kind % 4 {
                0 => rig.association.set_interval(Duration::from_micros(u64::from(number)), rig.now),
                1 => rig.association.burst(questions, Duration::from_micros(u64::from(number)), rig.now),
                _ => {}
            }
            let request = rig.question();
            if let Some(last) = last {
                let gap = rig.now.since(last);
                prop_assert!(gap >= Duration::from_nanos(62_499_999), "{:?}", gap);
                prop_assert!(min <= 0 || gap >= Duration::from_secs(2), "{:?}", gap);
            }
            last = Some(rig.now);
            if kind >= 128 {
                let outputs = rig.arrive(&Answer::plain(&request, rig.clock(), Span::ZERO).octets());
                prop_assert!(matches!(outputs[..], [Output::Measured(_)]));
            }
        }
    }
}
