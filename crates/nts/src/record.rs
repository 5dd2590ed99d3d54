use core::fmt;

/// One NTS-KE record (RFC 8915 §4): the critical bit, a 15-bit kind, a 16-bit body length, the body. Borrows its body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// Bit 15 of the first word: who does not know the kind must refuse the message.
    pub critical: bool,
    /// What the body means.
    pub kind: RecordKind,
    /// 0 to 65535 octets, no alignment.
    pub body: &'a [u8],
}

/// The 15-bit number that says what a record means (IANA "NTS-KE Record Types"); an open registry, so unknown values survive.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordKind(pub u16);

/// The body of an Error record (RFC 8915 §4.1.3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ErrorCode(pub u16);

/// Next Protocol ID of NTPv4 (RFC 8915 §7.7): the only protocol spoken here.
pub const NTPV4: u16 = 0;

/// Octets before the body of a record: kind with the critical bit, body length.
pub const RECORD_HEADER_LEN: usize = 4;

impl Record<'_> {
    /// End of Message: `80 00 00 00` (§4.1.1).
    pub const END: Record<'static> =
        Record { critical: true, kind: RecordKind::END_OF_MESSAGE, body: &[] };

    /// Appends the record, `4 + body` octets.
    ///
    /// # Errors
    /// [`BodyTooLong`] when the 16-bit length cannot say how long the body is; nothing is written then.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), BodyTooLong> {
        let len =
            u16::try_from(self.body.len()).map_err(|_| BodyTooLong { len: self.body.len() })?;
        let word = (self.kind.0 & RecordKind::MASK) | if self.critical { CRITICAL } else { 0 };
        out.extend_from_slice(&word.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(self.body);
        Ok(())
    }
}

/// A record body of more than 65535 octets was to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyTooLong {
    /// Octets of the body.
    pub len: usize,
}

impl fmt::Display for BodyTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record body of {} octets does not fit its 16-bit length", self.len)
    }
}

impl core::error::Error for BodyTooLong {}

impl RecordKind {
    /// End of Message (§4.1.1): empty, critical, last.
    pub const END_OF_MESSAGE: Self = Self(0);
    /// NTS Next Protocol Negotiation (§4.1.2): a list of 16-bit protocol numbers.
    pub const NEXT_PROTOCOL: Self = Self(1);
    /// Error (§4.1.3): one 16-bit code.
    pub const ERROR: Self = Self(2);
    /// Warning (§4.1.4): one 16-bit code.
    pub const WARNING: Self = Self(3);
    /// AEAD Algorithm Negotiation (§4.1.5): a list of 16-bit AEAD numbers.
    pub const AEAD_ALGORITHM: Self = Self(4);
    /// New Cookie for NTPv4 (§4.1.6): opaque.
    pub const NEW_COOKIE: Self = Self(5);
    /// NTPv4 Server Negotiation (§4.1.7): a name or an address in ASCII.
    pub const SERVER: Self = Self(6);
    /// NTPv4 Port Negotiation (§4.1.8): one 16-bit port.
    pub const PORT: Self = Self(7);
    /// Compliant AES-128-GCM-SIV Exporter Context, chrony's record: empty. "With AEAD 30 I put 30 into the exporter context."
    pub const COMPLIANT_GCM_SIV_EXPORT: Self = Self(1024);

    const MASK: u16 = 0x7fff;

    /// Whether this crate reads the body; all other kinds are skipped, or refused when critical.
    pub fn is_known(self) -> bool {
        self <= Self::PORT || self == Self::COMPLIANT_GCM_SIV_EXPORT
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::END_OF_MESSAGE => "End of Message",
            Self::NEXT_PROTOCOL => "NTS Next Protocol Negotiation",
            Self::ERROR => "Error",
            Self::WARNING => "Warning",
            Self::AEAD_ALGORITHM => "AEAD Algorithm Negotiation",
            Self::NEW_COOKIE => "New Cookie",
            Self::SERVER => "NTPv4 Server Negotiation",
            Self::PORT => "NTPv4 Port Negotiation",
            Self::COMPLIANT_GCM_SIV_EXPORT => "Compliant AES-128-GCM-SIV Exporter Context",
            Self(number) => return write!(f, "record {number}"),
        };
        write!(f, "{name} (record {})", self.0)
    }
}

impl ErrorCode {
    /// The request holds a critical record the server does not know.
    pub const UNRECOGNIZED_CRITICAL: Self = Self(0);
    /// The request is malformed, incomplete or breaks a rule.
    pub const BAD_REQUEST: Self = Self(1);
    /// The server cannot serve for reasons of its own; may be tried again later.
    pub const INTERNAL: Self = Self(2);
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UNRECOGNIZED_CRITICAL => f.write_str("0 (unrecognized critical record)"),
            Self::BAD_REQUEST => f.write_str("1 (bad request)"),
            Self::INTERNAL => f.write_str("2 (internal server error)"),
            Self(code) => write!(f, "{code}"),
        }
    }
}

