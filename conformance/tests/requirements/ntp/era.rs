//! Ends of eras and of integers (ER-*).

use noonmark_conformance::check::Check;
use noonmark_nts::{KeyRing, Pace};
use noonmark_os::random::RandomPool;
use noonmark_server::ClockState;
use noonmark_units::{Mono, PollExponent, Precision, Short, Span, Timestamp, UnixTime};

use super::lab::{NtpLab, Outcome, Session, ensure};
use super::octets::{Answer, Cipher, plain, plain_with, unique};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["ER-01"], name: "time_goes_on_when_the_era_ends", run: end_of_era },
    Check { ids: &["ER-02"], name: "differences_wrap_with_the_era", run: differences },
    Check { ids: &["ER-03"], name: "zero_is_no_time_in_any_era", run: zero },
    Check { ids: &["ER-05"], name: "the_year_2038_passes_unnoticed", run: year_2038 },
    Check { ids: &["ER-06"], name: "key_epochs_outlive_every_count_of_seconds", run: key_epochs },
    Check { ids: &["ER-08"], name: "exponents_and_short_values_clamp", run: clamps },
];

/// 2036-02-07T06:28:16Z, where era 1 begins; seconds since 1970.
const ERA_1: i64 = 2_085_978_496;
/// 2038-01-19T03:14:08Z: 2^31 s since 1970.
const YEAR_2038: i64 = 1 << 31;

/// The time in `answer` must be the lab's, whatever the era.
fn tells_the_time(lab: &NtpLab, answer: &Answer) -> Outcome {
    let off = Timestamp::from_bits(answer.transmit()) - lab.time;
    ensure(off.abs() < Span::from_nanos(10_000_000), || {
        format!("off by {off}: {:016x}", answer.transmit())
    })
}

fn end_of_era(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for quarter in -8..=8 {
            lab.time = Timestamp::from_bits(0) + Span::from_bits((4 * quarter + 1) << 28);
            let answer = lab.time_for(&session.request(1))?;
            session.open(&answer)?;
            tells_the_time(&lab, &answer)?;
        }
    }
    // In words: the first second of era 1 is zero, and which era a count belongs to is told by a pivot near it.
    let first = Timestamp::from_unix(UnixTime::new(ERA_1, 0));
    let last = Timestamp::from_unix(UnixTime::new(ERA_1 - 1, 0));
    let read = |time: Timestamp, pivot| time.unix_near(UnixTime::new(pivot, 0)).seconds;
    ensure((first.to_bits(), last.to_bits()) == (0, 0xffff_ffff << 32), || {
        format!("{first:?} after {last:?}")
    })?;
    for pivot in [ERA_1 - 1000, ERA_1 + 1000] {
        let found = (read(last, pivot), read(first, pivot));
        ensure(found == (ERA_1 - 1, ERA_1), || format!("{found:?} near {pivot}"))?;
    }
    Ok(())
}

fn differences(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    // T1 = FFFFFFFF.F0000000, T2 = 00000000.10000000: an eighth of a second apart.
    let (before, after) = (0xffff_ffff_f000_0000, 0x0000_0000_1000_0000);
    let apart = Timestamp::from_bits(after) - Timestamp::from_bits(before);
    ensure(apart == Span::from_bits(1 << 29), || format!("T2 - T1 = {apart}"))?;
    let back = Timestamp::from_bits(before) - Timestamp::from_bits(after);
    ensure(back == Span::from_bits(-(1 << 29)), || format!("T1 - T2 = {back}"))?;
    // A server that receives before the wrap and answers after it.
    lab.time = Timestamp::from_bits(after);
    lab.age = apart;
    let answer = lab.time_for(&plain())?;
    tells_the_time(&lab, &answer)
}

fn zero(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    lab.state.precision = Precision(-32);
    lab.tick = Span::ZERO;
    // The last unit of the era is when the request came, and the clock seems to be behind it: the answer's time, one unit
    // later, would be zero.
    lab.time = Timestamp::from_bits(0) - Span::from_seconds(3);
    lab.age = Span::from_bits(1) - Span::from_seconds(3);
    for request in [plain(), plain_with(&unique(32))] {
        let answer = lab.time_for(&request)?;
        ensure(answer.transmit() != 0, || "transmit is zero".to_owned())?;
    }
    // In the first 16 seconds of the era a clock served as it stands was "set" when the era began.
    lab.time = Timestamp::from_bits(5 << 32);
    lab.age = Span::from_nanos(20_000);
    let answer = lab.time_for(&plain())?;
    ensure(answer.reference_time() != 0, || "a clock that was never set".to_owned())?;
    let begins = Timestamp::from_unix(UnixTime::new(ERA_1, 0));
    ensure(begins.is_unset() && begins.never_unset().to_bits() == 1, || {
        format!("the beginning of era 1 is {:?}", begins.never_unset())
    })
}

