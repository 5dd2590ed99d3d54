//! One client that keeps a window of requests of every kind on their way.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use noonmark_nts::{UNIQUE_LEN, open_answer, write_request};
use noonmark_os::random::RandomPool;
use noonmark_packet::{HEADER_LEN, Header, Mode, Packet};
use noonmark_units::Timestamp;

use super::Shared;
use crate::reliability::client::Keys;

/// Requests on their way at a time.
pub const WINDOW: usize = 32;
/// A valid request without an answer for so long is asked again.
const PATIENCE: Duration = Duration::from_secs(3);
/// And one that was asked so often in vain is a failure.
const MOST_TRIES: u32 = 30;

/// What came of the requests.
#[derive(Debug, Default)]
pub struct Count {
    /// Without NTS, valid, answered.
    pub plain: u64,
    /// Under NTS, valid, with an answer that proved itself.
    pub nts: u64,
    /// Under NTS with a cookie or tag that is not good.
    pub forged: u64,
    /// No requests at all by any rule, or not by ours.
    pub odd: u64,
    /// Valid ones that had to be asked again.
    pub lost: u64,
    /// Of those, the ones that nothing excuses.
    pub unexplained: u64,
    /// Answers that should not have been.
    pub wrong: u64,
    /// What the first few of those were.
    pub complaints: Vec<String>,
}

impl Count {
    /// Adds another client's.
    pub fn add(&mut self, other: Self) {
        self.plain += other.plain;
        self.nts += other.nts;
        self.forged += other.forged;
        self.odd += other.odd;
        self.lost += other.lost;
        self.unexplained += other.unexplained;
        self.wrong += other.wrong;
        self.complaints.extend(other.complaints);
    }
}

/// A client with a session.
pub struct Load {
    socket: UdpSocket,
    pool: RandomPool,
    keys: Keys,
    cookies: VecDeque<Vec<u8>>,
    next: u64,
    count: Count,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Plain,
    Nts,
    Forged,
    Odd,
}

struct Request {
    kind: Kind,
    octets: Vec<u8>,
    transmit: Timestamp,
    unique: [u8; UNIQUE_LEN],
    is_done: bool,
}

impl Load {
    /// With the keys of a session.
    ///
    /// # Errors
    /// What the socket says.
    pub fn new(server: SocketAddr, keys: Keys) -> Result<Self, String> {
        let open = || {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(server)?;
            std::io::Result::Ok(socket)
        };
        let pool = RandomPool::new().map_err(|_| "no random octets from the system")?;
        let cookies = keys.cookies.clone().into();
        let socket = open().map_err(|e| e.to_string())?;
        Ok(Self { socket, pool, keys, cookies, next: 0, count: Count::default() })
    }

