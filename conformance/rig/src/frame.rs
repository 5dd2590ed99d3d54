//! Ethernet frames that carry a UDP datagram: made and read over IPv4, looked at over IPv6.

use std::net::Ipv4Addr;

/// Octets before the UDP payload: Ethernet 14, IPv4 20, UDP 8.
pub const HEADERS: usize = 42;

/// What an Ethernet frame carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Octets 12..14 of a frame that carries it.
    pub fn ether_type(self) -> u16 {
        match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86dd,
        }
    }
}

/// A hardware address.
pub type Mac = [u8; 6];

/// A locally administered address that no interface has: answers to it are dropped by the client's protocol stack.
pub const NOBODY: Mac = [0x02, 0, 0, 0, 0, 0xee];

/// A hardware address from text.
///
/// # Errors
/// What was expected.
pub fn mac(text: &str) -> Result<Mac, String> {
    let octets: Result<Vec<u8>, _> =
        text.split(':').map(|octet| u8::from_str_radix(octet, 16)).collect();
    octets
        .ok()
        .and_then(|octets| octets.try_into().ok())
        .ok_or_else(|| "expected six octets such as 02:00:00:00:00:01".into())
}

/// Where frames go and what they claim to come from; the client's address changes from frame to frame.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The server's hardware address.
    pub to_mac: Mac,
    /// Ours, or one that nobody owns.
    pub from_mac: Mac,
    /// The server's address.
    pub to: Ipv4Addr,
    /// The server's port.
    pub port: u16,
}

/// The headers of one frame with `payload_len` octets of payload. The UDP checksum is left out, as IPv4 allows.
pub fn headers(route: &Route, from: Ipv4Addr, from_port: u16, payload_len: usize) -> [u8; HEADERS] {
    let mut frame = [0; HEADERS];
    let udp_len = (8 + payload_len) as u16;
    write_front(&mut frame, route, from, UDP, udp_len);
    frame[34..36].copy_from_slice(&from_port.to_be_bytes());
    frame[36..38].copy_from_slice(&route.port.to_be_bytes());
    frame[38..40].copy_from_slice(&udp_len.to_be_bytes());
    frame
}

/// A frame that asks for a TCP connection (RFC 9293 §3.5), without options.
pub fn syn(route: &Route, from: Ipv4Addr, from_port: u16, sequence: u32) -> [u8; SYN_LEN] {
    let mut frame = [0; SYN_LEN];
    write_front(&mut frame, route, from, TCP, TCP_HEADER as u16);
    frame[34..36].copy_from_slice(&from_port.to_be_bytes());
    frame[36..38].copy_from_slice(&route.port.to_be_bytes());
    frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    frame[46] = (TCP_HEADER as u8 / 4) << 4;
    frame[47] = 0x02; // SYN
    frame[48..50].copy_from_slice(&0xffff_u16.to_be_bytes()); // window
    // The checksum covers both addresses, protocol and length as well.
    let mut sum = [0; 12 + TCP_HEADER];
    sum[0..8].copy_from_slice(&frame[26..34]);
    sum[9] = TCP;
    sum[11] = TCP_HEADER as u8;
    sum[12..].copy_from_slice(&frame[34..]);
    frame[50..52].copy_from_slice(&checksum(&sum).to_be_bytes());
    frame
}

/// Writes Ethernet's and IPv4's header for `len` octets of a protocol.
fn write_front(frame: &mut [u8], route: &Route, from: Ipv4Addr, protocol: u8, len: u16) {
    frame[0..6].copy_from_slice(&route.to_mac);
    frame[6..12].copy_from_slice(&route.from_mac);
    frame[12..14].copy_from_slice(&0x0800_u16.to_be_bytes());
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&(20 + len).to_be_bytes());
    frame[20] = 0x40; // don't fragment
    frame[22] = 64; // time to live
    frame[23] = protocol;
    frame[26..30].copy_from_slice(&from.octets());
    frame[30..34].copy_from_slice(&route.to.octets());
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Octets of a TCP header without options.
const TCP_HEADER: usize = 20;
/// Octets of a frame made by [`syn`].
pub const SYN_LEN: usize = 34 + TCP_HEADER;

/// The UDP payload of a frame, if it is one from `port` and whole.
pub fn payload(frame: &[u8], port: u16) -> Option<&[u8]> {
    let udp = frame.get(34..HEADERS)?;
    let is_ours = frame.get(12..15)? == [0x08, 0x00, 0x45]
        && frame.get(23)? == &UDP
        && udp.get(0..2)? == port.to_be_bytes();
    let len = usize::from(u16::from_be_bytes([*udp.get(4)?, *udp.get(5)?]));
    if is_ours { frame.get(HEADERS..34 + len) } else { None }
}

