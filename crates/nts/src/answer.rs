use core::fmt;
use core::ops::Deref;

use noonmark_packet::{
    DecodeError, FieldKind, HEADER_LEN, Header, KissCode, Mode, Packet, Version, field_header,
    walk_encrypted,
};

use crate::aead::{Aead, TAG_LEN};
use crate::authenticator::{self, Authenticator, Sealed};
use crate::cookie::{CookieIssuer, NONCE_AT, NONCE_LEN, Sealing};
use crate::key::{AeadKey, SessionKeys};
use crate::lanes::{self, LANES};
use crate::random::Random;
use crate::request::{MAX_COOKIES, MAX_PACKET_LEN, RequestFields, UniqueIdentifier, fill};

/// The shape of a protected answer, settled before a single octet is written: unique identifier, then an authenticator
/// around exactly so many cookies, no padding. It fits its request and [`MAX_PACKET_LEN`] by construction.
///
/// A kiss-o'-death to an authentic request is the same under another header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AnswerPlan {
    unique: UniqueIdentifier,
    aead: Aead,
    cookies: u8,
}

impl AnswerPlan {
    /// An answer to a verified request of `request_len` octets with as many of `wanted` cookies as fit; `None` when not
    /// even one does, and an answer without a cookie would break RFC 8915 §5.7.
    pub fn new(
        fields: &RequestFields,
        aead: Aead,
        wanted: usize,
        request_len: usize,
    ) -> Option<Self> {
        let room = request_len.min(MAX_PACKET_LEN);
        (1..=wanted.min(MAX_COOKIES))
            .rev()
            .map(|cookies| Self { unique: fields.unique(), aead, cookies: cookies as u8 })
            .find(|plan| plan.len() <= room)
    }

    /// Octets of the answer.
    #[expect(clippy::len_without_is_empty, reason = "it has a header")]
    pub fn len(&self) -> usize {
        self.authenticator_at()
            + FIELD_HEADER_LEN
            + authenticator::body_len(self.aead, self.text_len())
    }

    /// Cookies in the answer.
    pub fn cookies(&self) -> usize {
        usize::from(self.cookies)
    }

    /// Writes everything but the header, the cookies' contents and the tag over the request, random nonces included.
    ///
    /// Then: [`cookie_places`](Self::cookie_places) to [`CookieIssuer::seal_many`](crate::CookieIssuer::seal_many), the
    /// header into the first 48 octets, and at last [`seal`](Self::seal).
    pub fn lay_out(&self, datagram: &mut [u8], random: &mut dyn Random) {
        let at = echo_unique(datagram, self.unique);
        let text_len = self.text_len();
        let body_len = authenticator::body_len(self.aead, text_len);
        let header =
            field_header(FieldKind::NTS_AUTHENTICATOR, body_len).expect("an answer is short");
        let (field_start, rest) = split_for(datagram, at, FIELD_HEADER_LEN + body_len);
        field_start.copy_from_slice(&header);
        let body = authenticator::lay_out(self.aead, text_len, rest)
            .expect("the body was made for its parts");

        let mut nonces = [0; NONCE_LEN * (1 + MAX_COOKIES)];
        let nonces = nonces.split_at_mut(NONCE_LEN * (1 + self.cookies())).0;
        random.fill(nonces);
        let (first, nonces) = nonces.split_at(NONCE_LEN);
        body.nonce.copy_from_slice(first.split_at(self.aead.nonce_len()).0);
        let cookie_len = self.aead.cookie_len();
        let header = field_header(FieldKind::NTS_COOKIE, cookie_len).expect("a cookie is short");
        for (place, nonce) in body
            .text
            .chunks_exact_mut(FIELD_HEADER_LEN + cookie_len)
            .zip(nonces.chunks_exact(NONCE_LEN))
        {
            let (start, cookie) = place.split_at_mut(FIELD_HEADER_LEN);
            start.copy_from_slice(&header);
            cookie.split_at_mut(NONCE_AT).1.split_at_mut(NONCE_LEN).0.copy_from_slice(nonce);
        }
    }