fn year_2038(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for second in [-2, -1, 0, 1, 2, 1000] {
        let now = UnixTime::new(YEAR_2038 + second, 250_000_000);
        lab.time = Timestamp::from_unix(now);
        let answer = lab.time_for(&plain_with(&unique(32)))?;
        tells_the_time(&lab, &answer)?;
        let read = Timestamp::from_bits(answer.transmit()).unix_near(now);
        ensure((read - now).abs() < Span::from_nanos(10_000_000), || format!("{read} at {now}"))?;
    }
    let written = UnixTime::new(YEAR_2038, 0).to_string();
    ensure(written.starts_with("2038-01-19T03:14:08"), || written.clone())
}

fn key_epochs(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let mut pool = RandomPool::new().map_err(|error| error.to_string())?;
    const DAY: i64 = 86_400;
    let begun = UnixTime::new(1_795_000_000, 0);
    let pace = Pace { interval: 86_400, retained: 2 };
    let mut ring = KeyRing::new(pace, begun, &mut |out: &mut [u8]| pool.fill(out))
        .map_err(|error| error.to_string())?;
    // The two ends above, 2100-03-01T00:00:00Z (no leap day before it), and 2^32 s since 1970.
    for end in [ERA_1, YEAR_2038, 4_107_542_400, 1 << 32] {
        let days = (end - begun.seconds) / DAY;
        lab.turn(&mut ring, UnixTime::new(end - DAY, 0));
        let session = Session::new(&lab, Cipher::Siv256);
        lab.time_for(&session.request(0))?;
        lab.turn(&mut ring, UnixTime::new(end, 0));
        ensure(i64::from(ring.current()) == days, || {
            format!("epoch {} on day {days}", ring.current())
        })?;
        // The key ring is written, read, and goes on; yesterday's cookie is good.
        let stored = ring.to_octets();
        ring = KeyRing::from_octets(&stored).map_err(|error| error.to_string())?;
        lab.take_keys(&ring);
        lab.time_for(&session.request(0))?;
        lab.turn(&mut ring, UnixTime::new(end + 3 * DAY, 0));
        lab.no_time_for(&session.request(0))?;
    }
    Ok(())
}

fn clamps(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let good = lab.state;
    for octet in 0..=255_u8 {
        // Poll, precision and the short-format values of a request, whatever they say.
        let mut request = plain();
        request[2..12].fill(octet);
        lab.time_for(&request)?;
        // And those of our own clock.
        let wide = u32::from_be_bytes([octet; 4]);
        lab.state = ClockState {
            precision: Precision(octet.cast_signed()),
            root_delay: Short::from_bits(wide),
            root_dispersion: Short::from_bits(wide),
            growth_ppb: wide,
            as_of: Mono(0),
            ..good
        };
        let now = lab.mono;
        for mono in [now, Mono(0), Mono(u64::MAX)] {
            lab.mono = mono;
            let answer = lab.time_for(&plain())?;
            let dispersion = u32::from_be_bytes(*answer.octets[8..].first_chunk().expect("header"));
            ensure(dispersion >= wide, || format!("{wide:08x} became {dispersion:08x}"))?;
        }
        (lab.state, lab.mono) = (good, now);
    }
    // Longer than any span, or shorter than its unit: as far as the type goes, and never the other way.
    let steps: Vec<Span> = (-128..=127).map(|log2| PollExponent(log2).as_span()).collect();
    ensure(steps.is_sorted() && steps.first() >= Some(&Span::ZERO), || {
        format!("spans of the exponents: {steps:?}")
    })?;
    let shorts = [Span::MIN, Span::ZERO, Span::from_seconds(70_000), Span::MAX];
    let found = shorts.map(|span| Short::from_span_ceil(span).to_bits());
    ensure(found == [0, 0, u32::MAX, u32::MAX], || format!("short values: {found:08x?}"))
}
