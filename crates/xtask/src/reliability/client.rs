//! Questions over UDP, plain and under NTS: one at a time, each with its verdict.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use noonmark_nts::{AeadKey, UNIQUE_LEN, open_answer, write_request};
use noonmark_os::random::RandomPool;
use noonmark_packet::{HEADER_LEN, Header, Leap, Mode, Packet};
use noonmark_rig::establish::{Establisher, Session};
use noonmark_units::Timestamp;

use super::place::{NAME, Place};

/// One client.
pub struct Client {
    socket: UdpSocket,
    pool: RandomPool,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The right answer, from a server that says it is synchronised.
    Good,
    /// The right answer, from a server that says it is not.
    Unsynchronised,
    /// None in time.
    Silence,
}

impl Client {
    /// For the server at an address.
    ///
    /// # Errors
    /// What the socket says.
    pub fn new(server: SocketAddr) -> Result<Self, String> {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let open = || {
            let socket = UdpSocket::bind(any)?;
            socket.connect(server)?;
            io::Result::Ok(socket)
        };
        let socket = open().map_err(|e| format!("a socket for {server}: {e}"))?;
        let pool = RandomPool::new().map_err(|_| "no random octets from the system")?;
        Ok(Self { socket, pool })
    }

    /// Asks without NTS, and waits for the answer for so long.
    pub fn ask(&mut self, patience: Duration) -> Outcome {
        let transmit = Timestamp::from_bits(u64::from_be_bytes(self.pool.array()));
        let mut request = [0; HEADER_LEN];
        Header::client(transmit).write(&mut request);
        self.exchange(&request, patience, |answer| {
            let header = Packet::parse(answer).ok()?.header();
            (header.origin == transmit).then_some(header)
        })
    }

    /// Asks with keys of a session, spending a cookie of it. An answer counts only if it proves itself.
    ///
    /// # Errors
    /// That the request cannot be written.
    pub fn ask_with(
        &mut self,
        keys: &Keys,
        cookie: &[u8],
        patience: Duration,
    ) -> Result<Outcome, String> {
        let (unique, nonce) = (self.pool.array::<UNIQUE_LEN>(), self.pool.array::<16>());
        let transmit = Timestamp::from_bits(u64::from_be_bytes(self.pool.array()));
        let mut request = [0; 1232];
        let header = Header::client(transmit);
        let len = write_request(&mut request, &header, &unique, cookie, 0, &keys.c2s, &nonce)
            .map_err(|e| e.to_string())?;
        let request = request.get(..len).unwrap_or_default();
        Ok(self.exchange(request, patience, |answer| {
            let opened = open_answer(answer, &unique, &keys.s2c).ok()?;
            Some(opened.packet.header())
        }))
    }

    fn exchange(
        &mut self,
        request: &[u8],
        patience: Duration,
        mut read: impl FnMut(&mut [u8]) -> Option<Header>,
    ) -> Outcome {
        let deadline = Instant::now() + patience;
        // A refusal of the kernel is heard by whoever sends or receives next: it is silence, too.
        let _ = self.socket.send(request);
        let mut room = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Outcome::Silence;
            }
            let _ = self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))));
            match self.socket.recv(&mut room) {
                Ok(len) => {
                    let header = room.get_mut(..len).and_then(&mut read);
                    // Late answers to earlier questions are passed over.
                    let Some(header) = header.filter(|header| header.mode == Mode::Server) else {
                        continue;
                    };
                    let is_good = header.leap != Leap::Unsynchronised && header.stratum != 0;
                    return if is_good { Outcome::Good } else { Outcome::Unsynchronised };
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::thread::sleep(Duration::from_millis(5).min(left));
                }
                Err(_) => {}
            }
        }
    }
}

/// Keys of a session, ready to be used, and its cookies, each of which is good for any number of questions as far as a server can tell.
pub struct Keys {
    /// For requests.
    pub c2s: AeadKey,
    /// For answers.
    pub s2c: AeadKey,
    /// To be spent.
    pub cookies: Vec<Vec<u8>>,
}

impl Keys {
    /// Of an establishment.
    pub fn new(session: Session) -> Self {
        let Session { keys, cookies, .. } = session;
        Self { c2s: keys.c2s_key(), s2c: keys.s2c_key(), cookies }
    }

    /// Establishes keys with the server of a place.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub fn establish(place: &Place, server: SocketAddr) -> Result<Self, String> {
        establisher(place, server)?.establish().map(Self::new)
    }

    /// That a cookie of before still opens.
    ///
    /// # Errors
    /// That it does not.
    pub fn check(&self, server: SocketAddr, when: &str) -> Result<(), String> {
        let mut client = Client::new(server)?;
        let cookie = self.cookies.first().ok_or("no cookie")?;
        // Asked again, as any client would: a datagram may come at a moment when nobody listens.
        for _ in 0..30 {
            if client.ask_with(self, cookie, Duration::from_secs(1))? != Outcome::Silence {
                return Ok(());
            }
        }
        Err(format!("{when}: a cookie of before does not open any more"))
    }
}

/// Establishes keys with the server of a place, again and again.
///
/// # Errors
/// That its authority cannot be read.
pub fn establisher(place: &Place, server: SocketAddr) -> Result<Establisher, String> {
    Establisher::new(server, NAME, &place.authority())
}
