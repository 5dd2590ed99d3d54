//! The undisciplined oscillator's time, recovered from the clock that was steered.

use std::collections::VecDeque;

use noonmark_units::{Frequency, Mono};

/// What the clock was told to do and when, so that any monotonic instant can be put on the time of the undisciplined oscillator.
///
/// Estimating on that time, the estimator never sees its own corrections: a slew half done needs no bookkeeping.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    segments: VecDeque<Segment>,
}

/// From `mono` on, one oscillator second is `1 + rate` monotonic seconds.
#[derive(Clone, Copy, Debug)]
struct Segment {
    mono: Mono,
    /// Oscillator seconds since the ledger was opened.
    raw_s: f64,
    rate: f64,
}

impl Ledger {
    /// Opens the ledger at `now`, where the clock runs at `rate`.
    pub(crate) fn new(now: Mono, rate: Frequency) -> Self {
        let first = Segment { mono: now, raw_s: 0.0, rate: rate.as_ratio() };
        Self { segments: VecDeque::from([first]) }
    }

    /// Notes that the clock runs at `rate` from `at` on.
    pub(crate) fn note(&mut self, at: Mono, rate: Frequency) {
        let at = at.max(self.last().mono);
        let raw_s = self.raw_s(at);
        if self.segments.len() == REMEMBERED {
            self.segments.pop_front();
        }
        self.segments.push_back(Segment { mono: at, raw_s, rate: rate.as_ratio() });
    }

    /// Oscillator seconds since the ledger was opened, at the monotonic instant `at`. Right for instants as old as the
    /// oldest change of rate remembered, and a good guess before.
    pub(crate) fn raw_s(&self, at: Mono) -> f64 {
        let segment =
            self.segments.iter().rev().find(|segment| segment.mono <= at).unwrap_or_else(|| {
                self.segments.front().expect("a ledger is never without a segment")
            });
        segment.raw_s + seconds_from(segment.mono, at) / (1.0 + segment.rate)
    }

    fn last(&self) -> &Segment {
        self.segments.back().expect("a ledger is never without a segment")
    }
}

/// Signed seconds from `start` to `end`.
fn seconds_from(start: Mono, end: Mono) -> f64 {
    end.since(start).as_secs_f64() - start.since(end).as_secs_f64()
}

/// Longer than any answer is waited for, at the fastest pace corrections come.
const REMEMBERED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn each_stretch_counts_at_its_own_rate() {
        let mut ledger = Ledger::new(Mono(0), Frequency::ZERO);
        ledger.note(Mono(10 * SECOND), Frequency::from_ratio(0.25));
        ledger.note(Mono(20 * SECOND), Frequency::from_ratio(-0.5));
        for (mono_s, raw_s) in [(0, 0.0), (5, 5.0), (10, 10.0), (15, 14.0), (20, 18.0), (21, 20.0)]
        {
            let found = ledger.raw_s(Mono(mono_s * SECOND));
            assert!((found - raw_s).abs() < 1e-12, "at {mono_s} s: {found}, not {raw_s}");
        }
    }

    #[test]
    fn changes_without_end_take_no_more_memory() {
        let mut ledger = Ledger::new(Mono(0), Frequency::ZERO);
        for n in 1..1000 {
            ledger.note(Mono(n * SECOND), Frequency::ZERO);
        }
        assert_eq!(ledger.segments.len(), REMEMBERED);
        assert!((ledger.raw_s(Mono(1000 * SECOND)) - 1000.0).abs() < 1e-9);
    }
}
