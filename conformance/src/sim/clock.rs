use noonmark_clock::{Adjusted, Adjustment, KernelStatus, NotAdjusted, Reading, SystemClock};
use noonmark_packet::Leap;
use noonmark_units::{Frequency, Mono, Span, Timestamp};

/// A node's clock as a Linux kernel of infinite `HZ` would keep it, over an oscillator whose frequency is wrong.
///
/// Between two events everything runs at a constant rate: the raw clock at 1 + e, the monotonic and the system clock at
/// (1 + e)·(tick/10000 + freq). `tick` moves in steps of 100 ppm within ±10 %, `freq` in 2⁻¹⁶ ppm within ±500 ppm; both act at
/// once. Steps are whole nanoseconds and move the system clock only. Readings are rounded to 1 ns and take no time.
#[derive(Clone, Debug)]
pub struct SimClock {
    start: Timestamp,
    /// True time, seconds since the start.
    now_s: f64,
    /// When the rate last changed: true time, and the raw and the monotonic clock then, all in seconds since the start. Both are
    /// computed from here, so that how often the clock is looked at does not show in the last bits.
    since_s: f64,
    raw_then_s: f64,
    mono_then_s: f64,
    /// System clock less (start + monotonic clock): the initial offset and all steps, in nanoseconds.
    stepped_nanos: i64,
    /// e: how much too fast the oscillator is, s/s.
    error: f64,
    tick: i32,
    freq_units: i32,
    status: Option<KernelStatus>,
    steps: u32,
    /// The end of a day that may have a leap second.
    day_ends: Option<Timestamp>,
    leaps: u32,
}

impl SimClock {
    /// A clock at true time zero, `offset_s` seconds ahead of `start`, the true date then.
    #[must_use]
    pub fn new(start: Timestamp, offset_s: f64) -> Self {
        Self {
            start,
            now_s: 0.0,
            since_s: 0.0,
            raw_then_s: 0.0,
            mono_then_s: 0.0,
            stepped_nanos: nanos(offset_s),
            error: 0.0,
            tick: TICK,
            freq_units: 0,
            status: None,
            steps: 0,
            day_ends: None,
            leaps: 0,
        }
    }

    /// Sets e, the oscillator's own error, within ±0.2.
    pub fn set_error(&mut self, error: f64) {
        self.begin_rate();
        self.error = error.clamp(-0.2, 0.2);
    }

    /// Lets time pass until the true time is `now_s`.
    pub fn advance_to(&mut self, now_s: f64) {
        self.now_s = now_s;
    }

    /// How fast the system clock runs: its seconds per true second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        (1.0 + self.error) * (1.0 + self.correction())
    }

    /// The clock less true time in seconds, positive when it is ahead.
    #[must_use]
    pub fn offset(&self) -> f64 {
        (self.mono_s() - self.now_s) + self.stepped_nanos as f64 * 1e-9
    }

    /// True seconds until the monotonic clock shows `deadline`, at the present rate; zero if it does already.
    #[must_use]
    pub fn until(&self, deadline: Mono) -> f64 {
        let nanos_left = deadline.0.saturating_sub(BOOT_NANOS) as f64;
        ((nanos_left * 1e-9 - self.mono_s()) / self.rate()).max(0.0)
    }

    /// Monotonic and system clock now.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let mono_nanos = nanos(self.mono_s());
        let real = self.start + Span::from_nanos(self.stepped_nanos.saturating_add(mono_nanos));
        Reading {
            mono: Mono(BOOT_NANOS.saturating_add_signed(mono_nanos)),
            real: real.never_unset(),
        }
    }

    /// The clock that no adjustment touches (`CLOCK_MONOTONIC_RAW`), in seconds since the start.
    #[must_use]
    pub fn raw(&self) -> f64 {
        self.raw_then_s + (self.now_s - self.since_s) * (1.0 + self.error)
    }

    fn mono_s(&self) -> f64 {
        self.mono_then_s + (self.now_s - self.since_s) * self.rate()
    }

    /// What has passed so far has passed at the old rate.
    fn begin_rate(&mut self) {
        (self.raw_then_s, self.mono_then_s) = (self.raw(), self.mono_s());
        self.since_s = self.now_s;
    }

    /// Somebody moves the system clock by so many seconds, positive forward; how far it went.
    pub fn step_from_outside(&mut self, by_s: f64) -> Span {
        let by = nanos(by_s);
        self.stepped_nanos = self.stepped_nanos.saturating_add(by);
        Span::from_nanos(by)
    }

    /// At this time the kernel carries out a leap second, if it is told to by then.
    pub fn set_day_end(&mut self, at: Timestamp) {
        self.day_ends = Some(at);
    }

    /// True seconds until the kernel sets the clock for a leap second; infinite without one.
    #[must_use]
    pub fn until_leap(&self) -> f64 {
        let Some((_, instant)) = self.armed() else { return f64::INFINITY };
        let left_s = (instant - self.reading().real).as_seconds_f64() / self.rate();
        if left_s < 0.0 { f64::INFINITY } else { left_s }
    }

    /// The kernel sets the clock for the leap second; how far it went. It needs to be told anew for another one.
    pub fn leap(&mut self) -> Span {
        let Some((by, _)) = self.armed() else { return Span::ZERO };
        self.stepped_nanos = self.stepped_nanos.saturating_add(by.as_nanos());
        self.leaps += 1;
        by
    }

    /// How often it did.
    #[must_use]
    pub fn leaps(&self) -> u32 {
        self.leaps
    }

    /// By how much the clock is to be set, and what it shows then. Like Linux, which does so once for each day.
    fn armed(&self) -> Option<(Span, Timestamp)> {
        let day_ends = self.day_ends.filter(|_| self.leaps == 0)?;
        match self.status?.leap {
            Leap::InsertSecond => Some((Span::from_seconds(-1), day_ends)),
            Leap::DeleteSecond => Some((Span::from_seconds(1), day_ends - Span::from_seconds(1))),
            Leap::None | Leap::Unsynchronised => None,
        }
    }

    /// What the node last told the kernel of the clock.
    #[must_use]
    pub fn status(&self) -> Option<&KernelStatus> {
        self.status.as_ref()
    }

    /// How often the node has stepped it.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// What the kernel adds to the oscillator's frequency, s/s.
    fn correction(&self) -> f64 {
        f64::from(self.tick - TICK) * TICK_STEP + f64::from(self.freq_units) * FREQ_UNIT
    }

    /// Coarse steps go into the tick, the rest into freq, as far as both reach.
    fn set_rate(&mut self, rate: f64) -> f64 {
        self.begin_rate();
        let ticks =
            (rate / TICK_STEP).round().clamp(-f64::from(TICK) / 10.0, f64::from(TICK) / 10.0);
        let rest = (rate - ticks * TICK_STEP).clamp(-MAX_FREQ, MAX_FREQ);
        self.tick = TICK + ticks as i32;
        self.freq_units = (rest / FREQ_UNIT).round() as i32;
        self.correction()
    }
}

