//! The 48 octets every NTP packet begins with (RFC 5905 §7.3).

/// Octets of a header.
pub const LEN: usize = 48;

/// The fields of a header, as they stand in it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// Leap indicator, two bits.
    pub leap: u8,
    /// Version, three bits.
    pub version: u8,
    /// Mode, three bits.
    pub mode: u8,
    /// Stratum.
    pub stratum: u8,
    /// Poll exponent, log2 of seconds.
    pub poll: i8,
    /// Precision, log2 of seconds.
    pub precision: i8,
    /// Root delay in 2⁻¹⁶ s.
    pub root_delay: u32,
    /// Root dispersion in 2⁻¹⁶ s.
    pub root_dispersion: u32,
    /// Reference id, or a kiss code.
    pub reference_id: [u8; 4],
    /// Reference timestamp, in 2⁻³² s since 1900, like the three after it.
    pub reference: u64,
    /// Origin timestamp: in an answer, the request's transmit timestamp.
    pub origin: u64,
    /// Receive timestamp.
    pub receive: u64,
    /// Transmit timestamp.
    pub transmit: u64,
}

impl Header {
    /// A client's request that tells nothing of the client: version 4, poll 6, precision 0x20, all else zero but the transmit time.
    #[must_use]
    pub fn request(transmit: u64) -> Self {
        Self { version: 4, mode: 3, poll: 6, precision: 0x20, transmit, ..Self::default() }
    }

    /// Reads the first 48 octets; `None` if there are fewer.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; LEN] = octets.first_chunk()?;
        let short = |at: usize| {
            u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
        };
        let long = |at: usize| u64::from(short(at)) << 32 | u64::from(short(at + 4));
        Some(Self {
            leap: octets[0] >> 6,
            version: octets[0] >> 3 & 7,
            mode: octets[0] & 7,
            stratum: octets[1],
            poll: octets[2].cast_signed(),
            precision: octets[3].cast_signed(),
            root_delay: short(4),
            root_dispersion: short(8),
            reference_id: short(12).to_be_bytes(),
            reference: long(16),
            origin: long(24),
            receive: long(32),
            transmit: long(40),
        })
    }

    /// The 48 octets; bits of leap, version and mode that have no room are cut off.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = vec![
            self.leap << 6 | (self.version & 7) << 3 | self.mode & 7,
            self.stratum,
            self.poll.cast_unsigned(),
            self.precision.cast_unsigned(),
        ];
        octets.extend(self.root_delay.to_be_bytes());
        octets.extend(self.root_dispersion.to_be_bytes());
        octets.extend(self.reference_id);
        for time in [self.reference, self.origin, self.receive, self.transmit] {
            octets.extend(time.to_be_bytes());
        }
        octets
    }

    /// Whether a client could take its time from it: a stratum of 1 to 15, and a leap indicator that says the clock is right.
    #[must_use]
    pub fn gives_time(&self) -> bool {
        (1..16).contains(&self.stratum) && self.leap != 3
    }

    /// The code of a kiss (RFC 5905 §7.4): four ASCII letters or digits at stratum 0. `INIT` and `STEP` are said by servers that are
    /// not synchronised and are no kiss.
    #[must_use]
    pub fn kiss(&self) -> Option<[u8; 4]> {
        let code = self.reference_id;
        let letters = code.iter().all(u8::is_ascii_alphanumeric);
        (self.stratum == 0 && letters && !matches!(&code, b"INIT" | b"STEP")).then_some(code)
    }
}
