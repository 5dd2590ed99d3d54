//! What may only be done in a machine whose clock is its own: setting that clock, behind the back of what is tested.
//!
//! Everything is a method of [`Guest`], which exists only in machines the test command started.

use std::io;
use std::time::Duration;

use noonmark_units::{Span, Timestamp, UnixTime};

/// Word of the kernel's command line that only our guests have.
pub const MARK: &str = "noonmark.guest";

/// Proof that this machine is one of our guests.
#[derive(Clone, Copy, Debug)]
pub struct Guest(());

impl Guest {
    /// Looks whether this is a guest.
    ///
    /// # Errors
    /// A sentence, on any other machine.
    pub fn enter() -> Result<Self, String> {
        let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        if line.split_whitespace().any(|word| word == MARK) {
            Ok(Self(()))
        } else {
            Err(format!("this is not a guest: the kernel's command line has no {MARK}"))
        }
    }

    /// Sets the clock, as `date -s` would.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn set_clock(self, to: UnixTime) -> io::Result<()> {
        let to = libc::timespec { tv_sec: to.seconds, tv_nsec: to.nanos.into() };
        // SAFETY: `to` is a live timespec.
        checked(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const to) })
    }

    /// Leaves behind what another time daemon might: an offset of 200 ms for the kernel's loop to work off, and one of a second
    /// for `adjtime(3)`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn leave_things_to_do(self) -> io::Result<()> {
        let mut request = timex();
        request.modes = libc::ADJ_STATUS | libc::ADJ_OFFSET | libc::ADJ_MICRO;
        request.status = libc::STA_PLL;
        request.offset = 200_000;
        adjtime(&mut request)?;
        let mut request = timex();
        request.modes = libc::ADJ_OFFSET_SINGLESHOT;
        request.offset = 1_000_000;
        adjtime(&mut request)
    }

    /// Has the clock gain so many ppm of its oscillator, as `adjtimex(8)` would.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn run_faster(self, ppm: i32) -> io::Result<()> {
        let mut request = timex();
        request.modes = libc::ADJ_FREQUENCY;
        request.freq = libc::c_long::from(ppm) << 16;
        adjtime(&mut request)
    }

    /// Has the kernel insert a second at the end of the day, in a clock that is called synchronised.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn arm_leap_second(self) -> io::Result<()> {
        let mut request = timex();
        request.modes = libc::ADJ_STATUS;
        request.status = libc::STA_INS;
        adjtime(&mut request)
    }

    /// Puts the machine to sleep until its clock chip wakes it, so many seconds later.
    ///
    /// # Errors
    /// A sentence, where it cannot sleep.
    pub fn sleep(self, seconds: u32) -> Result<(), String> {
        let write = |path: &str, text: &str| {
            std::fs::write(path, text).map_err(|problem| format!("{path}: {problem}"))
        };
        const ALARM: &str = "/sys/class/rtc/rtc0/wakealarm";
        write(ALARM, "0")?;
        write(ALARM, &format!("+{seconds}"))?;
        write("/sys/power/state", "mem")
    }

    /// The clock against the oscillator nobody steers (`CLOCK_MONOTONIC_RAW`): the narrowest of many looks at both.
    pub fn look(self) -> Look {
        let look = || {
            let before = nanoseconds(libc::CLOCK_MONOTONIC_RAW);
            let real = nanoseconds(libc::CLOCK_REALTIME);
            let width = nanoseconds(libc::CLOCK_MONOTONIC_RAW) - before;
            (width, Look { raw: before + width / 2, real })
        };
        let looks = (0..200).map(|_| look());
        looks.min_by_key(|(width, _)| *width).map_or(Look { raw: 0, real: 0 }, |(_, look)| look)
    }

    /// The oscillator nobody steers (`CLOCK_MONOTONIC_RAW`), in ns.
    pub fn raw(self) -> i64 {
        nanoseconds(libc::CLOCK_MONOTONIC_RAW)
    }

    /// TAI − UTC in whole seconds, as other programs see it.
    pub fn tai_offset(self) -> i64 {
        let real = nanoseconds(libc::CLOCK_REALTIME);
        // Read later, so a little more than whole seconds.
        (nanoseconds(libc::CLOCK_TAI) - real).div_euclid(1_000_000_000)
    }
}

/// Both clocks at one moment, in ns.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The oscillator as it runs.
    pub raw: i64,
    /// The clock that is kept, since 1970.
    pub real: i64,
}

impl Look {
    /// How much faster than the oscillator the clock ran since `earlier`, in ppm.
    pub fn ppm_since(self, earlier: Self) -> f64 {
        let (real, raw) = (self.real - earlier.real, self.raw - earlier.raw);
        (real - raw) as f64 / raw as f64 * 1e6
    }

    /// How much oscillator time passed since `earlier`.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos((self.raw - earlier.raw).unsigned_abs())
    }

    /// How far ahead of `other` the kept clock is.
    pub fn ahead_of(self, other: Timestamp) -> Span {
        self.shown() - other
    }

    /// What the kept clock would have shown when the oscillator showed zero, had it always run like that.
    pub fn zero(self) -> Timestamp {
        self.shown() - Span::from_nanos(self.raw)
    }

    fn shown(self) -> Timestamp {
        let seconds = self.real.div_euclid(1_000_000_000);
        let nanos = self.real.rem_euclid(1_000_000_000) as u32; // below 10⁹
        Timestamp::from_unix(UnixTime::new(seconds, nanos))
    }
}

fn nanoseconds(clock: libc::clockid_t) -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live, writable timespec. The clocks read here exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn timex() -> libc::timex {
    // SAFETY: `timex` is plain integers, for which all zero octets are a value.
    unsafe { std::mem::zeroed() }
}

fn adjtime(request: &mut libc::timex) -> io::Result<()> {
    // SAFETY: `request` is a live, writable timex.
    checked(unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, request) })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_builds_this_is_no_guest() {
        let complaint = Guest::enter().expect_err("tests run on the machine itself");
        assert!(complaint.contains(MARK), "{complaint}");
    }
}
