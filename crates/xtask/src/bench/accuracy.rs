//! `cargo xtask bench accuracy`: how well the clock is kept in simulation, beside chronyd's figures.
//!
//! The work is done by the program `accuracy` of the conformance crate; this builds it with optimisation and runs it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::workspace::Metadata;
use crate::{child, workspace};

/// What to measure.
#[derive(clap::Args, Clone)]
pub struct Wish {
    /// Scenarios to run, in place of those of this repository
    #[arg(long, value_name = "FILE")]
    scenarios: Option<PathBuf>,
    /// Runs of each variant
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    seeds: u32,
    /// Only these scenarios or scenario/variants, separated by commas
    #[arg(long, value_name = "ID")]
    only: Option<String>,
    /// Print one JSON object per line and nothing else on standard output
    #[arg(long)]
    json: bool,
    /// Also write the tables of docs/accuracy.md and the drawings beside it
    #[arg(long, conflicts_with_all = ["json", "scenarios", "only"])]
    write: bool,
}

/// Builds the program and runs it.
///
/// # Errors
/// What it could not do.
pub fn run(wish: &Wish) -> Result<(), String> {
    let program = build(&Metadata::read()?.target_directory)?;
    let mut command = Command::new(program);
    command.arg("--seeds").arg(wish.seeds.to_string());
    if let Some(file) = &wish.scenarios {
        command.arg("--scenarios").arg(file);
    }
    if let Some(only) = &wish.only {
        command.arg("--only").arg(only);
    }
    if wish.json {
        command.arg("--json");
    }
    if wish.write {
        let docs = workspace::root().join("docs");
        command.arg("--markdown").arg(docs.join("accuracy.md"));
        command.arg("--svg").arg(docs.join("accuracy"));
    }
    child::run(LIMIT, &command).or_say("accuracy")
}

/// The program, built; cargo shows its progress on standard error.
fn build(target: &std::path::Path) -> Result<PathBuf, String> {
    let mut build = workspace::cargo();
    build.args(["build", "--profile", PROFILE, "--locked", "-p", "noonmark-conformance"]);
    build.args(["--bin", "accuracy"]);
    child::run(Duration::from_secs(1800), &build).or_say("cargo build")?;
    Ok(target.join(PROFILE).join("accuracy"))
}

/// Optimised, but built faster than what is shipped.
const PROFILE: &str = "simulation";
/// Longest time for any number of seeds.
const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
