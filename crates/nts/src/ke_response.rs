use crate::aead::Aead;
use crate::message::{self, Draft, MessageReader, Violation};
use crate::ntp_server::NtpServer;
use crate::record::{ErrorCode, NTPV4, Record, RecordKind};
use crate::request::{MAX_COOKIE_LEN, MAX_COOKIES};

/// What a server answers to a request (RFC 8915 §4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeResponse {
    /// NTPv4, an AEAD, cookies.
    Agreed(Agreed),
    /// No protocol in common: an empty Next Protocol record (§4.1.2).
    NoSharedProtocol,
    /// NTPv4, but no AEAD in common: an empty AEAD record (§4.1.5).
    NoSharedAead,
    /// An Error record (§4.1.3).
    Refused(ErrorCode),
}

/// What both sides agreed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agreed {
    /// The algorithm NTP packets are protected with.
    pub aead: Aead,
    /// Record 1024 came back: 30 stands in the exporter context.
    pub compliant_export: bool,
    /// One or more, opaque, 1 to [`MAX_COOKIE_LEN`] octets each.
    pub cookies: Vec<Vec<u8>>,
    /// The NTP server to ask; absent: the host the key exchange was made with.
    pub server: Option<NtpServer>,
    /// The port to ask; absent: 123.
    pub port: Option<u16>,
}

impl KeResponse {
    /// The whole message, End of Message included.
    pub fn to_octets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |critical, kind, body: &[u8]| {
            // A cookie, a name or a number: none comes near 65535 octets.
            Record { critical, kind, body }.write(&mut out).expect("our bodies are short");
        };
        match self {
            Self::Agreed(agreed) => {
                put(true, RecordKind::NEXT_PROTOCOL, &NTPV4.to_be_bytes());
                put(true, RecordKind::AEAD_ALGORITHM, &agreed.aead.id().to_be_bytes());
                if agreed.compliant_export {
                    put(false, RecordKind::COMPLIANT_GCM_SIV_EXPORT, &[]);
                }
                if let Some(server) = &agreed.server {
                    put(true, RecordKind::SERVER, server.to_string().as_bytes());
                }
                if let Some(port) = agreed.port {
                    put(true, RecordKind::PORT, &port.to_be_bytes());
                }
                // RFC 8915 §4.1.6: the critical bit of cookies should be clear.
                for cookie in &agreed.cookies {
                    put(false, RecordKind::NEW_COOKIE, cookie);
                }
            }
            Self::NoSharedProtocol => put(true, RecordKind::NEXT_PROTOCOL, &[]),
            Self::NoSharedAead => {
                put(true, RecordKind::NEXT_PROTOCOL, &NTPV4.to_be_bytes());
                put(true, RecordKind::AEAD_ALGORITHM, &[]);
            }
            Self::Refused(code) => put(true, RecordKind::ERROR, &code.0.to_be_bytes()),
        }
        put(true, RecordKind::END_OF_MESSAGE, &[]);
        out
    }
}

/// Collects a response from a stream of octets cut anywhere. Nothing in it is believed before End of Message.
pub struct KeResponseReader(MessageReader<ResponseDraft>);

/// Most octets of a response we read: RFC 8915 §4 asks for 65536 at least.
pub const RESPONSE_LIMIT: usize = 2 << 16;

impl KeResponseReader {
    /// A reader for the response to a request that offered `aeads` (numbers), and record 1024 or not.
    pub fn new(aeads: &[u16], compliant_export: bool) -> Self {
        let draft = ResponseDraft::new(aeads, compliant_export);
        Self(MessageReader::new(draft, RESPONSE_LIMIT, RESPONSE_BODY_LIMIT))
    }

    /// Takes what arrived. What comes after End of Message is never looked at.
    pub fn read(&mut self, octets: &[u8]) {
        self.0.read(octets);
    }

    /// Whether End of Message was seen, or a length nobody reads.
    pub fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    /// The response, if it keeps every rule. An Error record wins over everything but a broken rule before it.
    ///
    /// # Errors
    /// The first [`Violation`]; [`Violation::Incomplete`] when End of Message has not come.
    pub fn finish(self) -> Result<KeResponse, Violation> {
        self.0.finish()?.finish()
    }
}

struct ResponseDraft {
    offered: Vec<u16>,
    asked_compliant_export: bool,
    protocols: Option<Vec<u16>>,
    aeads: Option<Vec<u16>>,
    compliant_export: Option<()>,
    cookies: Vec<Vec<u8>>,
    server: Option<NtpServer>,
    port: Option<u16>,
    error: Option<ErrorCode>,
}

