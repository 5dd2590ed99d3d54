//! The NTS side of an association: keys, cookies, and what an answer has to prove.

use noonmark_nts::{
    Aead, AeadKey, Agreement, AnswerError, MAX_PACKET_LEN, Random, SessionKeys, UNIQUE_LEN,
    open_answer, placeholders_that_fit, write_request,
};
use noonmark_packet::{Header, KissCode};
use noonmark_units::Mono;

use crate::Refusal;
use crate::backoff::Backoff;
use crate::jar::Jar;

/// What a protected association holds. Without keys or cookies nothing can be asked: there is no way back to plain NTP.
pub(crate) struct Protection {
    keyed: Option<Keyed>,
    backoff: Backoff,
    /// Key establishment was asked for and has not ended.
    establishing: bool,
    /// The server refuses our cookies: new keys are wanted, while the old ones go on being tried (RFC 8915 §5.7).
    refused: bool,
}

/// What an agreement gave us.
struct Keyed {
    keys: KeyPair,
    /// AEAD 30 with the other exporter context, for a server that reads the agreement differently.
    alternative: Option<KeyPair>,
    jar: Jar,
}

struct KeyPair {
    c2s: AeadKey,
    s2c: AeadKey,
}

/// What the answer to one question has to return.
pub(crate) struct Question {
    unique: [u8; UNIQUE_LEN],
}

/// A kiss-o'-death that answers our question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kiss {
    pub(crate) code: KissCode,
    pub(crate) authenticated: bool,
}

impl Protection {
    pub(crate) fn new(now: Mono) -> Self {
        Self { keyed: None, backoff: Backoff::new(now), establishing: false, refused: false }
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
        let begins = !self.establishing
            && (self.refused || self.cookies_left() == 0)
            && now >= self.backoff.ready_at();
        if begins {
            self.backoff.attempt(now);
            self.establishing = true;
        }
        begins
    }

    /// Key establishment has failed.
    pub(crate) fn end_establishment(&mut self) {
        self.establishing = false;
    }

    /// Replaces everything by what key establishment gave, which is at least one cookie.
    pub(crate) fn install(&mut self, agreement: Agreement) {
        self.establishing = false;
        self.refused = false;
        self.keyed = Some(Keyed {
            keys: KeyPair::new(&agreement.keys),
            alternative: agreement.alternative.as_ref().map(KeyPair::new),
            jar: Jar::filled(agreement.cookies),
        });
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
        let placeholders = placeholders_that_fit(aead, cookie.len(), jar.placeholders_wanted());
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
        Some((buffer, Question { unique }))
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

    /// An answer proved its origin: keys and server work, and its cookies are ours.
    pub(crate) fn proven(&mut self, cookies: Vec<Vec<u8>>, now: Mono) {
        let Some(keyed) = &mut self.keyed else { return };
        keyed.alternative = None;
        for cookie in cookies {
            keyed.jar.put(cookie);
        }
        self.refused = false;
        self.backoff.reset(now);
    }

    /// Turns to the other key set, if there is one and nothing was ever proven under the first.
    pub(crate) fn try_alternative(&mut self) -> bool {
        let Some(keyed) = &mut self.keyed else { return false };
        match keyed.alternative.take() {
            Some(alternative) => {
                keyed.keys = alternative;
                true
            }
            None => false,
        }
    }

    /// The server refuses our cookies: new keys are wanted.
    pub(crate) fn renew(&mut self) {
        self.refused = true;
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

/// The longest nonce of [`Aead::nonce_len`].
const LONGEST_NONCE: usize = 16;
