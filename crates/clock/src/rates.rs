//! How fast an offset can grow, as far as intervals alone tell.

use crate::bounds::{Bounds, Motion};

/// The slowest and the fastest an offset may grow, in seconds per second.
///
/// Two answers say where the truth was at two instants, and so how fast it can have moved at most: no belief about crystals enters, which is
/// why this holds from the first second, and for the worst of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    pub(crate) slowest: f64,
    pub(crate) fastest: f64,
    /// What an answer showed, to compare later ones with.
    since: Option<Bounds>,
}

impl Rates {
    /// Anything up to this much either way.
    pub(crate) fn within(most: f64) -> Self {
        Self { slowest: -most, fastest: most, since: None }
    }

    /// Takes in what one answer shows by itself. The frequency may have changed by `surprise` since the one it is compared with.
    pub(crate) fn learn(&mut self, shown: Bounds, surprise: f64, most: f64) {
        let Some(since) = self.since else {
            self.since = Some(shown);
            return;
        };
        let elapsed_s = shown.at_s - since.at_s;
        if elapsed_s <= 0.0 {
            return;
        }
        let slowest = ((shown.low_s - since.high_s) / elapsed_s - surprise).max(-most);
        let fastest = ((shown.high_s - since.low_s) / elapsed_s + surprise).min(most);
        if slowest > fastest {
            // Faster than any crystal is allowed to be: the answers contradict each other.
            *self = Self { since: Some(shown), ..Self::within(most) };
            return;
        }
        let narrower = (self.slowest.max(slowest), self.fastest.min(fastest));
        (self.slowest, self.fastest) =
            if narrower.0 <= narrower.1 { narrower } else { (slowest, fastest) };
        if elapsed_s > LONGEST_S {
            (self.slowest, self.fastest) = (slowest, fastest);
            self.since = Some(shown);
        }
    }

    /// The same as an interval, to be compared with those of others.
    pub(crate) fn as_bounds(&self) -> Bounds {
        Bounds { low_s: self.slowest, high_s: self.fastest, at_s: 0.0 }
    }

    /// How bounds move by them.
    pub(crate) fn motion(&self, surprise: f64) -> Motion {
        Motion {
            frequency: f64::midpoint(self.slowest, self.fastest),
            frequency_sigma: 0.0,
            surprise: (self.fastest - self.slowest) / 2.0 + surprise,
            ..Motion::unknown(surprise)
        }
    }
}

impl From<Bounds> for Rates {
    fn from(bounds: Bounds) -> Self {
        Self { slowest: bounds.low_s, fastest: bounds.high_s, since: None }
    }
}

/// After so long the oscillator may have become another: what is compared with is exchanged, s.
const LONGEST_S: f64 = 4000.0;

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: f64 = 0.1;

    /// Answers every `step_s` with this half-width, of an oscillator that is off by `frequency`; errors at the ends of what may be.
    fn learned(frequency: f64, step_s: f64, half_s: f64, count: u32) -> Rates {
        let mut rates = Rates::within(MOST);
        for n in 0..count {
            let at_s = f64::from(n) * step_s;
            let error_s = if n % 3 == 0 { half_s } else { -half_s / 2.0 };
            rates.learn(Bounds::around(frequency * at_s + error_s, half_s, at_s), 1e-6, MOST);
        }
        rates
    }

    #[test]
    fn the_frequency_is_within_from_the_first_answer_on() {
        for frequency in [0.0, 1e-5, -3e-4, 0.05, -0.05, 0.0999] {
            for (step_s, half_s) in [(2.0, 1e-3), (64.0, 1e-3), (64.0, 0.5), (1024.0, 1e-5)] {
                for count in 0..20 {
                    let found = learned(frequency, step_s, half_s, count);
                    let within = found.slowest <= frequency && frequency <= found.fastest;
                    assert!(within, "{frequency}, {step_s}, {half_s}, {count}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn two_answers_say_more_than_one_and_later_ones_more_than_that() {
        let width = |count| {
            let found = learned(0.05, 64.0, 1e-3, count);
            found.fastest - found.slowest
        };
        assert!((width(1) - 2.0 * MOST).abs() < 1e-12);
        assert!(width(2) < 7e-5, "{}", width(2));
        assert!(width(10) < width(2) / 5.0, "{}", width(10));
    }

    #[test]
    fn answers_no_crystal_explains_teach_nothing() {
        let mut rates = Rates::within(MOST);
        rates.learn(Bounds::around(0.0, 1e-3, 0.0), 1e-6, MOST);
        rates.learn(Bounds::around(10.0, 1e-3, 64.0), 1e-6, MOST);
        assert_eq!((rates.slowest, rates.fastest), (-MOST, MOST));
    }
}
