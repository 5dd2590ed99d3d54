//! What the server says about its clock, and how that travels from the process that keeps the clock.

use std::time::Duration;

use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{Mono, Precision, Short, Span, Stratum, Timestamp};

use crate::ServedSmear;

/// The state of the clock that is served, as it was at one instant.
///
/// Says "unsynchronised" (leap indicator 3, stratum 16) until something else is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockState {
    /// Leap indicator of answers.
    pub leap: Leap,
    /// The end of the day whose leap second that is: from then on answers announce none. [`Timestamp::UNSET`] without one.
    pub leap_until: Timestamp,
    /// The leap second that is smeared over served time, before, after and while it is.
    pub smear: Option<ServedSmear>,
    /// Distance from a reference clock; 16 goes out as 0.
    pub stratum: Stratum,
    /// What the clock follows.
    pub reference_id: ReferenceId,
    /// When the clock was last set, or [`Timestamp::UNSET`] for a clock that is served as it stands: answers then carry a
    /// reference time within the last 16 s.
    pub reference_time: Timestamp,
    /// Round trip to the reference clock.
    pub root_delay: Short,
    /// Bound on the clock's error at [`as_of`](Self::as_of), the growth since not yet in it.
    pub root_dispersion: Short,
    /// Growth of the root dispersion in 10⁻⁹ s per second: 15 000 (15 ppm, RFC 5905 §7.2's PHI) for a clock that
    /// follows others, 0 for one that is itself what it serves.
    pub growth_ppb: u32,
    /// When this was so, by the local clock the responder is given as `Mono`: the frontend gives it `CLOCK_BOOTTIME`, which counts the
    /// time asleep too.
    pub as_of: Mono,
    /// Time to read the clock, log2 s.
    pub precision: Precision,
}

impl ClockState {
    /// Nothing is known about the clock.
    pub const UNSYNCHRONISED: Self = Self {
        leap: Leap::Unsynchronised,
        leap_until: Timestamp::UNSET,
        smear: None,
        stratum: Stratum::UNSYNCHRONISED,
        reference_id: ReferenceId::NONE,
        reference_time: Timestamp::UNSET,
        root_delay: Short::ZERO,
        root_dispersion: MAX_DISPERSION,
        growth_ppb: 0,
        as_of: Mono(0),
        precision: Precision(-20),
    };

    /// The machine's clock served on purpose, as it stands: no leap second, no root delay, no growing dispersion.
    pub const fn local(stratum: Stratum, reference_id: ReferenceId, precision: Precision) -> Self {
        Self {
            leap: Leap::None,
            leap_until: Timestamp::UNSET,
            smear: None,
            stratum,
            reference_id,
            reference_time: Timestamp::UNSET,
            root_delay: Short::ZERO,
            root_dispersion: Short::ZERO,
            growth_ppb: 0,
            as_of: Mono(0),
            precision,
        }
    }

    /// Whether a client may take its time from this clock.
    pub fn is_synchronised(&self) -> bool {
        self.leap != Leap::Unsynchronised && self.stratum.is_synchronised()
    }

    /// Root dispersion at `now`: what it was, and the growth since. Rounded up, and clamped at the most the wire can say
    /// (65 536 s) rather than wrapped.
    pub fn root_dispersion(&self, now: Mono) -> Short {
        let passed = now.since(self.as_of);
        let grown = Span::from_duration(Duration::from_nanos(
            (passed.as_nanos() * u128::from(self.growth_ppb) / 1_000_000_000).min(u64::MAX.into())
                as u64,
        ));
        Short::from_span_ceil(self.root_dispersion.to_span() + grown)
    }

    /// The words of a shared page.
    ///
    /// | word | content, high bits first |
    /// |---|---|
    /// | 0 | layout (32), leap (8), stratum (8), precision (8), 0 (8) |
    /// | 1 | reference id (32), root delay (32) |
    /// | 2 | reference time |
    /// | 3 | `as_of` in ns |
    /// | 4 | root dispersion (32), growth in ppb (32) |
    /// | 5 | until when the leap second is announced |
    /// | 6…8 | the smear, if there is one |
    pub fn to_words(&self) -> [u64; CLOCK_WORDS] {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let [smear_at, smear_zero, smear_form] = ServedSmear::to_words(self.smear.as_ref());
        let octets = [self.leap.number(), self.stratum.get(), self.precision.0.cast_unsigned(), 0];
        [
            pair(LAYOUT, u32::from_be_bytes(octets)),
            pair(u32::from_be_bytes(self.reference_id.0), self.root_delay.to_bits()),
            self.reference_time.to_bits(),
            self.as_of.0,
            pair(self.root_dispersion.to_bits(), self.growth_ppb),
            self.leap_until.to_bits(),
            smear_at,
            smear_zero,
            smear_form,
        ]
    }