    /// The places of the cookies, each with its nonce where [`Sealing`] wants it.
    pub fn cookie_places<'d>(&self, datagram: &'d mut [u8]) -> impl Iterator<Item = &'d mut [u8]> {
        let (_, body) =
            split_for(datagram, self.authenticator_at(), self.len() - self.authenticator_at());
        let body = authenticator::lay_out(self.aead, self.text_len(), body)
            .expect("the body was made for its parts");
        let places = body.text.chunks_exact_mut(FIELD_HEADER_LEN + self.aead.cookie_len());
        places.map(|place| place.split_at_mut(FIELD_HEADER_LEN).1)
    }

    /// Encrypts the cookies and writes the tag over header and unique identifier: nothing may change after it.
    pub fn seal(&self, datagram: &mut [u8], keys: &SessionKeys) {
        let message = self.message(datagram);
        *message.tag = keys
            .s2c_key()
            .seal(message.ad, message.nonce, message.text)
            .expect("a nonce of the algorithm's length");
    }

    /// The answer as what is to be sealed.
    fn message<'d>(&self, datagram: &'d mut [u8]) -> Sealed<'d> {
        let (ad, rest) = datagram.split_at_mut(self.authenticator_at());
        let (_, body) = rest.split_at_mut(FIELD_HEADER_LEN);
        let body = body.split_at_mut(authenticator::body_len(self.aead, self.text_len())).0;
        let body = authenticator::lay_out(self.aead, self.text_len(), body)
            .expect("the body was made for its parts");
        Sealed { ad, nonce: body.nonce, text: body.text, tag: body.tag }
    }

    fn authenticator_at(&self) -> usize {
        HEADER_LEN + FIELD_HEADER_LEN + self.unique.0.len()
    }

    fn text_len(&self) -> usize {
        self.cookies() * (FIELD_HEADER_LEN + self.aead.cookie_len())
    }
}

/// One answer of a batch on its way to being sealed: stage five of a server.
pub struct AnswerSealing<'a> {
    /// Laid out, its cookies made, its header final.
    pub datagram: &'a mut [u8],
    /// Its shape.
    pub plan: &'a AnswerPlan,
    /// From the request's cookie.
    pub keys: &'a SessionKeys,
}

/// Seals the answers of a batch, each under its own key; those under AEAD 15 side by side.
pub fn seal_answers<'a>(answers: impl IntoIterator<Item = AnswerSealing<'a>>) {
    let mut lanes = [const { None }; LANES];
    let mut len = 0;
    for answer in answers {
        let AnswerSealing { datagram, plan, keys } = answer;
        match lanes.get_mut(len) {
            Some(lane) if plan.aead == Aead::SivCmac256 => {
                *lane = Some(lanes::lane(keys.s2c(), plan.message(datagram)));
                len += 1;
            }
            _ => plan.seal(datagram, keys),
        }
        if len == LANES {
            lanes::seal(lanes.iter_mut().flatten());
            lanes = [const { None }; LANES];
            len = 0;
        }
    }
    lanes::seal(lanes.iter_mut().flatten());
}

/// Answers one verified request: all the stages of [`AnswerPlan`] in a row, the answer written over the request.
/// Returns its octets, or `None` when not even one cookie fits.
///
/// With a kiss code in `header` and `wanted` 1 this is an authentic kiss-o'-death.
pub fn write_answer(
    datagram: &mut [u8],
    fields: &RequestFields,
    keys: &SessionKeys,
    wanted: usize,
    header: &Header,
    issuer: CookieIssuer<'_>,
    random: &mut dyn Random,
) -> Option<usize> {
    let plan = AnswerPlan::new(fields, keys.aead(), wanted, datagram.len())?;
    plan.lay_out(datagram, random);
    issuer.seal_many(plan.cookie_places(datagram).map(|cookie| Sealing { keys, cookie }));
    header.write(datagram.first_chunk_mut()?);
    plan.seal(datagram, keys);
    Some(plan.len())
}