/// The records of a message that is all there, in order; for tools that want to see every octet.
///
/// Yields `Err` once, with the offset, when the octets end inside a record, and then nothing more.
pub fn records(message: &[u8]) -> impl Iterator<Item = Result<Record<'_>, CutShort>> {
    let mut rest = message;
    let mut at = 0;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = rest.split_first_chunk::<RECORD_HEADER_LEN>().and_then(|(header, tail)| {
            let (critical, kind, len) = read_header(*header);
            tail.split_at_checked(usize::from(len))
                .map(|(body, tail)| (Record { critical, kind, body }, tail))
        });
        let Some((record, tail)) = split else {
            rest = &[];
            return Some(Err(CutShort { at }));
        };
        at += RECORD_HEADER_LEN + record.body.len();
        rest = tail;
        Some(Ok(record))
    })
}

/// A message ended inside a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CutShort {
    /// Offset of the record's header.
    pub at: usize,
}

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the message ends inside the record at octet {}", self.at)
    }
}

impl core::error::Error for CutShort {}

/// Cuts a stream of octets into records, however TLS and TCP cut it before.
///
/// Memory is bounded by `body_limit`: bodies of kinds nobody here reads, and bodies longer than that, are passed over as they stream by.
pub struct RecordReader {
    header: [u8; RECORD_HEADER_LEN],
    header_len: usize,
    body: Vec<u8>,
    body_left: usize,
    body_limit: usize,
    message_left: usize,
}

/// What [`RecordReader::next`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrival<'a> {
    /// A record of a known kind, whole.
    Record(Record<'a>),
    /// A record whose body was passed over: its kind is unknown, or it is longer than the limit.
    Skipped {
        /// Its critical bit.
        critical: bool,
        /// Its kind.
        kind: RecordKind,
        /// Octets of its body.
        len: u16,
    },
}

/// The message is longer than the reader's limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageTooLong;

impl RecordReader {
    /// A reader for one message of at most `message_limit` octets that keeps at most `body_limit` octets in memory.
    pub fn new(message_limit: usize, body_limit: usize) -> Self {
        Self {
            header: [0; RECORD_HEADER_LEN],
            header_len: 0,
            body: Vec::new(),
            body_left: 0,
            body_limit,
            message_left: message_limit,
        }
    }

    /// Takes octets off the front of `input` until a record is complete; `None` when the input ran out first.
    ///
    /// # Errors
    /// [`MessageTooLong`] when the limit is passed; the reader is of no use after that.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Arrival<'_>>, MessageTooLong> {
        if self.is_between_records() {
            self.body.clear();
        }
        while self.header_len < RECORD_HEADER_LEN {
            let Some((&octet, rest)) = input.split_first() else { return Ok(None) };
            self.spend(1)?;
            *input = rest;
            if let Some(place) = self.header.get_mut(self.header_len) {
                *place = octet;
            }
            self.header_len += 1;
            if self.header_len == RECORD_HEADER_LEN {
                self.body_left = usize::from(read_header(self.header).2);
            }
        }
        let (critical, kind, len) = read_header(self.header);
        let kept = kind.is_known() && usize::from(len) <= self.body_limit;
        let (part, rest) = input.split_at(self.body_left.min(input.len()));
        self.spend(part.len())?;
        *input = rest;
        self.body_left -= part.len();
        if kept {
            self.body.extend_from_slice(part);
        }
        if self.body_left > 0 {
            return Ok(None);
        }
        self.header_len = 0;
        Ok(Some(match kept {
            true => Arrival::Record(Record { critical, kind, body: &self.body }),
            false => Arrival::Skipped { critical, kind, len },
        }))
    }

    fn is_between_records(&self) -> bool {
        self.header_len == 0 && self.body_left == 0
    }

    fn spend(&mut self, octets: usize) -> Result<(), MessageTooLong> {
        self.message_left = self.message_left.checked_sub(octets).ok_or(MessageTooLong)?;
        Ok(())
    }
}

/// Critical bit, kind and body length.
fn read_header(header: [u8; RECORD_HEADER_LEN]) -> (bool, RecordKind, u16) {
    let [a, b, c, d] = header;
    let word = u16::from_be_bytes([a, b]);
    (word & CRITICAL != 0, RecordKind(word & RecordKind::MASK), u16::from_be_bytes([c, d]))
}

