//! Nothing started from here may set the machine's clock.
//!
//! The right to do so, CAP_SYS_TIME, is given up by this process in every set before it starts anything, so no child,
//! orphan or test double can have it.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// CAP_SYS_TIME, capability 25 of linux/capability.h.
const CAP_SYS_TIME: u32 = 25;

/// The sets of `/proc/PID/status` that must not hold it.
const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

/// Gives up CAP_SYS_TIME in every set, by starting this program again without it.
///
/// An ordinary user holds it in no set but the bounding one and cannot take it out of there, nor gain it from there.
///
/// # Errors
/// A sentence, when the right is still there afterwards: then nothing may be started.
pub fn give_up_the_clock() -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|e| format!("/proc/self/status: {e}"))?;
    let held = sets_with_the_clock(&status);
    if held.is_empty() || (held == ["CapBnd"] && !may_shrink_the_bounding_set(&status)) {
        return Ok(());
    }
    if std::env::var_os(STARTED_AGAIN).is_some() {
        return Err(format!("cannot give up CAP_SYS_TIME, still in {}", held.join(", ")));
    }
    let this = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    let mut again = Command::new("setpriv");
    again.args([
        "--bounding-set",
        "-sys_time",
        "--inh-caps",
        "-sys_time",
        "--ambient-caps",
        "-sys_time",
        "--",
    ]);
    again.arg(this).args(std::env::args_os().skip(1)).env(STARTED_AGAIN, "1");
    let problem = again.exec();
    Err(format!("setpriv, which takes CAP_SYS_TIME away: {problem}"))
}

/// Set for the second start, so that there is no third.
const STARTED_AGAIN: &str = "XTASK_WITHOUT_SYS_TIME";

/// Names of the capability sets that hold CAP_SYS_TIME, from the text of a `/proc/PID/status`.
pub fn sets_with_the_clock(status: &str) -> Vec<&'static str> {
    SETS.into_iter().filter(|set| holds(status, set, CAP_SYS_TIME)).collect()
}

fn may_shrink_the_bounding_set(status: &str) -> bool {
    /// CAP_SETPCAP, capability 8.
    const CAP_SETPCAP: u32 = 8;
    holds(status, "CapEff", CAP_SETPCAP)
}

fn holds(status: &str, set: &str, capability: u32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix(set)?.strip_prefix(':'));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // A set we cannot read is taken to hold it.
    mask.is_none_or(|mask| mask >> capability & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: &str, expected: &[&str]) {
        assert_eq!(sets_with_the_clock(status), expected, "{status}");
    }

    #[test]
    fn each_set_is_looked_at() {
        let none = "CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\n";
        check(none, &[]);
        check(&none.replace("CapEff:\t0", "CapEff:\t0000000002000000"), &["CapEff"]);
        check(&none.replace("CapBnd:\t0", "CapBnd:\t000001ffffffffff"), &["CapBnd"]);
        check(&none.replace("CapBnd:\t0", "CapBnd:\t000001fffdffffff"), &[]);
        check(&none.replace("CapAmb:\t0\n", ""), &["CapAmb"]);
    }
}