impl SystemClock for SimClock {
    fn read(&mut self) -> Reading {
        self.reading()
    }

    fn adjust(&mut self, adjustment: &Adjustment) -> Result<Adjusted, NotAdjusted> {
        let adjustment = match *adjustment {
            Adjustment::Rate(rate) => {
                Adjustment::Rate(Frequency::from_ratio(self.set_rate(rate.as_ratio())))
            }
            Adjustment::Step(by) => {
                let by = by.as_nanos();
                self.stepped_nanos = self.stepped_nanos.saturating_add(by);
                self.steps += 1;
                Adjustment::Step(Span::from_nanos(by))
            }
            Adjustment::Status(status) => {
                self.status = Some(status);
                Adjustment::Status(status)
            }
        };
        Ok(Adjusted { adjustment, at: self.reading() })
    }
}

fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

/// Microseconds per tick when nothing is corrected (`USER_HZ` = 100).
const TICK: i32 = 10_000;
/// One microsecond more per tick: 100 ppm.
const TICK_STEP: f64 = 1e-4;
/// The unit of `freq`: 2⁻¹⁶ ppm.
const FREQ_UNIT: f64 = 1e-6 / 65536.0;
/// `freq` goes no further.
const MAX_FREQ: f64 = 500e-6;
/// What the monotonic clock shows at the start: the machine has been up for a while.
const BOOT_NANOS: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(offset_s: f64, error: f64) -> SimClock {
        let mut clock = SimClock::new(Timestamp::from_bits(0xf000_0000 << 32), offset_s);
        clock.set_error(error);
        clock
    }

    #[test]
    fn a_fast_oscillator_gains_and_a_correction_takes_it_back() {
        let mut clock = clock(0.1, 1e-4);
        clock.advance_to(1000.0);
        assert!((clock.offset() - 0.2).abs() < 1e-9);
        assert!((clock.raw() - 1000.1).abs() < 1e-9);
        clock.adjust(&Adjustment::Rate(Frequency::from_ratio(1.0 / 1.0001 - 1.0))).unwrap();
        clock.advance_to(2000.0);
        assert!((clock.offset() - 0.2).abs() < 1e-8);
        assert!((clock.raw() - 2000.2).abs() < 1e-9);
    }

    #[test]
    fn rates_are_rounded_to_what_the_kernel_has_and_reported_so() {
        let check = |asked: f64, expected: f64| {
            let done = clock(0.0, 0.0).adjust(&Adjustment::Rate(Frequency::from_ratio(asked)));
            let Ok(Adjusted { adjustment: Adjustment::Rate(rate), .. }) = done else {
                panic!("{done:?}")
            };
            assert!((rate.as_ratio() - expected).abs() < 1e-17, "{asked} became {rate:?}");
        };
        check(0.0, 0.0);
        check(FREQ_UNIT * 0.4, 0.0);
        check(-FREQ_UNIT * 7.6, -FREQ_UNIT * 8.0);
        check(0.05, 0.05);
        check(0.2, 0.1 + 500e-6);
        check(-0.2, -0.1 - 500e-6);
    }

    #[test]
    fn a_step_moves_the_system_clock_and_not_the_monotonic_one() {
        let mut clock = clock(0.0, 0.0);
        clock.advance_to(1.0);
        let before = clock.reading();
        let by = Span::from_nanos(-2_500_000_000);
        let done = clock.adjust(&Adjustment::Step(by)).unwrap();
        assert_eq!(done.at.mono, before.mono);
        assert_eq!((done.at.real - before.real).as_nanos(), by.as_nanos());
        assert!((clock.offset() + 2.5).abs() < 1e-9);
    }

    #[test]
    fn the_time_to_a_deadline_follows_the_rate() {
        let mut clock = clock(0.0, 0.0);
        clock.adjust(&Adjustment::Rate(Frequency::from_ratio(0.1))).unwrap();
        let deadline = Mono(BOOT_NANOS + 1_100_000_000);
        assert!((clock.until(deadline) - 1.0).abs() < 1e-12);
        clock.advance_to(1.0);
        assert!(clock.reading().mono >= deadline);
        assert!(clock.until(deadline) < 1e-12);
    }
}
