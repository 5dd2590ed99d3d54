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

    /// How bounds move: as known, or, where the answers contradict that, by both, for either may be wrong; by these while nothing is known.
    ///
    /// What is known was learned from all who were followed, and a liar among them may have bent it.
    pub(crate) fn motion_with(&self, known: Option<Motion>, surprise: f64) -> Motion {
        let Some(known) = known else { return self.motion(surprise) };
        if self.as_bounds().contain(known.frequency) {
            return known;
        }
        let slowest = self.slowest.min(known.frequency);
        let fastest = self.fastest.max(known.frequency);
        Motion {
            frequency: f64::midpoint(slowest, fastest),
            surprise: (fastest - slowest) / 2.0 + surprise,
            ..known
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
    const SURPRISE: f64 = 1e-6;

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
    fn bounds_move_as_known_and_by_the_answers_too_where_they_contradict_it() {
        let rates = Rates { slowest: -2e-6, fastest: 4e-6, since: None };
        let known = |frequency| Motion {
            frequency,
            frequency_sigma: 1e-8,
            wander: 0.0,
            sigmas: Motion::SIGMAS,
            ..Motion::unknown(SURPRISE)
        };
        // Where the truth can be after 1000 s at the slowest and at the fastest, ms.
        let check = |known: Motion, low_ms: f64, high_ms: f64| {
            let motion = rates.motion_with(Some(known), SURPRISE);
            let found = Bounds::around(0.0, 0.0, 0.0).at(1000.0, &motion);
            let off = (found.low_s * 1e3 - low_ms).abs().max((found.high_s * 1e3 - high_ms).abs());
            assert!(off < 1e-9, "{known:?}: {found:?}");
        };
        check(known(0.0), -1.04, 1.04);
        check(known(4e-6), 2.96, 5.04);
        check(known(1.6e-5), -3.04, 17.04);
        check(known(-1e-5), -11.04, 5.04);
        let unknown = rates.motion_with(None, SURPRISE);
        assert!(
            (unknown.frequency - 1e-6).abs() < 1e-12 && (unknown.surprise - 4e-6).abs() < 1e-12
        );
    }

    #[test]
    fn answers_no_crystal_explains_teach_nothing() {
        let mut rates = Rates::within(MOST);
        rates.learn(Bounds::around(0.0, 1e-3, 0.0), 1e-6, MOST);
        rates.learn(Bounds::around(10.0, 1e-3, 64.0), 1e-6, MOST);
        assert_eq!((rates.slowest, rates.fastest), (-MOST, MOST));
    }
}
