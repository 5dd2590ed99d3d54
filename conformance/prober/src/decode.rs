//! Packets and records in full: every octet with its place and its meaning, and what is wrong with them.
//!
//! [`datagram`] reads what UDP port 123 carries, [`message`] what NTS key establishment says inside TLS, [`capture::read`] finds both in a
//! recording. What comes out is a tree of [`Part`]s whose leaves cover every octet once, in order, and a list of [`Remark`]s that cite the
//! clause. With [`KeySet`]s the authenticated part is decrypted too, and read in the same way; cookies stay the opaque octets they are.
//!
//! It reads anything: nothing panics, nothing takes more than work in proportion to the octets and keys given.
//!
//! What it does not do: fragments of IP datagrams are not put together, TLS is not decrypted, the numbers of a MAC are not checked.

pub mod capture;
mod control;
mod field;
mod frame;
mod header;
mod keys;
mod names;
mod nts;
mod pair;
mod record;
mod show;
mod stamp;

use std::borrow::Cow;

use serde::Serialize;

pub use capture::{Capture, CaptureError};
pub use keys::{KeyFileError, KeySet, write_keys};
pub use pair::{Packet, Wanted, packets};
pub use record::Speaker;

use crate::clause::Level;
use crate::evidence::hex;

/// A piece of a packet or message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// What it is, in the words of its RFC.
    pub name: Cow<'static, str>,
    /// Where it begins: octets before it in the packet or message; in what was decrypted, in the plaintext.
    pub at: usize,
    /// Its octets, in JSON as hexadecimal digits.
    #[serde(serialize_with = "as_hex")]
    pub octets: Vec<u8>,
    /// What they say, in words, with units; empty where the parts inside say it.
    pub meaning: String,
    /// Whether its octets were decrypted, and so are not in the packet as they stand here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub decrypted: bool,
    /// What it is made of; empty for a leaf.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

impl Part {
    /// A leaf.
    fn new(
        name: impl Into<Cow<'static, str>>,
        at: usize,
        octets: &[u8],
        meaning: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            at,
            octets: octets.to_vec(),
            meaning: meaning.into(),
            decrypted: false,
            parts: Vec::new(),
        }
    }

    /// Octets of the leaves that stand in the packet itself, one after the other: all of it.
    #[must_use]
    pub fn leaves(parts: &[Self]) -> Vec<u8> {
        let mut octets = Vec::new();
        for part in parts.iter().filter(|part| !part.decrypted) {
            if part.parts.iter().all(|inner| inner.decrypted) {
                octets.extend(&part.octets);
            } else {
                octets.extend(Self::leaves(&part.parts));
            }
        }
        octets
    }
}

/// Something that is wrong with a packet or message, or worth knowing.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Remark {
    /// How binding the clause is that is not kept; [`Level::May`] for what is allowed and worth knowing.
    pub level: Level,
    /// Document and section.
    pub rfc: &'static str,
    /// Where it is: octets before it.
    pub at: usize,
    /// What is wrong, as a sentence with the facts.
    pub what: String,
}

/// A packet or message that was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decoded {
    /// In one line: version, mode and what matters most.
    pub summary: String,
    /// How many octets it has.
    pub length: usize,
    /// What it is made of.
    pub parts: Vec<Part>,
    /// What is wrong with it, in the order of its octets.
    pub remarks: Vec<Remark>,
}

impl Decoded {
    /// Whether a MUST or what follows from one is not kept.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.remarks.iter().any(|remark| matches!(remark.level, Level::Must | Level::Derived))
    }

    /// As lines of aligned columns: place, octets, name, meaning; then the remarks.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        show::lines(self)
    }
}

/// What a reader knows beside the octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Keys that may open what is sealed.
    pub keys: &'a [KeySet],
    /// About when it was: seconds since 1970. NTP's timestamps do not say their era; the one nearest to this is shown.
    pub near_s: i64,
}

/// Reads what UDP port 123 carried.
#[must_use]
pub fn datagram(octets: &[u8], context: Context<'_>) -> Decoded {
    read_datagram(octets, context).decoded
}

/// A datagram that was read, and what pairing questions with answers needs of it.
struct Reading {
    decoded: Decoded,
    fields: Option<nts::Seen>,
}

fn read_datagram(octets: &[u8], context: Context<'_>) -> Reading {
    let mut notes = Notes::default();
    let mode = octets.first().map(|first| first & 7);
    let is_control = matches!(mode, Some(6 | 7)) && octets.len() >= control::LEAST;
    let (parts, summary, fields) = if is_control {
        let (parts, summary) = control::read(octets, &mut notes);
        (parts, summary, None)
    } else {
        ntp(octets, context, &mut notes)
    };
    let decoded = Decoded { summary, length: octets.len(), parts, remarks: notes.sorted() };
    Reading { decoded, fields }
}

fn ntp(
    octets: &[u8],
    context: Context<'_>,
    notes: &mut Notes,
) -> (Vec<Part>, String, Option<nts::Seen>) {
    let Some((head, tail)) = octets.split_at_checked(header::LEN) else {
        let what = format!("{} octets are less than a header of 48", octets.len());
        notes.must("RFC 5905 §7.3", 0, what);
        let part = Part::new("cut off", 0, octets, "no NTP packet");
        return (some(part), format!("{} octets, no NTP packet", octets.len()), None);
    };
    let (mut parts, shown) = header::read(head, context.near_s, notes);
    if !octets.len().is_multiple_of(4) {
        let what = format!("{} octets are not a multiple of 4", octets.len());
        notes.must("RFC 5905 §7.3", header::LEN, what);
    }
    let framed = field::frame(shown.version, tail, notes);
    let seen = nts::look(octets, &shown, &framed, context.keys, notes);
    let said = seen.summary();
    parts.extend(field::parts(framed, &seen));
    (parts, format!("{}, {} octets{said}", shown.summary(), octets.len()), Some(seen))
}

/// Reads what one side of NTS key establishment says inside TLS.
#[must_use]
pub fn message(octets: &[u8], speaker: Speaker) -> Decoded {
    let mut notes = Notes::default();
    let (parts, summary) = record::read(octets, speaker, &mut notes);
    Decoded { summary, length: octets.len(), parts, remarks: notes.sorted() }
}

/// Remarks as they are made.
#[derive(Debug, Default)]
struct Notes(Vec<Remark>);

impl Notes {
    fn note(&mut self, level: Level, rfc: &'static str, at: usize, what: impl Into<String>) {
        self.0.push(Remark { level, rfc, at, what: what.into() });
    }

    fn must(&mut self, rfc: &'static str, at: usize, what: impl Into<String>) {
        self.note(Level::Must, rfc, at, what);
    }

    fn derived(&mut self, rfc: &'static str, at: usize, what: impl Into<String>) {
        self.note(Level::Derived, rfc, at, what);
    }

    fn should(&mut self, rfc: &'static str, at: usize, what: impl Into<String>) {
        self.note(Level::Should, rfc, at, what);
    }

    /// Allowed, and worth knowing.
    fn may(&mut self, rfc: &'static str, at: usize, what: impl Into<String>) {
        self.note(Level::May, rfc, at, what);
    }

    fn sorted(mut self) -> Vec<Remark> {
        self.0.sort_by_key(|remark| remark.at);
        self.0
    }
}

/// The part, if it has octets.
fn some(part: Part) -> Vec<Part> {
    if part.octets.is_empty() { Vec::new() } else { vec![part] }
}

fn as_hex<S: serde::Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex(octets))
}
