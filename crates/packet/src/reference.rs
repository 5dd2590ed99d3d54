use core::fmt::{self, Write};

use noonmark_units::Line;

/// Reference id: 4 octets that name what the sender follows (RFC 5905 §7.3).
///
/// At stratum 0 a kiss code, at stratum 1 up to four ASCII characters naming a clock, above that an IPv4 address or the
/// first octets of a hash.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct ReferenceId(pub [u8; 4]);

impl ReferenceId {
    /// Four zero octets: nothing to name.
    pub const NONE: Self = Self([0; 4]);

    /// The id as it is read at `stratum` (the octet of the packet): characters up to 1, a dotted quad above.
    pub const fn display(self, stratum: u8) -> ReferenceIdText {
        if stratum <= 1 {
            ReferenceIdText::Characters(self.0)
        } else {
            ReferenceIdText::Quad(self.0)
        }
    }
}

/// A reference id ready to print; from [`ReferenceId::display`].
///
/// Characters end at the zero octets that fill up, and what is not printable ASCII appears as `\xff`; no id prints as
/// `-`.
#[derive(Clone, Copy, Debug)]
pub enum ReferenceIdText {
    /// Stratum 0 and 1.
    Characters([u8; 4]),
    /// Stratum 2 and above.
    Quad([u8; 4]),
}

impl fmt::Display for ReferenceIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::<20>::new();
        match self {
            Self::Characters([0, 0, 0, 0]) | Self::Quad([0, 0, 0, 0]) => line.write_char('-')?,
            Self::Characters(octets) => {
                let filled =
                    octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
                for octet in octets.iter().take(filled) {
                    write!(line, "{}", octet.escape_ascii())?;
                }
            }
            Self::Quad([a, b, c, d]) => write!(line, "{a}.{b}.{c}.{d}")?,
        }
        f.pad(line.as_str())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::KissCode;
    use std::string::ToString;

    #[test]
    fn ids_read_by_stratum() {
        let check = |id: &[u8; 4], stratum, text: &str| {
            assert_eq!(ReferenceId(*id).display(stratum).to_string(), text);
        };
        check(b"GPS\0", 1, "GPS");
        check(b"RATE", 0, "RATE");
        check(b"A\0B\0", 1, "A\\x00B");
        check(b"\xff\n\x1b\x7f", 1, "\\xff\\n\\x1b\\x7f");
        check(&[192, 0, 2, 1], 2, "192.0.2.1");
        check(b"GPS\0", 16, "71.80.83.0");
        check(&[0; 4], 1, "-");
        check(&[0; 4], 2, "-");
        assert_eq!(std::format!("{:>6}", KissCode::DENY), "  DENY");
    }
}
