//! `noonmark tracking`: where this machine's clock stands, by the daemon that keeps or watches it.

use std::io;

use serde_json::{Value, json};

use crate::Verdict;
use crate::command::StatusArguments;
use crate::output::{complain, deliver, write_json, write_text};
use crate::paint::Paint;
use crate::quantity::{UNKNOWN, known, length};
use crate::query::{signed, unsigned};
use crate::sheet::Sheet;
use crate::state::{self, PATIENCE};
use crate::status::{self, text};

/// Prints it. Good if the clock follows sources, warning if it did and does not any more or a correction was refused, critical if it never did
/// or the daemon cannot be asked, unknown if it asks no sources.
#[must_use]
pub fn run(arguments: &StatusArguments) -> Verdict {
    let state = match state::read(&arguments.socket, PATIENCE) {
        Ok(state) => state,
        Err(error) => return status::unreadable(&error, arguments.json),
    };
    let tracking = &state["tracking"];
    if tracking.is_null() {
        return no_sources(arguments.json);
    }
    let verdict = verdict_of(&state);
    let written = if arguments.json {
        write_json(tracking)
    } else {
        write_text(&for_people(&state, verdict, Paint::for_stream(&io::stdout())))
    };
    deliver(verdict, written)
}

/// There is nothing to show: no sources are configured, or the role that asks them has not begun.
pub(crate) fn no_sources(as_json: bool) -> Verdict {
    let words = "noonmarkd asks no sources: its configuration has no [[source]], [clock] is \"off\", or it has just begun";
    let written = if as_json { write_json(&json!({ "error": words })) } else { Ok(()) };
    complain(words);
    deliver(Verdict::Unknown, written)
}

/// What the state of the clock is worth.
pub(crate) fn verdict_of(state: &Value) -> Verdict {
    let tracking = &state["tracking"];
    let is_fresh = tracking["age_seconds"].as_f64().is_some_and(|age| age < STALE_AFTER);
    match tracking["state"].as_str() {
        Some("synchronised") if is_fresh && tracking["refused"].is_null() => Verdict::Good,
        Some("synchronised" | "holdover") => Verdict::Warning,
        _ => Verdict::Critical,
    }
}

