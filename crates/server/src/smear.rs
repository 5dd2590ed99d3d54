//! A leap second smeared over the time that is served, while the machine's clock is set at it.

use noonmark_clock::leap::{LeapSecond, Shape, Smear};
use noonmark_packet::ReferenceId;
use noonmark_units::{Mono, Span, Timestamp, UnixTime};

/// A smear, and what tells the two sides of the leap second apart.
///
/// The clock is set by a second in the middle of a smear, by somebody else and at an instant nobody here is told of. So the page does not
/// say whether that has been done: it says what the clock would show if it never were, by the clock that is never set, and each stamp is
/// put on whichever side it is nearer to. What is served is continuous and never goes back, though the stamps of one batch may lie on
/// both sides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServedSmear {
    /// What is smeared, and how.
    pub smear: Smear,
    /// What the machine's clock would show when the local clock (the responder's `Mono`) shows zero, if it went on counting through the
    /// leap second.
    pub zero: Timestamp,
}

impl ServedSmear {
    /// A stamp of the machine's clock, taken at about `now` or within half a second before, as it is served.
    #[must_use]
    pub fn served(&self, stamp: Timestamp, now: Mono) -> Timestamp {
        let continuous = stamp + self.taken_back(stamp, now);
        continuous + self.smear.offset(continuous)
    }

    /// By how much served time is ahead of the machine's clock, which shows `stamp` at `now`.
    #[must_use]
    pub fn ahead(&self, stamp: Timestamp, now: Mono) -> Span {
        self.served(stamp, now) - stamp
    }

    /// Whether served time differs from UTC at `now`.
    #[must_use]
    pub fn is_under_way(&self, now: Mono) -> bool {
        self.smear.is_under_way(self.continuous(now))
    }

    /// How far the clock had been set for the leap second when it showed `stamp`, with the sign that takes it back.
    fn taken_back(&self, stamp: Timestamp, now: Mono) -> Span {
        let continuous = self.continuous(now);
        // Before that instant no clock is set for it, and a stamp that is behind is an old one.
        let instant = Timestamp::from_unix(self.smear.leap.instant());
        let is_before = (continuous - instant).is_negative();
        let (missing, back) = (continuous - stamp, -self.smear.leap.jump());
        if !is_before && (missing - back).abs() < missing.abs() { back } else { Span::ZERO }
    }

    fn continuous(&self, now: Mono) -> Timestamp {
        self.zero + Span::from_nanos(i64::try_from(now.0).unwrap_or(i64::MAX))
    }

    /// Three words of a page: the start of the day after the leap second in seconds since 1970; [`zero`](Self::zero); and kind (8: 1 for a
    /// second that is inserted, 2 for one left out), shape (8: 0 linear, 1 quadratic), zeros (16), length in seconds (32). All zero
    /// without one.
    pub(crate) fn to_words(smear: Option<&Self>) -> [u64; 3] {
        let Some(Self { smear: Smear { leap, shape, seconds }, zero }) = smear else {
            return [0; 3];
        };
        let kind: u64 = if leap.inserted { 1 } else { 2 };
        let shape = u64::from(*shape == Shape::Quadratic);
        let form = kind << 56 | shape << 48 | u64::from(*seconds);
        [leap.at.seconds.cast_unsigned(), zero.to_bits(), form]
    }

    pub(crate) fn from_words([at, zero, form]: [u64; 3]) -> Option<Self> {
        let inserted = match form >> 56 {
            1 => true,
            2 => false,
            _ => return None,
        };
        let shape = if form >> 48 & 1 == 0 { Shape::Linear } else { Shape::Quadratic };
        let leap = LeapSecond { at: UnixTime::new(at.cast_signed(), 0), inserted };
        let smear = Smear { leap, shape, seconds: form as u32 };
        Some(Self { smear, zero: Timestamp::from_bits(zero) })
    }
}

/// What answers say they follow while a leap second is smeared: an address of the local host that chrony's servers use for the same.
pub const SMEARED: ReferenceId = ReferenceId([127, 127, 1, 255]);

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of 2027-06-30.
    const AT: UnixTime = UnixTime { seconds: 1_814_400_000, nanos: 0 };
    /// The local clock then.
    const THEN: i64 = 500_000 * 1_000_000_000;

    fn smear(inserted: bool) -> ServedSmear {
        let leap = LeapSecond { at: AT, inserted };
        ServedSmear {
            smear: Smear { leap, shape: Shape::Linear, seconds: Smear::DAY },
            zero: leap.at_stamp() - Span::from_nanos(THEN),
        }
    }

    fn mono(since: Span) -> Mono {
        Mono((THEN + since.as_nanos()).unsigned_abs())
    }

    /// What a clock shows that the kernel sets, so long after it would have shown the end of the day.
    fn shown(smear: &ServedSmear, since: Span, late: Span) -> Timestamp {
        let leap = smear.smear.leap;
        let instant = if leap.inserted { Span::ZERO } else { -leap.jump() };
        let set = if since >= instant + late { leap.jump() } else { Span::ZERO };
        leap.at_stamp() + since + set
    }

    #[test]
    fn served_time_goes_on_whenever_the_kernel_sets_the_clock() {
        for inserted in [true, false] {
            let smear = smear(inserted);
            // A kernel does it at its next tick.
            for late in [0, 4_000_000, 10_000_000].map(Span::from_nanos) {
                let mut last: Option<Timestamp> = None;
                for step in -4000..4000_i64 {
                    let since = Span::from_nanos(step * 1_000_000);
                    let stamp = shown(&smear, since, late);
                    // Looked at some milliseconds after it was taken, as a request that waited in a queue.
                    for age in [0, 3_000_000, 200_000_000].map(Span::from_nanos) {
                        let served = smear.served(stamp, mono(since + age));
                        let expected = AT_STAMP + since + smear.smear.offset(AT_STAMP + since);
                        assert_eq!(served, expected, "{inserted} {since} {late} {age}");
                    }
                    let served = smear.served(stamp, mono(since));
                    assert!(last.is_none_or(|last| served - last > Span::ZERO));
                    last = Some(served);
                }
            }
        }
    }

    const AT_STAMP: Timestamp = Timestamp::from_unix(AT);

    #[test]
    fn old_stamps_long_before_the_leap_second_are_old_stamps() {
        let smear = smear(true);
        let since = Span::from_seconds(-30_000);
        let stamp = AT_STAMP + since;
        let served = smear.served(stamp, mono(since + Span::from_seconds_f64(0.9)));
        assert_eq!(served, stamp + smear.smear.offset(stamp));
    }

    #[test]
    fn noon_is_noon_before_and_after() {
        let smear = smear(true);
        for noon in [-43_200, 43_201].map(Span::from_seconds) {
            let stamp = shown(&smear, noon, Span::ZERO);
            assert_eq!(smear.ahead(stamp, mono(noon)), Span::ZERO);
            assert!(!smear.is_under_way(mono(noon)));
        }
        let midnight = smear.ahead(shown(&smear, Span::ZERO, Span::ZERO), mono(Span::ZERO));
        assert!((midnight.as_seconds_f64() - 0.5).abs() < 1e-5, "{midnight}");
        assert!(smear.is_under_way(mono(Span::ZERO)));
    }

    #[test]
    fn words_are_a_smear_or_none() {
        for smear in [smear(true), smear(false)] {
            assert_eq!(ServedSmear::from_words(ServedSmear::to_words(Some(&smear))), Some(smear));
        }
        assert_eq!(ServedSmear::from_words(ServedSmear::to_words(None)), None);
        assert_eq!(ServedSmear::from_words([1, 2, 3 << 56]), None);
    }
}
