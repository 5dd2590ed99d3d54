use core::fmt;

/// Version number: three bits of the first octet, 0..=7 (RFC 5905 §7.3).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(u8);

impl Version {
    /// RFC 1059.
    pub const V1: Self = Self(1);
    /// RFC 1119.
    pub const V2: Self = Self(2);
    /// RFC 1305.
    pub const V3: Self = Self(3);
    /// RFC 5905.
    pub const V4: Self = Self(4);

    /// From the first octet of a packet.
    pub const fn from_octet(first: u8) -> Self {
        Self(first >> 3 & 7)
    }

    /// From a number; `None` above 7.
    pub const fn new(number: u8) -> Option<Self> {
        if number <= 7 { Some(Self(number)) } else { None }
    }

    /// The number, 0..=7.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
