//! Stage `unit`: the tests cargo knows, counted from what their runners print.

use std::process::Command;
use std::time::Duration;

use crate::report::Tally;
use crate::requirements::Shown;
use crate::test::Wish;
use crate::workspace::Metadata;
use crate::{bench, child, workspace};

/// Longest time for all of them together, compiling included.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// The same for `--long`, which makes a million handshakes twice.
const LONG_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);

/// Runs them all, none stopping the others.
pub fn run(wish: &Wish) -> Tally {
    let mut tests = workspace::cargo();
    tests.args(["test", "--workspace", "--no-fail-fast", "--locked"]);
    if wish.long {
        tests.env("NOONMARK_EFFORT", "long");
    }
    let shown = Metadata::read().map(|metadata| Shown::at(&metadata.target_directory));
    let asked = shown.as_ref().map_err(Clone::clone).and_then(|shown| shown.ask(&mut tests));
    let mut tally = counted(if wish.long { LONG_LIMIT } else { LIMIT }, &tests);
    let current = asked.and(shown).and_then(|shown| shown.compare());
    tally.record("docs/requirements.md is what the checks showed", current);
    bench::instructions::check(&mut tally, wish.consent);
    tally
}

/// Runs a command that prints what Rust's test runner prints, and counts.
pub fn counted(limit: Duration, command: &Command) -> Tally {
    let mut count = Count::default();
    let how = child::run_lines(limit, command, |line| {
        println!("{line}");
        count.read(line);
    });
    count.into_tally(how.or_say(&child::describe(command)))
}

/// What has been read of test runners' output so far.
#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    failed_names: Vec<String>,
    ignored_names: Vec<String>,
}

impl Count {
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED"))
        {
            self.failed_names.push(name.to_owned());
        } else if let Some((name, _)) =
            line.strip_prefix("test ").and_then(|l| l.split_once(" ... ignored"))
        {
            self.ignored_names.push(format!("{name}: marked to be ignored"));
        }
    }

    fn into_tally(self, ending: Result<(), String>) -> Tally {
        let Self { passed, failed, failed_names: mut names, ignored_names } = self;
        // Every failure counts, also one whose name was lost in a runner's crash.
        for _ in names.len()..failed {
            names.push("a test whose name was not printed".into());
        }
        if let Err(how) = ending
            && names.is_empty()
        {
            names.push(how);
        }
        Tally { passed, failed: names, not_run: ignored_names }
    }
}

fn number_before(text: &str, word: &str) -> usize {
    let before = text.split_once(word).map_or("", |(before, _)| before);
    before.rsplit([' ', '.']).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], ending: Result<(), String>, expected: (usize, usize, usize)) {
        let mut count = Count::default();
        lines.iter().for_each(|line| count.read(line));
        let tally = count.into_tally(ending);
        assert_eq!((tally.passed, tally.failed.len(), tally.not_run.len()), expected, "{lines:?}");
    }

    #[test]
    fn results_of_several_runners_add_up() {
        let good = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let bad = "test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out";
        check(&[good], Ok(()), (12, 0, 0));
        check(&[good, good], Ok(()), (24, 0, 0));
        check(
            &["test a ... FAILED", "test b ... FAILED", bad],
            Err("status 101".into()),
            (1, 2, 0),
        );
        check(&["test a ... FAILED", bad], Err("status 101".into()), (1, 2, 0));
        check(&["test c ... ignored, takes a day", good], Ok(()), (12, 0, 1));
    }

    #[test]
    fn a_runner_that_dies_before_its_result_is_a_failure() {
        check(&["test a ... ok"], Err("signal 9".into()), (0, 1, 0));
    }
}
