//! UDP with kernel stamps. For a server: sockets with everything set before they are bound, and datagrams in batches.
//!
//! [`Listener`] says what a socket shall be, [`Listener::open`] makes it. A [`Ring`] then receives up to a whole batch with one
//! system call and sends up to a whole batch with one, and with each datagram come the two facts a time server must not lose: when the
//! kernel saw it (`SO_TIMESTAMPNS`, the machine's realtime clock) and which of our addresses it was sent to (`IP_PKTINFO`,
//! `IPV6_RECVPKTINFO`), so that the answer leaves from the address that was asked.
//!
//! A socket bound to a wildcard address serves addresses that come and go by itself, since the answer's source address is taken from
//! the datagram. A socket for one address is bound with `IP_FREEBIND`, so it may be opened before the address exists and works from the
//! moment it does.
//!
//! When an answer left is told where that was asked for with it: [`stamp`](fn@stamp) the socket, then [`Departures`].
//!
//! A client wants to know when its own datagrams left, too: [`stamp_both_ways`] on any UDP socket, then [`receive_stamped`] and
//! [`departure`].

mod control;
mod departures;
mod ring;
mod sieve;
mod stamp;
mod wait;

pub use departures::{Departures, stamp};
pub use ring::{Arrival, Local, Outgoing, Ring, Sent};
pub use sieve::{SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_MEMINFO, Sieve, dropped};
pub use stamp::{Departure, Stamped, departure, receive_stamped, stamp_both_ways};
pub use wait::{Bell, Watch};

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use libc::c_int;
use socket2::{Domain, Protocol, Socket, Type};

/// What a serving UDP socket shall be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// Where it listens. A wildcard address takes every address of its family; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// The interface (or VRF) it is bound to by `SO_BINDTODEVICE`, or `None` for all.
    pub interface: Option<String>,
    /// Differentiated services code point of what it sends, 0 to 63.
    pub dscp: u8,
    /// Whether others of our sockets share the port (`SO_REUSEPORT`), the kernel then spreads the clients over them.
    pub shared: bool,
}

impl Listener {
    /// The error of a step that opening this took.
    #[must_use]
    pub fn failed(&self, step: &'static str, source: io::Error) -> OpenError {
        OpenError { step, address: self.address, interface: self.interface.clone(), source }
    }

    /// Opens, sets and binds the socket: non-blocking, closed on exec, with receive stamps and packet information on.
    ///
    /// An IPv6 socket takes IPv6 only, so `[::]` and `0.0.0.0` can both be listened on. Datagrams leave with "don't fragment" set and
    /// without path MTU discovery (`IP_PMTUDISC_PROBE`): answers are never longer than what has just arrived, and the kernel is spared
    /// the choice of an IP identification.
    ///
    /// # Errors
    /// The step that failed, with the address it was for.
    pub fn open(&self) -> Result<OwnedFd, OpenError> {
        let failed = |step| move |source| self.failed(step, source);
        let domain = Domain::for_address(self.address);
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(domain, kind, Some(Protocol::UDP)).map_err(failed("socket"))?;
        if self.address.is_ipv6() {
            socket.set_only_v6(true).map_err(failed("IPV6_V6ONLY"))?;
        }
        self.furnish(&socket)?;
        if let Some(interface) = &self.interface {
            socket.bind_device(Some(interface.as_bytes())).map_err(failed("SO_BINDTODEVICE"))?;
        }
        if self.shared {
            socket.set_reuse_port(true).map_err(failed("SO_REUSEPORT"))?;
        }
        match self.address.ip() {
            IpAddr::V4(ip) if !ip.is_unspecified() => {
                socket.set_freebind_v4(true).map_err(failed("IP_FREEBIND"))?;
            }
            IpAddr::V6(ip) if !ip.is_unspecified() => {
                socket.set_freebind_v6(true).map_err(failed("IPV6_FREEBIND"))?;
            }
            _ => {}
        }
        socket.bind(&self.address.into()).map_err(failed("bind"))?;
        Ok(socket.into())
    }

    /// Makes another descriptor of a socket that somebody else has bound to this address and interface, with everything that
    /// can still be set as [`Listener::open`] sets it.
    ///
    /// # Errors
    /// The step that failed, with the address it was for.
    pub fn adopt(&self, bound: &OwnedFd) -> Result<OwnedFd, OpenError> {
        let copy = bound.try_clone().map_err(|source| self.failed("dup", source))?;
        let socket = Socket::from(copy);
        socket.set_nonblocking(true).map_err(|source| self.failed("O_NONBLOCK", source))?;
        self.furnish(&socket)?;
        Ok(socket.into())
    }

