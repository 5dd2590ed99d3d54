//! Stage `lint`: format, clippy and documentation without a warning, and the rules of the tree that no tool knows.

mod dependencies;
mod licence;
mod tracked;
mod unit_file;

use std::time::Duration;

use crate::report::Tally;
use crate::test::Wish;
use crate::workspace::{self, Metadata};
use crate::{child, supply};

const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Runs every check; each counts once.
pub fn run(wish: &Wish) -> Tally {
    let mut tally = Tally::default();
    let cargo = |arguments: &[&str]| {
        let mut command = workspace::cargo();
        command.args(arguments);
        command
    };
    let format = cargo(&["fmt", "--all", "--check"]);
    tally.record("format", child::run(LIMIT, &format).or_say("cargo fmt"));
    let clippy =
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    tally.record("clippy", child::run(LIMIT, &clippy).or_say("cargo clippy"));
    // Not among "all targets", because it has a stage of its own.
    let simulation =
        cargo(&["clippy", "--workspace", "--test", "sim", "--locked", "--", "-D", "warnings"]);
    tally.record("clippy, simulation", child::run(LIMIT, &simulation).or_say("cargo clippy"));
    let mut docs =
        cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"]);
    // Private items are part of these pages, so links to them lead somewhere.
    docs.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    tally.record("documentation builds", child::run(LIMIT, &docs).or_say("cargo doc"));

    match Metadata::read() {
        Err(problem) => tally.record("lock file", Err(problem)),
        Ok(metadata) => {
            tally.record("lock file", Ok(()));
            tally.record("each dependency has its reason", dependencies::check(&metadata));
            tally.record("licences", licence::check(&metadata));
            const UNIT: &str = "the shipped unit is one that systemd understands";
            match unit_file::check(&metadata.target_directory) {
                unit_file::Verdict::Told(told) => tally.record(UNIT, told),
                unit_file::Verdict::NotAsked(reason) => tally.record_not_run(UNIT, reason),
            }
            const EXPOSED: &str = "the shipped unit exposes little, and what it does is explained";
            match unit_file::exposure() {
                unit_file::Verdict::Told(told) => tally.record(EXPOSED, told),
                unit_file::Verdict::NotAsked(reason) => tally.record_not_run(EXPOSED, reason),
            }
        }
    }
    supply::check(&mut tally);
    match tracked::Files::read() {
        Err(problem) => tally.record("tracked files", Err(problem)),
        Ok(files) => {
            tally.record("unsafe code only where it may be", files.check_unsafe());
            tally.record("no path of this machine", files.check_paths());
            tally.record("no path out of the tree", files.check_escapes());
            tally.record("links in documents lead somewhere", files.check_links());
            tally.record("tests named in documents exist", files.check_named_tests());
        }
    }
    if wish.long {
        supply::check_build(&mut tally);
    }
    tally
}

/// `Ok` if nothing was found, else all findings, one a line.
fn verdict(findings: Vec<String>) -> Result<(), String> {
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
}
