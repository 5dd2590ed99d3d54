//! What processes hold: memory that is theirs alone, and descriptors; and whether that stays as it is.

use std::fs;

/// What one process held at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Requests sent by then.
    pub requests: u64,
    /// What the process is.
    pub role: String,
    /// Anonymous memory, octets, each page shared by n processes counted as 1/n (`Pss_Anon` of `smaps_rollup`).
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

impl Sample {
    /// Of a process as it is now. None if it is not there.
    pub fn take(role: &str, pid: u32, requests: u64) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let memory = anonymous(&text)?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        Some(Self { requests, role: role.to_owned(), memory, descriptors })
    }
}

/// Octets of anonymous memory in a `smaps_rollup`.
fn anonymous(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The medians of two quarters of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Medians {
    /// Of the second.
    pub second: u64,
    /// Of the last.
    pub last: u64,
}

impl Medians {
    /// Of what `of` says of a role's samples, in a run of `requests`. None if a quarter has none.
    pub fn of(
        samples: &[Sample],
        role: &str,
        requests: u64,
        of: impl Fn(&Sample) -> u64,
    ) -> Option<Self> {
        let median = |from: u64, to: u64| {
            let within = |sample: &&Sample| (from..=to).contains(&sample.requests);
            let own = samples.iter().filter(|sample| sample.role == role).filter(within);
            let mut values: Vec<u64> = own.map(&of).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied()
        };
        let second = median(requests / 4, requests / 2)?;
        Some(Self { second, last: median(requests / 4 * 3, requests)? })
    }
}

/// That a role held no more in the last quarter than in the second. Memory may be more by a tenth and 256 KiB, for what an allocator
/// rounds; descriptors by three, for those of the moment.
///
/// # Errors
/// Both medians, of what grew.
pub fn judge(samples: &[Sample], role: &str, requests: u64) -> Result<(), String> {
    let few = || format!("{role}: too few samples");
    let memory = Medians::of(samples, role, requests, |sample| sample.memory).ok_or_else(few)?;
    if memory.last > memory.second + memory.second / 10 + (256 << 10) {
        return Err(format!(
            "{role}: memory grew from {} to {} octets",
            memory.second, memory.last
        ));
    }
    let open = Medians::of(samples, role, requests, |sample| sample.descriptors).ok_or_else(few)?;
    if open.last > open.second + 3 {
        return Err(format!("{role}: descriptors grew from {} to {}", open.second, open.last));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_memory_is_read() {
        let text = "Rss:  9000 kB\nPss_Anon:            1200 kB\nPss_File:  5 kB\n";
        assert_eq!(anonymous(text), Some(1200 * 1024));
        assert_eq!(anonymous("Rss: 1 kB\n"), None);
    }

    #[test]
    fn growth_is_found_and_a_start_is_forgiven() {
        let check = |memory: &dyn Fn(u64) -> u64, descriptors: &dyn Fn(u64) -> u64, good: bool| {
            let sample = |n| {
                let (memory, descriptors) = (memory(n), descriptors(n));
                Sample { requests: n, role: "ke".to_owned(), memory, descriptors }
            };
            let samples: Vec<Sample> = (0..100).map(sample).collect();
            let judged = judge(&samples, "ke", 100);
            assert_eq!(judged.is_ok(), good, "{judged:?}");
        };
        let (flat, few) = (|_| 8 << 20, |_| 100);
        check(&flat, &few, true);
        // What the first requests take stays.
        check(&|n| if n < 20 { 4 << 20 } else { 8 << 20 }, &few, true);
        check(&|n| (8 << 20) + n * (40 << 10), &few, false);
        check(&flat, &|n| 100 + n / 10, false);
        check(&flat, &|n| 100 + n % 3, true);
        assert!(judge(&[], "ke", 100).is_err());
    }
}
