//! Whether two release builds in different folders are the same, octet for octet.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::dist;
use crate::workspace::Metadata;
use crate::{child, workspace};

/// Builds the commit that is checked out twice, in folders of different length, and compares.
///
/// # Errors
/// The programs that differ and where, or why they could not be built.
pub fn check() -> Result<(), String> {
    let place = Metadata::read()?.target_directory.join("reproducible");
    if place.exists() {
        std::fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    // Said once: the checkout may go on to another commit before the second build begins.
    let mut head = Command::new("git");
    head.current_dir(workspace::root()).args(["rev-parse", "HEAD"]);
    let commit = child::output(Duration::from_secs(60), &head)?;
    println!("building {} twice", commit.trim());
    let one = built_in(&place.join("one"), commit.trim())?;
    let other = built_in(&place.join("the-other-one-with-a-longer-name"), commit.trim())?;
    let mut findings = Vec::new();
    for (one, other) in one.iter().zip(&other) {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let (first, second) = (read(one)?, read(other)?);
        let name = one.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match difference(&first, &second) {
            None => println!("{name}: {} octets, the same in both builds", first.len()),
            Some(at) => findings.push(format!("{name}: differs from octet {at} on")),
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
}

fn built_in(folder: &Path, commit: &str) -> Result<Vec<PathBuf>, String> {
    let checkout = folder.join("checkout");
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet", "--no-checkout"]).arg(workspace::root()).arg(&checkout);
    child::output(Duration::from_secs(300), &clone)?;
    let mut take = Command::new("git");
    take.arg("-C").arg(&checkout).args(["checkout", "--quiet", "--detach", commit]);
    child::output(Duration::from_secs(300), &take)?;
    dist::build(&checkout, &folder.join("build"), None)
}

/// The first octet that is not the same in both, counted from 0.
fn difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    differs.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found() {
        let check = |one: &[u8], other: &[u8], expected| {
            assert_eq!(difference(one, other), expected, "{one:?} {other:?}");
        };
        check(b"noon", b"noon", None);
        check(b"noon", b"soon", Some(0));
        check(b"noon", b"noonmark", Some(4));
        check(b"", b"", None);
    }
}
