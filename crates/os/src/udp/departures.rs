//! When a server's answers left: the kernel's transmit stamps, a batch with one system call.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_uint, iovec, mmsghdr};
use noonmark_units::UnixTime;

use super::control::{self, Control, Facts};
use super::ring::empty_header;
use super::{SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS_NEW, set};

/// Has the kernel stamp what arrives through a socket of [`Listener`](super::Listener) and, with `departures`, those datagrams that are sent with
/// [`Outgoing::stamped`](super::Outgoing::stamped). It says when they left through the socket's error queue, which [`Departures`] empties; a
/// waiting stamp shows as an error condition (`POLLERR`).
///
/// # Errors
/// What `setsockopt` answers; arrivals are stamped as before then.
pub fn stamp(socket: impl AsFd, departures: bool) -> io::Result<()> {
    let socket = socket.as_fd();
    // One of the two suffices for arrivals, and with both each datagram would bring its stamp twice.
    let both = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE;
    if departures {
        set(&socket, libc::SOL_SOCKET, SO_TIMESTAMPING_NEW, both.cast_signed())?;
        set(&socket, libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW, 0)
    } else {
        set(&socket, libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1)?;
        set(&socket, libc::SOL_SOCKET, SO_TIMESTAMPING_NEW, 0)
    }
}

/// Takes departures from error queues, up to a batch at a time, with memory allocated once.
pub struct Departures {
    headers: Vec<mmsghdr>,
    controls: Vec<Control>,
    parts: Vec<iovec>,
    rooms: Vec<[u8; ROOM]>,
    /// Length and time of those last taken.
    taken: Vec<(usize, UnixTime)>,
}

impl Departures {
    /// For batches of up to `capacity` datagrams, at least 1.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let mut departures = Self {
            headers: vec![empty_header(); capacity],
            controls: vec![Control([0; 192]); capacity],
            parts: vec![iovec { iov_base: ptr::null_mut(), iov_len: ROOM }; capacity],
            rooms: vec![[0; ROOM]; capacity],
            taken: Vec::with_capacity(capacity),
        };
        let rooms = departures.rooms.as_mut_ptr();
        for (place, part) in departures.parts.iter_mut().enumerate() {
            part.iov_base = rooms.wrapping_add(place).cast();
        }
        let (parts, controls) = (departures.parts.as_mut_ptr(), departures.controls.as_mut_ptr());
        for (place, header) in departures.headers.iter_mut().enumerate() {
            header.msg_hdr.msg_iov = parts.wrapping_add(place);
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = controls.wrapping_add(place).cast();
        }
        departures
    }

    /// Takes what is known now, without blocking. Returns how many there were, of which [`Departures::each`] tells; as many as it has room for
    /// if there may be more.
    ///
    /// # Errors
    /// What the kernel said, except that nothing is waiting or that a signal came in between.
    pub fn take(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.taken.clear();
        for header in &mut self.headers {
            header.msg_hdr.msg_controllen = size_of::<Control>() as _;
            header.msg_hdr.msg_flags = 0;
        }
        // SAFETY: every header points to one part and one control buffer of ours, with their true sizes, and each part to a room of ours; none
        // of these vectors is ever resized, and nothing else refers to them while `self` is borrowed mutably.
        let taken = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as c_uint,
                (libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) as _,
                ptr::null_mut(),
            )
        };
        let Ok(taken) = usize::try_from(taken) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        };
        for (header, control) in self.headers.iter().zip(&self.controls).take(taken) {
            #[allow(clippy::unnecessary_cast, reason = "another integer on other C libraries")]
            let written = header.msg_hdr.msg_controllen as usize;
            let facts = control::read(control.0.get(..written).unwrap_or(&control.0));
            // What is not a departure keeps its place, without octets.
            self.taken.push(match facts {
                Facts { departed: Some(_), stamp: Some(at), .. } => (header.msg_len as usize, at),
                _ => (0, UnixTime::EPOCH),
            });
        }
        Ok(taken)
    }

    /// Those last taken, in the order in which they left: the first octets of the datagram, with the headers of its packet in front, and when the
    /// driver took it, by the machine's realtime clock.
    pub fn each(&self) -> impl Iterator<Item = (&[u8], UnixTime)> {
        let rooms = self.rooms.iter().zip(&self.taken);
        rooms.filter_map(|(room, (len, at))| Some((room.get(..(*len).min(ROOM))?, *at)))
    }
}

