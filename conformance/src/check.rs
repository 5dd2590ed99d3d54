//! Checks, the faults that show they can fail, and the runner of both.

use std::collections::BTreeSet;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::requirement::{self, Claim, REQUIREMENTS};

/// Why a check did not hold: a sentence with the facts.
pub type Failure = String;

/// A test that claims requirements, over a lab of type `L` that holds the server or the client under test.
pub struct Check<L> {
    /// The requirements this check claims, most often one.
    pub ids: &'static [&'static str],
    /// A sentence, in words joined by underscores, unique among all checks.
    pub name: &'static str,
    /// Asks the server and judges its answers.
    pub run: fn(&mut L) -> Result<(), Failure>,
}

impl<L> Clone for Check<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Check<L> {}

/// A deliberate fault: the one promise it breaks, and what the adaptor does.
#[derive(Clone, Copy, Debug)]
pub struct Fault<F> {
    /// The requirement that is broken.
    pub id: &'static str,
    /// What the faulty server does, as a sentence.
    pub name: &'static str,
    /// What the adaptor is told.
    pub kind: F,
}

/// One side of the protocol under test: its checks, and the faults that are looked for among these alone.
pub struct Side<L, F> {
    /// The checks.
    pub checks: Vec<Check<L>>,
    /// The faults.
    pub faults: Vec<Fault<F>>,
}

/// How much a check may cost: counts of thousands run once, not under every fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effort {
    /// A handful of each, for runs under a fault.
    Quick,
    /// What CI runs.
    Usual,
    /// What `--long` runs.
    Long,
}

impl Effort {
    /// The effort asked for by the variable `NOONMARK_EFFORT` (`long`), else the usual one.
    #[must_use]
    pub fn from_environment() -> Self {
        if std::env::var("NOONMARK_EFFORT").is_ok_and(|word| word == "long") {
            Self::Long
        } else {
            Self::Usual
        }
    }
}

/// What was shown, one row per requirement; the stable JSON behind `docs/requirements.md`.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The requirement's id.
    pub id: &'static str,
    /// `MUST`, `SHOULD`, `MAY`, `hardening` or `derived`.
    pub level: &'static str,
    /// The clause it comes from.
    pub source: &'static str,
    /// What is required.
    pub text: &'static str,
    /// `kept`, `deviates`, `later` or `failed`.
    pub state: &'static str,
    /// Why it deviates, or what it waits for; empty otherwise.
    pub reason: &'static str,
    /// The checks that claim it and held.
    pub checks: Vec<&'static str>,
    /// The faults under which exactly those checks failed.
    pub faults: Vec<&'static str>,
}

/// Runs every check, then every fault, prints a line for each and the closing line of a test run.
///
/// `lab` makes a fresh lab for each run of a check. The JSON goes to the file named by the variable
/// `NOONMARK_REQUIREMENTS`, if it is set. Arguments as for any test binary: a word keeps only the checks and faults whose
/// name contains it or whose id begins with it (what the tables themselves lack is told in a full run only), `--list` only lists them.
///
/// Returns whether all held.
pub fn run<L, F: Copy + 'static>(
    sides: &[Side<L, F>],
    lab: impl Fn(Option<F>, Effort) -> L,
) -> bool {
    let checks: Vec<Check<L>> = sides.iter().flat_map(|side| side.checks.iter().copied()).collect();
    let checks = &checks[..];
    let faults: Vec<Fault<F>> = sides.iter().flat_map(|side| side.faults.iter().copied()).collect();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str, ids: &[&str]| {
        words.is_empty()
            || words.iter().any(|word| {
                name.contains(*word) || ids.iter().any(|id| id.starts_with(word.as_str()))
            })
    };
    if arguments.iter().any(|word| word == "--list") {
        for check in checks {
            println!("{}: test", check.name);
        }
        return true;
    }
    let mut tally = Tally::default();
    if words.is_empty() {
        complain_of_the_table(checks, &faults, &mut tally);
    }

    let mut held: BTreeSet<&'static str> = BTreeSet::new();
    for check in checks.iter().filter(|check| wanted(check.name, check.ids)) {
        let started = Instant::now();
        let outcome = once(check, lab(None, Effort::from_environment()));
        if outcome.is_ok() {
            held.insert(check.name);
        }
        tally.count(
            &format!("{} [{}]", check.name, check.ids.join(" ")),
            outcome,
            started.elapsed(),
        );
    }

    let mut shown_by_fault: Vec<(&'static str, &'static str)> = Vec::new();
    for side in sides {
        for fault in side.faults.iter().filter(|fault| wanted(fault.name, &[fault.id])) {
            let started = Instant::now();
            let outcome = exactly_its_checks_fail(&side.checks, fault, &lab);
            if outcome.is_ok() {
                shown_by_fault.push((fault.id, fault.name));
            }
            let name = format!("fault {} [{}]", fault.name, fault.id);
            tally.count(&name, outcome, started.elapsed());
        }
    }

    if words.is_empty() {
        let shown = shown(checks, &held, &shown_by_fault);
        let outcome = write_json(&shown);
        if outcome.is_err() {
            tally.count("requirements are written as JSON", outcome, Duration::ZERO);
        }
    }
    tally.close()
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failures: Vec<(String, Failure)>,
}

