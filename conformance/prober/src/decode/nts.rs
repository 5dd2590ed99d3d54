//! NTS in a packet (RFC 8915 §5): what its fields are to each other, and what is sealed.

use std::collections::BTreeMap;

use super::field::{Field, Framed, Trailer, plain};
use super::header::Shown;
use super::keys::KeySet;
use super::{Notes, Part, some};
use crate::octets::Cipher;
use crate::octets::field::{AUTHENTICATOR, COOKIE, PLACEHOLDER, UNIQUE};
use crate::octets::u16_at;

/// What of NTS a packet has.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) mode: u8,
    pub(super) version: u8,
    pub(super) transmit: u64,
    pub(super) origin: u64,
    pub(super) is_kiss: bool,
    /// The first Unique Identifier.
    pub(super) unique: Option<Vec<u8>>,
    /// Cookies in clear.
    pub(super) cookies: usize,
    /// Placeholders, in clear or decrypted, that are as long as the cookie.
    pub(super) placeholders: usize,
    /// Cookies that were decrypted; `None` if nothing was.
    pub(super) cookies_inside: Option<usize>,
    /// The AEAD that opened it.
    aead: Option<Cipher>,
    authenticators: usize,
    /// The parts of authenticators by the place of their field among the fields.
    inside: BTreeMap<usize, Vec<Part>>,
}

impl Seen {
    pub(super) fn has_authenticator(&self) -> bool {
        self.authenticators > 0
    }

    pub(super) fn inside_of(&self, nth: usize) -> Option<Vec<Part>> {
        self.inside.get(&nth).cloned()
    }

    /// The same without what is only shown.
    pub(super) fn without_parts(mut self) -> Self {
        self.inside.clear();
        self
    }

    /// To be appended to a summary.
    pub(super) fn summary(&self) -> String {
        if self.authenticators == 0 {
            return String::new();
        }
        let mut words = ", NTS".to_owned();
        if self.mode == 3 {
            words += &format!(", {} cookie, {} placeholders", self.cookies, self.placeholders);
        }
        match (self.aead, self.cookies_inside) {
            (Some(cipher), Some(cookies)) => {
                words += &format!(", opened with AEAD {}", cipher.number());
                if self.mode == 4 {
                    words += &format!(": {cookies} cookies");
                }
            }
            _ => words += ", sealed",
        }
        words
    }
}

