use std::fmt;
use std::io;
use std::time::Duration;

use noonmark_clock::{Adjusted, Adjustment, KernelStatus, NotAdjusted, Reading, SystemClock};
use noonmark_packet::Leap;
use noonmark_units::{Frequency, Mono, Span};

use super::{Rate, discipline, reading};

/// The machine's clock, steered through `clock_adjtime`.
///
/// Only the rate and steps are used, never the kernel's own control loop: whatever another program left of that (an offset
/// being worked off, `adjtime(3)`) is ended before the first adjustment. What the kernel does by itself:
///
/// - A step marks the clock unsynchronised and forgets an armed leap second. The next [`Adjustment::Status`] sets both right;
///   a leap second is armed again no sooner than [`REARM_AFTER`] later, because the kernel has to see it unarmed in between.
/// - The bound on the error grows by 500 µs each second, and at 16 s the kernel marks the clock unsynchronised. A clock whose
///   status nobody renews is so after 9 hours at the latest.
/// - While it is marked synchronised, the kernel writes the time to the real-time clock chip every 11 minutes, where it was
///   built to.
/// - It carries out the leap second at the end of the UTC day and changes TAI − UTC with it.
///
/// Dropping it leaves the clock at the rate last set, whatever that was for: end a slew first.
#[derive(Debug)]
pub struct KernelClock {
    taken_over: bool,
    /// A leap second may have been armed when this clock was last stepped, at this moment.
    stepped_at: Option<Mono>,
}

/// How long after a step a leap second stays unarmed: the kernel looks once a second.
pub const REARM_AFTER: Duration = Duration::from_millis(2500);

impl KernelClock {
    /// Makes sure that the clock may be set, without setting it.
    ///
    /// # Errors
    /// [`NoRight`], for want of `CAP_SYS_TIME`, or because a system call filter or a user namespace is in the way.
    pub fn open() -> Result<Self, NoRight> {
        // No kernel has a tick of 0, and the right is looked at first: with the right this is an invalid argument, and without
        // it is refused. In neither case is anything set.
        let mut impossible = timex();
        impossible.modes = libc::ADJ_TICK;
        match adjtime(&mut impossible) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Ok(Self { taken_over: false, stepped_at: None })
            }
            Err(source) => Err(NoRight { source }),
            Ok(()) => Err(NoRight { source: io::ErrorKind::Unsupported.into() }),
        }
    }

    /// How much faster than by itself the clock runs now, whoever made it.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn rate(&self) -> io::Result<Frequency> {
        let now = discipline()?;
        Ok(Rate { tick: now.tick, frequency: now.frequency }.effective())
    }

    /// Ends what the kernel may still be doing to the clock on behalf of somebody before us.
    fn take_over(&mut self) -> io::Result<()> {
        if !self.taken_over {
            adjtime(&mut takeover()?)?;
            self.taken_over = true;
            self.stepped_at = Some(super::monotonic());
        }
        Ok(())
    }

    fn set_rate(&self, wanted: Frequency) -> io::Result<Adjustment> {
        let rate = Rate::nearest(wanted);
        let mut state = rate_request(rate);
        adjtime(&mut state)?;
        // The kernel keeps the frequency more finely and may tell it one unit lower.
        if wide(state.tick) != rate.tick || (wide(state.freq) - rate.frequency).abs() > 1 {
            return Err(io::Error::other(format!(
                "the kernel runs at tick {} and frequency {} where tick {} and frequency {} were asked for",
                state.tick, state.freq, rate.tick, rate.frequency
            )));
        }
        Ok(Adjustment::Rate(rate.effective()))
    }

    fn step(&mut self, by: Span) -> io::Result<Adjustment> {
        adjtime(&mut step_request(by)?)?;
        self.stepped_at = Some(super::monotonic());
        Ok(Adjustment::Step(Span::from_nanos(by.as_nanos())))
    }

    fn set_status(&mut self, wanted: &KernelStatus) -> io::Result<Adjustment> {
        let mut status = *wanted;
        if self.stepped_at.is_some_and(|at| super::monotonic().since(at) < REARM_AFTER) {
            status.leap = Leap::None;
        } else {
            self.stepped_at = None;
        }
        adjtime(&mut status_request(&status))?;
        if let Some(offset) = status.tai_offset {
            adjtime(&mut tai_request(offset)?)?;
        }
        Ok(Adjustment::Status(status))
    }
}

