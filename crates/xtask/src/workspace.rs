//! Where things are: the checkout, cargo's target folder, and cargo's own account of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// The checkout's top folder, found from where this program was compiled.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/xtask lies two folders below the top").to_path_buf()
}

/// The cargo that started us, so that a chosen toolchain stays chosen.
///
/// What `cargo run` told us about our own package is taken out of its environment: build scripts that watch these
/// variables would otherwise run again, and what depends on them be compiled again, each time cargo is used here after
/// it was used elsewhere.
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let told = |name: &str| OF_OUR_PACKAGE.iter().any(|start| name.starts_with(start));
        if name.to_str().is_some_and(told) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether the toolchain has what compiling for another target takes.
///
/// # Errors
/// What to do about it if not.
pub fn has_target(triple: &str) -> Result<(), String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut ask = Command::new(rustc);
    ask.current_dir(root()).args(["--print", "target-libdir", "--target", triple]);
    let folder = crate::child::output(std::time::Duration::from_secs(60), &ask)?;
    if Path::new(folder.trim()).is_dir() {
        Ok(())
    } else {
        Err(format!("the toolchain knows no {triple} (`rustup target add {triple}`)"))
    }
}

/// Where cargo keeps what it downloaded and installed.
pub fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// How the names of variables begin that cargo sets for the package it runs.
const OF_OUR_PACKAGE: [&str; 5] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];

/// What `cargo metadata` tells, as far as the checks need it.
#[derive(Deserialize)]
pub struct Metadata {
    /// Every package in the graph, ours and others'.
    pub packages: Vec<Package>,
    /// Package ids of the workspace's own members.
    pub workspace_members: Vec<String>,
    /// Where cargo builds.
    pub target_directory: PathBuf,
}

/// One package of the graph.
#[derive(Deserialize)]
pub struct Package {
    /// Cargo's id of it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SPDX expression, or the older form with a slash.
    pub license: Option<String>,
    /// What its manifest asks for.
    pub dependencies: Vec<Dependency>,
    /// What it builds.
    pub targets: Vec<Target>,
}

/// One line of a manifest's dependency tables.
#[derive(Deserialize)]
pub struct Dependency {
    /// The crate asked for.
    pub name: String,
    /// The registry it comes from; `None` for a path, which is one of ours.
    pub source: Option<String>,
}

/// One thing a package builds.
#[derive(Deserialize)]
pub struct Target {
    /// Name of the library or program.
    pub name: String,
    /// `bin`, `lib`, `test`, …
    pub kind: Vec<String>,
}

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    /// A sentence, when cargo fails or the lock file is out of date.
    pub fn read() -> Result<Self, String> {
        let output = cargo()
            .args(["metadata", "--format-version", "1", "--locked"])
            .output()
            .map_err(|e| format!("cargo metadata: {e}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
        }
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
    }

    /// The workspace's own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The member of this name, if there is one.
    pub fn member(&self, name: &str) -> Option<&Package> {
        self.members().find(|package| package.name == name)
    }
}

impl Package {
    /// Names of the programs it builds.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        let programs = self.targets.iter().filter(|target| target.kind.iter().any(|k| k == "bin"));
        programs.map(|target| target.name.as_str())
    }
}
