//! What was sent and what came back: all that a verdict rests on.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// How octets travelled.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// An NTP datagram over UDP.
    Ntp,
    /// What NTS key establishment says inside TLS, decrypted.
    Ke,
    /// The octets of a TLS connection as they are on the wire.
    Tls,
}

/// Which way octets went, as seen from the prober.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the prober to the implementation under test.
    Sent,
    /// From the implementation under test to the prober.
    Received,
}

/// Octets that went one way at one moment.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Passage {
    /// Microseconds since 1970, by the prober's clock.
    pub at_us: u64,
    /// Which way.
    pub direction: Direction,
    /// How.
    pub carrier: Carrier,
    /// The prober's own address and port.
    pub here: SocketAddr,
    /// The other's address and port.
    pub there: SocketAddr,
    /// What the prober meant by it, as `control` or `48 octets of version 0`; empty for what was received.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub meaning: String,
    /// The octets, in JSON as hexadecimal digits.
    #[serde(with = "hex_text")]
    pub octets: Vec<u8>,
}

/// What a verdict rests on: the finding in a sentence, and all that passed for it, in order.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Evidence {
    /// What was seen, as a sentence with the facts.
    pub says: String,
    /// What was sent and received while the clause was looked at, controls included.
    pub passages: Vec<Passage>,
    /// Keys that open what passed, so that it can be decrypted again; made for this run and worthless after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<SessionKeys>,
}

impl Evidence {
    /// A sentence alone, where nothing passed.
    #[must_use]
    pub fn says(sentence: impl Into<String>) -> Self {
        Self { says: sentence.into(), ..Self::default() }
    }
}

/// The keys of one NTS association.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionKeys {
    /// Number of the AEAD (IANA): 15, 16, 17, 30 or 31.
    pub aead: u16,
    /// Key for what clients send.
    #[serde(with = "hex_text")]
    pub c2s: Vec<u8>,
    /// Key for what servers send.
    #[serde(with = "hex_text")]
    pub s2c: Vec<u8>,
}

/// Octets as hexadecimal digits, two each, without spaces.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Octets from hexadecimal digits; white space, `:` and `-` between them are passed over.
///
/// `None` for anything else, and for an odd number of digits.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|letter| !letter.is_whitespace() && !matches!(letter, ':' | '-'))
        .map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

mod hex_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::hex(octets))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        super::from_hex(&text).ok_or_else(|| D::Error::custom("not hexadecimal digits, two each"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_come_back_as_they_went() {
        fn check(text: &str, octets: Option<&[u8]>) {
            assert_eq!(from_hex(text).as_deref(), octets, "{text}");
        }
        check("", Some(&[]));
        check("00ff", Some(&[0, 255]));
        check("00 Ff:1a\n-2b", Some(&[0, 255, 0x1a, 0x2b]));
        check("0", None);
        check("0g", None);
        assert_eq!(hex(&[0, 0xff, 0x1a]), "00ff1a");
    }
}
