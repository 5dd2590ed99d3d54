use crate::message::{self, Draft, MessageReader, Violation};
use crate::ntp_server::NtpServer;
use crate::record::{BodyTooLong, NTPV4, Record, RecordKind};

/// What a client asks for (RFC 8915 §4): protocols, AEADs, perhaps a server and a port.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeRequest {
    /// Next Protocol numbers, the most wanted first; at least one.
    pub protocols: Vec<u16>,
    /// AEAD numbers, the most wanted first; at least one when [`NTPV4`] is among the protocols.
    pub aeads: Vec<u16>,
    /// Record 1024: "with AEAD 30 I put 30 into the exporter context".
    pub compliant_export: bool,
    /// The NTP server the client would like.
    pub server: Option<NtpServer>,
    /// The NTP port the client would like.
    pub port: Option<u16>,
}

impl KeRequest {
    /// The request of a client that speaks NTPv4 and these AEADs; record 1024 goes with AEAD 30.
    pub fn offering(aeads: &[crate::Aead]) -> Self {
        Self {
            protocols: vec![NTPV4],
            aeads: aeads.iter().map(|aead| aead.id()).collect(),
            compliant_export: aeads.contains(&crate::Aead::Aes128GcmSiv),
            server: None,
            port: None,
        }
    }

    /// Appends the whole message, End of Message included.
    ///
    /// # Errors
    /// [`BodyTooLong`] for a list of more than 32767 numbers.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), BodyTooLong> {
        Record { critical: true, kind: RecordKind::NEXT_PROTOCOL, body: &list(&self.protocols) }
            .write(out)?;
        if !self.aeads.is_empty() {
            Record { critical: true, kind: RecordKind::AEAD_ALGORITHM, body: &list(&self.aeads) }
                .write(out)?;
        }
        if self.compliant_export {
            Record { critical: false, kind: RecordKind::COMPLIANT_GCM_SIV_EXPORT, body: &[] }
                .write(out)?;
        }
        // RFC 8915 §4.1.7 and §4.1.8: clients leave the critical bit clear on both.
        if let Some(server) = &self.server {
            Record {
                critical: false,
                kind: RecordKind::SERVER,
                body: server.to_string().as_bytes(),
            }
            .write(out)?;
        }
        if let Some(port) = self.port {
            Record { critical: false, kind: RecordKind::PORT, body: &port.to_be_bytes() }
                .write(out)?;
        }
        Record::END.write(out)
    }
}

/// Collects a request from a stream of octets cut anywhere.
///
/// The first broken rule is the one reported, but reading goes on to End of Message: who answers while the other still
/// writes risks that a TCP reset eats the answer.
pub struct KeRequestReader(MessageReader<RequestDraft>);

/// Most octets of a request we read: two records of the greatest length and more besides (RFC 8915 §4 asks for 1024).
pub const REQUEST_LIMIT: usize = 3 << 16;

impl Default for KeRequestReader {
    fn default() -> Self {
        Self(MessageReader::new(RequestDraft::default(), REQUEST_LIMIT, REQUEST_BODY_LIMIT))
    }
}

impl KeRequestReader {
    /// A reader for one request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what arrived. What comes after End of Message is never looked at.
    pub fn read(&mut self, octets: &[u8]) {
        self.0.read(octets);
    }

    /// Whether anything arrived at all.
    pub fn is_started(&self) -> bool {
        self.0.is_started()
    }

    /// Whether End of Message was seen, or a length nobody reads.
    pub fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    /// The request, if it keeps every rule.
    ///
    /// # Errors
    /// The first [`Violation`]; [`Violation::Incomplete`] when End of Message has not come.
    pub fn finish(self) -> Result<KeRequest, Violation> {
        self.0.finish()?.finish()
    }
}

#[derive(Default)]
struct RequestDraft {
    protocols: Option<Vec<u16>>,
    aeads: Option<Vec<u16>>,
    compliant_export: Option<()>,
    server: Option<NtpServer>,
    port: Option<u16>,
}

impl Draft for RequestDraft {
    fn take(&mut self, record: Record<'_>) -> Result<(), Violation> {
        let kind = record.kind;
        match kind {
            RecordKind::NEXT_PROTOCOL => {
                let protocols = message::numbers(record)?;
                if protocols.is_empty() {
                    return Err(Violation::Empty(kind));
                }
                if !record.critical {
                    return Err(Violation::NotCritical(kind));
                }
                message::once(&mut self.protocols, protocols, kind)
            }
            RecordKind::AEAD_ALGORITHM => {
                let aeads = message::numbers(record)?;
                if aeads.is_empty() {
                    return Err(Violation::Empty(kind));
                }
                message::once(&mut self.aeads, aeads, kind)
            }
            RecordKind::COMPLIANT_GCM_SIV_EXPORT => {
                if !record.body.is_empty() {
                    return Err(Violation::Length { kind, len: record.body.len() });
                }
                message::once(&mut self.compliant_export, (), kind)
            }
            RecordKind::SERVER => {
                let server = NtpServer::parse(record.body).map_err(Violation::ServerName)?;
                message::once(&mut self.server, server, kind)
            }
            RecordKind::PORT => {
                let port = message::number(record)?;
                if port == 0 {
                    return Err(Violation::PortZero);
                }
                message::once(&mut self.port, port, kind)
            }
            _ => Err(Violation::Unexpected(kind)),
        }
    }
}

