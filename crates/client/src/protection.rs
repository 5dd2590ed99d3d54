//! The NTS side of an association: keys, cookies, and what an answer has to prove.

use core::time::Duration;

use noonmark_nts::{
    Aead, AeadKey, Agreement, AnswerError, CertificateFacts, MAX_PACKET_LEN, Random, SessionKeys,
    UNIQUE_LEN, ValidityPeriod, open_answer, placeholders_that_fit, write_request,
};
use noonmark_packet::{Header, KissCode};
use noonmark_units::{Mono, Timestamp};

use crate::Refusal;
use crate::backoff::Backoff;
use crate::jar::{JAR_SIZE, Jar};
use crate::length::LengthLimit;

/// What a protected association holds. Without keys or cookies nothing can be asked: there is no way back to plain NTP.
pub(crate) struct Protection {
    keyed: Option<Keyed>,
    backoff: Backoff,
    /// Key establishment was asked for and has not ended.
    establishing: bool,
    /// The server refuses our cookies, or the keys are old: new ones are wanted, while the old go on being used (RFC 8915 §5.7).
    refused: bool,
    /// What the way to the server lets through.
    length: LengthLimit,
}

/// What an agreement gave us.
struct Keyed {
    session: SessionKeys,
    keys: KeyPair,
    /// AEAD 30 with the other exporter context, for a server that reads the agreement differently.
    alternative: Option<SessionKeys>,
    jar: Jar,
    since: Mono,
    /// When the certificates of the key-establishment server are all valid, until an answer agreed with it.
    period: Option<ValidityPeriod>,
}

struct KeyPair {
    c2s: AeadKey,
    s2c: AeadKey,
}

/// What the answer to one question has to return.
pub(crate) struct Question {
    unique: [u8; UNIQUE_LEN],
    placeholders: usize,
    /// What it spends.
    cookie: Vec<u8>,
}

/// A kiss-o'-death that answers our question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kiss {
    pub(crate) code: KissCode,
    pub(crate) authenticated: bool,
}

impl Protection {
    pub(crate) fn new(now: Mono) -> Self {
        Self {
            keyed: None,
            backoff: Backoff::new(now),
            establishing: false,
            refused: false,
            length: LengthLimit::default(),
        }
    }

    /// When the next step can be taken: at once with a cookie; without one, when key establishment may begin.
    pub(crate) fn ready_at(&self) -> Mono {
        match (self.cookies_left(), self.establishing) {
            (1.., _) => Mono(0),
            (0, true) => Mono::NEVER,
            (0, false) => self.backoff.ready_at(),
        }
    }

    /// Whether key establishment shall begin now; notes that it does.
    pub(crate) fn begin_establishment(&mut self, now: Mono) -> bool {
        let is_old = |keyed: &Keyed| now.since(keyed.since) >= LONGEST_USE;
        self.refused |= self.keyed.as_ref().is_some_and(is_old);
        let begins = !self.establishing
            && (self.refused || self.cookies_left() == 0)
            && now >= self.backoff.ready_at();
        if begins {
            self.backoff.attempt(now);
            self.establishing = true;
        }
        begins
    }

    /// What kept key establishment from succeeding may be over.
    pub(crate) fn hasten_establishment(&mut self, now: Mono) {
        self.backoff.hasten(now);
    }

    /// Key establishment has failed.
    pub(crate) fn end_establishment(&mut self) {
        self.establishing = false;
    }

    /// Replaces everything by what key establishment gave, which is at least one cookie.
    pub(crate) fn install(&mut self, agreement: Agreement, now: Mono) {
        self.establishing = false;
        self.refused = false;
        let periods = agreement.certificates.iter().filter_map(|der| CertificateFacts::read(der));
        self.keyed = Some(Keyed {
            keys: KeyPair::new(&agreement.keys),
            session: agreement.keys,
            alternative: agreement.alternative,
            jar: Jar::filled(agreement.cookies),
            since: now,
            period: periods.map(|facts| facts.period).reduce(ValidityPeriod::and),
        });
    }

    /// Whether the first time under new keys contradicts the certificates that vouched for them (RFC 8915 §8.5).
    pub(crate) fn contradicts(&self, time: Timestamp) -> bool {
        self.keyed.as_ref().and_then(|keyed| keyed.period).is_some_and(|period| {
            // Near either end: what is valid for longer than 68 years has its end further away than an era can tell.
            let ends = [period.not_before, period.not_after].map(|end| time.unix_near(end));
            !ends.iter().any(|time| (period.not_before..=period.not_after).contains(time))
        })
    }

    /// Keys and unspent cookies, which from now on are not ours to use; `None` without both.
    pub(crate) fn into_parts(self) -> Option<(SessionKeys, Vec<Vec<u8>>)> {
        let mut keyed = self.keyed.filter(|_| !self.refused)?;
        let cookies: Vec<_> = std::iter::from_fn(|| keyed.jar.take()).collect();
        (!cookies.is_empty()).then_some((keyed.session, cookies))
    }

