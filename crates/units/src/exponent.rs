use core::fmt;

use crate::{Line, Span, Timestamp};

/// Interval between polls as log2 of seconds (RFC 5905 §7.3). Any of the 256 values may arrive; none is an error.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PollExponent(pub i8);

impl PollExponent {
    /// The interval; clamps as [`Span::exp2`] does.
    pub const fn as_span(self) -> Span {
        Span::exp2(self.0)
    }
}

/// As a person says it: `64 s`, `1/8 s`; beyond ±30, where no interval makes sense, `2^127 s`.
impl fmt::Display for PollExponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            exponent @ 0..=30 => write!(f, "{} s", 1u32 << exponent),
            exponent @ -30..0 => write!(f, "1/{} s", 1u32 << -exponent),
            exponent => write!(f, "2^{exponent} s"),
        }
    }
}

/// How finely a clock can be read, as log2 of seconds (RFC 5905 §7.3): -20 is about a microsecond.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Precision(pub i8);

impl Precision {
    /// The resolution; clamps as [`Span::exp2`] does.
    pub const fn as_span(self) -> Span {
        Span::exp2(self.0)
    }

    /// The finest precision that does not claim more than `step`: 2 to its power is at least `step`.
    ///
    /// Between -32 and 31, because a step is a positive [`Span`]; what is not positive counts as one unit.
    pub const fn from_span(step: Span) -> Self {
        let bits = step.to_bits();
        if bits <= 1 {
            return Self(-32);
        }
        let ceil_log2 = i64::BITS - (bits - 1).leading_zeros(); // 1..=63
        Self(ceil_log2 as i8 - 32)
    }

    /// Reads the clock until it has moved a few dozen times and takes the smallest step, the larger of resolution and
    /// reading time (RFC 5905 §7.3: "the minimum time of several iterations to read the system clock").
    ///
    /// `None` if it stood still for ten thousand readings.
    pub fn measured(mut read_clock: impl FnMut() -> Timestamp) -> Option<Self> {
        let mut smallest = None;
        let mut moved = 0;
        let mut before = read_clock();
        for _ in 0..MOST_READINGS {
            let now = read_clock();
            let step = now - before;
            before = now;
            if step <= Span::ZERO {
                continue; // stood still, or was set back between two readings
            }
            smallest = Some(smallest.map_or(step, |smallest| step.min(smallest)));
            moved += 1;
            if moved == ENOUGH_STEPS {
                break;
            }
        }
        smallest.map(Self::from_span)
    }
}

/// As the [`Span`] it stands for, without a sign.
impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::new();
        self.as_span().write_magnitude(&mut line)?;
        f.pad(line.as_str())
    }
}

const MOST_READINGS: usize = 10_000;
const ENOUGH_STEPS: usize = 64;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn all_256_exponents_give_a_positive_span_that_never_shrinks() {
        let mut before = Span::ZERO;
        for exponent in i8::MIN..=i8::MAX {
            let span = PollExponent(exponent).as_span();
            assert!(span > Span::ZERO && span >= before, "{exponent}");
            assert_eq!(Precision(exponent).as_span(), span);
            assert!(!PollExponent(exponent).to_string().is_empty());
            before = span;
        }
        let check = |exponent, bits| assert_eq!(Precision(exponent).as_span().to_bits(), bits);
        check(i8::MIN, 1);
        check(-33, 1);
        check(-32, 1);
        check(-31, 2);
        check(0, 1 << 32);
        check(30, 1 << 62);
        check(31, i64::MAX);
        check(i8::MAX, i64::MAX);
    }

    #[test]
    fn precision_never_claims_more_than_the_step() {
        let check = |bits, exponent| {
            assert_eq!(Precision::from_span(Span::from_bits(bits)), Precision(exponent));
        };
        check(i64::MIN, -32);
        check(0, -32);
        check(1, -32);
        check(2, -31);
        check(3, -30);
        check(4, -30);
        check(1 << 32, 0);
        check((1 << 32) + 1, 1);
        check(i64::MAX, 31);
        assert_eq!(Precision::from_span(Span::from_nanos(30)), Precision(-24)); // 59.6 ns
    }

    #[test]
    fn a_clock_is_measured_by_its_smallest_step() {
        let mut count = 0;
        let mut clock = |unit: u64, every: u64| {
            count += 1;
            Timestamp::from_bits(count / every * unit)
        };
        assert_eq!(Precision::measured(|| clock(128, 1)), Some(Precision(-25)));
        assert_eq!(Precision::measured(|| clock(4_294_968, 100)), Some(Precision(-9))); // a 1 ms clock
        assert_eq!(Precision::measured(|| Timestamp::UNSET), None);
    }

    #[test]
    fn poll_intervals_read_as_seconds() {
        let check = |exponent, text: &str| assert_eq!(PollExponent(exponent).to_string(), text);
        check(6, "64 s");
        check(-3, "1/8 s");
        check(0, "1 s");
        check(-128, "2^-128 s");
        check(127, "2^127 s");
    }
}
