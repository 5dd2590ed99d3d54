//! What passed, as a recording in the format of libpcap that every analyser reads.
//!
//! The packets are made up around the octets that were seen: their IP, UDP and TCP headers say who spoke to whom and when, and were not on the
//! wire in this form. A TCP connection has its handshake, its octets and nothing of how they were cut.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::evidence::{Carrier, Direction, Passage};
use crate::octets::len16;

/// A recording of these; what was said inside TLS is left out, since its TLS records are there.
#[must_use]
pub fn recording(passages: &[Passage]) -> Vec<u8> {
    let mut file = Vec::new();
    // Microseconds, version 2.4, packets that begin with an IP header (LINKTYPE_RAW).
    for word in [0xa1b2_c3d4_u32, 2 << 16 | 4, 0, 0, 1 << 18, 101] {
        file.extend(word.to_be_bytes());
    }
    let mut connections: HashMap<(SocketAddr, SocketAddr), Connection> = HashMap::new();
    for passage in passages {
        let (from, to) = match passage.direction {
            Direction::Sent => (passage.here, passage.there),
            Direction::Received => (passage.there, passage.here),
        };
        match passage.carrier {
            Carrier::Ke => {}
            Carrier::Ntp => put(
                &mut file,
                passage.at_us,
                &packet(from, to, UDP, &udp(from, to, &passage.octets)),
            ),
            Carrier::Tls => {
                let connection =
                    connections.entry((passage.here, passage.there)).or_insert_with(|| {
                        for packet in opening(passage.here, passage.there) {
                            put(&mut file, passage.at_us, &packet);
                        }
                        Connection { sent: 1, received: 1 }
                    });
                for part in passage.octets.chunks(16_000) {
                    let (seq, ack) = connection.advance(passage.direction, part.len());
                    put(
                        &mut file,
                        passage.at_us,
                        &packet(from, to, TCP, &tcp(from, to, seq, ack, PUSH_ACK, part)),
                    );
                }
            }
        }
    }
    file
}

const UDP: u8 = 17;
const TCP: u8 = 6;
const SYN: u8 = 2;
const ACK: u8 = 16;
const PUSH_ACK: u8 = 24;

/// How many octets have gone either way.
struct Connection {
    sent: u32,
    received: u32,
}

impl Connection {
    /// The sequence and acknowledgement number of the next segment.
    fn advance(&mut self, direction: Direction, len: usize) -> (u32, u32) {
        let len = u32::try_from(len).unwrap_or(0);
        match direction {
            Direction::Sent => {
                let numbers = (self.sent, self.received);
                self.sent = self.sent.wrapping_add(len);
                numbers
            }
            Direction::Received => {
                let numbers = (self.received, self.sent);
                self.received = self.received.wrapping_add(len);
                numbers
            }
        }
    }
}

fn opening(here: SocketAddr, there: SocketAddr) -> [Vec<u8>; 3] {
    [(here, there, 0, 0, SYN), (there, here, 0, 1, SYN | ACK), (here, there, 1, 1, ACK)].map(
        |(from, to, seq, ack, flags)| packet(from, to, TCP, &tcp(from, to, seq, ack, flags, &[])),
    )
}

fn put(file: &mut Vec<u8>, at_us: u64, packet: &[u8]) {
    let len = u32::try_from(packet.len()).unwrap_or(0);
    let seconds = u32::try_from(at_us / 1_000_000).unwrap_or(u32::MAX);
    let micros = u32::try_from(at_us % 1_000_000).unwrap_or(0);
    for word in [seconds, micros, len, len] {
        file.extend(word.to_be_bytes());
    }
    file.extend(packet);
}

/// An IP packet around a payload; two families never speak to each other.
fn packet(from: SocketAddr, to: SocketAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = [
                &[0x45, 0][..],
                &len16(20 + payload.len()),
                &[0, 0, 0x40, 0, 64, protocol, 0, 0],
                &from.octets(),
                &to.octets(),
            ]
            .concat();
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum);
            [&header, payload].concat()
        }
        (from, to) => {
            let address = |address: IpAddr| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            [
                &[0x60, 0, 0, 0][..],
                &len16(payload.len()),
                &[protocol, 64],
                &address(from),
                &address(to),
                payload,
            ]
            .concat()
        }
    }
}

fn udp(from: SocketAddr, to: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let mut datagram = [
        &from.port().to_be_bytes()[..],
        &to.port().to_be_bytes(),
        &len16(8 + octets.len()),
        &[0, 0],
        octets,
    ]
    .concat();
    let sum = checksum(&[pseudo(from, to, UDP, datagram.len()), datagram.clone()].concat());
    // A sum of zero is written as its other form (RFC 768).
    datagram[6..8].copy_from_slice(if sum == [0, 0] { &[0xff, 0xff] } else { &sum });
    datagram
}

fn tcp(from: SocketAddr, to: SocketAddr, seq: u32, ack: u32, flags: u8, octets: &[u8]) -> Vec<u8> {
    let mut segment = [
        &from.port().to_be_bytes()[..],
        &to.port().to_be_bytes(),
        &seq.to_be_bytes(),
        &ack.to_be_bytes(),
        &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
        octets,
    ]
    .concat();
    let sum = checksum(&[pseudo(from, to, TCP, segment.len()), segment.clone()].concat());
    segment[16..18].copy_from_slice(&sum);
    segment
}

/// What the checksums of UDP and TCP cover besides.
fn pseudo(from: SocketAddr, to: SocketAddr, protocol: u8, len: usize) -> Vec<u8> {
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            [&from.octets()[..], &to.octets(), &[0, protocol], &len16(len)].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            [&from.octets()[..], &to.octets(), &[0, 0], &len16(len), &[0, 0, 0, protocol]].concat()
        }
        _ => Vec::new(),
    }
}

/// The internet checksum (RFC 1071).
fn checksum(octets: &[u8]) -> [u8; 2] {
    let (pairs, rest) = octets.as_chunks::<2>();
    let mut sum: u64 = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum();
    sum += rest.first().map_or(0, |octet| u64::from(*octet) << 8);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap_or(0)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        // RFC 1071 §3: the sum of these is ddf2.
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            (!0xddf2_u16).to_be_bytes()
        );
        assert_eq!(checksum(&[1]), (!0x0100_u16).to_be_bytes());
    }

    #[test]
    fn a_recording_has_a_packet_for_each_passage_and_an_opening_for_each_connection() {
        let passage = |carrier, direction, octets: &[u8]| Passage {
            at_us: 1_000_001,
            direction,
            carrier,
            here: "127.0.0.1:50000".parse().expect("an address"),
            there: "127.0.0.1:123".parse().expect("an address"),
            meaning: String::new(),
            octets: octets.to_vec(),
        };
        let file = recording(&[
            passage(Carrier::Ntp, Direction::Sent, &[1; 48]),
            passage(Carrier::Ntp, Direction::Received, &[2; 48]),
            passage(Carrier::Ke, Direction::Sent, &[3; 16]),
            passage(Carrier::Tls, Direction::Sent, &[4; 10]),
            passage(Carrier::Tls, Direction::Received, &[5; 20_000]),
        ]);
        let udp = 16 + 20 + 8 + 48;
        let segments = 3 * (16 + 40) + (16 + 40 + 10) + 2 * (16 + 40) + 20_000;
        assert_eq!(file.len(), 24 + 2 * udp + segments);
        assert_eq!(file[24..32], [0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(file[24 + 16], 0x45);
    }
}
