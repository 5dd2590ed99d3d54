//! What the client takes for an answer (WC-01 to WC-14, WC-26, WC-31, WC-32, NC-14 to NC-25, NC-28, ER).

use std::time::Duration;

use noonmark_client::{Association, KeFailure, Output, Settings};
use noonmark_conformance::check::{Check, Failure};
use noonmark_nts::Aead;
use noonmark_packet::{FieldKind, KissCode, Leap, Mode, Version};
use noonmark_units::{Precision, Short, Span, Timestamp};

use super::bench::{Bench, POLLED, ensure, expect, measured};
use super::server::{Answer, agreement, cookies, field, fields, keys};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["WC-01", "WC-05", "NC-19"], name: "question_takes_one_answer", run: one_answer },
    Check { ids: &["WC-02"], name: "origin_wrong_by_one_bit_is_dropped", run: near_origin },
    Check { ids: &["WC-03"], name: "origin_of_zero_is_dropped", run: zero_origin },
    Check { ids: &["WC-04"], name: "stamps_of_zero_are_dropped", run: zero_stamps },
    Check { ids: &["WC-06", "IL-10"], name: "bogus_answers_change_nothing", run: bogus },
    Check { ids: &["WC-07"], name: "unsynchronised_server_is_not_believed", run: unsynchronised },
    Check { ids: &["WC-08"], name: "root_distance_of_16_s_is_too_far", run: distance },
    Check { ids: &["WC-09"], name: "clock_set_after_its_answer_is_not_believed", run: reference },
    Check { ids: &["WC-10"], name: "other_modes_and_versions_are_dropped", run: modes },
    Check { ids: &["WC-11", "ER-02"], name: "offset_and_delay_are_right_across_eras", run: golden },
    Check {
        ids: &["WC-12", "WC-14"],
        name: "delay_has_a_floor_and_dispersion_grows_by_15_ppm",
        run: bounds,
    },
    Check { ids: &["WC-13"], name: "answer_held_for_more_than_4_s_is_dropped", run: held },
    Check { ids: &["WC-27"], name: "crypto_nak_ends_nothing", run: crypto_nak },
    Check { ids: &["WC-31"], name: "answer_after_its_window_is_dropped", run: late },
    Check { ids: &["WC-32"], name: "unasked_answer_is_dropped_and_counted", run: unasked },
    Check { ids: &["NC-14"], name: "answer_needs_identifier_and_tag", run: identifier_and_tag },
    Check { ids: &["NC-15", "WC-26"], name: "unprotected_answer_is_dropped", run: unprotected },
    Check { ids: &["NC-16"], name: "cookies_in_clear_are_not_kept", run: clear_cookies },
    Check {
        ids: &["NC-17"],
        name: "fields_behind_the_authenticator_are_passed_over",
        run: trailing,
    },
    Check { ids: &["NC-18"], name: "jar_holds_eight_cookies", run: jar },
    Check { ids: &["NC-21"], name: "ntsn_counts_after_the_window_only", run: ntsn },
    Check {
        ids: &["NC-22", "NC-23"],
        name: "old_keys_go_on_until_new_ones_replace_them",
        run: renewal,
    },
    Check {
        ids: &["NC-24"],
        name: "lasting_ntsn_does_not_hasten_key_establishment",
        run: lasting_ntsn,
    },
    Check { ids: &["NC-25"], name: "keys_and_cookies_outlive_a_restart", run: restart },
    Check { ids: &["NC-28"], name: "first_time_lies_within_the_certificate", run: certificate },
    Check {
        ids: &["ER-01", "ER-03"],
        name: "answers_across_the_end_of_era_0_are_believed",
        run: era,
    },
    Check { ids: &["ER-08"], name: "no_exponent_disturbs", run: exponents },
    Check { ids: &["NS-19"], name: "nts_fields_outside_mode_4_mean_nothing", run: nts_modes },
    Check { ids: &["EF-02", "EF-03"], name: "badly_framed_answer_is_dropped", run: framing },
    Check {
        ids: &["EF-16", "EF-18"],
        name: "short_encrypted_and_foreign_fields_are_passed_over",
        run: foreign_fields,
    },
];

/// The answer is bent, and then dropped for this reason, and the honest answer still counts.
fn check_drop(
    bench: &mut Bench,
    expected: &str,
    change: impl FnOnce(&mut Answer),
) -> Result<(), Failure> {
    bench.question()?;
    let mut answer = bench.answer();
    let good = answer.copy();
    change(&mut answer);
    let names = bench.arrive(&answer);
    expect(&names, &[expected], expected)?;
    let names = bench.arrive(&good);
    expect(&names, &["measured"], &format!("the honest answer after {expected}"))
}

