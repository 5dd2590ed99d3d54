//! What `noonmarkd --once` says in the end: whether the clock is set, and what the sources said.

use std::os::fd::{AsFd, OwnedFd};

use noonmark_config::ClockMode;
use noonmark_os::clock;
use noonmark_os::page::StateReader;
use serde::Serialize;

use crate::exit::Failure;
use crate::observe::tracking;
use crate::output;
use crate::sources::report::{REPORT_WORDS, Report};
use crate::status::{Source, Tracking};

/// The JSON of `--once` (docs/json.md).
#[derive(Serialize)]
struct Outcome {
    /// When this was so, by the clock as it is now.
    time: String,
    /// Whether the clock is right now.
    set: bool,
    /// Why it is not, if it is not.
    error: Option<String>,
    tracking: Option<Tracking>,
    sources: Vec<Source>,
}

/// Prints how it ended, and hands the result on. `page` is where the role that asks the sources showed where they stand.
///
/// # Errors
/// That of `result`, or that nothing could be printed.
pub fn tell(
    result: Result<(), Failure>,
    page: Option<&OwnedFd>,
    as_json: bool,
) -> Result<(), Failure> {
    let outcome = Outcome::of(&result, page.and_then(read));
    if as_json {
        output::print_json(&outcome, true)?;
    } else if result.is_ok() {
        output::print(&outcome.for_people())?;
    }
    result
}

fn read(page: &OwnedFd) -> Option<Report> {
    let page = StateReader::open(page.as_fd()).ok()?;
    let mut words = vec![0; REPORT_WORDS];
    // What cannot be read is as good as not there: the result does not depend on it.
    if page.read(&mut words) { Report::from_words(&words).ok().flatten() } else { None }
}

impl Outcome {
    fn of(result: &Result<(), Failure>, report: Option<Report>) -> Self {
        let (mono, time) = (clock::monotonic(), clock::realtime());
        Self {
            time: time.to_string(),
            set: result.is_ok(),
            error: result.as_ref().err().map(ToString::to_string),
            tracking: report
                .as_ref()
                .map(|report| tracking::tracking(report, ClockMode::Keep, mono, time)),
            sources: report.map(|report| tracking::sources(&report, mono)).unwrap_or_default(),
        }
    }

    fn for_people(&self) -> String {
        let how = self.tracking.as_ref().map(|tracking| format!(": {}", tracking.in_short()));
        format!("{} the clock is set{}\n", self.time, how.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Status;

    #[test]
    fn the_outcome_says_whether_the_clock_is_set_and_why_not() {
        let value = |result| serde_json::to_value(Outcome::of(&result, None)).expect("JSON");
        let set = value(Ok(()));
        assert_eq!((&set["set"], &set["error"]), (&true.into(), &serde_json::Value::Null));
        let not = value(Err(Failure::new(Status::NotSet, "nobody answers")));
        assert_eq!((&not["set"], &not["error"]), (&false.into(), &"nobody answers".into()));
        let shown = Outcome::of(&Ok(()), Some(Report::default())).for_people();
        assert!(shown.contains("the clock is set: unsynchronised stratum 16 via -"), "{shown}");
        assert!(shown.contains("error at most unknown"), "{shown}");
    }
}