/// Looks through the fields of a packet, and opens what the keys open.
pub(super) fn look(
    packet: &[u8],
    shown: &Shown,
    framed: &Framed<'_>,
    keys: &[KeySet],
    notes: &mut Notes,
) -> Seen {
    let mut seen = Seen {
        mode: shown.mode,
        version: shown.version,
        transmit: shown.transmit,
        origin: shown.origin,
        is_kiss: shown.kiss.is_some(),
        ..Seen::default()
    };
    let of = |kind: u16| framed.fields.iter().filter(move |field| field.kind == kind);
    seen.unique = of(UNIQUE).next().map(|field| field.body().to_vec());
    seen.cookies = of(COOKIE).count();
    seen.authenticators = of(AUTHENTICATOR).count();
    let mut sealed_text = Vec::new();
    let first = framed.fields.iter().position(|field| field.kind == AUTHENTICATOR);
    for (nth, field) in
        framed.fields.iter().enumerate().filter(|(_, field)| field.kind == AUTHENTICATOR)
    {
        let is_first = first == Some(nth);
        let tries = if is_first { keys } else { &[] };
        let (parts, opened) = authenticator(packet, *field, shown.mode, tries, notes);
        seen.inside.insert(nth, parts);
        if let Some((cipher, text)) = opened {
            seen.aead = Some(cipher);
            sealed_text = text;
        }
    }
    let inner: Vec<(u16, usize)> = fields_inside(&sealed_text)
        .0
        .iter()
        .map(|field| (field.kind, field.body().len()))
        .collect();
    if seen.aead.is_some() {
        seen.cookies_inside = Some(inner.iter().filter(|(kind, _)| *kind == COOKIE).count());
    }
    let cookie_len = of(COOKIE).next().map(|field| field.body().len());
    let lens = of(PLACEHOLDER).map(|field| field.body().len());
    let lens =
        lens.chain(inner.iter().filter(|(kind, _)| *kind == PLACEHOLDER).map(|(_, len)| *len));
    seen.placeholders = lens.filter(|len| Some(*len) == cookie_len).count();
    framing(framed, first, notes);
    if first.is_some() {
        protected(&seen, framed, cookie_len, notes);
    } else {
        unprotected(framed, notes);
    }
    for kind in [UNIQUE, AUTHENTICATOR] {
        if let Some(second) = of(kind).nth(1) {
            notes.must("RFC 8915 §5.7", second.at, format!("a second field of type {kind:#06x}"));
        }
    }
    for field in of(UNIQUE).filter(|field| field.body().len() < 32) {
        let what = format!("an identifier of {} octets, less than 32", field.body().len());
        notes.must("RFC 8915 §5.3", field.at, what);
    }
    for field in &framed.fields {
        let octets = field.octets.len();
        match field.kind {
            0x0200..=0x0209 | 0x8200..=0x8209 | 0xc200..=0xc209 if field.kind != COOKIE => {
                notes.should("RFC 8633 §4.2", field.at, "Autokey is not to be used");
            }
            0xf000..=0xffff => notes.may(
                "RFC 9748 §4",
                field.at,
                format!("{octets} octets of the experimental range"),
            ),
            _ => {}
        }
    }
    seen
}

/// What may follow what.
fn framing(framed: &Framed<'_>, first: Option<usize>, notes: &mut Notes) {
    if matches!(framed.trailer, Trailer::Mac(_)) && first.is_some() {
        notes.may("RFC 8915 §5.7", framed.end, "a MAC beside NTS");
    }
    let Some(first) = first else { return };
    for field in framed.fields.iter().skip(first + 1).filter(|field| field.kind != AUTHENTICATOR) {
        let what = format!(
            "a field of type {:#06x} after the authenticator: not covered by it, and discarded",
            field.kind
        );
        notes.must("RFC 8915 §5.7", field.at, what);
    }
}

/// A packet with an authenticator.
fn protected(seen: &Seen, framed: &Framed<'_>, cookie_len: Option<usize>, notes: &mut Notes) {
    let of = |kind: u16| framed.fields.iter().filter(move |field| field.kind == kind);
    let at = of(AUTHENTICATOR).next().map_or(0, |field| field.at);
    if seen.version != 4 {
        notes.derived("RFC 8915 §5.1", 0, format!("NTS in version {}", seen.version));
    }
    if !matches!(seen.mode, 3 | 4) {
        notes.must("RFC 8915 §5.6", at, format!("an authenticator in mode {}", seen.mode));
    }
    if seen.unique.is_none() {
        notes.must("RFC 8915 §5.7", at, "no Unique Identifier");
    }
    if seen.mode == 3 {
        match seen.cookies {
            0 => notes.must("RFC 8915 §5.7", at, "no cookie in clear"),
            1 => {}
            _ => notes.must(
                "RFC 8915 §5.7",
                of(COOKIE).nth(1).map_or(at, |field| field.at),
                "a second cookie",
            ),
        }
        let placeholders = seen.placeholders;
        if placeholders > 7 {
            notes.should("RFC 8915 §5.7", at, format!("{placeholders} placeholders, more than 7"));
        }
        for field in of(PLACEHOLDER) {
            let len = field.body().len();
            if let Some(wanted) = cookie_len.filter(|wanted| *wanted != len) {
                notes.must(
                    "RFC 8915 §5.5",
                    field.at,
                    format!("a placeholder of {len} octets beside a cookie of {wanted}"),
                );
            }
            if field.body().iter().any(|octet| *octet != 0) {
                notes.should("RFC 8915 §5.5", field.at, "a placeholder that is not all zero");
            }
        }
    } else {
        for field in of(PLACEHOLDER) {
            notes.must("RFC 8915 §5.5", field.at, format!("a placeholder in mode {}", seen.mode));
        }
        for field in of(COOKIE) {
            notes.must(
                "RFC 8915 §5.7",
                field.at,
                "a cookie that is not encrypted: clients ignore it",
            );
        }
        if seen.cookies_inside == Some(0) && !seen.is_kiss {
            notes.must("RFC 8915 §5.7", at, "no cookie inside");
        }
    }
}