    /// A request with `header`, and what its answer has to return; `None` without a cookie to spend.
    ///
    /// RFC 8915 §9.1: a cookie seen twice links two requests, so it leaves the jar before we send.
    pub(crate) fn ask(
        &mut self,
        header: &Header,
        random: &mut dyn Random,
    ) -> Option<(Vec<u8>, Question)> {
        let Keyed { keys, jar, .. } = self.keyed.as_mut()?;
        let cookie = jar.take()?;
        let aead = keys.c2s.aead();
        let wanted = self.length.permits(jar.placeholders_wanted(), jar.len() == 0);
        let placeholders = placeholders_that_fit(aead, cookie.len(), wanted);
        let mut unique = [0; UNIQUE_LEN];
        random.fill(&mut unique);
        let mut nonce = [0; LONGEST_NONCE];
        let nonce = nonce.get_mut(..aead.nonce_len())?;
        random.fill(nonce);
        let mut buffer = vec![0; MAX_PACKET_LEN];
        // Fails only for a cookie too long to be sent, which key establishment has refused before.
        let len =
            write_request(&mut buffer, header, &unique, &cookie, placeholders, &keys.c2s, nonce)
                .ok()?;
        buffer.truncate(len);
        Some((buffer, Question { unique, placeholders, cookie }))
    }

    /// The cookies in an answer that proves its origin and belongs to `question`.
    pub(crate) fn verify(
        &self,
        datagram: &[u8],
        question: &Question,
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        self.open(datagram, question).map_err(Refusal::Protection)
    }

    /// What a kiss-o'-death proves. It must carry our identifier; the rest it may lack (RFC 8915 §5.7).
    pub(crate) fn verify_kiss(
        &self,
        datagram: &[u8],
        code: KissCode,
        question: &Question,
    ) -> Result<Kiss, Refusal> {
        match self.open(datagram, question) {
            Ok(_) => Ok(Kiss { code, authenticated: true }),
            Err(AnswerError::Kiss(code)) => Ok(Kiss { code, authenticated: false }),
            Err(AnswerError::UniqueMissing | AnswerError::UniqueWrong) => {
                Err(Refusal::ForeignKiss(code))
            }
            Err(error) => Err(Refusal::Protection(error)),
        }
    }

    fn open(&self, datagram: &[u8], question: &Question) -> Result<Vec<Vec<u8>>, AnswerError> {
        // A question without keys does not exist: they are replaced only when it is given up.
        let keyed = self.keyed.as_ref().ok_or(AnswerError::Unprotected)?;
        // Opening works in place, and the caller's octets are not ours to change.
        let mut octets = datagram.to_vec();
        let answer = open_answer(&mut octets, &question.unique, &keyed.keys.s2c)?;
        Ok(answer.cookies().map(<[u8]>::to_vec).collect())
    }

    /// An answer proved its origin: keys and server work, and its cookies are ours. Tells whether it shows for the first time that
    /// something on the way drops long questions.
    pub(crate) fn proven(&mut self, question: &Question, cookies: Vec<Vec<u8>>, now: Mono) -> bool {
        let Some(keyed) = &mut self.keyed else { return false };
        keyed.alternative = None;
        keyed.period = None;
        for cookie in cookies {
            keyed.jar.put(cookie);
        }
        self.refused = false;
        self.backoff.reset(now);
        self.length.answered(question.placeholders)
    }

    /// A question was not answered.
    pub(crate) fn unanswered(&mut self, question: &Question) {
        self.length.unanswered(question.placeholders);
    }

    /// Turns to the other key set, if there is one and nothing was ever proven under the first.
    pub(crate) fn try_alternative(&mut self) -> bool {
        let Some(keyed) = &mut self.keyed else { return false };
        match keyed.alternative.take() {
            Some(alternative) => {
                keyed.keys = KeyPair::new(&alternative);
                keyed.session = alternative;
                true
            }
            None => false,
        }
    }

    /// New keys are wanted, because the server refuses our cookies or cannot be asked any more. Tells whether that is news.
    pub(crate) fn renew(&mut self) -> bool {
        !std::mem::replace(&mut self.refused, true)
    }

    /// A question did not leave this machine, so nobody has seen its cookie.
    pub(crate) fn not_sent(&mut self, question: Question) {
        if let Some(keyed) = &mut self.keyed {
            keyed.jar.put_back(question.cookie);
        }
    }

    pub(crate) fn cookies_left(&self) -> usize {
        self.keyed.as_ref().map_or(0, |keyed| keyed.jar.len())
    }

    pub(crate) fn aead(&self) -> Option<Aead> {
        self.keyed.as_ref().map(|keyed| keyed.keys.c2s.aead())
    }
}

impl KeyPair {
    fn new(keys: &SessionKeys) -> Self {
        Self { c2s: keys.c2s_key(), s2c: keys.s2c_key() }
    }
}

/// Keys are used no longer than this: four weeks, as chrony does.
const LONGEST_USE: Duration = Duration::from_secs(2_419_200);
const _: () = assert!(JAR_SIZE == crate::length::MOST_PLACEHOLDERS + 1);
/// The longest nonce of [`Aead::nonce_len`].
const LONGEST_NONCE: usize = 16;
