use core::fmt;

use noonmark_packet::{
    DecodeError, EncodeError, Field, FieldKind, Fields, HEADER_LEN, Header, Mode, Packet,
    PacketWriter, walk_encrypted,
};
use noonmark_siv::Keyed;

use crate::aead::{Aead, TAG_LEN};
use crate::authenticator::{self, Authenticator, Part};
use crate::key::{AeadKey, Forged, SessionKeys};
use crate::lanes::{self, LANES};

/// Octets of the unique identifiers we make, and the fewest RFC 8915 §5.3 allows.
pub const UNIQUE_LEN: usize = 32;

/// Most octets of a packet we make: what IPv6 carries everywhere unfragmented (1280) less its and UDP's headers.
pub const MAX_PACKET_LEN: usize = 1232;

/// Most cookies in one answer, and the most a client keeps (RFC 8915 §5.7).
pub const MAX_COOKIES: usize = 8;

/// Longest cookie a client can send back in a packet of [`MAX_PACKET_LEN`] octets: 1104.
pub const MAX_COOKIE_LEN: usize = MAX_PACKET_LEN - request_len(Aead::SivCmac256, 0, 0);

/// Writes a protected request: `header`, unique identifier, cookie, `placeholders` empty fields as long as the cookie,
/// authenticator over all of it with nothing encrypted (RFC 8915 §5.7). Returns its octets.
///
/// `nonce` has [`Aead::nonce_len`] octets and is never used again under this key, nor is `unique` for another request.
///
/// # Errors
/// [`EncodeError::NoRoom`] when the packet would pass the buffer or [`MAX_PACKET_LEN`]: see [`placeholders_that_fit`].
///
/// # Panics
/// When `nonce` has another length than the key's algorithm asks for.
pub fn write_request(
    buffer: &mut [u8],
    header: &Header,
    unique: &[u8; UNIQUE_LEN],
    cookie: &[u8],
    placeholders: usize,
    key: &AeadKey,
    nonce: &[u8],
) -> Result<usize, EncodeError> {
    let room = buffer.len().min(MAX_PACKET_LEN);
    let mut writer = PacketWriter::new(buffer.split_at_mut(room).0, header)?;
    writer.field(FieldKind::UNIQUE_IDENTIFIER, unique)?;
    writer.field(FieldKind::NTS_COOKIE, cookie)?;
    for _ in 0..placeholders {
        writer.field_with(FieldKind::NTS_COOKIE_PLACEHOLDER, cookie.len(), |_| ())?;
    }
    let aead = key.aead();
    writer.field_over(
        FieldKind::NTS_AUTHENTICATOR,
        authenticator::body_len(aead, 0),
        |before, body| {
            let parts =
                authenticator::lay_out(aead, 0, body).expect("the body was made for its parts");
            parts.nonce.copy_from_slice(nonce);
            *parts.tag =
                key.seal(before, nonce, parts.text).expect("a nonce of the algorithm's length");
        },
    )?;
    Ok(writer.len())
}

/// How many of `wanted` placeholders a request with this cookie can have within [`MAX_PACKET_LEN`] octets.
pub fn placeholders_that_fit(aead: Aead, cookie_len: usize, wanted: usize) -> usize {
    let fits =
        |placeholders: &usize| request_len(aead, cookie_len, *placeholders) <= MAX_PACKET_LEN;
    (0..=wanted.min(MAX_COOKIES - 1)).rev().find(fits).unwrap_or(0)
}

/// Octets of a request of ours.
const fn request_len(aead: Aead, cookie_len: usize, placeholders: usize) -> usize {
    // Fields in the clear have 16 octets at least (RFC 7822 §3).
    let cookie = (FIELD_HEADER_LEN + cookie_len).next_multiple_of(4);
    let cookie = if cookie_len > 0 && cookie < 16 { 16 } else { cookie };
    HEADER_LEN
        + FIELD_HEADER_LEN
        + UNIQUE_LEN
        + cookie * (1 + placeholders)
        + FIELD_HEADER_LEN
        + authenticator::body_len(aead, 0)
}

/// No request whose cookie opens is shorter, in octets: one with the shortest cookie of ours, without placeholders. 192.
pub const SHORTEST_REQUEST_LEN: usize =
    request_len(Aead::Aes128GcmSiv, Aead::Aes128GcmSiv.cookie_len(), 0);

/// What a mode 3 packet is to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// No cookie, no authenticator: plain NTP. A unique identifier may be there and must then be echoed (RFC 8915 §5.3).
    Plain {
        /// The unique identifier, if there is one.
        unique: Option<UniqueIdentifier>,
    },
    /// All that NTS needs is there, once each; whether it is authentic is not known yet.
    Protected(RequestFields),
}

