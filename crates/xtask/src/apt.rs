//! Programs of the machine that a stage needs: found, or installed through apt after asking.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child;

/// A program and the Debian package that has it.
#[derive(Clone, Copy)]
pub struct Needed {
    /// Looked for in PATH and the system folders.
    pub program: &'static str,
    /// What apt calls it.
    pub package: &'static str,
}

/// Whether apt may be used without asking.
#[derive(Clone, Copy)]
pub struct Consent {
    /// `--yes` was given.
    pub given: bool,
}

/// Makes sure that every program is there.
///
/// # Errors
/// What to install, when it may not or cannot be installed from here.
pub fn ensure(needed: &[Needed], consent: Consent) -> Result<(), String> {
    let missing = missing(needed);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root() {
        return Err(format!("missing; as root: apt-get install {list}"));
    }
    if !consent.given && !ask(&format!("Install {list} with apt?")) {
        return Err(format!("not installed: {list}"));
    }
    install(&missing)?;
    match needed.iter().find(|needed| !is_there(needed.program)) {
        None => Ok(()),
        Some(needed) => Err(format!("package {} did not bring {}", needed.package, needed.program)),
    }
}

/// Packages of those programs that are not there.
pub fn missing(needed: &[Needed]) -> Vec<&'static str> {
    needed.iter().filter(|needed| !is_there(needed.program)).map(|needed| needed.package).collect()
}

/// Whether we run as root.
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // Real, effective, saved, file system: the second decides.
    uids.and_then(|line| line.split_whitespace().nth(1)) == Some("0")
}

/// Whether a program of this name can be started.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(Into::into);
    std::env::split_paths(&path)
        .chain(system)
        .any(|folder| Path::new(&folder).join(program).is_file())
}

fn ask(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    print!("{question} [y/N] ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

fn install(packages: &[&str]) -> Result<(), String> {
    let limit = Duration::from_secs(300);
    let mut update = Command::new("apt-get");
    update.args(["--quiet", "update"]);
    // One source of several out of reach is no obstacle if the others have what is needed.
    let updated = child::output(limit, &update);
    let mut install = Command::new("apt-get");
    install.args(["--quiet", "--yes", "install", "--no-install-recommends"]).args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    match (child::output(limit, &install), updated) {
        (Ok(_), _) => {
            println!("installed {}", packages.join(" "));
            Ok(())
        }
        (Err(problem), Ok(_)) => Err(problem),
        (Err(problem), Err(before)) => Err(format!("{problem}\nand before that: {before}")),
    }
}
