//! A control group for a server's processes, version 1 or 2, whichever has the controller: they go before all other work, and can be held
//! to a part of one processor.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Microseconds after which a group's time begins anew.
const PERIOD_US: u32 = 5_000;
const PREFIX: &str = "noonmark-";

/// A group, removed when dropped. What is in it has to have ended by then.
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Makes a group with the largest share of every processor, so that other work on the machine is not what is measured. Processes in it
    /// may use `part` of one processor together, 0 to 1, dealt out every 5 ms; all there is without.
    ///
    /// # Errors
    /// That no hierarchy has the controller, or what the kernel answers.
    pub fn new(label: &str, part: Option<f64>) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let (home, version) = hierarchy(&mounts, |root| {
            let controllers = fs::read_to_string(Path::new(root).join("cgroup.controllers"));
            controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == "cpu"))
        })
        .ok_or(
            "no control group can be made: no cgroup v1 hierarchy with the controller `cpu` is mounted, \
             and no v2 hierarchy that lists it in cgroup.controllers",
        )?;
        sweep(&home);
        if version == Version::Two {
            write(&home.join("cgroup.subtree_control"), "+cpu")?;
        }
        let folder = home.join(format!("{PREFIX}{}-{label}", std::process::id()));
        fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let group = Self { folder };
        let quota_us = part.map(|part| (f64::from(PERIOD_US) * part) as u32);
        match version {
            Version::One => group.set("cpu.shares", "262144")?,
            Version::Two => group.set("cpu.weight", "10000")?,
        }
        match (version, quota_us) {
            (_, None) => {}
            (Version::One, Some(quota_us)) => {
                group.set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                group.set("cpu.cfs_quota_us", &quota_us.to_string())?;
            }
            (Version::Two, Some(quota_us)) => {
                group.set("cpu.max", &format!("{quota_us} {PERIOD_US}"))?;
            }
        }
        Ok(group)
    }

    /// Takes processes in; what they start later is in as well.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn hold(&self, processes: &[u32]) -> Result<(), String> {
        processes.iter().try_for_each(|process| self.set("cgroup.procs", &process.to_string()))
    }

    fn set(&self, file: &str, value: &str) -> Result<(), String> {
        write(&self.folder.join(file), value)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What was ended a moment ago is in it until the kernel has taken it away.
        let begun = Instant::now();
        while let Err(problem) = fs::remove_dir(&self.folder) {
            if begun.elapsed() > Duration::from_secs(5) {
                eprintln!("control group {} stays: {problem}", self.folder.display());
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    One,
    Two,
}

/// The hierarchy with the controller, given the table of mounts and whether the root of one of version 2 has it.
fn hierarchy(mounts: &str, has_cpu: impl Fn(&str) -> bool) -> Option<(PathBuf, Version)> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind, options) = (words.next()?, words.next()?, words.next()?);
        let version = match kind {
            "cgroup" if options.split(',').any(|option| option == "cpu") => Version::One,
            "cgroup2" if has_cpu(place) => Version::Two,
            _ => return None,
        };
        Some((PathBuf::from(place), version))
    })
}

/// Removes groups of earlier runs whose process is gone.
fn sweep(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn write(path: &Path, value: &str) -> Result<(), String> {
    fs::write(path, value).map_err(|e| format!("{} to {}: {e}", value, path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_with_the_controller_is_found() {
        const ONE: &str = "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n\
                           cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu,cpuacct 0 0\n\
                           cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        const TWO: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
        let check = |mounts: &str, has_cpu: bool, expected: Option<(&str, Version)>| {
            let expected = expected.map(|(place, version)| (PathBuf::from(place), version));
            assert_eq!(hierarchy(mounts, |_| has_cpu), expected, "{mounts}");
        };
        check(ONE, false, Some(("/sys/fs/cgroup/cpu", Version::One)));
        check(TWO, true, Some(("/sys/fs/cgroup", Version::Two)));
        check(TWO, false, None);
        check("tmpfs / tmpfs rw,cpu 0 0", true, None);
    }
}
