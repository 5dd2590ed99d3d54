//! Control messages of the kernel's socket interface, read and written as octets.
//!
//! Each is a header (length as `usize`, level and type as `int`) followed by its body, padded to the size of `usize`. Reading them as
//! octets needs no pointer arithmetic, and a message that makes no sense ends the walk.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::c_int;
use noonmark_units::UnixTime;

use super::{Local, SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS_NEW};

/// Room for the control messages of one datagram: packet information (at most 40 octets) and a stamp (32); or what the error queue
/// has to say (three stamps in 64 octets, and up to 60 with an address). With some to spare.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control(pub(super) [u8; 192]);

/// A socket address as the kernel lays it out; room for IPv4 (16 octets) and IPv6 (28).
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Name(pub(super) [u8; 32]);

impl Name {
    /// The address, or `None` if it is of another family.
    pub(super) fn to_socket_addr(self) -> Option<SocketAddr> {
        let name = &self.0;
        let port = u16::from_be_bytes(array(name, 2)?);
        match c_int::from(u16::from_ne_bytes(array(name, 0)?)) {
            libc::AF_INET => {
                Some(SocketAddrV4::new(Ipv4Addr::from(array::<4>(name, 4)?), port).into())
            }
            libc::AF_INET6 => {
                let flow = u32::from_be_bytes(array(name, 4)?);
                let scope = u32::from_ne_bytes(array(name, 24)?);
                Some(
                    SocketAddrV6::new(Ipv6Addr::from(array::<16>(name, 8)?), port, flow, scope)
                        .into(),
                )
            }
            _ => None,
        }
    }
}

/// What the control messages of one datagram said.
#[derive(Clone, Copy, Default)]
pub(super) struct Facts {
    pub(super) local: Option<Local>,
    pub(super) stamp: Option<UnixTime>,
    /// From the error queue: the stamp is of when the datagram with this number left.
    pub(super) departed: Option<u32>,
}

/// Reads the control messages the kernel wrote.
pub(super) fn read(mut control: &[u8]) -> Facts {
    let mut facts = Facts::default();
    while let Some((level, kind, body, rest)) = split_message(control) {
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => facts.local = pktinfo_v4(body),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => facts.local = pktinfo_v6(body),
            (libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW) => facts.stamp = timespec(body),
            // Software, deprecated, hardware: the first is what we ask for, all zero where there is none.
            (libc::SOL_SOCKET, SO_TIMESTAMPING_NEW) => {
                facts.stamp = timespec(body).filter(|stamp| *stamp != UnixTime::EPOCH);
            }
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                facts.departed = departed(body);
            }
            _ => {}
        }
        control = rest;
    }
    facts
}

/// Writes the packet information that makes an answer leave from `local`, and returns its length.
pub(super) fn write_source(control: &mut Control, local: &Local) -> usize {
    let control = &mut control.0;
    match local.address {
        IpAddr::V4(address) => {
            // struct in_pktinfo: interface (0, the route decides), source address, a destination the kernel ignores.
            let mut body = [0; 12];
            body[4..8].copy_from_slice(&address.octets());
            write_message(control, libc::IPPROTO_IP, libc::IP_PKTINFO, &body)
        }
        IpAddr::V6(address) => {
            // struct in6_pktinfo: source address, interface. A link-local address means nothing without its link.
            let mut body = [0; 20];
            body[..16].copy_from_slice(&address.octets());
            if address.is_unicast_link_local() {
                body[16..].copy_from_slice(&local.interface.to_ne_bytes());
            }
            write_message(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &body)
        }
    }
}

/// Writes behind the first `written` octets that the kernel is to say when this datagram leaves, and returns the length of all.
pub(super) fn write_stamp_wanted(control: &mut Control, written: usize) -> usize {
    let wanted = libc::SOF_TIMESTAMPING_TX_SOFTWARE.to_ne_bytes();
    let rest = control.0.get_mut(written..).unwrap_or_default();
    written + write_message(rest, libc::SOL_SOCKET, SO_TIMESTAMPING_OLD, &wanted)
}

