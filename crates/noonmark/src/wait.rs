//! `noonmark wait-sync`: waits until the clock can be trusted.

use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Verdict;
use crate::command::WaitArguments;
use crate::output::{complain, deliver, write_json, write_text};
use crate::quantity::known;
use crate::query::unsigned;
use crate::state::{self, PATIENCE};
use crate::status::text;

/// Waits. Good once the clock is synchronised and known as well as asked for; when the time is over, warning if it is synchronised and not known
/// that well, critical if it is not synchronised or the daemon cannot be asked, unknown if that asks no sources.
#[must_use]
pub fn run(arguments: &WaitArguments) -> Verdict {
    let start = Instant::now();
    let limit = arguments.max_error;
    let left = || {
        arguments.timeout.map_or(Duration::MAX, |timeout| timeout.saturating_sub(start.elapsed()))
    };
    let is_watched = arguments.timeout.is_none() && io::stderr().is_terminal();
    let mut next_word = TELL_EVERY;
    loop {
        // Asking counts as waiting: a daemon that does not answer must not make it longer.
        let found = state::read(&arguments.status.socket, PATIENCE.min(left()))
            .map_err(|error| error.to_string())
            .map(|state| Found::of(&state, limit));
        if !matches!(found, Ok(Found { verdict: Verdict::Good, .. })) {
            if is_watched && start.elapsed() >= next_word {
                next_word += TELL_EVERY;
                let words = found.as_ref().map_or_else(Clone::clone, |found| found.words.clone());
                complain(format_args!("still waiting: {words}"));
            }
            thread::sleep(LOOK_EVERY.min(left()));
            if !left().is_zero() {
                continue;
            }
        }
        return tell(found, start.elapsed(), arguments.status.json);
    }
}

/// What a look has shown.
#[derive(Debug)]
struct Found {
    verdict: Verdict,
    words: String,
    error_bound_s: Option<f64>,
}

impl Found {
    fn of(state: &Value, max_error: Option<Duration>) -> Self {
        let tracking = &state["tracking"];
        let error_bound_s = tracking["error_bound_seconds"].as_f64();
        let bound = known(error_bound_s, unsigned);
        let is_synchronised = tracking["state"] == "synchronised"
            && state["clock"]["synchronised"] == true
            && tracking["age_seconds"].as_f64().is_some_and(|age| age < 5.0);
        let is_close = match (max_error, error_bound_s) {
            (None, _) => true,
            (Some(limit), Some(bound)) => bound <= limit.as_secs_f64(),
            (Some(_), None) => false,
        };
        let (verdict, words) = match (tracking.is_null(), is_synchronised, is_close) {
            (true, ..) => (Verdict::Unknown, "noonmarkd asks no sources".to_owned()),
            (_, false, _) => {
                let why = tracking["why"].as_str().map(|_| format!(": {}", text(&tracking["why"])));
                (Verdict::Critical, format!("not synchronised{}", why.unwrap_or_default()))
            }
            (_, true, false) => {
                (Verdict::Warning, format!("synchronised, but it may be wrong by {bound}"))
            }
            (_, true, true) => (Verdict::Good, format!("synchronised to within {bound}")),
        };
        Self { verdict, words, error_bound_s }
    }
}

fn tell(found: Result<Found, String>, waited: Duration, as_json: bool) -> Verdict {
    let found = found.unwrap_or_else(|error| Found {
        verdict: Verdict::Critical,
        words: error,
        error_bound_s: None,
    });
    let written = if as_json {
        write_json(&json!({
            "synchronised": matches!(found.verdict, Verdict::Good | Verdict::Warning),
            "error_bound_seconds": found.error_bound_s,
            "waited_seconds": waited.as_secs_f64(),
            "result": found.words,
        }))
    } else {
        write_text(&format!("{}\n", found.words))
    };
    deliver(found.verdict, written)
}

/// The daemon has news every second.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often somebody who waits without a limit is told what for.
const TELL_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracking::tests::state;

    #[test]
    fn waiting_ends_when_the_clock_is_known_well_enough() {
        let check = |path: &str, value: Value, limit_ms: Option<u64>, expected: Verdict| {
            let mut state = state();
            *state.pointer_mut(path).expect(path) = value;
            let found = Found::of(&state, limit_ms.map(Duration::from_millis));
            assert_eq!(found.verdict, expected, "{path} {limit_ms:?}: {found:?}");
        };
        let good = || json!("synchronised");
        check("/tracking/state", good(), None, Verdict::Good);
        check("/tracking/state", good(), Some(2), Verdict::Good);
        check("/tracking/state", good(), Some(1), Verdict::Warning);
        check("/tracking/error_bound_seconds", json!(null), Some(1), Verdict::Warning);
        check("/tracking/state", json!("holdover"), None, Verdict::Critical);
        check("/tracking/age_seconds", json!(9), None, Verdict::Critical);
        check("/clock/synchronised", json!(false), None, Verdict::Critical);
        check("/tracking", json!(null), None, Verdict::Unknown);
    }
}
