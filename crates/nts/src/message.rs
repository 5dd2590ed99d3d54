use core::fmt;

use crate::ntp_server::NameFault;
use crate::record::{Arrival, ErrorCode, Record, RecordKind, RecordReader};

/// A rule of NTS-KE that a peer broke. Carries facts; [`clause`](Violation::clause) names the text broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Violation {
    /// A critical record of a kind nobody here knows.
    UnknownCritical(RecordKind),
    /// The message is longer than we read.
    MessageTooLong {
        /// The most octets we read.
        limit: usize,
    },
    /// A record of a known kind is longer than we read.
    RecordTooLong {
        /// Its kind.
        kind: RecordKind,
        /// Octets of its body.
        len: u16,
    },
    /// The stream ended, or time ran out, before End of Message.
    Incomplete,
    /// A record that must occur once is missing.
    Missing(RecordKind),
    /// A record that may occur once occurred again.
    Repeated(RecordKind),
    /// A record that must have its critical bit set has not.
    NotCritical(RecordKind),
    /// A record this side never sends.
    Unexpected(RecordKind),
    /// A body of a length its kind cannot have.
    Length {
        /// The kind.
        kind: RecordKind,
        /// Octets found.
        len: usize,
    },
    /// A request lists no protocol or no AEAD, or a cookie is empty.
    Empty(RecordKind),
    /// The response chose a protocol that was not offered.
    ProtocolNotOffered(u16),
    /// The response chose an AEAD that was not offered.
    AeadNotOffered(u16),
    /// The response chose more than one AEAD.
    SeveralAeads {
        /// How many.
        count: usize,
    },
    /// The response agrees on NTPv4 and an AEAD but brings no cookie.
    NoCookie,
    /// A cookie too long to be sent back in one unfragmented packet.
    CookieTooLong {
        /// Octets of the cookie.
        len: usize,
    },
    /// A warning; none is defined, so none is understood.
    Warning(u16),
    /// The Server Negotiation record names no server.
    ServerName(NameFault),
    /// The Port Negotiation record says 0.
    PortZero,
    /// Record 1024 in a response though we did not ask, or though AEAD 30 was not chosen.
    CompliantExportUnasked,
}

impl Violation {
    /// What a server answers to a request that breaks this rule (RFC 8915 §4.1.3).
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::UnknownCritical(_) => ErrorCode::UNRECOGNIZED_CRITICAL,
            _ => ErrorCode::BAD_REQUEST,
        }
    }

    /// The clause broken, as a person would cite it.
    pub fn clause(&self) -> &'static str {
        match self {
            Self::UnknownCritical(_) | Self::MessageTooLong { .. } | Self::RecordTooLong { .. } => {
                "RFC 8915 §4"
            }
            Self::Incomplete => "RFC 8915 §4.1.3",
            Self::Missing(kind)
            | Self::Repeated(kind)
            | Self::NotCritical(kind)
            | Self::Unexpected(kind) => clause_of(*kind),
            Self::Length { kind, .. } | Self::Empty(kind) => clause_of(*kind),
            Self::ProtocolNotOffered(_) => "RFC 8915 §4.1.2",
            Self::AeadNotOffered(_) | Self::SeveralAeads { .. } => "RFC 8915 §4.1.5",
            Self::NoCookie | Self::CookieTooLong { .. } => "RFC 8915 §4.1.6",
            Self::Warning(_) => "RFC 8915 §4.1.4",
            Self::ServerName(_) => "RFC 8915 §4.1.7",
            Self::PortZero => "RFC 8915 §4.1.8",
            Self::CompliantExportUnasked => clause_of(RecordKind::COMPLIANT_GCM_SIV_EXPORT),
        }
    }

    /// A short fixed name for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownCritical(_) => "unknown-critical",
            Self::MessageTooLong { .. } => "message-too-long",
            Self::RecordTooLong { .. } => "record-too-long",
            Self::Incomplete => "incomplete",
            Self::Missing(_) => "record-missing",
            Self::Repeated(_) => "record-repeated",
            Self::NotCritical(_) => "not-critical",
            Self::Unexpected(_) => "record-unexpected",
            Self::Length { .. } => "record-length",
            Self::Empty(_) => "record-empty",
            Self::ProtocolNotOffered(_) => "protocol-not-offered",
            Self::AeadNotOffered(_) => "aead-not-offered",
            Self::SeveralAeads { .. } => "several-aeads",
            Self::NoCookie => "no-cookie",
            Self::CookieTooLong { .. } => "cookie-too-long",
            Self::Warning(_) => "warning",
            Self::ServerName(_) => "server-name",
            Self::PortZero => "port-zero",
            Self::CompliantExportUnasked => "compliant-export-unasked",
        }
    }

    fn write_fact(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCritical(kind) => write!(f, "critical {kind} is not known"),
            Self::MessageTooLong { limit } => {
                write!(f, "the message is longer than {limit} octets")
            }
            Self::RecordTooLong { kind, len } => {
                write!(f, "{kind} of {len} octets is longer than any that makes sense")
            }
            Self::Incomplete => f.write_str("the message ended before End of Message"),
            Self::Missing(kind) => write!(f, "{kind} is missing"),
            Self::Repeated(kind) => write!(f, "{kind} occurs more than once"),
            Self::NotCritical(kind) => write!(f, "{kind} is not marked critical"),
            Self::Unexpected(kind) => write!(f, "{kind} has no place in this message"),
            Self::Length { kind, len } => write!(f, "{kind} has a body of {len} octets"),
            Self::Empty(kind) => write!(f, "{kind} is empty"),
            Self::ProtocolNotOffered(id) => write!(f, "protocol {id} was chosen but not offered"),
            Self::AeadNotOffered(id) => write!(f, "AEAD {id} was chosen but not offered"),
            Self::SeveralAeads { count } => write!(f, "{count} AEADs were chosen"),
            Self::NoCookie => f.write_str("NTPv4 and an AEAD were agreed but no cookie came"),
            Self::CookieTooLong { len } => {
                write!(f, "a cookie of {len} octets cannot be sent back unfragmented")
            }
            Self::Warning(code) => write!(f, "warning {code} is not known, so it is an error"),
            Self::ServerName(fault) => write!(f, "the NTP server named is none: {fault}"),
            Self::PortZero => f.write_str("port 0 was named"),
            Self::CompliantExportUnasked => {
                f.write_str("record 1024 came unasked or without AEAD 30")
            }
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_fact(f)?;
        write!(f, " ({})", self.clause())
    }
}

