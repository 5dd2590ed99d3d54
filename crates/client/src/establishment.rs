//! Key establishment over TCP: addresses, time limits, and whether the server it names may be asked.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use noonmark_nts::{Aead, Agreement, ClientTls, KeClient, KeError, KeRequest, NtpServer};
use noonmark_units::UnixTime;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::KeFailure;
use crate::resolve::{Family, Unresolved, resolve, resolve_negotiated};
use crate::socket::first_reachable;

/// A key-establishment server and what is asked of it (RFC 8915 §4).
#[derive(Clone)]
pub struct KeServer {
    /// Its name, which its certificate must carry; or its address.
    pub host: String,
    /// Its TCP port, 4460 by registration.
    pub port: u16,
    /// Which of its addresses are used.
    pub family: Family,
    /// Whom to trust.
    pub tls: ClientTls,
    /// The message it is sent.
    pub request: KeRequest,
    /// UDP port of NTP instead of the one it names.
    pub ntp_port: Option<u16>,
    /// For all of it together: names, connections, TLS, answer.
    pub time_limit: Duration,
}

/// What key establishment found out, without the secrets.
#[derive(Clone, Debug)]
pub struct Established {
    /// The address keys were established with.
    pub ke_server: SocketAddr,
    /// Where NTP questions go.
    pub ntp_server: SocketAddr,
    /// The NTP server it named, if it named one (RFC 8915 §4.1.7).
    pub named: Option<String>,
    /// The algorithm agreed.
    pub aead: Aead,
    /// Whether record 1024 was agreed.
    pub compliant_export: bool,
    /// How many cookies it gave.
    pub cookies: usize,
    /// Octets of the first of them.
    pub cookie_length: usize,
    /// Its certificate chain in DER, its own certificate first; verified.
    pub certificates: Vec<Vec<u8>>,
    /// How long it took.
    pub took: Duration,
}

impl KeServer {
    /// Resolves, connects, establishes keys, and resolves the NTP server named.
    ///
    /// # Errors
    /// [`EstablishmentError`]; nothing is asked of any NTP server then.
    pub async fn establish(self) -> Result<(Agreement, Established), EstablishmentError> {
        let limit = self.time_limit;
        tokio::time::timeout(limit, self.establish_unbounded())
            .await
            .unwrap_or(Err(EstablishmentError::TimedOut(limit)))
    }

    /// The same by a clock that may be wrong: a certificate is accepted if it is valid at any time from `earliest` on.
    ///
    /// Whoever then takes a time under these keys has to hold it against the certificates (RFC 8915 §8.5), as an
    /// [`Association`](crate::Association) in a polled plan does.
    ///
    /// # Errors
    /// As if the clock were right; a certificate that ended before `earliest` is refused.
    pub async fn establish_since(
        mut self,
        earliest: UnixTime,
    ) -> Result<(Agreement, Established), EstablishmentError> {
        for _ in 0..MOST_JUDGEMENTS {
            let error = match self.clone().establish().await {
                Err(error @ EstablishmentError::Ke(_)) => error,
                outcome => return outcome,
            };
            let EstablishmentError::Ke(KeError::Tls(tls)) = &error else { return Err(error) };
            match tls.valid_at().filter(|time| *time >= earliest) {
                Some(time) => self.tls = self.tls.judging_at(time),
                None => return Err(error),
            }
        }
        self.establish().await
    }

    async fn establish_unbounded(self) -> Result<(Agreement, Established), EstablishmentError> {
        let began = Instant::now();
        // An address in brackets, as in a URL, is one without them.
        let bare = self
            .host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&self.host);
        let session = KeClient::with_request(&self.tls, bare, &self.request)?;
        let addresses = resolve(&self.host, self.port, self.family).await?;
        let (stream, ke_server) = connect(&addresses).await?;
        let agreement = converse(&stream, session).await?;
        let ntp_server = ntp_server(&agreement, ke_server, self.ntp_port).await?;
        let established = Established {
            ke_server,
            ntp_server,
            named: agreement.server.as_ref().map(ToString::to_string),
            aead: agreement.keys.aead(),
            compliant_export: agreement.compliant_export,
            cookies: agreement.cookies.len(),
            cookie_length: agreement.cookies.first().map_or(0, Vec::len),
            certificates: agreement.certificates.clone(),
            took: began.elapsed(),
        };
        Ok((agreement, established))
    }
}

