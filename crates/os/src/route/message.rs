//! Messages of rtnetlink (rtnetlink(7)): a header of 16 octets, a fixed part, attributes of a header of 4 octets and what they hold,
//! each padded to 4; numbers in the machine's own order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Way;

/// What the kernel says to a question for the way to an address.
#[derive(Debug, Eq, PartialEq)]
pub enum Answer {
    /// This way.
    Way(Way),
    /// There is no way, or one that leads nowhere on purpose.
    Nowhere,
}

/// Whether a datagram of the kernel tells that an interface, an address or a route came, went or changed.
#[must_use]
pub fn tells_of_change(datagram: &[u8]) -> bool {
    messages(datagram).any(|message| CHANGES.contains(&message.kind))
}

/// Asks for the way to `address`, through `interface` unless that is 0.
pub(super) fn question(sequence: u32, address: IpAddr, interface: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(ROUTE_LEN + 32);
    let (family, bits) = match address {
        IpAddr::V4(_) => (AF_INET, 32),
        IpAddr::V6(_) => (AF_INET6, 128),
    };
    body.extend([family, bits]);
    body.resize(ROUTE_LEN, 0);
    match address {
        IpAddr::V4(address) => attribute(&mut body, RTA_DST, &address.octets()),
        IpAddr::V6(address) => attribute(&mut body, RTA_DST, &address.octets()),
    }
    if interface != 0 {
        attribute(&mut body, RTA_OIF, &interface.to_ne_bytes());
    }
    message(libc::RTM_GETROUTE, sequence, &body)
}

/// The answer to the question of this number in a datagram of the kernel.
#[must_use]
pub fn answer(datagram: &[u8], sequence: u32) -> Option<Answer> {
    let ours = messages(datagram).find(|message| message.sequence == sequence)?;
    match ours.kind {
        ERROR => Some(Answer::Nowhere),
        libc::RTM_NEWROUTE => way(ours.body),
        _ => None,
    }
}

fn way(body: &[u8]) -> Option<Answer> {
    let (fixed, attributes) = body.split_at_checked(ROUTE_LEN)?;
    // Blackholes and the like have types of their own.
    if !matches!(fixed.get(TYPE_AT), Some(&RTN_UNICAST | &RTN_LOCAL)) {
        return Some(Answer::Nowhere);
    }
    let mut way = Way { interface: 0, gateway: None, source: None };
    let mut rest = attributes;
    while let Some((kind, octets, after)) = part(rest, |head: &[u8; 4]| {
        (
            u16::from_ne_bytes([head[2], head[3]]),
            usize::from(u16::from_ne_bytes([head[0], head[1]])),
        )
    }) {
        match kind {
            RTA_OIF => way.interface = u32::from_ne_bytes(octets.try_into().ok()?),
            RTA_GATEWAY => way.gateway = Some(address(octets)?),
            // A router of the other family: two octets of family, then the address.
            RTA_VIA => way.gateway = Some(address(octets.get(2..)?)?),
            RTA_PREFSRC => way.source = Some(address(octets)?),
            _ => {}
        }
        rest = after;
    }
    Some(Answer::Way(way))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into()),
        _ => None,
    }
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages in a datagram, up to the first that is cut or says nonsense of its length.
fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let ((kind, sequence), body, after) = part(rest, |head: &[u8; HEADER_LEN]| {
            let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, _, _, _, _] = *head;
            let len = u32::from_ne_bytes([l0, l1, l2, l3]);
            let kind = u16::from_ne_bytes([k0, k1]);
            ((kind, u32::from_ne_bytes([s0, s1, s2, s3])), usize::try_from(len).unwrap_or(0))
        })?;
        rest = after;
        Some(Message { kind, sequence, body })
    })
}

/// Splits what begins with a header of `N` octets: what the header says, what it holds, and what follows the padding.
/// `read` finds in the header what it says and the length of both together.
fn part<const N: usize, T>(
    octets: &[u8],
    read: impl FnOnce(&[u8; N]) -> (T, usize),
) -> Option<(T, &[u8], &[u8])> {
    let (said, len) = read(octets.first_chunk()?);
    let held = octets.get(N..len)?;
    let after = octets.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((said, held, after))
}

fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let len = HEADER_LEN + body.len();
    let mut octets = Vec::with_capacity(len);
    octets.extend((len as u32).to_ne_bytes());
    octets.extend(kind.to_ne_bytes());
    octets.extend(REQUEST.to_ne_bytes());
    octets.extend(sequence.to_ne_bytes());
    octets.extend([0; 4]);
    octets.extend(body);
    octets
}

