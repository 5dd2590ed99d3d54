//! The programs as they are shipped: the release profile, and no path of the machine that builds them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use super::bill;
use crate::{child, workspace};

const LIMIT: Duration = Duration::from_secs(60 * 60);

/// What the chore takes.
#[derive(clap::Args)]
pub struct Arguments {
    /// Build for this target instead of the machine's own
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Folder for the result
    #[arg(long, value_name = "FOLDER", default_value = "target/dist")]
    out: PathBuf,
}

/// Builds, copies, and writes the bill of materials and the digests beside.
///
/// # Errors
/// A sentence, when something cannot be built or written.
pub fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let root = workspace::root();
    let folder = root.join(&arguments.out);
    let target = root.join("target").join("dist-build");
    let programs = build(&root, &target, arguments.target.as_deref())?;
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(problem)?;
    for program in &programs {
        let name = program.file_name().unwrap_or_default();
        std::fs::copy(program, folder.join(name)).map_err(problem)?;
    }
    std::fs::write(folder.join("noonmark.cdx.json"), bill::of_this_tree()?).map_err(problem)?;
    let mut sums = Command::new("sha256sum");
    sums.current_dir(&folder).arg("noonmark.cdx.json").args(bill::SHIPPED);
    let sums = child::output(Duration::from_secs(60), &sums)?;
    std::fs::write(folder.join("SHA256SUMS"), &sums).map_err(problem)?;
    print!("{sums}");
    Ok(ExitCode::SUCCESS)
}

/// Builds the shipped programs of the checkout at `root`; where they are.
///
/// The same commit, toolchain and flags give the same octets wherever the checkout, the target folder and cargo's home lie.
///
/// # Errors
/// A sentence, when cargo fails.
pub fn build(root: &Path, target: &Path, triple: Option<&str>) -> Result<Vec<PathBuf>, String> {
    let mut cargo = workspace::cargo();
    cargo.current_dir(root).args(["build", "--release", "--locked"]);
    bill::SHIPPED.iter().for_each(|package| {
        cargo.args(["--package", package, "--bin", package]);
    });
    if let Some(triple) = triple {
        cargo.args(["--target", triple]);
    }
    let home = workspace::cargo_home();
    // The longer prefix last: the last one that fits is used.
    let places = [(home.as_path(), "/cargo"), (root, "/noonmark"), (target, "/target")];
    let flags = |option: &str| {
        let flag = |(from, to): &(&Path, &str)| format!("{option}={}={to}", from.display());
        places.iter().map(flag).collect::<Vec<_>>()
    };
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags("--remap-path-prefix").join("\u{1f}"));
    cargo.env("CFLAGS", flags("-ffile-prefix-map").join(" "));
    cargo.env("CARGO_TARGET_DIR", target).env("CARGO_INCREMENTAL", "0");
    cargo.env("SOURCE_DATE_EPOCH", "0");
    child::run(LIMIT, &cargo).or_say("cargo build --release")?;
    let built = triple.map_or_else(|| target.to_path_buf(), |triple| target.join(triple));
    Ok(bill::SHIPPED.iter().map(|program| built.join("release").join(program)).collect())
}
