//! Key establishment as a probe sees it: octets go in, records come out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::bench::{Bench, now_us};
use super::judgement::Objection;
use super::talk::{Talk, config};
use super::target::KeTarget;
use crate::evidence::{Carrier, Direction, Passage, hex};
use crate::octets::record::{self, Record};

/// A whole response, and the connection it came on.
pub struct Response {
    /// The records of it.
    pub records: Vec<Record>,
    /// Octets behind them that are no record.
    pub rest: Vec<u8>,
    /// The connection.
    pub talk: Talk,
}

impl Response {
    /// Records of this type.
    pub fn of_kind(&self, kind: u16) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.kind == kind)
    }

    /// How many there are of this type.
    #[must_use]
    pub fn count(&self, kind: u16) -> usize {
        self.of_kind(kind).count()
    }

    /// Types in the order they came, End of Message left out.
    #[must_use]
    pub fn kinds(&self) -> Vec<u16> {
        self.records.iter().map(|record| record.kind).filter(|kind| *kind != record::END).collect()
    }

    /// The code of the first Error record.
    #[must_use]
    pub fn error(&self) -> Option<u16> {
        self.of_kind(record::ERROR).find_map(|record| record.numbers().first().copied())
    }

    /// The protocols chosen.
    #[must_use]
    pub fn protocols(&self) -> Vec<u16> {
        self.of_kind(record::NEXT_PROTOCOL).next().map(Record::numbers).unwrap_or_default()
    }

    /// The AEAD chosen: the first where there are several.
    #[must_use]
    pub fn aead(&self) -> Option<u16> {
        self.of_kind(record::AEAD).find_map(|record| record.numbers().first().copied())
    }

    /// The cookies.
    #[must_use]
    pub fn cookies(&self) -> Vec<Vec<u8>> {
        self.of_kind(record::COOKIE).map(|record| record.body.clone()).collect()
    }

    /// Whether NTPv4 and an AEAD were agreed on.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.error().is_none() && self.protocols().contains(&0) && self.aead().is_some()
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.talk.heard.is_empty() {
            return match &self.talk.broken {
                Some(why) => format!("nothing: {why}"),
                None => "nothing".to_owned(),
            };
        }
        let records: Vec<String> = self
            .records
            .iter()
            .map(|record| {
                let critical = if record.critical { "!" } else { "" };
                match record.kind {
                    record::COOKIE => format!("cookie{critical}:{}", record.body.len()),
                    kind => format!(
                        "{kind}{critical}:{}",
                        hex(&record.body[..record.body.len().min(24)])
                    ),
                }
            })
            .collect();
        format!("records {}", records.join(" "))
    }
}

