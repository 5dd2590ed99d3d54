//! What a probe works with: sockets, patience, controls, and the book in which all is written down.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::answer::Answer;
use super::judgement::Objection;
use super::pace::Pace;
use super::session::Sessions;
use super::target::Target;
use crate::evidence::{Carrier, Direction, Evidence, Passage, SessionKeys};
use crate::octets::header::Header;

/// How a run goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether the slow and statistical probes are made too.
    pub deep: bool,
    /// Datagrams a second, at most.
    pub rate: f64,
    /// Connections a second, at most.
    pub ke_rate: f64,
    /// How long an answer may take.
    pub patience: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self { deep: false, rate: 100.0, ke_rate: 40.0, patience: Duration::from_secs(1) }
    }
}

/// The speeds of a run, shared by its threads.
#[derive(Debug)]
pub struct Paces {
    /// Of datagrams.
    pub ntp: Pace,
    /// Of connections.
    pub ke: Pace,
}

/// A request and all that came back for it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Who was asked.
    pub to: SocketAddr,
    /// The request.
    pub sent: Vec<u8>,
    /// Each datagram that came back, and from where.
    pub got: Vec<(SocketAddr, Vec<u8>)>,
}

/// A probe's hands.
pub struct Bench<'a> {
    /// Who is asked.
    pub target: &'a Target,
    /// How.
    pub manner: Manner,
    pub(super) paces: &'a Paces,
    /// What passed for the clause at hand.
    pub(super) book: Vec<Passage>,
    /// All TLS octets of the run, as they went over the wire.
    pub(super) wire: Vec<Passage>,
    pub(super) keys: Vec<SessionKeys>,
    /// Every exchange of the run so far.
    pub history: Vec<Exchange>,
    pub(super) sessions: Sessions,
    /// The longest that a control took lately.
    flight: Duration,
    /// Which of our addresses each of the server's is reached from.
    own: Vec<(IpAddr, IpAddr)>,
}

/// A request that is under way.
struct Pending {
    socket: UdpSocket,
    here: SocketAddr,
    exchange: usize,
}

impl<'a> Bench<'a> {
    /// Empty hands.
    #[must_use]
    pub fn new(target: &'a Target, manner: Manner, paces: &'a Paces) -> Self {
        Self {
            target,
            manner,
            paces,
            book: Vec::new(),
            wire: Vec::new(),
            keys: Vec::new(),
            history: Vec::new(),
            sessions: Sessions::default(),
            flight: Duration::from_millis(5),
            own: Vec::new(),
        }
    }

    /// What was written down since the last time, with this sentence.
    pub fn evidence(&mut self, says: String) -> Evidence {
        let mut keys = std::mem::take(&mut self.keys);
        keys.dedup();
        Evidence { says, passages: std::mem::take(&mut self.book), keys }
    }

    /// Asks where an answer is due; a request that is lost is sent again, twice.
    ///
    /// # Errors
    /// A failure if the server is silent and yet answers an ordinary request; otherwise nothing can be said.
    pub fn ask(&mut self, request: &[u8], meaning: &str) -> Result<Answer, Objection> {
        match self.try_ask(request, meaning)? {
            Some(answer) => Ok(answer),
            None => Err(Objection::fails(format!("no answer to {meaning}"))),
        }
    }

    /// Asks where an answer may come or not. `None` stands between two ordinary requests that were answered.
    ///
    /// # Errors
    /// Nothing can be said if those go unanswered too.
    pub fn try_ask(&mut self, request: &[u8], meaning: &str) -> Result<Option<Answer>, Objection> {
        let to = self.target.ntp;
        self.try_ask_at(to, request, meaning)
    }

    /// The same of another address of the server.
    ///
    /// # Errors
    /// As [`Self::try_ask`].
    pub fn try_ask_at(
        &mut self,
        to: SocketAddr,
        request: &[u8],
        meaning: &str,
    ) -> Result<Option<Answer>, Objection> {
        for attempt in 0..3 {
            if attempt > 0 {
                self.control()?;
            }
            let pending = self.send(to, request, meaning)?;
            // Many times what an ordinary request takes, and all the patience there is for the last attempt at a slow server.
            let wait = (self.flight * 30).clamp(Duration::from_millis(150), self.manner.patience);
            if let Some(octets) = self.collect(&pending, wait, true).pop() {
                return Ok(Some(Answer::read(&octets)));
            }
        }
        self.control()?;
        Ok(None)
    }

