use core::fmt;

use crate::{DecodeError, EncodeError};

/// An extension field: 2 octets of type, 2 of length (header and padding included), then the body (RFC 7822 §3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field<'a> {
    /// What the body is.
    pub kind: FieldKind,
    /// The body with whatever padding it has: a multiple of four octets.
    pub body: &'a [u8],
    /// Where the field's header starts in the datagram.
    pub at: usize,
}

impl Field<'_> {
    /// Where the field ends in the datagram.
    pub const fn end(&self) -> usize {
        self.at + FIELD_HEADER_LEN + self.body.len()
    }
}

/// Type of an extension field. An open registry (RFC 9748), so unknown numbers are kept.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FieldKind(pub u16);

impl FieldKind {
    /// Ties an answer to its request (RFC 8915 §5.3).
    pub const UNIQUE_IDENTIFIER: Self = Self(0x0104);
    /// A cookie (RFC 8915 §5.4); only beside an authenticator, alone it was Autokey's.
    pub const NTS_COOKIE: Self = Self(0x0204);
    /// Room for one more cookie in the answer (RFC 8915 §5.5).
    pub const NTS_COOKIE_PLACEHOLDER: Self = Self(0x0304);
    /// Authenticator and encrypted extension fields (RFC 8915 §5.6).
    pub const NTS_AUTHENTICATOR: Self = Self(0x0404);
    /// Makes the UDP checksum come out right after a time stamp was put in (RFC 7821).
    pub const CHECKSUM_COMPLEMENT: Self = Self(0x2005);

    /// Whether it lies in 0xF000..=0xFFFF, reserved for experiments (RFC 9748 §4).
    pub const fn is_experimental(self) -> bool {
        self.0 >= 0xf000
    }
}

impl fmt::Debug for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldKind({:#06x})", self.0)
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UNIQUE_IDENTIFIER => f.pad("unique identifier"),
            Self::NTS_COOKIE => f.pad("cookie"),
            Self::NTS_COOKIE_PLACEHOLDER => f.pad("cookie placeholder"),
            Self::NTS_AUTHENTICATOR => f.pad("authenticator"),
            Self::CHECKSUM_COMPLEMENT => f.pad("checksum complement"),
            Self(number) => write!(f, "field {number:#06x}"),
        }
    }
}

/// The extension fields of a packet, in order, their framing already checked; from
/// [`Packet::contents`](crate::Packet::contents).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fields<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// `checked` holds whole fields and nothing else, and starts at `at` in its datagram.
    pub(crate) const fn new(checked: &'a [u8], at: usize) -> Self {
        Self { rest: checked, at }
    }

    /// Whether there are none (left).
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let (field, rest) = split_field(self.rest, self.at, FIELD_MIN).ok()?;
        self.at = field.end();
        self.rest = rest;
        Some(field)
    }
}

/// Walks extension fields in the plaintext of an NTS authenticator. They may be shorter than in the clear: 4 octets or
/// more (RFC 8915 §5.6).
///
/// Each item's `at` counts from the start of the plaintext. After an error the walk is over.
pub const fn walk_encrypted(plaintext: &[u8]) -> EncryptedFields<'_> {
    EncryptedFields { rest: plaintext, at: 0 }
}

