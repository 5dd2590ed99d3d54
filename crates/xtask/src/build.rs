//! Stage `build`: everything compiles, with the lock file as committed.

use std::time::Duration;

use crate::apt::{self, Needed};
use crate::report::Tally;
use crate::test::Wish;
use crate::{child, workspace};

/// What compiling C and C++ parts of dependencies needs: `ring`, and the fuzzing engine.
const COMPILERS: &[Needed] =
    &[Needed { program: "cc", package: "gcc" }, Needed { program: "c++", package: "g++" }];

/// Builds every target of the workspace in the development profile.
pub fn run(wish: Wish) -> Tally {
    let mut tally = Tally::default();
    tally.record("compilers", apt::ensure(COMPILERS, wish.consent));
    let mut build = workspace::cargo();
    build.args(["build", "--workspace", "--all-targets", "--locked"]);
    let how = child::run(Duration::from_secs(40 * 60), &build);
    tally.record("workspace, all targets", how.or_say("cargo build"));
    tally
}