fn one_answer(lab: &mut Lab) -> Result<(), Failure> {
    for mut bench in [Bench::plain(lab, POLLED), Bench::nts(lab, POLLED)] {
        bench.question()?;
        let answer = bench.answer();
        expect(&bench.arrive(&answer), &["measured"], "control")?;
        expect(&bench.arrive(&answer), &["unsolicited"], "the same again")?;
    }
    Ok(())
}

fn near_origin(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    for bit in 0..64 {
        check_drop(&mut bench, "wrong-origin", |answer| {
            let origin = &mut answer.header.origin;
            *origin = Timestamp::from_bits(origin.to_bits() ^ 1 << bit);
        })?;
    }
    Ok(())
}

fn zero_origin(lab: &mut Lab) -> Result<(), Failure> {
    for mut bench in [Bench::plain(lab, POLLED), Bench::nts(lab, POLLED)] {
        check_drop(&mut bench, "wrong-origin", |answer| answer.header.origin = Timestamp::UNSET)?;
    }
    Ok(())
}

fn zero_stamps(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    check_drop(&mut bench, "stamp-missing", |answer| answer.header.receive = Timestamp::UNSET)?;
    check_drop(&mut bench, "stamp-missing", |answer| answer.header.transmit = Timestamp::UNSET)
}

fn bogus(lab: &mut Lab) -> Result<(), Failure> {
    for mut bench in [Bench::plain(lab, POLLED), Bench::nts(lab, POLLED)] {
        bench.question()?;
        let good = bench.answer();
        let mut bad = good.copy();
        let deadline = bench.association.deadline();
        for guess in 0..bench.many(100, 20_000, 1_000_000) as u64 {
            bad.header.origin = Timestamp::from_bits(guess << 20 | 0xfff);
            bench.arrive_octets(&bad.octets());
        }
        ensure(bench.association.deadline() == deadline, || "the deadline moved".to_owned())?;
        expect(&bench.arrive(&good), &["measured"], "the honest answer behind them")?;
    }
    Ok(())
}

fn unsynchronised(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    check_drop(&mut bench, "unsynchronised", |answer| answer.header.leap = Leap::Unsynchronised)?;
    for stratum in [16, 17, 255] {
        check_drop(&mut bench, "stratum", |answer| answer.header.stratum = stratum)?;
    }
    Ok(())
}

fn distance(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    for (delay, dispersion) in [(0, 16 << 16), (32 << 16, 0), (16 << 16, 8 << 16)] {
        check_drop(&mut bench, "root-distance", |answer| {
            answer.header.root_delay = Short::from_bits(delay);
            answer.header.root_dispersion = Short::from_bits(dispersion);
        })?;
    }
    bench.question()?;
    let mut answer = bench.answer();
    answer.header.root_delay = Short::ZERO;
    answer.header.root_dispersion = Short::from_bits((16 << 16) - 1);
    expect(&bench.arrive(&answer), &["measured"], "just below 16 s")
}

fn reference(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    check_drop(&mut bench, "reference-in-future", |answer| {
        answer.header.reference_time = answer.header.transmit + Span::from_bits(1);
    })
}

fn modes(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    let others = [
        Mode::SymmetricActive,
        Mode::SymmetricPassive,
        Mode::Client,
        Mode::Broadcast,
        Mode::Control,
    ];
    for mode in others {
        check_drop(&mut bench, "wrong-mode", |answer| answer.header.mode = mode)?;
    }
    check_drop(&mut bench, "wrong-version", |answer| answer.header.version = Version::V3)
}

fn golden(lab: &mut Lab) -> Result<(), Failure> {
    // Ahead of us and behind, up to most of an era away; the answer takes a millisecond back and none there.
    let year = 31_557_600;
    for seconds in [0, 1, -1, 1000, -86_400, 9 * year + year / 2, -60 * year, 60 * year] {
        let ahead = Span::from_seconds(seconds) + Span::from_nanos(123_456_789);
        let mut bench = Bench::plain(lab, POLLED);
        bench.question()?;
        let mut answer = bench.answer();
        for stamp in [
            &mut answer.header.receive,
            &mut answer.header.transmit,
            &mut answer.header.reference_time,
        ] {
            *stamp = *stamp + ahead;
        }
        let exchange = measured(&bench.outputs_of_arrival(&answer, Duration::from_millis(1)))?;
        let error = exchange.offset() - (ahead - Span::from_nanos(500_000));
        ensure(error.abs() < Span::from_nanos(100), || {
            format!("{ahead}: offset wrong by {error}")
        })?;
        let error = exchange.delay() - Span::from_nanos(1_000_000);
        ensure(error.abs() < Span::from_nanos(100), || format!("{ahead}: delay wrong by {error}"))?;
    }
    Ok(())
}

