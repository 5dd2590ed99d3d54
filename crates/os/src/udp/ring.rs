//! [`Ring`]: one batch of datagrams in, one batch out, one system call each.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_uint, iovec, mmsghdr, socklen_t};
use noonmark_units::UnixTime;

use super::control::{self, Control, Name};

/// Message headers, addresses and control buffers for one batch, made once and used again for every batch.
///
/// The octets themselves are the caller's: they are lent to [`Ring::receive`] and [`Ring::send`] for the length of the call.
pub struct Ring {
    incoming: Vec<mmsghdr>,
    outgoing: Vec<mmsghdr>,
    names: Vec<Name>,
    controls: Vec<Control>,
    sources: Vec<Control>,
    parts: Vec<iovec>,
    arrivals: Vec<Arrival>,
    /// How many of `incoming` the last receive filled; only those need their lengths put back.
    touched: usize,
}

/// A datagram that has been received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Arrival {
    /// Its length in octets, at most that of the room it was given.
    pub len: usize,
    /// Whether it was longer than its room; the rest is lost.
    pub truncated: bool,
    /// Who sent it. The unspecified IPv4 address with port 0 if the kernel did not say.
    pub peer: SocketAddr,
    /// The address of ours it was sent to.
    pub local: Option<Local>,
    /// When the kernel received it, by the machine's realtime clock.
    pub stamp: Option<UnixTime>,
}

/// The address a datagram was sent to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Local {
    /// Destination address in the IP header.
    pub address: IpAddr,
    /// Index of the interface it came in by.
    pub interface: u32,
    /// Whether it is a broadcast or multicast address, so not one to answer from.
    pub group: bool,
}

/// An answer to one of the datagrams last received.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The place in the batch of the datagram it answers.
    pub to: usize,
    /// What to send.
    pub octets: IoSlice<'a>,
    /// Whether the kernel is to say when it left, on a socket that [`stamp`](fn@super::stamp) was called on for that: somebody has to take it.
    pub stamped: bool,
}

/// What became of a batch of answers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sent {
    /// Taken by the kernel.
    pub sent: usize,
    /// Refused by the kernel, or addressed to a place nobody had written from.
    pub failed: usize,
}