    /// Asks and must get time.
    ///
    /// # Errors
    /// As [`Self::ask`], and a failure if what comes gives no time.
    pub fn time_for(&mut self, request: &[u8], meaning: &str) -> Result<Answer, Objection> {
        let answer = self.ask(request, meaning)?;
        if answer.gives_time() || self.is_unsynchronised(&answer) {
            Ok(answer)
        } else {
            Err(Objection::fails(format!("no time for {meaning}: {}", answer.shown())))
        }
    }

    /// A server whose clock is not synchronised says so in good answers; that is judged by one clause alone.
    fn is_unsynchronised(&self, answer: &Answer) -> bool {
        answer.header.mode == 4
            && answer.header.kiss().is_none()
            && (answer.header.leap == 3 || answer.header.stratum == 0)
    }

    /// What comes back for requests that should go unanswered, all of them between two controls; `None` for silence.
    ///
    /// # Errors
    /// Nothing can be said if a control is not answered.
    pub fn silence(
        &mut self,
        requests: &[(Vec<u8>, String)],
    ) -> Result<Vec<Option<Answer>>, Objection> {
        let to = self.target.ntp;
        self.silence_at(to, requests)
    }

    /// The same at another address of the server.
    ///
    /// # Errors
    /// As [`Self::silence`].
    pub fn silence_at(
        &mut self,
        to: SocketAddr,
        requests: &[(Vec<u8>, String)],
    ) -> Result<Vec<Option<Answer>>, Objection> {
        let mut answers = Vec::new();
        // A server that counts bad packets against their sender shows it in the control behind few of them.
        for some in requests.chunks(16) {
            self.control()?;
            let mut pending = Vec::new();
            for (request, meaning) in some {
                pending.push(self.send(to, request, meaning)?);
            }
            self.control()?;
            sleep((self.flight * 4).clamp(Duration::from_millis(12), Duration::from_millis(500)));
            for pending in &pending {
                let mut octets = self.collect(pending, Duration::ZERO, true);
                answers.push(octets.pop().map(|octets| Answer::read(&octets)));
            }
        }
        Ok(answers)
    }

    /// The positive control beside everything that is shown by an absence: an ordinary request is answered.
    ///
    /// # Errors
    /// Nothing can be said if it is not.
    pub fn control(&mut self) -> Result<(), Objection> {
        for _ in 0..4 {
            let request = Header::request(random_number()).octets();
            let started = Instant::now();
            let pending = self.send(self.target.ntp, &request, "control")?;
            match self
                .collect(&pending, self.manner.patience, true)
                .pop()
                .map(|octets| Answer::read(&octets))
            {
                Some(answer) if answer.header.kiss() == Some(*b"RATE") => {
                    self.paces.ntp.slow_down();
                    sleep(Duration::from_secs(2));
                }
                Some(_) => {
                    self.flight = started.elapsed().max(self.flight / 2);
                    return Ok(());
                }
                None => self.paces.ntp.slow_down(),
            }
        }
        Err(Objection::unclear(
            "ordinary requests go unanswered or get RATE, so silence proves nothing",
        ))
    }

    /// How long the last answer was under way, from before its request was sent until after it was received.
    #[must_use]
    pub fn last_flight(&self) -> Option<Duration> {
        let [.., sent, received] = &self.book[..] else { return None };
        let is_pair =
            (sent.direction, received.direction) == (Direction::Sent, Direction::Received);
        is_pair.then(|| Duration::from_micros(received.at_us.saturating_sub(sent.at_us)))
    }

    /// Sends and waits for all that comes back within the time, for those who count answers.
    ///
    /// # Errors
    /// Nothing can be said if the datagram cannot be sent.
    pub fn gather(
        &mut self,
        request: &[u8],
        meaning: &str,
        wait: Duration,
    ) -> Result<Exchange, Objection> {
        let pending = self.send(self.target.ntp, request, meaning)?;
        self.collect(&pending, wait, false);
        Ok(self.history[pending.exchange].clone())
    }

    /// Sends from a port of one's own, again and again.
    ///
    /// # Errors
    /// Nothing can be said if there is no socket.
    pub fn port(&mut self) -> Result<UdpSocket, Objection> {
        socket_for(self.target.ntp)
            .map_err(|error| Objection::unclear(format!("no socket: {error}")))
    }

