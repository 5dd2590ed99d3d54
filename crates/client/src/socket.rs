//! The UDP socket of one question.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsFd;

use noonmark_os::clock;
use noonmark_os::udp::{Listener, departure, receive_stamped, stamp_both_ways};
use noonmark_units::Timestamp;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// From where questions leave this machine. The default lets the routes decide.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outlet {
    /// Source address of IPv4 questions.
    pub v4: Option<Ipv4Addr>,
    /// Source address of IPv6 questions.
    pub v6: Option<Ipv6Addr>,
    /// The interface (or VRF) questions are bound to.
    pub interface: Option<String>,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
}

impl Outlet {
    /// A socket address of ours for questions to `server`, whose port the kernel chooses at random.
    fn towards(&self, server: SocketAddr) -> SocketAddr {
        let address = match server {
            SocketAddr::V4(_) => IpAddr::from(self.v4.unwrap_or(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => IpAddr::from(self.v6.unwrap_or(Ipv6Addr::UNSPECIFIED)),
        };
        SocketAddr::new(address, 0)
    }
}

/// A UDP socket connected to one server, with a source port the kernel chose at random (RFC 9109).
///
/// One question uses one socket: whoever cannot see the question does not know where to send a forged answer.
/// The kernel drops what does not come from the server's address and port, and stamps what goes and what comes.
pub(crate) struct QuestionSocket {
    socket: UdpSocket,
    octets: Box<[u8; LONGEST_ANSWER]>,
}

/// What a [`QuestionSocket`] has seen.
pub(crate) enum Seen<'a> {
    /// The question left, says the kernel: a better T1 than the one read before it was sent.
    Left(Timestamp),
    /// A datagram from the server, received at that time.
    Came(&'a [u8], Timestamp),
}

impl QuestionSocket {
    /// Opens a socket to `server`, sends it the question, and returns T1 with it, read just before.
    ///
    /// # Errors
    /// What the kernel says, for instance that there is no route to such an address.
    pub(crate) fn ask(
        outlet: &Outlet,
        server: SocketAddr,
        question: &[u8],
    ) -> io::Result<(Self, Timestamp)> {
        let listener = Listener {
            address: outlet.towards(server),
            interface: outlet.interface.clone(),
            dscp: outlet.dscp,
            shared: false,
        };
        let socket = StdSocket::from(listener.open().map_err(|error| error.source)?);
        // Without stamps of departure T1 is a little early; a question is still worth asking.
        let _ = stamp_both_ways(&socket);
        socket.connect(server)?;
        // Registered before it is used, so that nothing but the kernel is between T1 and the wire.
        let octets = Box::new([0; LONGEST_ANSWER]);
        let sender = socket.try_clone()?;
        let asked = Self { socket: UdpSocket::from_std(socket)?, octets };
        let sent = now();
        sender.send(question)?;
        Ok((asked, sent))
    }

    /// The address the question left from.
    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        self.socket.local_addr().ok().map(|address| address.ip())
    }

    /// What happens next. Cancelling it loses nothing.
    ///
    /// # Errors
    /// What the kernel says, above all that the server's host refused the question (ICMP).
    pub(crate) async fn next(&mut self) -> io::Result<Seen<'_>> {
        let (len, received) = loop {
            // A stamp of departure, or a refusal (ICMP), makes the socket ready for nothing but its error. tokio waits for both at
            // once, but works on one at a time. Departures come first: they belong before the answer.
            let ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await?;
            let interest = if ready.is_error() { Interest::ERROR } else { Interest::READABLE };
            let Self { socket, octets } = self;
            let seen = socket.try_io(interest, || match departure(socket.as_fd())? {
                Some(departure) => Ok(Taken::Left(departure.at)),
                None => match receive_stamped(socket.as_fd(), &mut octets[..])? {
                    Some(arrival) => Ok(Taken::Came(arrival)),
                    None => Err(io::ErrorKind::WouldBlock.into()),
                },
            });
            match seen {
                Ok(Taken::Left(at)) => return Ok(Seen::Left(Timestamp::from_unix(at))),
                // Who sends more than we have room for does not answer an NTP question.
                Ok(Taken::Came(arrival)) if arrival.truncated => {}
                Ok(Taken::Came(arrival)) => break (arrival.len, arrival.at),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        };
        let received = received.map_or_else(now, Timestamp::from_unix);
        Ok(Seen::Came(self.octets.get(..len).unwrap_or_default(), received))
    }
}

enum Taken {
    Left(noonmark_units::UnixTime),
    Came(noonmark_os::udp::Stamped),
}

/// The first of `servers` this machine has a route to. Sends nothing.
#[must_use]
pub fn first_reachable(servers: &[SocketAddr]) -> Option<SocketAddr> {
    servers.iter().find(|server| has_way(&Outlet::default(), **server)).copied()
}

/// Whether a question to `server` could leave this machine. Sends nothing.
pub(crate) fn has_way(outlet: &Outlet, server: SocketAddr) -> bool {
    StdSocket::bind(outlet.towards(server)).is_ok_and(|socket| socket.connect(server).is_ok())
}

/// Whether the network says that there is no way to an address at all.
pub(crate) fn is_no_route(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::Unsupported
            | io::ErrorKind::InvalidInput
    ) || matches!(error.raw_os_error(), Some(AF_NOT_SUPPORTED | NO_DEVICE | NO_SUCH_DEVICE))
}

/// Our clock.
fn now() -> Timestamp {
    Timestamp::from_unix(clock::realtime())
}

/// `EAFNOSUPPORT`, for which the standard library has no name: IPv6 is switched off.
const AF_NOT_SUPPORTED: i32 = 97;
/// `ENODEV` and `ENXIO`: the interface in a link-local address is not there.
const NO_DEVICE: i32 = 19;
const NO_SUCH_DEVICE: i32 = 6;
/// An answer is no longer than its question, which is at most 1232 octets; peers that pad get some room.
const LONGEST_ANSWER: usize = 2048;