    /// The state in the words of a page. A page nobody has written yet, or one of another layout, says unsynchronised.
    pub fn from_words(words: &[u64; CLOCK_WORDS]) -> Self {
        let [first, second, reference_time, as_of, fifth, leap_until, smear @ ..] = *words;
        let split = |word: u64| ((word >> 32) as u32, word as u32);
        let (layout, octets) = split(first);
        if layout != LAYOUT {
            return Self::UNSYNCHRONISED;
        }
        let [leap, stratum, precision, _] = octets.to_be_bytes();
        let (reference_id, root_delay) = split(second);
        let (root_dispersion, growth_ppb) = split(fifth);
        Self {
            leap: Leap::from_octet(leap << 6),
            leap_until: Timestamp::from_bits(leap_until),
            smear: ServedSmear::from_words(smear),
            stratum: Stratum::new(stratum),
            reference_id: ReferenceId(reference_id.to_be_bytes()),
            reference_time: Timestamp::from_bits(reference_time),
            root_delay: Short::from_bits(root_delay),
            root_dispersion: Short::from_bits(root_dispersion),
            growth_ppb,
            as_of: Mono(as_of),
            precision: Precision(precision.cast_signed()),
        }
    }
}

impl Default for ClockState {
    fn default() -> Self {
        Self::UNSYNCHRONISED
    }
}

/// Words a [`ClockState`] takes in a shared page.
pub const CLOCK_WORDS: usize = 9;

/// RFC 5905's PHI, 15 ppm, in 10⁻⁹: how fast the error of a clock that follows others may grow while nothing is heard.
pub const PHI_PPB: u32 = 15_000;

/// Marks word 0 of a page as written, with this layout.
const LAYOUT: u32 = u32::from_be_bytes(*b"CLK2");

/// RFC 5905 §7.2, MAXDISP: 16 s, which no client accepts.
const MAX_DISPERSION: Short = Short::from_bits(16 << 16);

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_clock::leap::{LeapSecond, Shape, Smear};
    use noonmark_units::UnixTime;
    use proptest::prelude::*;

    const FOLLOWING: ClockState = ClockState {
        leap: Leap::InsertSecond,
        leap_until: Timestamp::from_bits(0xea00_0000_0000_0000),
        smear: None,
        stratum: Stratum::PRIMARY,
        reference_id: ReferenceId(*b"GPS\0"),
        reference_time: Timestamp::from_bits(0xe9ff_fff0_8000_0000),
        root_delay: Short::from_bits(0x0000_1234),
        root_dispersion: Short::from_bits(0x0000_0100),
        growth_ppb: PHI_PPB,
        as_of: Mono(5_000_000_000),
        precision: Precision(-24),
    };

    #[test]
    fn unsynchronised_until_told_otherwise() {
        let check = |state: ClockState| {
            assert!(!state.is_synchronised());
            assert_eq!((state.leap, state.stratum.to_wire()), (Leap::Unsynchronised, 0));
            // At stratum 0 any other reference id would read as a kiss code.
            assert_eq!(state.reference_id, ReferenceId::NONE);
        };
        check(ClockState::default());
        check(ClockState::from_words(&[0; CLOCK_WORDS]));
        check(ClockState::from_words(&[u64::MAX; CLOCK_WORDS]));
    }

    #[test]
    fn a_state_survives_the_page() {
        let local = ClockState::local(Stratum::new(5), ReferenceId(*b"LOCL"), Precision(-25));
        let leap = LeapSecond { at: UnixTime::new(1_814_400_000, 0), inserted: true };
        let smear = Smear { leap, shape: Shape::Quadratic, seconds: 1000 };
        let smear = ServedSmear { smear, zero: Timestamp::from_bits(7) };
        let smeared = ClockState { smear: Some(smear), ..FOLLOWING };
        for state in [FOLLOWING, ClockState::UNSYNCHRONISED, local, smeared] {
            assert_eq!(ClockState::from_words(&state.to_words()), state);
        }
    }

    #[test]
    fn dispersion_grows_by_15_ppm_and_never_wraps() {
        let check = |seconds: u64, expected_s: f64| {
            let now = Mono(FOLLOWING.as_of.0.saturating_add(seconds.saturating_mul(1_000_000_000)));
            let grown =
                FOLLOWING.root_dispersion(now).to_span() - FOLLOWING.root_dispersion.to_span();
            assert!((grown.as_seconds_f64() - expected_s).abs() < 2e-5, "{seconds} s: {grown}");
        };
        check(0, 0.0);
        check(600, 0.009);
        check(86_400, 1.296);
        check(2 * 86_400, 2.592);
        let end = FOLLOWING.root_dispersion(Mono(u64::MAX));
        assert!(end >= FOLLOWING.root_dispersion(Mono(u64::MAX / 2)), "clamped, not wrapped");
        let fast = ClockState { growth_ppb: u32::MAX, ..FOLLOWING };
        assert_eq!(fast.root_dispersion(Mono(u64::MAX)), Short::from_bits(u32::MAX));
        // A reader whose clock is behind the writer's sees no growth, not a huge one.
        assert_eq!(FOLLOWING.root_dispersion(Mono(0)), FOLLOWING.root_dispersion);
    }

    #[test]
    fn a_local_clock_does_not_grow_worse_by_being_left_alone() {
        let local = ClockState::local(Stratum::PRIMARY, ReferenceId(*b"LOCL"), Precision(-25));
        assert_eq!(local.root_dispersion(Mono(u64::MAX)), Short::ZERO);
        assert!(local.is_synchronised());
    }

    proptest! {
        #[test]
        fn any_words_are_a_state(words: [u64; CLOCK_WORDS], now: u64) {
            let state = ClockState::from_words(&words);
            let _ = state.root_dispersion(Mono(now));
            let again = ClockState::from_words(&state.to_words());
            prop_assert_eq!(again, state);
        }
    }
}
