//! Associations of NTS with the server under test, one for each algorithm, and requests under them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use super::answer::Answer;
use super::bench::{Bench, random, random_number};
use super::establishment::Response;
use super::judgement::Objection;
use super::target::permit;
use crate::evidence::SessionKeys;
use crate::octets::cipher::{Cipher, Keys};
use crate::octets::field::{COOKIE, Field, PLACEHOLDER, UNIQUE};
use crate::octets::header::Header;
use crate::octets::protected::Protected;
use crate::octets::record::{self, Record};

/// The label of RFC 8915 §4.3.
pub const LABEL: &str = "EXPORTER-network-time-security";

/// A client that has been through key establishment. It spends one cookie again and again, which no client should do and
/// every server must bear.
#[derive(Clone, Debug)]
pub struct Session {
    /// The keys.
    pub keys: Keys,
    /// The cookie it spends.
    pub cookie: Vec<u8>,
    /// All that it was given.
    pub cookies: Vec<Vec<u8>>,
    /// Where the server wants to be asked.
    pub ntp: SocketAddr,
}

/// What key establishment came to for each algorithm, so that each is done once.
#[derive(Debug, Default)]
pub struct Sessions {
    made: Vec<(Cipher, Option<Session>)>,
}

impl Session {
    /// The request every client makes, still open: identifier, cookie, placeholders, authenticator around nothing.
    #[must_use]
    pub fn draft(&self, placeholders: usize) -> Protected {
        let placeholder = Field::new(PLACEHOLDER, vec![0; self.cookie.len()]);
        let mut clear =
            vec![Field::new(UNIQUE, random(32)), Field::new(COOKIE, self.cookie.clone())];
        clear.extend(vec![placeholder; placeholders]);
        Protected {
            header: Header::request(random_number()).octets(),
            clear,
            nonce: random(self.keys.cipher.nonce_len()),
            inner: Vec::new(),
            padding: 0,
            after: Vec::new(),
        }
    }

    /// Closes a request.
    #[must_use]
    pub fn seal(&self, draft: &Protected) -> Vec<u8> {
        draft.seal(self.keys.cipher, &self.keys.c2s)
    }

    /// The request every client makes.
    #[must_use]
    pub fn request(&self, placeholders: usize) -> Vec<u8> {
        self.seal(&self.draft(placeholders))
    }

    /// Another request with parts changed.
    #[must_use]
    pub fn request_with(&self, change: impl FnOnce(&mut Protected)) -> Vec<u8> {
        let mut draft = self.draft(0);
        change(&mut draft);
        self.seal(&draft)
    }

    /// An answer opened by either key: which of them is the business of one clause alone.
    ///
    /// # Errors
    /// A failure if neither opens it.
    pub fn open(&self, answer: &Answer) -> Result<Protected, Objection> {
        self.open_with(answer, &self.keys.s2c)
            .or_else(|| self.open_with(answer, &self.keys.c2s))
            .ok_or_else(|| {
                Objection::fails(format!("an answer cannot be opened: {}", answer.shown()))
            })
    }

    /// An answer opened by this key.
    #[must_use]
    pub fn open_with(&self, answer: &Answer, key: &[u8]) -> Option<Protected> {
        Protected::open(&answer.octets, self.keys.cipher, key)
    }

    /// The number of its algorithm.
    #[must_use]
    pub fn aead(&self) -> u16 {
        self.keys.cipher.number()
    }
}

