//! Intervals in which the truth must lie.

/// Bounds of a number that drifts, valid at one instant: true time minus the oscillator's, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low_s: f64,
    pub(crate) high_s: f64,
    /// The oscillator time they hold at.
    pub(crate) at_s: f64,
}

/// How the offset moves between measurements, and how well that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Motion {
    /// Growth of the offset in seconds per second.
    pub(crate) frequency: f64,
    /// Standard deviation of that.
    pub(crate) frequency_sigma: f64,
    /// Standard deviation of its change in one second: what must be reckoned with, and what is most likely.
    pub(crate) wander: f64,
    pub(crate) likely_wander: f64,
    /// How many standard deviations a bound has to cover.
    pub(crate) sigmas: f64,
    /// What no model foresees: a change of temperature, a jolt. In seconds per second.
    pub(crate) surprise: f64,
}

impl Bounds {
    /// What one answer shows: its server's time lies within half the round trip and the server's own bound of the middle.
    pub(crate) fn around(middle_s: f64, half_s: f64, at_s: f64) -> Self {
        Self { low_s: middle_s - half_s, high_s: middle_s + half_s, at_s }
    }

    /// The bounds at another instant: moved, and wider the further it is away.
    pub(crate) fn at(self, at_s: f64, motion: &Motion) -> Self {
        let t = at_s - self.at_s;
        let age = t.abs();
        let moved = t * motion.frequency;
        let growth = motion.growth_s(age);
        Self { low_s: self.low_s + moved - growth, high_s: self.high_s + moved + growth, at_s }
    }

    /// Where both hold; `None` if they contradict each other. Both must be of the same instant.
    pub(crate) fn intersect(self, other: Self) -> Option<Self> {
        let (low_s, high_s) = (self.low_s.max(other.low_s), self.high_s.min(other.high_s));
        (low_s <= high_s).then_some(Self { low_s, high_s, at_s: self.at_s })
    }

    /// The same, or, where they are closer than this, so far to each side of the middle.
    pub(crate) fn at_least(self, half_s: f64) -> Self {
        if self.half_s() >= half_s {
            return self;
        }
        Self::around(f64::midpoint(self.low_s, self.high_s), half_s, self.at_s)
    }

    /// How far apart they are; negative by as much as they overlap.
    pub(crate) fn gap_s(self, other: Self) -> f64 {
        self.low_s.max(other.low_s) - self.high_s.min(other.high_s)
    }

    /// Whether `x_s` is within.
    pub(crate) fn contain(self, x_s: f64) -> bool {
        self.low_s <= x_s && x_s <= self.high_s
    }

    pub(crate) fn half_s(self) -> f64 {
        (self.high_s - self.low_s) / 2.0
    }
}

impl Motion {
    /// Once there is a history to judge by.
    pub(crate) const SIGMAS: f64 = 4.0;
    /// Before, when the standard deviation itself is hardly known.
    pub(crate) const SIGMAS_UNSETTLED: f64 = 10.0;

    /// Before anything is known but that it is an oscillator.
    pub(crate) const fn unknown(surprise: f64) -> Self {
        Self {
            frequency: 0.0,
            frequency_sigma: UNKNOWN_FREQUENCY,
            wander: 1e-7,
            likely_wander: 1e-8,
            sigmas: Self::SIGMAS_UNSETTLED,
            surprise,
        }
    }

    /// How far the offset may stray in `age_s` seconds from where the frequency takes it.
    pub(crate) fn growth_s(&self, age_s: f64) -> f64 {
        let steady = self.frequency_sigma * age_s;
        let walked = self.wander * (age_s.powi(3) / 3.0).sqrt();
        self.sigmas * steady.hypot(walked) + self.surprise * age_s
    }
}

/// What an oscillator may be off before anything is known, one standard deviation.
pub(crate) const UNKNOWN_FREQUENCY: f64 = 2e-4;

