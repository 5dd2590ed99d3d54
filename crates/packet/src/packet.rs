use noonmark_units::{PollExponent, Precision, Short, Timestamp};

use crate::header::part;
use crate::{
    Contents, DecodeError, HEADER_LEN, Header, KissCode, Leap, Mode, ReferenceId, Version,
};

/// A datagram whose first 48 octets are an NTP header (RFC 5905 §7.3). Borrows; copies nothing.
///
/// Having one says only that 48 octets were there: every value of the header can be named. Ask
/// [`contents`](Self::contents) whether the rest is well framed. Modes 6 and 7 have a layout of their own after the
/// first octet and may be shorter; tell them apart with [`Mode::from_octet`] before parsing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    datagram: &'a [u8],
    header: &'a [u8; HEADER_LEN],
    tail: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Looks at a datagram.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] below 48 octets.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, tail) =
            datagram.split_first_chunk().ok_or(DecodeError::Truncated { len: datagram.len() })?;
        Ok(Self { datagram, header, tail })
    }

    /// All octets.
    pub const fn datagram(&self) -> &'a [u8] {
        self.datagram
    }

    /// The header as values.
    pub const fn header(&self) -> Header {
        Header::from_octets(self.header)
    }

    /// Leap indicator.
    pub const fn leap(&self) -> Leap {
        Leap::from_octet(self.header[0])
    }

    /// Version number.
    pub const fn version(&self) -> Version {
        Version::from_octet(self.header[0])
    }

    /// Association mode.
    pub const fn mode(&self) -> Mode {
        Mode::from_octet(self.header[0])
    }

    /// Stratum as on the wire: octet 1.
    pub const fn stratum(&self) -> u8 {
        self.header[1]
    }

    /// The sender's interval between polls: octet 2.
    pub const fn poll(&self) -> PollExponent {
        PollExponent(self.header[2].cast_signed())
    }

    /// How finely the sender reads its clock: octet 3.
    pub const fn precision(&self) -> Precision {
        Precision(self.header[3].cast_signed())
    }

    /// Round trip from the sender to its reference clock: octets 4..8.
    pub const fn root_delay(&self) -> Short {
        Short::from_octets(part::<4, 4>(self.header))
    }

    /// Error bound from the sender to its reference clock: octets 8..12.
    pub const fn root_dispersion(&self) -> Short {
        Short::from_octets(part::<8, 4>(self.header))
    }

    /// What the sender follows: octets 12..16.
    pub const fn reference_id(&self) -> ReferenceId {
        ReferenceId(part::<12, 4>(self.header))
    }

    /// When the sender's clock was last set: octets 16..24.
    pub const fn reference_time(&self) -> Timestamp {
        Timestamp::from_octets(part::<16, 8>(self.header))
    }

    /// The client's transmit time, echoed by the server: octets 24..32.
    pub const fn origin(&self) -> Timestamp {
        Timestamp::from_octets(part::<24, 8>(self.header))
    }

    /// When the request arrived at the server: octets 32..40.
    pub const fn receive(&self) -> Timestamp {
        Timestamp::from_octets(part::<32, 8>(self.header))
    }

    /// When this packet left its sender: octets 40..48.
    pub const fn transmit(&self) -> Timestamp {
        Timestamp::from_octets(part::<40, 8>(self.header))
    }

    /// The kiss code, if this is a kiss-o'-death: stratum 0 and a reference id that is not zero (RFC 5905 §7.4).
    pub const fn kiss(&self) -> Option<KissCode> {
        let ReferenceId(code) = self.reference_id();
        if self.stratum() == 0 && u32::from_be_bytes(code) != 0 {
            Some(KissCode(code))
        } else {
            None
        }
    }

    /// Checks everything after the header and returns it: extension fields and trailer, framed as the version demands.
    ///
    /// # Errors
    /// A length that is not a multiple of four, a version other than 1 to 4, a field of impossible length, or octets
    /// left over that are neither field nor MAC nor crypto-NAK. Such a packet deserves no answer.
    pub fn contents(&self) -> Result<Contents<'a>, DecodeError> {
        Contents::read(self.version(), self.tail)
    }
}
