use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use noonmark_clock::Reading;
use noonmark_units::{Mono, Span, Timestamp};

use super::{best_of, boot_time, monotonic, realtime};

/// Notices that somebody else set the clock, and that the machine was asleep.
///
/// Its descriptor can be read after either (`timerfd` with `TFD_TIMER_CANCEL_ON_SET`): wait for it with anything that waits
/// for descriptors, then [`look`](ClockWatch::look). The kernel runs real time and monotonic time at the same rate, so their
/// difference moves only when the clock is set or the machine sleeps; boot time, which counts sleep, tells the two apart.
#[derive(Debug)]
pub struct ClockWatch {
    timer: OwnedFd,
    last: Offsets,
}

/// What happened to the clock since the last look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// How far somebody set the clock, positive is forward; zero if nobody did. A step smaller than the error of looking,
    /// some hundred nanoseconds, is not seen, nor are two that cancel out.
    pub stepped: Span,
    /// How long the machine slept.
    pub slept: Duration,
    /// The clocks when it was looked.
    pub at: Reading,
}

impl Seen {
    /// Whether anything happened at all.
    #[must_use]
    pub fn anything(&self) -> bool {
        self.stepped != Span::ZERO || !self.slept.is_zero()
    }
}

impl ClockWatch {
    /// Watches from now on.
    ///
    /// # Errors
    /// What the kernel answers; it has a limit of descriptors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        let fd = crate::checked(unsafe {
            libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK)
        })?;
        // SAFETY: the call succeeded, so this is a new descriptor that nothing else owns.
        let timer = unsafe { OwnedFd::from_raw_fd(fd) };
        arm(&timer)?;
        Ok(Self { timer, last: Offsets::read() })
    }

    /// Makes the descriptor quiet and says what happened since the last look. Costs a few readings of clocks and one system
    /// call, so it may also be asked on every occasion, whether the descriptor was readable or not.
    ///
    /// # Errors
    /// What reading the timer answers, other than that nothing happened.
    pub fn look(&mut self) -> io::Result<Seen> {
        self.silence()?;
        let now = Offsets::read();
        let slept = now.boot.saturating_sub(self.last.boot);
        let error = self.last.error.saturating_add(now.error);
        // Sleep shows in both differences; what is left was somebody's doing.
        let moved = now.real - self.last.real;
        let slept = if slept > SHORTEST_SLEEP { slept } else { 0 };
        let stepped = moved - Span::from_nanos(slept.cast_signed());
        let noise = Span::from_nanos(error.saturating_add(ROUNDING_NS).cast_signed());
        let stepped = if stepped.abs() > noise { stepped } else { Span::ZERO };
        if stepped != Span::ZERO || slept != 0 || now.error < self.last.error {
            self.last = now;
        }
        Ok(Seen { stepped, slept: Duration::from_nanos(slept), at: now.at })
    }

    /// Tells of a step that was our own, so that the next look does not report it.
    pub fn expect(&mut self, step: Span) {
        self.last.real = self.last.real + step;
    }

    fn silence(&self) -> io::Result<()> {
        let mut expirations = [0_u8; 8];
        // SAFETY: 8 octets are written to `expirations`.
        let read = crate::checked_len(unsafe {
            libc::read(self.timer.as_raw_fd(), expirations.as_mut_ptr().cast(), expirations.len())
        });
        match read {
            // The time of the timer itself came, so the clock was set to the end of time; it has to be armed anew.
            Ok(_) => arm(&self.timer),
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for ClockWatch {
    /// Readable once the clock was set, or the machine woke, since the last look.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

/// How far the other clocks are from the monotonic one.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    /// Real minus monotonic time, as an instant: what the real clock showed at monotonic zero.
    real: Timestamp,
    /// Boot minus monotonic time in ns: all sleep so far.
    boot: u64,
    /// By how much `real` may be wrong, ns.
    error: u64,
    at: Reading,
}

impl Offsets {
    fn read() -> Self {
        let (at, width) = best_of(LOOKS, || Timestamp::from_unix(realtime()));
        let (boot, _) = best_of_boot(LOOKS);
        let since_zero = Span::from_nanos(i64::try_from(at.mono.0).unwrap_or(i64::MAX));
        let error = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX);
        Self { real: at.real - since_zero, boot, error, at }
    }
}

/// Boot minus monotonic time in ns, and how wide the readings were.
fn best_of_boot(tries: u32) -> (u64, u64) {
    let look = || {
        let Mono(before) = monotonic();
        let Mono(boot) = boot_time();
        let Mono(after) = monotonic();
        let width = after.saturating_sub(before);
        (boot.saturating_sub(before + width / 2), width)
    };
    (1..tries).fold(look(), |best, _| {
        let next = look();
        if next.1 < best.1 { next } else { best }
    })
}

/// Sets the timer to a moment that does not come, to be told when the clock is set.
fn arm(timer: &OwnedFd) -> io::Result<()> {
    // Where the far end of 64 bits is not taken, that of 32 bits is.
    set_timer(timer, libc::time_t::MAX).or_else(|_| set_timer(timer, i32::MAX.into()))
}

fn set_timer(timer: &OwnedFd, seconds: libc::time_t) -> io::Result<()> {
    let never = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: seconds, tv_nsec: 0 },
    };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    // SAFETY: `never` is a live itimerspec, the old value is not asked for.
    let done = crate::checked(unsafe {
        libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const never, std::ptr::null_mut())
    });
    match done {
        // The clock was set before this timer had been armed for the first time, which it now is.
        Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(()),
        other => other.map(drop),
    }
}

/// Narrow readings are worth having here: the error decides how small a step is still seen.
const LOOKS: u32 = 8;
/// What turning nanoseconds into 2⁻³² s and back may add.
const ROUNDING_NS: u64 = 4;
/// Sleeps last seconds; less than this is an error of reading.
const SHORTEST_SLEEP: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll;

    #[test]
    fn a_clock_left_alone_shows_nothing() {
        let mut watch = ClockWatch::new().expect("a descriptor");
        for _ in 0..1000 {
            let seen = watch.look().expect("readable");
            assert!(!seen.anything(), "{seen:?}");
        }
        let readable = poll::readable(&[watch.as_fd()], Some(Duration::ZERO)).expect("poll");
        assert_eq!(readable, [false]);
    }

    #[test]
    fn a_step_that_was_announced_and_did_not_come_shows_the_other_way() {
        let mut watch = ClockWatch::new().expect("a descriptor");
        watch.expect(Span::from_seconds(3));
        let seen = watch.look().expect("readable");
        let off = seen.stepped + Span::from_seconds(3);
        assert!(off.abs() < Span::from_nanos(200_000), "{seen:?}");
        assert!(!watch.look().expect("readable").anything(), "told once");
    }
}