/// Where a frame with UDP over IPv4 goes: address and port.
pub fn destination(frame: &[u8]) -> Option<(Ipv4Addr, u16)> {
    let address: [u8; 4] = frame.get(30..34)?.try_into().ok()?;
    let port = frame.get(36..38)?.try_into().ok()?;
    Some((address.into(), u16::from_be_bytes(port)))
}

/// The DS field (RFC 2474 §3) of a frame of that family: six bits of code point, two of congestion notification.
pub fn ds_field(frame: &[u8], family: Family) -> Option<u8> {
    let ([first, second], ether_type) = (frame.get(14..16)?.try_into().ok()?, frame.get(12..14)?);
    let version = match family {
        Family::V4 => 4,
        Family::V6 => 6,
    };
    if ether_type != family.ether_type().to_be_bytes() || first >> 4 != version {
        return None;
    }
    Some(match family {
        Family::V4 => second,
        // Behind the four bits of the version, before the flow label.
        Family::V6 => first << 4 | second >> 4,
    })
}

/// The Internet checksum (RFC 1071) of an even number of octets.
fn checksum(octets: &[u8]) -> u16 {
    let words = octets.as_chunks().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route = Route {
        to_mac: [2, 0, 0, 0, 0, 1],
        from_mac: [2, 0, 0, 0, 0, 0xee],
        to: Ipv4Addr::new(192, 0, 2, 1),
        port: 123,
    };

    #[test]
    fn the_header_sums_to_nothing_with_its_checksum() {
        for host in [0, 1, 0xffff] {
            let from = Ipv4Addr::from(0x0a00_0000 + host);
            let frame = headers(&ROUTE, from, 40_000, 48);
            assert_eq!(checksum(&frame[14..34]), 0, "client {from}");
            assert_eq!(frame[16..18], 76_u16.to_be_bytes());
        }
    }

    #[test]
    fn ds_field_is_found_in_both_families() {
        let check = |octets: [u8; 4], family, expected: Option<u8>| {
            let mut frame = vec![0; 54];
            frame[12..16].copy_from_slice(&octets);
            assert_eq!(ds_field(&frame, family), expected, "{octets:x?}");
        };
        // 46, expedited forwarding (RFC 3246), above two bits of its own.
        check([0x08, 0x00, 0x45, 46 << 2], Family::V4, Some(46 << 2));
        check([0x86, 0xdd, 0x6b, 0x8f], Family::V6, Some(46 << 2));
        check([0x86, 0xdd, 0x60, 0x0f], Family::V6, Some(0));
        check([0x86, 0xdd, 0x6b, 0x8f], Family::V4, None);
        check([0x08, 0x00, 0x6b, 0x8f], Family::V4, None);
        assert_eq!(ds_field(&[0; 15], Family::V4), None);
    }

    #[test]
    fn only_a_whole_answer_from_the_port_has_a_payload() {
        let answer = |port, len: usize, present: usize| {
            let back = Route { port: 40_000, ..ROUTE };
            let mut frame = headers(&back, Ipv4Addr::new(10, 0, 0, 1), port, len).to_vec();
            frame.extend(vec![7; present]);
            frame
        };
        let check = |frame: Vec<u8>, expected: Option<usize>| {
            assert_eq!(payload(&frame, 123).map(<[u8]>::len), expected);
        };
        check(answer(123, 48, 48), Some(48));
        check(answer(123, 48, 60), Some(48));
        check(answer(123, 48, 47), None);
        check(answer(124, 48, 48), None);
        check(answer(123, 0, 0), Some(0));
        check(vec![0; 30], None);
    }

    #[test]
    fn a_connection_request_sums_to_nothing_with_its_checksums() {
        let frame = syn(&ROUTE, Ipv4Addr::new(198, 51, 100, 7), 40_000, 0x0102_0304);
        assert_eq!(checksum(&frame[14..34]), 0);
        let pseudo = [&frame[26..34], &[0, 6, 0, 20]].concat();
        assert_eq!(checksum(&[&pseudo, &frame[34..]].concat()), 0);
    }

    #[test]
    fn the_destination_is_where_the_headers_were_made_to_go() {
        let frame = headers(&ROUTE, Ipv4Addr::new(10, 0, 0, 1), 40_000, 48);
        assert_eq!(destination(&frame), Some((ROUTE.to, 123)));
        assert_eq!(destination(&frame[..37]), None);
    }
}