    /// Sets what may be set at any time.
    fn furnish(&self, socket: &Socket) -> Result<(), OpenError> {
        let failed = |step| move |source| self.failed(step, source);
        let tos = u32::from(self.dscp & 0x3f) << 2;
        if self.address.is_ipv4() {
            set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1).map_err(failed("IP_PKTINFO"))?;
            set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
                .map_err(failed("IP_MTU_DISCOVER"))?;
            socket.set_tos_v4(tos).map_err(failed("IP_TOS"))?;
        } else {
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
                .map_err(failed("IPV6_RECVPKTINFO"))?;
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
                .map_err(failed("IPV6_MTU_DISCOVER"))?;
            socket.set_tclass_v6(tos).map_err(failed("IPV6_TCLASS"))?;
        }
        set(socket, libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1).map_err(failed("SO_TIMESTAMPNS"))?;
        // The kernel may grant less (`net.core.rmem_max`); a shorter queue is then all we can have.
        let _ = socket.set_recv_buffer_size(RECEIVE_QUEUE);
        Ok(())
    }
}

/// The address a socket is bound to, with the port the kernel chose if it was asked to.
///
/// # Errors
/// What `getsockname` said, or that the socket is neither IPv4 nor IPv6.
pub fn bound_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let socket = socket2::SockRef::from(socket);
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

/// Has the kernel give what comes in on that processor to this one of the sockets that share its port (`SO_INCOMING_CPU`; before Linux 6.2 it goes
/// on spreading them by a hash of both addresses).
///
/// # Errors
/// What `setsockopt` answers.
pub fn prefer_processor(socket: &OwnedFd, processor: usize) -> io::Result<()> {
    socket2::SockRef::from(socket).set_cpu_affinity(processor)
}

/// The processor that was named to [`prefer_processor`].
pub fn preferred_processor(socket: &OwnedFd) -> Option<usize> {
    let named = socket2::SockRef::from(socket).cpu_affinity().ok()?;
    // The kernel says -1 where none was.
    (named < libc::CPU_SETSIZE as usize).then_some(named)
}

/// Lets the kernel hold so many octets of datagrams for a socket that nobody has read yet, and as many again for what it notes of them itself;
/// `net.core.rmem_max` bounds it where `CAP_NET_ADMIN` is missing. Returns for how many it is now.
///
/// # Errors
/// What the kernel answers; not that it allows less.
pub fn set_receive_buffer(socket: BorrowedFd<'_>, octets: u32) -> io::Result<u32> {
    let wanted = c_int::try_from(octets).unwrap_or(c_int::MAX / 2).min(c_int::MAX / 2);
    if set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, wanted).is_err() {
        let granted = receive_buffer(socket)?;
        // Who may not go beyond the limit does not take away what somebody else has granted beyond it.
        if granted < octets && granted < allowed(wanted)? {
            set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, wanted)?;
        }
    }
    receive_buffer(socket)
}

/// What whoever asks for so much gets without a right.
fn allowed(wanted: c_int) -> io::Result<u32> {
    let trial = UnixDatagram::unbound()?;
    set(&trial.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, wanted)?;
    receive_buffer(trial.as_fd())
}

fn receive_buffer(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // The kernel says what it holds, with what it notes itself.
    let held = socket2::SockRef::from(&socket).recv_buffer_size()?;
    Ok(u32::try_from(held / 2).unwrap_or(u32::MAX))
}

/// A socket that could not be opened: at which step, for which address, and why.
#[derive(Debug)]
pub struct OpenError {
    /// The system call or option that failed.
    pub step: &'static str,
    /// The address the socket was for.
    pub address: SocketAddr,
    /// The interface it was for.
    pub interface: Option<String>,
    /// What the kernel said.
    pub source: io::Error,
}

