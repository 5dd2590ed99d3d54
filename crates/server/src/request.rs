//! What a datagram asks for, found out without any key: the first stage.

use noonmark_nts::{RequestFields, RequestViolation, UniqueIdentifier, classify_fields};
use noonmark_packet::{DecodeError, HEADER_LEN, Mode, Packet, Trailer, Version};

use crate::handover::Handover;
use crate::{Counter, Counters, Versions};

/// What a datagram asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Request {
    /// Time, without NTS; the unique identifier, if it has one, is to be echoed (RFC 8915 §5.3).
    Plain(Option<UniqueIdentifier>),
    /// Time, with NTS; nothing is proven yet.
    Nts(RequestFields),
    /// It belongs to another owner.
    HandOver(Handover),
}

impl Request {
    /// Looks at a datagram. Only the octets count; who sent it is for others to judge. What is unusual but no reason for silence is
    /// noted in `counters`.
    ///
    /// # Errors
    /// The reason for silence.
    pub(crate) fn read(
        datagram: &[u8],
        versions: Versions,
        counters: &mut Counters,
    ) -> Result<Self, Counter> {
        let first = *datagram.first().ok_or(Counter::DroppedEmpty)?;
        let version = Version::from_octet(first);
        // What other versions mean by the rest of the octet is not ours to guess.
        if !(1..=4).contains(&version.number()) {
            return Err(Counter::DroppedVersion);
        }
        match Mode::from_octet(first) {
            Mode::Client => Self::read_client(datagram, version, versions, counters),
            // Clients of RFC 1059 (version 1) knew no mode and sent 0. An answer to mode 0 can itself be taken for a question, and
            // RFC 5905 figure 20 knows none, so they get silence; version 1 with mode 3 is answered.
            Mode::Reserved => Err(Counter::DroppedModeReserved),
            Mode::Server => Err(Counter::DroppedModeServer),
            Mode::Broadcast => Err(Counter::DroppedModeBroadcast),
            Mode::Private => Err(Counter::DroppedModePrivate),
            Mode::SymmetricActive => handed(datagram, HEADER_LEN, Handover::SymmetricActive),
            Mode::SymmetricPassive => handed(datagram, HEADER_LEN, Handover::SymmetricPassive),
            Mode::Control => handed(datagram, CONTROL_HEADER_LEN, Handover::Control),
        }
    }

    fn read_client(
        datagram: &[u8],
        version: Version,
        versions: Versions,
        counters: &mut Counters,
    ) -> Result<Self, Counter> {
        let packet = Packet::parse(datagram).map_err(refusal_of_framing)?;
        if !versions.contains(version) {
            return Err(Counter::DroppedVersion);
        }
        if datagram.len() == HEADER_LEN {
            return Ok(Self::Plain(None));
        }
        let contents = packet.contents().map_err(refusal_of_framing)?;
        let mut count = 0;
        let mut longest = 0;
        for field in contents.fields {
            count += 1;
            longest = longest.max(field.body.len());
        }
        if count > MANY_FIELDS || longest > LONG_FIELD {
            counters.count(Counter::UnusualFields);
        }
        match contents.trailer {
            Trailer::None => {}
            // No key is configured, so no MAC can be right; and who does not say "wrong key" cannot be made to say it to others.
            Trailer::Mac(_) => return Err(Counter::DroppedMac),
            Trailer::CryptoNak => return Err(Counter::DroppedCryptoNak),
        }
        match classify_fields(contents.fields) {
            Ok(noonmark_nts::Request::Plain { unique }) => Ok(Self::Plain(unique)),
            Ok(noonmark_nts::Request::Protected(fields)) => Ok(Self::Nts(fields)),
            Err(violation) => Err(refusal(violation)),
        }
    }
}

/// What a broken rule of RFC 8915 §5 is counted as; the answer to all of them is silence.
pub(crate) fn refusal(violation: RequestViolation) -> Counter {
    match violation {
        RequestViolation::Framing(error) => refusal_of_framing(error),
        RequestViolation::Mode(_) => Counter::DroppedModeServer,
        RequestViolation::UniqueMissing => Counter::DroppedUniqueMissing,
        RequestViolation::UniqueRepeated => Counter::DroppedUniqueTwice,
        RequestViolation::UniqueLength { .. } => Counter::DroppedUniqueShort,
        RequestViolation::CookieMissing => Counter::DroppedCookieMissing,
        RequestViolation::CookieRepeated => Counter::DroppedCookieTwice,
        RequestViolation::AuthenticatorMissing => Counter::DroppedAuthenticatorMissing,
        RequestViolation::AuthenticatorRepeated => Counter::DroppedAuthenticatorTwice,
        RequestViolation::AuthenticatorLayout | RequestViolation::NonceLength { .. } => {
            Counter::DroppedAuthenticatorLength
        }
        RequestViolation::Padding { .. } => Counter::DroppedAuthenticatorPadding,
        RequestViolation::EncryptedFraming(_) => Counter::DroppedEncryptedFields,
    }
}

fn refusal_of_framing(error: DecodeError) -> Counter {
    match error {
        DecodeError::Truncated { .. } => Counter::DroppedShort,
        DecodeError::LengthNotMultipleOfFour { .. } => Counter::DroppedLength,
        DecodeError::UnknownVersion { .. } => Counter::DroppedVersion,
        DecodeError::FieldLength { .. }
        | DecodeError::TrailerLength { .. }
        | DecodeError::TrailerNotZero { .. } => Counter::DroppedFields,
    }
}

fn handed(datagram: &[u8], least: usize, kind: Handover) -> Result<Request, Counter> {
    if datagram.len() < least { Err(Counter::DroppedShort) } else { Ok(Request::HandOver(kind)) }
}

/// Octets of a control message's header (RFC 9327 §2).
const CONTROL_HEADER_LEN: usize = 12;
/// More fields than this no client needs: identifier, cookie, seven placeholders, authenticator, and some unknown ones.
const MANY_FIELDS: usize = 16;
/// A longer field could not be answered in kind within the packets every path carries.
const LONG_FIELD: usize = noonmark_nts::MAX_PACKET_LEN - HEADER_LEN;
