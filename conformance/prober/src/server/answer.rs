//! An answer over NTP, as it was received.

use crate::evidence::hex;
use crate::octets::field::{AUTHENTICATOR, COOKIE, Field, cut};
use crate::octets::header::{Header, LEN};

/// What came back, read as far as it can be.
#[derive(Clone, Debug)]
pub struct Answer {
    /// All of it.
    pub octets: Vec<u8>,
    /// Its header; zeros where less than a header came.
    pub header: Header,
    /// Extension fields behind the header.
    pub fields: Vec<Field>,
    /// What follows the fields and is none.
    pub rest: Vec<u8>,
}

impl Answer {
    /// Reads an answer; anything can be read.
    #[must_use]
    pub fn read(octets: &[u8]) -> Self {
        let (fields, rest) = cut(octets.get(LEN..).unwrap_or_default());
        Self {
            octets: octets.to_vec(),
            header: Header::read(octets).unwrap_or_default(),
            fields,
            rest: rest.to_vec(),
        }
    }

    /// Whether a client could take its time from it.
    #[must_use]
    pub fn gives_time(&self) -> bool {
        self.octets.len() >= LEN && self.header.gives_time()
    }

    /// Fields of this type.
    #[must_use]
    pub fn of_kind(&self, kind: u16) -> Vec<&Field> {
        self.fields.iter().filter(|field| field.kind == kind).collect()
    }

    /// Whether there is a field of this type.
    #[must_use]
    pub fn has(&self, kind: u16) -> bool {
        self.fields.iter().any(|field| field.kind == kind)
    }

    /// Whether any of it only makes sense to a client of NTS.
    #[must_use]
    pub fn is_nts(&self) -> bool {
        self.has(AUTHENTICATOR) || self.has(COOKIE)
    }

    /// Whether it is the kiss NTSN (RFC 8915 §5.7).
    #[must_use]
    pub fn is_ntsn(&self) -> bool {
        self.header.kiss() == Some(*b"NTSN")
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn shown(&self) -> String {
        let Header { version, mode, stratum, leap, .. } = self.header;
        let kiss = self
            .header
            .kiss()
            .map_or_else(String::new, |code| format!(" kiss {}", code.escape_ascii()));
        let kinds: Vec<String> = self
            .fields
            .iter()
            .map(|field| format!("{:04x}:{}", field.kind, field.body.len() + 4))
            .collect();
        let fields =
            if kinds.is_empty() { String::new() } else { format!(", fields {}", kinds.join(" ")) };
        let rest = if self.rest.is_empty() {
            String::new()
        } else {
            format!(", then {}", hex(&self.rest[..self.rest.len().min(24)]))
        };
        format!(
            "{} octets, version {version} mode {mode} leap {leap} stratum {stratum}{kiss}{fields}{rest}",
            self.octets.len()
        )
    }
}

/// The same of what may not have come.
#[must_use]
pub fn shown(answer: Option<&Answer>) -> String {
    answer.map_or_else(|| "silence".to_owned(), Answer::shown)
}
