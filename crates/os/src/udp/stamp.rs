//! Kernel stamps for a client: when its request left and when the answer came (`SO_TIMESTAMPING`).
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::{c_int, c_uint, iovec, msghdr, socklen_t};
use noonmark_units::UnixTime;

use super::control::{self, Control, Facts, Name};
use super::{SO_TIMESTAMPING_NEW, set};

/// When a datagram left this machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Departure {
    /// Which one: the first sent after [`stamp_both_ways`] is 0, the next 1, and so on, wrapping after 2³².
    pub number: u32,
    /// When the driver took it, by the machine's realtime clock.
    pub at: UnixTime,
}

/// A datagram that has been received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamped {
    /// Its length in octets, at most that of the room it was given.
    pub len: usize,
    /// Whether it was longer than its room; the rest is lost.
    pub truncated: bool,
    /// Who sent it.
    pub from: SocketAddr,
    /// When the kernel received it, by the machine's realtime clock. Missing at times just after the first socket of the machine
    /// asked for stamps.
    pub at: Option<UnixTime>,
}

/// Asks the kernel to stamp what comes and what goes through this UDP socket. The datagrams themselves are left alone.
///
/// # Errors
/// What `setsockopt` answers.
pub fn stamp_both_ways(socket: impl AsFd) -> io::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_RX_SOFTWARE
        | libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_ID
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    set(&socket.as_fd(), libc::SOL_SOCKET, SO_TIMESTAMPING_NEW, flags.cast_signed())
}

/// Takes one datagram if one waits; never blocks.
///
/// # Errors
/// What the kernel said, except that nothing waits or that a signal came in between. On a connected socket that is also what became
/// of an earlier datagram, such as [`io::ErrorKind::ConnectionRefused`]. [`io::ErrorKind::InvalidData`] for a sender that is neither
/// IPv4 nor IPv6.
pub fn receive_stamped(socket: impl AsFd, room: &mut [u8]) -> io::Result<Option<Stamped>> {
    let Some(message) = receive(socket.as_fd(), room, 0)? else { return Ok(None) };
    Ok(Some(Stamped {
        len: message.len,
        truncated: message.truncated,
        from: message.from.ok_or(io::ErrorKind::InvalidData)?,
        at: message.facts.stamp,
    }))
}

/// Takes the stamp of one datagram that left, if one waits; never blocks. A waiting stamp shows as an error condition of the socket
/// (`POLLERR`), and is nearly always there when the answer is.
///
/// # Errors
/// What the kernel said, except that nothing waits.
pub fn departure(socket: impl AsFd) -> io::Result<Option<Departure>> {
    let socket = socket.as_fd();
    // What is not a departure (an ICMP error, where somebody asked for these) makes way for what comes after it.
    while let Some(message) = receive(socket, &mut [], libc::MSG_ERRQUEUE)? {
        if let Facts { departed: Some(number), stamp: Some(at), .. } = message.facts {
            return Ok(Some(Departure { number, at }));
        }
    }
    Ok(None)
}

struct Message {
    len: usize,
    truncated: bool,
    from: Option<SocketAddr>,
    facts: Facts,
}

fn receive(socket: BorrowedFd<'_>, room: &mut [u8], flags: c_int) -> io::Result<Option<Message>> {
    let mut name = Name([0; 32]);
    let mut control = Control([0; 192]);
    let mut part = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: a message header is integers and pointers (and padding on some C libraries), all of which may be zero.
    let mut header: msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<Name>() as socklen_t;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = size_of::<Control>() as _;
    // SAFETY: the header points to a live name, part and control buffer with their true sizes; the part is `room`, borrowed mutably.
    let received =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags | libc::MSG_DONTWAIT) };
    let len = match crate::checked_len(received) {
        Ok(len) => len,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        }
    };
    #[allow(clippy::unnecessary_cast, reason = "another integer on other C libraries")]
    let written = header.msg_controllen as usize;
    Ok(Some(Message {
        len: len.min(room.len()),
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        from: name.to_socket_addr(),
        facts: control::read(control.0.get(..written).unwrap_or(&control.0)),
    }))
}

