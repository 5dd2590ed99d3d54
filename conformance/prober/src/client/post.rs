//! A post: one address where one script is played, its listeners and its log.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;

use super::authority::Authority;
use super::log::{Log, Store};
use super::script::{Script, Tls, View};
use crate::evidence::{Carrier, Direction, Passage};

/// One address where one script is played.
pub struct Post {
    /// The script's number in the run.
    pub number: usize,
    /// The script.
    pub script: &'static Script,
    /// Where it is played.
    pub address: IpAddr,
    /// The name that leads there, if names are used.
    pub name: Option<String>,
    pub(super) tcp: TcpListener,
    pub(super) udp: UdpSocket,
    /// Another port for NTP, which a script may name, or answer from.
    pub(super) other: UdpSocket,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) second: Duration,
    log: Mutex<Log>,
    over: AtomicBool,
}

impl Post {
    /// Opens the listeners of a script.
    ///
    /// # Errors
    /// What the system or the certificate library says, with the address.
    pub fn open(
        number: usize,
        script: &'static Script,
        place: (IpAddr, Option<String>),
        (ke_port, ntp_port): (u16, u16),
        second: Duration,
        authority: &Authority,
    ) -> Result<Self, String> {
        let (address, name) = place;
        let failed = |what: &str, error: io::Error| format!("{what} {address}: {error}");
        let tcp = TcpListener::bind((address, ke_port))
            .map_err(|e| failed(&format!("TCP port {ke_port} of"), e))?;
        let udp = UdpSocket::bind((address, ntp_port))
            .map_err(|e| failed(&format!("UDP port {ntp_port} of"), e))?;
        let other = UdpSocket::bind((address, 0)).map_err(|e| failed("another UDP port of", e))?;
        tcp.set_nonblocking(true).map_err(|e| failed("TCP of", e))?;
        for socket in [&udp, &other] {
            socket.set_read_timeout(Some(TICK)).map_err(|e| failed("UDP of", e))?;
        }
        let tls = tls(script, authority, address, name.as_deref())?;
        Ok(Self {
            number,
            script,
            address,
            name,
            tcp,
            udp,
            other,
            tls,
            second,
            log: Mutex::default(),
            over: AtomicBool::new(false),
        })
    }

    /// Where key establishment is listened for.
    ///
    /// # Panics
    /// If the system forgets the address of a socket it has bound.
    #[must_use]
    pub fn ke_end(&self) -> SocketAddr {
        self.tcp.local_addr().expect("it is bound")
    }

    /// Where NTP is listened for.
    ///
    /// # Panics
    /// As [`Self::ke_end`].
    #[must_use]
    pub fn ntp_end(&self) -> SocketAddr {
        self.udp.local_addr().expect("it is bound")
    }

    /// What was seen so far.
    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the script.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// What was seen so far, to be judged.
    #[must_use]
    pub fn view<'a>(&self, log: &'a Log, honest: Option<Duration>) -> View<'a> {
        View { script: self.script, log, now: Instant::now(), second: self.second, honest }
    }

    /// Plays the script until it has ended: three threads.
    pub fn play(&self, store: &Store) {
        std::thread::scope(|threads| {
            threads.spawn(|| self.listen(store));
            threads.spawn(|| self.answer(&self.udp, store));
            threads.spawn(|| self.answer(&self.other, store));
        });
    }

    fn listen(&self, store: &Store) {
        std::thread::scope(|threads| {
            while !self.is_over() {
                match self.tcp.accept() {
                    Ok((tcp, peer)) => {
                        threads.spawn(move || self.establish(tcp, peer, store));
                    }
                    Err(_) => std::thread::sleep(TICK.min(self.second / 10)),
                }
            }
        });
    }

    pub(super) fn note(
        &self,
        log: &mut Log,
        passage: (Direction, Carrier),
        here: SocketAddr,
        there: SocketAddr,
        meaning: &str,
        octets: &[u8],
    ) {
        if log.passages.len() < MOST_PASSAGES {
            let (direction, carrier) = passage;
            let meaning = meaning.to_owned();
            log.passages.push(Passage {
                at_us: micros(),
                direction,
                carrier,
                here,
                there,
                meaning,
                octets: octets.to_vec(),
            });
        }
    }
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn tls(
    script: &Script,
    authority: &Authority,
    address: IpAddr,
    name: Option<&str>,
) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = authority
        .identity(script.certificate, address, name)
        .map_err(|e| format!("certificate: {e}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|e| format!("TLS: {e}"))?;
    config.send_tls13_tickets = 0;
    if script.tls != Tls::NoProtocol {
        config.alpn_protocols = vec![b"ntske/1".to_vec()];
    }
    Ok(Arc::new(config))
}

/// How often a listener looks whether the script is over.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// Kept of one script; a client that floods is not remembered longer.
const MOST_PASSAGES: usize = 2000;