impl Draft for ResponseDraft {
    fn take(&mut self, record: Record<'_>) -> Result<(), Violation> {
        let kind = record.kind;
        match kind {
            RecordKind::NEXT_PROTOCOL => {
                let protocols = message::numbers(record)?;
                if !record.critical {
                    return Err(Violation::NotCritical(kind));
                }
                if let Some(&stranger) = protocols.iter().find(|id| **id != NTPV4) {
                    return Err(Violation::ProtocolNotOffered(stranger));
                }
                message::once(&mut self.protocols, protocols, kind)
            }
            RecordKind::AEAD_ALGORITHM => {
                let aeads = message::numbers(record)?;
                message::once(&mut self.aeads, aeads, kind)
            }
            RecordKind::ERROR => {
                let code = ErrorCode(message::number(record)?);
                message::once(&mut self.error, code, kind)
            }
            // RFC 8915 §4.1.4: a warning that is not understood is an error, and none is defined.
            RecordKind::WARNING => Err(Violation::Warning(message::number(record)?)),
            RecordKind::NEW_COOKIE => self.take_cookie(record.body),
            RecordKind::COMPLIANT_GCM_SIV_EXPORT => {
                if !record.body.is_empty() {
                    return Err(Violation::Length { kind, len: record.body.len() });
                }
                if !self.asked_compliant_export {
                    return Err(Violation::CompliantExportUnasked);
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

impl ResponseDraft {
    fn new(aeads: &[u16], compliant_export: bool) -> Self {
        Self {
            offered: aeads.to_vec(),
            asked_compliant_export: compliant_export,
            protocols: None,
            aeads: None,
            compliant_export: None,
            cookies: Vec::new(),
            server: None,
            port: None,
            error: None,
        }
    }

    fn take_cookie(&mut self, cookie: &[u8]) -> Result<(), Violation> {
        if cookie.is_empty() {
            return Err(Violation::Empty(RecordKind::NEW_COOKIE));
        }
        if cookie.len() > MAX_COOKIE_LEN {
            return Err(Violation::CookieTooLong { len: cookie.len() });
        }
        // More than we can keep are not wrong, only useless.
        if self.cookies.len() < MAX_COOKIES {
            self.cookies.push(cookie.to_vec());
        }
        Ok(())
    }

    fn finish(self) -> Result<KeResponse, Violation> {
        if let Some(code) = self.error {
            return Ok(KeResponse::Refused(code));
        }
        let protocols = self.protocols.ok_or(Violation::Missing(RecordKind::NEXT_PROTOCOL))?;
        if protocols.is_empty() {
            return Ok(KeResponse::NoSharedProtocol);
        }
        let aeads = self.aeads.ok_or(Violation::Missing(RecordKind::AEAD_ALGORITHM))?;
        let id = match *aeads.as_slice() {
            [] => return Ok(KeResponse::NoSharedAead),
            [id] => id,
            _ => return Err(Violation::SeveralAeads { count: aeads.len() }),
        };
        let aead = Aead::from_id(id)
            .filter(|_| self.offered.contains(&id))
            .ok_or(Violation::AeadNotOffered(id))?;
        let compliant_export = self.compliant_export.is_some();
        if compliant_export && aead != Aead::Aes128GcmSiv {
            return Err(Violation::CompliantExportUnasked);
        }
        if self.cookies.is_empty() {
            return Err(Violation::NoCookie);
        }
        let Self { cookies, server, port, .. } = self;
        Ok(KeResponse::Agreed(Agreed { aead, compliant_export, cookies, server, port }))
    }
}

/// The list of numbers a response may hold is short; the longest body is a cookie's.
const RESPONSE_BODY_LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<KeResponse, Violation> {
        let mut reader = KeResponseReader::new(&[30, 15], true);
        reader.read(message);
        reader.finish()
    }

    fn agreed() -> Agreed {
        Agreed {
            aead: Aead::Aes128GcmSiv,
            compliant_export: true,
            cookies: (0..8).map(|n| vec![n; 68]).collect(),
            server: Some(NtpServer::Name("time.example".into())),
            port: Some(11123),
        }
    }

    /// Records in a row: critical, kind, body; End of Message after them.
    fn message(records: &[(bool, u16, &[u8])]) -> Vec<u8> {
        let mut message = Vec::new();
        for &(critical, kind, body) in records {
            Record { critical, kind: RecordKind(kind), body }.write(&mut message).expect("fits");
        }
        Record::END.write(&mut message).expect("fits");
        message
    }

    fn check(records: &[(bool, u16, &[u8])], expected: Result<KeResponse, Violation>) {
        let message = message(records);
        assert_eq!(read(&message), expected, "{records:?}");
        let mut reader = KeResponseReader::new(&[30, 15], true);
        for octet in &message {
            reader.read(core::slice::from_ref(octet));
        }
        assert_eq!(reader.finish(), expected, "one octet at a time: {records:?}");
    }

    fn plain() -> KeResponse {
        let cookies = vec![vec![1; 100]];
        let aead = Aead::SivCmac256;
        KeResponse::Agreed(Agreed {
            aead,
            compliant_export: false,
            cookies,
            server: None,
            port: None,
        })
    }

    const NEXT: (bool, u16, &[u8]) = (true, 1, &[0, 0]);
    const AEAD: (bool, u16, &[u8]) = (true, 4, &[0, 15]);
    const COOKIE: (bool, u16, &[u8]) = (false, 5, &[1; 100]);

    #[test]
    fn the_smallest_messages_are_the_known_octets() {
        let check =
            |response: KeResponse, expected: &[u8]| assert_eq!(response.to_octets(), expected);
        check(KeResponse::Refused(ErrorCode(0)), &[0x80, 2, 0, 2, 0, 0, 0x80, 0, 0, 0]);
        check(KeResponse::Refused(ErrorCode(1)), &[0x80, 2, 0, 2, 0, 1, 0x80, 0, 0, 0]);
        check(KeResponse::NoSharedProtocol, &[0x80, 1, 0, 0, 0x80, 0, 0, 0]);
        check(KeResponse::NoSharedAead, &[0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 0, 0x80, 0, 0, 0]);
    }

    #[test]
    fn an_answer_with_8_cookies_of_104_octets_has_880_octets() {
        let cookies = vec![vec![0; 104]; 8];
        let aead = Aead::SivCmac256;
        let agreed = Agreed { aead, compliant_export: false, cookies, server: None, port: None };
        // 6 + 6 + 8 * (4 + 104) + 4
        assert_eq!(KeResponse::Agreed(agreed).to_octets().len(), 880);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let responses = [
            KeResponse::Agreed(agreed()),
            KeResponse::NoSharedProtocol,
            KeResponse::NoSharedAead,
            KeResponse::Refused(ErrorCode::INTERNAL),
            KeResponse::Refused(ErrorCode(777)),
            plain(),
        ];
        for response in responses {
            assert_eq!(read(&response.to_octets()), Ok(response));
        }
    }

    #[test]
    fn cookies_never_carry_the_critical_bit() {
        let octets = KeResponse::Agreed(agreed()).to_octets();
        let kinds: Vec<_> =
            crate::records(&octets).map(|record| record.expect("well formed")).collect();
        let cookies = kinds.iter().filter(|record| record.kind == RecordKind::NEW_COOKIE);
        assert_eq!(cookies.clone().count(), 8);
        assert!(cookies.clone().all(|cookie| !cookie.critical));
        assert_eq!(kinds.last(), Some(&Record::END));
    }

    #[test]
    fn good_responses_are_taken() {
        check(&[NEXT, AEAD, COOKIE], Ok(plain()));
        check(&[COOKIE, AEAD, NEXT], Ok(plain()));
        check(&[NEXT, (false, 4, &[0, 15]), (true, 5, &[1; 100])], Ok(plain()));
        check(&[(false, 0x3fff, &[9; 65535]), NEXT, AEAD, COOKIE], Ok(plain()));
        for len in [1, 4, 100, 104, 252, 256, 1000, MAX_COOKIE_LEN] {
            let cookie = vec![7; len];
            let KeResponse::Agreed(agreed) =
                read(&message(&[NEXT, AEAD, (false, 5, &cookie)])).expect("good")
            else {
                panic!("agreed");
            };
            assert_eq!(agreed.cookies, [cookie]);
        }
    }

    #[test]
    fn more_cookies_than_we_keep_are_left_out() {
        let KeResponse::Agreed(agreed) =
            read(&message(&[&[NEXT, AEAD], [COOKIE; 20].as_slice()].concat())).expect("good")
        else {
            panic!("agreed");
        };
        assert_eq!(agreed.cookies.len(), 8);
    }

    #[test]
    fn an_error_anywhere_means_nothing_was_agreed() {
        for (at, code) in [(0, 0_u16), (1, 1), (2, 2), (3, 9)] {
            let mut records = vec![NEXT, AEAD, COOKIE];
            let body = code.to_be_bytes();
            records.insert(at, (true, 2, &body));
            check(&records, Ok(KeResponse::Refused(ErrorCode(code))));
        }
    }

    #[test]
    fn every_broken_rule_has_its_name() {
        use Violation::*;
        const NEXT_KIND: RecordKind = RecordKind::NEXT_PROTOCOL;
        const AEAD_KIND: RecordKind = RecordKind::AEAD_ALGORITHM;
        check(&[AEAD, COOKIE], Err(Missing(NEXT_KIND)));
        check(&[NEXT, COOKIE], Err(Missing(AEAD_KIND)));
        check(&[NEXT, NEXT, AEAD, COOKIE], Err(Repeated(NEXT_KIND)));
        check(&[NEXT, AEAD, AEAD, COOKIE], Err(Repeated(AEAD_KIND)));
        check(&[(false, 1, &[0, 0]), AEAD, COOKIE], Err(NotCritical(NEXT_KIND)));
        check(&[(true, 1, &[0x80, 0]), AEAD, COOKIE], Err(ProtocolNotOffered(0x8000)));
        check(&[(true, 1, &[0]), AEAD, COOKIE], Err(Length { kind: NEXT_KIND, len: 1 }));
        check(&[NEXT, (true, 4, &[0]), COOKIE], Err(Length { kind: AEAD_KIND, len: 1 }));
        check(&[NEXT, (true, 4, &[0, 17]), COOKIE], Err(AeadNotOffered(17)));
        check(&[NEXT, (true, 4, &[0x12, 0x34]), COOKIE], Err(AeadNotOffered(0x1234)));
        check(&[NEXT, (true, 4, &[0, 15, 0, 30]), COOKIE], Err(SeveralAeads { count: 2 }));
        check(&[NEXT, AEAD], Err(NoCookie));
        check(&[NEXT, AEAD, (false, 5, &[])], Err(Empty(RecordKind::NEW_COOKIE)));
        check(
            &[NEXT, AEAD, (false, 5, &[0; MAX_COOKIE_LEN + 1])],
            Err(CookieTooLong { len: MAX_COOKIE_LEN + 1 }),
        );
        check(&[NEXT, AEAD, COOKIE, (true, 3, &[0, 0])], Err(Warning(0)));
        check(&[NEXT, AEAD, COOKIE, (true, 3, &[0x80, 1])], Err(Warning(0x8001)));
        check(
            &[NEXT, AEAD, COOKIE, (true, 3, &[1])],
            Err(Length { kind: RecordKind::WARNING, len: 1 }),
        );
        check(
            &[NEXT, AEAD, COOKIE, (true, 2, &[1])],
            Err(Length { kind: RecordKind::ERROR, len: 1 }),
        );
        check(
            &[NEXT, AEAD, COOKIE, (true, 2, &[0, 0, 1])],
            Err(Length { kind: RecordKind::ERROR, len: 3 }),
        );
        check(&[NEXT, AEAD, COOKIE, (true, 0x3fff, &[])], Err(UnknownCritical(RecordKind(0x3fff))));
        check(
            &[NEXT, AEAD, COOKIE, (true, 6, b"a"), (true, 6, b"a")],
            Err(Repeated(RecordKind::SERVER)),
        );
        check(
            &[NEXT, AEAD, COOKIE, (true, 6, b"fe80::1%eth0")],
            Err(ServerName(crate::NameFault::Address)),
        );
        check(
            &[NEXT, AEAD, COOKIE, (true, 7, &[0])],
            Err(Length { kind: RecordKind::PORT, len: 1 }),
        );
        check(
            &[NEXT, AEAD, COOKIE, (true, 7, &[0, 0, 1])],
            Err(Length { kind: RecordKind::PORT, len: 3 }),
        );
        check(&[NEXT, AEAD, COOKIE, (true, 7, &[0, 0])], Err(PortZero));
        check(&[NEXT, AEAD, COOKIE, (false, 1024, &[])], Err(CompliantExportUnasked));
        check(
            &[NEXT, (true, 4, &[0, 30]), COOKIE, (false, 1024, &[1])],
            Err(Length { kind: RecordKind(1024), len: 1 }),
        );
    }

    #[test]
    fn record_1024_unasked_is_refused() {
        let mut reader = KeResponseReader::new(&[30], false);
        reader.read(&message(&[NEXT, (true, 4, &[0, 30]), COOKIE, (false, 1024, &[])]));
        assert_eq!(reader.finish(), Err(Violation::CompliantExportUnasked));
    }

    #[test]
    fn a_response_of_65536_octets_is_read_and_an_endless_one_refused() {
        let rest = message(&[NEXT, AEAD, COOKIE]);
        let padding = vec![0; 65536 - 4 - rest.len()];
        let mut long = Vec::new();
        Record { critical: false, kind: RecordKind(77), body: &padding }
            .write(&mut long)
            .expect("fits");
        long.extend_from_slice(&rest);
        assert_eq!((long.len(), read(&long)), (65536, Ok(plain())));

        let mut reader = KeResponseReader::new(&[15], false);
        for _ in 0..RESPONSE_LIMIT {
            reader.read(&[0x20]);
        }
        assert!(!reader.is_complete());
        reader.read(&[0x20]);
        assert_eq!(reader.finish(), Err(Violation::MessageTooLong { limit: RESPONSE_LIMIT }));
    }
}
