//! Where the sources and the clock stand, as the document has it.

use noonmark_clock::ClockState;
use noonmark_config::ClockMode;
use noonmark_units::{Mono, Span};

use super::{leap, reference};
use crate::message::Text;
use crate::sources::report::{Report, SourceLine};
use crate::status::{Source, SourceNts, Tracking};

/// The clock.
pub fn tracking(report: &Report, mode: ClockMode, now: Mono) -> Tracking {
    let clock = &report.clock;
    let followed = report.sources.iter().find(|source| is(source.number, clock.reference));
    let seconds = Span::as_seconds_f64;
    Tracking {
        clock: mode.as_str(),
        state: match clock.state {
            ClockState::Unsynchronised => "unsynchronised",
            ClockState::Synchronised => "synchronised",
            ClockState::Holdover => "holdover",
        },
        age_seconds: now.since(clock.at).as_secs_f64(),
        reference: (clock.reference != 0).then_some(clock.reference),
        reference_name: followed.map(|source| source.name.as_str().to_owned()),
        reference_id: reference(clock.stratum, clock.reference_id),
        stratum: clock.stratum,
        leap: leap(clock.leap),
        offset_seconds: seconds(clock.offset),
        offset_sigma_seconds: seconds(clock.offset_sigma),
        frequency_ppm: clock.frequency.as_ppm(),
        skew_ppm: clock.skew.as_ppm(),
        wander_ppm: clock.wander.as_ppm(),
        root_delay_seconds: seconds(clock.root_delay),
        root_dispersion_seconds: seconds(clock.root_dispersion),
        earliest_seconds: seconds(clock.earliest),
        latest_seconds: seconds(clock.latest),
        error_bound_seconds: seconds(clock.earliest.abs().max(clock.latest.abs())),
        last_correction_seconds: seconds(clock.last_correction),
        last_update_seconds_ago: clock.last_update.map(|at| now.since(at).as_secs_f64()),
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
        distance_seconds: seconds(source.distance),
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
            earliest: Span::from_seconds(-3),
            latest: Span::from_seconds(2),
            ..ClockReport::default()
        };
        let report = Report { clock, sources: Vec::new() };
        let found = tracking(&report, ClockMode::Observe, Mono(110_000_000_000));
        assert_eq!((found.clock, found.state, found.stratum), ("observe", "unsynchronised", 16));
        assert_eq!(found.last_update_seconds_ago, Some(10.0));
        assert_eq!(found.next_question_seconds, Some(20.0));
        let late = tracking(&report, ClockMode::Keep, Mono(131_000_000_000));
        assert_eq!(late.next_question_seconds, Some(-1.0));
        assert_eq!((late.error_bound_seconds, late.refused, late.reference), (3.0, None, None));
    }
}