impl SystemClock for KernelClock {
    fn read(&mut self) -> Reading {
        reading()
    }

    /// The nearest possible rate is in effect afterwards, and told. A status that comes soon after a step is told, and in
    /// effect, without its leap second.
    fn adjust(&mut self, adjustment: &Adjustment) -> Result<Adjusted, NotAdjusted> {
        let done = self.take_over().and_then(|()| match adjustment {
            Adjustment::Rate(rate) => self.set_rate(*rate),
            Adjustment::Step(by) => self.step(*by),
            Adjustment::Status(status) => self.set_status(status),
        });
        match done {
            Ok(adjustment) => Ok(Adjusted { adjustment, at: reading() }),
            Err(error) => Err(NotAdjusted::Failed(format!("clock_adjtime: {error}"))),
        }
    }
}

/// This process may not set the clock.
#[derive(Debug)]
pub struct NoRight {
    source: io::Error,
}

impl fmt::Display for NoRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the clock cannot be set from here: {}; it takes the capability CAP_SYS_TIME, or clock = \"observe\" to only watch it",
            self.source
        )
    }
}

impl std::error::Error for NoRight {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The request that ends whatever moves the clock apart from its rate. Harmless to a clock nobody steers.
///
/// A step by nothing makes the kernel forget at once what its loop and `adjtime(3)` still had to do, where ending either by its own
/// means takes effect up to a second later. Every status bit goes, so the loop is off.
fn takeover() -> io::Result<libc::timex> {
    let mut request = step_request(Span::ZERO)?;
    request.modes |= libc::ADJ_STATUS;
    request.status = libc::STA_UNSYNC;
    Ok(request)
}

fn rate_request(rate: Rate) -> libc::timex {
    let mut request = timex();
    request.modes = libc::ADJ_TICK | libc::ADJ_FREQUENCY;
    request.tick = narrow(rate.tick);
    request.freq = narrow(rate.frequency);
    request
}

/// Seconds rounded towards the past, and nanoseconds where the structure says microseconds (`ADJ_NANO`).
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for 68 years forward on a 32-bit machine, which counts to a second less.
fn step_request(by: Span) -> io::Result<libc::timex> {
    let nanos = by.as_nanos();
    let mut request = timex();
    request.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
    request.time.tv_sec = fitting(nanos.div_euclid(1_000_000_000))?;
    request.time.tv_usec = narrow(nanos.rem_euclid(1_000_000_000));
    Ok(request)
}

fn status_request(status: &KernelStatus) -> libc::timex {
    let mut request = timex();
    request.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
    request.status = match status.leap {
        Leap::InsertSecond => libc::STA_INS,
        Leap::DeleteSecond => libc::STA_DEL,
        Leap::None | Leap::Unsynchronised => 0,
    };
    if !status.synchronised {
        request.status |= libc::STA_UNSYNC;
    }
    request.maxerror = narrow(microseconds_up(status.max_error));
    request.esterror = narrow(microseconds_up(status.estimated_error));
    request
}

fn tai_request(offset: i32) -> io::Result<libc::timex> {
    if !(0..=MAX_TAI_OFFSET).contains(&offset) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("TAI − UTC = {offset} s is not within 0..={MAX_TAI_OFFSET} s"),
        ));
    }
    let mut request = timex();
    request.modes = libc::ADJ_TAI;
    request.constant = narrow(i64::from(offset));
    Ok(request)
}

/// A bound must not become smaller by rounding; the kernel counts up to 16 s.
fn microseconds_up(error: Span) -> i64 {
    let nanos = error.as_nanos().clamp(0, 16_000_000_000);
    nanos.unsigned_abs().div_ceil(1000).cast_signed()
}

/// `MAX_TAI_OFFSET` of the kernel's ntp.c.
const MAX_TAI_OFFSET: i32 = 100_000;

fn timex() -> libc::timex {
    // SAFETY: `timex` is plain integers, for which all zero octets are a value.
    unsafe { std::mem::zeroed() }
}

/// Does what `request.modes` says and fills `request` with the state afterwards.
fn adjtime(request: &mut libc::timex) -> io::Result<()> {
    // SAFETY: `request` is a live, writable timex.
    crate::checked(unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, request) }).map(drop)
}