fn bounds(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    bench.question()?;
    let mut answer = bench.answer();
    answer.header.precision = Precision(-10);
    // Held for longer than the round trip took by our clock.
    answer.header.transmit = answer.header.receive + Span::from_nanos(5_000_000);
    let exchange = measured(&bench.outputs_of_arrival(&answer, Duration::from_millis(1)))?;
    ensure(exchange.raw_delay().is_negative(), || format!("{}", exchange.raw_delay()))?;
    ensure(exchange.delay() == Precision(-10).as_span(), || format!("{}", exchange.delay()))?;
    bench.question()?;
    let answer = bench.answer();
    let exchange = measured(&bench.outputs_of_arrival(&answer, Duration::from_secs(2)))?;
    let expected = Precision(-20).as_span() + Precision(-25).as_span() + Span::from_nanos(30_000);
    let error = exchange.dispersion() - expected;
    ensure(error.abs() < Span::from_nanos(100), || format!("dispersion wrong by {error}"))
}

fn held(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    check_drop(&mut bench, "held", |answer| {
        answer.header.transmit = answer.header.receive + Span::from_bits((4 << 32) + 1);
    })?;
    check_drop(&mut bench, "held", |answer| {
        answer.header.transmit = answer.header.receive - Span::from_bits(1);
    })
}

fn crypto_nak(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    for _ in 0..10 {
        bench.question()?;
        let good = bench.answer();
        let nak = [&good.octets()[..], &[0; 4]].concat();
        expect(&bench.arrive_octets(&nak), &["crypto-nak"], "a crypto-NAK")?;
        expect(&bench.arrive(&good), &["measured"], "the answer behind it")?;
    }
    Ok(())
}

fn late(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    bench.question()?;
    let answer = bench.answer();
    let names = bench.names_of_arrival(&answer, Duration::from_secs(10));
    expect(&names, &["late"], "after 10 s")
}

fn unasked(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    expect(&bench.arrive_octets(&[0x24; 48]), &["unsolicited"], "before any question")?;
    bench.question()?;
    let answer = bench.answer();
    expect(&bench.arrive(&answer), &["measured"], "control")?;
    expect(&bench.arrive_octets(&[0x24; 48]), &["unsolicited"], "after the answer")
}

fn identifier_and_tag(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    bench.question()?;
    let old = bench.answer().unique;
    let drop = |bench: &mut Bench, change: &dyn Fn(&mut Answer)| {
        check_drop(bench, "not-authenticated", change)
    };
    drop(&mut bench, &|answer| answer.unique = None)?;
    drop(&mut bench, &|answer| answer.unique = Some(vec![7; 32]))?;
    drop(&mut bench, &|answer| answer.unique.clone_from(&old))?;
    drop(&mut bench, &|answer| {
        answer.sealed = Some((keys(Aead::SivCmac256, 4), cookies(1, 100, 9)));
    })?;
    drop(&mut bench, &|answer| {
        answer.sealed = Some((keys(Aead::SivCmac512, 3), cookies(1, 100, 9)));
    })?;
    // One octet of what the tag covers is changed.
    bench.question()?;
    let good = bench.answer();
    let mut octets = good.octets();
    octets[13] ^= 1;
    expect(&bench.arrive_octets(&octets), &["not-authenticated"], "a changed header")?;
    expect(&bench.arrive(&good), &["measured"], "the honest answer")
}

fn unprotected(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    check_drop(&mut bench, "not-authenticated", |answer| {
        answer.sealed = None;
        answer.unique = None;
    })?;
    check_drop(&mut bench, "not-authenticated", |answer| answer.sealed = None)
}

fn clear_cookies(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    bench.question()?;
    let mut answer = bench.answer();
    answer.sealed = answer.sealed.map(|(keys, _)| (keys, Vec::new()));
    answer.clear = vec![(FieldKind::NTS_COOKIE, vec![0xee; 100])];
    expect(&bench.arrive(&answer), &["measured"], "control")?;
    let left = bench.association.cookies_left();
    ensure(left == Some(7), || format!("{left:?} cookies after none was given"))
}

