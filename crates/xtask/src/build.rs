//! Stage `build`: everything compiles, with the lock file as committed.

mod cross;

use std::time::Duration;

use crate::apt::{self, Needed};
use crate::report::Tally;
use crate::test::Wish;
use crate::{bpf, child, workspace};

/// What compiling C and C++ parts of dependencies needs: `ring`, and the fuzzing engine.
const COMPILERS: &[Needed] =
    &[Needed { program: "cc", package: "gcc" }, Needed { program: "c++", package: "g++" }];

/// Builds every target of the workspace in the development profile.
pub fn run(wish: &Wish) -> Tally {
    let mut tally = Tally::default();
    tally.record("compilers", apt::ensure(COMPILERS, wish.consent));
    tally.record("workspace, all targets", everything());
    bpf::check(&mut tally, wish.consent);
    if wish.long {
        cross::check(&mut tally, wish.consent);
    }
    tally
}

/// Builds all there is. Other stages call it for the programs they start: with a choice of packages cargo would choose
/// other features of shared dependencies and compile them once more.
///
/// # Errors
/// How cargo ended; it has said why.
pub fn everything() -> Result<(), String> {
    let mut build = workspace::cargo();
    build.args(["build", "--workspace", "--all-targets", "--locked"]);
    child::run(Duration::from_secs(40 * 60), &build).or_say("cargo build")
}