/// Where a request's unique identifier lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UniqueIdentifier(pub(crate) Part);

/// Where the NTS fields of a request lie; offsets, so that it outlives a borrow of the datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestFields {
    pub(crate) unique: UniqueIdentifier,
    cookie: Part,
    /// In the clear before the authenticator, as long as the cookie.
    placeholders: u8,
    authenticator: Authenticator,
}

/// Why a request under NTS gets no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RequestViolation {
    /// Not framed as NTP (RFC 5905 §7.5 as RFC 7822 has it).
    Framing(DecodeError),
    /// Not mode 3: cookies have no place there (RFC 8915 §5.4).
    Mode(Mode),
    /// NTS fields, but no unique identifier before the authenticator (§5.7).
    UniqueMissing,
    /// Two unique identifiers (§5.7).
    UniqueRepeated,
    /// A unique identifier of less than 32 octets (§5.3).
    UniqueLength {
        /// Octets found.
        len: usize,
    },
    /// An authenticator, but no cookie before it (§5.7).
    CookieMissing,
    /// Two cookies (§5.7).
    CookieRepeated,
    /// A cookie or a placeholder without an authenticator (§5.7); it may be Autokey (RFC 5906).
    AuthenticatorMissing,
    /// Two authenticators (§5.7).
    AuthenticatorRepeated,
    /// The lengths inside the authenticator contradict its own (§5.6).
    AuthenticatorLayout,
    /// A nonce the algorithm does not take (§5.6).
    NonceLength {
        /// Octets found.
        len: usize,
    },
    /// Nonce and padding leave no room for the nonce of the answer (§5.6).
    Padding {
        /// Octets of padded nonce and additional padding.
        found: usize,
        /// Octets that must be there.
        required: usize,
    },
    /// Authentic, but what was encrypted is not framed as fields (§5.6).
    EncryptedFraming(DecodeError),
}

impl RequestViolation {
    /// A short fixed name for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Framing(_) => "framing",
            Self::Mode(_) => "mode",
            Self::UniqueMissing => "unique-missing",
            Self::UniqueRepeated => "unique-repeated",
            Self::UniqueLength { .. } => "unique-length",
            Self::CookieMissing => "cookie-missing",
            Self::CookieRepeated => "cookie-repeated",
            Self::AuthenticatorMissing => "authenticator-missing",
            Self::AuthenticatorRepeated => "authenticator-repeated",
            Self::AuthenticatorLayout => "authenticator-layout",
            Self::NonceLength { .. } => "nonce-length",
            Self::Padding { .. } => "padding",
            Self::EncryptedFraming(_) => "encrypted-framing",
        }
    }

    /// The clause broken, as a person would cite it.
    pub fn clause(&self) -> &'static str {
        match self {
            Self::Framing(_) => "RFC 7822 §3",
            Self::UniqueLength { .. } => "RFC 8915 §5.3",
            Self::Mode(_) => "RFC 8915 §5.4",
            Self::AuthenticatorLayout
            | Self::NonceLength { .. }
            | Self::Padding { .. }
            | Self::EncryptedFraming(_) => "RFC 8915 §5.6",
            _ => "RFC 8915 §5.7",
        }
    }

    fn write_fact(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framing(error) | Self::EncryptedFraming(error) => write!(f, "{error}"),
            Self::Mode(_) => f.write_str("NTS fields in a packet that is no client request"),
            Self::UniqueMissing => f.write_str("no unique identifier"),
            Self::UniqueRepeated => f.write_str("two unique identifiers"),
            Self::UniqueLength { len } => {
                write!(f, "a unique identifier of {len} octets, {UNIQUE_LEN} are the fewest")
            }
            Self::CookieMissing => f.write_str("an authenticator without a cookie"),
            Self::CookieRepeated => f.write_str("two cookies"),
            Self::AuthenticatorMissing => f.write_str("a cookie without an authenticator"),
            Self::AuthenticatorRepeated => f.write_str("two authenticators"),
            Self::AuthenticatorLayout => {
                f.write_str("lengths in the authenticator contradict its own")
            }
            Self::NonceLength { len } => write!(f, "a nonce of {len} octets"),
            Self::Padding { found, required } => {
                write!(f, "{found} octets of nonce and padding, {required} are required")
            }
        }
    }
}

impl fmt::Display for RequestViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_fact(f)?;
        write!(f, " ({})", self.clause())
    }
}

impl core::error::Error for RequestViolation {}

impl From<DecodeError> for RequestViolation {
    fn from(error: DecodeError) -> Self {
        Self::Framing(error)
    }
}

