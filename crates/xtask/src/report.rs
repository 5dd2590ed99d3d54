//! What the stages found, and the closing lines.
//!
//! A test counts once: passed, failed or not run. What was not run is never counted as passed; it is listed by name
//! with the reason.

use std::fmt::Write;
use std::time::Duration;

/// What one stage found.
#[derive(Debug, Default)]
pub struct Tally {
    /// Tests that ran and held.
    pub passed: usize,
    /// Tests that ran and did not hold, each with what was seen.
    pub failed: Vec<String>,
    /// Tests that did not run, each with the reason.
    pub not_run: Vec<String>,
}

impl Tally {
    /// Records one test by its result and says so on a line of its own.
    pub fn record(&mut self, name: &str, result: Result<(), String>) {
        match result {
            Ok(()) => {
                println!("ok      {name}");
                self.passed += 1;
            }
            Err(what) => {
                println!("FAILED  {name}: {what}");
                self.failed.push(format!("{name}: {what}"));
            }
        }
    }

    /// Records a test that could not be run here.
    pub fn record_not_run(&mut self, name: &str, reason: &str) {
        println!("not run {name}: {reason}");
        self.not_run.push(format!("{name}: {reason}"));
    }
}

/// One finished stage.
pub struct Row {
    /// The stage's name, as `--only` takes it.
    pub stage: &'static str,
    /// How long it took.
    pub took: Duration,
    /// Minutes it may take on two cores with a cold cache.
    pub budget: u32,
    /// What it found.
    pub tally: Tally,
}

/// The table of stages, the list of failures, the list of what was not run, and the count on the last line.
pub fn closing(rows: &[Row]) -> String {
    let mut text = String::from("\nstage          minutes  budget  passed  failed  skipped\n");
    let mut total = Tally::default();
    for row in rows {
        let minutes = row.took.as_secs_f64() / 60.0;
        let over = if minutes > f64::from(row.budget) { "  over budget" } else { "" };
        let (passed, failed, skipped) =
            (row.tally.passed, row.tally.failed.len(), row.tally.not_run.len());
        let _ = writeln!(
            text,
            "{:<14} {minutes:>7.1} {:>7} {passed:>7} {failed:>7} {skipped:>8}{over}",
            row.stage, row.budget
        );
    }
    list(&mut text, "not run", rows, |tally| &tally.not_run);
    list(&mut text, "failed", rows, |tally| &tally.failed);
    for row in rows {
        total.passed += row.tally.passed;
        total.failed.extend(row.tally.failed.iter().cloned());
        total.not_run.extend(row.tally.not_run.iter().cloned());
    }
    let _ = write!(text, "\n{} passed, {} failed", total.passed, total.failed.len());
    if !total.not_run.is_empty() {
        let _ = write!(text, ", {} skipped", total.not_run.len());
    }
    text.push('\n');
    text
}

fn list(text: &mut String, heading: &str, rows: &[Row], pick: impl Fn(&Tally) -> &Vec<String>) {
    let mut lines =
        rows.iter().flat_map(|row| pick(&row.tally).iter().map(move |line| (row.stage, line)));
    let Some(first) = lines.next() else { return };
    let _ = writeln!(text, "\n{heading}:");
    for (stage, line) in std::iter::once(first).chain(lines) {
        let _ = writeln!(text, "  {stage}: {}", line.replace('\n', "\n    "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(passed: usize, failed: &[&str], not_run: &[&str]) -> Row {
        let owned = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        let tally = Tally { passed, failed: owned(failed), not_run: owned(not_run) };
        Row { stage: "unit", took: Duration::from_secs(90), budget: 1, tally }
    }

    fn check_last_line(rows: &[Row], expected: &str) {
        let text = closing(rows);
        assert_eq!(text.lines().last(), Some(expected), "{text}");
    }

    #[test]
    fn the_last_line_is_the_count_and_nothing_else() {
        check_last_line(&[row(3, &[], &[])], "3 passed, 0 failed");
        check_last_line(&[row(3, &["a: 1"], &[]), row(2, &["b: 2"], &[])], "5 passed, 2 failed");
        check_last_line(&[row(3, &[], &["c: needs root"])], "3 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn what_was_not_run_is_named_with_its_reason() {
        assert!(
            closing(&[row(0, &[], &["chronyd: needs root"])]).contains("unit: chronyd: needs root")
        );
    }

    #[test]
    fn a_stage_over_its_budget_says_so() {
        assert!(closing(&[row(0, &[], &[])]).contains("over budget"));
    }
}
