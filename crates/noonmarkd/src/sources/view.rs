//! What the sources and the keeper know, as the page shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use noonmark_client::SourceStatus;
use noonmark_clock::{ClockState, Reading, SourceId, SourceReport, Tracking};
use noonmark_packet::ReferenceId;
use noonmark_units::{Mono, Span};

use super::report::{ClockReport, Report, SourceLine};
use crate::message::Text;

/// Where clock and sources stand at `now`.
pub fn report(
    now: Reading,
    tracking: &Tracking,
    reference_id: ReferenceId,
    agreeing: u32,
    statuses: &[SourceStatus],
    reports: &[SourceReport],
) -> Report {
    let by_id: BTreeMap<SourceId, &SourceReport> =
        reports.iter().map(|report| (report.id, report)).collect();
    let next_question = statuses.iter().filter_map(next_question).min();
    let clock = ClockReport {
        at: now.mono,
        state: tracking.state,
        leap: tracking.leap,
        stratum: tracking.stratum,
        reference: tracking.reference.map_or(0, |id| id.0),
        reference_id,
        offset: tracking.is_estimated().then_some(tracking.offset),
        offset_sigma: tracking.is_estimated().then_some(tracking.offset_sigma),
        frequency: tracking.frequency,
        skew: tracking.skew,
        wander: tracking.wander,
        root_delay: tracking.root_delay,
        root_dispersion: tracking.is_bounded().then_some(tracking.root_dispersion),
        earliest: tracking.is_bounded().then(|| tracking.earliest - now.real),
        latest: tracking.is_bounded().then(|| tracking.latest - now.real),
        last_correction: tracking.last_correction,
        last_update: tracking.last_update,
        next_question,
        interval: tracking.interval,
        updates: tracking.updates,
        agreeing,
        refusals: 0,
        refused: Text::default(),
    };
    let sources = statuses
        .iter()
        .map(|status| line(status, status.id.and_then(|id| by_id.get(&id).copied())))
        .collect();
    Report { clock, sources }
}

/// When it is asked next; a source that cannot be asked has no such time.
fn next_question(status: &SourceStatus) -> Option<Mono> {
    let has_keys = status.nts.is_none_or(|nts| nts.aead.is_some());
    status.next_question.filter(|_| has_keys && status.address.is_some())
}

fn line(status: &SourceStatus, report: Option<&SourceReport>) -> SourceLine {
    let nts = status.nts;
    let (state, why) = match report {
        Some(report) => (report.state.word(), report.state.to_string()),
        None if status.is_orphan => (
            "orphan",
            "has no source itself, and is not the one of those that is followed".to_owned(),
        ),
        None if status.id.is_some() && nts.is_some() => {
            ("no-keys", "has no NTS keys yet, so it cannot be asked".to_owned())
        }
        None if let Some(id) = status.asked_as => {
            ("no-address", format!("its address is asked already, as source {}", id.0))
        }
        None => ("no-address", "its name has no address yet".to_owned()),
    };
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let span = |of: fn(&SourceReport) -> Span| report.map_or(Span::ZERO, of);
    SourceLine {
        number: status.id.map_or(0, |id| id.0),
        place: count(status.place),
        name: Text::new(&status.name),
        address: Text::new(&status.address.map_or_else(String::new, |address| address.to_string())),
        state: Text::new(state),
        why: Text::new(&why),
        note: Text::default(),
        is_nts: nts.is_some(),
        aead: nts.and_then(|nts| nts.aead).map_or(0, |aead| aead.id().into()),
        cookies: nts.map_or(0, |nts| count(nts.cookies)),
        failures: nts.map_or(0, |nts| nts.failures),
        authenticated: report.is_some_and(|report| report.authenticated),
        interleaved: status.interleaved,
        stratum: report.map_or(0, |report| report.stratum),
        reach: status.reach,
        last_answer: report.and_then(|report| report.last_answer),
        next_question: next_question(status),
        interval: status.interval,
        offset: span(|report| report.offset),
        offset_now: span(|report| report.offset_now),
        offset_sigma: span(|report| report.offset_sigma),
        distance: span(|report| report.distance),
        delay: span(|report| report.delay),
        jitter: span(|report| report.jitter),
        asked: status.tally.asked,
        measured: status.tally.measured,
        unanswered: status.tally.unanswered,
        kisses: status.tally.kisses,
        refused: status.tally.refused.values().sum(),
    }
}

/// Whether the clock is where it was to be set: followed for some answers, and nothing of note is left to be worked off.
pub fn is_set(tracking: &Tracking, is_adjusting: bool) -> bool {
    tracking.state == ClockState::Synchronised
        && !is_adjusting
        && tracking.updates >= ENOUGH_UPDATES
        && tracking.offset.abs() <= close_enough(tracking)
}

/// A millisecond, or what the measurements can tell apart if that is more.
fn close_enough(tracking: &Tracking) -> Span {
    Span::from_duration(Duration::from_millis(1)).max(tracking.offset_sigma + tracking.offset_sigma)
}

/// As many as an initial burst brings.
const ENOUGH_UPDATES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_client::Tally;

    #[test]
    fn a_source_without_an_address_says_why() {
        let check = |asked_as: Option<u32>, expected: &str| {
            let status = SourceStatus {
                id: None,
                place: 1,
                name: "a.example".to_owned(),
                address: None,
                asked_as: asked_as.map(SourceId),
                nts: None,
                interleaved: false,
                reach: 0,
                interval: Duration::from_secs(64),
                next_question: None,
                last: None,
                instead: None,
                gave_up: None,
                is_orphan: false,
                tally: Tally::default(),
            };
            let line = line(&status, None);
            assert_eq!((line.state.as_str(), line.why.as_str()), ("no-address", expected));
        };
        check(None, "its name has no address yet");
        check(Some(1), "its address is asked already, as source 1");
    }
}
