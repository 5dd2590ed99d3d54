use core::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ClientConnection, ProtocolVersion};
use rustls_pki_types::ServerName;

use crate::aead::Aead;
use crate::ke_request::KeRequest;
use crate::ke_response::{Agreed, KeResponse, KeResponseReader};
use crate::ke_server::NTP_PORT;
use crate::key::SessionKeys;
use crate::message::Violation;
use crate::ntp_server::NtpServer;
use crate::record::ErrorCode;
use crate::tls::{self, ALPN, ClientTls, TlsError};

/// What a client has after a key exchange: keys and cookies for NTP, and where to use them. No `Debug`: it holds secrets.
pub struct Agreement {
    /// Keys for NTP packets.
    pub keys: SessionKeys,
    /// With AEAD 30: the keys of the other exporter context (15 instead of 30, or the reverse), to be tried once if
    /// every answer is NTSN.
    pub alternative: Option<SessionKeys>,
    /// One to eight cookies, opaque; each is for one request.
    pub cookies: Vec<Vec<u8>>,
    /// The NTP server to ask; `None`: the address the key exchange was made with.
    pub server: Option<NtpServer>,
    /// The NTP port to ask.
    pub port: u16,
    /// Whether record 1024 was agreed.
    pub compliant_export: bool,
    /// The server's certificates as DER, its own first.
    pub certificates: Vec<Vec<u8>>,
}

/// Why there is no agreement. Keys and cookies of the session are gone with it.
#[derive(Clone, Debug, PartialEq)]
pub enum KeError {
    /// The server broke a rule.
    Violation(Violation),
    /// The server answered by an Error record.
    Refused(ErrorCode),
    /// The server does not speak NTPv4.
    NoSharedProtocol,
    /// The server has none of the AEADs offered.
    NoSharedAead,
    /// The server did not choose ALPN `ntske/1`: it is no key exchange server (RFC 8915 §4).
    Alpn,
    /// TLS failed: see [`TlsError::is_certificate`].
    Tls(TlsError),
    /// The server closed the connection before its response was complete.
    Closed,
    /// Time ran out.
    TimedOut,
    /// The name to verify the certificate against is neither a DNS name nor an address.
    ServerName(String),
}

impl KeError {
    /// A short fixed name for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Violation(violation) => violation.name(),
            Self::Refused(_) => "refused",
            Self::NoSharedProtocol => "no-shared-protocol",
            Self::NoSharedAead => "no-shared-aead",
            Self::Alpn => "alpn",
            Self::Tls(error) if error.is_certificate() => "certificate",
            Self::Tls(_) => "tls",
            Self::Closed => "closed",
            Self::TimedOut => "timed-out",
            Self::ServerName(_) => "name",
        }
    }

    /// Whether trying the same again can help (RFC 8915 §4.1.3, §4.2: codes 0 and 1 are not to be repeated unchanged).
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Refused(code) => *code == ErrorCode::INTERNAL,
            Self::ServerName(_) => false,
            _ => true,
        }
    }
}

impl fmt::Display for KeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(violation) => write!(f, "the server broke the protocol: {violation}"),
            Self::Refused(code) => write!(f, "the server refused with error {code}"),
            Self::NoSharedProtocol => f.write_str("the server does not offer NTPv4"),
            Self::NoSharedAead => f.write_str("the server has none of the AEADs offered"),
            Self::Alpn => f.write_str("the server does not speak ntske/1 (ALPN)"),
            Self::Tls(error) if error.is_certificate() => {
                write!(f, "the server's certificate is not accepted: {error}")
            }
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Closed => {
                f.write_str("the server closed the connection before its response was complete")
            }
            Self::TimedOut => f.write_str("the server took too long"),
            Self::ServerName(name) => write!(f, "\"{name}\" is neither a host name nor an address"),
        }
    }
}

impl core::error::Error for KeError {}

/// One session of a key exchange client (RFC 8915 §4): handshake, one request, one response, `close_notify`.
///
/// Feed octets by [`read_tls`](Self::read_tls), then call [`process`](Self::process), then drain
/// [`write_tls`](Self::write_tls) while [`wants_write`](Self::wants_write); when [`is_done`](Self::is_done),
/// [`finish`](Self::finish). Memory is bounded whatever the server sends.
pub struct KeClient {
    tls: ClientConnection,
    request: Vec<u8>,
    is_sent: bool,
    response: KeResponseReader,
    result: Option<Result<Agreement, KeError>>,
    input_ended: bool,
}

impl KeClient {
    /// A session that offers these AEADs, the most wanted first, to a server whose certificate must be for
    /// `server_name` (a DNS name, or an address). Record 1024 goes along with AEAD 30.
    ///
    /// # Errors
    /// [`KeError::ServerName`] for a name no certificate can have; [`KeError::Tls`] when TLS refuses its own configuration.
    pub fn new(tls: &ClientTls, server_name: &str, aeads: &[Aead]) -> Result<Self, KeError> {
        Self::with_request(tls, server_name, &KeRequest::offering(aeads))
    }