fn attribute(to: &mut Vec<u8>, kind: u16, octets: &[u8]) {
    to.extend((4 + octets.len() as u16).to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(octets);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// Interfaces, addresses, routes (linux/rtnetlink.h).
const CHANGES: [u16; 6] = [
    libc::RTM_NEWLINK,
    libc::RTM_DELLINK,
    libc::RTM_NEWADDR,
    libc::RTM_DELADDR,
    libc::RTM_NEWROUTE,
    libc::RTM_DELROUTE,
];
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;
const RTA_DST: u16 = libc::RTA_DST;
const RTA_OIF: u16 = libc::RTA_OIF;
const RTA_GATEWAY: u16 = libc::RTA_GATEWAY;
const RTA_PREFSRC: u16 = libc::RTA_PREFSRC;
const RTA_VIA: u16 = 18;
const RTN_UNICAST: u8 = libc::RTN_UNICAST;
const RTN_LOCAL: u8 = libc::RTN_LOCAL;
/// `struct nlmsghdr`.
const HEADER_LEN: usize = 16;
/// `struct rtmsg`, and where its type stands.
const ROUTE_LEN: usize = 12;
const TYPE_AT: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A route as the kernel describes it.
    fn route(sequence: u32, kind: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0; ROUTE_LEN];
        body[TYPE_AT] = kind;
        for (kind, octets) in attributes {
            attribute(&mut body, *kind, octets);
        }
        message(libc::RTM_NEWROUTE, sequence, &body)
    }

    #[test]
    fn a_question_names_the_address_and_the_interface() {
        fn check(address: &str, interface: u32, len: usize, ends: &[u8]) {
            let octets = question(7, address.parse().expect("an address"), interface);
            let message = messages(&octets).next().expect("whole");
            assert_eq!((octets.len(), message.kind, message.sequence), (len, 26, 7), "{address}");
            assert!(octets.ends_with(ends), "{address}: {octets:?}");
        }
        check("192.0.2.1", 0, 36, &[192, 0, 2, 1]);
        check("192.0.2.1", 3, 44, &3_u32.to_ne_bytes());
        check("2001:db8::9", 0, 48, &[0, 0, 0, 9]);
        check("fe80::9", 2, 56, &2_u32.to_ne_bytes());
    }

    #[test]
    fn an_answer_is_read_wherever_it_stands() {
        fn check(datagram: &[u8], expected: Option<Answer>) {
            assert_eq!(answer(datagram, 7), expected, "{datagram:?}");
        }
        let interface = 3_u32.to_ne_bytes();
        let (gateway, source) = ([192, 0, 2, 254], [192, 0, 2, 9]);
        let attributes: [(u16, &[u8]); 4] =
            [(99, b"odd"), (4, &interface), (5, &gateway), (7, &source)];
        let way = Way { interface: 3, gateway: Some(gateway.into()), source: Some(source.into()) };
        let octets = route(7, 1, &attributes);
        check(&octets, Some(Answer::Way(way)));
        check(&[route(6, 1, &[]), octets.clone()].concat(), Some(Answer::Way(way)));
        check(&route(7, 6, &attributes), Some(Answer::Nowhere));
        check(&route(8, 1, &attributes), None);
        let via = [&[10, 0][..], &[0xfe, 0x80], &[0; 13], &[1]].concat();
        let router = Way { gateway: Some("fe80::1".parse().expect("one")), source: None, ..way };
        check(&route(7, 1, &[(4, &interface), (18, &via)]), Some(Answer::Way(router)));
        check(&message(2, 7, &(-101_i32).to_ne_bytes()), Some(Answer::Nowhere));
        check(&octets[..octets.len() - 1], None);
        check(&route(7, 1, &[(4, &[1])]), None);
        check(&[], None);
    }

    #[test]
    fn only_interfaces_addresses_and_routes_count_as_changes() {
        for (kind, expected) in
            [(16, true), (17, true), (20, true), (21, true), (24, true), (25, true)]
                .into_iter()
                .chain([(2, false), (3, false), (28, false), (29, false), (68, false)])
        {
            assert_eq!(tells_of_change(&message(kind, 0, &[0; 8])), expected, "{kind}");
        }
        let second = [message(28, 0, &[0; 5]), vec![0; 3], message(24, 0, &[])].concat();
        assert!(tells_of_change(&second), "behind padding");
        assert!(!tells_of_change(&second[..30]));
    }

    proptest! {
        #[test]
        fn no_octets_disturb(octets in proptest::collection::vec(any::<u8>(), 0..200), len in 0u32..220) {
            let _ = (tells_of_change(&octets), answer(&octets, 7));
            let mut framed = message(24, 7, &octets);
            framed[..4].copy_from_slice(&len.to_ne_bytes());
            let _ = (tells_of_change(&framed), answer(&framed, 7));
        }
    }
}