fn trailing(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    bench.question()?;
    let mut answer = bench.answer();
    answer.after = vec![(FieldKind(0xf0ab), vec![1; 24]), (FieldKind::NTS_COOKIE, vec![0xdd; 100])];
    expect(&bench.arrive(&answer), &["measured"], "an answer with more behind it")?;
    let left = bench.association.cookies_left();
    ensure(left == Some(8), || format!("{left:?} cookies"))
}

fn jar(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    bench.question()?;
    let mut answer = bench.answer();
    answer.sealed = Some((keys(Aead::SivCmac256, 3), cookies(20, 40, 9)));
    expect(&bench.arrive(&answer), &["measured"], "control")?;
    let left = bench.association.cookies_left();
    ensure(left == Some(8), || format!("{left:?} cookies of twenty are kept"))
}

fn ntsn_of(bench: &Bench) -> Answer {
    let mut answer = bench.answer();
    answer.sealed = None;
    answer.kiss(KissCode::NTSN);
    answer
}

fn ntsn(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    for _ in 0..5 {
        bench.question()?;
        let good = bench.answer();
        expect(&bench.arrive(&ntsn_of(&bench)), &["kiss NTSN"], "a forged NTSN")?;
        expect(&bench.arrive(&good), &["measured"], "the answer behind it")?;
        let before = bench.time_out();
        ensure(!before.contains(&Output::Rekey), || "a refuted NTSN counts".to_owned())?;
        expect(&bench.arrive(&bench.answer()), &["measured"], "control")?;
    }
    bench.question()?;
    bench.arrive(&ntsn_of(&bench));
    let outputs: Vec<_> = (0..2).flat_map(|_| bench.time_out()).collect();
    ensure(outputs.contains(&Output::Rekey), || format!("no key establishment: {outputs:?}"))
}

fn renewal(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    bench.question()?;
    bench.arrive(&bench.answer());
    bench.question()?;
    bench.arrive(&ntsn_of(&bench));
    let outputs: Vec<_> = (0..2).flat_map(|_| bench.time_out()).collect();
    ensure(outputs.contains(&Output::Rekey), || format!("{outputs:?}"))?;
    ensure(matches!(outputs.last(), Some(Output::Transmit(_))), || "it falls silent".to_owned())?;
    bench.association.handle_ke_failure(KeFailure::Unreachable, bench.now);
    ensure(bench.question().is_ok(), || "it falls silent without new keys".to_owned())?;
    let new = keys(Aead::Aes128GcmSiv, 7);
    bench
        .association
        .handle_agreement(agreement(new.clone(), None, cookies(8, 68, 0x77)), bench.now);
    bench.session = Some(new);
    for _ in 0..8 {
        let request = bench.question()?;
        let cookie = field(&request, FieldKind::NTS_COOKIE).ok_or("no cookie")?;
        ensure((cookie.len(), cookie[1]) == (68, 0x77), || "an old cookie".to_owned())?;
    }
    Ok(())
}

fn lasting_ntsn(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::bare_nts(lab, POLLED);
    let mut times = Vec::new();
    let begun = bench.now;
    for _ in 0..200 {
        let outputs = bench.time_out();
        if outputs.contains(&Output::Rekey) {
            times.push(bench.now.since(begun).as_secs_f64());
            let session = keys(Aead::SivCmac256, 3);
            let agreed = agreement(session.clone(), None, cookies(8, 100, 0));
            bench.session = Some(session);
            bench.association.handle_agreement(agreed, bench.now);
        } else if matches!(outputs.last(), Some(Output::Transmit(_))) {
            bench.arrive(&ntsn_of(&bench));
        }
    }
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    ensure(waits.len() >= 4, || format!("{times:?}"))?;
    for (number, wait) in waits.iter().enumerate() {
        let least = 10.0 * 1.5_f64.powi(number as i32);
        ensure(*wait >= least - 1e-6, || format!("wait {number} is {wait} s, below {least} s"))?;
    }
    Ok(())
}

fn restart(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    let spent = field(&bench.question()?, FieldKind::NTS_COOKIE).ok_or("no cookie")?.to_vec();
    let now = bench.now;
    let silent = Box::new(|out: &mut [u8]| out.fill(0x21));
    let other = Association::nts(Settings::new(POLLED, Precision(-25)), silent, now);
    let before = std::mem::replace(&mut bench.association, other);
    let (session, left) = before.into_keys().ok_or("nothing is left of it")?;
    ensure(left.len() == 7 && !left.contains(&spent), || format!("{} cookies", left.len()))?;
    bench.association.restore(agreement(session, None, left), now);
    let outputs = bench.time_out();
    ensure(!outputs.contains(&Output::Rekey), || "keys are established anew".to_owned())?;
    expect(&bench.arrive(&bench.answer()), &["measured"], "the first answer after the restart")
}

