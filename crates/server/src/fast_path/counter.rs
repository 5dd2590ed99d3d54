//! What the program in the kernel did, counted for each processor.

use std::io;
use std::os::fd::BorrowedFd;

use noonmark_os::bpf::SharedReader;

noonmark_os::counters! {
    /// Answered with time.
    Answered = "answered";
    /// Answered although over the limit, by chance.
    AnsweredOverLimit = "answered_over_limit";
    /// Kiss RATE sent.
    KissRate = "kiss_rate";
    /// Silence: the access rules say so.
    DroppedIgnored = "dropped_ignored";
    /// Silence: denied by the access rules.
    DroppedDenied = "dropped_denied";
    /// Silence: over the limit, with no kiss due.
    DroppedLimited = "dropped_limited";
    /// Passed up: no plain request of 48 octets, version 3 or 4.
    PassedForm = "passed_form";
    /// Passed up: a checksum is wrong, or left to the device.
    PassedChecksum = "passed_checksum";
    /// Passed up: it may be a request in interleaved mode.
    PassedInterleaved = "passed_interleaved";
    /// Passed up: the clock may not be answered from, or midnight is near.
    PassedClock = "passed_clock";
}

/// The counters of all processors, for who tells them.
pub struct FastCounters {
    words: SharedReader,
    lanes: usize,
}

impl FastCounters {
    /// Maps the counters of so many processors.
    ///
    /// # Errors
    /// What the kernel answers, `InvalidInput` if there are no such counters behind `fd`.
    pub fn open(fd: BorrowedFd<'_>, lanes: u32) -> io::Result<Self> {
        let lanes = lanes as usize;
        let words = SharedReader::open(fd, lanes.saturating_mul(LANE))?;
        Ok(Self { words, lanes })
    }

    /// The number counted, by all processors together.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        let of_lane = |lane| self.words.get(lane * LANE + counter as usize);
        (0..self.lanes).map(of_lane).fold(0, u64::wrapping_add)
    }
}

/// Words of each processor: whole lines of its cache.
const LANE: usize = 16;
const _: () = assert!(Counter::COUNT <= LANE);
