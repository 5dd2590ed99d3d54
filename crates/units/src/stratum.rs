use core::fmt;

/// How many servers away the reference clock is (RFC 5905 §7.3): 1 next to it, 2..=15 further, 16 unsynchronised.
///
/// 0 is "unspecified": an answer that carries it is a kiss-o'-death. On the wire 16 is written as 0, which is why
/// [`from_wire`](Self::from_wire) and [`to_wire`](Self::to_wire) are not inverse.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Stratum(u8);

impl Stratum {
    /// 0: the sender says nothing, or sends a kiss code.
    pub const UNSPECIFIED: Self = Self(0);
    /// 1: attached to a reference clock.
    pub const PRIMARY: Self = Self(1);
    /// 16: not synchronised.
    pub const UNSYNCHRONISED: Self = Self(16);

    /// From a number, which above 16 counts as 16.
    pub const fn new(number: u8) -> Self {
        Self(if number > 16 { 16 } else { number })
    }

    /// From the octet of a packet: 17..=255 are reserved and count as 16.
    pub const fn from_wire(octet: u8) -> Self {
        Self::new(octet)
    }

    /// The octet for a packet: 16 is written as 0 (RFC 5905 §7.3 and the peer process of §13).
    pub const fn to_wire(self) -> u8 {
        if self.0 == 16 { 0 } else { self.0 }
    }

    /// The number, 0..=16.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether a client may follow it: 1..=15.
    pub const fn is_synchronised(self) -> bool {
        1 <= self.0 && self.0 <= 15
    }

    /// The stratum of a server that follows one of this stratum: one more, and 16 once it cannot be told further.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.is_synchronised() { Self(self.0 + 1) } else { Self::UNSYNCHRONISED }
    }
}

impl fmt::Display for Stratum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_has_one_meaning() {
        let check = |octet, number, wire, synchronised, next| {
            let stratum = Stratum::from_wire(octet);
            assert_eq!(stratum.get(), number);
            assert_eq!(stratum.to_wire(), wire);
            assert_eq!(stratum.is_synchronised(), synchronised);
            assert_eq!(stratum.next().get(), next);
        };
        check(0, 0, 0, false, 16);
        check(1, 1, 1, true, 2);
        check(15, 15, 15, true, 16);
        for octet in 16..=255 {
            check(octet, 16, 0, false, 16);
        }
    }
}
