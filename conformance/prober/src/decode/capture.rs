//! Recordings of networks: pcap, and pcapng as Wireshark writes it.
//!
//! Read by hand: of pcapng the blocks that hold interfaces and packets, all others are passed over.

use std::fmt;

/// A recording.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Capture<'a> {
    /// What was recorded, in its order.
    pub frames: Vec<Frame<'a>>,
    /// Why reading stopped before the end, if it did.
    pub cut: Option<String>,
}

/// One recorded packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// When it was recorded, nanoseconds since 1970, if the recording says so.
    pub at_ns: Option<i64>,
    /// Number of its link layer, from the registry of pcap's link types.
    pub link: u32,
    /// What was recorded of it.
    pub octets: &'a [u8],
}

/// Reads a recording. What follows damage is left out, and [`Capture::cut`] says so.
///
/// # Errors
/// For octets that begin like no recording.
pub fn read(octets: &[u8]) -> Result<Capture<'_>, CaptureError> {
    match octets.first_chunk() {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => Ok(pcapng(octets)),
        Some(magic) => match (u32::from_le_bytes(*magic), u32::from_be_bytes(*magic)) {
            (MICROS, _) => pcap(octets, Order::Little, 1000),
            (NANOS, _) => pcap(octets, Order::Little, 1),
            (_, MICROS) => pcap(octets, Order::Big, 1000),
            (_, NANOS) => pcap(octets, Order::Big, 1),
            _ => Err(CaptureError),
        },
        None => Err(CaptureError),
    }
}

/// The file is no recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CaptureError;

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither pcap nor pcapng: it begins like none of them, or is shorter than their headers")
    }
}

impl std::error::Error for CaptureError {}

fn pcap(octets: &[u8], order: Order, unit_ns: i64) -> Result<Capture<'_>, CaptureError> {
    let link = order.u32(octets, 20).ok_or(CaptureError)? & 0x0fff_ffff;
    let mut capture = Capture::default();
    let mut rest = octets.get(24..).unwrap_or_default();
    while !rest.is_empty() {
        let numbers = [0, 4, 8].map(|at| order.u32(rest, at));
        let ([Some(seconds), Some(part), Some(len)], Some(body)) = (numbers, rest.get(16..)) else {
            capture.cut =
                Some(format!("{} octets at the end are no header of a packet", rest.len()));
            break;
        };
        let Some((frame, after)) =
            body.split_at_checked(usize::try_from(len).unwrap_or(usize::MAX))
        else {
            capture.cut = Some(format!("a packet of {len} octets, and {} are left", body.len()));
            break;
        };
        let at_ns = i64::from(seconds) * 1_000_000_000 + i64::from(part) * unit_ns;
        capture.frames.push(Frame { at_ns: Some(at_ns), link, octets: frame });
        rest = after;
    }
    Ok(capture)
}

fn pcapng(octets: &[u8]) -> Capture<'_> {
    let mut capture = Capture::default();
    let (mut rest, mut order, mut interfaces) = (octets, Order::Little, Vec::new());
    while !rest.is_empty() {
        if rest.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
            order = if rest.get(8..12) == Some(&[0x1a, 0x2b, 0x3c, 0x4d]) {
                Order::Big
            } else {
                Order::Little
            };
            interfaces.clear();
        }
        let len = order.u32(rest, 4).and_then(|len| usize::try_from(len).ok());
        let block = len
            .filter(|len| *len >= 12 && len.is_multiple_of(4))
            .and_then(|len| rest.split_at_checked(len));
        let (Some(kind), Some((block, after))) = (order.u32(rest, 0), block) else {
            capture.cut = Some(format!("the last {} octets are no block", rest.len()));
            break;
        };
        let body = block.get(8..block.len() - 4).unwrap_or_default();
        match kind {
            1 if interfaces.len() < MOST_INTERFACES => {
                interfaces.push(Interface::read(body, order));
            }
            2 => capture.frames.extend(packet(
                body,
                order,
                &interfaces,
                order.u16(body, 0).map(u32::from),
            )),
            3 => capture
                .frames
                .extend(interfaces.first().and_then(|first| simple(body, order, first))),
            6 => capture.frames.extend(packet(body, order, &interfaces, order.u32(body, 0))),
            _ => {}
        }
        rest = after;
    }
    capture
}

/// A packet of an enhanced packet block, or of the older form, which differs in how it names its interface.
fn packet<'a>(
    body: &'a [u8],
    order: Order,
    interfaces: &[Interface],
    interface: Option<u32>,
) -> Option<Frame<'a>> {
    let interface = interfaces.get(usize::try_from(interface?).ok()?)?;
    let time = u64::from(order.u32(body, 4)?) << 32 | u64::from(order.u32(body, 8)?);
    let len = usize::try_from(order.u32(body, 12)?).ok()?;
    let octets = body.get(20..)?;
    Some(Frame {
        at_ns: interface.nanos(time),
        link: interface.link,
        octets: octets.get(..len).unwrap_or(octets),
    })
}

fn simple<'a>(body: &'a [u8], order: Order, interface: &Interface) -> Option<Frame<'a>> {
    let len = usize::try_from(order.u32(body, 0)?.min(interface.longest)).ok()?;
    let octets = body.get(4..)?;
    Some(Frame { at_ns: None, link: interface.link, octets: octets.get(..len).unwrap_or(octets) })
}

