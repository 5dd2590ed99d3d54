use noonmark_units::{PollExponent, Precision, Short, Timestamp};

use crate::{Leap, Mode, ReferenceId, Version};

/// Octets of a header; the same in all versions.
pub const HEADER_LEN: usize = 48;

/// The header of an NTP packet as values (RFC 5905 §7.3, figure 8): 48 octets on the wire, most significant first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Octet 0, bits 7 and 6.
    pub leap: Leap,
    /// Octet 0, bits 5 to 3.
    pub version: Version,
    /// Octet 0, bits 2 to 0.
    pub mode: Mode,
    /// Octet 1 as on the wire: 0 is unspecified, unsynchronised or a kiss, 1 to 15 a distance, above reserved.
    pub stratum: u8,
    /// Octet 2.
    pub poll: PollExponent,
    /// Octet 3.
    pub precision: Precision,
    /// Octets 4..8: round trip to the reference clock.
    pub root_delay: Short,
    /// Octets 8..12: error bound accumulated on the way from the reference clock.
    pub root_dispersion: Short,
    /// Octets 12..16.
    pub reference_id: ReferenceId,
    /// Octets 16..24: when the sender's clock was last set.
    pub reference_time: Timestamp,
    /// Octets 24..32: the transmit time of the request, echoed.
    pub origin: Timestamp,
    /// Octets 32..40: when the request arrived.
    pub receive: Timestamp,
    /// Octets 40..48: when this packet left.
    pub transmit: Timestamp,
}

impl Header {
    /// A request that tells the server nothing about the client: version 4, mode 3, precision 32, the given transmit
    /// time (best a random one), and zero in everything else.
    ///
    /// RFC 5905 would have the client send its own state; no server needs it, and it identifies who asks.
    pub const fn client(transmit: Timestamp) -> Self {
        Self {
            leap: Leap::None,
            version: Version::V4,
            mode: Mode::Client,
            stratum: 0,
            poll: PollExponent(0),
            precision: Precision(32),
            root_delay: Short::ZERO,
            root_dispersion: Short::ZERO,
            reference_id: ReferenceId::NONE,
            reference_time: Timestamp::UNSET,
            origin: Timestamp::UNSET,
            receive: Timestamp::UNSET,
            transmit,
        }
    }

    /// From the octets of the wire; every combination is a header.
    pub const fn from_octets(octets: &[u8; HEADER_LEN]) -> Self {
        Self {
            leap: Leap::from_octet(octets[0]),
            version: Version::from_octet(octets[0]),
            mode: Mode::from_octet(octets[0]),
            stratum: octets[1],
            poll: PollExponent(octets[2].cast_signed()),
            precision: Precision(octets[3].cast_signed()),
            root_delay: Short::from_octets(part::<4, 4>(octets)),
            root_dispersion: Short::from_octets(part::<8, 4>(octets)),
            reference_id: ReferenceId(part::<12, 4>(octets)),
            reference_time: Timestamp::from_octets(part::<16, 8>(octets)),
            origin: Timestamp::from_octets(part::<24, 8>(octets)),
            receive: Timestamp::from_octets(part::<32, 8>(octets)),
            transmit: Timestamp::from_octets(part::<40, 8>(octets)),
        }
    }

    /// Writes the octets of the wire.
    pub fn write(&self, octets: &mut [u8; HEADER_LEN]) {
        octets[0] = self.leap.number() << 6 | self.version.number() << 3 | self.mode.number();
        octets[1] = self.stratum;
        octets[2] = self.poll.0.cast_unsigned();
        octets[3] = self.precision.0.cast_unsigned();
        octets[4..8].copy_from_slice(&self.root_delay.to_octets());
        octets[8..12].copy_from_slice(&self.root_dispersion.to_octets());
        octets[12..16].copy_from_slice(&self.reference_id.0);
        octets[16..24].copy_from_slice(&self.reference_time.to_octets());
        octets[24..32].copy_from_slice(&self.origin.to_octets());
        octets[32..40].copy_from_slice(&self.receive.to_octets());
        octets[40..48].copy_from_slice(&self.transmit.to_octets());
    }

    /// The octets of the wire.
    pub fn to_octets(&self) -> [u8; HEADER_LEN] {
        let mut octets = [0; HEADER_LEN];
        self.write(&mut octets);
        octets
    }
}

/// `LEN` octets from `AT`, checked when compiled.
pub(crate) const fn part<const AT: usize, const LEN: usize>(
    octets: &[u8; HEADER_LEN],
) -> [u8; LEN] {
    const { assert!(AT + LEN <= HEADER_LEN) };
    let mut part = [0; LEN];
    let mut at = 0;
    while at < LEN {
        part[at] = octets[AT + at];
        at += 1;
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layout of RFC 5905 §7.3, figure 8: each field given a value no other has.
    #[test]
    fn every_field_has_its_place() {
        let mut octets: [u8; HEADER_LEN] = core::array::from_fn(|at| at as u8);
        octets[0] = 0b01_011_101;
        let header = Header::from_octets(&octets);
        assert_eq!(header.leap, Leap::InsertSecond);
        assert_eq!(header.version, Version::V3);
        assert_eq!(header.mode, Mode::Broadcast);
        assert_eq!(header.stratum, 1);
        assert_eq!(header.poll, PollExponent(2));
        assert_eq!(header.precision, Precision(3));
        assert_eq!(header.root_delay.to_bits(), 0x0405_0607);
        assert_eq!(header.root_dispersion.to_bits(), 0x0809_0a0b);
        assert_eq!(header.reference_id, ReferenceId([12, 13, 14, 15]));
        assert_eq!(header.reference_time.to_bits(), 0x1011_1213_1415_1617);
        assert_eq!(header.origin.to_bits(), 0x1819_1a1b_1c1d_1e1f);
        assert_eq!(header.receive.to_bits(), 0x2021_2223_2425_2627);
        assert_eq!(header.transmit.to_bits(), 0x2829_2a2b_2c2d_2e2f);
        assert_eq!(header.to_octets(), octets);
    }

    #[test]
    fn all_256_first_octets_survive() {
        for first in 0..=255u8 {
            let mut octets = [0; HEADER_LEN];
            octets[0] = first;
            assert_eq!(Header::from_octets(&octets).to_octets(), octets);
        }
    }

    #[test]
    fn a_request_tells_nothing_about_its_sender() {
        let octets = Header::client(Timestamp::from_bits(0x0123_4567_89ab_cdef)).to_octets();
        assert_eq!(octets[..4], [0x23, 0, 0, 0x20]);
        assert_eq!(octets[4..40], [0; 36]);
        assert_eq!(octets[40..], [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
    }
}
