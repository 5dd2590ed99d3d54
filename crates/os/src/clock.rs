//! The machine's clocks: read by anybody, steered through [`KernelClock`] alone, watched by [`ClockWatch`].
//!
//! [`realtime`] and [`monotonic`] are answered by the vDSO and cost no system call; [`discipline`] is a system call that asks
//! and changes nothing. Only `kernel.rs` has calls that change anything, and they take the right to do so.

mod kernel;
mod observed;
mod rate;
mod timescale;
mod watch;

pub use kernel::{KernelClock, NoRight, REARM_AFTER};
pub use observed::{ObservedClock, Wished};
pub use rate::Rate;
pub use timescale::{Bearings, Timescale};
pub use watch::{ClockWatch, Seen};

use std::io;
use std::time::Duration;

use noonmark_clock::Reading;
use noonmark_units::{Mono, Precision, Timestamp, UnixTime};

/// The machine's idea of UTC: `CLOCK_REALTIME`, nanoseconds.
#[must_use]
pub fn realtime() -> UnixTime {
    let (seconds, nanos) = read(libc::CLOCK_REALTIME);
    UnixTime { seconds, nanos }
}

/// Nanoseconds since an arbitrary start, never going back, not counting time asleep: `CLOCK_MONOTONIC`.
#[must_use]
pub fn monotonic() -> Mono {
    Mono(nanoseconds(libc::CLOCK_MONOTONIC))
}

/// Nanoseconds since the machine started, time asleep included: `CLOCK_BOOTTIME`.
#[must_use]
pub fn boot_time() -> Mono {
    Mono(nanoseconds(libc::CLOCK_BOOTTIME))
}

/// The real-time and the monotonic clock at one instant: of three readings between two of the monotonic clock, the narrowest,
/// usually good to some ten nanoseconds.
#[must_use]
pub fn reading() -> Reading {
    best_of(3, || Timestamp::from_unix(realtime())).0
}

/// The narrowest of `tries` readings, placed in the middle of the two monotonic ones around it, and how far apart these were.
fn best_of(tries: u32, mut real: impl FnMut() -> Timestamp) -> (Reading, Duration) {
    let mut look = || {
        let before = monotonic();
        let real = real();
        let width = monotonic().since(before);
        (Reading { mono: before + width / 2, real }, width)
    };
    let first = look();
    (1..tries).fold(first, |best, _| {
        let next = look();
        if next.1 < best.1 { next } else { best }
    })
}

/// The step in which the kernel says the real-time clock advances: 1 ns wherever high-resolution timers exist.
///
/// # Errors
/// What `clock_getres` answers.
pub fn resolution() -> io::Result<Duration> {
    let mut step = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `step` is a live, writable timespec.
    crate::checked(unsafe { libc::clock_getres(libc::CLOCK_REALTIME, &raw mut step) })?;
    // 32-bit targets have narrower fields.
    #[allow(clippy::cast_lossless, clippy::unnecessary_cast)]
    Ok(Duration::new(
        (step.tv_sec as i64).unsigned_abs(),
        (step.tv_nsec as i64).unsigned_abs() as u32,
    ))
}

/// The clock's precision as NTP means it (RFC 5905 §7.3): the larger of its resolution and the time one reading takes.
///
/// A clock that never moved while it was read claims a second.
#[must_use]
pub fn precision() -> Precision {
    Precision::measured(|| Timestamp::from_unix(realtime())).unwrap_or(Precision(0))
}

/// What the kernel does to the real-time clock at this moment (`adjtimex(2)`, read with `modes` = 0).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Discipline {
    /// Correction of the clock's rate in 2⁻¹⁶ ppm; positive makes the clock run faster.
    pub frequency: i64,
    /// Microseconds the clock advances per kernel tick: 10000 when nobody has touched it.
    pub tick: i64,
    /// The `STA_*` bits.
    pub status: i32,
    /// The kernel's own bound of the clock's error in microseconds; grows by itself until somebody renews it.
    pub max_error_us: i64,
    /// The error the last one to discipline the clock estimated, in microseconds.
    pub estimated_error_us: i64,
    /// TAI − UTC in seconds, 0 if nobody has told the kernel.
    pub tai_offset: i32,
}

impl Discipline {
    /// Whether somebody keeps this clock synchronised: `STA_UNSYNC` is not set.
    #[must_use]
    pub fn is_synchronised(&self) -> bool {
        self.status & libc::STA_UNSYNC == 0
    }

    /// Whether the kernel will insert a second at the end of this UTC day.
    #[must_use]
    pub fn inserts_second(&self) -> bool {
        self.status & libc::STA_INS != 0
    }

