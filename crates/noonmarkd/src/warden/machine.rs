//! The machine whose clock the warden has: this one, or one made up for a test.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use noonmark_clock::{Adjusted, Adjustment, NotAdjusted, Reading, SystemClock};
use noonmark_config::ClockMode;
use noonmark_os::clock::{self, ClockWatch, Discipline, KernelClock, ObservedClock, Rate, Seen};
use noonmark_units::{Frequency, Span, UnixTime};

use crate::exit::{Failure, Status};

/// A clock, and what only its machine knows: which second it really shows, since when it runs, and who else moves it.
pub trait Machine: SystemClock {
    /// What the clock shows, with its era.
    fn wall(&mut self) -> UnixTime;

    /// The same until the machine is started again; `None` if it does not tell.
    fn boot(&self) -> Option<[u8; 16]>;

    /// How much faster than by itself the clock runs now, whoever made it.
    fn found_rate(&mut self) -> Frequency;

    /// What moved the clock since the last look and was not done through [`SystemClock::adjust`], if it is worth speaking of.
    fn look(&mut self) -> Option<Seen>;

    /// What the kernel does to the clock now, whoever made it; `None` if the clock is not ours to keep, or nobody says.
    fn discipline(&mut self) -> Option<Discipline> {
        None
    }

    /// What can be read when [`look`](Self::look) wants to be called.
    fn jumps(&self) -> Option<BorrowedFd<'_>>;
}

/// The machine this process runs on.
pub struct ThisMachine {
    clock: Box<dyn SystemClock>,
    is_kept: bool,
    watch: Option<ClockWatch>,
}

impl ThisMachine {
    /// Its clock, to be kept or only watched.
    ///
    /// # Errors
    /// [`Status::Permission`] if the clock is to be kept and may not be set.
    pub fn open(mode: ClockMode) -> Result<Self, Failure> {
        if mode != ClockMode::Keep {
            let clock = ObservedClock::new("the configuration says clock = \"observe\"");
            return Ok(Self { clock: Box::new(clock), is_kept: false, watch: None });
        }
        let clock = KernelClock::open()
            .map_err(|error| Failure::new(Status::Permission, error.to_string()))?;
        // Without a watch the clock is not stepped after it jumped, as if nobody had seen it.
        Ok(Self { clock: Box::new(clock), is_kept: true, watch: ClockWatch::new().ok() })
    }
}

impl SystemClock for ThisMachine {
    fn read(&mut self) -> Reading {
        self.clock.read()
    }

    fn adjust(&mut self, adjustment: &Adjustment) -> Result<Adjusted, NotAdjusted> {
        let outcome = self.clock.adjust(adjustment);
        if let (Ok(Adjusted { adjustment: Adjustment::Step(by), .. }), Some(watch)) =
            (&outcome, &mut self.watch)
        {
            watch.expect(*by);
        }
        outcome
    }
}

impl Machine for ThisMachine {
    fn wall(&mut self) -> UnixTime {
        clock::realtime()
    }

    /// The kernel's boot id.
    fn boot(&self) -> Option<[u8; 16]> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let digits = text.chars().filter(char::is_ascii_hexdigit).collect::<String>();
        u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
    }

    fn found_rate(&mut self) -> Frequency {
        clock::discipline().map_or(Frequency::ZERO, |now| {
            Rate { tick: now.tick, frequency: now.frequency }.effective()
        })
    }

    fn discipline(&mut self) -> Option<Discipline> {
        // Whoever only watches a clock has no right to the call either.
        if self.is_kept { clock::discipline().ok() } else { None }
    }

    fn look(&mut self) -> Option<Seen> {
        let seen = self.watch.as_mut()?.look().ok()?;
        let is_jump = seen.stepped.abs() >= LEAST_JUMP || seen.slept >= SHORTEST_SLEEP;
        is_jump.then_some(seen)
    }

    fn jumps(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }
}

/// Smaller steps of others, and shorter sleep, never call for a step of ours.
const LEAST_JUMP: Span = Span::from_nanos(10_000_000);
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);
