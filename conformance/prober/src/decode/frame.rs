//! From a frame of a recording to what UDP carried.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::capture::Frame;
use crate::octets::u16_at;

/// What a frame carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Carried<'a> {
    /// A UDP datagram.
    Udp(Origin, &'a [u8]),
    /// Something that would matter and cannot be read, and why.
    Unread(String),
    /// Other traffic.
    Other,
}

/// Where a datagram came from and went to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Octets it had when it was sent; more than were recorded if the recording cut it.
    pub length: usize,
}

/// Reads the layers of a frame. `ke_port`: that of NTS key establishment over TCP.
pub(super) fn carried<'a>(frame: &Frame<'a>, ke_port: u16) -> Carried<'a> {
    match network(frame) {
        Ok(Some(packet)) => internet(packet, ke_port),
        Ok(None) => Carried::Other,
        Err(why) => Carried::Unread(why),
    }
}

/// What the link layer carries, if it is IP.
fn network<'a>(frame: &Frame<'a>) -> Result<Option<&'a [u8]>, String> {
    let octets = frame.octets;
    let from = |at: usize| octets.get(at..).filter(|rest| !rest.is_empty());
    match frame.link {
        // A number of the address family in some order; the packet itself says which IP it is.
        NULL | LOOP => Ok(from(4)),
        ETHERNET => Ok(ethernet(octets)),
        RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => Ok(from(0)),
        LINUX_SLL => Ok(u16_at(octets, 14).filter(is_ip).and_then(|_| from(16))),
        LINUX_SLL2 => Ok(u16_at(octets, 0).filter(is_ip).and_then(|_| from(20))),
        link => Err(format!("link type {link} is not known")),
    }
}

fn is_ip(kind: &u16) -> bool {
    matches!(*kind, 0x0800 | 0x86dd)
}

/// What an Ethernet frame carries behind up to two VLAN tags.
fn ethernet(octets: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    for _ in 0..3 {
        match u16_at(octets, at)? {
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            kind => return is_ip(&kind).then(|| octets.get(at + 2..)).flatten(),
        }
    }
    None
}

fn internet(packet: &[u8], ke_port: u16) -> Carried<'_> {
    let carried = match packet.first().map(|first| first >> 4) {
        Some(4) => ipv4(packet, ke_port),
        Some(6) => ipv6(packet, ke_port),
        _ => None,
    };
    carried.unwrap_or(Carried::Other)
}

fn ipv4(packet: &[u8], ke_port: u16) -> Option<Carried<'_>> {
    let head = packet.first_chunk::<20>()?;
    let (head_len, whole) = (usize::from(head[0] & 15) * 4, usize::from(u16_at(head, 2)?));
    let address =
        |at: usize| Some(IpAddr::V4(Ipv4Addr::from(*head.get(at..)?.first_chunk::<4>()?)));
    let protocol = head[9];
    if u16_at(head, 6)? & 0x3fff != 0 {
        return Some(fragment(protocol));
    }
    // A length of 0 is left to the network card to fill in; what is padding of the link layer is cut off.
    let end = if whole == 0 { packet.len() } else { whole.min(packet.len()) };
    transport(protocol, address(12)?, address(16)?, packet.get(head_len.max(20)..end)?, ke_port)
}

fn ipv6(packet: &[u8], ke_port: u16) -> Option<Carried<'_>> {
    let head = packet.first_chunk::<40>()?;
    let address =
        |at: usize| Some(IpAddr::V6(Ipv6Addr::from(*head.get(at..)?.first_chunk::<16>()?)));
    let whole = 40 + usize::from(u16_at(head, 4)?);
    let (mut protocol, mut rest) = (head[6], packet.get(40..whole.min(packet.len()))?);
    for _ in 0..MOST_HEADERS {
        let len = match protocol {
            // Hop by hop, routing, destination.
            0 | 43 | 60 => 8 + usize::from(*rest.get(1)?) * 8,
            44 if u16_at(rest, 2)? & 0xfff9 != 0 => return Some(fragment(*rest.first()?)),
            44 => 8,
            _ => break,
        };
        protocol = *rest.first()?;
        rest = rest.get(len..)?;
    }
    transport(protocol, address(8)?, address(24)?, rest, ke_port)
}

fn fragment(protocol: u8) -> Carried<'static> {
    match protocol {
        UDP => Carried::Unread(
            "a fragment of a UDP datagram; fragments are not put together".to_owned(),
        ),
        _ => Carried::Other,
    }
}

