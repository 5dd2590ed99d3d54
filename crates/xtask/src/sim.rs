//! Stage `sim`: the simulator checked against known figures, and what keeps the clock judged in it.

use std::time::Duration;

use crate::report::Tally;
use crate::test::Wish;
use crate::{unit, workspace};

/// Longest time, compiling included.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// The same for `--long`, which attacks with a thousand seeds instead of ten.
const LONG_LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

/// Runs the simulations; each row of a table is told, and a table counts once.
pub fn run(wish: &Wish) -> Tally {
    let mut tests = workspace::cargo();
    // All packages are chosen, so that cargo takes the dependencies it has already built.
    tests.args(["test", "--workspace", "--no-fail-fast", "--locked", "--test", "sim"]);
    if wish.long {
        // A build of its own pays when thousands of runs follow.
        tests.args(["--profile", "simulation"]).env("NOONMARK_EFFORT", "long");
    }
    unit::counted(if wish.long { LONG_LIMIT } else { LIMIT }, &tests)
}
