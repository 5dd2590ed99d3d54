//! Time processes have spent on a processor, from the kernel's accounts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Nanoseconds on a processor so far of all threads of all `processes`: system calls, and the kernel's work on packets
/// done in their context, included.
///
/// # Errors
/// A process that is no more, or a kernel without `CONFIG_SCHED_INFO`.
pub fn by_processes(processes: &[u32]) -> io::Result<u64> {
    processes.iter().try_fold(0, |sum, process| Ok(sum + by_process(*process)?))
}

fn by_process(process: u32) -> io::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end between being listed and being read; a process that ends is noticed above.
        sum += by_thread(&thread?.path()).unwrap_or(0);
    }
    Ok(sum)
}

/// First field of `schedstat`: run time in nanoseconds.
fn by_thread(thread: &Path) -> Option<u64> {
    let line = fs::read_to_string(thread.join("schedstat")).ok()?;
    line.split_whitespace().next()?.parse().ok()
}

/// Nanoseconds so far of the kernel thread that works off network packets of one processor when there are too many to
/// do in passing, or zero if it cannot be found.
pub fn by_softirq(processor: usize) -> u64 {
    softirq_thread(processor).and_then(|thread| by_thread(&thread)).unwrap_or(0)
}

fn softirq_thread(processor: usize) -> Option<PathBuf> {
    let name = format!("ksoftirqd/{processor}");
    let named = |process: &PathBuf| {
        fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).find(named)
}

/// Frames so far that some processor's queue of received ones had no room for, on the whole machine; zero if the kernel does not say.
pub fn lost_frames() -> u64 {
    let table = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    // A row for each processor, hexadecimal; the second column counts what was dropped.
    let lost = |row: &str| u64::from_str_radix(row.split_whitespace().nth(1)?, 16).ok();
    table.lines().filter_map(lost).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to_spend() {
        let own = [std::process::id()];
        let before = by_processes(&own).unwrap();
        let begun = std::time::Instant::now();
        // The kernel brings the account up to date at each tick only, and others may have the processor for a while.
        while by_processes(&own).unwrap() == before {
            assert!(begun.elapsed().as_secs() < 30, "nothing spent in 30 s");
        }
    }

    #[test]
    fn a_process_that_is_no_more_is_an_error() {
        assert!(by_processes(&[u32::MAX]).is_err());
    }
}
