//! Frames with requests for time as no socket sends them, and which way a server answers each.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::frame::Mac;

/// Which way an answer comes, if any.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// From a program in the kernel, where there is one; else as from the sockets.
    Fast,
    /// From the sockets.
    Sockets,
    /// From nobody.
    Nobody,
}

impl Way {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Sockets => "sockets",
            Self::Nobody => "none",
        }
    }
}

/// A frame, or a few that belong together.
pub struct Odd {
    /// What is odd about it.
    pub name: &'static str,
    /// Who answers it.
    pub way: Way,
    is_v6: bool,
    /// VLAN of its tag.
    tag: Option<u16>,
    change: Change,
}

/// What is done to an ordinary one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    Nothing,
    /// First octet of the payload.
    First(u8),
    /// Octets of payload.
    Length(usize),
    /// Four octets of padding as options of IPv4.
    Options,
    /// Two frames, each with a part.
    Parts,
    /// No UDP checksum.
    NoChecksum,
    /// A wrong one.
    WrongChecksum,
    /// A wrong one of the IPv4 header.
    WrongHeader,
    /// An extension header of IPv6, of padding for who forwards it.
    Extension,
    /// Octets behind the datagram.
    Padding,
    /// Length of UDP shorter than the datagram.
    ShortUdp,
    /// To another port.
    Port,
    /// To an address of nobody.
    Elsewhere,
    /// An origin as in interleaved mode.
    Origin,
}

/// Who asks whom: ours, then the server's.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The server's hardware address.
    pub to_mac: Mac,
    /// Ours.
    pub from_mac: Mac,
    /// Over IPv4.
    pub v4: (Ipv4Addr, Ipv4Addr),
    /// Over IPv6.
    pub v6: (Ipv6Addr, Ipv6Addr),
}

/// All of them. VLAN 5 is one the server is told of.
pub fn frames() -> Vec<Odd> {
    use Change::{
        Elsewhere, Extension, First, Length, NoChecksum, Nothing, Options, Origin, Padding, Parts,
        Port, ShortUdp, WrongChecksum, WrongHeader,
    };
    use Way::{Fast, Nobody, Sockets};
    let row = |name, way, is_v6, tag, change| Odd { name, way, is_v6, tag, change };
    vec![
        row("IPv4", Fast, false, None, Nothing),
        row("IPv6", Fast, true, None, Nothing),
        row("IPv4 version 3", Fast, false, None, First(0x1b)),
        row("IPv6 version 3", Fast, true, None, First(0x1b)),
        row("IPv4 tagged", Fast, false, Some(5), Nothing),
        row("IPv6 tagged", Fast, true, Some(5), Nothing),
        row("IPv4 without a checksum", Fast, false, None, NoChecksum),
        row("IPv4 tagged for others", Nobody, false, Some(6), Nothing),
        row("IPv6 tagged for others", Nobody, true, Some(6), Nothing),
        row("IPv4 version 2", Sockets, false, None, First(0x13)),
        row("IPv6 version 1", Sockets, true, None, First(0x0b)),
        row("IPv4 version 5", Nobody, false, None, First(0x2b)),
        row("IPv4 mode 4", Nobody, false, None, First(0x24)),
        row("IPv4 mode 6", Nobody, false, None, First(0x26)),
        row("IPv4 short", Nobody, false, None, Length(47)),
        row("IPv6 short", Nobody, true, None, Length(44)),
        row("IPv4 with an extension field", Sockets, false, None, Length(76)),
        row("IPv4 with options", Sockets, false, None, Options),
        row("IPv4 in parts", Sockets, false, None, Parts),
        row("IPv4 with a wrong checksum", Nobody, false, None, WrongChecksum),
        row("IPv6 with a wrong checksum", Nobody, true, None, WrongChecksum),
        row("IPv6 without a checksum", Nobody, true, None, NoChecksum),
        row("IPv4 with a wrong header checksum", Nobody, false, None, WrongHeader),
        row("IPv6 with an extension header", Sockets, true, None, Extension),
        row("IPv4 with octets behind it", Sockets, false, None, Padding),
        row("IPv4 with a short UDP length", Nobody, false, None, ShortUdp),
        row("IPv4 to another port", Nobody, false, None, Port),
        row("IPv4 to nobody", Nobody, false, None, Elsewhere),
        row("IPv4 with an origin", Sockets, false, None, Origin),
    ]
}