/// Iterator of [`walk_encrypted`].
#[derive(Clone, Copy, Debug)]
pub struct EncryptedFields<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for EncryptedFields<'a> {
    type Item = Result<Field<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = split_field(self.rest, self.at, FIELD_HEADER_LEN);
        match split {
            Ok((field, rest)) => {
                self.at = field.end();
                self.rest = rest;
                Some(Ok(field))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// Takes one field of at least `min` octets off the front of `octets`, which start at `at`.
pub(crate) fn split_field(
    octets: &[u8],
    at: usize,
    min: usize,
) -> Result<(Field<'_>, &[u8]), DecodeError> {
    let too_short = DecodeError::TrailerLength { at, len: octets.len() };
    let (&[kind_high, kind_low, len_high, len_low], _) =
        octets.split_first_chunk().ok_or(too_short)?;
    let claimed = u16::from_be_bytes([len_high, len_low]);
    let len = usize::from(claimed);
    let wrong = DecodeError::FieldLength { at, claimed };
    if len < min || !len.is_multiple_of(4) {
        return Err(wrong);
    }
    let (field, rest) = octets.split_at_checked(len).ok_or(wrong)?;
    let body = field.get(FIELD_HEADER_LEN..).ok_or(wrong)?;
    Ok((Field { kind: FieldKind(u16::from_be_bytes([kind_high, kind_low])), body, at }, rest))
}

/// The 4 octets before a body of `body_len` octets. The length they give is rounded up to a multiple of four; who calls
/// fills the octets between.
///
/// # Errors
/// [`EncodeError::FieldTooLong`] if the field would pass 65532 octets.
pub const fn field_header(kind: FieldKind, body_len: usize) -> Result<[u8; 4], EncodeError> {
    if body_len > FIELD_MAX - FIELD_HEADER_LEN {
        return Err(EncodeError::FieldTooLong { body: body_len });
    }
    let [kind_high, kind_low] = kind.0.to_be_bytes();
    let [len_high, len_low] =
        ((FIELD_HEADER_LEN + body_len.next_multiple_of(4)) as u16).to_be_bytes();
    Ok([kind_high, kind_low, len_high, len_low])
}

/// Octets of type and length.
pub(crate) const FIELD_HEADER_LEN: usize = 4;
/// Fewest octets of a field in the clear (RFC 7822 §3).
pub(crate) const FIELD_MIN: usize = 16;
/// Fewest octets of the last field if no MAC follows: a MAC has at most 24, so 28 cannot be one (RFC 7822 §3).
pub(crate) const LAST_FIELD_MIN: usize = 28;
/// Most octets of a field: the largest multiple of four in 16 bits.
pub(crate) const FIELD_MAX: usize = 65_532;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// RFC 8915 §5.6: the minimum of 16 octets does not hold inside the ciphertext.
    #[test]
    fn encrypted_fields_may_be_as_short_as_their_header() {
        let plaintext = [0x12, 0x34, 0, 4, 0x02, 0x04, 0, 8, 1, 2, 3, 4];
        let fields: Vec<_> =
            walk_encrypted(&plaintext).collect::<Result<_, _>>().expect("well framed");
        assert_eq!(fields.len(), 2);
        assert_eq!(fields[0], Field { kind: FieldKind(0x1234), body: &[], at: 0 });
        assert_eq!(fields[1], Field { kind: FieldKind::NTS_COOKIE, body: &[1, 2, 3, 4], at: 4 });
        assert_eq!(fields[1].end(), plaintext.len());
        assert_eq!(walk_encrypted(&[]).count(), 0);
    }

    #[test]
    fn a_badly_framed_encrypted_field_ends_the_walk() {
        let check = |claimed: u16| {
            let [high, low] = claimed.to_be_bytes();
            let plaintext = [0, 1, 0, 4, 0, 2, high, low, 0, 0, 0, 0];
            let mut walk = walk_encrypted(&plaintext);
            assert!(walk.next().is_some_and(|first| first.is_ok()));
            assert_eq!(walk.next(), Some(Err(DecodeError::FieldLength { at: 4, claimed })));
            assert_eq!(walk.next(), None);
        };
        for claimed in [0, 1, 2, 3, 5, 6, 7, 9, 12, 16, 0xfffc, 0xffff] {
            check(claimed);
        }
        let mut walk = walk_encrypted(&[0, 1, 0]);
        assert_eq!(walk.next(), Some(Err(DecodeError::TrailerLength { at: 0, len: 3 })));
        assert_eq!(walk.next(), None);
    }

    #[test]
    fn a_field_header_rounds_up_and_stops_at_65532() {
        assert_eq!(field_header(FieldKind::NTS_COOKIE, 100), Ok([2, 4, 0, 104]));
        assert_eq!(field_header(FieldKind(0xabcd), 1), Ok([0xab, 0xcd, 0, 8]));
        assert_eq!(field_header(FieldKind(0), 0), Ok([0, 0, 0, 4]));
        assert_eq!(field_header(FieldKind(0), 65_528), Ok([0, 0, 0xff, 0xfc]));
        assert_eq!(
            field_header(FieldKind(0), 65_529),
            Err(EncodeError::FieldTooLong { body: 65_529 })
        );
    }
}
