//! Where the sources and the clock stand, as the document has it.

use noonmark_clock::ClockState;
use noonmark_config::ClockMode;
use noonmark_units::{Mono, Span, UnixTime};

use super::{leap, reference};
use crate::message::Text;
use crate::sources::report::{Report, SourceLine};
use crate::status::{Source, SourceNts, Tracking, UNSYNCHRONISED};

/// The clock, at `now`, when it reads `time`.
pub fn tracking(report: &Report, mode: ClockMode, now: Mono, time: UnixTime) -> Tracking {
    let clock = &report.clock;
    let followed = report.sources.iter().find(|source| is(source.number, clock.reference));
    let seconds = Span::as_seconds_f64;
    let bound = clock.earliest.zip(clock.latest);
    let updated = clock.last_update.map(|at| now.since(at));
    Tracking {
        clock: mode.as_str(),
        state: match clock.state {
            ClockState::Unsynchronised => UNSYNCHRONISED,
            ClockState::Synchronised => "synchronised",
            ClockState::Holdover => "holdover",
        },
        why: (clock.state == ClockState::Unsynchronised)
            .then(|| "no source has been followed yet".to_owned()),
        age_seconds: now.since(clock.at).as_secs_f64(),
        reference: (clock.reference != 0).then_some(clock.reference),
        reference_name: followed.map(|source| source.name.as_str().to_owned()),
        reference_id: reference(clock.stratum, clock.reference_id),
        stratum: clock.stratum,
        leap: leap(clock.leap),
        offset_seconds: clock.offset.map(seconds),
        offset_sigma_seconds: clock.offset_sigma.map(seconds),
        frequency_ppm: clock.frequency.as_ppm(),
        skew_ppm: clock.skew.as_ppm(),
        wander_ppm: clock.wander.as_ppm(),
        root_delay_seconds: seconds(clock.root_delay),
        root_dispersion_seconds: clock.root_dispersion.map(seconds),
        earliest_seconds: clock.earliest.map(seconds),
        latest_seconds: clock.latest.map(seconds),
        error_bound_seconds: bound.map(|(low, high)| seconds(low.abs().max(high.abs()))),
        last_correction_seconds: updated.map(|_| seconds(clock.last_correction)),
        last_update_seconds_ago: updated.map(|ago| ago.as_secs_f64()),
        reference_time: updated.map(|ago| (time - Span::from_duration(ago)).to_string()),
        poll_seconds: Some(clock.interval.as_secs_f64()).filter(|interval| *interval > 0.0),
        next_question_seconds: clock.next_question.map(|at| until(at, now)),
        updates: clock.updates,
        agreeing: clock.agreeing,
        refusals: clock.refusals,
        refused: written(&clock.refused),
    }
}

/// Each source.
pub fn sources(report: &Report, now: Mono) -> Vec<Source> {
    report.sources.iter().map(|source| line(source, now)).collect()
}

fn line(source: &SourceLine, now: Mono) -> Source {
    let answered = source.last_answer.is_some();
    let seconds = |span: Span| answered.then(|| span.as_seconds_f64());
    let known = |span: Span| seconds(span).filter(|_| span < NOTHING_KNOWN);
    Source {
        number: (source.number != 0).then_some(source.number),
        place: source.place,
        name: source.name.as_str().to_owned(),
        address: written(&source.address),
        state: source.state.as_str().to_owned(),
        why: source.why.as_str().to_owned(),
        note: written(&source.note),
        nts: source.is_nts.then(|| SourceNts {
            aead: (source.aead != 0).then_some(source.aead),
            cookies: source.cookies,
            failures: source.failures,
        }),
        authenticated: source.authenticated,
        interleaved: source.interleaved,
        stratum: answered.then_some(source.stratum),
        reach: source.reach,
        last_answer_seconds_ago: source.last_answer.map(|at| now.since(at).as_secs_f64()),
        next_question_seconds: source.next_question.map(|at| until(at, now)),
        poll_seconds: source.interval.as_secs_f64(),
        offset_seconds: seconds(source.offset),
        offset_now_seconds: known(source.offset_sigma).and(seconds(source.offset_now)),
        offset_sigma_seconds: known(source.offset_sigma),
        distance_seconds: known(source.distance),
        delay_seconds: seconds(source.delay),
        jitter_seconds: seconds(source.jitter),
        asked: source.asked,
        measured: source.measured,
        unanswered: source.unanswered,
        kisses: source.kisses,
        refused: source.refused,
    }
}

