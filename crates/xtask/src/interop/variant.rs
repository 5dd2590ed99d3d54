//! Ways in which our programs are tried: as they are built here and by root; and with `--long` linked without a shared library (musl), and
//! by an ordinary user from the start. Lists of system calls hold for all of them, and each makes other calls.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cells::{self, Cell};
use super::lab::Account;
use super::{credentials, demo, follower, interleaved, logging, network, service, ways, xdp};
use crate::apt::{self, Consent, Needed};
use crate::{build, child, workspace};

/// A way in which our programs are tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Variant {
    /// The test build, started by root.
    AsBuilt,
    /// Linked without a shared library, started by root.
    Static,
    /// The test build, started by an account that owns nothing but its folders, with what the shipped unit leaves it.
    OrdinaryUser,
}

impl Variant {
    /// What a run tries.
    pub fn all(long: bool) -> &'static [Self] {
        if long { &[Self::AsBuilt, Self::Static, Self::OrdinaryUser] } else { &[Self::AsBuilt] }
    }

    /// Its cells, with names that no other variant's cells have. The first has the long ones.
    pub fn cells(self, long: bool) -> Vec<Cell> {
        let mut cells = cells::all(long && self == Self::AsBuilt);
        let more = [follower::all(), interleaved::all(), network::all(), ways::all()];
        cells.extend(more.into_iter().flatten());
        if self != Self::OrdinaryUser {
            // Who starts it is what these are about.
            let services = [service::all(), credentials::all(), logging::all(), demo::all()];
            cells.extend(services.into_iter().flatten().chain(xdp::all()));
        }
        let label = match self {
            Self::AsBuilt => return cells,
            Self::Static => "static",
            Self::OrdinaryUser => "ordinary user",
        };
        // What has none of our programs in it is the same in every variant.
        cells.retain(|cell| cell.name.contains("noonmark") || cell.name.contains("examples/"));
        cells.iter_mut().for_each(|cell| cell.name = format!("{} ({label})", cell.name));
        cells
    }

    /// As whom our programs are started.
    pub fn account(self) -> Account {
        if self == Self::OrdinaryUser { Account::Ordinary } else { Account::Root }
    }

    /// Builds our programs as this variant wants them; the folder they are in.
    ///
    /// # Errors
    /// What is missing here, or what cargo says.
    pub fn programs(self, target: &Path, consent: Consent) -> Result<PathBuf, String> {
        build::everything()?;
        if self != Self::Static {
            return Ok(target.join("debug"));
        }
        apt::ensure(MUSL, consent)?;
        let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        workspace::has_target(&triple)?;
        let mut build = workspace::cargo();
        build.args(["build", "--locked", "--package", "noonmark", "--package", "noonmarkd"]);
        build.args(["--bins", "--target", &triple]);
        child::run(Duration::from_secs(40 * 60), &build).or_say("cargo build")?;
        let programs = target.join(triple).join("debug");
        is_static(&programs.join("noonmarkd"))?;
        // What binds sockets for ours is not ours to link.
        let (from, to) = (target.join("debug").join(PASSING), programs.join(PASSING));
        std::fs::copy(&from, &to).map_err(|e| format!("{}: {e}", from.display()))?;
        Ok(programs)
    }
}

/// Binds sockets as a service manager does.
const PASSING: &str = "pass-sockets";
/// The C library of the static build, whose compiler is for `ring`.
const MUSL: &[Needed] = &[Needed { program: "musl-gcc", package: "musl-tools" }];

/// A program without an interpreter needs no shared library.
fn is_static(program: &Path) -> Result<(), String> {
    let mut look = Command::new("readelf");
    look.args(["--program-headers", "--wide"]).arg(program);
    let said = child::output(Duration::from_secs(30), &look)?;
    if said.contains("INTERP") {
        return Err(format!("{} wants shared libraries", program.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_all_variants_have_names_of_their_own_and_say_what_they_try() {
        let mut names: Vec<String> = Variant::all(true)
            .iter()
            .flat_map(|variant| variant.cells(true))
            .map(|cell| cell.name)
            .collect();
        let count = names.len();
        let with = |part: &str| names.iter().filter(|name| name.ends_with(part)).count();
        let (without, user) = (with(" (static)"), with(" (ordinary user)"));
        assert!(user > 50 && without > user, "{without} static, {user} by an ordinary user");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
