use crate::field::{FIELD_MIN, LAST_FIELD_MIN, split_field};
use crate::{DecodeError, Fields, HEADER_LEN, Version};

/// What follows the header, its framing checked; from [`Packet::contents`](crate::Packet::contents).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contents<'a> {
    /// The extension fields; none before version 4.
    pub fields: Fields<'a>,
    /// What closes the packet.
    pub trailer: Trailer<'a>,
}

/// What closes a packet, after all extension fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trailer<'a> {
    /// Nothing.
    None,
    /// Four zero octets: "your MAC was not accepted" (RFC 5905 §7.3).
    CryptoNak,
    /// A message authentication code; whether it is right is for who holds the key.
    Mac(Mac<'a>),
}

/// Message authentication code: 4 octets of key id, then the digest (RFC 5905 §7.3, RFC 8573).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mac<'a> {
    /// Which key made it.
    pub key_id: u32,
    /// 16 or 20 octets in version 4, 16 to 64 before. Covers the header and all extension fields.
    pub digest: &'a [u8],
}

impl<'a> Contents<'a> {
    /// Reads `tail`, the octets after a header of `version`.
    pub(crate) fn read(version: Version, tail: &'a [u8]) -> Result<Self, DecodeError> {
        if !tail.len().is_multiple_of(4) {
            return Err(DecodeError::LengthNotMultipleOfFour { len: HEADER_LEN + tail.len() });
        }
        match version.number() {
            1..=3 => Self::read_before_fields(tail),
            4 => Self::read_with_fields(tail),
            version => Err(DecodeError::UnknownVersion { version }),
        }
    }

    /// RFC 1305 and before know no extension fields: all that follows the header is the MAC.
    fn read_before_fields(tail: &'a [u8]) -> Result<Self, DecodeError> {
        let trailer = match tail.len() {
            0 => Trailer::None,
            4 => crypto_nak(tail, HEADER_LEN)?,
            20..=68 => mac(tail, HEADER_LEN)?,
            len => return Err(DecodeError::TrailerLength { at: HEADER_LEN, len }),
        };
        Ok(Self { fields: Fields::new(&[], HEADER_LEN), trailer })
    }

    /// RFC 7822 §3: how much is left decides what comes next, so that no MAC can be taken for a field.
    fn read_with_fields(tail: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = tail;
        let mut at = HEADER_LEN;
        let trailer = loop {
            match rest.len() {
                0 => break Trailer::None,
                4 => break crypto_nak(rest, at)?,
                20 | 24 => break mac(rest, at)?,
                LAST_FIELD_MIN.. => {
                    let (field, after) = split_field(rest, at, FIELD_MIN)?;
                    at = field.end();
                    rest = after;
                }
                len => return Err(DecodeError::TrailerLength { at, len }),
            }
        };
        let fields = tail.get(..at - HEADER_LEN).unwrap_or(&[]); // `at` only ever grew by what was split off `tail`
        Ok(Self { fields: Fields::new(fields, HEADER_LEN), trailer })
    }
}

fn crypto_nak(trailer: &[u8], at: usize) -> Result<Trailer<'_>, DecodeError> {
    if trailer == [0; 4] { Ok(Trailer::CryptoNak) } else { Err(DecodeError::TrailerNotZero { at }) }
}

