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

    /// Whether `x_s` is within.
    pub(crate) fn contain(self, x_s: f64) -> bool {
        self.low_s <= x_s && x_s <= self.high_s
    }

    pub(crate) fn half_s(self) -> f64 {
        (self.high_s - self.low_s) / 2.0
    }
}

impl Motion {
    /// Before anything is known but that it is an oscillator.
    pub(crate) const UNKNOWN: Self = Self {
        frequency: 0.0,
        frequency_sigma: UNKNOWN_FREQUENCY,
        wander: 1e-7,
        likely_wander: 1e-8,
    };

    /// How far the offset may stray in `age_s` seconds from where the frequency takes it.
    pub(crate) fn growth_s(&self, age_s: f64) -> f64 {
        let steady = self.frequency_sigma * age_s;
        let walked = self.wander * (age_s.powi(3) / 3.0).sqrt();
        SIGMAS * steady.hypot(walked) + SURPRISE * age_s
    }
}

/// What an oscillator may be off before anything is known, one standard deviation.
pub(crate) const UNKNOWN_FREQUENCY: f64 = 2e-4;
/// How many standard deviations a bound covers.
const SIGMAS: f64 = 4.0;
/// What no model foresees: a change of temperature, a jolt. In seconds per second; chrony's `maxclockerror` is the same.
const SURPRISE: f64 = 1e-6;
