//! What a client did at one address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Instant;

use super::hello::Hello;
use crate::evidence::Passage;
use crate::octets::field::{COOKIE, PLACEHOLDER, UNIQUE};
use crate::octets::{Header, Keys, Protected, Record};

/// One connection for key establishment.
#[derive(Clone, Debug)]
pub struct Session {
    /// When it was made.
    pub at: Instant,
    /// From where.
    pub peer: SocketAddr,
    /// What it offered, if it could be read.
    pub hello: Option<Hello>,
    /// The protocol above TLS agreed.
    pub protocol: Option<Vec<u8>>,
    /// Whether the handshake came to its end.
    pub is_established: bool,
    /// What the client said, up to and with End of Message if there was one.
    pub request: Vec<u8>,
    /// What it said after that.
    pub after: Vec<u8>,
    /// When it was answered.
    pub answered: Option<Instant>,
    /// Whether the client closed with the word that says so (alert close_notify).
    pub close_notify: bool,
    /// How TLS ended, if not well.
    pub trouble: Option<String>,
    /// The keys agreed.
    pub keys: Option<Keys>,
}

impl Session {
    /// The records of its request.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        crate::octets::record::cut(&self.request).0
    }

    /// Numbers in the first record of a type.
    #[must_use]
    pub fn numbers(&self, kind: u16) -> Vec<u16> {
        self.records()
            .iter()
            .find(|record| record.kind == kind)
            .map(Record::numbers)
            .unwrap_or_default()
    }
}

/// What a cookie was given for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Mark {
    /// It came with key establishment.
    Agreed,
    /// It came in the honest answer to the question of this number.
    Good(usize),
    /// It came in something that must not be taken, of this name.
    Bad(&'static str),
}

/// A cookie that was given out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Issued {
    /// The script that gave it.
    pub script: usize,
    /// The session whose keys it stands for.
    pub session: usize,
    /// For what.
    pub mark: Mark,
}

/// All cookies given out in a run, by all scripts.
#[derive(Debug, Default)]
pub struct Store(Mutex<HashMap<Vec<u8>, Issued>>);

impl Store {
    /// Remembers a cookie.
    pub fn put(&self, cookie: Vec<u8>, issued: Issued) {
        if let Ok(mut all) = self.0.lock() {
            all.insert(cookie, issued);
        }
    }

    /// What a cookie was given for.
    #[must_use]
    pub fn get(&self, cookie: &[u8]) -> Option<Issued> {
        self.0.lock().ok()?.get(cookie).copied()
    }
}

/// One NTP packet from the client.
#[derive(Clone, Debug)]
pub struct Question {
    /// When it came.
    pub at: Instant,
    /// From where.
    pub from: SocketAddr,
    /// Its octets.
    pub octets: Vec<u8>,
    /// Whether it came to the port that key establishment named, not to the usual one.
    pub at_named_port: bool,
    /// The cookie it has, if it is one of ours.
    pub cookie: Option<Issued>,
    /// What was sealed, if the keys of its cookie open it.
    pub open: Option<Protected>,
    /// Whether it was answered honestly.
    pub is_answered: bool,
}

impl Question {
    /// Its header.
    #[must_use]
    pub fn header(&self) -> Header {
        Header::read(&self.octets).unwrap_or_default()
    }

    /// Bodies of its fields of a type, as they stand in clear.
    #[must_use]
    pub fn bodies(&self, kind: u16) -> Vec<Vec<u8>> {
        let tail = self.octets.get(48..).unwrap_or_default();
        let fields = crate::octets::field::cut(tail).0;
        fields.into_iter().filter(|field| field.kind == kind).map(|field| field.body).collect()
    }

    /// Its identifier.
    #[must_use]
    pub fn unique(&self) -> Option<Vec<u8>> {
        self.bodies(UNIQUE).into_iter().next()
    }

    /// Octets of its cookie.
    #[must_use]
    pub fn cookie_octets(&self) -> Option<Vec<u8>> {
        self.bodies(COOKIE).into_iter().next()
    }

    /// Its placeholders, in clear and sealed.
    #[must_use]
    pub fn placeholders(&self) -> usize {
        match &self.open {
            Some(open) => open.all(PLACEHOLDER).len(),
            None => self.bodies(PLACEHOLDER).len(),
        }
    }
}

/// All that a client did at one address.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Connections, in their order.
    pub sessions: Vec<Session>,
    /// NTP packets, in their order.
    pub questions: Vec<Question>,
    /// What went over the wire.
    pub passages: Vec<Passage>,
}

impl Log {
    /// When the client first came.
    #[must_use]
    pub fn began(&self) -> Option<Instant> {
        let session = self.sessions.first().map(|session| session.at);
        let question = self.questions.first().map(|question| question.at);
        session.into_iter().chain(question).min()
    }

    /// When key establishment was first answered.
    #[must_use]
    pub fn answered(&self) -> Option<Instant> {
        self.sessions.iter().find_map(|session| session.answered)
    }

    /// Whether a cookie given for this was used in a question.
    #[must_use]
    pub fn used(&self, mark: Mark) -> bool {
        self.questions
            .iter()
            .any(|question| question.cookie.is_some_and(|issued| issued.mark == mark))
    }
}
