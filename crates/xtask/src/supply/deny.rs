//! cargo-deny: licences, banned and doubled crates, sources, and known weaknesses where a copy of their list is at hand.
//!
//! Nothing is fetched: the tool is used if this machine has it, the list of advisories if somebody put one beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::report::Tally;
use crate::{child, workspace};

const LIMIT: Duration = Duration::from_secs(300);
const RULES: &str = "cargo-deny: licences, bans, sources";
const ADVISORIES: &str = "cargo-deny: advisories";

/// Runs what this machine can.
pub fn check(tally: &mut Tally) {
    let Some(tool) = tool() else {
        let reason = "cargo-deny is not installed (`cargo install --locked cargo-deny`)";
        tally.record_not_run(RULES, reason);
        tally.record_not_run(ADVISORIES, reason);
        return;
    };
    tally.record(RULES, run(&tool, &["licenses", "bans", "sources"]));
    match advisories() {
        None => {
            let reason = "no copy of the RustSec list in $CARGO_HOME/advisory-dbs";
            tally.record_not_run(ADVISORIES, reason);
        }
        Some((copy, date)) => {
            println!("list of advisories: {}, last changed {date}", copy.display());
            tally.record(ADVISORIES, run(&tool, &["advisories"]));
        }
    }
}

fn run(tool: &Path, checks: &[&str]) -> Result<(), String> {
    let mut deny = Command::new(tool);
    deny.current_dir(workspace::root());
    deny.args(["--offline", "--locked", "--all-features", "--config", ".cargo/deny.toml"]);
    deny.args(["check", "--hide-inclusion-graph"]).args(checks);
    child::run(LIMIT, &deny).or_say("cargo deny")
}

/// The tool, where cargo installs it.
fn tool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([workspace::cargo_home().join("bin")]);
    folders.map(|folder| folder.join("cargo-deny")).find(|program| program.is_file())
}

/// A copy of the list of advisories, and the date of its last change.
fn advisories() -> Option<(PathBuf, String)> {
    let copies = std::fs::read_dir(workspace::cargo_home().join("advisory-dbs")).ok()?;
    let copy = copies.flatten().map(|entry| entry.path()).find(|path| path.is_dir())?;
    let mut git = Command::new("git");
    git.arg("-C").arg(&copy).args(["log", "-1", "--format=%cs"]);
    let date = child::output(Duration::from_secs(30), &git).ok()?;
    Some((copy, date.trim().to_owned()))
}
