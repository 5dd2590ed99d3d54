use core::net::IpAddr;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::ServerConnection;

use crate::aead::Aead;
use crate::cookie::CookieIssuer;
use crate::ke_request::{KeRequest, KeRequestReader};
use crate::ke_response::{Agreed, KeResponse};
use crate::message::Violation;
use crate::ntp_server::NtpServer;
use crate::random::Random;
use crate::record::{ErrorCode, NTPV4};
use crate::request::MAX_COOKIES;
use crate::tls::{self, ALPN, ServerTls, TlsError};

/// What a key exchange server offers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerPolicy {
    /// AEADs in our order of preference; a client's order does not count (RFC 8915 §4.1.5). Should hold AEAD 15.
    pub aeads: Vec<Aead>,
    /// NTP servers we send clients to, the usual one first; empty: this host.
    pub ntp_servers: Vec<NtpServer>,
    /// NTP port we send clients to; 123 goes without saying.
    pub ntp_port: u16,
    /// Cookies per client, 1 to [`MAX_COOKIES`]; RFC 8915 §4.1.6 wants 8.
    pub cookies: usize,
}

impl Default for ServerPolicy {
    /// AEADs 15, 30, 17; this host; port 123; 8 cookies.
    fn default() -> Self {
        let aeads = vec![Aead::SivCmac256, Aead::Aes128GcmSiv, Aead::SivCmac512];
        Self { aeads, ntp_servers: Vec::new(), ntp_port: NTP_PORT, cookies: MAX_COOKIES }
    }
}

/// How a session ended, for counters by reason.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Keys and cookies were given.
    Served {
        /// The AEAD chosen.
        aead: Aead,
        /// Whether record 1024 was agreed.
        compliant_export: bool,
    },
    /// The client does not speak NTPv4 and was told so.
    NoSharedProtocol,
    /// The client has no AEAD of ours and was told so.
    NoSharedAead,
    /// The request broke a rule and was answered by an Error record.
    Refused(Violation),
    /// There was no key to make cookies with: answered by Error 2.
    NoCookieKey,
    /// TLS failed; an alert may have gone out.
    Tls(TlsError),
    /// The client left, or time ran out, before a request began.
    Abandoned,
}

impl Outcome {
    /// A short fixed name for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Served { .. } => "served",
            Self::NoSharedProtocol => "no-shared-protocol",
            Self::NoSharedAead => "no-shared-aead",
            Self::Refused(violation) => violation.name(),
            Self::NoCookieKey => "no-cookie-key",
            Self::Tls(_) => "tls",
            Self::Abandoned => "abandoned",
        }
    }
}

/// One session of a key exchange server (RFC 8915 §4): handshake, one request, one response, `close_notify`.
///
/// Feed octets by [`read_tls`](Self::read_tls), then call [`process`](Self::process), then drain
/// [`write_tls`](Self::write_tls) while [`wants_write`](Self::wants_write); over when [`is_done`](Self::is_done). Then
/// close only the sending direction and wait a little for the client's end: closing a socket with unread octets may
/// reset the connection and take the response along. Memory is bounded whatever the client sends.
pub struct KeServer {
    tls: ServerConnection,
    policy: Arc<ServerPolicy>,
    peer: IpAddr,
    request: KeRequestReader,
    outcome: Option<Outcome>,
    input_ended: bool,
}

impl KeServer {
    /// A session with a client at `peer`, whose address family decides which NTP servers suit it.
    ///
    /// # Errors
    /// [`TlsError`] when TLS refuses its own configuration.
    pub fn new(tls: &ServerTls, policy: Arc<ServerPolicy>, peer: IpAddr) -> Result<Self, TlsError> {
        let tls = ServerConnection::new(Arc::clone(&tls.0)).map_err(TlsError)?;
        let request = KeRequestReader::new();
        Ok(Self { tls, policy, peer, request, outcome: None, input_ended: false })
    }

    /// Whether more octets from the client are of use.
    pub fn wants_read(&self) -> bool {
        self.outcome.is_none() && !self.input_ended && self.tls.wants_read()
    }

    /// Whether octets wait to be written.
    pub fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Whether all is said and sent.
    pub fn is_done(&self) -> bool {
        self.outcome.is_some() && !self.tls.wants_write()
    }

    /// Whether the TLS handshake is still going on.
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Takes octets from the client; 0 is the end of its stream, as if [`peer_closed`](Self::peer_closed) were called.
    ///
    /// # Errors
    /// What `from` gives, and an error of kind `Other` when called again and again without [`process`](Self::process).
    pub fn read_tls(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        let taken = self.tls.read_tls(from)?;
        self.input_ended |= taken == 0;
        Ok(taken)
    }

    /// Hands octets for the client to `to`.
    ///
    /// # Errors
    /// What `to` gives.
    pub fn write_tls(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        self.tls.write_tls(to)
    }

