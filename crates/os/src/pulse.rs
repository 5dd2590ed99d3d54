//! Signs of life: a shared page in which every thread of a process that must keep turning counts its turns.
//!
//! A thread that is stopped, waits where it should not or is caught in a loop no longer counts, and somebody else sees that. A turn costs one
//! store to memory of our own. It is a count and no time, so that neither side depends on a clock of the other.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use noonmark_units::Mono;

use crate::page::{CounterPage, CounterReader, PageError};

/// This process's own signs of life.
pub struct Pulse(CounterPage);

impl Pulse {
    /// For so many threads, numbered from 0.
    ///
    /// # Errors
    /// As [`CounterPage::new`].
    pub fn new(threads: usize) -> io::Result<Self> {
        CounterPage::new(c"noonmark-pulse", threads).map(Self)
    }

    /// The thread of this number turns. To be called at least every [`BEAT_EVERY`], by that thread alone.
    pub fn beat(&self, thread: usize) {
        if let Some(word) = self.0.words().get(thread) {
            word.store(word.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// The descriptor to hand to whoever watches.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.descriptor()
    }
}

/// Watches the [`Pulse`] of another process.
pub struct PulseWatch {
    page: CounterReader,
    /// For each thread its last count, and for how long it has been that.
    threads: Vec<(u64, Duration)>,
    looked: Mono,
}

impl PulseWatch {
    /// Begins to watch; the descriptor can be closed afterwards.
    ///
    /// # Errors
    /// As [`CounterReader::open`].
    pub fn open(fd: BorrowedFd<'_>, now: Mono) -> Result<Self, PageError> {
        let page = CounterReader::open(fd)?;
        let threads = page.values().into_iter().map(|count| (count, Duration::ZERO)).collect();
        Ok(Self { page, threads, looked: now })
    }

    /// Looks, and says for how long the thread that has been silent longest has not turned. To be called about every [`BEAT_EVERY`]: of the
    /// time since the last look no more than two of these count, because whoever was stopped itself cannot say what others did.
    pub fn silence(&mut self, now: Mono) -> Duration {
        let passed = now.since(self.looked).min(BEAT_EVERY * 2);
        self.looked = now;
        for (thread, (last, silent)) in self.threads.iter_mut().enumerate() {
            let count = self.page.get(thread);
            *silent = if count == *last { *silent + passed } else { Duration::ZERO };
            *last = count;
        }
        self.threads.iter().map(|(_, silent)| *silent).max().unwrap_or_default()
    }
}

/// How often every thread turns at least.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_silent_thread_among_lively_ones_is_noticed() {
        let pulse = Pulse::new(3).expect("memory");
        let second = |count: u64| Mono(count * 1_000_000_000);
        let mut watch = PulseWatch::open(pulse.descriptor(), second(0)).expect("a page");
        let mut silence = |at: u64, beating: &[usize]| {
            beating.iter().for_each(|thread| pulse.beat(*thread));
            watch.silence(second(at)).as_secs()
        };
        assert_eq!(silence(1, &[0, 1, 2]), 0);
        assert_eq!(silence(2, &[0, 2]), 1);
        assert_eq!(silence(3, &[0, 2]), 2);
        assert_eq!(
            silence(4, &[0, 1, 2, 3]),
            0,
            "it turns again; a number beyond the page is nobody's"
        );
        assert_eq!(silence(5, &[]), 1);
    }

    #[test]
    fn watcher_that_did_not_look_accuses_nobody() {
        let pulse = Pulse::new(1).expect("memory");
        let mut watch = PulseWatch::open(pulse.descriptor(), Mono(0)).expect("a page");
        let hour = Mono(3_600_000_000_000);
        assert_eq!(watch.silence(hour), BEAT_EVERY * 2);
        assert_eq!(watch.silence(hour), BEAT_EVERY * 2);
    }
}
