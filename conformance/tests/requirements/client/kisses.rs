//! Kiss-o'-Death (KD-01 to KD-10, NC-20).

use std::time::Duration;

use noonmark_conformance::check::{Check, Failure};
use noonmark_packet::{KissCode, Leap};
use noonmark_units::{PollExponent, Timestamp};

use super::bench::{Bench, POLLED, ensure, expect};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["KD-01"], name: "kiss_is_told_by_its_code", run: told },
    Check { ids: &["KD-02"], name: "proven_denial_ends_the_association", run: denial },
    Check {
        ids: &["KD-03", "KD-08"],
        name: "rate_doubles_the_interval_at_once_and_again",
        run: rate,
    },
    Check { ids: &["KD-04"], name: "x_codes_are_passed_over", run: private },
    Check { ids: &["KD-05"], name: "other_codes_have_no_effect", run: others },
    Check { ids: &["KD-06"], name: "time_in_a_kiss_is_not_used", run: time },
    Check { ids: &["KD-07"], name: "kiss_needs_the_origin", run: origin },
    Check { ids: &["KD-09", "NC-20"], name: "kiss_to_nts_needs_the_identifier", run: identifier },
    Check { ids: &["KD-10"], name: "unproven_kiss_does_not_end_nts", run: unproven },
];

fn told(lab: &mut Lab) -> Result<(), Failure> {
    for code in [KissCode::DENY, KissCode::RSTR, KissCode(*b"INIT")] {
        let mut bench = Bench::plain(lab, POLLED);
        bench.question()?;
        let mut answer = bench.answer();
        answer.kiss(code);
        expect(&bench.arrive(&answer), &[&format!("kiss {code}")], "a kiss")?;
    }
    Ok(())
}

fn denial(lab: &mut Lab) -> Result<(), Failure> {
    for code in [KissCode::DENY, KissCode::RSTR] {
        let mut bench = Bench::nts(lab, POLLED);
        bench.question()?;
        let mut answer = bench.answer();
        answer.kiss(code);
        expect(&bench.arrive(&answer), &[&format!("kiss {code}"), "give up"], "a proven denial")?;
        ensure(bench.question().is_err(), || "it goes on asking".to_owned())?;
    }
    Ok(())
}

/// Seconds from one question to the next while each is answered by `code` with this poll exponent.
fn spacings(lab: &Lab, code: [u8; 4], poll: i8, questions: usize) -> Result<Vec<f64>, Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    let mut times = Vec::new();
    for _ in 0..questions {
        bench.question()?;
        times.push(bench.now);
        let mut answer = bench.answer();
        answer.kiss(KissCode(code));
        answer.header.poll = PollExponent(poll);
        bench.arrive(&answer);
    }
    Ok(times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect())
}

fn rate(lab: &mut Lab) -> Result<(), Failure> {
    for poll in [4, 17, 36, 127, -128] {
        let spacings = spacings(lab, *b"RATE", poll, 13)?;
        for (number, spacing) in spacings.iter().enumerate() {
            let expected = (32.0 * 2_f64.powi(number as i32)).min(8192.0);
            let right = (expected..expected * 1.03).contains(spacing);
            ensure(right, || format!("poll {poll}: {spacing} s, not {expected} s: {spacings:?}"))?;
        }
    }
    Ok(())
}

/// The code changes nothing: the interval stays.
fn without_effect(lab: &Lab, code: [u8; 4]) -> Result<(), Failure> {
    let spacings = spacings(lab, code, 17, 4)?;
    let name = KissCode(code);
    ensure(spacings.iter().all(|spacing| *spacing < 16.4), || format!("{name}: {spacings:?}"))
}

fn private(lab: &mut Lab) -> Result<(), Failure> {
    without_effect(lab, *b"XABC")
}

fn others(lab: &mut Lab) -> Result<(), Failure> {
    for code in
        [b"AUTH", b"AUTO", b"BCST", b"CRYP", b"DROP", b"INIT", b"MCST", b"NKEY", b"RMOT", b"STEP"]
    {
        without_effect(lab, *code)?;
    }
    Ok(())
}

fn time(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    bench.question()?;
    let mut answer = bench.answer();
    let good = answer.copy();
    answer.kiss(KissCode(*b"ACST"));
    // As plausible as can be.
    answer.header.leap = Leap::None;
    expect(&bench.arrive(&answer), &["kiss ACST"], "a kiss with times")?;
    expect(&bench.arrive(&good), &["measured"], "the answer behind it")
}

fn origin(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    for code in [KissCode::RATE, KissCode::DENY] {
        bench.question()?;
        let good = bench.answer();
        let mut answer = good.copy();
        answer.kiss(code);
        answer.header.origin = Timestamp::from_bits(answer.header.origin.to_bits() ^ 0xff00);
        expect(&bench.arrive(&answer), &["wrong-origin"], "a kiss with a wrong origin")?;
        expect(&bench.arrive(&good), &["measured"], "the answer behind it")?;
    }
    Ok(())
}

fn identifier(lab: &mut Lab) -> Result<(), Failure> {
    let codes =
        [KissCode::DENY, KissCode::RSTR, KissCode::RATE, KissCode::NTSN, KissCode(*b"XABC")];
    for code in codes {
        for unique in [None, Some(vec![7; 32])] {
            let mut bench = Bench::nts(lab, POLLED);
            bench.question()?;
            expect(&bench.arrive(&bench.answer()), &["measured"], "control")?;
            bench.question()?;
            let good = bench.answer();
            let mut answer = good.copy();
            answer.kiss(code);
            answer.sealed = None;
            answer.unique = unique;
            expect(&bench.arrive(&answer), &["foreign-kiss"], &format!("{code}"))?;
            expect(&bench.arrive(&good), &["measured"], "the answer behind it")?;
        }
    }
    Ok(())
}

fn unproven(lab: &mut Lab) -> Result<(), Failure> {
    for code in [KissCode::DENY, KissCode::RSTR, KissCode::NTSN] {
        let mut bench = Bench::nts(lab, POLLED);
        for _ in 0..10 {
            bench.question()?;
            let good = bench.answer();
            let mut answer = good.copy();
            answer.kiss(code);
            answer.sealed = None;
            expect(&bench.arrive(&answer), &[&format!("kiss {code}")], "unproven")?;
            let names = bench.names_of_arrival(&good, Duration::from_millis(1));
            expect(&names, &["measured"], "the answer behind it")?;
        }
    }
    Ok(())
}
