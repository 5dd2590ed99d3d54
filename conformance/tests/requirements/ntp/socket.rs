//! The threads and sockets around the responder, on the loopback interface.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use noonmark_os::page::{CounterPage, CounterReader};
use noonmark_packet::ReferenceId;
use noonmark_server::frontend::{ClockSource, Frontend, Listening, Pages, Service, Sockets};
use noonmark_server::{ClockState, Counter};
use noonmark_units::{Precision, Stratum};

use super::lab::{Outcome, ensure, shown};
use super::octets::{header, plain};

/// One thread, so that answers come in the order of the requests: an answer to a later one proves silence to an earlier one.
struct Server {
    frontend: Option<Frontend>,
    /// One of each family.
    bound: Vec<SocketAddr>,
    counters: CounterReader,
}

impl Server {
    fn start() -> io::Result<Self> {
        let listening = Listening {
            addresses: vec![([0, 0, 0, 0], 0).into(), ([0_u16; 8], 0).into()],
            interfaces: vec!["lo".to_owned()],
            dscp: 0,
            threads: 1,
        };
        let opened = Sockets::open(&listening, None).map_err(io::Error::other)?;
        let bound = opened.bound().map(|(address, _)| address).collect();
        let sockets = opened.duplicates()?;
        let local = ClockState::local(Stratum::PRIMARY, ReferenceId(*b"LOCL"), Precision(-24));
        let service =
            Service { policy: Arc::default(), cookies: None, clock: ClockSource::Fixed(local) };
        let page = Arc::new(CounterPage::new(c"check", Counter::COUNT)?);
        let counters = CounterReader::open(page.descriptor()).map_err(io::Error::other)?;
        let pages = Pages { counters: Some(page), pulse: None };
        let frontend = Some(Frontend::start(sockets, 1, service, pages)?);
        Ok(Self { frontend, bound, counters })
    }

    /// Where this server is reached at one of the addresses of the loopback interface.
    fn at(&self, address: &str) -> SocketAddr {
        let address: IpAddr = address.parse().expect("an address");
        let same_family = |bound: &&SocketAddr| bound.is_ipv4() == address.is_ipv4();
        let bound = self.bound.iter().find(same_family).expect("bound to both families");
        SocketAddr::new(address, bound.port())
    }

    fn stop(&mut self) {
        if let Some(frontend) = self.frontend.take() {
            frontend.stop();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn client(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" })?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(socket)
}

/// A plain request with a transmit time of its own, to tell its answer by.
fn numbered(number: u8) -> Vec<u8> {
    let mut request = plain();
    request[47] = number;
    request
}

/// The next datagram must answer the request of this number; returns where it came from.
fn hear(socket: &UdpSocket, number: u8) -> Result<SocketAddr, String> {
    let mut answer = [0; 2048];
    let (len, source) = socket.recv_from(&mut answer).map_err(|error| error.to_string())?;
    let answer = &answer[..len];
    ensure(answer.get(24..32) == Some(&numbered(number)[40..]), || {
        format!("not the answer to request {number}: {}", shown(answer))
    })?;
    Ok(source)
}

/// Asks at several addresses of the machine; each answer's source must suit the address asked.
pub fn answers_come_from(suits: fn(SocketAddr, SocketAddr) -> bool) -> Outcome {
    let server = Server::start().map_err(|error| error.to_string())?;
    for (number, address) in (0..).zip(["127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"]) {
        let asked = server.at(address);
        let socket = client(asked).map_err(|error| error.to_string())?;
        socket.send_to(&numbered(number), asked).map_err(|error| error.to_string())?;
        let source = hear(&socket, number)?;
        ensure(suits(asked, source), || format!("{asked} was asked, {source} answers"))?;
    }
    Ok(())
}

/// Datagrams of peers and broadcasters bring nothing out of the server, from whatever port; requests do, from its own.
pub fn only_the_own_port_speaks() -> Outcome {
    let server = Server::start().map_err(|error| error.to_string())?;
    for address in ["127.0.0.1", "::1"] {
        let asked = server.at(address);
        let socket = client(asked).map_err(|error| error.to_string())?;
        for mode in [1, 2, 5] {
            let ask = |request: &[u8]| {
                socket.send_to(request, asked).map(drop).map_err(|error| error.to_string())
            };
            ask(&numbered(mode))?;
            hear(&socket, mode)?;
            ask(&header(4, mode))?;
            ask(&numbered(mode + 100))?;
            let source = hear(&socket, mode + 100)?;
            ensure(source.port() == asked.port(), || format!("{asked} speaks from {source}"))?;
        }
    }
    Ok(())
}

/// A request to everybody on the loopback network, between two to this server alone: only these are answered.
pub fn group_gets_silence() -> Outcome {
    let mut server = Server::start().map_err(|error| error.to_string())?;
    let (alone, everybody) = (server.at("127.0.0.1"), server.at("127.255.255.255"));
    let socket = client(alone).map_err(|error| error.to_string())?;
    socket.set_broadcast(true).map_err(|error| error.to_string())?;
    for (number, to) in [(1, alone), (2, everybody), (3, alone)] {
        socket.send_to(&numbered(number), to).map_err(|error| error.to_string())?;
    }
    hear(&socket, 1)?;
    hear(&socket, 3)?;
    // A thread publishes its counters after it has sent its answers, and in any case before it ends.
    server.stop();
    let dropped = server.counters.get(Counter::DroppedGroup as usize);
    ensure(dropped == 1, || format!("{dropped} requests to a group are noticed"))
}
