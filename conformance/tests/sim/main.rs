//! The simulator checked against known figures, and the client judged in it.
//!
//! `world` shows that the simulator is right, `scenarios` holds the daemon to chrony's limits, `adversaries` attacks it, and
//! `snapshot` compares its figures with the kept ones. All numbers are reproducible: a seed gives the same run, bit for bit.

mod adversaries;
mod interval;
mod leap;
mod nts;
mod scenarios;
mod snapshot;
mod turncoat;
mod world;

/// What is known not to hold, by its row's name, and why. A row that begins to hold has to leave this list: its test says so.
const KNOWN_MISSES: &[(&str, &str)] =
    &[("009e a server that steps every 64 s", "a lone server is followed however it jumps")];

/// Panics if a row fails that is not known to, or holds though it is known not to.
fn settle(verdicts: Vec<(String, Result<(), String>)>) {
    let mut wrong = Vec::new();
    for (name, verdict) in verdicts {
        let known = KNOWN_MISSES.iter().find(|(row, _)| *row == name);
        match (verdict, known) {
            (Ok(()), None) => {}
            (Err(problem), Some((_, why))) => println!("known: {name}: {why} ({problem})"),
            (Err(problem), None) => wrong.push(format!("{name}: {problem}")),
            (Ok(()), Some(_)) => wrong.push(format!("{name}: holds now; take it off the list")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