    /// The same with any request, also one that asks for a server or a port.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`KeError::Violation`] for a request with more numbers than a record can hold.
    pub fn with_request(
        tls: &ClientTls,
        server_name: &str,
        request: &KeRequest,
    ) -> Result<Self, KeError> {
        let name = server_name.strip_suffix('.').unwrap_or(server_name);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| KeError::ServerName(server_name.to_owned()))?;
        let tls = ClientConnection::new(Arc::clone(&tls.0), name)
            .map_err(|error| KeError::Tls(TlsError(error)))?;
        let mut octets = Vec::new();
        let too_long =
            |_| KeError::Violation(Violation::MessageTooLong { limit: usize::from(u16::MAX) });
        request.write(&mut octets).map_err(too_long)?;
        let response = KeResponseReader::new(&request.aeads, request.compliant_export);
        Ok(Self {
            tls,
            request: octets,
            is_sent: false,
            response,
            result: None,
            input_ended: false,
        })
    }

    /// Whether more octets from the server are of use.
    pub fn wants_read(&self) -> bool {
        self.result.is_none() && !self.input_ended && self.tls.wants_read()
    }

    /// Whether octets wait to be written.
    pub fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Whether there is a result, and all is sent.
    pub fn is_done(&self) -> bool {
        self.result.is_some() && !self.tls.wants_write()
    }

    /// Takes octets from the server; 0 is the end of its stream, as if [`peer_closed`](Self::peer_closed) were called.
    ///
    /// # Errors
    /// What `from` gives, and an error of kind `Other` when called again and again without [`process`](Self::process).
    pub fn read_tls(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        let taken = self.tls.read_tls(from)?;
        self.input_ended |= taken == 0;
        Ok(taken)
    }

    /// Hands octets for the server to `to`.
    ///
    /// # Errors
    /// What `to` gives.
    pub fn write_tls(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        self.tls.write_tls(to)
    }

    /// Works on what was read, and sends the request once the handshake is done.
    pub fn process(&mut self) {
        let state = match self.tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => return self.end(Err(KeError::Tls(TlsError(error)))),
        };
        self.input_ended |= state.peer_has_closed();
        if self.result.is_some() {
            return;
        }
        if !self.tls.is_handshaking() && !self.is_sent {
            if self.tls.alpn_protocol() != Some(ALPN)
                || self.tls.protocol_version() != Some(ProtocolVersion::TLSv1_3)
            {
                return self.end(Err(KeError::Alpn));
            }
            // Into TLS's own buffer, which holds 64 KiB and is empty.
            let _written = self.tls.writer().write_all(&self.request);
            self.is_sent = true;
        }
        let mut piece = [0; 4096];
        while let Ok(len @ 1..) = self.tls.reader().read(&mut piece) {
            self.response.read(piece.get(..len).unwrap_or_default());
        }
        if self.response.is_complete() {
            let response =
                core::mem::replace(&mut self.response, KeResponseReader::new(&[], false)).finish();
            let result = match response {
                Ok(KeResponse::Agreed(agreed)) => self.agree(agreed),
                Ok(KeResponse::Refused(code)) => Err(KeError::Refused(code)),
                Ok(KeResponse::NoSharedProtocol) => Err(KeError::NoSharedProtocol),
                Ok(KeResponse::NoSharedAead) => Err(KeError::NoSharedAead),
                Err(violation) => Err(KeError::Violation(violation)),
            };
            self.end(result);
        } else if self.input_ended {
            self.end(Err(KeError::Closed));
        }
    }

    /// The server closed its connection.
    pub fn peer_closed(&mut self) {
        self.input_ended = true;
        self.end(Err(KeError::Closed));
    }

    /// Time is up.
    pub fn handle_timeout(&mut self) {
        self.end(Err(KeError::TimedOut));
    }

    /// What came of it; ends a session that is not done as if the server had closed it.
    ///
    /// # Errors
    /// [`KeError`] says why there is no agreement.
    pub fn finish(self) -> Result<Agreement, KeError> {
        self.result.unwrap_or(Err(KeError::Closed))
    }

    fn agree(&self, agreed: Agreed) -> Result<Agreement, KeError> {
        let Agreed { aead, compliant_export, cookies, server, port } = agreed;
        let export = |compliant| {
            tls::export(&self.tls, aead, tls::context_id(aead, compliant)).map_err(KeError::Tls)
        };
        let keys = export(compliant_export)?;
        let alternative = match aead {
            Aead::Aes128GcmSiv => Some(export(!compliant_export)?),
            Aead::SivCmac256 | Aead::SivCmac512 => None,
        };
        let certificates = self
            .tls
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|der| der.to_vec())
            .collect();
        let port = port.unwrap_or(NTP_PORT);
        Ok(Agreement { keys, alternative, cookies, server, port, compliant_export, certificates })
    }

    /// The first result stays; `close_notify` follows our one message (RFC 8915 §4).
    fn end(&mut self, result: Result<Agreement, KeError>) {
        if self.result.is_none() {
            self.result = Some(result);
            self.tls.send_close_notify();
        }
    }
}
