//! Extension fields (RFC 7822).

use super::{len16, u16_at};

/// Types of fields (RFC 8915 §7.5, RFC 7821, RFC 9748).
pub const UNIQUE: u16 = 0x0104;
/// NTS Cookie; outside NTS a message of Autokey.
pub const COOKIE: u16 = 0x0204;
/// NTS Cookie Placeholder.
pub const PLACEHOLDER: u16 = 0x0304;
/// NTS Authenticator and Encrypted Extension Fields.
pub const AUTHENTICATOR: u16 = 0x0404;
/// UDP Checksum Complement.
pub const COMPLEMENT: u16 = 0x2005;
/// A type nobody has registered.
pub const UNKNOWN: u16 = 0x7777;
/// A type of the experimental range.
pub const EXPERIMENTAL: u16 = 0xf0ab;

/// One extension field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// Its type.
    pub kind: u16,
    /// What follows its four octets of type and length, padding included.
    pub body: Vec<u8>,
}

impl Field {
    /// A field with this body, which should have 4n octets.
    #[must_use]
    pub fn new(kind: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { kind, body: body.into() }
    }

    /// Its octets.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        claiming(self.kind, self.body.len() + 4, &self.body)
    }
}

/// Octets of a field whose body is padded with zeros to a multiple of 4.
#[must_use]
pub fn field(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    claiming(kind, body.len() + 4, &body)
}

/// Octets of a field that claims some length, whatever its body has.
#[must_use]
pub fn claiming(kind: u16, claimed: usize, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &len16(claimed), body].concat()
}

/// Cuts octets into fields as far as they go; what is left over comes behind.
#[must_use]
pub fn cut(mut octets: &[u8]) -> (Vec<Field>, &[u8]) {
    let mut fields = Vec::new();
    while let (Some(kind), Some(len)) = (u16_at(octets, 0), u16_at(octets, 2)) {
        let len = usize::from(len);
        if len < 4 || !len.is_multiple_of(4) || len > octets.len() {
            break;
        }
        let (field, rest) = octets.split_at(len);
        fields.push(Field::new(kind, &field[4..]));
        octets = rest;
    }
    (fields, octets)
}

/// Octets of some fields, one after the other.
#[must_use]
pub fn join(fields: &[Field]) -> Vec<u8> {
    fields.iter().flat_map(Field::octets).collect()
}
