//! Noticing that this machine is not the one it was: a copy of it, an earlier state of it, or the same one after a pause.
//!
//! What was secret and used once may then be used twice, and what was known of the clock is worth nothing. Who can say so, where it
//! is there:
//!
//! - the page of the hypervisor's `vmclock` (Linux 6.13): a counter for each copy and restoration, another for each move to other
//!   hardware;
//! - the driver of the VM generation id (Linux 5.18), by an event of the kernel's device model (Linux 6.10 for good) or, where it does
//!   not send any, by the line it has in the kernel's log;
//! - the clocks: boot time that ran while the monotonic clock did not, and monotonic time in which this process did not run.
//!
//! [`Witness`] asks them all, [`Judge`] decides from what they say, and reads nothing.

mod kernel_log;
pub mod uevent;
mod vmclock;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use noonmark_units::Mono;

use crate::clock;
pub use kernel_log::{KernelLog, tells_of_copy};
use uevent::Uevents;
pub use vmclock::Counters;
use vmclock::Vmclock;

/// Why this machine is to be taken for another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// The hypervisor says that it is a copy, or was restored.
    Generation,
    /// The hypervisor says that its oscillator is another one, or was interrupted.
    Disruption,
    /// It did not run for so long, by its own clock that goes on meanwhile.
    Slept(Duration),
    /// This process did not run for so long while the machine did.
    Paused(Duration),
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generation => {
                f.write_str("the hypervisor says that this machine is a copy or was restored")
            }
            Self::Disruption => {
                f.write_str("the hypervisor says that this machine's oscillator is another one")
            }
            Self::Slept(long) => {
                write!(f, "this machine did not run for {:.1} s", long.as_secs_f64())
            }
            Self::Paused(long) => {
                write!(
                    f,
                    "the daemon did not run for {:.1} s while the machine did",
                    long.as_secs_f64()
                )
            }
        }
    }
}

/// What is read at one look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Readings {
    /// The counters of the hypervisor, where they are there and could be read.
    pub counters: Option<Counters>,
    /// Whether somebody said since the last look that this is a copy.
    pub is_copy: bool,
    /// `CLOCK_MONOTONIC`.
    pub monotonic: Mono,
    /// `CLOCK_BOOTTIME`.
    pub boot: Mono,
}

/// Decides from readings whether this is still the machine it was.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    last: Readings,
    /// Until when another word of a copy is the same one's.
    told_until: Mono,
}

impl Judge {
    /// Takes the machine for what it is at `first`.
    #[must_use]
    pub fn new(first: Readings) -> Self {
        Self { last: first, told_until: Mono(0) }
    }

    /// Looks at `now`, which should be every second or so. The gravest sign there is, if there is one.
    pub fn look(&mut self, now: Readings) -> Option<Sign> {
        let before = self.last;
        self.last = Readings { counters: now.counters.or(before.counters), ..now };
        let (old, new) =
            (before.counters.unwrap_or_default(), self.last.counters.unwrap_or_default());
        let has_changed =
            |was: Option<u64>, is: Option<u64>| was.is_some() && is.is_some() && was != is;
        if now.is_copy || has_changed(old.generation, new.generation) {
            // There may be two who say it, one a moment after the other.
            let is_news = now.monotonic >= self.told_until;
            self.told_until = now.monotonic + SAME_COPY;
            if is_news {
                return Some(Sign::Generation);
            }
        }
        if has_changed(old.disruption, new.disruption) && now.monotonic >= self.told_until {
            return Some(Sign::Disruption);
        }
        let awake = now.monotonic.since(before.monotonic);
        let slept = now.boot.since(before.boot).saturating_sub(awake);
        if slept >= SHORTEST_SLEEP {
            return Some(Sign::Slept(slept));
        }
        (awake >= SHORTEST_PAUSE).then_some(Sign::Paused(awake))
    }
}

/// Everybody who can say that this is another machine. To be opened before a process gives up its files; the log it is given.
pub struct Witness {
    vmclock: Option<Vmclock>,
    uevents: Option<Uevents>,
    log: Option<KernelLog>,
    judge: Judge,
}

impl Witness {
    /// Opens what is there.
    #[must_use]
    pub fn open() -> Self {
        let first = Judge::new(Readings::default());
        let mut witness = Self {
            vmclock: Vmclock::open(Path::new(VMCLOCK)),
            uevents: has_generation_id().then(Uevents::open).and_then(Result::ok),
            log: None,
            judge: first,
        };
        witness.judge = Judge::new(witness.read());
        witness
    }

    /// Takes what the kernel's log says from now on as a word, too.
    pub fn hear(&mut self, log: Option<KernelLog>) {
        self.log = log;
    }

    /// Who they are, for a log: beside the clocks, which every machine has.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let all = [
            (self.vmclock.is_some(), "vmclock"),
            (self.uevents.is_some(), "VM generation id"),
            (self.log.is_some(), "kernel log"),
        ];
        all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name).collect()
    }

    /// What can be read as soon as somebody says something. The rest has to be looked at every second.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let events = self.uevents.as_ref().map(AsFd::as_fd);
        events.into_iter().chain(self.log.as_ref().map(AsFd::as_fd)).collect()
    }

    /// Whether this is another machine than at the last look, and why.
    pub fn look(&mut self) -> Option<Sign> {
        let now = self.read();
        self.judge.look(now)
    }

    fn read(&mut self) -> Readings {
        let by_event = self.uevents.as_mut().is_some_and(Uevents::look);
        let by_log = self.log.as_mut().is_some_and(KernelLog::look);
        Readings {
            counters: self.vmclock.as_ref().and_then(Vmclock::read),
            is_copy: by_event | by_log,
            monotonic: clock::monotonic(),
            boot: clock::boot_time(),
        }
    }
}

