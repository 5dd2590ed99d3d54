//! How the client frames what stands behind the header of an answer (EF-04 to EF-09, EF-17), and what its questions have there
//! (NC-33, IL-14).

use noonmark_conformance::check::{Check, Failure};
use noonmark_packet::FieldKind;

use super::bench::{Bench, POLLED, ensure, expect, header};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["EF-04"], name: "short_field_in_an_answer_frames_nothing", run: short_field },
    Check {
        ids: &["EF-05", "EF-06", "EF-07", "EF-08"],
        name: "what_is_left_of_an_answer_decides_between_field_and_mac",
        run: what_is_left,
    },
    Check { ids: &["EF-09"], name: "mac_behind_nts_adds_no_trust", run: mac_behind_nts },
    Check { ids: &["EF-17"], name: "identifier_twice_in_an_answer_drops_it", run: twice },
    Check { ids: &["NC-33"], name: "plain_question_is_the_header_alone", run: header_alone },
    Check { ids: &["IL-14"], name: "receive_stamps_of_ours_are_in_no_question", run: no_leak },
];

/// A field nobody knows, of so many octets.
fn unknown(len: u16) -> Vec<u8> {
    let mut octets = 0x0a0b_u16.to_be_bytes().to_vec();
    octets.extend(len.to_be_bytes());
    octets.resize(len.into(), 0x55);
    octets
}

/// What follows an honest plain answer with this behind its header; the honest one counts all the same.
fn behind(bench: &mut Bench, tail: &[u8]) -> Result<Vec<String>, Failure> {
    bench.question()?;
    let good = bench.answer();
    let names = bench.arrive_octets(&[&good.octets()[..], tail].concat());
    if names != ["measured"] {
        expect(&bench.arrive(&good), &["measured"], "the honest answer")?;
    }
    Ok(names)
}

fn short_field(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    for len in [4, 8, 12] {
        let names = behind(&mut bench, &[unknown(len), unknown(28)].concat())?;
        expect(&names, &["malformed"], &format!("a field of {len} octets"))?;
    }
    let mut bench = Bench::nts(lab, POLLED);
    for len in [0_u16, 4, 8] {
        bench.question()?;
        let mut answer = bench.answer();
        let good = answer.copy();
        answer.clear = vec![(FieldKind(0x0a0b), vec![0x55; 12])];
        let mut octets = answer.octets();
        // Behind the identifier of 36 octets; the length says less than the 16 that are there.
        octets[48 + 36 + 2..48 + 36 + 4].copy_from_slice(&(4 + len).to_be_bytes());
        let names = bench.arrive_octets(&octets);
        ensure(names != ["measured"], || format!("{len} octets of body: {names:?}"))?;
        expect(&bench.arrive(&good), &["measured"], "the honest answer")?;
    }
    Ok(())
}

fn what_is_left(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    // Without a field: 20 and 24 octets are a MAC, which proves nothing to us; from 28 on it is a field, if framed as one.
    for (len, expected) in
        [(8, "malformed"), (12, "malformed"), (16, "malformed"), (20, "measured"), (24, "measured")]
    {
        let names = behind(&mut bench, &vec![0x66; len])?;
        expect(&names, &[expected], &format!("{len} octets behind the header"))?;
    }
    for len in [28, 32, 36, 40] {
        expect(&behind(&mut bench, &unknown(len))?, &["measured"], &format!("a field of {len}"))?;
        let names = behind(&mut bench, &vec![0x66; len.into()])?;
        expect(&names, &["malformed"], &format!("a MAC of {len} octets"))?;
    }
    for lens in [&[16, 28][..], &[16, 16, 28], &[20, 24, 28]] {
        let tail: Vec<u8> = lens.iter().flat_map(|len| unknown(*len)).collect();
        expect(&behind(&mut bench, &tail)?, &["measured"], &format!("fields of {lens:?}"))?;
    }
    for lens in [&[28, 16][..], &[16, 16], &[44, 28, 16]] {
        let tail: Vec<u8> = lens.iter().flat_map(|len| unknown(*len)).collect();
        expect(&behind(&mut bench, &tail)?, &["malformed"], &format!("fields of {lens:?}"))?;
    }
    Ok(())
}

fn mac_behind_nts(lab: &mut Lab) -> Result<(), Failure> {
    // What stands behind the authenticator is nobody's word: neither good for the answer nor bad.
    let mut bench = Bench::nts(lab, POLLED);
    for mac in [20, 24] {
        bench.question()?;
        let good = bench.answer();
        let names = bench.arrive_octets(&[&good.octets()[..], &vec![0x66; mac]].concat());
        if names != ["measured"] {
            expect(&bench.arrive(&good), &["measured"], "the honest answer")?;
        }
        bench.question()?;
        let mut forged = bench.answer();
        let good = forged.copy();
        forged.sealed = None;
        let names = bench.arrive_octets(&[&forged.octets()[..], &vec![0x66; mac]].concat());
        expect(&names, &["not-authenticated"], &format!("a MAC of {mac} octets in place of NTS"))?;
        expect(&bench.arrive(&good), &["measured"], "the honest answer")?;
    }
    Ok(())
}

fn twice(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    for other in [false, true] {
        bench.question()?;
        let mut answer = bench.answer();
        let good = answer.copy();
        let mut unique = answer.unique.clone().ok_or("no identifier")?;
        if other {
            unique[0] ^= 1;
        }
        answer.clear = vec![(FieldKind::UNIQUE_IDENTIFIER, unique)];
        expect(&bench.arrive(&answer), &["not-authenticated"], "two identifiers")?;
        expect(&bench.arrive(&good), &["measured"], "the honest answer")?;
    }
    Ok(())
}

fn header_alone(lab: &mut Lab) -> Result<(), Failure> {
    for mut bench in [Bench::plain(lab, POLLED), Bench::interleaved(lab, POLLED)] {
        for number in 0..20 {
            let len = bench.question()?.len();
            ensure(len == 48, || format!("question {number} has {len} octets"))?;
            if number % 3 != 0 {
                bench.arrive(&bench.answer());
            }
        }
    }
    Ok(())
}

fn no_leak(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::interleaved(lab, POLLED);
    let mut received = Vec::new();
    for _ in 0..20 {
        let request = bench.question()?;
        let asked = header(&request);
        let words: Vec<u64> = request
            .windows(8)
            .map(|octets| u64::from_be_bytes(octets.try_into().unwrap_or_default()))
            .collect();
        for stamp in &received {
            ensure(!words.contains(stamp), || format!("{asked:?} tells when an answer came"))?;
        }
        bench.arrive(&bench.answer());
        received.push(bench.clock().to_bits());
    }
    ensure(received.len() == 20, || "too few answers".to_owned())
}
