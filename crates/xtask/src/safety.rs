//! Nothing started from here may set the machine's clock.
//!
//! The right to do so, CAP_SYS_TIME, is given up by this process in every set before it starts anything, so no child,
//! orphan or test double can have it. Afterwards the kernel's clock must be governed exactly as before.

use std::process::Command;
use std::time::Duration;

use noonmark_os::{caps, clock};

use crate::child;
use crate::report::Tally;

/// Gives up CAP_SYS_TIME in every set; call it before anything else.
///
/// # Errors
/// A sentence, when the right is still there afterwards: then nothing may be started.
pub fn give_up_the_clock() -> Result<(), String> {
    caps::drop_sys_time().map_err(|e| format!("cannot give up the right to set the clock: {e}"))?;
    let held = caps::sys_time().map_err(|e| format!("cannot see what rights are held: {e}"))?;
    if held.effective || held.permitted || held.inheritable || held.ambient {
        return Err(format!("the right to set the clock is still held: {held:?}"));
    }
    Ok(())
}

/// How the kernel's clock was governed when the run began.
pub struct Watch {
    before: Result<clock::Discipline, String>,
    /// The machine's own time service, which may change all of it meanwhile.
    keeper: Option<String>,
}

impl Watch {
    /// Takes down how the clock is governed now.
    pub fn start() -> Self {
        Self { before: read(), keeper: keeper() }
    }

    /// Compares with now.
    pub fn finish(self, tally: &mut Tally) {
        tally.record("children cannot set the clock", child_holds_nothing());
        const NAME: &str = "the kernel's clock is governed as before";
        match self.keeper {
            Some(keeper) => {
                tally.record_not_run(
                    NAME,
                    &format!("this machine's clock is kept by {keeper}, which may change it"),
                );
            }
            None => tally.record(NAME, compare(self.before, read())),
        }
    }
}

fn read() -> Result<clock::Discipline, String> {
    clock::discipline().map_err(|e| format!("clock_adjtime: {e}"))
}

fn compare(
    before: Result<clock::Discipline, String>,
    after: Result<clock::Discipline, String>,
) -> Result<(), String> {
    let (before, after) = (before?, after?);
    let governed = |d: clock::Discipline| (d.frequency, d.tick, d.status);
    if governed(before) == governed(after) {
        Ok(())
    } else {
        Err(format!("before {before:?}\nafter {after:?}"))
    }
}

/// Asks a child what it holds.
fn child_holds_nothing() -> Result<(), String> {
    let mut cat = Command::new("cat");
    cat.arg("/proc/self/status");
    let status = child::output(Duration::from_secs(10), &cat)?;
    let held = sets_with_the_clock(&status);
    // An ordinary user cannot empty the bounding set; then nothing executed can gain a right.
    let shielded = status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"]));
    if held.is_empty() || (held == ["CapBnd"] && shielded) { Ok(()) } else { Err(held.join(", ")) }
}

/// CAP_SYS_TIME, capability 25 of linux/capability.h.
const CAP_SYS_TIME: u32 = 25;

/// Names of the capability sets that hold CAP_SYS_TIME, from the text of a `/proc/PID/status`.
fn sets_with_the_clock(status: &str) -> Vec<&'static str> {
    let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    sets.into_iter().filter(|set| holds(status, set)).collect()
}

fn holds(status: &str, set: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix(set)?.strip_prefix(':'));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // A set we cannot read is taken to hold it.
    mask.is_none_or(|mask| mask >> CAP_SYS_TIME & 1 == 1)
}

/// The name of a program that keeps this machine's clock, if one runs.
fn keeper() -> Option<String> {
    // As `/proc/PID/comm` has them: at most 15 letters.
    const KEEPERS: [&str; 9] = [
        "chronyd",
        "ntpd",
        "ntp-daemon",
        "noonmarkd",
        "openntpd",
        "systemd-timesyn",
        "phc2sys",
        "ptp4l",
        "timemaster",
    ];
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut names = folders.filter_map(|folder| {
        let name = std::fs::read_to_string(folder.path().join("comm")).ok()?;
        let status = std::fs::read_to_string(folder.path().join("status")).ok()?;
        // One that a test runs without the right keeps no clock.
        (KEEPERS.contains(&name.trim()) && holds(&status, "CapEff")).then(|| name.trim().to_owned())
    });
    names.next()
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

    #[test]
    fn a_changed_frequency_tick_or_status_is_seen() {
        let quiet = clock::discipline().expect("reading needs no right");
        assert!(compare(Ok(quiet), Ok(quiet)).is_ok());
        assert!(
            compare(Ok(quiet), Ok(clock::Discipline { frequency: quiet.frequency + 1, ..quiet }))
                .is_err()
        );
        assert!(
            compare(Ok(quiet), Ok(clock::Discipline { tick: quiet.tick + 1, ..quiet })).is_err()
        );
        assert!(
            compare(Ok(quiet), Ok(clock::Discipline { status: quiet.status ^ 1, ..quiet }))
                .is_err()
        );
        assert!(compare(Ok(quiet), Ok(clock::Discipline { max_error_us: 5, ..quiet })).is_ok());
    }
}