/// A packet without one.
fn unprotected(framed: &Framed<'_>, notes: &mut Notes) {
    for field in &framed.fields {
        match field.kind {
            COOKIE => notes.may(
                "RFC 9748 §4",
                field.at,
                "without an authenticator this is no NTS Cookie but a message of Autokey",
            ),
            PLACEHOLDER => notes.must(
                "RFC 8915 §5.5",
                field.at,
                "a placeholder without a cookie that is authenticated",
            ),
            _ => {}
        }
    }
}

/// The parts of an authenticator's body, and what a key opened: with which AEAD, and its text.
fn authenticator(
    packet: &[u8],
    field: Field<'_>,
    mode: u8,
    keys: &[KeySet],
    notes: &mut Notes,
) -> (Vec<Part>, Option<(Cipher, Vec<u8>)>) {
    let (body, at) = (field.body(), field.at + 4);
    let (Some(nonce_len), Some(sealed_len)) = (u16_at(body, 0), u16_at(body, 2)) else {
        notes.must("RFC 8915 §5.6", at, "no room for the lengths of nonce and ciphertext");
        return (some(Part::new("body", at, body, "cut off")), None);
    };
    let (nonce_len, sealed_len) = (usize::from(nonce_len), usize::from(sealed_len));
    let mut cut = Cut { body, from: 0, at, parts: Vec::new() };
    cut.take("nonce length", 2, format!("{nonce_len} octets, without padding"));
    cut.take("ciphertext length", 2, format!("{sealed_len} octets, without padding"));
    let padded = nonce_len.next_multiple_of(4);
    let whole = 4 + padded + sealed_len.next_multiple_of(4);
    if whole > body.len() {
        notes.must(
            "RFC 8915 §5.6",
            at,
            format!("its lengths come to {whole} octets, and it has {}", body.len()),
        );
        cut.take("not framed", body.len(), "lengths beyond the field".to_owned());
        return (cut.parts, None);
    }
    let nonce = body.get(4..4 + nonce_len).unwrap_or_default();
    let sealed = body.get(4 + padded..4 + padded + sealed_len).unwrap_or_default();
    cut.take("nonce", nonce_len, String::new());
    cut.padding("nonce padding", padded - nonce_len, notes);
    let opened = open(
        packet.get(..field.at).unwrap_or_default(),
        nonce,
        sealed,
        mode,
        keys,
        field.at,
        notes,
    );
    let meaning = match &opened {
        Some((cipher, text)) => {
            format!("tag good with AEAD {}, {} octets of text", cipher.number(), text.len())
        }
        None if keys.is_empty() => format!(
            "{} octets and a tag of 16, if it is an AEAD of NTS",
            sealed_len.saturating_sub(16)
        ),
        None => "no key given opens it".to_owned(),
    };
    cut.take("ciphertext", sealed_len, meaning);
    if let Some((_, text)) = &opened {
        let inside = decrypted(text, at + 4 + padded, notes);
        if let Some(last) = cut.parts.last_mut() {
            last.parts = inside;
        }
    }
    cut.padding("ciphertext padding", sealed_len.next_multiple_of(4) - sealed_len, notes);
    let additional = body.len() - whole;
    cut.padding("additional padding", additional, notes);
    if sealed_len < 16 {
        notes.derived(
            "RFC 5297 §2.6, RFC 8452 §4",
            at,
            format!("{sealed_len} octets are less than a tag of 16"),
        );
    }
    let room = match opened {
        Some((cipher, _)) => cipher.nonce_len(),
        None => 12,
    };
    if mode == 3 && padded + additional < room {
        let what = format!(
            "nonce and additional padding have {} octets, less than {room}",
            padded + additional
        );
        notes.must("RFC 8915 §5.6", at, what);
    }
    (cut.parts, opened)
}

