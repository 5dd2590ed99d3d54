//! The clocks a program in the kernel can read, and how UTC follows from them.

use super::{boot_time, nanoseconds, realtime};

/// A clock that a program in the kernel reads; real time itself is none of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timescale {
    /// `CLOCK_TAI`: real time and a whole number of seconds. It is set whenever real time is (Linux 6.1 and later).
    Tai,
    /// `CLOCK_MONOTONIC`: runs as fast as real time, and is never set.
    Monotonic,
}

/// How UTC follows from a clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bearings {
    /// UTC since 1970 minus the clock, ns.
    pub offset: i64,
    /// The clock minus the boot clock, ns: what changes by more than some milliseconds only when somebody sets the clock.
    pub apart: i64,
}

impl Timescale {
    /// How UTC follows from it now. `None` if somebody sets the clock at this very moment, so that no two readings agree.
    #[must_use]
    pub fn bearings(self) -> Option<Bearings> {
        let boot = boot_time().0;
        let mut best: Option<(u64, i64, u64)> = None;
        for _ in 0..TRIES {
            let before = self.now();
            let real = realtime();
            let width = self.now().wrapping_sub(before);
            let real = i128::from(real.seconds) * i128::from(SECOND) + i128::from(real.nanos);
            let middle = before.wrapping_add(width / 2);
            let Ok(offset) = i64::try_from(real - i128::from(middle)) else { continue };
            if best.is_none_or(|(least, ..)| width < least) {
                best = Some((width, offset, middle));
            }
        }
        let (_, offset, at) = best.filter(|(width, ..)| *width < SECOND.cast_unsigned() / 8)?;
        let offset = match self {
            Self::Monotonic => offset,
            Self::Tai => {
                let whole = (offset + SECOND / 2).div_euclid(SECOND) * SECOND;
                if (offset - whole).abs() > SECOND / 4 {
                    return None;
                }
                whole
            }
        };
        Some(Bearings { offset, apart: at.wrapping_sub(boot).cast_signed() })
    }

    /// What it shows, ns.
    #[must_use]
    pub fn now(self) -> u64 {
        nanoseconds(match self {
            Self::Tai => libc::CLOCK_TAI,
            Self::Monotonic => libc::CLOCK_MONOTONIC,
        })
    }
}

const SECOND: i64 = 1_000_000_000;
const TRIES: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_follows_from_either_clock() {
        for scale in [Timescale::Tai, Timescale::Monotonic] {
            let bearings = scale.bearings().expect("nobody sets the clock all the time");
            let told = i128::from(scale.now()) + i128::from(bearings.offset);
            let real = realtime();
            let real = i128::from(real.seconds) * i128::from(SECOND) + i128::from(real.nanos);
            // Between the two readings this process may have waited for a processor.
            assert!((0..i128::from(SECOND) * 10).contains(&(real - told + 1_000_000)), "{scale:?}");
            let apart = scale.now().wrapping_sub(boot_time().0).cast_signed();
            assert!((apart - bearings.apart).abs() < SECOND * 10, "{scale:?}");
        }
        let tai = Timescale::Tai.bearings().expect("as above");
        assert_eq!(tai.offset % SECOND, 0, "a whole number of seconds");
    }
}