/// Level, type, body and what follows of the first message, or `None` at the end or if its length makes no sense.
fn split_message(control: &[u8]) -> Option<(c_int, c_int, &[u8], &[u8])> {
    let length = usize::from_ne_bytes(array(control, 0)?);
    let level = c_int::from_ne_bytes(array(control, size_of::<usize>())?);
    let kind = c_int::from_ne_bytes(array(control, size_of::<usize>() + 4)?);
    let body = control.get(HEADER..length)?;
    let rest = control.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or(&[]);
    Some((level, kind, body, rest))
}

fn write_message(control: &mut [u8], level: c_int, kind: c_int, body: &[u8]) -> usize {
    let (header, rest) = control.split_at_mut(HEADER);
    let (length, names) = header.split_at_mut(size_of::<usize>());
    length.copy_from_slice(&(HEADER + body.len()).to_ne_bytes());
    names[..4].copy_from_slice(&level.to_ne_bytes());
    names[4..8].copy_from_slice(&kind.to_ne_bytes());
    rest[..body.len()].copy_from_slice(body);
    (HEADER + body.len()).next_multiple_of(size_of::<usize>())
}

/// struct in_pktinfo: interface, the local address of the route, the destination in the IP header. The two differ exactly
/// when the datagram was sent to a broadcast or multicast address.
fn pktinfo_v4(body: &[u8]) -> Option<Local> {
    let local = Ipv4Addr::from(array::<4>(body, 4)?);
    let destination = Ipv4Addr::from(array::<4>(body, 8)?);
    let group = destination.is_multicast() || destination.is_broadcast() || local != destination;
    Some(Local {
        address: destination.into(),
        interface: u32::from_ne_bytes(array(body, 0)?),
        group,
    })
}

/// struct in6_pktinfo: the destination in the IP header, interface.
fn pktinfo_v6(body: &[u8]) -> Option<Local> {
    let destination = Ipv6Addr::from(array::<16>(body, 0)?);
    let interface = u32::from_ne_bytes(array(body, 16)?);
    Some(Local { address: destination.into(), interface, group: destination.is_multicast() })
}

/// struct sock_extended_err: errno (4 octets), origin, type, code, padding, info (4), data (4). With this origin it is no error: info
/// tells at which place the stamp was taken, data counts the datagrams sent through the socket.
fn departed(body: &[u8]) -> Option<u32> {
    const SO_EE_ORIGIN_TIMESTAMPING: u8 = 4;
    const SCM_TSTAMP_SND: u32 = 0;
    let [origin] = array(body, 4)?;
    let place = u32::from_ne_bytes(array(body, 8)?);
    let number = u32::from_ne_bytes(array(body, 12)?);
    (origin == SO_EE_ORIGIN_TIMESTAMPING && place == SCM_TSTAMP_SND).then_some(number)
}

/// struct __kernel_timespec: two 64-bit numbers on every machine.
fn timespec(body: &[u8]) -> Option<UnixTime> {
    let seconds = i64::from_ne_bytes(array(body, 0)?);
    let nanos = u32::try_from(i64::from_ne_bytes(array(body, 8)?)).ok()?;
    Some(UnixTime { seconds, nanos })
}

fn array<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..)?.first_chunk().copied()
}

/// `SO_TIMESTAMPING_OLD` of `asm-generic/socket.h`. As a control message of a datagram it wants a stamp and has no time in it, so there
/// is nothing new in the newer one, which some kernels do not take here.
const SO_TIMESTAMPING_OLD: c_int = 37;