impl Odd {
    /// Its octets; `mark` is the transmit stamp of the request.
    pub fn octets(&self, ends: &Ends, mark: u64) -> Vec<Vec<u8>> {
        let mut payload = vec![0_u8; 48];
        payload[0] = 0x23;
        payload[40..48].copy_from_slice(&mark.to_be_bytes());
        match self.change {
            Change::First(first) => payload[0] = first,
            Change::Length(len) if len > 48 => {
                // A field that nobody knows, of that length.
                let len = len - 48;
                payload.extend([0x7f, 0x01, (len >> 8) as u8, len as u8]);
                payload.resize(48 + len, 0);
            }
            Change::Length(len) => payload.truncate(len),
            Change::Origin => payload[31] = 1,
            _ => {}
        }
        let port = if self.change == Change::Port { 124 } else { 123_u16 };
        let udp_len = (8 + payload.len()) as u16;
        let said_len = if self.change == Change::ShortUdp { 55 } else { udp_len };
        let mut udp = Vec::new();
        for word in [FROM_PORT, port, said_len, 0] {
            udp.extend(word.to_be_bytes());
        }
        udp.extend(payload);
        let v4_to = if self.change == Change::Elsewhere { nobody(ends.v4.1) } else { ends.v4.1 };
        let addresses = match self.is_v6 {
            false => [ends.v4.0.octets(), v4_to.octets()].concat(),
            true => [ends.v6.0.octets(), ends.v6.1.octets()].concat(),
        };
        let mut pseudo = addresses.clone();
        pseudo.extend([0, UDP]);
        pseudo.extend(said_len.to_be_bytes());
        let covered = &udp[..usize::from(said_len)];
        let sum = match !sum(&[&pseudo[..], covered].concat()) {
            0 => 0xffff,
            sum => sum,
        };
        let sum = match self.change {
            Change::NoChecksum => 0,
            Change::WrongChecksum => sum ^ 0x0101,
            _ => sum,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        let mut front = [ends.to_mac, ends.from_mac].concat();
        if let Some(tag) = self.tag {
            front.extend([0x81, 0x00]);
            front.extend(tag.to_be_bytes());
        }
        let mut frames = Vec::new();
        let mut add = |kind: [u8; 2], network: Vec<u8>, rest: &[u8]| {
            frames.push([&front[..], &kind, &network, rest].concat());
        };
        match (self.is_v6, self.change) {
            (true, change) => {
                let extension: &[u8] =
                    if change == Change::Extension { &[UDP, 0, 1, 4, 0, 0, 0, 0] } else { &[] };
                let mut ip = vec![0x60, 0, 0, 0];
                ip.extend((udp.len() as u16 + extension.len() as u16).to_be_bytes());
                ip.extend([if extension.is_empty() { UDP } else { 0 }, 64]);
                ip.extend(addresses);
                ip.extend(extension);
                add([0x86, 0xdd], ip, &udp);
            }
            (false, Change::Parts) => {
                let (one, other) = udp.split_at(32);
                let more = 0x2000;
                add([0x08, 0x00], ipv4(&addresses, one.len(), more, &[], mark), one);
                add([0x08, 0x00], ipv4(&addresses, other.len(), 4, &[], mark), other);
            }
            (false, change) => {
                // "No operation" three times, and the end.
                let options: &[u8] = if change == Change::Options { &[1, 1, 1, 0] } else { &[] };
                let mut ip = ipv4(&addresses, udp.len(), 0x4000, options, mark);
                if change == Change::WrongHeader {
                    ip[10] ^= 1;
                }
                if change == Change::Padding {
                    udp.extend([0; 6]);
                }
                add([0x08, 0x00], ip, &udp);
            }
        }
        frames
    }
}

/// The NTP packet of a frame that answers this one.
pub fn answer<'a>(frame: &'a [u8], odd: &Odd, ends: &Ends) -> Option<&'a [u8]> {
    if frame.get(0..6)? != ends.from_mac || frame.get(6..12)? != ends.to_mac {
        return None;
    }
    let (tag, rest) = match (frame.get(12..14)?, odd.tag) {
        ([0x81, 0x00], Some(tag)) => (
            u16::from_be_bytes(frame.get(14..16)?.try_into().ok()?) & 0xfff == tag,
            frame.get(16..)?,
        ),
        (_, None) => (true, frame.get(12..)?),
        _ => return None,
    };
    let udp = match (odd.is_v6, rest) {
        (false, [0x08, 0x00, ip @ ..]) => {
            let is_whole = sum(ip.get(..20)?) == 0xffff && ip.first() == Some(&0x45);
            let is_back =
                ip.get(12..16)? == ends.v4.1.octets() && ip.get(16..20)? == ends.v4.0.octets();
            ip.get(20..).filter(|_| is_whole && is_back)?
        }
        (true, [0x86, 0xdd, ip @ ..]) => {
            let is_back =
                ip.get(8..24)? == ends.v6.1.octets() && ip.get(24..40)? == ends.v6.0.octets();
            ip.get(40..).filter(|_| is_back && ip.get(6) == Some(&UDP))?
        }
        _ => return None,
    };
    let is_back = udp.get(..4)? == [123_u16.to_be_bytes(), FROM_PORT.to_be_bytes()].concat();
    udp.get(8..56).filter(|_| tag && is_back)
}