/// The first address that takes a connection.
async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), EstablishmentError> {
    let mut last = None;
    // One dead address must not use up the time of the others; each gets its share.
    for address in addresses {
        match tokio::time::timeout(CONNECT_SHARE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // The whole message goes out in one piece, so there is nothing to gather.
                let _ = stream.set_nodelay(true);
                return Ok((stream, *address));
            }
            Ok(Err(error)) => last = Some((*address, error)),
            Err(_) => last = Some((*address, io::ErrorKind::TimedOut.into())),
        }
    }
    let (address, error) = last.unwrap_or((NOWHERE, io::ErrorKind::AddrNotAvailable.into()));
    Err(EstablishmentError::Connection { address, error })
}

/// Drives the session over the connection until it has its answer.
async fn converse(
    stream: &TcpStream,
    mut session: KeClient,
) -> Result<Agreement, EstablishmentError> {
    let address = stream.peer_addr().unwrap_or(NOWHERE);
    let lost = |error| EstablishmentError::Connection { address, error };
    let mut socket = NonBlocking(stream);
    while !session.is_done() {
        let interest = match (session.wants_read(), session.wants_write()) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (false, true) => Interest::WRITABLE,
            _ => Interest::READABLE,
        };
        let ready = stream.ready(interest).await.map_err(lost)?;
        if ready.is_writable() && session.wants_write() {
            blocked(session.write_tls(&mut socket)).map_err(lost)?;
        }
        if ready.is_readable() && session.wants_read() {
            match session.read_tls(&mut socket) {
                Ok(_) => session.process(),
                Err(error) => {
                    blocked(Err(error)).map_err(lost)?;
                }
            }
        }
    }
    Ok(session.finish()?)
}

/// A socket that would block has done nothing, and that is no error.
fn blocked(result: io::Result<usize>) -> io::Result<usize> {
    result
        .or_else(|error| if error.kind() == io::ErrorKind::WouldBlock { Ok(0) } else { Err(error) })
}

/// A connection as rustls reads and writes it: without waiting.
struct NonBlocking<'a>(&'a TcpStream);

impl Read for NonBlocking<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(octets)
    }
}

impl Write for NonBlocking<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where NTP questions go: the server and port named, or the same address (RFC 8915 §4.1.7) and 123.
async fn ntp_server(
    agreement: &Agreement,
    ke_server: SocketAddr,
    port: Option<u16>,
) -> Result<SocketAddr, EstablishmentError> {
    let port = port.unwrap_or(agreement.port);
    let Some(server) = &agreement.server else {
        let mut same = ke_server;
        same.set_port(port);
        return check_redirection(same, ke_server);
    };
    // A name gets an address of the family that has just worked.
    let family = match server {
        NtpServer::Address(_) => Family::Any,
        NtpServer::Name(_) => Family::of(ke_server.ip()),
    };
    let addresses = match resolve_negotiated(server, port, family).await {
        Err(_) if family != Family::Any => resolve_negotiated(server, port, Family::Any).await,
        found => found,
    }?;
    let open = first_reachable(&addresses).or(addresses.first().copied());
    check_redirection(open.unwrap_or(ke_server), ke_server)
}

/// A key-establishment server may send us elsewhere, but not make us send to places it cannot reach itself.
///
/// Refused are multicast, broadcast and unspecified addresses; loopback, link-local and private ones unless it is reached at
/// such a one itself; and ports below 1024 other than NTP's, where other services listen.
fn check_redirection(
    target: SocketAddr,
    ke_server: SocketAddr,
) -> Result<SocketAddr, EstablishmentError> {
    let reach = |address: IpAddr| Reach::of(address.to_canonical());
    let port_is_bad = target.port() < 1024 && target.port() != 123;
    if port_is_bad || reach(target.ip()) < reach(ke_server.ip()) {
        Err(EstablishmentError::Redirected(target))
    } else {
        Ok(target)
    }
}

/// How far an address reaches.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Reach {
    /// Not one host.
    Nobody,
    Host,
    Link,
    Site,
    World,
}

impl Reach {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified() => {
                Self::Nobody
            }
            IpAddr::V4(v4) if v4.is_loopback() => Self::Host,
            IpAddr::V4(v4) if v4.is_link_local() => Self::Link,
            IpAddr::V4(v4) if v4.is_private() => Self::Site,
            IpAddr::V6(v6) if v6.is_multicast() || v6.is_unspecified() => Self::Nobody,
            IpAddr::V6(v6) if v6.is_loopback() => Self::Host,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Self::Link,
            IpAddr::V6(v6) if v6.is_unique_local() => Self::Site,
            _ => Self::World,
        }
    }
}

