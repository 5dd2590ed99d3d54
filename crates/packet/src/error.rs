use core::fmt;

/// Why octets are not a packet. Offsets count from the start of the datagram (or of the plaintext walked).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DecodeError {
    /// Fewer octets than a header has (RFC 5905 §7.3).
    Truncated {
        /// Octets that came.
        len: usize,
    },
    /// The datagram is not a whole number of 32-bit words (RFC 5905 §7.3).
    LengthNotMultipleOfFour {
        /// Octets that came.
        len: usize,
    },
    /// A version whose packets have a layout we do not know: 0 or above 4.
    UnknownVersion {
        /// The version number of the first octet.
        version: u8,
    },
    /// An extension field whose length is too small, not a multiple of four, or beyond the end (RFC 7822 §3).
    FieldLength {
        /// Where the field starts.
        at: usize,
        /// The length it gives itself, header included.
        claimed: u16,
    },
    /// Octets that are neither a field nor a MAC nor a crypto-NAK (RFC 7822 §3, RFC 5905 §7.5.1).
    TrailerLength {
        /// Where they start.
        at: usize,
        /// How many there are.
        len: usize,
    },
    /// Four octets in the place of a crypto-NAK that are not all zero (RFC 5905 §7.3).
    TrailerNotZero {
        /// Where they start.
        at: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { len } => write!(f, "{len} octets are too few for a header"),
            Self::LengthNotMultipleOfFour { len } => {
                write!(f, "{len} octets are not a multiple of four")
            }
            Self::UnknownVersion { version } => write!(f, "unknown version {version}"),
            Self::FieldLength { at, claimed } => {
                write!(f, "extension field at {at} claims {claimed} octets")
            }
            Self::TrailerLength { at, len } => {
                write!(f, "{len} octets at {at} are neither an extension field nor a MAC")
            }
            Self::TrailerNotZero { at } => write!(f, "4 octets at {at} are not a crypto-NAK"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why a packet could not be written. Nothing was added to the buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EncodeError {
    /// The buffer is too short.
    NoRoom {
        /// Octets the addition takes.
        needed: usize,
        /// Octets left.
        room: usize,
    },
    /// A field can have 65532 octets with its header, and no more (RFC 7822 §3).
    FieldTooLong {
        /// Octets of the body given.
        body: usize,
    },
    /// A MAC's digest has 16 or 20 octets in version 4, 16 to 64 before (RFC 7822 §3); anything else would be read
    /// back as something else.
    DigestLength {
        /// Octets of the digest given.
        len: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { needed, room } => write!(f, "{needed} octets do not fit into {room}"),
            Self::FieldTooLong { body } => {
                write!(f, "{body} octets are too many for an extension field")
            }
            Self::DigestLength { len } => {
                write!(f, "a MAC cannot have a digest of {len} octets here")
            }
        }
    }
}

impl core::error::Error for EncodeError {}