impl RequestDraft {
    fn finish(self) -> Result<KeRequest, Violation> {
        let protocols = self.protocols.ok_or(Violation::Missing(RecordKind::NEXT_PROTOCOL))?;
        let aeads = match self.aeads {
            Some(aeads) => aeads,
            None if protocols.contains(&NTPV4) => {
                return Err(Violation::Missing(RecordKind::AEAD_ALGORITHM));
            }
            None => Vec::new(),
        };
        let compliant_export = self.compliant_export.is_some();
        Ok(KeRequest { protocols, aeads, compliant_export, server: self.server, port: self.port })
    }
}

/// A list of 16-bit numbers as a record body.
fn list(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Longest body kept of one record of a request: room for 1024 numbers.
const REQUEST_BODY_LIMIT: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Aead;

    /// `80010002 0000 80040002 000f 80000000`
    const MINIMAL: [u8; 16] = [0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0];

    fn read(message: &[u8]) -> Result<KeRequest, Violation> {
        let mut reader = KeRequestReader::new();
        reader.read(message);
        reader.finish()
    }

    /// Records in a row: critical, kind, body; End of Message after them.
    fn check(records: &[(bool, u16, &[u8])], expected: Result<(), Violation>) {
        let mut message = Vec::new();
        for &(critical, kind, body) in records {
            Record { critical, kind: RecordKind(kind), body }.write(&mut message).expect("fits");
        }
        Record::END.write(&mut message).expect("fits");
        assert_eq!(read(&message).map(|_| ()), expected, "{records:?}");
        let mut reader = KeRequestReader::new();
        for octet in &message {
            reader.read(core::slice::from_ref(octet));
        }
        assert_eq!(reader.finish().map(|_| ()), expected, "one octet at a time: {records:?}");
    }

    const NEXT: (bool, u16, &[u8]) = (true, 1, &[0, 0]);
    const AEAD: (bool, u16, &[u8]) = (true, 4, &[0, 15]);

    #[test]
    fn the_smallest_request_has_16_octets() {
        let mut out = Vec::new();
        KeRequest::offering(&[Aead::SivCmac256]).write(&mut out).expect("fits");
        assert_eq!(out, MINIMAL);
        assert_eq!(read(&MINIMAL), Ok(KeRequest::offering(&[Aead::SivCmac256])));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let request = KeRequest {
            protocols: vec![9, 0, 40000],
            aeads: vec![30, 15, 10000],
            compliant_export: true,
            server: Some(NtpServer::Name("time.example".into())),
            port: Some(11123),
        };
        let mut out = Vec::new();
        request.write(&mut out).expect("fits");
        assert_eq!(read(&out), Ok(request));
    }

    #[test]
    fn good_requests_are_taken() {
        check(&[NEXT, AEAD], Ok(()));
        check(&[AEAD, NEXT], Ok(()));
        check(&[NEXT, (false, 4, &[0, 15])], Ok(()));
        check(
            &[(false, 8, &[]), NEXT, (false, 1023, &[1, 2, 3]), AEAD, (false, 0x3fff, &[0; 65535])],
            Ok(()),
        );
        check(&[(true, 1, &[0, 9, 0, 0, 0x9c, 0x40]), AEAD], Ok(()));
        check(&[(true, 1, &[0x27, 0x10])], Ok(()));
        check(&[NEXT, AEAD, (true, 6, b"time.example"), (true, 7, &[0, 123])], Ok(()));
        check(&[NEXT, AEAD, (false, 1024, &[])], Ok(()));
    }

    #[test]
    fn every_broken_rule_has_its_name() {
        use Violation::*;
        const NEXT_KIND: RecordKind = RecordKind::NEXT_PROTOCOL;
        const AEAD_KIND: RecordKind = RecordKind::AEAD_ALGORITHM;
        check(&[AEAD], Err(Missing(NEXT_KIND)));
        check(&[NEXT], Err(Missing(AEAD_KIND)));
        check(&[NEXT, NEXT, AEAD], Err(Repeated(NEXT_KIND)));
        check(&[NEXT, AEAD, AEAD], Err(Repeated(AEAD_KIND)));
        check(&[(false, 1, &[0, 0]), AEAD], Err(NotCritical(NEXT_KIND)));
        check(&[(true, 1, &[]), AEAD], Err(Empty(NEXT_KIND)));
        check(&[(true, 1, &[0]), AEAD], Err(Length { kind: NEXT_KIND, len: 1 }));
        check(&[(true, 1, &[0, 0, 0]), AEAD], Err(Length { kind: NEXT_KIND, len: 3 }));
        check(&[NEXT, (true, 4, &[])], Err(Empty(AEAD_KIND)));
        check(&[NEXT, (true, 4, &[0])], Err(Length { kind: AEAD_KIND, len: 1 }));
        check(&[NEXT, (true, 4, &[0, 15, 0])], Err(Length { kind: AEAD_KIND, len: 3 }));
        check(&[NEXT, AEAD, (true, 2, &[0, 1])], Err(Unexpected(RecordKind::ERROR)));
        check(&[NEXT, AEAD, (true, 3, &[0, 1])], Err(Unexpected(RecordKind::WARNING)));
        check(&[NEXT, AEAD, (false, 5, &[1; 100])], Err(Unexpected(RecordKind::NEW_COOKIE)));
        check(&[NEXT, AEAD, (true, 0x3fff, &[])], Err(UnknownCritical(RecordKind(0x3fff))));
        check(&[(true, 8, &[1; 300]), NEXT, AEAD], Err(UnknownCritical(RecordKind(8))));
        check(&[NEXT, AEAD, (false, 6, b"a"), (false, 6, b"b")], Err(Repeated(RecordKind::SERVER)));
        check(&[NEXT, AEAD, (false, 6, b"")], Err(ServerName(crate::NameFault::Empty)));
        check(&[NEXT, AEAD, (false, 7, &[0])], Err(Length { kind: RecordKind::PORT, len: 1 }));
        check(&[NEXT, AEAD, (false, 7, &[0, 0])], Err(PortZero));
        check(
            &[NEXT, AEAD, (false, 7, &[0, 1]), (false, 7, &[0, 1])],
            Err(Repeated(RecordKind::PORT)),
        );
        let export = RecordKind::COMPLIANT_GCM_SIV_EXPORT;
        check(&[NEXT, AEAD, (false, 1024, &[0])], Err(Length { kind: export, len: 1 }));
        check(&[NEXT, AEAD, (false, 1024, &[]), (false, 1024, &[])], Err(Repeated(export)));
        check(&[(true, 1, &[0; 2050]), AEAD], Err(RecordTooLong { kind: NEXT_KIND, len: 2050 }));
    }

    #[test]
    fn the_first_broken_rule_is_the_one_reported() {
        check(&[(true, 9, &[]), NEXT, NEXT], Err(Violation::UnknownCritical(RecordKind(9))));
        check(&[NEXT, NEXT, (true, 9, &[])], Err(Violation::Repeated(RecordKind::NEXT_PROTOCOL)));
    }

    #[test]
    fn end_of_message_must_be_empty_critical_and_there() {
        let end = RecordKind::END_OF_MESSAGE;
        let body = [&MINIMAL[..12], &[0x80, 0, 0, 2, 1, 1]].concat();
        assert_eq!(read(&body), Err(Violation::Length { kind: end, len: 2 }));
        let soft = [&MINIMAL[..12], &[0, 0, 0, 0]].concat();
        assert_eq!(read(&soft), Err(Violation::NotCritical(end)));
        for len in 0..MINIMAL.len() {
            assert_eq!(read(&MINIMAL[..len]), Err(Violation::Incomplete), "{len} octets");
        }
    }

    #[test]
    fn nothing_after_end_of_message_is_looked_at() {
        let more = [&MINIMAL[..], &[0xbf, 0xff, 0, 0], &MINIMAL[..], &[0xff]].concat();
        assert_eq!(read(&more), Ok(KeRequest::offering(&[Aead::SivCmac256])));
    }

    #[test]
    fn a_request_of_1024_octets_and_one_of_two_greatest_records_are_read() {
        for (len, count) in [(1004, 1), (65535, 2)] {
            let mut message = Vec::new();
            for _ in 0..count {
                Record { critical: false, kind: RecordKind(0x2000), body: &vec![1; len] }
                    .write(&mut message)
                    .expect("fits");
            }
            message.extend_from_slice(&MINIMAL);
            assert!(read(&message).is_ok(), "{} octets", message.len());
        }
    }

    #[test]
    fn an_endless_request_is_refused_at_the_limit() {
        let mut reader = KeRequestReader::new();
        let record = [&[0x20, 0, 0xff, 0xff], [0; 65535].as_slice()].concat();
        let mut taken = 0;
        while !reader.is_complete() {
            reader.read(&record);
            taken += record.len();
            assert!(taken < 2 * REQUEST_LIMIT);
        }
        assert_eq!(reader.finish(), Err(Violation::MessageTooLong { limit: REQUEST_LIMIT }));
    }
}
