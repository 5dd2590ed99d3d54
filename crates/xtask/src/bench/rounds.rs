//! `cargo xtask bench server --against FOLDER_OR_COMMIT`: what an answer costs noonmarkd as it is now beside an earlier one.
//!
//! Both run side by side, each at an address of its own, and are driven by turns; the order turns round from round to round, so that
//! neither always comes after the other. What is judged is the median of the rounds' quotients.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Wish;
use super::asking::{Mode, answers, drive};
use super::contestant::{Contestant, OURS, Ours, start_noonmarkd};
use super::figure::Figure;
use super::rig::Rig;
use crate::child;
use crate::workspace::{self, Metadata};

const NOW_AT: &str = "10.93.0.11";
const BEFORE_AT: &str = "10.93.0.15";
const BEFORE: &str = "before";
const MODES: [Mode; 3] = [Mode::PLAIN, Mode::NTS1, Mode::NTS8];

/// Drives the noonmarkd of this tree and that of `against` by turns: a folder with the program, or a commit, which is built.
///
/// # Errors
/// What could not be built or started, or which answers were wrong.
pub fn measure(wish: Wish, against: &str) -> Result<Vec<Figure>, String> {
    let before = program_of(against)?;
    let rig = Rig::new(wish)?;
    let now = Ours { name: OURS, address: NOW_AT, program: None };
    let before = Ours { name: BEFORE, address: BEFORE_AT, program: Some(&before) };
    let servers = [start(&rig, &now)?, start(&rig, &before)?];
    let mut samples: Vec<[Vec<f64>; 2]> = MODES.iter().map(|_| Default::default()).collect();
    for round in 1..=wish.rounds {
        for (mode, samples) in MODES.iter().zip(&mut samples) {
            let turns = if round % 2 == 1 { [0, 1] } else { [1, 0] };
            for place in turns {
                let outcome = drive(&servers[place], mode)?;
                outcome.show(round, wish.rounds, mode, servers[place].server.name);
                samples[place].push(outcome.ns_per_answer);
            }
        }
    }
    let figures = MODES.iter().zip(&samples).filter_map(|(mode, [now, before])| {
        Figure::of_turns(format!("{}_over_{BEFORE}", mode.name), "ns per answer", now, before)
    });
    Ok(figures.collect())
}

fn start<'a>(rig: &'a Rig, ours: &Ours<'_>) -> Result<Contestant<'a>, String> {
    let mut server = start_noonmarkd(rig, ours)?;
    server.wait_until(|| answers(rig, ours.address, true))?;
    Ok(Contestant { rig, server })
}

/// The earlier program: in a folder, or built from a commit in a checkout under the target folder.
fn program_of(against: &str) -> Result<PathBuf, String> {
    let there = Path::new(against).join(OURS);
    if there.is_file() {
        return there.canonicalize().map_err(|e| format!("{}: {e}", there.display()));
    }
    let git = |folder: &Path, arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args(arguments);
        child::output(Duration::from_secs(300), &git)
    };
    let root = workspace::root();
    let commit =
        git(&root, &["rev-parse", "--verify", "--quiet", &format!("{against}^{{commit}}")])
            .map_err(|_| format!("{against} is neither a folder with {OURS} nor a commit"))?;
    let home = Metadata::read()?.target_directory.join("against");
    let checkout = home.join("checkout");
    if !checkout.is_dir() {
        let (from, to) = (root.display().to_string(), checkout.display().to_string());
        std::fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
        git(&root, &["clone", "--quiet", "--no-checkout", &from, &to])?;
    }
    git(&checkout, &["fetch", "--quiet", "origin"])?;
    git(&checkout, &["checkout", "--quiet", "--detach", commit.trim()])?;
    let built = home.join("build");
    let mut build = workspace::cargo();
    build.current_dir(&checkout).env("CARGO_TARGET_DIR", &built);
    build.args(["build", "--release", "--locked", "--package", OURS, "--bin", OURS]);
    child::run(Duration::from_secs(3600), &build).or_say("cargo build --release")?;
    Ok(built.join("release").join(OURS))
}