    /// Works on what was read. Without an `issuer` a good request is answered by Error 2.
    pub fn process(&mut self, issuer: Option<CookieIssuer<'_>>, random: &mut dyn Random) {
        let state = match self.tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                self.outcome.get_or_insert(Outcome::Tls(TlsError(error)));
                return;
            }
        };
        self.input_ended |= state.peer_has_closed();
        self.take_input();
        if self.outcome.is_some() {
            return;
        }
        if self.request.is_complete() {
            let request = core::mem::take(&mut self.request).finish();
            self.respond(request, issuer, random);
        } else if self.input_ended {
            self.give_up();
        }
    }

    /// The client half-closed or closed its connection.
    pub fn peer_closed(&mut self) {
        self.input_ended = true;
        self.give_up();
    }

    /// Time is up. An established session whose request is not complete ends by Error 1 (RFC 8915 §4.1.3).
    pub fn handle_timeout(&mut self) {
        if self.outcome.is_none() && !self.tls.is_handshaking() {
            self.send(
                &KeResponse::Refused(ErrorCode::BAD_REQUEST),
                Outcome::Refused(Violation::Incomplete),
            );
        } else {
            self.give_up();
        }
    }

    /// Ends a session whose request will not come any more.
    fn give_up(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        if !self.tls.is_handshaking() && self.request.is_started() {
            self.send(
                &KeResponse::Refused(ErrorCode::BAD_REQUEST),
                Outcome::Refused(Violation::Incomplete),
            );
        } else {
            self.tls.send_close_notify();
            self.outcome = Some(Outcome::Abandoned);
        }
    }

    /// Moves decrypted octets into the request; after the outcome they are read and forgotten.
    fn take_input(&mut self) {
        let mut piece = [0; 4096];
        // Ends at "would block", at the end of the stream, or at one cut off without close_notify: all mean nothing more now.
        while let Ok(len @ 1..) = self.tls.reader().read(&mut piece) {
            if self.outcome.is_none() {
                self.request.read(piece.get(..len).unwrap_or_default());
            }
        }
    }

    fn respond(
        &mut self,
        request: Result<KeRequest, Violation>,
        issuer: Option<CookieIssuer<'_>>,
        random: &mut dyn Random,
    ) {
        let (response, outcome) = match request.map(|request| self.decide(&request, issuer, random))
        {
            Ok(Ok(decided)) => decided,
            Ok(Err(error)) => (KeResponse::Refused(ErrorCode::INTERNAL), Outcome::Tls(error)),
            Err(violation) => {
                (KeResponse::Refused(violation.error_code()), Outcome::Refused(violation))
            }
        };
        self.send(&response, outcome);
    }

    fn decide(
        &self,
        request: &KeRequest,
        issuer: Option<CookieIssuer<'_>>,
        random: &mut dyn Random,
    ) -> Result<(KeResponse, Outcome), TlsError> {
        if !request.protocols.contains(&NTPV4) {
            return Ok((KeResponse::NoSharedProtocol, Outcome::NoSharedProtocol));
        }
        let Some(&aead) = self.policy.aeads.iter().find(|aead| request.aeads.contains(&aead.id()))
        else {
            return Ok((KeResponse::NoSharedAead, Outcome::NoSharedAead));
        };
        let Some(issuer) = issuer else {
            return Ok((KeResponse::Refused(ErrorCode::INTERNAL), Outcome::NoCookieKey));
        };
        let compliant_export = request.compliant_export && aead == Aead::Aes128GcmSiv;
        let keys = tls::export(&self.tls, aead, tls::context_id(aead, compliant_export))?;
        let count = self.policy.cookies.clamp(1, MAX_COOKIES);
        let cookies = (0..count).map(|_| issuer.seal(&keys, random)).collect();
        let server = self.choose_server(request.server.as_ref());
        let port = (self.policy.ntp_port != NTP_PORT).then_some(self.policy.ntp_port);
        let agreed = Agreed { aead, compliant_export, cookies, server, port };
        Ok((KeResponse::Agreed(agreed), Outcome::Served { aead, compliant_export }))
    }

    /// The server the client asked for if it is one of ours, else the first of its address family (RFC 8915 §4.1.7).
    fn choose_server(&self, wanted: Option<&NtpServer>) -> Option<NtpServer> {
        let ours = &self.policy.ntp_servers;
        let wanted = wanted.filter(|wanted| ours.contains(wanted));
        wanted.or_else(|| ours.iter().find(|server| server.suits(self.peer))).cloned()
    }

    /// The one response, and `close_notify` behind it (RFC 8915 §4).
    fn send(&mut self, response: &KeResponse, outcome: Outcome) {
        // ALPN was settled in the handshake; were it not, nobody would get an answer (RFC 8915 §3).
        if self.tls.alpn_protocol() == Some(ALPN) {
            let octets = response.to_octets();
            // Into TLS's own buffer, which holds 64 KiB and is empty: a response has at most two.
            let _written = self.tls.writer().write_all(&octets);
        }
        self.tls.send_close_notify();
        self.outcome = Some(outcome);
    }
}

/// RFC 8915 §4.1.8: the port when none is named.
pub(crate) const NTP_PORT: u16 = 123;