/// Puts the request's unique identifier right behind the header and returns the octets of header and field together.
///
/// That is a whole unprotected answer (plain, kiss-o'-death, NTSN) once its header is written: it has no authenticator
/// and no cookie, and is no longer than the request the identifier came from.
pub fn echo_unique(datagram: &mut [u8], unique: UniqueIdentifier) -> usize {
    let len = unique.0.len();
    let header = field_header(FieldKind::UNIQUE_IDENTIFIER, len).expect("it came in a field");
    let body_at = HEADER_LEN + FIELD_HEADER_LEN;
    datagram.copy_within(unique.0.range(), body_at);
    datagram.split_at_mut(HEADER_LEN).1.split_at_mut(FIELD_HEADER_LEN).0.copy_from_slice(&header);
    body_at + len
}

/// What only an authentic message may become.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// An authentic answer to our request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer<'a> {
    /// Header and clear fields; ask it for the four stamps or its kiss code.
    pub packet: Verified<Packet<'a>>,
    plaintext: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The new cookies, at most [`MAX_COOKIES`]; those in the clear are ignored (RFC 8915 §5.7).
    pub fn cookies(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        walk_encrypted(self.plaintext)
            .flatten()
            .filter(|field| field.kind == FieldKind::NTS_COOKIE)
            .map(|field| field.body)
            .take(MAX_COOKIES)
    }
}

/// Why a datagram is no authentic answer. All but [`Kiss`](AnswerError::Kiss) are as if nothing had come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AnswerError {
    /// Not framed as NTP.
    Framing(DecodeError),
    /// Not a server's answer of version 4.
    NotAnAnswer {
        /// Its version.
        version: Version,
        /// Its mode.
        mode: Mode,
    },
    /// No unique identifier before the authenticator (RFC 8915 §5.7).
    UniqueMissing,
    /// Two of them.
    UniqueRepeated,
    /// It belongs to another request.
    UniqueWrong,
    /// Ours by its identifier, but without an authenticator and no kiss-o'-death: dropped (§5.7).
    Unprotected,
    /// A kiss-o'-death without proof of origin, for this request: a hint at most. NTSN: the server could not read the cookie.
    Kiss(KissCode),
    /// Two authenticators.
    AuthenticatorRepeated,
    /// The lengths inside the authenticator contradict its own (§5.6).
    AuthenticatorLayout,
    /// The tag is wrong.
    Forged,
    /// Authentic, but what was encrypted is not framed as fields (§5.6).
    EncryptedFraming(DecodeError),
}

impl AnswerError {
    /// A short fixed name for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Framing(_) => "framing",
            Self::NotAnAnswer { .. } => "not-an-answer",
            Self::UniqueMissing => "unique-missing",
            Self::UniqueRepeated => "unique-repeated",
            Self::UniqueWrong => "unique-wrong",
            Self::Unprotected => "unprotected",
            Self::Kiss(_) => "kiss",
            Self::AuthenticatorRepeated => "authenticator-repeated",
            Self::AuthenticatorLayout => "authenticator-layout",
            Self::Forged => "forged",
            Self::EncryptedFraming(_) => "encrypted-framing",
        }
    }
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framing(error) | Self::EncryptedFraming(error) => write!(f, "{error}"),
            Self::NotAnAnswer { version, mode } => {
                write!(f, "version {}, {mode:?} is no answer", version.number())
            }
            Self::UniqueMissing => f.write_str("no unique identifier (RFC 8915 §5.7)"),
            Self::UniqueRepeated => f.write_str("two unique identifiers (RFC 8915 §5.7)"),
            Self::UniqueWrong => {
                f.write_str("the unique identifier of another request (RFC 8915 §5.7)")
            }
            Self::Unprotected => f.write_str("no authenticator (RFC 8915 §5.7)"),
            Self::Kiss(KissCode(code)) => {
                write!(f, "unauthenticated kiss code {}", code.escape_ascii())
            }
            Self::AuthenticatorRepeated => f.write_str("two authenticators (RFC 8915 §5.7)"),
            Self::AuthenticatorLayout => {
                f.write_str("lengths in the authenticator contradict its own (RFC 8915 §5.6)")
            }
            Self::Forged => f.write_str("the tag is wrong (RFC 8915 §5.6)"),
        }
    }
}