impl Ring {
    /// A ring for batches of up to `capacity` datagrams, at least 1.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let mut ring = Self {
            incoming: vec![empty_header(); capacity],
            outgoing: vec![empty_header(); capacity],
            names: vec![Name([0; 32]); capacity],
            controls: vec![Control([0; 192]); capacity],
            sources: vec![Control([0; 192]); capacity],
            parts: vec![iovec { iov_base: ptr::null_mut(), iov_len: 0 }; capacity],
            arrivals: Vec::with_capacity(capacity),
            touched: capacity,
        };
        let (names, controls) = (ring.names.as_mut_ptr(), ring.controls.as_mut_ptr());
        for (place, header) in ring.incoming.iter_mut().enumerate() {
            header.msg_hdr.msg_name = names.wrapping_add(place).cast();
            header.msg_hdr.msg_control = controls.wrapping_add(place).cast();
            header.msg_hdr.msg_iovlen = 1;
        }
        ring
    }

    /// Receives what is waiting, without blocking, into `rooms`: as many datagrams as there are rooms and places in the ring.
    ///
    /// An empty slice means that nothing was waiting. The arrivals stay valid as destinations for [`Ring::send`] until the next call.
    ///
    /// # Errors
    /// What the kernel said, except that nothing is waiting or that a signal came in between.
    pub fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        rooms: &mut [IoSliceMut<'_>],
    ) -> io::Result<&[Arrival]> {
        let places = rooms.len().min(self.incoming.len());
        for header in &mut self.incoming[..self.touched] {
            header.msg_hdr.msg_namelen = size_of::<Name>() as socklen_t;
            header.msg_hdr.msg_controllen = size_of::<Control>() as _;
            header.msg_hdr.msg_flags = 0;
        }
        self.touched = 0;
        self.arrivals.clear();
        // IoSliceMut is promised to have the layout of iovec.
        let parts = rooms.as_mut_ptr().cast::<iovec>();
        for (place, header) in self.incoming[..places].iter_mut().enumerate() {
            header.msg_hdr.msg_iov = parts.wrapping_add(place);
        }
        // SAFETY: the first `places` headers point to names and controls of this ring, whose vectors are never resized, with
        // their true sizes, and to one part each in `rooms`, which is borrowed mutably until we return.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.incoming.as_mut_ptr(),
                places as c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(&[]),
                _ => Err(error),
            };
        };
        self.touched = received.min(places);
        for (place, header) in self.incoming[..self.touched].iter().enumerate() {
            let control = &self.controls[place].0;
            #[allow(clippy::unnecessary_cast, reason = "another integer on other C libraries")]
            let written = header.msg_hdr.msg_controllen as usize;
            let facts = control::read(control.get(..written).unwrap_or(control));
            self.arrivals.push(Arrival {
                len: (header.msg_len as usize).min(rooms[place].len()),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                peer: self.names[place].to_socket_addr().unwrap_or(NOBODY),
                local: facts.local,
                stamp: facts.stamp,
            });
        }
        Ok(&self.arrivals)
    }

    /// Sends answers to datagrams of the last receive, each to its sender and from the address it was sent to.
    ///
    /// Never blocks: what the kernel does not take is counted as failed and forgotten, for an answer that is late is wrong.
    pub fn send(&mut self, socket: BorrowedFd<'_>, answers: &[Outgoing<'_>]) -> Sent {
        let mut result = Sent::default();
        let mut prepared = 0;
        for answer in answers {
            let (Some(arrival), Some(header)) =
                (self.arrivals.get(answer.to), self.outgoing.get_mut(prepared))
            else {
                result.failed += 1;
                continue;
            };
            let part = &mut self.parts[prepared];
            part.iov_base = answer.octets.as_ptr().cast_mut().cast();
            part.iov_len = answer.octets.len();
            let source = &mut self.sources[prepared];
            let message = &mut header.msg_hdr;
            // The kernel only reads these: the octets and the name are not written through the pointers.
            message.msg_name = self.names.as_ptr().wrapping_add(answer.to).cast_mut().cast();
            message.msg_namelen = self.incoming[answer.to].msg_hdr.msg_namelen;
            message.msg_iov = part;
            message.msg_iovlen = 1;
            let mut written = match &arrival.local {
                Some(local) if !local.group => control::write_source(source, local),
                _ => 0,
            };
            if answer.stamped {
                written = control::write_stamp_wanted(source, written);
            }
            message.msg_controllen = written as _;
            message.msg_control = if message.msg_controllen == 0 {
                ptr::null_mut()
            } else {
                source.0.as_mut_ptr().cast()
            };
            prepared += 1;
        }
        let mut next = 0;
        while next < prepared {
            // SAFETY: the headers from `next` to `prepared` were set above: names and control buffers belong to this ring, the
            // parts point to octets borrowed by `answers` until we return, and each length is that of what it describes.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.outgoing.as_mut_ptr().add(next),
                    (prepared - next) as c_uint,
                    libc::MSG_DONTWAIT as _,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => {
                    result.sent += sent;
                    next += sent;
                }
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The kernel stops at the first it cannot send: leave that one out and go on.
                _ => {
                    result.failed += 1;
                    next += 1;
                }
            }
        }
        result
    }

    /// The datagrams of the last receive.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }
}

// SAFETY: every pointer kept in a header points into a vector owned by the same ring, or was set for the length of one call.
unsafe impl Send for Ring {}

pub(super) fn empty_header() -> mmsghdr {
    // SAFETY: a message header is integers and pointers (and padding on some C libraries), all of which may be zero.
    unsafe { std::mem::zeroed() }
}

const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