impl Bench<'_> {
    /// The key establishment server.
    ///
    /// # Errors
    /// There is none.
    pub fn ke(&self) -> Result<&KeTarget, Objection> {
        self.target
            .ke
            .as_ref()
            .ok_or_else(|| Objection::unbound("there is no key establishment server"))
    }

    /// TLS settings of an ordinary client.
    ///
    /// # Errors
    /// There is no key establishment server.
    pub fn ordinary(&self) -> Result<Arc<ClientConfig>, Objection> {
        Ok(Arc::new(config(&self.ke()?.roots, &[b"ntske/1"])))
    }

    /// A connection with these TLS settings, as far as it gets.
    ///
    /// # Errors
    /// Nothing can be said if there is no connection.
    pub fn connect_with(
        &mut self,
        config: &Arc<ClientConfig>,
        piece: usize,
    ) -> Result<Talk, Objection> {
        let to = self.ke()?.clone();
        let mut said = String::new();
        for _ in 0..3 {
            self.paces.ke.wait();
            match Talk::connect(&to, config, piece, self.manner.patience) {
                Ok(talk) => return Ok(talk),
                Err(error) => {
                    said = error.to_string();
                    self.paces.ke.slow_down();
                }
            }
        }
        Err(Objection::unclear(format!("no connection to {}: {said}", to.address)))
    }

    /// An ordinary client's connection, the handshake done.
    ///
    /// # Errors
    /// Nothing can be said without one.
    pub fn connect(&mut self) -> Result<Talk, Objection> {
        let config = self.ordinary()?;
        let talk = self.connect_with(&config, usize::MAX)?;
        if talk.tls.is_handshaking() || talk.broken.is_some() {
            let why = talk.broken.clone().unwrap_or_else(|| "it does not end".to_owned());
            self.finish(&talk, &[], "");
            return Err(Objection::unclear(format!("no TLS handshake: {why}")));
        }
        Ok(talk)
    }

    /// Writes down what was said on a connection.
    pub fn finish(&mut self, talk: &Talk, said: &[u8], meaning: &str) {
        self.wire.extend(talk.wire.iter().cloned());
        let at_us = talk.wire.last().map_or_else(now_us, |passage| passage.at_us);
        let mut note = |direction, octets: &[u8], meaning: &str| {
            if !octets.is_empty() {
                self.book.push(Passage {
                    at_us,
                    direction,
                    carrier: Carrier::Ke,
                    here: talk.here,
                    there: talk.there,
                    meaning: meaning.to_owned(),
                    octets: octets.to_vec(),
                });
            }
        };
        note(Direction::Sent, said, meaning);
        note(Direction::Received, &talk.heard, "");
    }

    /// Sends a message to an ordinary connection and reads all that is answered.
    ///
    /// # Errors
    /// Nothing can be said without a connection.
    pub fn establish(&mut self, message: &[u8], meaning: &str) -> Result<Response, Objection> {
        let mut talk = self.connect()?;
        talk.say(message);
        Ok(self.response(talk, message, meaning))
    }

    /// What is answered on a connection on which all has been said.
    pub fn response(&mut self, mut talk: Talk, said: &[u8], meaning: &str) -> Response {
        let patience = self.manner.patience;
        talk.hear(patience * 3, |talk| talk.ended || talk.notified);
        self.finish(&talk, said, meaning);
        let (records, rest) = record::cut(&talk.heard);
        Response { rest: rest.to_vec(), records, talk }
    }

    /// The same from records.
    ///
    /// # Errors
    /// As [`Self::establish`].
    pub fn establish_by(
        &mut self,
        records: &[Record],
        meaning: &str,
    ) -> Result<Response, Objection> {
        self.establish(&record::message(records), meaning)
    }

    /// The same where keys and cookies must be given.
    ///
    /// # Errors
    /// A failure if they are not, though an ordinary request is served.
    pub fn served(&mut self, records: &[Record], meaning: &str) -> Result<Response, Objection> {
        let response = self.establish_by(records, meaning)?;
        if response.is_served() {
            return Ok(response);
        }
        self.ke_control()?;
        Err(Objection::fails(format!("{meaning} is not served: {}", response.shown())))
    }

    /// The positive control: an ordinary request is served.
    ///
    /// # Errors
    /// Nothing can be said if it is not.
    pub fn ke_control(&mut self) -> Result<(), Objection> {
        for _ in 0..2 {
            if self.establish_by(&minimal(), "control")?.is_served() {
                return Ok(());
            }
        }
        Err(Objection::unclear("an ordinary request is not served"))
    }

    /// Asks something that must be refused with this error and with nothing else of use.
    ///
    /// # Errors
    /// A failure if it is not, though an ordinary request is served.
    pub fn refused(
        &mut self,
        octets: &[u8],
        code: u16,
        meaning: &str,
    ) -> Result<Response, Objection> {
        let response = self.establish(octets, meaning)?;
        if response.error() == Some(code) && response.cookies().is_empty() {
            return Ok(response);
        }
        self.ke_control()?;
        Err(Objection::fails(format!(
            "{meaning} is not refused by error {code} alone: {}",
            response.shown()
        )))
    }

    /// What a server sends back for octets that need not be TLS, until it closes or falls silent.
    ///
    /// # Errors
    /// Nothing can be said without a connection.
    pub fn raw(&mut self, octets: &[u8], meaning: &str) -> Result<Vec<u8>, Objection> {
        let to = self.ke()?.address;
        self.paces.ke.wait();
        let unclear =
            |error: std::io::Error| Objection::unclear(format!("no connection to {to}: {error}"));
        let patience = self.manner.patience;
        let mut tcp = TcpStream::connect_timeout(&to, patience.max(Duration::from_secs(1)))
            .map_err(unclear)?;
        let here = tcp.local_addr().map_err(unclear)?;
        tcp.write_all(octets).map_err(unclear)?;
        let until = Instant::now() + patience;
        let mut heard = Vec::new();
        let mut buffer = [0; 16384];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Some hundred octets are a whole ServerHello or a whole alert; nobody here wants more.
            if left.is_zero() || heard.len() > 600 {
                break;
            }
            match tcp.set_read_timeout(Some(left)).and_then(|()| tcp.read(&mut buffer)) {
                Ok(0) | Err(_) => break,
                Ok(len) => heard.extend(&buffer[..len]),
            }
        }
        let mut note = |direction, octets: &[u8], meaning: &str| {
            let passage = Passage {
                at_us: now_us(),
                direction,
                carrier: Carrier::Tls,
                here,
                there: to,
                meaning: meaning.to_owned(),
                octets: octets.to_vec(),
            };
            self.wire.push(passage.clone());
            self.book.push(passage);
        };
        note(Direction::Sent, octets, meaning);
        note(Direction::Received, &heard, "");
        Ok(heard)
    }
}

/// What an ordinary client asks for: NTPv4 and AEAD 15.
#[must_use]
pub fn minimal() -> Vec<Record> {
    vec![Record::protocols(&[0]), Record::aeads(&[15])]
}