impl core::error::Error for AnswerError {}

impl From<DecodeError> for AnswerError {
    fn from(error: DecodeError) -> Self {
        Self::Framing(error)
    }
}

/// Verifies an answer to the request with this unique identifier, decrypting in place (RFC 8915 §5.7).
///
/// # Errors
/// [`AnswerError`]; the datagram may then be half overwritten and is of no use to anyone.
pub fn open_answer<'d>(
    datagram: &'d mut [u8],
    unique: &[u8],
    key: &AeadKey,
) -> Result<Answer<'d>, AnswerError> {
    let authenticator = find_authenticator(datagram, unique)?;
    let sealed =
        authenticator.split(key.aead(), datagram).ok_or(AnswerError::AuthenticatorLayout)?;
    key.open(sealed.ad, sealed.nonce, sealed.text, sealed.tag).map_err(|_| AnswerError::Forged)?;
    let text_range = text_range(key.aead(), &authenticator);
    let datagram: &'d [u8] = datagram;
    let plaintext = datagram.get(text_range).unwrap_or_default();
    for field in walk_encrypted(plaintext) {
        field.map_err(AnswerError::EncryptedFraming)?;
    }
    Ok(Answer { packet: Verified(Packet::parse(datagram)?), plaintext })
}

fn find_authenticator(datagram: &[u8], unique: &[u8]) -> Result<Authenticator, AnswerError> {
    let packet = Packet::parse(datagram)?;
    let (version, mode) = (packet.version(), packet.mode());
    if version != Version::V4 || mode != Mode::Server {
        return Err(AnswerError::NotAnAnswer { version, mode });
    }
    let mut echoed = None;
    let mut authenticator = None;
    for field in packet.contents()?.fields {
        match field.kind {
            FieldKind::NTS_AUTHENTICATOR if authenticator.is_some() => {
                return Err(AnswerError::AuthenticatorRepeated);
            }
            FieldKind::NTS_AUTHENTICATOR => {
                authenticator =
                    Some(Authenticator::read(&field).ok_or(AnswerError::AuthenticatorLayout)?);
            }
            FieldKind::UNIQUE_IDENTIFIER if authenticator.is_none() => {
                fill(&mut echoed, field.body).ok_or(AnswerError::UniqueRepeated)?;
            }
            _ => (),
        }
    }
    if echoed.ok_or(AnswerError::UniqueMissing)? != unique {
        return Err(AnswerError::UniqueWrong);
    }
    authenticator.ok_or_else(|| packet.kiss().map_or(AnswerError::Unprotected, AnswerError::Kiss))
}

fn text_range(aead: Aead, authenticator: &Authenticator) -> core::ops::Range<usize> {
    let ciphertext = authenticator.ciphertext.range();
    match aead {
        Aead::SivCmac256 | Aead::SivCmac512 => ciphertext.start + TAG_LEN..ciphertext.end,
        Aead::Aes128GcmSiv => ciphertext.start..ciphertext.end - TAG_LEN,
    }
}

/// The field of `len` octets at `at`, as its header and its body.
fn split_for(datagram: &mut [u8], at: usize, len: usize) -> (&mut [u8], &mut [u8]) {
    datagram.split_at_mut(at).1.split_at_mut(len).0.split_at_mut(FIELD_HEADER_LEN)
}

const FIELD_HEADER_LEN: usize = 4;