impl OpenError {
    /// Whether somebody else has the port.
    pub fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interface = self.interface.as_deref();
        let device = interface.map(|name| format!(" on {name}")).unwrap_or_default();
        write!(f, "UDP socket for {}{device}: {}: {}", self.address, self.step, self.source)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Sets a socket option whose value is an `int`.
fn set(socket: &impl AsRawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which lives through the call; the kernel only reads it.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `SO_TIMESTAMPNS_NEW` of `asm-generic/socket.h` (Linux 5.1): stamps with 64-bit seconds on 32-bit machines too.
pub(crate) const SO_TIMESTAMPNS_NEW: c_int = 64;

/// `SO_TIMESTAMPING_NEW` of `asm-generic/socket.h` (Linux 5.1), likewise.
pub(crate) const SO_TIMESTAMPING_NEW: c_int = 65;

/// Octets we ask the kernel to queue while we are not looking: some thousand requests.
const RECEIVE_QUEUE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{IoSlice, IoSliceMut};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::{Duration, SystemTime};

    fn listener(address: &str) -> Listener {
        Listener { address: address.parse().unwrap(), interface: None, dscp: 46, shared: true }
    }

    fn receive_soon(ring: &mut Ring, socket: &OwnedFd, room: &mut [u8]) -> Arrival {
        for _ in 0..2000 {
            let mut rooms = [IoSliceMut::new(room)];
            if let Some(&arrival) = ring.receive(socket.as_fd(), &mut rooms).unwrap().first() {
                return arrival;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("nothing arrived");
    }

    fn check_answer_from_the_address_asked(listen: &str, ask: &str, from: &str) {
        let socket = listener(listen).open().unwrap();
        let port = bound_address(&socket).unwrap().port();
        let client = UdpSocket::bind(from).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let asked = SocketAddr::new(ask.parse().unwrap(), port);
        client.send_to(b"what time is it", asked).unwrap();
        let mut ring = Ring::new(4);
        let mut room = [0; 64];
        let arrival = receive_soon(&mut ring, &socket, &mut room);
        assert_eq!(&room[..arrival.len], b"what time is it");
        assert!(!arrival.truncated);
        assert_eq!(arrival.peer, client.local_addr().unwrap());
        let local = arrival.local.expect("packet information");
        assert_eq!(local.address, asked.ip());
        assert!(!local.group);
        let stamp = arrival.stamp.expect("a kernel receive stamp");
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            .cast_signed();
        assert!((now - stamp.seconds).abs() <= 5, "stamp {stamp:?} against {now} s");
        let answer = Outgoing { to: 0, octets: IoSlice::new(b"noon"), stamped: false };
        let sent = ring.send(socket.as_fd(), &[answer]);
        assert_eq!((sent.sent, sent.failed), (1, 0));
        let (len, source) = client.recv_from(&mut room).unwrap();
        assert_eq!((&room[..len], source), (&b"noon"[..], asked));
    }

    #[test]
    fn the_answer_leaves_from_the_address_that_was_asked() {
        check_answer_from_the_address_asked("0.0.0.0:0", "127.0.0.1", "127.0.0.1:0");
        check_answer_from_the_address_asked("0.0.0.0:0", "127.0.0.2", "127.0.0.1:0");
        check_answer_from_the_address_asked("127.0.0.3:0", "127.0.0.3", "127.0.0.1:0");
        check_answer_from_the_address_asked("[::]:0", "::1", "[::1]:0");
        check_answer_from_the_address_asked("[::1]:0", "::1", "[::1]:0");
    }

    #[test]
    fn answers_carry_their_code_point() {
        let (four, six) =
            (listener("127.0.0.1:0").open().unwrap(), listener("[::1]:0").open().unwrap());
        assert_eq!(socket2::SockRef::from(&four).tos_v4().unwrap(), 46 << 2);
        assert_eq!(socket2::SockRef::from(&six).tclass_v6().unwrap(), 46 << 2);
    }

    #[test]
    fn an_address_that_does_not_exist_yet_can_be_bound() {
        listener("192.0.2.77:0").open().expect("IP_FREEBIND");
        listener("[2001:db8::77]:0").open().expect("IPV6_FREEBIND");
    }

    fn most_allowed() -> u32 {
        let text = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        text.trim().parse().unwrap()
    }

    #[test]
    fn a_receive_buffer_is_as_large_as_the_kernel_allows() {
        let (socket, most) = (listener("127.0.0.1:0").open().unwrap(), most_allowed());
        assert_eq!(set_receive_buffer(socket.as_fd(), 100_000).unwrap(), 100_000);
        let got = set_receive_buffer(socket.as_fd(), most + 4096).unwrap();
        assert!([most, most + 4096].contains(&got), "{got} of {most}");
    }

    #[test]
    fn a_receive_buffer_that_was_granted_beyond_the_limit_is_not_taken_away() {
        let (socket, most) = (listener("127.0.0.1:0").open().unwrap(), most_allowed());
        let granted = set_receive_buffer(socket.as_fd(), 2 * most).unwrap();
        let without_rights = || {
            crate::caps::keep_only(&[]).unwrap();
            set_receive_buffer(socket.as_fd(), 4 * most).unwrap()
        };
        let got = std::thread::scope(|scope| scope.spawn(without_rights).join().unwrap());
        assert_eq!(got, granted);
    }

    #[test]
    fn what_comes_in_on_a_processor_goes_to_the_socket_that_prefers_it() {
        let processors = crate::schedule::processors();
        let first = listener("127.0.0.1:0").open().unwrap();
        let address = bound_address(&first).unwrap();
        let others =
            processors.iter().skip(1).map(|_| listener(&address.to_string()).open().unwrap());
        let sockets: Vec<OwnedFd> = std::iter::once(first).chain(others).collect();
        for (socket, processor) in sockets.iter().zip(&processors) {
            assert_eq!(preferred_processor(socket), None);
            prefer_processor(socket, *processor).unwrap();
            assert_eq!(preferred_processor(socket), Some(*processor));
        }
        // What is sent over loopback comes in on the processor it is sent on.
        let send_on = |processor: usize| {
            let send = move || {
                crate::schedule::stay_on(processor).unwrap();
                for _ in 0..20 {
                    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                    client.send_to(&[0; 48], address).unwrap();
                }
            };
            std::thread::spawn(send).join().unwrap();
        };
        for (place, processor) in processors.iter().enumerate() {
            send_on(*processor);
            for (other, socket) in sockets.iter().enumerate() {
                let (mut ring, mut rooms) = (Ring::new(32), vec![[0; 48]; 32]);
                let mut rooms: Vec<_> =
                    rooms.iter_mut().map(|room| IoSliceMut::new(room)).collect();
                let count = ring.receive(socket.as_fd(), &mut rooms).unwrap().len();
                let expected = if other == place { 20 } else { 0 };
                assert_eq!(count, expected, "sent on {processor}, socket {other}");
            }
        }
    }

    #[test]
    fn both_wildcards_share_a_port_number() {
        let six = listener("[::]:0").open().unwrap();
        let port = bound_address(&six).unwrap().port();
        listener(&format!("0.0.0.0:{port}")).open().expect("an IPv6 socket that takes IPv6 only");
    }

    #[test]
    fn a_taken_port_is_named() {
        let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = listener(&holder.local_addr().unwrap().to_string()).open().unwrap_err();
        assert!(error.is_taken());
        assert!(error.to_string().contains("bind"), "{error}");
    }

    #[test]
    fn a_datagram_longer_than_its_room_is_marked() {
        let socket = listener("127.0.0.1:0").open().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(&[7; 65], bound_address(&socket).unwrap()).unwrap();
        let arrival = receive_soon(&mut Ring::new(1), &socket, &mut [0; 64]);
        assert!(arrival.truncated);
        assert_eq!(arrival.len, 64);
    }

    #[test]
    fn a_batch_is_received_and_sent_whole() {
        let socket = listener("127.0.0.1:0").open().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let asked = bound_address(&socket).unwrap();
        for n in 0..5_u8 {
            client.send_to(&[n; 4], asked).unwrap();
        }
        let mut ring = Ring::new(8);
        let mut rooms = [[0_u8; 16]; 8];
        let mut slices = rooms.each_mut().map(|room| IoSliceMut::new(room));
        assert_eq!(ring.receive(socket.as_fd(), &mut slices).unwrap().len(), 5);
        let out: Vec<_> = [4_usize, 2, 0]
            .iter()
            .map(|&to| Outgoing { to, octets: IoSlice::new(&rooms[to][..4]), stamped: false })
            .collect();
        assert_eq!(ring.send(socket.as_fd(), &out).sent, 3);
        for n in [4_u8, 2, 0] {
            let mut answer = [0; 16];
            assert_eq!(client.recv(&mut answer).unwrap(), 4);
            assert_eq!(answer[..4], [n; 4]);
        }
    }

    #[test]
    fn one_answer_that_cannot_be_sent_does_not_hold_back_the_rest() {
        let socket = listener("127.0.0.1:0").open().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send_to(b"one", bound_address(&socket).unwrap()).unwrap();
        let mut ring = Ring::new(2);
        receive_soon(&mut ring, &socket, &mut [0; 16]);
        // Longer than any UDP datagram: the kernel refuses it (EMSGSIZE).
        let giant = vec![0; 70_000];
        let out = [
            Outgoing { to: 0, octets: IoSlice::new(&giant), stamped: false },
            Outgoing { to: 0, octets: IoSlice::new(b"small"), stamped: false },
            // Nobody wrote to us in that place of the batch.
            Outgoing { to: 1, octets: IoSlice::new(b"nobody"), stamped: false },
        ];
        let sent = ring.send(socket.as_fd(), &out);
        assert_eq!((sent.sent, sent.failed), (1, 2));
        let mut answer = [0; 16];
        assert_eq!(client.recv(&mut answer).unwrap(), 5);
    }
}
