//! What follows the header: extension fields, a MAC, or neither (RFC 7822).

use super::nts::Seen;
use super::{Notes, Part, header, names, some};
use crate::octets::field::{AUTHENTICATOR, COOKIE, PLACEHOLDER, UNIQUE};
use crate::octets::u16_at;

/// One field as it is framed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Where its type stands.
    pub(super) at: usize,
    pub(super) kind: u16,
    /// All of it.
    pub(super) octets: &'a [u8],
}

impl<'a> Field<'a> {
    /// What follows type and length.
    pub(super) fn body(&self) -> &'a [u8] {
        self.octets.get(4..).unwrap_or_default()
    }

    /// Reads one, at `at`, of at least `least` octets; or says why there is none.
    pub(super) fn read(
        octets: &'a [u8],
        at: usize,
        least: usize,
    ) -> Result<(Self, &'a [u8]), String> {
        let (Some(kind), Some(len)) = (u16_at(octets, 0), u16_at(octets, 2)) else {
            return Err(format!(
                "{} octets are less than type and length of a field",
                octets.len()
            ));
        };
        let len = usize::from(len);
        if len < least {
            return Err(format!(
                "a field of type {kind:#06x} with length {len}, less than {least}"
            ));
        }
        if !len.is_multiple_of(4) {
            return Err(format!(
                "a field of type {kind:#06x} with length {len}, not a multiple of 4"
            ));
        }
        let Some((field, rest)) = octets.split_at_checked(len) else {
            return Err(format!(
                "a field of type {kind:#06x} with length {len}, and {} octets left",
                octets.len()
            ));
        };
        Ok((Self { at, kind, octets: field }, rest))
    }
}

/// What follows the fields.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trailer<'a> {
    None,
    /// Four octets of zero.
    Nak,
    /// Key id and digest.
    Mac(&'a [u8]),
    /// What cannot be framed.
    Rest(&'a [u8]),
}

/// Fields and what follows them.
#[derive(Clone, Debug)]
pub(super) struct Framed<'a> {
    pub(super) fields: Vec<Field<'a>>,
    pub(super) trailer: Trailer<'a>,
    /// Where the trailer begins.
    pub(super) end: usize,
}

/// Frames what follows a header of this version: how much is left decides what comes next (RFC 7822 §3).
pub(super) fn frame<'a>(version: u8, tail: &'a [u8], notes: &mut Notes) -> Framed<'a> {
    let mut framed = Framed { fields: Vec::new(), trailer: Trailer::None, end: header::LEN };
    let mut rest = tail;
    framed.trailer = loop {
        match (version, rest.len()) {
            (_, 0) => break Trailer::None,
            (0..=4, 4) if rest == [0; 4] => break Trailer::Nak,
            (0..=3, 20..=68) | (4, 20 | 24) => break Trailer::Mac(rest),
            (0..=3, len) => {
                let what = format!(
                    "{len} octets after the header are no MAC, and before version 4 there is nothing else"
                );
                notes.derived("RFC 5905 §9.2", framed.end, what);
                break Trailer::Rest(rest);
            }
            (5.., len) => {
                notes.may(
                    "RFC 5905 §A.5.1",
                    framed.end,
                    format!("{len} octets of version {version} are not read"),
                );
                break Trailer::Rest(rest);
            }
            (4, len @ 28..) => match Field::read(rest, framed.end, FIELD_MIN) {
                Ok((field, after)) => {
                    framed.fields.push(field);
                    framed.end += field.octets.len();
                    rest = after;
                }
                Err(what) => {
                    notes.derived(
                        "RFC 7822 §7.5",
                        framed.end,
                        format!("{what}: the last {len} octets cannot be framed"),
                    );
                    break Trailer::Rest(rest);
                }
            },
            (_, len) => {
                let what = format!(
                    "{len} octets are left: a MAC has 20 or 24, and a last field without one at least 28"
                );
                notes.must("RFC 7822 §7.5.1.4", framed.end, what);
                break Trailer::Rest(rest);
            }
        }
    };
    framed
}

/// Fields and trailer as parts.
pub(super) fn parts(framed: Framed<'_>, seen: &Seen) -> Vec<Part> {
    let mut parts: Vec<Part> =
        framed.fields.iter().enumerate().map(|(nth, field)| whole(*field, seen, nth)).collect();
    let at = framed.end;
    match framed.trailer {
        Trailer::None => {}
        Trailer::Nak => parts.push(Part::new(
            "crypto-NAK",
            at,
            &[0; 4],
            "the MAC of the question was not accepted",
        )),
        Trailer::Mac(octets) => {
            let (id, digest) = octets.split_at(4.min(octets.len()));
            let number = id.iter().fold(0_u32, |number, octet| number << 8 | u32::from(*octet));
            let kind = match digest.len() {
                16 => "16 octets: AES-CMAC (RFC 8573) or MD5; not checked",
                20 => "20 octets: SHA-1; not checked",
                _ => "not checked",
            };
            let mut mac = Part::new("MAC", at, octets, "");
            mac.parts = vec![
                Part::new("key id", at, id, number.to_string()),
                Part::new("digest", at + 4, digest, kind),
            ];
            parts.push(mac);
        }
        Trailer::Rest(octets) => {
            parts.push(Part::new("not framed", at, octets, "neither field nor MAC"));
        }
    }
    parts
}

fn whole(field: Field<'_>, seen: &Seen, nth: usize) -> Part {
    match seen.inside_of(nth) {
        Some(inside) => with_body(field, seen.has_authenticator(), inside),
        None => plain(field, seen.has_authenticator()),
    }
}

/// A field whose body is one leaf.
pub(super) fn plain(field: Field<'_>, beside_authenticator: bool) -> Part {
    let body = field.body();
    let meaning = match field.kind {
        UNIQUE => format!("{} octets", body.len()),
        COOKIE if beside_authenticator => format!("{} octets, opaque", body.len()),
        PLACEHOLDER if body.iter().all(|octet| *octet == 0) => {
            format!("{} octets of zero", body.len())
        }
        PLACEHOLDER => format!("{} octets, not all zero", body.len()),
        0xf5ff => format!("\"{}\"", body.escape_ascii()),
        _ => format!("{} octets, not read", body.len()),
    };
    let body = some(Part::new("body", field.at + 4, body, meaning));
    with_body(field, beside_authenticator, body)
}

fn with_body(field: Field<'_>, beside_authenticator: bool, body: Vec<Part>) -> Part {
    let name = match field.kind {
        AUTHENTICATOR => "NTS Authenticator".to_owned(),
        kind => names::field(kind, beside_authenticator),
    };
    let at = field.at;
    let of = |from: usize, to: usize| field.octets.get(from..to).unwrap_or_default();
    let mut whole = Part::new(format!("extension field {name}"), at, field.octets, "");
    whole.parts = vec![
        Part::new(
            "type",
            at,
            of(0, 2),
            format!("{:#06x} {}", field.kind, names::field(field.kind, beside_authenticator)),
        ),
        Part::new(
            "length",
            at + 2,
            of(2, 4),
            format!("{} octets, these 4 included", field.octets.len()),
        ),
    ];
    whole.parts.extend(body);
    whole
}

/// The least a field has where it is not encrypted (RFC 7822 §7.5).
const FIELD_MIN: usize = 16;
