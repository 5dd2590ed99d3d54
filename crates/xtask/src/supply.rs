//! What goes into the programs we ship, and that others can make the same octets: cargo-deny, the bill of materials, the release build.

mod bill;
mod deny;
mod dist;
mod reproducible;

use std::process::ExitCode;

use crate::report::Tally;

pub use dist::Arguments as DistArguments;

/// `cargo xtask sbom`: the bill of materials on standard output.
///
/// # Errors
/// A sentence, when cargo or the lock file does not tell.
pub fn print_bill() -> Result<ExitCode, String> {
    println!("{}", bill::of_this_tree()?);
    Ok(ExitCode::SUCCESS)
}

/// `cargo xtask dist`: the programs as they are shipped, with their bill of materials and digests.
///
/// # Errors
/// A sentence, when something cannot be built or written.
pub fn dist(arguments: &DistArguments) -> Result<ExitCode, String> {
    dist::run(arguments)
}

/// What the stage `lint` says of the dependencies.
pub fn check(tally: &mut Tally) {
    deny::check(tally);
    tally.record("bill of materials", bill::check());
}

/// What `--long` says of the release build.
pub fn check_build(tally: &mut Tally) {
    tally.record("two release builds in different folders are the same", reproducible::check());
}
