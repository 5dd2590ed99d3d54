//! `noonmark sources`: each source of time, what became of it, and why.

use std::io;

use serde_json::Value;

use crate::Verdict;
use crate::command::SourcesArguments;
use crate::output::{deliver, write_json, write_text};
use crate::paint::Paint;
use crate::quantity::{known, length, signed};
use crate::sheet::columns;
use crate::state::{self, PATIENCE};
use crate::status::{self, dash, list, text};
use crate::tracking::no_sources;

/// Prints them. Good if at least one is followed and nothing is wrong with the others, warning if something is, critical if none is followed or
/// the daemon cannot be asked, unknown if it asks no sources.
#[must_use]
pub fn run(arguments: &SourcesArguments) -> Verdict {
    let state = match state::read(&arguments.status.socket, PATIENCE) {
        Ok(state) => state,
        Err(error) => return status::unreadable(&error, arguments.status.json),
    };
    if state["tracking"].is_null() {
        return no_sources(arguments.status.json);
    }
    let sources = &state["sources"];
    let written = if arguments.status.json {
        write_json(sources)
    } else {
        write_text(&for_people(sources, arguments.why, Paint::for_stream(&io::stdout())))
    };
    deliver(verdict_of(sources), written)
}

fn verdict_of(sources: &Value) -> Verdict {
    let is = |words: &'static [&str]| {
        move |source: &&Value| source["state"].as_str().is_some_and(|state| words.contains(&state))
    };
    if !list(sources).any(|source| is(&["followed"])(&source)) {
        return Verdict::Critical;
    }
    let are_well = list(sources).all(|source| is(&["followed", "spare", "noselect"])(&source));
    if are_well { Verdict::Good } else { Verdict::Warning }
}

fn for_people(sources: &Value, with_reasons: bool, paint: Paint) -> String {
    let table = columns(
        [
            "source", "address", "state", "auth", "stratum", "poll", "reach", "last rx", OFFSET,
            "std dev", "delay", "jitter",
        ],
        list(sources).map(|source| {
            let seconds =
                |name: &str, show: fn(f64) -> String| source[name].as_f64().map_or_else(dash, show);
            [
                format!("{} {}", text(&source["number"]), text(&source["name"])),
                text(&source["address"]),
                text(&source["state"]),
                authentication(source),
                text(&source["stratum"]),
                seconds("poll_seconds", length),
                source["reach"].as_u64().map_or_else(dash, |reach| format!("{reach:03o}")),
                seconds("last_answer_seconds_ago", length),
                offset(source),
                seconds("offset_sigma_seconds", length),
                seconds("delay_seconds", length),
                seconds("jitter_seconds", length),
            ]
        }),
    );
    if !with_reasons {
        return table;
    }
    let reasons: String = list(sources).map(|source| reason(source, paint)).collect();
    format!("{table}\n{reasons}")
}

/// The offset as it is now, as it was measured, and how wrong it may be.
fn offset(source: &Value) -> String {
    let Some(measured) = source["offset_seconds"].as_f64() else { return dash() };
    format!(
        "{} [{}] ± {}",
        known(source["offset_now_seconds"].as_f64(), signed),
        signed(measured),
        known(source["distance_seconds"].as_f64(), length)
    )
}

/// Whether the last answer proved its origin; `no` for a source that is to prove it and has not.
fn authentication(source: &Value) -> String {
    match (source["nts"].is_object(), source["authenticated"] == true) {
        (true, true) => "nts",
        (true, false) => "no",
        (false, _) => "-",
    }
    .to_owned()
}

fn reason(source: &Value, paint: Paint) -> String {
    let state = text(&source["state"]);
    let painted = match state.as_str() {
        "followed" | "spare" => paint.good(&state),
        "falseticker" | "unreachable" | "no-keys" | "no-address" => paint.bad(&state),
        _ => paint.warning(&state),
    };
    let note = source["note"].as_str().map(|_| format!("; {}", text(&source["note"])));
    let counts = format!(
        "asked {}, answered {}, unanswered {}, kisses {}, dropped {}",
        text(&source["asked"]),
        text(&source["measured"]),
        text(&source["unanswered"]),
        text(&source["kisses"]),
        text(&source["refused"])
    );
    format!(
        "{} {}: {painted}: {}{}\n    {counts}\n",
        text(&source["number"]),
        text(&source["name"]),
        text(&source["why"]),
        note.unwrap_or_default()
    )
}

/// The sign is said where the number is read.
const OFFSET: &str = "offset now [measured] ± bound (+ server ahead)";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source(name: &str, state: &str) -> Value {
        json!({ "number": 1, "place": 0, "name": name, "address": "192.0.2.1:123", "state": state,
            "why": "its measurements are followed", "note": null, "nts": null, "authenticated": false,
            "interleaved": false, "stratum": 2, "reach": 255, "last_answer_seconds_ago": 12.0,
            "next_question_seconds": 52.0, "poll_seconds": 64.0, "offset_seconds": 0.001, "offset_now_seconds": -2e-5,
            "offset_sigma_seconds": 1e-5, "distance_seconds": 0.002,
            "delay_seconds": 0.003, "jitter_seconds": 0.0004, "asked": 8, "measured": 7, "unanswered": 1, "kisses": 0,
            "refused": 0 })
    }

    #[test]
    fn sources_are_shown_and_reasons_on_request() {
        let nowhere = json!({ "number": null, "name": "b.example", "state": "no-address", "nts": { "cookies": 0 },
            "why": "its name has no address yet", "note": "the resolver is silent\u{7}" });
        let sources = json!([source("a.example", "followed"), nowhere]);
        let table = for_people(&sources, false, Paint::PLAIN);
        for part in [
            "1 a.example",
            "377",
            "-20 µs [+1 ms] ± 2 ms",
            "64 s",
            "- b.example",
            "no-address",
            "  no ",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
        assert!(!table.contains("measurements"), "{table}");
        let reasons = for_people(&sources, true, Paint::PLAIN);
        for part in [
            "followed: its measurements are",
            "unanswered 1",
            "no address yet; the resolver is silent\n",
        ] {
            assert!(reasons.contains(part), "{part} in\n{reasons}");
        }
    }

    #[test]
    fn something_wrong_with_a_source_is_a_warning_and_nobody_to_follow_is_critical() {
        let check = |states: &[&str], expected: Verdict| {
            let sources: Vec<Value> = states.iter().map(|state| source("a", state)).collect();
            assert_eq!(verdict_of(&json!(sources)), expected, "{states:?}");
        };
        check(&["followed"], Verdict::Good);
        check(&["followed", "spare", "noselect"], Verdict::Good);
        check(&["followed", "falseticker"], Verdict::Warning);
        check(&["followed", "unreachable"], Verdict::Warning);
        check(&["waiting"], Verdict::Critical);
        check(&[], Verdict::Critical);
    }
}