// SAFETY: every pointer kept in a header or part points into a vector owned by the same value.
unsafe impl Send for Departures {}

/// Room for headers of link and network, and 48 octets of NTP.
const ROOM: usize = 192;

#[cfg(test)]
mod tests {
    use super::super::{Listener, Outgoing, Ring, Watch, bound_address};
    use super::*;
    use crate::clock;
    use std::io::{IoSlice, IoSliceMut};
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    fn listener(address: &str) -> (OwnedFd, SocketAddr) {
        let address = address.parse().unwrap();
        let listener = Listener { address, interface: None, dscp: 0, shared: true };
        let socket = listener.open().unwrap();
        let bound = bound_address(&socket).unwrap();
        (socket, bound)
    }

    /// Receives what `client` sent and sends it back, asking for the stamps of those that `wanted` says.
    fn echo(ring: &mut Ring, socket: &OwnedFd, sent: usize, wanted: impl Fn(usize) -> bool) {
        let mut octets = [[0; 64]; 8];
        let mut rooms: Vec<_> = octets.iter_mut().map(|room| IoSliceMut::new(room)).collect();
        let mut watch = Watch::new([socket.as_fd()]);
        watch.wait(Some(Duration::from_secs(5))).unwrap();
        let arrivals = ring.receive(socket.as_fd(), &mut rooms).unwrap().to_vec();
        assert_eq!(arrivals.len(), sent);
        assert!(arrivals.iter().all(|arrival| arrival.stamp.is_some()), "arrivals are stamped");
        let answers: Vec<_> = (0..sent)
            .map(|to| Outgoing { to, octets: IoSlice::new(&octets[to]), stamped: wanted(to) })
            .collect();
        let result = ring.send(socket.as_fd(), &answers);
        assert_eq!((result.sent, result.failed), (sent, 0));
    }

    /// Arrivals are stamped some time after the first socket of the machine asked for it.
    fn wait_for_stamps(socket: &OwnedFd, client: &UdpSocket, to: SocketAddr) {
        let mut ring = Ring::new(1);
        for _ in 0..1000 {
            client.send_to(&[0; 8], to).unwrap();
            Watch::new([socket.as_fd()]).wait(Some(Duration::from_secs(5))).unwrap();
            let mut room = [0; 64];
            let mut rooms = [IoSliceMut::new(&mut room)];
            let arrivals = ring.receive(socket.as_fd(), &mut rooms).unwrap();
            if arrivals.iter().any(|arrival| arrival.stamp.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no arrival was stamped");
    }

    fn check(address: &str) {
        let (socket, to) = listener(address);
        stamp(&socket, true).unwrap();
        let client = UdpSocket::bind(address).unwrap();
        wait_for_stamps(&socket, &client, to);
        let mut departures = Departures::new(8);
        assert_eq!(departures.take(socket.as_fd()).unwrap(), 0);
        for number in 0..8_u8 {
            client.send_to(&[number; 64], to).unwrap();
        }
        let before = clock::realtime();
        echo(&mut Ring::new(8), &socket, 8, |place| place % 3 == 1);
        // A stamp that waits shows as an error and not as a datagram.
        let mut watch = Watch::new([socket.as_fd()]);
        watch.wait(Some(Duration::from_secs(5))).unwrap();
        assert!(watch.is_ready(0) && watch.has_error(0));
        let mut seen = Vec::new();
        for _ in 0..1000 {
            departures.take(socket.as_fd()).unwrap();
            for (octets, at) in departures.each() {
                assert!(before <= at && at <= clock::realtime(), "{before} {at}");
                seen.push(octets[octets.len() - 64..].to_vec());
            }
            if seen.len() >= 3 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // Those that were asked for and no others, in order, and none twice.
        assert_eq!(seen, [1, 4, 7].map(|number| vec![number; 64]));
        assert_eq!(departures.take(socket.as_fd()).unwrap(), 0);
        assert_eq!(departures.each().count(), 0);
        // Switched off, arrivals are stamped as before.
        stamp(&socket, false).unwrap();
        client.send_to(&[9; 64], to).unwrap();
        echo(&mut Ring::new(8), &socket, 1, |_| false);
        let mut watch = Watch::new([socket.as_fd()]);
        watch.wait(Some(Duration::from_millis(20))).unwrap();
        assert!(!watch.has_error(0));
    }

    #[test]
    fn answers_that_are_to_be_stamped_are_and_no_others() {
        check("127.0.0.1:0");
        check("[::1]:0");
    }
}
