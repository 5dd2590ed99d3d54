//! Why a datagram was not taken for an answer, and why an association ends.

use core::fmt;

use noonmark_nts::AnswerError;
use noonmark_packet::{DecodeError, KissCode, Mode, Version};

use crate::{Exchange, Unusable};

/// Why a datagram told us nothing. None of these changes what the association believes (RFC 5905 §8 says
/// otherwise; doing so lets strangers disturb it).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Nothing was asked, or the question is answered already.
    Unsolicited,
    /// It came after the window in which an answer is taken.
    Late,
    /// Its origin is not the stamp we sent: it answers another question, or nobody's (RFC 5905 §8, "bogus").
    WrongOrigin,
    /// It is not an NTP packet.
    Malformed(DecodeError),
    /// It is not in mode 4, server.
    WrongMode(Mode),
    /// We asked in version 4 and it came in another.
    WrongVersion(Version),
    /// A crypto-NAK, which proves nothing and ends nothing (CVE-2015-7871, CVE-2016-1547).
    CryptoNak,
    /// We asked with NTS and this does not prove its origin (RFC 8915 §5.7).
    Protection(AnswerError),
    /// A kiss on an NTS association without our unique identifier (RFC 8915 §5.7).
    ForeignKiss(KissCode),
    /// It really is the answer, and the time in it is not to be used.
    Unusable {
        /// Which rule it breaks.
        why: Unusable,
        /// What it says, for a person to read.
        exchange: Exchange,
    },
}

impl Refusal {
    /// A short name that stays the same, for counters and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unsolicited => "unsolicited",
            Self::Late => "late",
            Self::WrongOrigin => "wrong-origin",
            Self::Malformed(_) => "malformed",
            Self::WrongMode(_) => "wrong-mode",
            Self::WrongVersion(_) => "wrong-version",
            Self::CryptoNak => "crypto-nak",
            Self::Protection(_) => "not-authenticated",
            Self::ForeignKiss(_) => "foreign-kiss",
            Self::Unusable { why, .. } => why.name(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsolicited => f.write_str("an answer nobody waits for"),
            Self::Late => f.write_str("an answer after its window closed"),
            Self::WrongOrigin => f.write_str("an answer to another request (wrong origin)"),
            Self::Malformed(error) => write!(f, "not an NTP packet: {error}"),
            Self::WrongMode(mode) => write!(f, "not an answer but {mode}"),
            Self::WrongVersion(version) => write!(f, "an answer in another version ({version})"),
            Self::CryptoNak => f.write_str("a crypto-NAK, which proves nothing"),
            Self::Protection(error) => {
                write!(f, "an answer without valid proof of origin: {error}")
            }
            Self::ForeignKiss(code) => {
                write!(f, "a kiss {code} that does not carry our identifier")
            }
            Self::Unusable { why, .. } => why.fmt(f),
        }
    }
}

/// Why an association ends for good before its plan was carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GiveUp {
    /// The server said DENY or RSTR and proved that it was the server (RFC 5905 §7.4).
    Denied(KissCode),
    /// Fresh cookies were refused under every key set we have (NTSN).
    CookiesRefused,
    /// Key establishment failed, and waiting would not help.
    KeyEstablishment(KeFailure),
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(code) => {
                write!(f, "the server refuses to serve us ({code}, authenticated)")
            }
            Self::CookiesRefused => {
                f.write_str("the server refuses the cookies its key establishment gave (NTSN)")
            }
            Self::KeyEstablishment(failure) => failure.fmt(f),
        }
    }
}

/// What kind of failure of key establishment the association has to answer to; the I/O half knows the details.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeFailure {
    /// Nobody there, no answer in time, or the name does not resolve: try again later.
    Unreachable,
    /// The server could not prove who it is: wrong name, unknown authority, expired certificate.
    Untrusted,
    /// The server answered with an error record. Codes 0 and 1 mean that the same request will fail again
    /// (RFC 8915 §4.1.3).
    Refused {
        /// The code of the error record.
        code: u16,
    },
    /// The server's answer breaks RFC 8915, shares no algorithm with us, or points where we will not go.
    Unacceptable,
}

impl KeFailure {
    /// Whether asking the same again can only fail again (RFC 8915 §4.1.3, codes 0 and 1).
    pub(crate) const fn is_permanent(self) -> bool {
        matches!(self, Self::Refused { code: 0 | 1 })
    }
}

impl fmt::Display for KeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("key establishment got no answer"),
            Self::Untrusted => {
                f.write_str("the key-establishment server could not prove who it is")
            }
            Self::Refused { code } => {
                write!(f, "the key-establishment server refuses with error {code}")
            }
            Self::Unacceptable => {
                f.write_str("the key-establishment server's answer is not acceptable")
            }
        }
    }
}