/// Finds out what a mode 3 packet asks for: stage one of a server. No key is touched.
///
/// Fields after the authenticator are discarded, but for a second authenticator; placeholders count only when they are
/// as long as the cookie; unknown fields are passed over.
///
/// # Errors
/// [`RequestViolation`]: the packet deserves no answer.
pub fn classify(packet: &Packet<'_>) -> Result<Request, RequestViolation> {
    if packet.mode() != Mode::Client {
        return Err(RequestViolation::Mode(packet.mode()));
    }
    classify_fields(packet.contents()?.fields)
}

/// [`classify`] for who has read the framing already: the fields of a packet of mode 3.
///
/// # Errors
/// [`RequestViolation`]: the packet deserves no answer.
pub fn classify_fields(fields: Fields<'_>) -> Result<Request, RequestViolation> {
    let mut found = Found::default();
    for field in fields {
        found.take(field)?;
    }
    let unique = match found.unique {
        Some(unique) if unique.body.len() < UNIQUE_LEN => {
            return Err(RequestViolation::UniqueLength { len: unique.body.len() });
        }
        Some(unique) => Some(UniqueIdentifier(part_of(&unique)?)),
        None => None,
    };
    let Some(authenticator) = found.authenticator else {
        let is_plain = found.cookie.is_none() && !found.any_placeholder;
        return if is_plain {
            Ok(Request::Plain { unique })
        } else {
            Err(RequestViolation::AuthenticatorMissing)
        };
    };
    let cookie = found.cookie.ok_or(RequestViolation::CookieMissing)?;
    // Placeholders may come before the cookie, so they are counted once its length is known.
    let is_honoured = |field: &Field<'_>| {
        field.kind == FieldKind::NTS_COOKIE_PLACEHOLDER && field.body.len() == cookie.body.len()
    };
    let placeholders = match found.any_placeholder {
        true => {
            let before = fields.take_while(|field| field.at < usize::from(authenticator.at));
            before.filter(is_honoured).take(MAX_COOKIES).count()
        }
        false => 0,
    };
    Ok(Request::Protected(RequestFields {
        unique: unique.ok_or(RequestViolation::UniqueMissing)?,
        cookie: part_of(&cookie)?,
        placeholders: placeholders as u8,
        authenticator,
    }))
}

/// The NTS fields of a packet as they turn up.
#[derive(Default)]
struct Found<'a> {
    unique: Option<Field<'a>>,
    cookie: Option<Field<'a>>,
    any_placeholder: bool,
    authenticator: Option<Authenticator>,
}

impl<'a> Found<'a> {
    fn take(&mut self, field: Field<'a>) -> Result<(), RequestViolation> {
        let is_authentic = self.authenticator.is_none();
        match field.kind {
            FieldKind::NTS_AUTHENTICATOR if !is_authentic => {
                return Err(RequestViolation::AuthenticatorRepeated);
            }
            FieldKind::NTS_AUTHENTICATOR => {
                let layout =
                    Authenticator::read(&field).ok_or(RequestViolation::AuthenticatorLayout)?;
                self.authenticator = Some(layout);
            }
            // RFC 8915 §5.7: what follows the authenticator is not covered by it and is discarded.
            _ if !is_authentic => (),
            FieldKind::UNIQUE_IDENTIFIER => {
                fill(&mut self.unique, field).ok_or(RequestViolation::UniqueRepeated)?;
            }
            FieldKind::NTS_COOKIE => {
                fill(&mut self.cookie, field).ok_or(RequestViolation::CookieRepeated)?;
            }
            FieldKind::NTS_COOKIE_PLACEHOLDER => self.any_placeholder = true,
            _ => (),
        }
        Ok(())
    }
}

/// Puts a value into a place that may be filled once.
pub(crate) fn fill<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn part_of(field: &Field<'_>) -> Result<Part, RequestViolation> {
    // A datagram has at most 65535 octets, so every part of one can be named.
    Part::new(field.at + FIELD_HEADER_LEN, field.body.len())
        .ok_or(RequestViolation::AuthenticatorLayout)
}

impl UniqueIdentifier {
    /// Its octets in the datagram it was found in.
    pub fn octets<'d>(&self, datagram: &'d [u8]) -> &'d [u8] {
        self.0.of(datagram)
    }
}

impl RequestFields {
    /// The unique identifier, to be echoed.
    pub fn unique(&self) -> UniqueIdentifier {
        self.unique
    }

