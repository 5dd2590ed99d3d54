use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The NTP server a key exchange names, as the Server Negotiation record carries it (RFC 8915 §4.1.7): a dotted IPv4
/// address, an IPv6 address without a zone, or a fully qualified name with A-labels. ASCII only.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum NtpServer {
    /// An address.
    Address(IpAddr),
    /// A fully qualified name in lower case without its trailing dot; look it up without a search list.
    Name(String),
}

/// Why a text is no name of an NTP server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NameFault {
    /// No octet at all.
    Empty,
    /// More than 253 octets.
    TooLong {
        /// Octets found.
        len: usize,
    },
    /// An octet that is neither a letter, a digit, a hyphen, a dot nor part of an IPv6 address.
    Octet {
        /// Offset.
        at: usize,
        /// The octet.
        octet: u8,
    },
    /// A label that is empty, longer than 63 octets, or begins or ends with a hyphen.
    Label {
        /// Offset of the label.
        at: usize,
    },
    /// It looks like an address and is none: a zone, a leading zero, a number too large, too few parts.
    Address,
}

impl NtpServer {
    /// Reads the body of a Server Negotiation record, or a name from a configuration.
    ///
    /// # Errors
    /// [`NameFault`] says what is wrong and where.
    pub fn parse(body: &[u8]) -> Result<Self, NameFault> {
        if body.is_empty() {
            return Err(NameFault::Empty);
        }
        if let Some((at, &octet)) = body.iter().enumerate().find(|(_, octet)| !is_allowed(**octet))
        {
            // A zone is the one foreign octet with a meaning worth naming.
            return Err(if octet == b'%' {
                NameFault::Address
            } else {
                NameFault::Octet { at, octet }
            });
        }
        let text = core::str::from_utf8(body).map_err(|_| NameFault::Octet { at: 0, octet: 0 })?;
        if text.contains(':') {
            return Ipv6Addr::from_str(text)
                .map(|address| Self::Address(address.into()))
                .map_err(|_| NameFault::Address);
        }
        if let Ok(address) = Ipv4Addr::from_str(text) {
            return Ok(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > MAX_NAME {
            return Err(NameFault::TooLong { len: name.len() });
        }
        let mut at = 0;
        for label in name.split('.') {
            let hyphen_outside = label.starts_with('-') || label.ends_with('-');
            if label.is_empty() || label.len() > MAX_LABEL || hyphen_outside {
                return Err(NameFault::Label { at });
            }
            at += label.len() + 1;
        }
        // No top-level domain is a number: such a text is an address somebody mistyped (RFC 3696 §2).
        let last_is_number = name
            .rsplit('.')
            .next()
            .is_some_and(|label| label.bytes().all(|octet| octet.is_ascii_digit()));
        if last_is_number {
            Err(NameFault::Address)
        } else {
            Ok(Self::Name(name.to_ascii_lowercase()))
        }
    }

    /// Whether a client that reached us over the family of `peer` can use this server: names may have both families.
    pub(crate) fn suits(&self, peer: IpAddr) -> bool {
        match self {
            Self::Address(address) => address.is_ipv4() == peer.to_canonical().is_ipv4(),
            Self::Name(_) => true,
        }
    }
}

/// Letters, digits, hyphen and dot of names; colon of IPv6 addresses.
fn is_allowed(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b':')
}

impl FromStr for NtpServer {
    type Err = NameFault;

    fn from_str(text: &str) -> Result<Self, NameFault> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for NtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty"),
            Self::TooLong { len } => write!(f, "the name has {len} octets, {MAX_NAME} are allowed"),
            Self::Octet { at, octet } => {
                write!(f, "octet {octet:#04x} at {at} cannot be in a name")
            }
            Self::Label { at } => {
                write!(f, "the label at {at} is empty, too long or has a hyphen at its end")
            }
            Self::Address => f.write_str("neither an IPv4 nor an IPv6 address (without zone)"),
        }
    }
}

impl core::error::Error for NameFault {}

/// Longest name without its trailing dot (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;
/// Longest label (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: Result<&str, NameFault>) {
        let found = NtpServer::parse(text).map(|server| server.to_string());
        assert_eq!(found, expected.map(str::to_owned), "{}", text.escape_ascii());
    }

    #[test]
    fn addresses_and_names_are_told_apart() {
        check(b"192.0.2.7", Ok("192.0.2.7"));
        check(b"2001:db8::7", Ok("2001:db8::7"));
        check(b"Time.Example.ORG", Ok("time.example.org"));
        check(b"time.example.org.", Ok("time.example.org"));
        check(b"xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check(b"localhost", Ok("localhost"));
        assert!(matches!(
            NtpServer::parse(b"::ffff:192.0.2.1"),
            Ok(NtpServer::Address(IpAddr::V6(_)))
        ));
    }

    #[test]
    fn what_is_neither_is_refused() {
        check(b"", Err(NameFault::Empty));
        check(b"fe80::1%eth0", Err(NameFault::Address));
        check("bücher.example".as_bytes(), Err(NameFault::Octet { at: 1, octet: 0xc3 }));
        check(b"time\0.example", Err(NameFault::Octet { at: 4, octet: 0 }));
        check(b"time example", Err(NameFault::Octet { at: 4, octet: b' ' }));
        check(b"time_1.example", Err(NameFault::Octet { at: 4, octet: b'_' }));
        check(b"a..b", Err(NameFault::Label { at: 2 }));
        check(b".", Err(NameFault::Label { at: 0 }));
        check(b"a.-b.c", Err(NameFault::Label { at: 2 }));
        check(b"a-.b", Err(NameFault::Label { at: 0 }));
        check(&[b'a'; 64], Err(NameFault::Label { at: 0 }));
        check(&[b'a'; 256], Err(NameFault::TooLong { len: 256 }));
        check(b"256.0.0.1", Err(NameFault::Address));
        check(b"192.0.2", Err(NameFault::Address));
        check(b"192.0.02.1", Err(NameFault::Address));
        check(b"1:2", Err(NameFault::Address));
        check(b"[2001:db8::7]", Err(NameFault::Octet { at: 0, octet: b'[' }));
    }

    #[test]
    fn an_address_suits_only_its_own_family() {
        let v4: IpAddr = [192, 0, 2, 1].into();
        let mapped: IpAddr = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into();
        let v6: IpAddr = Ipv6Addr::LOCALHOST.into();
        let server = NtpServer::Address(v4);
        assert_eq!([v4, mapped, v6].map(|peer| server.suits(peer)), [true, true, false]);
        assert_eq!([v4, v6].map(|peer| NtpServer::Name("a".into()).suits(peer)), [true, true]);
    }
}