#[cfg(test)]
mod tests {
    use super::*;

    const SURPRISE: f64 = 3e-6;
    const STEADY: Motion =
        Motion { frequency: 1e-5, frequency_sigma: 1e-7, wander: 0.0, ..Motion::unknown(SURPRISE) };

    fn bounds(low_s: f64, high_s: f64) -> Bounds {
        Bounds { low_s, high_s, at_s: 0.0 }
    }

    #[test]
    fn an_answer_bounds_the_truth_on_both_sides_of_its_middle() {
        let found = Bounds::around(5.0, 2.0, 7.0);
        assert_eq!(found, Bounds { low_s: 3.0, high_s: 7.0, at_s: 7.0 });
        assert!((found.half_s() - 2.0).abs() < 1e-15);
    }

    #[test]
    fn bounds_move_with_the_oscillator_and_grow_either_way_in_time() {
        let check = |at_s: f64, moved_s: f64| {
            let found = bounds(-1.0, 1.0).at(at_s, &STEADY);
            let growth_s = STEADY.growth_s(at_s.abs());
            assert!((found.low_s - (-1.0 + moved_s - growth_s)).abs() < 1e-12, "{found:?}");
            assert!((found.high_s - (1.0 + moved_s + growth_s)).abs() < 1e-12, "{found:?}");
            assert!((found.at_s - at_s).abs() < 1e-12);
        };
        check(0.0, 0.0);
        check(1000.0, 0.01);
        check(-1000.0, -0.01);
    }

    /// The standard deviation of the offset after t seconds: σt of the frequency, and w·√(t³/3) of a random walk of w each second.
    #[test]
    fn growth_is_some_standard_deviations_and_a_part_for_surprises() {
        let check = |motion: Motion, age_s: f64, sigma_s: f64| {
            let sigmas = (motion.growth_s(age_s) - SURPRISE * age_s) / sigma_s;
            assert!((3.999..10.001).contains(&sigmas), "{motion:?}, {age_s}: {sigmas}");
            sigmas
        };
        let walking = Motion { frequency_sigma: 0.0, wander: 1e-8, ..STEADY };
        let both = Motion { frequency_sigma: 4e-7, ..walking };
        let sigmas = check(STEADY, 1000.0, 1e-4);
        for again in [
            check(STEADY, 1.0, 1e-7),
            check(walking, 300.0, 3e-5),
            check(walking, 1200.0, 2.4e-4),
            check(both, 300.0, 1.2e-4f64.hypot(3e-5)),
        ] {
            assert!((again - sigmas).abs() < 1e-9);
        }
        assert_eq!(walking.growth_s(0.0), 0.0);
    }

    #[test]
    fn what_nobody_knows_yet_grows_fastest() {
        assert!(Motion::unknown(1e-6).growth_s(64.0) > 4.0 * 2e-4 * 64.0);
    }

    #[test]
    fn two_bounds_hold_where_both_hold() {
        let check = |a: Bounds, b: Bounds, expected: Option<Bounds>| {
            assert_eq!(a.intersect(b), expected);
            assert_eq!(b.intersect(a), expected);
        };
        check(bounds(0.0, 2.0), bounds(1.0, 3.0), Some(bounds(1.0, 2.0)));
        check(bounds(0.0, 9.0), bounds(1.0, 3.0), Some(bounds(1.0, 3.0)));
        check(bounds(0.0, 1.0), bounds(1.0, 3.0), Some(bounds(1.0, 1.0)));
        check(bounds(0.0, 1.0), bounds(1.1, 3.0), None);
    }

    #[test]
    fn both_ends_belong_to_it() {
        let found = bounds(-1.0, 1.0);
        for (x_s, within) in [(-1.1, false), (-1.0, true), (0.0, true), (1.0, true), (1.1, false)] {
            assert_eq!(found.contain(x_s), within, "{x_s}");
        }
        assert!(!found.contain(f64::NAN));
    }
}
