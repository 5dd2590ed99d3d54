//! Key establishments with the server under test, one after the other over blocking sockets, by the client of
//! `noonmark-nts`.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime};

use noonmark_nts::{
    Aead, ClientTls, KeClient, NtpServer, Random, SessionKeys, TrustRoots, VerificationTime,
};
use noonmark_os::random::RandomPool;
use noonmark_units::UnixTime;

/// What one establishment agreed on.
pub struct Session {
    /// Keys of both directions.
    pub keys: SessionKeys,
    /// Cookies, each good for any number of requests as far as a server can tell.
    pub cookies: Vec<Vec<u8>>,
    /// Where the server sent us for NTP, if anywhere else.
    pub server: Option<NtpServer>,
}

/// Establishes keys with one server.
pub struct Establisher {
    server: SocketAddr,
    name: String,
    tls: ClientTls,
    aead: Aead,
}

impl Establisher {
    /// For the server at an address, whose certificate must be for `name` and lead to one of those in the file `ca`.
    ///
    /// # Errors
    /// That there are no certificates in the file.
    pub fn new(server: SocketAddr, name: &str, ca: &Path) -> Result<Self, String> {
        let told = |e: &dyn std::fmt::Display| format!("{}: {e}", ca.display());
        let pem = std::fs::read(ca).map_err(|e| told(&e))?;
        let mut roots = TrustRoots::new();
        roots.add_pem(&pem).map_err(|e| told(&e))?;
        let tls = ClientTls::new(roots, MachineClock);
        Ok(Self { server, name: name.to_owned(), tls, aead: Aead::SivCmac256 })
    }

    /// The same for keys of another algorithm.
    #[must_use]
    pub fn with(self, aead: Aead) -> Self {
        Self { aead, ..self }
    }

    /// One whole establishment of keys, for AEAD_AES_SIV_CMAC_256 if nothing else was said: every server has that.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub fn establish(&self) -> Result<Session, String> {
        let mut client = self.client()?;
        self.exchange(&mut client).map_err(|error| format!("{}: {error}", self.server))?;
        let agreement = client.finish().map_err(|error| error.to_string())?;
        Ok(Session { keys: agreement.keys, cookies: agreement.cookies, server: agreement.server })
    }

    /// The client of one establishment, for somebody with a connection of their own.
    ///
    /// # Errors
    /// That the name is none.
    pub fn client(&self) -> Result<KeClient, String> {
        KeClient::new(&self.tls, &self.name, &[self.aead]).map_err(|error| error.to_string())
    }

    fn exchange(&self, client: &mut KeClient) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        while !client.is_done() {
            while client.wants_write() {
                client.write_tls(&mut stream)?;
            }
            if client.wants_read() {
                client.read_tls(&mut stream)?;
            }
            client.process();
        }
        Ok(())
    }
}

/// Random octets for identifiers and nonces.
///
/// # Errors
/// That the system has none.
pub fn random() -> Result<impl Random, String> {
    let mut pool = RandomPool::new().map_err(|_| "no random octets from the system")?;
    Ok(move |out: &mut [u8]| pool.fill(out))
}

/// Certificates are judged by the machine's clock, which nothing here moves.
#[derive(Debug)]
struct MachineClock;

impl VerificationTime for MachineClock {
    fn now(&self) -> Option<UnixTime> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let seconds = since.as_secs().try_into().ok()?;
        Some(UnixTime { seconds, nanos: since.subsec_nanos() })
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