const CRITICAL: u16 = 0x8000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_in_pieces(
        message: &[u8],
        piece: usize,
        body_limit: usize,
    ) -> Vec<(bool, u16, Vec<u8>)> {
        let mut reader = RecordReader::new(1 << 20, body_limit);
        let mut found = Vec::new();
        for mut part in message.chunks(piece) {
            while let Some(arrival) = reader.next(&mut part).expect("within the limit") {
                found.push(match arrival {
                    Arrival::Record(record) => {
                        (record.critical, record.kind.0, record.body.to_vec())
                    }
                    Arrival::Skipped { critical, kind, len } => {
                        (critical, kind.0, vec![0xee; usize::from(len)])
                    }
                });
            }
        }
        found
    }

    #[test]
    fn end_of_message_is_80_00_00_00() {
        let mut out = Vec::new();
        Record::END.write(&mut out).expect("an empty body fits");
        assert_eq!(out, [0x80, 0, 0, 0]);
    }

    #[test]
    fn cutting_the_stream_elsewhere_changes_nothing() {
        let mut message = Vec::new();
        for (critical, kind, len) in [
            (true, 1, 2),
            (false, 0x3fff, 3),
            (false, 4, 300),
            (false, 5, 0),
            (false, 9, 65535),
            (true, 0, 0),
        ] {
            Record { critical, kind: RecordKind(kind), body: &vec![7; len] }
                .write(&mut message)
                .expect("fits");
        }
        let whole = read_in_pieces(&message, message.len(), 256);
        assert_eq!(whole.len(), 6);
        assert_eq!(whole.first(), Some(&(true, 1, vec![7, 7])));
        assert_eq!(
            whole.get(1),
            Some(&(false, 0x3fff, vec![0xee; 3])),
            "an unknown kind is passed over"
        );
        assert_eq!(
            whole.get(2),
            Some(&(false, 4, vec![0xee; 300])),
            "a body over the limit is passed over"
        );
        for piece in [1, 2, 3, 5, 1000] {
            assert_eq!(read_in_pieces(&message, piece, 256), whole, "pieces of {piece}");
        }
    }

    #[test]
    fn a_passed_over_body_takes_no_memory() {
        let mut reader = RecordReader::new(1 << 20, 4096);
        let mut header: &[u8] = &[0x3f, 0xff, 0xff, 0xff];
        assert_eq!(reader.next(&mut header), Ok(None));
        for _ in 0..65534 / 2 {
            assert_eq!(reader.next(&mut [1, 2].as_slice()), Ok(None));
        }
        assert_eq!(reader.body.capacity(), 0);
        let end = reader.next(&mut [1].as_slice());
        assert_eq!(
            end,
            Ok(Some(Arrival::Skipped { critical: false, kind: RecordKind(0x3fff), len: 65535 }))
        );
    }

    #[test]
    fn a_message_over_the_limit_is_an_error() {
        let mut reader = RecordReader::new(9, 4096);
        let mut input: &[u8] = &[0, 9, 0, 6, 1, 2, 3, 4, 5, 6];
        assert_eq!(reader.next(&mut input), Err(MessageTooLong));
        let mut reader = RecordReader::new(10, 4096);
        let mut input: &[u8] = &[0, 9, 0, 6, 1, 2, 3, 4, 5, 6];
        assert!(matches!(reader.next(&mut input), Ok(Some(_))));
    }

    #[test]
    fn a_message_cut_short_says_where() {
        let message = [0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0];
        let found: Vec<_> = records(&message).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found.last(), Some(&Err(CutShort { at: 6 })));
        assert_eq!(records(&[]).count(), 0);
    }

    #[test]
    fn a_body_longer_than_65535_octets_is_not_written() {
        let mut out = Vec::new();
        let record = Record { critical: false, kind: RecordKind(9), body: &vec![0; 65536] };
        assert_eq!(record.write(&mut out), Err(BodyTooLong { len: 65536 }));
        assert!(out.is_empty());
    }

    /// The property: records written one after the other are read back whatever the pieces they arrive in.
    fn survives(records: &[(bool, u16, Vec<u8>)], pieces: &[usize], renew: bool) -> bool {
        let mut message = Vec::new();
        for (critical, kind, body) in records {
            Record { critical: *critical, kind: RecordKind(*kind), body }
                .write(&mut message)
                .expect("fits");
        }
        let mut reader = RecordReader::new(1 << 20, 1 << 16);
        let mut found = Vec::new();
        let mut rest = message.as_slice();
        for piece in pieces.iter().cycle() {
            let (mut part, tail) = rest.split_at((*piece).min(rest.len()));
            rest = tail;
            while let Some(arrival) = reader.next(&mut part).expect("within the limit") {
                found.push(match arrival {
                    Arrival::Record(record) => {
                        (record.critical, record.kind.0, record.body.to_vec())
                    }
                    Arrival::Skipped { critical, kind, len } => {
                        (critical, kind.0, vec![0; usize::from(len)])
                    }
                });
            }
            if renew {
                reader = RecordReader::new(1 << 20, 1 << 16);
            }
            if rest.is_empty() {
                break;
            }
        }
        let expected =
            records.iter().map(|(critical, kind, body)| match RecordKind(*kind).is_known() {
                true => (*critical, *kind, body.clone()),
                false => (*critical, *kind, vec![0; body.len()]),
            });
        found == expected.collect::<Vec<_>>()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            records in prop::collection::vec(
                (any::<bool>(), prop_oneof![0_u16..8, Just(1024), 0_u16..0x8000], prop::collection::vec(any::<u8>(), 0..40)),
                0..8,
            ),
            pieces in prop::collection::vec(1_usize..30, 1..5),
        ) {
            prop_assert!(survives(&records, &pieces, false));
        }
    }

    #[test]
    fn the_property_notices_a_reader_that_forgets_between_pieces() {
        let records = [(true, 1, vec![0, 0]), (false, 5, vec![1; 10])];
        assert!(survives(&records, &[3], false));
        assert!(!survives(&records, &[3], true));
    }
}
