//! The UDP socket of one question.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsFd;

use noonmark_os::clock;
use noonmark_os::udp::{Listener, Ring};
use noonmark_units::{Timestamp, UnixTime};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A UDP socket connected to one server, with a source port the kernel chose at random (RFC 9109).
///
/// One question uses one socket: whoever cannot see the question does not know where to send a forged answer.
/// The kernel drops what does not come from the server's address and port, and stamps what does.
pub(crate) struct QuestionSocket {
    socket: UdpSocket,
    ring: Ring,
    octets: Box<[u8; LONGEST_ANSWER]>,
}

impl QuestionSocket {
    /// Opens a socket to `server`, sends it the question, and returns T1 with it, read just before.
    ///
    /// # Errors
    /// What the kernel says, for instance that there is no route to such an address.
    pub(crate) fn ask(server: SocketAddr, question: &[u8]) -> io::Result<(Self, Timestamp)> {
        let listener =
            Listener { address: any_like(server), interface: None, dscp: 0, shared: false };
        let socket = StdSocket::from(listener.open().map_err(|error| error.source)?);
        socket.connect(server)?;
        // Registered before it is used, so that nothing but the kernel is between T1 and the wire.
        let octets = Box::new([0; LONGEST_ANSWER]);
        let sender = socket.try_clone()?;
        let asked = Self { socket: UdpSocket::from_std(socket)?, ring: Ring::new(1), octets };
        let sent = now();
        sender.send(question)?;
        Ok((asked, sent))
    }

    /// The next datagram from the server and when the kernel received it. Cancelling it loses nothing.
    ///
    /// # Errors
    /// What the kernel says, above all that the server's host refused the question (ICMP).
    pub(crate) async fn receive(&mut self) -> io::Result<(&[u8], Timestamp)> {
        let (len, stamp) = loop {
            // A refusal (ICMP) makes the socket ready for nothing but its error. tokio waits for both at once, but works
            // on one at a time.
            let ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await?;
            let interest = if ready.is_readable() { Interest::READABLE } else { Interest::ERROR };
            let Self { socket, ring, octets } = self;
            let received = socket.try_io(interest, || take(socket, ring, octets));
            match received {
                // Who sends more than we have room for does not answer an NTP question.
                Ok(Datagram { truncated: true, .. }) => {}
                Ok(Datagram { len, stamp, .. }) => break (len, stamp),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        };
        let received = stamp.map_or_else(now, Timestamp::from_unix);
        Ok((self.octets.get(..len).unwrap_or_default(), received))
    }
}

struct Datagram {
    len: usize,
    truncated: bool,
    stamp: Option<UnixTime>,
}

/// One datagram, or `WouldBlock`, which is what tokio waits by.
fn take(
    socket: &UdpSocket,
    ring: &mut Ring,
    octets: &mut [u8; LONGEST_ANSWER],
) -> io::Result<Datagram> {
    let arrivals = ring.receive(socket.as_fd(), &mut [IoSliceMut::new(octets)])?;
    let arrival = arrivals.first().ok_or(io::ErrorKind::WouldBlock)?;
    Ok(Datagram { len: arrival.len, truncated: arrival.truncated, stamp: arrival.stamp })
}

/// The first of `servers` this machine has a route to. Sends nothing.
#[must_use]
pub fn first_reachable(servers: &[SocketAddr]) -> Option<SocketAddr> {
    let has_route = |server: &&SocketAddr| {
        StdSocket::bind(any_like(**server)).is_ok_and(|socket| socket.connect(**server).is_ok())
    };
    servers.iter().find(has_route).copied()
}

/// Any address and port of ours in the family of `server`.
fn any_like(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

/// Our clock.
fn now() -> Timestamp {
    Timestamp::from_unix(clock::realtime())
}

/// An answer is no longer than its question, which is at most 1232 octets; peers that pad get some room.
const LONGEST_ANSWER: usize = 2048;
