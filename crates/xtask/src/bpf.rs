//! `cargo xtask bpf`: the program of the fast path, compiled; and whether what is checked in is what its source compiles to.
//!
//! The object is checked in, so that a build needs no compiler but Rust's. With the compiler it was made with, Debian 12's clang 14, the test command
//! compares octet by octet; with another one it tries what that makes of the source in the place of it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::apt::{self, Consent, Needed};
use crate::report::Tally;
use crate::workspace::{self, Metadata};
use crate::{child, unit};

/// Where source and objects are.
const FOLDER: &str = "crates/server/bpf";
const SOURCE: &str = "fast-path.c";
/// The objects, and what is defined for each.
const OBJECTS: [(&str, &[&str]); 2] =
    [("fast-path.o", &[]), ("fast-path-scripted.o", &["-DSCRIPTED"])];
const CLANG: Needed = Needed { program: "clang-14", package: "clang-14" };
/// What its version says of the compiler that the objects were made with.
const MADE_WITH: &str = "Debian clang version 14.0.6";
const LIMIT: Duration = Duration::from_secs(60);

/// Compiles the objects into the tree.
///
/// # Errors
/// What the compiler says, or that it is not there.
pub fn write() -> Result<ExitCode, String> {
    apt::ensure(&[CLANG], Consent { given: false })?;
    for (object, defined) in OBJECTS {
        compile(&workspace::root().join(FOLDER).join(object), defined)?;
        println!("{FOLDER}/{object}");
    }
    println!("made with {}", version()?);
    Ok(ExitCode::SUCCESS)
}

/// Whether the objects are what the source compiles to.
pub fn check(tally: &mut Tally, consent: Consent) {
    const NAME: &str = "the program of the fast path is what its source compiles to";
    if let Err(reason) = apt::ensure(&[CLANG], consent) {
        return tally.record_not_run(NAME, &reason);
    }
    match compare() {
        Ok(Found::Same) => tally.record(NAME, Ok(())),
        Ok(Found::Tried(ending)) => {
            tally.record("the program of the fast path, as this machine compiles it", ending);
        }
        Err(problem) => tally.record(NAME, Err(problem)),
    }
}

/// What came of compiling it again.
enum Found {
    /// The same octets.
    Same,
    /// Others, of another compiler: how the tests of the program ended with those.
    Tried(Result<(), String>),
}

fn compare() -> Result<Found, String> {
    let folder = Metadata::read()?.target_directory.join("bpf");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut others = Vec::new();
    for (object, defined) in OBJECTS {
        let (ours, new) = (workspace::root().join(FOLDER).join(object), folder.join(object));
        compile(&new, defined)?;
        if read(&ours)? != read(&new)? {
            others.push(object);
        }
    }
    let version = version()?;
    match others.as_slice() {
        [] => Ok(Found::Same),
        others if version == MADE_WITH => {
            let others = others.join(" and ");
            Err(format!("{others} differ from what {version} makes of {SOURCE}: cargo xtask bpf"))
        }
        _ => Ok(Found::Tried(try_out(&folder))),
    }
}

/// Runs the tests of the program with other objects.
fn try_out(folder: &Path) -> Result<(), String> {
    let mut tests = workspace::cargo();
    tests.args(["test", "--locked", "--package", "noonmark-server", "--test", "fast_path"]);
    tests.env("NOONMARK_FAST_PATH", folder);
    let tally = unit::counted(Duration::from_secs(600), &tests);
    if tally.failed.is_empty() { Ok(()) } else { Err(tally.failed.join("; ")) }
}

/// Compiles from inside the folder, since the name of the source is in the object.
fn compile(to: &Path, defined: &[&str]) -> Result<(), String> {
    let mut clang = Command::new(CLANG.program);
    clang.args([
        "-target",
        "bpfel",
        "-mcpu=v2",
        "-O2",
        "-g0",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-const-variable",
    ]);
    clang.args(["-std=gnu11", "-nostdinc", "-fno-ident"]).args(defined);
    clang.args(["-c", SOURCE, "-o"]).arg(to);
    clang.current_dir(source_folder());
    child::output(LIMIT, &clang).map(drop)
}

fn source_folder() -> PathBuf {
    workspace::root().join(FOLDER)
}

/// The first line of what the compiler says of itself, without what the distribution adds.
fn version() -> Result<String, String> {
    let mut clang = Command::new(CLANG.program);
    clang.arg("--version");
    let said = child::output(LIMIT, &clang)?;
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}
