//! Records of NTS key establishment (RFC 8915 §4).

use super::{len16, u16_at};

/// End of Message.
pub const END: u16 = 0;
/// NTS Next Protocol Negotiation.
pub const NEXT_PROTOCOL: u16 = 1;
/// Error.
pub const ERROR: u16 = 2;
/// Warning.
pub const WARNING: u16 = 3;
/// AEAD Algorithm Negotiation.
pub const AEAD: u16 = 4;
/// New Cookie for NTPv4.
pub const COOKIE: u16 = 5;
/// NTPv4 Server Negotiation.
pub const SERVER: u16 = 6;
/// NTPv4 Port Negotiation.
pub const PORT: u16 = 7;
/// Keep Alive, of the drafts for pools.
pub const KEEP_ALIVE: u16 = 8;
/// Compliant AES-128-GCM-SIV Exporter Context (IANA, by chrony's specification).
pub const COMPLIANT_EXPORT: u16 = 1024;

/// One record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Its critical bit.
    pub critical: bool,
    /// Its type, 15 bits.
    pub kind: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Record {
    /// A record.
    #[must_use]
    pub fn new(critical: bool, kind: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { critical, kind, body: body.into() }
    }

    /// A Next Protocol record with these protocols.
    #[must_use]
    pub fn protocols(numbers: &[u16]) -> Self {
        Self::new(true, NEXT_PROTOCOL, list(numbers))
    }

    /// An AEAD record with these algorithms.
    #[must_use]
    pub fn aeads(numbers: &[u16]) -> Self {
        Self::new(true, AEAD, list(numbers))
    }

    /// End of Message.
    #[must_use]
    pub fn end() -> Self {
        Self::new(true, END, [])
    }

    /// The body as 16-bit numbers, an odd octet left out.
    #[must_use]
    pub fn numbers(&self) -> Vec<u16> {
        self.body.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
    }

    /// Its octets.
    ///
    /// # Panics
    /// For a body above 65535 octets.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let critical = if self.critical { 0x8000 } else { 0 };
        [&(self.kind & 0x7fff | critical).to_be_bytes()[..], &len16(self.body.len()), &self.body]
            .concat()
    }
}

fn list(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Octets of some records, one after the other.
#[must_use]
pub fn join(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(Record::octets).collect()
}

/// A message of these records, End of Message behind them.
#[must_use]
pub fn message(records: &[Record]) -> Vec<u8> {
    [join(records), Record::end().octets()].concat()
}

/// Cuts octets into records as far as they go; what is left over comes behind.
#[must_use]
pub fn cut(mut octets: &[u8]) -> (Vec<Record>, &[u8]) {
    let mut records = Vec::new();
    while let (Some(word), Some(len)) = (u16_at(octets, 0), u16_at(octets, 2)) {
        let Some((body, rest)) = octets[4..].split_at_checked(usize::from(len)) else { break };
        records.push(Record::new(word & 0x8000 != 0, word & 0x7fff, body));
        octets = rest;
    }
    (records, octets)
}

/// Octets up to and with the first End of Message, if there is one.
#[must_use]
pub fn message_len(octets: &[u8]) -> Option<usize> {
    let records = cut(octets).0;
    let end = records.iter().position(|record| record.kind == END)?;
    Some(records[..=end].iter().map(|record| 4 + record.body.len()).sum())
}
