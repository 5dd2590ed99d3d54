//! The figures of every scenario as they were when somebody last looked at them.

use std::fmt::Write;
use std::path::Path;

use noonmark_conformance::sim::figures::median;
use noonmark_conformance::sim::trial::{Trial, run_all};
use noonmark_conformance::sim::{OUR_SCENARIOS, ScenarioFile};

/// Runs of each variant: enough to see a change, few enough for every commit.
const SEEDS: u64 = 4;

/// Other machines round `exp` and `ln` otherwise in the last place, and a run amplifies that; a change of the estimator worth
/// looking at is larger.
const TOLERANCE: f64 = 0.1;

/// The kept table, and how the runs of now differ from it. `NOONMARK_SNAPSHOT=write` writes it anew, for review in the difference.
#[test]
fn figures_are_the_reviewed_ones() {
    let file = ScenarioFile::parse(OUR_SCENARIOS).expect("our scenarios");
    let trials = Trial::all(&file, &[]);
    let mut now = String::from("scenario/variant rms_s max_s packets\n");
    run_all(&trials, SEEDS, |result| {
        let _ = writeln!(
            now,
            "{}/{} {:.3e} {:.3e} {}",
            result.id,
            result.variant,
            median(&result.each(|run| run.rms)),
            median(&result.each(|run| run.max)),
            median(&result.each(|run| run.packets)),
        );
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/snapshot.txt");
    if std::env::var("NOONMARK_SNAPSHOT").is_ok_and(|word| word == "write") {
        std::fs::write(&path, now).expect("the snapshot can be written");
        return;
    }
    let kept = std::fs::read_to_string(&path).expect("the kept snapshot");
    let differences: Vec<String> = kept
        .lines()
        .zip(now.lines())
        .filter(|(kept, now)| !agrees(kept, now))
        .map(|(kept, now)| format!("kept {kept}, now {now}"))
        .collect();
    assert_eq!(kept.lines().count(), now.lines().count(), "scenarios came or went");
    assert!(
        differences.is_empty(),
        "look at these, then run with NOONMARK_SNAPSHOT=write: {differences:#?}"
    );
}

fn agrees(kept: &str, now: &str) -> bool {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (kept, now) = (words(kept), words(now));
    kept.len() == now.len()
        && kept.iter().zip(&now).all(|(kept, now)| match (kept.parse(), now.parse()) {
            (Ok(kept), Ok(now)) => f64::abs(kept - now) <= TOLERANCE * f64::max(kept, now),
            _ => kept == now,
        })
}

#[test]
fn a_figure_that_moved_is_noticed() {
    assert!(agrees("a/user 1.00e-5 2.0e-5 36", "a/user 1.05e-5 2.0e-5 36"));
    assert!(!agrees("a/user 1.00e-5 2.0e-5 36", "a/user 1.25e-5 2.0e-5 36"));
    assert!(!agrees("a/user 1.00e-5 2.0e-5 36", "b/user 1.00e-5 2.0e-5 36"));
}