fn fitting<T: TryFrom<i64>>(value: i64) -> io::Result<T> {
    T::try_from(value).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// To a field of `timex`, which is narrower on 32-bit machines; what is written with this fits in 32 bits.
fn narrow<T: TryFrom<i64>>(value: i64) -> T {
    T::try_from(value).unwrap_or_else(|_| unreachable!("{value} was bounded to 32 bits"))
}

fn wide<T: Into<i64>>(value: T) -> i64 {
    value.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caps;

    /// Runs `test` in a thread that could not set the clock if it tried.
    fn without_the_right(test: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                caps::drop_sys_time().expect("a right can always be given up");
                assert!(!caps::sys_time().expect("readable").effective);
                test();
            });
            thread.join().expect("the test passes");
        });
    }

    #[test]
    fn without_the_right_there_is_no_kernel_clock_and_the_error_says_what_to_do() {
        without_the_right(|| {
            let complaint = KernelClock::open().expect_err("no right").to_string();
            assert!(complaint.contains("CAP_SYS_TIME"), "{complaint}");
            assert!(complaint.contains("observe"), "{complaint}");
        });
    }

    #[test]
    fn a_right_that_is_lost_later_makes_every_adjustment_fail_and_changes_nothing() {
        without_the_right(|| {
            let before = discipline().expect("reading needs no right");
            let status = KernelStatus {
                synchronised: true,
                max_error: Span::ZERO,
                estimated_error: Span::ZERO,
                leap: Leap::InsertSecond,
                tai_offset: Some(37),
            };
            let all = [
                Adjustment::Rate(Frequency::from_ppm(12.0)),
                Adjustment::Step(Span::from_seconds(1)),
                Adjustment::Status(status),
            ];
            for taken_over in [false, true] {
                let mut clock = KernelClock { taken_over, stepped_at: None };
                for adjustment in &all {
                    let refused = clock.adjust(adjustment).expect_err("no right");
                    assert!(
                        matches!(&refused, NotAdjusted::Failed(why) if why.contains("permitted")),
                        "{refused:?}"
                    );
                }
            }
            let after = discipline().expect("reading needs no right");
            let governed =
                |d: super::super::Discipline| (d.frequency, d.tick, d.status, d.tai_offset);
            assert_eq!(governed(before), governed(after));
        });
    }

    #[test]
    fn steps_are_nanoseconds_from_seconds_rounded_down() {
        let check = |nanos, seconds, rest| {
            let request = step_request(Span::from_nanos(nanos)).expect("64 bits");
            assert_eq!((request.time.tv_sec, request.time.tv_usec), (seconds, rest), "{nanos} ns");
            assert_eq!(request.modes, libc::ADJ_SETOFFSET | libc::ADJ_NANO);
        };
        check(0, 0, 0);
        check(1, 0, 1);
        check(-1, -1, 999_999_999);
        check(1_500_000_000, 1, 500_000_000);
        check(-1_500_000_000, -2, 500_000_000);
        check(Span::MAX.as_nanos(), 2_147_483_648, 0);
        check(Span::MIN.as_nanos(), -2_147_483_648, 0);
    }

    #[test]
    fn status_is_synchronised_only_when_told_and_never_the_kernels_loop() {
        let told = |synchronised, leap| {
            let bound = Span::from_nanos(1_001);
            status_request(&KernelStatus {
                synchronised,
                max_error: bound,
                estimated_error: -bound,
                leap,
                tai_offset: None,
            })
        };
        let check = |synchronised, leap, bits| {
            let request = told(synchronised, leap);
            assert_eq!(request.status, bits, "{synchronised} {leap}");
            assert_eq!(request.status & (libc::STA_PLL | libc::STA_FLL | libc::STA_FREQHOLD), 0);
            assert_eq!((request.maxerror, request.esterror), (2, 0), "rounded up, never negative");
        };
        check(true, Leap::None, 0);
        check(false, Leap::None, libc::STA_UNSYNC);
        check(true, Leap::InsertSecond, libc::STA_INS);
        check(true, Leap::DeleteSecond, libc::STA_DEL);
        check(false, Leap::Unsynchronised, libc::STA_UNSYNC);
        assert_eq!(microseconds_up(Span::MAX), 16_000_000, "the kernel's limit");
    }

    #[test]
    fn tai_offsets_beyond_the_kernels_are_refused() {
        assert_eq!(tai_request(37).expect("today's").constant, 37);
        assert!(tai_request(-1).is_err());
        assert!(tai_request(100_001).is_err());
    }
}