fn certificate(lab: &mut Lab) -> Result<(), Failure> {
    for (from, to, is_good) in
        [(2020, 2040, true), (2020, 2099, true), (2020, 2026, false), (2030, 2040, false)]
    {
        let mut params = rcgen::CertificateParams::new(["nts.example".to_owned()])
            .map_err(|error| error.to_string())?;
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = rcgen::KeyPair::generate().map_err(|error| error.to_string())?;
        let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
        let session = keys(Aead::SivCmac256, 3);
        let mut agreed = agreement(session.clone(), None, cookies(8, 100, 0));
        agreed.certificates = vec![certificate.der().to_vec()];
        let mut bench = Bench::bare_nts(lab, POLLED);
        bench.time_out();
        bench.association.handle_agreement(agreed, bench.now);
        bench.session = Some(session);
        bench.question()?;
        let expected = if is_good { "measured" } else { "outside-certificate" };
        expect(&bench.arrive(&bench.answer()), &[expected], &format!("{from} to {to}"))?;
    }
    Ok(())
}

fn era(lab: &mut Lab) -> Result<(), Failure> {
    for mut bench in [Bench::plain(lab, POLLED), Bench::nts(lab, POLLED)] {
        bench.question()?;
        // We are some seconds before the end of the era, the server behind it: a server's instant of exactly zero is unset.
        let mut answer = bench.answer();
        let shift = Timestamp::from_bits(0) - bench.clock();
        for (stamp, by) in [
            (&mut answer.header.receive, 1),
            (&mut answer.header.transmit, 2_000_000),
            (&mut answer.header.reference_time, 0),
        ] {
            *stamp = *stamp + shift + Span::from_bits(by);
        }
        let exchange = measured(&bench.outputs_of_arrival(&answer, Duration::from_millis(1)))?;
        let error =
            exchange.offset() - (shift + Span::from_bits(1_000_000) - Span::from_nanos(500_000));
        ensure(error.abs() < Span::from_nanos(1000), || format!("offset wrong by {error}"))?;
        ensure(exchange.held() > Span::ZERO, || format!("{}", exchange.held()))?;
    }
    Ok(())
}

fn exponents(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    for exponent in i8::MIN..=i8::MAX {
        bench.question()?;
        let mut answer = bench.answer();
        answer.header.precision = Precision(exponent);
        answer.header.poll.0 = exponent;
        let exchange = measured(&bench.outputs_of_arrival(&answer, Duration::from_millis(1)))?;
        let all = [exchange.delay(), exchange.dispersion(), exchange.root_distance()];
        ensure(all.iter().all(|span| *span > Span::ZERO), || format!("{exponent}: {all:?}"))?;
    }
    Ok(())
}

fn nts_modes(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    for mode in [Mode::SymmetricPassive, Mode::Broadcast] {
        // Past the adaptor: what it bends is not what is asked here.
        bench.question()?;
        let good = bench.answer();
        let mut answer = good.copy();
        answer.header.mode = mode;
        expect(&bench.arrive_octets(&answer.octets()), &["wrong-mode"], "another mode")?;
        expect(&bench.arrive(&good), &["measured"], "mode 4")?;
    }
    Ok(())
}

fn framing(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    for length in [0_u16, 1, 3, 5, 17, 0xfffc] {
        bench.question()?;
        let good = bench.answer();
        let mut octets = good.octets();
        octets[50..52].copy_from_slice(&length.to_be_bytes());
        let names = bench.arrive_octets(&octets);
        ensure(names.len() == 1 && names[0] != "measured", || {
            format!("length {length}: {names:?}")
        })?;
        expect(&bench.arrive(&good), &["measured"], "the honest answer")?;
    }
    Ok(())
}

fn foreign_fields(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    bench.question()?;
    let mut answer = bench.answer();
    answer.clear = vec![(FieldKind(0x2005), vec![0; 24]), (FieldKind(0x0a0a), vec![3; 28])];
    // A cookie of 4 octets is a field of 8 inside the authenticator.
    answer.sealed = Some((keys(Aead::SivCmac256, 3), cookies(1, 4, 9)));
    expect(&bench.arrive(&answer), &["measured"], "foreign and short fields")?;
    ensure(bench.association.cookies_left() == Some(8), || "the short cookie is lost".to_owned())?;
    ensure(fields(&bench.question()?).len() == 3, || "they are sent back".to_owned())
}