/// Whether the kernel's driver of the VM generation id drives one.
fn has_generation_id() -> bool {
    DRIVERS.iter().any(|folder| has_device(Path::new(folder)))
}

/// Whether a driver has a device: links to them are in its folder, with a number behind a colon or a stop.
fn has_device(driver: &Path) -> bool {
    let entries = std::fs::read_dir(driver).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name.contains(':') || name.contains('.')
    })
}

/// Where the kernel's driver of the VM generation id has its devices, up to Linux 6.9 and from then on.
const DRIVERS: [&str; 2] = ["/sys/bus/acpi/drivers/vmgenid", "/sys/bus/platform/drivers/vmgenid"];
const VMCLOCK: &str = "/dev/vmclock0";
/// Words about one copy that come from different mouths come within this.
const SAME_COPY: Duration = Duration::from_secs(2);
/// Less is what reading two clocks one after the other adds.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);
/// A process that is alive and busy is never away for so long: whoever hangs for this is given up.
const SHORTEST_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64, asleep: f64) -> Readings {
        let nanos = |seconds: f64| Mono((seconds * 1e9) as u64);
        Readings { monotonic: nanos(seconds), boot: nanos(seconds + asleep), ..Readings::default() }
    }

    fn counting(seconds: f64, generation: Option<u64>, disruption: u64) -> Readings {
        let counters = Counters { generation, disruption: Some(disruption) };
        Readings { counters: Some(counters), ..at(seconds, 0.0) }
    }

    fn check(script: &[(Readings, Option<Sign>)]) {
        let [(first, _), rest @ ..] = script else { panic!("an empty script") };
        let mut judge = Judge::new(*first);
        for (number, (now, expected)) in rest.iter().enumerate() {
            assert_eq!(judge.look(*now), *expected, "look {number}: {now:?}");
        }
    }

    #[test]
    fn machine_that_is_left_alone_stays_the_same() {
        check(&[
            (at(10.0, 5.0), None),
            (at(11.0, 5.0), None),
            (at(12.0, 5.4), None),
            (at(41.9, 5.4), None),
            (at(41.9, 5.4), None),
        ]);
    }

    #[test]
    fn sleep_is_boot_time_without_monotonic_time() {
        check(&[
            (at(10.0, 0.0), None),
            (at(11.0, 3600.0), Some(Sign::Slept(Duration::from_secs(3600)))),
            (at(12.0, 3600.0), None),
        ]);
    }

    #[test]
    fn pause_is_monotonic_time_in_which_nobody_looked() {
        check(&[
            (at(10.0, 0.0), None),
            (at(70.0, 0.0), Some(Sign::Paused(Duration::from_secs(60)))),
            (at(71.0, 0.0), None),
        ]);
    }

    #[test]
    fn copy_is_told_once_whoever_says_it() {
        let said = |seconds| Readings { is_copy: true, ..at(seconds, 0.0) };
        check(&[
            (at(10.0, 0.0), None),
            (said(11.0), Some(Sign::Generation)),
            (said(11.2), None),
            (at(12.0, 0.0), None),
            (said(14.0), Some(Sign::Generation)),
        ]);
        check(&[
            (counting(1.0, Some(7), 1), None),
            (counting(2.0, Some(8), 2), Some(Sign::Generation)),
            (counting(3.0, Some(8), 2), None),
            (counting(3.9, Some(8), 3), None),
            (counting(6.0, Some(8), 4), Some(Sign::Disruption)),
        ]);
    }

    #[test]
    fn counter_that_cannot_be_read_for_once_is_compared_with_the_one_before() {
        check(&[
            (counting(1.0, Some(7), 1), None),
            (at(2.0, 0.0), None),
            (counting(3.0, Some(7), 1), None),
            (at(4.0, 0.0), None),
            (counting(5.0, Some(8), 1), Some(Sign::Generation)),
        ]);
        // A hypervisor that begins to count says nothing by that.
        check(&[(counting(1.0, None, 1), None), (counting(2.0, Some(9), 1), None)]);
        check(&[(at(1.0, 0.0), None), (counting(2.0, Some(9), 5), None)]);
    }

    #[test]
    fn only_a_driver_with_a_device_is_a_witness() {
        let folder = std::env::temp_dir().join(format!("noonmark-driver-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a new name");
        assert!(!has_device(&folder.join("nowhere")) && !has_device(&folder));
        std::fs::write(folder.join("uevent"), b"").expect("room");
        assert!(!has_device(&folder));
        std::fs::write(folder.join("QEMUVGID:00"), b"").expect("room");
        assert!(has_device(&folder));
        std::fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn this_machine_is_the_one_it_was() {
        let mut witness = Witness::open();
        assert_eq!(witness.look(), None, "{:?}", witness.names());
        assert!(witness.descriptors().len() <= 2);
    }
}
