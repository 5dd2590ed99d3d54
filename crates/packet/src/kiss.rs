use core::fmt;

use crate::reference::ReferenceIdText;

/// Kiss code: the reference id of a packet of stratum 0, four ASCII characters (RFC 5905 §7.4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct KissCode(pub [u8; 4]);

impl KissCode {
    /// Access denied: stop asking.
    pub const DENY: Self = Self(*b"DENY");
    /// Access restricted: stop asking.
    pub const RSTR: Self = Self(*b"RSTR");
    /// Asking too often: ask less.
    pub const RATE: Self = Self(*b"RATE");
    /// NTS negative acknowledgment: cookie or tag not accepted (RFC 8915 §5.7).
    pub const NTSN: Self = Self(*b"NTSN");

    /// Whether it begins with `X`: for experiments, to be ignored if unknown.
    pub const fn is_private(self) -> bool {
        self.0[0] == b'X'
    }
}

impl fmt::Display for KissCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ReferenceIdText::Characters(self.0).fmt(f)
    }
}