fn for_people(state: &Value, verdict: Verdict, paint: Paint) -> String {
    let tracking = &state["tracking"];
    let mut sheet = Sheet::new(paint);
    let why = tracking["why"].as_str().map(|_| format!(": {}", text(&tracking["why"])));
    let words = format!("{}{}", text(&tracking["state"]), why.unwrap_or_default());
    let is_observed = tracking["clock"] == "observe";
    sheet.line(
        "state",
        match verdict {
            Verdict::Good => paint.good(&words),
            Verdict::Warning => paint.warning(&words),
            _ => paint.bad(&words),
        },
    );
    sheet.line(
        "clock",
        match tracking["clock"].as_str() {
            Some("keep") => "kept: steered by what the sources say".to_owned(),
            Some("observe") => "observed: never touched".to_owned(),
            _ => text(&tracking["clock"]),
        },
    );
    if let Some(words) = status::local(&state["clock"]) {
        sheet.line("served", paint.warning(&words));
    }
    let age = number(&tracking["age_seconds"]);
    if age.is_some_and(|age| age >= STALE_AFTER) {
        let words = format!("{} old: the role sources is not there", known(age, length));
        sheet.line("news", paint.warning(&words));
    }
    let reference = match tracking["reference_name"].as_str() {
        Some(_) => format!(
            "{} ({}), source {}",
            text(&tracking["reference_name"]),
            text(&tracking["reference_id"]),
            text(&tracking["reference"])
        ),
        None => "none".to_owned(),
    };
    sheet.line("reference", reference);
    let updated = number(&tracking["last_update_seconds_ago"]);
    sheet.line(
        "reference time",
        match (tracking["reference_time"].as_str(), updated) {
            (Some(_), Some(ago)) => {
                format!("{} ({} ago)", text(&tracking["reference_time"]), length(ago))
            }
            _ => "never".to_owned(),
        },
    );
    sheet.line("stratum", text(&tracking["stratum"]));
    sheet.line("leap", text(&tracking["leap"]));
    if let Some(words) = status::leap_second(state) {
        sheet.line("leap second", words);
    }
    let seconds = |name: &str, show: fn(f64) -> String| known(number(&tracking[name]), show);
    sheet.line(
        "offset (+ true time ahead)",
        match number(&tracking["offset_seconds"]) {
            Some(offset) => {
                format!("{} ± {}", signed(offset), seconds("offset_sigma_seconds", unsigned))
            }
            None => UNKNOWN.to_owned(),
        },
    );
    sheet.line("error bound", seconds("error_bound_seconds", unsigned));
    if tracking["earliest_seconds"].is_number() {
        let (earliest, latest) =
            (seconds("earliest_seconds", signed), seconds("latest_seconds", signed));
        sheet.line("true time within", format!("{earliest} .. {latest} of the clock"));
    }
    let frequency =
        if is_observed { "frequency (+ clock slow)" } else { "frequency (+ clock made faster)" };
    sheet.line(frequency, ppm(&tracking["frequency_ppm"], true));
    sheet.line("skew", ppm(&tracking["skew_ppm"], false));
    sheet.line("wander in 1 s", ppm(&tracking["wander_ppm"], false));
    sheet.line("root delay", seconds("root_delay_seconds", unsigned));
    sheet.line("root dispersion", seconds("root_dispersion_seconds", unsigned));
    sheet.line(
        if is_observed { "last found off by" } else { "last correction" },
        match updated {
            Some(ago) => {
                format!("{}, {} ago", seconds("last_correction_seconds", signed), length(ago))
            }
            None => "none yet".to_owned(),
        },
    );
    sheet.line(
        "next poll",
        format!(
            "in {}, every {}",
            known(number(&tracking["next_question_seconds"]).map(|s| s.max(0.0)), length),
            known(number(&tracking["poll_seconds"]), length)
        ),
    );
    sheet.line("updates", text(&tracking["updates"]));
    sheet.line("sources that agree", text(&tracking["agreeing"]));
    if let Some(reason) = tracking["refused"].as_str() {
        let words = format!("{} times, last: {reason}", text(&tracking["refusals"]));
        sheet.line("refused by the guard", paint.warning(&words));
    }
    sheet.render()
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

fn ppm(value: &Value, is_signed: bool) -> String {
    match value.as_f64() {
        Some(ppm) if is_signed => format!("{ppm:+.3} ppm"),
        Some(ppm) => format!("{ppm:.3} ppm"),
        None => UNKNOWN.to_owned(),
    }
}

/// The role that asks the sources writes every second.
const STALE_AFTER: f64 = 5.0;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn state() -> Value {
        json!({
            "tracking": { "clock": "observe", "state": "synchronised", "age_seconds": 0.4, "reference": 2,
                "reference_name": "time.example.net", "reference_id": "192.0.2.1", "stratum": 3, "leap": "none",
                "offset_seconds": -0.001, "offset_sigma_seconds": 1e-6, "frequency_ppm": 12.5, "skew_ppm": 0.25,
                "root_delay_seconds": 0.002, "root_dispersion_seconds": 1e-4, "earliest_seconds": -0.002,
                "latest_seconds": 0.001, "error_bound_seconds": 0.002, "last_correction_seconds": 0.0,
                "last_update_seconds_ago": 7.0, "reference_time": "2026-11-22T12:00:00Z", "wander_ppm": 0.001, "poll_seconds": 64.0, "next_question_seconds": -0.5, "updates": 9,
                "agreeing": 3, "refusals": 0, "refused": null },
            "clock": { "synchronised": true }
        })
    }

    #[test]
    fn every_figure_is_shown_with_unit_and_sign() {
        let shown = for_people(&state(), Verdict::Good, Paint::PLAIN);
        for part in [
            "synchronised",
            "observed: never touched",
            "time.example.net (192.0.2.1), source 2",
            "-1.000 ms ± ",
            "+12.500 ppm",
            "0.250 ppm",
            "-2.000 ms .. +1.000 ms",
            "in 0 s, every 64 s",
            "2026-11-22T12:00:00Z (7 s ago)",
            "0 s, 7 s ago",
        ] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(!shown.contains("refused"), "{shown}");
    }

    #[test]
    fn what_is_not_known_is_called_unknown() {
        let mut state = state();
        for name in [
            "offset_seconds",
            "offset_sigma_seconds",
            "error_bound_seconds",
            "earliest_seconds",
            "latest_seconds",
            "root_dispersion_seconds",
            "last_update_seconds_ago",
            "reference_time",
            "reference_name",
        ] {
            state["tracking"][name] = Value::Null;
        }
        let shown = for_people(&state, Verdict::Critical, Paint::PLAIN);
        let lines: Vec<_> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        let has = |words: &[&str]| lines.iter().any(|line: &Vec<_>| line.ends_with(words));
        assert!(has(&["error", "bound", "unknown"]), "{shown}");
        assert!(has(&["true", "time", "ahead)", "unknown"]), "{shown}");
        assert!(has(&["reference", "time", "never"]) && has(&["reference", "none"]), "{shown}");
        assert!(has(&["off", "by", "none", "yet"]), "{shown}");
    }

    #[test]
    fn a_clock_that_is_only_observed_is_not_said_to_be_moved() {
        let mut state = state();
        let claims = |shown: &str| shown.contains("made faster") || shown.contains("correction");
        let shown = for_people(&state, Verdict::Good, Paint::PLAIN);
        assert!(!claims(&shown), "{shown}");
        state["tracking"]["clock"] = json!("keep");
        let shown = for_people(&state, Verdict::Good, Paint::PLAIN);
        assert!(claims(&shown), "{shown}");
    }

    #[test]
    fn a_clock_served_without_a_source_says_so() {
        let mut state = state();
        state["clock"] = json!({ "stratum": 10, "local": { "since": "2027-01-15T08:00:00Z", "why": "none was ever" } });
        let shown = for_people(&state, Verdict::Critical, Paint::PLAIN);
        let words = "local, stratum 10, since 2027-01-15T08:00:00Z: none was ever";
        assert!(shown.contains(words), "{shown}");
    }

    #[test]
    fn what_deserves_a_look_is_a_verdict() {
        let check = |path: &str, value: Value, expected: Verdict| {
            let mut state = state();
            *state.pointer_mut(path).expect(path) = value;
            assert_eq!(verdict_of(&state), expected, "{path}");
        };
        check("/tracking/state", json!("synchronised"), Verdict::Good);
        check("/tracking/state", json!("holdover"), Verdict::Warning);
        check("/tracking/state", json!("unsynchronised"), Verdict::Critical);
        check("/tracking/age_seconds", json!(6), Verdict::Warning);
        check("/tracking/refused", json!("too far"), Verdict::Warning);
        check("/tracking", json!(7), Verdict::Critical);
    }
}
