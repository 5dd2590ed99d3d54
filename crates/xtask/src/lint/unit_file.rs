//! The shipped units, as systemd itself understands them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{apt, child, workspace};

/// What came of it, when it could be asked at all.
pub enum Verdict {
    /// Nothing to complain about, or the complaint.
    Told(Result<(), String>),
    /// There is no systemd here.
    NotAsked(&'static str),
}

/// Has systemd-analyze read the units. It is not installed for this: that would make a machine without systemd one with it.
pub fn check(target: &Path) -> Verdict {
    if !apt::is_there("systemd-analyze") {
        return Verdict::NotAsked("this machine has no systemd-analyze");
    }
    Verdict::Told(verify(target))
}

/// Has systemd-analyze say how exposed the service is: at most 2.0 of 10, with every mark against it explained in the manual.
pub fn exposure() -> Verdict {
    if !apt::is_there("systemd-analyze") {
        return Verdict::NotAsked("this machine has no systemd-analyze");
    }
    Verdict::Told(expose())
}

fn expose() -> Result<(), String> {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=yes", "--no-pager", "--threshold=20"]);
    analyze.arg(workspace::root().join("crates/noonmarkd/dist").join(NAME));
    let told = child::output(Duration::from_secs(60), &analyze)?;
    let manual = workspace::root().join("docs/daemon.md");
    let manual =
        std::fs::read_to_string(&manual).map_err(|e| format!("{}: {e}", manual.display()))?;
    // As a table has to write it.
    let is_explained = |mark: &str| manual.contains(&format!("`{}`", mark.replace('|', "\\|")));
    let unexplained = marks(&told).filter(|mark| !is_explained(mark));
    super::verdict(
        unexplained.map(|mark| format!("docs/daemon.md does not explain {mark}")).collect(),
    )
}

/// What systemd holds against the unit.
fn marks(told: &str) -> impl Iterator<Item = &str> {
    told.lines().filter_map(|line| line.strip_prefix('✗')?.split_whitespace().next())
}

fn verify(target: &Path) -> Result<(), String> {
    let folder = target.join("unit");
    let text = with_program(&shipped(NAME)?)?;
    let mut analyze = Command::new("systemd-analyze");
    // Of units they name, only whether they are there: what is in them is this machine's affair.
    analyze.args(["verify", "--man=no", "--recursive-errors=no"]);
    for (name, text) in [(NAME, text), (SOCKETS, shipped(SOCKETS)?)] {
        let copy = folder.join(name);
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&copy, text))
            .map_err(|e| format!("{}: {e}", copy.display()))?;
        analyze.arg(&copy);
    }
    // It ends with 1 for a key or a value it does not know, too, which systemd itself would only warn of.
    child::output(Duration::from_secs(60), &analyze).map(drop)
}

fn shipped(name: &str) -> Result<String, String> {
    let path = workspace::root().join("crates/noonmarkd/dist").join(name);
    std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The unit with a program that is there; ours is not installed.
fn with_program(text: &str) -> Result<String, String> {
    const STARTS: &str = "ExecStart=/usr/sbin/noonmarkd ";
    if text.matches(STARTS).count() != 1 {
        return Err(format!("{NAME}: {STARTS:?} is not there once"));
    }
    Ok(text.replace(STARTS, "ExecStart=/bin/true "))
}

const NAME: &str = "noonmarkd.service";
const SOCKETS: &str = "noonmarkd.socket";
