use core::fmt::{self, Write};
use core::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use core::time::Duration;

use crate::Line;

/// Signed length of time in 2⁻³² s. As an offset, positive means the server is ahead of us.
///
/// Reaches 68 years either way and saturates there. Displayed with its sign and the unit that leaves one to three
/// digits before the point: `+1.234 ms`, `-87.000 µs`, `0 s`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span into the past, just over 68 years.
    pub const MIN: Self = Self(i64::MIN);
    /// The longest span, just under 68 years and 18 days.
    pub const MAX: Self = Self(i64::MAX);

    /// From a count of 2⁻³² s.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits)
    }

    /// The count of 2⁻³² s.
    pub const fn to_bits(self) -> i64 {
        self.0
    }

    /// From nanoseconds, rounded to the nearest 2⁻³² s.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self::from_nanos_wide(nanos as i128)
    }

    pub(crate) const fn from_nanos_wide(nanos: i128) -> Self {
        // What cannot fit must go before the shift, which would lose its high bits.
        if nanos > 1 << 62 {
            Self::MAX
        } else if nanos < -(1 << 62) {
            Self::MIN
        } else {
            Self::clamped(div_nearest(nanos << 32, 1_000_000_000))
        }
    }

    /// In nanoseconds, rounded to the nearest; `from_nanos(n).as_nanos() == n` wherever `from_nanos` did not saturate.
    pub const fn as_nanos(self) -> i64 {
        div_nearest(self.0 as i128 * 1_000_000_000, 1 << 32) as i64 // at most 2³¹ · 10⁹ < 2⁶³
    }

    /// From whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::clamped((seconds as i128) << 32)
    }

    /// From seconds; not a number gives zero.
    pub const fn from_seconds_f64(seconds: f64) -> Self {
        Self((seconds * UNITS_PER_SECOND) as i64) // `as` saturates and takes NaN to 0
    }

    /// In seconds.
    pub const fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / UNITS_PER_SECOND
    }

    /// From an unsigned duration.
    pub const fn from_duration(duration: Duration) -> Self {
        Self::from_nanos_wide(duration.as_nanos() as i128)
    }

    /// As an unsigned duration; what is negative becomes zero.
    pub const fn to_duration(self) -> Duration {
        let nanos = self.as_nanos();
        if nanos < 0 { Duration::ZERO } else { Duration::from_nanos(nanos.cast_unsigned()) }
    }

    /// 2 to the power of `exponent` seconds. Above 2³⁰ s it is [`Span::MAX`]; below 2⁻³² s it is one unit, so that
    /// what was a bound on an error is never rounded to "none".
    pub const fn exp2(exponent: i8) -> Self {
        match exponent {
            31.. => Self::MAX,
            -32..31 => Self(1 << (exponent + 32)),
            ..-32 => Self(1),
        }
    }

    /// Without its sign; [`Span::MIN`] becomes [`Span::MAX`].
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Half of it, rounded towards zero.
    #[must_use]
    pub const fn half(self) -> Self {
        Self(self.0 / 2)
    }

    /// Whether it points into the past (as an offset: the server is behind us).
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The length without sign, in the unit that leaves one to three digits before the point.
    pub(crate) fn write_magnitude(self, line: &mut Line<32>) -> fmt::Result {
        if self.0 == 0 {
            return line.write_str("0 s");
        }
        let picos = div_nearest(i128::from(self.abs().0) * 1_000_000_000_000, 1 << 32);
        for (unit, picos_per_thousandth) in UNITS {
            let thousandths = div_nearest(picos, picos_per_thousandth);
            if thousandths < 1_000_000 || unit == "s" {
                return write!(line, "{}.{:03} {unit}", thousandths / 1000, thousandths % 1000);
            }
        }
        Ok(())
    }

    const fn clamped(bits: i128) -> Self {
        if bits > i64::MAX as i128 {
            Self::MAX
        } else if bits < i64::MIN as i128 {
            Self::MIN
        } else {
            Self(bits as i64)
        }
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Span {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Span {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0 s");
        }
        let mut line = Line::<32>::new();
        line.write_char(if self.0 < 0 { '-' } else { '+' })?;
        self.write_magnitude(&mut line)?;
        f.pad(line.as_str())
    }
}

/// Rounds to the nearest, halves away from zero.
const fn div_nearest(dividend: i128, divisor: i128) -> i128 {
    let half = if dividend < 0 { -(divisor / 2) } else { divisor / 2 };
    (dividend + half) / divisor
}

const UNITS_PER_SECOND: f64 = 4_294_967_296.0;
const UNITS: [(&str, i128); 4] = [("ns", 1), ("µs", 1000), ("ms", 1_000_000), ("s", 1_000_000_000)];

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn spans_print_with_sign_and_a_fitting_unit() {
        let check = |nanos, text: &str| assert_eq!(Span::from_nanos(nanos).to_string(), text);
        check(0, "0 s");
        check(1, "+0.931 ns"); // the nearest 2⁻³² s
        check(999, "+999.076 ns");
        check(1_000, "+1.000 µs");
        check(-87_000, "-87.000 µs");
        check(1_234_000, "+1.234 ms");
        check(999_999_999, "+1.000 s");
        check(-1_500_000_000, "-1.500 s");
        check(i64::MAX, "+2147483648.000 s");
        check(i64::MIN, "-2147483648.000 s");
        assert_eq!(format!("[{:>12}]", Span::from_nanos(-87_000)), "[  -87.000 µs]");
    }

    #[test]
    fn sums_stop_at_the_ends() {
        assert_eq!(Span::MAX + Span::from_bits(1), Span::MAX);
        assert_eq!(Span::MIN - Span::from_bits(1), Span::MIN);
        assert_eq!(-Span::MIN, Span::MAX);
        assert_eq!(Span::MIN.abs(), Span::MAX);
        let mut span = Span::MAX;
        span += Span::MAX;
        span -= Span::MAX;
        assert_eq!(span, Span::ZERO);
    }

    #[test]
    fn conversions_stop_at_the_ends() {
        assert_eq!(Span::from_seconds(i64::MAX), Span::MAX);
        assert_eq!(Span::from_seconds(i64::MIN), Span::MIN);
        assert_eq!(Span::from_seconds(-2), Span::from_nanos(-2_000_000_000));
        assert_eq!(Span::from_nanos(i64::MAX), Span::MAX);
        assert_eq!(Span::from_nanos(i64::MIN), Span::MIN);
        assert_eq!(Span::from_duration(Duration::MAX), Span::MAX);
        assert_eq!(Span::from_seconds_f64(f64::INFINITY), Span::MAX);
        assert_eq!(Span::from_seconds_f64(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_seconds_f64(-0.5).as_nanos(), -500_000_000);
        assert_eq!(Span::from_nanos(-1).to_duration(), Duration::ZERO);
        assert_eq!(Span::from_nanos(15).to_duration(), Duration::from_nanos(15));
        assert_eq!(Span::MAX.as_nanos(), 2_147_483_648_000_000_000);
    }
}
