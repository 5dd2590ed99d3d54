//! One turn of a script: a request that came, and means to answer it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::crypto::SecureRandom;

use super::log::{Issued, Log, Mark, Question, Session, Store};
use crate::octets::field::{COOKIE, UNIQUE};
use crate::octets::record::{self, COMPLIANT_EXPORT};
use crate::octets::{Cipher, Field, Header, Keys, Protected, Record};

/// Octets nobody can foretell.
#[must_use]
pub fn random(len: usize) -> Vec<u8> {
    let mut octets = vec![0; len];
    let source: &dyn SecureRandom = rustls::crypto::ring::default_provider().secure_random;
    source.fill(&mut octets).expect("the system has randomness");
    octets
}

/// A request of key establishment that came, whole.
pub struct KeTurn<'a> {
    /// The script's number.
    pub script: usize,
    /// The session's number in its log.
    pub session: usize,
    /// How many requests came before it.
    pub before: usize,
    /// What the client asks.
    pub asked: &'a Session,
    /// The address it came to.
    pub address: IpAddr,
    /// The port to name for NTP; `None` if it is 123, which is not named.
    pub port: Option<u16>,
    /// Another port that is listened on.
    pub other_port: u16,
    /// How many cookies are given, and how long.
    pub cookies: (usize, usize),
    /// Where cookies are remembered.
    pub store: &'a Store,
    /// The AEAD wanted, where the client offers it.
    pub wanted: Cipher,
}

impl KeTurn<'_> {
    /// The AEAD agreed: the one wanted, or the first that is offered and known.
    #[must_use]
    pub fn cipher(&self) -> Option<Cipher> {
        let offered = self.asked.numbers(record::AEAD);
        let first = offered.iter().copied().find_map(Cipher::from_number);
        offered.contains(&self.wanted.number()).then_some(self.wanted).or(first)
    }

    /// Whether record 1024 is agreed: asked for, and AEAD 30 chosen.
    #[must_use]
    pub fn is_compliant(&self) -> bool {
        let asked = self.asked.records().iter().any(|record| record.kind == COMPLIANT_EXPORT);
        asked && self.cipher() == Some(Cipher::GcmSiv)
    }

    /// A cookie of this script.
    #[must_use]
    pub fn cookie(&self, mark: Mark) -> Record {
        let cookie = random(self.cookies.1);
        self.store.put(cookie.clone(), Issued { script: self.script, session: self.session, mark });
        Record::new(false, record::COOKIE, cookie)
    }

    /// Records of an honest response without its cookies: protocol, AEAD, what goes with it, and the port.
    #[must_use]
    pub fn terms(&self) -> Vec<Record> {
        let numbers: Vec<u16> = self.cipher().map(Cipher::number).into_iter().collect();
        let mut records = vec![Record::protocols(&[0]), Record::aeads(&numbers)];
        if self.is_compliant() {
            records.push(Record::new(false, COMPLIANT_EXPORT, []));
        }
        records.extend(self.port.map(|port| Record::new(false, record::PORT, port.to_be_bytes())));
        records
    }

    /// The cookies of an honest response.
    #[must_use]
    pub fn jar(&self) -> Vec<Record> {
        (0..self.cookies.0).map(|_| self.cookie(Mark::Agreed)).collect()
    }

    /// All records of an honest response but End of Message.
    #[must_use]
    pub fn honest(&self) -> Vec<Record> {
        [self.terms(), self.jar()].concat()
    }
}

/// An NTP packet that came, and what is known of it.
pub struct Turn<'a> {
    /// The script's number.
    pub script: usize,
    /// How many questions that could be opened came before it.
    pub number: usize,
    /// The question.
    pub question: &'a Question,
    /// What came before.
    pub log: &'a Log,
    /// The keys of its cookie.
    pub keys: Option<&'a Keys>,
    /// When it came, by the clock that is served.
    pub received: u64,
    /// How long cookies are.
    pub cookie_len: usize,
    /// Where cookies are remembered.
    pub store: &'a Store,
}

/// What is sent back.
pub struct Sent {
    /// The datagram.
    pub octets: Vec<u8>,
    /// What is meant by it.
    pub meaning: &'static str,
    /// From another port than the one that was asked.
    pub from_elsewhere: bool,
    /// Whether it is the honest answer.
    pub is_honest: bool,
}

impl Sent {
    /// Something dishonest.
    #[must_use]
    pub fn bad(octets: Vec<u8>, meaning: &'static str) -> Self {
        Self { octets, meaning, from_elsewhere: false, is_honest: false }
    }

    /// The honest answer.
    #[must_use]
    pub fn good(octets: Vec<u8>) -> Self {
        Self {
            octets,
            meaning: "control: an honest answer",
            from_elsewhere: false,
            is_honest: true,
        }
    }
}

impl Turn<'_> {
    /// A cookie that is remembered.
    #[must_use]
    pub fn cookie(&self, mark: Mark) -> Field {
        let cookie = random(self.cookie_len);
        let session = self.question.cookie.map_or(0, |cookie| cookie.session);
        self.store.put(cookie.clone(), Issued { script: self.script, session, mark });
        Field::new(COOKIE, cookie)
    }

    /// The header of an honest answer.
    #[must_use]
    pub fn header(&self) -> Header {
        let asked = self.question.header();
        Header {
            version: asked.version,
            mode: 4,
            stratum: 1,
            poll: asked.poll,
            precision: -20,
            root_dispersion: 0x20,
            reference_id: *b"PROB",
            reference: self.received.wrapping_sub(16 << 32),
            origin: asked.transmit,
            receive: self.received,
            transmit: now(),
            ..Header::default()
        }
    }

    /// An honest answer, open: so many cookies, of this mark.
    #[must_use]
    pub fn draft(&self, cookies: usize, mark: Mark) -> Protected {
        let unique = self.question.unique().unwrap_or_default();
        Protected {
            header: self.header().octets(),
            clear: vec![Field::new(UNIQUE, unique)],
            nonce: random(self.keys.map_or(16, |keys| keys.cipher.nonce_len())),
            inner: (0..cookies).map(|_| self.cookie(mark)).collect(),
            padding: 0,
            after: Vec::new(),
        }
    }

    /// Closed with the server's key.
    #[must_use]
    pub fn seal(&self, open: &Protected) -> Vec<u8> {
        match self.keys {
            Some(keys) => open.seal(keys.cipher, &keys.s2c),
            None => open.header.clone(),
        }
    }

    /// The honest answer with so many cookies.
    #[must_use]
    pub fn good(&self, cookies: usize) -> Sent {
        Sent::good(self.seal(&self.draft(cookies, Mark::Good(self.number))))
    }

    /// The honest answer with as many cookies as were asked for.
    #[must_use]
    pub fn full(&self) -> Sent {
        self.good(1 + self.question.placeholders())
    }

    /// A kiss without proof: with the identifier of the question unless `unique` is another one, or none.
    #[must_use]
    pub fn kiss(&self, code: [u8; 4], unique: Option<Vec<u8>>) -> Vec<u8> {
        let header = self.kiss_header(code);
        let field = unique.map(|unique| Field::new(UNIQUE, unique).octets()).unwrap_or_default();
        [header.octets(), field].concat()
    }

    /// The header of a kiss.
    #[must_use]
    pub fn kiss_header(&self, code: [u8; 4]) -> Header {
        Header { leap: 3, stratum: 0, reference_id: code, reference: 0, ..self.header() }
    }
}

/// The time that is served: the machine's, in 2⁻³² s since 1900.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs().wrapping_add(2_208_988_800);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    seconds << 32 | fraction
}