impl Bench<'_> {
    /// A session with AEAD 15.
    ///
    /// # Errors
    /// There is no NTS, or nothing can be said.
    pub fn session(&mut self) -> Result<Session, Objection> {
        self.session_with(Cipher::Siv256)?
            .ok_or_else(|| Objection::unclear("no association with AEAD 15"))
    }

    /// Sessions with each algorithm the server has.
    ///
    /// # Errors
    /// As [`Self::session`].
    pub fn sessions(&mut self) -> Result<Vec<Session>, Objection> {
        let mut found = vec![self.session()?];
        for cipher in [Cipher::Siv512, Cipher::GcmSiv] {
            found.extend(self.session_with(cipher)?);
        }
        Ok(found)
    }

    /// A session with this algorithm; `None` where the server does not have it.
    ///
    /// # Errors
    /// There is no NTS, or nothing can be said.
    pub fn session_with(&mut self, cipher: Cipher) -> Result<Option<Session>, Objection> {
        let made = self.sessions.made.iter().find(|(made, _)| *made == cipher);
        let session = match made {
            Some((_, session)) => session.clone(),
            None => {
                let session = self.new_session(cipher)?;
                self.sessions.made.push((cipher, session.clone()));
                session
            }
        };
        if let Some(session) = &session {
            self.keys.push(SessionKeys::from(&session.keys));
        }
        Ok(session)
    }

    fn new_session(&mut self, cipher: Cipher) -> Result<Option<Session>, Objection> {
        let mut records = vec![Record::protocols(&[0]), Record::aeads(&[cipher.number()])];
        if cipher == Cipher::GcmSiv {
            records.push(Record::new(false, record::COMPLIANT_EXPORT, []));
        }
        let response = self.establish_by(&records, "key establishment for a session")?;
        if response.aead() != Some(cipher.number()) || response.cookies().is_empty() {
            return Ok(None);
        }
        let agreed = response.count(record::COMPLIANT_EXPORT) > 0;
        let ids: &[u16] = match cipher {
            // Without record 1024 some export as for AEAD 15, some as the RFC says; a request tells.
            Cipher::GcmSiv if !agreed => &[30, 15],
            Cipher::GcmSiv => &[30],
            _ => &[cipher.number()],
        };
        let ntp = self.negotiated(&response)?;
        let cookies = response.cookies();
        let mut session = None;
        for id in ids {
            let keys = keys_for(&response, cipher, *id)?;
            let candidate =
                Session { keys, cookie: cookies[0].clone(), cookies: cookies.clone(), ntp };
            let answer = self.ask_nts(&candidate, &candidate.request(0), "a first request")?;
            let taken = answer.is_some_and(|answer| !answer.is_ntsn());
            session = Some(candidate);
            if taken {
                break;
            }
        }
        Ok(session)
    }

    /// Where NTP is to be asked after this response: RFC 8915 §4.1.7 and §4.1.8, within what may be asked.
    fn negotiated(&self, response: &Response) -> Result<SocketAddr, Objection> {
        let mut to = SocketAddr::new(response.talk.there.ip(), 123);
        if let Some(port) =
            response.of_kind(record::PORT).find_map(|record| record.numbers().first().copied())
        {
            to.set_port(port);
        }
        if let Some(server) = response.of_kind(record::SERVER).next() {
            let name = String::from_utf8_lossy(&server.body).into_owned();
            let found = match name.parse::<IpAddr>() {
                Ok(address) => Some(address),
                Err(_) => (name.as_str(), to.port())
                    .to_socket_addrs()
                    .ok()
                    .and_then(|mut addresses| addresses.next())
                    .map(|address| address.ip()),
            };
            // A name nobody can look up here is judged elsewhere; the server itself is asked then.
            if let Some(address) = found {
                to.set_ip(address);
            }
        }
        permit(to.ip(), self.target.allowed)
            .map_err(|error| Objection::unclear(error.to_string()))?;
        // Where the user named a port for NTP and key establishment names none, the user knows better.
        if response.count(record::PORT) == 0 && to.ip() == self.target.ntp.ip() {
            to.set_port(self.target.ntp.port());
        }
        Ok(to)
    }

    /// Asks under NTS where an answer may come or not. `None` stands between answered requests.
    ///
    /// # Errors
    /// As [`Self::try_ask`].
    pub fn ask_nts(
        &mut self,
        session: &Session,
        request: &[u8],
        meaning: &str,
    ) -> Result<Option<Answer>, Objection> {
        self.try_ask_at(session.ntp, request, meaning)
    }

    /// Asks under NTS and must get time.
    ///
    /// # Errors
    /// A failure if it does not come, though an ordinary request under NTS is answered.
    pub fn nts_time(
        &mut self,
        session: &Session,
        request: &[u8],
        meaning: &str,
    ) -> Result<Answer, Objection> {
        match self.ask_nts(session, request, meaning)? {
            Some(answer) if answer.header.kiss().is_none() => Ok(answer),
            other => {
                self.nts_control(session)?;
                let shown = super::answer::shown(other.as_ref());
                Err(Objection::fails(format!("no time for {meaning}: {shown}")))
            }
        }
    }

    /// Asks under NTS where nothing may be answered, all of it between ordinary requests under NTS; `None` for silence.
    ///
    /// # Errors
    /// Nothing can be said if those are not answered.
    pub fn nts_silence(
        &mut self,
        session: &Session,
        requests: &[(Vec<u8>, String)],
    ) -> Result<Vec<Option<Answer>>, Objection> {
        self.nts_control(session)?;
        let answers = self.silence_at(session.ntp, requests)?;
        self.nts_control(session)?;
        Ok(answers)
    }

    /// The positive control for NTS: an ordinary request under it is answered by something other than a kiss.
    ///
    /// # Errors
    /// Nothing can be said if it is not.
    pub fn nts_control(&mut self, session: &Session) -> Result<(), Objection> {
        let answer = self.ask_nts(session, &session.request(0), "control under NTS")?;
        match answer {
            Some(answer) if answer.header.kiss().is_none() => Ok(()),
            other => Err(Objection::unclear(format!(
                "an ordinary request under NTS is answered by {}",
                super::answer::shown(other.as_ref())
            ))),
        }
    }
}

/// The keys after a response, exported with this number in the context.
///
/// # Errors
/// Nothing can be said if TLS exports none.
pub fn keys_for(response: &Response, cipher: Cipher, id: u16) -> Result<Keys, Objection> {
    let [high, low] = id.to_be_bytes();
    let key = |direction| {
        response
            .talk
            .export(cipher.key_len(), LABEL, Some(&[0, 0, high, low, direction]))
            .map_err(Objection::unclear)
    };
    Ok(Keys { cipher, c2s: key(0)?, s2c: key(1)? })
}