    /// Asks once from this socket.
    ///
    /// # Errors
    /// Nothing can be said if the datagram cannot be sent.
    pub fn ask_from(
        &mut self,
        socket: &UdpSocket,
        to: SocketAddr,
        request: &[u8],
        meaning: &str,
    ) -> Result<Option<Answer>, Objection> {
        let socket = socket.try_clone().map_err(|error| Objection::unclear(error.to_string()))?;
        let pending = self.send_from(socket, to, request, meaning)?;
        let mut octets = self.collect(&pending, self.manner.patience, true);
        Ok(octets.pop().map(|octets| Answer::read(&octets)))
    }

    fn send(
        &mut self,
        to: SocketAddr,
        request: &[u8],
        meaning: &str,
    ) -> Result<Pending, Objection> {
        let socket =
            socket_for(to).map_err(|error| Objection::unclear(format!("no socket: {error}")))?;
        self.send_from(socket, to, request, meaning)
    }

    fn send_from(
        &mut self,
        socket: UdpSocket,
        to: SocketAddr,
        request: &[u8],
        meaning: &str,
    ) -> Result<Pending, Objection> {
        self.paces.ntp.wait();
        let unsent =
            |error: io::Error| Objection::unclear(format!("{to} cannot be asked: {error}"));
        // Taken before, so that what is measured from here is never shorter than the flight.
        let at_us = now_us();
        socket.send_to(request, to).map_err(unsent)?;
        let mut here = socket.local_addr().map_err(unsent)?;
        here.set_ip(self.own_address(to));
        self.book.push(Passage {
            at_us,
            direction: Direction::Sent,
            carrier: Carrier::Ntp,
            here,
            there: to,
            meaning: meaning.to_owned(),
            octets: request.to_vec(),
        });
        self.history.push(Exchange { to, sent: request.to_vec(), got: Vec::new() });
        Ok(Pending { socket, here, exchange: self.history.len() - 1 })
    }

    /// The address from which this one is reached; sockets that hear answers from anywhere do not know it.
    fn own_address(&mut self, to: SocketAddr) -> IpAddr {
        if let Some((_, own)) = self.own.iter().find(|(known, _)| *known == to.ip()) {
            return *own;
        }
        let route = socket_for(to).and_then(|socket| {
            socket.connect(to)?;
            socket.local_addr()
        });
        let own = route.map_or(to.ip(), |here| here.ip());
        self.own.push((to.ip(), own));
        own
    }

    /// What arrives within the time, or the first of it, the last one last.
    fn collect(&mut self, pending: &Pending, wait: Duration, first: bool) -> Vec<Vec<u8>> {
        let until = Instant::now() + wait;
        let mut came = Vec::new();
        let mut buffer = vec![0; 65536];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = (!left.is_zero()).then_some(left);
            let set = match timeout {
                Some(_) => pending
                    .socket
                    .set_nonblocking(false)
                    .and(pending.socket.set_read_timeout(timeout)),
                None => pending.socket.set_nonblocking(true),
            };
            let Ok((len, from)) = set.and_then(|()| pending.socket.recv_from(&mut buffer)) else {
                return came;
            };
            let octets = buffer[..len].to_vec();
            self.book.push(Passage {
                at_us: now_us(),
                direction: Direction::Received,
                carrier: Carrier::Ntp,
                here: pending.here,
                there: from,
                meaning: String::new(),
                octets: octets.clone(),
            });
            self.history[pending.exchange].got.push((from, octets.clone()));
            came.push(octets);
            if first {
                return came;
            }
        }
    }
}

fn socket_for(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    UdpSocket::bind(any)
}

/// Microseconds since 1970.
#[must_use]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The prober's clock as an NTP timestamp.
#[must_use]
pub fn now_ntp() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    since.as_secs().wrapping_add(2_208_988_800) << 32 | fraction
}

/// Octets that cannot be guessed.
///
/// # Panics
/// If the system has none.
#[must_use]
pub fn random(len: usize) -> Vec<u8> {
    let mut octets = vec![0; len];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut octets)
        .expect("the system gives random octets");
    octets
}

/// A number that cannot be guessed.
#[must_use]
pub fn random_number() -> u64 {
    u64::from_be_bytes(*random(8).first_chunk().expect("8 octets"))
}
