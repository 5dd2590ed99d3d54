use core::fmt;

/// Leap indicator: the two highest bits of the first octet (RFC 5905 §7.3, figure 9).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Leap {
    /// 0: no leap second at the end of this month.
    None,
    /// 1: the last minute of the month has 61 seconds.
    InsertSecond,
    /// 2: the last minute of the month has 59 seconds.
    DeleteSecond,
    /// 3: the sender's clock was never set.
    Unsynchronised,
}

impl Leap {
    /// From the first octet of a packet.
    pub const fn from_octet(first: u8) -> Self {
        match first >> 6 {
            0 => Self::None,
            1 => Self::InsertSecond,
            2 => Self::DeleteSecond,
            _ => Self::Unsynchronised,
        }
    }

    /// The number, 0..=3.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Leap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "no leap",
            Self::InsertSecond => "leap second to insert",
            Self::DeleteSecond => "leap second to delete",
            Self::Unsynchronised => "unsynchronised",
        })
    }
}