/// Octets of a control message's header: length, level, type.
const HEADER: usize = size_of::<usize>() + 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: c_int, kind: c_int, body: &[u8]) -> Vec<u8> {
        let mut control = [0; 192];
        let length = write_message(&mut control, level, kind, body);
        control[..length].to_vec()
    }

    #[test]
    fn stamp_and_destination_are_read_in_any_order() {
        let mut body = [0; 20];
        body[..16].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        body[16] = 3_u32.to_ne_bytes()[0];
        let mut stamp = 4_102_444_800_i64.to_ne_bytes().to_vec();
        stamp.extend(999_999_999_i64.to_ne_bytes());
        let info = message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &body);
        let time = message(libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW, &stamp);
        let strange = message(77, 7, b"something else");
        for parts in [[&strange, &info, &time], [&time, &strange, &info], [&info, &time, &strange]]
        {
            let facts = read(&parts.into_iter().flatten().copied().collect::<Vec<_>>());
            assert_eq!(facts.stamp, Some(UnixTime { seconds: 4_102_444_800, nanos: 999_999_999 }));
            assert_eq!(facts.local.map(|local| local.address), Some(Ipv6Addr::LOCALHOST.into()));
        }
    }

    #[test]
    fn the_error_queue_tells_when_which_datagram_left() {
        let stamps = [7_i64, 8, 0, 0, 0, 0].map(i64::to_ne_bytes).concat();
        let error = |origin: u8, place: u32| {
            let numbers = [place, 42].map(u32::to_ne_bytes).concat();
            [&[0, 0, 0, 0, origin, 0, 0, 0][..], &numbers].concat()
        };
        let read_both = |stamps: &[u8], error: &[u8]| {
            let time = message(libc::SOL_SOCKET, SO_TIMESTAMPING_NEW, stamps);
            read(&[time, message(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, error)].concat())
        };
        let facts = read_both(&stamps, &error(4, 0));
        assert_eq!((facts.stamp, facts.departed), (Some(UnixTime::new(7, 8)), Some(42)));
        assert_eq!(read_both(&stamps, &error(4, 1)).departed, None, "taken by the scheduler");
        assert_eq!(read_both(&stamps, &error(2, 0)).departed, None, "an ICMP error");
        assert_eq!(read_both(&stamps, &error(4, 0)[..12]).departed, None, "cut short");
        assert_eq!(read_both(&[0; 48], &error(4, 0)).stamp, None, "no software stamp");
    }

    #[test]
    fn a_stamp_is_wanted_behind_the_source_or_alone() {
        let local = Local { address: Ipv4Addr::LOCALHOST.into(), interface: 1, group: false };
        let mut control = Control([0xee; 192]);
        let source = write_source(&mut control, &local);
        for before in [0, source] {
            let all = write_stamp_wanted(&mut control, before);
            let (level, kind, body, rest) = split_message(&control.0[before..all]).unwrap();
            assert_eq!((level, kind, rest), (libc::SOL_SOCKET, SO_TIMESTAMPING_OLD, &[][..]));
            assert_eq!(body, 2_u32.to_ne_bytes());
        }
    }

    #[test]
    fn a_datagram_to_a_group_is_told_apart() {
        let check = |local: [u8; 4], destination: [u8; 4], group| {
            let body = [[1, 0, 0, 0], local, destination].concat();
            let facts = read(&message(libc::IPPROTO_IP, libc::IP_PKTINFO, &body));
            assert_eq!(facts.local.unwrap().group, group, "{destination:?}");
        };
        check([10, 0, 0, 1], [10, 0, 0, 1], false);
        check([10, 0, 0, 1], [10, 0, 0, 255], true);
        check([10, 0, 0, 1], [255, 255, 255, 255], true);
        check([10, 0, 0, 1], [224, 0, 1, 1], true);
        let mut six = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x101).octets().to_vec();
        six.extend([2, 0, 0, 0]);
        assert!(read(&message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &six)).local.unwrap().group);
    }

    #[test]
    fn lengths_that_make_no_sense_end_the_walk() {
        for length in [0_usize, 1, 15, 129, usize::MAX, usize::MAX - 3] {
            let mut control = message(libc::IPPROTO_IP, libc::IP_PKTINFO, &[0; 12]);
            control[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
            assert!(read(&control).local.is_none(), "length {length}");
        }
        assert!(read(&[1, 2, 3]).stamp.is_none());
    }
}