/// Tries every key; the one for the other direction, too, so that a mix-up is told from damage.
fn open(
    covered: &[u8],
    nonce: &[u8],
    sealed: &[u8],
    mode: u8,
    keys: &[KeySet],
    at: usize,
    notes: &mut Notes,
) -> Option<(Cipher, Vec<u8>)> {
    for set in keys {
        let (own, other) = if mode == 4 { (&set.s2c, &set.c2s) } else { (&set.c2s, &set.s2c) };
        for (key, is_own) in [(own, true), (other, false)] {
            let Some(key) = key else { continue };
            let Some(text) = set.cipher.open(key, covered, nonce, sealed) else { continue };
            if !is_own {
                notes.must("RFC 8915 §5.7", at, "sealed with the key of the other direction");
            }
            return Some((set.cipher, text));
        }
    }
    if !keys.is_empty() {
        let what =
            format!("none of {} keys given opens it: other keys, or it was changed", keys.len());
        notes.may("RFC 8915 §5.7", at, what);
    }
    None
}

/// The fields of a plaintext, and what cannot be framed.
fn fields_inside(text: &[u8]) -> (Vec<Field<'_>>, usize, Option<String>) {
    let (mut fields, mut at, mut rest) = (Vec::new(), 0, text);
    while !rest.is_empty() {
        match Field::read(rest, at, 4) {
            Ok((field, after)) => {
                fields.push(field);
                at += field.octets.len();
                rest = after;
            }
            Err(what) => return (fields, at, Some(what)),
        }
    }
    (fields, at, None)
}

/// The parts of a plaintext.
fn decrypted(text: &[u8], place: usize, notes: &mut Notes) -> Vec<Part> {
    let (fields, end, wrong) = fields_inside(text);
    let mut parts: Vec<Part> = fields.into_iter().map(|field| plain(field, true)).collect();
    if let Some(what) = wrong {
        notes.must("RFC 8915 §5.6", place, format!("inside the ciphertext, {what}"));
        parts.push(Part::new(
            "not framed",
            end,
            text.get(end..).unwrap_or_default(),
            "no extension field",
        ));
    }
    parts.iter_mut().for_each(mark);
    parts
}

fn mark(part: &mut Part) {
    part.decrypted = true;
    part.parts.iter_mut().for_each(mark);
}

/// A body, cut from its front.
struct Cut<'a> {
    body: &'a [u8],
    from: usize,
    /// Where the body stands.
    at: usize,
    parts: Vec<Part>,
}

impl<'a> Cut<'a> {
    fn take(&mut self, name: &'static str, len: usize, meaning: String) -> &'a [u8] {
        let rest = self.body.get(self.from..).unwrap_or_default();
        let taken = rest.get(..len.min(rest.len())).unwrap_or_default();
        self.parts.extend(some(Part::new(name, self.at + self.from, taken, meaning)));
        self.from += taken.len();
        taken
    }

    fn padding(&mut self, name: &'static str, len: usize, notes: &mut Notes) {
        let at = self.at + self.from;
        let taken = self.take(name, len, format!("{len} octets"));
        if taken.iter().any(|octet| *octet != 0) {
            notes.must("RFC 8915 §5.6", at, format!("{name} that is not zero"));
        }
    }
}