impl core::error::Error for Violation {}

fn clause_of(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::END_OF_MESSAGE => "RFC 8915 §4.1.1",
        RecordKind::NEXT_PROTOCOL => "RFC 8915 §4.1.2",
        RecordKind::ERROR => "RFC 8915 §4.1.3",
        RecordKind::WARNING => "RFC 8915 §4.1.4",
        RecordKind::AEAD_ALGORITHM => "RFC 8915 §4.1.5",
        RecordKind::NEW_COOKIE => "RFC 8915 §4.1.6",
        RecordKind::SERVER => "RFC 8915 §4.1.7",
        RecordKind::PORT => "RFC 8915 §4.1.8",
        RecordKind::COMPLIANT_GCM_SIV_EXPORT => "chrony's note on AES-128-GCM-SIV",
        _ => "RFC 8915 §4",
    }
}

/// What a request or a response does with its records one after the other.
pub(crate) trait Draft {
    /// Takes one record other than End of Message.
    fn take(&mut self, record: Record<'_>) -> Result<(), Violation>;
}

/// Collects a message from a stream of octets cut anywhere.
///
/// The first broken rule is the one reported, but reading goes on to End of Message.
pub(crate) struct MessageReader<D> {
    records: RecordReader,
    draft: D,
    limit: usize,
    fault: Option<Violation>,
    started: bool,
    complete: bool,
}

impl<D: Draft> MessageReader<D> {
    /// Reads at most `limit` octets, and keeps at most `body_limit` of one record.
    pub(crate) fn new(draft: D, limit: usize, body_limit: usize) -> Self {
        let records = RecordReader::new(limit, body_limit);
        Self { records, draft, limit, fault: None, started: false, complete: false }
    }

    /// Takes what arrived. What comes after End of Message is never looked at.
    pub(crate) fn read(&mut self, mut octets: &[u8]) {
        self.started |= !octets.is_empty();
        while !self.complete {
            let sorted = match self.records.next(&mut octets) {
                Ok(None) => return,
                Ok(Some(arrival)) => {
                    self.complete = is_end(&arrival);
                    sort(arrival, &mut self.draft)
                }
                Err(_) => {
                    self.complete = true;
                    Err(Violation::MessageTooLong { limit: self.limit })
                }
            };
            if let Err(fault) = sorted {
                self.fault.get_or_insert(fault);
            }
        }
    }

    /// Whether anything arrived at all.
    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// Whether End of Message was seen, or a length nobody reads.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// All that was taken, if every record keeps its rules.
    pub(crate) fn finish(self) -> Result<D, Violation> {
        match self.fault {
            Some(fault) => Err(fault),
            None if !self.complete => Err(Violation::Incomplete),
            None => Ok(self.draft),
        }
    }
}

/// Sorts one arrival: records of known kinds into `draft`, unknown kinds by their critical bit.
fn sort(arrival: Arrival<'_>, draft: &mut impl Draft) -> Result<(), Violation> {
    match arrival {
        Arrival::Record(Record { critical, kind: kind @ RecordKind::END_OF_MESSAGE, body }) => {
            match (critical, body.len()) {
                (true, 0) => Ok(()),
                (false, 0) => Err(Violation::NotCritical(kind)),
                (_, len) => Err(Violation::Length { kind, len }),
            }
        }
        Arrival::Record(record) => draft.take(record),
        Arrival::Skipped { kind, len, .. } if kind.is_known() => {
            Err(Violation::RecordTooLong { kind, len })
        }
        Arrival::Skipped { critical: true, kind, .. } => Err(Violation::UnknownCritical(kind)),
        Arrival::Skipped { .. } => Ok(()),
    }
}

/// Whether the arrival ends the message, well formed or not.
fn is_end(arrival: &Arrival<'_>) -> bool {
    let (Arrival::Record(Record { kind, .. }) | Arrival::Skipped { kind, .. }) = arrival;
    *kind == RecordKind::END_OF_MESSAGE
}

/// Puts a value into a place that may be filled once.
pub(crate) fn once<T>(place: &mut Option<T>, value: T, kind: RecordKind) -> Result<(), Violation> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Violation::Repeated(kind)),
    }
}

/// The body as one 16-bit number.
pub(crate) fn number(record: Record<'_>) -> Result<u16, Violation> {
    let octets = record
        .body
        .try_into()
        .map_err(|_| Violation::Length { kind: record.kind, len: record.body.len() })?;
    Ok(u16::from_be_bytes(octets))
}

/// The body as a list of 16-bit numbers.
pub(crate) fn numbers(record: Record<'_>) -> Result<Vec<u16>, Violation> {
    let (pairs, rest) = record.body.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Violation::Length { kind: record.kind, len: record.body.len() });
    }
    Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}