fn transport(
    protocol: u8,
    from: IpAddr,
    to: IpAddr,
    octets: &[u8],
    ke_port: u16,
) -> Option<Carried<'_>> {
    let (from, to) =
        (SocketAddr::new(from, u16_at(octets, 0)?), SocketAddr::new(to, u16_at(octets, 2)?));
    match protocol {
        UDP => {
            let length = usize::from(u16_at(octets, 4)?).checked_sub(8)?;
            let body = octets.get(8..)?;
            Some(Carried::Udp(Origin { from, to, length }, body.get(..length).unwrap_or(body)))
        }
        TCP if [from.port(), to.port()].contains(&ke_port) => {
            let said = octets.get(usize::from(octets.get(12)? >> 4) * 4..).unwrap_or_default();
            if said.is_empty() {
                return None;
            }
            let what = format!(
                "{from} > {to}: {} octets of NTS key establishment, which TLS hides",
                said.len()
            );
            Some(Carried::Unread(what))
        }
        _ => None,
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Extension headers of IPv6 that are looked through.
const MOST_HEADERS: usize = 16;

// Link types, from the registry of pcap's.
const NULL: u32 = 0;
const ETHERNET: u32 = 1;
const RAW_BSD: u32 = 12;
const RAW_OPENBSD: u32 = 14;
const RAW: u32 = 101;
const LOOP: u32 = 108;
const LINUX_SLL: u32 = 113;
const IPV4: u32 = 228;
const IPV6: u32 = 229;
const LINUX_SLL2: u32 = 276;

#[cfg(test)]
mod tests {
    use super::*;

    /// UDP from port 1 to port 2 with the payload `hi`.
    const DATAGRAM: [u8; 10] = [0, 1, 0, 2, 0, 10, 0, 0, b'h', b'i'];

    fn v4(flags: u8) -> Vec<u8> {
        let mut packet =
            vec![0x45, 0, 0, 30, 0, 0, flags, 0, 64, UDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet.extend(DATAGRAM);
        packet
    }

    /// With the extension headers given, each of 8 octets.
    fn v6(headers: &[(u8, [u8; 7])]) -> Vec<u8> {
        let len = u8::try_from(headers.len() * 8 + 10).expect("short");
        let kinds: Vec<u8> = headers.iter().map(|(kind, _)| *kind).chain([UDP]).collect();
        let mut packet = vec![0x60, 0, 0, 0, 0, len, kinds[0], 64];
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        for ((_, body), next) in headers.iter().zip(&kinds[1..]) {
            packet.push(*next);
            packet.extend(body);
        }
        packet.extend(DATAGRAM);
        packet
    }

    fn under(link: u32, before: &[u8], packet: &[u8]) -> String {
        let octets = [before, packet].concat();
        match carried(&Frame { at_ns: None, link, octets: &octets }, 4460) {
            Carried::Udp(origin, octets) => {
                format!("{} > {}: {}", origin.from, origin.to, octets.escape_ascii())
            }
            Carried::Unread(why) => why,
            Carried::Other => "other".to_owned(),
        }
    }

    #[test]
    fn datagrams_are_found_under_every_link_layer() {
        let (four, six) =
            ("192.0.2.1:1 > 192.0.2.2:2: hi", "[2001:db8::1]:1 > [2001:db8::2]:2: hi");
        let check = |link: u32, before: &[u8], packet: &[u8], expected: &str| {
            assert_eq!(under(link, before, packet), expected, "{link} {before:?}");
        };
        check(RAW, &[], &v4(0x40), four);
        check(IPV6, &[], &v6(&[]), six);
        check(NULL, &[2, 0, 0, 0], &v4(0), four);
        let mut ethernet = vec![0; 12];
        ethernet.extend([8, 0]);
        check(ETHERNET, &ethernet, &v4(0), four);
        let vlans = [&ethernet[..12], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x86, 0xdd]].concat();
        check(ETHERNET, &vlans, &v6(&[]), six);
        check(ETHERNET, &[0; 14], &v4(0), "other");
        let mut cooked = vec![0; 14];
        cooked.extend([8, 0]);
        check(LINUX_SLL, &cooked, &v4(0), four);
        let mut cooked = vec![0x86, 0xdd];
        cooked.resize(20, 0);
        check(LINUX_SLL2, &cooked, &v6(&[]), six);
        check(77, &[], &v4(0), "link type 77 is not known");
    }

    #[test]
    fn fragments_are_not_read_and_extension_headers_are_passed() {
        let fragment = "a fragment of a UDP datagram; fragments are not put together";
        assert_eq!(under(RAW, &[], &v4(0x20)), fragment);
        let six = "[2001:db8::1]:1 > [2001:db8::2]:2: hi";
        assert_eq!(under(RAW, &[], &v6(&[(0, [0; 7]), (60, [0; 7]), (44, [0; 7])])), six);
        assert_eq!(under(RAW, &[], &v6(&[(44, [0, 0, 1, 0, 0, 0, 0])])), fragment);
    }

    #[test]
    fn what_is_cut_off_is_no_datagram() {
        for len in 0..v4(0).len() - 2 {
            assert_eq!(under(RAW, &[], &v4(0)[..len]), "other", "{len}");
        }
    }

    #[test]
    fn key_establishment_is_said_to_be_hidden() {
        let mut packet = v4(0);
        packet[9] = TCP;
        packet[3] = 43;
        packet.truncate(20);
        packet
            .extend([0x11, 0x6c, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        assert!(
            under(RAW, &[], &packet).contains("3 octets of NTS key establishment, which TLS hides")
        );
    }
}
