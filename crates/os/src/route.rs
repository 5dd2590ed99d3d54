//! Which way datagrams take out of this machine, and word of it when that may have changed (rtnetlink).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

mod message;

use message::question;
pub use message::{Answer, answer, tells_of_change};

/// Asks the kernel for the way to an address, and hears when interfaces, addresses or routes change.
///
/// Its descriptor can be read after any such change: wait for it with anything that waits for descriptors, then
/// [`look`](RouteWatch::look). Which of the changes matter is seen by asking again for [the way](RouteWatch::way_to).
/// Needs no privilege, sends nothing over any network, and believes nobody but the kernel.
#[derive(Debug)]
pub struct RouteWatch {
    changes: OwnedFd,
    questions: OwnedFd,
    sequence: u32,
}

/// Where datagrams to some address leave this machine.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Way {
    /// The number of the interface.
    pub interface: u32,
    /// The router that gets them; `None` where the address is on the link.
    pub gateway: Option<IpAddr>,
    /// The address of ours they carry.
    pub source: Option<IpAddr>,
}

/// What was heard since the last look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Heard {
    /// Whether an interface, an address or a route came, went or changed; also if there was more to hear than the kernel keeps.
    pub changed: bool,
    /// Whether more waits to be heard: a look takes no longer than it may.
    pub unfinished: bool,
}

impl RouteWatch {
    /// Listens from now on.
    ///
    /// # Errors
    /// What the kernel answers; it has a limit of descriptors, and a container may have no rtnetlink.
    pub fn new() -> io::Result<Self> {
        let changes = open()?;
        bind(&changes, GROUPS)?;
        let questions = open()?;
        bind(&questions, 0)?;
        Ok(Self { changes, questions, sequence: 0 })
    }