    /// Whether the kernel will delete a second at the end of this UTC day.
    #[must_use]
    pub fn deletes_second(&self) -> bool {
        self.status & libc::STA_DEL != 0
    }
}

/// Asks the kernel for the state of its clock discipline. Changes nothing; needs no right.
///
/// # Errors
/// What `clock_adjtime` answers; in practice only a system call filter makes it fail.
pub fn discipline() -> io::Result<Discipline> {
    // SAFETY: `timex` is plain integers, for which all zero octets are a value; `modes` = 0 is the read-only request.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is a live, writable timex.
    crate::checked(unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, &raw mut state) })?;
    // 32-bit targets have narrower fields.
    #[allow(clippy::cast_lossless, clippy::unnecessary_cast, clippy::useless_conversion)]
    Ok(Discipline {
        frequency: state.freq as i64,
        tick: state.tick as i64,
        status: state.status,
        max_error_us: state.maxerror as i64,
        estimated_error_us: state.esterror as i64,
        tai_offset: state.tai,
    })
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let (seconds, nanos) = read(clock);
    seconds.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(u64::from(nanos))
}

#[cfg(target_pointer_width = "64")]
fn read(clock: libc::clockid_t) -> (i64, u32) {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live, writable timespec.
    let result = unsafe { libc::clock_gettime(clock, &raw mut now) };
    assert_eq!(result, 0, "the three clocks read here exist on every Linux");
    (now.tv_sec, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// On 32-bit machines the C library's `timespec` may end in 2038, so the kernel's 64-bit call is made by number
/// (403 on every 32-bit architecture, Linux 5.1).
#[cfg(target_pointer_width = "32")]
fn read(clock: libc::clockid_t) -> (i64, u32) {
    #[repr(C)]
    struct KernelTimespec {
        seconds: i64,
        nanos: i64,
    }
    const CLOCK_GETTIME64: libc::c_long = 403;
    let mut now = KernelTimespec { seconds: 0, nanos: 0 };
    // SAFETY: the call takes a clock number and a pointer to a live, writable `struct __kernel_timespec`, laid out as above.
    let result = unsafe { libc::syscall(CLOCK_GETTIME64, clock, &raw mut now) };
    assert_eq!(result, 0, "the three clocks read here exist on every Linux since 5.1");
    (now.seconds, u32::try_from(now.nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realtime_agrees_with_the_standard_library() {
        let ours = realtime();
        let theirs = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        assert!((theirs.cast_signed() - ours.seconds).abs() <= 1, "{ours:?} and {theirs}");
        assert!(ours.nanos < 1_000_000_000);
    }

    #[test]
    fn monotonic_clocks_do_not_go_back() {
        let mut last = (monotonic(), boot_time());
        for _ in 0..10_000 {
            let next = (monotonic(), boot_time());
            assert!(next.0 >= last.0 && next.1 >= last.1);
            last = next;
        }
        let awake = monotonic();
        assert!(boot_time() >= awake, "time asleep is counted on top");
    }

    #[test]
    fn a_reading_lies_between_those_around_it() {
        for _ in 0..1000 {
            let (mono, real) = (monotonic(), Timestamp::from_unix(realtime()));
            let now = reading();
            let (mono_after, real_after) = (monotonic(), Timestamp::from_unix(realtime()));
            assert!(mono <= now.mono && now.mono <= mono_after);
            let one = noonmark_units::Span::from_bits(1);
            assert!(!(now.real - real + one).is_negative());
            assert!(!(real_after - now.real + one).is_negative());
        }
    }

    #[test]
    fn narrowest_reading_is_taken() {
        let mut calls = 0;
        let (reading, width) = best_of(3, || {
            calls += 1;
            if calls != 2 {
                std::thread::sleep(Duration::from_millis(5));
            }
            Timestamp::from_bits(calls)
        });
        assert_eq!(reading.real, Timestamp::from_bits(2));
        assert!(width < Duration::from_millis(5), "{width:?}");
    }

    #[test]
    fn discipline_is_read_and_left_alone() {
        let before = discipline().expect("reading needs no right");
        let after = discipline().expect("reading needs no right");
        assert_eq!(
            (before.frequency, before.tick, before.status),
            (after.frequency, after.tick, after.status)
        );
        assert!(
            (9_000..=11_000).contains(&before.tick),
            "a tick of 10 ms within the kernel's limits: {before:?}"
        );
    }

    #[test]
    fn precision_is_that_of_a_machine() {
        let Precision(log2) = precision();
        // From 1 ns (2^-30) to a coarse tick of 16 ms (2^-6).
        assert!((-31..=-6).contains(&log2), "2^{log2} s");
        assert!(resolution().expect("CLOCK_REALTIME exists") <= Duration::from_millis(16));
    }
}
