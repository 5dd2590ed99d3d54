use core::fmt;
use core::ops::{Add, Neg, Sub};

/// How much faster than true time a clock runs, in seconds per second; positive when the clock gains.
///
/// A floating-point number, never NaN: what cannot be computed becomes zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Frequency(f64);

impl Frequency {
    /// Neither gains nor loses.
    pub const ZERO: Self = Self(0.0);

    /// From seconds gained per second.
    #[must_use]
    pub const fn from_ratio(seconds_per_second: f64) -> Self {
        Self(if seconds_per_second.is_nan() { 0.0 } else { seconds_per_second })
    }

    /// From parts per million: microseconds gained per second.
    #[must_use]
    pub const fn from_ppm(ppm: f64) -> Self {
        Self::from_ratio(ppm * 1e-6)
    }

    /// Seconds gained per second.
    #[must_use]
    pub const fn as_ratio(self) -> f64 {
        self.0
    }

    /// Microseconds gained per second.
    #[must_use]
    pub const fn as_ppm(self) -> f64 {
        self.0 * 1e6
    }

    /// Without the sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// The nearest value in −`limit`..=`limit`; the sign of `limit` does not matter.
    #[must_use]
    pub const fn clamp_to(self, limit: Self) -> Self {
        let limit = limit.0.abs();
        Self(self.0.clamp(-limit, limit))
    }
}

impl Add for Frequency {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_ratio(self.0 + other.0)
    }
}

impl Sub for Frequency {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::from_ratio(self.0 - other.0)
    }
}

impl Neg for Frequency {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl fmt::Display for Frequency {
    /// In ppm with a sign: `+12.345 ppm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.3} ppm", self.as_ppm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_a_number_becomes_zero() {
        assert_eq!(Frequency::from_ratio(f64::NAN), Frequency::ZERO);
        let infinite = Frequency::from_ratio(f64::INFINITY);
        assert_eq!(infinite - infinite, Frequency::ZERO);
    }

    #[test]
    fn limit_holds_on_both_sides() {
        let limit = Frequency::from_ppm(-500.0);
        for (ppm, expected) in [(600.0, 500.0), (-600.0, -500.0), (3.0, 3.0)] {
            let clamped = Frequency::from_ppm(ppm).clamp_to(limit);
            assert!((clamped.as_ppm() - expected).abs() < 1e-9, "{ppm} gave {clamped}");
        }
    }
}
