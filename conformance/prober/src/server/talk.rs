//! A TLS connection to a key establishment server, on which anything can be said.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::bench::now_us;
use super::target::KeTarget;
use crate::evidence::{Carrier, Direction, Passage};

/// A connection as far as it got.
pub struct Talk {
    /// The TLS session.
    pub tls: ClientConnection,
    tcp: TcpStream,
    /// Both ends.
    pub here: SocketAddr,
    /// The server's end.
    pub there: SocketAddr,
    /// What the server said inside TLS.
    pub heard: Vec<u8>,
    /// What it sent, as it came over the wire.
    pub stream: Vec<u8>,
    /// All that went over the wire either way.
    pub wire: Vec<Passage>,
    /// Whether its `close_notify` came.
    pub notified: bool,
    /// Whether its side of the TCP connection has ended.
    pub ended: bool,
    /// Why TLS came to an end, if it did.
    pub broken: Option<String>,
    /// At most so many octets go into one TCP segment.
    pub piece: usize,
}

impl Talk {
    /// Connects, and does the handshake as far as it goes.
    ///
    /// # Errors
    /// If there is no connection at all.
    pub fn connect(
        to: &KeTarget,
        config: &Arc<ClientConfig>,
        piece: usize,
        patience: Duration,
    ) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&to.address, patience.max(Duration::from_secs(1)))?;
        tcp.set_nodelay(true)?;
        let tls = ClientConnection::new(Arc::clone(config), to.name.clone())
            .map_err(|error| io::Error::other(error.to_string()))?;
        let mut talk = Self {
            tls,
            here: tcp.local_addr()?,
            there: tcp.peer_addr()?,
            tcp,
            heard: Vec::new(),
            stream: Vec::new(),
            wire: Vec::new(),
            notified: false,
            ended: false,
            broken: None,
            piece,
        };
        talk.tls.set_buffer_limit(None);
        talk.flush();
        let until = Instant::now() + patience * 3;
        while talk.tls.is_handshaking() && talk.listen(until) {}
        talk.flush();
        Ok(talk)
    }

    /// Sends octets inside TLS, in TLS records of their own.
    pub fn say(&mut self, octets: &[u8]) {
        if self.broken.is_none() && !self.tls.is_handshaking() {
            // The buffer has no limit, so this takes all.
            let _ = self.tls.writer().write_all(octets);
            self.flush();
        }
    }

    /// Hears until the server has closed, has said all that `enough` wants, or the time is up.
    pub fn hear(&mut self, limit: Duration, enough: impl Fn(&Self) -> bool) {
        let until = Instant::now() + limit;
        while !enough(self) && self.listen(until) {}
    }

    /// Hears until the server has closed or the time is up.
    pub fn hear_out(&mut self, limit: Duration) {
        self.hear(limit, |talk| talk.ended);
    }

    /// Says that no more will come: `close_notify`, then the end of TCP's direction.
    pub fn half_close(&mut self) {
        self.tls.send_close_notify();
        self.flush();
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Key material of the session.
    ///
    /// # Errors
    /// What TLS says against it.
    pub fn export(
        &self,
        len: usize,
        label: &str,
        context: Option<&[u8]>,
    ) -> Result<Vec<u8>, String> {
        self.tls
            .export_keying_material(vec![0; len], label.as_bytes(), context)
            .map_err(|error| error.to_string())
    }

    /// Reads once; whether it is worth reading on.
    fn listen(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        if self.ended || self.broken.is_some() || left.is_zero() {
            return false;
        }
        let mut octets = [0; 16384];
        let read = self.tcp.set_read_timeout(Some(left)).and_then(|()| self.tcp.read(&mut octets));
        match read {
            Ok(0) => self.ended = true,
            Ok(len) => self.take(&octets[..len]),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                return false;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.ended = true;
                self.broken.get_or_insert_with(|| error.to_string());
            }
        }
        true
    }

    fn take(&mut self, octets: &[u8]) {
        self.stream.extend(octets);
        self.note(Direction::Received, octets);
        let mut rest = octets;
        while !rest.is_empty() && self.broken.is_none() {
            match self.tls.read_tls(&mut rest) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            match self.tls.process_new_packets() {
                Ok(state) => self.notified |= state.peer_has_closed(),
                Err(error) => self.broken = Some(error.to_string()),
            }
            let mut piece = [0; 16384];
            while let Ok(len @ 1..) = self.tls.reader().read(&mut piece) {
                self.heard.extend(&piece[..len]);
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut out).is_err() {
                break;
            }
        }
        if out.is_empty() {
            return;
        }
        self.note(Direction::Sent, &out);
        for piece in out.chunks(self.piece.max(1)) {
            // A server that has refused us hears no more; what it said is what counts.
            if self.tcp.write_all(piece).is_err() {
                return;
            }
        }
    }

    fn note(&mut self, direction: Direction, octets: &[u8]) {
        self.wire.push(Passage {
            at_us: now_us(),
            direction,
            carrier: Carrier::Tls,
            here: self.here,
            there: self.there,
            meaning: String::new(),
            octets: octets.to_vec(),
        });
    }
}

/// TLS settings with these protocols in ALPN; none: without ALPN.
///
/// # Panics
/// Never: the provider has what is asked of it.
#[must_use]
pub fn config(roots: &Arc<RootCertStore>, protocols: &[&[u8]]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    config
}