impl Tally {
    fn count(&mut self, name: &str, outcome: Result<(), Failure>, took: Duration) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("test {name} ... ok ({} ms)", took.as_millis());
            }
            Err(failure) => {
                println!("test {name} ... FAILED");
                self.failures.push((name.to_owned(), failure));
            }
        }
        std::io::stdout().flush().ok();
    }

    fn close(self) -> bool {
        for (name, failure) in &self.failures {
            println!("\n---- {name} ----\n{failure}");
        }
        let word = if self.failures.is_empty() { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out",
            self.passed,
            self.failures.len()
        );
        self.failures.is_empty()
    }
}

/// Counts as failures what is wrong with the tables themselves: an unknown id, a claimed row without a check.
fn complain_of_the_table<L, F>(checks: &[Check<L>], faults: &[Fault<F>], tally: &mut Tally) {
    let claimed: BTreeSet<&str> = checks.iter().flat_map(|check| check.ids).copied().collect();
    for id in claimed.iter().chain(faults.iter().map(|fault| &fault.id)) {
        if requirement::find(id).is_none() {
            tally.count(id, Err(format!("no requirement has the id {id}")), Duration::ZERO);
        }
    }
    for requirement in REQUIREMENTS {
        let later = matches!(requirement.claim, Claim::Later(_));
        if later == claimed.contains(requirement.id) {
            let failure = if later {
                "a check claims it, yet the table says that it waits for something"
            } else {
                "no check claims it"
            };
            tally.count(requirement.id, Err(failure.to_owned()), Duration::ZERO);
        }
    }
}

/// One check over a fresh lab; a panic is a failure like any other.
fn once<L>(check: &Check<L>, mut lab: L) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(|| (check.run)(&mut lab))).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(said.unwrap_or_else(|| "panicked".to_owned()))
    })
}

fn exactly_its_checks_fail<L, F: Copy>(
    checks: &[Check<L>],
    fault: &Fault<F>,
    lab: &impl Fn(Option<F>, Effort) -> L,
) -> Result<(), Failure> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let failing: BTreeSet<&str> = checks
        .iter()
        .filter(|check| once(check, lab(Some(fault.kind), Effort::Quick)).is_err())
        .map(|check| check.name)
        .collect();
    std::panic::set_hook(hook);
    let expected: BTreeSet<&str> = checks
        .iter()
        .filter(|check| check.ids.contains(&fault.id))
        .map(|check| check.name)
        .collect();
    if failing == expected {
        return Ok(());
    }
    let missing: Vec<_> = expected.difference(&failing).collect();
    let besides: Vec<_> = failing.difference(&expected).collect();
    Err(format!("not noticed by {missing:?}; noticed besides by {besides:?}"))
}

fn shown<L>(
    checks: &[Check<L>],
    held: &BTreeSet<&'static str>,
    shown_by_fault: &[(&'static str, &'static str)],
) -> Vec<Shown> {
    REQUIREMENTS
        .iter()
        .map(|requirement| {
            let claiming: Vec<&Check<L>> =
                checks.iter().filter(|check| check.ids.contains(&requirement.id)).collect();
            let all_held =
                !claiming.is_empty() && claiming.iter().all(|check| held.contains(check.name));
            let (state, reason) = match requirement.claim {
                Claim::Later(waits_for) => ("later", waits_for),
                _ if !all_held => ("failed", ""),
                Claim::Kept => ("kept", ""),
                Claim::Deviates(reason) => ("deviates", reason),
            };
            Shown {
                id: requirement.id,
                level: requirement.level.word(),
                source: requirement.source,
                text: requirement.text,
                state,
                reason,
                checks: claiming
                    .iter()
                    .map(|check| check.name)
                    .filter(|name| held.contains(name))
                    .collect(),
                faults: shown_by_fault
                    .iter()
                    .filter(|(id, _)| *id == requirement.id)
                    .map(|(_, name)| *name)
                    .collect(),
            }
        })
        .collect()
}

fn write_json(shown: &[Shown]) -> Result<(), Failure> {
    let Some(path) = std::env::var_os("NOONMARK_REQUIREMENTS") else { return Ok(()) };
    let text = serde_json::to_string_pretty(shown).map_err(|error| error.to_string())?;
    std::fs::write(&path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lab whose server answers 1, or 0 if it is faulty.
    fn lab(fault: Option<u8>, _: Effort) -> u8 {
        if fault.is_some() { 0 } else { 1 }
    }

    const CHECKS: &[Check<u8>] = &[
        Check {
            ids: &["WS-04"],
            name: "looks",
            run: |lab| if *lab == 1 { Ok(()) } else { Err("zero".into()) },
        },
        Check { ids: &["WS-06"], name: "does_not_look", run: |_| Ok(()) },
    ];

    #[test]
    fn a_fault_that_is_noticed_by_its_check_alone_is_shown() {
        let fault = Fault { id: "WS-04", name: "answers zero", kind: 0 };
        assert!(exactly_its_checks_fail(CHECKS, &fault, &lab).is_ok());
    }

    #[test]
    fn a_fault_that_its_check_overlooks_is_a_failure() {
        let fault = Fault { id: "WS-06", name: "answers zero", kind: 0 };
        assert!(exactly_its_checks_fail(CHECKS, &fault, &lab).is_err());
    }
}
