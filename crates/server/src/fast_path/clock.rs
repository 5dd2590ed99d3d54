//! The state of the clock as the program in the kernel reads it.

use std::io;
use std::os::fd::BorrowedFd;

use noonmark_os::bpf::Shared;
use noonmark_os::clock::Bearings;

use crate::ClockState;

/// The page of the clock, for the one process that knows the clock.
pub struct FastClock(Shared);

impl FastClock {
    /// Maps the page behind `fd`.
    ///
    /// # Errors
    /// What the kernel answers, `InvalidInput` if that is no such page.
    pub fn open(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Shared::open(fd, 1 + CONTENT).map(Self)
    }

    /// Says how the clock stands, and how UTC follows from the clock that the program reads. To be done at least once a second: after
    /// five the program passes everything up. Without bearings it does so at once.
    pub fn publish(&mut self, state: &ClockState, bearings: Option<Bearings>) {
        self.0.publish(&words(state, bearings));
    }
}

/// What follows the sequence.
///
/// | word | content, high bits first |
/// |---|---|
/// | 0 | 1 if it may be answered from |
/// | 1 | 0 (40), leap (8), stratum (8), precision (8) |
/// | 2 | root delay (32), reference id (32) |
/// | 3 | reference time, or 0 |
/// | 4 | `as_of` in ns |
/// | 5 | root dispersion (32), growth in ppb (32) |
/// | 6 | until when the leap second is announced, or 0 |
/// | 7 | UTC since 1970 minus the clock, ns |
/// | 8 | the clock minus the boot clock, ns |
/// | 9 | sum of words 0 to 8: `sum = (sum ^ word) * 0x9e3779b97f4a7c15` from 0 |
fn words(state: &ClockState, bearings: Option<Bearings>) -> [u64; CONTENT] {
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let bearings = bearings.filter(|_| is_plain(state));
    let Bearings { offset, apart } = bearings.unwrap_or(Bearings { offset: 0, apart: 0 });
    let mut words = [
        u64::from(bearings.is_some()),
        u64::from(state.leap.number()) << 16
            | u64::from(state.stratum.to_wire()) << 8
            | u64::from(state.precision.0.cast_unsigned()),
        pair(state.root_delay.to_bits(), u32::from_be_bytes(state.reference_id.0)),
        state.reference_time.to_bits(),
        state.as_of.0,
        pair(state.root_dispersion.to_bits(), state.growth_ppb),
        state.leap_until.to_bits(),
        offset.cast_unsigned(),
        apart.cast_unsigned(),
        0,
    ];
    let [content @ .., sum] = &mut words;
    *sum = content.iter().fold(0, |sum: u64, word| (sum ^ word).wrapping_mul(ODD));
    words
}

/// What the program can answer from: a synchronised clock, not smeared, with figures as clocks have them.
fn is_plain(state: &ClockState) -> bool {
    state.is_synchronised()
        && state.smear.is_none()
        && state.precision.0 < 0
        && state.growth_ppb <= FASTEST_GROWTH
}

/// Words behind the sequence.
const CONTENT: usize = 10;
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
/// 1000 ppm. The program multiplies with it in 64 bits.
const FASTEST_GROWTH: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PHI_PPB, ServedSmear};
    use noonmark_clock::leap::{LeapSecond, Shape, Smear};
    use noonmark_packet::{Leap, ReferenceId};
    use noonmark_units::{Precision, Stratum, Timestamp, UnixTime};

    #[test]
    fn only_a_plain_clock_is_answered_from() {
        let good = ClockState::local(Stratum::new(2), ReferenceId(*b"LOCL"), Precision(-25));
        let bearings = Some(Bearings { offset: -37_000_000_000, apart: 5 });
        let check = |state: ClockState, bearings, expected: u64| {
            assert_eq!(words(&state, bearings)[0], expected, "{state:?}");
        };
        check(good, bearings, 1);
        check(ClockState { growth_ppb: PHI_PPB, ..good }, bearings, 1);
        check(good, None, 0);
        check(ClockState::UNSYNCHRONISED, bearings, 0);
        check(ClockState { leap: Leap::Unsynchronised, ..good }, bearings, 0);
        check(ClockState { precision: Precision(0), ..good }, bearings, 0);
        check(ClockState { growth_ppb: FASTEST_GROWTH + 1, ..good }, bearings, 0);
        let leap = LeapSecond { at: UnixTime::new(1_814_400_000, 0), inserted: true };
        let smear = Smear { leap, shape: Shape::Linear, seconds: 86_400 };
        let smear = Some(ServedSmear { smear, zero: Timestamp::from_bits(7) });
        check(ClockState { smear, ..good }, bearings, 0);
    }

    #[test]
    fn every_word_is_in_the_sum() {
        let state = ClockState::local(Stratum::new(2), ReferenceId(*b"LOCL"), Precision(-25));
        let words = words(&state, Some(Bearings { offset: 1, apart: 2 }));
        let sum =
            |words: &[u64]| words.iter().fold(0, |sum: u64, word| (sum ^ word).wrapping_mul(ODD));
        assert_eq!(words[9], sum(&words[..9]));
        for at in 0..9 {
            let mut torn = words;
            torn[at] ^= 1 << 40;
            assert_ne!(torn[9], sum(&torn[..9]), "word {at}");
        }
    }
}