/// Seconds since 1970 of a stamp of this era.
pub fn unix_of(octets: [u8; 8]) -> f64 {
    let bits = u64::from_be_bytes(octets);
    (bits >> 32) as f64 - 2_208_988_800.0 + (bits & 0xffff_ffff) as f64 / 4_294_967_296.0
}

fn ipv4(addresses: &[u8], len: usize, fragment: u16, options: &[u8], id: u64) -> Vec<u8> {
    let header = 20 + options.len();
    let mut ip = vec![0x40 | (header / 4) as u8, 0];
    ip.extend(((header + len) as u16).to_be_bytes());
    ip.extend((id as u16).to_be_bytes());
    ip.extend(fragment.to_be_bytes());
    ip.extend([64, UDP, 0, 0]);
    ip.extend(addresses);
    ip.extend(options);
    let check = !sum(&ip);
    ip[10..12].copy_from_slice(&check.to_be_bytes());
    ip
}

fn nobody(server: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = server.octets();
    Ipv4Addr::new(a, b, c, 77)
}

fn sum(octets: &[u8]) -> u16 {
    let words = octets.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high, ..] => u32::from(*high) << 8,
        [] => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const UDP: u8 = 17;
const FROM_PORT: u16 = 32_123;

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        to_mac: [2, 0, 0, 0, 0, 1],
        from_mac: [2, 0, 0, 0, 0, 2],
        v4: (Ipv4Addr::new(10, 93, 0, 2), Ipv4Addr::new(10, 93, 0, 1)),
        v6: (
            Ipv6Addr::new(0xfd93, 0, 0, 0, 0, 0, 0, 2),
            Ipv6Addr::new(0xfd93, 0, 0, 0, 0, 0, 0, 1),
        ),
    };

    #[test]
    fn names_are_distinct_and_frames_are_as_long_as_they_should_be() {
        let all = frames();
        for (at, odd) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other.name != odd.name), "{}", odd.name);
        }
        let check = |name: &str, lengths: &[usize]| {
            let odd = all.iter().find(|odd| odd.name == name).unwrap();
            let found: Vec<usize> = odd.octets(&ENDS, 7).iter().map(Vec::len).collect();
            assert_eq!(found, lengths, "{name}");
        };
        check("IPv4", &[90]);
        check("IPv6", &[110]);
        check("IPv4 tagged", &[94]);
        check("IPv4 with options", &[94]);
        check("IPv4 in parts", &[14 + 20 + 32, 14 + 20 + 24]);
        check("IPv6 with an extension header", &[118]);
    }

    #[test]
    fn an_answer_is_told_from_its_question() {
        for odd in frames().iter().filter(|odd| odd.way == Way::Fast) {
            let question = odd.octets(&ENDS, 7).remove(0);
            assert_eq!(answer(&question, odd, &ENDS), None, "{}", odd.name);
            let back = Ends {
                to_mac: ENDS.from_mac,
                from_mac: ENDS.to_mac,
                v4: (ENDS.v4.1, ENDS.v4.0),
                v6: (ENDS.v6.1, ENDS.v6.0),
            };
            let mut frame = odd.octets(&back, 7).remove(0);
            let ports = frame.len() - 56;
            frame[ports..ports + 2].copy_from_slice(&123_u16.to_be_bytes());
            frame[ports + 2..ports + 4].copy_from_slice(&FROM_PORT.to_be_bytes());
            assert_eq!(answer(&frame, odd, &ENDS).map(<[u8]>::len), Some(48), "{}", odd.name);
        }
    }
}