    /// Hears what has come since the last look, some hundred messages at most, without waiting.
    ///
    /// # Errors
    /// What receiving answers, other than that there is nothing or that something was lost.
    pub fn look(&mut self) -> io::Result<Heard> {
        let mut room = [0; LONGEST_MESSAGE];
        let mut heard = Heard::default();
        for _ in 0..MOST_AT_ONCE {
            match receive(&self.changes, &mut room) {
                Ok(Some(octets)) => heard.changed |= tells_of_change(octets),
                // Anybody on this machine may send to us.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(heard),
                // What did not find room is lost; that something changed is known all the same.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => heard.changed = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        heard.unfinished = true;
        Ok(heard)
    }

    /// The way to `address` as routes and rules have it now, through `interface` unless that is 0; `None` if there is none.
    ///
    /// # Errors
    /// What sending and receiving answer, or [`InvalidData`](io::ErrorKind::InvalidData) if the kernel says something else.
    pub fn way_to(&mut self, address: IpAddr, interface: u32) -> io::Result<Option<Way>> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let mut room = [0; LONGEST_MESSAGE];
        send(&self.questions, &question(self.sequence, address, interface))?;
        // The kernel answers while it takes the question, so the answer waits by now.
        for _ in 0..MOST_AT_ONCE {
            let Some(octets) = receive(&self.questions, &mut room)? else { continue };
            match answer(octets, self.sequence) {
                Some(Answer::Way(way)) => return Ok(Some(way)),
                Some(Answer::Nowhere) => return Ok(None),
                None => {}
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl AsFd for RouteWatch {
    /// Readable once something changed since the last look.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointer is passed.
    let fd = crate::checked(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    // SAFETY: the call succeeded, so this is a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bind(socket: &OwnedFd, groups: u32) -> io::Result<()> {
    let mut address = kernel();
    address.nl_groups = groups;
    // SAFETY: `address` is a live sockaddr_nl of the length given.
    crate::checked(unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length(&address))
    })
    .map(drop)
}

fn send(socket: &OwnedFd, octets: &[u8]) -> io::Result<()> {
    // SAFETY: `octets` is live and as long as said. A netlink socket that is not connected sends to the kernel.
    crate::checked_len(unsafe {
        libc::send(socket.as_raw_fd(), octets.as_ptr().cast(), octets.len(), 0)
    })
    .map(drop)
}

/// The next datagram, cut to `room`; `None` if it does not come from the kernel.
fn receive<'a>(socket: &OwnedFd, room: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
    let mut from = kernel();
    from.nl_pid = u32::MAX;
    let mut from_len = length(&from);
    // SAFETY: at most `room.len()` octets are written to `room` and `from_len` to `from`, both live and writable.
    let len = crate::checked_len(unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            room.as_mut_ptr().cast(),
            room.len(),
            0,
            (&raw mut from).cast(),
            &raw mut from_len,
        )
    })?;
    let is_kernel = from_len == length(&from) && from.nl_pid == 0;
    Ok(is_kernel.then(|| room.get(..len).unwrap_or_default()))
}

/// The kernel's netlink address.
fn kernel() -> libc::sockaddr_nl {
    // SAFETY: all zeros is a valid sockaddr_nl.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = AF_NETLINK;
    address
}

fn length(address: &libc::sockaddr_nl) -> libc::socklen_t {
    std::mem::size_of_val(address) as libc::socklen_t
}

const AF_NETLINK: libc::sa_family_t = libc::AF_NETLINK as libc::sa_family_t;
/// Interfaces, addresses and routes; not neighbours, of which there may be thousands.
const GROUPS: u32 = (libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE) as u32;
/// The kernel makes messages of at most a page, longer ones only where it is asked for much.
const LONGEST_MESSAGE: usize = 4096;
const MOST_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn this_machine_is_reached_through_itself() {
        let mut watch = RouteWatch::new().expect("rtnetlink");
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let way = watch.way_to(address, 0).expect("an answer").expect("a way");
            assert_eq!((way.interface, way.gateway), (1, None), "{address}");
            assert_eq!(watch.way_to(address, 0).expect("an answer"), Some(way), "the same again");
        }
    }

    #[test]
    fn to_an_interface_that_is_not_there_no_way_leads() {
        let mut watch = RouteWatch::new().expect("rtnetlink");
        let link_local = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(watch.way_to(link_local, 0x7fff_fff0).expect("an answer"), None);
    }

    #[test]
    fn nothing_is_heard_where_nothing_changes_and_strangers_are_not_heard() {
        let mut watch = RouteWatch::new().expect("rtnetlink");
        // Other tests may change nothing here, but the machine may.
        let quiet = (0..50).any(|_| watch.look().expect("readable") == Heard::default());
        assert!(quiet);
        let stranger = open().expect("a socket");
        bind(&stranger, 0).expect("bound");
        // What it says would be a change, if the kernel said it.
        let mut octets = question(1, Ipv4Addr::LOCALHOST.into(), 0);
        octets[4..6].copy_from_slice(&libc::RTM_NEWROUTE.to_ne_bytes());
        let mut to = kernel();
        to.nl_pid = address_of(&watch.changes);
        // SAFETY: `octets` and `to` are live and as long as said.
        let sent = unsafe {
            libc::sendto(
                stranger.as_raw_fd(),
                octets.as_ptr().cast(),
                octets.len(),
                0,
                (&raw const to).cast(),
                length(&to),
            )
        };
        // The kernel lets only the privileged try.
        if sent > 0 {
            let mut room = [0; 64];
            let heard = receive(&watch.changes, &mut room).expect("readable");
            assert!(heard.is_none(), "from a process");
        }
    }

    /// The port id of a socket.
    fn address_of(socket: &OwnedFd) -> u32 {
        let mut address = kernel();
        let mut len = length(&address);
        // SAFETY: at most `len` octets are written to `address`, which is live and writable.
        let done = unsafe {
            libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut len)
        };
        assert_eq!(done, 0);
        address.nl_pid
    }
}