/// Why there are no keys.
#[derive(Debug)]
pub enum EstablishmentError {
    /// A name does not resolve: the server's, or that of the NTP server it named.
    Unresolved(Unresolved),
    /// The connection failed or was lost.
    Connection {
        /// The address connected to.
        address: SocketAddr,
        /// What the kernel says.
        error: io::Error,
    },
    /// All of it together took longer than allowed.
    TimedOut(Duration),
    /// TLS or the answer failed.
    Ke(KeError),
    /// The server sends us where it has no business to send us.
    Redirected(SocketAddr),
    /// There are no authorities to judge a certificate by, neither of this machine nor from the configuration.
    NoAuthorities,
}

impl EstablishmentError {
    /// What kind of failure it is to an association.
    #[must_use]
    pub fn failure(&self) -> KeFailure {
        match self {
            Self::Unresolved(_) | Self::Connection { .. } | Self::TimedOut(_) => {
                KeFailure::Unreachable
            }
            Self::Redirected(_) => KeFailure::Unacceptable,
            Self::NoAuthorities => KeFailure::Untrusted,
            Self::Ke(error) => match error {
                KeError::Closed | KeError::TimedOut => KeFailure::Unreachable,
                KeError::Refused(code) => KeFailure::Refused { code: code.0 },
                KeError::Tls(error) if error.is_certificate() => KeFailure::Untrusted,
                KeError::ServerName(_) => KeFailure::Untrusted,
                KeError::Tls(_)
                | KeError::Alpn
                | KeError::Violation(_)
                | KeError::NoSharedProtocol
                | KeError::NoSharedAead => KeFailure::Unacceptable,
            },
        }
    }
}

impl From<Unresolved> for EstablishmentError {
    fn from(error: Unresolved) -> Self {
        Self::Unresolved(error)
    }
}

impl From<KeError> for EstablishmentError {
    fn from(error: KeError) -> Self {
        Self::Ke(error)
    }
}

impl fmt::Display for EstablishmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(error) => error.fmt(f),
            Self::Connection { address, error } => {
                write!(f, "no key establishment with {address}: {error}")
            }
            Self::TimedOut(limit) => {
                write!(f, "key establishment took longer than {} s", limit.as_secs_f64())
            }
            Self::Ke(error) => write!(f, "key establishment failed: {error}"),
            Self::NoAuthorities => f.write_str(
                "there are no certificate authorities to trust: none installed and none configured",
            ),
            Self::Redirected(target) => {
                write!(
                    f,
                    "the key-establishment server names {target} as NTP server, which is not asked"
                )
            }
        }
    }
}

impl std::error::Error for EstablishmentError {}

/// A chain is judged anew for each certificate that has no time in common with the last guess.
const MOST_JUDGEMENTS: usize = 3;
/// For one address among several.
const CONNECT_SHARE: Duration = Duration::from_secs(2);
/// Stands for an address nobody told us.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_send_us_no_nearer_than_it_is_itself() {
        fn check(ke_server: &str, target: &str, allowed: bool) {
            let [ke_server, target] =
                [ke_server, target].map(|text| text.parse().expect("an address"));
            assert_eq!(
                check_redirection(target, ke_server).is_ok(),
                allowed,
                "from {ke_server} to {target}"
            );
        }
        check("192.0.2.1:4460", "198.51.100.1:123", true);
        check("192.0.2.1:4460", "[2001:db8::1]:123", true);
        check("192.0.2.1:4460", "192.0.2.1:11123", true);
        check("192.0.2.1:4460", "192.0.2.1:22", false);
        check("192.0.2.1:4460", "192.0.2.1:53", false);
        check("192.0.2.1:4460", "127.0.0.1:123", false);
        check("192.0.2.1:4460", "[::1]:123", false);
        check("192.0.2.1:4460", "[::ffff:127.0.0.1]:123", false);
        check("192.0.2.1:4460", "10.0.0.1:123", false);
        check("192.0.2.1:4460", "[fd00::1]:123", false);
        check("192.0.2.1:4460", "169.254.0.1:123", false);
        check("10.0.0.1:4460", "10.0.0.2:123", true);
        check("10.0.0.1:4460", "192.0.2.1:123", true);
        check("10.0.0.1:4460", "127.0.0.1:123", false);
        check("127.0.0.1:4460", "127.0.0.1:11123", true);
        check("127.0.0.1:4460", "10.0.0.1:123", true);
        check("127.0.0.1:4460", "127.0.0.1:22", false);
        for nobody in
            ["224.0.1.1:123", "255.255.255.255:123", "0.0.0.0:123", "[ff02::101]:123", "[::]:123"]
        {
            check("127.0.0.1:4460", nobody, false);
        }
    }
}