    /// Asks until all clients together have sent `requests`, spread over `pace`.
    ///
    /// # Errors
    /// That a valid request is not answered at all.
    pub fn run(
        mut self,
        shared: &Shared,
        requests: u64,
        pace: Option<Duration>,
    ) -> Result<Count, String> {
        let begun = Instant::now();
        while shared.sent.load(Ordering::Relaxed) < requests && !shared.over.load(Ordering::Relaxed)
        {
            let mut window = (0..WINDOW).map(|_| self.request()).collect::<Result<Vec<_>, _>>()?;
            let sent = shared.sent.fetch_add(WINDOW as u64, Ordering::Relaxed);
            let asked = self.ask(&mut window, shared);
            if asked.is_err() {
                // So that nobody goes on for long without us.
                shared.over.store(true, Ordering::Relaxed);
            }
            asked?;
            if let Some(pace) = pace {
                let due = pace.mul_f64(sent as f64 / requests as f64);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
        }
        Ok(self.count)
    }

    /// Sends a window, and again what is valid and not answered, until all of that is.
    fn ask(&mut self, window: &mut [Request], shared: &Shared) -> Result<(), String> {
        for number in 0..MOST_TRIES {
            let begun = Instant::now();
            for request in window.iter().filter(|request| !request.is_done) {
                if number == 0 || request.is_valid() {
                    let _ = self.socket.send(&request.octets);
                }
            }
            self.hear(window, begun + PATIENCE);
            let left =
                window.iter().filter(|request| request.is_valid() && !request.is_done).count();
            if left == 0 {
                return Ok(());
            }
            self.count.lost += left as u64;
            if !shared.trouble.was_since(begun) {
                self.count.unexplained += left as u64;
            }
        }
        Err(format!("valid requests are not answered: {:?}", self.count))
    }

    /// Takes answers until none is missing, or the time is over.
    fn hear(&mut self, window: &mut [Request], deadline: Instant) {
        let mut room = [0; 2048];
        while window.iter().any(|request| request.is_valid() && !request.is_done) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let _ = self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))));
            let Ok(len) = self.socket.recv(&mut room) else { continue };
            if let Some(answer) = room.get_mut(..len) {
                self.take(window, answer);
            }
        }
    }

    fn take(&mut self, window: &mut [Request], answer: &mut [u8]) {
        let Ok(header) = Packet::parse(answer).map(|packet| packet.header()) else {
            return self.complain("no packet".to_owned());
        };
        // Late ones belong to a window that is over.
        let own = window.iter_mut().find(|request| request.transmit == header.origin);
        let Some(request) = own.filter(|request| !request.is_done) else { return };
        if header.mode != Mode::Server || answer.len() > request.octets.len() {
            return self.complain(format!("mode {:?}, {} octets", header.mode, answer.len()));
        }
        match request.kind {
            // Whatever is odd may be answered if it is a request by chance.
            Kind::Odd => {}
            Kind::Plain if header.stratum != 0 => {
                request.is_done = true;
                self.count.plain += 1;
            }
            Kind::Forged if header.stratum == 0 => {}
            Kind::Nts => match open_answer(answer, &request.unique, &self.keys.s2c) {
                Ok(opened) if opened.packet.header().stratum != 0 => {
                    request.is_done = true;
                    self.count.nts += 1;
                    self.cookies.extend(opened.cookies().map(<[u8]>::to_vec));
                    while self.cookies.len() > MOST_COOKIES {
                        self.cookies.pop_front();
                    }
                }
                Ok(_) => self.complain("an authentic kiss".to_owned()),
                Err(error) => self.complain(format!("an answer to NTS: {error}")),
            },
            kind => self.complain(format!("{kind:?} got stratum {}", header.stratum)),
        }
    }

    fn complain(&mut self, what: String) {
        self.count.wrong += 1;
        if self.count.complaints.len() < 5 {
            self.count.complaints.push(what);
        }
    }

    /// The next request, of a kind that is left to chance.
    fn request(&mut self) -> Result<Request, String> {
        let [chance, more, at] = self.pool.array::<3>();
        self.next += 1;
        let transmit = Timestamp::from_bits(u64::from_be_bytes(self.pool.array()));
        let kind = match chance {
            0..100 => Kind::Plain,
            100..170 => Kind::Nts,
            170..210 => Kind::Forged,
            _ => Kind::Odd,
        };
        let header = Header::client(transmit);
        let mut octets = vec![0; 1232];
        let unique = self.pool.array::<UNIQUE_LEN>();
        let len = match kind {
            Kind::Plain => {
                header.write(octets.first_chunk_mut::<HEADER_LEN>().ok_or("no room")?);
                HEADER_LEN
            }
            Kind::Nts | Kind::Forged => {
                let cookie = self.cookies.pop_front().ok_or("no cookie is left")?;
                let nonce = self.pool.array::<16>();
                // Now and then more cookies than one, or they would get fewer with every loss.
                let placeholders = usize::from(self.cookies.len() < 8);
                let key = &self.keys.c2s;
                let written = write_request(
                    &mut octets,
                    &header,
                    &unique,
                    &cookie,
                    placeholders,
                    key,
                    &nonce,
                );
                self.cookies.push_back(cookie);
                written.map_err(|e| e.to_string())?
            }
            Kind::Odd => {
                self.pool.fill(&mut octets);
                let mut front = [0; HEADER_LEN];
                header.write(&mut front);
                octets[..HEADER_LEN].copy_from_slice(&front);
                // The first octet: leap, version and mode. Then a length that may be any.
                octets[0] = more;
                usize::from(at) * if more & 1 == 0 { 1 } else { 4 }
            }
        };
        octets.truncate(len);
        if kind == Kind::Forged {
            // One octet of cookie, tag, or anything after the identifier.
            let place = HEADER_LEN + 36 + usize::from(at) % (octets.len() - HEADER_LEN - 36);
            octets[place] ^= more | 1;
        }
        match kind {
            Kind::Forged => self.count.forged += 1,
            Kind::Odd => self.count.odd += 1,
            _ => {}
        }
        Ok(Request { kind, octets, transmit, unique, is_done: false })
    }
}

const MOST_COOKIES: usize = 64;

impl Request {
    /// It has to be answered.
    fn is_valid(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Nts)
    }
}
