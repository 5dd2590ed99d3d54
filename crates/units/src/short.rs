use core::fmt;
use core::ops::Add;

use crate::{Line, Span};

/// Unsigned length of time in 2⁻¹⁶ s: root delay and root dispersion (RFC 5905 §6, "short format").
///
/// 4 octets on the wire; 15 µs to 18 hours. Clamps, and rounds up, because both fields bound an error.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Short(u32);

impl Short {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest: 65536 s less one unit.
    pub const MAX: Self = Self(u32::MAX);

    /// From a count of 2⁻¹⁶ s.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The count of 2⁻¹⁶ s.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// From 4 octets as on the wire, most significant first.
    pub const fn from_octets(octets: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(octets))
    }

    /// The 4 octets of the wire, most significant first.
    pub const fn to_octets(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// The shortest that is not below `span`. What is negative gives zero, what is too long gives [`Short::MAX`]:
    /// a dispersion that has grown for days must not wrap and look small again.
    pub const fn from_span_ceil(span: Span) -> Self {
        let bits = span.to_bits();
        if bits <= 0 {
            return Self::ZERO;
        }
        let units = (bits >> 16) + if bits & 0xffff == 0 { 0 } else { 1 };
        if units > u32::MAX as i64 { Self::MAX } else { Self(units as u32) }
    }

    /// The same length, exactly.
    pub const fn to_span(self) -> Span {
        Span::from_bits((self.0 as i64) << 16)
    }
}

/// Stops at [`Short::MAX`].
impl Add for Short {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// As the [`Span`] of the same length, without a sign.
impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::new();
        self.to_span().write_magnitude(&mut line)?;
        f.pad(line.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_up_and_clamped() {
        let check =
            |bits, short| assert_eq!(Short::from_span_ceil(Span::from_bits(bits)).to_bits(), short);
        check(0, 0);
        check(-1, 0);
        check(i64::MIN, 0);
        check(1, 1);
        check(0x1_0000, 1);
        check(0x1_0001, 2);
        check(0xffff_ffff_0000, u32::MAX);
        check(0xffff_ffff_0001, u32::MAX); // rounding up would wrap to zero
        check(i64::MAX, u32::MAX);
    }

    #[test]
    fn sums_stop_at_the_end() {
        assert_eq!(Short::MAX + Short::from_bits(1), Short::MAX);
    }
}