    /// The cookie in the datagram it was found in.
    pub fn cookie<'d>(&self, datagram: &'d [u8]) -> &'d [u8] {
        self.cookie.of(datagram)
    }

    /// The nonce in the datagram it was found in.
    pub fn nonce<'d>(&self, datagram: &'d [u8]) -> &'d [u8] {
        self.authenticator.nonce.of(datagram)
    }

    /// Cookies asked for in the clear: one, and one for each honoured placeholder; at most [`MAX_COOKIES`].
    pub fn cookies_wanted(&self) -> usize {
        (1 + usize::from(self.placeholders)).min(MAX_COOKIES)
    }

    /// The rules of the authenticator that depend on the algorithm, which the cookie told.
    fn check(&self, aead: Aead) -> Result<(), RequestViolation> {
        let len = self.authenticator.nonce.len();
        if aead == Aead::Aes128GcmSiv && len != aead.nonce_len() {
            return Err(RequestViolation::NonceLength { len });
        }
        let (found, required) =
            (usize::from(self.authenticator.nonce_room), aead.required_nonce_room());
        if found < required { Err(RequestViolation::Padding { found, required }) } else { Ok(()) }
    }
}

/// Why a protected request was not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RequestFault {
    /// The tag is wrong: NTSN.
    Forged,
    /// A rule is broken: silence.
    Violation(RequestViolation),
}

impl From<Forged> for RequestFault {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

impl From<RequestViolation> for RequestFault {
    fn from(violation: RequestViolation) -> Self {
        Self::Violation(violation)
    }
}

/// One request of a batch on its way to being verified: stage three of a server.
pub struct Verification<'a> {
    /// The request; what is encrypted in it is decrypted in place.
    pub datagram: &'a mut [u8],
    /// From [`classify`].
    pub fields: &'a RequestFields,
    /// From its cookie.
    pub keys: &'a SessionKeys,
    /// Becomes the number of cookies asked for, 1 to [`MAX_COOKIES`], or why there is no answer.
    pub result: &'a mut Result<usize, RequestFault>,
}

/// Verifies the requests of a batch, each under its own key; those under AEAD 15 side by side.
pub fn open_requests<'a>(requests: impl IntoIterator<Item = Verification<'a>>) {
    let mut waiting = [const { None }; LANES];
    let mut len = 0;
    for request in requests {
        let Verification { datagram, fields, keys, result } = request;
        if keys.aead() != Aead::SivCmac256 {
            *result = open_request(datagram, fields, keys);
            continue;
        }
        let message = match fields.check(Aead::SivCmac256) {
            Ok(()) => {
                fields.authenticator.split(Aead::SivCmac256, datagram).ok_or(RequestFault::Forged)
            }
            Err(violation) => Err(violation.into()),
        };
        match (message, waiting.get_mut(len)) {
            (Ok(message), Some(place)) => {
                *place = Some((lanes::lane(keys.c2s(), message), fields, result));
                len += 1;
            }
            (Err(fault), _) => *result = Err(fault),
            // Never full here: it is emptied below as soon as it is.
            (Ok(_), None) => *result = Err(RequestFault::Forged),
        }
        if len == LANES {
            open_side_by_side(&mut waiting);
            len = 0;
        }
    }
    open_side_by_side(&mut waiting);
}

type Waiting<'a> = Option<(Keyed<'a>, &'a RequestFields, &'a mut Result<usize, RequestFault>)>;

fn open_side_by_side(waiting: &mut [Waiting<'_>; LANES]) {
    let ok = lanes::open(waiting.iter_mut().flatten().map(|(lane, ..)| lane));
    for (place, ok) in waiting.iter_mut().zip(ok) {
        if let Some((lane, fields, result)) = place.take() {
            *result = match ok {
                true => count_wanted(fields, lane.job.text).map_err(Into::into),
                false => Err(RequestFault::Forged),
            };
        }
    }
}

/// Verifies one request and returns how many cookies its answer should bring: one, and one for each placeholder in the
/// clear or encrypted (RFC 8915 §5.7), at most [`MAX_COOKIES`].
///
/// # Errors
/// [`RequestFault`]: NTSN or silence.
pub fn open_request(
    datagram: &mut [u8],
    fields: &RequestFields,
    keys: &SessionKeys,
) -> Result<usize, RequestFault> {
    let aead = keys.aead();
    fields.check(aead)?;
    let sealed = fields.authenticator.split(aead, datagram).ok_or(Forged)?;
    keys.c2s_key().open(sealed.ad, sealed.nonce, sealed.text, sealed.tag)?;
    count_wanted(fields, sealed.text).map_err(Into::into)
}

fn count_wanted(fields: &RequestFields, plaintext: &[u8]) -> Result<usize, RequestViolation> {
    let mut wanted = fields.cookies_wanted();
    for field in walk_encrypted(plaintext) {
        let field = field.map_err(RequestViolation::EncryptedFraming)?;
        if field.kind == FieldKind::NTS_COOKIE_PLACEHOLDER
            && field.body.len() == fields.cookie.len()
        {
            wanted += 1;
        }
    }
    Ok(wanted.min(MAX_COOKIES))
}

const FIELD_HEADER_LEN: usize = 4;
const _: () = assert!(TAG_LEN.is_multiple_of(4));