fn written(text: &Text) -> Option<String> {
    Some(text.as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn is(number: u32, reference: u32) -> bool {
    number != 0 && number == reference
}

/// What a bound or a standard deviation is said to be when nothing is known (RFC 5905, `MAXDISP`).
const NOTHING_KNOWN: Span = Span::from_seconds(16);

fn until(at: Mono, now: Mono) -> f64 {
    at.since(now).as_secs_f64() - now.since(at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::report::ClockReport;

    #[test]
    fn times_count_from_now() {
        let at = Mono(100_000_000_000);
        let clock = ClockReport {
            at,
            last_update: Some(at),
            next_question: Some(Mono(130_000_000_000)),
            earliest: Some(Span::from_seconds(-3)),
            latest: Some(Span::from_seconds(2)),
            ..ClockReport::default()
        };
        let report = Report { clock, sources: Vec::new() };
        let time = UnixTime::new(1_900_000_000, 250_000_000);
        let found = tracking(&report, ClockMode::Observe, Mono(110_500_000_000), time);
        assert_eq!((found.clock, found.state, found.stratum), ("observe", "unsynchronised", 16));
        assert_eq!(found.last_update_seconds_ago, Some(10.5));
        let updated = UnixTime::new(1_899_999_989, 750_000_000);
        assert_eq!(found.reference_time, Some(updated.to_string()));
        assert_eq!(found.next_question_seconds, Some(19.5));
        let late = tracking(&report, ClockMode::Keep, Mono(131_000_000_000), time);
        assert_eq!(late.next_question_seconds, Some(-1.0));
        assert_eq!(
            (late.error_bound_seconds, late.refused, late.reference),
            (Some(3.0), None, None)
        );
    }

    #[test]
    fn a_clock_that_may_be_too_wrong_is_not_called_synchronised() {
        let check = |state, bound_s: i64, expected: (&str, u8, &str)| {
            let clock = ClockReport {
                state,
                stratum: 2,
                leap: noonmark_packet::Leap::None,
                earliest: Some(Span::from_seconds(-bound_s)),
                latest: Some(Span::from_seconds(0)),
                ..ClockReport::default()
            };
            let report = Report { clock, sources: Vec::new() };
            let found = tracking(&report, ClockMode::Observe, Mono(0), UnixTime::EPOCH)
                .within(std::time::Duration::from_secs(3));
            assert_eq!((found.state, found.stratum, found.leap), expected, "{bound_s}");
            let is_without = expected.0 == UNSYNCHRONISED;
            assert_eq!(found.why.is_some(), is_without, "{bound_s}: {:?}", found.why);
        };
        let without = (UNSYNCHRONISED, 16, UNSYNCHRONISED);
        check(ClockState::Synchronised, 3, ("synchronised", 2, "none"));
        check(ClockState::Synchronised, 100, without);
        check(ClockState::Holdover, 2, ("holdover", 2, "none"));
        check(ClockState::Holdover, 4, without);
    }

    #[test]
    fn what_is_not_known_has_no_number() {
        let report = Report { clock: ClockReport::default(), sources: Vec::new() };
        let found = tracking(&report, ClockMode::Keep, Mono(1), UnixTime::EPOCH);
        let unknown = [
            found.offset_seconds,
            found.offset_sigma_seconds,
            found.root_dispersion_seconds,
            found.earliest_seconds,
            found.latest_seconds,
            found.error_bound_seconds,
            found.last_correction_seconds,
        ];
        assert_eq!(unknown, [None; 7]);
        assert_eq!(found.reference_time, None);
    }
}