const _: () = assert!(size_of::<c_uint>() == size_of::<c_int>(), "flags are passed as int");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, poll};
    use std::net::UdpSocket;
    use std::time::Duration;

    fn pair(address: &str) -> (UdpSocket, UdpSocket) {
        let [one, other] = [0, 1].map(|_| UdpSocket::bind(address).expect("loopback"));
        for socket in [&one, &other] {
            stamp_both_ways(socket).expect("Linux has software stamps");
        }
        (one, other)
    }

    /// Waits as long as it takes for something to be taken.
    fn soon<T>(socket: &UdpSocket, mut take: impl FnMut() -> io::Result<Option<T>>) -> T {
        for _ in 0..5000 {
            if let Some(taken) = take().expect("no error") {
                return taken;
            }
            poll::readable(&[socket.as_fd()], Some(Duration::from_millis(1))).expect("poll");
        }
        panic!("nothing came");
    }

    /// The kernel begins to stamp arrivals some time after the first socket has asked for it. Returns the next departure's number.
    fn wait_for_stamps(client: &UdpSocket, server: &UdpSocket) -> u32 {
        let to = server.local_addr().expect("bound");
        for number in 0..1000 {
            client.send_to(&[7; 48], to).expect("loopback takes it");
            assert_eq!(soon(client, || departure(client)).number, number);
            if soon(server, || receive_stamped(server, &mut [0; 64])).at.is_some() {
                return number + 1;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no arrival was stamped within 10 s");
    }

    fn check_that_stamps_lie_in_order(address: &str) {
        let (client, server) = pair(address);
        let to = server.local_addr().expect("bound");
        let first = wait_for_stamps(&client, &server);
        let mut stamped_arrivals = 0;
        for number in first..first + 100 {
            let before = clock::realtime();
            client.send_to(&[7; 48], to).expect("loopback takes it");
            let after = clock::realtime();
            let left = soon(&client, || departure(&client));
            let mut room = [0; 64];
            let came = soon(&server, || receive_stamped(&server, &mut room));
            assert_eq!(left.number, number);
            assert!(before <= left.at && left.at <= after, "{before} {} {after}", left.at);
            assert_eq!((came.len, came.truncated), (48, false));
            assert_eq!(came.from, client.local_addr().expect("bound"));
            assert_eq!(room[..49], [[7; 48].as_slice(), &[0]].concat());
            if let Some(came) = came.at {
                stamped_arrivals += 1;
                assert!(left.at <= came && came <= clock::realtime(), "{} {came}", left.at);
            }
        }
        assert!(stamped_arrivals >= 50, "{stamped_arrivals} of 100 arrivals had stamps");
        assert_eq!(departure(&client).expect("no error"), None);
        assert_eq!(departure(&server).expect("no error"), None, "it sent nothing");
    }

    #[test]
    fn a_datagram_leaves_between_the_calls_and_before_it_arrives() {
        check_that_stamps_lie_in_order("127.0.0.1:0");
        check_that_stamps_lie_in_order("[::1]:0");
    }

    #[test]
    fn a_connected_socket_is_stamped_and_told_of_a_closed_port() {
        let (client, server) = pair("127.0.0.1:0");
        client.connect(server.local_addr().expect("bound")).expect("loopback");
        client.send(b"one").expect("loopback takes it");
        assert_eq!(soon(&client, || departure(&client)).number, 0);
        drop(server);
        client.send(b"two").expect("loopback takes it");
        assert_eq!(soon(&client, || departure(&client)).number, 1, "it left all the same");
        let refused = receive_stamped(&client, &mut [0; 8]).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn nothing_waiting_is_no_error_and_a_short_room_is_told() {
        let (client, server) = pair("127.0.0.1:0");
        assert_eq!(receive_stamped(&server, &mut [0; 8]).expect("no error"), None);
        client.send_to(&[1; 9], server.local_addr().expect("bound")).expect("loopback");
        let mut room = [0; 8];
        let came = soon(&server, || receive_stamped(&server, &mut room));
        assert_eq!((came.len, came.truncated), (8, true));
    }
}
