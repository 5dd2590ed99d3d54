use core::fmt;
use core::ops::{Add, Sub};

use crate::{Span, UnixTime};

/// Instant on the NTP timescale, era dropped: 2⁻³² s since 1900, modulo 2³² s (RFC 5905 §6, "timestamp format").
///
/// Not `Ord`: the count wraps on 2036-02-07T06:28:16Z and every 136 years after, so only a difference of two has
/// meaning. The value 0 means "unknown" in every era.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Timestamp(u64);

impl Timestamp {
    /// "Unknown or unsynchronised": the value no instant may have (RFC 5905 §6).
    pub const UNSET: Self = Self(0);

    /// From the 64-bit count of 2⁻³² s.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64-bit count of 2⁻³² s.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From 8 octets as on the wire: seconds then fraction, most significant first.
    pub const fn from_octets(octets: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(octets))
    }

    /// The 8 octets of the wire: seconds then fraction, most significant first.
    pub const fn to_octets(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Whether this is the value that means "unknown".
    pub const fn is_unset(self) -> bool {
        self.0 == 0
    }

    /// The same instant with its era dropped, rounded down to 2⁻³² s.
    ///
    /// The first instant of an era comes out as [`Timestamp::UNSET`]; who sends it calls
    /// [`never_unset`](Self::never_unset).
    pub const fn from_unix(time: UnixTime) -> Self {
        Self(count_since_1900(time) as u64)
    }

    /// The instant this is, in the era that puts it nearest to `pivot` (within 68 years either way).
    ///
    /// The pivot is something known to be roughly right, such as the build date or the last time saved: the wire does
    /// not carry an era. Rounded to the nearest nanosecond, so `from_unix(t).unix_near(t) == t`.
    pub const fn unix_near(self, pivot: UnixTime) -> UnixTime {
        let pivot = count_since_1900(pivot);
        let apart = self.0.wrapping_sub(pivot as u64).cast_signed();
        let count = pivot.saturating_add(apart as i128);
        let nanos = ((count & FRACTION) * NANOS + HALF) >> 32;
        UnixTime::from_parts((count >> 32) - UNIX_EPOCH, nanos)
    }

    /// This instant, moved by one unit (0.23 ns) if it would read as "unknown": RFC 5905 §6 gives 0 that meaning in
    /// every era, so the true start of an era cannot be sent.
    #[must_use]
    pub const fn never_unset(self) -> Self {
        if self.is_unset() { Self(1) } else { self }
    }
}

/// Takes the shorter way round the era; right for any pair within 68 years.
impl Sub for Timestamp {
    type Output = Span;

    fn sub(self, earlier: Self) -> Span {
        Span::from_bits(self.0.wrapping_sub(earlier.0).cast_signed())
    }
}

/// Wraps at the end of the era.
impl Add<Span> for Timestamp {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.wrapping_add(span.to_bits().cast_unsigned()))
    }
}

/// Wraps at the start of the era.
impl Sub<Span> for Timestamp {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.wrapping_sub(span.to_bits().cast_unsigned()))
    }
}

/// As written in packet dumps: `e9fffff0.80000000`, seconds and fraction in hexadecimal.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{:08x}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// 2⁻³² s since 1900, all eras; `i128` because a Unix time has 64 bits of seconds.
const fn count_since_1900(time: UnixTime) -> i128 {
    let fraction = ((time.nanos as i128) << 32) / NANOS;
    ((time.seconds as i128 + UNIX_EPOCH) << 32) + fraction
}

/// Seconds from 1900 to 1970: 70 years with 17 leap days (RFC 5905 §6, figure 4).
const UNIX_EPOCH: i128 = 2_208_988_800;
const NANOS: i128 = 1_000_000_000;
const FRACTION: i128 = 0xffff_ffff;
const HALF: i128 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5905 §6, figure 4 (dates, eras and offsets within the era) and arithmetic on its era length.
    #[test]
    fn known_dates_have_the_seconds_of_the_rfc() {
        let check = |unix: i64, era: i128, within: u64| {
            let time = UnixTime::new(unix, 0);
            assert_eq!(Timestamp::from_unix(time).to_bits() >> 32, within, "{time}");
            assert_eq!(count_since_1900(time) >> 64, era, "{time}");
            assert_eq!(Timestamp::from_unix(time).unix_near(time), time);
        };
        check(-2_208_988_800, 0, 0); // 1900-01-01
        check(0, 0, 2_208_988_800); // 1970-01-01
        check(63_072_000, 0, 2_272_060_800); // 1972-01-01
        check(946_598_400, 0, 3_155_587_200); // 1999-12-31
        check(2_085_978_495, 0, 0xffff_ffff); // 2036-02-07T06:28:15
        check(2_085_978_496, 1, 0); // 2036-02-07T06:28:16
        check(2_147_483_647, 1, 0x03aa_7e7f); // where 32-bit time ends
        check(2_147_483_648, 1, 0x03aa_7e80);
        check(4_102_444_800, 1, 2_016_466_304); // 2100-01-01
        check(-2_208_988_801, -1, 0xffff_ffff); // 1899-12-31T23:59:59
    }

    #[test]
    fn the_start_of_an_era_is_sent_one_unit_late() {
        let start = Timestamp::from_unix(UnixTime::new(2_085_978_496, 0));
        assert!(start.is_unset());
        assert_eq!(start.never_unset().to_bits(), 1);
        assert_eq!(Timestamp::from_bits(7).never_unset().to_bits(), 7);
    }

    /// Four stamps around the start of era 1: T1 and T4 by the client, T2 and T3 by the server (RFC 5905 §8).
    #[test]
    fn offset_and_delay_are_right_across_the_era_boundary() {
        let [t1, t2, t3, t4] = [0xffff_ffff_f000_0000, 0x1000_0000, 0x1800_0000, 0x0800_0000]
            .map(Timestamp::from_bits);
        let offset = ((t2 - t1) + (t3 - t4)).half();
        let delay = (t4 - t1) - (t3 - t2);
        assert_eq!(offset, Span::from_nanos(93_750_000));
        assert_eq!(delay, Span::from_nanos(62_500_000));
    }

    #[test]
    fn the_pivot_chooses_the_era() {
        let check = |bits: u64, pivot: i64, unix: i64| {
            let time = Timestamp::from_bits(bits << 32).unix_near(UnixTime::new(pivot, 0));
            assert_eq!(time, UnixTime::new(unix, 0));
        };
        check(0, 1_763_000_000, 2_085_978_496); // in 2025, zero seconds is 2036, not 1900
        check(0xffff_ffff, 2_100_000_000, 2_085_978_495);
        check(0, 6_400_000_000, 6_380_945_792); // 2172-03-15T12:56:32, start of era 2
        check(2_208_988_800, 0, 0);
    }

    #[test]
    fn a_pivot_at_the_end_of_64_bits_saturates() {
        assert_eq!(Timestamp::UNSET.unix_near(UnixTime::MAX), UnixTime::MAX);
        assert_eq!(Timestamp::from_bits(1 << 63).unix_near(UnixTime::MIN).seconds, i64::MIN);
    }
}
