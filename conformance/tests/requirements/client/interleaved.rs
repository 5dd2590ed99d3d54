//! Interleaved mode of the client (IL-01, IL-09 to IL-16).

use std::collections::HashSet;
use std::time::Duration;

use noonmark_client::Output;
use noonmark_conformance::check::{Check, Failure};
use noonmark_packet::FieldKind;
use noonmark_units::{Span, Timestamp};

use super::bench::{Bench, POLLED, ensure, expect, header};
use super::server::Answer;
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["IL-09"], name: "origin_says_which_answer_is_interleaved", run: which },
    Check { ids: &["IL-11"], name: "four_losses_lead_back_to_basic_questions", run: losses },
    Check { ids: &["IL-12"], name: "basic_answers_are_taken_all_the_same", run: basic },
    Check { ids: &["IL-01", "IL-13"], name: "both_stamps_of_a_question_are_random", run: stamps },
    Check { ids: &["IL-15"], name: "basic_association_stays_basic", run: not_forced },
    Check { ids: &["IL-16"], name: "interleaved_answers_may_prove_their_origin", run: with_nts },
];

/// Answers as a server that interleaves: with the true transmit time of the answer before, 300 µs after its receive stamp.
fn interleaved(bench: &Bench, request: &[u8]) -> Answer {
    let asked = header(request);
    let mut answer = bench.answer();
    if !asked.origin.is_unset() {
        answer.header.origin = asked.receive;
        answer.header.transmit = asked.origin + Span::from_nanos(300_000);
    }
    answer
}

fn which(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::interleaved(lab, POLLED);
    for number in 0..10 {
        let request = bench.question()?;
        let answer = interleaved(&bench, &request);
        let outputs = bench.outputs_of_arrival(&answer, Duration::from_millis(1));
        ensure(bench.association.is_interleaved() == (number > 0), || format!("answer {number}"))?;
        match (number, outputs.first()) {
            (0, Some(Output::Measured(_))) | (1, None) => {}
            (2.., Some(Output::Measured(exchange))) => {
                let held = exchange.held() - Span::from_nanos(300_000);
                let delay = exchange.delay() - Span::from_nanos(700_000);
                let near = Span::from_nanos(10_000);
                ensure(held.abs() < near && delay.abs() < near, || format!("{held} {delay}"))?;
            }
            (_, other) => return Err(format!("answer {number}: {other:?}")),
        }
        let again = bench.arrive(&answer);
        ensure(again != ["measured"], || format!("the same again: {again:?}"))?;
    }
    Ok(())
}

fn with_nts(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::interleaved_nts(lab, POLLED);
    for number in 0..10 {
        let request = bench.question()?;
        let names = bench.arrive(&interleaved(&bench, &request));
        // The second answer tells what the first has told already.
        let expected: &[&str] = if number == 1 { &[] } else { &["measured"] };
        expect(&names, expected, &format!("answer {number}"))?;
        ensure(bench.association.is_interleaved() == (number > 0), || format!("answer {number}"))?;
    }
    Ok(())
}

fn losses(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::interleaved(lab, POLLED);
    for _ in 0..3 {
        let request = bench.question()?;
        let answer = interleaved(&bench, &request);
        bench.arrive(&answer);
    }
    for lost in 0..6 {
        let asked = header(&bench.question()?);
        let is_basic = asked.origin.is_unset() && asked.receive.is_unset();
        ensure(is_basic == (lost >= 4), || format!("after {lost} losses: {asked:?}"))?;
    }
    Ok(())
}

fn basic(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::interleaved(lab, POLLED);
    for number in 0..10 {
        let request = bench.question()?;
        // A server that interleaves at first and then does not any more.
        let answer = if number < 4 { interleaved(&bench, &request) } else { bench.answer() };
        let names = bench.arrive(&answer);
        if number >= 4 {
            expect(&names, &["measured"], &format!("answer {number}"))?;
        }
    }
    Ok(())
}

fn stamps(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::interleaved(lab, POLLED);
    let (mut seen, mut ones, mut count) = (HashSet::new(), 0, 0);
    for _ in 0..bench.many(100, 1000, 10_000) {
        let request = bench.question()?;
        let asked = header(&request);
        ensure(asked.receive != asked.transmit, || "both stamps are equal".to_owned())?;
        for stamp in [asked.receive, asked.transmit] {
            if !stamp.is_unset() {
                ensure(seen.insert(stamp), || "a stamp is used again".to_owned())?;
                (ones, count) = (ones + stamp.to_bits().count_ones(), count + 64);
            }
        }
        let answer = interleaved(&bench, &request);
        bench.arrive(&answer);
    }
    let share = f64::from(ones) / f64::from(count);
    ensure((0.47..0.53).contains(&share), || format!("{share} of all bits are one"))
}

fn not_forced(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    for _ in 0..3 {
        let request = bench.question()?;
        let asked = header(&request);
        ensure(asked.origin.is_unset() && asked.receive.is_unset(), || format!("{asked:?}"))?;
        let good = bench.answer();
        let mut forged = good.copy();
        forged.header.origin = Timestamp::UNSET;
        // Nine fields nobody knows mark it for the adaptor.
        forged.after = vec![(FieldKind(0x0a0b), vec![0; 24]); 9];
        expect(&bench.arrive(&forged), &["wrong-origin"], "an origin of zero")?;
        expect(&bench.arrive(&good), &["measured"], "the honest answer")?;
    }
    Ok(())
}
