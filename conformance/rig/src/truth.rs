//! How wrong a guest's clock is, without asking over a network.
//!
//! An emulated guest's cycle counter is this machine's plus a constant. [`Page::ask`] in the guest and [`Page::answer`] outside
//! play ping-pong over a page of memory both have, which bounds the constant: the answer's count was read between the guest's
//! two. Each then notes its clock beside its counter ([`Sample`]), and the two series can be compared on one time line, to some
//! hundred nanoseconds.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// This processor's cycle counter, with everything before it done and nothing after it begun. 0 where there is none.
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_lfence, _rdtsc};
        // SAFETY: every x86-64 processor has both instructions; they touch no memory.
        unsafe {
            _mm_lfence();
            let count = _rdtsc();
            _mm_lfence();
            count
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// A clock read between two readings of the cycle counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sample {
    /// The counter, in the middle of the two.
    pub cycles: u64,
    /// How far the two were apart.
    pub width: u64,
    /// `CLOCK_REALTIME` in ns since 1970.
    pub real: i64,
}

impl Sample {
    /// The narrowest of many.
    pub fn take() -> Self {
        let look = || {
            let before = cycles();
            let now = noonmark_os::clock::realtime();
            let width = cycles() - before;
            let real = now.seconds * 1_000_000_000 + i64::from(now.nanos);
            Self { cycles: before + width / 2, width, real }
        };
        (0..16).map(|_| look()).min_by_key(|sample| sample.width).unwrap_or_else(look)
    }
}

/// Bounds of what has to be added to the guest's cycle counter to get this machine's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// At least.
    pub least: i64,
    /// At most.
    pub most: i64,
    /// From so many rounds.
    pub rounds: u32,
}

/// A page of memory shared by a guest and the machine it runs on.
pub struct Page(NonNull<[AtomicU64; 512]>);

impl Page {
    /// Maps the first page of a file: of shared memory outside, of the device's memory inside.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn map(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // SAFETY: a new mapping of 4096 octets, at an address the kernel chooses; it outlives the descriptor.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(page.cast()).map(Self).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// The page as a guest has it: memory of a device that QEMU calls `ivshmem-plain`.
    ///
    /// # Errors
    /// A sentence, where there is no such device.
    pub fn of_guest() -> Result<Self, String> {
        let devices = fs::read_dir("/sys/bus/pci/devices").map_err(|e| format!("no PCI: {e}"))?;
        let is_it = |folder: &PathBuf| {
            let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
            read("vendor").trim() == "0x1af4" && read("device").trim() == "0x1110"
        };
        let folder = devices.flatten().map(|entry| entry.path()).find(is_it);
        let folder = folder.ok_or("no device with a shared page")?;
        fs::write(folder.join("enable"), "1").map_err(|e| format!("enable: {e}"))?;
        Self::map(&folder.join("resource2")).map_err(|e| format!("resource2: {e}"))
    }

    /// In the guest: asks `rounds` times, or for as long as `limit`, and learns the constant from the narrowest answers.
    pub fn ask(&self, rounds: u32, limit: Duration) -> Bounds {
        let begun = Instant::now();
        let mut bounds = Bounds { least: i64::MIN, most: i64::MAX, rounds: 0 };
        let first = self.question().load(Ordering::SeqCst);
        for round in 1..=rounds {
            if begun.elapsed() > limit {
                break;
            }
            let number = first + u64::from(round);
            let before = cycles();
            self.question().store(number, Ordering::SeqCst);
            let answered = (0..PATIENCE).any(|_| self.echo().load(Ordering::SeqCst) == number);
            let after = cycles();
            if !answered {
                continue;
            }
            let answer = self.count().load(Ordering::SeqCst);
            let apart = |ours: u64| answer.wrapping_sub(ours).cast_signed();
            // The answer was read after `before` and before `after`.
            bounds.least = bounds.least.max(apart(after));
            bounds.most = bounds.most.min(apart(before));
            bounds.rounds += 1;
        }
        bounds
    }

    /// Outside: answers the question that waits, if one does.
    pub fn answer(&self) -> bool {
        let number = self.question().load(Ordering::SeqCst);
        if number == self.echo().load(Ordering::SeqCst) {
            return false;
        }
        self.count().store(cycles(), Ordering::SeqCst);
        self.echo().store(number, Ordering::SeqCst);
        true
    }

    fn question(&self) -> &AtomicU64 {
        &self.words()[0]
    }

    fn echo(&self) -> &AtomicU64 {
        &self.words()[8]
    }

    fn count(&self) -> &AtomicU64 {
        &self.words()[16]
    }

    fn words(&self) -> &[AtomicU64; 512] {
        // SAFETY: the mapping is a page of live memory, aligned to it, never unmapped, and only ever read and written atomically by
        // us. What others write to it can be any number.
        unsafe { self.0.as_ref() }
    }
}

/// How often an answer is looked for.
const PATIENCE: u32 = 200_000;

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn two_threads_of_one_machine_are_no_cycles_apart() {
        let path = std::env::temp_dir().join(format!("noonmark-truth-{}", std::process::id()));
        fs::write(&path, [0; 4096]).expect("a folder for temporary files");
        let (asker, answerer) =
            (Page::map(&path).expect("a page"), Page::map(&path).expect("a page"));
        fs::remove_file(&path).expect("ours");
        let done = AtomicBool::new(false);
        let pages = Pages(asker, answerer);
        let bounds = std::thread::scope(|scope| {
            let pages = &pages;
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    pages.1.answer();
                }
            });
            let bounds = pages.0.ask(2000, Duration::from_secs(10));
            done.store(true, Ordering::SeqCst);
            bounds
        });
        assert!(bounds.rounds > 0, "{bounds:?}");
        assert!(bounds.least <= 0 && bounds.most >= 0, "{bounds:?}");
    }

    struct Pages(Page, Page);

    // SAFETY: a page is only used through atomics.
    unsafe impl Sync for Pages {}

    #[test]
    fn samples_lie_within_their_width() {
        let (one, other) = (Sample::take(), Sample::take());
        assert!(other.cycles > one.cycles && other.real >= one.real, "{one:?} {other:?}");
    }
}
