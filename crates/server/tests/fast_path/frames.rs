//! Ethernet frames with a UDP datagram, made and taken apart octet by octet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Hardware addresses.
pub(crate) const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 0xee];

/// A frame with a datagram, before it is octets.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) to_mac: [u8; 6],
    pub(crate) from_mac: [u8; 6],
    /// Tag control information behind 0x8100.
    pub(crate) tag: Option<u16>,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// DS field.
    pub(crate) class: u8,
    pub(crate) hops: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// A request from somebody.
    pub(crate) fn request(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Self {
        Self {
            to_mac: SERVER,
            from_mac: CLIENT,
            tag: None,
            from,
            to,
            class: 0,
            hops: 57,
            payload: payload.to_vec(),
        }
    }

    /// Its octets, with good checksums.
    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut octets = [self.to_mac, self.from_mac].concat();
        if let Some(tag) = self.tag {
            octets.extend([0x81, 0x00]);
            octets.extend(tag.to_be_bytes());
        }
        let mut udp = Vec::new();
        let len = (8 + self.payload.len()) as u16;
        for word in [self.from.port(), self.to.port(), len, 0] {
            udp.extend(word.to_be_bytes());
        }
        udp.extend(&self.payload);
        let pseudo = pseudo_header(self.from.ip(), self.to.ip(), len);
        let sum = !sum(&[&pseudo[..], &udp].concat());
        udp[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                octets.extend([0x08, 0x00]);
                let mut ip = vec![0x45, self.class];
                ip.extend((20 + len).to_be_bytes());
                ip.extend([0x12, 0x34, 0x40, 0, self.hops, 17, 0, 0]);
                ip.extend(from.octets());
                ip.extend(to.octets());
                let check = !self::sum(&ip);
                ip[10..12].copy_from_slice(&check.to_be_bytes());
                octets.extend(ip);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                octets.extend([
                    0x86,
                    0xdd,
                    0x60 | self.class >> 4,
                    self.class << 4 | 5,
                    0x43,
                    0x21,
                ]);
                octets.extend(len.to_be_bytes());
                octets.extend([17, self.hops]);
                octets.extend(from.octets());
                octets.extend(to.octets());
            }
            _ => panic!("two families"),
        }
        octets.extend(udp);
        octets
    }

    /// What octets say; every length and checksum must be right.
    pub(crate) fn read(octets: &[u8]) -> Self {
        let mut rest = octets;
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            rest = left;
            taken.to_vec()
        };
        let mac = |octets: Vec<u8>| <[u8; 6]>::try_from(octets).unwrap();
        let (to_mac, from_mac) = (mac(take(6)), mac(take(6)));
        let mut kind = take(2);
        let mut tag = None;
        if kind == [0x81, 0x00] {
            tag = Some(u16::from_be_bytes(take(2).try_into().unwrap()));
            kind = take(2);
        }
        let (from, to, class, hops): (IpAddr, IpAddr, u8, u8);
        if kind == [0x08, 0x00] {
            let ip = take(20);
            assert_eq!((ip[0], sum(&ip)), (0x45, 0xffff), "header with its checksum");
            assert_eq!(&ip[4..8], [0, 0, 0x40, 0], "no identification where nothing is fragmented");
            let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&ip[at..at + 4]).unwrap());
            (from, to, class, hops) = (address(12).into(), address(16).into(), ip[1], ip[8]);
            assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), 20 + rest.len());
        } else {
            let ip = take(40);
            assert_eq!((kind, ip[0] >> 4, ip[6]), (vec![0x86, 0xdd], 6, 17));
            assert_eq!((ip[1] & 0xf, ip[2], ip[3]), (0, 0, 0), "no flow label");
            let address =
                |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).unwrap());
            (from, to) = (address(8).into(), address(24).into());
            (class, hops) = (ip[0] << 4 | ip[1] >> 4, ip[7]);
            assert_eq!(usize::from(u16::from_be_bytes([ip[4], ip[5]])), rest.len());
        }
        let word = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        assert_eq!(usize::from(word(4)), rest.len());
        assert_ne!(word(6), 0, "a checksum");
        assert_eq!(sum(&[&pseudo_header(from, to, word(4))[..], rest].concat()), 0xffff);
        let (from, to) = (SocketAddr::new(from, word(0)), SocketAddr::new(to, word(2)));
        Self { to_mac, from_mac, tag, from, to, class, hops, payload: rest[8..].to_vec() }
    }
}

fn pseudo_header(from: IpAddr, to: IpAddr, len: u16) -> Vec<u8> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    [octets(from), octets(to), vec![0, 17], len.to_be_bytes().to_vec()].concat()
}

/// The ones' complement sum of an octet string (RFC 1071), padded with a zero.
pub(crate) fn sum(octets: &[u8]) -> u16 {
    let words = octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