/// What pcapng says of an interface.
struct Interface {
    link: u32,
    /// Most octets kept of a packet.
    longest: u32,
    /// How many units of its times make a second.
    per_second: u64,
    /// Seconds to be added.
    offset_s: i64,
}

impl Interface {
    fn read(body: &[u8], order: Order) -> Self {
        let longest = order.u32(body, 4).filter(|longest| *longest != 0).unwrap_or(u32::MAX);
        let link = order.u16(body, 0).map_or(u32::MAX, u32::from);
        let mut interface = Self { link, longest, per_second: 1_000_000, offset_s: 0 };
        let mut options = body.get(8..).unwrap_or_default();
        while let (Some(code), Some(len)) = (order.u16(options, 0), order.u16(options, 2)) {
            let len = usize::from(len);
            let Some(value) = options.get(4..4 + len) else { break };
            match (code, value) {
                (9, [resolution]) => {
                    let (base, power) = if resolution & 0x80 == 0 {
                        (10_u64, *resolution)
                    } else {
                        (2, resolution & 0x7f)
                    };
                    interface.per_second = base.checked_pow(u32::from(power)).unwrap_or(0);
                }
                (14, _) => interface.offset_s = order.i64(value).unwrap_or(0),
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        }
        interface
    }

    fn nanos(&self, time: u64) -> Option<i64> {
        let seconds = time.checked_div(self.per_second)?;
        let part = u128::from(time % self.per_second) * 1_000_000_000 / u128::from(self.per_second);
        let seconds = i64::try_from(seconds).ok()?.checked_add(self.offset_s)?;
        seconds.checked_mul(1_000_000_000)?.checked_add(i64::try_from(part).ok()?)
    }
}

/// Which octet of a number comes first.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, octets: &[u8], at: usize) -> Option<u32> {
        let chunk = octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(*chunk),
            Self::Big => u32::from_be_bytes(*chunk),
        })
    }

    fn u16(self, octets: &[u8], at: usize) -> Option<u16> {
        let chunk = octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(*chunk),
            Self::Big => u16::from_be_bytes(*chunk),
        })
    }

    fn i64(self, octets: &[u8]) -> Option<i64> {
        let chunk = octets.first_chunk()?;
        Some(match self {
            Self::Little => i64::from_le_bytes(*chunk),
            Self::Big => i64::from_be_bytes(*chunk),
        })
    }
}

/// pcap with microseconds.
const MICROS: u32 = 0xa1b2_c3d4;
/// pcap with nanoseconds.
const NANOS: u32 = 0xa1b2_3c4d;
/// More than any recording has.
const MOST_INTERFACES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// pcap in both orders and units with one packet of three octets at 1.5 s.
    fn pcap_file(magic: u32, order: fn(u32) -> [u8; 4], fraction: u32) -> Vec<u8> {
        [magic, 0x0004_0002, 0, 0, 65535, 101, 1, fraction, 3, 60]
            .map(order)
            .concat()
            .into_iter()
            .chain(*b"abc")
            .collect()
    }

    #[test]
    fn pcap_is_read_in_every_order_and_unit() {
        for (magic, fraction) in [(MICROS, 500_000), (NANOS, 500_000_000)] {
            for order in [u32::to_le_bytes, u32::to_be_bytes] {
                let file = pcap_file(magic, order, fraction);
                let frame = Frame { at_ns: Some(1_500_000_000), link: 101, octets: b"abc" };
                assert_eq!(read(&file), Ok(Capture { frames: vec![frame], cut: None }));
                let cut = read(&file[..file.len() - 1]).expect("a header");
                assert!(
                    cut.frames.is_empty() && cut.cut.expect("cut").contains("a packet of 3 octets")
                );
            }
        }
        assert_eq!(read(b""), Err(CaptureError));
        assert_eq!(read(b"GIF89a"), Err(CaptureError));
        assert_eq!(read(&MICROS.to_le_bytes()), Err(CaptureError));
    }

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 12).expect("short").to_be_bytes();
        [&kind.to_be_bytes()[..], &len, body, &len].concat()
    }

    #[test]
    fn pcapng_is_read() {
        let head = block(
            0x0a0d_0d0a,
            &[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        );
        // Link 1, at most 2 octets; nanoseconds, ten seconds to be added.
        let interface = block(
            1,
            &[0, 1, 0, 0, 0, 0, 0, 2, 0, 9, 0, 1, 9, 0, 0, 0, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 10],
        );
        let enhanced = block(
            6,
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 9, b'a', b'b', 0, 0],
        );
        let of_old =
            block(2, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1, b'c', 0, 0, 0]);
        let simple = block(3, &[0, 0, 0, 9, b'd', b'e', 0, 0]);
        let file =
            [head, interface, block(5, b"whatever"), enhanced, of_old, simple, vec![1, 2, 3]]
                .concat();
        let capture = read(&file).expect("a recording");
        let seen: Vec<_> =
            capture.frames.iter().map(|frame| (frame.at_ns, frame.link, frame.octets)).collect();
        let expected: [(_, _, &[u8]); 3] =
            [(Some(10_000_000_007), 1, b"ab"), (Some(10_000_000_008), 1, b"c"), (None, 1, b"de")];
        assert_eq!(seen, expected);
        assert!(capture.cut.expect("cut").contains("the last 3 octets"));
    }
}