fn mac(trailer: &[u8], at: usize) -> Result<Trailer<'_>, DecodeError> {
    let (&key_id, digest) =
        trailer.split_first_chunk().ok_or(DecodeError::TrailerLength { at, len: trailer.len() })?;
    Ok(Trailer::Mac(Mac { key_id: u32::from_be_bytes(key_id), digest }))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::{Field, FieldKind};
    use std::vec;
    use std::vec::Vec;

    const NO_FIELDS: Fields<'_> = Fields::new(&[], HEADER_LEN);

    fn field(kind: u16, len: usize) -> Vec<u8> {
        let mut octets = vec![0xee; len];
        octets[..2].copy_from_slice(&kind.to_be_bytes());
        octets[2..4].copy_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
        octets
    }

    /// RFC 7822 §3 as a table: what so many octets after the header are, if they could also be a field of that length.
    #[test]
    fn the_octets_left_decide_between_field_mac_and_error() {
        let check = |len: usize, expected: &str| {
            let octets = field(0x0104, len);
            let read = match Contents::read(Version::V4, &octets) {
                Ok(Contents { fields, trailer: Trailer::None }) if fields.count() == 1 => "field",
                Ok(Contents { fields, trailer: Trailer::Mac(mac) }) if fields.is_empty() => {
                    assert_eq!(mac.key_id, 0x0104_0000 + len as u32);
                    assert_eq!(mac.digest.len(), len - 4);
                    "mac"
                }
                Err(DecodeError::TrailerLength { at: 48, len: left }) if left == len => "error",
                Err(DecodeError::TrailerNotZero { at: 48 }) => "error",
                other => panic!("{len}: {other:?}"),
            };
            assert_eq!(read, expected, "{len}");
        };
        check(4, "error"); // not zero, so no crypto-NAK
        check(8, "error");
        check(12, "error");
        check(16, "error");
        check(20, "mac");
        check(24, "mac");
        check(28, "field");
        check(32, "field");
        check(36, "field"); // a MAC of SHA-256 would need an agreement this crate cannot know of
    }

    #[test]
    fn four_zero_octets_are_a_crypto_nak() {
        let nak = Contents { fields: NO_FIELDS, trailer: Trailer::CryptoNak };
        for version in [Version::V1, Version::V2, Version::V3, Version::V4] {
            assert_eq!(Contents::read(version, &[0; 4]), Ok(nak));
            assert_eq!(
                Contents::read(version, &[0, 0, 0, 1]),
                Err(DecodeError::TrailerNotZero { at: 48 })
            );
        }
    }

    /// Which orders of field lengths (and a MAC or a crypto-NAK, `m` octets at the end) can be framed.
    #[test]
    fn the_last_field_without_a_mac_has_28_octets() {
        let check = |lens: &[usize], trailer: &[u8], framed: Option<usize>| {
            let mut octets: Vec<u8> = lens.iter().flat_map(|&len| field(0xf0ab, len)).collect();
            octets.extend_from_slice(trailer);
            let read = Contents::read(Version::V4, &octets).map(|contents| contents.fields.count());
            assert_eq!(read.ok(), framed, "{lens:?} and {}", trailer.len());
        };
        check(&[16], &[], None);
        check(&[28], &[], Some(1));
        check(&[16, 28], &[], Some(2));
        check(&[28, 16], &[], None);
        check(&[28, 20], &[], Some(1)); // the second can only be a MAC
        check(&[12, 28], &[], None);
        check(&[16, 16, 16, 28], &[], Some(4));
        check(&[16, 16], &[], None); // 32, then 16 left
        check(&[16], &[1; 20], Some(1));
        check(&[16], &[1; 24], Some(1));
        check(&[16, 16], &[1; 20], Some(2));
        check(&[28], &[0; 4], Some(1));
        check(&[24], &[0; 4], Some(1)); // 28 left, so a field; then the NAK
        check(&[16], &[0; 4], Some(0)); // 20 left, so a MAC
        check(&[28], &[1; 4], None);
        check(&[28], &[1; 8], None);
    }

    #[test]
    fn a_field_with_an_impossible_length_is_refused() {
        let check = |claimed: u16| {
            let mut octets = field(0xf0ab, 52);
            octets[2..4].copy_from_slice(&claimed.to_be_bytes());
            let error = DecodeError::FieldLength { at: 48, claimed };
            assert_eq!(Contents::read(Version::V4, &octets), Err(error));
        };
        for claimed in [0, 1, 3, 4, 5, 8, 12, 15, 17, 18, 51, 53, 56, 0xfffc, 0xffff] {
            check(claimed);
        }
    }

    #[test]
    fn the_second_field_is_checked_where_it_stands() {
        let mut octets = field(1, 32);
        octets.extend(field(2, 40));
        octets[35] = 44; // claims more than is left
        let error = DecodeError::FieldLength { at: 80, claimed: 44 };
        assert_eq!(Contents::read(Version::V4, &octets), Err(error));
        octets[35] = 40;
        let contents = Contents::read(Version::V4, &octets).expect("well framed");
        let [first, second] = [&octets[4..32], &octets[36..]];
        assert!(contents.fields.eq([
            Field { kind: FieldKind(1), body: first, at: 48 },
            Field { kind: FieldKind(2), body: second, at: 80 },
        ]));
    }

    #[test]
    fn before_version_4_everything_is_a_mac() {
        let check = |len: usize, is_mac: bool| {
            let octets = field(0x0104, len.max(4));
            for version in [Version::V1, Version::V2, Version::V3] {
                let read = Contents::read(version, &octets[..len]);
                let mac =
                    matches!(read, Ok(Contents { fields: NO_FIELDS, trailer: Trailer::Mac(_) }));
                assert_eq!(mac, is_mac, "{len}: {read:?}");
                assert_eq!(read.is_ok(), is_mac || len == 0);
            }
        };
        check(0, false);
        check(8, false);
        check(16, false);
        check(20, true);
        check(24, true);
        check(28, true);
        check(36, true);
        check(68, true);
        check(72, false);
        check(1000, false);
    }

    #[test]
    fn unknown_versions_and_odd_lengths_are_refused() {
        for version in [0, 5, 6, 7] {
            let read = Contents::read(Version::new(version).expect("three bits"), &[]);
            assert_eq!(read, Err(DecodeError::UnknownVersion { version }));
        }
        let octets = field(0, 32);
        for len in [1, 2, 3, 5, 17, 21, 29] {
            for version in [Version::V3, Version::V4] {
                let read = Contents::read(version, &octets[..len]);
                assert_eq!(read, Err(DecodeError::LengthNotMultipleOfFour { len: 48 + len }));
            }
        }
    }
}
